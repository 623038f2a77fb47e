/* SPDX-License-Identifier: PostgreSQL
 *
 * metrics.h: what is counted, and how it is told. metrics_table.h defines every metric.
 *
 *     metrics.c         a worker's numbers: counted, and added up; pure
 *     metrics_text.c    Prometheus' text format 0.0.4; pure
 *     metrics_help.c    the table as a page of the reference
 *     metrics_worker.c  gauges, as each worker publishes them
 *     metrics_gather.c  /metrics, on the main thread
 *
 * Threads: `struct metrics` of a worker is written by that worker alone, with relaxed stores, and
 * read by the main thread at any time, so that /metrics answers even when a worker is stuck. A
 * number that is read may be some turns old, never torn.
 *
 * Labels: names of domains, reasons and targets come from decisions; of each there is a bounded
 * number, and those beyond it are counted under "other". No label has anything of a sender or of a
 * message.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breaker.h"
#include "loop.h"
#include "metrics_table.h"
#include "route.h"
#include "writer.h"

struct admin;
struct admin_answer;
struct delivery;
struct outcome;
struct request;
struct worker;

enum metric_id
{
#define X(id, type, unit, source, name, labels, help) METRIC_##id,
    METRICS(X)
#undef X
        METRIC_COUNT
};

/* The words of metrics_table.h as numbers. */
enum metric_request
{
#define X(id, word, meaning) REQUEST_IS_##id,
    METRIC_REQUESTS(X)
#undef X
        METRIC_REQUEST_COUNT
};

enum refusal
{
#define X(id, word, meaning) REFUSAL_##id,
    METRIC_REFUSALS(X)
#undef X
        REFUSAL_COUNT
};

enum metric_side
{
#define X(id, word, meaning) METRIC_SIDE_##id,
    METRIC_SIDES(X)
#undef X
        METRIC_SIDE_COUNT
};

enum metric_route
{
#define X(id, word, meaning) METRIC_ROUTE_##id,
    METRIC_ROUTES(X)
#undef X
        METRIC_ROUTE_COUNT
};

enum decider
{
#define X(id, word, meaning) DECIDED_BY_##id,
    METRIC_DECIDERS(X)
#undef X
        DECIDER_COUNT
};

enum attempt_outcome
{
#define X(id, word, meaning) OUTCOME_##id,
    ATTEMPT_OUTCOMES(X)
#undef X
        ATTEMPT_OUTCOME_COUNT
};

enum metric_link
{
#define X(id, word, meaning) METRIC_LINK_##id,
    METRIC_LINKS(X)
#undef X
        METRIC_LINK_COUNT
};

/* ---------------------------------------------------------------------------------------------
 * metrics.c: pure
 * ------------------------------------------------------------------------------------------ */

#define METRIC_UNKNOWN UINT64_MAX /* a gauge that is not known: NaN */
#define METRIC_NAMES 64           /* names of a kind; place 0 is "other", for all further ones */
#define METRIC_STATUSES 600       /* status codes below this */
#define METRIC_BUCKETS 18         /* of a histogram at most, without the last, which has no bound */

typedef _Atomic uint64_t metric_cell;

/* Names in the order in which they came. Other threads may read the first `count`. */
struct metric_names
{
    _Atomic size_t count;
    uint8_t lengths[METRIC_NAMES];
    char names[METRIC_NAMES][ROUTE_MAX_NAME_LENGTH + 1]; /* from place 1 on */
};

/* Bounds of buckets in microseconds, rising; a value belongs to the first bound that is not below
 * it. */
struct metric_bounds
{
    size_t count;
    uint64_t us[METRIC_BUCKETS];
};

/* Of requests and attempts: Meta wants a median of 0.25 s and less than 1 % above 1 s; 2 s and 3 s
 * are the limits of health. */
extern const struct metric_bounds METRIC_ANSWER_BOUNDS;
extern const struct metric_bounds METRIC_DECIDE_BOUNDS;

