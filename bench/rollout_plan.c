/* SPDX-License-Identifier: PostgreSQL
 *
 * bench/rollout_plan.c: how a healthy rollout goes, 1,000 times, and how good the guard is. Seeded:
 * the same command prints the same figures.
 *
 *   rollout_plan [RUNS [REQUESTS PER HOUR AND DOMAIN AT 10 % [ERROR RATE IN PERCENT]]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "plan_simulation.h"

#define SEED 20240131

static int compare(const void *one, const void *two)
{
    double a = *(const double *) one, b = *(const double *) two;

    return (a > b) - (a < b);
}

static void print_steps(double *hours[SIMULATION_STEPS], size_t runs)
{
    printf("| step | soak | median | 95th percentile | longest |\n|---|---|---|---|---|\n");
    for (int s = 0; s < SIMULATION_STEPS; s++)
    {
        qsort(hours[s], runs, sizeof(double), compare);
        printf("| %g %% | %d h | %.2f h | %.2f h | %.2f h |\n", simulation_plan[s].percentage,
               simulation_plan[s].soak_hours, hours[s][runs / 2], hours[s][runs * 95 / 100],
               hours[s][runs - 1]);
    }
}

int main(int argc, char **argv)
{
    size_t runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    struct simulation_traffic traffic = {
        .requests_per_hour = argc > 2 ? strtod(argv[2], NULL) : 50,
        .error_rate = (argc > 3 ? strtod(argv[3], NULL) : 0.03) / 100,
    };
    double *hours[SIMULATION_STEPS];
    size_t forced = 0, rolled_back = 0, either = 0, late = 0;
    uint64_t state = SEED;

    if (argc > 4 || runs == 0 || !(traffic.requests_per_hour > 0) || traffic.error_rate > 1)
    {
        fprintf(stderr, "usage: rollout_plan [RUNS [REQUESTS_PER_HOUR [ERROR_RATE_PCT]]]\n");
        return 64;
    }
    for (int s = 0; s < SIMULATION_STEPS; s++)
        if ((hours[s] = calloc(runs, sizeof(double))) == NULL)
            return 71;
    for (size_t i = 0; i < runs; i++)
    {
        struct simulation_run run = simulation_rollout(&state, &traffic);

        forced += run.forced;
        rolled_back += run.rolled_back;
        either += run.forced || run.rolled_back;
        late += run.late > 0;
        for (int s = 0; s < SIMULATION_STEPS; s++)
            hours[s][i] = run.hours[s];
    }
    printf("%zu rollouts, %g requests an hour and domain at 10 %%, %g %% errors on both sides\n\n",
           runs, traffic.requests_per_hour, 100 * traffic.error_rate);
    print_steps(hours, runs);
    printf("\nneeded force: %.1f %%; rolled back by the guard: %.1f %%; either: %.1f %%; "
           "waited after a soak: %.1f %%\n",
           100.0 * (double) forced / (double) runs, 100.0 * (double) rolled_back / (double) runs,
           100.0 * (double) either / (double) runs, 100.0 * (double) late / (double) runs);
    for (int s = 0; s < SIMULATION_STEPS; s++)
        free(hours[s]);
    return 0;
}
