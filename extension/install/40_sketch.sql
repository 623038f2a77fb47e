-- latency_sketch: a mergeable summary of latencies with quantiles of bounded relative error.

CREATE TYPE @extschema@.latency_sketch;

CREATE FUNCTION @extschema@.latency_sketch_in(cstring) RETURNS @extschema@.latency_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_in';
COMMENT ON FUNCTION @extschema@.latency_sketch_in(cstring) IS 'Internal: text to latency_sketch';

CREATE FUNCTION @extschema@.latency_sketch_out(@extschema@.latency_sketch) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_out';
COMMENT ON FUNCTION @extschema@.latency_sketch_out(@extschema@.latency_sketch) IS
	'Internal: latency_sketch to text';

CREATE FUNCTION @extschema@.latency_sketch_recv(internal) RETURNS @extschema@.latency_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_recv';
COMMENT ON FUNCTION @extschema@.latency_sketch_recv(internal) IS
	'Internal: binary to latency_sketch';

CREATE FUNCTION @extschema@.latency_sketch_send(@extschema@.latency_sketch) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_send';
COMMENT ON FUNCTION @extschema@.latency_sketch_send(@extschema@.latency_sketch) IS
	'Internal: latency_sketch to binary';

CREATE TYPE @extschema@.latency_sketch (
	INPUT = @extschema@.latency_sketch_in,
	OUTPUT = @extschema@.latency_sketch_out,
	RECEIVE = @extschema@.latency_sketch_recv,
	SEND = @extschema@.latency_sketch_send,
	INTERNALLENGTH = VARIABLE,
	STORAGE = extended
);
COMMENT ON TYPE @extschema@.latency_sketch IS
	'Mergeable summary of latencies (DDSketch): quantiles within 1 %, exact count, min and max';

CREATE FUNCTION @extschema@.latency_sketch_count(sketch @extschema@.latency_sketch) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_count';
COMMENT ON FUNCTION @extschema@.latency_sketch_count(@extschema@.latency_sketch) IS
	'How many values the sketch summarises';

CREATE FUNCTION @extschema@.latency_sketch_sum(sketch @extschema@.latency_sketch)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_sum';
COMMENT ON FUNCTION @extschema@.latency_sketch_sum(@extschema@.latency_sketch) IS
	'Sum of the values';

CREATE FUNCTION @extschema@.latency_sketch_avg(sketch @extschema@.latency_sketch)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_avg';
COMMENT ON FUNCTION @extschema@.latency_sketch_avg(@extschema@.latency_sketch) IS
	'Average of the values; NULL when there are none';

CREATE FUNCTION @extschema@.latency_sketch_min(sketch @extschema@.latency_sketch)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_min';
COMMENT ON FUNCTION @extschema@.latency_sketch_min(@extschema@.latency_sketch) IS
	'Smallest value, exact; NULL when there are none';

CREATE FUNCTION @extschema@.latency_sketch_max(sketch @extschema@.latency_sketch)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_max';
COMMENT ON FUNCTION @extschema@.latency_sketch_max(@extschema@.latency_sketch) IS
	'Largest value, exact; NULL when there are none';

CREATE FUNCTION @extschema@.latency_sketch_quantile(
	sketch @extschema@.latency_sketch, fraction double precision)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_quantile';
COMMENT ON FUNCTION @extschema@.latency_sketch_quantile(
	@extschema@.latency_sketch, double precision) IS
	'The value at a fraction (0.95 for P95) of the sorted values, within 1 % of percentile_cont';

CREATE FUNCTION @extschema@.latency_sketch_merge(
	one @extschema@.latency_sketch, other @extschema@.latency_sketch)
RETURNS @extschema@.latency_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_merge';
COMMENT ON FUNCTION @extschema@.latency_sketch_merge(
	@extschema@.latency_sketch, @extschema@.latency_sketch) IS
	'The sketch of all values of both';

CREATE FUNCTION @extschema@.latency_sketch_accumulate(internal, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_accumulate';
COMMENT ON FUNCTION @extschema@.latency_sketch_accumulate(internal, double precision) IS
	'Internal: step of latency_sketch_agg over values';

CREATE FUNCTION @extschema@.latency_sketch_accumulate(internal, @extschema@.latency_sketch)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_accumulate_sketch';
COMMENT ON FUNCTION @extschema@.latency_sketch_accumulate(internal, @extschema@.latency_sketch) IS
	'Internal: step of latency_sketch_agg over sketches';

CREATE FUNCTION @extschema@.latency_sketch_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_combine';
COMMENT ON FUNCTION @extschema@.latency_sketch_combine(internal, internal) IS
	'Internal: joins the partial states of latency_sketch_agg';

CREATE FUNCTION @extschema@.latency_sketch_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_serialize';
COMMENT ON FUNCTION @extschema@.latency_sketch_serialize(internal) IS
	'Internal: state of latency_sketch_agg to bytes, between parallel workers';

CREATE FUNCTION @extschema@.latency_sketch_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_deserialize';
COMMENT ON FUNCTION @extschema@.latency_sketch_deserialize(bytea, internal) IS
	'Internal: bytes to state of latency_sketch_agg, between parallel workers';

CREATE FUNCTION @extschema@.latency_sketch_finish(internal) RETURNS @extschema@.latency_sketch
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'latency_sketch_finish';
COMMENT ON FUNCTION @extschema@.latency_sketch_finish(internal) IS
	'Internal: end of latency_sketch_agg';

-- A state is a dense array of 2,512 counters.
CREATE AGGREGATE @extschema@.latency_sketch_agg(double precision) (
	SFUNC = @extschema@.latency_sketch_accumulate, STYPE = internal, SSPACE = 20480,
	COMBINEFUNC = @extschema@.latency_sketch_combine,
	SERIALFUNC = @extschema@.latency_sketch_serialize,
	DESERIALFUNC = @extschema@.latency_sketch_deserialize,
	FINALFUNC = @extschema@.latency_sketch_finish, PARALLEL = SAFE
);
COMMENT ON AGGREGATE @extschema@.latency_sketch_agg(double precision) IS
	'The sketch of the values; NULLs are left out';

CREATE AGGREGATE @extschema@.latency_sketch_agg(@extschema@.latency_sketch) (
	SFUNC = @extschema@.latency_sketch_accumulate, STYPE = internal, SSPACE = 20480,
	COMBINEFUNC = @extschema@.latency_sketch_combine,
	SERIALFUNC = @extschema@.latency_sketch_serialize,
	DESERIALFUNC = @extschema@.latency_sketch_deserialize,
	FINALFUNC = @extschema@.latency_sketch_finish, PARALLEL = SAFE
);
COMMENT ON AGGREGATE @extschema@.latency_sketch_agg(@extschema@.latency_sketch) IS
	'The sketch of all values of all the sketches';
