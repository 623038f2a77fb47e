-- Decisions that are committed before the relay, by a forwarder without a spool: with an outcome they
-- are in the log as ever, without one they get there by routing_maintain(); once in either case.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
SELECT count(*) > 0 AS maintained FROM routing_maintain();
RESET client_min_messages;
\set VERBOSITY terse

CREATE FUNCTION store(kind text, rows text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	stored bigint;
BEGIN
	EXECUTE format('SELECT store_routing_%s(
		array_agg(id), array_agg(created_at), array_agg(decision_id), array_agg(attempt),
		array_agg(item), array_agg(webhook_name), array_agg(domain), array_agg(routed_to),
		array_agg(reason), array_agg(bucket), array_agg(percentage), array_agg(config_version),
		array_agg(from_number), array_agg(message_id), array_agg(message_type),
		array_agg(correlation_id), array_agg(http_status), array_agg(response_time_ms),
		array_agg(status), array_agg(error_message), array_agg(ambiguous)) FROM ', kind) || rows INTO stored;
	RETURN stored;
END
$$;
CREATE FUNCTION upkeep() RETURNS TABLE (action text, object text, detail text) LANGUAGE sql AS $$
	SELECT action, object, regexp_replace(detail, '[0-9]{2,4}-[0-9]{2}-[0-9]{2,4}', '<day>') FROM routing_maintain()
$$;
-- What a forwarder knows of 100 webhooks before it relays them, and afterwards.
CREATE TABLE decided AS
SELECT r.*
  FROM generate_series(1, 100) n,
       LATERAL jsonb_populate_record(NULL::webhook_routing_logs, jsonb_build_object(
		'id', md5(n::text)::uuid, 'created_at', now(), 'decision_id', md5('decision' || n)::uuid,
		'attempt', 1, 'item', n % 2, 'webhook_name', 'wa-webhook-jobs', 'domain', 'jobs',
		'routed_to', 'legacy', 'reason', 'out_of_percentage', 'bucket', n, 'percentage', 33.33,
		'config_version', 7, 'from_number', '2507880000' || n, 'message_id', 'wamid.' || n,
		'message_type', 'text', 'correlation_id', 'c-' || n, 'status', 'error', 'ambiguous', true)) r;
CREATE TABLE done AS
SELECT (jsonb_populate_record(d, '{"status": "success", "ambiguous": false, "http_status": 200, "response_time_ms": 12}')).*
  FROM decided d;

-- Nothing is in the log before there is an outcome; repeated, nothing changes.
SELECT store('pending', 'decided') AS stored;
SELECT store('pending', 'decided') AS stored_again;
SELECT count(*) AS different FROM (
	SELECT to_jsonb(d) FROM decided d EXCEPT SELECT to_jsonb(p) - 'stored_at' FROM webhook_routing_pending p) d;
SELECT (SELECT count(*) FROM webhook_routing_logs) AS log, (SELECT count(*) FROM webhook_routing_rollups) AS rollups;
-- A minute has not passed.
SELECT * FROM upkeep();

-- The outcome takes the row's place.
SELECT store('logs', 'done WHERE bucket <= 60') AS stored;
SELECT count(*) AS pending, min(bucket), max(bucket) FROM webhook_routing_pending;
SELECT count(*) AS different FROM (SELECT * FROM done WHERE bucket <= 60 EXCEPT SELECT * FROM webhook_routing_logs) d;
SELECT sum(requests) AS requests, sum(errors) AS errors FROM webhook_routing_rollups;

-- None for a minute, by the clock of the database: the log says that it is unknown.
UPDATE webhook_routing_pending SET stored_at = now() - interval '61 seconds' WHERE bucket <= 90;
SELECT * FROM upkeep();
SELECT * FROM upkeep();
SELECT status, ambiguous, http_status, response_time_ms, error_message, count(*), min(bucket), max(bucket)
  FROM webhook_routing_logs GROUP BY 1, 2, 3, 4, 5 ORDER BY 1;
SELECT count(*) AS different FROM (
	SELECT to_jsonb(d) - '{status,error_message,ambiguous}'::text[] FROM decided d WHERE bucket BETWEEN 61 AND 90
	EXCEPT SELECT to_jsonb(l) - '{status,error_message,ambiguous}'::text[] FROM webhook_routing_logs l) d;
SELECT sum(requests) AS requests, sum(errors) AS errors, sum(skipped) AS without_a_time FROM webhook_routing_rollups;
-- An outcome that comes later changes nothing, nor does the decision that comes again.
SELECT store('logs', 'done') AS those_still_pending;
SELECT count(*) AS pending FROM webhook_routing_pending;
SELECT store('pending', 'decided') AS stored;
UPDATE webhook_routing_pending SET stored_at = now() - interval '61 seconds';
SELECT * FROM upkeep();
SELECT count(*) AS pending FROM webhook_routing_pending;
SELECT status, ambiguous, count(*) FROM webhook_routing_logs GROUP BY 1, 2 ORDER BY 1;
SELECT sum(requests) AS requests, sum(errors) AS errors FROM webhook_routing_rollups;

-- What the log would refuse is refused here as well, so that whatever is pending can go there. A batch
-- that fails leaves what is pending.
TRUNCATE webhook_routing_logs, webhook_routing_rollups, webhook_routing_pending;
CREATE FUNCTION failure(kind text, change jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
BEGIN
	PERFORM store(kind, format('(SELECT (jsonb_populate_record(d, %L)).* FROM decided d WHERE bucket = 7'
		' UNION ALL SELECT * FROM decided WHERE bucket = 8) bad', change));
	RETURN 'stored';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(E'\n', SQLSTATE, regexp_replace(regexp_replace(message, '_[0-9]{8}', '_<day>'),
		'row of .* is', 'row of <time> is'), detail);
END
$$;
SELECT failure(kind, change)
  FROM unnest('{pending,logs}'::text[]) kind,
       unnest(ARRAY['{"bucket": 10000}', '{"webhook_name": null}', '{"created_at": "2001-01-01"}',
                    '{"created_at": "infinity"}']::jsonb[]) change;
SELECT store('pending', 'decided WHERE bucket < 10') AS stored;
SELECT left(failure('logs', '{"response_time_ms": "NaN"}'), 5) AS sqlstate;
SELECT count(*) AS still_pending FROM webhook_routing_pending;
SELECT store_routing_pending('{}', '{now}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
	'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
SELECT store_routing_pending(NULL, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
	'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
SELECT store_routing_pending('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
	'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');

-- What waited beyond the retention (in a dump, say) goes without having been in the log.
UPDATE webhook_routing_pending SET created_at = now() - interval '40 days', stored_at = now() - interval '2 hours'
 WHERE bucket < 5;
UPDATE webhook_routing_pending SET stored_at = now() - interval '3 hours' WHERE bucket = 5;
SELECT * FROM upkeep();
SELECT (SELECT count(*) FROM webhook_routing_logs) AS log, (SELECT count(*) FROM webhook_routing_pending) AS pending;

-- Senders are hashed here as in the log; what was stored before that is hashed on the way there.
TRUNCATE webhook_routing_logs, webhook_routing_rollups, webhook_routing_pending;
SELECT store('pending', 'decided WHERE bucket <= 10') AS stored;
SET client_min_messages = warning;
SELECT hash_senders FROM update_routing_settings('{"hash_senders": true}', 'test');
RESET client_min_messages;
SELECT store('pending', 'decided WHERE bucket <= 20') AS stored;
SELECT from_number LIKE 'hmac:%' AS sender, message_id LIKE 'hmac:%' AS message, count(*)
  FROM webhook_routing_pending GROUP BY 1, 2 ORDER BY 1;
UPDATE webhook_routing_pending SET stored_at = now() - interval '61 seconds';
SELECT * FROM upkeep();
SELECT from_number LIKE 'hmac:%' AS sender, message_id LIKE 'hmac:%' AS message, count(*)
  FROM webhook_routing_logs GROUP BY 1, 2 ORDER BY 1;
SELECT count(*) AS found FROM webhook_routing_logs WHERE from_number = routing_sender_hash('25078800001');

-- Privacy requests reach them.
TRUNCATE webhook_routing_logs, webhook_routing_rollups, webhook_routing_pending;
SELECT store('pending', 'decided WHERE bucket IN (3, 4)') AS stored;
SELECT store('logs', '(SELECT (jsonb_populate_record(d, ''{"attempt": 2}'')).* FROM done d WHERE bucket = 5) other') AS stored;
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, from_number) VALUES ('w', 'legacy', 'success', '25078800003');
SELECT erase_sender('25078800003') AS erased;
SELECT bucket, from_number IS NULL AS erased, message_id IS NULL AS with_the_message FROM webhook_routing_pending ORDER BY 1;
SELECT count(*) AS erased FROM webhook_routing_logs WHERE from_number IS NULL;

SET client_min_messages = warning;
DROP FUNCTION store(text, text), failure(text, jsonb), upkeep();
DROP TABLE decided, done;
DROP EXTENSION webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
