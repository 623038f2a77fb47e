/* SPDX-License-Identifier: PostgreSQL
 *
 * plan_simulation.h: a rollout that nobody has to live through. Traffic by the minute, judged by
 * the extension's own functions (extension/evidence.h). For bench/rollout_plan.c and the unit
 * tests.
 */
#ifndef BENCH_PLAN_SIMULATION_H
#define BENCH_PLAN_SIMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../extension/evidence.h"

/* The default thresholds of the configuration. */
extern const struct evidence_limits simulation_limits;

/* --- Chance ------------------------------------------------------------------------------- */

/* From 0 to 1, without 1. The state is any number; each call changes it (splitmix64). */
extern double simulation_uniform(uint64_t *state);

/* How many of so many requests fail at that rate. */
extern int64_t simulation_errors(uint64_t *state, int64_t requests, double rate);

/* How many requests come in a minute that brings `mean` on average. */
extern int64_t simulation_requests(uint64_t *state, double mean);

/* --- A plan ------------------------------------------------------------------------------- */

/* The plan that the extension is installed with. */
enum
{
    SIMULATION_STEPS = 6,
    SIMULATION_DOMAINS = 3,
    /* A person looks every so many minutes once the soak is over. */
    SIMULATION_CHECK_MINUTES = 15
};

struct simulation_step
{
    double percentage;
    int soak_hours;
};

extern const struct simulation_step simulation_plan[SIMULATION_STEPS];

struct simulation_traffic
{
    double requests_per_hour; /* of a domain to unified, at 10 % */
    double error_rate;        /* of unified and legacy alike: nothing is wrong with either */
};

struct simulation_run
{
    bool forced;      /* a gate was still closed a whole further soak after the soak */
    bool rolled_back; /* by the guard; the step then began again */
    int late;         /* steps that had to wait after their soak */
    double hours[SIMULATION_STEPS]; /* that each step took, steps begun again included */
};

/* One rollout through the whole plan, guard on. */
extern struct simulation_run simulation_rollout(uint64_t *state,
                                                const struct simulation_traffic *traffic);

#endif
