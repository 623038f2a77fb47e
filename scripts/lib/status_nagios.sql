-- The same as one line for Nagios and its kin: what is wrong, a bar, performance data of the unified side.
-- Runs after status.sql.
\pset tuples_only on
\pset format unaligned
WITH config AS (
	SELECT * FROM json_to_record(:'status'::json -> 'config') AS c (
		percentage numeric(5,2), enabled boolean, warning_error_rate_pct numeric,
		critical_error_rate_pct numeric, warning_p95_ms integer, critical_p95_ms integer)
), wrong AS (
	SELECT string_agg(format('%s %s %s', h.domain, h.routed_to, h.issue), '; '
	                  ORDER BY h.severity = 'critical' DESC, h.domain) AS words
	  FROM json_to_recordset(:'status'::json -> 'health') AS h (
	           domain text, routed_to text, severity text, issue text)
	 WHERE h.severity IN ('critical', 'warning', 'environmental')
), unified AS (
	SELECT coalesce(sum(s.request_count), 0) AS requests, coalesce(sum(s.error_count), 0) AS errors,
	       coalesce(max(s.p95_ms), 0) AS p95
	  FROM json_to_recordset(:'status'::json -> 'stats') AS s (
	           routed_to text, request_count bigint, error_count bigint, p95_ms numeric)
	 WHERE s.routed_to = 'unified'
)
SELECT translate(format('%s, %s at %s %%', :'status'::json ->> 'state',
                        CASE WHEN c.enabled THEN 'enabled' ELSE 'disabled' END, c.percentage)
                 || coalesce(': ' || w.words, ''), '|' || E'\n', '/ '),
       format('percentage=%s%%;;;0;100 enabled=%s unified_requests=%s unified_errors=%s'
              ' unified_error_rate=%s%%;%s;%s;0;100 unified_p95=%sms;%s;%s;0',
              c.percentage, c.enabled::integer, u.requests, u.errors,
              coalesce(round(100.0 * u.errors / nullif(u.requests, 0), 3), 0),
              c.warning_error_rate_pct, c.critical_error_rate_pct, u.p95, c.warning_p95_ms, c.critical_p95_ms)
  FROM config c, wrong w, unified u;
