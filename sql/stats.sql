-- The statistics of the last hour: the same as the log's own, without reading it.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
RESET client_min_messages;

-- Eleven columns, in the order that the runbooks know.
SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), E'\n' ORDER BY attnum) AS columns
  FROM pg_attribute WHERE attrelid = 'webhook_routing_stats'::regclass AND attnum > 0;
SELECT * FROM webhook_routing_stats;

-- An hour of traffic in many statements, with what is special about some rows: other items,
-- attempts that were skipped, several config versions, errors, nothing reached.
SELECT setseed(0.1);
DO $$
BEGIN
	FOR portion IN 0..19 LOOP
		INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms,
										  created_at, item, config_version)
		SELECT 'wa-webhook', d, s, CASE WHEN random() < 0.01 THEN 'error' ELSE 'success' END,
		       CASE WHEN random() < 0.01 THEN NULL
		            WHEN random() < 0.03 THEN 1900 + 2000 * random()
		            ELSE 20 - 300 * ln(random()) END,
		       now() - interval '59 minutes' * random(), (n % 5 = 0)::integer, 3 + n % 2
		  FROM generate_series(1, 100) n, unnest('{jobs,marketplace,property}'::text[]) d,
		       unnest('{unified,legacy}'::text[]) s
		 WHERE n % 20 <> portion;
	END LOOP;
END
$$;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status)
VALUES ('wa-webhook', 'profile', 'error', 'error'), ('wa-webhook', 'profile', 'error', 'error');

CREATE VIEW from_log AS
SELECT domain, routed_to, count(*) AS request_count, avg(response_time_ms) AS avg_ms,
       percentile_cont('{0.5,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY response_time_ms) AS p,
       count(*) FILTER (WHERE status = 'error') AS error_count,
       min(created_at) AS first_request, max(created_at) AS last_request
  FROM webhook_routing_logs
 WHERE item = 0 AND created_at > date_trunc('minute', now()) - interval '60 minutes'
 GROUP BY domain, routed_to;
SELECT domain, routed_to, s.request_count = l.request_count AS requests,
       abs(s.avg_response_ms - l.avg_ms) < 0.01 AS average,
       abs(s.p50_ms - p[1]) <= 0.01 * p[1] AS p50, abs(s.p95_ms - p[2]) <= 0.01 * p[2] AS p95,
       abs(s.p99_ms - p[3]) <= 0.01 * p[3] AS p99, s.error_count = l.error_count AS errors,
       s.error_rate_pct = round(100.0 * l.error_count / l.request_count, 3) AS rate,
       s.first_request = l.first_request AS first, s.last_request = l.last_request AS last
  FROM webhook_routing_stats s FULL JOIN from_log l USING (domain, routed_to)
 ORDER BY domain, routed_to;
-- The view is ordered.
SELECT array_agg(domain || ' ' || routed_to) = array_agg(domain || ' ' || routed_to
                                                          ORDER BY domain, routed_to) AS ordered
  FROM webhook_routing_stats;

-- What is counted beside: skipped attempts, and latencies above each limit, exactly.
SELECT sum(r.skipped) = max(l.skipped) AS skipped, sum(r.above_250_ms) = max(l.above_250) AS above_250,
       sum(r.above_1000_ms) = max(l.above_1000) AS above_1000,
       sum(r.reached_warning) = max(l.above_2000) AS reached_warning,
       sum(r.above_critical) = max(l.above_3000) AS above_critical,
       max(l.above_3000) > 0 AND max(l.skipped) > 0 AS there_are_some
  FROM webhook_routing_rollups r,
       (SELECT count(*) FILTER (WHERE response_time_ms IS NULL) AS skipped,
               count(*) FILTER (WHERE response_time_ms > 250) AS above_250,
               count(*) FILTER (WHERE response_time_ms > 1000) AS above_1000,
               count(*) FILTER (WHERE response_time_ms >= 2000) AS above_2000,
               count(*) FILTER (WHERE response_time_ms > 3000) AS above_3000
          FROM webhook_routing_logs WHERE item = 0) l;
-- At 2000 ms the warning limit is reached, at 250 ms nothing is above 250 ms; and the limits are
-- those in force when a row is stored.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
BEGIN;
SET LOCAL client_min_messages = warning;
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, response_time_ms)
VALUES ('w', 'legacy', 'success', 2000), ('w', 'legacy', 'success', 2000.1), ('w', 'legacy', 'success', 250);
SELECT count(*) FROM update_routing_settings('{"warning_p95_ms": 100}');
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, response_time_ms)
VALUES ('w', 'legacy', 'success', 250);
SELECT sum(reached_warning) AS reached_warning, sum(above_250_ms) AS above_250 FROM webhook_routing_rollups;
ROLLBACK;

-- The log itself is not read: the statistics stay when its rows are gone.
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms)
SELECT 'w', 'jobs', 'legacy', 'success', n FROM generate_series(1, 100) n;
DELETE FROM webhook_routing_logs;
SELECT domain, routed_to, request_count, avg_response_ms, p50_ms, p95_ms, p99_ms, error_count, error_rate_pct
  FROM webhook_routing_stats;

-- What is older than an hour has left; what is to come is not there yet.
TRUNCATE webhook_routing_rollups;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, created_at)
VALUES ('w', 'old', 'legacy', 'success', 1, now() - interval '62 minutes'),
       ('w', 'within', 'legacy', 'success', 1, now() - interval '59 minutes'),
       ('w', 'now', 'legacy', 'success', 1, now()),
       ('w', 'to come', 'legacy', 'success', 1, now() + interval '2 minutes');
SELECT domain, request_count FROM webhook_routing_stats;

-- All skipped: there are requests, and no latency.
TRUNCATE webhook_routing_rollups;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status)
VALUES ('w', 'jobs', 'unified', 'error');
SELECT domain, routed_to, request_count, avg_response_ms, p50_ms, p95_ms, p99_ms, error_count, error_rate_pct
  FROM webhook_routing_stats;

-- Writers add to the row that is there: many statements do not make many rows.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
DO $$
BEGIN
	FOR n IN 1..50 LOOP
		INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, created_at)
		VALUES ('w', 'legacy', 'success', date_trunc('minute', now()));
	END LOOP;
END
$$;
SELECT count(*) AS rows, sum(requests) AS requests FROM webhook_routing_rollups;

DROP VIEW from_log;
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
