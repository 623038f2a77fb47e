/* SPDX-License-Identifier: PostgreSQL
 *
 * The type latency_sketch: its forms (text, binary, stored), its arithmetic, its aggregates.
 *
 * Stored form, after the varlena header, without alignment:
 *
 *		byte	SKETCH_FORMAT
 *		double	sum, min, max		(absent when there are no values)
 *		varint	zeros
 *		then until the end, for each non-empty slot in ascending order:
 *		varint	slots passed over since the one before
 *		varint	count
 *
 * The number of values is the sum of all counts. A minute of traffic takes 100 to 800 bytes.
 *
 * Every way in (text, binary, storage) fills a LatencySketch and has it judged by
 * sketch_fault(), so that no other part needs to doubt one. Text and binary come from users and
 * may be anything; stored bytes are wrong only when the disk is, and are still never trusted with
 * a length or an index.
 */
#include "sketch.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "common/int.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"

#define SKETCH_FORMAT 1

/* The longest varint of 64 bits. */
#define VARINT_BYTES 10

/* Sums of doubles are not exact; what a sketch claims about its sum is believed within this. */
#define SUM_TOLERANCE 1e-6

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

/* --- The summary itself ------------------------------------------------------------------- */

void
sketch_init(LatencySketch *sketch)
{
	memset(sketch, 0, sizeof(*sketch));
	sketch->low = SKETCH_BUCKETS;
	sketch->high = -1;
}

/* The slot of a value between SKETCH_RESOLUTION and SKETCH_LIMIT. */
static int
slot_of(double value)
{
	int bucket = (int) ceil(log2(value) * SKETCH_BUCKETS_PER_OCTAVE);

	Assert(value >= SKETCH_RESOLUTION && value <= SKETCH_LIMIT);
	return Max(Min(bucket, SKETCH_HIGHEST_BUCKET), SKETCH_LOWEST_BUCKET) - SKETCH_LOWEST_BUCKET;
}

/* The upper bound of a slot; that of the slot below is its lower bound. */
static double
slot_bound(int slot)
{
	return exp2((double) (slot + SKETCH_LOWEST_BUCKET) / SKETCH_BUCKETS_PER_OCTAVE);
}

/* The point whose relative distance to both bounds of the slot is the same. */
static double
slot_middle(int slot)
{
	return 2.0 / (1.0 / slot_bound(slot) + 1.0 / slot_bound(slot - 1));
}

/* Adds to a counter that must not wrap around. */
static void
count_up(int64 *counter, int64 by)
{
	if (pg_add_s64_overflow(*counter, by, counter))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("latency_sketch holds too many values")));
}

static void
slot_add(LatencySketch *sketch, int slot, int64 by)
{
	Assert(slot >= 0 && slot < SKETCH_BUCKETS && by > 0);
	count_up(&sketch->count, by);
	sketch->slots[slot] += by; /* at most count, which did not wrap */
	sketch->low = Min(sketch->low, slot);
	sketch->high = Max(sketch->high, slot);
}

static void
zeros_add(LatencySketch *sketch, int64 by)
{
	Assert(by >= 0);
	count_up(&sketch->count, by);
	sketch->zeros += by;
}

/* Widens the range by that of other values; "had" is how many values there were before. */
static void
range_add(LatencySketch *sketch, int64 had, double sum, double min, double max)
{
	sketch->min = had == 0 ? min : Min(sketch->min, min);
	sketch->max = had == 0 ? max : Max(sketch->max, max);
	sketch->sum += sum;
}

void
sketch_add(LatencySketch *sketch, double value)
{
	int64 had = sketch->count;

	if (!(value >= 0 && value <= SKETCH_LIMIT))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a latency cannot be %g", value),
				 errdetail("Latencies are numbers from 0 to %g.", SKETCH_LIMIT)));
	value += 0.0; /* minus zero becomes zero */
	if (value < SKETCH_RESOLUTION)
		zeros_add(sketch, 1);
	else
		slot_add(sketch, slot_of(value), 1);
	range_add(sketch, had, value, value, value);
}

static void
sketch_add_sketch(LatencySketch *sketch, const LatencySketch *other)
{
	int64 had = sketch->count;

	if (other->count == 0)
		return;
	zeros_add(sketch, other->zeros);
	for (int slot = other->low; slot <= other->high; slot++)
		if (other->slots[slot] > 0)
			slot_add(sketch, slot, other->slots[slot]);
	range_add(sketch, had, other->sum, other->min, other->max);
}

/*
 * Why this cannot be a summary of any values, or NULL when it can. Relies on nothing but low, high,
 * count and the slots being in step, which slot_add and zeros_add see to.
 */
static const char *
sketch_fault(const LatencySketch *sketch)
{
	double least = 0;
	double most = sketch->zeros * SKETCH_RESOLUTION;
	int slot_of_min;
	int slot_of_max;

	if (sketch->count == 0)
	{
		bool blank = sketch->sum == 0 && sketch->min == 0 && sketch->max == 0;

		return blank ? NULL : "an empty sketch has no sum, min or max";
	}
	if (!(sketch->min >= 0 && sketch->min <= sketch->max && sketch->max <= SKETCH_LIMIT))
		return "min and max are not a range of latencies";

	/* One slot of tolerance: libraries differ in the last digit of a logarithm. */
	slot_of_min = sketch->min < SKETCH_RESOLUTION ? -1 : slot_of(sketch->min);
	slot_of_max = sketch->max < SKETCH_RESOLUTION ? -1 : slot_of(sketch->max);
	if ((slot_of_min < 0) != (sketch->zeros > 0) ||
		(slot_of_min >= 0 && abs(slot_of_min - sketch->low) > 1))
		return "min is not in the lowest bucket";
	if ((slot_of_max < 0) != (sketch->high < 0) ||
		(slot_of_max >= 0 && abs(slot_of_max - sketch->high) > 1))
		return "max is not in the highest bucket";

	for (int slot = sketch->low; slot <= sketch->high; slot++)
	{
		least += sketch->slots[slot] * slot_bound(slot - 1);
		most += sketch->slots[slot] * slot_bound(slot);
	}
	if (!(sketch->sum >= least * (1 - SUM_TOLERANCE) && sketch->sum <= most * (1 + SUM_TOLERANCE)))
		return "the sum is not that of the buckets";
	return NULL;
}

