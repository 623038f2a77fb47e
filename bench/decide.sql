-- Times each query over the same 600-byte text messages, in turn, several rounds; prints the fastest
-- and the median round per message. Run by bench/decide.sh, which sets :rounds and :rows.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET work_mem = '256MB';

CREATE TEMP TABLE messages AS
SELECT convert_to(body, 'UTF8') AS bytes, body AS text
  FROM generate_series(1, :rows) AS n,
       LATERAL (SELECT format('{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"250788000000","phone_number_id":"106540352242922"},"contacts":[{"profile":{"name":"Aline Uwase"},"wa_id":"2507881%s"}],"messages":[{"from":"2507881%s","id":"wamid.HBgLMjUwNzg4MTIzNDU2FQIAEhgUM0EwRjQ4NEY0RDQ5%s","timestamp":"1763900000","type":"text","text":{"body":"Muraho, good morning! I saw your page and I am looking for an apartment in Kimironko, two bedrooms, from next month. Could you please tell me the price and when I can come to see it?"}}]},"field":"messages"}]}]}',
               lpad(n::text, 6, '0'), lpad(n::text, 6, '0'), lpad(n::text, 8, '0')) AS body) AS made;
ALTER TABLE messages ALTER bytes SET STORAGE PLAIN, ALTER text SET STORAGE PLAIN;
CREATE TEMP TABLE plain (LIKE messages INCLUDING STORAGE);
INSERT INTO plain SELECT * FROM messages;
ANALYZE plain;

CREATE TEMP TABLE runs (name text, round integer, nanoseconds double precision);
DO $$
DECLARE
    started timestamptz;
    query   record;
    rows_in double precision := (SELECT count(*) FROM plain);
BEGIN
    FOR round IN 0 .. current_setting('bench.rounds')::integer LOOP
        FOR query IN SELECT * FROM (VALUES
            ('read the bytes', 'SELECT count(p.bytes) FROM plain p'),
            ('read the text', 'SELECT count(p.text) FROM plain p'),
            ('text::jsonb', 'SELECT count(p.text::jsonb) FROM plain p'),
            ('empty C function', 'SELECT count(d.reason) FROM plain p, LATERAL bench_empty_row(p.bytes, NULL) d'),
            ('route_decide(bytea)', 'SELECT count(d.reason) FROM plain p, LATERAL route_decide(p.bytes, NULL) d'),
            ('plpgsql router', 'SELECT count(d.reason) FROM plain p, LATERAL bench_plpgsql_router(p.text::jsonb) d')
        ) AS q (name, sql) LOOP
            started := clock_timestamp();
            EXECUTE query.sql;
            IF round > 0 THEN   -- round 0 warms caches and the ruleset
                INSERT INTO runs VALUES (query.name, round,
                    extract(epoch FROM clock_timestamp() - started) * 1e9
                    / rows_in);
            END IF;
        END LOOP;
    END LOOP;
END $$;

\echo
SELECT name, round(min(nanoseconds)) AS "fastest, ns", round(percentile_cont(0.5) WITHIN GROUP (ORDER BY nanoseconds)) AS "median, ns"
  FROM runs GROUP BY name ORDER BY 3;

WITH paired AS (
    SELECT round,
           max(nanoseconds) FILTER (WHERE name = 'route_decide(bytea)')
             - max(nanoseconds) FILTER (WHERE name = 'empty C function') AS decide,
           max(nanoseconds) FILTER (WHERE name = 'text::jsonb')
             - max(nanoseconds) FILTER (WHERE name = 'read the text') AS jsonb_cast,
           max(nanoseconds) FILTER (WHERE name = 'plpgsql router') AS plpgsql
      FROM runs GROUP BY round)
SELECT (SELECT octet_length(bytes) FROM plain LIMIT 1) AS "message bytes",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY decide)) AS "decide above empty, ns",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY jsonb_cast)) AS "jsonb cast, ns",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY decide / jsonb_cast)::numeric, 2) AS "decide / jsonb cast",
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY plpgsql / decide)::numeric) AS "plpgsql / decide"
  FROM paired;
