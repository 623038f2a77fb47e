/* SPDX-License-Identifier: PostgreSQL
 *
 * evidence_guard_test.c: how often the guard is wrong, and how soon it is right. Chance can only be
 * tested by trying often: seeded, so that it is the same chance every time. The figures are
 * printed.
 */
#include "support.h"

#include "../../bench/plan_simulation.h"

enum
{
    RUNS = 4000,
    DOMAINS = 3,
    REQUESTS = 3000, /* of a healthy domain */
    CAUGHT_WITHIN = 1500,
    MOST = REQUESTS + CAUGHT_WITHIN
};

#define HEALTHY 0.001
#define FAULTY 0.01

/* Traffic of so many requests a minute; from the request `fault` on with another error rate. */
struct course
{
    int64_t per_minute;
    int64_t requests;
    int64_t fault;
    double unified_rate; /* once the fault has begun */
    double legacy_rate;
    int64_t legacy_per_minute;
};

/* Requests until the guard would have rolled back, looking every minute; -1 when it never would. */
static int64_t caught_after(uint64_t *state, const struct course *course,
                            struct evidence_guard *guard)
{
    static struct evidence_minute minutes[MOST + 1];
    size_t minute = 0;

    *guard = (struct evidence_guard){0};
    for (int64_t done = 0; done < course->requests; minute++)
    {
        int64_t left = course->requests - done;
        int64_t requests = left < course->per_minute ? left : course->per_minute;
        int64_t before = done >= course->fault             ? 0
                         : done + requests < course->fault ? requests
                                                           : course->fault - done;
        bool faulty = done + requests > course->fault;

        minutes[minute] = (struct evidence_minute){
            .requests = requests,
            .errors = simulation_errors(state, before, HEALTHY) +
                      simulation_errors(state, requests - before, course->unified_rate),
            .legacy_requests = course->legacy_per_minute,
            .legacy_errors = simulation_errors(state, course->legacy_per_minute,
                                               faulty ? course->legacy_rate : HEALTHY),
        };
        evidence_guard_add(guard, minutes, minute, &simulation_limits);
        done += requests;
        if (guard->alarm)
            return done;
    }
    return -1;
}

static const int64_t rates[] = {1, 10, 50, 300};

/* Three domains with 0.1 % errors, which is a warning, and 3,000 requests each. */
static void test_false_rollbacks(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
    {
        struct course course = {rates[i], REQUESTS, REQUESTS, HEALTHY, HEALTHY, rates[i]};
        uint64_t seed = 11 + i;
        int rolled_back = 0;

        for (int run = 0; run < RUNS; run++)
        {
            struct evidence_guard guard;
            bool any = false;

            for (int domain = 0; domain < DOMAINS; domain++)
                any |= caught_after(&seed, &course, &guard) >= 0;
            rolled_back += any;
        }
        print_message("# %3lld requests a minute: %.2f %% of %d healthy runs rolled back\n",
                      (long long) rates[i], 100.0 * rolled_back / RUNS, RUNS);
        assert_true(rolled_back * 20 <= RUNS);
    }
}

/* 1 % errors, from any moment on. */
static void test_faults_are_caught(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
    {
        struct course course = {rates[i], 0, 0, FAULTY, HEALTHY, rates[i]};
        uint64_t seed = 21 + i;
        int caught = 0, early = 0;

        for (int run = 0; run < RUNS; run++)
        {
            struct evidence_guard guard;
            int64_t after;

            /* What it finds before the fault is the other test's; here it goes on. */
            do
            {
                course.fault = (int64_t) (simulation_uniform(&seed) * REQUESTS);
                course.requests = course.fault + CAUGHT_WITHIN;
                after = caught_after(&seed, &course, &guard);
                early += after >= 0 && after <= course.fault;
            } while (after >= 0 && after <= course.fault);
            caught += after >= 0;
        }
        print_message("# %3lld requests a minute: %.2f %% of %d faults caught within %d requests\n",
                      (long long) rates[i], 100.0 * caught / RUNS, RUNS, CAUGHT_WITHIN);
        assert_true(caught * 100 >= RUNS * 99);
        assert_true(early * 20 <= RUNS);
    }
}

/*
 * The same fault on both sides, at the shares of a rollout. Where legacy has as little traffic as
 * unified or less, a weak fault is often found on one side first: there nothing is promised, and
 * the figure is printed.
 */
