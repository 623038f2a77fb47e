/* SPDX-License-Identifier: PostgreSQL
 *
 * recollection.h: what a caller's memory knows of the sender of an item, and is told of him.
 */
#ifndef ROUTE_RECOLLECTION_H
#define ROUTE_RECOLLECTION_H

#include "payload.h"

/* What the memory says of an item's sender; asked once, when it counts. */
typedef struct route_recollection
{
    const route_memory *memory; /* NULL: there is none */
    const route_trace *trace;
    const route_document *document;
    const route_item *item;
    bool asked;
    route_conversation conversation; /* once it is asked */
} route_recollection;

/* The domain that the sender is in a conversation about, or NULL. There is a memory. */
const route_domain *route_recall_domain(route_recollection *last);

/* Whether the item is a message of a conversation about that domain which is kept on unified. */
bool route_is_kept(route_recollection *last, const route_domain *domain);

/* Tells the memory what was decided on the item, if it is a message with a sender and a domain. */
void route_remember(const route_recollection *last, const route_decision *decision)
    __attribute__((cold));

#endif
