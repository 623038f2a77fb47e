/* SPDX-License-Identifier: PostgreSQL
 *
 * payload.c: JSON -> the items of a WhatsApp webhook.
 *
 * The envelope is Meta's: object, entry[].changes[].value with messages[], statuses[] and
 * contacts[]. Nothing is stored per item: a webhook of any size is read in constant memory.
 */
#include "payload.h"
#include "text.h"

#define ENVELOPE "whatsapp_business_account"
#define MESSAGES_FIELD "messages"

static const route_range nowhere;

/* ---------------------------------------------------------------------------------------------
 * People
 * ------------------------------------------------------------------------------------------ */

/* Reads the contact of the change when there is exactly one: with more, nobody knows whose item it
 * is. */
static void read_contact(route_webhook *webhook)
{
    const route_document *document = &webhook->document;
    route_cursor cursor = route_enter_array(document, webhook->contacts);
    route_range range;

    webhook->contact_known = true;
    if (!route_next_element(document, &cursor, &range, &webhook->contact) || cursor.at != NULL)
        webhook->contact.found = 0;
}

/* Takes the first of the keys that holds a filled string for the sender key. */
static bool take_sender(const route_document *document, const route_members *members,
                        const route_key *keys, size_t count, route_item *item)
{
    for (size_t i = 0; i < count && route_is_absent(item->sender); i++)
    {
        item->sender = route_string_member(document, members, keys[i]);
        item->sender_source = keys[i];
    }
    return !route_is_absent(item->sender);
}

#define TAKE_SENDER(document, members, item, ...)                                                  \
    take_sender((document), (members), (const route_key[]){__VA_ARGS__},                           \
                sizeof((const route_key[]){__VA_ARGS__}) / sizeof(route_key), (item))

/* When the item itself names nobody. */
static void take_sender_from_contact(route_webhook *webhook, route_item *item)
{
    if (!webhook->contact_known)
        read_contact(webhook);
    TAKE_SENDER(&webhook->document, &webhook->contact, item, ROUTE_KEY_USER_ID, ROUTE_KEY_WA_ID);
}

/* ---------------------------------------------------------------------------------------------
 * Items
 * ------------------------------------------------------------------------------------------ */

static void clear_item(route_item *item, route_item_kind kind, route_range range)
{
    item->kind = kind;
    item->readability = ROUTE_READABLE;
    item->range = range;
    item->sender_source = ROUTE_KEY_OTHER;
    item->sender = item->from = item->id = item->type = route_no_value;
}

/* The message has been read into item->message. */
static void read_message(route_webhook *webhook, route_range range, route_item *item)
{
    const route_document *document = &webhook->document;
    const route_members *members = &item->message;

    clear_item(item, ROUTE_ITEM_MESSAGE, range);
    item->id = route_string_member(document, members, ROUTE_KEY_ID);
    item->type = route_string_member(document, members, ROUTE_KEY_TYPE);
    if (!TAKE_SENDER(document, members, item, ROUTE_KEY_FROM_USER_ID, ROUTE_KEY_FROM))
        take_sender_from_contact(webhook, item);
    item->from =
        route_first_of(route_string_member(document, members, ROUTE_KEY_FROM), item->sender);
}

/* The status has been read into item->message. */
static void read_status(route_webhook *webhook, route_range range, route_item *item)
{
    const route_document *document = &webhook->document;
    const route_members *members = &item->message;

    clear_item(item, ROUTE_ITEM_STATUS, range);
    item->id = route_string_member(document, members, ROUTE_KEY_ID);
    item->type = route_string_member(document, members, ROUTE_KEY_STATUS);
    if (!TAKE_SENDER(document, members, item, ROUTE_KEY_RECIPIENT_ID))
        take_sender_from_contact(webhook, item);
    item->from = item->sender;
}

/* Reads who an other change is about: the first element of calls[], else of statuses[]. */
static void read_party(const route_document *document, const route_members *value,
                       route_members *party)
{
    static const route_key lists[] = {ROUTE_KEY_CALLS, ROUTE_KEY_STATUSES};

    for (size_t i = 0; i < 2; i++)
    {
        route_cursor cursor = route_enter_array(document, route_member(value, lists[i]));
        route_range range;

        if (route_next_element(document, &cursor, &range, party))
            return;
    }
    party->found = 0;
}

/* A change without messages and statuses, with the members of its value. */
static void read_other_field(route_webhook *webhook, route_range change, const route_members *value,
                             route_item *item)
{
    const route_document *document = &webhook->document;
    route_members party;

    clear_item(item, ROUTE_ITEM_OTHER_FIELD, change);
    item->type = webhook->field;
    read_party(document, value, &party);
    item->id = route_string_member(document, &party, ROUTE_KEY_ID);
    if (!TAKE_SENDER(document, &party, item, ROUTE_KEY_FROM_USER_ID, ROUTE_KEY_FROM,
                     ROUTE_KEY_RECIPIENT_ID))
        take_sender_from_contact(webhook, item);
    item->from =
        route_first_of(route_string_member(document, &party, ROUTE_KEY_FROM),
                       route_first_of(route_string_member(document, &party, ROUTE_KEY_RECIPIENT_ID),
                                      item->sender));
}

