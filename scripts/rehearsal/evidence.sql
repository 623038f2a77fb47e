-- SPDX-License-Identifier: PostgreSQL
--
-- The memories of a rehearsal as tables in the schema `evidence`: what the client has sent and was answered
-- (answers, load.json), what the functions received (received), what people did (diary.tsv), what went wrong
-- (faults.tsv), how the clock went (clock.tsv); and, last, what they say together: evidence.figures,
-- evidence.faults_seen, and evidence.deviations with the ids. The log of the product is one witness among
-- them. Run in the folder that holds these files and test/fixtures/expected.tsv, with the variables:
--   retired    real seconds when wa-webhook-jobs was retired
--   began      real seconds when the client began
--   sent       how many webhooks the client says that it has sent
\set ON_ERROR_STOP on
SET client_min_messages = warning;
BEGIN;
DROP SCHEMA IF EXISTS evidence CASCADE;
CREATE SCHEMA evidence;
SET LOCAL search_path = evidence, public;

CREATE TABLE answers (number bigint, ids text, domains text, status text, routed_to text, ms float8, sender text,
	began float8, correlation text);
CREATE TABLE received (correlation text, function text, ids text, answer text);
CREATE TABLE examples (correlation text, name text, status text, routed_to text);
CREATE TABLE forged (correlation text, status text);
CREATE TABLE expected (file text, items text, kind text, from_number text, sender_key text, message_id text,
	message_type text, domain text, reason text);
CREATE TABLE diary (real float8, story float8, who text, what text);
CREATE TABLE faults (name text, began float8, found float8, found_by text, away float8, ended float8);
CREATE TABLE clock (real float8, story float8);
CREATE TABLE reconciled (finding text);
\copy answers FROM 'answers'
\copy received FROM 'received'
\copy examples FROM 'examples'
\copy forged FROM 'forged'
\copy diary FROM 'diary.tsv' WITH (FORMAT csv, DELIMITER E'\t', QUOTE E'\b')
\copy faults FROM 'faults.tsv' WITH (FORMAT csv, DELIMITER E'\t')
\copy clock FROM 'clock.tsv'
\copy reconciled FROM 'reconciled' WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\b')
\copy expected FROM 'expected.tsv' WITH (HEADER true)

-- Between two moves the clock of the story goes as the real one does.
CREATE FUNCTION story_of(moment float8) RETURNS timestamptz LANGUAGE sql STABLE AS
	'SELECT to_timestamp(c.story + $1 - c.real) FROM evidence.clock c WHERE c.real <= $1 ORDER BY c.real DESC LIMIT 1';
CREATE FUNCTION real_of(moment timestamptz) RETURNS float8 LANGUAGE sql STABLE AS
	'SELECT c.real + extract(epoch FROM $1)::float8 - c.story FROM evidence.clock c
	  WHERE c.story <= extract(epoch FROM $1) ORDER BY c.story DESC LIMIT 1';
CREATE INDEX ON clock (real);
CREATE INDEX ON clock (story);
ANALYZE clock;

-- A delivery is one POST of a webhook; the same webhook comes again when it was not answered 200.
CREATE TABLE deliveries AS
	SELECT a.number, a.correlation, a.ids, a.domains, a.status, a.ms, a.sender, :began + a.began AS at,
	       a.status = '200' AS answered
	  FROM answers a
	UNION ALL
	SELECT NULL, e.correlation, NULL, coalesce(x.domain, 'unknown'), e.status, NULL, NULL, NULL, e.status = '200'
	  FROM examples e LEFT JOIN expected x ON x.file = e.name;

-- A message of a delivery, as the client knows it.
CREATE TABLE messages AS
	SELECT d.number, d.correlation, i.id, i.domain, d.sender, i.place, d.answered, d.at
	  FROM deliveries d,
	       unnest(string_to_array(d.ids, ','), string_to_array(d.domains, ',')) WITH ORDINALITY AS i (id, domain, place)
	 WHERE d.ids IS NOT NULL;

-- The same as a function has received it.
CREATE TABLE handled AS
	SELECT r.correlation, r.function, r.answer, m.id
	  FROM received r, unnest(string_to_array(r.ids, ',')) AS m (id);
CREATE INDEX ON deliveries (correlation);
CREATE INDEX ON messages (correlation, id);
CREATE INDEX ON messages (id);
CREATE INDEX ON handled (correlation, id);
CREATE INDEX ON received (correlation);
ANALYZE deliveries, messages, handled, received;

