/* SPDX-License-Identifier: PostgreSQL
 *
 * sketch_functions.c: the type latency_sketch under SQL: text and binary form, aggregates, functions.
 *
 * Text and binary come from users and may be anything; sketch_fault() judges what came of them.
 */
#include "sketch.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(latency_sketch_in);
PG_FUNCTION_INFO_V1(latency_sketch_out);
PG_FUNCTION_INFO_V1(latency_sketch_recv);
PG_FUNCTION_INFO_V1(latency_sketch_send);
PG_FUNCTION_INFO_V1(latency_sketch_accumulate);
PG_FUNCTION_INFO_V1(latency_sketch_accumulate_sketch);
PG_FUNCTION_INFO_V1(latency_sketch_combine);
PG_FUNCTION_INFO_V1(latency_sketch_serialize);
PG_FUNCTION_INFO_V1(latency_sketch_deserialize);
PG_FUNCTION_INFO_V1(latency_sketch_finish);
PG_FUNCTION_INFO_V1(latency_sketch_merge);
PG_FUNCTION_INFO_V1(latency_sketch_quantile);
PG_FUNCTION_INFO_V1(latency_sketch_count);
PG_FUNCTION_INFO_V1(latency_sketch_sum);
PG_FUNCTION_INFO_V1(latency_sketch_avg);
PG_FUNCTION_INFO_V1(latency_sketch_min);
PG_FUNCTION_INFO_V1(latency_sketch_max);

/* A stored argument as a sketch of its own. */
static LatencySketch *
sketch_argument(Datum stored)
{
	LatencySketch *sketch = palloc(sizeof(LatencySketch));

	sketch_init(sketch);
	sketch_add_stored(sketch, stored);
	return sketch;
}

/* --- Text and binary ---------------------------------------------------------------------- */

static void
sketch_is_invalid(int code, const char *why)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("invalid input for type latency_sketch"),
			 errdetail_internal("%s", why),
			 errhint("Make one from measured values with latency_sketch_agg().")));
}

/* Takes "name=" off the front of the text. */
static void
take_word(char **at, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(*at, word, length) != 0)
		sketch_is_invalid(ERRCODE_INVALID_TEXT_REPRESENTATION,
						  psprintf("Expected \"%s\".", word));
	*at += length;
}

static int64
take_integer(char **at, bool may_be_negative)
{
	char *end;
	int64 value;

	errno = 0;
	value = strtoll(*at, &end, 10);
	if (errno != 0 || end == *at || isspace((unsigned char) **at) || **at == '+' ||
		(**at == '-' && !may_be_negative))
		sketch_is_invalid(ERRCODE_INVALID_TEXT_REPRESENTATION, "Expected an integer.");
	*at = end;
	return value;
}

static double
take_number(char **at)
{
	char *end;
	double value;

	value = strtod(*at, &end);
	if (!isdigit((unsigned char) **at) || !isfinite(value))
		sketch_is_invalid(ERRCODE_INVALID_TEXT_REPRESENTATION, "Expected a number.");
	*at = end;
	return value;
}

/* Adds a bucket that a user gave; the buckets come in ascending order. */
static void
sketch_add_given(LatencySketch *sketch, int64 bucket, int64 count, int code)
{
	int64 slot = bucket - SKETCH_LOWEST_BUCKET;

	if (bucket < SKETCH_LOWEST_BUCKET || bucket > SKETCH_HIGHEST_BUCKET || slot <= sketch->high)
		sketch_is_invalid(code, "Buckets are out of order or out of range.");
	if (count <= 0)
		sketch_is_invalid(code, "A bucket is empty.");
	sketch_add_slot(sketch, (int) slot, count);
}

/* What is said at the end of both ways in. */
static Datum
sketch_given(const LatencySketch *sketch, int64 count, int code)
{
	const char *fault = sketch_fault(sketch);

	if (count != sketch->count)
		fault = "the count is not that of the buckets";
	if (fault != NULL)
		sketch_is_invalid(code, psprintf("Not a sketch of any values: %s.", fault));
	return sketch_store(sketch);
}

