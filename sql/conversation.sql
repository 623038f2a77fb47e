-- Conversations: a message that says nothing itself goes to the domain that its sender was last in.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
RESET client_min_messages;

-- A webhook of messages "sender: text", and of a status.
CREATE FUNCTION webhook(VARIADIC messages text[]) RETURNS bytea LANGUAGE sql AS $$
	SELECT convert_to(jsonb_build_object('object', 'whatsapp_business_account', 'entry', jsonb_build_array(
		jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('field', 'messages', 'value',
		jsonb_build_object('messages', jsonb_agg(jsonb_build_object('from', split_part(m, ': ', 1),
			'id', 'wamid.' || n, 'type', 'text', 'text', jsonb_build_object('body', split_part(m, ': ', 2)))
			ORDER BY n)))))))::text, 'UTF8') FROM unnest(messages) WITH ORDINALITY u(m, n) $$;
CREATE FUNCTION status_of(sender text) RETURNS bytea LANGUAGE sql AS $$
	SELECT convert_to(format('{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages",'
		'"value":{"statuses":[{"id":"wamid.S","status":"delivered","recipient_id":"%s"}]}}]}]}', sender), 'UTF8') $$;
-- Decides and logs as a forwarder does, as it was some time ago.
CREATE FUNCTION relay(body bytea, ago interval DEFAULT '0', name text DEFAULT NULL)
RETURNS TABLE (webhook text, side text, area text, why text) LANGUAGE sql AS $$
	WITH d AS MATERIALIZED (SELECT * FROM route_decide_items(body, name)), logged AS (
		INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, reason, status, from_number, message_id,
			message_type, item, created_at)
		SELECT webhook_name, domain, routed_to, reason, 'success', from_number, message_id, message_type, item,
		       now() - ago FROM d)
	SELECT webhook_name, routed_to, domain, reason FROM d ORDER BY item $$;
CREATE FUNCTION decided(body bytea, name text DEFAULT NULL)
RETURNS TABLE (webhook text, side text, area text, why text, matched text) LANGUAGE sql AS $$
	SELECT webhook_name, routed_to, domain, reason, matched FROM route_decide(body, name) $$;
CREATE VIEW conversations AS
	SELECT sender, domain, routed_to, date_trunc('minute', now() - last_at) AS ago
	  FROM webhook_routing_conversations ORDER BY sender COLLATE "C", last_at, domain;
CREATE FUNCTION forget() RETURNS void LANGUAGE sql AS $$ DELETE FROM webhook_routing_conversations $$;
CREATE FUNCTION settings(jsonb) RETURNS bigint LANGUAGE sql SET client_min_messages = warning AS $$
	SELECT version FROM update_routing_settings($1) $$;
-- Somebody of the lower half, inside 50 %, and somebody of the upper one.
SELECT routing_bucket('250788000002') < 5000 AS anna_is_in, routing_bucket('250788000004') < 5000 AS bob_is_in;
\set anna '''250788000002: '
\set bob '''250788000004: '
SET client_min_messages = warning;
SELECT e.enabled, p.percentage FROM set_routing_enabled(true) e, update_routing_percentage(50) p;
RESET client_min_messages;

