-- Statistics. They are written with the log, by the statement trigger "count" (extension/rollup.c),
-- and read from here alone: their cost does not grow with the log.

CREATE TABLE @extschema@.webhook_routing_rollups (
	id              uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
	minute          timestamptz NOT NULL,
	domain          text        NOT NULL,
	routed_to       text        NOT NULL,
	webhook_name    text        NOT NULL,
	config_version  bigint,
	requests        bigint      NOT NULL,
	errors          bigint      NOT NULL,
	skipped         bigint      NOT NULL,
	above_250_ms    bigint      NOT NULL,
	above_1000_ms   bigint      NOT NULL,
	reached_warning bigint      NOT NULL,
	above_critical  bigint      NOT NULL,
	latency         @extschema@.latency_sketch NOT NULL,
	first_request   timestamptz NOT NULL,
	last_request    timestamptz NOT NULL,
	repeated_errors bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Room in each page (fillfactor) and no index on what changes: a row is updated in place.
CREATE INDEX webhook_routing_rollups_minute_idx
	ON @extschema@.webhook_routing_rollups (minute);
-- Finds a rollup to add to, and goes back in time for one side of a domain: health, where traffic is
-- scarce. (With more columns the index above would look as good to the planner, and read all domains.)
CREATE INDEX webhook_routing_rollups_domain_idx
	ON @extschema@.webhook_routing_rollups (domain, routed_to, minute);
CREATE INDEX webhook_routing_rollups_target_idx
	ON @extschema@.webhook_routing_rollups (webhook_name, minute);

COMMENT ON INDEX @extschema@.webhook_routing_rollups_minute_idx IS
	'Finds what happened in the last hour';
COMMENT ON INDEX @extschema@.webhook_routing_rollups_target_idx IS
	'Finds when a function was last called';
COMMENT ON TABLE @extschema@.webhook_routing_rollups IS
	'Requests per minute, domain, side, target and config version; add rows up, there may be several';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.id IS
	'Of this row; says nothing';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.minute IS
	'Begin of the minute in which the decisions were made';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.domain IS
	'Business area';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.routed_to IS
	'Side of the attempts: unified, legacy, error';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.webhook_name IS
	'The target: the function that the attempts tried to reach';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.config_version IS
	'The configuration that decided; NULL for rows that do not say';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.requests IS
	'Attempts, one per log row with item = 0';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.errors IS
	'Attempts that were no success';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.skipped IS
	'Attempts without a response time: not made, and not among the latencies; repeated errors left out';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.above_250_ms IS
	'Latencies above 250 ms, which WhatsApp wants to be half of them at most';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.above_1000_ms IS
	'Latencies above one second, which WhatsApp wants to be less than 1 %';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.reached_warning IS
	'Latencies at or above the warning limit (warning_p95_ms) in force when they were stored; repeated '
	'errors left out';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.above_critical IS
	'Latencies above the critical limit (critical_p95_ms) in force when they were stored; repeated errors '
	'left out';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.latency IS
	'Latencies in milliseconds';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.first_request IS
	'Earliest created_at';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.last_request IS
	'Latest created_at';
COMMENT ON COLUMN @extschema@.webhook_routing_rollups.repeated_errors IS
	'Of the errors, those of a message that had failed there before: Meta delivers it again and again';
COMMENT ON INDEX @extschema@.webhook_routing_rollups_domain_idx IS
	'Finds the rollup of a minute, and goes back in time for one side of a domain';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_rollups', '');

-- What has failed once, so that it is counted once where health and guard judge (extension/repeated.c).
CREATE TABLE @extschema@.webhook_routing_failed_messages (
	message_hash bigint      NOT NULL,
	seen_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_routing_failed_messages_idx
	ON @extschema@.webhook_routing_failed_messages (message_hash);
COMMENT ON TABLE @extschema@.webhook_routing_failed_messages IS
	'Messages that have failed in the last 8 days, as hashes: Meta delivers them again for 7';
COMMENT ON COLUMN @extschema@.webhook_routing_failed_messages.message_hash IS
	'Keyed hash of domain, side and message id, which nobody can turn back';
COMMENT ON COLUMN @extschema@.webhook_routing_failed_messages.seen_at IS
	'When its first error was stored';
COMMENT ON INDEX @extschema@.webhook_routing_failed_messages_idx IS
	'Finds a message that fails again';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_routing_failed_messages', '');

-- What the last hour is where it is added up. A minute that has not begun, from a clock that is ahead, is
-- left out.
CREATE VIEW @extschema@.webhook_routing_last_hour AS
	SELECT r.minute, r.domain, r.routed_to, r.webhook_name, r.config_version, r.requests, r.errors,
	       r.latency, r.first_request, r.last_request
	  FROM @extschema@.webhook_routing_rollups r
	 WHERE r.minute > statement_timestamp() - interval '61 minutes'
	   AND r.minute <= statement_timestamp();
COMMENT ON VIEW @extschema@.webhook_routing_last_hour IS
	'Internal: the rollups of the minute that runs and of those that reach into the hour before now: 61 '
	'of them, 60 to 61 minutes';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.minute IS
	'Begin of the minute in which the decisions were made';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.domain IS
	'Business area';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.routed_to IS
	'Side of the attempts: unified, legacy, error';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.webhook_name IS
	'The target: the function that the attempts tried to reach';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.config_version IS
	'The configuration that decided; NULL for rows that do not say';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.requests IS
	'Attempts';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.errors IS
	'Attempts that were no success';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.latency IS
	'Latencies in milliseconds';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.first_request IS
	'Earliest created_at';
COMMENT ON COLUMN @extschema@.webhook_routing_last_hour.last_request IS
	'Latest created_at';

CREATE VIEW @extschema@.webhook_routing_stats AS
	SELECT s.domain,
	       s.routed_to,
	       s.requests AS request_count,
	       round(@extschema@.latency_sketch_avg(s.latency)::numeric, 3) AS avg_response_ms,
	       round(@extschema@.latency_sketch_quantile(s.latency, 0.50)::numeric, 3) AS p50_ms,
	       round(@extschema@.latency_sketch_quantile(s.latency, 0.95)::numeric, 3) AS p95_ms,
	       round(@extschema@.latency_sketch_quantile(s.latency, 0.99)::numeric, 3) AS p99_ms,
	       s.errors AS error_count,
	       round(100.0 * s.errors / s.requests, 3) AS error_rate_pct,
	       s.first_request,
	       s.last_request
	  FROM (SELECT r.domain,
	               r.routed_to,
	               sum(r.requests)::bigint AS requests,
	               sum(r.errors)::bigint AS errors,
	               @extschema@.latency_sketch_agg(r.latency) AS latency,
	               min(r.first_request) AS first_request,
	               max(r.last_request) AS last_request
	          FROM @extschema@.webhook_routing_last_hour r
	         GROUP BY r.domain, r.routed_to) s
	 ORDER BY s.domain, s.routed_to;
COMMENT ON VIEW @extschema@.webhook_routing_stats IS
	'The last hour per domain and side; quantiles within 1 %';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.domain IS
	'Business area';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.routed_to IS
	'Side: unified, legacy; error when nothing could be tried';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.request_count IS
	'Attempts';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.avg_response_ms IS
	'Average response time';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.p50_ms IS
	'Median response time';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.p95_ms IS
	'Response time that 95 of 100 do not exceed';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.p99_ms IS
	'Response time that 99 of 100 do not exceed';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.error_count IS
	'Attempts that were no success';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.error_rate_pct IS
	'Their share, in percent';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.first_request IS
	'Earliest attempt';
COMMENT ON COLUMN @extschema@.webhook_routing_stats.last_request IS
	'Latest attempt';
