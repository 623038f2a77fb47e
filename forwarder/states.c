/* SPDX-License-Identifier: PostgreSQL
 *
 * states.c: the tables REQUEST_STATES and DELIVERY_STATES as data. Pure.
 */
#include "forwarder.h"

struct state
{
    const char *name;
    unsigned next; /* bits of the states that may follow */
};

#define X(state, name, next, meaning) {name, next},
#define TO(state) (1u << REQUEST_##state)
static const struct state REQUEST[] = {REQUEST_STATES(X)};
#undef TO
#define TO(state) (1u << DELIVERY_##state)
static const struct state DELIVERY[] = {DELIVERY_STATES(X)};
#undef TO
#undef X

const char *request_state_name(enum request_state state)
{
    return REQUEST[state].name;
}

bool request_may_follow(enum request_state from, enum request_state to)
{
    return (REQUEST[from].next >> to & 1) != 0;
}

const char *delivery_state_name(enum delivery_state state)
{
    return DELIVERY[state].name;
}

bool delivery_may_follow(enum delivery_state from, enum delivery_state to)
{
    return (DELIVERY[from].next >> to & 1) != 0;
}
