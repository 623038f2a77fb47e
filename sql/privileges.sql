-- Nobody may do anything until a role is granted what its kind needs; then that and no more.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
DROP ROLE IF EXISTS regress_forwarder, regress_operator, regress_viewer, regress_stranger;
CREATE ROLE regress_stranger;
-- What default privileges may give away before the extension comes.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, regress_stranger;
ALTER DEFAULT PRIVILEGES GRANT ALL ON ROUTINES TO PUBLIC, regress_stranger;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO PUBLIC, regress_stranger;
CREATE EXTENSION webhook_routing;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC, regress_stranger;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON ROUTINES FROM regress_stranger;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM regress_stranger;
RESET client_min_messages;

-- Everything that belongs to the extension, with its rights and comment.
CREATE TEMP VIEW members AS
SELECT d.classid, d.objid, d.objsubid, pg_describe_object(d.classid, d.objid, 0) AS object
  FROM pg_depend d
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'webhook_routing');

-- Nothing is anybody's but the owner's: functions, aggregates, tables, views, types.
CREATE TEMP VIEW rights AS
SELECT m.object, a.grantee, a.privilege_type
  FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid,
       aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
 WHERE a.grantee <> p.proowner
UNION ALL
SELECT m.object, a.grantee, a.privilege_type
  FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid,
       aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
 WHERE a.grantee <> c.relowner
UNION ALL
SELECT m.object, a.grantee, a.privilege_type
  FROM members m JOIN pg_attribute c ON m.classid = 'pg_class'::regclass AND c.attrelid = m.objid,
       aclexplode(c.attacl) a
UNION ALL
SELECT format('type %s', t.oid::regtype), a.grantee, a.privilege_type
  FROM members m JOIN pg_type t ON (m.classid = 'pg_type'::regclass AND t.oid = m.objid)
                                OR (m.classid = 'pg_class'::regclass AND t.typrelid = m.objid),
       aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) a
 WHERE a.grantee <> t.typowner AND t.typelem = 0 AND t.typrelid = 0;
SELECT * FROM rights;
SELECT count(*) > 60 AS there_is_something_to_see FROM members;

-- Everything has a comment; what runs with the owner's rights, and all SQL and PL/pgSQL, looks names
-- up nowhere but in pg_catalog. (The two that restore rows fire only where the search_path is empty.)
SELECT object FROM members m
 WHERE obj_description(m.objid, m.classid::regclass::name) IS NULL
   AND m.object !~ '^(type webhook_routing_|type .*\[\]|index|sequence)';
SELECT c.oid::regclass AS relation, a.attname
  FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND col_description(c.oid, a.attnum) IS NULL
   AND a.attname NOT IN ('id', 'domain');
SELECT m.object
  FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
 WHERE p.proname !~ '_restored?$'
   AND (p.prosecdef OR p.prolang IN (SELECT oid FROM pg_language WHERE lanname IN ('sql', 'plpgsql')))
   AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);

-- Wrong kinds and roles.
SELECT * FROM grant_routing_role('boss', 'regress_stranger');
SELECT * FROM grant_routing_role(NULL, 'regress_stranger');
SELECT * FROM grant_routing_role('viewer', 'regress_nobody');
SELECT * FROM grant_routing_role('viewer', 'public');
SELECT * FROM grant_routing_role('viewer', NULL);

-- The three kinds.
CREATE ROLE regress_forwarder;
CREATE ROLE regress_operator;
CREATE ROLE regress_viewer;
SELECT * FROM grant_routing_role('forwarder', 'regress_forwarder');
SELECT * FROM grant_routing_role('operator', 'regress_operator');
SELECT * FROM grant_routing_role('viewer', 'regress_viewer');
-- Nobody else got anything, and nothing can be passed on.
SELECT DISTINCT grantee::regrole FROM rights ORDER BY 1;
-- Every function is somebody's, or internal.
SELECT m.object FROM members m
 WHERE m.classid = 'pg_proc'::regclass
   AND coalesce(obj_description(m.objid, 'pg_proc') !~ '^Internal', true)
   AND m.object NOT IN (SELECT object FROM rights) AND m.object !~ 'grant_routing_role|import_routing_';

