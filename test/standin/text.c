/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * text.c: text that grows, and JSON in it.
 */
#include "standin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

void *must(void *pointer)
{
    if (pointer == NULL)
    {
        fputs("standin-functions: out of memory\n", stderr);
        exit(EX_OSERR);
    }
    return pointer;
}

char *copy_or_null(const char *string)
{
    return string == NULL ? NULL : must(strdup(string));
}

void text_bytes(struct text *text, const char *bytes, size_t length)
{
    if (text->length + length + 1 > text->room)
    {
        text->room = (text->length + length + 1) * 2;
        text->bytes = must(realloc(text->bytes, text->room));
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

__attribute__((format(printf, 2, 3))) void text_print(struct text *text, const char *format, ...)
{
    char line[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text_bytes(text, line, length < (int) sizeof line ? (size_t) length : sizeof line - 1);
}

/* A JSON string; bytes beyond ASCII are shown as U+00XX, so that the report is always readable. */
void text_json(struct text *text, const char *string)
{
    text_bytes(text, "\"", 1);
    for (const unsigned char *byte = (const unsigned char *) string; *byte != '\0'; byte++)
    {
        if (*byte == '"' || *byte == '\\')
            text_print(text, "\\%c", *byte);
        else if (*byte < 0x20 || *byte >= 0x7f)
            text_print(text, "\\u%04x", *byte);
        else
            text_bytes(text, (const char *) byte, 1);
    }
    text_bytes(text, "\"", 1);
}
