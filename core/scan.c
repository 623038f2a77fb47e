/* SPDX-License-Identifier: PostgreSQL
 *
 * scan.c: bytes -> validated JSON.
 *
 * One pass, no recursion, no allocation. A container that is open costs two bytes of stack, so the
 * depth of the input cannot exhaust it. The input has no terminator: every read is bounded, and a
 * vector of 16 bytes is loaded only where 16 bytes are left. The grammar is RFC 8259; UTF-8 is
 * checked by RFC 3629, section 4.
 */
#include "scan.h"
#include "text.h"
#include "walk.h"

#include <string.h>

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* ---------------------------------------------------------------------------------------------
 * Validation. Each scan_ function takes the place where its construct begins and returns the place
 * behind it, or NULL when the input breaks the grammar there.
 * ------------------------------------------------------------------------------------------ */

static inline bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

/* Only where white space must end before the input does. */
static inline const uint8_t *pass_space(const uint8_t *p)
{
    while (UNLIKELY(*p <= ' ') && is_space(*p))
        p++;
    return p;
}

static inline bool is_digit(uint8_t byte)
{
    return (uint8_t) (byte - '0') < 10;
}

static inline bool is_hex_digit(uint8_t byte)
{
    return is_digit(byte) || (uint8_t) ((byte | 0x20) - 'a') < 6;
}

static inline bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* One character beyond ASCII: UTF8-2, UTF8-3 and UTF8-4 of RFC 3629, section 4. */
static const uint8_t *scan_character(const uint8_t *p, const uint8_t *end)
{
    uint8_t lead = p[0];
    size_t left = (size_t) (end - p);

    if (lead < 0xe0)
        return lead >= 0xc2 && left >= 2 && is_continuation(p[1]) ? p + 2 : NULL;
    if (lead < 0xf0)
    {
        if (left < 3 || !is_continuation(p[1]) || !is_continuation(p[2]))
            return NULL;
        if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f))
            return NULL; /* too long a form; a surrogate */
        return p + 3;
    }
    if (lead > 0xf4 || left < 4 || !is_continuation(p[1]) || !is_continuation(p[2]) ||
        !is_continuation(p[3]))
        return NULL;
    if ((lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f))
        return NULL; /* too long a form; beyond U+10FFFF */
    return p + 4;
}

/* From the backslash on. Which \u make pairs is no matter of the grammar (RFC 8259, section 8.2).
 */
static const uint8_t *scan_escape(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 2)
        return NULL;
    switch (p[1])
    {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        if (end - p < 6 || !is_hex_digit(p[2]) || !is_hex_digit(p[3]) || !is_hex_digit(p[4]) ||
            !is_hex_digit(p[5]))
            return NULL;
        return p + 6;
    default:
        return NULL;
    }
}

/* The first byte of a string's rest that is not a plain ASCII character, or end. */
static inline const uint8_t *skip_plain(const uint8_t *p, const uint8_t *end)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i last_control = _mm_set1_epi8(0x1f);

    while (end - p >= 16)
    {
        __m128i bytes = _mm_loadu_si128((const __m128i *) p);
        __m128i special = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
            _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes));
        /* A byte beyond ASCII brings its own top bit. */
        unsigned int mask = (unsigned int) _mm_movemask_epi8(_mm_or_si128(special, bytes));

        if (mask != 0)
            return p + __builtin_ctz(mask);
        p += 16;
    }
#endif
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* From behind the opening quote. */
static inline const uint8_t *scan_string(const uint8_t *p, const uint8_t *end)
{
    for (;;)
    {
        p = skip_plain(p, end);
        if (p == end)
            return NULL;
        if (LIKELY(*p == '"'))
            return p + 1;
        if (*p == '\\')
            p = scan_escape(p, end);
        else if (*p >= 0x80)
            p = scan_character(p, end);
        else
            return NULL; /* a control character */
        if (p == NULL)
            return NULL;
    }
}

/* At least one digit. */
static const uint8_t *scan_digits(const uint8_t *p, const uint8_t *end)
{
    if (p == end || !is_digit(*p))
        return NULL;
    while (p < end && is_digit(*p))
        p++;
    return p;
}

static const uint8_t *scan_number(const uint8_t *p, const uint8_t *end)
{
    if (*p == '-')
        p++;
    if (p < end && *p == '0')
        p++; /* nothing but a fraction may follow a leading zero */
    else if ((p = scan_digits(p, end)) == NULL)
        return NULL;
    if (p < end && *p == '.' && (p = scan_digits(p + 1, end)) == NULL)
        return NULL;
    if (p < end && (*p | 0x20) == 'e')
    {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = scan_digits(p, end);
    }
    return p;
}

