/* SPDX-License-Identifier: PostgreSQL
 *
 * What the end of an attempt leads to, row by row; which state may follow which; and which
 * addresses are no place for a function.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

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
            assert_int_equal(without.success, CASES[i].success);
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

static void states(void **state)
{
    static const enum request_state WAY[] = {
        REQUEST_FREE,       REQUEST_HEADER,     REQUEST_BODY,     REQUEST_DECIDING,
        REQUEST_FORWARDING, REQUEST_FORWARDING, REQUEST_REPLYING, REQUEST_FREE};

    (void) state;
    for (size_t i = 1; i < sizeof WAY / sizeof *WAY; i++)
        assert_true(request_may_follow(WAY[i - 1], WAY[i]));
    assert_false(request_may_follow(REQUEST_FREE, REQUEST_REPLYING));
    assert_false(request_may_follow(REQUEST_BODY, REQUEST_FORWARDING));
    assert_false(request_may_follow(REQUEST_DECIDING, REQUEST_FREE));
    assert_false(request_may_follow(REQUEST_FORWARDING, REQUEST_FREE));
    assert_false(request_may_follow(REQUEST_REPLYING, REQUEST_REPLYING));
    /* Every state can be reached and left. */
    for (int to = 0; to < REQUEST_STATE_COUNT; to++)
    {
        int ways_in = 0, ways_out = 0;

        for (int from = 0; from < REQUEST_STATE_COUNT; from++)
        {
            ways_in += from != to &&
                       request_may_follow((enum request_state) from, (enum request_state) to);
            ways_out += from != to &&
                        request_may_follow((enum request_state) to, (enum request_state) from);
        }
        assert_true(ways_in > 0 && ways_out > 0);
    }
}

static bool refused(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return limits_refused_address((struct sockaddr *) &v4) != NULL;
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return limits_refused_address((struct sockaddr *) &v6) != NULL;
}

static void addresses(void **state)
{
    static const char *const REFUSED[] = {"169.254.169.254",
                                          "169.254.0.1",
                                          "100.100.100.200",
                                          "0.0.0.0",
                                          "0.1.2.3",
                                          "224.0.0.1",
                                          "255.255.255.255",
                                          "240.0.0.1",
                                          "::",
                                          "fe80::1",
                                          "ff02::1",
                                          "fd00:ec2::254",
                                          "::ffff:169.254.169.254",
                                          "64:ff9b::169.254.169.254"};
    static const char *const ALLOWED[] = {
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1",  "169.253.255.255", "169.255.0.1",
        "8.8.8.8",   "::1",      "fd00::1",     "2001:db8::1", "::ffff:10.0.0.1"};

    (void) state;
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
        if (!refused(REFUSED[i]))
            fail_msg("allowed: %s", REFUSED[i]);
    for (size_t i = 0; i < sizeof ALLOWED / sizeof *ALLOWED; i++)
        if (refused(ALLOWED[i]))
            fail_msg("refused: %s", ALLOWED[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(ambiguity_is_remembered),
        cmocka_unit_test(states),
        cmocka_unit_test(addresses),
    };

    return cmocka_run_group_tests_name("forwarder_relay", tests, NULL, NULL);
}
