/* SPDX-License-Identifier: PostgreSQL
 *
 * walk.h: the way through a scanned document.
 *
 * The text is known to be JSON: every string and container closes before the end, and outside
 * strings a byte up to the blank is white space. Nothing is checked again; only vectors need the
 * end of the text. All of it is inline: a webhook is a few dozen of these steps.
 */
#ifndef ROUTE_WALK_H
#define ROUTE_WALK_H

#include "scan.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Where a walk stands: at a character of the text that is inside some container. */
typedef struct route_cursor
{
    const uint8_t *at;
    uint32_t landmark; /* number of the next container to open */
} route_cursor;

static inline bool route_is_absent(route_value value)
{
    return value.start == value.end;
}

static inline bool route_is_object(const route_document *document, route_value value)
{
    return !route_is_absent(value) && document->text[value.start] == '{';
}

static inline bool route_is_array(const route_document *document, route_value value)
{
    return !route_is_absent(value) && document->text[value.start] == '[';
}

static inline bool route_is_string(const route_document *document, route_value value)
{
    return !route_is_absent(value) && document->text[value.start] == '"';
}

/* A string with at least one character. */
static inline bool route_is_filled_string(const route_document *document, route_value value)
{
    return value.end - value.start > 2 && document->text[value.start] == '"';
}

static inline const uint8_t *route_pass_space(const uint8_t *p)
{
    while (__builtin_expect(*p <= ' ', 0))
        p++;
    return p;
}

/* From behind the opening quote to the closing one; *escaped becomes true at a backslash. */
static inline const uint8_t *route_closing_quote(const uint8_t *p, const uint8_t *end,
                                                 bool *escaped)
{
    for (;;)
    {
#if defined(__SSE2__)
        const __m128i quote = _mm_set1_epi8('"');
        const __m128i backslash = _mm_set1_epi8('\\');

        while (end - p >= 16)
        {
            __m128i bytes = _mm_loadu_si128((const __m128i *) p);
            unsigned int mask = (unsigned int) _mm_movemask_epi8(
                _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));

            if (mask != 0)
            {
                p += __builtin_ctz(mask);
                break;
            }
            p += 16;
        }
#else
        (void) end;
#endif
        while (*p != '"' && *p != '\\')
            p++;
        if (__builtin_expect(*p == '"', 1))
            return p;
        *escaped = true;
        p += 2;
    }
}

/* Reads the string at the cursor and leaves the cursor behind it. */
static inline route_value route_read_string(const route_document *document, route_cursor *cursor)
{
    route_value value = {.start = (uint32_t) (cursor->at - document->text),
                         .landmark = ROUTE_LANDMARKS};

    cursor->at = route_closing_quote(cursor->at + 1, document->end, &value.escaped) + 1;
    value.end = (uint32_t) (cursor->at - document->text);
    return value;
}

/* Over the container at p, which has no landmark. */
const uint8_t *route_pass_container(const uint8_t *p, const uint8_t *end);

static inline route_value route_read_container(const route_document *document, route_cursor *cursor)
{
    route_value value = {.start = (uint32_t) (cursor->at - document->text),
                         .landmark = cursor->landmark};

    if (__builtin_expect(cursor->landmark < document->landmark_count, 1))
    {
        const route_landmark *landmark = &document->landmarks[cursor->landmark];

        cursor->at = document->text + landmark->end;
        cursor->landmark = landmark->next;
    }
    else
        cursor->at = route_pass_container(cursor->at, document->end);
    value.end = (uint32_t) (cursor->at - document->text);
    return value;
}

/* Reads the value at the cursor, whatever it is, and leaves the cursor behind it. A number or
 * literal may be the whole document, so it is bounded by the end. */
static inline route_value route_read_value(const route_document *document, route_cursor *cursor)
{
    route_value value;
    const uint8_t *p = cursor->at;

    if (*p == '"')
        return route_read_string(document, cursor);
    if (*p == '{' || *p == '[')
        return route_read_container(document, cursor);
    while (p<document->end && * p> ' ' && *p != ',' && *p != ']' && *p != '}')
        p++;
    value = (route_value){.start = (uint32_t) (cursor->at - document->text),
                          .end = (uint32_t) (p - document->text),
                          .landmark = ROUTE_LANDMARKS};
    cursor->at = p;
    return value;
}

/* The cursor at the bracket of a container that was read before. */
static inline route_cursor route_return_to(const route_document *document, route_value container)
{
    return (route_cursor){document->text + container.start, container.landmark};
}

/* From the opening bracket to the first element or key; false when the container is empty, then
 * the cursor is behind it. */
static inline bool route_enter(route_cursor *cursor)
{
    if (cursor->landmark < ROUTE_LANDMARKS)
        cursor->landmark++;
    cursor->at = route_pass_space(cursor->at + 1);
    if (*cursor->at != ']' && *cursor->at != '}')
        return true;
    cursor->at++;
    return false;
}

/* From behind an element or member to the next; false at the end of the container, then the
 * cursor is behind it. */
static inline bool route_advance(route_cursor *cursor)
{
    cursor->at = route_pass_space(cursor->at);
    if (*cursor->at++ != ',')
        return false;
    cursor->at = route_pass_space(cursor->at);
    return true;
}

/* From behind a key to its value. */
static inline void route_pass_colon(route_cursor *cursor)
{
    cursor->at = route_pass_space(route_pass_space(cursor->at) + 1);
}

/* The outermost value. */
static inline route_value route_root(const route_document *document)
{
    route_cursor cursor = {document->text + document->root, 0};

    return route_read_value(document, &cursor);
}

#endif
