/* SPDX-License-Identifier: PostgreSQL
 *
 * text.h: the engine's texts (route_text: bytes without a NUL; data NULL: absent) beside C's
 * strings.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "route.h"

/* The text of a string, which it points into; NULL: absent. */
static inline route_text text_of(const char *string)
{
    return (route_text){string, string == NULL ? 0 : strlen(string)};
}

/* Whether both are absent, or hold the same bytes. */
static inline bool text_same(route_text text, route_text other)
{
    return (text.data == NULL) == (other.data == NULL) && text.length == other.length &&
           (text.length == 0 || memcmp(text.data, other.data, text.length) == 0);
}

/* The same of a text and a string, which may be NULL. */
static inline bool text_is(route_text text, const char *string)
{
    return text_same(text, text_of(string));
}

/* Copies a text and a NUL to *at, where there is room, and moves *at behind them; returns where it
 * begins now. An absent one stays NULL and takes no room. */
static inline const char *text_place(char **at, route_text text)
{
    char *place = *at;

    if (text.data == NULL)
        return NULL;
    memcpy(place, text.data, text.length);
    place[text.length] = '\0';
    *at = place + text.length + 1;
    return place;
}

#endif /* TEXT_H */
