-- Is the split what it claims to be? (How often it alarms by mistake, and how surely when it should, is
-- simulated in test/t/022_sample_ratio.pl.)
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
SELECT count(*) FROM update_routing_percentage(50), set_routing_enabled(true);
SELECT * FROM check_sample_ratio();	-- nothing was logged

-- As it would be decided: for each domain so many senders of every hundredth bucket, with m requests each.
CREATE PROCEDURE fill(d text, version bigint, senders integer, m integer) LANGUAGE sql AS $$
	INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, status, reason, bucket, percentage,
									  config_version, from_number)
	SELECT gen_random_uuid(), a.webhook_name, d, a.routed_to, 'success', a.reason, b, a.percentage, version, d || s
	  FROM (SELECT s, (s % 100) * 100 AS b FROM generate_series(1, senders) s) AS sender, generate_series(1, m),
		   webhook_routing_decide_again(version, d, b, 'in_percentage') a $$;
CALL fill('jobs', 3, 10000, 1);
CALL fill('property', 3, 1000, 3);
CALL fill('marketplace', 3, 100, 2);
CALL fill('mobility', 3, 1000, 1);	-- protected: nobody is split
\set findings 'SELECT severity, finding, domain, expected, observed, p_value, detail FROM check_sample_ratio()'
:findings;

-- One forged row is named: another side, and another side with a reason to go with it.
\pset format unaligned
CREATE FUNCTION forged(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
	SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO webhook_routing_logs (id, decision_id, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version, from_number)
VALUES (forged(1), forged(2), 'wa-webhook-unified', 'jobs', 'unified', 'success', 'in_percentage', 5000, 50, 3, 'f');
SELECT severity, finding, domain, p_value, detail, statement FROM check_sample_ratio() WHERE severity = 'critical';
UPDATE webhook_routing_logs SET routed_to = 'legacy', webhook_name = 'wa-webhook-jobs', reason = 'out_of_percentage', bucket = 4999 WHERE id = forged(1);
SELECT severity, finding, domain, p_value, detail, statement FROM check_sample_ratio() WHERE severity = 'critical';
UPDATE webhook_routing_logs SET bucket = 5000 WHERE id = forged(1);
SELECT count(*) FROM check_sample_ratio() WHERE severity = 'critical';

-- Of many the first hundred.
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version, from_number)
SELECT 'wa-webhook-unified', 'jobs', 'unified', 'success', 'in_percentage', 5000, 50, 3, 'many' FROM generate_series(1, 101);
SELECT severity, finding, domain, count(*), min(detail) FILTER (WHERE domain = 'all') AS detail, min(statement) FILTER (WHERE domain = 'all') AS statement
  FROM check_sample_ratio() WHERE finding = 'row_differs' GROUP BY 1, 2, 3 ORDER BY 3;
DELETE FROM webhook_routing_logs WHERE from_number = 'many';
UPDATE webhook_routing_rollups SET requests = requests - 101
 WHERE id = (SELECT id FROM webhook_routing_rollups WHERE domain = 'jobs' AND routed_to = 'unified' ORDER BY requests DESC LIMIT 1);
-- Rows that went: counted when they were stored, and the share of the rest.
DELETE FROM webhook_routing_logs WHERE domain = 'jobs' AND routed_to = 'unified' AND bucket % 1000 = 0;
SELECT severity, finding, domain, expected, observed, detail FROM check_sample_ratio() WHERE severity = 'critical';
SELECT (statement LIKE 'SELECT date_trunc(%domain = ''jobs''%') AS statement FROM check_sample_ratio() WHERE finding = 'senders' AND domain = 'jobs';

-- Rows that never came: an attempt before a later one, an item before a later one.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
INSERT INTO webhook_routing_logs (id, decision_id, attempt, item, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version)
VALUES (forged(11), forged(1), 2, 0, 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 'in_percentage', 1, 50, 3),
	   (forged(12), forged(2), 1, 1, 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 'out_of_percentage', 9000, 50, 3),
	   (forged(13), forged(3), 1, 0, 'wa-webhook-unified', 'jobs', 'unified', 'error', 'in_percentage', 1, 50, 3),
	   (forged(14), forged(3), 2, 0, 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 'in_percentage', 1, 50, 3);
SELECT finding, domain, expected, observed, detail, statement FROM check_sample_ratio() WHERE finding = 'row_missing' ORDER BY detail;

-- A change of the percentage inside the window: each sender counts where it was first seen.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
CALL fill('jobs', 3, 1000, 2);
SELECT count(*) FROM update_routing_percentage(25);
CALL fill('jobs', 4, 2000, 2);
SELECT count(*) FROM update_routing_percentage(100);	-- where all are on one side there is no share
CALL fill('jobs', 5, 1000, 1);
SELECT severity, finding, domain, expected, observed, p_value, detail FROM check_sample_ratio();
-- A mixed batch counts as its items would alone; attempts after the first, and what is in no window, do not.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
CALL fill('jobs', 3, 1000, 1);
INSERT INTO webhook_routing_logs (decision_id, item, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version, from_number)
SELECT forged(n), i, 'wa-webhook', 'jobs', 'legacy', 'success', 'mixed_batch', 2500 + 5000 * i, 50, 3, format('%s-%s', n, i)
  FROM generate_series(1, 1000) n, generate_series(0, 1) i;
SELECT severity, finding, domain, expected, observed, p_value, detail FROM check_sample_ratio();
-- No data is no good news: none in the window, none at all, and a window that is none.
DELETE FROM webhook_routing_logs WHERE percentage = 50;
SELECT severity, finding, domain, detail FROM check_sample_ratio();
SELECT count(*), count(*) FILTER (WHERE severity <> 'insufficient_data') AS others FROM check_sample_ratio('1 microsecond');
SELECT count(*) FROM check_sample_ratio('0');
SELECT count(*) FROM check_sample_ratio('-1 hour');
SELECT count(*) FROM simulate_routing(50, '-1 hour');
SELECT count(*) FROM simulate_routing_decisions(50, '-1 hour');
SELECT count(*) FROM verify_routing_decisions('-1 hour');
-- However long, it begins with the log.
SELECT severity, finding FROM check_sample_ratio('178000000 years');
SELECT severity, finding FROM check_sample_ratio(NULL);
SELECT count(*) FROM simulate_routing(50, '178000000 years');
SELECT count(*) FROM verify_routing_decisions('178000000 years');
-- For who watches all day: how many of them are critical, over as long a window as can be read in seconds.
SELECT * FROM routing_sample_findings();
CREATE PROCEDURE busy(requests bigint, ago interval) LANGUAGE sql AS $$
	UPDATE webhook_routing_rollups r SET requests = busy.requests, minute = statement_timestamp() - ago
	 WHERE id = (SELECT id FROM webhook_routing_rollups ORDER BY id LIMIT 1) $$;
CALL busy(200000, '30 minutes');
SELECT audited FROM routing_sample_findings();
CALL busy(200000, '5 minutes');
SELECT audited FROM routing_sample_findings();
CALL busy(200000, '0');
SELECT findings IS NULL AS unknown, audited FROM routing_sample_findings();
CALL busy(6000000, '30 minutes');
SELECT findings IS NULL AS unknown, audited FROM routing_sample_findings();
SELECT count(*) FROM routing_sample_findings('-1 hour');
