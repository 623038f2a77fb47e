-- What happens to a new config row: the lock that serialises changes, the checks, the triggers that
-- complete it, and the refusal of everything else.

-- The lock. It is an object lock that no SQL command takes, so nobody but these functions can hold
-- it, and pg_dump, VACUUM and readers never meet it. Returns the newest committed version, seen
-- past the snapshot of the transaction.
CREATE FUNCTION @extschema@.webhook_routing_acquire_lock() RETURNS bigint
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_routing_acquire_lock';
COMMENT ON FUNCTION @extschema@.webhook_routing_acquire_lock() IS
	'Internal: wait for the lock that serialises changes; returns the newest committed version';

-- Takes the lock, or fails within a second naming who holds it; fails as well when this
-- transaction's snapshot is older than the newest change, since what it reads would be copied over
-- that change. Every table lock that a change needs is taken here too, so that nothing after it waits:
-- the second is for all of them together. The tables come first, so that whoever waits for one holds
-- up nobody else.
CREATE FUNCTION @extschema@.webhook_routing_lock() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $function$
DECLARE
	deadline CONSTANT timestamptz := clock_timestamp() + interval '1 second';
	wanted   text;
	newest   bigint;
	visible  bigint;
	blocker  record;
BEGIN
	IF pg_is_in_recovery() THEN
		RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
			MESSAGE = 'the routing configuration cannot be changed on a standby',
			HINT = 'Run the command on the primary: psql "host=... target_session_attrs=read-write".';
	END IF;
	BEGIN
		FOREACH wanted IN ARRAY ARRAY[
			'@extschema@.webhook_routing_targets IN ACCESS SHARE MODE',
			'@extschema@.webhook_routing_domains IN ACCESS SHARE MODE',
			'@extschema@.webhook_routing_keywords IN ACCESS SHARE MODE',
			'@extschema@.webhook_routing_config IN ROW EXCLUSIVE MODE',
			NULL]
		LOOP
			PERFORM set_config('lock_timeout', greatest(1, ceil(1000 *
				extract(epoch FROM deadline - clock_timestamp())))::text || 'ms', true);
			IF wanted IS NOT NULL THEN
				EXECUTE 'LOCK TABLE ' || wanted;
			ELSE
				newest := @extschema@.webhook_routing_acquire_lock();
			END IF;
		END LOOP;
	EXCEPTION WHEN lock_not_available THEN
		-- Who holds a lock that is in the way, or waits for one and so keeps the queue.
		SELECT l.pid, a.usename, a.state, a.xact_start
		  INTO blocker
		  FROM pg_locks l
		  LEFT JOIN pg_stat_activity a USING (pid)
		 WHERE l.pid <> pg_backend_pid()
		   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		   AND ((l.locktype = 'object' AND l.classid = 'pg_class'::regclass
				 AND l.objid = '@extschema@.webhook_routing_config'::regclass AND l.granted)
				OR (l.locktype = 'relation'
					AND l.relation = '@extschema@.webhook_routing_config'::regclass
					AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
								   'AccessExclusiveLock'))
				OR (l.locktype = 'relation'
					AND l.relation IN ('@extschema@.webhook_routing_targets'::regclass,
									   '@extschema@.webhook_routing_domains'::regclass,
									   '@extschema@.webhook_routing_keywords'::regclass)
					AND l.mode = 'AccessExclusiveLock'))
		 ORDER BY l.granted DESC, a.xact_start
		 LIMIT 1;
		IF blocker.pid IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
				MESSAGE = 'the routing configuration is being changed by somebody else',
				DETAIL = 'Others were ahead in the queue for one second.',
				HINT = 'Run the command again.';
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
			MESSAGE = format('process %s holds the routing configuration', blocker.pid),
			DETAIL = format('User %s, %s, its transaction began at %s.',
							coalesce(blocker.usename, 'unknown'),
							coalesce(blocker.state, 'state unknown'),
							coalesce(blocker.xact_start::text, 'an unknown time')),
			HINT = format('SELECT pg_terminate_backend(%s); then run the command again.',
						  blocker.pid);
	END;

	SELECT max(c.version) INTO visible FROM @extschema@.webhook_routing_config c;
	IF visible IS DISTINCT FROM newest THEN
		RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
			MESSAGE = format('the routing configuration has changed since this transaction began '
							 '(version %s, seen %s)', newest, visible),
			HINT = 'Roll back and run the transaction again.';
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_lock() IS
	'Internal: take the lock that serialises changes, within one second';

