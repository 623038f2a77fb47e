/* SPDX-License-Identifier: PostgreSQL
 *
 * reply.c: the answer to the client. Every request is answered here, whatever became of it, and
 * once. For a suspended connection the answer is queued first and the connection resumed then: the
 * other way round libmicrohttpd would ask again what to do.
 */
#include <string.h>

#include "forwarder.h"

/* 503 and what else says "come again" tells when. */
#define RETRY_AFTER "1"

static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Where it went in the end; and the decision, with a word when it was not followed. */
static bool add_decision(const struct request *request, struct MHD_Response *response)
{
    const struct decision *decision = &request->decision;
    const struct attempt *attempt = &request->attempt;
    char text[192];

    if (attempt->webhook == NULL)
        return true;
    snprintf(text, sizeof text, "%s; reason=%s%s", decision->side, decision->reason,
             attempt->number > 1 ? "; fallback" : "");
    return add(response, "X-Routed-To", attempt->webhook) &&
           add(response, "X-Routing-Decision", text);
}

static bool add_all(const struct request *request, struct MHD_Response *response, unsigned status)
{
    char elapsed[32];

    if (request->arrived_us != 0)
    {
        snprintf(elapsed, sizeof elapsed, "%.2f",
                 (double) (loop_clock() - request->arrived_us) / 1000);
        if (!add(response, "X-Response-Time-Ms", elapsed))
            return false;
    }
    if (request->correlation_id[0] != '\0' &&
        !add(response, "X-Correlation-ID", request->correlation_id))
        return false;
    if (status == 503 && request->attempt.upstream == NULL &&
        !add(response, "Retry-After", RETRY_AFTER))
        return false;
    if (request->refusal == 401 && !add(response, "WWW-Authenticate", "X-Hub-Signature-256"))
        return false;
    if (request->allow != NULL && !add(response, "Allow", request->allow))
        return false;
    if ((request->close || request->worker->draining) && !add(response, "Connection", "close"))
        return false;
    return add_decision(request, response);
}

/* Queues the answer and lets the connection go on. Without memory for it the connection is cut,
 * which tells a client to come again as well. */
static void reply_send(struct request *request, unsigned status, struct MHD_Response *response)
{
    struct worker *worker = request->worker;
    bool good = response != NULL && add_all(request, response, status) &&
                MHD_queue_response(request->http, status, response) == MHD_YES;

    if (response != NULL)
        MHD_destroy_response(response);
    request_enter(request, REQUEST_REPLYING, worker->loop.now_us + worker->options->send_timeout);
    if (!good)
        receive_cut(request->client);
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

void reply_relay(struct request *request, unsigned status)
{
    const struct upstream *upstream = request->attempt.upstream;
    struct MHD_Response *response =
        reply_make(upstream->content_type, request->reply.data, request->reply.length);

    if (response != NULL && upstream->content_encoding[0] != '\0' &&
        !add(response, "Content-Encoding", upstream->content_encoding))
    {
        MHD_destroy_response(response);
        response = NULL;
    }
    reply_send(request, status, response);
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