-- What each message has to go by: the rules of the version that decided, computed here from the table of
-- the config and nothing else. Only of webhooks with one message, whose sender the client knows.
CREATE TABLE sides AS
	SELECT m.correlation, m.id, m.domain, m.sender, l.config_version, l.created_at,
	       m.domain = ANY (c.domains) AND (c.enabled AND b.bucket < c.percentage * 100 OR r.retired) AS unified,
	       EXISTS (SELECT FROM handled h WHERE h.correlation = m.correlation AND h.id = m.id
	                  AND h.function = 'wa-webhook-unified') AS on_unified
	  FROM messages m
	  JOIN public.webhook_routing_logs l ON l.correlation_id = m.correlation AND l.message_id = m.id AND l.attempt = 1
	  JOIN public.webhook_routing_config c ON c.version = l.config_version
	 CROSS JOIN LATERAL public.routing_bucket(m.sender) AS b (bucket)
	 CROSS JOIN LATERAL (
		SELECT m.domain = 'jobs' AND c.version >= (SELECT min(v.version) FROM public.webhook_routing_config v
		                                            WHERE v.change LIKE '%wa-webhook-jobs%retired false -> true%') AS retired) r
	 WHERE m.place = 1 AND position(',' IN (SELECT d.ids FROM deliveries d WHERE d.correlation = m.correlation)) = 0;

-- ---- what must not be, with the ids ----

CREATE TABLE deviations (kind text, id text, detail text);

INSERT INTO deviations
	SELECT 'lost', coalesce(min(m.id), 'webhook ' || m.number), 'never handled by a function and answered 200'
	  FROM messages m
	 GROUP BY m.number, m.place
	HAVING NOT bool_or(m.answered AND EXISTS (
		SELECT FROM handled h WHERE h.correlation = m.correlation AND h.id = m.id AND h.answer = '200'));
INSERT INTO deviations
	SELECT 'lost', format('%s webhooks', :sent), format('the client''s list has only %s', count(DISTINCT number))
	  FROM answers HAVING count(DISTINCT number) <> :sent;
INSERT INTO deviations
	SELECT 'lost', e.correlation, 'example: answered ' || e.status FROM examples e
	 WHERE e.status <> '200'
	    OR NOT EXISTS (SELECT FROM received r WHERE r.correlation = e.correlation AND r.answer = '200');
INSERT INTO deviations
	SELECT 'not in the log', d.correlation, 'answered 200' FROM deliveries d
	 WHERE d.answered AND NOT EXISTS (
		SELECT FROM public.webhook_routing_logs l WHERE l.correlation_id = d.correlation AND l.status = 'success');
INSERT INTO deviations
	SELECT 'doubled', h.id, format('%s times to %s in one delivery', count(*), h.function) FROM handled h
	 GROUP BY h.correlation, h.id, h.function HAVING count(*) > 1;
INSERT INTO deviations
	SELECT 'doubled', h.id, 'handled by several functions in one delivery: ' || string_agg(h.function, ', ')
	  FROM handled h WHERE h.answer = '200' GROUP BY h.correlation, h.id HAVING count(DISTINCT h.function) > 1;
INSERT INTO deviations
	SELECT 'doubled', m.id, 'came again although it was answered 200' FROM messages m
	 WHERE m.answered AND EXISTS (SELECT FROM messages n WHERE n.id = m.id AND n.at > m.at);
INSERT INTO deviations
	SELECT 'moved', s.id, format('bucket %s, version %s: %s, but %s', public.routing_bucket(s.sender), s.config_version,
	                             CASE WHEN s.unified THEN 'unified' ELSE 'legacy' END,
	                             CASE WHEN s.on_unified THEN 'unified has it' ELSE 'unified has it not' END)
	  FROM sides s
	  -- Nobody has it when it was broken off before it was sent.
	 WHERE s.unified <> s.on_unified AND EXISTS (SELECT FROM handled h WHERE h.correlation = s.correlation);
INSERT INTO deviations
	SELECT 'moved', v.id::text, v.difference FROM public.verify_routing_decisions(NULL) v;
