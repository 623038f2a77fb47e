-- The guard: rolls back what fails on unified alone, once asked to; counts a message that Meta delivers
-- again once. How often it is wrong is the unit tests' subject (evidence_guard_test).
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never

-- Traffic in one minute, decided by the config in force; each row another message unless one is given.
CREATE PROCEDURE traffic(minutes_ago integer, requests integer, errors integer, domain text DEFAULT 'jobs',
						 side text DEFAULT 'unified', message text DEFAULT NULL, version bigint DEFAULT NULL)
LANGUAGE sql AS $$
	INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, message_id,
	                                  created_at, config_version)
	SELECT 'w', domain, side, CASE WHEN n <= errors THEN 'error' ELSE 'success' END, 100,
	       CASE WHEN n <= errors THEN coalesce(message, gen_random_uuid()::text) ELSE gen_random_uuid()::text END,
	       date_trunc('minute', now()) - minutes_ago * interval '1 minute',
	       coalesce(version, (get_current_routing_config()).version)
	  FROM generate_series(1, requests) n
$$;
CREATE PROCEDURE quiet() LANGUAGE sql AS
	'TRUNCATE webhook_routing_logs, webhook_routing_rollups, webhook_routing_failed_messages';
-- Without what the clock says.
CREATE VIEW guard AS
	SELECT domain, statistic, requests, errors, action,
	       regexp_replace(detail, '\d{4}-\d\d-\d\d \d\d:\d\d', 'TIME') AS detail
	  FROM routing_guard();

-- It does nothing unless routing is on and it has been asked to.
SELECT * FROM guard;
SELECT (update_routing_percentage(10)).percentage, (set_routing_enabled(true)).enabled;
CALL traffic(2, 100, 5);
CALL traffic(2, 900, 1, 'jobs', 'legacy');
SELECT * FROM guard;
SELECT domain, statistic, alarm, since BETWEEN now() - interval '4 minutes' AND now() AS since,
       requests, errors, legacy_requests, legacy_errors FROM check_routing_guard();
SELECT enabled FROM get_current_routing_config();

-- Asked to, it rolls back, and says what it saw; routing being off, a second call has nothing to do.
SELECT count(*) FROM update_routing_settings('{"automatic_rollback": true}');
SELECT * FROM guard;
SELECT enabled, percentage, change, created_by = session_user AS mine, regexp_replace(notes, '\d{4}-\d\d-\d\d \d\d:\d\d', 'TIME') AS notes
  FROM get_current_routing_config();
SELECT * FROM guard;

-- On again: a new step, of which nothing has been seen.
SELECT enabled FROM set_routing_enabled(true);
SELECT * FROM guard;
-- The same answer for the same data, whenever its rows came and however often it is asked. Rows of the
-- former step that come now say which it was.
CALL traffic(1, 50, 1);
CALL traffic(30, 60, 0);
CALL traffic(3, 20, 1);
CALL traffic(2, 100, 0);
CALL traffic(2, 100, 50, version => 1);
SELECT domain, statistic, requests, errors FROM guard WHERE domain = 'jobs';
SELECT domain, statistic, requests, errors FROM guard WHERE domain = 'jobs';
-- log(5) for each error, log(0.995 / 0.999) for each other, since it last was 0.
SELECT round((2 * ln(5.0) + 168 * ln(0.995 / 0.999)), 3) AS statistic;

-- Four errors of twenty pass the threshold, three do not. A minute that is good as a whole is good.
CALL quiet();
CALL traffic(1, 20, 3);
CALL traffic(2, 4000, 6, 'property');
SELECT domain, statistic, requests, errors, action FROM guard;
CALL traffic(0, 1, 1);
SELECT domain, statistic, requests, errors, action FROM guard;
SELECT enabled FROM set_routing_enabled(true);

-- A fault on both sides rolls nothing back, from the first minute to long after it; what fails on
-- unified alone afterwards does. Legacy with few requests excuses nothing.
CALL quiet();
CALL traffic(20, 10, 8);
CALL traffic(20, 90, 72, 'jobs', 'legacy');
SELECT * FROM guard WHERE domain = 'jobs';
CALL traffic(19, 10, 8);
CALL traffic(19, 90, 72, 'jobs', 'legacy');
CALL traffic(18, 100, 0);
CALL traffic(18, 900, 0, 'jobs', 'legacy');
SELECT * FROM guard WHERE domain = 'jobs';
SELECT enabled FROM get_current_routing_config();
CALL traffic(17, 100, 0);
CALL traffic(17, 900, 0, 'jobs', 'legacy');
CALL traffic(1, 20, 10);
CALL traffic(1, 180, 0, 'jobs', 'legacy');
SELECT * FROM guard WHERE domain = 'jobs';
SELECT enabled FROM set_routing_enabled(true);
CALL quiet();
CALL traffic(1, 20, 10);
CALL traffic(1, 49, 49, 'jobs', 'legacy');
SELECT * FROM guard WHERE domain = 'jobs';
SELECT enabled FROM set_routing_enabled(true);

