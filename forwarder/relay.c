/* SPDX-License-Identifier: PostgreSQL
 *
 * relay.c: what the end of an attempt leads to. A pure function, so that every row of the table in
 * README.md is one line of a test.
 */
#include "forwarder.h"

/* The least policy under which this end lets the other function have its turn. */
static route_fallback_policy policy_needed(enum attempt_end end, bool ambiguous)
{
    if (ambiguous)
        return ROUTE_FALLBACK_ANY;
    return end == ATTEMPT_NOT_REACHED ? ROUTE_FALLBACK_CONNECT : ROUTE_FALLBACK_ERROR;
}

struct relay_verdict relay_judge(enum attempt_end end, unsigned http_status,
                                 route_fallback_policy policy, bool fallback, unsigned earlier)
{
    struct relay_verdict verdict = {.step = RELAY_PROBLEM, .status = 502};
    bool sensible = end == ATTEMPT_ANSWERED && http_status >= 200 && http_status <= 599;
    bool success = sensible && relay_outcome(http_status) == OUTCOME_SUCCESS;

    verdict.ambiguous = end != ATTEMPT_NOT_REACHED && (!sensible || http_status == 504);
    if (!success && fallback && policy >= policy_needed(end, verdict.ambiguous))
        verdict.step = RELAY_FALL_BACK;
    else if (sensible)
        verdict.step = RELAY_ANSWER;

    if (success)
        verdict.status = 200; /* Meta sends everything else again */
    else if (sensible)
        verdict.status = http_status;
    else if (end == ATTEMPT_TIMED_OUT)
        verdict.status = 504;
    else if (end == ATTEMPT_NOT_REACHED)
        verdict.status = earlier != 0 ? earlier : 503;
    return verdict;
}

bool relay_is_failure(enum attempt_end end, unsigned http_status, bool fallback)
{
    return end != ATTEMPT_ANSWERED || (http_status >= 500 && fallback);
}

enum attempt_outcome relay_outcome(unsigned http_status)
{
    switch (http_status / 100)
    {
    case 2:
        return OUTCOME_SUCCESS;
    case 3:
        return OUTCOME_HTTP_3XX;
    case 4:
        return OUTCOME_HTTP_4XX;
    case 5:
        return http_status == 504 ? OUTCOME_GATEWAY_TIMEOUT : OUTCOME_HTTP_5XX;
    default:
        return OUTCOME_BROKEN_OFF; /* no status that a function may answer with */
    }
}

unsigned relay_worse(unsigned status, unsigned other)
{
    return other / 100 > status / 100 ? other : status;
}
