/* SPDX-License-Identifier: PostgreSQL
 *
 * answer.c: see answer.h. Lines are looked at where they lie when they have come whole, which is
 * nearly always, and are put together in the reader otherwise. A line ends with LF, with or without
 * CR (RFC 9112 2.2).
 */
#include <string.h>
#include <strings.h>

#include "answer.h"

static void refuse(struct answer_reader *reader, const char *problem)
{
    reader->state = ANSWER_BAD;
    reader->problem = problem;
}

/* A header begins, the final one or an interim one. */
static void begin_header(struct answer_reader *reader)
{
    reader->state = ANSWER_STATUS;
    reader->status = 0;
    reader->old = reader->has_length = reader->chunked = false;
    reader->closes = reader->keeps = reader->ours = false;
    reader->left = 0;
    reader->content_type[0] = reader->content_encoding[0] = '\0';
}

void answer_begin(struct answer_reader *reader)
{
    begin_header(reader);
    reader->problem = NULL;
    reader->lines = reader->line_length = 0;
    reader->line_cut = false;
}

/* ---- the status line (RFC 9112 4) ---- */

#define VERSION_START "HTTP/1."

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static void take_status(struct answer_reader *reader, const char *line, size_t length)
{
    size_t version = sizeof VERSION_START - 1;
    const char *code = line + version + 2;

    if (length < version + 5 || memcmp(line, VERSION_START, version) != 0 ||
        !is_digit(line[version]) || line[version + 1] != ' ' || code[0] < '1' || code[0] > '9' ||
        !is_digit(code[1]) || !is_digit(code[2]) || (length > version + 5 && code[3] != ' '))
    {
        refuse(reader, "the answer is not HTTP/1");
        return;
    }
    reader->old = line[version] == '0';
    reader->status = (unsigned) ((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'));
    reader->state = ANSWER_FIELDS;
}

/* What is no status line need not be waited for to its end. */
static void look_ahead(struct answer_reader *reader)
{
    size_t length = sizeof VERSION_START - 1;

    if (reader->line_length < length)
        length = reader->line_length;
    if (memcmp(reader->line, VERSION_START, length) != 0)
        refuse(reader, "the answer is not HTTP/1");
}

/* ---- header fields ---- */

struct field
{
    const char *value;
    size_t length;
};

/* Whether the line is the field `name`; its value without white space around it then. */
static bool is_field(const char *line, size_t length, const char *name, size_t name_length,
                     struct field *field)
{
    if (length <= name_length || line[name_length] != ':' ||
        strncasecmp(line, name, name_length) != 0)
        return false;
    line += name_length + 1;
    length -= name_length + 1;
    while (length > 0 && (*line == ' ' || *line == '\t'))
        line++, length--;
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t'))
        length--;
    *field = (struct field){line, length};
    return true;
}
#define IS_FIELD(line, length, name, field) is_field(line, length, name, sizeof(name) - 1, field)

static bool field_is(struct field field, const char *text)
{
    return field.length == strlen(text) && strncasecmp(field.value, text, field.length) == 0;
}

/* RFC 9112 6.3: the same length twice says nothing new. */
static void take_length(struct answer_reader *reader, struct field field)
{
    uint64_t length = 0;

    if (field.length == 0 || field.length > 18)
        refuse(reader, "the answer's length is no number");
    for (size_t i = 0; i < field.length; i++)
        if (is_digit(field.value[i]))
            length = length * 10 + (uint64_t) (field.value[i] - '0');
        else
            refuse(reader, "the answer's length is no number");
    if (reader->has_length && reader->left != length)
        refuse(reader, "the answer has two lengths");
    reader->has_length = true;
    reader->left = length;
}

static void take_encoding(struct answer_reader *reader, struct field field)
{
    if (reader->chunked || reader->old || !field_is(field, "chunked"))
        refuse(reader, "the answer has a transfer encoding that is not just chunked");
    reader->chunked = true;
}

static void take_connection(struct answer_reader *reader, struct field field)
{
    const char *at = field.value, *end = at + field.length;

    while (at < end)
    {
        struct field option = {at, 0};

        while (at < end && *at != ',')
            at++;
        option.length = (size_t) (at - option.value);
        while (option.length > 0 && (*option.value == ' ' || *option.value == '\t'))
            option.value++, option.length--;
        while (option.length > 0 &&
               (option.value[option.length - 1] == ' ' || option.value[option.length - 1] == '\t'))
            option.length--;
        reader->closes |= field_is(option, "close");
        reader->keeps |= field_is(option, "keep-alive");
        at++;
    }
}

/* Copies a value that is passed on; better none than half of it. */
static void take_text(struct answer_reader *reader, struct field field, char *text, size_t size)
{
    if (field.length >= size)
        field.length = 0;
    for (size_t i = 0; i < field.length; i++)
    {
        unsigned char byte = (unsigned char) field.value[i];

        if ((byte < ' ' && byte != '\t') || byte == 0x7f)
        {
            refuse(reader, "a field of the answer holds a control character");
            return;
        }
        text[i] = byte == '\t' ? ' ' : field.value[i];
    }
    text[field.length] = '\0';
}

/* A field that frames the body, or says what becomes of the connection, has to be known to its end.
 */
static bool is_whole(struct answer_reader *reader)
{
    if (reader->line_cut)
        refuse(reader, "a field of the answer is too long");
    return !reader->line_cut;
}

/* Whether the field is one that is looked at. */
static bool take_known(struct answer_reader *reader, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    struct field field;

    if (colon == NULL || ((line[0] | 0x20) != 'c' && (line[0] | 0x20) != 't'))
        return false;
    if (colon[-1] == ' ' || colon[-1] == '\t')
        refuse(reader, "a field's name in the answer ends in white space");
    if (IS_FIELD(line, length, "Content-Type", &field))
        take_text(reader, field, reader->content_type, sizeof reader->content_type);
    else if (IS_FIELD(line, length, "Content-Encoding", &field))
        take_text(reader, field, reader->content_encoding, sizeof reader->content_encoding);
    else if (IS_FIELD(line, length, "Content-Length", &field) && is_whole(reader))
        take_length(reader, field);
    else if (IS_FIELD(line, length, "Transfer-Encoding", &field) && is_whole(reader))
        take_encoding(reader, field);
    else if (IS_FIELD(line, length, "Connection", &field) && is_whole(reader))
        take_connection(reader, field);
    else
        return false;
    return true;
}

/* A line may go on in further ones (RFC 9112 5.2), but not that of a field that is looked at. */
static void take_field(struct answer_reader *reader, const char *line, size_t length)
{
    if (*line == ' ' || *line == '\t')
    {
        if (reader->ours)
            refuse(reader, "a field of the answer is folded");
        return;
    }
    reader->ours = take_known(reader, line, length);
}

/* ---- the body's framing (RFC 9112 6.3) ---- */

static void end_header(struct answer_reader *reader)
{
    if (reader->has_length && reader->chunked)
        refuse(reader, "the answer has a length and an encoding");
    else if (reader->status == 101)
        refuse(reader, "the answer changes to another protocol");
    else if (reader->status < 200)
        begin_header(reader);
    else if (reader->status == 204 || reader->status == 304)
        reader->state = ANSWER_COMPLETE;
    else if (reader->chunked)
        reader->state = ANSWER_CHUNK_SIZE;
    else if (reader->has_length)
        reader->state = reader->left == 0 ? ANSWER_COMPLETE : ANSWER_BODY;
    else
        reader->state = ANSWER_BODY_TO_END;
}

/* Hexadecimal digits, then white space or an extension, which says nothing (RFC 9112 7.1). */
static void take_chunk_size(struct answer_reader *reader, const char *line, size_t length)
{
    uint64_t size = 0;
    size_t digits = 0;

    for (; digits < length && digits < 16; digits++)
    {
        char byte = line[digits], low = (char) (byte | 0x20);

        if (is_digit(byte))
            size = size * 16 + (uint64_t) (byte - '0');
        else if (low >= 'a' && low <= 'f')
            size = size * 16 + (uint64_t) (low - 'a' + 10);
        else
            break;
    }
    if (digits == 0 || digits == 16 ||
        (digits < length && line[digits] != ';' && line[digits] != ' ' && line[digits] != '\t'))
    {
        refuse(reader, "the size of a chunk is no number");
        return;
    }
    reader->left = size;
    reader->state = size == 0 ? ANSWER_TRAILER : ANSWER_CHUNK;
}

/* ---- lines ---- */

static void take_line(struct answer_reader *reader, const char *line, size_t length)
{
    if (length > 0 && line[length - 1] == '\r')
        length--;
    switch (reader->state)
    {
    case ANSWER_STATUS:
        take_status(reader, line, length);
        break;
    case ANSWER_FIELDS:
        if (length == 0)
            end_header(reader);
        else
            take_field(reader, line, length);
        break;
    case ANSWER_CHUNK_SIZE:
        take_chunk_size(reader, line, length);
        break;
    case ANSWER_CHUNK_END:
        if (length == 0)
            reader->state = ANSWER_CHUNK_SIZE;
        else
            refuse(reader, "a chunk is longer than it says");
        break;
    default: /* the trailer: nothing of it is passed on */
        if (length == 0)
            reader->state = ANSWER_COMPLETE;
        break;
    }
}

/* Keeps a piece of a line that has not come whole. */
static void keep_piece(struct answer_reader *reader, const char *bytes, size_t length)
{
    size_t room = sizeof reader->line - reader->line_length;

    if (length > room)
    {
        reader->line_cut = true;
        length = room;
    }
    memcpy(reader->line + reader->line_length, bytes, length);
    reader->line_length += length;
}

/* Up to the end of the line, or of the bytes. */
static size_t read_line(struct answer_reader *reader, const char *bytes, size_t length)
{
    const char *end = memchr(bytes, '\n', length);
    size_t taken = end == NULL ? length : (size_t) (end - bytes) + 1;

    reader->lines += taken;
    if (reader->lines > ANSWER_LINES_MOST)
        refuse(reader, "the answer's header is too long");
    else if (memchr(bytes, '\0', taken) != NULL)
        refuse(reader, "a line of the answer holds a NUL");
    else if (end == NULL)
    {
        keep_piece(reader, bytes, length);
        if (reader->state == ANSWER_STATUS)
            look_ahead(reader);
    }
    else if (reader->line_length == 0)
    {
        reader->line_cut = taken - 1 > sizeof reader->line;
        take_line(reader, bytes, reader->line_cut ? sizeof reader->line : taken - 1);
        reader->line_cut = false;
    }
    else
    {
        keep_piece(reader, bytes, taken - 1);
        take_line(reader, reader->line, reader->line_length);
        reader->line_length = 0;
        reader->line_cut = false;
    }
    return taken;
}

/* ---- the whole ---- */

size_t answer_read(struct answer_reader *reader, const char *bytes, size_t length,
                   const char **body, size_t *body_length)
{
    *body = bytes;
    *body_length = 0;
    if (length == 0)
        return 0;
    switch (reader->state)
    {
    case ANSWER_COMPLETE:
    case ANSWER_BAD:
        return 0;
    case ANSWER_BODY_TO_END:
        *body_length = length;
        return length;
    case ANSWER_BODY:
    case ANSWER_CHUNK:
        *body_length = reader->left < length ? (size_t) reader->left : length;
        reader->left -= *body_length;
        if (reader->left == 0)
            reader->state = reader->state == ANSWER_BODY ? ANSWER_COMPLETE : ANSWER_CHUNK_END;
        return *body_length;
    default:
        return read_line(reader, bytes, length);
    }
}

void answer_end(struct answer_reader *reader)
{
    if (reader->state == ANSWER_BODY_TO_END)
    {
        reader->state = ANSWER_COMPLETE;
        reader->closes = true;
    }
    else if (reader->state == ANSWER_STATUS)
        refuse(reader, "the connection ended without an answer");
    else if (reader->state != ANSWER_COMPLETE && reader->state != ANSWER_BAD)
        refuse(reader, "the connection ended in the middle of the answer");
}

bool answer_keeps(const struct answer_reader *reader)
{
    return reader->state == ANSWER_COMPLETE && !reader->closes && (!reader->old || reader->keeps);
}
