-- SPDX-License-Identifier: PostgreSQL
--
-- The report of a rehearsal as Markdown, line by line, from the tables of evidence.sql. Variables: took (seconds
-- of real time), chart (the name of the picture), day1 (seconds since 1970 when day 1 began).
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET search_path = evidence, public;
SET timezone = 'UTC';

-- When something was, as the people of the story say it.
CREATE OR REPLACE FUNCTION evidence.said(moment timestamptz, day1 float8) RETURNS text LANGUAGE sql STABLE AS
	$$SELECT format('day %s, %s', floor((extract(epoch FROM moment) - day1) / 86400)::int + 1, to_char(moment, 'Dy HH24:MI'))$$;

-- A length of time: 6.2 s, 20 min.
CREATE OR REPLACE FUNCTION evidence.lasted(span interval) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$SELECT CASE WHEN span IS NULL THEN '-' WHEN span < interval '2 minutes' THEN round(extract(epoch FROM span), 1) || ' s'
		ELSE round(extract(epoch FROM span) / 60) || ' min' END$$;

CREATE OR REPLACE FUNCTION evidence.cell(words text) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$SELECT replace(replace(coalesce(words, ''), '|', '\|'), '*', '\*')$$;

CREATE OR REPLACE FUNCTION evidence.found(figure text) RETURNS text LANGUAGE sql STABLE AS
	$$SELECT trim(to_char(f.found, '999,999,999,999')) FROM evidence.figures f WHERE f.name = figure$$;

-- The same of things that should not be: "none" where there are none.
CREATE OR REPLACE FUNCTION evidence.or_none(figure text) RETURNS text LANGUAGE sql STABLE AS
	$$SELECT CASE evidence.found(figure) WHEN '0' THEN 'none' ELSE evidence.found(figure) END$$;

SELECT CASE WHEN EXISTS (SELECT FROM figures WHERE found <> wanted)
            THEN '# Rehearsal of the rollout: NOT passed' ELSE '# Rehearsal of the rollout: passed' END;
SELECT '';
SELECT format('%s days of traffic in %s minutes and %s seconds, on %s, with webhook_routing %s on PostgreSQL %s.',
	(SELECT floor((max(story) - :day1) / 86400)::int + 1 FROM diary), :took / 60, :took % 60, to_char(to_timestamp(:began), 'YYYY-MM-DD'),
	(SELECT extversion FROM pg_extension WHERE extname = 'webhook_routing'), current_setting('server_version'));

SELECT E'\n## In short\n';
SELECT format('- Traffic moved from 0 to 100 %% without a forced step, in %s, and one old function was retired.',
	(SELECT format('%s days', floor((max(story) - :day1) / 86400)::int + 1) FROM diary));
SELECT format('- %s webhooks were sent. Lost: %s. Handled twice within a delivery: %s. On another side than they belong to: %s. '
              'Protected, and touched all the same: %s.',
	found('webhooks sent'), or_none('messages lost'), or_none('messages doubled within a delivery'),
	or_none('moved to the other side'), or_none('protected webhooks touched by unified'));
SELECT format('- %s of %s faults were found: twice the new function went bad, twice the database went away. The new function had its last '
              'request %s after it began to fail (the guard), and %s after it became slow (the operator).',
	found('faults found'), (SELECT count(*) FROM to_be_found),
	(SELECT lasted(story_unified_after) FROM faults_seen WHERE name = 'errors'),
	(SELECT lasted(story_unified_after) FROM faults_seen WHERE name = 'latency'));
SELECT format('- %s webhooks came a second time, because the forwarder was being restarted or had been killed when they came first; the old functions '
              'answered %s that the new one had refused.',
	found('connections refused or broken: delivered again'), found('answered by legacy after unified refused'));
SELECT format('- **Broken: %s**', string_agg(format('%s: %s (must be %s)', name, found, wanted), '; ' ORDER BY place))
  FROM figures WHERE found <> wanted HAVING count(*) > 0;

SELECT format(E'\n![The share of the new function, planned and real, and what happened](%s)\n', :'chart');

SELECT E'## What was promised\n\n| promise | found | must be | who says so |\n|---|---|---|---|';
SELECT format('| %s | %s%s | %s | %s |', name, found, CASE WHEN found = wanted THEN '' ELSE ' **broken**' END, wanted, witness)
  FROM figures WHERE wanted IS NOT NULL ORDER BY place;

