-- Health: what the requests of each domain and side prove. Reads the rollups and the thresholds of the
-- configuration in force; the rules of a verdict are in extension/evidence_verdict.c.

-- How many requests took longer than a limit is counted exactly, and that decides. The P95 beside it is of
-- a sketch, so within 1 % of the true one, and counts what repeats as well: it may lie on the other side of
-- the limit, and is moved to the side that the counts say.
CREATE FUNCTION @extschema@.webhook_routing_p95(
	p95 numeric, lowest_over numeric, over bigint, measured bigint)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE WHEN p95 IS NULL THEN NULL
	            WHEN over > 0.05 * measured THEN greatest(p95, lowest_over)
	            ELSE least(p95, lowest_over - 0.01) END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_p95(numeric, numeric, bigint, bigint) IS
	'A P95 on the right side of a limit, given how many requests were over it; NULL stays NULL';

-- What was seen of each side of a domain, and beside unified of legacy in the same minutes. With an
-- argument: in that time. Without: in the last hour and, where that is less than min_requests, in as many
-- minutes before as give them; nothing from before the present step, since another share of the senders
-- decided it. A minute in which the step began counts by the config version of its rows.
--
-- The last hour is read once; looking further back reads at most min_requests rollups of a side, and
-- legacy only beside what is not clean.
CREATE FUNCTION @extschema@.webhook_routing_evidence(since interval)
RETURNS TABLE (
	domain    text,
	routed_to text,
	counts    bigint[],
	other     bigint[],
	repeated  bigint,
	p95       numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH bounds AS (
		SELECT c.domains, c.min_requests,
		       -- Of this moment: a statement that has gone on into another minute sees what it has stored.
		       clock_timestamp() AS until,
		       clock_timestamp() - coalesce(since, interval '1 hour') - interval '1 minute' AS began,
		       CASE WHEN since IS NULL THEN s.version ELSE 0 END AS version,
		       CASE WHEN since IS NULL THEN s.created_at ELSE '-infinity' END AS step_began
		  FROM @extschema@.webhook_routing_config c, @extschema@.webhook_routing_step() s
		 ORDER BY c.version DESC LIMIT 1
	), recent AS (
		SELECT r.domain, r.routed_to,
		       ARRAY[sum(r.requests), sum(r.errors), sum(r.measured),
		             sum(r.reached_warning), sum(r.above_critical)]::bigint[] AS counts,
		       sum(r.repeated_errors)::bigint AS repeated,
		       @extschema@.latency_sketch_agg(r.latency) AS latency
		  FROM @extschema@.webhook_routing_counted r, bounds b
		 WHERE r.minute > b.began AND r.minute <= b.until
		   AND (r.config_version >= b.version
		        OR r.config_version IS NULL AND r.last_request >= b.step_began)
		 GROUP BY r.domain, r.routed_to
	), scarce AS (
		SELECT s.domain, s.routed_to
		  FROM bounds b
		 CROSS JOIN LATERAL (
			SELECT e.domain, e.routed_to FROM recent e
			 UNION
			SELECT d.domain, side.routed_to
			  FROM unnest(b.domains) d (domain), (VALUES ('unified'), ('legacy')) side (routed_to)) s
		  LEFT JOIN recent r ON r.domain = s.domain AND r.routed_to = s.routed_to
		 WHERE since IS NULL AND coalesce(r.counts[1], 0) < b.min_requests
	), widened AS (
		SELECT s.domain, s.routed_to, w.*
		  FROM scarce s
		 CROSS JOIN bounds b
		 CROSS JOIN LATERAL (
			SELECT ARRAY[sum(n.requests), sum(n.errors), sum(n.measured),
			             sum(n.reached_warning), sum(n.above_critical)]::bigint[] AS counts,
			       sum(n.repeated_errors)::bigint AS repeated,
			       @extschema@.latency_sketch_agg(n.latency) AS latency,
			       min(n.minute) AS began
			  FROM (SELECT f.*, coalesce(sum(f.requests) OVER (ORDER BY f.minute DESC
			                    RANGE UNBOUNDED PRECEDING EXCLUDE GROUP), 0) AS newer
			          FROM (SELECT r.*
			                  FROM @extschema@.webhook_routing_counted r
			                 WHERE r.domain = s.domain AND r.routed_to = s.routed_to
			                   AND r.minute <= b.until AND r.minute > b.step_began - interval '1 hour'
			                   AND r.requests > 0
			                   AND (r.config_version >= b.version
			                        OR r.config_version IS NULL AND r.last_request >= b.step_began)
			                 ORDER BY r.minute DESC
			                 FETCH FIRST (b.min_requests) ROWS WITH TIES) f) n
			 WHERE n.newer < b.min_requests
			HAVING count(*) > 0) w
	), own AS (
		SELECT r.*, NULL::timestamptz AS began
		  FROM recent r
		 WHERE NOT EXISTS (SELECT FROM widened w
		                    WHERE w.domain = r.domain AND w.routed_to = r.routed_to)
		UNION ALL
		SELECT * FROM widened
	)
	-- The lowest time that 95 of 100 requests do not exceed, as a limit is judged (nearest rank). That of
	-- webhook_routing_stats lies between two requests: with 6 of 106 above a limit it may be below it.
	SELECT o.domain, o.routed_to, o.counts, coalesce(beside.counts, before.counts), o.repeated,
	       round(@extschema@.latency_sketch_quantile(
		       o.latency, ((ceil(0.95 * n.measured) - 1) / greatest(n.measured - 1, 1))::double precision)::numeric, 2)
	  FROM own o
	 CROSS JOIN bounds b
	 CROSS JOIN LATERAL (SELECT greatest(@extschema@.latency_sketch_count(o.latency), 1) AS measured) n
	  LEFT JOIN recent beside
	    ON o.began IS NULL AND o.routed_to = 'unified'
	   AND beside.domain = o.domain AND beside.routed_to = 'legacy'
	  LEFT JOIN LATERAL (
		SELECT ARRAY[sum(l.requests), sum(l.errors), sum(l.measured),
		             sum(l.reached_warning), sum(l.above_critical)]::bigint[] AS counts
		  FROM @extschema@.webhook_routing_counted l
		 WHERE o.began IS NOT NULL AND o.routed_to = 'unified' AND (o.counts[2] > 0 OR o.counts[4] > 0)
		   AND l.domain = o.domain AND l.routed_to = 'legacy'
		   AND l.minute >= o.began AND l.minute <= b.until
		   AND (l.config_version >= b.version
		        OR l.config_version IS NULL AND l.last_request >= b.step_began)
		HAVING count(*) > 0) before ON true
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_evidence(interval) IS
	'Internal: what was seen of each side of a domain, as webhook_routing_judge() takes it';

CREATE FUNCTION @extschema@.webhook_routing_excess(
	level text, measure text, value numeric, warning numeric, critical numeric, unit text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	-- With as many digits as it takes to be above.
	SELECT CASE level
	       WHEN 'critical' THEN format('%1$s %2$s %4$s is above %3$s %4$s', measure,
	                                   round(value, CASE WHEN round(value, 2) > critical THEN 2 ELSE 6 END),
	                                   critical, unit)
	       WHEN 'warning' THEN format('%1$s %2$s %4$s has reached %3$s %4$s', measure,
	                                  round(value, CASE WHEN round(value, 2) >= warning THEN 2 ELSE 6 END),
	                                  warning, unit) END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_excess(text, text, numeric, numeric, numeric, text) IS
	'Internal: what is wrong by one measure, in words; NULL when nothing is';

CREATE FUNCTION @extschema@.webhook_routing_advice(
	severity text, proof text, domain text, routed_to text, requests bigint, needed bigint, config jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE severity
	       WHEN 'healthy' THEN
	           CASE
	           WHEN routed_to IS DISTINCT FROM 'unified' THEN 'Nothing to do.'
	           WHEN proof = 'shown_warning' THEN
	               format('Proceed: errors are shown to be under %s %%, P95 under %s ms.',
	                      config ->> 'warning_error_rate_pct', config ->> 'warning_p95_ms')
	           WHEN proof = 'shown_critical' THEN
	               format('Proceed: errors are shown to be under %s %%; %s more clean requests show %s %%.',
	                      config ->> 'critical_error_rate_pct', coalesce(needed::text, 'over 10^12'),
	                      config ->> 'warning_error_rate_pct')
	           ELSE format('Proceed, or wait for %s more clean requests: they show errors under %s %%.',
	                       coalesce(needed::text, 'over 10^12'), config ->> 'critical_error_rate_pct') END
	       WHEN 'warning' THEN
	           format('Hold until it is explained: look at %s in webhook_routing_errors and webhook_routing_timeline.', domain)
	       WHEN 'critical' THEN
	           CASE routed_to
	           WHEN 'unified' THEN format('Roll back: SELECT set_routing_enabled(false, %L);',
	                                      domain || ' is critical')
	           WHEN 'legacy' THEN 'Mend the legacy function; rolling back would send it more.'
	           ELSE 'No function could be reached: look at the status page of the forwarder.' END
	       WHEN 'environmental' THEN
	           'Hold: both sides are bad, so rolling back would not help; look at what they share.'
	       ELSE CASE
	            WHEN requests = 0 THEN
	                'Wait for traffic; if there should be some, look at the status page of the forwarder.'
	            WHEN requests < (config ->> 'min_requests')::integer THEN
	                format('Wait for more requests, %s at least.',
	                       (config ->> 'min_requests')::integer - requests)
	            ELSE 'Wait until response times are measured.' END END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_advice(
	text, text, text, text, bigint, bigint, jsonb) IS
	'Internal: what to do about a verdict, as a sentence';

CREATE FUNCTION @extschema@.check_routing_health(since interval DEFAULT NULL)
RETURNS TABLE (
	domain          text,
	routed_to       text,
	is_healthy      boolean,
	error_rate      numeric,
	p95_latency     numeric,
	issue           text,
	severity        text,
	proof           text,
	requests        bigint,
	errors          bigint,
	error_rate_low  numeric,
	error_rate_high numeric,
	requests_needed bigint,
	advice          text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
	config @extschema@.webhook_routing_config;
BEGIN
	IF since <= interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('health cannot look back %s', since),
			HINT = 'Give an interval above zero, SELECT * FROM check_routing_health(''15 minutes''), or none.';
	END IF;
	IF since > interval '1000 years' THEN
		since := interval '1000 years';	-- no timestamp is as old as an interval may be
	END IF;
	SELECT * INTO STRICT config
	  FROM @extschema@.webhook_routing_config ORDER BY version DESC LIMIT 1;

	RETURN QUERY
	WITH evidence AS (
		SELECT e.*, NULL AS missing FROM @extschema@.webhook_routing_evidence(since) e
	), seen AS (
		SELECT * FROM evidence
		UNION ALL
		-- No data is never healthy: an enrolled domain without any is named, and so is one whose senders
		-- should partly be on unified while nothing went there.
		SELECT e.domain, absent.side, '{0,0,0,0,0}', NULL, 0, NULL,
		       CASE WHEN since IS NULL THEN 'no requests since this step began'
		            ELSE format('no requests in the last %s', since) END || absent.addition
		  FROM unnest(config.domains) e (domain)
		  LEFT JOIN @extschema@.webhook_routing_domains d ON d.domain = e.domain
		 CROSS JOIN LATERAL (
			SELECT NULL AS side, '' AS addition
			 WHERE NOT EXISTS (SELECT FROM evidence s WHERE s.domain = e.domain)
			UNION ALL
			SELECT 'unified', ', though it should get some'
			 WHERE config.enabled AND least(d.percentage, config.percentage) > 0
			   AND EXISTS (SELECT FROM evidence s WHERE s.domain = e.domain)
			   AND NOT EXISTS (SELECT FROM evidence s
			                    WHERE s.domain = e.domain AND s.routed_to = 'unified')) absent
	), judged AS (
		SELECT s.*, j.*, s.counts[1] AS requests, s.counts[2] AS errors, s.counts[3] AS measured,
		       100.0 * s.counts[2] / nullif(s.counts[1], 0) AS error_rate,
		       @extschema@.webhook_routing_p95(
			       @extschema@.webhook_routing_p95(
				       s.p95, config.warning_p95_ms::numeric, s.counts[4], s.counts[3]),
			       config.critical_p95_ms::numeric + 0.01, s.counts[5], s.counts[3]) AS p95_ms
		  FROM seen s,
		       @extschema@.webhook_routing_judge(s.counts, s.other,
			       (config.warning_error_rate_pct / 100)::double precision,
			       (config.critical_error_rate_pct / 100)::double precision, config.min_requests) j
	), ruled AS (
		-- What is nobody's fault is legacy's neither.
		SELECT j.*, CASE WHEN j.routed_to = 'legacy' AND j.severity IN ('warning', 'critical')
		                      AND EXISTS (SELECT FROM judged u
		                                   WHERE u.domain = j.domain AND u.routed_to = 'unified'
		                                     AND u.severity = 'environmental')
		                 THEN 'environmental' ELSE j.severity END AS final
		  FROM judged j
	)
	SELECT j.domain, j.routed_to,
	       CASE WHEN j.final <> 'insufficient_data' THEN j.final = 'healthy' END,
	       round(j.error_rate, 3), round(j.p95_ms, 2),
	       CASE j.final
	       WHEN 'healthy' THEN NULL
	       WHEN 'insufficient_data' THEN
	           CASE WHEN j.missing IS NOT NULL THEN j.missing
	                WHEN j.requests < config.min_requests
	                THEN format('too few requests for a verdict: %s of %s', j.requests, config.min_requests)
	                ELSE 'no response time was measured' END
	       ELSE format('%s: %s', j.final, concat_ws(' and ',
	                @extschema@.webhook_routing_excess(j.errors_level, 'error rate'::text, j.error_rate,
	                    config.warning_error_rate_pct, config.critical_error_rate_pct, '%'::text),
	                @extschema@.webhook_routing_excess(j.latency_level, 'P95'::text, j.p95_ms,
	                    config.warning_p95_ms::numeric, config.critical_p95_ms::numeric, 'ms'::text))) END,
	       j.final, j.proof, j.requests, j.errors,
	       round(j.low_pct::numeric, 5), round(j.high_pct::numeric, 5), j.needed,
	       CASE WHEN j.final = 'critical' AND j.routed_to = 'unified'
	                 AND EXISTS (SELECT FROM @extschema@.webhook_routing_domains d
	                               JOIN @extschema@.webhook_routing_targets t ON t.name = d.legacy_target
	                              WHERE d.domain = j.domain AND t.retired)
	            THEN 'Mend the unified function: the legacy one is retired, so that no way back reaches this domain.'
	            ELSE @extschema@.webhook_routing_advice(j.final, j.proof, j.domain, j.routed_to, j.requests,
	                                                    j.needed, to_jsonb(config)) END
	       || CASE WHEN j.repeated > 0
	               THEN format(' %s errors of messages that had failed before are left out.', j.repeated)
	               ELSE '' END
	  FROM ruled j
	 ORDER BY 1, 2;
END
$function$;
COMMENT ON FUNCTION @extschema@.check_routing_health(interval) IS
	'A verdict per domain and side: of the given time, or of the last hour and, within this step, as far '
	'back as gives min_requests; is_healthy is NULL where data is too scarce';
