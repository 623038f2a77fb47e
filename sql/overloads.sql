-- Whoever may create functions in the extension's schema cannot have one of his own run as its owner:
-- every call among our functions has exactly the types of the one that is meant.
SET client_min_messages = error;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE SCHEMA regress_routing;
CREATE EXTENSION webhook_routing SCHEMA regress_routing;
\set SHOW_CONTEXT never
CREATE ROLE regress_routing_planter;
CREATE ROLE regress_routing_operator;
GRANT USAGE, CREATE ON SCHEMA regress_routing TO regress_routing_planter;
SELECT count(*) > 0 AS granted FROM regress_routing.grant_routing_role('operator', 'regress_routing_operator');

-- One overload of each internal function for every way in which literals, NULLs and left-out arguments
-- could be read: all of one type, the first ones only, and any.
SET ROLE regress_routing_planter;
SET search_path = regress_routing, public;
DO $plant$
DECLARE
	member  record;
	planted text;
BEGIN
	FOR member IN
		SELECT p.oid, p.proname, p.pronargs, p.prorettype::regtype::text AS result,
			   string_to_array(oidvectortypes(p.proargtypes), ', ') AS types
		  FROM pg_proc p
		 WHERE p.pronamespace = 'regress_routing'::regnamespace AND p.prokind = 'f'
		   AND p.prorettype <> 'trigger'::regtype
		   AND (p.proname LIKE 'webhook\_routing\_%' OR p.proname IN ('get_current_routing_config'))
	LOOP
		FOR planted IN
			SELECT string_agg(type, ', ') FROM unnest('{text,integer,jsonb,name,varchar,anyelement}'::text[]) AS type,
				   generate_series(1, greatest(member.pronargs, 1)) GROUP BY type
			UNION SELECT array_to_string(member.types[1:n], ', ') FROM generate_series(1, member.pronargs - 1) n
			UNION SELECT array_to_string(member.types || 'text'::text, ', ')
			UNION SELECT 'VARIADIC text[]' UNION SELECT 'VARIADIC integer[]'
		LOOP
			BEGIN
				EXECUTE format('CREATE FUNCTION regress_routing.%I(%s) RETURNS %s LANGUAGE plpgsql AS '
							   '$$ BEGIN RAISE EXCEPTION ''planted %s(%s) runs''; END $$',
							   member.proname, planted, CASE WHEN member.proname LIKE '%append' THEN 'record' ELSE 'text' END,
							   member.proname, planted);
			EXCEPTION WHEN duplicate_function OR invalid_function_definition THEN
				NULL;
			END;
		END LOOP;
	END LOOP;
END
$plant$;
SELECT count(*) > 50 AS planted FROM pg_proc WHERE proowner = 'regress_routing_planter'::regrole;
SELECT proname, count(*) > 2 AS overloaded FROM pg_proc WHERE proowner = 'regress_routing_planter'::regrole
   AND proname ~ '_(append|lock|check_percentage|check_value|state|same_function)$' GROUP BY 1 ORDER BY 1;
RESET ROLE;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms)
SELECT 'w', 'jobs', side, 'error', 4000 FROM generate_series(1, 60) n, unnest('{unified,legacy}'::text[]) side;

SET ROLE regress_routing_operator;
SELECT version FROM update_routing_percentage(12.5, 'why');
SELECT version FROM update_routing_percentage(13);
SELECT version FROM set_routing_enabled(true);
SELECT version FROM set_routing_enabled(false, 'why');
SELECT version FROM set_routing_domains('{jobs}');
SELECT version FROM update_routing_settings('{"min_requests": 60}');
INSERT INTO webhook_routing_targets (name, url) VALUES ('travel', 'https://functions.example.org/travel');
INSERT INTO webhook_routing_domains (domain, legacy_target, percentage) VALUES ('travel', 'travel', 5);
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('travel', 'visa');
UPDATE webhook_routing_targets SET timeout_ms = 500 WHERE name = 'travel';
UPDATE webhook_routing_domains SET priority = 1 WHERE domain = 'travel';
UPDATE webhook_routing_keywords SET match = 'prefix' WHERE domain = 'travel';
DELETE FROM webhook_routing_keywords WHERE domain = 'travel';
DELETE FROM webhook_routing_domains WHERE domain = 'travel';
DELETE FROM webhook_routing_targets WHERE name = 'travel';
-- What is refused is refused by the right one.
DELETE FROM webhook_routing_keywords WHERE pattern = 'rent';
DELETE FROM webhook_routing_targets WHERE name = 'wa-webhook';
UPDATE webhook_routing_targets SET timeout_ms = 1;
UPDATE webhook_routing_targets SET fallback_policy = 'x';
UPDATE webhook_routing_keywords SET language = 'x';
UPDATE webhook_routing_domains SET percentage = 101 WHERE domain = 'jobs';
SELECT count(*) > 0 AS found FROM validate_routing_config();
SELECT domain, routed_to, severity FROM check_routing_health('1 hour') ORDER BY 1, 2;
SELECT count(*) FROM check_routing_health();
SELECT version FROM set_routing_enabled(true);
SELECT version FROM update_routing_settings('{"automatic_rollback": true}');
SELECT domain, action FROM routing_guard();
RESET ROLE;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, message_id)
SELECT 'w', 'jobs', 'unified', 'error', n FROM generate_series(1, 10) n;
SET ROLE regress_routing_operator;
SELECT count(*) FROM check_routing_guard();
SELECT domain, action FROM routing_guard();
RESET ROLE;
SELECT version, change FROM get_current_routing_config();

DROP OWNED BY regress_routing_planter, regress_routing_operator;
DROP EXTENSION webhook_routing;
DROP ROLE regress_routing_planter, regress_routing_operator;
DROP SCHEMA regress_routing CASCADE;
CREATE EXTENSION webhook_routing SCHEMA public;