SELECT E'\n## What went wrong, on purpose\n\n| fault | began | found by | after | last request on unified after | on unified meanwhile | failed there, answered by legacy | delivered again | people waiting for that | slowest answer |\n|---|---|---|---|---|---|---|---|---|---|';
SELECT format('| %s | %s | %s | %s | %s | %s | %s, %s | %s | %s | %s s |',
	CASE name WHEN 'errors' THEN 'unified answers every fourth with 500' WHEN 'latency' THEN 'unified needs 3.6 s for an answer'
		WHEN 'backend' THEN 'a process of PostgreSQL is killed' WHEN 'database' THEN 'the database is gone'
		WHEN 'forwarder' THEN 'the forwarder is restarted' WHEN 'kill' THEN 'the forwarder is killed' END,
	said(story_began, :day1), found_by, lasted(story_found_after),
	CASE WHEN away IS NULL THEN 'stays' ELSE format('%s (%s s of the rehearsal)', lasted(story_unified_after), unified_after) END,
	on_unified, failed, fallback, again, customers, slowest)
  FROM faults_seen ORDER BY began;
SELECT E'\n"Stays": unified was not at fault, and kept its share. ' ||
       CASE WHEN EXISTS (SELECT FROM faults_seen f JOIN to_be_found n ON n.name = f.name WHERE f.again > 0)
            THEN '**Webhooks came again because of a function or of the database.**'
            ELSE 'Webhooks came again only while no forwarder was there; no fault of a function or of the database made one '
                 'come again.' END;

SELECT E'\n## Day by day\n\n| when | who | what |\n|---|---|---|';
SELECT format('| %s | %s | %s |', said(to_timestamp(story), :day1), who, cell(what)) FROM diary ORDER BY real;

SELECT E'\n## How much there was\n\n| what | number | who says so |\n|---|---|---|';
SELECT format('| %s | %s | %s |', name, trim(to_char(found, '999,999,999,999')), witness)
  FROM figures WHERE wanted IS NULL ORDER BY place;

SELECT E'\n## The share on unified\n\n| since | set to | switch | people on unified | planned | messages |\n|---|---|---|---|---|---|';
WITH steps AS (
	SELECT c.version, c.created_at, c.percentage, c.enabled,
	       lead(c.version) OVER (ORDER BY c.version) AS next
	  FROM webhook_routing_config c
	 WHERE c.version = 1 OR c.change ~ 'percentage|enabled'
)
SELECT format('| %s | %s %% | %s | %s %% | %s %% | %s |', said(s.created_at, :day1), s.percentage,
	CASE WHEN s.enabled THEN 'on' ELSE 'off' END, t.share, CASE WHEN s.enabled THEN s.percentage ELSE 0 END, t.messages)
  FROM steps s
 CROSS JOIN LATERAL (
	SELECT count(*) AS messages, round(100.0 * count(DISTINCT i.sender) FILTER (WHERE i.on_unified)
	                                   / nullif(count(DISTINCT i.sender), 0), 1) AS share
	  FROM sides i WHERE i.config_version >= s.version AND (i.config_version < s.next OR s.next IS NULL)
	   AND i.domain IN ('jobs', 'marketplace', 'property')) t
 WHERE t.messages > 0 AND s.version > 1 ORDER BY s.version;

SELECT E'\n## Who says so\n';
SELECT '- **The client** sent every webhook, signed, as WhatsApp does, and again when it was not answered 200. It wrote down each '
       'delivery with its answer.';
SELECT '- **The functions** (stand-ins) wrote down every request that reached them, and what they answered.';
SELECT '- **The log** is the product''s own. It is believed only where the other two agree: all three are compared message by message.';
SELECT '- **The config** is its history; the side of each message is computed here again from percentage and sender.';
SELECT E'- Faults found and times are from the diary of the rehearsal; the last request on unified is from client and functions.';
SELECT E'\n## All deviations\n';
SELECT format('- %s: `%s` %s', kind, id, cell(detail)) FROM (SELECT * FROM deviations ORDER BY kind, id LIMIT 200) AS d;
SELECT 'None.' WHERE NOT EXISTS (SELECT FROM deviations);
