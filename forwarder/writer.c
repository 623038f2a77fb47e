/* SPDX-License-Identifier: PostgreSQL
 *
 * writer.c: see writer.h.
 */
#include "writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `length` bytes more and a NUL behind them. */
static bool writer_reserve(struct writer *writer, size_t length)
{
    size_t room = writer->room == 0 ? 4096 : writer->room;
    char *bytes;

    if (writer->failed)
        return false;
    while (room - writer->length <= length)
        room *= 2;
    if (room == writer->room)
        return true;
    bytes = realloc(writer->bytes, room);
    writer->failed = bytes == NULL;
    if (writer->failed)
        return false;
    writer->bytes = bytes;
    writer->room = room;
    return true;
}

void writer_put(struct writer *writer, const char *bytes, size_t length)
{
    if (length == 0 || !writer_reserve(writer, length))
        return;
    memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
}

void writer_string(struct writer *writer, const char *string)
{
    writer_put(writer, string, strlen(string));
}

void writer_print(struct writer *writer, const char *format, ...)
{
    char text[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t) length < sizeof text)
    {
        writer_put(writer, text, (size_t) length);
        return;
    }
    if (length < 0 || !writer_reserve(writer, (size_t) length))
    {
        writer->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(writer->bytes + writer->length, (size_t) length + 1, format, arguments);
    va_end(arguments);
    writer->length += (size_t) length;
}

const char *writer_text(struct writer *writer)
{
    if (!writer_reserve(writer, 0))
        return "";
    writer->bytes[writer->length] = '\0';
    return writer->bytes;
}

void writer_free(struct writer *writer)
{
    free(writer->bytes);
    *writer = (struct writer){0};
}
