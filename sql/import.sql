-- What another router left behind becomes history and log: each row once, what cannot be kept with its reason.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
CREATE SCHEMA other;
CREATE TABLE other.config (
	id uuid, percentage numeric, enabled boolean, domains text[], created_at timestamptz,
	updated_at timestamptz, created_by text, notes text);
INSERT INTO other.config VALUES
	('a0000000-0000-4000-8000-000000000003', 25, true, '{jobs,property,jobs}', '2025-03-03 10:00+00', '2025-03-03 11:00+00', 'ann', 'more'),
	('a0000000-0000-4000-8000-000000000001', 0, false, '{jobs}', '2025-03-01 10:00+00', NULL, 'system', NULL),
	('a0000000-0000-4000-8000-000000000002', 10.00, true, '{jobs}', '2025-03-02 10:00+00', '2025-03-02 10:00+00', 'ann', 'begin'),
	(NULL, 10.5, true, '{jobs}', '2025-03-02 10:00+00', '2025-03-02 10:00+00', NULL, 'at the same moment'),
	('a0000000-0000-4000-8000-000000000001', 5, true, '{}', '2025-03-04 10:00+00', NULL, 'bob', 'an id twice'),
	(NULL, 120, true, '{jobs}', '2025-03-02 12:00+00', NULL, 'bob', NULL),
	(NULL, -1, true, '{jobs}', '2025-03-02 12:00+00', NULL, 'bob', NULL),
	(NULL, 33.333, true, '{jobs}', '2025-03-02 12:00+00', NULL, 'bob', NULL),
	(NULL, 'NaN', true, '{jobs}', '2025-03-02 12:00+00', NULL, 'bob', NULL),
	(NULL, NULL, true, '{jobs}', '2025-03-02 12:00+00', NULL, 'bob', NULL),
	(NULL, 20, NULL, '{jobs}', '2025-03-02 12:00+00', NULL, 'bob', NULL),
	(NULL, 20, true, NULL, '2025-03-02 12:00+00', NULL, 'bob', NULL),
	(NULL, 20, true, '{jobs,NULL}', '2025-03-02 12:00+00', NULL, 'bob', NULL),
	(NULL, 20, true, '{jobs}', '1970-01-01', NULL, 'bob', NULL);
SELECT * FROM import_routing_config('other.config');
SELECT version, id::text LIKE 'a0000000%' AS kept_id, percentage, enabled, domains, created_at AT TIME ZONE 'UTC' AS created_at,
	   created_by, notes, change
  FROM webhook_routing_config ORDER BY version;
-- It is history like any other: it answers for its time, and what comes next follows it.
SELECT percentage FROM routing_config_as_of('2025-03-02 11:00+00');
SELECT version, percentage, created_at > now() - interval '1 hour' AS now FROM update_routing_percentage(30, 'on');
SELECT routed_to, reason FROM route_decide('{"object": "whatsapp_business_account", "entry": []}'::text);
-- Once, and before anything else.
SELECT import_routing_config('other.config');
SELECT import_routing_config('pg_class');

-- The newest row decides what is in force, even when it cannot be kept.
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
INSERT INTO other.config VALUES (NULL, 1000, true, '{jobs}', '2025-03-05 10:00+00', NULL, 'bob', NULL);
SELECT * FROM import_routing_config('other.config') WHERE outcome IN ('switched off', 'in force');
SELECT version, enabled, percentage, notes FROM get_current_routing_config();
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
INSERT INTO other.config VALUES (NULL, 50, true, '{mobility,jobs,insurance}', '2025-03-06 10:00+00', NULL, 'bob', NULL);
SELECT * FROM import_routing_config('other.config') WHERE outcome IN ('withdrawn', 'switched off', 'in force');
SELECT version, enabled, domains, change, notes FROM webhook_routing_config ORDER BY version DESC LIMIT 2;
-- ORDER BY created_at DESC finds a row without a date first.
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
INSERT INTO other.config VALUES (NULL, 60, false, '{jobs}', 'infinity', NULL, 'bob', NULL), (NULL, 60, true, '{jobs}', NULL, NULL, 'bob', NULL);
SELECT * FROM import_routing_config('other.config') WHERE detail LIKE 'created_at is %' OR outcome IN ('switched off', 'in force');
SELECT notes FROM get_current_routing_config();
-- From the future: never after what comes next.
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
CREATE TABLE other.future AS SELECT 7 AS percentage, true AS enabled, '{jobs}'::text[] AS domains, now() + interval '1 day' AS created_at;
SELECT * FROM import_routing_config('other.future');
SELECT version, percentage FROM update_routing_percentage(8);
-- An empty table changes nothing.
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
DELETE FROM other.future;
SELECT * FROM import_routing_config('other.future');

-- The log.
CREATE TABLE other.logs (
	id uuid, webhook_name text, domain text, routed_to text, from_number text, message_id text,
	response_time_ms double precision, status text, error_message text, created_at timestamptz);
