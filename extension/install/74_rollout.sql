-- The verbs of the rollout. Each takes the lock first and judges by what it sees then.

-- The lock that serialises changes, and the plan with it, within a second for each: whoever holds the
-- plan must not hold up the way back. Returns the config version with which the step began that was to
-- be seen before any wait: it is this step that the caller has judged.
CREATE FUNCTION @extschema@.webhook_routing_lock_rollout() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $function$
DECLARE
	blocker integer;
	judged  bigint;
BEGIN
	BEGIN
		judged := (@extschema@.webhook_routing_step()).version;
	EXCEPTION WHEN lock_not_available THEN
		NULL;	-- webhook_routing_lock() says who it is, unless he goes meanwhile
	END;
	BEGIN
		LOCK TABLE @extschema@.webhook_routing_plan IN ACCESS SHARE MODE;
	EXCEPTION WHEN lock_not_available THEN
		SELECT l.pid INTO blocker
		  FROM pg_locks l
		 WHERE l.pid <> pg_backend_pid() AND l.locktype = 'relation'
		   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		   AND l.relation = '@extschema@.webhook_routing_plan'::regclass
		   AND l.mode = 'AccessExclusiveLock'
		 ORDER BY l.granted DESC LIMIT 1;
		RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
			MESSAGE = format('process %s holds the plan of the rollout', coalesce(blocker::text, 'unknown')),
			HINT = format('SELECT pg_terminate_backend(%s); then run the command again. Without the plan: '
						  'SELECT set_routing_enabled(false, ''why'');', coalesce(blocker::text, '...'));
	END;
	PERFORM @extschema@.webhook_routing_lock();
	RETURN judged;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_lock_rollout() IS
	'Internal: take the lock that serialises changes, with the plan readable; returns the step seen before';

-- Who judges has to see what is committed by now: under the other isolation levels neither the
-- statistics nor a "hold" of somebody else that came after the snapshot would be seen.
CREATE FUNCTION @extschema@.webhook_routing_demand_present() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
			MESSAGE = 'a rollout is judged by what is committed now, not by an older snapshot',
			HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED; then run the command again.';
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_demand_present() IS
	'Internal: refuse isolation levels that show the past';

