-- The log: rows by hand, batches that may be repeated, bad rows, hashed senders.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
RESET client_min_messages;
-- Whatever the session's time zone is, days are those of UTC.
SET timezone = 'Pacific/Kiritimati';

-- A row by hand needs little, and counts like any other.
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms)
VALUES ('wa-webhook-jobs', 'jobs', 'legacy', 'success', 120);
SELECT webhook_name, domain, routed_to, status, response_time_ms, attempt, item, ambiguous,
       created_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS just_now
  FROM webhook_routing_logs;
SELECT domain, routed_to, config_version, requests, errors, latency FROM webhook_routing_rollups;

-- What makes no sense is refused. NULL is fine where nothing is known.
CREATE FUNCTION refusal(change jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	constraint_name text;
	column_name text;
BEGIN
	INSERT INTO webhook_routing_logs
	SELECT * FROM jsonb_populate_record(NULL::webhook_routing_logs, jsonb_build_object(
		'id', gen_random_uuid(), 'webhook_name', 'wa-webhook-jobs', 'domain', 'jobs', 'routed_to', 'legacy',
		'status', 'success', 'created_at', now(), 'attempt', 1, 'item', 0, 'ambiguous', false) || change);
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS constraint_name = CONSTRAINT_NAME, column_name = COLUMN_NAME;
	RETURN concat_ws(' ', SQLSTATE, nullif(constraint_name, ''), nullif(column_name, ''));
END
$$;
SELECT change, refusal(change) FROM unnest(ARRAY[
	'{"routed_to": "canary"}', '{"routed_to": null}', '{"status": "ok"}', '{"status": null}',
	'{"webhook_name": null}', '{"domain": null}', '{"id": null}', '{"created_at": null}',
	'{"response_time_ms": "NaN"}', '{"response_time_ms": -0.001}',
	'{"response_time_ms": "Infinity"}', '{"response_time_ms": 0}', '{"response_time_ms": null}',
	'{"created_at": "infinity"}', '{"created_at": "-infinity"}',
	'{"created_at": "2001-01-01 00:00:00+00"}',
	'{"bucket": 10000}', '{"bucket": -1}', '{"bucket": 9999}',
	'{"percentage": 100.01}', '{"percentage": -1}', '{"percentage": "NaN"}',
	'{"attempt": -1}', '{"item": -1}', '{"http_status": 0}', '{"http_status": 1000}',
	'{"http_status": 599}']::jsonb[]) AS change;
SELECT count(*) = 5 AS those_accepted_and_the_first FROM webhook_routing_logs;
SELECT sum(requests) = 5 AS and_counted FROM webhook_routing_rollups;
TRUNCATE webhook_routing_logs, webhook_routing_rollups;

-- A batch. In these tests it comes from a table or a query.
CREATE FUNCTION store(rows text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	stored bigint;
BEGIN
	EXECUTE 'SELECT store_routing_logs(
		array_agg(id), array_agg(created_at), array_agg(decision_id), array_agg(attempt),
		array_agg(item), array_agg(webhook_name), array_agg(domain), array_agg(routed_to),
		array_agg(reason), array_agg(bucket), array_agg(percentage), array_agg(config_version),
		array_agg(from_number), array_agg(message_id), array_agg(message_type),
		array_agg(correlation_id), array_agg(http_status), array_agg(response_time_ms),
		array_agg(status), array_agg(error_message), array_agg(ambiguous)) FROM ' || rows INTO stored;
	RETURN stored;
END
$$;
CREATE TABLE batch AS
SELECT r.*
  FROM generate_series(1, 600) n,
       LATERAL jsonb_populate_record(NULL::webhook_routing_logs, jsonb_build_object(
		'id', md5(n::text)::uuid, 'created_at', now() - n * interval '1 minute',
		'decision_id', md5('decision' || n)::uuid, 'attempt', 1, 'item', n % 3,
		'webhook_name', 'wa-webhook-jobs', 'domain', 'jobs',
		'routed_to', CASE WHEN n % 2 = 0 THEN 'unified' ELSE 'legacy' END,
		'reason', 'in_percentage', 'bucket', n, 'percentage', 33.33, 'config_version', 7,
		'from_number', '2507880000' || n % 50, 'message_id', 'wamid.' || n, 'message_type', 'text',
		'correlation_id', 'c-' || n, 'http_status', 200, 'response_time_ms', n + 0.5,
		'status', CASE WHEN n % 10 = 0 THEN 'error' ELSE 'success' END,
		'error_message', CASE WHEN n % 10 = 0 THEN 'no' END, 'ambiguous', n % 7 = 0)) r;
SELECT store('batch') AS stored;
SELECT count(*) AS different FROM
	(SELECT * FROM batch EXCEPT SELECT * FROM webhook_routing_logs) d;
-- Only item 0 counts. The batch reaches over midnight, and into minutes of their own.
SELECT sum(requests) AS requests, sum(errors) AS errors, count(DISTINCT minute) AS minutes,
       sum(latency_sketch_count(latency)) AS latencies, count(DISTINCT config_version) AS versions
  FROM webhook_routing_rollups;
SELECT count(*) AS requests, count(*) FILTER (WHERE status = 'error') AS errors FROM batch WHERE item = 0;

-- The same batch again changes nothing: not in DEFAULT, not in the partitions of the days, and not
-- when the rows have been moved from the one to the others in between.
CREATE TABLE before AS SELECT * FROM webhook_routing_rollups;
SELECT store('batch') AS stored_again;
SELECT count(*) AS in_default FROM webhook_routing_logs_default;
SELECT count(*) > 0 AS maintained FROM routing_maintain();
SELECT count(*) AS in_default FROM webhook_routing_logs_default;
SELECT store('batch') AS stored_again;
SELECT store('(TABLE batch UNION ALL TABLE batch) twice') AS stored_again;
SELECT count(*) AS rows FROM webhook_routing_logs;
SELECT count(*) AS changed FROM
	(SELECT id, requests, latency::text FROM webhook_routing_rollups
	 EXCEPT SELECT id, requests, latency::text FROM before) d;
-- Rows that are twice in one batch are stored once, and part of a batch may be new.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
SELECT store('(TABLE batch UNION ALL TABLE batch) twice') AS stored;
DELETE FROM webhook_routing_logs WHERE bucket <= 100;
SELECT store('batch') AS stored;

-- One bad row and nothing of the batch is stored. The error tells its id, and no number.
UPDATE batch SET bucket = 10000 WHERE id = md5('77')::uuid;
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
CREATE FUNCTION failure(rows text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
BEGIN
	PERFORM store(rows);
	RETURN 'stored';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(E'\n', SQLSTATE, regexp_replace(message, '_[0-9]{8}', '_<day>'), detail);
END
$$;
SELECT md5('77')::uuid AS bad, failure('batch');
UPDATE batch SET bucket = 77, webhook_name = NULL WHERE id = md5('77')::uuid;
SELECT failure('batch');
UPDATE batch SET webhook_name = 'wa-webhook-jobs', response_time_ms = 'NaN' WHERE id = md5('77')::uuid;
SELECT failure('batch');
UPDATE batch SET response_time_ms = 1, id = NULL WHERE id = md5('77')::uuid;
SELECT failure('batch');
UPDATE batch SET id = md5('77')::uuid WHERE id IS NULL;
SELECT count(*) AS rows FROM webhook_routing_logs;
-- Without it, the neighbours go in.
SELECT store($$batch WHERE id <> md5('77')::uuid$$) AS stored;

-- A row that is older than the retention would bring a dropped day back.
DO $$
BEGIN
	INSERT INTO webhook_routing_logs (id, webhook_name, routed_to, status, created_at)
	VALUES (md5('old')::uuid, 'wa-webhook', 'legacy', 'success', now() - interval '32 days');
EXCEPTION WHEN check_violation THEN
	RAISE NOTICE '% %', SQLSTATE, regexp_replace(SQLERRM, '[-0-9:.+]+ [-0-9:.+]+( \S+)? is', '<time> is');
END
$$;
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, created_at)
VALUES ('wa-webhook', 'legacy', 'success', now() - interval '29 days');

-- Arrays that do not belong together.
SELECT store_routing_logs('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
	'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
SELECT store_routing_logs('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
	'{}', '{}', '{}', '{}', '{}', '{1}', '{}', '{}', '{}');
SELECT store_routing_logs('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
	'{{a,b},{c,d}}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
SELECT store_routing_logs('{}', '{}', '{}', '{}', '{}', '{}', '{}', NULL, '{}', '{}', '{}', '{}',
	'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');

-- A statement that touches more minutes than are held in memory at once counts them all.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, created_at)
SELECT 'wa-webhook', d, s, 'success', n, now() - n * interval '10 minutes'
  FROM generate_series(1, 1000) n, unnest('{jobs,property}'::text[]) d,
       unnest('{unified,legacy,error}'::text[]) s;
SELECT sum(requests) AS requests, count(*) = count(DISTINCT (minute, domain, routed_to)) AS once_each,
       bool_and(minute = date_trunc('minute', first_request)
                AND minute = date_trunc('minute', last_request)) AS in_their_minute
  FROM webhook_routing_rollups;

-- Under REPEATABLE READ a writer cannot add to a row that changed meanwhile; it makes its own.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, created_at)
VALUES ('wa-webhook', 'legacy', 'success', date_trunc('minute', now()));
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, created_at)
VALUES ('wa-webhook', 'legacy', 'success', date_trunc('minute', now()));
COMMIT;
SELECT sum(requests) AS requests FROM webhook_routing_rollups;

