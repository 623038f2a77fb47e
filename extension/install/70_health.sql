-- Health: is what was routed in the last hour all right? Reads the rollups and the thresholds of the
-- configuration in force.

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
	), seen AS (
		SELECT s.domain, s.routed_to, s.request_count, s.error_count, s.p95_ms,
		       100.0 * s.error_count / s.request_count AS error_rate
		  FROM @extschema@.webhook_routing_stats s
	), judged AS (
		SELECT s.*,
		       s.request_count >= c.min_requests AS enough,
		       concat_ws(' and ',
		           CASE WHEN s.error_rate > c.critical_error_rate_pct
		                THEN format('error rate %s %% is above %s %%',
		                            round(s.error_rate, 2), c.critical_error_rate_pct) END,
		           CASE WHEN s.p95_ms > c.critical_p95_ms
		                THEN format('P95 %s ms is above %s ms', round(s.p95_ms), c.critical_p95_ms)
		           END) AS critical,
		       concat_ws(' and ',
		           CASE WHEN s.error_rate >= c.warning_error_rate_pct
		                THEN format('error rate %s %% has reached %s %%',
		                            round(s.error_rate, 2), c.warning_error_rate_pct) END,
		           CASE WHEN s.p95_ms >= c.warning_p95_ms
		                THEN format('P95 %s ms has reached %s ms', round(s.p95_ms), c.warning_p95_ms)
		           END) AS warning,
		       format('too few requests for a verdict: %s of %s', s.request_count, c.min_requests)
		           AS too_few
		  FROM seen s, config c
	)
	SELECT j.domain, j.routed_to,
	       CASE WHEN j.enough THEN j.critical = '' AND j.warning = '' END,
	       round(j.error_rate, 3), j.p95_ms,
	       CASE WHEN NOT j.enough THEN j.too_few
	            WHEN j.critical <> '' THEN 'critical: ' || j.critical
	            WHEN j.warning <> '' THEN 'warning: ' || j.warning END
	  FROM judged j
	UNION ALL
	-- No data is never healthy: an enrolled domain without any is named.
	SELECT d.domain, NULL, NULL, NULL, NULL, 'no requests in the last hour'
	  FROM config c, unnest(c.domains) d (domain)
	 WHERE NOT EXISTS (SELECT FROM seen s WHERE s.domain = d.domain)
	 ORDER BY 1, 2
$function$;
COMMENT ON FUNCTION @extschema@.check_routing_health() IS
	'A verdict per domain and side over the last hour; is_healthy is NULL where data is too scarce';
