/* SPDX-License-Identifier: PostgreSQL
 *
 * payload.h: what the bytes of a webhook mean.
 *
 *     route_webhook webhook;
 *     route_item item;
 *
 *     route_webhook_open(&webhook, payload, length);
 *     while (route_webhook_next(&webhook, &item))
 *         ...
 *
 * There is always at least one item. Whatever has another type than it should have counts as
 * absent.
 */
#ifndef ROUTE_PAYLOAD_H
#define ROUTE_PAYLOAD_H

#include "members.h"

/* Why an item that is unreadable is so, or that it is not. */
typedef enum route_readability
{
    ROUTE_READABLE,
    ROUTE_MALFORMED,
    ROUTE_FOREIGN, /* JSON, but no webhook of WhatsApp */
} route_readability;

/* A message, status or other change. Values are absent or filled strings. */
typedef struct route_item
{
    route_item_kind kind;
    route_readability readability;
    route_range range;
    route_key sender_source; /* the key under which the sender key was found */
    route_value sender;      /* the sender key */
    route_value from;        /* what is shown as the sender's number */
    route_value id;
    route_value type;
    route_members message; /* of a message: of the object that holds its text, button and so on */
} route_item;

/* Position in a webhook. */
typedef struct route_webhook
{
    route_document document;
    enum
    {
        ROUTE_AT_SINGLE, /* one item that is no envelope: flat, foreign or malformed */
        ROUTE_AT_ENTRIES,
        ROUTE_AT_MESSAGES,
        ROUTE_AT_STATUSES,
        ROUTE_AT_END,
    } position;
    route_readability readability;
    route_cursor entries; /* of each cursor here, `at` is NULL when there is nothing more */
    route_cursor changes;
    bool any_item;
    /* Of the change that is being read. */
    route_value field;
    route_cursor messages;
    route_cursor statuses;
    route_value contacts;
    bool contact_known;
    route_members contact; /* once it is known; empty when there is not exactly one */
} route_webhook;

void route_webhook_open(route_webhook *webhook, const void *payload, size_t length);
bool route_webhook_next(route_webhook *webhook, route_item *item);

#endif
