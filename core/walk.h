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

#define ROUTE_VALUE_BITS 31
#define ROUTE_VALUE_MASK UINT64_C(0x7fffffff)
#define ROUTE_VALUE_ESCAPED (UINT64_C(1) << 62)
#define ROUTE_VALUE_LANDMARK (UINT64_C(1) << 63)

static const route_value route_no_value = {0};

/* Offset of a value's first byte. */
static inline uint32_t route_value_start(route_value value)
{
    return (uint32_t) (value.bits & ROUTE_VALUE_MASK);
}

/* Offset behind the last byte of a value that is no container. */
static inline uint32_t route_value_end(route_value value)
{
    return (uint32_t) (value.bits >> ROUTE_VALUE_BITS & ROUTE_VALUE_MASK);
}

static inline bool route_is_escaped(route_value value)
{
    return (value.bits & ROUTE_VALUE_ESCAPED) != 0;
}

static inline bool route_is_absent(route_value value)
{
    return value.bits == 0;
}

static inline bool route_is_object(const route_document *document, route_value value)
{
    return !route_is_absent(value) && document->text[route_value_start(value)] == '{';
}

static inline bool route_is_array(const route_document *document, route_value value)
{
    return !route_is_absent(value) && document->text[route_value_start(value)] == '[';
}

static inline bool route_is_string(const route_document *document, route_value value)
{
    return !route_is_absent(value) && document->text[route_value_start(value)] == '"';
}

/* A string with at least one character. */
static inline bool route_is_filled_string(const route_document *document, route_value value)
{
    return route_is_string(document, value) &&
           route_value_end(value) - route_value_start(value) > 2;
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

/* The value between two places of the text. */
static inline route_value route_value_between(const route_document *document, const uint8_t *begin,
                                              const uint8_t *end)
{
    return (route_value){(uint64_t) (begin - document->text) | (uint64_t) (end - document->text)
                                                                   << ROUTE_VALUE_BITS};
}

/* Reads the string at the cursor and leaves the cursor behind it. */
static inline route_value route_read_string(const route_document *document, route_cursor *cursor)
{
    const uint8_t *begin = cursor->at;
    bool escaped = false;
    route_value value;

    cursor->at = route_closing_quote(begin + 1, document->end, &escaped) + 1;
    value = route_value_between(document, begin, cursor->at);
    if (escaped)
        value.bits |= ROUTE_VALUE_ESCAPED;
    return value;
}

static inline route_value route_read_container(const route_document *document, route_cursor *cursor)
{
    const uint8_t *begin = cursor->at;
    uint32_t number = cursor->landmark;

    if (__builtin_expect(number >= document->landmark_count, 0))
    {
        cursor->at = route_pass_container(begin, document->end);
        return route_value_between(document, begin, cursor->at);
    }
    cursor->at = document->text + document->landmarks[number].end;
    cursor->landmark = document->landmarks[number].next;
    return (route_value){(uint64_t) (begin - document->text) |
                         (uint64_t) number << ROUTE_VALUE_BITS | ROUTE_VALUE_LANDMARK};
}

/* Reads the value at the cursor, whatever it is, and leaves the cursor behind it. A number or
 * literal may be the whole document, so it is bounded by the end. */
static inline route_value route_read_value(const route_document *document, route_cursor *cursor)
{
    const uint8_t *begin = cursor->at;
    const uint8_t *p = begin;

    if (*p == '"')
        return route_read_string(document, cursor);
    if (*p == '{' || *p == '[')
        return route_read_container(document, cursor);
    while (document->end > p && *p > ' ' && *p != ',' && *p != ']' && *p != '}')
        p++;
    cursor->at = p;
    return route_value_between(document, begin, p);
}

/* The cursor at the bracket of a container that was read before. */
static inline route_cursor route_return_to(const route_document *document, route_value container)
{
    return (route_cursor){document->text + route_value_start(container),
                          container.bits & ROUTE_VALUE_LANDMARK ? route_value_end(container)
                                                                : ROUTE_LANDMARKS};
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
