-- The one transaction of apply-migration.sh --from-tables: what another router has made under the names of
-- the extension goes into a schema of its own, the extension takes its place, with the configuration as its
-- history. Whoever asks for a table of that name meanwhile waits for the end, at most as long as this takes.
-- Variables: schema, old, keep (an interval, or empty), routers (a list of roles), days (an array of dates, the
-- days that the former log has rows of: to find them takes too long here).
\set QUIET on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
SET lock_timeout = '5s';
SELECT set_config('migration.schema', :'schema', false), set_config('migration.old', :'old', false),
       set_config('migration.routers', :'routers', false) \g /dev/null
CREATE SCHEMA :"old";
-- First of all, so that nobody writes between what is read and what is moved.
LOCK TABLE :"schema".webhook_routing_config, :"schema".webhook_routing_logs IN ACCESS EXCLUSIVE MODE;

-- Relations by their prefix, with what belongs to them (indexes, policies, triggers, sequences); functions by
-- the names of the runbooks, and by the prefix.
DO $do$
DECLARE
	home CONSTANT oid := quote_ident(current_setting('migration.schema'))::regnamespace;
	it   record;
BEGIN
	FOR it IN
		SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
		                      WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS kind,
		       c.oid::regclass::text AS name, c.relname::text AS plain
		  FROM pg_class c
		 WHERE c.relnamespace = home AND c.relname ~ '^webhook_routing_' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
		   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
		                      AND (d.deptype IN ('i', 'e') OR d.deptype = 'a' AND c.relkind = 'S'))
		UNION ALL
		SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END,
		       p.oid::regprocedure::text, p.proname::text
		  FROM pg_proc p
		 WHERE p.pronamespace = home
		   AND (p.proname ~ '^webhook_routing_' OR p.proname IN ('update_routing_percentage', 'set_routing_enabled',
		        'get_current_routing_config', 'check_routing_health'))
		   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
		 ORDER BY 1 DESC, 3
	LOOP
		EXECUTE format('ALTER %s %s SET SCHEMA %I', it.kind, it.name, current_setting('migration.old'));
	END LOOP;
END $do$;
SELECT 'moved        ' || kind || ' into ' || :'old' || ': ' || string_agg(name, ', ' ORDER BY name)
  FROM (SELECT CASE WHEN c.relkind IN ('v', 'm') THEN 'views' ELSE 'tables' END, c.relname::text FROM pg_class c
         WHERE c.relnamespace = quote_ident(:'old')::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
         UNION ALL
        SELECT 'functions', p.proname::text FROM pg_proc p WHERE p.pronamespace = quote_ident(:'old')::regnamespace) m (kind, name)
 GROUP BY kind ORDER BY kind DESC;

CREATE EXTENSION webhook_routing SCHEMA :"schema";
SELECT set_config('search_path', quote_ident(:'schema'), false) \g /dev/null
SELECT rpad(outcome, 12) || ' ' || row_count || ' config rows: ' || detail
  FROM import_routing_config((quote_ident(:'old') || '.webhook_routing_config')::regclass);
SELECT :'keep' <> '' AS keeps \gset
\if :keeps
SELECT 'kept         the log for ' || log_retention
  FROM update_routing_settings(json_build_object('log_retention', :'keep')::jsonb, 'as long as the former log');
\endif

-- So that none of the former log's rows waits in the DEFAULT partition.
SELECT count(webhook_routing_switch_days(:'days', '{}')) \g /dev/null
SELECT count(*) FROM routing_maintain() \g /dev/null

-- The router that is replaced goes on until Meta's callback is switched.
DO $do$
DECLARE
	router text;
BEGIN
	FOREACH router IN ARRAY string_to_array(current_setting('migration.routers'), ',') LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_setting('migration.schema'), router);
		EXECUTE format('GRANT SELECT ON webhook_routing_config TO %I', router);
		EXECUTE format('GRANT INSERT ON webhook_routing_logs TO %I', router);
		EXECUTE format('GRANT SELECT (id) ON webhook_routing_logs TO %I', router);
		EXECUTE format('GRANT EXECUTE ON FUNCTION get_current_routing_config() TO %I', router);
	END LOOP;
END $do$;
