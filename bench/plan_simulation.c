/* SPDX-License-Identifier: PostgreSQL
 *
 * plan_simulation.c: traffic, and a person who follows the plan: he looks every 15 minutes once the
 * soak is over and says proceed when nothing is critical and there are enough requests. The gates
 * are those of rollout_advance(), the windows those of check_routing_health().
 */
#include "plan_simulation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct evidence_limits simulation_limits = {0.001, 0.005, 50};

const struct simulation_step simulation_plan[SIMULATION_STEPS] = {
    {10, 4}, {25, 4}, {35, 6}, {50, 24}, {75, 48}, {100, 48},
};

enum
{
    HOUR = 60,
    MOST_MINUTES = 2 * 48 * HOUR
};

/* --- Chance ------------------------------------------------------------------------------- */

/* Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014. */
double simulation_uniform(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double) ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* From failure to failure: the gaps are geometric. */
int64_t simulation_errors(uint64_t *state, int64_t requests, double rate)
{
    int64_t errors = 0;

    if (rate <= 0)
        return 0;
    if (rate >= 1)
        return requests;
    for (double at = 0; at < (double) requests; errors++)
    {
        at += floor(log1p(-simulation_uniform(state)) / log1p(-rate)) + 1;
        if (at > (double) requests)
            break;
    }
    return errors;
}

/* Poisson, by the waiting times between requests. */
int64_t simulation_requests(uint64_t *state, double mean)
{
    int64_t requests = 0;
    double left = mean;

    while ((left += log1p(-simulation_uniform(state))) > 0)
        requests++;
    return requests;
}

/* --- A step ------------------------------------------------------------------------------- */

struct domain
{
    struct evidence_minute minutes[MOST_MINUTES];
    struct evidence_guard guard;
};

static void domain_minute(struct domain *domain, size_t minute, uint64_t *state,
                          const struct simulation_traffic *traffic, double percentage)
{
    struct evidence_minute *now = &domain->minutes[minute];
    double mean = traffic->requests_per_hour / HOUR / 10;

    now->requests = simulation_requests(state, mean * percentage);
    now->errors = simulation_errors(state, now->requests, traffic->error_rate);
    now->legacy_requests = simulation_requests(state, mean * (100 - percentage));
    now->legacy_errors = simulation_errors(state, now->legacy_requests, traffic->error_rate);
    evidence_guard_add(&domain->guard, domain->minutes, minute, &simulation_limits);
}

/* The last hour, and as far back as gives min_requests. */
static enum evidence_severity domain_severity(const struct domain *domain, size_t minute)
{
    struct evidence_counts unified = {0}, legacy = {0};

    for (size_t i = minute + 1;
         i-- > 0 && (minute - i <= HOUR || unified.requests < simulation_limits.min_requests);)
    {
        unified.requests += domain->minutes[i].requests;
        unified.errors += domain->minutes[i].errors;
        legacy.requests += domain->minutes[i].legacy_requests;
        legacy.errors += domain->minutes[i].legacy_errors;
    }
    unified.measured = unified.requests;
    legacy.measured = legacy.requests;
    return evidence_judge(&unified, &legacy, &simulation_limits).severity;
}

static bool gates_are_open(const struct domain *domains, size_t minute)
{
    int64_t requests = 0;

    for (int d = 0; d < SIMULATION_DOMAINS; d++)
    {
        if (domain_severity(&domains[d], minute) == EVIDENCE_CRITICAL)
            return false;
        for (size_t i = 0; i <= minute; i++)
            requests += domains[d].minutes[i].requests;
    }
    return requests >= simulation_limits.min_requests;
}

enum step_end
{
    STEP_ADVANCED,
    STEP_FORCED,
    STEP_ROLLED_BACK
};

/* How the step ended, and after how many minutes. */
static enum step_end step_run(struct domain *domains, const struct simulation_step *step,
                              uint64_t *state, const struct simulation_traffic *traffic,
                              size_t *minutes)
{
    size_t soak = (size_t) step->soak_hours * HOUR;

    for (int d = 0; d < SIMULATION_DOMAINS; d++)
        domains[d].guard = (struct evidence_guard){0};
    for (size_t minute = 0; minute < 2 * soak; minute++)
    {
        *minutes = minute + 1;
        for (int d = 0; d < SIMULATION_DOMAINS; d++)
        {
            domain_minute(&domains[d], minute, state, traffic, step->percentage);
            if (domains[d].guard.alarm)
                return STEP_ROLLED_BACK;
        }
        if (*minutes >= soak && (*minutes - soak) % SIMULATION_CHECK_MINUTES == 0 &&
            gates_are_open(domains, minute))
            return STEP_ADVANCED;
    }
    return STEP_FORCED;
}

struct simulation_run simulation_rollout(uint64_t *state, const struct simulation_traffic *traffic)
{
    struct simulation_run run = {0};
    struct domain *domains = calloc(SIMULATION_DOMAINS, sizeof *domains);

    if (domains == NULL)
        abort();
    for (int s = 0; s < SIMULATION_STEPS; s++)
    {
        const struct simulation_step *step = &simulation_plan[s];
        enum step_end end;
        size_t minutes = 0;

        do
        {
            end = step_run(domains, step, state, traffic, &minutes);
            run.hours[s] += (double) minutes / HOUR;
            run.rolled_back |= end == STEP_ROLLED_BACK;
            run.forced |= end == STEP_FORCED;
        } while (end == STEP_ROLLED_BACK);
        run.late += end == STEP_ADVANCED && minutes > (size_t) step->soak_hours * HOUR;
    }
    free(domains);
    return run;
}
