-- What another router has left in tables of its own: its configuration as history, its log as log. Both are
-- called once, by the owner, beside a CREATE EXTENSION (scripts/apply-migration.sh --from-tables does it);
-- the source is only read. They need no more of it than the columns that the runbooks name, in any type that
-- can be read as ours, and what cannot be kept is counted with its reason, never changed in silence.
--
-- Such a router chose a side for each message by chance. Its rows have no bucket and no config version, so
-- that nobody decides them again (verify_routing_decisions(), check_sample_ratio()); statistics count them
-- like rows inserted by hand.

-- The columns that a source must have.
CREATE FUNCTION @extschema@.webhook_routing_check_source(source regclass, needed text[]) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	absent text;
BEGIN
	SELECT n.name INTO absent
	  FROM unnest(needed) n (name)
	 WHERE NOT EXISTS (SELECT FROM pg_attribute a
	                    WHERE a.attrelid = source AND a.attname = n.name AND a.attnum > 0 AND NOT a.attisdropped)
	 LIMIT 1;
	IF source IS NULL OR absent IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_column',
			MESSAGE = format('%s has no column "%s"', coalesce(source::text, 'NULL'), coalesce(absent, needed[1])),
			HINT = format('CREATE VIEW old_table AS SELECT ... AS %I, ... FROM %s; and import that view.',
						  coalesce(absent, needed[1]), coalesce(source::text, '...'));
	END IF;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_check_source(regclass, text[]) IS
	'Internal: raise unless a table has the columns that an import needs';

