-- The guard: automatic rollback for whoever has asked for it (automatic_rollback). It keeps no state: each
-- call computes the statistic of the step anew from the rollups, so that late rows count and any call
-- gives the same answer for the same data.

CREATE FUNCTION @extschema@.webhook_routing_guard_run(
	requests bigint[], errors bigint[], legacy_requests bigint[], legacy_errors bigint[],
	warning_rate double precision, critical_rate double precision, min_requests integer,
	OUT statistic double precision, OUT alarm boolean, OUT first integer,
	OUT run_requests bigint, OUT run_errors bigint,
	OUT compared_requests bigint, OUT compared_errors bigint, OUT excused bigint)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'webhook_routing_guard_run';
COMMENT ON FUNCTION @extschema@.webhook_routing_guard_run(
	bigint[], bigint[], bigint[], bigint[], double precision, double precision, integer) IS
	'Internal: the guard''s statistic over minutes in their order; first is the place of the first minute '
	'of the run that it stands for';

-- Of the enrolled domains, whether automatic_rollback is on or not. A step that lasts longer is looked at
-- for its last seven days: by then the statistic has long forgotten what came before. A domain whose
-- legacy function is retired cannot be rolled back.
CREATE FUNCTION @extschema@.check_routing_guard()
RETURNS TABLE (
	domain          text,
	statistic       numeric,
	alarm           boolean,
	since           timestamptz,
	requests        bigint,
	errors          bigint,
	legacy_requests bigint,
	legacy_errors   bigint,
	detail          text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH config AS (
		SELECT c.domains, c.min_requests, s.version, s.created_at AS step_began,
		       clock_timestamp() AS until,
		       (c.warning_error_rate_pct / 100)::double precision AS warning_rate,
		       (c.critical_error_rate_pct / 100)::double precision AS critical_rate
		  FROM @extschema@.webhook_routing_config c, @extschema@.webhook_routing_step() s
		 ORDER BY c.version DESC LIMIT 1
	), minutes AS (
		SELECT r.domain, r.minute,
		       coalesce(sum(r.requests) FILTER (WHERE r.routed_to = 'unified'), 0)::bigint AS requests,
		       coalesce(sum(r.errors) FILTER (WHERE r.routed_to = 'unified'), 0)::bigint AS errors,
		       coalesce(sum(r.requests) FILTER (WHERE r.routed_to = 'legacy'), 0)::bigint AS legacy_requests,
		       coalesce(sum(r.errors) FILTER (WHERE r.routed_to = 'legacy'), 0)::bigint AS legacy_errors
		  FROM config c
		  JOIN @extschema@.webhook_routing_counted r
		    ON r.domain = ANY (c.domains)
		   AND r.minute > greatest(c.step_began - interval '1 hour', c.until - interval '7 days')
		   AND r.minute <= c.until
		   AND (r.config_version >= c.version
		        OR r.config_version IS NULL AND r.last_request >= c.step_began)
		 GROUP BY r.domain, r.minute
	), courses AS (
		SELECT m.domain,
		       array_agg(m.minute ORDER BY m.minute) AS minutes,
		       array_agg(m.requests ORDER BY m.minute) AS requests,
		       array_agg(m.errors ORDER BY m.minute) AS errors,
		       array_agg(m.legacy_requests ORDER BY m.minute) AS legacy_requests,
		       array_agg(m.legacy_errors ORDER BY m.minute) AS legacy_errors
		  FROM minutes m GROUP BY m.domain
	), found AS (
		SELECT d.domain, round(coalesce(g.statistic, 0)::numeric, 3) AS statistic,
		       coalesce(g.alarm, false) AS alarm, o.minutes[g.first] AS since,
		       coalesce(g.run_requests, 0) AS requests, coalesce(g.run_errors, 0) AS errors,
		       coalesce(g.compared_requests, 0) AS legacy_requests,
		       coalesce(g.compared_errors, 0) AS legacy_errors, g.excused,
		       EXISTS (SELECT FROM @extschema@.webhook_routing_domains k
		                 JOIN @extschema@.webhook_routing_targets t ON t.name = k.legacy_target
		                WHERE k.domain = d.domain AND t.retired) AS retired
		  FROM config c
		 CROSS JOIN unnest(c.domains) d (domain)
		  LEFT JOIN courses o ON o.domain = d.domain
		  LEFT JOIN LATERAL @extschema@.webhook_routing_guard_run(
			o.requests, o.errors, o.legacy_requests, o.legacy_errors,
			c.warning_rate, c.critical_rate, c.min_requests) g ON true
	)
	SELECT f.domain, f.statistic, f.alarm AND NOT f.retired, f.since, f.requests, f.errors,
	       f.legacy_requests, f.legacy_errors,
	       CASE WHEN f.alarm AND f.retired
	            THEN 'its legacy function is retired: switching routing off would not help'
	            WHEN f.alarm
	            THEN format('%s of %s requests to unified failed since %s (statistic %s, limit 5.5), of '
	                        'legacy %s of %s', f.errors, f.requests,
	                        to_char(f.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
	                        round(f.statistic, 1), f.legacy_errors, f.legacy_requests)
	            WHEN f.statistic > 5.5
	            THEN format('above 5.5: %s of %s requests to unified failed, of legacy %s of %s; waits until '
	                        'more shows whose fault it is', f.errors, f.requests, f.legacy_errors,
	                        f.legacy_requests)
	            WHEN f.excused > 0
	            THEN format('both sides were bad (%s times): no fault of unified', f.excused)
	            ELSE 'below 5.5' END
	  FROM found f
	 ORDER BY f.domain
$function$;
COMMENT ON FUNCTION @extschema@.check_routing_guard() IS
	'What routing_guard() sees of each enrolled domain in this step; with an alarm it would roll back. '
	'since, requests and errors are of the run that the statistic stands for';

-- Whoever listens hears of it when the rollback is committed: LISTEN webhook_routing. A payload has less
-- than 8,000 bytes, and no number of a person.
CREATE FUNCTION @extschema@.webhook_routing_guard_tell(version bigint, domains text[], seen text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	payload text := jsonb_build_object('event', 'guard_rollback', 'config_version', version,
	                                   'domains', domains)::text;
BEGIN
	IF octet_length(payload) >= 8000 THEN
		payload := jsonb_build_object('event', 'guard_rollback', 'config_version', version)::text;
	END IF;
	PERFORM pg_notify('webhook_routing', payload);
	RAISE NOTICE 'Routing disabled by the guard. %', seen;
END
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_guard_tell(bigint, text[], text) IS
	'Internal: a NOTICE and a notification of what the guard did';

-- Call it every 15 seconds: the forwarder does. The switch goes off for all domains, as the kill switch
-- does, by a config row like any other.
CREATE FUNCTION @extschema@.routing_guard()
RETURNS TABLE (domain text, statistic numeric, requests bigint, errors bigint, action text, detail text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
	former   record;
	result   record;
	found    jsonb;
	culprits text[];
	seen     text;
	nothing  text;
BEGIN
	former := @extschema@.get_current_routing_config();
	IF NOT former.enabled THEN
		nothing := 'off: routing is disabled, there is nothing to roll back';
	ELSIF NOT former.automatic_rollback THEN
		nothing := 'off: SELECT update_routing_settings(''{"automatic_rollback": true}'', ''why''); turns it on';
	ELSIF former.warning_error_rate_pct >= former.critical_error_rate_pct THEN
		nothing := 'off: warning and critical error rate are the same, which leaves nothing to tell apart';
	-- Of the log table, so that several installations in one database do not meet.
	ELSIF NOT pg_try_advisory_xact_lock('@extschema@.webhook_routing_logs'::regclass::oid::integer, 2) THEN
		nothing := 'busy: another session is at it';
	ELSE
		found := (SELECT jsonb_agg(to_jsonb(g)) FROM @extschema@.check_routing_guard() g);
		SELECT array_agg(g.domain ORDER BY g.domain),
		       string_agg(g.domain || ': ' || g.detail, '; ' ORDER BY g.domain)
		  INTO culprits, seen
		  FROM jsonb_to_recordset(found) g (domain text, alarm boolean, detail text)
		 WHERE g.alarm;
	END IF;
	IF culprits IS NOT NULL THEN
		PERFORM @extschema@.webhook_routing_lock();
		-- What somebody has changed meanwhile is not undone: what was seen may be of another step.
		IF (@extschema@.get_current_routing_config()).version <> former.version THEN
			nothing := 'none: the configuration has changed meanwhile; the next call looks again';
		ELSE
			result := @extschema@.webhook_routing_append(
				jsonb_build_object('enabled', false), 'Rolled back by the guard. ' || seen, NULL::text);
			PERFORM @extschema@.webhook_routing_guard_tell(result.version, culprits, seen);
			PERFORM @extschema@.webhook_routing_warn_of_retired(result.unified_webhook);
		END IF;
	END IF;

	IF nothing IS NOT NULL THEN
		RETURN QUERY SELECT NULL::text, NULL::numeric, NULL::bigint, NULL::bigint,
		                    split_part(nothing, ': ', 1), substr(nothing, strpos(nothing, ': ') + 2);
		RETURN;
	END IF;
	RETURN QUERY
	SELECT g.domain, g.statistic, g.requests, g.errors,
	       CASE WHEN g.alarm THEN 'rolled back' ELSE 'none' END, g.detail
	  FROM jsonb_to_recordset(found) g (domain text, statistic numeric, alarm boolean, requests bigint,
	                                    errors bigint, detail text)
	 ORDER BY g.domain;
END
$function$;
COMMENT ON FUNCTION @extschema@.routing_guard() IS
	'Switch routing off when a domain fails on unified and not on legacy, if automatic_rollback is on; '
	'says of each enrolled domain what it saw and did';
