-- Health: is what was routed in the last hour all right? Reads the rollups and the thresholds of the
-- configuration in force.

-- The P95 of a sketch is within 1 % of the true one, so that it may lie on the wrong side of a limit.
-- How many requests took longer than the limit is counted exactly: there, the count says which side
-- is right, and the P95 is moved there.
CREATE FUNCTION @extschema@.webhook_routing_p95(
	p95 numeric, lowest_over numeric, over bigint, measured bigint)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE WHEN p95 IS NULL THEN NULL
	            WHEN p95 NOT BETWEEN 0.99 * lowest_over AND 1.01 * lowest_over THEN p95
	            WHEN over > 0.05 * measured THEN greatest(p95, lowest_over)
	            ELSE least(p95, lowest_over - 0.01) END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_p95(numeric, numeric, bigint, bigint) IS
	'A P95 on the right side of a limit, given how many requests were over it; NULL stays NULL';

CREATE FUNCTION @extschema@.check_routing_health()
RETURNS TABLE (
	domain      text,
	routed_to   text,
	is_healthy  boolean,
	error_rate  numeric,
	p95_latency numeric,
	issue       text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH config AS (
		SELECT * FROM @extschema@.webhook_routing_config ORDER BY version DESC LIMIT 1
	), counted AS (
		SELECT r.domain, r.routed_to,
		       sum(r.requests) AS request_count,
		       sum(r.errors) AS error_count,
		       sum(r.requests - r.skipped)::bigint AS measured,
		       sum(r.reached_warning)::bigint AS reached_warning,
		       sum(r.above_critical)::bigint AS above_critical,
		       round(@extschema@.latency_sketch_quantile(
			       @extschema@.latency_sketch_agg(r.latency), 0.95)::numeric, 2) AS estimate
		  FROM @extschema@.webhook_routing_rollups r
		 WHERE r.minute > statement_timestamp() - interval '61 minutes'
		   AND r.minute <= statement_timestamp()
		 GROUP BY r.domain, r.routed_to
	), seen AS (
		SELECT n.*, 100.0 * n.error_count / n.request_count AS error_rate,
		       @extschema@.webhook_routing_p95(
			       @extschema@.webhook_routing_p95(
				       n.estimate, c.warning_p95_ms::numeric, n.reached_warning, n.measured),
			       c.critical_p95_ms::numeric + 0.01, n.above_critical, n.measured) AS p95_ms
		  FROM counted n, config c
	), judged AS (
		SELECT s.*,
		       s.request_count >= c.min_requests AS enough,
		       concat_ws(' and ',
		           CASE WHEN s.error_rate > c.critical_error_rate_pct
		                THEN format('error rate %s %% is above %s %%',
		                            round(s.error_rate, 2), c.critical_error_rate_pct) END,
		           CASE WHEN s.p95_ms > c.critical_p95_ms
		                THEN format('P95 %s ms is above %s ms', round(s.p95_ms, 2), c.critical_p95_ms)
		           END) AS critical,
		       concat_ws(' and ',
		           CASE WHEN s.error_rate >= c.warning_error_rate_pct
		                THEN format('error rate %s %% has reached %s %%',
		                            round(s.error_rate, 2), c.warning_error_rate_pct) END,
		           CASE WHEN s.p95_ms >= c.warning_p95_ms
		                THEN format('P95 %s ms has reached %s ms', round(s.p95_ms, 2), c.warning_p95_ms)
		           END) AS warning,
		       format('too few requests for a verdict: %s of %s', s.request_count, c.min_requests)
		           AS too_few
		  FROM seen s, config c
	)
	SELECT j.domain, j.routed_to,
	       CASE WHEN NOT j.enough THEN NULL
	            WHEN j.critical <> '' OR j.warning <> '' THEN false
	            WHEN j.p95_ms IS NOT NULL THEN true END,
	       round(j.error_rate, 3), round(j.p95_ms, 2),
	       CASE WHEN NOT j.enough THEN j.too_few
	            WHEN j.critical <> '' THEN 'critical: ' || j.critical
	            WHEN j.warning <> '' THEN 'warning: ' || j.warning
	            WHEN j.p95_ms IS NULL THEN 'no response time was measured' END
	  FROM judged j
	UNION ALL
	-- No data is never healthy: an enrolled domain without any is named, and so is one whose senders
	-- should partly be on unified while nothing went there.
	SELECT e.domain, missing.side, NULL, NULL, NULL, missing.issue
	  FROM config c
	 CROSS JOIN unnest(c.domains) e (domain)
	  LEFT JOIN @extschema@.webhook_routing_domains d ON d.domain = e.domain
	 CROSS JOIN LATERAL (
		SELECT NULL AS side, 'no requests in the last hour' AS issue
		 WHERE NOT EXISTS (SELECT FROM seen s WHERE s.domain = e.domain)
		UNION ALL
		SELECT 'unified', 'no requests in the last hour, though it should get some'
		 WHERE c.enabled AND least(d.percentage, c.percentage) > 0
		   AND EXISTS (SELECT FROM seen s WHERE s.domain = e.domain)
		   AND NOT EXISTS (SELECT FROM seen s WHERE s.domain = e.domain AND s.routed_to = 'unified')
	       ) missing
	 ORDER BY 1, 2
$function$;
COMMENT ON FUNCTION @extschema@.check_routing_health() IS
	'A verdict per domain and side over the last hour; is_healthy is NULL where data is too scarce';