INSERT INTO deviations
	SELECT 'decided by old rules', s.id, format('version %s, %s s after it was replaced', s.config_version,
	                                            round((real_of(s.created_at) - real_of(n.created_at))::numeric, 3))
	  FROM sides s JOIN public.webhook_routing_config n ON n.version = s.config_version + 1
	 WHERE s.created_at > n.created_at AND real_of(s.created_at) - real_of(n.created_at) > 2;
INSERT INTO deviations
	SELECT 'protected', m.id, m.domain FROM messages m
	  JOIN handled h ON h.correlation = m.correlation AND h.id = m.id AND h.function = 'wa-webhook-unified'
	 WHERE m.domain IN (SELECT p.domain FROM public.webhook_routing_domains p WHERE p.protected);
INSERT INTO deviations
	SELECT 'not enrolled', m.id, m.domain FROM messages m
	  JOIN handled h ON h.correlation = m.correlation AND h.id = m.id AND h.function = 'wa-webhook-unified'
	 WHERE m.domain IN ('unknown', 'status');
INSERT INTO deviations
	SELECT 'protected', d.correlation, d.domains FROM deliveries d
	  JOIN received r ON r.correlation = d.correlation AND r.function = 'wa-webhook-unified'
	 WHERE d.ids IS NULL AND d.domains IN (SELECT p.domain FROM public.webhook_routing_domains p WHERE p.protected);
INSERT INTO deviations
	SELECT 'forged', f.correlation, 'answered ' || f.status FROM forged f
	 WHERE f.status <> '401' OR EXISTS (SELECT FROM received r WHERE r.correlation = f.correlation)
	    OR EXISTS (SELECT FROM public.webhook_routing_logs l WHERE l.correlation_id = f.correlation);
INSERT INTO deviations
	SELECT 'retired', m.id, 'sent to wa-webhook-jobs after it was retired' FROM messages m
	  JOIN handled h ON h.correlation = m.correlation AND h.id = m.id AND h.function = 'wa-webhook-jobs'
	 WHERE m.at > :retired;
INSERT INTO deviations
	SELECT 'forced', c.version::text, c.change FROM public.webhook_routing_config c WHERE c.change LIKE '%; forced past %';

INSERT INTO deviations
	SELECT 'deviation', 'see example', finding FROM reconciled WHERE finding <> '';

-- ---- the faults ----

CREATE TABLE faults_seen AS
	SELECT f.*, story_of(f.began) AS story_began, story_of(f.ended) AS story_ended,
	       round((f.found - f.began)::numeric, 1) AS found_after,
	       story_of(f.found) - story_of(f.began) AS story_found_after,
	       round((u.last - f.began)::numeric, 1) AS unified_after,
	       date_trunc('second', story_of(u.last) - story_of(f.began)) AS story_unified_after,
	       u.requests AS on_unified, u.failed, u.fallback, e.answers, e.again, e.customers, e.slowest
	  FROM faults f
	 CROSS JOIN LATERAL (
		SELECT max(d.at) AS last, count(*) AS requests, count(*) FILTER (WHERE r.answer <> '200') AS failed,
		       count(*) FILTER (WHERE r.answer <> '200' AND d.answered) AS fallback
		  FROM received r JOIN deliveries d ON d.correlation = r.correlation
		 WHERE r.function = 'wa-webhook-unified' AND d.at BETWEEN f.began AND f.ended) u
	 CROSS JOIN LATERAL (
		SELECT count(*) AS answers, count(*) FILTER (WHERE NOT d.answered) AS again,
		       count(DISTINCT d.sender) FILTER (WHERE NOT d.answered) AS customers,
		       round((max(d.ms) FILTER (WHERE d.answered) / 1000)::numeric, 1) AS slowest
		  FROM deliveries d WHERE d.at BETWEEN f.began AND f.ended) e
	 ORDER BY f.began;

-- The other two were done to the forwarder, by somebody who knew.
CREATE TABLE to_be_found (name text);
INSERT INTO to_be_found VALUES ('errors'), ('latency'), ('backend'), ('database');
INSERT INTO deviations
	SELECT 'fault not found', n.name, 'it is not in faults.tsv, or nobody has found it' FROM to_be_found n
	 WHERE NOT EXISTS (SELECT FROM faults f WHERE f.name = n.name AND f.found IS NOT NULL);
INSERT INTO deviations
	SELECT 'fault too long', f.name, format('unified had requests until %s s after it began', f.unified_after)
	  FROM faults_seen f
	 WHERE f.name = 'errors' AND (f.unified_after > 60 OR f.unified_after IS NULL OR f.found_by <> 'guard')
	    OR f.name = 'latency' AND (f.story_unified_after > interval '35 minutes' OR f.unified_after IS NULL);
