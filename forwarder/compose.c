/* SPDX-License-Identifier: PostgreSQL
 *
 * compose.c: the request to a function. It is built anew: what framing or header fields the client
 * sent, only what is named here goes on.
 */
#include <stdio.h>
#include <string.h>

#include "forwarder.h"

/* A name as a segment of a path, with its NUL (RFC 3986 2.3: unreserved characters stay). */
static bool encode_name(const char *name, char *text, size_t size)
{
    static const char DIGITS[] = "0123456789ABCDEF";

    for (; *name != '\0'; name++)
    {
        unsigned char byte = (unsigned char) *name;
        bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                     (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '.' || byte == '_' ||
                     byte == '~';

        if (size < 4)
            return false;
        *text++ = plain ? *name : '%';
        if (!plain)
        {
            *text++ = DIGITS[byte >> 4];
            *text++ = DIGITS[byte & 15];
        }
        size -= plain ? 1 : 3;
    }
    *text = '\0';
    return true;
}

/* URL of the target, or base and name; a name is encoded where a path needs it. */
bool compose_url(const struct delivery *delivery, char *url, size_t size)
{
    const char *base = delivery->worker->options->functions_url;
    size_t length;

    if (delivery->attempt.url != NULL)
        return snprintf(url, size, "%s", delivery->attempt.url) < (int) size;
    if (*base == '\0')
        return false;
    length = strlen(base);
    while (length > 0 && base[length - 1] == '/')
        length--;
    if (length + 1 >= size)
        return false;
    memcpy(url, base, length);
    url[length++] = '/';
    return encode_name(delivery->attempt.webhook, url + length, size - length);
}

/* Appends "name: value" or, without a value, "name:", which tells libcurl to leave the field out.
 */
static bool put_field(struct delivery *delivery, const char *name, const char *value)
{
    struct worker *worker = delivery->worker;
    struct buffer *text = &delivery->field_text;

    return buffer_append(worker, text, name, strlen(name)) &&
           buffer_append(worker, text, value == NULL || *value == '\0' ? ":" : ": ",
                         value == NULL || *value == '\0' ? 1 : 2) &&
           buffer_append(worker, text, value, value == NULL ? 0 : strlen(value)) &&
           buffer_append(worker, text, "", 1);
}

static bool put_optional_field(struct delivery *delivery, const char *name, const char *value)
{
    return value == NULL || *value == '\0' || put_field(delivery, name, value);
}

/* A part has a signature of its own. */
static const char *signature_of(const struct delivery *delivery)
{
    return delivery->signature[0] != '\0' ? delivery->signature
                                          : delivery->request->header.signature;
}

static bool put_percentage(struct delivery *delivery)
{
    char text[16];

    if (delivery->percentage < 0)
        return true;
    snprintf(text, sizeof text, "%d.%02d", delivery->percentage / 100, delivery->percentage % 100);
    return put_field(delivery, "X-Routing-Percentage", text);
}

/* The whole header but what libcurl computes (request line, Host, Content-Length). Nothing of the
 * client's goes through that is not named here. */
static bool put_fields(struct delivery *delivery)
{
    const struct request *request = delivery->request;
    const struct gate_result *header = &request->header;

    delivery->field_text.length = 0;
    return put_field(delivery, "Expect", NULL) && put_field(delivery, "Accept", NULL) &&
           put_field(delivery, "Content-Type", header->content_type) &&
           put_optional_field(delivery, "Content-Encoding", header->content_encoding) &&
           put_optional_field(delivery, "X-Hub-Signature-256", signature_of(delivery)) &&
           put_optional_field(delivery, "User-Agent", header->user_agent) &&
           put_optional_field(delivery, "traceparent", header->traceparent) &&
           put_optional_field(delivery, "tracestate", header->tracestate) &&
           put_field(delivery, "X-Correlation-ID", request->correlation_id) &&
           put_field(delivery, "X-Webhook-Domain",
                     delivery->domain == NULL ? "unknown" : delivery->domain) &&
           put_field(delivery, "X-Routed-From", "traffic-router") && put_percentage(delivery);
}

struct curl_slist *compose_fields(struct delivery *delivery)
{
    const struct secrets *secrets = delivery->request->secrets;
    struct buffer *text = &delivery->field_text;
    struct curl_slist *fields = delivery->fields;
    size_t count = 0;

    if (!put_fields(delivery))
        return NULL;
    for (char *at = text->data, *end = at + text->length; at < end; at += strlen(at) + 1)
        fields[count++].data = at;
    for (size_t i = 0; i < secrets->header_count; i++)
        fields[count++].data = secrets->headers[i].line;
    for (size_t i = 0; i < count; i++)
        fields[i].next = i + 1 < count ? &fields[i + 1] : NULL;
    return fields;
}
