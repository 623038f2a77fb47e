-- The configuration: what each change appends, what is refused, and that nothing refused leaves a
-- trace.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
RESET client_min_messages;
\set SHOW_CONTEXT never

-- The row that every installation starts with.
SELECT * FROM webhook_routing_config \gx
SELECT column_name, data_type FROM information_schema.columns
 WHERE table_name = 'webhook_routing_config' ORDER BY ordinal_position LIMIT 8;

-- Each verb appends one row and says what it did.
SELECT version, percentage, enabled, notes, change, updated_at = created_at AS untouched,
	   created_by = session_user AS by_me
  FROM update_routing_percentage(25, 'second step');
SELECT version, percentage, enabled, change FROM set_routing_enabled(true, 'go');
SELECT version, domains, change FROM set_routing_domains('{property,jobs,jobs}', 'marketplace waits');
SELECT version, min_requests, warning_p95_ms, change
  FROM update_routing_settings('{"min_requests": 100, "warning_p95_ms": 1500}');
SELECT version, change FROM update_routing_percentage(12.34);
SELECT version, percentage, enabled, domains, min_requests FROM get_current_routing_config();
SELECT version, percentage FROM webhook_routing_config ORDER BY created_at DESC LIMIT 1;

-- The same again is recorded as well, since somebody may ask who pressed when.
SELECT version, change FROM set_routing_enabled(true, 'just to be sure');
-- But one statement that calls a function once per column makes one change.
SELECT (set_routing_enabled(false, 'expanded')).version;
SELECT version, change FROM (SELECT (set_routing_enabled(true, 'expanded')).*) AS expanded;
SELECT count(*), max(version) FROM webhook_routing_config;

-- By hand: a column that is left out keeps its value.
INSERT INTO webhook_routing_config (percentage, notes, created_by, change)
VALUES (50, 'by hand', 'somebody else', 'nothing to see here')
RETURNING version, percentage, enabled, domains, created_by = session_user AS by_me, change;
INSERT INTO webhook_routing_config (percentage, enabled) VALUES (51, false), (52, true)
RETURNING version, percentage, enabled, change;
-- A row may bring its own number and date when it is the next one.
INSERT INTO webhook_routing_config (percentage, version, created_at)
SELECT 53, version + 1, clock_timestamp() FROM get_current_routing_config()
RETURNING version = (SELECT max(version) + 1 FROM webhook_routing_config) AS next;

-- Two changes in one transaction, where now() stands still, are still in order.
BEGIN;
SELECT version FROM update_routing_percentage(54);
SELECT version FROM update_routing_percentage(55);
COMMIT;
SELECT bool_and(created_at > previous) AS ordered
  FROM (SELECT created_at, lag(created_at) OVER (ORDER BY version) AS previous
		  FROM webhook_routing_config) AS pairs;
-- Under another role, both are named.
CREATE ROLE regress_routing_role;
GRANT EXECUTE ON FUNCTION update_routing_percentage(numeric, text) TO regress_routing_role;
SET ROLE regress_routing_role;
SELECT created_by = session_user || ' as regress_routing_role' AS both
  FROM update_routing_percentage(56);
RESET ROLE;

-- The past can be asked for.
SELECT version FROM routing_config_as_of('2001-01-01');
SELECT version FROM routing_config_as_of('1999-12-31');
SELECT (routing_config_as_of(created_at)).version = version AS same
  FROM webhook_routing_config GROUP BY 1;