INSERT INTO deviations
	SELECT 'customers met an error', f.name, format('%s deliveries were not answered 200', f.again) FROM faults_seen f
	 WHERE f.name IN (SELECT n.name FROM to_be_found n) AND f.again > 0;

-- ---- in numbers ----

-- A row with `wanted` is a promise: it is kept when `found` is that.
CREATE TABLE figures AS
	SELECT f.place, f.name, f.found::bigint, f.wanted::bigint, f.witness
	  FROM (VALUES
		(1, 'webhooks sent', (SELECT count(DISTINCT number) FROM answers) + (SELECT count(*) FROM examples), NULL, 'the client'),
		(2, 'messages and statuses in them', (SELECT count(DISTINCT id) FROM messages), NULL, 'the client'),
		(3, 'deliveries, with those that came again', (SELECT count(*) FROM deliveries), NULL, 'the client'),
		(4, 'received by functions', (SELECT count(*) FROM received), NULL, 'the functions'),
		(5, 'of them by unified', (SELECT count(*) FROM received WHERE function = 'wa-webhook-unified'), NULL, 'the functions'),
		(6, 'rows in the log', (SELECT count(*) FROM public.webhook_routing_logs), NULL, 'the log'),
		(7, 'answered by legacy after unified refused', (SELECT count(DISTINCT decision_id) FROM public.webhook_routing_logs
			WHERE attempt = 2 AND status = 'success'), NULL, 'the log'),
		(8, 'answered 503', (SELECT count(*) FROM deliveries WHERE status = '503'), NULL, 'the client'),
		(9, 'connections refused or broken: delivered again', (SELECT count(*) FROM deliveries WHERE status IN ('none', 'refused')), NULL, 'the client'),
		(10, 'handled twice, since no answer came the first time', (SELECT count(*) FROM (
			SELECT h.id FROM handled h WHERE h.answer = '200' AND h.id IN (SELECT id FROM messages) AND h.correlation LIKE 'meta-%'
			 GROUP BY h.id HAVING count(DISTINCT h.correlation) > 1) AS twice), NULL, 'the functions'),
		(20, 'messages lost', (SELECT count(*) FROM deviations WHERE kind = 'lost'), 0, 'client and functions'),
		(21, 'messages doubled within a delivery', (SELECT count(*) FROM deviations WHERE kind = 'doubled'), 0, 'client and functions'),
		(22, 'moved to the other side', (SELECT count(*) FROM deviations WHERE kind = 'moved'), 0, 'client, functions, config; and the log'),
		(23, 'protected webhooks touched by unified', (SELECT count(*) FROM deviations WHERE kind = 'protected'), 0, 'client and functions'),
		(24, 'statuses and unknown messages touched by unified', (SELECT count(*) FROM deviations WHERE kind = 'not enrolled'), 0, 'client and functions'),
		(25, 'answered, and not in the log', (SELECT count(*) FROM deviations WHERE kind = 'not in the log'), 0, 'client and log'),
		(26, 'decided by rules replaced over 2 s before', (SELECT count(*) FROM deviations WHERE kind = 'decided by old rules'), 0, 'the log'),
		(27, 'forged webhooks that got in', (SELECT count(*) FROM deviations WHERE kind = 'forged'), 0, 'client, functions and log'),
		(28, 'steps that were forced', (SELECT count(*) FROM deviations WHERE kind = 'forced'), 0, 'the config'),
		(29, 'sent to the retired function', (SELECT count(*) FROM deviations WHERE kind = 'retired'), 0, 'client and functions'),
		(30, 'faults found', (SELECT count(*) FROM faults WHERE found IS NOT NULL
			AND name IN (SELECT n.name FROM to_be_found n)), 4, 'the diary'),
		(31, 'faults found too late, or that customers met', (SELECT count(*) FROM deviations
			WHERE kind IN ('fault too long', 'customers met an error', 'fault not found')), 0, 'client and functions'),
		(32, 'other deviations between client, functions and log', (SELECT count(*) FROM deviations WHERE kind = 'deviation'), 0, 'all three, id by id')
	  ) AS f (place, name, found, wanted, witness);
COMMIT;
ANALYZE;
