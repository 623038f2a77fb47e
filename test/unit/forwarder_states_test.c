/* SPDX-License-Identifier: PostgreSQL
 *
 * Which state of a request may follow which.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states),
    };

    return cmocka_run_group_tests_name("forwarder_states", tests, NULL, NULL);
}
