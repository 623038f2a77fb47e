-- Which legacy functions can be retired, and what happens when one is.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
SELECT count(*) FROM routing_maintain();
CREATE VIEW readiness AS
SELECT target, domains, ready, requests_in_soak AS requests, unified_in_soak AS unified,
	   regexp_replace(missing, '20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\+00', 'TIME', 'g') AS missing
  FROM cutover_readiness();
SELECT * FROM readiness;

-- A config row of the past, as a dump brings one: at 100 % for three days.
SET search_path = '';
DO $$
DECLARE
	row public.webhook_routing_config;
BEGIN
	SELECT * INTO row FROM public.webhook_routing_config ORDER BY version DESC LIMIT 1;
	row.id := gen_random_uuid(); row.version := 2; row.percentage := 100; row.enabled := true;
	row.created_at := now() - interval '72 hours'; row.updated_at := row.created_at;
	INSERT INTO public.webhook_routing_config SELECT (row).*;
END $$;
RESET search_path;
-- Nothing was routed at all: that shows nothing.
SELECT target, ready, missing FROM readiness WHERE domains && '{jobs,marketplace,property}';
-- Traffic on unified; jobs had its last call 47 hours ago, marketplace 49, and property 49 with one pending.
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, created_at, config_version)
SELECT 'wa-webhook-unified', d, 'unified', 'success', now() - n * interval '1 hour', 2
  FROM unnest('{jobs,marketplace,property}'::text[]) d, generate_series(1, 60) n;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, created_at, config_version)
VALUES ('wa-webhook-jobs', 'jobs', 'legacy', 'success', now() - interval '47 hours', 2),
	   ('wa-webhook-marketplace', 'marketplace', 'legacy', 'error', now() - interval '49 hours', 2),
	   ('wa-webhook-property', 'property', 'legacy', 'error', now() - interval '49 hours', 2);
INSERT INTO webhook_routing_pending (webhook_name, domain, routed_to, status) VALUES ('wa-webhook-property', 'property', 'legacy', 'error');
SELECT target, ready, requests, unified, missing FROM readiness WHERE domains && '{jobs,marketplace,property}';
DELETE FROM webhook_routing_pending;
SELECT statement FROM cutover_readiness() WHERE ready;

-- The soak is that of the plan's last step.
UPDATE webhook_routing_plan SET soak = '73 hours' WHERE percentage = 100;
SELECT target, ready, missing FROM readiness WHERE domains && '{marketplace}';
UPDATE webhook_routing_plan SET soak = '46 hours' WHERE percentage = 100;
SELECT target, ready FROM readiness WHERE ready;
UPDATE webhook_routing_plan SET soak = '48 hours' WHERE percentage = 100;

-- Refused with what is missing, and never for what is protected, unified or the default target.
\set SHOW_CONTEXT never
\set VERBOSITY terse
UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-mobility';
UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook';
UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-unified';
INSERT INTO webhook_routing_targets (name, retired) VALUES ('wa-webhook-new', true);
INSERT INTO webhook_routing_targets (name) VALUES ('wa-webhook-new');
UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-new';
UPDATE webhook_routing_targets SET retired = true WHERE name IN ('wa-webhook-jobs', 'wa-webhook-marketplace');
\set VERBOSITY default
DO $$
DECLARE
	code text; said text; detail text; advice text;
BEGIN
	UPDATE public.webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-jobs';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, advice = PG_EXCEPTION_HINT;
	RAISE WARNING '% % | % | %', code, said, regexp_replace(detail, '20\d\d-\S+ \S+\+00', 'TIME'), advice;
END $$;
-- A domain that shares the function has to be ready as well.
INSERT INTO webhook_routing_domains (domain, legacy_target) VALUES ('fairs', 'wa-webhook-marketplace');
SELECT target, domains, ready, missing FROM readiness WHERE domains && '{marketplace}';
DELETE FROM webhook_routing_domains WHERE domain = 'fairs';
-- So it has to be at 100 % itself, without a pause.
UPDATE webhook_routing_domains SET percentage = 99 WHERE domain = 'marketplace';
SELECT target, ready, missing FROM readiness WHERE domains && '{marketplace}';
UPDATE webhook_routing_domains SET percentage = NULL WHERE domain = 'marketplace';
SELECT target, ready, missing FROM readiness WHERE domains && '{marketplace}';
-- property was not touched by that.
SELECT target, ready FROM readiness WHERE ready;

-- Retired: unified whatever the percentage or the switch, without a fallback.
SET client_min_messages = notice;
UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-property';
\set message '{"from": "250788123456", "type": "text", "message": {"id": "wamid.1", "text": {"body": "a house to rent"}}}'
SELECT webhook_name, routed_to, reason, fallback_webhook FROM route_decide(:'message'::text);
SELECT (set_routing_enabled(false)).percentage;
SELECT webhook_name, routed_to, reason, fallback_webhook FROM route_decide(:'message'::text);
-- Nobody is told that a way back helps where there is none.
BEGIN;
SELECT percentage FROM rollout_back('all of it');
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status) SELECT 'wa-webhook-unified', d, 'unified', 'error'
  FROM unnest('{property,jobs}'::text[]) d, generate_series(1, 10);
SELECT domain, advice FROM check_routing_health() WHERE severity = 'critical';
ROLLBACK;
SELECT target, ready, missing FROM readiness WHERE domains && '{property}';
SELECT statement FROM cutover_readiness() WHERE target = 'wa-webhook-property';
SELECT domain, state, planned_pct FROM webhook_routing_distribution WHERE domain = 'property';
-- The way back is never refused.
UPDATE webhook_routing_targets SET retired = false WHERE name = 'wa-webhook-property';
SELECT webhook_name, routed_to, reason, fallback_webhook FROM route_decide(:'message'::text);
SELECT target, ready, missing FROM readiness WHERE domains && '{property}';

-- 200 functions and as many changes since: asked once for all of them, not for each (that took minutes, under
-- the lock that the kill switch waits for).
SET client_min_messages = warning;
SELECT version > 0 AS enabled FROM set_routing_enabled(true);
DO $$
BEGIN
	INSERT INTO public.webhook_routing_targets (name) SELECT 'wa-webhook-d' || n FROM generate_series(1, 200) n;
	INSERT INTO public.webhook_routing_domains (domain, legacy_target)
	SELECT 'd' || n, 'wa-webhook-d' || n FROM generate_series(1, 200) n;
	PERFORM public.set_routing_domains(array_agg('d' || n)) FROM generate_series(1, 200) n;
	FOR n IN 1..100 LOOP
		PERFORM public.update_routing_percentage(99), public.update_routing_percentage(100);
	END LOOP;
END $$;
SET statement_timeout = '10s';
SELECT count(*), count(at_100_since) AS at_100 FROM cutover_readiness() WHERE target ~ '^wa-webhook-d[0-9]+$';
RESET statement_timeout;
DROP VIEW readiness;
