-- What the forwarder's status page shows of the database, one function for each table of it. Programs read
-- them: times are seconds since 1970, texts are whole. They read rollups, and of the log the newest errors
-- by their index; none tells a phone number or the id of a message. SECURITY DEFINER, so that the forwarder
-- sees this much and may read no table.

CREATE FUNCTION @extschema@.webhook_routing_page_step()
RETURNS TABLE (
	percentage              numeric,
	enabled                 boolean,
	step                    integer,
	steps                   integer,
	began                   bigint,		-- NULL: as installed
	soak_s                  bigint,
	soak_left_s             bigint,
	former                  numeric,	-- where rollout_back() goes
	next                    numeric,	-- where rollout_advance() goes; NULL after the last step
	automatic_rollback      boolean,
	requests                bigint,		-- of the enrolled domains on unified, as the gates count them
	errors                  bigint,
	error_rate              numeric,	-- in percent, as its bounds
	error_rate_low          numeric,
	error_rate_high         numeric,
	proof                   text,
	min_requests            integer,
	warning_error_rate_pct  numeric,
	critical_error_rate_pct numeric,
	warning_p95_ms          integer,
	critical_p95_ms         integer,
	config_version          bigint,
	changed                 bigint,
	changed_by              text,
	standby                 boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT s.percentage, s.enabled, s.step, s.steps,
	       CASE WHEN s.first_version > 1 THEN extract(epoch FROM s.began)::bigint END,
	       extract(epoch FROM s.soak)::bigint,
	       greatest(ceil(extract(epoch FROM s.began + s.soak - clock_timestamp())), 0)::bigint,
	       s.former, s.next, c.automatic_rollback, h.requests, h.errors,
	       round(100.0 * h.errors / nullif(h.requests, 0), 3),
	       round(b.low_pct::numeric, 3),
	       round(b.high_pct::numeric, CASE WHEN b.high_pct < 0.01 THEN 6 ELSE 3 END),
	       CASE WHEN b.high_pct < c.warning_error_rate_pct THEN 'shown_warning'
	            WHEN b.high_pct < c.critical_error_rate_pct THEN 'shown_critical'
	            WHEN h.requests > 0 THEN 'consistent' END,
	       c.min_requests, c.warning_error_rate_pct, c.critical_error_rate_pct, c.warning_p95_ms,
	       c.critical_p95_ms, c.version, extract(epoch FROM c.created_at)::bigint, c.created_by,
	       pg_is_in_recovery()
	  FROM @extschema@.webhook_routing_rollout_step() s
	 CROSS JOIN @extschema@.get_current_routing_config() c
	 CROSS JOIN (SELECT coalesce(sum(r.requests), 0)::bigint AS requests,
	                    coalesce(sum(r.errors), 0)::bigint AS errors
	               FROM @extschema@.webhook_routing_rollout_health() r) h
	  LEFT JOIN LATERAL @extschema@.routing_error_bounds(h.errors, nullif(h.requests, 0)) b ON true
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_page_step() IS
	'Internal: for the status page, the step of the rollout and what its requests on unified prove';

CREATE FUNCTION @extschema@.webhook_routing_page_gates()
RETURNS TABLE (gate text, is_open boolean, state text, detail text, remedy text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT g.gate, g.is_open, g.state, g.detail, CASE WHEN NOT g.is_open THEN g.remedy END
	  FROM @extschema@.webhook_routing_gates() g ORDER BY g.place
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_page_gates() IS
	'Internal: for the status page, the gates to the next step';

CREATE FUNCTION @extschema@.webhook_routing_page_split()
RETURNS TABLE (
	domain      text,
	state       text,
	planned_pct numeric,
	actual_pct  numeric,
	requests    bigint,
	unified     bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT d.domain, d.state, d.planned_pct, d.actual_pct, d.requests, d.unified
	  FROM @extschema@.webhook_routing_distribution d
	 ORDER BY d.planned_pct = 0 AND d.state <> 'disabled', d.domain
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_page_split() IS
	'Internal: for the status page, the share of unified per domain, planned and actual';

CREATE FUNCTION @extschema@.webhook_routing_page_health()
RETURNS TABLE (
	domain          text,
	side            text,
	severity        text,
	enrolled        boolean,
	requests        bigint,
	errors          bigint,
	error_rate      numeric,
	error_rate_low  numeric,
	error_rate_high numeric,
	p95_ms          numeric,
	proof           text,
	requests_needed bigint,
	issue           text,
	advice          text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT h.domain, h.routed_to, h.severity, h.domain = ANY (c.domains), h.requests, h.errors,
	       h.error_rate, CASE WHEN h.requests > 0 THEN round(h.error_rate_low, 3) END,
	       CASE WHEN h.requests > 0
	            THEN round(h.error_rate_high, CASE WHEN h.error_rate_high < 0.01 THEN 5 ELSE 3 END) END,
	       h.p95_latency, CASE WHEN h.requests > 0 THEN h.proof END,
	       h.requests_needed, h.issue, h.advice
	  FROM @extschema@.get_current_routing_config() c
	 CROSS JOIN @extschema@.check_routing_health(NULL::interval) h
	 ORDER BY array_position('{critical,environmental,warning}', h.severity), h.domain <> ALL (c.domains),
	       h.domain, h.routed_to DESC
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_page_health() IS
	'Internal: for the status page, the verdict on each domain and side, the worst first';

-- A minute in which nothing came is a row, too: whoever draws the rows sees the gap.
CREATE FUNCTION @extschema@.webhook_routing_page_minutes()
RETURNS TABLE (
	minute           bigint,
	unified_requests bigint,
	unified_errors   bigint,
	unified_p50_ms   numeric,
	unified_p95_ms   numeric,
	legacy_requests  bigint,
	legacy_errors    bigint,
	legacy_p50_ms    numeric,
	legacy_p95_ms    numeric)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH sides AS (
		SELECT r.minute, r.routed_to, sum(r.requests)::bigint AS requests, sum(r.errors)::bigint AS errors,
		       @extschema@.latency_sketch_agg(r.latency) AS latency
		  FROM @extschema@.webhook_routing_last_hour r
		 WHERE r.routed_to IN ('unified', 'legacy')
		 GROUP BY r.minute, r.routed_to
	)
	SELECT extract(epoch FROM m.minute)::bigint,
	       coalesce(u.requests, 0), coalesce(u.errors, 0),
	       round(@extschema@.latency_sketch_quantile(u.latency, 0.5)::numeric, 1),
	       round(@extschema@.latency_sketch_quantile(u.latency, 0.95)::numeric, 1),
	       coalesce(l.requests, 0), coalesce(l.errors, 0),
	       round(@extschema@.latency_sketch_quantile(l.latency, 0.5)::numeric, 1),
	       round(@extschema@.latency_sketch_quantile(l.latency, 0.95)::numeric, 1)
	  FROM generate_series(date_trunc('minute', statement_timestamp()) - interval '59 minutes',
	                       date_trunc('minute', statement_timestamp()), interval '1 minute') AS m (minute)
	  LEFT JOIN sides u ON u.minute = m.minute AND u.routed_to = 'unified'
	  LEFT JOIN sides l ON l.minute = m.minute AND l.routed_to = 'legacy'
	 ORDER BY m.minute
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_page_minutes() IS
	'Internal: for the status page, the last hour minute by minute, both sides';

CREATE FUNCTION @extschema@.webhook_routing_page_targets()
RETURNS TABLE (
	target     text,
	role       text,
	requests   bigint,		-- attempts of the last hour
	errors     bigint,
	error_rate numeric,
	p50_ms     numeric,
	p95_ms     numeric,
	last       bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH hour AS (
		SELECT r.webhook_name, sum(r.requests)::bigint AS requests, sum(r.errors)::bigint AS errors,
		       max(r.last_request) AS last, @extschema@.latency_sketch_agg(r.latency) AS latency
		  FROM @extschema@.webhook_routing_last_hour r
		 GROUP BY r.webhook_name
	)
	SELECT coalesce(t.name, h.webhook_name),
	       concat_ws(', ',
	           CASE WHEN t.name = c.unified_webhook THEN 'unified' END,
	           CASE WHEN t.name = c.default_webhook THEN 'default' END,
	           'legacy of ' || (SELECT string_agg(d.domain, ', ' ORDER BY d.domain)
	                              FROM @extschema@.webhook_routing_domains d
	                             WHERE d.legacy_target = t.name),
	           CASE WHEN t.retired THEN 'retired' END,
	           CASE WHEN t.name IS NULL THEN 'no target any more' END),
	       coalesce(h.requests, 0), coalesce(h.errors, 0),
	       round(100.0 * h.errors / nullif(h.requests, 0), 3),
	       round(@extschema@.latency_sketch_quantile(h.latency, 0.5)::numeric, 1),
	       round(@extschema@.latency_sketch_quantile(h.latency, 0.95)::numeric, 1),
	       extract(epoch FROM h.last)::bigint
	  FROM @extschema@.webhook_routing_targets t
	  FULL JOIN hour h ON h.webhook_name = t.name
	 CROSS JOIN @extschema@.get_current_routing_config() c
	 ORDER BY coalesce(t.name = c.unified_webhook, false) DESC, coalesce(t.name, h.webhook_name)
	 LIMIT 100
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_page_targets() IS
	'Internal: for the status page, the functions and their last hour';

CREATE FUNCTION @extschema@.webhook_routing_page_errors()
RETURNS TABLE (
	errors  bigint,
	first   bigint,
	last    bigint,
	domain  text,
	side    text,
	target  text,
	http    integer,
	message text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT count(*), extract(epoch FROM min(e.created_at))::bigint,
	       extract(epoch FROM max(e.created_at))::bigint, e.domain, e.side, e.target, e.http, e.message
	  FROM (SELECT * FROM @extschema@.webhook_routing_failures f ORDER BY f.created_at DESC LIMIT 1000) e
	 GROUP BY e.domain, e.side, e.target, e.http, e.message
	 ORDER BY max(e.created_at) DESC
	 LIMIT 10
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_page_errors() IS
	'Internal: for the status page, the newest 1,000 errors of a day as webhook_routing_errors groups them';

CREATE FUNCTION @extschema@.webhook_routing_page_changes()
RETURNS TABLE (at bigint, who text, what text, why text, version bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	-- The installation is dated long ago, so that it is older than whatever a dump brings.
	SELECT CASE WHEN d.version > 1 THEN extract(epoch FROM d.created_at)::bigint END, d.created_by,
	       left(d.what, 300), left(d.why, 300), d.version
	  FROM @extschema@.webhook_routing_deeds d
	 ORDER BY d.created_at DESC
	 LIMIT 10
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_page_changes() IS
	'Internal: for the status page, the last changes and evaluations, who made them and why';