-- Refuses a percentage that is NULL, NaN, out of range or finer than the column can hold.
CREATE FUNCTION @extschema@.webhook_routing_check_percentage(value numeric) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF value IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'the percentage must not be NULL',
			HINT = 'Give a number from 0 to 100 with at most two decimals, such as 12.50.';
	ELSIF value = 'NaN' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'the percentage must be a number, not NaN',
			HINT = 'Give a number from 0 to 100 with at most two decimals, such as 12.50.';
	ELSIF value NOT BETWEEN 0 AND 100 THEN
		RAISE EXCEPTION USING ERRCODE = 'numeric_value_out_of_range',
			MESSAGE = format('the percentage must be from 0 to 100, not %s', value),
			HINT = 'Give a number from 0 to 100 with at most two decimals, such as 12.50.';
	ELSIF value <> round(value, 2) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('the percentage %s has more than two decimals', value),
			HINT = format('It is not rounded for you; give %s, for example.', trunc(value, 2));
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_check_percentage(numeric) IS
	'Internal: raise unless the value is a percentage with at most two decimals';

-- What differs between two rows, "old -> new" for each column in alphabetic order. The columns
-- that the system keeps for itself are left out. Serves config rows and rule rows alike.
CREATE FUNCTION @extschema@.webhook_routing_difference(old_row jsonb, new_row jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT string_agg(format('%s %s -> %s', n.key, shown.old_value, shown.new_value), ', '
					  ORDER BY n.key)
	  FROM jsonb_each(new_row) n,
	       LATERAL (SELECT old_row -> n.key AS value) o,
	       LATERAL (SELECT CASE jsonb_typeof(o.value)
	                       WHEN 'array' THEN translate(o.value::text, '[]" ', '{}')
	                       WHEN 'null' THEN 'null' ELSE o.value #>> '{}' END AS old_value,
	                       CASE jsonb_typeof(n.value)
	                       WHEN 'array' THEN translate(n.value::text, '[]" ', '{}')
	                       WHEN 'null' THEN 'null' ELSE n.value #>> '{}' END AS new_value) shown
	 WHERE n.value IS DISTINCT FROM o.value
	   AND n.key <> ALL ('{id,created_at,updated_at,created_by,notes,version,change,installed,is_seed,
						   config_version}')
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_difference(jsonb, jsonb) IS
	'Internal: what differs between two rows, old -> new';

-- Refuses a list of enrolled domains in which a protected one stands.
CREATE FUNCTION @extschema@.webhook_routing_check_enrolled(enrolled text[]) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	offender text;
BEGIN
	SELECT string_agg(format('"%s"', d.domain), ', ' ORDER BY d.domain) INTO offender
	  FROM @extschema@.webhook_routing_domains d
	 WHERE d.protected AND d.domain = ANY (enrolled);
	IF offender IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'WR001',
			MESSAGE = format('protected domain %s cannot be enrolled', offender),
			DETAIL = 'A protected domain is never routed to the unified target.',
			HINT = format('SELECT set_routing_domains(%L, ''why'');',
						  (SELECT coalesce(array_agg(u.d ORDER BY u.place), '{}')
							 FROM unnest(enrolled) WITH ORDINALITY AS u(d, place)
							WHERE NOT EXISTS (SELECT FROM @extschema@.webhook_routing_domains p
											   WHERE p.protected AND p.domain = u.d)));
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_check_enrolled(text[]) IS
	'Internal: raise when a protected domain is among those to be enrolled';

-- Who acts, in the words of the history.
CREATE FUNCTION @extschema@.webhook_routing_who() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT session_user || CASE WHEN current_setting('role') NOT IN ('none', session_user)
								THEN format(' as %s', current_setting('role')) ELSE '' END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_who() IS
	'Internal: the session user, and the role where it differs';

-- Every new row passes here, whoever adds it. A column that is left out keeps the value in force,
-- except the percentage, which whoever writes a row by hand has to say.
CREATE FUNCTION @extschema@.webhook_routing_config_before_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	newest   @extschema@.webhook_routing_config;
	given    text := NEW.change;
	offender text;
	withdraws boolean;	-- nobody is sent to unified who was not before
BEGIN
	PERFORM @extschema@.webhook_routing_lock();
	SELECT * INTO STRICT newest
	  FROM @extschema@.webhook_routing_config ORDER BY version DESC LIMIT 1;

	IF NEW.version IS NOT NULL AND NEW.version <> newest.version + 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('config version %s is not the next one (%s)',
							 NEW.version, newest.version + 1),
			HINT = 'Leave version and created_at out, or call update_routing_percentage().';
	END IF;
	IF NEW.created_at <= newest.created_at OR NEW.created_at > clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'a config row must be the newest, and not from the future',
			DETAIL = format('The row in force was created at %s, the new one at %s.',
							newest.created_at, NEW.created_at),
			HINT = 'Leave version and created_at out, or call update_routing_percentage().';
	END IF;

	PERFORM @extschema@.webhook_routing_check_percentage(NEW.percentage);
	NEW.id := coalesce(NEW.id, gen_random_uuid());
	NEW.version := newest.version + 1;
	NEW.created_at := coalesce(NEW.created_at,
		greatest(clock_timestamp(), newest.created_at + interval '1 microsecond'));
	NEW.updated_at := NEW.created_at;
	NEW.created_by := @extschema@.webhook_routing_who();
	NEW.enabled := coalesce(NEW.enabled, newest.enabled);
	NEW.domains := coalesce(NEW.domains, newest.domains);
	NEW.hash_salt := coalesce(NEW.hash_salt, newest.hash_salt);
	NEW.unified_webhook := coalesce(NEW.unified_webhook, newest.unified_webhook);
	NEW.default_webhook := coalesce(NEW.default_webhook, newest.default_webhook);
	NEW.warning_error_rate_pct :=
		coalesce(NEW.warning_error_rate_pct, newest.warning_error_rate_pct);
	NEW.critical_error_rate_pct :=
		coalesce(NEW.critical_error_rate_pct, newest.critical_error_rate_pct);
	NEW.warning_p95_ms := coalesce(NEW.warning_p95_ms, newest.warning_p95_ms);
	NEW.critical_p95_ms := coalesce(NEW.critical_p95_ms, newest.critical_p95_ms);
	NEW.min_requests := coalesce(NEW.min_requests, newest.min_requests);
	NEW.automatic_rollback := coalesce(NEW.automatic_rollback, newest.automatic_rollback);
	NEW.log_retention := coalesce(NEW.log_retention, newest.log_retention);
	NEW.hash_senders := coalesce(NEW.hash_senders, newest.hash_senders);
	NEW.advance_needs_proof := coalesce(NEW.advance_needs_proof, newest.advance_needs_proof);
	NEW.conversation_timeout := coalesce(NEW.conversation_timeout, newest.conversation_timeout);
	NEW.keep_conversations := coalesce(NEW.keep_conversations, newest.keep_conversations);

	IF array_ndims(NEW.domains) > 1 OR array_position(NEW.domains, NULL) IS NOT NULL
	   OR '' = ANY (NEW.domains) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'domains must be a plain list of names, without NULL and empty ones',
			HINT = 'SELECT set_routing_domains(''{jobs,marketplace}'', ''why'');';
	END IF;
	NEW.domains := ARRAY(SELECT d FROM unnest(NEW.domains) WITH ORDINALITY AS u(d, place)
						 GROUP BY d ORDER BY min(place));

	-- The way back is never refused: what only takes senders away from unified passes whatever is
	-- wrong with the rules, for which validate_routing_config() is there.
	withdraws := pg_trigger_depth() = 1
		AND NEW.enabled <= newest.enabled
		AND NEW.percentage <= newest.percentage
		AND NEW.domains <@ newest.domains
		AND NEW.conversation_timeout <= newest.conversation_timeout
		AND NEW.keep_conversations <= newest.keep_conversations
		AND NEW.unified_webhook = newest.unified_webhook
		AND NEW.default_webhook = newest.default_webhook;
	IF NOT withdraws THEN
		PERFORM @extschema@.webhook_routing_check_enrolled(NEW.domains);
		PERFORM @extschema@.webhook_routing_check_targets(NEW.unified_webhook, NEW.default_webhook);
	END IF;

	SELECT string_agg(format('"%s"', u.d), ', ' ORDER BY u.place) INTO offender
	  FROM unnest(NEW.domains) WITH ORDINALITY AS u(d, place)
	 WHERE u.d <> ALL (newest.domains)
	   AND NOT EXISTS (SELECT FROM @extschema@.webhook_routing_domains k WHERE k.domain = u.d);
	IF offender IS NOT NULL THEN
		RAISE WARNING USING
			MESSAGE = format('enrolled domain %s has no row in webhook_routing_domains', offender),
			HINT = 'SELECT * FROM validate_routing_config();';
	END IF;

	IF NEW.percentage < newest.percentage AND NEW.enabled AND NEW.keep_conversations
	   AND NEW.conversation_timeout > interval '0' THEN
		RAISE NOTICE USING
			MESSAGE = format('conversations on %s stay there until they are idle for %s',
							 NEW.unified_webhook, NEW.conversation_timeout),
			HINT = 'To move them at once: SELECT set_routing_enabled(false, ''why'');';
	END IF;

	-- Only those who have noted the edit that this row records have something to add: the triggers of
	-- the rule tables and the plan, and webhook_routing_append().
	NEW.change := coalesce(concat_ws('; ',
		@extschema@.webhook_routing_difference(to_jsonb(newest), to_jsonb(NEW)),
		CASE WHEN @extschema@.webhook_routing_noted_edit() = NEW.version THEN given END), '');
	IF NEW.change = '' THEN
		NEW.change := 'nothing changed';
	END IF;
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_config_before_insert() IS
	'Internal: number, date, complete and check a new config row, under the lock';

-- The row of a dump comes complete and is kept as it is: what it says was checked when it was made,
-- against rules that may have changed since. It must follow its predecessor all the same. No
-- search_path is pinned, since the trigger fires only where it is empty.
CREATE FUNCTION @extschema@.webhook_routing_config_before_restore() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $function$
DECLARE
	newest record;
BEGIN
	PERFORM @extschema@.webhook_routing_lock();
	SELECT c.version, c.created_at INTO STRICT newest
	  FROM @extschema@.webhook_routing_config c ORDER BY c.version DESC LIMIT 1;
	IF NEW.version <> newest.version + 1 OR NEW.created_at <= newest.created_at THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = pg_catalog.format('restored config version %s does not follow version %s',
										NEW.version, newest.version),
			HINT = 'Restore into a database where the configuration has not been changed yet: '
				   'DROP EXTENSION webhook_routing, then restore.';
	END IF;
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_config_before_restore() IS
	'Internal: accept the rows of a dump as they are, in order';

CREATE FUNCTION @extschema@.webhook_routing_config_refuse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
		MESSAGE = format('%s on webhook_routing_config is refused: the table is its own history',
						 TG_OP),
		HINT = 'Add the new state instead: SELECT update_routing_percentage(), set_routing_enabled(), '
			   'set_routing_domains() or update_routing_settings().';
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_config_refuse() IS
	'Internal: refuse to change or remove a config row';

CREATE FUNCTION @extschema@.webhook_routing_invalidate() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'webhook_routing_invalidate';
COMMENT ON FUNCTION @extschema@.webhook_routing_invalidate() IS
	'Internal: make every backend reload its ruleset when this change commits';

-- They fire in the order of their names; a new row has no version yet when the first looks at it.
CREATE TRIGGER a_restored_row BEFORE INSERT ON @extschema@.webhook_routing_config
	FOR EACH ROW
	WHEN (NEW.version IS NOT NULL AND NEW.created_at IS NOT NULL
		  AND pg_catalog.current_setting('search_path') IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_config_before_restore();
CREATE TRIGGER b_new_row BEFORE INSERT ON @extschema@.webhook_routing_config
	FOR EACH ROW
	WHEN (NEW.version IS NULL OR NEW.created_at IS NULL
		  OR pg_catalog.current_setting('search_path') NOT IN ('', '""'))
	EXECUTE FUNCTION @extschema@.webhook_routing_config_before_insert();
CREATE TRIGGER append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.webhook_routing_config
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_config_refuse();
CREATE TRIGGER invalidate_ruleset AFTER INSERT ON @extschema@.webhook_routing_config
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.webhook_routing_invalidate();
ALTER TABLE @extschema@.webhook_routing_config ENABLE ALWAYS TRIGGER invalidate_ruleset;
COMMENT ON TRIGGER a_restored_row ON @extschema@.webhook_routing_config IS
	'Accepts a row of a dump as it is, after its predecessor';
COMMENT ON TRIGGER b_new_row ON @extschema@.webhook_routing_config IS
	'Numbers, dates, completes and checks a new row';
COMMENT ON TRIGGER append_only ON @extschema@.webhook_routing_config IS
	'Refuses to change or remove a row';
COMMENT ON TRIGGER invalidate_ruleset ON @extschema@.webhook_routing_config IS
	'Makes every backend reload its ruleset when the new row commits';
