/* SPDX-License-Identifier: PostgreSQL
 *
 * breaker.c: which functions are left alone for a while. Pure: time and chance come from the
 * caller.
 *
 * A success never opens a breaker. What was under way when a breaker changed its state says
 * nothing of the time since, and is not counted: otherwise the time-outs of attempts from before it
 * opened would be taken for the probe's failure.
 */
#include "breaker.h"

#include <string.h>

#define SECOND_US 1000000u

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const NAMES[] = {
#define X(state, name, meaning) name,
        BREAKER_STATES(X)
#undef X
    };

    return NAMES[state];
}

struct breaker *breaker_of(struct breaker_table *table, const char *target)
{
    size_t count = table->count;
    struct breaker *breaker = table->breakers;

    for (; breaker < table->breakers + count; breaker++)
        if (strcmp(breaker->target, target) == 0)
            return breaker;
    if (count == BREAKER_LIMIT || strlen(target) >= sizeof breaker->target)
        return NULL;
    memset(breaker, 0, sizeof *breaker);
    strcpy(breaker->target, target);
    table->count = count + 1; /* last: from now on other threads read it */
    return breaker;
}

/* ---------------------------------------------------------------------------------------------
 * The window
 * ------------------------------------------------------------------------------------------ */

static void count_attempt(struct breaker *breaker, bool failed, uint64_t now_us)
{
    uint64_t number = now_us / SECOND_US;
    struct breaker_second *second = &breaker->window[number % BREAKER_WINDOW];

    if (second->number != number)
        *second = (struct breaker_second){.number = number};
    second->attempts++;
    second->failures += failed;
    breaker->in_a_row = failed ? breaker->in_a_row + 1 : 0;
}

static bool fails_too_often(const struct breaker *breaker, uint64_t now_us,
                            const struct breaker_settings *settings)
{
    uint64_t number = now_us / SECOND_US;
    uint64_t attempts = 0, failures = 0;

    if (breaker->in_a_row >= settings->failures)
        return true;
    for (size_t i = 0; i < BREAKER_WINDOW; i++)
        if (breaker->window[i].number + BREAKER_WINDOW > number)
        {
            attempts += breaker->window[i].attempts;
            failures += breaker->window[i].failures;
        }
    return attempts >= settings->minimum && failures * 100 >= attempts * settings->rate;
}

/* ---------------------------------------------------------------------------------------------
 * The states
 * ------------------------------------------------------------------------------------------ */

/* Up to a quarter less than the doubled pause, so that workers do not probe in step. */
static uint64_t pause_of(unsigned openings, uint8_t chance)
{
    uint64_t pause = openings > 5 ? BREAKER_MOST_US : (uint64_t) BREAKER_LEAST_US << openings;

    if (pause > BREAKER_MOST_US)
        pause = BREAKER_MOST_US;
    return pause - pause / 4 * chance / UINT8_MAX;
}

static void enter(struct breaker *breaker, enum breaker_state state, uint64_t now_us)
{
    breaker->state = state;
    breaker->since_us = now_us;
}

static void open_breaker(struct breaker *breaker, uint64_t now_us, uint8_t chance)
{
    breaker->until_us = now_us + pause_of(breaker->openings, chance);
    breaker->openings++;
    enter(breaker, BREAKER_OPEN, now_us);
}

/* What there was before it opened is forgiven. */
static void close_breaker(struct breaker *breaker, uint64_t now_us)
{
    breaker->in_a_row = 0;
    breaker->openings = 0;
    memset(breaker->window, 0, sizeof breaker->window);
    enter(breaker, BREAKER_CLOSED, now_us);
}

bool breaker_allows(struct breaker *breaker, uint64_t now_us)
{
    if (breaker == NULL || breaker->state == BREAKER_CLOSED)
        return true;
    if (now_us < breaker->until_us)
        return false;
    if (breaker->state == BREAKER_OPEN)
        enter(breaker, BREAKER_HALF_OPEN, now_us);
    breaker->until_us = now_us + BREAKER_PROBE_US;
    return true;
}

bool breaker_record(struct breaker *breaker, bool failed, uint64_t begun_us, uint64_t now_us,
                    const struct breaker_settings *settings)
{
    if (breaker == NULL || breaker->state == BREAKER_OPEN || begun_us < breaker->since_us)
        return false;
    count_attempt(breaker, failed, now_us);
    if (breaker->state == BREAKER_HALF_OPEN)
    {
        if (failed)
            open_breaker(breaker, now_us, settings->chance());
        else
            close_breaker(breaker, now_us);
        return true;
    }
    if (!failed || !fails_too_often(breaker, now_us, settings))
        return false;
    open_breaker(breaker, now_us, settings->chance());
    return true;
}

void breaker_forget(struct breaker *breaker, uint64_t begun_us)
{
    if (breaker != NULL && breaker->state == BREAKER_HALF_OPEN && begun_us >= breaker->since_us)
        breaker->until_us = 0;
}