-- What each role may do, tried.
CREATE FUNCTION may(role name, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
BEGIN
	BEGIN
		EXECUTE format('SET LOCAL ROLE %I', role);
		EXECUTE command;
		RAISE SQLSTATE 'XDONE';
	EXCEPTION WHEN SQLSTATE 'XDONE' THEN
		message := 'yes';
	WHEN insufficient_privilege THEN
		message := '-';
	WHEN OTHERS THEN
		message := SQLSTATE || ' ' || SQLERRM;
	END;
	RETURN message;
END
$$;
SET client_min_messages = warning;
SELECT count(*) > 0 AS partitions FROM routing_maintain();
SELECT command, may('regress_stranger', command) AS stranger, may('regress_forwarder', command) AS forwarder,
       may('regress_viewer', command) AS viewer, may('regress_operator', command) AS operator
  FROM unnest(ARRAY[
	'SELECT * FROM route_decide(''{}''::bytea)',
	'SELECT * FROM route_decide(''{}''::text)',
	'SELECT * FROM route_decide(''{}''::json)',
	'SELECT * FROM route_decide(''{}''::jsonb)',
	'SELECT * FROM route_decide_items(''{}''::bytea)',
	'SELECT * FROM route_explain(''{}''::bytea)',
	'SELECT * FROM routing_ruleset()',
	'SELECT routing_bucket(''250788000001'')',
	'SELECT count(*) FROM store_routing_logs(''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'')',
	'SELECT count(*) FROM store_routing_pending(''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'')',
	'SELECT count(*) FROM routing_maintain()',
	'SELECT * FROM webhook_routing_stats',
	'SELECT * FROM check_routing_health()',
	'SELECT * FROM check_routing_guard()',
	'SELECT * FROM routing_guard()',
	'SELECT * FROM routing_error_bounds(1, 10)',
	'SELECT routing_requests_needed(0, 0, 0.5)',
	'SELECT routing_chi_square_p(1, 1)',
	'SELECT * FROM webhook_routing_failed_messages',
	'SELECT latency_sketch_quantile(latency_sketch_agg(latency), 0.5) FROM webhook_routing_rollups',
	'SELECT * FROM get_current_routing_config()',
	'SELECT * FROM routing_config_as_of(now())',
	'SELECT * FROM validate_routing_config()',
	'SELECT * FROM webhook_routing_config ORDER BY created_at DESC LIMIT 1',
	'SELECT * FROM webhook_routing_keywords',
	'SELECT id, domain, routed_to, status, reason FROM webhook_routing_logs',
	'SELECT from_number FROM webhook_routing_logs',
	'SELECT message_id FROM webhook_routing_logs',
	'SELECT error_message FROM webhook_routing_logs',
	'SELECT * FROM webhook_routing_logs',
	'SELECT * FROM webhook_routing_logs_default',
	'SELECT id FROM webhook_routing_pending',
	'DELETE FROM webhook_routing_pending',
	'SELECT webhook_routing_settle_pending()',
	'SELECT erase_sender(''250788000001'')',
	'SELECT routing_sender_hash(''250788000001'')',
	'SELECT update_routing_percentage(10, ''why'')',
	'SELECT set_routing_enabled(false)',
	'SELECT set_routing_domains(''{jobs}'')',
	'SELECT update_routing_settings(''{"min_requests": 60}'')',
	'SELECT * FROM rollout_status()',
	'SELECT * FROM webhook_routing_history',
	'SELECT rollout_evaluate(''hold'', ''why'')',
	'SELECT rollout_advance(''why'', true)',
	'SELECT rollout_back(''why'')',
	'UPDATE webhook_routing_plan SET soak = ''1 hour'' WHERE percentage = 10',
	'INSERT INTO webhook_routing_evaluations (verdict) VALUES (''proceed'')',
	'DELETE FROM webhook_routing_evaluations',
	'INSERT INTO webhook_routing_keywords (domain, kind, pattern, match) VALUES (''jobs'', ''keyword'', ''akazi'', ''word'')',
	'UPDATE webhook_routing_domains SET priority = 11 WHERE domain = ''jobs''',
	'INSERT INTO webhook_routing_config (percentage) VALUES (50)',
	'DELETE FROM webhook_routing_config',
	'INSERT INTO webhook_routing_logs (webhook_name, routed_to, status) VALUES (''w'', ''legacy'', ''success'')',
	'UPDATE webhook_routing_logs SET status = ''success''',
	'DELETE FROM webhook_routing_logs',
	'UPDATE webhook_routing_rollups SET errors = 0',
	'TABLE webhook_routing_secrets',
	'SELECT webhook_routing_append(''{}'', ''x'')',
	'SELECT webhook_routing_switch_days(''{}'', ''{}'')',
	'SELECT * FROM grant_routing_role(''operator'', ''regress_stranger'')'
	]) AS command;

-- No phone number, however it is written, in anything that a viewer can read or call, while there is one in
-- every text that a log row has of its sender, and in a conversation.
SELECT count(*) FROM update_routing_settings('{"conversation_timeout": "1 hour", "automatic_rollback": true}');
SELECT count(*) FROM set_routing_enabled(true);
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, from_number, message_id, status, error_message, reason,
	bucket, percentage, config_version, decision_id)
