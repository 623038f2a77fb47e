-- latency_sketch: as exact as promised, mergeable, and closed to values that are none.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_routing CASCADE;
CREATE EXTENSION webhook_routing;
RESET client_min_messages;

-- P50, P95, P99 and the ends are within 1 % of percentile_cont, for few values and many, of every
-- shape: also between two heaps, where percentile_cont interpolates across the gap.
CREATE TABLE latencies (shape text, size integer, value double precision);
SELECT setseed(0.42);
INSERT INTO latencies
SELECT shape, size,
       CASE shape
       WHEN 'constant' THEN 123.456
       WHEN 'uniform' THEN 1 + 999 * u
       WHEN 'exponential' THEN -200 * ln(1 - u)
       WHEN 'two heaps' THEN CASE WHEN i % 2 = 0 THEN 20 + u ELSE 9000 + 100 * u END
       WHEN 'slow tail' THEN CASE WHEN i % 20 = 0 THEN 15000 * u + 1 ELSE 30 + u END
       WHEN 'all magnitudes' THEN power(10, 20 * u - 5)
       WHEN 'many zeros' THEN CASE WHEN i % 3 = 0 THEN 0 ELSE 50 * u END
       END
  FROM unnest('{constant,uniform,exponential,two heaps,slow tail,all magnitudes,many zeros}'::text[])
       AS shape,
       unnest('{1,2,3,4,5,19,20,21,100,1000,20000}'::int[]) AS size,
       LATERAL (SELECT i, random() AS u FROM generate_series(1, size) i) AS drawn;
SELECT l.shape, count(DISTINCT l.size) AS sizes,
       bool_and(abs(estimated - exact) <= 0.01 * exact + 1e-6) AS within_one_percent,
       bool_and(fraction NOT IN (0, 1) OR estimated = exact) AS ends_exact
  FROM (SELECT shape, size, fraction,
               percentile_cont(fraction) WITHIN GROUP (ORDER BY value) AS exact,
               latency_sketch_quantile(latency_sketch_agg(value), fraction) AS estimated
          FROM latencies, unnest('{0,0.25,0.5,0.75,0.9,0.95,0.99,0.999,1}'::float8[]) AS fraction
         GROUP BY shape, size, fraction) l
 GROUP BY l.shape ORDER BY l.shape;

-- Count, minimum and maximum are exact, sum and average as exact as doubles.
SELECT bool_and(latency_sketch_count(s) = n AND latency_sketch_min(s) = low
                AND latency_sketch_max(s) = high) AS exact,
       bool_and(abs(latency_sketch_sum(s) - total) <= 1e-9 * total
                AND abs(latency_sketch_avg(s) - total / n) <= 1e-9 * total / n) AS close
  FROM (SELECT latency_sketch_agg(value) AS s, count(*) AS n, min(value) AS low, max(value) AS high,
               sum(value) AS total
          FROM latencies GROUP BY shape, size) q;

-- Merging loses nothing: the sketch of all is that of the parts, in any order.
WITH parts AS (
	SELECT size, latency_sketch_agg(round(value)) AS s FROM latencies WHERE shape = 'uniform' GROUP BY size
), whole AS (
	SELECT latency_sketch_agg(round(value))::text AS s FROM latencies WHERE shape = 'uniform'
)
SELECT (SELECT latency_sketch_agg(s)::text FROM parts) = whole.s AS aggregate,
       (SELECT latency_sketch_agg(s ORDER BY size DESC)::text FROM parts) = whole.s AS backwards,
       (SELECT latency_sketch_merge(
			(SELECT latency_sketch_agg(s) FROM parts WHERE size < 50),
			(SELECT latency_sketch_agg(s) FROM parts WHERE size >= 50))::text) = whole.s AS function
  FROM whole;

-- Parallel workers come to the same result. (Sums of whole numbers are exact up to 2^53.)
DELETE FROM latencies WHERE shape = 'all magnitudes';
SELECT latency_sketch_agg(round(value))::text AS serial FROM latencies \gset
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT latency_sketch_agg(round(value)) FROM latencies;
SELECT latency_sketch_agg(round(value))::text = :'serial' AS same FROM latencies;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;

-- NULLs are left out; no rows, no sketch.
SELECT latency_sketch_agg(v) AS some FROM (VALUES (1::float8), (NULL), (2)) t (v);
SELECT latency_sketch_agg(v) AS only_null FROM (VALUES (NULL::float8)) t (v);
SELECT latency_sketch_agg(v) IS NULL AS no_rows FROM (VALUES (1::float8)) t (v) WHERE false;
SELECT latency_sketch_count(s), latency_sketch_sum(s), latency_sketch_avg(s), latency_sketch_min(s),
       latency_sketch_max(s), latency_sketch_quantile(s, 0.5)
  FROM (SELECT latency_sketch_agg(NULL::float8) AS s) q;
SELECT latency_sketch_merge(s, s) AS still_empty FROM (SELECT latency_sketch_agg(NULL::float8) AS s) q;

