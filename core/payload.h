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

#include "walk.h"

/* Every key that is read anywhere, grouped by length. */
#define ROUTE_KEYS_2(X) X(ID, "id")
#define ROUTE_KEYS_4(X)                                                                            \
    X(FROM, "from")                                                                                \
    X(TYPE, "type") X(TEXT, "text") X(BODY, "body") X(EDIT, "edit") X(NAME, "nam"                  \
                                                                            "e")
#define ROUTE_KEYS_5(X)                                                                            \
    X(ENTRY, "entry")                                                                              \
    X(VALUE, "value")                                                                              \
    X(FIELD, "field")                                                                              \
    X(TITLE, "title")                                                                              \
    X(WA_ID, "wa_id")                                                                              \
    X(IMAGE, "image")                                                                              \
    X(VIDEO, "video")                                                                              \
    X(ORDER, "order")                                                                              \
    X(CALLS, "calls")
#define ROUTE_KEYS_6(X)                                                                            \
    X(OBJECT, "object") X(STATUS, "status") X(BUTTON, "button") X(SYSTEM, "system")
#define ROUTE_KEYS_7(X)                                                                            \
    X(CHANGES, "changes")                                                                          \
    X(MESSAGE, "message")                                                                          \
    X(USER_ID, "user_id")                                                                          \
    X(PAYLOAD, "payload")                                                                          \
    X(CAPTION, "caption")                                                                          \
    X(ADDRESS, "address")
#define ROUTE_KEYS_8(X)                                                                            \
    X(MESSAGES, "messages")                                                                        \
    X(STATUSES, "statuses")                                                                        \
    X(CONTACTS, "contacts")                                                                        \
    X(LOCATION, "location")                                                                        \
    X(DOCUMENT, "document")
#define ROUTE_KEYS_9(X) X(NFM_REPLY, "nfm_reply")
#define ROUTE_KEYS_10(X) X(LIST_REPLY, "list_reply")
#define ROUTE_KEYS_11(X) X(INTERACTIVE, "interactive") X(DESCRIPTION, "description")
#define ROUTE_KEYS_12(X)                                                                           \
    X(FROM_USER_ID, "from_user_id")                                                                \
    X(RECIPIENT_ID, "recipient_id") X(BUTTON_REPLY, "button_"                                      \
                                                    "reply")
#define ROUTE_KEYS(X)                                                                              \
    ROUTE_KEYS_2(X)                                                                                \
    ROUTE_KEYS_4(X)                                                                                \
    ROUTE_KEYS_5(X)                                                                                \
    ROUTE_KEYS_6(X)                                                                                \
    ROUTE_KEYS_7(X)                                                                                \
    ROUTE_KEYS_8(X) ROUTE_KEYS_9(X) ROUTE_KEYS_10(X) ROUTE_KEYS_11(X) ROUTE_KEYS_12(X)

typedef enum route_key
{
#define X(constant, name) ROUTE_KEY_##constant,
    ROUTE_KEYS(X)
#undef X
        ROUTE_KEY_COUNT,
    ROUTE_KEY_OTHER = ROUTE_KEY_COUNT
} route_key;

/* The known members of one object: of a key that comes twice, the last value. */
typedef struct route_members
{
    uint64_t found;                          /* bit per route_key */
    route_value values[ROUTE_KEY_COUNT + 1]; /* the last place is for all other keys */
} route_members;

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

/* Most texts that one message can have. */
#define ROUTE_MAX_TEXTS 32

/* What a message says, as string values. */
typedef struct route_message_text
{
    route_value button; /* id of the button that was pressed; absent: none */
    size_t count;
    route_value texts[ROUTE_MAX_TEXTS];
} route_message_text;

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

/* Collects what a message item says. */
void route_item_read_text(const route_document *document, const route_item *item,
                          route_message_text *text);

#endif
