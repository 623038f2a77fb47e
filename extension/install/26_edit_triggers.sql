-- An edit, once its rows are checked: it is recorded as a config row, which says old and new and why. A
-- row of a dump takes the place of the fresh seed instead. Then the triggers of the tables that are
-- edited so: the rules and the plan.

-- Name of a rule row for people.
CREATE FUNCTION @extschema@.webhook_routing_rule_name(rule jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE WHEN rule ? 'pattern'
				THEN format('%s "%s" of %s', rule ->> 'kind', rule ->> 'pattern', rule ->> 'domain')
				WHEN rule ? 'legacy_target' THEN 'domain ' || (rule ->> 'domain')
				WHEN rule ? 'soak' THEN format('plan step %s %%', rule ->> 'percentage')
				ELSE 'target ' || (rule ->> 'name') END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rule_name(jsonb) IS
	'Internal: how a rule row is called in the history';

-- Records one statement's edits of a rule table, or of the plan, as one config row. Only edits of rows
-- that stay what they are called appear as old -> new; a renamed keyword is one removed and one added.
-- Notes that come with the edited rows say why.
CREATE FUNCTION @extschema@.webhook_routing_rules_edited() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	stamp   bigint := @extschema@.webhook_routing_noted_edit();
	newest  bigint;
	edit    text;
	why     text;
	result  @extschema@.webhook_routing_config;
	problem text;
BEGIN
	-- One statement may insert, update and delete; its later triggers find the first one's row.
	newest := (@extschema@.get_current_routing_config()).version;
	IF stamp NOT IN (newest, newest + 1) THEN
		RETURN NULL;	-- restored rows; their config row is restored too
	END IF;
	IF TG_OP = 'INSERT' THEN
		SELECT string_agg(@extschema@.webhook_routing_rule_name(to_jsonb(n)) || ' added', '; '),
			   string_agg(DISTINCT to_jsonb(n) ->> 'notes', '; ')
		  INTO edit, why FROM new_rows n;
	ELSIF TG_OP = 'DELETE' THEN
		SELECT string_agg(@extschema@.webhook_routing_rule_name(to_jsonb(o)) || ' removed', '; ')
		  INTO edit FROM old_rows o;
	ELSE
		SELECT string_agg(
				   CASE WHEN n.rule IS NULL THEN o.name || ' removed'
						WHEN o.rule IS NULL THEN n.name || ' added'
						ELSE format('%s: %s', n.name, coalesce(
							@extschema@.webhook_routing_difference(o.rule, n.rule), 'notes')) END, '; '),
			   string_agg(DISTINCT n.rule ->> 'notes', '; ')
				   FILTER (WHERE n.rule ->> 'notes' IS DISTINCT FROM o.rule ->> 'notes')
		  INTO edit, why
		  FROM (SELECT to_jsonb(t) AS rule, @extschema@.webhook_routing_rule_name(to_jsonb(t)) AS name
				  FROM old_rows t) o
		  FULL JOIN (SELECT to_jsonb(t) AS rule,
							@extschema@.webhook_routing_rule_name(to_jsonb(t)) AS name
					   FROM new_rows t) n USING (name);
	END IF;
	IF edit IS NULL THEN
		RETURN NULL;
	END IF;
	result := @extschema@.webhook_routing_append('{}'::jsonb, why, edit);
	PERFORM @extschema@.webhook_routing_note_edit(result.version);
	problem := @extschema@.webhook_routing_rules_problem();
	IF problem IS NOT NULL AND TG_OP <> 'DELETE' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('the rules could not be compiled with this edit: %s', problem),
			HINT = 'Take rows back: disabled keywords and those of disabled domains do not count.';
	END IF;
	RAISE NOTICE '% updated (%), percentage %, %',
		CASE TG_TABLE_NAME WHEN 'webhook_routing_plan' THEN 'Rollout plan' ELSE 'Routing rules' END,
		CASE WHEN length(edit) > 200 THEN left(edit, 200) || '...' ELSE edit END,
		result.percentage, @extschema@.webhook_routing_state(result.enabled, result.domains);
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rules_edited() IS
	'Internal: append the config row that records an edit of the rules';

-- What a restored row says is not checked, so only the owner may bring one.
CREATE FUNCTION @extschema@.webhook_routing_owner_only() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF NOT pg_has_role(current_user, (SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID),
					   'USAGE') THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('only the owner of %s restores its rows', TG_TABLE_NAME),
			HINT = 'Leave the version and the date out; they are given.';
	END IF;
	PERFORM @extschema@.webhook_routing_note_edit(0::bigint);
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_owner_only() IS
	'Internal: let nobody but the owner restore rows';

-- A restored row takes the place of the untouched seed of the same name. No search_path is pinned,
-- since the trigger fires only where it is empty.
CREATE FUNCTION @extschema@.webhook_routing_rule_restored() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $function$
BEGIN
	IF TG_TABLE_NAME = 'webhook_routing_targets' THEN
		PERFORM @extschema@.webhook_routing_check_url(NEW.name, NEW.url);
		UPDATE @extschema@.webhook_routing_targets t
		   SET url = NEW.url, timeout_ms = NEW.timeout_ms, fallback_policy = NEW.fallback_policy,
			   retired = NEW.retired, is_seed = NEW.is_seed, config_version = NEW.config_version
		 WHERE t.name = NEW.name AND t.is_seed;
	ELSIF TG_TABLE_NAME = 'webhook_routing_domains' THEN
		UPDATE @extschema@.webhook_routing_domains d
		   SET legacy_target = NEW.legacy_target, protected = NEW.protected,
			   percentage = NEW.percentage, priority = NEW.priority, enabled = NEW.enabled,
			   is_seed = NEW.is_seed, config_version = NEW.config_version
		 WHERE d.domain = NEW.domain AND d.is_seed;
	ELSIF TG_TABLE_NAME = 'webhook_routing_keywords' THEN
		UPDATE @extschema@.webhook_routing_keywords k
		   SET match = NEW.match, language = NEW.language, enabled = NEW.enabled,
			   is_seed = NEW.is_seed, config_version = NEW.config_version
		 WHERE k.domain = NEW.domain AND k.kind = NEW.kind AND k.pattern = NEW.pattern AND k.is_seed;
	ELSE
		UPDATE @extschema@.webhook_routing_plan p
		   SET soak = NEW.soak, enabled = NEW.enabled, notes = NEW.notes, is_seed = NEW.is_seed,
			   config_version = NEW.config_version
		 WHERE p.percentage = NEW.percentage AND p.is_seed;
	END IF;
	IF FOUND THEN
		RETURN NULL;
	END IF;
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rule_restored() IS
	'Internal: let a restored row take the place of the fresh seed';

-- The four tables have the same triggers; they fire in the order of their names. The only UPDATE that
-- brings its own config_version is the one of webhook_routing_rule_restored(). An edit of the plan needs
-- no invalidation of its own: nothing is compiled from it.
DO $do$
DECLARE
	subject  text;
	relation text;
	noun     text;
BEGIN
	FOR subject, relation, noun IN
		VALUES ('target', 'webhook_routing_targets', 'target'),
			   ('domain', 'webhook_routing_domains', 'domain'),
			   ('keyword', 'webhook_routing_keywords', 'keyword'),
			   ('plan', 'webhook_routing_plan', 'step')
	LOOP
		EXECUTE replace(replace(replace($triggers$
			CREATE TRIGGER a_lock BEFORE INSERT OR UPDATE OR DELETE
				ON @extschema@.RELATION
				FOR EACH STATEMENT
				WHEN (pg_catalog.current_setting('search_path') NOT IN ('', '""'))
				EXECUTE FUNCTION @extschema@.webhook_routing_rules_before();
			COMMENT ON TRIGGER a_lock ON @extschema@.RELATION IS
				'Waits for the lock that serialises changes, before any row is locked';

			CREATE TRIGGER a_owner_only BEFORE INSERT ON @extschema@.RELATION
				FOR EACH ROW WHEN (NEW.config_version IS NOT NULL
								   AND pg_catalog.current_setting('search_path') IN ('', '""'))
				EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
			COMMENT ON TRIGGER a_owner_only ON @extschema@.RELATION IS
				'Lets nobody but the owner restore a row';

			CREATE TRIGGER a_restored_row BEFORE INSERT ON @extschema@.RELATION
				FOR EACH ROW WHEN (NEW.config_version IS NOT NULL
								   AND pg_catalog.current_setting('search_path') IN ('', '""'))
				EXECUTE FUNCTION @extschema@.webhook_routing_rule_restored();
			COMMENT ON TRIGGER a_restored_row ON @extschema@.RELATION IS
				'Lets a restored row take the place of the fresh seed';

			CREATE TRIGGER b_new_row BEFORE INSERT ON @extschema@.RELATION
				FOR EACH ROW WHEN (NEW.config_version IS NULL
								   OR pg_catalog.current_setting('search_path') NOT IN ('', '""'))
				EXECUTE FUNCTION @extschema@.webhook_routing_SUBJECT_edited();
			COMMENT ON TRIGGER b_new_row ON @extschema@.RELATION IS
				'Checks a new NOUN and gives it its config version';

			CREATE TRIGGER b_edited_row BEFORE UPDATE ON @extschema@.RELATION
				FOR EACH ROW WHEN (pg_catalog.pg_trigger_depth() = 0
								   OR NEW.config_version = OLD.config_version)
				EXECUTE FUNCTION @extschema@.webhook_routing_SUBJECT_edited();
			COMMENT ON TRIGGER b_edited_row ON @extschema@.RELATION IS
				'Checks an edited NOUN and gives it its config version';

			CREATE TRIGGER b_restored_seed BEFORE UPDATE ON @extschema@.RELATION
				FOR EACH ROW WHEN (pg_catalog.pg_trigger_depth() > 0
								   AND NEW.config_version <> OLD.config_version)
				EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
			COMMENT ON TRIGGER b_restored_seed ON @extschema@.RELATION IS
				'Lets nobody but the owner replace a seed by a restored row';

			CREATE TRIGGER b_removed_row BEFORE DELETE ON @extschema@.RELATION
				FOR EACH ROW EXECUTE FUNCTION @extschema@.webhook_routing_SUBJECT_edited();
			COMMENT ON TRIGGER b_removed_row ON @extschema@.RELATION IS
				'Refuses to remove a NOUN that came with the extension or is in use';

			CREATE TRIGGER c_record_insert AFTER INSERT ON @extschema@.RELATION
				REFERENCING NEW TABLE AS new_rows
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
			COMMENT ON TRIGGER c_record_insert ON @extschema@.RELATION IS
				'Appends the config row that records what was added';

			CREATE TRIGGER c_record_update AFTER UPDATE ON @extschema@.RELATION
				REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
			COMMENT ON TRIGGER c_record_update ON @extschema@.RELATION IS
				'Appends the config row that records what was edited';

			CREATE TRIGGER c_record_delete AFTER DELETE ON @extschema@.RELATION
				REFERENCING OLD TABLE AS old_rows
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_edited();
			COMMENT ON TRIGGER c_record_delete ON @extschema@.RELATION IS
				'Appends the config row that records what was removed';

			CREATE TRIGGER no_truncate BEFORE TRUNCATE ON @extschema@.RELATION
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_rules_before();
			COMMENT ON TRIGGER no_truncate ON @extschema@.RELATION IS
				'Refuses TRUNCATE, which would take the seeds along';
		$triggers$, 'SUBJECT', subject), 'RELATION', relation), 'NOUN', noun);
		CONTINUE WHEN subject = 'plan';
		EXECUTE replace($triggers$
			CREATE TRIGGER invalidate_ruleset AFTER INSERT OR UPDATE OR DELETE
				ON @extschema@.RELATION
				FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_invalidate();
			ALTER TABLE @extschema@.RELATION ENABLE ALWAYS TRIGGER invalidate_ruleset;
			COMMENT ON TRIGGER invalidate_ruleset ON @extschema@.RELATION IS
				'Makes every backend reload its ruleset when the edit commits';
		$triggers$, 'RELATION', relation);
	END LOOP;
END
$do$;

CREATE TRIGGER a_owner_only BEFORE INSERT ON @extschema@.webhook_routing_config
	FOR EACH ROW
	WHEN (NEW.version IS NOT NULL AND NEW.created_at IS NOT NULL
		  AND pg_catalog.current_setting('search_path') IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_owner_only();
COMMENT ON TRIGGER a_owner_only ON @extschema@.webhook_routing_config IS
	'Lets nobody but the owner restore a row';
