/* SPDX-License-Identifier: PostgreSQL
 *
 * The loop's timers, and its sources.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

static int order[8];
static int expired;

static void expire(struct loop_timer *timer)
{
    order[expired++] = (int) (intptr_t) timer->owner;
}

static void timers(void **state)
{
    static struct loop loop;
    struct loop_timer timer[5];
    static const int due[5] = {3, 1, 5, 2, 4};

    (void) state;
    assert_true(loop_open(&loop));
    for (int i = 0; i < 5; i++)
    {
        assert_true(loop_timer_open(&loop, &timer[i], expire, (void *) (intptr_t) due[i]));
        loop_arm(&loop, &timer[i], loop.now_us + (uint64_t) due[i]);
    }
    loop_disarm(&loop, &timer[2]);
    loop_arm(&loop, &timer[1], loop.now_us + 10); /* later than it was */
    usleep(100);
    loop_turn(&loop, 0);
    assert_int_equal(expired, 4);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 3);
    assert_int_equal(order[2], 4);
    assert_int_equal(order[3], 1);
    for (int i = 0; i < 5; i++)
        loop_timer_close(&loop, &timer[i]);
    assert_int_equal(loop.reserved, 0);
    loop_close(&loop);
}

static int heard;

static void hear(struct loop_source *source, uint32_t events)
{
    (void) source;
    (void) events;
    heard++;
}

/* A library has closed the socket of a source, and the next file that was opened got its number and
 * is watched too: it stays watched. */
static void closed_by_others(void **state)
{
    static struct loop loop;
    struct loop_source gone = {.ready = hear}, next = {.ready = hear};
    int before[2], after[2];

    (void) state;
    assert_true(loop_open(&loop));
    assert_int_equal(pipe(before), 0);
    gone.fd = before[0];
    assert_true(loop_watch(&loop, &gone, EPOLLIN));
    close(before[0]);
    assert_int_equal(pipe(after), 0);
    assert_int_equal(after[0], gone.fd);
    next.fd = after[0];
    assert_true(loop_watch(&loop, &next, EPOLLIN));
    loop_forget_closed(&loop, &gone);
    assert_int_equal(gone.watched, 0);
    assert_int_equal(write(after[1], "x", 1), 1);
    loop_turn(&loop, 0);
    assert_int_equal(heard, 1);
    loop_forget(&loop, &next);
    loop_turn(&loop, 0);
    assert_int_equal(heard, 1);
    close(before[1]);
    close(after[0]);
    close(after[1]);
    loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers),
        cmocka_unit_test(closed_by_others),
    };

    return cmocka_run_group_tests_name("forwarder_loop", tests, NULL, NULL);
}
