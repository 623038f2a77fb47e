-- Times decisions and log batches with conversations off and on, in turn, several rounds; prints the
-- fastest and the median round. Run by bench/conversations.sh, which sets :rounds, :rows and
-- :conversations.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET work_mem = '256MB';

SELECT count(*) FROM set_routing_enabled(true), update_routing_percentage(50), routing_maintain() \g /dev/null

-- Messages of senders who are in a conversation, spread over all of them, with and without a keyword.
CREATE TEMP TABLE messages AS
SELECT kind, convert_to(format('{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"250788000000","phone_number_id":"106540352242922"},"contacts":[{"profile":{"name":"Aline Uwase"},"wa_id":"%1$s"}],"messages":[{"from":"%1$s","id":"wamid.HBgLMjUwNzg4MTIzNDU2FQIAEhgUM0EwRjQ4NEY0RDQ5","timestamp":"1763900000","type":"text","text":{"body":"Muraho, good morning! %2$s"}}]},"field":"messages"}]}]}',
		250780000000 + n * 7919::bigint % :conversations, word), 'UTF8') AS bytes
  FROM generate_series(1, :rows) n, (VALUES ('follow-up', 'How much would that be?'), ('keyword', 'I am looking for a job')) w (kind, word);
ALTER TABLE messages ALTER bytes SET STORAGE PLAIN;

INSERT INTO webhook_routing_conversations (sender, domain, routed_to, last_at)
SELECT (250780000000 + n)::text, 'jobs', 'unified', now() FROM generate_series(0, :conversations - 1) n;
ANALYZE messages, webhook_routing_conversations;

CREATE TEMP TABLE runs (name text, round integer, nanoseconds double precision);
CREATE PROCEDURE pg_temp.decide(title text, kind text, round integer) LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
	counted double precision;
BEGIN
	EXECUTE format('SELECT count(d.reason) FROM messages m, LATERAL route_decide(m.bytes, NULL) d WHERE m.kind = %L', kind)
	   INTO counted;
	IF round > 0 THEN
		INSERT INTO runs VALUES (title, round, extract(epoch FROM clock_timestamp() - started) * 1e9 / counted);
	END IF;
END $$;
-- Batches of 500 rows, each of another sender, through the table's triggers.
CREATE PROCEDURE pg_temp.store(title text, first bigint, round integer) LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
BEGIN
	FOR batch IN 0 .. 19 LOOP
		INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, from_number)
		SELECT 'wa-webhook-jobs', 'jobs', 'legacy', 'success', 10, (first + batch * 500 + n)::text FROM generate_series(1, 500) n;
		COMMIT;
	END LOOP;
	IF round > 0 THEN
		INSERT INTO runs VALUES (title, round, extract(epoch FROM clock_timestamp() - started) * 1e9 / 10000);
	END IF;
END $$;
CREATE PROCEDURE pg_temp.configure(settings jsonb) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM update_routing_settings(settings);
END $$;

CREATE PROCEDURE pg_temp.bench(rounds integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR round IN 0 .. rounds LOOP	-- round 0 warms caches
		CALL pg_temp.configure('{"conversation_timeout": 0}');
		CALL pg_temp.decide('decide, off: a keyword', 'keyword', round);
		CALL pg_temp.decide('decide, off: a follow-up', 'follow-up', round);
		CALL pg_temp.store('store a row, off', 250600000000, round);
		CALL pg_temp.configure('{"conversation_timeout": "30 days"}');
		CALL pg_temp.decide('decide, on: a keyword', 'keyword', round);
		CALL pg_temp.decide('decide, on: a follow-up, found by index', 'follow-up', round);
		CALL pg_temp.store('store a row, on: a new sender', 250700000000 + 10000 * round, round);
		CALL pg_temp.store('store a row, on: a known sender', 250780000000, round);
		COMMIT;
	END LOOP;
END $$;
CALL pg_temp.bench(:rounds);

\echo
SELECT name, round(min(nanoseconds)) AS "fastest, ns", round(percentile_cont(0.5) WITHIN GROUP (ORDER BY nanoseconds)) AS "median, ns"
  FROM runs GROUP BY name ORDER BY name;