/* count=3 sum=600.5 min=100 max=300.5 zeros=0 buckets=240:1,276:1,297:1 */
Datum
latency_sketch_in(PG_FUNCTION_ARGS)
{
	char *at = PG_GETARG_CSTRING(0);
	LatencySketch *sketch = palloc(sizeof(LatencySketch));
	int64 count;

	sketch_init(sketch);
	take_word(&at, "count=");
	count = take_integer(&at, false);
	take_word(&at, " sum=");
	sketch->sum = take_number(&at);
	take_word(&at, " min=");
	sketch->min = take_number(&at);
	take_word(&at, " max=");
	sketch->max = take_number(&at);
	take_word(&at, " zeros=");
	sketch_add_zeros(sketch, take_integer(&at, false));
	take_word(&at, " buckets=");
	while (*at != '\0')
	{
		int64 bucket;

		if (sketch->high >= 0)
			take_word(&at, ",");
		bucket = take_integer(&at, true);
		take_word(&at, ":");
		sketch_add_given(sketch, bucket, take_integer(&at, false),
						 ERRCODE_INVALID_TEXT_REPRESENTATION);
	}
	PG_RETURN_DATUM(sketch_given(sketch, count, ERRCODE_INVALID_TEXT_REPRESENTATION));
}

static void
append_number(StringInfo out, const char *word, double value)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(value, digits);
	appendStringInfo(out, " %s=%s", word, digits);
}

Datum
latency_sketch_out(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = sketch_argument(PG_GETARG_DATUM(0));
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "count=" INT64_FORMAT, sketch->count);
	append_number(&out, "sum", sketch->sum);
	append_number(&out, "min", sketch->min);
	append_number(&out, "max", sketch->max);
	appendStringInfo(&out, " zeros=" INT64_FORMAT " buckets=", sketch->zeros);
	for (int slot = sketch->low; slot <= sketch->high; slot++)
		if (sketch->slots[slot] > 0)
			appendStringInfo(&out, "%s%d:" INT64_FORMAT, slot > sketch->low ? "," : "",
							 slot + SKETCH_LOWEST_BUCKET, sketch->slots[slot]);
	PG_RETURN_CSTRING(out.data);
}

/* Format, count, sum, min, max, zeros, then (bucket, count) until the end; network byte order. */
Datum
latency_sketch_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	LatencySketch *sketch = palloc(sizeof(LatencySketch));
	int64 count;
	int64 zeros;

	sketch_init(sketch);
	if (pq_getmsgbyte(message) != SKETCH_FORMAT)
		sketch_is_invalid(ERRCODE_INVALID_BINARY_REPRESENTATION, "Its format is unknown.");
	count = pq_getmsgint64(message);
	sketch->sum = pq_getmsgfloat8(message);
	sketch->min = pq_getmsgfloat8(message);
	sketch->max = pq_getmsgfloat8(message);
	zeros = pq_getmsgint64(message);
	if (zeros < 0 || signbit(sketch->sum) || signbit(sketch->min) || signbit(sketch->max))
		sketch_is_invalid(ERRCODE_INVALID_BINARY_REPRESENTATION, "A number is out of range.");
	sketch_add_zeros(sketch, zeros);
	while (message->cursor < message->len)
	{
		int32 bucket = (int32) pq_getmsgint(message, 4);

		sketch_add_given(sketch, bucket, pq_getmsgint64(message),
						 ERRCODE_INVALID_BINARY_REPRESENTATION);
	}
	PG_RETURN_DATUM(sketch_given(sketch, count, ERRCODE_INVALID_BINARY_REPRESENTATION));
}

