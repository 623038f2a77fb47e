-- What the status page of the forwarder shows, as the forwarder's role sees it.
SET client_min_messages = warning;
SET timezone = 'UTC';
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
SELECT count(*) FROM routing_maintain();
DROP ROLE IF EXISTS regress_page;
CREATE ROLE regress_page;
SELECT count(*) > 0 AS granted FROM grant_routing_role('forwarder', 'regress_page');

-- As installed: nothing began, nothing is proven, no domain has a share.
SELECT percentage, enabled, step, steps, began, soak_s, former, next, requests, error_rate, error_rate_high, proof, standby FROM webhook_routing_page_step();
SELECT gate, is_open, state FROM webhook_routing_page_gates();
SELECT * FROM webhook_routing_page_split();
SELECT target, role, requests, last FROM webhook_routing_page_targets();
SELECT count(*) FROM webhook_routing_page_errors();
SELECT at IS NULL AS undated, what, version FROM webhook_routing_page_changes();
SELECT count(*), bool_and(minute % 60 = 0), max(minute) - min(minute) AS span, sum(unified_requests + legacy_requests) FROM webhook_routing_page_minutes();

-- A step with traffic: 600 clean requests of one domain on unified, another that fails there.
SELECT count(*) FROM set_routing_enabled(true, 'we <b>begin</b>');
SELECT count(*) FROM rollout_advance('first');
CREATE FUNCTION put(domain text, side text, target text, status text, ms double precision, message text, times integer) RETURNS void
LANGUAGE sql AS $$
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, http_status, error_message, from_number, message_id, config_version)
SELECT target, domain, side, status, ms, CASE status WHEN 'success' THEN 200 ELSE 503 END, message, '250788123456', 'wamid.' || n, 3 FROM generate_series(1, times) n $$;
SELECT put('jobs', 'unified', 'wa-webhook-unified', 'success', 100, NULL, 600);
SELECT put('jobs', 'legacy', 'wa-webhook-jobs', 'success', 200, NULL, 900);
SELECT put('property', 'unified', 'wa-webhook-unified', 'success', 100, NULL, 90);
SELECT put('property', 'unified', 'wa-webhook-unified', 'error', 100, 'no answer for 250788123456', 9);
SELECT put('mobility', 'legacy', 'wa-webhook-gone', 'success', 200, NULL, 60);

SET ROLE regress_page;
SELECT percentage, enabled, step, steps, began IS NOT NULL AS began, soak_s, soak_left_s BETWEEN 14000 AND 14400 AS soaks, former, next, automatic_rollback FROM webhook_routing_page_step();
SELECT requests, errors, error_rate, error_rate_low, error_rate_high, proof, config_version, changed_by = session_user AS me FROM webhook_routing_page_step();
SELECT gate, is_open, state, remedy IS NULL AS needs_nothing FROM webhook_routing_page_gates() WHERE gate <> 'soak';
SELECT * FROM webhook_routing_page_split() WHERE requests > 0;
-- The worst first.
SELECT domain, side, severity, enrolled, requests, errors, error_rate, error_rate_low, error_rate_high, p95_ms, proof FROM webhook_routing_page_health();
SELECT sum(unified_requests) AS unified, sum(unified_errors) AS errors, sum(legacy_requests) AS legacy,
       max(unified_p95_ms) BETWEEN 99 AND 101 AS p95, max(legacy_p50_ms) BETWEEN 198 AND 202 AS p50 FROM webhook_routing_page_minutes();
SELECT target, role, requests, errors, error_rate, last IS NOT NULL AS called FROM webhook_routing_page_targets();
-- No number, and no id of a message.
SELECT errors, domain, side, target, http, message FROM webhook_routing_page_errors();
SELECT at IS NULL AS undated, who = session_user AS me, what, why, version FROM webhook_routing_page_changes();
-- The role sees this much, and no table.
SELECT count(*) FROM webhook_routing_logs;
SELECT count(*) FROM webhook_routing_rollups;
SELECT count(*) FROM check_routing_health();
RESET ROLE;

-- What one error says of the whole step is not what it says of a domain: the sums are judged.
SELECT put('jobs', 'unified', 'wa-webhook-unified', 'success', 100, NULL, 9000);
SELECT requests, errors, error_rate, error_rate_high < 0.5 AS below_critical, proof FROM webhook_routing_page_step();
SELECT count(*) FROM set_routing_enabled(false, 'enough');
SELECT enabled, requests, proof FROM webhook_routing_page_step();
SELECT state, planned_pct FROM webhook_routing_page_split() WHERE domain = 'jobs';
DROP OWNED BY regress_page;
DROP ROLE regress_page;
