-- Privacy requests: who it was goes, the rows and the statistics stay.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
SELECT count(*) > 0 AS maintained FROM routing_maintain();
RESET client_min_messages;

INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, from_number, message_id, error_message,
								  created_at, item)
SELECT 'w', 'legacy', 'error', sender, 'wamid.' || sender,
       CASE day WHEN 0 THEN 'no answer' ELSE 'sender ' || sender || ' unknown' END,
       now() - day * interval '1 day', item
  FROM unnest('{250788000001,250788000002,25078800000,RW.1234}'::text[]) sender,
       generate_series(0, 3) day, generate_series(0, 1) item;
CREATE TABLE counted AS SELECT sum(requests) AS requests FROM webhook_routing_rollups;

SELECT erase_sender('250788000001') AS erased;
SELECT erase_sender('250788000001') AS erased_again;
SELECT from_number, message_id, error_message, count(*)
  FROM webhook_routing_logs GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT requests = (SELECT sum(requests) FROM webhook_routing_rollups) AS statistics_stay FROM counted;

-- Numbers as people write them; other sender keys as they are.
SELECT erase_sender('+250 788-000-002') AS erased;
SELECT erase_sender('RW.1234') AS erased;
SELECT erase_sender('RW.123') AS nobody;
SELECT from_number, count(*) FROM webhook_routing_logs GROUP BY 1 ORDER BY 1;

-- Hashed rows are found by the number, and by the hash.
SET client_min_messages = warning;
SELECT count(*) FROM update_routing_settings('{"hash_senders": true}');
RESET client_min_messages;
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, from_number, message_id)
VALUES ('w', 'legacy', 'success', '250788000003', 'wamid.3'),
       ('w', 'legacy', 'success', '250788000003', 'wamid.4'),
       ('w', 'legacy', 'success', '250788000004', 'wamid.5');
SELECT erase_sender('250788000003') AS erased;
SELECT erase_sender(routing_sender_hash('250788000004')) AS erased;
SELECT count(from_number) AS left_with_a_sender, count(message_id) AS left_with_an_id
  FROM webhook_routing_logs;
-- Rows from before the setting was on are found as well.
SELECT erase_sender('25078800000') AS erased;

-- Nobody is not a sender.
SELECT erase_sender(NULL);
SELECT erase_sender('  ');
SELECT erase_sender('%') AS erased;

DROP TABLE counted;
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
