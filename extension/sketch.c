/* SPDX-License-Identifier: PostgreSQL
 *
 * sketch.c: the arithmetic of a sketch, and its stored form.
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
 * sketch_fault(), so that no other part needs to doubt one. Stored bytes are wrong only when the disk
 * is, and are still never trusted with a length or an index.
 */
#include "sketch.h"

#include <math.h>

#include "common/int.h"

/* The longest varint of 64 bits. */
#define VARINT_BYTES 10

/* Sums of doubles are not exact; what a sketch claims about its sum is believed within this. */
#define SUM_TOLERANCE 1e-6

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

void
sketch_add_slot(LatencySketch *sketch, int slot, int64 by)
{
	Assert(slot >= 0 && slot < SKETCH_BUCKETS && by > 0);
	count_up(&sketch->count, by);
	sketch->slots[slot] += by; /* at most count, which did not wrap */
	sketch->low = Min(sketch->low, slot);
	sketch->high = Max(sketch->high, slot);
}

void
sketch_add_zeros(LatencySketch *sketch, int64 by)
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
		sketch_add_zeros(sketch, 1);
	else
		sketch_add_slot(sketch, slot_of(value), 1);
	range_add(sketch, had, value, value, value);
}

void
sketch_add_sketch(LatencySketch *sketch, const LatencySketch *other)
{
	int64 had = sketch->count;

	if (other->count == 0)
		return;
	sketch_add_zeros(sketch, other->zeros);
	for (int slot = other->low; slot <= other->high; slot++)
		if (other->slots[slot] > 0)
			sketch_add_slot(sketch, slot, other->slots[slot]);
	range_add(sketch, had, other->sum, other->min, other->max);
}

const char *
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
	sketch_add_zeros(sketch, get_varint(&from, end));
	while (from < end)
	{
		int64 gap = get_varint(&from, end);
		int64 count = get_varint(&from, end);

		if (gap >= SKETCH_BUCKETS || slot + gap + 1 >= SKETCH_BUCKETS || count == 0)
			stored_sketch_is_damaged("A bucket is out of range.");
		slot += gap + 1;
		sketch_add_slot(sketch, slot, count);
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
