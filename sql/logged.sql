-- Logged decisions: explained and verified by the rules of their own config version.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
SELECT count(*) FROM update_routing_percentage(50), set_routing_enabled(true);

-- The rules are kept when they change, and only then.
SELECT config_version FROM webhook_routing_rulesets ORDER BY 1;
UPDATE webhook_routing_domains SET percentage = 20 WHERE domain = 'jobs';
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', 'vacancy');
SELECT count(*) FROM update_routing_percentage(60);
SELECT count(*) FROM set_routing_domains('{jobs,property}');
DELETE FROM webhook_routing_keywords WHERE pattern = 'vacancy';
UPDATE webhook_routing_keywords SET language = 'rw' WHERE pattern = 'cv';	-- decides nothing
SELECT r.config_version, c.change FROM webhook_routing_rulesets r
  JOIN webhook_routing_config c ON c.version = r.config_version ORDER BY 1;
-- They and the config row are what routing_ruleset() says.
SELECT count(*) FROM (
	SELECT line FROM routing_ruleset(), regexp_split_to_table(snapshot, '\n') AS line WHERE line ~ '^(target|pattern)'
	EXCEPT
	SELECT line FROM (SELECT rules FROM webhook_routing_rulesets ORDER BY config_version DESC LIMIT 1) AS newest,
		   regexp_split_to_table(rules, '\n') AS line) AS differing;

-- Nobody writes there by hand.
INSERT INTO webhook_routing_rulesets VALUES (99, 'x');
UPDATE webhook_routing_rulesets SET rules = '';
DELETE FROM webhook_routing_rulesets;
TRUNCATE webhook_routing_rulesets;

-- Decisions of version 4 (jobs at 20 %): 1 on unified, failed and fallen back; 2 legacy; 3 a mixed batch;
-- 4 a status; 5 protected; 6 without a sender.
CREATE FUNCTION decision(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
	SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO webhook_routing_logs (id, decision_id, attempt, item, webhook_name, domain, routed_to, reason, bucket,
								  percentage, config_version, status, response_time_ms, http_status, error_message,
								  message_type, created_at)
SELECT decision(n * 100 + attempt * 10 + item), decision(n), attempt, item, webhook_name, domain, routed_to, reason, bucket, percentage,
	   4, status, ms, http, error, type, date_trunc('day', now()) + interval '1 millisecond'
  FROM (VALUES
	(1, 1, 0, 'wa-webhook-unified', 'jobs', 'unified', 'in_percentage', 1999, 20, 'error', 12.34, 503, 'HTTP status 503', 'text'),
	(1, 2, 0, 'wa-webhook-jobs', 'jobs', 'legacy', 'in_percentage', 1999, 20, 'success', 5, 200, NULL, 'text'),
	(2, 1, 0, 'wa-webhook-jobs', 'jobs', 'legacy', 'out_of_percentage', 2000, 20, 'success', 5, 200, NULL, 'text'),
	(3, 1, 0, 'wa-webhook', 'jobs', 'legacy', 'mixed_batch', 100, 20, 'success', 5, 200, NULL, 'text'),
	(3, 1, 1, 'wa-webhook', 'mobility', 'legacy', 'mixed_batch', 100, 50, 'success', 5, 200, NULL, 'text'),
	(4, 1, 0, 'wa-webhook', 'unknown', 'legacy', 'status', 100, 50, 'success', 5, 200, NULL, 'read'),
	(5, 1, 0, 'wa-webhook-mobility', 'mobility', 'legacy', 'protected', 100, 50, 'success', 5, 200, NULL, 'text'),
	(6, 1, 0, 'wa-webhook-jobs', 'jobs', 'legacy', 'no_sender', NULL, 20, 'success', 5, 200, NULL, 'system')
	) AS logged (n, attempt, item, webhook_name, domain, routed_to, reason, bucket, percentage, status, ms, http, error, type);
SELECT step, name, regexp_replace(outcome, 'made at [^,]*,', 'made at TIME,') AS outcome FROM route_explain(decision(1));
SELECT name, regexp_replace(outcome, 'made at [^,]*,', 'made at TIME,') AS outcome FROM route_explain(decision(3));
SELECT n, outcome FROM generate_series(1, 6) n, route_explain(decision(n)) WHERE name = 'reproduced' ORDER BY n;
SELECT * FROM verify_routing_decisions('2 days');

-- What says no version or no reason claims nothing: written by hand, or decided without rules.
INSERT INTO webhook_routing_logs (id, decision_id, webhook_name, domain, routed_to, status, reason)
VALUES (decision(700), decision(7), 'wa-webhook-jobs', 'jobs', 'unified', 'success', NULL),
	   (decision(800), decision(8), 'wa-webhook', 'unknown', 'legacy', 'success', 'no_config');
SELECT n, name, regexp_replace(outcome, 'made at [^,]*,', 'made at TIME,') AS outcome
  FROM generate_series(7, 8) n, route_explain(decision(n)) WHERE name IN ('decision', 'reproduced') ORDER BY n, name;
SELECT * FROM verify_routing_decisions();

-- What differs is named.
INSERT INTO webhook_routing_logs (id, decision_id, item, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version)
VALUES (decision(9), decision(9), 0, 'wa-webhook-unified', 'jobs', 'unified', 'success', 'in_percentage', 2000, 20, 4),
	   (decision(10), decision(10), 0, 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 'in_percentage', 1999, 20, 4),
	   (decision(11), decision(11), 0, 'wa-webhook-unified', 'jobs', 'unified', 'success', 'in_percentage', 1999, 50, 4),
	   (decision(12), decision(12), 0, 'wa-webhook-unified', 'mobility', 'unified', 'success', 'in_percentage', 1, 50, 4),
	   (decision(13), decision(13), 0, 'wa-webhook', 'jobs', 'legacy', 'success', 'mixed_batch', 1, 20, 4),
	   (decision(14), decision(14), 0, 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 'protected', 9999, 20, 400),
	   (decision(15), decision(15), 0, 'wa-webhook-x', 'x', 'legacy', 'success', 'protected', 9999, 20, 4),
	   (decision(16), decision(16), 0, 'wa-webhook', 'unknown', 'unified', 'success', 'malformed', NULL, 50, 4),
	   -- nothing could be tried: the side is not wrong
	   (decision(17), decision(17), 0, 'wa-webhook-unified', 'jobs', 'error', 'error', 'in_percentage', 1999, 20, 4);
SELECT substr(id::text, 35) AS n, item, domain, config_version, difference FROM verify_routing_decisions() ORDER BY 1;
SELECT outcome FROM route_explain(decision(9)) WHERE name = 'reproduced';
SELECT count(*) FROM verify_routing_decisions('-1 hour');

-- A fallback alone shows nothing: it is on legacy whatever was decided.
INSERT INTO webhook_routing_logs (decision_id, attempt, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version)
VALUES (decision(18), 2, 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 'in_percentage', 1, 20, 4);
SELECT outcome FROM route_explain(decision(18)) WHERE name = 'reproduced';

-- Found by the time in its id, or not at all.
SELECT route_explain(decision(99));
\set SHOW_CONTEXT never
SELECT route_explain('019aa000-0000-7000-8000-000000000000');
SELECT * FROM route_explain('019aa000-0000-7000-8000-000000000000'::uuid);
SELECT * FROM route_explain(NULL::uuid);