/* The older form {from, type, message: {id, text, interactive, ...}}: one message. */
static void read_flat_message(const route_document *document, route_item *item)
{
    route_value root = route_root(document);
    route_members outer;
    const route_members *inner = &item->message;

    clear_item(item, ROUTE_ITEM_MESSAGE, (route_range){document->root, document->landmarks[0].end});
    route_read_members(document, root, &outer);
    route_read_members(document, route_member(&outer, ROUTE_KEY_MESSAGE), &item->message);
    item->id = route_first_of(route_string_member(document, inner, ROUTE_KEY_ID),
                              route_string_member(document, &outer, ROUTE_KEY_ID));
    item->type = route_first_of(route_string_member(document, &outer, ROUTE_KEY_TYPE),
                                route_string_member(document, inner, ROUTE_KEY_TYPE));
    if (!TAKE_SENDER(document, &outer, item, ROUTE_KEY_FROM_USER_ID, ROUTE_KEY_FROM))
        TAKE_SENDER(document, inner, item, ROUTE_KEY_FROM_USER_ID, ROUTE_KEY_FROM);
    item->from =
        route_first_of(route_first_of(route_string_member(document, &outer, ROUTE_KEY_FROM),
                                      route_string_member(document, inner, ROUTE_KEY_FROM)),
                       item->sender);
}

/* ---------------------------------------------------------------------------------------------
 * The walk
 * ------------------------------------------------------------------------------------------ */

/* What the outermost object is, and for an envelope the cursor of its entries. */
static void read_root(route_webhook *webhook)
{
    const route_document *document = &webhook->document;
    route_members root;
    route_value object;

    route_read_members(document, route_root(document), &root);
    object = route_member(&root, ROUTE_KEY_OBJECT);
    webhook->readability = ROUTE_READABLE;
    if (route_is_string(document, object))
    {
        if (!route_string_equals(document, object, ENVELOPE, sizeof(ENVELOPE) - 1))
            webhook->readability = ROUTE_FOREIGN;
        else
        {
            webhook->position = ROUTE_AT_ENTRIES;
            webhook->entries = route_enter_array(document, route_member(&root, ROUTE_KEY_ENTRY));
        }
    }
    else if (!route_is_object(document, route_member(&root, ROUTE_KEY_MESSAGE)))
        webhook->readability = ROUTE_FOREIGN;
}

void route_webhook_open(route_webhook *webhook, const void *payload, size_t length)
{
    webhook->position = ROUTE_AT_SINGLE;
    webhook->readability = ROUTE_MALFORMED;
    webhook->any_item = false;
    webhook->changes.at = NULL;
    if (route_scan(&webhook->document, payload, length))
        read_root(webhook);
}

/* Next element of any entry's changes[], with its members. */
static bool next_change(route_webhook *webhook, route_range *change, route_members *members)
{
    const route_document *document = &webhook->document;
    route_range entry;

    while (!route_next_element(document, &webhook->changes, change, members))
    {
        if (!route_next_element(document, &webhook->entries, &entry, members))
            return false;
        webhook->changes = route_enter_array(document, route_member(members, ROUTE_KEY_CHANGES));
    }
    return true;
}

/* Opens a change: positions at its messages and statuses, or fills *item when it has neither. */
static bool open_change(route_webhook *webhook, route_range change, const route_members *outer,
                        route_item *item)
{
    const route_document *document = &webhook->document;
    route_value field = route_member(outer, ROUTE_KEY_FIELD);
    route_members members;

    webhook->field = route_is_filled_string(document, field) ? field : route_no_value;
    route_read_members(document, route_member(outer, ROUTE_KEY_VALUE), &members);
    webhook->contacts = route_member(&members, ROUTE_KEY_CONTACTS);
    webhook->contact_known = false;
    webhook->messages.at = NULL;
    webhook->statuses.at = NULL;
    if (!route_is_string(document, field) ||
        route_string_equals(document, field, MESSAGES_FIELD, sizeof(MESSAGES_FIELD) - 1))
    {
        webhook->messages = route_enter_array(document, route_member(&members, ROUTE_KEY_MESSAGES));
        webhook->statuses = route_enter_array(document, route_member(&members, ROUTE_KEY_STATUSES));
    }
    webhook->position = ROUTE_AT_MESSAGES;
    if (webhook->messages.at != NULL || webhook->statuses.at != NULL)
        return false;
    read_other_field(webhook, change, &members, item);
    return true;
}

/* The only item of a body that is no envelope. */
static void read_single(const route_webhook *webhook, route_item *item)
{
    if (webhook->readability == ROUTE_READABLE)
    {
        read_flat_message(&webhook->document, item);
        return;
    }
    clear_item(item, ROUTE_ITEM_UNREADABLE, nowhere);
    item->readability = webhook->readability;
}

/* One step; false when it led to no item but the walk may go on. */
static bool step(route_webhook *webhook, route_item *item)
{
    route_range range;

    switch (webhook->position)
    {
    case ROUTE_AT_SINGLE:
        read_single(webhook, item);
        webhook->position = ROUTE_AT_END;
        return true;
    case ROUTE_AT_ENTRIES:
        if (next_change(webhook, &range, &item->message))
            return open_change(webhook, range, &item->message, item);
        webhook->position = ROUTE_AT_END;
        clear_item(item, ROUTE_ITEM_OTHER_FIELD, nowhere);
        return !webhook->any_item; /* an envelope without changes is one item all the same */
    case ROUTE_AT_MESSAGES:
        if (route_next_element(&webhook->document, &webhook->messages, &range, &item->message))
        {
            read_message(webhook, range, item);
            return true;
        }
        webhook->position = ROUTE_AT_STATUSES;
        return false;
    case ROUTE_AT_STATUSES:
        if (route_next_element(&webhook->document, &webhook->statuses, &range, &item->message))
        {
            read_status(webhook, range, item);
            return true;
        }
        webhook->position = ROUTE_AT_ENTRIES;
        return false;
    default:
        return false;
    }
}

bool route_webhook_next(route_webhook *webhook, route_item *item)
{
    while (webhook->position != ROUTE_AT_END)
        if (step(webhook, item))
        {
            webhook->any_item = true;
            return true;
        }
    return false;
}