INSERT INTO other.logs
SELECT gen_random_uuid(), 'wa-webhook-' || d, d, CASE WHEN n % 4 = 0 THEN 'unified' ELSE 'legacy' END, '25078800000' || n % 10,
	   'wamid.' || d || n, n, CASE WHEN n % 50 = 0 THEN 'error' ELSE 'success' END, NULL, now() - n * interval '7 hours'
  FROM generate_series(1, 100) n, unnest('{jobs,property}'::text[]) d;
INSERT INTO other.logs VALUES
	(NULL, 'wa-webhook', NULL, 'legacy', NULL, NULL, -5, 'success', NULL, now()),
	(NULL, 'wa-webhook', NULL, 'legacy', NULL, NULL, -5, 'success', NULL, now()),
	(gen_random_uuid(), 'wa-webhook', 'jobs', 'legacy', NULL, NULL, 'NaN', 'success', NULL, now()),
	(gen_random_uuid(), 'wa-webhook', 'jobs', 'legacy', NULL, NULL, NULL, 'error', 'it''s broken', now()),
	(gen_random_uuid(), 'wa-webhook', 'jobs', 'canary', NULL, NULL, 1, 'success', NULL, now()),
	(gen_random_uuid(), 'wa-webhook', 'jobs', NULL, NULL, NULL, 1, 'success', NULL, now()),
	(gen_random_uuid(), 'wa-webhook', 'jobs', 'legacy', NULL, NULL, 1, 'timeout', NULL, now()),
	(gen_random_uuid(), NULL, 'jobs', 'legacy', NULL, NULL, 1, 'success', NULL, now()),
	(gen_random_uuid(), 'wa-webhook', 'jobs', 'legacy', NULL, NULL, 1, 'success', NULL, NULL),
	(gen_random_uuid(), 'wa-webhook', 'jobs', 'legacy', NULL, NULL, 1, 'success', NULL, 'infinity'),
	(gen_random_uuid(), 'wa-webhook', 'jobs', 'legacy', NULL, NULL, 1, 'success', NULL, now() - interval '40 days');
INSERT INTO other.logs SELECT * FROM other.logs WHERE message_id = 'wamid.jobs1';
SELECT * FROM import_routing_logs('other.logs', until => now() - interval '10 days') ORDER BY 1, 3;
SELECT * FROM import_routing_logs('other.logs', now() - interval '10 days') ORDER BY 1, 3;
-- Again: nothing is doubled, neither in the log nor in the statistics.
SELECT * FROM import_routing_logs('other.logs') WHERE outcome IN ('imported', 'there already');
SELECT count(*), count(*) FILTER (WHERE status = 'error') AS errors, count(response_time_ms) AS measured,
	   count(bucket) + count(config_version) + count(decision_id) AS nothing
  FROM webhook_routing_logs;
SELECT sum(requests) AS requests, sum(errors) AS errors, sum(skipped) AS skipped FROM webhook_routing_rollups;
SELECT domain, routed_to, request_count, error_count FROM webhook_routing_stats;
-- Each row is in its day once the days are made.
SELECT count(*) > 25 AS days, count(*) FILTER (WHERE detail LIKE '% rows from %') > 25 AS filled
  FROM routing_maintain() WHERE action = 'created';
SELECT count(*) FROM webhook_routing_logs_default WHERE created_at < now() + interval '1 day';
SELECT sum(requests) FROM webhook_routing_rollups;
-- What chance has decided is not decided again.
SELECT count(*) FROM verify_routing_decisions(NULL);
-- Another form: text for everything, a bigint for an id.
CREATE VIEW other.texts AS
SELECT 42 AS id, 'wa-webhook'::varchar AS webhook_name, 'legacy'::char(6) AS routed_to, 'success'::text AS status, '12.5'::text AS response_time_ms,
	   '2020-01-01'::date AS created_at UNION ALL SELECT 43, 'wa-webhook', 'legacy', 'success', 'soon', now()::date;
SELECT * FROM import_routing_logs('other.texts') ORDER BY 1, 3;
SELECT import_routing_logs('other.config');
SELECT import_routing_logs(NULL);
-- Senders are hashed as those of new rows are.
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
SELECT hash_senders FROM update_routing_settings('{"hash_senders": true}');
SELECT row_count FROM import_routing_logs('other.logs', now() - interval '10 days') WHERE outcome = 'imported';
SELECT bool_and(from_number LIKE 'hmac:%'), bool_and(message_id LIKE 'hmac:%') FROM webhook_routing_logs WHERE from_number IS NOT NULL;

-- It is the owner's: neither an operator nor a forwarder may. Row security must not hide rows from it.
CREATE ROLE regress_import;
SELECT count(*) > 10 FROM grant_routing_role('operator', 'regress_import');
SELECT has_function_privilege('regress_import', p.oid, 'EXECUTE') FROM pg_proc p WHERE proname LIKE 'import_routing%';
DROP OWNED BY regress_import;
DROP ROLE regress_import;
DROP SCHEMA other CASCADE;
DROP EXTENSION webhook_routing;
CREATE EXTENSION webhook_routing;
