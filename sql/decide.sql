-- What route_decide() answers, in each of its reasons, for each of its types, and to anybody who may
-- call it. The engine has unit tests of its own; here is what only the extension can get wrong.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing;
CREATE EXTENSION webhook_routing;
\set SHOW_CONTEXT never
\pset null '-'

-- A message with a text; one with any content.
CREATE FUNCTION message(body text, sender text DEFAULT '250788000001') RETURNS text LANGUAGE sql AS $$
	SELECT json_build_object('object', 'whatsapp_business_account', 'entry', json_build_array(json_build_object(
		'changes', json_build_array(json_build_object('field', 'messages', 'value', json_build_object(
			'messages', json_build_array(json_build_object('from', sender, 'id', 'wamid.1', 'type', 'text',
				'text', json_build_object('body', body)))))))))::text $$;
CREATE FUNCTION webhook(value text, field text DEFAULT 'messages') RETURNS text LANGUAGE sql AS $$
	SELECT format('{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"%s","value":%s}]}]}', field, value) $$;

-- As installed: disabled.
SELECT * FROM route_decide(message('I am looking for jobs')) \gx

-- Every reason, in the order in which they are tried.
SELECT version FROM set_routing_enabled(true);
SELECT version FROM set_routing_domains('{jobs,marketplace}');
SELECT version FROM update_routing_percentage(50);
SELECT name, d.webhook_name, d.routed_to, d.domain, d.reason, d.matched, d.bucket, d.percentage, d.message_type, d.fallback_webhook
  FROM (VALUES
	(1, 'named', message('no matter what'), 'wa-webhook-jobs'),
	(2, 'named, protected', message('no matter what'), 'wa-webhook-mobility'),
	(3, 'named, unknown', message('I need a job'), 'wa-webhook-nowhere'),
	(4, 'named, the default', message('I need a job'), 'wa-webhook'),
	(5, 'named, empty', message('I need a job'), ''),
	(6, 'malformed', '{', NULL),
	(7, 'empty', '', NULL),
	(8, 'not WhatsApp', '{"a": 1}', NULL),
	(9, 'status', webhook('{"statuses":[{"id":"wamid.2","status":"read","recipient_id":"250788000002"}]}'), NULL),
	(10, 'other field', webhook('{"event":"APPROVED"}', 'message_template_status_update'), NULL),
	(11, 'protected', message('I want a ride to the airport'), NULL),
	(12, 'unknown domain', message('Good morning'), NULL),
	(13, 'not enrolled', message('A house to rent'), NULL),
	(14, 'no sender', webhook('{"messages":[{"id":"wamid.3","type":"text","text":{"body":"job"}}]}'), NULL),
	(15, 'in percentage', message('I need a job', '250788000001'), NULL),
	(16, 'out of percentage', message('I need a job', '250788000004'), NULL),
	(17, 'button', webhook('{"messages":[{"from":"250788000004","id":"wamid.4","type":"interactive","interactive":{"type":"button_reply","button_reply":{"id":"buy_and_sell","title":"Work"}}}]}'), NULL),
	(18, 'mixed', webhook('{"messages":[{"from":"1","id":"wamid.5","type":"text","text":{"body":"job"}},{"from":"2","id":"wamid.6","type":"text","text":{"body":"taxi"}}]}'), NULL),
	(19, 'older flat form', '{"from":"250788000004","type":"text","message":{"id":"wamid.7","text":{"body":"job"}}}', NULL)
  ) AS case_of (place, name, body, named), route_decide(body, named) d
 ORDER BY place;
SELECT version FROM set_routing_enabled(false);
SELECT routed_to, reason FROM route_decide(message('I need a job', '250788000001'));

-- 0 and 100 are exact; a ceiling is one; URLs and fallbacks come along; the version is the newest.
SELECT version FROM set_routing_enabled(true);
CREATE VIEW shares AS
	SELECT d.percentage, count(*) FILTER (WHERE d.routed_to = 'unified') AS unified, count(*) AS messages,
		   bool_and((d.routed_to = 'unified') = (d.bucket < d.percentage * 100)) AS by_bucket,
		   bool_and(d.bucket = routing_bucket('2507880' || n)) AS same_bucket
	  FROM generate_series(10001, 20000) n, route_decide(message('job', '2507880' || n)) d
	 GROUP BY d.percentage;
