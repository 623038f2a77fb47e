-- Who would change sides with another percentage, from the log. (test/t/021_simulate.pl compares it, row
-- for row, with what is decided then.)
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
UPDATE webhook_routing_domains SET percentage = 40 WHERE domain = 'jobs';
SELECT count(*) FROM set_routing_domains('{jobs,property}'), update_routing_percentage(30), set_routing_enabled(true);
SELECT * FROM simulate_routing(50);	-- nothing was logged

-- Bucket n * 100 for n of 0 to 99: a sender for each percent; and two requests of each.
INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, status, reason, bucket, percentage,
								  config_version, from_number, item)
SELECT gen_random_uuid(), a.webhook_name, d, a.routed_to, 'success', a.reason, n * 100, a.percentage, 5, n::text, 0
  FROM unnest('{jobs,property,marketplace,mobility,unknown}'::text[]) d, generate_series(0, 99) n, generate_series(1, 2),
	   webhook_routing_decide_again(5, d, n * 100, 'in_percentage') a;
-- Nobody to move, and attempts that are no decisions of their own.
INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version, attempt)
VALUES (gen_random_uuid(), 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 'no_sender', NULL, 30, 5, 1),
	   (gen_random_uuid(), 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 'in_percentage', 1, 30, 5, 2),
	   (gen_random_uuid(), 'wa-webhook-jobs', 'jobs', 'legacy', 'success', NULL, NULL, NULL, NULL, 1);
SELECT * FROM simulate_routing(50);
SELECT * FROM simulate_routing(35.5);
SELECT * FROM simulate_routing(0);
SELECT * FROM simulate_routing(100) WHERE domain = 'property';
SELECT domain, bucket, from_side, to_side, reason, count(*) FROM simulate_routing_decisions(50)
 WHERE bucket IN (2900, 3000, 3900, 4000, 4900, 5000) OR bucket IS NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2;
-- Items that would disagree stay together.
INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version, item)
SELECT '00000000-0000-4000-8000-000000000001', 'wa-webhook-unified', 'property', 'unified', 'success', 'in_percentage', 1000 * (1 + n), 30, 5, n
  FROM generate_series(0, 1) n;
SELECT item, bucket, from_side, to_side, reason FROM simulate_routing_decisions(15)
 WHERE decision_id = '00000000-0000-4000-8000-000000000001';

-- While routing is disabled no percentage moves anybody; the third argument looks further.
SELECT count(*) FROM set_routing_enabled(false);
SET client_min_messages = notice;
SELECT sum(to_unified) AS to_unified, sum(to_legacy) AS to_legacy FROM simulate_routing(50);
SELECT domain, to_unified, to_legacy FROM simulate_routing(50, '1 day', true);
-- Of another salt nothing is known; of a domain that is gone neither.
SET client_min_messages = warning;
SELECT count(*) FROM update_routing_settings('{"hash_salt": 7}');
SELECT domain, senders, requests, unknown FROM simulate_routing(50, '1 day', true);
SELECT * FROM simulate_routing(100.5);
SELECT * FROM simulate_routing_decisions(NULL);
SELECT count(*) FROM simulate_routing(50, '0');
