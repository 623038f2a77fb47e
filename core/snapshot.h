/* SPDX-License-Identifier: PostgreSQL
 *
 * snapshot.h: the lines and fields of a snapshot (its format is in route.h).
 */
#ifndef ROUTE_SNAPSHOT_H
#define ROUTE_SNAPSHOT_H

#include "route.h"

#define ROUTE_SNAPSHOT_MAX_FIELDS 8

typedef struct route_snapshot
{
    const char *at;
    const char *end;
    size_t line; /* of the fields, from 1 */
    size_t field_count;
    route_text fields[ROUTE_SNAPSHOT_MAX_FIELDS]; /* as written, with escapes */
    route_error *error;
} route_snapshot;

/* Formats the error (bytes beyond printable ASCII become '?') and returns false. */
bool route_fail(route_error *error, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Before the first line. The error is filled by whatever fails below. */
void route_snapshot_open(route_snapshot *snapshot, const char *text, size_t length,
                         route_error *error);

/* Splits the next line into its fields; false at the end and on failure (then *failed). */
bool route_snapshot_next(route_snapshot *snapshot, bool *failed);

bool route_field_is(route_text field, const char *word);
bool route_field_is_null(route_text field);

/* Unescapes a field into *arena, which moves behind it and has room for as many bytes as the field
 * has; false on an escape that is none. */
bool route_field_text(const route_snapshot *snapshot, size_t field, char **arena, route_text *text);

/* The readers below fail with a sentence that names what the field is. */
bool route_field_boolean(const route_snapshot *snapshot, size_t field, const char *what,
                         bool *value);
bool route_field_integer(const route_snapshot *snapshot, size_t field, const char *what,
                         int64_t least, int64_t most, int64_t *value);
/* 0 to 100 with at most two decimals, as hundredths. */
bool route_field_percentage(const route_snapshot *snapshot, size_t field, uint32_t *value);
/* The index of the word among words[0..count). */
bool route_field_word(const route_snapshot *snapshot, size_t field, const char *what,
                      const char *const *words, size_t count, size_t *index);

#endif