-- With hash_senders a keyed hash takes the place of sender and message id, in batches and by hand,
-- for each the same; NULL stays NULL.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
SELECT count(*) AS keys FROM webhook_routing_secrets WHERE name = 'sender_hash';
SELECT routing_sender_hash('250788000001') IS NULL AS never_hashed;
SET client_min_messages = warning;
SELECT hash_senders FROM update_routing_settings('{"hash_senders": true}', 'test');
RESET client_min_messages;
SELECT store('batch') AS stored;
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, from_number, reason)
VALUES ('wa-webhook', 'legacy', 'success', '25078800001', 'by hand'),
       ('wa-webhook', 'legacy', 'success', NULL, 'by hand'),
       ('wa-webhook', 'legacy', 'success', routing_sender_hash('25078800001'), 'by hand');
SELECT count(*) AS keys, min(octet_length(secret)) AS bytes FROM webhook_routing_secrets WHERE name = 'sender_hash';
SELECT count(*) FILTER (WHERE from_number ~ '^hmac:[0-9a-f]{32}$') AS senders,
       count(DISTINCT from_number) AS different_senders,
       count(*) FILTER (WHERE message_id ~ '^hmac:[0-9a-f]{32}$') AS messages,
       count(DISTINCT message_id) AS different_messages,
       count(*) FILTER (WHERE from_number LIKE '2507%' OR message_id LIKE 'wamid%') AS plain
  FROM webhook_routing_logs;
