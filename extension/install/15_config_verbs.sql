-- The verbs: what an operator calls to change the configuration, and to read it.

-- The one way our own functions add a row: the row in force, with some columns replaced. "edit" is
-- what a rule trigger, or a forced advance, has to say. A call that one statement repeats without
-- changing anything adds nothing: SELECT (set_routing_enabled(false)).* calls the function once for each
-- column. That it was this transaction's own statement that added the newest row is noted in a setting
-- that lives as long as the transaction (or its savepoint); what somebody else did meanwhile is no
-- repetition.
--
-- Whoever calls one of our functions gives every argument with its exact type: then a function of the
-- same name that somebody else puts into the schema is never the better match.
CREATE FUNCTION @extschema@.webhook_routing_append(
	replaced jsonb, update_notes text, edit text DEFAULT NULL)
RETURNS @extschema@.webhook_routing_config
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	newest @extschema@.webhook_routing_config;
	result @extschema@.webhook_routing_config;
	moment CONSTANT text := extract(epoch FROM statement_timestamp())::text;
BEGIN
	PERFORM @extschema@.webhook_routing_lock();
	SELECT * INTO STRICT newest
	  FROM @extschema@.webhook_routing_config ORDER BY version DESC LIMIT 1;
	result := jsonb_populate_record(newest, replaced);
	IF edit IS NULL AND result IS NOT DISTINCT FROM newest
	   AND newest.notes IS NOT DISTINCT FROM update_notes
	   AND current_setting('webhook_routing.appended', true)
		   IS NOT DISTINCT FROM format('%s at %s', newest.version, moment) THEN
		RETURN newest;
	END IF;
	result.id := gen_random_uuid();
	result.version := NULL;
	result.created_at := NULL;
	result.notes := update_notes;
	result.change := edit;
	IF edit IS NOT NULL THEN
		PERFORM @extschema@.webhook_routing_note_edit(newest.version + 1);
	END IF;
	INSERT INTO @extschema@.webhook_routing_config SELECT (result).* RETURNING * INTO result;
	PERFORM set_config('webhook_routing.appended', format('%s at %s', result.version, moment), true);
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_append(jsonb, text, text) IS
	'Internal: append the row in force with some columns replaced';

-- The state that NOTICEs end with.
CREATE FUNCTION @extschema@.webhook_routing_state(enabled boolean, domains text[]) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT format('%s, domains %s', CASE WHEN enabled THEN 'enabled' ELSE 'disabled' END, domains)
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_state(boolean, text[]) IS
	'Internal: the words that NOTICEs end with';

CREATE FUNCTION @extschema@.get_current_routing_config()
RETURNS @extschema@.webhook_routing_config
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT * FROM @extschema@.webhook_routing_config ORDER BY version DESC LIMIT 1
$function$;
COMMENT ON FUNCTION @extschema@.get_current_routing_config() IS
	'The configuration in force';

CREATE FUNCTION @extschema@.routing_config_as_of(moment timestamptz)
RETURNS @extschema@.webhook_routing_config
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT * FROM @extschema@.webhook_routing_config
	 WHERE created_at <= moment ORDER BY created_at DESC LIMIT 1
$function$;
COMMENT ON FUNCTION @extschema@.routing_config_as_of(timestamptz) IS
	'The configuration that was in force at a moment; NULL before the first';

-- A step of a rollout is the unbroken run of newest rows that route the same senders to the same
-- target: same percentage, switch, domains, salt and unified target. Other settings and edits of rules
-- change the version and leave the step. The first row of that run.
CREATE FUNCTION @extschema@.webhook_routing_step()
RETURNS @extschema@.webhook_routing_config
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH newest AS (
		SELECT * FROM @extschema@.webhook_routing_config ORDER BY version DESC LIMIT 1
	), before AS (
		SELECT c.version
		  FROM @extschema@.webhook_routing_config c, newest n
		 WHERE NOT (c.percentage = n.percentage AND c.enabled = n.enabled
		            AND c.domains @> n.domains AND c.domains <@ n.domains
		            AND c.hash_salt = n.hash_salt AND c.unified_webhook = n.unified_webhook)
		 ORDER BY c.version DESC LIMIT 1
	)
	SELECT * FROM @extschema@.webhook_routing_config
	 WHERE version > coalesce((SELECT version FROM before), 0)
	 ORDER BY version LIMIT 1
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_step() IS
	'Internal: the config row with which the present step of the rollout began';