Datum
latency_sketch_send(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = sketch_argument(PG_GETARG_DATUM(0));
	StringInfoData out;

	pq_begintypsend(&out);
	pq_sendbyte(&out, SKETCH_FORMAT);
	pq_sendint64(&out, sketch->count);
	pq_sendfloat8(&out, sketch->sum);
	pq_sendfloat8(&out, sketch->min);
	pq_sendfloat8(&out, sketch->max);
	pq_sendint64(&out, sketch->zeros);
	for (int slot = sketch->low; slot <= sketch->high; slot++)
	{
		if (sketch->slots[slot] == 0)
			continue;
		pq_sendint32(&out, slot + SKETCH_LOWEST_BUCKET);
		pq_sendint64(&out, sketch->slots[slot]);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&out));
}

/* --- Aggregates --------------------------------------------------------------------------- */

/* The aggregate's state, made on first use; it lives as long as the group. */
static LatencySketch *
aggregate_state(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	LatencySketch *sketch;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in a non-aggregate context");
	if (!PG_ARGISNULL(0))
		return (LatencySketch *) PG_GETARG_POINTER(0);
	sketch = MemoryContextAlloc(context, sizeof(LatencySketch));
	sketch_init(sketch);
	return sketch;
}

Datum
latency_sketch_accumulate(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = aggregate_state(fcinfo);

	if (!PG_ARGISNULL(1))
		sketch_add(sketch, PG_GETARG_FLOAT8(1));
	PG_RETURN_POINTER(sketch);
}

Datum
latency_sketch_accumulate_sketch(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = aggregate_state(fcinfo);

	if (!PG_ARGISNULL(1))
		sketch_add_stored(sketch, PG_GETARG_DATUM(1));
	PG_RETURN_POINTER(sketch);
}

Datum
latency_sketch_combine(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = aggregate_state(fcinfo);

	if (!PG_ARGISNULL(1))
		sketch_add_sketch(sketch, (LatencySketch *) PG_GETARG_POINTER(1));
	PG_RETURN_POINTER(sketch);
}

Datum
latency_sketch_serialize(PG_FUNCTION_ARGS)
{
	Assert(AggCheckCallContext(fcinfo, NULL));
	PG_RETURN_DATUM(sketch_store((LatencySketch *) PG_GETARG_POINTER(0)));
}

Datum
latency_sketch_deserialize(PG_FUNCTION_ARGS)
{
	Assert(AggCheckCallContext(fcinfo, NULL));
	PG_RETURN_POINTER(sketch_argument(PG_GETARG_DATUM(0)));
}

/* No rows, no sketch; rows that were all NULL make an empty one. */
Datum
latency_sketch_finish(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(sketch_store((LatencySketch *) PG_GETARG_POINTER(0)));
}

/* --- Functions ---------------------------------------------------------------------------- */

Datum
latency_sketch_merge(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = sketch_argument(PG_GETARG_DATUM(0));

	sketch_add_stored(sketch, PG_GETARG_DATUM(1));
	PG_RETURN_DATUM(sketch_store(sketch));
}

Datum
latency_sketch_quantile(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = sketch_argument(PG_GETARG_DATUM(0));
	double fraction = PG_GETARG_FLOAT8(1);

	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("fraction %g is not between 0 and 1", fraction),
				 errhint("P95 is latency_sketch_quantile(sketch, 0.95).")));
	if (sketch->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sketch_quantile(sketch, fraction));
}

Datum
latency_sketch_count(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(sketch_argument(PG_GETARG_DATUM(0))->count);
}

Datum
latency_sketch_sum(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sketch_argument(PG_GETARG_DATUM(0))->sum);
}

Datum
latency_sketch_avg(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = sketch_argument(PG_GETARG_DATUM(0));

	if (sketch->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sketch->sum / sketch->count);
}

Datum
latency_sketch_min(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = sketch_argument(PG_GETARG_DATUM(0));

	if (sketch->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sketch->min);
}

Datum
latency_sketch_max(PG_FUNCTION_ARGS)
{
	LatencySketch *sketch = sketch_argument(PG_GETARG_DATUM(0));

	if (sketch->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sketch->max);
}
