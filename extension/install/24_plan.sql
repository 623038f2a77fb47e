-- The plan of the rollout: through which percentages, and how long each has to hold. It is edited,
-- recorded and dumped as the tables of rules are (20_rules.sql), by the same triggers
-- (26_edit_triggers.sql).

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