-- Off, which is the default: nothing is written, each message stands alone.
SELECT conversation_timeout, keep_conversations FROM get_current_routing_config();
SELECT * FROM relay(webhook(:anna I need a job'));
SELECT * FROM decided(webhook(:anna yes'));
SELECT * FROM conversations;

-- On: from the next message on, whoever is in or out of the percentage.
SELECT change FROM update_routing_settings('{"conversation_timeout": "30 minutes"}', 'follow-ups find their way');
SELECT * FROM relay(webhook(:anna I need a job'));
SELECT * FROM relay(webhook(:bob I need a job'));
SELECT * FROM conversations;
SELECT * FROM decided(webhook(:anna yes'));
SELECT * FROM decided(webhook(:bob how much?'));
SELECT * FROM decided(webhook('250788000009: yes'));
SELECT reason, domain, routed_to FROM route_decide_items(webhook(:anna yes', :bob yes', '250788000009: yes'));
SELECT name, outcome FROM route_explain(webhook(:anna yes')) WHERE name IN ('keywords', 'conversation', 'domain', 'decision');
SELECT name, outcome FROM route_explain(webhook('250788000009: yes')) WHERE name = 'conversation';
SELECT count(*) AS not_asked FROM route_explain(webhook(:anna a house')) WHERE name = 'conversation';
-- All of the same statement see the same, and everybody else's form of the payload.
SELECT DISTINCT domain FROM generate_series(1, 3), route_decide(webhook(:anna yes'));
SELECT a.domain, b.domain, c.domain FROM route_decide(convert_from(webhook(:anna yes'), 'UTF8')) a,
	route_decide(convert_from(webhook(:anna yes'), 'UTF8')::json) b,
	route_decide(convert_from(webhook(:anna yes'), 'UTF8')::jsonb) c;

-- What a message says itself counts more, and is the conversation from then on.
SELECT * FROM relay(webhook(:anna a house'));
SELECT * FROM decided(webhook(:anna ok'));
-- A follow-up keeps the conversation alive.
SELECT * FROM relay(webhook(:anna ok'), '5 minutes');
SELECT * FROM conversations;
SELECT forget();
SELECT * FROM relay(webhook(:anna I need a job'), '29 minutes');
SELECT * FROM relay(webhook(:anna yes'), '20 minutes');
SELECT * FROM conversations;

-- Idle: the time is over. From the future (a clock that is ahead) is not idle.
SELECT forget();
SELECT * FROM relay(webhook(:anna I need a job'), '31 minutes');
SELECT * FROM conversations;
UPDATE webhook_routing_conversations SET last_at = now() - interval '31 minutes';
SELECT * FROM relay(webhook(:bob I need a job'), '29 minutes');
SELECT * FROM decided(webhook(:bob yes'));
SELECT settings('{"conversation_timeout": "28 minutes"}') IS NOT NULL AS shorter;
SELECT * FROM decided(webhook(:bob yes'));
SELECT settings('{"conversation_timeout": "30 minutes"}') IS NOT NULL AS longer;
SELECT * FROM relay(webhook(:bob I need a job'), '-10 minutes');
SELECT * FROM decided(webhook(:bob yes'));
SELECT * FROM relay(webhook(:bob a house'));
SELECT * FROM decided(webhook(:bob yes'));
UPDATE webhook_routing_conversations SET last_at = now() + interval '1 minute';
SELECT * FROM decided(webhook(:bob yes'));

BEGIN;
-- Late rows move nothing back, and a fallback is where the message ended, whichever comes first.
SELECT forget();
SELECT * FROM relay(webhook(:anna a house'), '1 minute');
SELECT * FROM relay(webhook(:anna I need a job'), '2 minutes');
SELECT * FROM conversations;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, from_number, attempt, created_at)
VALUES ('wa-webhook-property', 'property', 'legacy', 'success', '1', 2, now() - interval '3 minutes');
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, from_number, attempt, created_at)
VALUES ('wa-webhook-unified', 'property', 'unified', 'error', '1', 1, now() - interval '3 minutes'),
       ('wa-webhook-property', 'property', 'legacy', 'success', '2', 2, now() - interval '3 minutes'),
       ('wa-webhook-unified', 'property', 'unified', 'error', '2', 1, now() - interval '3 minutes'),
       ('wa-webhook-unified', 'property', 'unified', 'error', '3', 1, now() - interval '3 minutes');
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, from_number, attempt, created_at)
VALUES ('wa-webhook-property', 'property', 'legacy', 'success', '3', 2, now() - interval '3 minutes');
SELECT * FROM conversations;
COMMIT;
-- What could not be tried anywhere, what has no sender, and what no domain was found for is none.
SELECT forget();
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, from_number)
VALUES ('w', 'jobs', 'error', 'error', '4'), ('w', 'jobs', 'legacy', 'success', NULL),
       ('w', 'jobs', 'legacy', 'success', ''), ('w', 'unknown', 'legacy', 'success', '5');
SELECT * FROM conversations;
-- A batch that is stored again changes nothing, not even after the sender was erased.
CREATE FUNCTION batch(at timestamptz) RETURNS bigint LANGUAGE sql AS $$
	SELECT store_routing_logs(ARRAY['00000000-0000-7000-8000-000000000001'::uuid], ARRAY[at], '{NULL}', '{1}', '{0}',
		'{wa-webhook-jobs}', '{jobs}', '{legacy}', '{disabled}', '{1}', '{NULL}', '{NULL}', '{6}', '{m}', '{text}', '{c}',
		'{200}', '{1}', '{success}', '{NULL}', '{false}') $$;
SELECT now() AS then \gset
SELECT batch(:'then') AS stored;
UPDATE webhook_routing_conversations SET domain = 'property';
SELECT batch(:'then') AS stored;
SELECT sender, domain FROM conversations;
SELECT erase_sender('6') AS erased;
SELECT batch(:'then') AS stored;
SELECT sender, domain FROM conversations;

-- Statuses neither follow nor count, not even where the webhook is named.
SELECT * FROM relay(webhook(:anna I need a job'), '10 minutes');
SELECT * FROM relay(status_of('250788000002'));
SELECT * FROM relay(status_of('250788000002'), '0', 'wa-webhook-property');
SELECT * FROM conversations;
-- A message to a named webhook is one of that domain, and begins a conversation.
SELECT * FROM relay(webhook(:anna yes'), '0', 'wa-webhook-property');
SELECT * FROM decided(webhook(:anna yes'));

-- A protected domain has conversations too, on its own function.
SELECT * FROM relay(webhook(:anna my wallet'));
SELECT * FROM decided(webhook(:anna yes'));
-- A domain that is not enrolled any more, one that is disabled, and one that is gone.
SELECT * FROM relay(webhook(:anna I need a job'));
SET client_min_messages = warning;
SELECT domains FROM set_routing_domains('{property}');
SELECT * FROM decided(webhook(:anna yes'));
UPDATE webhook_routing_domains SET enabled = false WHERE domain = 'jobs';
SELECT * FROM decided(webhook(:anna yes'));
UPDATE webhook_routing_domains SET enabled = true WHERE domain = 'jobs';
SELECT domains FROM set_routing_domains('{jobs,property}');
RESET client_min_messages;
UPDATE webhook_routing_conversations SET domain = 'gone';
SELECT * FROM decided(webhook(:anna yes'));

-- Within one POST: whole and by items, also where others speak in between.
SELECT forget();
SELECT * FROM decided(webhook(:anna I need a job', :anna yes'));
SELECT item, domain, routed_to, reason FROM route_decide_items(
	webhook(:anna I need a job', :bob a house', '250788000009: yes', :anna yes', :bob yes', :anna a house', :anna ok'));
-- An older message of the POST does not bring back what a newer one has left.
SELECT * FROM relay(webhook(:anna I need a job', :anna a house'));
SELECT * FROM conversations;

-- A lower percentage moves conversations, unless they are to be kept.
SELECT forget();
SELECT * FROM relay(webhook(:anna I need a job'), '10 minutes');
SELECT change FROM update_routing_percentage(10);
SELECT * FROM decided(webhook(:anna yes'));
SELECT change FROM update_routing_percentage(50);
SELECT change FROM update_routing_settings('{"keep_conversations": true}');
SELECT change FROM update_routing_percentage(10, 'gently');
SELECT * FROM decided(webhook(:anna yes'));
SELECT * FROM decided(webhook(:anna another job'));
SELECT name, outcome FROM route_explain(webhook(:anna another job')) WHERE name IN ('conversation', 'decision');
SELECT * FROM decided(webhook(:anna yes'), 'wa-webhook-jobs');
-- Another domain is another conversation; whoever was on legacy stays there.
SELECT * FROM decided(webhook(:anna a house'));
SELECT * FROM decided(webhook(:bob I need a job'));
-- Also against a domain's own ceiling, and at 0 %. The kill switch is above it all.
UPDATE webhook_routing_domains SET percentage = 5 WHERE domain = 'jobs';
SELECT * FROM decided(webhook(:anna yes'));
SELECT change FROM update_routing_percentage(0);
SELECT * FROM decided(webhook(:anna yes'));
SELECT enabled FROM set_routing_enabled(false);
SELECT * FROM decided(webhook(:anna yes'));
SELECT enabled FROM set_routing_enabled(true);
-- It goes on for as long as it is kept alive, and ends when it is idle.
SELECT * FROM relay(webhook(:anna yes'), '1 minute');
SELECT * FROM conversations;
SELECT DISTINCT reason FROM webhook_routing_logs ORDER BY reason;
-- Logged decisions come out the same again, whatever the conversations are by now.
INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, reason, status, from_number, bucket,
	percentage, config_version)
SELECT gen_random_uuid(), d.webhook_name, d.domain, d.routed_to, d.reason, 'success', d.from_number, d.bucket, d.percentage,
       d.config_version FROM route_decide(webhook(:anna yes')) d RETURNING reason, decision_id \gset
SELECT name, outcome FROM route_explain(:'decision_id'::uuid) WHERE outcome ~ 'conversation|active';
SELECT difference FROM verify_routing_decisions('1 minute') WHERE decision_id = :'decision_id';
-- A row that claims to have been kept, of a version that kept none.
INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, reason, status, bucket, percentage, config_version)
VALUES (:'decision_id', 'wa-webhook-unified', 'jobs', 'unified', 'in_conversation', 'success', 9894, 50, 3);
SELECT difference FROM verify_routing_decisions('1 minute') WHERE decision_id = :'decision_id';
UPDATE webhook_routing_conversations SET last_at = now() - interval '30 minutes 1 second';
SELECT * FROM decided(webhook(:anna yes'));
SELECT * FROM decided(webhook(:anna I need a job'));

-- Hashed senders; the key comes with the first one.
SELECT * FROM relay(webhook(:anna I need a job'));
SELECT settings('{"hash_senders": true}') IS NOT NULL AS hashed;
-- Plain numbers do not stay, and nobody would find them; hashes do, as long as senders are hashed.
SELECT * FROM relay(webhook(:bob I need a job'));
SELECT starts_with(sender, 'hmac:') AS hashed, count(*) FROM webhook_routing_conversations GROUP BY 1 ORDER BY 1;
SELECT * FROM routing_maintain() WHERE object = 'webhook_routing_conversations';
SELECT starts_with(sender, 'hmac:') AS hashed, count(*) FROM webhook_routing_conversations GROUP BY 1 ORDER BY 1;
SELECT forget();
SELECT * FROM decided(webhook(:bob yes'));
SELECT * FROM relay(webhook(:bob I need a job'));
SELECT sender = routing_sender_hash('250788000004') AS hashed, domain FROM webhook_routing_conversations;
SELECT * FROM decided(webhook(:bob yes'));
SELECT erase_sender('+250 788-000-003') > 0 AS erased;
SELECT count(*) AS conversations FROM webhook_routing_conversations;
SELECT * FROM decided(webhook(:bob yes'));
SELECT * FROM relay(webhook(:bob I need a job'));
SELECT settings('{"hash_senders": false}') IS NOT NULL AS plain;
SELECT * FROM routing_maintain() WHERE object = 'webhook_routing_conversations';
SELECT count(*) AS conversations FROM webhook_routing_conversations;

-- Senders as the log has them: without a number, cut, with odd characters.
CREATE FUNCTION odd(sender text, body text) RETURNS bytea LANGUAGE sql AS $$
	SELECT convert_to(format('{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":'
		'{"messages":[{"from_user_id":"%s","id":"w","type":"text","text":{"body":"%s"}}]}}]}]}', sender, body), 'UTF8') $$;
SELECT s.note, logged.*
  FROM (VALUES ('no number', 'RW.13491208655302741918'), ('long', repeat('x', 300)), ('cut in a character', repeat('é', 100)),
			   ('NUL and lone surrogate', 'a\u0000\ud800b'), ('escaped', 'a\"\\\u00e9')) s (note, sender),
       LATERAL relay(odd(s.sender, 'I need a job')) logged ORDER BY note;
SELECT s.note, length(d.from_number), d.domain
  FROM (VALUES ('no number', 'RW.13491208655302741918'), ('long', repeat('x', 300)), ('cut in a character', repeat('é', 100)),
			   ('NUL and lone surrogate', 'a\u0000\ud800b'), ('escaped', 'a\"\\\u00e9')) s (note, sender),
       LATERAL route_decide(odd(s.sender, 'yes')) d ORDER BY note;

-- A role that may decide needs no right on the table.
CREATE ROLE regress_decider;
GRANT EXECUTE ON FUNCTION route_decide(bytea, text) TO regress_decider;
SELECT forget();
SELECT * FROM relay(webhook(:bob I need a job'));
SET ROLE regress_decider;
SELECT domain FROM route_decide('{"from": "250788000004", "type": "text", "message": {"text": {"body": "yes"}}}'::bytea);
SELECT * FROM webhook_routing_conversations;
RESET ROLE;
DROP OWNED BY regress_decider;
DROP ROLE regress_decider;
-- In a parallel worker (a setting with two names).
SELECT provolatile, proparallel FROM pg_proc WHERE oid = 'route_decide(bytea, text)'::regprocedure;
SELECT count(set_config(name, 'on', false)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT domain FROM route_decide('{"from": "250788000004", "type": "text", "message": {"text": {"body": "yes"}}}'::bytea);
SELECT count(set_config(name, 'off', false)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

-- Upkeep: what is idle goes, and of several rows of a sender all but the newest.
SELECT forget();
INSERT INTO webhook_routing_conversations (sender, domain, routed_to, last_at)
VALUES ('1', 'jobs', 'legacy', now() - interval '2 minutes'), ('1', 'property', 'unified', now() - interval '1 minute'),
       ('1', 'jobs', 'legacy', now() - interval '1 minute'), ('2', 'jobs', 'legacy', now() - interval '31 minutes');
SELECT domain FROM route_decide('{"from": "1", "type": "text", "message": {"text": {"body": "yes"}}}'::bytea);
SELECT * FROM routing_maintain() WHERE object = 'webhook_routing_conversations';
SELECT * FROM conversations;
-- Off again: nothing follows, nothing is written, and upkeep clears the table.
SELECT settings('{"conversation_timeout": 0}') IS NOT NULL AS off;
SELECT domain FROM route_decide('{"from": "1", "type": "text", "message": {"text": {"body": "yes"}}}'::bytea);
SELECT severity, finding, fix FROM validate_routing_config() WHERE finding ~ 'conversation';
SELECT * FROM routing_maintain() WHERE object = 'webhook_routing_conversations';
SELECT count(*) AS conversations FROM webhook_routing_conversations;

-- What the settings can be.
\set SHOW_CONTEXT never
SELECT update_routing_settings('{"conversation_timeout": "31 days"}');
SELECT update_routing_settings('{"conversation_timeout": "1 day -1 hour"}');
SELECT update_routing_settings('{"conversation_timeout": "soon"}');
SELECT update_routing_settings('{"keep_conversations": null}');

SET client_min_messages = warning;
DROP FUNCTION webhook, status_of, relay, decided, forget, settings, batch, odd;
DROP VIEW conversations;
TRUNCATE webhook_routing_logs, webhook_routing_rollups;
