-- Where the rollout stands, and what keeps it there. rollout_status() shows the gates that
-- rollout_advance() obeys: both ask webhook_routing_gates().

-- A length of time for people, in whole minutes, rounded up: 1 d 3 h 5 min.
CREATE FUNCTION @extschema@.webhook_routing_duration(span interval) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT coalesce(nullif(concat_ws(' ',
			   nullif(m / 1440, 0) || ' d', nullif(m / 60 % 24, 0) || ' h', nullif(m % 60, 0) || ' min'),
			   ''), '0 min')
	  FROM (SELECT greatest(ceil(extract(epoch FROM span) / 60), 0)::bigint AS m) minutes
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_duration(interval) IS
	'Internal: a length of time in words, in minutes, rounded up';

-- Lines of at most "width" characters, broken at blanks and commas, and in longer words, for a column that
-- is read in psql.
CREATE FUNCTION @extschema@.webhook_routing_folded(words text, width integer) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT rtrim(regexp_replace(words, format('(.{1,%s},|.{1,%s}(?=\s|$)|[^\s,]{%s})\s*', width - 1, width, width),
								E'\\1\n', 'g'), E'\n')
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_folded(text, integer) IS
	'Internal: a text in lines of a given width';

-- The step that the configuration in force is in. A percentage that is no step of the plan, set by
-- hand, counts as the highest step beneath it; beneath the first, its soak is that of the first.
CREATE FUNCTION @extschema@.webhook_routing_rollout_step()
RETURNS TABLE (
	version       bigint,
	percentage    numeric,
	enabled       boolean,
	domains       text[],
	min_requests  integer,
	needs_proof   boolean,
	step          integer,
	steps         integer,
	former        numeric,		-- where rollout_back() goes
	next          numeric,		-- where rollout_advance() goes; NULL after the last step
	soak          interval,
	began         timestamptz,
	first_version bigint)		-- the config version that began the step
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT c.version, c.percentage, c.enabled, c.domains, c.min_requests, c.advance_needs_proof,
		   p.step, p.steps, p.former, p.next, p.soak, b.created_at, b.version
	  FROM @extschema@.get_current_routing_config() c,
		   @extschema@.webhook_routing_step() b,
		   LATERAL (
			SELECT count(*) FILTER (WHERE s.percentage <= c.percentage)::integer AS step,
				   count(*)::integer AS steps,
				   coalesce(max(s.percentage) FILTER (WHERE s.percentage < c.percentage), 0.00) AS former,
				   min(s.percentage) FILTER (WHERE s.percentage > c.percentage) AS next,
				   coalesce((array_agg(s.soak ORDER BY s.percentage DESC)
							 FILTER (WHERE s.percentage <= c.percentage))[1],
							(array_agg(s.soak ORDER BY s.percentage))[1]) AS soak
			  FROM @extschema@.webhook_routing_plan s
			 WHERE s.enabled) p
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rollout_step() IS
	'Internal: the step of the rollout that the configuration in force is in';