-- Whoever waited while somebody else moved the rollout has judged the step before. "judged" is what
-- webhook_routing_lock_rollout() has returned.
CREATE FUNCTION @extschema@.webhook_routing_demand_unmoved(judged bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	step record;
BEGIN
	step := @extschema@.webhook_routing_step();
	IF step.version IS DISTINCT FROM judged THEN
		RAISE EXCEPTION USING ERRCODE = 'WR109',
			MESSAGE = format('the rollout has been moved to %s %% since this command was given',
							 step.percentage),
			DETAIL = format('By %s: %s.', step.created_by, step.change),
			HINT = 'SELECT * FROM rollout_status(); then decide anew.';
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_demand_unmoved(bigint) IS
	'Internal: refuse to judge another step than the one that was there when the command was given';

-- One statement makes one move, however often it calls: SELECT (rollout_back()).* does so once for each
-- column. What this transaction's statement has done is noted in a setting that lives as long as the
-- transaction (or its savepoint). Statements that are sent together (psql -c 'a; b') count as one.
CREATE FUNCTION @extschema@.webhook_routing_moved(verb text, newest text) RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT current_setting('webhook_routing.moved', true) IS NOT DISTINCT FROM
		   format('%s %s at %s', verb, newest, extract(epoch FROM statement_timestamp()))
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_moved(text, text) IS
	'Internal: whether this statement has made its move already';

CREATE FUNCTION @extschema@.webhook_routing_note_move(verb text, newest text) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT set_config('webhook_routing.moved',
					  format('%s %s at %s', verb, newest, extract(epoch FROM statement_timestamp())), true)
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_note_move(text, text) IS
	'Internal: note that this statement has made its move';

CREATE FUNCTION @extschema@.rollout_evaluate(verdict text, notes text DEFAULT NULL)
RETURNS @extschema@.webhook_routing_evaluations
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	judged bigint;
	result record;
	closed text;
BEGIN
	IF rollout_evaluate.verdict IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'the verdict must not be NULL',
			HINT = 'It is proceed, hold or rollback: SELECT rollout_evaluate(''proceed'', ''why'');';
	END IF;
	PERFORM @extschema@.webhook_routing_demand_present();
	judged := @extschema@.webhook_routing_lock_rollout();
	SELECT * INTO result FROM @extschema@.webhook_routing_evaluations e ORDER BY e.created_at DESC LIMIT 1;
	IF FOUND AND result.verdict = rollout_evaluate.verdict
	   AND result.notes IS NOT DISTINCT FROM rollout_evaluate.notes
	   AND @extschema@.webhook_routing_moved('evaluate'::text, result.id::text) THEN
		RETURN result;
	END IF;
	PERFORM @extschema@.webhook_routing_demand_unmoved(judged);
	INSERT INTO @extschema@.webhook_routing_evaluations (verdict, notes)
	VALUES (rollout_evaluate.verdict, rollout_evaluate.notes) RETURNING * INTO result;
	PERFORM @extschema@.webhook_routing_note_move('evaluate'::text, result.id::text);

	SELECT string_agg(format('%s (%s)', g.gate, g.state), ', ' ORDER BY g.place) INTO closed
	  FROM @extschema@.webhook_routing_gates() g WHERE NOT g.is_open AND g.gate <> 'evaluation';
	RAISE NOTICE 'Recorded "%" at % %%, health %. %', result.verdict, result.percentage,
		replace(result.severity, '_', ' '),
		CASE WHEN result.verdict = 'rollback'
			 THEN 'Nothing has been moved; do so: SELECT rollout_back(''why'');'
			 WHEN result.verdict = 'hold'
			 THEN 'Nothing advances until somebody says: SELECT rollout_evaluate(''proceed'', ''why'');'
			 WHEN closed IS NULL THEN 'Next: SELECT rollout_advance(''why'');'
			 ELSE format('Still closed: %s.', closed) END;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.rollout_evaluate(text, text) IS
	'Record a verdict on this step: proceed, hold or rollback; the newest one counts, and nothing is moved';

CREATE FUNCTION @extschema@.rollout_advance(notes text DEFAULT NULL, force boolean DEFAULT false)
RETURNS @extschema@.webhook_routing_config
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	forced CONSTANT boolean := coalesce(force, false);
	judged bigint;
	former record;
	step   record;
	gate   record;
	shut   record;
	refuse boolean := false;
	closed text;
	result record;
BEGIN
	IF forced AND coalesce(notes, '') !~ '\S' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a forced advance needs a reason',
			HINT = 'SELECT rollout_advance(''why'', force => true);';
	END IF;
	PERFORM @extschema@.webhook_routing_demand_present();
	judged := @extschema@.webhook_routing_lock_rollout();
	former := @extschema@.get_current_routing_config();
	IF @extschema@.webhook_routing_moved('advance'::text, former.version::text) THEN
		RETURN former;
	END IF;

	FOR gate IN
		SELECT * FROM @extschema@.webhook_routing_gates() g WHERE NOT g.is_open ORDER BY g.place
	LOOP
		closed := concat_ws(', ', closed, format('%s (%s)', gate.gate, gate.state));
		IF NOT refuse AND NOT (forced AND gate.can_force) THEN
			shut := gate;
			refuse := true;
		END IF;
	END LOOP;
	IF refuse THEN
		RAISE EXCEPTION USING ERRCODE = shut.code, MESSAGE = shut.message,
			DETAIL = format('Closed: %s.%s', closed, E'\n' || shut.detail), HINT = shut.remedy;
	END IF;
	PERFORM @extschema@.webhook_routing_demand_unmoved(judged);
	step := @extschema@.webhook_routing_rollout_step();
	result := @extschema@.webhook_routing_append(
		jsonb_build_object('percentage', step.next), notes, 'forced past ' || closed);
	PERFORM @extschema@.webhook_routing_note_move('advance'::text, result.version::text);

	step := @extschema@.webhook_routing_rollout_step();
	RAISE NOTICE 'Rollout % to % %% (was %), step % of %, %. Soak % from now; look every 15 minutes: SELECT * FROM rollout_status();',
		CASE WHEN closed IS NULL THEN 'advanced' ELSE format('FORCED past %s,', closed) END,
		result.percentage, former.percentage, step.step, step.steps,
		@extschema@.webhook_routing_state(result.enabled, result.domains),
		@extschema@.webhook_routing_duration(step.soak);
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.rollout_advance(text, boolean) IS
	'Go to the next step of the plan; refused while a gate is closed, unless forced with a reason. A warning '
	'passes on a proceed with which the health that warned the same of that domain was recorded';

CREATE FUNCTION @extschema@.rollout_back(notes text DEFAULT NULL)
RETURNS @extschema@.webhook_routing_config
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	former record;
	target numeric;
	result record;
BEGIN
	PERFORM @extschema@.webhook_routing_lock_rollout();
	former := @extschema@.get_current_routing_config();
	IF @extschema@.webhook_routing_moved('back'::text, former.version::text) THEN
		RETURN former;
	END IF;
	SELECT coalesce(max(p.percentage), 0) INTO target
	  FROM @extschema@.webhook_routing_plan p WHERE p.enabled AND p.percentage < former.percentage;
	result := @extschema@.webhook_routing_append(
		jsonb_build_object('percentage', target), notes, NULL::text);
	PERFORM @extschema@.webhook_routing_note_move('back'::text, result.version::text);
	RAISE NOTICE 'Rollout back to % %% (was %), %. %', result.percentage, former.percentage,
		@extschema@.webhook_routing_state(result.enabled, result.domains),
		CASE WHEN result.percentage > 0 AND result.enabled
			 THEN 'Everything back at once: SELECT set_routing_enabled(false, ''why'');'
			 WHEN EXISTS (SELECT FROM @extschema@.webhook_routing_domains d
							JOIN @extschema@.webhook_routing_targets t ON t.name = d.legacy_target
						   WHERE d.enabled AND t.retired AND NOT d.protected)
			 THEN 'Everything is on legacy, but for what has none any more.'
			 ELSE 'Everything is on legacy.' END;
	PERFORM @extschema@.webhook_routing_warn_of_retired(result.unified_webhook);
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.rollout_back(text) IS
	'Go to the step before, at the lowest 0 %: never gated, one step for one statement';
