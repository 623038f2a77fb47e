-- What an operator looks at every quarter of an hour.

CREATE FUNCTION @extschema@.rollout_status()
RETURNS TABLE (item text, state text, ok boolean, detail text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH step AS MATERIALIZED (
		SELECT * FROM @extschema@.webhook_routing_rollout_step()
	), health AS MATERIALIZED (
		SELECT * FROM @extschema@.webhook_routing_rollout_health()
	), gates AS MATERIALIZED (
		SELECT g.* FROM (SELECT jsonb_agg(to_jsonb(h)) AS found FROM health h) f,
			   @extschema@.webhook_routing_gates(coalesce(f.found, '[]')) g
	), lines (place, item, state, ok, detail) AS (
		SELECT 0, 'step', format('%s of %s: %s %%', s.step, s.steps, s.percentage), NULL::boolean,
			   CASE WHEN s.first_version = 1 THEN 'as installed'
					ELSE format('since %s, for %s', to_char(s.began, 'YYYY-MM-DD HH24:MI TZ'),
								@extschema@.webhook_routing_duration(clock_timestamp() - s.began)) END
		  FROM step s
		UNION ALL
		SELECT g.place, g.gate, g.state, g.is_open, g.detail FROM gates g
		UNION ALL
		SELECT 20, h.domain,
			   CASE WHEN s.percentage > 0 AND s.enabled OR h.retired THEN replace(h.severity, '_', ' ')
					ELSE 'all on legacy' END, NULL,
			   concat_ws('; ',
				   'at most ' || CASE WHEN h.ceiling < s.percentage THEN h.ceiling END || ' %',
				   format('%s requests, %s errors', h.requests, h.errors), h.issue,
				   CASE h.proof WHEN 'shown_critical' THEN 'shown to be below the critical limit'
								WHEN 'shown_warning' THEN 'shown to be below the warning limit' END)
		  FROM health h, step s
		UNION ALL
		SELECT 30, 'next', CASE WHEN bool_and(g.is_open) THEN 'can advance' ELSE 'cannot advance' END,
			   bool_and(g.is_open),
			   coalesce((SELECT c.remedy FROM gates c WHERE NOT c.is_open ORDER BY c.place LIMIT 1),
						'SELECT rollout_advance(''why'');')
		  FROM gates g
		UNION ALL
		SELECT 40, 'way back', s.former || ' %', NULL, 'SELECT rollout_back(''why'');'
		  FROM step s WHERE s.percentage > 0
	)
	SELECT @extschema@.webhook_routing_folded(l.item, 16), @extschema@.webhook_routing_folded(l.state, 26), l.ok,
		   @extschema@.webhook_routing_folded(l.detail, 44)
	  FROM lines l ORDER BY l.place, l.item
$function$;
COMMENT ON FUNCTION @extschema@.rollout_status() IS
	'Where the rollout stands: the step, each gate to the next (ok: it is open), the domains, what to do next';
