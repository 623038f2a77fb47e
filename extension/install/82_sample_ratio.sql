-- Is the split what it claims to be? Three ways to find out, from the log alone: each row against what
-- its bucket decides; senders and requests on unified against what chance allows, as in the sample-ratio
-- test of A/B experiments (Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled
-- Experiments", KDD 2019); and rows that must be there and are not.
--
-- A sender is on unified with the chance p that its percentage says, whoever it is and however much it
-- writes. A sender counts once, where it was first seen in the window, so that all are independent: the
-- number on unified has the expectation sum(p) and the variance sum(p(1-p)). Losing some rows of each
-- sender loses no sender; but then those of one side write less than those of the other. So requests
-- per sender are compared as well (Welch, Biometrika 1947), among senders of the same domain and
-- percentage, whose sides chance alone has chosen, and the differences are added up with the weight
-- n u / (n + u) of n senders beside u.
--
-- Many tests find something by chance. An alarm is p < 0.001 after multiplying p with a factor: all
-- domains together 1 for senders and 2 for requests; of k domains each 4k for senders and 4k for
-- requests. So a fair split alarms in at most 0.1 + 0.05 + 0.025 + 0.025 = 0.2 % of all checks (Bonferroni).

-- Chi-square of one degree of freedom, with Yates' correction, since senders are whole.
CREATE FUNCTION @extschema@.webhook_routing_senders_statistic(
	observed double precision, expected double precision, variance double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT power(greatest(abs(observed - expected) - 0.5, 0), 2) / nullif(variance, 0)
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_senders_statistic(
	double precision, double precision, double precision) IS
	'Internal: how far the number of senders on unified is from what is expected';

-- The same for a sum of weighted differences. Where nobody differs from anybody there is no variance: then
-- no difference is no finding, and any difference is one.
CREATE FUNCTION @extschema@.webhook_routing_requests_statistic(
	difference double precision, variance double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT CASE WHEN abs(difference) < 1e-9 THEN 0
				ELSE least(difference * difference / greatest(variance, 1e-9), 1e9) END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_requests_statistic(double precision, double precision) IS
	'Internal: how far requests per sender are apart on the two sides';

CREATE FUNCTION @extschema@.webhook_routing_sample_p(
	statistic double precision, what text, domain text, domains integer)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT least(1, @extschema@.routing_chi_square_p(statistic, 1)
				* CASE WHEN domain <> 'all' AND domains > 1 THEN 4 * domains
					   WHEN what = 'requests' THEN 2 ELSE 1 END)
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_sample_p(double precision, text, text, integer) IS
	'Internal: how often chance makes a statistic as large, corrected for many tests';

-- One pair of rows for all domains together ("all", where there are several) and one for each. Tested is
-- where at least 100 senders are expected, or are, on either side: with fewer the tails of the normal
-- law are not those of the counts.
CREATE FUNCTION @extschema@.webhook_routing_shares(since interval)
RETURNS TABLE (domain text, domains integer, what text, enough boolean, n bigint,
			   expected double precision, observed double precision, statistic double precision)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH split AS (
		SELECT l.domain, coalesce(l.from_number, 'bucket ' || l.bucket) AS sender, l.created_at, l.item,
		       l.percentage / 100 AS p,
		       CASE WHEN l.reason IN ('in_percentage', 'out_of_percentage')
		            THEN CASE l.routed_to WHEN 'error' THEN l.reason = 'in_percentage'
		                                  ELSE l.routed_to = 'unified' END
		            ELSE l.bucket < l.percentage * 100 END AS on_unified
		  FROM @extschema@.webhook_routing_logs l
		 WHERE l.created_at > (SELECT @extschema@.webhook_routing_since(since))
		   AND l.attempt <= 1
		   AND l.bucket IS NOT NULL
		   AND l.percentage > 0 AND l.percentage < 100
		   -- in a mixed batch only those that would be split alone
		   AND CASE l.reason WHEN 'mixed_batch'
		            THEN (SELECT a.reason IN ('in_percentage', 'out_of_percentage')
		                    FROM @extschema@.webhook_routing_decide_again(
		                         l.config_version, l.domain, l.bucket, l.reason,
		                         NULL::numeric, NULL::boolean) a)
		            ELSE l.reason IN ('in_percentage', 'out_of_percentage', 'in_conversation') END
	), placed AS (
		SELECT s.*,
		       row_number() OVER by_domain = 1 AS first_in_domain,
		       row_number() OVER by_sender = 1 AS first_of_all,
		       s.p = first_value(s.p) OVER by_domain
		           AND s.on_unified = first_value(s.on_unified) OVER by_domain AS as_first
		  FROM split s
		WINDOW by_domain AS (PARTITION BY s.domain, s.sender ORDER BY s.created_at, s.item),
		       by_sender AS (PARTITION BY s.sender ORDER BY s.created_at, s.item)
	), senders AS (
		SELECT p.domain, p.sender, count(*)::double precision AS m, min(p.p)::double precision AS p,
		       bool_or(p.on_unified) AS on_unified, bool_or(p.first_of_all) AS first_of_all
		  FROM placed p
		 WHERE p.as_first
		 GROUP BY p.domain, p.sender
	), cells AS (
		-- of each domain, and of those that are all: every sender once
		SELECT g.scope, s.domain, s.p,
		       count(*) FILTER (WHERE s.on_unified) AS u, count(*) FILTER (WHERE NOT s.on_unified) AS l,
		       coalesce(sum(s.m) FILTER (WHERE s.on_unified), 0) AS u_requests,
		       coalesce(sum(s.m) FILTER (WHERE NOT s.on_unified), 0) AS l_requests,
		       coalesce(var_samp(s.m) FILTER (WHERE s.on_unified), 0) AS u_variance,
		       coalesce(var_samp(s.m) FILTER (WHERE NOT s.on_unified), 0) AS l_variance
		  FROM senders s
		 CROSS JOIN LATERAL (VALUES (s.domain, true), ('all', s.first_of_all)) g (scope, counts)
		 WHERE g.counts
		 GROUP BY g.scope, s.domain, s.p
	), scopes AS (
		SELECT c.scope, count(DISTINCT c.domain) AS domains, sum(c.u + c.l)::bigint AS n,
		       sum(c.u)::bigint AS u, sum(c.l)::bigint AS l,
		       sum((c.u + c.l) * c.p) AS expected, sum((c.u + c.l) * c.p * (1 - c.p)) AS variance,
		       sum(c.u_requests) AS u_requests, sum(c.l_requests) AS l_requests,
		       sum((c.u_requests * c.l - c.l_requests * c.u) / (c.u + c.l)) AS difference,
		       sum((power(c.l, 2) * c.u * c.u_variance + power(c.u, 2) * c.l * c.l_variance)
		           / power(c.u + c.l, 2)) AS difference_variance
		  FROM cells c
		 GROUP BY c.scope
	)
	SELECT s.scope, (SELECT max(a.domains)::integer FROM scopes a), w.what, w.enough, s.n,
	       w.expected, w.observed, w.statistic
	  FROM scopes s
	 CROSS JOIN LATERAL (VALUES
		('senders', least(s.expected, s.n - s.expected) >= 100, 100 * s.expected / s.n, 100.0 * s.u / s.n,
		 @extschema@.webhook_routing_senders_statistic(s.u::double precision, s.expected, s.variance)),
		('requests', least(s.u, s.l) >= 100, s.l_requests / nullif(s.l, 0), s.u_requests / nullif(s.u, 0),
		 @extschema@.webhook_routing_requests_statistic(s.difference, s.difference_variance))
	       ) w (what, enough, expected, observed, statistic)
	 WHERE (s.scope <> 'all' OR s.domains > 1)
	   AND (w.what = 'senders' OR s.u_requests + s.l_requests > s.n)
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_shares(interval) IS
	'Internal: senders of a window on unified, in percent, and requests of each, as they are and as they '
	'should be';

-- Rows that must be there: an attempt before a later one, an item before a later one, and everything that
-- was counted when it was stored.
CREATE FUNCTION @extschema@.webhook_routing_missing_rows(since interval)
RETURNS TABLE (domain text, expected bigint, observed bigint, detail text, statement text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH edges AS (
		SELECT greatest(date_trunc('minute', @extschema@.webhook_routing_since(since)) + interval '1 minute',
		                (date_trunc('day', (statement_timestamp() AT TIME ZONE 'UTC') - c.log_retention)
		                 AT TIME ZONE 'UTC')) AS first
		  FROM @extschema@.get_current_routing_config() c
	), stored AS (
		SELECT l.domain, l.routed_to, count(*) AS n
		  FROM @extschema@.webhook_routing_logs l, edges e
		 WHERE l.created_at >= e.first AND l.item = 0
		 GROUP BY l.domain, l.routed_to
	), counted AS (
		SELECT r.domain, r.routed_to, sum(r.requests)::bigint AS n
		  FROM @extschema@.webhook_routing_rollups r, edges e
		 WHERE r.minute >= e.first
		 GROUP BY r.domain, r.routed_to
	)
	SELECT c.domain, c.n, coalesce(s.n, 0),
	       format('%s of %s attempts on %s are not in the log any more', c.n - coalesce(s.n, 0), c.n, c.routed_to),
	       'SELECT * FROM webhook_routing_timeline;'
	  FROM counted c LEFT JOIN stored s ON s.domain = c.domain AND s.routed_to = c.routed_to
	 WHERE c.n > coalesce(s.n, 0)
	UNION ALL
	(SELECT min(l.domain), ((max(l.item) + 1) * (max(l.attempt) - least(min(l.attempt), 1) + 1))::bigint, count(*),
	        format('decision %s has attempts up to %s and items up to %s, but %s rows', l.decision_id,
	               max(l.attempt), max(l.item), count(*)),
	        format('SELECT * FROM route_explain(%L::uuid);', l.decision_id)
	   FROM @extschema@.webhook_routing_logs l
	  WHERE l.created_at > (SELECT @extschema@.webhook_routing_since(since))
	    AND l.decision_id IS NOT NULL
	  GROUP BY l.decision_id
	 HAVING count(*) < (max(l.item) + 1) * (max(l.attempt) - least(min(l.attempt), 1) + 1)
	  ORDER BY min(l.created_at)
	  LIMIT 100)
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_missing_rows(interval) IS
	'Internal: rows of a window that must be in the log and are not; the first 100 decisions';

CREATE FUNCTION @extschema@.check_sample_ratio(since interval DEFAULT '1 hour')
RETURNS TABLE (severity text, finding text, domain text, expected numeric, observed numeric,
			   p_value numeric, detail text, statement text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH tested AS (
		SELECT s.*, CASE WHEN s.enough THEN @extschema@.webhook_routing_sample_p(
		                      s.statistic, s.what, s.domain, s.domains) END AS p
		  FROM @extschema@.webhook_routing_shares(since) s
	), differing AS (
		SELECT v.*, row_number() OVER (ORDER BY v.created_at, v.id) AS place
		  FROM @extschema@.verify_routing_decisions(since) v
	), found AS (
		SELECT 1 AS place, 'critical' AS severity, 'row_differs' AS finding, v.domain,
		       NULL::numeric AS expected, NULL::numeric AS observed, NULL::numeric AS p_value,
		       format('row %s: %s', v.id, v.difference) AS detail,
		       CASE WHEN v.decision_id IS NOT NULL
		            THEN format('SELECT * FROM route_explain(%L::uuid);', v.decision_id)
		            ELSE format('SELECT * FROM webhook_routing_logs WHERE id = %L;', v.id) END AS statement
		  FROM differing v WHERE v.place <= 100
		UNION ALL
		SELECT 0, 'critical', 'row_differs', 'all', NULL, NULL, NULL,
		       format('%s rows differ; the first 100 follow', count(*)),
		       format('SELECT * FROM verify_routing_decisions(%L);', since)
		  FROM differing HAVING count(*) > 100
		UNION ALL
		SELECT 2, 'critical', 'row_missing', m.domain, m.expected, m.observed, NULL, m.detail, m.statement
		  FROM @extschema@.webhook_routing_missing_rows(since) m
		UNION ALL
		SELECT CASE WHEN t.p < 0.001 THEN 3 ELSE 4 END,
		       CASE WHEN t.p IS NULL THEN 'insufficient_data' WHEN t.p < 0.001 THEN 'critical' ELSE 'ok' END,
		       t.what, t.domain,
		       round(t.expected::numeric, 2), round(t.observed::numeric, 2),
		       -- four digits, however small
		       CASE WHEN t.p IS NOT NULL
		            THEN round(greatest(t.p, 1e-30)::numeric, 3 - floor(log(greatest(t.p, 1e-30)::numeric))::integer)
		       END,
		       concat(CASE t.what
		              WHEN 'senders' THEN format('%s %% of %s senders are on unified, %s %% expected',
		                                         round(t.observed::numeric, 2), t.n, round(t.expected::numeric, 2))
		              ELSE format('%s requests of each sender on unified, %s on legacy',
		                          round(t.observed::numeric, 2), round(t.expected::numeric, 2)) END,
		              CASE WHEN t.p IS NULL THEN ': too few for a verdict, which takes 100 on either side'
		                   WHEN t.p < 0.001 THEN ': rows are missing, stored twice, or split otherwise' END),
		       CASE WHEN t.p < 0.001
		            THEN format('SELECT date_trunc(''hour'', created_at), config_version, routed_to, count(*), '
		                        'count(DISTINCT bucket) FROM webhook_routing_logs WHERE attempt = 1%s%s '
		                        'GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;',
		                        ' AND created_at > now() - interval ' || quote_literal(since),
		                        CASE WHEN t.domain <> 'all' THEN format(' AND domain = %L', t.domain) END) END
		  FROM tested t
		UNION ALL
		SELECT 4, 'insufficient_data', 'senders', 'all', NULL, NULL, NULL,
		       'there are no senders whom a percentage between 0 and 100 has split: too few for a verdict', NULL
		 WHERE NOT EXISTS (SELECT FROM tested)
	)
	SELECT f.severity, f.finding, f.domain, f.expected, f.observed, f.p_value, f.detail, f.statement
	  FROM found f
	 ORDER BY f.place, f.domain <> 'all', f.domain, f.finding DESC, f.detail
$function$;
COMMENT ON FUNCTION @extschema@.check_sample_ratio(interval) IS
	'Whether the split of a window is what it claims: rows that their bucket contradicts, rows that are '
	'missing, and the share of senders and requests on unified against the percentage (alarm: p < 0.001, '
	'already corrected for many tests); read with \x';

-- The audit for who watches all day. check_sample_ratio() reads every row of the days that its window
-- touches: a window that is as long as the log allows, and none at all when even a day is too long. What
-- there is to read is known from the rollups, without reading it.
CREATE FUNCTION @extschema@.routing_sample_findings(since interval DEFAULT '1 hour')
RETURNS TABLE (findings integer, audited interval)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	-- Some seconds of reading, and of deciding again.
	most_in_days	CONSTANT bigint := 5000000;
	most_in_window	CONSTANT bigint := 100000;
	in_days			bigint;
	-- Raises for what is no window, as the audit does.
	first			timestamptz := @extschema@.webhook_routing_since(since);
BEGIN
	SELECT coalesce(sum(r.requests), 0) INTO in_days
	  FROM @extschema@.webhook_routing_rollups r
	 WHERE r.minute >= date_trunc('day', first AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
	SELECT w.span INTO audited
	  FROM (VALUES (since), (since / 6), (since / 60)) w (span)
	 WHERE in_days <= most_in_days
	   AND (SELECT coalesce(sum(r.requests), 0) <= most_in_window
			  FROM @extschema@.webhook_routing_rollups r
			 WHERE r.minute >= statement_timestamp() - w.span)
	 ORDER BY w.span DESC LIMIT 1;
	IF audited IS NOT NULL THEN
		SELECT count(*) INTO findings
		  FROM @extschema@.check_sample_ratio(audited) c
		 WHERE c.severity = 'critical';
	END IF;
	RETURN NEXT;
END
$function$;
COMMENT ON FUNCTION @extschema@.routing_sample_findings(interval) IS
	'How many critical findings check_sample_ratio() has for a window, or for a sixth or a sixtieth of it '
	'when it holds more than 100,000 requests; NULL when its days hold more than 5 million, or the last '
	'sixtieth 100,000: then the audit is for a person to start. The forwarder asks it hourly';
