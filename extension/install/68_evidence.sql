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
