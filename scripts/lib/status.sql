-- What scripts/quick-status.sh shows of the database, as one JSON document in the variable "status", made
-- by one statement. Everything in it may be read by a viewer. "state" is what the health and the
-- configuration make of it; that nothing answers is for the caller to find.
SELECT json_build_object('reached', true,
	'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
	'state', CASE WHEN h.worst = 3 THEN 'critical' WHEN h.worst = 2 THEN 'warning'
	              WHEN NOT c.enabled THEN 'disabled' WHEN c.percentage = 100 THEN 'complete'
	              ELSE 'climbing' END,
	'extension', (SELECT extversion FROM pg_extension WHERE extname = 'webhook_routing'),
	'standby', pg_is_in_recovery(),
	'config', json_build_object(
		'version', c.version, 'percentage', c.percentage, 'enabled', c.enabled, 'domains', c.domains,
		'automatic_rollback', c.automatic_rollback, 'created_at', c.created_at,
		'created_by', c.created_by, 'change', c.change, 'notes', c.notes,
		'unified_webhook', c.unified_webhook, 'min_requests', c.min_requests,
		'warning_error_rate_pct', c.warning_error_rate_pct,
		'critical_error_rate_pct', c.critical_error_rate_pct,
		'warning_p95_ms', c.warning_p95_ms, 'critical_p95_ms', c.critical_p95_ms),
	'stats', s.lines, 'health', h.lines, 'rollout', r.lines, 'findings', f.lines) AS status
  FROM get_current_routing_config() c,
       (SELECT coalesce(json_agg(to_json(s)), '[]') AS lines FROM webhook_routing_stats s) s,
       (SELECT coalesce(json_agg(to_json(h)), '[]') AS lines,
               max(CASE h.severity WHEN 'critical' THEN 3 WHEN 'warning' THEN 2
                                   WHEN 'environmental' THEN 2 ELSE 0 END) AS worst
          FROM check_routing_health() h) h,
       (SELECT json_agg(json_build_object('item', translate(r.item, E'\n', ' '),
                                          'state', translate(r.state, E'\n', ' '), 'ok', r.ok,
                                          'detail', translate(r.detail, E'\n', ' ')) ORDER BY r.place) AS lines
          FROM rollout_status() WITH ORDINALITY AS r (item, state, ok, detail, place)) r,
       (SELECT coalesce(json_agg(to_json(f)), '[]') AS lines
          FROM validate_routing_config() f WHERE f.severity <> 'info') f
\gset
