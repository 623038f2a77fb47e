/* SPDX-License-Identifier: PostgreSQL
 *
 * When a function is left alone, for how long, and who may try it first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/breaker.h"

#define SECOND UINT64_C(1000000)
#define START (1000 * SECOND)

static uint8_t chance_is;

static uint8_t chance(void)
{
    return chance_is;
}

static const struct breaker_settings settings = {
    .failures = 5, .rate = 50, .minimum = 20, .chance = chance};

/* An attempt that takes no time. */
static bool attempt(struct breaker *breaker, bool failed, uint64_t now)
{
    assert_true(breaker_allows(breaker, now));
    return breaker_record(breaker, failed, now, now, &settings);
}

/* Opens a closed breaker at `now`. */
static void trip(struct breaker *breaker, uint64_t now)
{
    for (int i = 1; i < 5; i++)
        assert_false(attempt(breaker, true, now));
    assert_true(attempt(breaker, true, now));
    assert_int_equal(breaker->state, BREAKER_OPEN);
}

static void opens_after_failures_in_a_row(void **state)
{
    struct breaker breaker = {.target = "a"};

    (void) state;
    for (int i = 0; i < 4; i++)
        assert_false(attempt(&breaker, true, START + (uint64_t) i * 60 * SECOND));
    assert_false(attempt(&breaker, false, START + 300 * SECOND));
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    trip(&breaker, START + 400 * SECOND);
    assert_false(breaker_allows(&breaker, START + 400 * SECOND));
    assert_false(breaker_allows(&breaker, START + 401 * SECOND - 1));
}

/* Every second attempt fails: never five in a row. */
static void opens_at_a_rate_of_failures(void **state)
{
    struct breaker breaker = {.target = "a"};
    uint64_t now = START;

    (void) state;
    for (int i = 1; i < 20; i++, now += SECOND / 10)
        assert_false(attempt(&breaker, i % 2 == 0, now));
    assert_true(attempt(&breaker, true, now));
    assert_int_equal(breaker.state, BREAKER_OPEN);
}

static void a_rate_needs_the_minimum_and_the_share(void **state)
{
    struct breaker slow = {.target = "slow"}, good = {.target = "good"};

    (void) state;
    /* 19 in any ten seconds, all seconds of the ring in use */
    for (uint64_t now = START; now < START + 200 * SECOND; now += 10 * SECOND / 19 + 1)
        assert_false(attempt(&slow, now / SECOND % 2 == 0 && slow.in_a_row < 4, now));
    /* two in five */
    for (uint64_t i = 0; i < 1000; i++)
        assert_false(attempt(&good, i % 5 == 1 || i % 5 == 3, START + i * SECOND / 50));
}

/* What is older than the window is no longer counted. */
static void the_window_moves(void **state)
{
    struct breaker breaker = {.target = "a"};

    (void) state;
    for (int i = 0; i < 18; i++)
        assert_false(attempt(&breaker, i % 2 != 0, START));
    for (int i = 0; i < 2; i++)
        assert_false(attempt(&breaker, i % 2 != 0, START + 10 * SECOND));
    /* the other way round: 9 seconds later they do count */
    breaker = (struct breaker){.target = "a"};
    for (int i = 0; i < 18; i++)
        assert_false(attempt(&breaker, i % 2 != 0, START));
    assert_false(attempt(&breaker, false, START + 9 * SECOND));
    assert_true(attempt(&breaker, true, START + 9 * SECOND));
}

static void one_probe_goes_after_the_pause(void **state)
{
    struct breaker breaker = {.target = "a"};
    uint64_t now = START + SECOND;

    (void) state;
    chance_is = 0;
    trip(&breaker, START);
    assert_false(breaker_allows(&breaker, now - 1));
    assert_true(breaker_allows(&breaker, now));
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    assert_false(breaker_allows(&breaker, now));
    assert_false(breaker_allows(&breaker, now + 5 * SECOND));
    assert_true(breaker_record(&breaker, false, now, now + 6 * SECOND, &settings));
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    /* What was before is forgiven. */
    trip(&breaker, now + 6 * SECOND);
    assert_false(breaker_allows(&breaker, now + 7 * SECOND - 1));
    assert_true(breaker_allows(&breaker, now + 7 * SECOND));
}

static void the_pause_doubles(void **state)
{
    static const uint64_t PAUSES[] = {1, 2, 4, 8, 16, 30, 30, 30};
    static const uint8_t CHANCES[] = {0, 128, 255};

    (void) state;
    for (size_t c = 0; c < sizeof CHANCES; c++)
    {
        struct breaker breaker = {.target = "a"};
        uint64_t now = START;

        chance_is = CHANCES[c];
        trip(&breaker, now);
        for (size_t i = 0; i < sizeof PAUSES / sizeof *PAUSES; i++)
        {
            uint64_t pause = PAUSES[i] * SECOND;

            pause -= pause / 4 * CHANCES[c] / 255;
            assert_false(breaker_allows(&breaker, now + pause - 1));
            now += pause;
            assert_true(attempt(&breaker, true, now));
            assert_int_equal(breaker.state, BREAKER_OPEN);
        }
    }
    chance_is = 0;
}

