/* SPDX-License-Identifier: PostgreSQL
 *
 * What the end of an attempt leads to, row by row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

#define NONE (route_fallback_policy) - 1

static const struct
{
    enum attempt_end end;
    unsigned http_status;
    route_fallback_policy falls_back_from; /* the least policy, NONE: never */
    unsigned status;                       /* without fallback */
    bool relayed, success, ambiguous;
} CASES[] = {
    {ATTEMPT_ANSWERED, 200, NONE, 200, true, true, false},
    {ATTEMPT_ANSWERED, 201, NONE, 200, true, true, false},
    {ATTEMPT_ANSWERED, 204, NONE, 200, true, true, false},
    {ATTEMPT_ANSWERED, 302, ROUTE_FALLBACK_ERROR, 302, true, false, false},
    {ATTEMPT_ANSWERED, 404, ROUTE_FALLBACK_ERROR, 404, true, false, false},
    {ATTEMPT_ANSWERED, 500, ROUTE_FALLBACK_ERROR, 500, true, false, false},
    {ATTEMPT_ANSWERED, 503, ROUTE_FALLBACK_ERROR, 503, true, false, false},
    {ATTEMPT_ANSWERED, 504, ROUTE_FALLBACK_ANY, 504, true, false, true},
    {ATTEMPT_ANSWERED, 101, ROUTE_FALLBACK_ANY, 502, false, false, true},
    {ATTEMPT_ANSWERED, 999, ROUTE_FALLBACK_ANY, 502, false, false, true},
    {ATTEMPT_NOT_REACHED, 0, ROUTE_FALLBACK_CONNECT, 503, false, false, false},
    {ATTEMPT_TIMED_OUT, 0, ROUTE_FALLBACK_ANY, 504, false, false, true},
    {ATTEMPT_TIMED_OUT, 200, ROUTE_FALLBACK_ANY, 504, false, false, true},
    {ATTEMPT_BROKEN, 0, ROUTE_FALLBACK_ANY, 502, false, false, true},
    {ATTEMPT_BROKEN, 200, ROUTE_FALLBACK_ANY, 502, false, false, true},
};

static void verdicts(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        for (int policy = ROUTE_FALLBACK_CONNECT; policy <= ROUTE_FALLBACK_ANY; policy++)
        {
            struct relay_verdict with = relay_judge(CASES[i].end, CASES[i].http_status,
                                                    (route_fallback_policy) policy, true, 0);
            struct relay_verdict without = relay_judge(CASES[i].end, CASES[i].http_status,
                                                       (route_fallback_policy) policy, false, 0);
            bool falls_back =
                CASES[i].falls_back_from != NONE && policy >= (int) CASES[i].falls_back_from;

            assert_int_equal(with.step == RELAY_FALL_BACK, falls_back);
            assert_int_equal(without.step, CASES[i].relayed ? RELAY_ANSWER : RELAY_PROBLEM);
            assert_int_equal(without.status, CASES[i].status);
            assert_int_equal(without.status == 200, CASES[i].success);
            assert_int_equal(without.ambiguous, CASES[i].ambiguous);
        }
}

/* The first attempt may have acted: a second one that was not reached must not turn that into "not
 * reached". */
static void ambiguity_is_remembered(void **state)
{
    (void) state;
    assert_int_equal(relay_judge(ATTEMPT_NOT_REACHED, 0, ROUTE_FALLBACK_ERROR, false, 504).status,
                     504);
    assert_int_equal(relay_judge(ATTEMPT_ANSWERED, 200, ROUTE_FALLBACK_ERROR, false, 504).status,
                     200);
}

/* A status speaks against a function only where there is another one to ask. */
static void failures(void **state)
{
    (void) state;
    assert_false(relay_is_failure(ATTEMPT_ANSWERED, 200, true));
    assert_false(relay_is_failure(ATTEMPT_ANSWERED, 404, true));
    assert_true(relay_is_failure(ATTEMPT_ANSWERED, 500, true));
    assert_false(relay_is_failure(ATTEMPT_ANSWERED, 500, false));
    assert_true(relay_is_failure(ATTEMPT_NOT_REACHED, 0, false));
    assert_true(relay_is_failure(ATTEMPT_TIMED_OUT, 0, false));
    assert_true(relay_is_failure(ATTEMPT_BROKEN, 200, false));
}

static void worse(void **state)
{
    (void) state;
    assert_int_equal(relay_worse(200, 200), 200);
    assert_int_equal(relay_worse(200, 302), 302);
    assert_int_equal(relay_worse(404, 302), 404);
    assert_int_equal(relay_worse(404, 503), 503);
    assert_int_equal(relay_worse(502, 404), 502);
    assert_int_equal(relay_worse(502, 504), 502);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(failures),
        cmocka_unit_test(worse),
        cmocka_unit_test(ambiguity_is_remembered),
    };

    return cmocka_run_group_tests_name("forwarder_relay", tests, NULL, NULL);
}
