-- The plan of the rollout: through which percentages, and how long each has to hold. An edit appends
-- a config row that records it, and passes a dump, as an edit of a rule does; how is told in
-- 20_rules.sql and 25_rule_edits.sql.

CREATE TABLE @extschema@.webhook_routing_plan (
	percentage     numeric  PRIMARY KEY,
	soak           interval NOT NULL,
	enabled        boolean  NOT NULL DEFAULT true,
	notes          text,
	installed      boolean  NOT NULL DEFAULT false,
	is_seed        boolean  NOT NULL DEFAULT false,
	config_version bigint   NOT NULL,
	CONSTRAINT webhook_routing_plan_percentage_check
		CHECK (percentage > 0 AND percentage <= 100 AND percentage = round(percentage, 2)),
	CONSTRAINT webhook_routing_plan_soak_check
		CHECK (soak BETWEEN interval '0' AND interval '1 year'
			   AND extract(year FROM soak) >= 0 AND extract(month FROM soak) >= 0
			   AND extract(day FROM soak) >= 0 AND extract(hour FROM soak) >= 0
			   AND extract(minute FROM soak) >= 0 AND extract(second FROM soak) >= 0)
);
COMMENT ON TABLE @extschema@.webhook_routing_plan IS
	'Steps of the rollout, in the order of their percentages; before the first comes 0 %';
COMMENT ON COLUMN @extschema@.webhook_routing_plan.percentage IS
	'Share of senders on unified in this step; the step is called by it';
COMMENT ON COLUMN @extschema@.webhook_routing_plan.soak IS
	'How long it has to last before rollout_advance() goes on';
COMMENT ON COLUMN @extschema@.webhook_routing_plan.enabled IS
	'When false the step is passed over; seeds are disabled, never deleted';
COMMENT ON COLUMN @extschema@.webhook_routing_plan.notes IS
	'Why the step is as it is; the history shows new ones as the reason of the edit';
COMMENT ON COLUMN @extschema@.webhook_routing_plan.installed IS
	'Came with the extension: can be edited, not deleted';
COMMENT ON COLUMN @extschema@.webhook_routing_plan.is_seed IS
	'Still as it was installed: a dump leaves it out';
COMMENT ON COLUMN @extschema@.webhook_routing_plan.config_version IS
	'Config version that brought this row; written by the system';
COMMENT ON CONSTRAINT webhook_routing_plan_pkey ON @extschema@.webhook_routing_plan IS
	'A percentage is one step, so that each step is higher than the one before';
COMMENT ON CONSTRAINT webhook_routing_plan_percentage_check ON @extschema@.webhook_routing_plan IS
	'A step is above 0 and at most 100 percent, with two decimals at most';
COMMENT ON CONSTRAINT webhook_routing_plan_soak_check ON @extschema@.webhook_routing_plan IS
	'A soak is from nothing to a year, said without negative parts';
COMMENT ON INDEX @extschema@.webhook_routing_plan_pkey IS
	'Finds a step by its percentage';

INSERT INTO @extschema@.webhook_routing_plan (percentage, soak, installed, is_seed, config_version)
VALUES (10.00,  '4 hours', true, true, 1),
	   (25.00,  '4 hours', true, true, 1),
	   (35.00,  '6 hours', true, true, 1),
	   (50.00, '24 hours', true, true, 1),
	   (75.00, '48 hours', true, true, 1),
	  (100.00, '48 hours', true, true, 1);

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_plan', 'WHERE NOT is_seed');

CREATE FUNCTION @extschema@.webhook_routing_plan_edited() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
AS $function$
BEGIN
	PERFORM @extschema@.webhook_routing_lock();
	IF TG_OP = 'DELETE' THEN
		IF OLD.installed THEN
			PERFORM @extschema@.webhook_routing_refuse_delete(
				format('plan step %s %%', OLD.percentage),
				format('UPDATE webhook_routing_plan SET enabled = false WHERE percentage = %s;',
					   OLD.percentage));
		END IF;
		PERFORM @extschema@.webhook_routing_rule_stamp();
		RETURN OLD;
	ELSIF TG_OP = 'UPDATE' THEN
		NEW.installed := OLD.installed;
		NEW.is_seed := OLD.is_seed;
		NEW.config_version := OLD.config_version;
		IF NEW IS NOT DISTINCT FROM OLD THEN
			RETURN NULL;
		ELSIF OLD.installed AND NEW.percentage <> OLD.percentage THEN
			RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
				MESSAGE = format('plan step %s %% came with the extension and keeps its percentage',
								 OLD.percentage),
				HINT = format('UPDATE webhook_routing_plan SET enabled = false WHERE percentage = %s; '
							  'then insert another.', OLD.percentage);
		END IF;
	ELSE
		NEW.installed := false;
	END IF;

	PERFORM @extschema@.webhook_routing_check_percentage(NEW.percentage);
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.percentage > 0, 'percentage'::text, NEW.percentage::text,
		'above 0; before the first step comes 0 % by itself'::text);
	PERFORM @extschema@.webhook_routing_check_value(
		NEW.soak BETWEEN interval '0' AND interval '1 year' AND NEW.soak::text !~ '-', 'soak'::text,
		NEW.soak::text, 'from 0 to 1 year without negative parts, such as 4 hours'::text);
	NEW.percentage := round(NEW.percentage, 2);
	NEW.is_seed := false;
	NEW.config_version := @extschema@.webhook_routing_rule_stamp();
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_plan_edited() IS
	'Internal: check an edited step of the plan and stamp it';