-- From here on nothing may be added.
SELECT max(version) AS newest FROM webhook_routing_config \gset
SELECT update_routing_percentage(NULL);
SELECT update_routing_percentage('NaN');
SELECT update_routing_percentage('Infinity');
SELECT update_routing_percentage(-1);
SELECT update_routing_percentage(-0.001);
SELECT update_routing_percentage(100.01);
SELECT update_routing_percentage(99.996);
SELECT update_routing_percentage(33.333);
SELECT set_routing_enabled(NULL);
SELECT set_routing_domains(NULL);
SELECT set_routing_domains('{jobs,NULL}');
SELECT set_routing_domains('{""}');
SELECT set_routing_domains('{{jobs},{property}}');
SELECT set_routing_domains('{jobs,mobility,profile}');
INSERT INTO webhook_routing_config (percentage, domains) VALUES (10, '{insurance}');
INSERT INTO webhook_routing_config (percentage, domains, version, created_at)
SELECT 10, '{insurance}', version + 1, clock_timestamp() FROM get_current_routing_config();
SELECT update_routing_settings(NULL);
SELECT update_routing_settings('[]');
SELECT update_routing_settings('{}');
SELECT update_routing_settings('{"percentage": 100}');
SELECT update_routing_settings('{"min_requests": null}');
SELECT update_routing_settings('{"min_requests": "many"}');
SELECT update_routing_settings('{"min_requests": 0}');
SELECT update_routing_settings('{"warning_error_rate_pct": 0.9}');
SELECT update_routing_settings('{"warning_error_rate_pct": "NaN"}');
SELECT update_routing_settings('{"warning_p95_ms": 3001}');
SELECT update_routing_settings('{"log_retention": "1 hour"}');
SELECT update_routing_settings('{"log_retention": "soon"}');
SELECT update_routing_settings('{"log_retention": "1 month -29 days"}');
SELECT update_routing_settings('{"log_retention": "3 days -1 hour"}');
SELECT update_routing_settings('{"log_retention": "101 years"}');
SELECT update_routing_settings('{"hash_salt": 1e30}');
SELECT update_routing_settings('{"hash_salt": "abc"}');
SELECT update_routing_settings('{"automatic_rollback": "perhaps", "min_requests": 10}');
-- The one that is to blame is named, though others come along.
SELECT update_routing_settings('{"critical_p95_ms": 1000, "min_requests": 10}');
SELECT update_routing_settings('{"unified_webhook": "wa-webhook-jobs"}');
SELECT update_routing_settings('{"unified_webhook": "wa-webhook-mobility"}');
SELECT update_routing_settings('{"unified_webhook": "nowhere"}');
SELECT update_routing_settings('{"default_webhook": "wa-webhook-unified"}');
INSERT INTO webhook_routing_config (percentage) VALUES (100.01);
INSERT INTO webhook_routing_config (percentage) VALUES ('NaN');
INSERT INTO webhook_routing_config (percentage) VALUES (NULL);
INSERT INTO webhook_routing_config (enabled) VALUES (false);
\set VERBOSITY sqlstate
INSERT INTO webhook_routing_config (percentage, created_at) VALUES (10, '2020-01-01');
INSERT INTO webhook_routing_config (percentage, created_at) VALUES (10, clock_timestamp() + interval '1 day');
INSERT INTO webhook_routing_config (percentage, version) VALUES (10, 3);
INSERT INTO webhook_routing_config (percentage, version) VALUES (10, 1000);
INSERT INTO webhook_routing_config SELECT * FROM webhook_routing_config WHERE version = 1;
\set VERBOSITY default
UPDATE webhook_routing_config SET enabled = true;
UPDATE webhook_routing_config SET enabled = true WHERE false;
DELETE FROM webhook_routing_config;
TRUNCATE webhook_routing_config;
SELECT max(version) = :newest AS unchanged, count(*) = max(version) AS complete
  FROM webhook_routing_config;

-- Enrolling what no rule knows is allowed and said; so is another salt.
SELECT version - :newest AS plus FROM set_routing_domains('{jobs,travel}');
SELECT version - :newest AS plus FROM update_routing_settings('{"hash_salt": 1}');
SELECT hash_senders FROM update_routing_settings('{"hash_senders": true}');
SELECT hash_senders FROM update_routing_settings('{"hash_senders": false}');

-- A function or an operator of the same name that somebody else made changes nothing.
CREATE SCHEMA regress_routing_trap;
CREATE FUNCTION regress_routing_trap.format(text, VARIADIC "any") RETURNS text
	LANGUAGE internal AS 'text_format';
CREATE FUNCTION regress_routing_trap.get_current_routing_config() RETURNS integer
	LANGUAGE sql AS 'SELECT 1 / 0';
CREATE FUNCTION regress_routing_trap.always(numeric, numeric) RETURNS boolean
	LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR regress_routing_trap.<> (LEFTARG = numeric, RIGHTARG = numeric,
	FUNCTION = regress_routing_trap.always);
