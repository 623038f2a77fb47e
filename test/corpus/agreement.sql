-- The engine and PostgreSQL's own JSON readers over every payload, and over damaged copies of it: what
-- is JSON for the one is JSON for the other, and the decision from bytes is the decision from jsonb.
-- The json type is the judge of syntax; jsonb refuses some valid JSON in addition (\u0000, lone
-- surrogates, numbers beyond numeric), and only for those reasons may a decided payload lack a jsonb.
SET client_min_messages = warning;

CREATE TYPE json_reading AS (is_json boolean, binary_form jsonb, refusal text);

-- What PostgreSQL makes of the bytes: refusal is the SQLSTATE with which jsonb refused valid JSON.
CREATE FUNCTION read_json(bytes bytea) RETURNS json_reading LANGUAGE plpgsql AS $$
DECLARE
    characters text;
    result     json_reading;
BEGIN
    BEGIN
        characters := convert_from(bytes, 'UTF8');
        PERFORM characters::json;
        result.is_json := true;
    EXCEPTION WHEN invalid_text_representation OR character_not_in_repertoire THEN
        result.is_json := false;
        RETURN result;
    END;
    BEGIN
        result.binary_form := characters::jsonb;
    EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR numeric_value_out_of_range THEN
        result.refusal := SQLSTATE;
    END;
    RETURN result;
END $$;

-- One damaged copy: a byte replaced, a piece inserted, removed or doubled, or the end cut off.
CREATE FUNCTION damage(bytes bytea) RETURNS bytea LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    pieces CONSTANT text[] := ARRAY['"', '\', '{', '}', '[', ']', ',', ':', ' ', E'\n', '0', '-', '1e5', '.', 'e',
        '\u0000', '\ud83d', '\ude00', '\ud83d\ude00', '\u00e9', '\/', '\x', 'null', 'true', 'nul', '""', '{}', '[]',
        '"from":"1",', '"text":{"body":"job"},', '"type":"text",', '"messages":[],', '"field":"messages",',
        '"id":"wamid.X",', '1e400000', '-0', '01', E'\u00e9', E'\U0001F44D', E'\t', E'\r', E'\x01'];
    size   integer := octet_length(bytes);
    place  integer := floor(random() * (size + 1));
    extent integer := floor(random() * least(40, size - place + 1));
    head   bytea := substring(bytes FROM 1 FOR place);
BEGIN
    CASE floor(random() * 6)::integer
        WHEN 0 THEN RETURN head || convert_to(pieces[1 + floor(random() * cardinality(pieces))], 'UTF8')
                           || substring(bytes FROM place + 1);
        WHEN 1 THEN RETURN head || substring(bytes FROM place + extent + 1);
        WHEN 2 THEN RETURN head || substring(bytes FROM place + 1 FOR extent) || substring(bytes FROM place + 1);
        WHEN 3 THEN RETURN head;
        WHEN 4 THEN RETURN CASE WHEN place < size THEN set_byte(bytes, place, floor(random() * 256)::integer) ELSE bytes END;
        ELSE RETURN head || convert_to(pieces[1 + floor(random() * cardinality(pieces))], 'UTF8')
                    || substring(bytes FROM place + extent + 1);
    END CASE;
END $$;

SELECT setseed(0.42);
CREATE TEMP TABLE damaged AS
SELECT p.origin, p.file, n AS copy, CASE n WHEN 0 THEN p.bytes ELSE damage(CASE WHEN n % 3 = 0 THEN damage(p.bytes) ELSE p.bytes END) END AS bytes
  FROM payload p, generate_series(0, 150) AS n
 WHERE octet_length(p.bytes) <= 65536
   AND p.file !~ '^depth_';    -- nesting has a bound in the engine, which its own tests pin

CREATE TEMP TABLE verdict AS
SELECT d.origin, d.file, d.copy, d.bytes, r.is_json, r.refusal, r.binary_form, to_jsonb(e) AS from_bytes,
       (SELECT to_jsonb(j) FROM route_decide(r.binary_form) j WHERE r.binary_form IS NOT NULL) AS from_jsonb
  FROM damaged d, LATERAL read_json(d.bytes) r, LATERAL route_decide(d.bytes) e;

WITH example AS (
    SELECT format(E'\n# %s %s, copy %s: %s', origin, file, copy, left(encode(bytes, 'escape'), 300)) AS text, *,
           is_json <> (from_bytes ->> 'reason' <> 'malformed') AS syntax_differs,
           from_jsonb IS DISTINCT FROM from_bytes AND binary_form IS NOT NULL AS decision_differs,
           refusal IS NOT NULL AND convert_from(CASE WHEN is_json THEN bytes ELSE '' END, 'UTF8')
               !~* '\\u0000|\\ud[89a-f]|[0-9]e\+?[0-9]{4}' AS refusal_unexplained
      FROM verdict)
SELECT format('%s - the engine and the json type agree on what is JSON: %s texts, %s of them not JSON%s',
              CASE WHEN bool_or(syntax_differs) THEN 'not ok' ELSE 'ok' END, count(*), count(*) FILTER (WHERE NOT is_json),
              (array_agg(text) FILTER (WHERE syntax_differs))[1]) FROM example
UNION ALL
SELECT format('%s - from bytes and from jsonb the same decision: %s texts%s',
              CASE WHEN bool_or(decision_differs) THEN 'not ok' ELSE 'ok' END, count(*) FILTER (WHERE binary_form IS NOT NULL),
              (array_agg(text || E'\n# ' || from_bytes || E'\n# ' || from_jsonb) FILTER (WHERE decision_differs))[1]) FROM example
UNION ALL
SELECT format('%s - jsonb refuses JSON only for \u0000, lone surrogates and huge numbers: %s texts%s',
              CASE WHEN bool_or(refusal_unexplained) THEN 'not ok' ELSE 'ok' END, count(refusal),
              (array_agg(text) FILTER (WHERE refusal_unexplained))[1]) FROM example
UNION ALL
SELECT format('%s - the comparison had something to compare', CASE WHEN count(*) FILTER (WHERE is_json AND copy > 0) > 500
              AND count(*) FILTER (WHERE NOT is_json) > 500 AND count(refusal) > 10 THEN 'ok' ELSE 'not ok' END) FROM example;
