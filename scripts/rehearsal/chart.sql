-- SPDX-License-Identifier: PostgreSQL
--
-- One picture of a rehearsal as SVG: the share of unified as it was set (steps), the share of people that it
-- really had, three hours at a time (bars), and when something went wrong (red). From the tables of evidence.sql;
-- variable day1 as in report.sql.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET search_path = evidence, public;

CREATE TEMP TABLE days AS SELECT ceil((max(story) - :day1) / 86400)::int AS count FROM diary;
-- Where a moment is: 76 units for a day, and 2 for a percent.
CREATE FUNCTION pg_temp.x(moment timestamptz, day1 float8) RETURNS numeric LANGUAGE sql IMMUTABLE AS
	$$SELECT round((50 + (extract(epoch FROM moment) - day1) / 86400 * 76)::numeric, 1)$$;
CREATE FUNCTION pg_temp.y(percentage numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS
	$$SELECT round(230 - 2 * percentage, 1)$$;

SELECT format('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s 275" font-family="sans-serif" font-size="11" role="img" '
              'aria-label="Share of the new function over the days of the rehearsal">', 60 + count * 76) FROM days;
SELECT format('<rect width="%s" height="275" fill="#ffffff"/>', 60 + count * 76) FROM days;
SELECT format('<line x1="50" x2="%s" y1="%s" y2="%s" stroke="#dddddd"/><text x="44" y="%s" text-anchor="end" fill="#555555">%s %%</text>',
	50 + count * 76, pg_temp.y(p), pg_temp.y(p), pg_temp.y(p) + 4, p)
  FROM days, unnest(ARRAY[0, 10, 25, 35, 50, 75, 100]) AS p;
SELECT format('<line x1="%s" x2="%s" y1="26" y2="234" stroke="#eeeeee"/><text x="%s" y="248" text-anchor="middle" fill="#555555">day %s</text>',
	50 + (d - 1) * 76, 50 + (d - 1) * 76, 50 + (d - 0.5) * 76, d)
  FROM days, generate_series(1, count) AS d;
SELECT format('<rect x="%s" y="%s" width="9" height="%s" fill="#9cc3e6"/>', pg_temp.x(began, :day1), pg_temp.y(share), round(2 * share, 1))
  FROM (SELECT date_bin('3 hours', created_at, 'epoch') AS began,
               100.0 * count(DISTINCT sender) FILTER (WHERE on_unified) / count(DISTINCT sender) AS share
          FROM sides WHERE domain IN ('jobs', 'marketplace', 'property') GROUP BY 1 HAVING count(DISTINCT sender) >= 20) AS h;
SELECT format('<path fill="none" stroke="#1a5fa8" stroke-width="2" d="M50 230 %s H%s"/>',
	string_agg(format('H%s V%s', pg_temp.x(created_at, :day1), pg_temp.y(CASE WHEN enabled THEN percentage ELSE 0 END)), ' ' ORDER BY version),
	(SELECT pg_temp.x(to_timestamp(max(story)), :day1) FROM diary))
  FROM webhook_routing_config WHERE version > 1;
SELECT format('<line x1="%s" x2="%s" y1="24" y2="230" stroke="#c62828"/><text x="%s" y="%s" text-anchor="middle" fill="#c62828">%s</text>',
	x, x, x, CASE WHEN n % 2 = 0 THEN 21 ELSE 10 END, CASE name WHEN 'forwarder' THEN 'restart' ELSE name END)
  FROM (SELECT pg_temp.x(story_began, :day1) AS x, name, row_number() OVER (ORDER BY began) AS n FROM faults_seen) AS f;
SELECT format('<text x="50" y="268" fill="#555555">Line: as set. Bars: the people who really were on the new function, in three hours each. Red: a fault begins.</text></svg>');