-- Why a config row of another router cannot be kept; NULL when it can.
CREATE FUNCTION @extschema@.webhook_routing_import_problem(old jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE
		WHEN old ->> 'created_at' IS NULL THEN 'created_at is NULL'
		WHEN NOT isfinite((old ->> 'created_at')::timestamptz)
		     OR (old ->> 'created_at')::timestamptz <= '2000-01-01 00:00+00' THEN 'created_at is not from this century'
		WHEN NOT coalesce(old ->> 'percentage' ~ '^[0-9]{1,3}(\.[0-9]{1,2}0*)?$', false)
		     OR (old ->> 'percentage')::numeric > 100 THEN
			format('percentage is %s, not 0 to 100 with two decimals', coalesce(old ->> 'percentage', 'NULL'))
		WHEN old ->> 'enabled' IS NULL THEN 'enabled is NULL'
		WHEN jsonb_typeof(old -> 'domains') IS DISTINCT FROM 'array' THEN 'domains is NULL'
		WHEN jsonb_path_exists(old -> 'domains', '$[*] ? (@.type() != "string" || @ == "")') THEN
			'domains has NULL, empty names or lists'
		END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_import_problem(jsonb) IS
	'Internal: why a config row of another router cannot be kept; NULL when it can';

-- The version that such a row becomes behind `former`: with its own date, moved where it is not after that
-- one's or not yet, its author, and its id where that is a UUID and free.
CREATE FUNCTION @extschema@.webhook_routing_import_version(
	former @extschema@.webhook_routing_config, old jsonb) RETURNS @extschema@.webhook_routing_config
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $function$
DECLARE
	result @extschema@.webhook_routing_config := former;
BEGIN
	result.version := former.version + 1;
	result.percentage := (old ->> 'percentage')::numeric;
	result.enabled := (old ->> 'enabled')::boolean;
	result.domains := ARRAY(SELECT d.name
	                          FROM jsonb_array_elements_text(old -> 'domains') WITH ORDINALITY AS d (name, place)
	                         GROUP BY d.name ORDER BY min(d.place));
	result.created_at := greatest(least((old ->> 'created_at')::timestamptz, clock_timestamp()),
	                              former.created_at + interval '1 microsecond');
	result.updated_at := result.created_at;
	result.created_by := coalesce(old ->> 'created_by', 'unknown');
	result.notes := old ->> 'notes';
	result.change := concat_ws('; ',
		@extschema@.webhook_routing_difference(to_jsonb(former), to_jsonb(result)), 'imported');
	result.id := gen_random_uuid();
	IF old ->> 'id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
	   AND NOT EXISTS (SELECT FROM @extschema@.webhook_routing_config c WHERE c.id::text = old ->> 'id') THEN
		result.id := old ->> 'id';
	END IF;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_import_version(@extschema@.webhook_routing_config, jsonb) IS
	'Internal: the version that a config row of another router becomes';

-- The rows go in as those of a dump do (12_config_rows.sql), complete, with their own date and author, in the
-- order of created_at, NULL last: such a row is what ORDER BY created_at DESC LIMIT 1 has found. What may not
-- be in force is put right by a row of its own at the end: a protected domain that was enrolled, or a newest
-- row that could not be kept, after which nothing may be routed.
CREATE FUNCTION @extschema@.import_routing_config(source regclass)
RETURNS TABLE (outcome text, row_count bigint, detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET timezone = 'UTC'
AS $function$
DECLARE
	problems  jsonb := '{}';
	problem   text;
	imported  bigint := 0;
	moved     bigint := 0;
	touched   bigint := 0;
	former    @extschema@.webhook_routing_config;
	result    @extschema@.webhook_routing_config;
	old       jsonb;
	offenders text[];
BEGIN
	PERFORM @extschema@.webhook_routing_check_source(source, '{percentage,enabled,domains,created_at}'::text[]);
	PERFORM @extschema@.webhook_routing_lock();
	SELECT * INTO STRICT former FROM @extschema@.webhook_routing_config ORDER BY version DESC LIMIT 1;
	IF former.version > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('the configuration has a history of its own (version %s)', former.version),
			DETAIL = 'Older rows can only come before it.',
			HINT = 'Import beside CREATE EXTENSION, before anything is changed: scripts/apply-migration.sh --from-tables';
	END IF;

	FOR old IN EXECUTE format('SELECT o.old FROM (SELECT to_jsonb(r) AS old FROM %s r) o'
	                          ' ORDER BY (o.old ->> ''created_at'')::timestamptz NULLS LAST,'
	                          ' o.old ->> ''updated_at'', o.old ->> ''id''', source)
	LOOP
		problem := @extschema@.webhook_routing_import_problem(old);
		IF problem IS NOT NULL THEN
			problems := problems || jsonb_build_object(problem, 1 + coalesce((problems ->> problem)::bigint, 0));
			CONTINUE;
		END IF;
		result := @extschema@.webhook_routing_import_version(former, old);
		moved := moved + (result.created_at <> (old ->> 'created_at')::timestamptz)::integer;
		touched := touched + coalesce((old ->> 'updated_at')::timestamptz > (old ->> 'created_at')::timestamptz,
		                              false)::integer;
		-- The mark of a row that is to be kept as it is. Everything here is qualified.
		PERFORM set_config('search_path', '', true);
		INSERT INTO @extschema@.webhook_routing_config SELECT (result).*;
		PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
		former := result;
		imported := imported + 1;
	END LOOP;

	RETURN QUERY SELECT 'imported', imported, format('as versions 2 to %s', former.version) WHERE imported > 0;
	RETURN QUERY SELECT 'changed', moved, 'created_at moved: not after the row before, or from the future'
	              WHERE moved > 0;
	RETURN QUERY SELECT 'noted', touched, 'edited after created_at; what they said before is not known'
	              WHERE touched > 0;
	RETURN QUERY SELECT 'not imported', p.value::bigint, p.key FROM jsonb_each_text(problems) p ORDER BY p.key;

	IF problem IS NOT NULL AND former.enabled THEN
		former := @extschema@.webhook_routing_append(jsonb_build_object('enabled', false),
			format('the newest row of %s could not be imported: %s', source, problem), NULL::text);
		RETURN QUERY SELECT 'switched off', 1::bigint, 'the newest row was not imported, so nothing is routed';
	END IF;
	offenders := ARRAY(SELECT u.d FROM unnest(former.domains) u (d)
	                    WHERE EXISTS (SELECT FROM @extschema@.webhook_routing_domains p
	                                   WHERE p.protected AND p.domain = u.d));
	IF offenders <> '{}' THEN
		former := @extschema@.webhook_routing_append(jsonb_build_object('domains',
			ARRAY(SELECT u.d FROM unnest(former.domains) WITH ORDINALITY u (d, place)
			       WHERE u.d <> ALL (offenders) ORDER BY u.place)),
			'protected domains cannot be enrolled', NULL::text);
		RETURN QUERY SELECT 'withdrawn', cardinality(offenders)::bigint,
			format('protected domains that were enrolled: %s', array_to_string(offenders, ', '));
	END IF;
	RETURN QUERY SELECT 'in force', 1::bigint, format('%s %%, %s', former.percentage,
		@extschema@.webhook_routing_state(former.enabled, former.domains));
END
$function$;
COMMENT ON FUNCTION @extschema@.import_routing_config(regclass) IS
	'Take over the configuration of another router as history, into a fresh installation; its newest row is in '
	'force then. Says what became of the rows';

-- One statement, so that the rollups are written once for a batch; a row that is there already is passed over
-- and not counted again, so that an import that was cut off is called again. Rows without a UUID get one that
-- is always the same.
CREATE FUNCTION @extschema@.import_routing_logs(
	source regclass, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (outcome text, row_count bigint, detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET timezone = 'UTC'
AS $function$
DECLARE
	oldest    timestamptz;
	retention interval;
BEGIN
	PERFORM @extschema@.webhook_routing_check_source(source, '{webhook_name,routed_to,status,created_at}'::text[]);
	SELECT c.log_retention INTO STRICT retention
	  FROM @extschema@.webhook_routing_config c ORDER BY c.version DESC LIMIT 1;
	oldest := (now()::timestamp - retention)::date::timestamptz;
	RETURN QUERY EXECUTE format($query$
		WITH old AS (
			SELECT to_jsonb(r) AS o, r.created_at::timestamptz AS at
			  FROM %1$s r
			 WHERE r.created_at >= $1 AND r.created_at < $2
			    OR ($1 = '-infinity' AND r.created_at IS NULL) OR ($2 = 'infinity' AND r.created_at = 'infinity')
		), marked AS (
			SELECT o.*, coalesce(o.o ->> 'id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', false) AS has_id FROM old o
		), read AS (
			SELECT o.at, o.o, o.has_id,
			       CASE WHEN o.has_id THEN o.o ->> 'id'
			            ELSE left(encode(sha256(convert_to(format('%%s %%s', o.o, row_number() OVER (
			                     PARTITION BY CASE WHEN NOT o.has_id THEN o.o END)), 'UTF8')), 'hex'), 32) END AS id,
			       o.o ->> 'response_time_ms' ~ '^[0-9]{1,14}(\.[0-9]+)?$' AS has_latency,
			       CASE WHEN o.at IS NULL OR NOT isfinite(o.at) THEN 'created_at is missing'
			            WHEN o.at < $3 THEN format('older than log_retention (%%s)', $4)
			            WHEN o.o ->> 'webhook_name' IS NULL THEN 'webhook_name is NULL'
			            WHEN coalesce(o.o ->> 'routed_to', '') NOT IN ('unified', 'legacy', 'error')
			            THEN 'routed_to is ' || coalesce(quote_literal(left(o.o ->> 'routed_to', 40)), 'NULL')
			            WHEN coalesce(o.o ->> 'status', '') NOT IN ('success', 'error')
			            THEN 'status is ' || coalesce(quote_literal(left(o.o ->> 'status', 40)), 'NULL') END AS problem
			  FROM marked o
		), stored AS (
			INSERT INTO @extschema@.webhook_routing_logs
				(id, webhook_name, domain, routed_to, from_number, message_id, response_time_ms, status,
				 error_message, created_at)
			SELECT r.id::uuid, r.o ->> 'webhook_name', coalesce(r.o ->> 'domain', 'unknown'), r.o ->> 'routed_to',
			       r.o ->> 'from_number', r.o ->> 'message_id',
			       CASE WHEN r.has_latency THEN (r.o ->> 'response_time_ms')::double precision END,
			       r.o ->> 'status', r.o ->> 'error_message', r.at
			  FROM read r
			 WHERE r.problem IS NULL
			ON CONFLICT DO NOTHING
			RETURNING 1
		), counted (outcome, row_count, detail) AS (
			SELECT 'imported', (SELECT count(*) FROM stored), 'into webhook_routing_logs'
			UNION ALL
			SELECT 'there already', count(*) FILTER (WHERE r.problem IS NULL) - (SELECT count(*) FROM stored),
			       'imported before, or twice in the source' FROM read r
			UNION ALL
			SELECT 'changed', count(*) FILTER (WHERE r.problem IS NULL AND r.o ->> 'domain' IS NULL),
			       'domain was NULL, is unknown' FROM read r
			UNION ALL
			SELECT 'changed', count(*) FILTER (WHERE r.problem IS NULL AND NOT r.has_latency
			                                   AND r.o ->> 'response_time_ms' IS NOT NULL),
			       'response_time_ms was negative or no number, is NULL' FROM read r
			UNION ALL
			SELECT 'changed', count(*) FILTER (WHERE r.problem IS NULL AND NOT r.has_id),
			       'id was no UUID, is one' FROM read r
			UNION ALL
			SELECT 'not imported', count(*), r.problem FROM read r WHERE r.problem IS NOT NULL GROUP BY r.problem
		)
		SELECT c.outcome, c.row_count, c.detail FROM counted c WHERE c.row_count > 0
	$query$, source) USING since, until, oldest, retention;
END
$function$;
COMMENT ON FUNCTION @extschema@.import_routing_logs(regclass, timestamptz, timestamptz) IS
	'Take over the log of another router, from since to before until, each row once however often it is called; '
	'says what became of the rows';
