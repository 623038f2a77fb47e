/* SPDX-License-Identifier: PostgreSQL
 *
 * markup.c: see markup.h.
 */
#include "markup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"

/* What stands for a character in HTML; NULL: itself. */
static const char *markup_reference(unsigned char byte)
{
    switch (byte)
    {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\t':
    case '\n':
        return NULL;
    default:
        return byte < 0x20 || byte == 0x7f ? "\xef\xbf\xbd" : NULL;
    }
}

void markup_text(struct writer *writer, const char *text)
{
    const char *begin = text;

    for (; *text != '\0'; text++)
    {
        const char *reference = markup_reference((unsigned char) *text);

        if (reference == NULL)
            continue;
        writer_put(writer, begin, (size_t) (text - begin));
        writer_string(writer, reference);
        begin = text + 1;
    }
    writer_string(writer, begin);
}

/* log_json_string() keeps room for one escape, and makes six bytes of one at most. */
void markup_json_text(struct writer *writer, const char *text)
{
    size_t size;
    char *escaped;

    if (text == NULL)
    {
        writer_string(writer, "null");
        return;
    }
    size = 6 * strlen(text) + 16;
    escaped = malloc(size);
    if (escaped == NULL)
    {
        writer->failed = true;
        return;
    }
    writer_put(writer, escaped, log_json_string(escaped, 0, size, text));
    free(escaped);
}

/* ---- numbers ---- */

/* A decimal number in its parts: sign and digits before the point, and how many digits behind it
 * count. False when the text is something else. */
static bool markup_split(const char *number, size_t *whole, size_t *fraction)
{
    size_t sign = number != NULL && *number == '-', digits, behind = 0;

    if (number == NULL)
        return false;
    digits = strspn(number + sign, "0123456789");
    *whole = sign + digits;
    if (number[*whole] == '.')
        behind = strspn(number + *whole + 1, "0123456789");
    if (digits == 0 || number[*whole + (number[*whole] == '.') + behind] != '\0')
        return false;
    while (behind > 0 && number[*whole + behind] == '0')
        behind--;
    *fraction = behind;
    return true;
}

void markup_json_number(struct writer *writer, const char *number)
{
    size_t whole, fraction;

    if (!markup_split(number, &whole, &fraction))
        writer_string(writer, "null");
    else
        writer_put(writer, number, whole + (fraction > 0 ? fraction + 1 : 0));
}

void markup_number(struct writer *writer, const char *number)
{
    size_t whole, fraction, sign = *number == '-';

    if (!markup_split(number, &whole, &fraction))
    {
        markup_text(writer, number);
        return;
    }
    for (size_t i = 0; i < whole; i++)
    {
        if (i > sign && (whole - i) % 3 == 0)
            writer_put(writer, ",", 1);
        writer_put(writer, number + i, 1);
    }
    if (fraction > 0)
        writer_put(writer, number + whole, fraction + 1);
}

/* ---- time ---- */

void markup_duration(struct writer *writer, int64_t seconds)
{
    static const struct
    {
        int64_t seconds;
        const char *name;
    } UNITS[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t unit = 0;

    while (unit < 3 && seconds < UNITS[unit].seconds)
        unit++;
    writer_print(writer, "%lld %s", (long long) (seconds > 0 ? seconds / UNITS[unit].seconds : 0),
                 UNITS[unit].name);
    if (unit < 2 && seconds % UNITS[unit].seconds / UNITS[unit + 1].seconds > 0)
        writer_print(writer, " %lld %s",
                     (long long) (seconds % UNITS[unit].seconds / UNITS[unit + 1].seconds),
                     UNITS[unit + 1].name);
}

/* The parts of a moment, UTC; false for one that no calendar has. */
static bool markup_calendar(int64_t seconds, struct tm *parts)
{
    time_t instant = (time_t) seconds;

    return gmtime_r(&instant, parts) != NULL;
}

void markup_instant(struct writer *writer, int64_t seconds)
{
    struct tm parts;
    char text[64] = "";

    if (markup_calendar(seconds, &parts))
        (void) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    writer_string(writer, text);
}

void markup_moment(struct writer *writer, int64_t seconds, int64_t now)
{
    struct tm parts;
    char text[64] = "";

    if (markup_calendar(seconds, &parts) && seconds / 86400 == now / 86400)
        (void) strftime(text, sizeof text, "%H:%M:%S UTC", &parts);
    else if (markup_calendar(seconds, &parts))
        (void) strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
    writer_string(writer, text);
}

void markup_time(struct writer *writer, int64_t seconds, int64_t now)
{
    writer_string(writer, "<time datetime=\"");
    markup_instant(writer, seconds);
    writer_string(writer, "\">");
    markup_moment(writer, seconds, now);
    writer_string(writer, "</time>");
}
