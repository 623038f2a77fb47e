-- SPDX-License-Identifier: PostgreSQL
--
-- What clients have sent (answers), what functions have received (received) and what the log says of
-- it, compared id by id: one line for each kind of deviation, with how often and an example, and
-- nothing when all three agree. Every request has a correlation id of its own. Run in the folder that
-- holds answers (load --log) and received (standin-functions --journal), each from after the log and
-- the rollups were emptied. Set `outcomes` to false when outcomes may have been lost with the
-- forwarder's memory (no spool): then `outcome unknown` is right for whatever a client was told. `others`
-- may be a pattern of correlation ids: those are not of the clients, and compared with the rollups alone.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
\if :{?others}
\else
\set others ''
\endif

CREATE TEMP TABLE answers (number bigint, ids text, domain text, status text, routed_to text, ms double precision,
	sender text, began double precision, correlation text);
CREATE TEMP TABLE received (correlation text, function text, ids text, answer text);
\copy answers FROM 'answers'
\copy received FROM 'received'
DELETE FROM received WHERE correlation LIKE :'others';

-- A message on its way to a function, as the function saw it.
CREATE TEMP TABLE delivered AS
	SELECT r.correlation, r.function, r.answer, m.message_id
	  FROM received r, unnest(string_to_array(r.ids, ',')) AS m (message_id);

CREATE TEMP TABLE logged AS
	SELECT l.*, l.error_message IS NOT DISTINCT FROM
	            'outcome unknown: the forwarder was killed before the function answered' AS unknown
	  FROM webhook_routing_logs l WHERE l.correlation_id NOT LIKE :'others';

-- One attempt, and the last attempt of each decision.
CREATE TEMP TABLE attempts AS
	SELECT l.correlation_id, l.decision_id, l.attempt, min(l.webhook_name) AS function, bool_and(l.unknown) AS unknown,
	       min(l.status) AS status, min(l.http_status) AS http_status, count(*) AS items,
	       count(DISTINCT (l.webhook_name, l.unknown, l.status, l.http_status, l.response_time_ms)) AS outcomes,
	       max(l.attempt) OVER (PARTITION BY l.decision_id) = l.attempt AS is_last
	  FROM logged l GROUP BY l.correlation_id, l.decision_id, l.attempt;

CREATE INDEX ON answers (correlation);
CREATE INDEX ON delivered (correlation, message_id);
CREATE INDEX ON logged (correlation_id, message_id);
CREATE INDEX ON attempts (correlation_id);
ANALYZE answers, received, delivered, logged, attempts;

CREATE TEMP TABLE findings (finding text, example text);

-- ---- the log alone ----

INSERT INTO findings
	SELECT 'an id is there twice', id::text FROM logged GROUP BY id HAVING count(*) > 1;
INSERT INTO findings
	SELECT 'an item of an attempt is there twice', decision_id::text FROM logged
	 GROUP BY decision_id, attempt, item HAVING count(*) > 1;
INSERT INTO findings
	SELECT 'a message is there twice for one attempt', message_id FROM logged
	 GROUP BY decision_id, attempt, message_id HAVING count(*) > 1;
INSERT INTO findings
	SELECT 'a message was decided twice', message_id FROM logged
	 GROUP BY correlation_id, message_id HAVING count(DISTINCT decision_id) > 1;
INSERT INTO findings
	SELECT 'the items of an attempt have several outcomes', decision_id::text FROM attempts WHERE outcomes > 1;
INSERT INTO findings
	SELECT 'attempts of a decision have not the same items, or not 1, 2...', decision_id::text FROM attempts
	 GROUP BY decision_id HAVING min(items) <> max(items) OR min(attempt) <> 1 OR max(attempt) <> count(*);
INSERT INTO findings
	SELECT 'a second attempt after a first one that succeeded, or that nobody knows the end of', decision_id::text
	  FROM attempts WHERE NOT is_last AND (status = 'success' OR (unknown AND :'outcomes'));
INSERT INTO findings
	SELECT 'an unknown outcome that is not ambiguous, or says something', id::text FROM logged
	 WHERE unknown AND (status <> 'error' OR NOT ambiguous OR http_status IS NOT NULL OR response_time_ms IS NOT NULL);
INSERT INTO findings
	SELECT 'another side than the bucket says', id::text FROM logged
	 WHERE attempt = 1 AND reason IN ('in_percentage', 'out_of_percentage') AND routed_to <> 'error'
	   AND ((routed_to = 'unified') <> (bucket < percentage * 100) OR bucket <> routing_bucket(from_number));
INSERT INTO findings
	SELECT 'rollups are not the log', format('%s %s %s', minute, domain, routed_to)
	  FROM (SELECT date_trunc('minute', created_at) AS minute, domain, routed_to, config_version, 1 AS requests,
	               (status <> 'success')::int AS errors, (response_time_ms IS NULL)::int AS skipped
	          FROM webhook_routing_logs WHERE item = 0
	        UNION ALL
	        SELECT minute, domain, routed_to, config_version, -requests, -errors, -skipped
	          FROM webhook_routing_rollups) AS sums
	 GROUP BY minute, domain, routed_to, config_version
	HAVING sum(requests) <> 0 OR sum(errors) <> 0 OR sum(skipped) <> 0;