SELECT 'wa-webhook-unified', 'jobs', 'unified', '250788777666', 'wamid.250788777666.' || n, 'error', said, 'in_percentage',
	   9000, 50, version, gen_random_uuid()
  FROM get_current_routing_config(), generate_series(1, 5) n,
	   unnest(ARRAY['cannot tell 250788777666', 'tel:+250-788-777-666', '(250) 788 777 666', '+٢٥٠٧٨٨٧٧٧٦٦٦',
					'n:２５０７８８７７７６６６', '²⁵⁰⁷⁸⁸⁷⁷⁷⁶⁶⁶', 'wamid.HBgMMjUwNzg4 hmac:abcdef', 'délai dépassé']) said;
SELECT count(*) > 0 AS critical FROM routing_guard() WHERE action = 'rolled back';
SELECT verdict FROM rollout_evaluate('hold', 'look at it');
CREATE FUNCTION found(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM (%s) q WHERE q::text ~ %L', query, '788.?777|٧٨٨|７８８|⁷⁸⁸|MjUwNzg4|hmac:') INTO n;
	RETURN n;
END $$;
SET ROLE regress_viewer;
CREATE TEMP TABLE readable AS
SELECT format('SELECT %s FROM %s', string_agg(quote_ident(a.attname), ', '), c.oid::regclass) AS query
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p', 'v') AND c.relname ~ '^webhook_routing' AND c.relnamespace = 'public'::regnamespace
   AND has_column_privilege(c.oid, a.attnum, 'SELECT')
 GROUP BY c.oid
UNION ALL
SELECT 'SELECT * FROM ' || call
  FROM unnest(ARRAY['rollout_status()', 'check_routing_health()', 'check_routing_guard()', 'check_sample_ratio()',
					'verify_routing_decisions()', 'cutover_readiness()', 'simulate_routing(10)',
					'simulate_routing_decisions(10)', 'validate_routing_config()']) call;
SELECT count(*) > 18 AS much, bool_or(query ~ 'from_number|message_id|conversations$|pending$') AS of_senders FROM readable;
SELECT query, found(query) FROM readable WHERE found(query) > 0;
SELECT errors, message FROM webhook_routing_errors ORDER BY errors, message;
RESET ROLE;
-- That way it would be found.
SELECT found('TABLE webhook_routing_logs') > 0 AS log, found('TABLE webhook_routing_conversations') > 0 AS conversations;
DROP FUNCTION found(text);
DROP TABLE readable;
TRUNCATE webhook_routing_logs, webhook_routing_rollups, webhook_routing_conversations;

-- What the forwarder stores is counted although it may not touch the rollups, and its hashed senders
-- need no right on the key.
SELECT count(*) FROM update_routing_settings('{"hash_senders": true}');
RESET client_min_messages;
SET ROLE regress_forwarder;
SELECT store_routing_logs(ARRAY[gen_random_uuid()], ARRAY[now()], '{NULL}', '{1}', '{0}', '{w}', '{jobs}', '{legacy}',
	'{NULL}', '{1}', '{NULL}', '{NULL}', '{250788000001}', '{NULL}', '{NULL}', '{NULL}', '{200}', '{12}',
	'{success}', '{NULL}', '{false}') AS stored;
SELECT count(*) >= 0 AS maintained FROM routing_maintain();
RESET ROLE;
SELECT l.from_number ~ '^hmac:' AS hashed, r.requests
  FROM webhook_routing_logs l, webhook_routing_rollups r;
-- Whoever inserts by hand needs INSERT on the log alone.
GRANT INSERT ON webhook_routing_logs TO regress_stranger;
SET ROLE regress_stranger;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, from_number)
VALUES ('w', 'property', 'legacy', 'success', '250788000001');
RESET ROLE;
SELECT count(*) AS rows, count(DISTINCT l.from_number) AS senders,
       (SELECT sum(requests) FROM webhook_routing_rollups) AS requests FROM webhook_routing_logs l;

