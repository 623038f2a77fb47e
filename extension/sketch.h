/* SPDX-License-Identifier: PostgreSQL
 *
 * sketch.h: how many of the measured latencies fell where, in a few hundred bytes. sketch.c has the
 * arithmetic and the stored form, sketch_functions.c the SQL type latency_sketch.
 *
 * A DDSketch (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
 * Relative-Error Guarantees", PVLDB 12(12), 2019). Values fall into buckets whose bounds grow by a
 * constant factor, so that a bucket's middle is within a fixed relative error of everything in it.
 * The factor is the same everywhere, which is what makes any two sketches mergeable without loss.
 *
 * In memory a sketch is a dense array of counters; stored, it is the list of the non-empty ones.
 */
#ifndef WEBHOOK_ROUTING_SKETCH_H
#define WEBHOOK_ROUTING_SKETCH_H

#include "postgres.h"
#include "fmgr.h"

#include "compat.h"

/*
 * 36 buckets to each doubling: a factor of 2^(1/36) from bound to bound, and a relative error of
 * at most (2^(1/36) - 1) / (2^(1/36) + 1) = 0.963 %.
 */
#define SKETCH_BUCKETS_PER_OCTAVE 36

/* Values below the resolution (one nanosecond, in ms) are counted together, as zeros. */
#define SKETCH_RESOLUTION 1e-6
/* Nothing above is taken: 1e15 ms are 31,000 years. */
#define SKETCH_LIMIT 1e15

/* Bucket i holds the values in (2^((i-1)/36), 2^(i/36)]. */
#define SKETCH_LOWEST_BUCKET (-717)
#define SKETCH_HIGHEST_BUCKET 1794
#define SKETCH_BUCKETS (SKETCH_HIGHEST_BUCKET - SKETCH_LOWEST_BUCKET + 1)

typedef struct LatencySketch
{
	int64 count;				 /* of all values, zeros included */
	int64 zeros;				 /* of values below the resolution */
	double sum;					 /* of all values */
	double min;					 /* exact; 0 when count is 0 */
	double max;					 /* exact; 0 when count is 0 */
	int low;					 /* lowest non-empty slot; SKETCH_BUCKETS when there is none */
	int high;					 /* highest non-empty slot; -1 when there is none */
	int64 slots[SKETCH_BUCKETS]; /* slot s counts bucket s + SKETCH_LOWEST_BUCKET */
} LatencySketch;

/* Of the stored and the binary form. */
#define SKETCH_FORMAT 1

/* Makes it empty; what it held is gone. */
extern void sketch_init(LatencySketch *sketch);

/* Raises 22003 for NaN, negative, infinite and too large values. */
extern void sketch_add(LatencySketch *sketch, double value);

extern void sketch_add_sketch(LatencySketch *sketch, const LatencySketch *other);

/*
 * By number, 0 <= slot < SKETCH_BUCKETS, and how many, by > 0 and by >= 0. The caller sees to sum, min
 * and max. Both raise 22003 when the count wraps.
 */
extern void sketch_add_slot(LatencySketch *sketch, int slot, int64 by);
extern void sketch_add_zeros(LatencySketch *sketch, int64 by);

/*
 * Why this cannot be a summary of any values, or NULL when it can. Relies on nothing but low, high,
 * count and the slots being in step, which sketch_add_slot() and sketch_add_zeros() see to.
 */
extern const char *sketch_fault(const LatencySketch *sketch);

/* Adds everything that a stored sketch holds. Raises XX001 when it is damaged. */
extern void sketch_add_stored(LatencySketch *sketch, Datum stored);

/* A new latency_sketch datum in the current memory context. */
extern Datum sketch_store(const LatencySketch *sketch);

/* The value at that fraction of the sorted values, as percentile_cont has it; count must not be 0. */
extern double sketch_quantile(const LatencySketch *sketch, double fraction);

#endif