/* The value at a place (0 based) among the sorted values, within the relative error. */
static double
sketch_value_at(const LatencySketch *sketch, int64 place)
{
	int64 passed = sketch->zeros;

	Assert(place >= 0 && place < sketch->count);
	if (place == 0)
		return sketch->min;
	if (place == sketch->count - 1)
		return sketch->max;
	if (place < passed)
		return sketch->min;
	for (int slot = sketch->low; slot <= sketch->high; slot++)
	{
		passed += sketch->slots[slot];
		if (place < passed)
			return Min(Max(slot_middle(slot), sketch->min), sketch->max);
	}
	return sketch->max;
}

double
sketch_quantile(const LatencySketch *sketch, double fraction)
{
	double place = fraction * (double) (sketch->count - 1);
	int64 below = Min((int64) floor(place), sketch->count - 1);
	int64 above = Min((int64) ceil(place), sketch->count - 1);
	double low = sketch_value_at(sketch, below);

	Assert(sketch->count > 0 && fraction >= 0 && fraction <= 1);
	if (above == below)
		return low;
	return low + (place - below) * (sketch_value_at(sketch, above) - low);
}

/* --- The stored form ---------------------------------------------------------------------- */

static char *
put_varint(char *to, uint64 value)
{
	for (; value >= 0x80; value >>= 7)
		*to++ = (char) (value | 0x80);
	*to++ = (char) value;
	return to;
}

static void
stored_sketch_is_damaged(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a stored latency_sketch is damaged"),
			 errdetail_internal("%s", why)));
}

static int64
get_varint(const char **from, const char *end)
{
	uint64 value = 0;

	for (int shift = 0; shift < 63; shift += 7)
	{
		uint8 byte;

		if (*from >= end)
			stored_sketch_is_damaged("It ends within a number.");
		byte = (uint8) * *from;
		(*from)++;
		value |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return (int64) value;
	}
	stored_sketch_is_damaged("A number is too large.");
	pg_unreachable();
}

Datum
sketch_store(const LatencySketch *sketch)
{
	int used = 0;
	int former = -1;
	bytea *stored;
	char *to;

	Assert(sketch_fault(sketch) == NULL);
	for (int slot = sketch->low; slot <= sketch->high; slot++)
		used += sketch->slots[slot] > 0;
	stored = palloc(VARHDRSZ + 1 + 3 * sizeof(double) + VARINT_BYTES + 2 * VARINT_BYTES * used);

	to = VARDATA(stored);
	*to++ = SKETCH_FORMAT;
	if (sketch->count > 0)
	{
		memcpy(to, (double[]){sketch->sum, sketch->min, sketch->max}, 3 * sizeof(double));
		to = put_varint(to + 3 * sizeof(double), sketch->zeros);
	}
	for (int slot = sketch->low; slot <= sketch->high; slot++)
	{
		if (sketch->slots[slot] == 0)
			continue;
		to = put_varint(to, slot - former - 1);
		to = put_varint(to, sketch->slots[slot]);
		former = slot;
	}
	SET_VARSIZE(stored, to - (char *) stored);
	return PointerGetDatum(stored);
}

/* Adds what lies between from and end. */
static void
sketch_add_bytes(LatencySketch *sketch, const char *from, const char *end)
{
	int64 had = sketch->count;
	int slot = -1;
	double range[3];

	if (from >= end || *from++ != SKETCH_FORMAT)
		stored_sketch_is_damaged("Its format is unknown.");
	if (from == end)
		return;
	if (end - from < sizeof(range))
		stored_sketch_is_damaged("It is too short.");
	memcpy(range, from, sizeof(range));
	from += sizeof(range);
	zeros_add(sketch, get_varint(&from, end));
	while (from < end)
	{
		int64 gap = get_varint(&from, end);
		int64 count = get_varint(&from, end);

		if (gap >= SKETCH_BUCKETS || slot + gap + 1 >= SKETCH_BUCKETS || count == 0)
			stored_sketch_is_damaged("A bucket is out of range.");
		slot += gap + 1;
		slot_add(sketch, slot, count);
	}
	range_add(sketch, had, range[0], range[1], range[2]);
	Assert(sketch_fault(sketch) == NULL);
}

void
sketch_add_stored(LatencySketch *sketch, Datum stored)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(stored);
	const char *from = VARDATA_ANY(bytes);

	sketch_add_bytes(sketch, from, from + VARSIZE_ANY_EXHDR(bytes));
	if ((Pointer) bytes != DatumGetPointer(stored))
		pfree(bytes);
}

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
	slot_add(sketch, (int) slot, count);
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
	zeros_add(sketch, take_integer(&at, false));
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
	zeros_add(sketch, zeros);
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
