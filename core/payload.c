/* SPDX-License-Identifier: PostgreSQL
 *
 * payload.c: JSON -> the items of a WhatsApp webhook.
 *
 * An object is read in one walk over its keys, in whatever order they come; of a key that comes
 * twice the last value counts, and a key written with escapes is the key it spells (as jsonb has
 * it). The envelope is Meta's: object, entry[].changes[].value with messages[], statuses[] and
 * contacts[]. Nothing is stored per item: a webhook of any size is read in constant memory.
 */
#include "payload.h"
#include "text.h"

#include <string.h>

#define ENVELOPE "whatsapp_business_account"
#define MESSAGES_FIELD "messages"

/* ---------------------------------------------------------------------------------------------
 * Objects
 * ------------------------------------------------------------------------------------------ */

static const route_value absent;

static inline route_key key_of_bytes(const uint8_t *bytes, size_t length)
{
#define X(constant, name)                                                                          \
    if (memcmp(bytes, name, sizeof(name) - 1) == 0)                                                \
        return ROUTE_KEY_##constant;
    switch (length)
    {
    case 2:
        ROUTE_KEYS_2(X)
        break;
    case 4:
        ROUTE_KEYS_4(X)
        break;
    case 5:
        ROUTE_KEYS_5(X)
        break;
    case 6:
        ROUTE_KEYS_6(X)
        break;
    case 7:
        ROUTE_KEYS_7(X)
        break;
    case 8:
        ROUTE_KEYS_8(X)
        break;
    case 9:
        ROUTE_KEYS_9(X)
        break;
    case 10:
        ROUTE_KEYS_10(X)
        break;
    case 11:
        ROUTE_KEYS_11(X)
        break;
    case 12:
        ROUTE_KEYS_12(X)
        break;
    default:
        break;
    }
#undef X
    return ROUTE_KEY_OTHER;
}

/* Which key a string value spells. */
static inline route_key key_of(const route_document *document, route_value string)
{
    const uint8_t *begin = route_string_begin(document, string);
    char decoded[16];

    if (!string.escaped)
        return key_of_bytes(begin, (size_t) (route_string_end(document, string) - begin));
    /* Longer than any known key, thus cut, it still is unlike any. */
    return key_of_bytes((const uint8_t *) decoded,
                        route_copy_string(document, string, decoded, sizeof(decoded) - 1));
}

/* Reads the object at the cursor and leaves the cursor behind it. */
static inline void walk_members(const route_document *document, route_cursor *cursor,
                                route_members *members)
{
    uint64_t found = 0;

    if (route_enter(cursor))
        do
        {
            route_key key = key_of(document, route_read_string(document, cursor));
            route_value value;

            route_pass_colon(cursor);
            value = route_read_value(document, cursor);
            members->values[key] = value; /* those of other keys share one place */
            found |= UINT64_C(1) << key;
        } while (route_advance(cursor));
    members->found = found;
}

/* The members of an object that was passed before; none of what is no object. */
static void read_members(const route_document *document, route_value object, route_members *members)
{
    route_cursor cursor = route_return_to(document, object);

    if (route_is_object(document, object))
        walk_members(document, &cursor, members);
    else
        members->found = 0;
}

/* Reads the next element of an array, its members too when it is an object, in one walk. */
static inline bool next_element(const route_document *document, route_cursor *cursor,
                                route_value *element, route_members *members)
{
    if (cursor->at == NULL)
        return false;
    if (*cursor->at != '{')
    {
        *element = route_read_value(document, cursor);
        members->found = 0;
    }
    else
    {
        *element = (route_value){.start = (uint32_t) (cursor->at - document->text),
                                 .landmark = cursor->landmark};
        walk_members(document, cursor, members);
        element->end = (uint32_t) (cursor->at - document->text);
    }
    if (!route_advance(cursor))
        cursor->at = NULL;
    return true;
}

/* The cursor at an array's first element. */
static route_cursor enter_array(const route_document *document, route_value array)
{
    route_cursor cursor = route_return_to(document, array);

    if (!route_is_array(document, array) || !route_enter(&cursor))
        cursor.at = NULL;
    return cursor;
}

static inline route_value member(const route_members *members, route_key key)
{
    return members->found >> key & 1 ? members->values[key] : absent;
}

/* The member when it is a filled string, else absent. */
static inline route_value string_member(const route_document *document,
                                        const route_members *members, route_key key)
{
    route_value value = member(members, key);

    return route_is_filled_string(document, value) ? value : absent;
}

