/* SPDX-License-Identifier: PostgreSQL
 *
 * states.c: the table of REQUEST_STATES as data. Pure.
 */
#include "forwarder.h"

static const struct
{
    const char *name;
    unsigned next; /* bits of the states that may follow */
} STATES[] = {
#define TO(state) (1u << REQUEST_##state)
#define X(state, name, next, meaning) {name, next},
    REQUEST_STATES(X)
#undef X
#undef TO
};

const char *request_state_name(enum request_state state)
{
    return STATES[state].name;
}

bool request_may_follow(enum request_state from, enum request_state to)
{
    return (STATES[from].next >> to & 1) != 0;
}
