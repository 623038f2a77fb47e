/* SPDX-License-Identifier: PostgreSQL
 *
 * members.h: objects, read in one walk over their keys, in whatever order they come.
 *
 * Of a key that comes twice the last value counts, and a key written with escapes is the key that
 * it spells: as jsonb has both. A value of another type than it should have counts as absent.
 */
#ifndef ROUTE_MEMBERS_H
#define ROUTE_MEMBERS_H

#include <assert.h>

#include "walk.h"

/* Every key that is read anywhere, grouped by length. */
/* clang-format off */
#define ROUTE_KEYS_2(X) X(ID, "id")
#define ROUTE_KEYS_4(X) X(FROM, "from") X(TYPE, "type") X(TEXT, "text") X(BODY, "body") \
    X(EDIT, "edit") X(NAME, "name")
#define ROUTE_KEYS_5(X) X(ENTRY, "entry") X(VALUE, "value") X(FIELD, "field") X(TITLE, "title") \
    X(WA_ID, "wa_id") X(IMAGE, "image") X(VIDEO, "video") X(ORDER, "order") X(CALLS, "calls")
#define ROUTE_KEYS_6(X) X(OBJECT, "object") X(STATUS, "status") X(BUTTON, "button") \
    X(SYSTEM, "system")
#define ROUTE_KEYS_7(X) X(CHANGES, "changes") X(MESSAGE, "message") X(USER_ID, "user_id") \
    X(PAYLOAD, "payload") X(CAPTION, "caption") X(ADDRESS, "address")
#define ROUTE_KEYS_8(X) X(MESSAGES, "messages") X(STATUSES, "statuses") X(CONTACTS, "contacts") \
    X(LOCATION, "location") X(DOCUMENT, "document")
#define ROUTE_KEYS_9(X) X(NFM_REPLY, "nfm_reply")
#define ROUTE_KEYS_10(X) X(LIST_REPLY, "list_reply")
#define ROUTE_KEYS_11(X) X(INTERACTIVE, "interactive") X(DESCRIPTION, "description")
#define ROUTE_KEYS_12(X) X(FROM_USER_ID, "from_user_id") X(RECIPIENT_ID, "recipient_id") \
    X(BUTTON_REPLY, "button_reply")
#define ROUTE_KEYS(X) ROUTE_KEYS_2(X) ROUTE_KEYS_4(X) ROUTE_KEYS_5(X) ROUTE_KEYS_6(X) \
    ROUTE_KEYS_7(X) ROUTE_KEYS_8(X) ROUTE_KEYS_9(X) ROUTE_KEYS_10(X) ROUTE_KEYS_11(X) \
    ROUTE_KEYS_12(X)
/* clang-format on */

typedef enum route_key
{
#define X(constant, name) ROUTE_KEY_##constant,
    ROUTE_KEYS(X)
#undef X
        ROUTE_KEY_COUNT,
    ROUTE_KEY_OTHER = ROUTE_KEY_COUNT
} route_key;

/* So that `found` below has a bit for each of them and for ROUTE_KEY_OTHER. */
static_assert(ROUTE_KEY_COUNT < 64, "a set of keys must fit into 64 bits");

/* The known members of one object: of a key that comes twice, the last value. */
typedef struct route_members
{
    uint64_t found;                          /* bit per route_key */
    route_value values[ROUTE_KEY_COUNT + 1]; /* the last place is for all other keys */
} route_members;

/* Which key a string spells. */
route_key route_key_of(const route_document *document, route_value string);

/* The members of an object that was passed before; none of what is no object. */
void route_read_members(const route_document *document, route_value object, route_members *members);

/* The cursor at an array's first element; `at` is NULL when there is none. */
route_cursor route_enter_array(const route_document *document, route_value array);

/* Reads the next element of an array, where it is and its members when it is an object, in one
 * walk. The cursor's `at` becomes NULL behind the last. */
bool route_next_element(const route_document *document, route_cursor *cursor, route_range *range,
                        route_members *members);

static inline route_value route_member(const route_members *members, route_key key)
{
    return members->found >> key & 1 ? members->values[key] : route_no_value;
}

/* The member when it is a filled string, else absent. */
static inline route_value route_string_member(const route_document *document,
                                              const route_members *members, route_key key)
{
    route_value value = route_member(members, key);

    return route_is_filled_string(document, value) ? value : route_no_value;
}

static inline route_value route_first_of(route_value preferred, route_value otherwise)
{
    return route_is_absent(preferred) ? otherwise : preferred;
}

#endif