-- An operator's edit is checked and recorded, whatever an expression in RETURNING does between the
-- triggers; and a setting of that name means nothing.
\set VERBOSITY terse
SET ROLE regress_operator;
UPDATE webhook_routing_domains SET legacy_target = 'wa-webhook-unified' WHERE domain = 'mobility'
RETURNING set_config('webhook_routing.rule_edit', '', true);
SET webhook_routing.rule_edit = '0';
SET search_path = '';
UPDATE public.webhook_routing_keywords SET enabled = false WHERE domain = 'mobility' AND pattern = 'book'
RETURNING pg_catalog.set_config('webhook_routing.rule_edit', '', true), pg_catalog.set_config('search_path', '', true);
RESET search_path;
RESET webhook_routing.rule_edit;
SELECT change FROM webhook_routing_config ORDER BY version DESC LIMIT 1;
SELECT webhook_routing_note_edit(1);
RESET ROLE;
\set VERBOSITY default

-- Shadows in pg_temp or in a schema before ours have no effect.
CREATE TEMP TABLE webhook_routing_config (LIKE webhook_routing_config);
CREATE TEMP TABLE webhook_routing_rollups (minute timestamptz);
CREATE SCHEMA regress_shadow;
CREATE FUNCTION regress_shadow.evil(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql
AS 'BEGIN RAISE EXCEPTION ''an operator was shadowed''; END';
CREATE OPERATOR regress_shadow.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = regress_shadow.evil);
CREATE OPERATOR regress_shadow.= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = regress_shadow.evil);
CREATE FUNCTION regress_shadow.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2000-01-01' $$;
SET search_path = regress_shadow, pg_temp, pg_catalog, public;
INSERT INTO public.webhook_routing_logs (webhook_name, domain, routed_to, status)
VALUES ('w', 'property', 'legacy', 'success');
SELECT count(*) >= 0 AS maintained FROM public.routing_maintain();
SELECT count(*) FROM public.check_routing_health();
SELECT domain, routed_to, request_count FROM public.webhook_routing_stats;
RESET search_path;

SET client_min_messages = warning;
DROP SCHEMA regress_shadow CASCADE;
DROP TABLE pg_temp.webhook_routing_config, pg_temp.webhook_routing_rollups;
DROP FUNCTION may(name, text);
DROP VIEW rights, members;
DROP EXTENSION webhook_routing CASCADE;
DROP OWNED BY regress_forwarder, regress_operator, regress_viewer, regress_stranger;
DROP ROLE regress_forwarder, regress_operator, regress_viewer, regress_stranger;
CREATE EXTENSION webhook_routing;
