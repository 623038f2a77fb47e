-- The end of a rollout: which legacy functions nobody needs any more. A target is ready when everything
-- that could still send a message there has been at 100 % for the soak of the plan's last step, and
-- nothing was sent there in that time. Retiring it is an UPDATE that asks here (25_rule_edits.sql).

-- The domains of every config version, as they decided: least(own, global), and 0 where nothing is routed.
CREATE FUNCTION @extschema@.webhook_routing_domain_history()
RETURNS TABLE (version bigint, created_at timestamptz, domain text, legacy_target text,
			   percentage numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH lines AS (
		SELECT r.config_version AS first, string_to_array(l.line, E'\t') AS field
		  FROM @extschema@.webhook_routing_rulesets r,
		       string_to_table(r.rules, E'\n') AS l (line)
		 WHERE l.line LIKE E'domain\t%'
	), spans AS (
		SELECT r.config_version AS first,
		       lead(r.config_version) OVER (ORDER BY r.config_version) AS next
		  FROM @extschema@.webhook_routing_rulesets r
	)
	SELECT c.version, c.created_at, l.field[2], l.field[3],
	       CASE WHEN c.enabled AND l.field[7] = 't' AND l.field[4] = 'f' AND l.field[2] = ANY (c.domains)
	            THEN least(nullif(l.field[5], '\N')::numeric, c.percentage) ELSE 0 END
	  FROM @extschema@.webhook_routing_config c
	  JOIN spans s ON c.version >= s.first AND (s.next IS NULL OR c.version < s.next)
	  JOIN lines l ON l.first = s.first
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_domain_history() IS
	'Internal: legacy target and effective percentage of each domain at each config version';

CREATE FUNCTION @extschema@.webhook_routing_cutover_soak() RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT coalesce((SELECT p.soak FROM @extschema@.webhook_routing_plan p WHERE p.percentage = 100),
					interval '48 hours')
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_cutover_soak() IS
	'Internal: how long a function must have had no traffic: the soak of the plan at 100 %';

CREATE FUNCTION @extschema@.cutover_readiness()
RETURNS TABLE (target text, domains text[], ready boolean, at_100_since timestamptz,
			   last_traffic timestamptz, requests_in_soak bigint, unified_in_soak bigint,
			   missing text, statement text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
	WITH config AS MATERIALIZED (
		SELECT c.*, @extschema@.webhook_routing_cutover_soak() AS soak,
		       statement_timestamp() - @extschema@.webhook_routing_cutover_soak() AS soak_began
		  FROM @extschema@.webhook_routing_config c ORDER BY c.version DESC LIMIT 1
	), below AS MATERIALIZED (
		-- Until when a target was still needed by a domain. The history grows with every change: it is
		-- read once, not for each target.
		SELECT h.domain, h.legacy_target, max(h.version) AS version
		  FROM @extschema@.webhook_routing_domain_history() h
		 WHERE h.percentage < 100
		 GROUP BY h.domain, h.legacy_target
	), served AS MATERIALIZED (
		SELECT t.name, t.retired, t.name = c.default_webhook AS is_default,
		       coalesce(array_agg(d.domain ORDER BY d.domain) FILTER (WHERE d.domain IS NOT NULL), '{}')
		           AS domains,
		       string_agg(d.domain, ', ' ORDER BY d.domain) FILTER (WHERE d.protected) AS protected,
		       string_agg(d.domain || CASE WHEN NOT d.enabled OR d.domain <> ALL (c.domains) THEN ' (not enrolled)'
		                                   ELSE format(' (%s %%)', round(least(d.percentage, c.percentage), 2)) END, ', '
		                  ORDER BY d.domain)
		           FILTER (WHERE NOT d.protected AND (NOT d.enabled OR d.domain <> ALL (c.domains)
		                                              OR least(d.percentage, c.percentage) < 100)) AS below
		  FROM config c
		 CROSS JOIN @extschema@.webhook_routing_targets t
		  LEFT JOIN @extschema@.webhook_routing_domains d ON d.legacy_target = t.name
		 WHERE t.name <> c.unified_webhook
		   AND (d.domain IS NOT NULL OR t.name = c.default_webhook)
		 GROUP BY t.name, t.retired, c.default_webhook
	), seen AS MATERIALIZED (
		-- Materialized, or each of these questions would be asked again wherever its answer is used. The
		-- newest rollup is sought as a place in the index: "ORDER BY minute LIMIT 1" goes back through the
		-- rollups of all functions to find that one was never called.
		SELECT s.*, c.soak, c.soak_began, c.enabled,
		       CASE WHEN s.below IS NULL AND c.enabled AND s.protected IS NULL AND s.domains <> '{}'
		            THEN (SELECT min(f.created_at) FROM @extschema@.webhook_routing_config f
		                   WHERE f.version > coalesce(greatest(
		                             (SELECT max(b.version) FROM below b WHERE b.legacy_target = s.name),
		                             (SELECT max(b.version) FROM below b WHERE b.domain = ANY (s.domains))), 0))
		            END AS full_since,
		       greatest((SELECT max(r.last_request)
		                   FROM (SELECT l.webhook_name, l.minute FROM @extschema@.webhook_routing_rollups l
		                          WHERE (l.webhook_name, l.minute) <= (s.name, 'infinity'::timestamptz)
		                          ORDER BY l.webhook_name DESC, l.minute DESC LIMIT 1) newest
		                   JOIN @extschema@.webhook_routing_rollups r
		                     ON r.webhook_name = newest.webhook_name AND r.minute = newest.minute
		                  WHERE newest.webhook_name = s.name),
		                (SELECT max(p.created_at) FROM @extschema@.webhook_routing_pending p
		                  WHERE p.webhook_name = s.name)) AS last_traffic,
		       (SELECT coalesce(sum(r.requests), 0)::bigint FROM @extschema@.webhook_routing_rollups r
		         WHERE r.webhook_name = s.name AND r.last_request > c.soak_began
		           AND r.minute > c.soak_began - interval '1 minute') AS requests,
		       (SELECT coalesce(sum(r.requests), 0)::bigint FROM @extschema@.webhook_routing_rollups r
		         WHERE r.domain = ANY (s.domains) AND r.routed_to = 'unified'
		           AND r.minute > c.soak_began) AS unified
		  FROM served s CROSS JOIN config c
	), judged AS MATERIALIZED (
		SELECT n.*,
		       CASE WHEN n.retired THEN 'it is retired already'
		            WHEN n.protected IS NOT NULL THEN format('never: it serves what is protected: %s', n.protected)
		            WHEN n.is_default THEN 'never: it is the default target, which takes what no rule claims'
		            ELSE nullif(concat_ws('; ',
		                CASE WHEN NOT n.enabled THEN 'routing is disabled' END,
		                'not at 100 %: ' || n.below,
		                CASE WHEN n.full_since > n.soak_began
		                     THEN format('at 100 %% only since %s: the soak is %s',
		                                 date_trunc('second', n.full_since), n.soak) END,
		                CASE WHEN n.last_traffic > n.soak_began
		                     THEN format('last called at %s: the soak is %s',
		                                 date_trunc('second', n.last_traffic), n.soak) END,
		                CASE WHEN n.unified = 0
		                     THEN 'its domains had no traffic at all in that time, which shows nothing' END), '')
		       END AS missing
		  FROM seen n
	)
	SELECT j.name, j.domains, j.missing IS NULL, j.full_since, j.last_traffic, j.requests, j.unified,
	       j.missing,
	       CASE WHEN j.missing IS NULL
	            THEN format('UPDATE webhook_routing_targets SET retired = true WHERE name = %L;', j.name)
	            WHEN j.retired
	            THEN format('UPDATE webhook_routing_targets SET retired = false WHERE name = %L;', j.name) END
	  FROM judged j
	 ORDER BY j.missing IS NULL DESC, coalesce(j.missing LIKE 'never%', false), j.name
$function$;
COMMENT ON FUNCTION @extschema@.cutover_readiness() IS
	'Which legacy functions can be retired: at 100 % and without a call for the soak of the last step, and '
	'what is missing otherwise; read with \x';