/* Attempts from before the breaker opened end after it: they are not the probe. */
static void late_ends_do_not_count(void **state)
{
    struct breaker breaker = {.target = "a"};
    uint64_t probe = START + SECOND;

    (void) state;
    trip(&breaker, START);
    assert_false(breaker_record(&breaker, false, START - 1, START + 1, &settings));
    assert_false(breaker_record(&breaker, true, START - 1, START + 1, &settings));
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_true(breaker_allows(&breaker, probe));
    assert_false(breaker_record(&breaker, true, START - 1, probe + 1, &settings));
    assert_false(breaker_record(&breaker, false, START, probe + 1, &settings));
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    assert_true(breaker_record(&breaker, false, probe, probe + 2, &settings));
    for (int i = 0; i < 50; i++)
        assert_false(breaker_record(&breaker, true, START - 1, probe + 3, &settings));
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void a_probe_that_is_not_made_lets_another_go(void **state)
{
    struct breaker breaker = {.target = "a"};
    uint64_t probe = START + SECOND;

    (void) state;
    trip(&breaker, START);
    breaker_forget(&breaker, START);
    assert_false(breaker_allows(&breaker, probe - 1));
    assert_true(breaker_allows(&breaker, probe));
    breaker_forget(&breaker, START); /* another's, from before */
    assert_false(breaker_allows(&breaker, probe + 1));
    breaker_forget(&breaker, probe);
    assert_true(breaker_allows(&breaker, probe + 1));
    assert_false(breaker_allows(&breaker, probe + 1));
    assert_true(breaker_record(&breaker, true, probe + 1, probe + 2, &settings));
    assert_int_equal(breaker.state, BREAKER_OPEN);
}

static void a_probe_that_is_lost_lets_another_go(void **state)
{
    struct breaker breaker = {.target = "a"};
    uint64_t probe = START + SECOND;

    (void) state;
    trip(&breaker, START);
    assert_true(breaker_allows(&breaker, probe));
    assert_false(breaker_allows(&breaker, probe + BREAKER_PROBE_US - 1));
    assert_true(breaker_allows(&breaker, probe + BREAKER_PROBE_US));
    assert_false(breaker_allows(&breaker, probe + BREAKER_PROBE_US));
    /* The first one comes back after all. */
    assert_true(breaker_record(&breaker, false, probe, probe + BREAKER_PROBE_US + 1, &settings));
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void tables(void **state)
{
    static struct breaker_table table;
    struct breaker *first = breaker_of(&table, "wa-webhook");
    char name[ROUTE_MAX_NAME_LENGTH + 2];

    (void) state;
    assert_non_null(first);
    assert_string_equal(breaker_state_name((enum breaker_state) first->state), "closed");
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_null(breaker_of(&table, name));
    name[sizeof name - 2] = '\0';
    assert_string_equal(breaker_of(&table, name)->target, name);
    assert_int_equal(table.count, 2);
    for (int i = 2; i < BREAKER_LIMIT; i++)
    {
        snprintf(name, sizeof name, "wa-%d", i);
        assert_ptr_equal(breaker_of(&table, name), &table.breakers[i]);
    }
    assert_null(breaker_of(&table, "one too many"));
    assert_ptr_equal(breaker_of(&table, "wa-webhook"), first);
    assert_ptr_equal(breaker_of(&table, "wa-200"), &table.breakers[200]);
}

static void without_a_breaker_all_is_allowed(void **state)
{
    (void) state;
    for (int i = 0; i < 50; i++)
        assert_false(attempt(NULL, true, START));
    breaker_forget(NULL, START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_after_failures_in_a_row),
        cmocka_unit_test(opens_at_a_rate_of_failures),
        cmocka_unit_test(a_rate_needs_the_minimum_and_the_share),
        cmocka_unit_test(the_window_moves),
        cmocka_unit_test(one_probe_goes_after_the_pause),
        cmocka_unit_test(the_pause_doubles),
        cmocka_unit_test(late_ends_do_not_count),
        cmocka_unit_test(a_probe_that_is_not_made_lets_another_go),
        cmocka_unit_test(a_probe_that_is_lost_lets_another_go),
        cmocka_unit_test(tables),
        cmocka_unit_test(without_a_breaker_all_is_allowed),
    };

    return cmocka_run_group_tests_name("forwarder_breaker", tests, NULL, NULL);
}
