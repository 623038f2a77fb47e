-- The views for people.
SET client_min_messages = warning;
SET timezone = 'UTC';
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
SELECT count(*) FROM routing_maintain();
UPDATE webhook_routing_domains SET percentage = 20 WHERE domain = 'jobs';
SELECT count(*) FROM update_routing_percentage(50), set_routing_enabled(true), set_routing_domains('{jobs,property}');
-- Nothing yet.
SELECT * FROM webhook_routing_distribution;
SELECT * FROM webhook_routing_errors;
SELECT count(*), sum(requests), sum(errors), count(p95_ms), count(unified_pct), count(traffic) FROM webhook_routing_timeline;

-- The minute before this one, and some of a step before.
SELECT count(*) FROM set_config('views.base', now()::text, false);
CREATE FUNCTION at(minutes integer) RETURNS timestamptz LANGUAGE sql STABLE AS $$
	SELECT date_trunc('minute', current_setting('views.base')::timestamptz) - minutes * interval '1 minute' $$;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, created_at, config_version)
SELECT 'w', d, CASE WHEN n <= unified THEN 'unified' ELSE 'legacy' END, 'success', 10 * n, at(1) + n * interval '0.1 seconds', 5
  FROM (VALUES ('jobs', 3, 5), ('property', 10, 20), ('mobility', 0, 4)) AS seen (d, unified, total), generate_series(1, total) n;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, created_at, config_version)
SELECT 'w', 'jobs', 'legacy', 'success', 1, at(3), 4 FROM generate_series(1, 10);
SELECT * FROM webhook_routing_distribution;

INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, http_status, error_message, created_at, config_version, item)
SELECT w, d, side, 'error', http, message, at(minutes), 5, item
  FROM (VALUES
	('wa-webhook-unified', 'jobs', 'unified', 503, 'HTTP status 503', 3, 0, 7),
	('wa-webhook-unified', 'jobs', 'unified', 503, 'HTTP status 503 for +250 788 123-456, wamid.HBgMMjUwNzg4MTAwMDAwFQIA', 2, 0, 2),
	('wa-webhook-unified', 'jobs', 'unified', 503, 'HTTP status 503 for hmac:deadbeefdeadbeefdeadbeefdeadbeef (US.13491208655302741918)', 2, 0, 1),
	('wa-webhook-jobs', 'jobs', 'legacy', NULL, 'connect timed out after 500 ms', 1, 0, 3),
	('wa-webhook-jobs', 'jobs', 'legacy', NULL, 'connect timed out after 501 ms', 2, 0, 1),
	('wa-webhook-jobs', 'jobs', 'legacy', NULL, 'connect timed out after 501 ms', 2, 1, 5),
	('wa-webhook', 'unknown', 'error', NULL, NULL, 4, 0, 1),
	('wa-webhook', 'unknown', 'error', NULL, 'too old', 1445, 0, 1)) AS failed (w, d, side, http, message, minutes, item, times),
	   generate_series(1, times);
-- Newest first.
SELECT errors, domain, side, target, http, message FROM webhook_routing_errors;
SELECT first = to_char(at(2), 'HH24:MI') AS first, last = to_char(at(1), 'HH24:MI') AS last FROM webhook_routing_errors WHERE side = 'legacy';
-- They read the newest errors by an index that holds nothing else, not the log.
SET enable_seqscan = off;
CREATE FUNCTION plan() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) SELECT * FROM webhook_routing_errors';
END $$;
SELECT DISTINCT regexp_replace(plan, '^.*(Index( Only)? Scan|Seq Scan|Bitmap Heap Scan).*$', '\1') FROM plan() AS plan WHERE plan ~ 'Scan' AND plan !~ 'Subquery';
RESET enable_seqscan;

SELECT minute = to_char(at(1), 'HH24:MI') AS minute, requests, errors, p95_ms, unified_pct, traffic
  FROM webhook_routing_timeline WHERE requests > 0 ORDER BY requests DESC;
SELECT count(*) AS minutes, min(length(traffic)) AS narrowest, max(length(traffic)) AS widest FROM webhook_routing_timeline;

-- Disabled, another step, a domain of one's own ceiling above the global one.
SELECT count(*) FROM set_routing_enabled(false);
SELECT domain, state, planned_pct, requests FROM webhook_routing_distribution WHERE domain IN ('jobs', 'property');

-- A row that does not say who decided counts from the step on in which it came, as for health and gates.
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, created_at)
VALUES ('w', 'jobs', 'legacy', 'success', 1, at(3)), ('w', 'jobs', 'unified', 'success', 1, clock_timestamp());
SELECT domain, requests, unified FROM webhook_routing_distribution WHERE domain = 'jobs';

-- Viewers see all of it, and no phone number.
CREATE ROLE regress_routing_viewer;
SELECT count(*) > 0 FROM grant_routing_role('viewer', 'regress_routing_viewer');
SET ROLE regress_routing_viewer;
SELECT (SELECT count(*) FROM webhook_routing_distribution), (SELECT count(*) FROM webhook_routing_errors), (SELECT count(*) FROM webhook_routing_timeline);
SELECT count(*) FROM webhook_routing_errors WHERE message ~ '[0-9]';
SELECT count(*) > 0 FROM cutover_readiness();
SELECT count(*) > 0 FROM simulate_routing(10);
SELECT count(*) FROM check_sample_ratio() WHERE finding = 'row_differs';
SELECT count(*) FROM verify_routing_decisions();
SELECT route_explain('00000000-0000-4000-8000-000000000000'::uuid);
RESET ROLE;
DROP OWNED BY regress_routing_viewer;
DROP ROLE regress_routing_viewer;
