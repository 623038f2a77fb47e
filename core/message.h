/* SPDX-License-Identifier: PostgreSQL
 *
 * message.h: what a message says.
 */
#ifndef ROUTE_MESSAGE_H
#define ROUTE_MESSAGE_H

#include "payload.h"

/* Most texts of one message that are looked at. */
#define ROUTE_MAX_TEXTS 32

/* What a message says, as string values. */
typedef struct route_message_text
{
    route_value button; /* id of the button that was pressed; absent: none */
    size_t count;
    route_value texts[ROUTE_MAX_TEXTS];
} route_message_text;

/* Collects what a message item says. */
void route_item_read_text(const route_document *document, const route_item *item,
                          route_message_text *text);

#endif
