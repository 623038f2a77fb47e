/* SPDX-License-Identifier: PostgreSQL
 *
 * snapshot.c: snapshot text -> lines -> fields -> values, strictly.
 *
 * A snapshot may come from a file that was damaged or from a server of another version: anything
 * that is not exactly as written in route.h is refused with the line it is in.
 */
#include "snapshot.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool route_fail(route_error *error, size_t line, const char *format, ...)
{
    va_list arguments;

    if (error == NULL)
        return false;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    for (char *p = error->message; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    error->line = line;
    return false;
}

void route_snapshot_open(route_snapshot *snapshot, const char *text, size_t length,
                         route_error *error)
{
    *snapshot = (route_snapshot){.at = text, .end = text + length, .error = error};
}

bool route_snapshot_next(route_snapshot *snapshot, bool *failed)
{
    const char *line = snapshot->at;
    size_t left = (size_t) (snapshot->end - line);
    const char *feed = left == 0 ? NULL : memchr(line, '\n', left);

    *failed = false;
    if (left == 0)
        return false;
    snapshot->line++;
    snapshot->field_count = 0;
    if (feed == NULL)
    {
        *failed = true;
        return route_fail(snapshot->error, snapshot->line, "the line is cut off");
    }
    snapshot->at = feed + 1;
    for (;;)
    {
        const char *tab = memchr(line, '\t', (size_t) (feed - line));
        const char *stop = tab == NULL ? feed : tab;

        if (snapshot->field_count == ROUTE_SNAPSHOT_MAX_FIELDS)
        {
            *failed = true;
            return route_fail(snapshot->error, snapshot->line, "the line has too many fields");
        }
        snapshot->fields[snapshot->field_count++] = (route_text){line, (size_t) (stop - line)};
        if (tab == NULL)
            return true;
        line = tab + 1;
    }
}

bool route_field_is(route_text field, const char *word)
{
    return field.length == strlen(word) && memcmp(field.data, word, field.length) == 0;
}

bool route_field_is_null(route_text field)
{
    return route_field_is(field, "\\N");
}

bool route_field_text(const route_snapshot *snapshot, size_t field, char **arena, route_text *text)
{
    const char *p = snapshot->fields[field].data;
    const char *end = p + snapshot->fields[field].length;
    char *to = *arena;

    for (; p < end; p++)
    {
        if (*p != '\\')
        {
            *to++ = *p;
            continue;
        }
        if (++p == end || strchr("\\tnr", *p) == NULL || *p == '\0')
            return route_fail(snapshot->error, snapshot->line,
                              "field %zu: a backslash must begin \\\\, \\t, \\n or \\r", field + 1);
        *to++ = *p == 't' ? '\t' : *p == 'n' ? '\n' : *p == 'r' ? '\r' : '\\';
    }
    *text = (route_text){*arena, (size_t) (to - *arena)};
    *arena = to;
    return true;
}

/* Enough of a field for an error message. */
static int shown_length(route_text field)
{
    return field.length < 40 ? (int) field.length : 40;
}

static bool refuse(const route_snapshot *snapshot, size_t field, const char *what,
                   const char *expected)
{
    route_text text = snapshot->fields[field];

    return route_fail(snapshot->error, snapshot->line, "%s must be %s, not \"%.*s\"", what,
                      expected, shown_length(text), text.data);
}

bool route_field_boolean(const route_snapshot *snapshot, size_t field, const char *what,
                         bool *value)
{
    *value = route_field_is(snapshot->fields[field], "t");
    if (*value || route_field_is(snapshot->fields[field], "f"))
        return true;
    return refuse(snapshot, field, what, "t or f");
}

/* Digits without sign; false when there are none, other characters, or more than fit. */
static bool read_digits(const char *p, const char *end, uint64_t *value)
{
    *value = 0;
    if (p == end || end - p > 19)
        return false;
    for (; p < end; p++)
    {
        if (*p < '0' || *p > '9')
            return false;
        *value = *value * 10 + (uint64_t) (*p - '0');
    }
    return true;
}

bool route_field_integer(const route_snapshot *snapshot, size_t field, const char *what,
                         int64_t least, int64_t most, int64_t *value)
{
    const char *p = snapshot->fields[field].data;
    const char *end = p + snapshot->fields[field].length;
    bool negative = p < end && *p == '-';
    uint64_t magnitude;

    if (!read_digits(p + negative, end, &magnitude) ||
        magnitude > (uint64_t) INT64_MAX + (negative ? 1 : 0))
        return refuse(snapshot, field, what, "an integer");
    *value = (int64_t) (negative ? -magnitude : magnitude);
    if (*value < least || *value > most)
        return refuse(snapshot, field, what, "in its range");
    return true;
}

bool route_field_percentage(const route_snapshot *snapshot, size_t field, uint32_t *value)
{
    static const char expected[] = "0 to 100 with at most two decimals";
    const char *p = snapshot->fields[field].data;
    const char *end = p + snapshot->fields[field].length;
    const char *point = memchr(p, '.', (size_t) (end - p));
    uint64_t whole;
    uint64_t decimals = 0;

    if (!read_digits(p, point == NULL ? end : point, &whole) || whole > 100)
        return refuse(snapshot, field, "the percentage", expected);
    if (point != NULL)
    {
        size_t places = (size_t) (end - point - 1);

        if (places > 2 || !read_digits(point + 1, end, &decimals))
            return refuse(snapshot, field, "the percentage", expected);
        if (places == 1)
            decimals *= 10;
    }
    *value = (uint32_t) (whole * 100 + decimals);
    return *value <= ROUTE_BUCKETS || refuse(snapshot, field, "the percentage", expected);
}

bool route_field_word(const route_snapshot *snapshot, size_t field, const char *what,
                      const char *const *words, size_t count, size_t *index)
{
    for (*index = 0; *index < count; ++*index)
        if (route_field_is(snapshot->fields[field], words[*index]))
            return true;
    return refuse(snapshot, field, what, "a word that is known here");
}
