/* SPDX-License-Identifier: PostgreSQL
 *
 * compose.c: the request to a function. It is built anew: what framing or header fields the client
 * sent, only what is named here goes on.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "decimal.h"
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

static bool put(struct delivery *delivery, const char *text, size_t length)
{
    return buffer_append(delivery->worker, &delivery->head, text, length);
}

/* A field, unless it has no value. `name` brings its colon and blank. */
static bool put_field(struct delivery *delivery, const char *name, const char *value)
{
    return value == NULL || *value == '\0' ||
           (put(delivery, name, strlen(name)) && put(delivery, value, strlen(value)) &&
            put(delivery, "\r\n", 2));
}

/* A part has a signature of its own. */
static const char *signature_of(const struct delivery *delivery)
{
    return delivery->signature[0] != '\0' ? delivery->signature
                                          : delivery->request->header.signature;
}

static bool put_percentage(struct delivery *delivery)
{
    char text[DECIMAL_SIZE];

    if (delivery->percentage < 0)
        return true;
    decimal_print_hundredths(text, (uint64_t) delivery->percentage);
    return put_field(delivery, "X-Routing-Percentage: ", text);
}

/* What is configured; its Authorization takes the place of one that the URL gives. */
static bool put_configured(struct delivery *delivery, const char *authorization)
{
    const struct secrets *secrets = delivery->request->secrets;

    for (size_t i = 0; i < secrets->header_count; i++)
    {
        const struct configured_header *header = &secrets->headers[i];

        if (header->name_length == 13 && strncasecmp(header->line, "Authorization", 13) == 0)
            authorization = NULL;
        if (!put(delivery, header->line, strlen(header->line)) || !put(delivery, "\r\n", 2))
            return false;
    }
    return put_field(delivery, "Authorization: ", authorization);
}

static bool put_length(struct delivery *delivery)
{
    char text[DECIMAL_SIZE];

    decimal_print(text, delivery->body_length);
    return put_field(delivery, "Content-Length: ", text) && put(delivery, "\r\n", 2);
}

/* Nothing of the client's goes through that is not named here. */
bool compose_head(struct delivery *delivery, const struct upstream_url *url)
{
    const struct request *request = delivery->request;
    const struct gate_result *header = &request->header;

    delivery->head.length = 0;
    return put(delivery, url->start, url->start_length) &&
           put_field(delivery, "Content-Type: ", header->content_type) &&
           put_field(delivery, "Content-Encoding: ", header->content_encoding) &&
           put_field(delivery, "X-Hub-Signature-256: ", signature_of(delivery)) &&
           put_field(delivery, "User-Agent: ", header->user_agent) &&
           put_field(delivery, "traceparent: ", header->traceparent) &&
           put_field(delivery, "tracestate: ", header->tracestate) &&
           put_field(delivery, "X-Correlation-ID: ", request->correlation_id) &&
           put_field(delivery, "X-Webhook-Domain: ",
                     delivery->domain == NULL ? "unknown" : delivery->domain) &&
           put_field(delivery, "X-Routed-From: ", "traffic-router") && put_percentage(delivery) &&
           put_configured(delivery, url->authorization) && put_length(delivery);
}
