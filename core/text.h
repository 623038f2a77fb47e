/* SPDX-License-Identifier: PostgreSQL
 *
 * text.h: what a validated JSON string says.
 */
#ifndef ROUTE_TEXT_H
#define ROUTE_TEXT_H

#include "walk.h"

#define ROUTE_REPLACEMENT_CHARACTER 0xfffd
/* Bytes of the longest character in UTF-8. */
#define ROUTE_UTF8_MAX 4

/* The character at p (p < end, inside a valid JSON string) as a code point; returns the place
 * behind it. A lone surrogate and U+0000 come out as U+FFFD. */
const uint8_t *route_json_character(const uint8_t *p, const uint8_t *end, uint32_t *character);

/* The character of valid UTF-8 at p, no JSON. */
const uint8_t *route_utf8_character(const uint8_t *p, uint32_t *character);

/* Writes the character as UTF-8; returns the number of bytes. */
size_t route_utf8_encode(uint32_t character, uint8_t bytes[ROUTE_UTF8_MAX]);

/* The text between the quotes of a string value. */
static inline const uint8_t *route_string_begin(const route_document *document, route_value value)
{
    return document->text + route_value_start(value) + 1;
}

static inline const uint8_t *route_string_end(const route_document *document, route_value value)
{
    return document->text + route_value_end(value) - 1;
}

/* Copies the decoded string, at most `bound` bytes of it and whole characters only, then a NUL;
 * returns its length. `to` has room for bound + 1 bytes. */
uint16_t route_copy_string(const route_document *document, route_value string, char *to,
                           size_t bound);

/* Whether the decoded string is `name`. */
bool route_string_equals(const route_document *document, route_value string, const char *name,
                         size_t length);

#endif