struct metric_histogram
{
    metric_cell buckets[METRIC_BUCKETS + 1]; /* not added up; the last one has no bound */
    metric_cell sum_us;
};

/* All zero: nothing has happened. */
struct metrics
{
    metric_cell cells[METRIC_COUNT]; /* of the metrics whose source is no family of labels */
    struct metric_names domains, reasons, targets;
    metric_cell responses[METRIC_REQUEST_COUNT][METRIC_STATUSES];
    metric_cell refused[REFUSAL_COUNT];
    metric_cell decisions[METRIC_NAMES][METRIC_NAMES][2][DECIDER_COUNT]; /* domain, reason, side */
    metric_cell attempts[METRIC_NAMES][METRIC_SIDE_COUNT][ATTEMPT_OUTCOME_COUNT]; /* target */
    metric_cell fallbacks[METRIC_NAMES], openings[METRIC_NAMES];
    metric_cell breakers[METRIC_NAMES][BREAKER_STATE_COUNT];
    metric_cell links[METRIC_LINK_COUNT], links_up[METRIC_LINK_COUNT], connects[METRIC_LINK_COUNT];
    metric_cell rows_in_memory, rows_in_spool;
    struct metric_histogram request_seconds[METRIC_ROUTE_COUNT];
    struct metric_histogram decide_seconds[DECIDER_COUNT];
    struct metric_histogram attempt_seconds[METRIC_NAMES][2];
};

static inline uint64_t metric_read(const metric_cell *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static inline void metric_set(metric_cell *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

/* Only the owner counts: no locked instruction is needed. */
static inline void metric_count(metric_cell *cell, uint64_t count)
{
    metric_set(cell, metric_read(cell) + count);
}

/* The place of a name, which is made when there is room; 0 otherwise, and for NULL. */
size_t metric_place(struct metric_names *names, const char *name);
const char *metric_name(const struct metric_names *names, size_t place);
void metric_observe(struct metric_histogram *histogram, const struct metric_bounds *bounds,
                    uint64_t us);
/* Of the log's routed_to. */
enum metric_side metric_side_of(const char *routed_to);
/* Adds a worker's numbers to a total, by names: places need not be the same. `now_us` is
 * loop_clock(); in the total an AGE is an age. */
void metrics_add(struct metrics *total, const struct metrics *worker, uint64_t now_us);

/* ---------------------------------------------------------------------------------------------
 * metrics_text.c, metrics_help.c: pure
 * ------------------------------------------------------------------------------------------ */

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What is shown of a total. */
void metrics_write(struct writer *writer, const struct metrics *total);
/* Prints every metric and every word of a label as Markdown; false when that failed. */
MUST_CHECK bool metrics_help_markdown(void);

/* ---------------------------------------------------------------------------------------------
 * metrics_worker.c: by the worker
 * ------------------------------------------------------------------------------------------ */

/* An answer leaves, `elapsed_us` after the request was whole. */
void metrics_answered(const struct request *request, unsigned status, uint64_t elapsed_us);
/* A request was decided, well or not. */
void metrics_decided(struct request *request, enum decider by);
/* An attempt has ended, with these rows; `elapsed_us` 0: it was not made. */
void metrics_attempted(const struct delivery *delivery, const struct outcome *rows,
                       enum attempt_outcome outcome, uint64_t elapsed_us);
/* Counts in one of the arrays of targets. */
void metrics_target(struct worker *worker, const char *target, metric_cell cells[METRIC_NAMES]);
/* Gauges, every 100 ms at most: once a turn. */
void metrics_publish(struct worker *worker);

/* ---------------------------------------------------------------------------------------------
 * metrics_gather.c: by the main thread
 * ------------------------------------------------------------------------------------------ */

/* The route /metrics. */
void metrics_route(const struct admin *admin, struct admin_answer *answer);

#endif /* METRICS_H */