INSERT INTO findings
	SELECT 'still pending', id::text FROM webhook_routing_pending;

-- ---- the log and the clients ----

INSERT INTO findings
	SELECT 'nobody has sent this', l.correlation_id FROM logged l
	  LEFT JOIN answers a ON a.correlation = l.correlation_id AND a.status <> 'refused'
	 WHERE a.correlation IS NULL;
INSERT INTO findings
	SELECT 'the items of a decision are not those of the webhook', a.correlation
	  FROM answers a
	  JOIN (SELECT correlation_id, count(*) AS items, string_agg(message_id, ',' ORDER BY message_id COLLATE "C") AS ids
	          FROM logged WHERE attempt = 1 GROUP BY correlation_id) l ON l.correlation_id = a.correlation
	 WHERE l.ids <> (SELECT string_agg(m, ',' ORDER BY m COLLATE "C") FROM unnest(string_to_array(a.ids, ',')) m);
INSERT INTO findings
	SELECT 'answered by a function, and not in the log', a.correlation FROM answers a
	 WHERE a.status NOT IN ('none', 'refused', '503')
	   AND NOT EXISTS (SELECT FROM attempts t WHERE t.correlation_id = a.correlation);
INSERT INTO findings
	SELECT 'answered 200, and the log says otherwise', a.correlation
	  FROM answers a JOIN attempts t ON t.correlation_id = a.correlation AND t.is_last
	 WHERE a.status = '200' AND t.status <> 'success' AND NOT (t.unknown AND NOT :'outcomes');
INSERT INTO findings
	SELECT 'answered ' || a.status || ', and the log says otherwise', a.correlation
	  FROM answers a
	 WHERE a.status NOT IN ('none', 'refused', '503', '200')
	   AND NOT EXISTS (SELECT FROM attempts t WHERE t.correlation_id = a.correlation AND t.is_last AND t.status = 'error'
	                      AND CASE WHEN t.unknown THEN NOT :'outcomes'
	                               ELSE coalesce(t.http_status::text, a.status) = a.status END);
INSERT INTO findings
	SELECT 'X-Routed-To is not what the log says', a.correlation
	  FROM answers a
	  JOIN (SELECT correlation_id, string_agg(function, ', ' ORDER BY function) AS functions
	          FROM attempts WHERE is_last GROUP BY correlation_id) t ON t.correlation_id = a.correlation
	 WHERE a.routed_to <> ''
	   AND t.functions <> (SELECT string_agg(f, ', ' ORDER BY f) FROM unnest(string_to_array(a.routed_to, ', ')) f);

-- ---- the log and the functions ----

INSERT INTO findings
	SELECT 'a function received a message twice', message_id FROM delivered
	 GROUP BY correlation, function, message_id HAVING count(*) > 1;
INSERT INTO findings
	SELECT 'received, and not in the log', d.message_id FROM delivered d
	 WHERE NOT EXISTS (SELECT FROM logged l WHERE l.correlation_id = d.correlation AND l.message_id = d.message_id
	                      AND l.webhook_name = d.function);
INSERT INTO findings
	SELECT 'received, and the log says otherwise', d.message_id FROM delivered d
	  JOIN logged l ON l.correlation_id = d.correlation AND l.message_id = d.message_id AND l.webhook_name = d.function
	 WHERE NOT l.unknown
	   AND coalesce(l.http_status::text, CASE WHEN l.ambiguous THEN 'broken' ELSE 'not reached' END) <> d.answer;
INSERT INTO findings
	SELECT 'in the log as answered, and no function has received it', l.message_id FROM logged l
	 WHERE (l.http_status IS NOT NULL OR l.status = 'success')
	   AND NOT EXISTS (SELECT FROM delivered d WHERE l.correlation_id = d.correlation AND l.message_id = d.message_id
	                      AND l.webhook_name = d.function);

SELECT format('%s times: %s, such as %s', count(*), finding, min(example)) FROM findings GROUP BY finding ORDER BY finding;

-- For people: what this was about.
\o figures
SELECT format('%s requests: %s answered (%s 200), %s without an answer, %s refused; %s received; %s rows, %s attempts, '
              '%s of them second ones, %s unknown, %s broken off, %s not reached',
              (SELECT count(*) FROM answers),
              (SELECT count(*) FROM answers WHERE status NOT IN ('none', 'refused')),
              (SELECT count(*) FROM answers WHERE status = '200'),
              (SELECT count(*) FROM answers WHERE status = 'none'),
              (SELECT count(*) FROM answers WHERE status = 'refused'),
              (SELECT count(*) FROM received),
              (SELECT count(*) FROM logged),
              (SELECT count(*) FROM attempts),
              (SELECT count(*) FROM attempts WHERE attempt = 2),
              (SELECT count(*) FROM attempts WHERE unknown),
              (SELECT count(*) FROM logged WHERE item = 0 AND ambiguous AND NOT unknown),
              (SELECT count(*) FROM logged WHERE item = 0 AND status = 'error' AND NOT ambiguous AND http_status IS NULL));
