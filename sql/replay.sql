-- What a forwarder stores again after a crash, whenever that is: over midnight, in DEFAULT, after the rows
-- were moved to their days, and after those days have been dropped.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
RESET client_min_messages;
SET timezone = 'America/St_Johns';

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
-- Each side of the last midnight UTC, to the microsecond; yesterday's; ten and twenty days back; ahead.
CREATE TABLE batch AS
SELECT r.*
  FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS today) d,
       unnest(ARRAY[interval '0', '-1 us', '1 us', '-12 hours', '-10 days', '-20 days', '30 days'])
		WITH ORDINALITY AS t (distance, n),
       LATERAL jsonb_populate_record(NULL::webhook_routing_logs, jsonb_build_object(
		'id', md5(n::text)::uuid, 'created_at', today + distance, 'attempt', 1, 'item', 0, 'bucket', n,
		'webhook_name', 'wa-webhook-jobs', 'domain', 'jobs', 'routed_to', 'legacy', 'reason', 'disabled',
		'http_status', 200, 'response_time_ms', 1, 'status', 'success', 'ambiguous', false)) r;
CREATE VIEW totals AS
SELECT (SELECT count(*) FROM webhook_routing_logs) AS rows, (SELECT count(DISTINCT id) FROM webhook_routing_logs) AS ids,
       (SELECT sum(requests) FROM webhook_routing_rollups) AS requests,
       (SELECT count(*) FROM webhook_routing_logs_default) AS in_default;

-- All of it in DEFAULT, again in DEFAULT, again when the days have been made.
SELECT store('batch') AS stored;
SELECT store('batch') AS stored_again;
SELECT * FROM totals;
SELECT count(*) AS days_made_of_rows FROM routing_maintain() WHERE detail LIKE '%rows from%';
SELECT * FROM totals;
SELECT store('batch') AS stored_again;
SELECT * FROM totals;
-- The other way: stored where the days are there already.
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
SELECT store('batch') AS stored;
SELECT store('batch') AS stored_again;
SELECT * FROM totals;

-- Days that have expired but are not dropped yet know their rows; once they are dropped, a row of theirs
-- is refused, for itself, as a check violation that names it. Its neighbours are stored without it.
SET client_min_messages = warning;
SELECT count(*) FROM update_routing_settings('{"log_retention": "5 days"}');
RESET client_min_messages;
SELECT store('batch') AS stored_again;
SELECT count(*) AS dropped FROM routing_maintain() WHERE action = 'dropped';
SELECT * FROM totals;
CREATE FUNCTION failure(rows text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	RETURN store(rows) || ' stored';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(E'\n', SQLSTATE, regexp_replace(SQLERRM, 'row of .* is', 'row of <time> is'), detail);
END
$$;
SELECT md5('5')::uuid AS old, failure('(SELECT * FROM batch ORDER BY bucket) b');
SELECT bucket, failure(format('batch WHERE bucket = %s', bucket)) FROM batch ORDER BY bucket;
SELECT failure('batch WHERE bucket NOT IN (5, 6)');
SELECT * FROM totals;
-- The same with a neighbour that is new.
DELETE FROM webhook_routing_logs WHERE bucket = 1;
SELECT failure('batch WHERE bucket IN (1, 6)');
SELECT failure('batch WHERE bucket = 1');
-- Nothing was left in DEFAULT by the attempts.
SELECT bucket FROM webhook_routing_logs_default;

SET client_min_messages = warning;
DROP VIEW totals;
DROP FUNCTION store(text), failure(text);
DROP TABLE batch;
DROP EXTENSION webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