-- Zeros, minus zero and what is below the resolution are counted and make no trouble.
SELECT latency_sketch_agg(v) FROM (VALUES ('-0'::float8), (0), (1e-300), (9e-7), (1e-6), (5)) t (v);

-- What is no latency is refused.
SELECT latency_sketch_agg('NaN'::float8);
SELECT latency_sketch_agg('-1'::float8);
SELECT latency_sketch_agg('-1e-300'::float8);
SELECT latency_sketch_agg('Infinity'::float8);
SELECT latency_sketch_agg(1.1e15::float8);
SELECT latency_sketch_max(latency_sketch_agg(1e15::float8));

-- So is what is no fraction.
SELECT latency_sketch_quantile(latency_sketch_agg(1::float8), 95);
SELECT latency_sketch_quantile(latency_sketch_agg(1::float8), -0.1);
SELECT latency_sketch_quantile(latency_sketch_agg(1::float8), 'NaN');

-- Text goes out and in unchanged.
SELECT bool_and(s::text::latency_sketch::text = s::text) AS round_trip
  FROM (SELECT latency_sketch_agg(value) AS s FROM latencies GROUP BY shape, size) q;
SELECT 'count=3 sum=600.5 min=100 max=300.5 zeros=0 buckets=240:1,276:1,297:1'::latency_sketch;

-- Text that no values can have made is refused, and what does not parse.
CREATE FUNCTION refusal(given text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	why text;
BEGIN
	PERFORM given::latency_sketch;
	RETURN 'ACCEPTED';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
	RETURN format('%s %s', SQLSTATE, coalesce(nullif(why, ''), SQLERRM));
END
$$;
SELECT given, refusal(given) FROM unnest(ARRAY[
	'',
	'count',
	'count=1',
	'count=x sum=1 min=1 max=1 zeros=0 buckets=0:1',
	'count=1 sum=1 min=1 max=1 zeros=0 buckets=',
	'count=2 sum=1 min=1 max=1 zeros=0 buckets=0:1',
	'count=0 sum=1 min=1 max=1 zeros=0 buckets=',
	'count=1 sum=1 min=1 max=1 zeros=0 buckets=0:0',
	'count=1 sum=1 min=1 max=1 zeros=0 buckets=0:-1',
	'count=1 sum=1 min=1 max=1 zeros=-1 buckets=0:1',
	'count=1 sum=1 min=1 max=1 zeros=0 buckets=1795:1',
	'count=1 sum=1 min=1 max=1 zeros=0 buckets=-718:1',
	'count=1 sum=1 min=1 max=1 zeros=0 buckets=99999999999999999999:1',
	'count=2 sum=2 min=1 max=1 zeros=0 buckets=0:1,0:1',
	'count=2 sum=3 min=1 max=2 zeros=0 buckets=36:1,0:1',
	'count=1 sum=1 min=1 max=1 zeros=0 buckets=0:1,',
	'count=1 sum=1 min=1 max=1 zeros=0 buckets=0:1 ',
	' count=1 sum=1 min=1 max=1 zeros=0 buckets=0:1',
	'count=1 sum=nan min=1 max=1 zeros=0 buckets=0:1',
	'count=1 sum=inf min=1 max=1 zeros=0 buckets=0:1',
	'count=1 sum=1e999 min=1 max=1 zeros=0 buckets=0:1',
	'count=1 sum=-1 min=1 max=1 zeros=0 buckets=0:1',
	'count=1 sum=1 min=2 max=1 zeros=0 buckets=0:1',
	'count=1 sum=1 min=1 max=1e16 zeros=0 buckets=0:1',
	'count=1 sum=1 min=100 max=100 zeros=0 buckets=0:1',
	'count=2 sum=2 min=1 max=500 zeros=0 buckets=0:2',
	'count=2 sum=1 min=1 max=1 zeros=1 buckets=0:1',
	'count=2 sum=900 min=1 max=1 zeros=0 buckets=0:2',
	'count=9223372036854775807 sum=9223372036854775807 min=1 max=1 zeros=0 buckets=0:9223372036854775807',
	'count=9223372036854775807 sum=9223372036854775807 min=0 max=1 zeros=9223372036854775807 buckets=0:1'
	]) AS given;

-- Counts that would not fit any more are refused, not wrapped around.
SELECT latency_sketch_merge(s, s) FROM (SELECT
	'count=9223372036854775807 sum=9223372036854775807 min=1 max=1 zeros=0 buckets=0:9223372036854775807'
	::latency_sketch AS s) q;

-- A minute of traffic is small: at most 2 bytes for each bucket that is in use, and 40.
SELECT max(pg_column_size(s)) < 1000 AS small
  FROM (SELECT latency_sketch_agg(value) AS s FROM latencies
         WHERE shape IN ('exponential', 'slow tail') GROUP BY shape, size) q;

DROP FUNCTION refusal(text);
DROP TABLE latencies;