CREATE FUNCTION @extschema@.webhook_routing_step_began() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT created_at FROM @extschema@.webhook_routing_step()
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_step_began() IS
	'When what is routed to the unified target last changed: percentage, switch, domains, salt, target';

-- Whoever withdraws from unified has to know whom that does not reach.
CREATE FUNCTION @extschema@.webhook_routing_warn_of_retired(unified text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	retired text;
BEGIN
	SELECT string_agg(d.domain, ', ' ORDER BY d.domain) INTO retired
	  FROM @extschema@.webhook_routing_domains d
	  JOIN @extschema@.webhook_routing_targets t ON t.name = d.legacy_target
	 WHERE d.enabled AND t.retired AND NOT d.protected;
	IF retired IS NOT NULL THEN
		RAISE WARNING USING
			MESSAGE = format('still routed to %s, since their legacy targets are retired: %s',
							 unified, retired),
			HINT = 'Deploy the legacy function again, then UPDATE webhook_routing_targets SET '
				   'retired = false WHERE name = ''...'';';
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_warn_of_retired(text) IS
	'Internal: warn of the domains that stay on unified whatever the switch says';

-- The verbs. Their variables are plain records: the row type would have them wait for a lock on the
-- table before they come to limit that wait.

CREATE FUNCTION @extschema@.update_routing_percentage(
	new_percentage numeric, update_notes text DEFAULT NULL)
RETURNS @extschema@.webhook_routing_config
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	former record;
	result record;
BEGIN
	PERFORM @extschema@.webhook_routing_check_percentage(new_percentage);
	PERFORM @extschema@.webhook_routing_lock();
	former := @extschema@.get_current_routing_config();
	result := @extschema@.webhook_routing_append(
		jsonb_build_object('percentage', new_percentage), update_notes, NULL::text);
	IF result.version > former.version THEN
		RAISE NOTICE 'Routing percentage updated to % (was %), %', result.percentage,
			former.percentage, @extschema@.webhook_routing_state(result.enabled, result.domains);
	END IF;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.update_routing_percentage(numeric, text) IS
	'Set the share of senders that goes to the unified target, 0 to 100 with two decimals';

CREATE FUNCTION @extschema@.set_routing_enabled(is_enabled boolean, update_notes text DEFAULT NULL)
RETURNS @extschema@.webhook_routing_config
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	former record;
	result record;
BEGIN
	IF is_enabled IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'the switch must be true or false, not NULL',
			HINT = 'SELECT set_routing_enabled(false, ''why'');';
	END IF;
	PERFORM @extschema@.webhook_routing_lock();
	former := @extschema@.get_current_routing_config();
	result := @extschema@.webhook_routing_append(
		jsonb_build_object('enabled', is_enabled), update_notes, NULL::text);
	IF result.version = former.version THEN
		RETURN result;
	END IF;
	RAISE NOTICE 'Routing % (was %), percentage %, domains %',
		CASE WHEN result.enabled THEN 'enabled' ELSE 'disabled' END,
		CASE WHEN former.enabled THEN 'enabled' ELSE 'disabled' END,
		result.percentage, result.domains;
	IF NOT is_enabled THEN
		PERFORM @extschema@.webhook_routing_warn_of_retired(result.unified_webhook);
	END IF;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.set_routing_enabled(boolean, text) IS
	'The kill switch: false sends every webhook to its legacy target at once';

CREATE FUNCTION @extschema@.set_routing_domains(new_domains text[], update_notes text DEFAULT NULL)
RETURNS @extschema@.webhook_routing_config
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	former record;
	result record;
BEGIN
	IF new_domains IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'the list of domains must not be NULL',
			HINT = 'For none: SELECT set_routing_domains(''{}'', ''why'');';
	END IF;
	PERFORM @extschema@.webhook_routing_lock();
	former := @extschema@.get_current_routing_config();
	result := @extschema@.webhook_routing_append(
		jsonb_build_object('domains', new_domains), update_notes, NULL::text);
	IF result.version > former.version THEN
		RAISE NOTICE 'Routing domains updated to % (were %), percentage %, %', result.domains,
			former.domains, result.percentage,
			CASE WHEN result.enabled THEN 'enabled' ELSE 'disabled' END;
	END IF;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.set_routing_domains(text[], text) IS
	'Set the enrolled domains: those that may be routed';

CREATE FUNCTION @extschema@.update_routing_settings(
	new_settings jsonb, update_notes text DEFAULT NULL)
RETURNS @extschema@.webhook_routing_config
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	-- Each setting, and what it can be.
	settings CONSTANT jsonb := '{
		"advance_needs_proof": "true or false",
		"automatic_rollback": "true or false",
		"conversation_timeout": "0 for off, or an interval up to 30 days without negative parts, such as 30 minutes",
		"critical_error_rate_pct": "a number from warning_error_rate_pct to 100",
		"critical_p95_ms": "a whole number from warning_p95_ms to 2147483647",
		"default_webhook": "the name of a target",
		"hash_salt": "a whole number from -9223372036854775808 to 9223372036854775807",
		"hash_senders": "true or false",
		"keep_conversations": "true or false",
		"log_retention": "an interval from 1 day to 100 years without negative parts, such as 30 days",
		"min_requests": "a whole number from 1 to 1000000",
		"unified_webhook": "the name of a target",
		"warning_error_rate_pct": "a number above 0, up to critical_error_rate_pct",
		"warning_p95_ms": "a whole number from 1 to critical_p95_ms"}';
	former   record;
	result   record;
	offender text;
	problem  text;
	broken   text;
