-- Upkeep of the log. Dates are shown as distance from today (UTC).
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
-- A database whose default privileges give everything to everybody, as some hosters have it.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
CREATE EXTENSION webhook_routing;
RESET client_min_messages;
SET timezone = 'America/St_Johns';

CREATE FUNCTION relative(told text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
	FOR n IN -40..10 LOOP
		told := replace(told, to_char(today + n, 'YYYYMMDD'), format('<%s>', n));
		told := replace(told, (today + n)::text, format('<%s>', n));
	END LOOP;
	RETURN told;
END
$$;
CREATE VIEW partitions AS
SELECT relative(c.relname::text) AS partition, relative(pg_get_expr(c.relpartbound, c.oid)) AS bound,
       (SELECT string_agg(pg_get_constraintdef(k.oid), ', ') FROM pg_constraint k
         WHERE k.conrelid = c.oid AND k.contype = 'p') AS key
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'webhook_routing_logs'::regclass
 ORDER BY c.relname;

-- Days from yesterday to a week ahead, bounded by midnight UTC, each with its own key.
SELECT action, relative(object) AS object, relative(detail) AS detail FROM routing_maintain();
BEGIN;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
SELECT * FROM partitions;
ROLLBACK;
SELECT relative(obj_description(c.oid)) AS comment
  FROM pg_class c WHERE c.oid = (SELECT max(inhrelid) FROM pg_inherits
                                  WHERE inhparent = 'webhook_routing_logs'::regclass);
-- Nothing is left to do.
SELECT * FROM routing_maintain();
-- Nobody but the owner may read a partition, whatever the default privileges are.
SELECT relname FROM pg_class c, aclexplode(c.relacl) a
 WHERE relname LIKE 'webhook\_routing\_%' AND relkind IN ('r', 'p', 'v') AND a.grantee <> c.relowner;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC;

-- Rows of days without a partition are in DEFAULT until their day is made; nothing is counted again.
INSERT INTO webhook_routing_logs (id, webhook_name, routed_to, status, response_time_ms, created_at)
SELECT md5(n::text)::uuid, 'w', 'legacy', 'success', abs(n),
       date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + n * interval '6 hours'
  FROM generate_series(-40, 40) n;
CREATE TABLE rows AS SELECT * FROM webhook_routing_logs;
CREATE TABLE counted AS SELECT * FROM webhook_routing_rollups;
SELECT count(*) AS in_default FROM webhook_routing_logs_default;
SELECT action, relative(object) AS object, relative(detail) AS detail FROM routing_maintain();
SELECT count(*) AS still_in_default, bool_and(created_at >= now() + interval '7 days') AS far_ahead
  FROM webhook_routing_logs_default;
SELECT count(*) AS lost FROM (TABLE rows EXCEPT TABLE webhook_routing_logs) d;
SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM webhook_routing_logs;
SELECT count(*) AS changed FROM (SELECT id, requests FROM webhook_routing_rollups
                                 EXCEPT SELECT id, requests FROM counted) d;
SELECT count(*) AS misplaced FROM webhook_routing_logs
 WHERE tableoid::regclass::text NOT IN ('webhook_routing_logs_default',
	'webhook_routing_logs_' || to_char(created_at AT TIME ZONE 'UTC', 'YYYYMMDD'));

-- What has expired goes, with whole days: the oldest day kept is that of "now - retention". Tables
-- that somebody else attached stay.
CREATE TABLE kept_elsewhere PARTITION OF webhook_routing_logs
	FOR VALUES FROM ('1999-01-01 00:00:00+00') TO ('1999-02-01 00:00:00+00');
INSERT INTO webhook_routing_logs_default (webhook_name, routed_to, status, created_at)
VALUES ('w', 'legacy', 'success', now() - interval '1000 days');
INSERT INTO webhook_routing_rollups
SELECT gen_random_uuid(), now() - d * interval '1 day', domain, routed_to, webhook_name, config_version, requests, errors,
       skipped, above_250_ms, above_1000_ms, reached_warning, above_critical, latency, first_request,
       last_request
  FROM (SELECT * FROM webhook_routing_rollups LIMIT 1) r, unnest('{89,91,92}'::int[]) d;
SET client_min_messages = warning;
SELECT count(*) FROM update_routing_settings('{"log_retention": "5 days"}');
RESET client_min_messages;
SELECT action, relative(object) AS object, relative(detail) AS detail FROM routing_maintain();
SELECT partition FROM partitions WHERE partition !~ '<[0-7]>';
SELECT min(created_at) >= date_trunc('day', (now() - interval '5 days') AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
       AS nothing_older FROM webhook_routing_logs;
SELECT count(*) FILTER (WHERE minute < now() - interval '90 days') AS old_rollups,
       count(*) FILTER (WHERE minute < now() - interval '80 days') AS kept FROM webhook_routing_rollups;
-- A row of a day that was dropped is refused; one of the oldest day that is kept is not.
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, created_at)
VALUES ('w', 'legacy', 'success',
        date_trunc('day', (now() - interval '5 days') AT TIME ZONE 'UTC') AT TIME ZONE 'UTC');
DO $$
BEGIN
	INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, created_at)
	VALUES ('w', 'legacy', 'success',
	        date_trunc('day', (now() - interval '5 days') AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
	        - interval '1 microsecond');
EXCEPTION WHEN check_violation THEN
	RAISE NOTICE 'refused';
END
$$;

-- A table that has the name of a day and is no partition is left alone; its rows stay in DEFAULT.
DO $$
DECLARE
	leaf text := 'webhook_routing_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
	EXECUTE 'ALTER TABLE webhook_routing_logs DETACH PARTITION ' || leaf;
END
$$;
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status) VALUES ('w', 'legacy', 'success');
SELECT action, relative(object) AS object, relative(detail) AS detail FROM routing_maintain();
SELECT count(*) > 0 AS in_default FROM webhook_routing_logs_default WHERE created_at < now();

DROP VIEW partitions;
DROP FUNCTION relative(text);
DROP TABLE rows, counted;
SET client_min_messages = warning;
DROP EXTENSION webhook_routing CASCADE;
-- The detached day is nobody's any more; the partitions went with the log.
SELECT count(*) AS left FROM pg_class WHERE relname ~ '^webhook_routing_logs_[0-9]{8}$' AND relkind = 'r';
DO $$ BEGIN EXECUTE 'DROP TABLE webhook_routing_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD'); END $$;
CREATE EXTENSION webhook_routing;
