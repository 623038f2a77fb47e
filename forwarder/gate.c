/* SPDX-License-Identifier: PostgreSQL
 *
 * gate.c: the header gate. libmicrohttpd's parser is older than RFC 9112 and lets requests through
 * that another parser could read as something else; that difference is how requests are smuggled.
 * Everything doubtful is refused here, and the connection closed. What the gate cannot see (bytes
 * that the parser has dropped) is made harmless in compose.c, which builds every request to a
 * function anew. Pure: no socket, no memory.
 */
#include <string.h>
#include <strings.h>

#include "forwarder.h"

/* RFC 9110 5.6.2: characters of a token. */
static bool is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
    {
        unsigned char byte = (unsigned char) text[i];

        if (!((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
              (byte >= 'A' && byte <= 'Z') ||
              (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL)))
            return false;
    }
    return length > 0;
}

/* RFC 9110 5.5: no control characters but TAB. */
static bool is_value(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
    {
        unsigned char byte = (unsigned char) text[i];

        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

static bool is_named(const struct header_field *field, const char *name)
{
    return field->name_length == strlen(name) &&
           strncasecmp(field->name, name, field->name_length) == 0;
}

static void refuse(struct gate_result *result, unsigned status, const char *problem)
{
    if (result->status == 0)
    {
        result->status = status;
        result->problem = problem;
    }
}

/* Only digits, and few enough of them not to overflow. */
static void read_length(struct gate_result *result, const struct header_field *field)
{
    if (result->has_length)
        refuse(result, 400, "more than one Content-Length");
    result->has_length = true;
    result->content_length = 0;
    if (field->value_length == 0 || field->value_length > 18)
        refuse(result, 400, "Content-Length is no number");
    for (size_t i = 0; i < field->value_length && result->status == 0; i++)
        if (field->value[i] < '0' || field->value[i] > '9')
            refuse(result, 400, "Content-Length is no number");
        else
            result->content_length =
                result->content_length * 10 + (uint64_t) (field->value[i] - '0');
}

static void read_encoding(struct gate_result *result, const struct header_field *field,
                          enum http_version version)
{
    if (result->chunked)
        refuse(result, 400, "more than one Transfer-Encoding");
    result->chunked = true;
    if (version == HTTP_1_0)
        refuse(result, 400, "Transfer-Encoding in HTTP/1.0");
    if (field->value_length != 7 || strncasecmp(field->value, "chunked", 7) != 0)
        refuse(result, 400, "Transfer-Encoding is not chunked");
}

/* Connection must not name a field that we pass on or that frames the message: a proxy in front
 * would have to drop it, and another would not. */
static void read_connection(struct gate_result *result, const struct header_field *field)
{
    static const char *const END_TO_END[] = {"x-hub-signature-256", "content-type",
                                             "content-length",      "transfer-encoding",
                                             "content-encoding",    "host"};
    const char *at = field->value, *end = at + field->value_length;

    while (at < end)
    {
        size_t length;

        at += strspn(at, " \t,");
        length = strcspn(at, " \t,");
        for (size_t i = 0; i < sizeof END_TO_END / sizeof *END_TO_END; i++)
            if (length == strlen(END_TO_END[i]) && strncasecmp(at, END_TO_END[i], length) == 0)
                refuse(result, 400, "Connection names a field that belongs to the message");
        at += length;
    }
}

static void read_host(struct gate_result *result, const struct header_field *field, bool *seen)
{
    if (*seen)
        refuse(result, 400, "more than one Host");
    *seen = true;
    if (strcspn(field->value, " \t,/@") != field->value_length)
        refuse(result, 400, "Host is no host");
}

/* A field that is passed on: where it may stand once only, twice is refused. */
static void keep(struct gate_result *result, const char **place, const struct header_field *field,
                 bool once)
{
    if (*place == NULL)
        *place = field->value;
    else if (once)
        refuse(result, 400, "a field that may stand once only stands twice");
}

/* Fields that are remembered; everything else is dropped. */
static bool keep_passed(struct gate_result *result, const struct header_field *field)
{
    const struct
    {
        const char *name;
        const char **place;
        bool once;
    } passed[] = {{"Content-Type", &result->content_type, true},
                  {"Content-Encoding", &result->content_encoding, true},
                  {"X-Hub-Signature-256", &result->signature, true},
                  {"User-Agent", &result->user_agent, false},
                  {"X-Correlation-ID", &result->correlation_id, false},
                  {"traceparent", &result->traceparent, false},
                  {"tracestate", &result->tracestate, false}};

    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (is_named(field, passed[i].name))
        {
            keep(result, passed[i].place, field, passed[i].once);
            return true;
        }
    return false;
}

static void read_field(struct gate_result *result, const struct header_field *field,
                       enum http_version version, bool *host)
{
    if (!is_token(field->name, field->name_length))
        refuse(result, 400, "a field name is no token");
    else if (!is_value(field->value, field->value_length))
        refuse(result, 400, "a field value holds a control character");
    else if (keep_passed(result, field))
        return;
    else if (is_named(field, "Host"))
        read_host(result, field, host);
    else if (is_named(field, "Content-Length"))
        read_length(result, field);
    else if (is_named(field, "Transfer-Encoding"))
        read_encoding(result, field, version);
    else if (is_named(field, "Connection"))
        read_connection(result, field);
    else if (is_named(field, "Expect"))
    {
        result->expects_continue = true;
        if (field->value_length != 12 || strncasecmp(field->value, "100-continue", 12) != 0)
            refuse(result, 417, "only 100-continue can be expected");
    }
}

size_t gate_size(const char *method, const char *target, const char *version,
                 const struct header_field *fields, size_t count)
{
    /* SP, SP, CRLF; and the empty line */
    size_t size = strlen(method) + 1 + strlen(target) + 1 + strlen(version) + 2 + 2;

    for (size_t i = 0; i < count; i++)
    {
        const struct header_field *field = &fields[i];
        size_t blank = (size_t) (field->value - (field->name + field->name_length + 1));

        /* colon, white space before the value, CRLF */
        size += field->name_length + 1 + blank + field->value_length + 2;
    }
    return size;
}

void gate_check(const struct header_field *fields, size_t count, enum http_version version,
                struct gate_result *result)
{
    bool host = false;

    memset(result, 0, sizeof *result);
    for (size_t i = 0; i < count; i++)
        read_field(result, &fields[i], version, &host);
    if (result->has_length && result->chunked)
        refuse(result, 400, "Content-Length and Transfer-Encoding");
    if (!host && version == HTTP_1_1)
        refuse(result, 400, "no Host");
}