static void test_fault_on_both_sides(void **state)
{
    static const struct
    {
        int64_t unified, legacy;
        double rate;
        double most; /* share of the runs that may be rolled back */
    } shares[] = {
        {5, 45, 0.01, 0.05}, {5, 45, 0.5, 0.01},   {25, 25, 0.5, 0.01}, {25, 25, 1.0, 0.001},
        {25, 25, 0.05, 0.1}, {25, 25, 0.01, 0.25}, {45, 5, 0.5, 1},
    };

    (void) state;
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
    {
        struct course course = {shares[i].unified, REQUESTS,       REQUESTS / 2,
                                shares[i].rate,    shares[i].rate, shares[i].legacy};
        uint64_t seed = 31 + i;
        int rolled_back = 0;

        for (int run = 0; run < RUNS; run++)
        {
            struct evidence_guard guard;
            int64_t after = caught_after(&seed, &course, &guard);

            rolled_back += after > course.fault;
        }
        print_message(
            "# %lld requests a minute, %lld to legacy, %g %% errors on both sides: %.2f %% of "
            "%d runs rolled back\n",
            (long long) shares[i].unified, (long long) shares[i].legacy, 100 * shares[i].rate,
            100.0 * rolled_back / RUNS, RUNS);
        assert_true(rolled_back <= shares[i].most * RUNS);
    }
}

/* What can be said exactly. */
static void test_arithmetic(void **state)
{
    static const struct evidence_minute minutes[] = {
        {100, 0, 0, 0}, {10, 2, 0, 0}, {10, 2, 0, 0}, {2000, 0, 0, 0}, {4, 4, 0, 0},
    };
    struct evidence_guard guard = {0};
    struct evidence_limits equal = {0.005, 0.005, 50};

    (void) state;
    evidence_guard_add(&guard, minutes, 0, &simulation_limits);
    assert_true(guard.statistic == 0 && guard.requests == 0);
    evidence_guard_add(&guard, minutes, 1, &simulation_limits);
    evidence_guard_add(&guard, minutes, 2, &simulation_limits);
    /* 4 log(5) + 16 log(0.995 / 0.999) */
    assert_true(guard.statistic > 6.373 && guard.statistic < 6.374);
    assert_true(guard.first == 1 && guard.requests == 20 && guard.errors == 4);
    evidence_guard_add(&guard, minutes, 3, &simulation_limits);
    assert_true(guard.statistic == 0);
    evidence_guard_add(&guard, minutes, 4, &simulation_limits);
    assert_true(guard.first == 4 && guard.statistic > EVIDENCE_GUARD_THRESHOLD);

    /* Limits that leave nothing to tell apart; and a critical rate of everything. */
    guard = (struct evidence_guard){0};
    evidence_guard_add(&guard, minutes, 4, &equal);
    assert_true(guard.statistic == 0);
    equal.critical_rate = 1;
    evidence_guard_add(&guard, minutes, 4, &equal);
    assert_true(guard.statistic > EVIDENCE_GUARD_THRESHOLD);
    evidence_guard_add(&guard, minutes, 3, &equal);
    assert_true(guard.statistic == 0);
}

/* An outage of both sides that ends, a fault of unified that follows: excused, then found. */
static void test_outage_then_fault(void **state)
{
    struct evidence_minute minutes[200];
    struct evidence_guard guard = {0};
    size_t found = 0;

    (void) state;
    for (size_t i = 0; i < 200; i++)
    {
        bool outage = i >= 50 && i < 60, fault = i >= 150;

        minutes[i] = (struct evidence_minute){10, outage || fault ? 5 : 0, 10, outage ? 5 : 0};
        evidence_guard_add(&guard, minutes, i, &simulation_limits);
        if (guard.statistic > EVIDENCE_GUARD_THRESHOLD && found == 0)
            found = i;
    }
    assert_true(guard.excused > 0);
    assert_int_equal(found, 150);
    assert_true(guard.legacy_requests >= 50 && guard.legacy_errors == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic),          cmocka_unit_test(test_outage_then_fault),
        cmocka_unit_test(test_false_rollbacks),     cmocka_unit_test(test_faults_are_caught),
        cmocka_unit_test(test_fault_on_both_sides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