SELECT count(*) AS by_hand, count(DISTINCT from_number) AS senders,
       bool_and(from_number = routing_sender_hash('25078800001')) AS the_same
  FROM webhook_routing_logs WHERE reason = 'by hand';
-- HMAC-SHA-256 as RFC 2104 has it, from sha256() alone.
WITH key AS (
	SELECT k.secret || decode(repeat('00', 32), 'hex') AS block FROM webhook_routing_secrets k WHERE name = 'sender_hash'
), pads AS (
	SELECT string_agg(set_byte('\x00', 0, get_byte(block, i) # 54), '' ORDER BY i) AS inner_pad,
	       string_agg(set_byte('\x00', 0, get_byte(block, i) # 92), '' ORDER BY i) AS outer_pad
	  FROM key, generate_series(0, 63) i
)
SELECT routing_sender_hash('250788123456') = 'hmac:' || left(encode(
	sha256(outer_pad || sha256(inner_pad || '250788123456'::bytea)), 'hex'), 32) AS rfc_2104
  FROM pads;
-- The batch is known again although it was stored hashed.
SELECT store('batch') AS stored_again;
-- A partition that is loaded directly, as pg_restore does, keeps what it is given, uncounted.
CREATE TABLE counted AS SELECT sum(requests) AS requests FROM webhook_routing_rollups;
INSERT INTO webhook_routing_logs_default (webhook_name, routed_to, status, from_number, created_at)
VALUES ('wa-webhook', 'legacy', 'success', '250788999999', '2001-01-01');
SELECT from_number FROM webhook_routing_logs_default;
SELECT requests = (SELECT sum(requests) FROM webhook_routing_rollups) AS uncounted FROM counted;

DROP FUNCTION refusal(jsonb), store(text), failure(text);
DROP TABLE batch, before, counted;