BEGIN
	IF new_settings IS NULL OR jsonb_typeof(new_settings) <> 'object' OR new_settings = '{}' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'the settings must be a JSON object that names at least one',
			HINT = 'SELECT update_routing_settings(''{"min_requests": 100}'', ''why'');';
	END IF;
	SELECT key INTO offender FROM jsonb_object_keys(new_settings) key
	 WHERE NOT settings ? key ORDER BY key LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('there is no routing setting "%s"', offender),
			HINT = format('The settings are: %s.', (SELECT string_agg(key, ', ' ORDER BY key)
													  FROM jsonb_object_keys(settings) key));
	END IF;
	SELECT key INTO offender FROM jsonb_each(new_settings) WHERE value = 'null' ORDER BY key LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = format('routing setting "%s" must not be null', offender),
			HINT = 'Leave a setting out to keep its value.';
	END IF;

	PERFORM @extschema@.webhook_routing_lock();
	former := @extschema@.get_current_routing_config();
	BEGIN
		FOR offender IN SELECT jsonb_object_keys(new_settings) LOOP
			PERFORM jsonb_populate_record(NULL::@extschema@.webhook_routing_config,
										  jsonb_build_object(offender, new_settings -> offender));
		END LOOP;
		offender := NULL;
		result := @extschema@.webhook_routing_append(new_settings, update_notes, NULL::text);
	EXCEPTION WHEN data_exception OR check_violation THEN
		GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, broken = CONSTRAINT_NAME;
		IF offender IS NULL THEN
			-- What another check of ours has said already stays as it is.
			IF broken = '' THEN
				RAISE;
			END IF;
			SELECT a.attname INTO STRICT offender
			  FROM pg_constraint c
			  JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
			 WHERE c.conrelid = '@extschema@.webhook_routing_config'::regclass AND c.conname = broken
			 ORDER BY new_settings ? a.attname DESC, a.attname LIMIT 1;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('routing setting "%s" cannot be %s', offender, new_settings -> offender),
			DETAIL = problem,
			HINT = format('Allowed: %s.', settings ->> offender);
	END;
	IF result.version > former.version THEN
		RAISE NOTICE 'Routing settings updated (%), percentage %, %', result.change,
			result.percentage, @extschema@.webhook_routing_state(result.enabled, result.domains);
	END IF;
	IF former.hash_salt <> result.hash_salt THEN
		RAISE WARNING 'another hash_salt gives every sender another bucket: many change sides';
	END IF;
	IF result.hash_senders AND NOT former.hash_senders THEN
		RAISE NOTICE USING
			MESSAGE = format('senders are hashed from now on; the log keeps those that it has for log_retention (%s), '
							 'conversations to the next routing_maintain()', result.log_retention),
			HINT = 'SELECT * FROM routing_maintain(); or for one sender SELECT erase_sender(''250788123456'');';
	END IF;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.update_routing_settings(jsonb, text) IS
	'Set other columns of the configuration: thresholds, targets, salt, retention, as JSON';