-- A restored step takes the place of the untouched seed. No search_path is pinned, since the trigger
-- fires only where it is empty.
CREATE FUNCTION @extschema@.webhook_routing_plan_restored() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $function$
BEGIN
	UPDATE @extschema@.webhook_routing_plan p
	   SET soak = NEW.soak, enabled = NEW.enabled, notes = NEW.notes, is_seed = NEW.is_seed,
		   config_version = NEW.config_version
	 WHERE p.percentage = NEW.percentage AND p.is_seed;
	IF FOUND THEN
		RETURN NULL;
	END IF;
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_plan_restored() IS
	'Internal: let a restored step take the place of the fresh seed';

-- As those of the rule tables, in the order of their names. (The config row that records the edit
-- makes every backend load its rules again.)
CREATE TRIGGER a_lock BEFORE INSERT OR UPDATE OR DELETE ON @extschema@.webhook_routing_plan
	FOR EACH STATEMENT WHEN (pg_catalog.current_setting('search_path') NOT IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_rules_before();
CREATE TRIGGER a_owner_only BEFORE INSERT ON @extschema@.webhook_routing_plan
	FOR EACH ROW WHEN (NEW.config_version IS NOT NULL
					   AND pg_catalog.current_setting('search_path') IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
CREATE TRIGGER a_restored_row BEFORE INSERT ON @extschema@.webhook_routing_plan
	FOR EACH ROW WHEN (NEW.config_version IS NOT NULL
					   AND pg_catalog.current_setting('search_path') IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_plan_restored();
CREATE TRIGGER b_new_row BEFORE INSERT ON @extschema@.webhook_routing_plan
	FOR EACH ROW WHEN (NEW.config_version IS NULL
					   OR pg_catalog.current_setting('search_path') NOT IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_plan_edited();
CREATE TRIGGER b_edited_row BEFORE UPDATE ON @extschema@.webhook_routing_plan
	FOR EACH ROW WHEN (pg_catalog.pg_trigger_depth() = 0 OR NEW.config_version = OLD.config_version)
	EXECUTE FUNCTION @extschema@.webhook_routing_plan_edited();
CREATE TRIGGER b_restored_seed BEFORE UPDATE ON @extschema@.webhook_routing_plan
	FOR EACH ROW WHEN (pg_catalog.pg_trigger_depth() > 0 AND NEW.config_version <> OLD.config_version)
	EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
CREATE TRIGGER b_removed_row BEFORE DELETE ON @extschema@.webhook_routing_plan
	FOR EACH ROW EXECUTE FUNCTION @extschema@.webhook_routing_plan_edited();
CREATE TRIGGER c_record_insert AFTER INSERT ON @extschema@.webhook_routing_plan
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
CREATE TRIGGER c_record_update AFTER UPDATE ON @extschema@.webhook_routing_plan
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
CREATE TRIGGER c_record_delete AFTER DELETE ON @extschema@.webhook_routing_plan
	REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON @extschema@.webhook_routing_plan
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_before();
COMMENT ON TRIGGER a_lock ON @extschema@.webhook_routing_plan IS
	'Waits for the lock that serialises changes, before any row is locked';
COMMENT ON TRIGGER a_owner_only ON @extschema@.webhook_routing_plan IS
	'Lets nobody but the owner restore a row';
COMMENT ON TRIGGER a_restored_row ON @extschema@.webhook_routing_plan IS
	'Lets a restored row take the place of the fresh seed';
COMMENT ON TRIGGER b_new_row ON @extschema@.webhook_routing_plan IS
	'Checks a new step and gives it its config version';
COMMENT ON TRIGGER b_edited_row ON @extschema@.webhook_routing_plan IS
	'Checks an edited step and gives it its config version';
COMMENT ON TRIGGER b_restored_seed ON @extschema@.webhook_routing_plan IS
	'Lets nobody but the owner replace a seed by a restored row';
COMMENT ON TRIGGER b_removed_row ON @extschema@.webhook_routing_plan IS
	'Refuses to remove a step that came with the extension';
COMMENT ON TRIGGER c_record_insert ON @extschema@.webhook_routing_plan IS
	'Appends the config row that records what was added';
COMMENT ON TRIGGER c_record_update ON @extschema@.webhook_routing_plan IS
	'Appends the config row that records what was edited';
COMMENT ON TRIGGER c_record_delete ON @extschema@.webhook_routing_plan IS
	'Appends the config row that records what was removed';
COMMENT ON TRIGGER no_truncate ON @extschema@.webhook_routing_plan IS
	'Refuses TRUNCATE, which would take the seeds along';
