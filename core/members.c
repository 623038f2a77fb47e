/* SPDX-License-Identifier: PostgreSQL
 *
 * members.c: JSON objects -> the members that a webhook's reader knows.
 */
#include "members.h"
#include "text.h"

#include <string.h>

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

static inline route_key key_of(const route_document *document, route_value string)
{
    const uint8_t *begin = route_string_begin(document, string);
    char decoded[20];

    if (!route_is_escaped(string))
        return key_of_bytes(begin, (size_t) (route_string_end(document, string) - begin));
    /* A longer key is cut to at least 16 bytes, thus still unlike any known one. */
    return key_of_bytes((const uint8_t *) decoded,
                        route_copy_string(document, string, decoded, sizeof(decoded) - 1));
}

route_key route_key_of(const route_document *document, route_value string)
{
    return key_of(document, string);
}

/* Reads the object at the cursor and leaves the cursor behind it. */
static inline void walk_members(const route_document *document, route_cursor *cursor,
                                route_members *members)
{
    route_cursor at = *cursor; /* which no write below can touch */
    uint64_t found = 0;

    if (route_enter(&at))
        do
        {
            route_key key = key_of(document, route_read_string(document, &at));
            route_value value;

            route_pass_colon(&at);
            value = route_read_value(document, &at);
            members->values[key] = value; /* those of other keys share one place */
            found |= UINT64_C(1) << key;
        } while (route_advance(&at));
    members->found = found;
    *cursor = at;
}

void route_read_members(const route_document *document, route_value object, route_members *members)
{
    route_cursor cursor = route_return_to(document, object);

    if (route_is_object(document, object))
        walk_members(document, &cursor, members);
    else
        members->found = 0;
}

bool route_next_element(const route_document *document, route_cursor *cursor, route_range *range,
                        route_members *members)
{
    if (cursor->at == NULL)
        return false;
    range->start = (size_t) (cursor->at - document->text);
    if (*cursor->at == '{')
        walk_members(document, cursor, members);
    else
    {
        route_read_value(document, cursor);
        members->found = 0;
    }
    range->end = (size_t) (cursor->at - document->text);
    if (!route_advance(cursor))
        cursor->at = NULL;
    return true;
}

route_cursor route_enter_array(const route_document *document, route_value array)
{
    route_cursor cursor = route_return_to(document, array);

    if (!route_is_array(document, array) || !route_enter(&cursor))
        cursor.at = NULL;
    return cursor;
}
