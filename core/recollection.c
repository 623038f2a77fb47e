/* SPDX-License-Identifier: PostgreSQL
 *
 * recollection.c: between the decision on an item and the caller's memory of its sender.
 *
 * The memory knows senders as the decision names them (from_number), which is what the log has.
 */
#include "recollection.h"
#include "text.h"
#include "trace.h"

/* The item's from_number; returns its length, 0 when there is none. */
static uint16_t copy_sender(const route_recollection *last, char sender[ROUTE_MAX_SENDER + 1])
{
    if (!route_is_absent(last->item->from))
        return route_copy_string(last->document, last->item->from, sender, ROUTE_MAX_SENDER);
    sender[0] = '\0';
    return 0;
}

static void say_conversation(const route_recollection *last)
{
    const route_domain *domain = last->conversation.domain;

    if (domain == NULL)
        route_say(last->trace, "conversation", "none is active");
    else
        route_say(last->trace, "conversation", "%.*s, on %s, is active", (int) domain->name.length,
                  domain->name.data, route_side_name(last->conversation.side));
}

const route_domain *route_recall_domain(route_recollection *last)
{
    char sender[ROUTE_MAX_SENDER + 1];
    uint16_t length;

    if (last->asked)
        return last->conversation.domain;
    last->asked = true;
    last->conversation = (route_conversation){NULL, ROUTE_LEGACY};
    length = copy_sender(last, sender);
    if (length > 0)
        last->conversation = last->memory->recall(last->memory->context, sender, length);
    say_conversation(last);
    return last->conversation.domain;
}

bool route_is_kept(route_recollection *last, const route_domain *domain)
{
    return last->memory != NULL && last->memory->keeps_sides &&
           last->item->kind == ROUTE_ITEM_MESSAGE && route_recall_domain(last) == domain &&
           last->conversation.side == ROUTE_UNIFIED;
}

void route_remember(const route_recollection *last, const route_decision *decision)
{
    char sender[ROUTE_MAX_SENDER + 1];
    uint16_t length;

    if (decision->domain == NULL || last->item->kind != ROUTE_ITEM_MESSAGE)
        return;
    length = copy_sender(last, sender);
    if (length > 0)
        last->memory->remember(last->memory->context, sender, length, decision);
}