-- The unified side of each enrolled domain: what the health says of it now, and what has been seen and
-- is proven since the step began, of which the last hour is only a part. Of a step that lasts longer the last
-- 30 days count: adding them up takes time, half a second (bench/scale.sh), in which whoever judges holds the
-- lock that the kill switch needs.
CREATE FUNCTION @extschema@.webhook_routing_rollout_health()
RETURNS TABLE (
	domain        text,
	ceiling       numeric,
	retired       boolean,		-- its legacy target is gone: it is on unified whatever the switch says
	severity      text,
	issue         text,
	requests      bigint,		-- these and what follows: since the step began
	errors        bigint,
	proof         text,
	needed        bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	-- The rollups of all domains are read in one pass.
	WITH config AS MATERIALIZED (
		SELECT c.*, s.version AS step_version, s.created_at AS step_began
		  FROM @extschema@.get_current_routing_config() c
		 CROSS JOIN @extschema@.webhook_routing_step() s
	), seen AS (
		SELECT r.domain,
			   ARRAY[sum(r.requests), sum(r.errors), sum(r.measured),
					 sum(r.reached_warning), sum(r.above_critical)]::bigint[] AS counts
		  FROM config c, @extschema@.webhook_routing_counted r
		 WHERE r.routed_to = 'unified' AND r.domain = ANY (c.domains)
		   AND r.minute > (SELECT greatest(b.step_began - interval '1 hour', clock_timestamp() - interval '30 days')
							 FROM config b)
		   AND r.minute <= (SELECT clock_timestamp())
		   AND (r.config_version >= c.step_version
				OR r.config_version IS NULL AND r.last_request >= c.step_began)
		 GROUP BY r.domain
	)
	SELECT e.domain, d.percentage, coalesce(t.retired, false), coalesce(h.severity, 'insufficient_data'),
		   h.issue, n.counts[1], n.counts[2], j.proof, j.needed
	  FROM config c
	 CROSS JOIN unnest(c.domains) e (domain)
	  LEFT JOIN @extschema@.webhook_routing_domains d ON d.domain = e.domain
	  LEFT JOIN @extschema@.webhook_routing_targets t ON t.name = d.legacy_target
	  LEFT JOIN @extschema@.check_routing_health(NULL::interval) h
		ON h.domain = e.domain AND h.routed_to = 'unified'
	  LEFT JOIN seen ON seen.domain = e.domain
	 CROSS JOIN LATERAL (SELECT coalesce(seen.counts, '{0,0,0,0,0}') AS counts) n
	 CROSS JOIN LATERAL @extschema@.webhook_routing_judge(n.counts, NULL::bigint[],
		(c.warning_error_rate_pct / 100)::double precision,
		(c.critical_error_rate_pct / 100)::double precision, c.min_requests) j
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rollout_health() IS
	'Internal: the unified side of each enrolled domain, now and since the step began';

-- One word for all of it, which an evaluation keeps. The health looks back within the step until it has
-- min_requests of a domain, so that its requests reach them when those of the step do: nothing is added up
-- here for which whoever judges would hold the lock longer.
CREATE FUNCTION @extschema@.webhook_routing_rollout_severity() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE WHEN bool_or(h.severity = 'critical') THEN 'critical'
				WHEN bool_or(h.severity = 'warning') THEN 'warning'
				WHEN bool_or(h.severity = 'environmental') THEN 'environmental'
				WHEN sum(h.requests) >= c.min_requests THEN 'healthy'
				ELSE 'insufficient_data' END
	  FROM @extschema@.get_current_routing_config() c
	  LEFT JOIN @extschema@.check_routing_health(NULL::interval) h
		ON h.domain = ANY (c.domains) AND h.routed_to = 'unified'
	 GROUP BY c.min_requests
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_rollout_severity() IS
	'Internal: the worst that the health says of the unified side of the enrolled domains together';

-- What the health complains of, measure by measure, without the numbers: {"error rate  % has reached  %",
-- "P95  ms is above  ms"}.
CREATE FUNCTION @extschema@.webhook_routing_complaints(issue text) RETURNS text[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT string_to_array(regexp_replace(regexp_replace(issue, '^\w+: ', ''), '\m[0-9.]+\M', '', 'g'), ' and ')
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_complaints(text) IS
	'Internal: an issue of the health in comparable parts';

-- The gates between this step and the next, in the order in which they are named when several are
-- closed. At 0 % only those that cannot be forced apply. A warning has been judged when the newest
-- evaluation says proceed and the health that was recorded with it complains of that domain in the same
-- words, numbers apart: then it was given after the warning had appeared. The same holds for
-- environmental. Whoever has asked webhook_routing_rollout_health() already hands over what it said, as
-- JSON, so that it is not added up twice.
CREATE FUNCTION @extschema@.webhook_routing_gates(found jsonb DEFAULT NULL)
RETURNS TABLE (
	place     integer,
	gate      text,
	code      text,			-- SQLSTATE of the refusal
	can_force boolean,
	is_open   boolean,
	state     text,			-- in a few words
	detail    text,			-- what there is to know besides
	message   text,			-- of the refusal
	remedy    text)			-- the command that opens it
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH step AS MATERIALIZED (
		SELECT s.*, s.began + s.soak - clock_timestamp() AS soak_left,
			   CASE WHEN s.began < clock_timestamp() - interval '30 days' THEN 'in the last 30 days'
					ELSE 'since the step began' END AS span,
			   to_char(s.began + s.soak, 'YYYY-MM-DD HH24:MI TZ') AS soak_end
		  FROM @extschema@.webhook_routing_rollout_step() s
	), health AS MATERIALIZED (
		SELECT h.*
		  FROM step s,
			   jsonb_to_recordset(coalesce(found, (SELECT jsonb_agg(to_jsonb(r))
													 FROM @extschema@.webhook_routing_rollout_health() r)))
				   AS h (domain text, severity text, issue text, requests bigint, proof text, needed bigint)
		 WHERE s.percentage > 0
	), evaluation AS MATERIALIZED (
		SELECT e.* FROM @extschema@.webhook_routing_evaluations e, step s
		 WHERE e.config_version >= s.first_version
		 ORDER BY e.created_at DESC LIMIT 1
	), judged AS (
		SELECT h.*, EXISTS (
				SELECT FROM evaluation e, jsonb_array_elements(e.health) r
				 WHERE e.verdict = 'proceed'
				   AND r @> jsonb_build_object('domain', h.domain, 'routed_to', 'unified',
											   'severity', h.severity)
				   AND @extschema@.webhook_routing_complaints(h.issue)
					   <@ @extschema@.webhook_routing_complaints(r ->> 'issue')) AS accepted
		  FROM health h
		 WHERE h.severity IN ('warning', 'environmental')
	), gates AS (
		SELECT 1 AS place, 'routing' AS gate, 'WR101' AS code, false AS can_force, s.enabled AS is_open,
			   CASE WHEN s.enabled THEN 'enabled' ELSE 'disabled' END AS state, NULL AS detail,
			   'the rollout cannot advance while routing is disabled' AS message,
			   'SELECT set_routing_enabled(true, ''why'');' AS remedy
		  FROM step s

		UNION ALL
		SELECT 2, 'next step', 'WR102', false, s.next IS NOT NULL,
			   coalesce(s.next || ' %', 'none'), NULL,
			   format('the plan has no step above %s %%', s.percentage),
			   CASE WHEN s.percentage = 100 THEN 'SELECT * FROM cutover_readiness();'
					ELSE 'UPDATE webhook_routing_plan SET enabled = true WHERE percentage = 100;' END
		  FROM step s

		UNION ALL
		SELECT 3, 'health', 'WR103', true, c.domains IS NULL,
			   coalesce('critical: ' || c.domains, 'nothing critical'), c.issues,
			   format('the health is critical: %s', c.domains),
			   'SELECT rollout_back(''why'');'
		  FROM step s, (SELECT string_agg(h.domain, ', ' ORDER BY h.domain) AS domains,
							   string_agg(format('%s: %s', h.domain, h.issue), '; ' ORDER BY h.domain) AS issues
						  FROM health h WHERE h.severity = 'critical') c
		 WHERE s.percentage > 0

		UNION ALL
		SELECT 4, 'soak', 'WR104', true, s.soak_left <= interval '0',
			   CASE WHEN s.soak_left <= interval '0' THEN 'over'
					ELSE @extschema@.webhook_routing_duration(s.soak_left) || ' left' END,
			   format('%s in all, to %s', @extschema@.webhook_routing_duration(s.soak), s.soak_end),
			   format('the soak of %s %% is not over: %s left', s.percentage,
					  @extschema@.webhook_routing_duration(s.soak_left)),
			   format('Wait until %s, or say why not: SELECT rollout_advance(''why'', force => true);',
					  s.soak_end)
		  FROM step s
		 WHERE s.percentage > 0 AND s.soak IS NOT NULL

		UNION ALL
		SELECT 5, 'data', 'WR105', true, n.requests >= s.min_requests,
			   format('%s of %s requests', n.requests, s.min_requests),
			   format('on unified %s, all enrolled domains together', s.span),
			   format('there are too few requests on unified %s: %s of %s', s.span, n.requests, s.min_requests),
			   'Wait for more, or say why not: SELECT rollout_advance(''why'', force => true);'
		  FROM step s, (SELECT coalesce(sum(h.requests), 0) AS requests FROM health h) n
		 WHERE s.percentage > 0

		UNION ALL
		-- Domains with enough requests have to show it, and there has to be one. Since the step began: in
		-- the last hour alone few have.
		SELECT 6, 'proof', 'WR106', true, p.missing IS NULL AND p.shown > 0,
			   CASE WHEN p.missing IS NULL AND p.shown > 0 THEN 'shown'
					ELSE 'not shown: ' || coalesce(p.missing, 'too few requests') END,
			   p.needed,
			   format('an error rate below the critical one is not shown: %s',
					  coalesce(p.missing, 'no domain has enough requests')),
			   'Wait for more requests, or do without: '
			   'SELECT update_routing_settings(''{"advance_needs_proof": false}'', ''why'');'
		  FROM step s, (
			SELECT string_agg(h.domain, ', ' ORDER BY h.domain)
					   FILTER (WHERE h.proof IS DISTINCT FROM 'shown_critical'
							   AND h.proof IS DISTINCT FROM 'shown_warning') AS missing,
				   string_agg(format('%s needs %s more without an error', h.domain, h.needed), '; '
							  ORDER BY h.domain)
					   FILTER (WHERE h.proof IS DISTINCT FROM 'shown_critical'
							   AND h.proof IS DISTINCT FROM 'shown_warning') AS needed,
				   count(*) AS shown
			  FROM health h, step s WHERE h.requests >= s.min_requests) p
		 WHERE s.percentage > 0 AND s.needs_proof

		UNION ALL
		SELECT 7, 'evaluation', 'WR107', true, coalesce(e.verdict = 'proceed', false),
			   coalesce(e.verdict, 'none'),
			   CASE WHEN e.verdict IS NULL THEN 'none since the step began'
					ELSE format('by %s at %s%s', e.created_by,
								to_char(e.created_at, 'YYYY-MM-DD HH24:MI TZ'), ': ' || e.notes) END,
			   CASE WHEN e.verdict IS NULL THEN 'nobody has said proceed since the step began'
					ELSE format('the newest evaluation says %s', e.verdict) END,
			   'SELECT rollout_evaluate(''proceed'', ''why'');'
		  FROM step s LEFT JOIN evaluation e ON true
		 WHERE s.percentage > 0

		UNION ALL
		SELECT 8, 'warnings', 'WR108', true, w.missing IS NULL,
			   CASE WHEN w.all_of_them IS NULL THEN 'no warning'
					WHEN w.missing IS NULL THEN 'judged: ' || w.all_of_them
					ELSE 'not judged: ' || w.missing END,
			   w.issues,
			   format('the health warns, and no proceed was given since: %s', w.missing),
			   'SELECT * FROM check_routing_health(); then SELECT rollout_evaluate(''proceed'', ''why'');'
		  FROM step s, (
			SELECT string_agg(j.domain, ', ' ORDER BY j.domain) AS all_of_them,
				   string_agg(j.domain, ', ' ORDER BY j.domain) FILTER (WHERE NOT j.accepted) AS missing,
				   string_agg(format('%s: %s', j.domain, j.issue), '; ' ORDER BY j.domain) AS issues
			  FROM judged j) w
		 WHERE s.percentage > 0
	)
	SELECT * FROM gates g ORDER BY g.place
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_gates(jsonb) IS
	'Internal: the gates between this step of the rollout and the next, and what opens each';
