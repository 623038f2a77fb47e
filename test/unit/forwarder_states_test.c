/* SPDX-License-Identifier: PostgreSQL
 *
 * Which state of a request may follow which.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

static bool request_follows(int from, int to)
{
    return request_may_follow((enum request_state) from, (enum request_state) to);
}

static bool delivery_follows(int from, int to)
{
    return delivery_may_follow((enum delivery_state) from, (enum delivery_state) to);
}

/* Every state can be reached and left. */
static void assert_no_dead_end(int count, bool (*follows)(int from, int to))
{
    for (int to = 0; to < count; to++)
    {
        int ways_in = 0, ways_out = 0;

        for (int from = 0; from < count; from++)
        {
            ways_in += from != to && follows(from, to);
            ways_out += from != to && follows(to, from);
        }
        assert_true(ways_in > 0 && ways_out > 0);
    }
}

static void requests(void **state)
{
    static const enum request_state WAY[] = {REQUEST_FREE,     REQUEST_HEADER,     REQUEST_BODY,
                                             REQUEST_DECIDING, REQUEST_DELIVERING, REQUEST_REPLYING,
                                             REQUEST_FREE};

    (void) state;
    for (size_t i = 1; i < sizeof WAY / sizeof *WAY; i++)
        assert_true(request_follows(WAY[i - 1], WAY[i]));
    assert_false(request_follows(REQUEST_FREE, REQUEST_REPLYING));
    assert_false(request_follows(REQUEST_BODY, REQUEST_DELIVERING));
    assert_false(request_follows(REQUEST_DECIDING, REQUEST_FREE));
    assert_false(request_follows(REQUEST_DELIVERING, REQUEST_FREE));
    assert_false(request_follows(REQUEST_REPLYING, REQUEST_REPLYING));
    assert_no_dead_end(REQUEST_STATE_COUNT, request_follows);
}

static void deliveries(void **state)
{
    static const enum delivery_state WAY[] = {
        DELIVERY_IDLE,       DELIVERY_RECORDING, DELIVERY_ATTEMPTING, DELIVERY_RECORDING,
        DELIVERY_ATTEMPTING, DELIVERY_DONE,      DELIVERY_IDLE};

    (void) state;
    for (size_t i = 1; i < sizeof WAY / sizeof *WAY; i++)
        assert_true(delivery_follows(WAY[i - 1], WAY[i]));
    assert_false(delivery_follows(DELIVERY_IDLE, DELIVERY_ATTEMPTING)); /* nothing unrecorded */
    assert_false(delivery_follows(DELIVERY_ATTEMPTING, DELIVERY_ATTEMPTING));
    assert_false(delivery_follows(DELIVERY_DONE, DELIVERY_DONE)); /* answered once */
    assert_no_dead_end(DELIVERY_STATE_COUNT, delivery_follows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(deliveries),
    };

    return cmocka_run_group_tests_name("forwarder_states", tests, NULL, NULL);
}
