/* SPDX-License-Identifier: PostgreSQL
 *
 * evidence_plan_test.c: a small company's healthy rollout comes to its end without force. A small
 * run of bench/rollout_plan.c, seeded.
 */
#include "support.h"

#include "../../bench/plan_simulation.h"

enum
{
    RUNS = 150
};

static void test_small_company(void **state)
{
    static const struct simulation_traffic traffic = {50, 0.0003};
    uint64_t seed = 5;
    int forced = 0, rolled_back = 0, in_time = 0;

    (void) state;
    for (int run = 0; run < RUNS; run++)
    {
        struct simulation_run rollout = simulation_rollout(&seed, &traffic);

        forced += rollout.forced;
        rolled_back += rollout.rolled_back;
        in_time += rollout.hours[0] == 4 && rollout.hours[3] == 24 && rollout.hours[5] == 48;
    }
    print_message("# of %d rollouts %d needed force, %d were rolled back, %d lost no time\n", RUNS,
                  forced, rolled_back, in_time);
    assert_true((forced + rolled_back) * 50 <= RUNS);
    assert_true(in_time * 100 >= RUNS * 95);
}

/* Gates that never close would show nothing: with hardly any traffic the first steps need force. */
static void test_gates_close(void **state)
{
    static const struct simulation_traffic quiet = {0.5, 0};
    uint64_t seed = 6;
    struct simulation_run rollout = simulation_rollout(&seed, &quiet);

    (void) state;
    assert_true(rollout.forced);
    assert_false(rollout.rolled_back);
    assert_true(rollout.hours[0] == 8);
}

/* Poisson and binomial, by mean and variance. */
static void test_chance(void **state)
{
    enum
    {
        DRAWS = 100000
    };
    double sums[2] = {0}, squares[2] = {0};
    uint64_t seed = 7;

    (void) state;
    for (int i = 0; i < DRAWS; i++)
    {
        double requests = (double) simulation_requests(&seed, 3.5);
        double errors = (double) simulation_errors(&seed, 200, 0.02);

        sums[0] += requests;
        squares[0] += requests * requests;
        sums[1] += errors;
        squares[1] += errors * errors;
    }
    for (int i = 0; i < 2; i++)
    {
        double mean = sums[i] / DRAWS, variance = squares[i] / DRAWS - mean * mean;

        assert_true(mean > (i ? 3.97 : 3.47) && mean < (i ? 4.03 : 3.53));
        assert_true(variance > (i ? 3.84 : 3.42) && variance < (i ? 4.0 : 3.58));
    }
    assert_int_equal(simulation_errors(&seed, 10, 0), 0);
    assert_int_equal(simulation_errors(&seed, 10, 1), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_small_company),
        cmocka_unit_test(test_gates_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
