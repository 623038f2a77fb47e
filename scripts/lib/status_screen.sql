-- The same as text of 80 columns, one line of output for each line of the screen: what kind of line it is
-- (so that it can be coloured), a tab, the line. Runs after status.sql.
\pset tuples_only on
\pset format unaligned
\pset fieldsep '\t'

SELECT 'state', :'status'::json ->> 'state';
SELECT 'percentage', trim_scale((:'status'::json -> 'config' ->> 'percentage')::numeric);
SELECT 'version', 'webhook_routing ' || (:'status'::json ->> 'extension');

SELECT 'text', line
  FROM (SELECT c.*, s.step, s.since
          FROM json_to_record(:'status'::json -> 'config') AS c (
	               version bigint, percentage numeric(5,2), enabled boolean, domains text[],
	               automatic_rollback boolean, created_at timestamptz, created_by text, change text,
	               notes text),
	           (SELECT l ->> 'state' AS step, l ->> 'detail' AS since
	              FROM json_array_elements(:'status'::json -> 'rollout') l
	             WHERE l ->> 'item' = 'step') s) c,
       LATERAL (VALUES
	       (1, format('routing     %s, %s %%, domains %s', CASE WHEN c.enabled THEN 'enabled' ELSE 'disabled' END,
	                  c.percentage, array_to_string(c.domains, ', '))),
	       (2, format('step        %s, %s', c.step, c.since)),
	       (3, format('guard       automatic rollback is %s',
	                  CASE WHEN c.automatic_rollback THEN 'on' ELSE 'off' END)),
	       (4, format('last change version %s by %s: %s', c.version, c.created_by,
	                  c.change || coalesce(' (' || c.notes || ')', '')))) AS l (place, line)
 ORDER BY l.place;

-- What the last hour brought, with the verdict on it beside it; those that need somebody come first.
\echo table	
SELECT 'heading', format('%-14s %-8s %8s %7s %8s %8s %8s  %s', 'last hour', 'side', 'requests', 'errors',
                         'error %', 'p50 ms', 'p95 ms', 'verdict');
WITH line AS (
	SELECT coalesce(s.domain, h.domain) AS domain, coalesce(s.routed_to, h.routed_to) AS side,
	       s.request_count, s.error_count, s.error_rate_pct, s.p50_ms, s.p95_ms, h.severity
	  FROM json_to_recordset(:'status'::json -> 'stats') AS s (
	           domain text, routed_to text, request_count bigint, error_count bigint,
	           error_rate_pct numeric, p50_ms numeric, p95_ms numeric)
	  FULL JOIN json_to_recordset(:'status'::json -> 'health') AS h (
	                domain text, routed_to text, severity text)
	    ON h.domain = s.domain AND h.routed_to = s.routed_to
	 -- A domain of which this step knows nothing may have requests of the step before.
	 WHERE h.routed_to IS NOT NULL OR s.domain IS NOT NULL
	    OR NOT EXISTS (SELECT FROM json_to_recordset(:'status'::json -> 'stats') AS o (domain text)
	                    WHERE o.domain = h.domain)
), shown AS (
	SELECT l.*, row_number() OVER (
	           ORDER BY CASE l.severity WHEN 'critical' THEN 1 WHEN 'warning' THEN 2
	                                    WHEN 'environmental' THEN 2 ELSE 3 END,
	                    l.side IS DISTINCT FROM 'unified', l.domain, l.side) AS place,
	       count(*) OVER () AS lines
	  FROM line l
)
SELECT coalesce(l.severity, 'text'),
       CASE WHEN l.place = 11 AND l.lines > 11 THEN format('and %s more: SELECT * FROM check_routing_health();', l.lines - 10)
            ELSE rtrim(format('%-14s %-8s %8s %7s %8s %8s %8s  %s',
	                CASE WHEN length(l.domain) > 14 THEN left(l.domain, 13) || '…' ELSE l.domain END,
	                coalesce(l.side, '-'), coalesce(l.request_count, 0), coalesce(l.error_count, 0),
	                coalesce(round(l.error_rate_pct, 3)::text, '-'),
	                coalesce(round(l.p50_ms, CASE WHEN l.p50_ms < 100 THEN 1 ELSE 0 END)::text, '-'),
	                coalesce(round(l.p95_ms, CASE WHEN l.p95_ms < 100 THEN 1 ELSE 0 END)::text, '-'),
	                CASE WHEN l.severity = 'insufficient_data' THEN 'no data yet'
	                     -- Requests of the step before.
	                     WHEN l.severity IS NULL AND l.side <> 'error' THEN 'no data yet'
	                     ELSE coalesce(l.severity, '') END)) END
  FROM shown l WHERE l.place <= 11 ORDER BY l.place;

-- Of what is wrong, in words.
SELECT h.severity, format('%-11s %s %s: %s. %s', '! health', h.domain, h.routed_to,
                          regexp_replace(h.issue, '^[a-z]+: ', ''), h.advice)
  FROM json_to_recordset(:'status'::json -> 'health') AS h (
           domain text, routed_to text, severity text, issue text, advice text)
 WHERE h.severity IN ('critical', 'warning', 'environmental')
 ORDER BY h.severity = 'critical' DESC, h.routed_to <> 'unified', h.domain LIMIT 3;
SELECT 'warning', format('%-11s %s: %s', '! config', f.finding, f.fix)
  FROM json_to_recordset(:'status'::json -> 'findings') AS f (severity text, finding text, fix text) LIMIT 3;

SELECT 'text', format('%-11s %s', 'gates', coalesce(
           'open: ' || string_agg(g.item, ', ') FILTER (WHERE g.ok), '') ||
           coalesce('; closed: ' || string_agg(g.item || CASE WHEN g.state <> '' THEN format(' (%s)', g.state) ELSE '' END,
                                               ', ') FILTER (WHERE NOT g.ok), ''))
  FROM json_to_recordset(:'status'::json -> 'rollout') AS g (item text, state text, ok boolean, detail text)
 WHERE g.ok IS NOT NULL AND g.item <> 'next';
SELECT 'text', format('%-11s %s', g.item, g.detail)
  FROM json_to_recordset(:'status'::json -> 'rollout') AS g (item text, state text, ok boolean, detail text)
 WHERE g.item IN ('next', 'way back');
