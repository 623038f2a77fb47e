/* SPDX-License-Identifier: PostgreSQL
 *
 * reference_json.h: RFC 8259 a second time, written to be obviously right instead of fast:
 * recursive descent, a byte at a time. What the engine's scanner says is compared with it.
 */
#ifndef TEST_REFERENCE_JSON_H
#define TEST_REFERENCE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "route.h"

typedef struct reference
{
    const uint8_t *text;
    size_t length;
    size_t at;
    size_t depth;
} reference;

static inline int reference_peek(const reference *r)
{
    return r->at < r->length ? r->text[r->at] : -1;
}

static inline bool reference_take(reference *r, int byte)
{
    if (reference_peek(r) != byte)
        return false;
    r->at++;
    return true;
}

static inline void reference_space(reference *r)
{
    while (reference_take(r, ' ') || reference_take(r, '\t') || reference_take(r, '\n') ||
           reference_take(r, '\r'))
        ;
}

static inline bool reference_range(reference *r, int low, int high)
{
    int byte = reference_peek(r);

    if (byte < low || byte > high)
        return false;
    r->at++;
    return true;
}

static inline bool reference_tail(reference *r)
{
    return reference_range(r, 0x80, 0xbf);
}

/* The productions of RFC 3629, section 4, one by one. */
static inline bool reference_utf8(reference *r)
{
    if (reference_range(r, 0x20, 0x7f))
        return true;
    if (reference_range(r, 0xc2, 0xdf))
        return reference_tail(r);
    if (reference_take(r, 0xe0))
        return reference_range(r, 0xa0, 0xbf) && reference_tail(r);
    if (reference_range(r, 0xe1, 0xec) || reference_range(r, 0xee, 0xef))
        return reference_tail(r) && reference_tail(r);
    if (reference_take(r, 0xed))
        return reference_range(r, 0x80, 0x9f) && reference_tail(r);
    if (reference_take(r, 0xf0))
        return reference_range(r, 0x90, 0xbf) && reference_tail(r) && reference_tail(r);
    if (reference_range(r, 0xf1, 0xf3))
        return reference_tail(r) && reference_tail(r) && reference_tail(r);
    if (reference_take(r, 0xf4))
        return reference_range(r, 0x80, 0x8f) && reference_tail(r) && reference_tail(r);
    return false;
}

static inline bool reference_hex(reference *r)
{
    return reference_range(r, '0', '9') || reference_range(r, 'a', 'f') ||
           reference_range(r, 'A', 'F');
}

static inline bool reference_string(reference *r)
{
    if (!reference_take(r, '"'))
        return false;
    while (!reference_take(r, '"'))
    {
        if (!reference_take(r, '\\'))
        {
            if (!reference_utf8(r))
                return false;
            continue;
        }
        if (reference_take(r, 'u'))
        {
            for (int i = 0; i < 4; i++)
                if (!reference_hex(r))
                    return false;
        }
        else if (reference_peek(r) < 1 || strchr("\"\\/bfnrt", reference_peek(r)) == NULL)
            return false;
        else
            r->at++;
    }
    return true;
}

static inline bool reference_digits(reference *r)
{
    if (!reference_range(r, '0', '9'))
        return false;
    while (reference_range(r, '0', '9'))
        ;
    return true;
}

static inline bool reference_number(reference *r)
{
    reference_take(r, '-');
    if (!reference_take(r, '0') && !reference_digits(r))
        return false;
    if (reference_take(r, '.') && !reference_digits(r))
        return false;
    if (reference_take(r, 'e') || reference_take(r, 'E'))
    {
        if (!reference_take(r, '+'))
            reference_take(r, '-');
        return reference_digits(r);
    }
    return true;
}

static inline bool reference_word(reference *r, const char *word)
{
    for (; *word != '\0'; word++)
        if (!reference_take(r, *word))
            return false;
    return true;
}

static inline bool reference_value(reference *r);

static inline bool reference_members(reference *r, int close, bool keys)
{
    r->at++;
    if (++r->depth > ROUTE_MAX_DEPTH)
        return false;
    reference_space(r);
    if (!reference_take(r, close))
        for (;;)
        {
            if (keys)
            {
                reference_space(r);
                if (!reference_string(r))
                    return false;
                reference_space(r);
                if (!reference_take(r, ':'))
                    return false;
            }
            if (!reference_value(r))
                return false;
            if (reference_take(r, close))
                break;
            if (!reference_take(r, ','))
                return false;
        }
    r->depth--;
    return true;
}

/* A value with the white space around it. */
static inline bool reference_value(reference *r)
{
    bool valid;

    reference_space(r);
    switch (reference_peek(r))
    {
    case '{':
        valid = reference_members(r, '}', true);
        break;
    case '[':
        valid = reference_members(r, ']', false);
        break;
    case '"':
        valid = reference_string(r);
        break;
    case 't':
        valid = reference_word(r, "true");
        break;
    case 'f':
        valid = reference_word(r, "false");
        break;
    case 'n':
        valid = reference_word(r, "null");
        break;
    default:
        valid = reference_number(r);
        break;
    }
    reference_space(r);
    return valid;
}

static inline bool reference_is_json(const void *bytes, size_t length)
{
    reference r = {bytes, length, 0, 0};

    return reference_value(&r) && r.at == length;
}

/* Whether the bytes are UTF-8, control characters included. */
static inline bool reference_is_utf8(const void *bytes, size_t length)
{
    reference r = {bytes, length, 0, 0};

    while (r.at < length)
        if (!reference_range(&r, 0, 0x1f) && !reference_utf8(&r))
            return false;
    return true;
}

#endif
