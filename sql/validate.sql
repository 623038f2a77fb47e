-- Every finding of validate_routing_config(), each provoked, and gone once its own statement has
-- been run where that statement is complete.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only

SELECT * FROM validate_routing_config() WHERE finding NOT LIKE 'the log %';

-- Runs the fixes of the findings that match and shows whether they are gone.
CREATE FUNCTION pg_temp.mend(wanted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found record;
	seen  text := '';
BEGIN
	FOR found IN SELECT * FROM validate_routing_config() WHERE finding LIKE wanted LOOP
		seen := seen || format('%s: %s => %s' || E'\n', found.severity, found.finding, found.fix);
		EXECUTE found.fix;
	END LOOP;
	RETURN seen || CASE WHEN seen = '' THEN 'not found'
		WHEN EXISTS (SELECT FROM validate_routing_config() WHERE finding LIKE wanted)
		THEN 'still there' ELSE 'mended' END;
END $$;

SELECT version FROM set_routing_enabled(true);
SELECT version FROM set_routing_domains('{}');
SELECT pg_temp.mend('routing is enabled, but no domain%');
SELECT pg_temp.mend('routing is enabled at 0 \%%');
SELECT version FROM set_routing_enabled(false);
SELECT pg_temp.mend('routing is disabled%');
UPDATE webhook_routing_plan SET enabled = false;
SELECT pg_temp.mend('the plan of the rollout %');
SELECT version FROM set_routing_domains('{jobs,travel}');
SELECT pg_temp.mend('enrolled domain "travel" has no row%');
UPDATE webhook_routing_domains SET enabled = false WHERE domain = 'jobs';
SELECT pg_temp.mend('enrolled domain "jobs" is disabled');
UPDATE webhook_routing_keywords SET enabled = false WHERE domain = 'jobs';
SELECT severity, finding, fix FROM validate_routing_config() WHERE finding LIKE '% has no enabled keyword%';
UPDATE webhook_routing_domains SET percentage = 0 WHERE domain = 'jobs';
SELECT pg_temp.mend('enrolled domain "jobs" has a ceiling%');
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('travel', 'wa-webhook-jobs');
SELECT severity, finding, fix FROM validate_routing_config() WHERE finding LIKE 'domains % share%';
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('travel', 'Taxi');
SELECT pg_temp.mend('keyword "taxi" belongs%');

INSERT INTO webhook_routing_pending (webhook_name, routed_to, status, stored_at)
VALUES ('wa-webhook', 'legacy', 'error', now() - interval '3 hours');
SELECT pg_temp.mend('% in webhook_routing_pending %');

-- The partitions are there by now, however this session writes a date: not every zone's name is read again.
SET datestyle = 'SQL, DMY';
SET timezone = 'Africa/Kigali';
SELECT count(*) FROM validate_routing_config() WHERE finding LIKE 'the log has no partition%';
RESET datestyle;
RESET timezone;

-- What only a restore can bring about.
SELECT version AS newest FROM get_current_routing_config() \gset
SELECT set_config('search_path', '', false);
INSERT INTO public.webhook_routing_config
SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'version', version + 1,
		'domains', '{jobs,mobility}'::text[], 'created_at', moment, 'updated_at', moment,
		'unified_webhook', 'missing', 'default_webhook', 'gone', 'change', 'restored'))).*
  FROM public.webhook_routing_config c, (SELECT clock_timestamp() AS moment OFFSET 0) AS clock WHERE version = :newest;
COPY public.webhook_routing_domains FROM stdin;
rides2	wa-webhook-mobility	f	\N	1	t	f	f	5
\.
COPY public.webhook_routing_targets FROM stdin;
wa-webhook-jobs	\N	10000	error	t	t	f	4
wa-webhook-mobility	\N	10000	error	t	t	f	4
gone	\N	10000	error	t	f	f	4
\.
RESET search_path;
SELECT severity, finding, fix FROM validate_routing_config()
 WHERE severity = 'error' OR finding LIKE '%even when routing%';

SET client_min_messages = warning;
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
