/* SPDX-License-Identifier: PostgreSQL
 *
 * writer.h: text of any length, put together piece by piece: the answers of the admin listener. For
 * the main thread; webhooks use buffer.h, whose memory counts.
 */
#ifndef WRITER_H
#define WRITER_H

#include <stdbool.h>
#include <stddef.h>

/* All zero: empty. Once memory is used up it is `failed`, and takes nothing more. */
struct writer
{
    char *bytes; /* malloc()'s; whoever takes them frees them */
    size_t length, room;
    bool failed;
};

void writer_put(struct writer *writer, const char *bytes, size_t length);
void writer_string(struct writer *writer, const char *string);
__attribute__((format(printf, 2, 3))) void writer_print(struct writer *writer, const char *format,
                                                        ...);
/* What it holds, with a NUL behind it that does not count; until the next piece comes. "" when
 * there is no memory for that, and then it is `failed`. */
const char *writer_text(struct writer *writer);
/* Gives its memory back; it is empty then. */
void writer_free(struct writer *writer);

#endif /* WRITER_H */
