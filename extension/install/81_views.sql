-- Views for people at a psql of 100 columns. All but the errors read rollups alone; the errors read the
-- newest error rows by an index that holds nothing else.

-- A text without what could name a person or differ from one error to the next: every word with a digit
-- in it, of any script (Unicode 15, category Nd, and digits that are raised, circled or bold), which phone
-- numbers, ids and hashes have.
CREATE FUNCTION @extschema@.webhook_routing_error_pattern(message text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT left(btrim(regexp_replace(
				regexp_replace(message, '[^[:space:]]*([0-9\u00B2\u00B3\u00B9\u2070-\u2089\u2460-\u249B\u24EA-\u24FF'
				 '\u0660-\u0669\u06F0-\u06F9\u07C0-\u07C9\u0966-\u096F\u09E6-\u09EF\u0A66-\u0A6F'
				 '\u0AE6-\u0AEF\u0B66-\u0B6F\u0BE6-\u0BEF\u0C66-\u0C6F\u0CE6-\u0CEF\u0D66-\u0D6F'
				 '\u0DE6-\u0DEF\u0E50-\u0E59\u0ED0-\u0ED9\u0F20-\u0F29\u1040-\u1049\u1090-\u1099'
				 '\u17E0-\u17E9\u1810-\u1819\u1946-\u194F\u19D0-\u19D9\u1A80-\u1A89\u1A90-\u1A99'
				 '\u1B50-\u1B59\u1BB0-\u1BB9\u1C40-\u1C49\u1C50-\u1C59\uA620-\uA629\uA8D0-\uA8D9'
				 '\uA900-\uA909\uA9D0-\uA9D9\uA9F0-\uA9F9\uAA50-\uAA59\uABF0-\uABF9\uFF10-\uFF19'
				 '\U0001D7CE-\U0001D7FF]|wamid[.]|hmac:)[^[:space:]]*', '#', 'g'),
				'#([[:space:]]+#)+', '#', 'g')), 40)
$function$;
COMMENT ON FUNCTION @extschema@.webhook_routing_error_pattern(text) IS
	'Internal: an error text without numbers, ids and hashes';

-- Whoever asks for the newest asks for not too many: by the index of the errors, and a text each.
CREATE VIEW @extschema@.webhook_routing_failures AS
	SELECT l.created_at,
	       l.domain,
	       l.routed_to AS side,
	       l.webhook_name AS target,
	       l.http_status AS http,
	       @extschema@.webhook_routing_error_pattern(l.error_message) AS message
	  FROM @extschema@.webhook_routing_logs l
	 WHERE l.status = 'error'
	   AND l.item = 0
	   AND l.created_at > statement_timestamp() - interval '1 day';
COMMENT ON VIEW @extschema@.webhook_routing_failures IS
	'Internal: the attempts of the last 24 hours that failed, without what could name a person';
COMMENT ON COLUMN @extschema@.webhook_routing_failures.created_at IS
	'When the decision was made';
COMMENT ON COLUMN @extschema@.webhook_routing_failures.domain IS
	'Business area';
COMMENT ON COLUMN @extschema@.webhook_routing_failures.side IS
	'unified, legacy; error when nothing could be tried';
COMMENT ON COLUMN @extschema@.webhook_routing_failures.target IS
	'The function that was tried';
COMMENT ON COLUMN @extschema@.webhook_routing_failures.http IS
	'Status of its answer; NULL when there was none';
COMMENT ON COLUMN @extschema@.webhook_routing_failures.message IS
	'The beginning of the error text, without numbers, ids and hashes';

CREATE VIEW @extschema@.webhook_routing_errors AS
	SELECT count(*) AS errors,
	       to_char(min(e.created_at), 'HH24:MI') AS first,
	       to_char(max(e.created_at), 'HH24:MI') AS last,
	       e.domain,
	       e.side,
	       e.target,
	       e.http,
	       e.message
	  FROM (SELECT * FROM @extschema@.webhook_routing_failures f ORDER BY f.created_at DESC LIMIT 10000) e
	 GROUP BY e.domain, e.side, e.target, e.http, e.message
	 ORDER BY max(e.created_at) DESC;
COMMENT ON VIEW @extschema@.webhook_routing_errors IS
	'What went wrong in the last 24 hours, grouped, newest first; of more than 10,000 the newest';
COMMENT ON COLUMN @extschema@.webhook_routing_errors.errors IS
	'Attempts that failed so';
COMMENT ON COLUMN @extschema@.webhook_routing_errors.first IS
	'When the first of them was, in the time zone of the session';
COMMENT ON COLUMN @extschema@.webhook_routing_errors.last IS
	'When the last of them was';
COMMENT ON COLUMN @extschema@.webhook_routing_errors.domain IS
	'Business area';
COMMENT ON COLUMN @extschema@.webhook_routing_errors.side IS
	'unified, legacy; error when nothing could be tried';
COMMENT ON COLUMN @extschema@.webhook_routing_errors.target IS
	'The function that was tried';
COMMENT ON COLUMN @extschema@.webhook_routing_errors.http IS
	'Status of its answer; NULL when there was none';
COMMENT ON COLUMN @extschema@.webhook_routing_errors.message IS
	'The beginning of the error text, without numbers, ids and hashes';

CREATE VIEW @extschema@.webhook_routing_distribution AS
	WITH config AS (
		SELECT c.*, s.version AS step_version, s.created_at AS step_began
		  FROM @extschema@.get_current_routing_config() c, @extschema@.webhook_routing_step() s
	), planned AS (
		SELECT d.domain,
		       CASE WHEN d.protected THEN 0
		            WHEN t.retired THEN 100
		            WHEN c.enabled AND d.enabled AND d.domain = ANY (c.domains)
		            THEN least(d.percentage, c.percentage) ELSE 0 END AS pct,
		       CASE WHEN d.protected THEN 'protected'
		            WHEN t.retired THEN 'legacy retired'
		            WHEN NOT d.enabled OR d.domain <> ALL (c.domains) THEN 'not enrolled'
		            WHEN NOT c.enabled THEN 'disabled'
		            WHEN d.percentage < c.percentage THEN 'own ceiling'
		            ELSE 'enrolled' END AS state
		  FROM config c
		 CROSS JOIN @extschema@.webhook_routing_domains d
		  LEFT JOIN @extschema@.webhook_routing_targets t ON t.name = d.legacy_target
	), seen AS (
		SELECT r.domain, sum(r.requests)::bigint AS requests,
		       coalesce(sum(r.requests) FILTER (WHERE r.routed_to = 'unified'), 0)::bigint AS unified
		  FROM config c
		  JOIN @extschema@.webhook_routing_last_hour r
		    ON r.config_version >= c.step_version
		    OR r.config_version IS NULL AND r.last_request >= c.step_began
		 GROUP BY r.domain
	)
	SELECT p.domain,
	       p.state,
	       round(p.pct, 2) AS planned_pct,
	       round(100.0 * s.unified / s.requests, 2) AS actual_pct,
	       round(100.0 * s.unified / s.requests - p.pct, 2) AS deviation,
	       coalesce(s.requests, 0) AS requests,
	       coalesce(s.unified, 0) AS unified,
	       rpad(repeat('#', round(8.0 * s.unified / s.requests)::integer), 8, '.') AS share
	  FROM planned p
	  LEFT JOIN seen s ON s.domain = p.domain
	 ORDER BY p.domain;
COMMENT ON VIEW @extschema@.webhook_routing_distribution IS
	'The share of unified per domain, planned and actual, in the last hour of the present step';
COMMENT ON COLUMN @extschema@.webhook_routing_distribution.domain IS
	'Business area';
COMMENT ON COLUMN @extschema@.webhook_routing_distribution.state IS
	'Why the planned share is what it is';
COMMENT ON COLUMN @extschema@.webhook_routing_distribution.planned_pct IS
	'Share of its senders that should be on unified';
COMMENT ON COLUMN @extschema@.webhook_routing_distribution.actual_pct IS
	'Share of its attempts that went to unified; a busy sender counts more, a fallback counts on both sides: '
	'check_sample_ratio() counts senders';
COMMENT ON COLUMN @extschema@.webhook_routing_distribution.deviation IS
	'Actual minus planned, in percentage points';
COMMENT ON COLUMN @extschema@.webhook_routing_distribution.requests IS
	'Attempts in that time';
COMMENT ON COLUMN @extschema@.webhook_routing_distribution.unified IS
	'Of these, to unified';
COMMENT ON COLUMN @extschema@.webhook_routing_distribution.share IS
	'The actual share as a bar';

CREATE VIEW @extschema@.webhook_routing_timeline AS
	SELECT to_char(m.minute, 'HH24:MI') AS minute,
	       s.requests,
	       s.errors,
	       s.p95_ms,
	       round(100.0 * s.unified / nullif(s.requests, 0), 1) AS unified_pct,
	       rpad(repeat('#', ceil(40.0 * (s.requests - s.errors) / nullif(max(s.requests) OVER (), 0))::integer)
	            || repeat('!', ceil(40.0 * s.errors / nullif(max(s.requests) OVER (), 0))::integer), 42)
	           AS traffic
	  FROM generate_series(date_trunc('minute', statement_timestamp()) - interval '59 minutes',
	                       date_trunc('minute', statement_timestamp()), interval '1 minute') AS m (minute)
	 CROSS JOIN LATERAL (
		SELECT coalesce(sum(r.requests), 0)::bigint AS requests,
		       coalesce(sum(r.errors), 0)::bigint AS errors,
		       coalesce(sum(r.requests) FILTER (WHERE r.routed_to = 'unified'), 0)::bigint AS unified,
		       round(@extschema@.latency_sketch_quantile(
			       @extschema@.latency_sketch_agg(r.latency), 0.95)::numeric, 1) AS p95_ms
		  FROM @extschema@.webhook_routing_rollups r
		 WHERE r.minute = m.minute) s
	 ORDER BY m.minute;
COMMENT ON VIEW @extschema@.webhook_routing_timeline IS
	'The last hour minute by minute, all domains together; ! in the bar are errors';
COMMENT ON COLUMN @extschema@.webhook_routing_timeline.minute IS
	'Begin of the minute, in the time zone of the session';
COMMENT ON COLUMN @extschema@.webhook_routing_timeline.requests IS
	'Attempts';
COMMENT ON COLUMN @extschema@.webhook_routing_timeline.errors IS
	'Attempts that were no success';
COMMENT ON COLUMN @extschema@.webhook_routing_timeline.p95_ms IS
	'Response time that 95 of 100 do not exceed';
COMMENT ON COLUMN @extschema@.webhook_routing_timeline.unified_pct IS
	'Share of the attempts that went to unified';
COMMENT ON COLUMN @extschema@.webhook_routing_timeline.traffic IS
	'Requests as a bar, 40 wide in the busiest minute: # without an error, ! with one';
