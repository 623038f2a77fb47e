/* SPDX-License-Identifier: PostgreSQL
 *
 * text.c: JSON strings -> characters.
 *
 * Strings come from a document that was scanned, so their escapes and their UTF-8 are whole.
 */
#include "text.h"

#include <string.h>

static uint32_t hex_digit(uint8_t byte)
{
    return byte <= '9' ? (uint32_t) (byte - '0') : (uint32_t) ((byte | 0x20) - 'a' + 10);
}

static uint32_t hex_unit(const uint8_t *p)
{
    return hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 | hex_digit(p[2]) << 4 | hex_digit(p[3]);
}

/* From the backslash of a \u on: one UTF-16 unit, or two that make a pair. */
static const uint8_t *unicode_escape(const uint8_t *p, const uint8_t *end, uint32_t *character)
{
    uint32_t unit = hex_unit(p + 2);
    uint32_t low;

    p += 6;
    *character = unit == 0 ? ROUTE_REPLACEMENT_CHARACTER : unit;
    if (unit < 0xd800 || unit > 0xdfff)
        return p;
    *character = ROUTE_REPLACEMENT_CHARACTER;
    if (unit > 0xdbff || end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return p;
    low = hex_unit(p + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return p;
    *character = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    return p + 6;
}

const uint8_t *route_utf8_character(const uint8_t *p, uint32_t *character)
{
    if (p[0] < 0x80)
    {
        *character = p[0];
        return p + 1;
    }
    if (p[0] < 0xe0)
    {
        *character = (uint32_t) (p[0] & 0x1f) << 6 | (p[1] & 0x3f);
        return p + 2;
    }
    if (p[0] < 0xf0)
    {
        *character = (uint32_t) (p[0] & 0x0f) << 12 | (uint32_t) (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
        return p + 3;
    }
    *character = (uint32_t) (p[0] & 0x07) << 18 | (uint32_t) (p[1] & 0x3f) << 12 |
                 (uint32_t) (p[2] & 0x3f) << 6 | (p[3] & 0x3f);
    return p + 4;
}

const uint8_t *route_json_character(const uint8_t *p, const uint8_t *end, uint32_t *character)
{
    if (*p != '\\')
        return route_utf8_character(p, character);
    switch (p[1])
    {
    case 'u':
        return unicode_escape(p, end, character);
    case 'b':
        *character = '\b';
        break;
    case 'f':
        *character = '\f';
        break;
    case 'n':
        *character = '\n';
        break;
    case 'r':
        *character = '\r';
        break;
    case 't':
        *character = '\t';
        break;
    default: /* quote, backslash, slash */
        *character = p[1];
        break;
    }
    return p + 2;
}

size_t route_utf8_encode(uint32_t character, uint8_t bytes[ROUTE_UTF8_MAX])
{
    if (character < 0x80)
    {
        bytes[0] = (uint8_t) character;
        return 1;
    }
    if (character < 0x800)
    {
        bytes[0] = (uint8_t) (0xc0 | character >> 6);
        bytes[1] = (uint8_t) (0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000)
    {
        bytes[0] = (uint8_t) (0xe0 | character >> 12);
        bytes[1] = (uint8_t) (0x80 | (character >> 6 & 0x3f));
        bytes[2] = (uint8_t) (0x80 | (character & 0x3f));
        return 3;
    }
    bytes[0] = (uint8_t) (0xf0 | character >> 18);
    bytes[1] = (uint8_t) (0x80 | (character >> 12 & 0x3f));
    bytes[2] = (uint8_t) (0x80 | (character >> 6 & 0x3f));
    bytes[3] = (uint8_t) (0x80 | (character & 0x3f));
    return 4;
}

static size_t copy_decoded(const uint8_t *p, const uint8_t *end, char *to, size_t bound)
{
    size_t length = 0;

    while (p < end)
    {
        uint8_t bytes[ROUTE_UTF8_MAX];
        uint32_t character;
        size_t size;

        p = route_json_character(p, end, &character);
        size = route_utf8_encode(character, bytes);
        if (length + size > bound)
            break;
        memcpy(to + length, bytes, size);
        length += size;
    }
    return length;
}

uint16_t route_copy_string(const route_document *document, route_value string, char *to,
                           size_t bound)
{
    const uint8_t *begin = route_string_begin(document, string);
    size_t length = (size_t) (route_string_end(document, string) - begin);

    if (route_is_escaped(string))
        length = copy_decoded(begin, begin + length, to, bound);
    else
    {
        if (length > bound)
        {
            length = bound;
            while (length > 0 && (begin[length] & 0xc0) == 0x80)
                length--;
        }
        memcpy(to, begin, length);
    }
    to[length] = '\0';
    return (uint16_t) length;
}

bool route_string_equals(const route_document *document, route_value string, const char *name,
                         size_t length)
{
    const uint8_t *p = route_string_begin(document, string);
    const uint8_t *end = route_string_end(document, string);
    size_t at = 0;

    if (!route_is_escaped(string))
        return (size_t) (end - p) == length && memcmp(p, name, length) == 0;
    while (p < end)
    {
        uint8_t bytes[ROUTE_UTF8_MAX];
        uint32_t character;
        size_t size;

        p = route_json_character(p, end, &character);
        size = route_utf8_encode(character, bytes);
        if (size > length - at || memcmp(name + at, bytes, size) != 0)
            return false;
        at += size;
    }
    return at == length;
}