SELECT version FROM update_routing_percentage(0);
SELECT * FROM shares;
SELECT version FROM update_routing_percentage(100);
SELECT * FROM shares;
SELECT version FROM update_routing_percentage(33.33);
-- Three standard deviations of 10,000 draws are 1.4 %.
SELECT percentage, unified BETWEEN 3192 AND 3474 AS as_expected, by_bucket, same_bucket FROM shares;
UPDATE webhook_routing_domains SET percentage = 10 WHERE domain = 'jobs';
SELECT percentage, unified BETWEEN 910 AND 1090 AS as_expected, by_bucket FROM shares;
UPDATE webhook_routing_domains SET percentage = 90 WHERE domain = 'jobs';
SELECT percentage FROM shares;
UPDATE webhook_routing_targets SET url = 'https://functions.example.org/u' WHERE name = 'wa-webhook-unified';
UPDATE webhook_routing_targets SET url = 'https://functions.example.org/j' WHERE name = 'wa-webhook-jobs';
SELECT version FROM update_routing_percentage(100);
UPDATE webhook_routing_domains SET percentage = NULL WHERE domain = 'jobs';
SELECT webhook_name, target_url, fallback_webhook, fallback_url, d.config_id = c.id AS newest, d.config_version = c.version AS newest
  FROM route_decide(message('job')) d, get_current_routing_config() c;

-- Raising the percentage moves nobody back.
CREATE TABLE sides (percentage numeric, sender text, routed_to text);
DO $$ BEGIN
	FOR p IN 0 .. 10 LOOP
		PERFORM update_routing_percentage(p * 10);
		INSERT INTO sides SELECT p * 10, n, d.routed_to FROM generate_series(1, 500) n, route_decide(message('job', n::text)) d;
	END LOOP;
END $$;
SELECT count(*) AS moved_back FROM sides a JOIN sides b USING (sender)
 WHERE a.percentage < b.percentage AND a.routed_to = 'unified' AND b.routed_to = 'legacy';
DROP TABLE sides;

-- The types agree.
SELECT count(DISTINCT d::text) AS answers FROM (
	SELECT d FROM (VALUES (message('Un travail, s''il vous plaît: job'))) m (body), route_decide(convert_to(body, 'UTF8')) d
	UNION ALL SELECT d FROM (VALUES (message('Un travail, s''il vous plaît: job'))) m (body), route_decide(body) d
	UNION ALL SELECT d FROM (VALUES (message('Un travail, s''il vous plaît: job'))) m (body), route_decide(body::json) d
	UNION ALL SELECT d FROM (VALUES (message('Un travail, s''il vous plaît: job'))) m (body), route_decide(body::jsonb) d) AS all_of_them;
SELECT pg_typeof(reason), reason FROM route_decide('{}');
SELECT reason FROM route_decide(NULL::bytea);
SELECT reason FROM route_decide(NULL::jsonb, 'wa-webhook-jobs');

-- bytea takes anything and raises nothing; what comes out is text that the database can hold.
SELECT reason, from_number, message_id, domain, octet_length(message_type) AS type_bytes FROM route_decide(convert_to(
	webhook('{"messages":[{"from":"1\u0000\ud800","id":"wamid\u0000","type":"' || repeat('é', 100) || '","text":{"body":"\u006aob"}}]}'), 'UTF8'));
SELECT reason FROM route_decide('\xff00fe'::bytea);
DO $$
DECLARE
	good  bytea := convert_to(message('I am looking for a job, Ünïcödé 😀'), 'UTF8');
	bad   bytea;
	count integer := 0;
	d     record;
BEGIN
	PERFORM setseed(0.5);
	FOR i IN 0 .. length(good) LOOP			-- every cut
		SELECT * INTO STRICT d FROM route_decide(substring(good FROM 1 FOR i));
		count := count + 1;
	END LOOP;
	FOR i IN 1 .. 3000 LOOP					-- one to four bytes changed
		bad := good;
		FOR j IN 1 .. 1 + (random() * 3)::integer LOOP
			bad := set_byte(bad, (random() * (length(bad) - 1))::integer, (random() * 255)::integer);
		END LOOP;
		SELECT * INTO STRICT d FROM route_decide(bad);
		PERFORM FROM route_decide_items(bad);
		PERFORM FROM route_explain(bad);
		PERFORM length(d::text);
		count := count + 1;
	END LOOP;
	RAISE WARNING '% decided', count;
END $$;
-- Stored out of line, compressed or not, large or not.
CREATE TABLE stored (body bytea);
ALTER TABLE stored ALTER body SET STORAGE EXTENDED;
INSERT INTO stored SELECT convert_to(message('job ' || repeat('la ', 200000)), 'UTF8');
ALTER TABLE stored ALTER body SET STORAGE EXTERNAL;
INSERT INTO stored SELECT convert_to(message('job ' || repeat('la ', 200000)), 'UTF8');
INSERT INTO stored SELECT convert_to(message('job'), 'UTF8');
SELECT octet_length(body), domain, reason, matched FROM stored, route_decide(body);
DROP TABLE stored;

-- Items: each as if it stood alone, with its place.
SELECT webhook('{"messages":[{"from":"1","id":"a","type":"text","text":{"body":"job, s''il vous plaît"}},{"from":"2","id":"b","type":"text","text":{"body":"taxi"}}],'
	'"statuses":[{"id":"c","status":"sent","recipient_id":"3"}]}') AS batch \gset
SELECT item, kind, webhook_name, routed_to, domain, reason, matched, from_number, message_id, message_type FROM route_decide_items(:'batch'::text);
SELECT item, convert_from(substring(convert_to(:'batch', 'UTF8') FROM item_start + 1 FOR item_end - item_start), 'UTF8')::json ->> 'id' AS cut_out
  FROM route_decide_items(convert_to(:'batch', 'UTF8'));