CREATE TEMP TABLE webhook_routing_config AS SELECT 1 AS nothing;
CREATE TEMP TABLE pg_locks AS SELECT 1 AS nothing;
SET search_path = regress_routing_trap, public, pg_catalog;
SELECT version - :newest AS plus FROM update_routing_percentage(57);
RESET search_path;
DROP TABLE pg_temp.webhook_routing_config, pg_temp.pg_locks;

-- PUBLIC may call none of it.
SET client_min_messages = error;
CREATE ROLE regress_routing_nobody;
SET ROLE regress_routing_nobody;
SELECT update_routing_percentage(100);
SELECT set_routing_enabled(false);
SELECT * FROM webhook_routing_config;
INSERT INTO webhook_routing_config (percentage) VALUES (100);
RESET ROLE;
DROP SCHEMA regress_routing_trap CASCADE;
DROP OWNED BY regress_routing_role, regress_routing_nobody;
DROP ROLE regress_routing_role, regress_routing_nobody;

-- Every object says what it is; that a column is NOT NULL, which 18 counts as a constraint, says itself.
SELECT pg_describe_object(classid, objid, 0) AS without_comment
  FROM pg_depend d
 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'webhook_routing')
   AND classid IN ('pg_class'::regclass, 'pg_proc'::regclass)
   AND obj_description(objid, classid::regclass::name) IS NULL
 ORDER BY 1;
SELECT pg_describe_object(classoid, objoid, 0) AS without_comment
  FROM (SELECT 'pg_trigger'::regclass AS classoid, oid AS objoid, tgrelid AS relation FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid FROM pg_constraint WHERE contype <> 'n'
		UNION ALL SELECT 'pg_class'::regclass, indexrelid, indrelid FROM pg_index) AS parts
 WHERE relation IN ('webhook_routing_config'::regclass, 'webhook_routing_targets'::regclass,
					'webhook_routing_domains'::regclass, 'webhook_routing_keywords'::regclass,
					'webhook_routing_plan'::regclass, 'webhook_routing_evaluations'::regclass)
   AND obj_description(objoid, classoid::regclass::name) IS NULL
 ORDER BY 1;
-- Every function pins its search_path, or is in C, or runs only where it is empty.
SELECT p.oid::regprocedure AS not_pinned
  FROM pg_proc p
  JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'webhook_routing'
  JOIN pg_language l ON l.oid = p.prolang
 WHERE l.lanname IN ('sql', 'plpgsql')
   AND NOT coalesce(p.proconfig::text LIKE '%search_path=pg_catalog%', false)
 ORDER BY 1;

-- Nothing of ours is taken over.
SET client_min_messages = warning;
DROP EXTENSION webhook_routing;
CREATE TABLE webhook_routing_config (mine integer);
CREATE EXTENSION webhook_routing;
DROP TABLE webhook_routing_config;
CREATE FUNCTION get_current_routing_config() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE EXTENSION webhook_routing;
DROP FUNCTION get_current_routing_config();
-- What lies in the schema beforehand, and fits better than the system's own, is not called.
CREATE SCHEMA regress_routing_trap;
CREATE FUNCTION regress_routing_trap.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT (1 / 0)::text';
CREATE FUNCTION regress_routing_trap.sprung(numeric, integer) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 > 0';
CREATE OPERATOR regress_routing_trap.>= (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = regress_routing_trap.sprung);
CREATE EXTENSION webhook_routing SCHEMA regress_routing_trap;
SET search_path = regress_routing_trap, public;
SELECT version FROM update_routing_percentage(5);
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', 'akazi');
SELECT count(*) FROM route_decide('{}'::text);
SELECT count(*) > 0 AS found FROM validate_routing_config();
RESET search_path;
DROP EXTENSION webhook_routing;
DROP SCHEMA regress_routing_trap CASCADE;
-- Any schema will do, also one whose name needs quotes.
CREATE SCHEMA "Regress Routing";
CREATE EXTENSION webhook_routing SCHEMA "Regress Routing";
SELECT version FROM "Regress Routing".set_routing_domains('{jobs}');
SELECT reason FROM "Regress Routing".route_decide('{}'::text);
DROP EXTENSION webhook_routing;
DROP SCHEMA "Regress Routing";
CREATE EXTENSION webhook_routing;
