/* SPDX-License-Identifier: PostgreSQL
 *
 * message.c: a message -> what its sender says in it: the id of a button, and texts.
 *
 * Where each type keeps its text is Meta's doing; the reader of each type is below, and the tables
 * say which types there are. Whatever others wrote (referral, context) is in none of them.
 */
#include "message.h"
#include "count_of.h"

/* Reads the text of one message type; `inside` is the object named like the type. */
typedef void read_text(const route_document *document, route_value inside,
                       route_message_text *text);

static void add_text(const route_document *document, const route_members *members, route_key key,
                     route_message_text *text)
{
    route_value value = route_string_member(document, members, key);

    if (!route_is_absent(value) && text->count < ROUTE_MAX_TEXTS)
        text->texts[text->count++] = value;
}

static void read_body(const route_document *document, route_value inside, route_message_text *text)
{
    route_members members;

    route_read_members(document, inside, &members);
    add_text(document, &members, ROUTE_KEY_BODY, text);
}

static void read_caption(const route_document *document, route_value inside,
                         route_message_text *text)
{
    route_members members;

    route_read_members(document, inside, &members);
    add_text(document, &members, ROUTE_KEY_CAPTION, text);
}

static void read_location(const route_document *document, route_value inside,
                          route_message_text *text)
{
    route_members members;

    route_read_members(document, inside, &members);
    add_text(document, &members, ROUTE_KEY_NAME, text);
    add_text(document, &members, ROUTE_KEY_ADDRESS, text);
}

static void read_order(const route_document *document, route_value inside, route_message_text *text)
{
    route_members members;

    route_read_members(document, inside, &members);
    add_text(document, &members, ROUTE_KEY_TEXT, text);
}

static void read_button(const route_document *document, route_value inside,
                        route_message_text *text)
{
    route_members members;

    route_read_members(document, inside, &members);
    text->button =
        route_first_of(text->button, route_string_member(document, &members, ROUTE_KEY_PAYLOAD));
    add_text(document, &members, ROUTE_KEY_TEXT, text);
}

static void read_reply(const route_document *document, route_value inside, route_message_text *text)
{
    route_members members;

    route_read_members(document, inside, &members);
    text->button =
        route_first_of(text->button, route_string_member(document, &members, ROUTE_KEY_ID));
    add_text(document, &members, ROUTE_KEY_TITLE, text);
    add_text(document, &members, ROUTE_KEY_DESCRIPTION, text);
}

/* A message type and how its text is read. */
typedef struct typed_reader
{
    route_key key;
    read_text *read;
} typed_reader;

/* Calls the reader of the object that `type` names, or without a type those of all objects that
 * are there. */
static void read_by_type(const route_document *document, const route_members *members,
                         route_value type, const typed_reader *readers, size_t count,
                         route_message_text *text)
{
    route_key key = route_is_absent(type) ? ROUTE_KEY_OTHER : route_key_of(document, type);

    for (size_t i = 0; i < count; i++)
        if (route_is_absent(type) || readers[i].key == key)
            readers[i].read(document, route_member(members, readers[i].key), text);
}

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

    route_read_members(document, inside, &members);
    read_by_type(document, &members, route_string_member(document, &members, ROUTE_KEY_TYPE),
                 readers, ROUTE_COUNT_OF(readers), text);
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

    route_read_members(document, inside, &members);
    route_read_members(document, route_member(&members, ROUTE_KEY_MESSAGE), &members);
    read_by_type(document, &members, route_string_member(document, &members, ROUTE_KEY_TYPE),
                 readers, ROUTE_COUNT_OF(readers), text);
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
    text->button = route_no_value;
    text->count = 0;
    read_by_type(document, &item->message, item->type, readers, ROUTE_COUNT_OF(readers), text);
}
