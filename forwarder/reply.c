/* SPDX-License-Identifier: PostgreSQL
 *
 * reply.c: the answer to the client. Every request is answered here, whatever became of it, and
 * once. For a suspended connection the answer is queued first and the connection resumed then: the
 * other way round libmicrohttpd would ask again what to do.
 */
#include <string.h>

#include "decimal.h"
#include "forwarder.h"

/* 503 and what else says "come again" tells when. */
#define RETRY_AFTER "1"

static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Appends as much of a string as there is room for before `end`; returns where its NUL is. */
static char *append(char *at, const char *end, const char *string)
{
    size_t length = strnlen(string, (size_t) (end - at - 1));

    memcpy(at, string, length);
    at[length] = '\0';
    return at + length;
}

/* Where it went in the end; and the decision, with a word when it was not followed. */
static bool add_decision(struct MHD_Response *response, const struct delivery *delivery)
{
    char text[192], *at = text;

    at = append(at, text + sizeof text, route_side_name(delivery->side));
    at = append(at, text + sizeof text, "; reason=");
    at = append(at, text + sizeof text, delivery->reason);
    if (delivery->attempt.number > 1)
        append(at, text + sizeof text, "; fallback");
    return add(response, "X-Routed-To", delivery->attempt.webhook) &&
           add(response, "X-Routing-Decision", text);
}

/* A split webhook went to several. */
static bool add_parts(struct MHD_Response *response, const struct request *request)
{
    char names[1024], text[64];
    size_t length = 0;

    for (const struct delivery *part = request->deliveries; part != NULL; part = part->next)
    {
        size_t size = strlen(part->attempt.webhook);

        if (length + size + 3 > sizeof names)
            break;
        length += (size_t) snprintf(names + length, sizeof names - length, "%s%s",
                                    length > 0 ? ", " : "", part->attempt.webhook);
    }
    snprintf(text, sizeof text, "split; reason=%s; parts=%zu",
             route_reason_name(ROUTE_REASON_MIXED_BATCH), request->delivery_count);
    return add(response, "X-Routed-To", names) && add(response, "X-Routing-Decision", text);
}

static bool add_routing(struct MHD_Response *response, const struct request *request)
{
    if (request->delivery_count == 0)
        return true;
    return request->delivery_count == 1 ? add_decision(response, request->deliveries)
                                        : add_parts(response, request);
}

/* Whether the connection ends with this answer. With as many as there may be, others wait to be
 * accepted: one that is kept idle would keep them out for as long as it likes. */
static bool reply_closes(const struct request *request)
{
    const struct worker *worker = request->worker;

    return request->close || worker->draining || worker->client_count >= worker->max_connections;
}

/* Whether a 503 is ours: a function's own has no Retry-After of ours. */
static bool is_ours(const struct request *request)
{
    return request->delivery_count != 1 || request->deliveries->problem != NULL;
}

static bool add_all(const struct request *request, struct MHD_Response *response, unsigned status,
                    uint64_t elapsed_us)
{
    char elapsed[DECIMAL_SIZE];

    if (request->arrived_us != 0)
    {
        decimal_print_hundredths(elapsed, (elapsed_us + 5) / 10);
        if (!add(response, "X-Response-Time-Ms", elapsed))
            return false;
    }
    if (request->correlation_id[0] != '\0' &&
        !add(response, "X-Correlation-ID", request->correlation_id))
        return false;
    if (status == 503 && is_ours(request) && !add(response, "Retry-After", RETRY_AFTER))
        return false;
    if (request->refusal == 401 && !add(response, "WWW-Authenticate", "X-Hub-Signature-256"))
        return false;
    if (request->allow != NULL && !add(response, "Allow", request->allow))
        return false;
    if (reply_closes(request) && !add(response, "Connection", "close"))
        return false;
    return add_routing(response, request);
}

/* Queues the answer and lets the connection go on. Without memory for it the connection is cut,
 * which tells a client to come again as well. */
static void reply_send(struct request *request, unsigned status, struct MHD_Response *response)
{
    struct worker *worker = request->worker;
    uint64_t elapsed_us = request->arrived_us == 0 ? 0 : loop_clock() - request->arrived_us;
    bool good = response != NULL && add_all(request, response, status, elapsed_us) &&
                MHD_queue_response(request->http, status, response) == MHD_YES;

    if (response != NULL)
        MHD_destroy_response(response);
    request_enter(request, REQUEST_REPLYING, worker->loop.now_us + worker->options->send_timeout);
    if (good)
        metrics_answered(request, status, elapsed_us);
    else
        client_cut(request->client);
    if (request->suspended)
    {
        request->suspended = false;
        MHD_resume_connection(request->http);
    }
    worker->http_due = true;
}

/* The bytes live in the request, which lives until the answer has been sent. */
static struct MHD_Response *reply_make(const char *type, const char *bytes, size_t length)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, (void *) bytes, MHD_RESPMEM_PERSISTENT);

    if (response != NULL && type != NULL && *type != '\0' && !add(response, "Content-Type", type))
    {
        MHD_destroy_response(response);
        return NULL;
    }
    return response;
}

void reply_bytes(struct request *request, unsigned status, const char *type, const char *bytes,
                 size_t length)
{
    reply_send(request, status, reply_make(type, bytes, length));
}

void reply_problem(struct request *request, unsigned status, const char *problem)
{
    char text[512];
    size_t length = 10;

    memcpy(text, "{\"error\": ", length);
    length = log_json_string(text, length, sizeof text - 2, problem);
    text[length++] = '}';
    text[length++] = '\n';
    request->reply.length = 0;
    if (buffer_append(request->worker, &request->reply, text, length))
        reply_bytes(request, status, "application/json", request->reply.data, length);
    else
        reply_bytes(request, status, NULL, "", 0);
}

void reply_refuse(struct request *request, enum refusal refused, unsigned status,
                  const char *problem)
{
    request->refused = refused;
    reply_problem(request, status, problem);
}

/* ---- deliveries ---- */

/* The function's answer: its body, type and encoding. */
static void reply_relay(struct request *request, const struct delivery *delivery)
{
    const struct answer *answer = &delivery->answer;
    struct MHD_Response *response =
        reply_make(answer->reader.content_type, answer->body.data, answer->body.length);

    if (response != NULL && answer->reader.content_encoding[0] != '\0' &&
        !add(response, "Content-Encoding", answer->reader.content_encoding))
    {
        MHD_destroy_response(response);
        response = NULL;
    }
    reply_send(request, delivery->status, response);
}

/* All parts well: 200 without a body. Else the worst status: everything is delivered again. */
static void reply_parts(struct request *request)
{
    unsigned status = 200;

    for (const struct delivery *part = request->deliveries; part != NULL; part = part->next)
        status = relay_worse(status, part->status);
    if (status == 200)
        reply_bytes(request, 200, NULL, "", 0);
    else
        reply_problem(request, status, "a part of the webhook was not accepted");
}

void reply_delivered(struct request *request)
{
    const struct delivery *only = request->deliveries;

    if (request->delivery_count > 1)
        reply_parts(request);
    else if (only->problem == NULL)
        reply_relay(request, only);
    else
        reply_problem(request, only->status, only->problem);
}
