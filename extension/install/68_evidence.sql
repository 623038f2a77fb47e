-- What counted requests prove (extension/evidence.h). All bounds are exact, one-sided, with 95 %
-- confidence each.

CREATE FUNCTION @extschema@.routing_error_bounds(
	errors bigint, requests bigint, OUT low_pct double precision, OUT high_pct double precision)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'routing_error_bounds';
COMMENT ON FUNCTION @extschema@.routing_error_bounds(bigint, bigint) IS
	'Bounds in percent of the error rate behind so many errors (Clopper-Pearson, 95 % one-sided each)';

CREATE FUNCTION @extschema@.routing_requests_needed(
	errors bigint, requests bigint, limit_pct double precision)
RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'routing_requests_needed';
COMMENT ON FUNCTION @extschema@.routing_requests_needed(bigint, bigint, double precision) IS
	'How many more requests without an error show that the error rate is under a limit in percent; '
	'NULL when more than 10^12';

CREATE FUNCTION @extschema@.routing_chi_square_p(statistic double precision, degrees integer)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'routing_chi_square_p';
COMMENT ON FUNCTION @extschema@.routing_chi_square_p(double precision, integer) IS
	'How often chance alone makes a chi-square statistic as large';

-- What is judged, and looked at for a rollback, counts so: an error of a message that had failed there before
-- (extension/repeated.c) is neither an error nor a request.
CREATE VIEW @extschema@.webhook_routing_counted AS
	SELECT r.minute, r.domain, r.routed_to, r.config_version, r.last_request,
	       r.requests - r.repeated_errors AS requests,
	       r.errors - r.repeated_errors AS errors,
	       r.requests - r.skipped - r.repeated_errors AS measured,
	       r.reached_warning, r.above_critical, r.repeated_errors, r.latency
	  FROM @extschema@.webhook_routing_rollups r;
COMMENT ON VIEW @extschema@.webhook_routing_counted IS
	'Internal: the rollups as health, gates and guard count them, without what repeats an error';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.minute IS
	'Begin of the minute in which the decisions were made';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.domain IS
	'Business area';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.routed_to IS
	'Side of the attempts: unified, legacy, error';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.config_version IS
	'The configuration that decided; NULL for rows that do not say';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.last_request IS
	'Latest created_at';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.requests IS
	'Attempts, repeated errors left out';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.errors IS
	'Attempts that were no success, repeated ones left out';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.measured IS
	'Attempts with a response time, repeated errors left out';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.reached_warning IS
	'Of these, at or above the warning limit';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.above_critical IS
	'Of these, above the critical limit';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.repeated_errors IS
	'What is left out';
COMMENT ON COLUMN @extschema@.webhook_routing_counted.latency IS
	'Latencies in milliseconds, those of repeated errors as well';

-- counts and other: requests, errors, requests with a response time, of these at or above the warning
-- limit, of these above the critical limit.
CREATE FUNCTION @extschema@.webhook_routing_judge(
	counts bigint[], other bigint[], warning_rate double precision, critical_rate double precision,
	min_requests integer,
	OUT severity text, OUT proof text, OUT errors_level text, OUT latency_level text,
	OUT low_pct double precision, OUT high_pct double precision, OUT needed bigint)
LANGUAGE c IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'webhook_routing_judge';
COMMENT ON FUNCTION @extschema@.webhook_routing_judge(
	bigint[], bigint[], double precision, double precision, integer) IS
	'Internal: the verdict on one side of a domain, beside the other side of the same window';