static const uint8_t *scan_literal(const uint8_t *p, const uint8_t *end, const char *literal,
                                   size_t length)
{
    return (size_t) (end - p) >= length && memcmp(p, literal, length) == 0 ? p + length : NULL;
}

/* A value that is no container. */
static const uint8_t *scan_scalar(const uint8_t *p, const uint8_t *end)
{
    switch (*p)
    {
    case '"':
        return scan_string(p + 1, end);
    case 't':
        return scan_literal(p, end, "true", 4);
    case 'f':
        return scan_literal(p, end, "false", 5);
    case 'n':
        return scan_literal(p, end, "null", 4);
    default:
        return scan_number(p, end);
    }
}

/* What is open: the number of the container's landmark, doubled, plus one for an object. */
typedef uint16_t open_container;

/*
 * Scans the container at p, which is the whole rest of the input up to `end`: the last byte closes
 * a container. So a byte is there wherever the grammar looks at one: none but a closing bracket, or
 * a string without end, leads past the last byte. Returns false when the input breaks the grammar.
 */
static bool scan_container(route_document *document, const uint8_t *p, const uint8_t *end)
{
    uint32_t containers = 0; /* that have a landmark */
    uint32_t depth = 0;
    open_container open[ROUTE_MAX_DEPTH];
    bool in_object;

open:
    if (UNLIKELY(depth == ROUTE_MAX_DEPTH))
        return false;
    in_object = *p == '{';
    open[depth++] = (open_container) (containers * 2 + in_object);
    containers += containers < ROUTE_LANDMARKS;
    p = pass_space(p + 1);
    if (*p == (in_object ? '}' : ']'))
        goto close;
    if (!in_object)
        goto value;

key:
    if (*p != '"' || (p = scan_string(p + 1, end)) == NULL)
        return false;
    p = pass_space(p);
    if (*p != ':')
        return false;
    p = pass_space(p + 1);

value:
    if (LIKELY(*p == '"'))
        p = scan_string(p + 1, end);
    else if (*p == '{' || *p == '[')
        goto open;
    else
        p = scan_scalar(p, end);
    if (p == NULL)
        return false;

behind_value:
    p = pass_space(p);
    if (*p == ',')
    {
        p = pass_space(p + 1);
        if (in_object)
            goto key;
        goto value;
    }
    if (*p != (in_object ? '}' : ']'))
        return false;

close:
    p++;
    depth--;
    if (open[depth] / 2 < ROUTE_LANDMARKS)
        document->landmarks[open[depth] / 2] =
            (route_landmark){(uint32_t) (p - document->text), containers};
    if (p == end || depth == 0)
    {
        document->landmark_count = containers;
        return p == end && depth == 0;
    }
    in_object = open[depth - 1] & 1;
    goto behind_value;
}

bool route_scan(route_document *document, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    const uint8_t *end;

    if (length == 0 || length > ROUTE_MAX_PAYLOAD)
        return false;
    end = p + length;
    document->text = p;
    document->end = end;
    document->landmark_count = 0;
    while (p < end && is_space(*p))
        p++;
    while (p < end && is_space(end[-1]))
        end--;
    if (p == end)
        return false;
    document->root = (uint32_t) (p - document->text);
    if (*p != '{' && *p != '[')
        return scan_scalar(p, end) == end;
    return (end[-1] == '}' || end[-1] == ']') && scan_container(document, p, end);
}

bool route_is_json(const void *bytes, size_t length)
{
    route_document document;

    return route_scan(&document, bytes, length);
}

bool route_is_utf8(const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    const uint8_t *end = p + length;

    while (p != NULL && p < end)
        p = *p < 0x80 ? p + 1 : scan_character(p, end);
    return p != NULL;
}

const uint8_t *route_pass_container(const uint8_t *p, const uint8_t *end)
{
    size_t depth = 0;
    bool escaped;

    for (;; p++)
        switch (*p)
        {
        case '"':
            p = route_closing_quote(p + 1, end, &escaped);
            break;
        case '[':
        case '{':
            depth++;
            break;
        case ']':
        case '}':
            if (--depth == 0)
                return p + 1;
            break;
        default:
            break;
        }
}
