/* SPDX-License-Identifier: PostgreSQL
 *
 * receive.c: a request from its request line to its last byte. libmicrohttpd calls, in this order:
 *
 *     receive_uri          the request line is known: a request is born
 *     receive_call         first without body: the gate, and what is to be done;
 *                          then for each piece of the body;
 *                          then once more when it is whole: the task begins
 *     receive_completed    the answer is sent, or the client is gone: the request dies
 *
 * A request that is refused has its body read and dropped first, within bounds, since an answer
 * followed by a reset may not arrive.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

/* A body's first memory; the rest comes with the bytes, so that announcing many takes none. */
#define FIRST_BUFFER ((size_t) 16 << 10)

/* ---- the request line ---- */

/* Raw, before anything is decoded. What is returned comes back as the request of every other
 * callback. */
void *receive_uri(void *context, const char *raw_uri, struct MHD_Connection *connection)
{
    struct worker *worker = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct client *client = info == NULL ? NULL : info->socket_context;
    struct request *request = client == NULL ? NULL : request_begin(worker, client);
    size_t length = strlen(raw_uri);

    if (request == NULL)
        return NULL;
    loop_disarm(&worker->loop, &client->timer);
    request->http = connection;
    request->task = TASK_REFUSE;
    request->refused = REFUSAL_LONG_TARGET;
    request->refusal = 414;
    request->problem = "the request target is too long";
    if (length <= URI_LIMIT)
    {
        memcpy(request->raw_uri, raw_uri, length + 1);
        request->refused = REFUSAL_NOTHING;
        request->refusal = 0;
    }
    return request;
}

/* ---- the header ---- */

static void receive_refuse(struct request *request, enum refusal refused, unsigned status,
                           const char *problem)
{
    if (request->refusal != 0)
        return;
    request->task = TASK_REFUSE;
    request->refused = refused;
    request->refusal = status;
    request->problem = problem;
}

struct field_list
{
    struct header_field fields[HEADER_COUNT_LIMIT];
    size_t count;
};

static enum MHD_Result receive_field(void *context, enum MHD_ValueKind kind, const char *name,
                                     size_t name_length, const char *value, size_t value_length)
{
    struct field_list *list = context;

    (void) kind;
    if (list->count == HEADER_COUNT_LIMIT)
    {
        list->count++;
        return MHD_NO;
    }
    list->fields[list->count++] =
        (struct header_field){name, value == NULL ? "" : value, name_length, value_length};
    return MHD_YES;
}

/* Whether the fields are all that the client sent: libmicrohttpd joins folded lines, ends a line at
 * a bare LF or CR, and a text at a NUL, and says nothing. (From 1.0 on it refuses them itself, and
 * its fields need not lie where they were received.) */
static bool receive_has_all(const struct request *request, const char *method, const char *version,
                            const struct field_list *list, size_t size)
{
    return MHD_VERSION >= 0x01000000 ||
           gate_size(method, request->raw_uri, version, list->fields, list->count) == size;
}

/* The header gate. What it refuses is answered at once, and the connection closes: after a doubtful
 * header nobody knows where the next request begins. */