-- One message that unified cannot digest, delivered 50 times: in the statistics 50 errors, for guard and
-- health one. In the same batch as well, with other ones between, and on the other side apart.
CALL quiet();
CALL traffic(30, 100, 0);
CALL traffic(9, 49, 49, message => 'wamid.poison');
CALL traffic(5, 1, 1, message => 'wamid.poison');
CALL traffic(5, 60, 20, 'jobs', 'legacy', 'wamid.poison');
SELECT * FROM guard WHERE domain = 'jobs';
SELECT routed_to, request_count, error_count FROM webhook_routing_stats;
SELECT routed_to, severity, requests, errors, p95_latency, advice FROM check_routing_health() WHERE domain = 'jobs';
SELECT routed_to, sum(requests) AS requests, sum(errors) AS errors, sum(repeated_errors) AS repeated, sum(skipped) AS skipped
  FROM webhook_routing_rollups GROUP BY 1 ORDER BY 1;
-- Other domains and messages count anew; a success is never repeated; errors without a message id cannot be.
CALL traffic(4, 3, 3, 'property', message => 'wamid.poison');
CALL traffic(4, 2, 2, 'property', message => 'wamid.other');
CALL traffic(4, 2, 0, 'property', message => 'wamid.other');
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status) SELECT 'w', 'property', 'unified', 'error' FROM generate_series(1, 2);
SELECT sum(requests) AS requests, sum(errors) AS errors, sum(repeated_errors) AS repeated, sum(skipped) AS skipped
  FROM webhook_routing_rollups WHERE domain = 'property';
-- What is kept of them says nothing, and is gone after 8 days.
SELECT count(*), count(DISTINCT message_hash) FROM webhook_routing_failed_messages;
UPDATE webhook_routing_failed_messages SET seen_at = seen_at - interval '8 days 1 hour'
 WHERE ctid = (SELECT min(ctid) FROM webhook_routing_failed_messages);
SELECT action, detail FROM routing_maintain() WHERE object = 'webhook_routing_failed_messages';
-- Slow and repeated: slow in the statistics only.
CALL quiet();
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, message_id)
SELECT 'w', 'jobs', 'unified', CASE WHEN n <= 50 THEN 'error' ELSE 'success' END, CASE WHEN n <= 50 THEN 10000 ELSE 100 END,
       CASE WHEN n <= 50 THEN 'wamid.slow' END FROM generate_series(1, 250) n;
SELECT severity, requests, errors, p95_latency, issue FROM check_routing_health() WHERE domain = 'jobs' AND routed_to = 'unified';
SELECT p95_ms > 9000 AS p95_of_all FROM webhook_routing_stats;

-- A domain whose legacy function is retired stays on unified whatever the switch says.
CALL quiet();
CALL traffic(1, 20, 10);
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-jobs';
SET LOCAL session_replication_role = origin;
SELECT * FROM guard WHERE domain = 'jobs';
ROLLBACK;

-- Several at once are one change.
CALL traffic(1, 20, 10, 'property');
SELECT domain, errors, action FROM guard;
SELECT regexp_replace(notes, '\d{4}-\d\d-\d\d \d\d:\d\d', 'TIME', 'g') AS notes, version - max(version) OVER () AS newest
  FROM webhook_routing_config ORDER BY version DESC LIMIT 1;

-- Where both limits are the same no ratio says which it is. That is said, and not taken for health.
BEGIN;
SELECT count(*) FROM set_routing_enabled(true);
SELECT count(*) FROM update_routing_settings('{"warning_error_rate_pct": 0.5}');
CALL traffic(1, 20, 20, 'property');
SELECT action, detail FROM routing_guard();
SELECT severity, finding, fix FROM validate_routing_config() WHERE finding ~ 'automatic_rollback' \gx
SELECT count(*) FROM update_routing_settings('{"warning_error_rate_pct": 0.1}');
SELECT count(*) FROM validate_routing_config() WHERE finding ~ 'automatic_rollback';
ROLLBACK;

DROP VIEW guard;
DROP PROCEDURE traffic(integer, integer, integer, text, text, text, bigint), quiet();
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