SELECT item, kind, item_start, item_end, reason FROM route_decide_items('\x00'::bytea);
SELECT count(*), max(item) FROM route_decide_items(webhook('{"messages":[' || (SELECT string_agg(format('{"from":"%s","id":"%s","type":"text"}', n, n), ',') FROM generate_series(1, 1000) n) || ']}'));

-- Whoever may call it needs no other right.
CREATE ROLE regress_routing_caller;
GRANT EXECUTE ON FUNCTION route_decide(bytea, text), route_decide_items(bytea, text), routing_bucket(text), routing_ruleset(), route_explain(text, text)
	TO regress_routing_caller;
SELECT convert_to(message('job'), 'UTF8') AS job \gset
SET ROLE regress_routing_caller;
SELECT reason FROM route_decide(:'job'::bytea);
SELECT reason FROM route_decide_items(:'job'::bytea);
SELECT routing_bucket('250788000001'), routing_bucket(''), routing_bucket(NULL);
SELECT snapshot LIKE 'webhook_routing%end_' AS whole FROM routing_ruleset();
SELECT count(*) FROM webhook_routing_config;
RESET ROLE;
DROP OWNED BY regress_routing_caller;
DROP ROLE regress_routing_caller;

-- In parallel workers.
CREATE TABLE many AS SELECT convert_to(message('job', n::text), 'UTF8') AS body FROM generate_series(1, 5000) n;
ALTER TABLE many SET (parallel_workers = 2);
ANALYZE many;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS off) SELECT count(*) FROM many WHERE (route_decide(body)).routed_to = 'unified';
BEGIN;
SELECT version FROM update_routing_percentage(50);
SELECT count(*) BETWEEN 2350 AND 2650 AS half FROM many WHERE (route_decide(body)).routed_to = 'unified';
SELECT version FROM update_routing_percentage(0);
SELECT count(*) AS none FROM many WHERE (route_decide(body)).routed_to = 'unified';
ROLLBACK;
SELECT count(*) AS all_of_them FROM many WHERE (route_decide(body)).routed_to = 'unified';
DROP TABLE many;

-- A retired legacy function (only a restore can say so yet): unified, whatever the switch says.
SELECT set_config('search_path', '', false);
COPY public.webhook_routing_targets FROM stdin;
gone	\N	10000	error	t	f	f	2
\.
COPY public.webhook_routing_domains FROM stdin;
old	gone	f	\N	1	t	f	f	2
\.
COPY public.webhook_routing_keywords FROM stdin;
old	keyword	oldest	word	\N	t	f	f	2
\.
RESET search_path;
SELECT version FROM set_routing_enabled(false);
SELECT webhook_name, routed_to, domain, reason, fallback_webhook FROM route_decide(message('the oldest trick'));

-- A disabled domain is not found; a disabled pattern is not sought.
SELECT domain, matched FROM route_decide(message('job'));
UPDATE webhook_routing_keywords SET enabled = false WHERE domain = 'jobs' AND pattern = 'job';
SELECT domain, matched FROM route_decide(message('job'));
UPDATE webhook_routing_keywords SET enabled = true WHERE domain = 'jobs' AND pattern = 'job';
UPDATE webhook_routing_domains SET enabled = false WHERE domain = 'jobs';
SELECT domain, matched FROM route_decide(message('job'));
SELECT webhook_name, reason FROM route_decide(message('job'), 'wa-webhook-jobs');
UPDATE webhook_routing_domains SET enabled = true WHERE domain = 'jobs';
-- Names and patterns with every character that the snapshot has to escape come through.
INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('jobs', 'back\slash'), ('jobs', 'ünïcödé');
SELECT matched FROM route_decide(message('a back\slash')) UNION ALL SELECT matched FROM route_decide(message('UNICODE'));
-- More than the engine can hold is refused by the edit, not discovered by traffic.
INSERT INTO webhook_routing_domains (domain, legacy_target) SELECT 'd' || n, 'wa-webhook' FROM generate_series(1, 300) n;
SELECT domain FROM route_decide(message('job'));

-- Without any configuration the default target answers, and it is said once.
ALTER TABLE webhook_routing_config DISABLE TRIGGER USER;
CREATE TABLE saved AS TABLE webhook_routing_config;
DELETE FROM webhook_routing_config;
SELECT * FROM route_decide(message('job')) \gx
SELECT reason FROM route_decide(message('job'));
SELECT kind, reason FROM route_decide_items(message('job'));
SELECT * FROM route_explain(message('job'));
SELECT * FROM routing_ruleset();
SELECT routing_bucket('1');
INSERT INTO webhook_routing_config TABLE saved;
ALTER TABLE webhook_routing_config ENABLE TRIGGER USER;
SELECT reason FROM route_decide(message('job'));

DROP EXTENSION webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
