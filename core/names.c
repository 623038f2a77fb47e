/* SPDX-License-Identifier: PostgreSQL
 *
 * names.c: the names of things in a decision, as they stand in the log and in the documentation.
 */
#include "route.h"

#include <string.h>

const char *route_reason_name(route_reason reason)
{
    static const char *const names[] = {
#define X(constant, name, meaning) name,
        ROUTE_REASONS(X)
#undef X
    };

    return (unsigned int) reason < ROUTE_REASON_COUNT ? names[reason] : "unknown";
}

route_reason route_reason_of_name(route_text name)
{
    for (int reason = 0; reason < ROUTE_REASON_COUNT; reason++)
    {
        const char *known = route_reason_name((route_reason) reason);

        if (name.length == strlen(known) && memcmp(name.data, known, name.length) == 0)
            return (route_reason) reason;
    }
    return ROUTE_REASON_COUNT;
}

const char *route_reason_meaning(route_reason reason)
{
    static const char *const meanings[] = {
#define X(constant, name, meaning) meaning,
        ROUTE_REASONS(X)
#undef X
    };

    return (unsigned int) reason < ROUTE_REASON_COUNT ? meanings[reason] : "unknown";
}

const char *route_side_name(route_side side)
{
    return side == ROUTE_UNIFIED ? "unified" : "legacy";
}

const char *route_item_kind_name(route_item_kind kind)
{
    switch (kind)
    {
    case ROUTE_ITEM_MESSAGE:
        return "message";
    case ROUTE_ITEM_STATUS:
        return "status";
    case ROUTE_ITEM_OTHER_FIELD:
        return "other_field";
    default:
        return "unreadable";
    }
}

const char *route_fallback_policy_name(route_fallback_policy policy)
{
    switch (policy)
    {
    case ROUTE_FALLBACK_CONNECT:
        return "connect";
    case ROUTE_FALLBACK_ANY:
        return "any";
    default:
        return "error";
    }
}
