/* SPDX-License-Identifier: PostgreSQL
 *
 * breaker.h: circuit breakers. A function that fails again and again is left alone for a while, so
 * that its webhooks go to their fallback at once instead of waiting for it.
 *
 * A worker has a table with one breaker for each target that it has had an attempt at. Times are
 * microseconds of the loop's clock, which never goes back. Before an attempt:
 *
 *     struct breaker *breaker = breaker_of(&table, target);
 *     uint64_t begun_us = now;
 *
 *     if (!breaker_allows(breaker, begun_us))
 *         no attempt: not reached
 *
 * and of each one that was allowed exactly one of these, with the same begun_us:
 *
 *     if (breaker_record(breaker, failed, begun_us, now, &settings))
 *         a log line: it has opened or closed
 *     breaker_forget(breaker, begun_us);      the attempt was not made, or says nothing of the
 *                                             function (the forwarder itself gave it up)
 */
#ifndef BREAKER_H
#define BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "route.h"

#define BREAKER_LIMIT 256          /* breakers of a table; further targets have none */
#define BREAKER_WINDOW 10          /* seconds that the rate of failures is made of */
#define BREAKER_LEAST_US 1000000u  /* it stays open so long the first time, */
#define BREAKER_MOST_US 30000000u  /* and at most so long */
#define BREAKER_PROBE_US 30000000u /* a probe that is not heard of for so long is given up */

/*  X(STATE, name, what it means) */
#define BREAKER_STATES(X)                                                                          \
    X(CLOSED, "closed", "every attempt is allowed")                                                \
    X(OPEN, "open", "none is, until the pause is over")                                            \
    X(HALF_OPEN, "half-open", "one attempt, the probe, is under way: it opens or closes it")

enum breaker_state
{
#define X(state, name, meaning) BREAKER_##state,
    BREAKER_STATES(X)
#undef X
        BREAKER_STATE_COUNT
};

const char *breaker_state_name(enum breaker_state state);

/* What opens a breaker (--breaker-failures, --breaker-rate, --breaker-minimum), and what spreads
 * the times at which it lets a probe through. */
struct breaker_settings
{
    unsigned failures;       /* so many in a row, */
    unsigned rate;           /* or so many percent (never, above 100) */
    unsigned minimum;        /* of so many attempts or more */
    uint8_t (*chance)(void); /* a random byte, called when a breaker opens */
};

/* Attempts that ended in one second. */
struct breaker_second
{
    uint64_t number; /* seconds of the clock */
    uint32_t attempts, failures;
};

struct breaker
{
    char target[ROUTE_MAX_NAME_LENGTH + 1];
    _Atomic int state; /* enum breaker_state; other threads may read it */
    unsigned in_a_row; /* failures since the last success */
    unsigned openings; /* since it was closed: each doubles the pause */
    uint64_t since_us; /* when the state was entered: attempts begun earlier do not count */
    uint64_t until_us; /* open: end of the pause; half-open: when another probe may go */
    struct breaker_second window[BREAKER_WINDOW];
};

/* All zero is an empty one. Other threads may read the first `count` targets and states. */
struct breaker_table
{
    _Atomic size_t count;
    struct breaker breakers[BREAKER_LIMIT];
};

/* The breaker of a target, for as long as the table lives; made when there is none yet. NULL when
 * the table is full or the name too long: such a target has no breaker, which everything below
 * takes for one that is always closed. */
struct breaker *breaker_of(struct breaker_table *table, const char *target);
/* Whether an attempt may be made; true also for the one probe, which has begun with that. */
MUST_CHECK bool breaker_allows(struct breaker *breaker, uint64_t now_us);
/* An attempt that was allowed at begun_us has ended. True when this has opened or closed the
 * breaker: its state says which. */
MUST_CHECK bool breaker_record(struct breaker *breaker, bool failed, uint64_t begun_us,
                               uint64_t now_us, const struct breaker_settings *settings);
/* An attempt that was allowed at begun_us counts as if it had never been. */
void breaker_forget(struct breaker *breaker, uint64_t begun_us);

#endif /* BREAKER_H */