static void receive_gate(struct request *request, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->http, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t size = info == NULL ? 0 : info->header_size;
    struct field_list list = {.count = 0};
    bool old = strcmp(version, "HTTP/1.0") == 0;

    MHD_get_connection_values_n(request->http, MHD_HEADER_KIND, receive_field, &list);
    if (!old && strcmp(version, "HTTP/1.1") != 0)
        receive_refuse(request, REFUSAL_VERSION, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    else if (list.count > HEADER_COUNT_LIMIT || size > request->worker->options->max_header)
        receive_refuse(request, REFUSAL_LONG_HEADER, 431, "the header is too long");
    else
    {
        gate_check(list.fields, list.count, old ? HTTP_1_0 : HTTP_1_1, &request->header);
        if (request->header.status != 0)
            receive_refuse(request, REFUSAL_FRAMING, request->header.status,
                           request->header.problem);
        else if (!receive_has_all(request, method, version, &list, size))
            receive_refuse(request, REFUSAL_FRAMING, 400,
                           "a folded line, a NUL, or a line that CRLF does not end");
    }
    request->close = request->refusal != 0;
}

static void receive_correlate(struct request *request)
{
    const char *given = request->header.correlation_id;
    uint8_t id[16];

    if (given != NULL && identity_is_correlation(given))
        strcpy(request->correlation_id, given);
    else
    {
        identity_make(id);
        identity_print(id, request->correlation_id);
    }
}

/* ---- the signature ---- */

/* What a client is told says nothing of how near it came. */
static void receive_refuse_signature(struct request *request, enum signature_verdict verdict)
{
    struct log_line line;

    if (verdict == SIGNATURE_UNKNOWN)
    {
        receive_refuse(request, REFUSAL_MEMORY, 503, "out of memory");
        return;
    }
    receive_refuse(request, REFUSAL_SIGNATURE, 401,
                   "the webhook is not signed with the app's secret");
    if (!log_begin_limited(&line, LOG_WARNING, EVENT_SIGNATURE_REFUSED,
                           "a webhook was refused: no X-Hub-Signature-256, or not the right one"))
        return;
    log_text(&line, "signature", signature_verdict_name(verdict));
    log_text(&line, "correlation_id", request->correlation_id);
    log_end(&line);
}

static bool receive_must_be_signed(const struct request *request)
{
    return request->secrets->signing.count > 0;
}

/* Whether the field can be a signature, before the body has come. */
static void receive_begin_signature(struct request *request)
{
    enum signature_verdict verdict;

    if (request->refusal != 0 || !receive_must_be_signed(request))
        return;
    verdict =
        signature_begin(&request->signature, &request->secrets->signing, request->header.signature);
    if (verdict != SIGNATURE_RIGHT)
        receive_refuse_signature(request, verdict);
}

/* Whether it is the body's. */
static void receive_end_signature(struct request *request)
{
    enum signature_verdict verdict;

    if (!receive_must_be_signed(request))
        return;
    verdict = signature_end(&request->signature);
    if (verdict != SIGNATURE_RIGHT)
        receive_refuse_signature(request, verdict);
}

/* ---- admission ---- */

/* What can be told before the body has come. */
static void receive_admit(struct request *request)
{
    struct worker *worker = request->worker;
    const struct gate_result *header = &request->header;
    size_t first = header->content_length < FIRST_BUFFER ? header->content_length : FIRST_BUFFER;

    if (header->has_length && header->content_length > worker->options->max_body)
        receive_refuse(request, REFUSAL_LONG_BODY, 413, "the body is too long");
    receive_begin_signature(request);
    if (request->refusal != 0)
        return;
    if (worker->in_flight >= worker->max_in_flight)
        receive_refuse(request, REFUSAL_IN_FLIGHT, 503, "too many webhooks are in hand");
    else if (outcomes_full(worker))
        receive_refuse(request, REFUSAL_LOG_QUEUE, 503, "too many log rows wait for the database");
    else if (!buffer_reserve(worker, &request->body, first))
        receive_refuse(request, REFUSAL_BUFFER, 503, "too many bytes are in hand");
}

static void receive_route(struct request *request, const char *method)
{
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    char mode[32];
    size_t length;

    uri_read(request->raw_uri, request->worker->options->path_prefix, &request->uri);
    if (request->uri.kind == URI_UNKNOWN)
        receive_refuse(request, REFUSAL_PATH, 404, "there is nothing here");
    else if (strcmp(method, "POST") == 0)
    {
        request->task = TASK_RELAY;
        receive_admit(request);
    }
    else if (get && request->uri.kind == URI_ROOT)
        request->task = uri_parameter(request->uri.query, "hub.mode", mode, sizeof mode, &length)
                            ? TASK_VERIFY
                            : TASK_HEALTH;
    else
    {
        request->allow = request->uri.kind == URI_ROOT ? "GET, HEAD, POST" : "POST";
        receive_refuse(request, REFUSAL_METHOD, 405, "this method is not allowed here");
    }
}

/* Whether a refused request is answered before its body has come: the client asked first, or the
 * body is too long to be dropped, or its end is in doubt. */
static bool receive_answers_early(const struct request *request)
{
    const struct gate_result *header = &request->header;

    return request->refusal != 0 &&
           (request->close || header->expects_continue ||
            (header->has_length && header->content_length > DISCARD_LIMIT));
}

static void receive_header(struct request *request, const char *method, const char *version)
{
    struct worker *worker = request->worker;

    if (request->refusal == 0)
        receive_gate(request, method, version);
    else
        request->close = true;
    receive_correlate(request);
    if (request->refusal == 0)
        receive_route(request, method);
    if (receive_answers_early(request))
        reply_problem(request, request->refusal, request->problem);
    else
        request_enter(request, REQUEST_BODY,
                      worker->loop.now_us + worker->options->receive_timeout);
}

/* ---- the body ---- */

static void receive_piece(struct request *request, const char *bytes, size_t length)
{
    struct worker *worker = request->worker;

    if (request->task == TASK_RELAY)
    {
        if (request->body.length + length > worker->options->max_body)
            receive_refuse(request, REFUSAL_LONG_BODY, 413, "the body is too long");
        else if (!buffer_append(worker, &request->body, bytes, length))
            receive_refuse(request, REFUSAL_BUFFER, 503, "too many bytes are in hand");
        else if (receive_must_be_signed(request) &&
                 !signature_update(&request->signature, bytes, length))
            receive_refuse_signature(request, SIGNATURE_UNKNOWN);
        if (request->refusal == 0)
            return;
        buffer_reset(worker, &request->body, 0);
    }
    request->discarded += length;
    if (request->discarded > DISCARD_LIMIT)
        client_cut(request->client);
}

/* A webhook is in hand from here on. It is not while its body arrives, or slow clients could keep
 * all others out. */
static void receive_relay(struct request *request)
{
    struct worker *worker = request->worker;

    receive_end_signature(request);
    if (worker->in_flight >= worker->max_in_flight)
        receive_refuse(request, REFUSAL_IN_FLIGHT, 503, "too many webhooks are in hand");
    if (request->refusal != 0)
    {
        reply_problem(request, request->refusal, request->problem);
        return;
    }
    request->in_flight = true;
    worker->in_flight++;
    MHD_suspend_connection(request->http);
    request->suspended = true;
    decide_begin(request);
}

/* The request is whole: its task begins. */
static void receive_whole(struct request *request)
{
    request->arrived_us = loop_clock();
    switch (request->task)
    {
    case TASK_REFUSE:
        reply_problem(request, request->refusal, request->problem);
        break;
    case TASK_VERIFY:
        greeting_verify(request);
        break;
    case TASK_HEALTH:
        greeting_health(request);
        break;
    case TASK_RELAY:
        receive_relay(request);
        break;
    }
}

enum MHD_Result receive_call(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *bytes,
                             size_t *length, void **request_context)
{
    struct worker *worker = context;
    struct request *request = *request_context;

    (void) url;
    if (request == NULL) /* no memory for a request */
    {
        metric_count(&worker->metrics.refused[REFUSAL_MEMORY], 1);
        metric_count(&worker->metrics.responses[REQUEST_IS_REFUSED][503], 1);
        return MHD_queue_response(connection, 503, worker->exhausted);
    }
    switch (request->state)
    {
    case REQUEST_HEADER:
        receive_header(request, method, version);
        return MHD_YES;
    case REQUEST_BODY:
        if (*length > 0)
            receive_piece(request, bytes, *length);
        else
            receive_whole(request);
        *length = 0;
        return MHD_YES;
    default: /* resumed without an answer, for want of memory */
        return MHD_NO;
    }
}

void receive_completed(void *context, struct MHD_Connection *connection, void **request_context,
                       enum MHD_RequestTerminationCode code)
{
    struct worker *worker = context;
    struct request *request = *request_context;
    struct client *client;

    (void) connection;
    (void) code;
    if (request == NULL)
        return;
    *request_context = NULL;
    client = request->client;
    request_end(request);
    client_wait(client, worker->options->idle_timeout);
}
