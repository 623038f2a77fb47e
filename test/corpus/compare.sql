-- One line of TAP per payload and comparison.

-- NULL where PostgreSQL's own parser takes no such JSON (\u0000, lone surrogates, huge numbers, depth).
CREATE FUNCTION pg_temp.as_jsonb(bytes bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN convert_from(bytes, 'UTF8')::jsonb;
EXCEPTION WHEN others THEN
    RETURN NULL;
END $$;

-- Whether a string of a decision is the one of an account: the same, or its beginning up to the limit.
CREATE FUNCTION pg_temp.same_text(got text, wanted text, bound int) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN octet_length(wanted) > bound
                THEN starts_with(wanted, got) AND octet_length(got) BETWEEN bound - 3 AND bound
                ELSE got IS NOT DISTINCT FROM wanted END
$$;

CREATE FUNCTION pg_temp.tap(good boolean, name text, got text, wanted text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN good THEN 'ok - ' || name
                ELSE concat('not ok - ', name, E'\n# got    ', got, E'\n# wanted ', wanted) END
$$;

CREATE TEMP TABLE decided AS
SELECT p.origin, p.file, d.*, i.items, i.kind
FROM payload AS p, route_decide(p.bytes) AS d,
     LATERAL (SELECT count(*)::int AS items, min(kind) FILTER (WHERE item = 0) AS kind
              FROM route_decide_items(p.bytes)) AS i;

-- Each payload gets exactly one decision, whatever it is.
SELECT pg_temp.tap(count(d.file) = count(*), 'every payload is decided', count(d.file)::text, count(*)::text)
FROM payload AS p LEFT JOIN decided AS d USING (origin, file);

SELECT pg_temp.tap((d.items, d.kind, d.domain, d.reason) IS NOT DISTINCT FROM (e.items, e.kind, e.domain, e.reason)
                   AND pg_temp.same_text(d.from_number, e.from_number, 128)
                   AND pg_temp.same_text(d.message_id, e.message_id, 256)
                   AND pg_temp.same_text(d.message_type, e.message_type, 64)
                   AND d.bucket IS NOT DISTINCT FROM
                       CASE WHEN e.reason <> 'mixed_batch' THEN routing_bucket(e.sender_key) END,
                   e.file || ' is read as the table says',
                   (d.items, d.kind, d.from_number, d.bucket, d.message_id, d.message_type, d.domain, d.reason)::text,
                   (e.items, e.kind, e.from_number, routing_bucket(e.sender_key), e.message_id, e.message_type,
                    e.domain, e.reason)::text)
FROM expected AS e LEFT JOIN decided AS d USING (origin, file) ORDER BY e.origin, e.file;

SELECT pg_temp.tap((d.items, d.kind) IS NOT DISTINCT FROM (r.items, r.kind)
                   AND pg_temp.same_text(d.from_number, r.from_number, 128)
                   AND pg_temp.same_text(d.message_id, r.message_id, 256)
                   AND pg_temp.same_text(d.message_type, r.message_type, 64)
                   AND (d.reason = 'mixed_batch' OR d.bucket IS NOT DISTINCT FROM routing_bucket(r.sender_key)),
                   concat(r.origin, ' ', r.file, ' is read as jq reads it'),
                   (d.items, d.kind, d.from_number, d.bucket, d.message_id, d.message_type)::text,
                   (r.items, r.kind, r.from_number, routing_bucket(r.sender_key), r.message_id, r.message_type)::text)
FROM reading AS r LEFT JOIN decided AS d USING (origin, file) ORDER BY r.origin, r.file;

-- jsonb sorts keys, drops duplicates and white space and resolves escapes: the decision stays.
SELECT pg_temp.tap((a.webhook_name, a.domain, a.reason, a.matched, a.bucket, a.from_number, a.message_id, a.message_type)
                   IS NOT DISTINCT FROM
                   (b.webhook_name, b.domain, b.reason, b.matched, b.bucket, b.from_number, b.message_id, b.message_type),
                   concat(p.origin, ' ', p.file, ' is decided alike when written anew'),
                   a::text, b::text)
FROM payload AS p, pg_temp.as_jsonb(p.bytes) AS written, route_decide(p.bytes) AS a,
     route_decide(convert_to(written::text, 'UTF8')) AS b
WHERE written IS NOT NULL ORDER BY p.origin, p.file;

-- Protected and unreadable webhooks never leave their place, at any percentage.
SELECT update_routing_percentage(100, 'all of it') IS NULL WHERE false;
DO $$ BEGIN PERFORM update_routing_percentage(100, 'all of it'); END $$;
SELECT pg_temp.tap(d.routed_to = CASE WHEN e.reason = 'out_of_percentage' THEN 'unified' ELSE 'legacy' END
                   AND d.reason = CASE WHEN e.reason = 'out_of_percentage' THEN 'in_percentage'
                                       WHEN e.reason = 'mixed_batch' THEN d.reason ELSE e.reason END,
                   e.file || ' at 100 %', d::text, e::text)
FROM expected AS e JOIN payload AS p USING (origin, file), route_decide(p.bytes) AS d
WHERE e.reason <> 'mixed_batch' ORDER BY e.origin, e.file;
DO $$ BEGIN PERFORM update_routing_percentage(0, 'back'); END $$;