static inline route_value first_of(route_value preferred, route_value otherwise)
{
    return route_is_absent(preferred) ? otherwise : preferred;
}

static inline route_range range_of(route_value value)
{
    return (route_range){value.start, value.end};
}

/* ---------------------------------------------------------------------------------------------
 * People
 * ------------------------------------------------------------------------------------------ */

/* Reads the contact of the change when there is exactly one: with more, nobody knows whose item it
 * is. */
static void read_contact(route_webhook *webhook)
{
    const route_document *document = &webhook->document;
    route_cursor cursor = enter_array(document, webhook->contacts);
    route_value contact;

    webhook->contact_known = true;
    if (!next_element(document, &cursor, &contact, &webhook->contact) || cursor.at != NULL)
        webhook->contact.found = 0;
}

/* Takes the first of the keys that holds a filled string for the sender key. */
static bool take_sender(const route_document *document, const route_members *members,
                        const route_key *keys, size_t count, route_item *item)
{
    for (size_t i = 0; i < count && route_is_absent(item->sender); i++)
    {
        item->sender = string_member(document, members, keys[i]);
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

static void clear_item(route_item *item, route_item_kind kind, route_value whole)
{
    item->kind = kind;
    item->readability = ROUTE_READABLE;
    item->range = range_of(whole);
    item->sender_source = ROUTE_KEY_OTHER;
    item->sender = item->from = item->id = item->type = absent;
}

/* `message` has been read into item->message. */
static void read_message(route_webhook *webhook, route_value message, route_item *item)
{
    const route_document *document = &webhook->document;
    const route_members *members = &item->message;

    clear_item(item, ROUTE_ITEM_MESSAGE, message);
    item->id = string_member(document, members, ROUTE_KEY_ID);
    item->type = string_member(document, members, ROUTE_KEY_TYPE);
    if (!TAKE_SENDER(document, members, item, ROUTE_KEY_FROM_USER_ID, ROUTE_KEY_FROM))
        take_sender_from_contact(webhook, item);
    item->from = first_of(string_member(document, members, ROUTE_KEY_FROM), item->sender);
}

/* `status` has been read into item->message. */
static void read_status(route_webhook *webhook, route_value status, route_item *item)
{
    const route_document *document = &webhook->document;
    const route_members *members = &item->message;

    clear_item(item, ROUTE_ITEM_STATUS, status);
    item->id = string_member(document, members, ROUTE_KEY_ID);
    item->type = string_member(document, members, ROUTE_KEY_STATUS);
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
        route_cursor cursor = enter_array(document, member(value, lists[i]));
        route_value first;

        if (next_element(document, &cursor, &first, party))
            return;
    }
    party->found = 0;
}

/* A change without messages and statuses, with the members of its value. */
static void read_other_field(route_webhook *webhook, route_value change, const route_members *value,
                             route_item *item)
{
    const route_document *document = &webhook->document;
    route_members party;

    clear_item(item, ROUTE_ITEM_OTHER_FIELD, change);
    item->type = webhook->field;
    read_party(document, value, &party);
    item->id = string_member(document, &party, ROUTE_KEY_ID);
    if (!TAKE_SENDER(document, &party, item, ROUTE_KEY_FROM_USER_ID, ROUTE_KEY_FROM,
                     ROUTE_KEY_RECIPIENT_ID))
        take_sender_from_contact(webhook, item);
    item->from =
        first_of(string_member(document, &party, ROUTE_KEY_FROM),
                 first_of(string_member(document, &party, ROUTE_KEY_RECIPIENT_ID), item->sender));
}

/* The older form {from, type, message: {id, text, interactive, ...}}: one message. */
static void read_flat_message(const route_document *document, route_item *item)
{
    route_value root = route_root(document);
    route_members outer;
    const route_members *inner = &item->message;

    clear_item(item, ROUTE_ITEM_MESSAGE, root);
    read_members(document, root, &outer);
    read_members(document, member(&outer, ROUTE_KEY_MESSAGE), &item->message);
    item->id = first_of(string_member(document, inner, ROUTE_KEY_ID),
                        string_member(document, &outer, ROUTE_KEY_ID));
    item->type = first_of(string_member(document, &outer, ROUTE_KEY_TYPE),
                          string_member(document, inner, ROUTE_KEY_TYPE));
    if (!TAKE_SENDER(document, &outer, item, ROUTE_KEY_FROM_USER_ID, ROUTE_KEY_FROM))
        TAKE_SENDER(document, inner, item, ROUTE_KEY_FROM_USER_ID, ROUTE_KEY_FROM);
    item->from = first_of(first_of(string_member(document, &outer, ROUTE_KEY_FROM),
                                   string_member(document, inner, ROUTE_KEY_FROM)),
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

    read_members(document, route_root(document), &root);
    object = member(&root, ROUTE_KEY_OBJECT);
    webhook->readability = ROUTE_READABLE;
    if (route_is_string(document, object))
    {
        if (!route_string_equals(document, object, ENVELOPE, sizeof(ENVELOPE) - 1))
            webhook->readability = ROUTE_FOREIGN;
        else
        {
            webhook->position = ROUTE_AT_ENTRIES;
            webhook->entries = enter_array(document, member(&root, ROUTE_KEY_ENTRY));
        }
    }
    else if (!route_is_object(document, member(&root, ROUTE_KEY_MESSAGE)))
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
static bool next_change(route_webhook *webhook, route_value *change, route_members *members)
{
    const route_document *document = &webhook->document;
    route_value entry;

    while (!next_element(document, &webhook->changes, change, members))
    {
        if (!next_element(document, &webhook->entries, &entry, members))
            return false;
        webhook->changes = enter_array(document, member(members, ROUTE_KEY_CHANGES));
    }
    return true;
}

/* Opens a change: positions at its messages and statuses, or fills *item when it has neither. */
static bool open_change(route_webhook *webhook, route_value change, const route_members *outer,
                        route_item *item)
{
    const route_document *document = &webhook->document;
    route_value field = member(outer, ROUTE_KEY_FIELD);
    route_members members;

    webhook->field = route_is_filled_string(document, field) ? field : absent;
    read_members(document, member(outer, ROUTE_KEY_VALUE), &members);
    webhook->contacts = member(&members, ROUTE_KEY_CONTACTS);
    webhook->contact_known = false;
    webhook->messages.at = NULL;
    webhook->statuses.at = NULL;
    if (!route_is_string(document, field) ||
        route_string_equals(document, field, MESSAGES_FIELD, sizeof(MESSAGES_FIELD) - 1))
    {
        webhook->messages = enter_array(document, member(&members, ROUTE_KEY_MESSAGES));
        webhook->statuses = enter_array(document, member(&members, ROUTE_KEY_STATUSES));
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
    clear_item(item, ROUTE_ITEM_UNREADABLE, absent);
    item->readability = webhook->readability;
}

/* One step; false when it led to no item but the walk may go on. */
static bool step(route_webhook *webhook, route_item *item)
{
    route_value value;

    switch (webhook->position)
    {
    case ROUTE_AT_SINGLE:
        read_single(webhook, item);
        webhook->position = ROUTE_AT_END;
        return true;
    case ROUTE_AT_ENTRIES:
        if (next_change(webhook, &value, &item->message))
            return open_change(webhook, value, &item->message, item);
        webhook->position = ROUTE_AT_END;
        clear_item(item, ROUTE_ITEM_OTHER_FIELD, absent);
        return !webhook->any_item; /* an envelope without changes is one item all the same */
    case ROUTE_AT_MESSAGES:
        if (next_element(&webhook->document, &webhook->messages, &value, &item->message))
        {
            read_message(webhook, value, item);
            return true;
        }
        webhook->position = ROUTE_AT_STATUSES;
        return false;
    case ROUTE_AT_STATUSES:
        if (next_element(&webhook->document, &webhook->statuses, &value, &item->message))
        {
            read_status(webhook, value, item);
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

/* ---------------------------------------------------------------------------------------------
 * What a message says
 * ------------------------------------------------------------------------------------------ */

/* A message type and how its text is read; `inside` is the object named like the type. */
typedef void read_text(const route_document *document, route_value inside,
                       route_message_text *text);

static void add_text(const route_document *document, const route_members *members, route_key key,
                     route_message_text *text)
{
    route_value value = string_member(document, members, key);

    if (!route_is_absent(value) && text->count < ROUTE_MAX_TEXTS)
        text->texts[text->count++] = value;
}

static void read_body(const route_document *document, route_value inside, route_message_text *text)
{
    route_members members;

    read_members(document, inside, &members);
    add_text(document, &members, ROUTE_KEY_BODY, text);
}

static void read_caption(const route_document *document, route_value inside,
                         route_message_text *text)
{
    route_members members;

    read_members(document, inside, &members);
    add_text(document, &members, ROUTE_KEY_CAPTION, text);
}

static void read_location(const route_document *document, route_value inside,
                          route_message_text *text)
{
    route_members members;

    read_members(document, inside, &members);
    add_text(document, &members, ROUTE_KEY_NAME, text);
    add_text(document, &members, ROUTE_KEY_ADDRESS, text);
}

static void read_order(const route_document *document, route_value inside, route_message_text *text)
{
    route_members members;

    read_members(document, inside, &members);
    add_text(document, &members, ROUTE_KEY_TEXT, text);
}

static void read_button(const route_document *document, route_value inside,
                        route_message_text *text)
{
    route_members members;

    read_members(document, inside, &members);
    text->button = first_of(text->button, string_member(document, &members, ROUTE_KEY_PAYLOAD));
    add_text(document, &members, ROUTE_KEY_TEXT, text);
}

static void read_reply(const route_document *document, route_value inside, route_message_text *text)
{
    route_members members;

    read_members(document, inside, &members);
    text->button = first_of(text->button, string_member(document, &members, ROUTE_KEY_ID));
    add_text(document, &members, ROUTE_KEY_TITLE, text);
    add_text(document, &members, ROUTE_KEY_DESCRIPTION, text);
}

/* Calls the reader of the object that `type` names, or without a type those of all objects that
 * are there. */
typedef struct typed_reader
{
    route_key key;
    read_text *read;
} typed_reader;

static void read_by_type(const route_document *document, const route_members *members,
                         route_value type, const typed_reader *readers, size_t count,
                         route_message_text *text)
{
    route_key key = route_is_absent(type) ? ROUTE_KEY_OTHER : key_of(document, type);

    for (size_t i = 0; i < count; i++)
        if (route_is_absent(type) || readers[i].key == key)
            readers[i].read(document, member(members, readers[i].key), text);
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* {type: "button_reply", button_reply: {...}}; the flat form has no type here. */
static void read_interactive(const route_document *document, route_value inside,
                             route_message_text *text)
{
    static const typed_reader readers[] = {
        {ROUTE_KEY_BUTTON_REPLY, read_reply},
        {ROUTE_KEY_LIST_REPLY, read_reply},
        {ROUTE_KEY_NFM_REPLY, read_body},
    };
    route_members members;

    read_members(document, inside, &members);
    read_by_type(document, &members, string_member(document, &members, ROUTE_KEY_TYPE), readers,
                 COUNT_OF(readers), text);
}

/* {message: {type: "image", image: {caption}}}: the text as it reads now. */
static void read_edit(const route_document *document, route_value inside, route_message_text *text)
{
    static const typed_reader readers[] = {
        {ROUTE_KEY_TEXT, read_body},
        {ROUTE_KEY_IMAGE, read_caption},
        {ROUTE_KEY_VIDEO, read_caption},
        {ROUTE_KEY_DOCUMENT, read_caption},
    };
    route_members members;

    read_members(document, inside, &members);
    read_members(document, member(&members, ROUTE_KEY_MESSAGE), &members);
    read_by_type(document, &members, string_member(document, &members, ROUTE_KEY_TYPE), readers,
                 COUNT_OF(readers), text);
}

void route_item_read_text(const route_document *document, const route_item *item,
                          route_message_text *text)
{
    /* A type that is not here has no text to match: reaction, audio, sticker, contacts, ... */
    static const typed_reader readers[] = {
        {ROUTE_KEY_TEXT, read_body},         {ROUTE_KEY_INTERACTIVE, read_interactive},
        {ROUTE_KEY_BUTTON, read_button},     {ROUTE_KEY_IMAGE, read_caption},
        {ROUTE_KEY_VIDEO, read_caption},     {ROUTE_KEY_DOCUMENT, read_caption},
        {ROUTE_KEY_LOCATION, read_location}, {ROUTE_KEY_ORDER, read_order},
        {ROUTE_KEY_SYSTEM, read_body},       {ROUTE_KEY_EDIT, read_edit},
    };
    text->button = absent;
    text->count = 0;
    read_by_type(document, &item->message, item->type, readers, COUNT_OF(readers), text);
}
