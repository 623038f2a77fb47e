/* SPDX-License-Identifier: PostgreSQL
 *
 * forward.c: one attempt at one function, over libcurl's multi interface on the worker's loop.
 *
 * A POST never reaches a function twice by our doing. libcurl sends a request again, silently, when
 * a connection it had kept dies before the first byte of the answer; the second call of
 * upstream_before_sending() for one attempt forbids that. The same call tells what matters most
 * when an attempt fails: before it nothing was sent, after it nobody knows.
 *
 * libcurl's sockets stay in the epoll set between two requests, so that a kept connection costs no
 * system call. An event on a socket that libcurl does not wait for takes it out of the set. Sockets
 * that libcurl opens for itself (name resolution) are not kept.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forwarder.h"

#define UPSTREAM_BUFFER 16384L
#define LEAST_ATTEMPT_US 50000 /* with less time left there is no second attempt */

/* ---- libcurl's sockets and timer on the loop ---- */

struct upstream_socket
{
    struct loop_source source;
    uint32_t wanted; /* events that libcurl waits for */
    bool kept;       /* stays in the epoll set between requests */
};

static void upstream_event(struct loop_source *source, uint32_t events)
{
    struct worker *worker = source->owner;
    struct upstream_socket *socket = (struct upstream_socket *) source;
    int running, what = 0;

    if (socket->wanted == 0)
    {
        loop_forget(&worker->loop, source);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP))
        what |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (events & EPOLLERR)
        what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(worker->multi, source->fd, what, &running);
}

/* The entry of an fd, made when there is none; NULL when memory is used up. */
static struct upstream_socket *upstream_socket_of(struct worker *worker, int fd)
{
    size_t place = (size_t) fd;

    if (place >= worker->socket_count)
    {
        size_t count = place * 2 + 64;
        struct upstream_socket **sockets =
            realloc(worker->sockets, count * sizeof(*worker->sockets));

        if (sockets == NULL)
            return NULL;
        memset(sockets + worker->socket_count, 0,
               (count - worker->socket_count) * sizeof(*sockets));
        worker->sockets = sockets;
        worker->socket_count = count;
    }
    if (worker->sockets[place] == NULL)
    {
        struct upstream_socket *socket = calloc(1, sizeof *socket);

        if (socket == NULL)
            return NULL;
        socket->source = (struct loop_source){.fd = fd, .ready = upstream_event, .owner = worker};
        worker->sockets[place] = socket;
    }
    return worker->sockets[place];
}

static int upstream_wants(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    struct worker *worker = context;
    struct upstream_socket *socket = upstream_socket_of(worker, fd);

    (void) easy;
    (void) unused;
    if (socket == NULL)
        return -1;
    socket->wanted = what == CURL_POLL_IN      ? EPOLLIN
                     : what == CURL_POLL_OUT   ? EPOLLOUT
                     : what == CURL_POLL_INOUT ? EPOLLIN | EPOLLOUT
                                               : 0;
    if (socket->wanted == 0)
    {
        if (!socket->kept)
            loop_forget(&worker->loop, &socket->source);
        return 0;
    }
    return loop_watch(&worker->loop, &socket->source, socket->wanted) ? 0 : -1;
}

static int upstream_wakes(CURLM *multi, long milliseconds, void *context)
{
    struct worker *worker = context;

    (void) multi;
    if (milliseconds == 0)
        worker->upstream_due = true;
    else if (milliseconds < 0)
        loop_disarm(&worker->loop, &worker->upstream_timer);
    else
        loop_arm(&worker->loop, &worker->upstream_timer,
                 worker->loop.now_us + (uint64_t) milliseconds * 1000);
    return 0;
}

static void upstream_timer_expired(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;

    worker->upstream_due = true;
}

/* ---- callbacks of one transfer ---- */

static curl_socket_t upstream_open_socket(void *context, curlsocktype purpose,
                                          struct curl_sockaddr *address)
{
    struct upstream *upstream = context;
    struct upstream_socket *socket_entry;
    const char *refused = limits_refused_address(&address->addr);
    int fd;

    (void) purpose;
    if (refused != NULL)
    {
        upstream->refused = refused;
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    socket_entry = upstream_socket_of(upstream->request->worker, fd);
    if (socket_entry == NULL)
    {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    socket_entry->source.watched = 0; /* a new socket under an old number */
    socket_entry->wanted = 0;
    socket_entry->kept = true;
    return fd;
}

static int upstream_close_socket(void *context, curl_socket_t fd)
{
    struct worker *worker = context;

    if ((size_t) fd < worker->socket_count && worker->sockets[fd] != NULL)
    {
        loop_forget(&worker->loop, &worker->sockets[fd]->source);
        worker->sockets[fd]->kept = false;
    }
    return close(fd);
}

static int upstream_before_sending(void *context, char *peer, char *local, int peer_port,
                                   int local_port)
{
    struct upstream *upstream = context;

    (void) peer;
    (void) local;
    (void) peer_port;
    (void) local_port;
    return ++upstream->sent == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t upstream_body(char *bytes, size_t size, size_t count, void *context)
{
    struct upstream *upstream = context;
    struct request *request = upstream->request;

    (void) size;
    if (request->reply.length + count > request->worker->options->max_reply ||
        !buffer_append(request->worker, &request->reply, bytes, count))
    {
        upstream->refused = "the answer is too long";
        return 0;
    }
    return count;
}

/* Copies the value of `line` when it is the field `name`; false when it is another one. */
static bool take_field(const char *line, size_t length, const char *name, char *value, size_t size)
{
    size_t name_length = strlen(name);

    if (length <= name_length || line[name_length] != ':' ||
        strncasecmp(line, name, name_length) != 0)
        return false;
    line += name_length + 1;
    length -= name_length + 1;
    while (length > 0 && (*line == ' ' || *line == '\t'))
        line++, length--;
    while (length > 0 && (unsigned char) line[length - 1] <= ' ')
        length--;
    if (length >= size)
        length = 0; /* unusable; better none than half */
    memcpy(value, line, length);
    value[length] = '\0';
    return true;
}

/* Every header line of the answer, interim answers (100, 103) included. */
static size_t upstream_header(char *line, size_t size, size_t count, void *context)
{
    struct upstream *upstream = context;
    char length[32];

    (void) size;
    if (count >= 5 && memcmp(line, "HTTP/", 5) == 0)
    {
        upstream->content_type[0] = upstream->content_encoding[0] = '\0';
        upstream->has_length = upstream->is_chunked = false;
    }
    else if (take_field(line, count, "Content-Length", length, sizeof length))
    {
        if (upstream->has_length && upstream->length != atoll(length))
        {
            upstream->refused = "the answer has two lengths";
            return 0;
        }
        upstream->has_length = true;
        upstream->length = atoll(length);
    }
    else if (take_field(line, count, "Transfer-Encoding", length, sizeof length))
        upstream->is_chunked = true;
    else if (!take_field(line, count, "Content-Type", upstream->content_type,
                         sizeof upstream->content_type))
        (void) take_field(line, count, "Content-Encoding", upstream->content_encoding,
                          sizeof upstream->content_encoding);
    if (!upstream->has_length || !upstream->is_chunked)
        return count;
    upstream->refused = "the answer has a length and an encoding";
    return 0;
}

/* ---- the pool of handles ---- */

/* What never changes from one attempt to the next. */
static bool upstream_configure(struct upstream *upstream, struct worker *worker)
{
    CURL *easy = upstream->easy;
    CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
    if (code == CURLE_OK)                                                                          \
    code = curl_easy_setopt(easy, option, value)
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_BUFFERSIZE, UPSTREAM_BUFFER);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_MAXAGE_CONN, IDLE_UPSTREAM_SECONDS);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long) (worker->options->connect_timeout / 1000));
    SET(CURLOPT_ERRORBUFFER, upstream->error);
    SET(CURLOPT_PRIVATE, upstream);
    SET(CURLOPT_PREREQFUNCTION, upstream_before_sending);
    SET(CURLOPT_PREREQDATA, upstream);
    SET(CURLOPT_OPENSOCKETFUNCTION, upstream_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, upstream);
    SET(CURLOPT_CLOSESOCKETFUNCTION, upstream_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, worker);
    SET(CURLOPT_WRITEFUNCTION, upstream_body);
    SET(CURLOPT_WRITEDATA, upstream);
    SET(CURLOPT_HEADERFUNCTION, upstream_header);
    SET(CURLOPT_HEADERDATA, upstream);
#undef SET
    return code == CURLE_OK;
}

static struct upstream *upstream_take(struct request *request)
{
    struct worker *worker = request->worker;
    struct upstream *upstream = worker->upstream_pool;

    if (upstream != NULL)
        worker->upstream_pool = upstream->next;
    else if ((upstream = calloc(1, sizeof *upstream)) == NULL ||
             (upstream->easy = curl_easy_init()) == NULL || !upstream_configure(upstream, worker))
    {
        if (upstream != NULL)
            curl_easy_cleanup(upstream->easy);
        free(upstream);
        return NULL;
    }
    upstream->request = request;
    upstream->sent = 0;
    upstream->refused = NULL;
    upstream->has_length = upstream->is_chunked = false;
    upstream->content_type[0] = upstream->content_encoding[0] = upstream->error[0] = '\0';
    return upstream;
}

static void upstream_give_back(struct request *request)
{
    struct upstream *upstream = request->attempt.upstream;

    if (upstream == NULL)
        return;
    curl_multi_remove_handle(request->worker->multi, upstream->easy);
    upstream->request = NULL;
    upstream->next = request->worker->upstream_pool;
    request->worker->upstream_pool = upstream;
    request->attempt.upstream = NULL;
}

/* ---- what is sent ---- */

/* URL of the target, or base and name; a name is encoded where a path needs it. */
static bool forward_url(const struct request *request, char *url, size_t size)
{
    const char *base = request->worker->options->functions_url;
    size_t length;

    if (request->attempt.url != NULL)
        return snprintf(url, size, "%s", request->attempt.url) < (int) size;
    if (*base == '\0')
        return false;
    length = strlen(base);
    while (length > 0 && base[length - 1] == '/')
        length--;
    if (length + 1 >= size)
        return false;
    memcpy(url, base, length);
    url[length++] = '/';
    for (const char *at = request->attempt.webhook; *at != '\0'; at++)
    {
        bool plain = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
                     (*at >= 'A' && *at <= 'Z') || strchr("-._~", *at) != NULL;

        if (length + 4 >= size)
            return false;
        length += (size_t) snprintf(url + length, size - length, plain ? "%c" : "%%%02X",
                                    (unsigned char) *at);
    }
    return true;
}

/* Appends "name: value" or, without a value, "name:", which tells libcurl to leave the field out.
 */
static bool put_field(struct request *request, const char *name, const char *value)
{
    struct worker *worker = request->worker;
    struct buffer *text = &request->field_text;

    return buffer_append(worker, text, name, strlen(name)) &&
           buffer_append(worker, text, value == NULL || *value == '\0' ? ":" : ": ",
                         value == NULL || *value == '\0' ? 1 : 2) &&
           buffer_append(worker, text, value, value == NULL ? 0 : strlen(value)) &&
           buffer_append(worker, text, "", 1);
}

static bool put_optional_field(struct request *request, const char *name, const char *value)
{
    return value == NULL || *value == '\0' || put_field(request, name, value);
}

/* The whole header but what libcurl computes (request line, Host, Content-Length). Nothing of the
 * client's goes through that is not named here. */
static bool put_fields(struct request *request)
{
    const struct gate_result *header = &request->header;
    const struct decision *decision = &request->decision;

    request->field_text.length = 0;
    return put_field(request, "Expect", NULL) && put_field(request, "Accept", NULL) &&
           put_field(request, "Content-Type", header->content_type) &&
           put_optional_field(request, "Content-Encoding", header->content_encoding) &&
           put_optional_field(request, "X-Hub-Signature-256", header->signature) &&
           put_optional_field(request, "User-Agent", header->user_agent) &&
           put_optional_field(request, "traceparent", header->traceparent) &&
           put_optional_field(request, "tracestate", header->tracestate) &&
           put_field(request, "X-Correlation-ID", request->correlation_id) &&
           put_field(request, "X-Webhook-Domain",
                     decision->domain == NULL ? "unknown" : decision->domain) &&
           put_field(request, "X-Routed-From", "traffic-router") &&
           put_optional_field(request, "X-Routing-Percentage", decision->percentage);
}

/* Links the fields into the list that libcurl reads. */
static struct curl_slist *forward_fields(struct request *request)
{
    const struct setup *setup = request->worker->setup;
    size_t count = 0;

    if (!put_fields(request))
        return NULL;
    for (char *at = request->field_text.data, *end = at + request->field_text.length; at < end;
         at += strlen(at) + 1)
        request->fields[count++].data = at;
    for (size_t i = 0; i < setup->header_count; i++)
        request->fields[count++].data = setup->headers[i].line;
    for (size_t i = 0; i < count; i++)
        request->fields[i].next = i + 1 < count ? &request->fields[i + 1] : NULL;
    return request->fields;
}

/* Hands the request to libcurl; false when that was impossible, and nothing was sent. */
static bool forward_start(struct request *request)
{
    struct attempt *attempt = &request->attempt;
    struct curl_slist *fields = forward_fields(request);
    struct upstream *upstream = fields == NULL ? NULL : upstream_take(request);
    char url[4096];
    bool good;

    if (upstream == NULL)
        return false;
    attempt->upstream = upstream;
    request->reply.length = 0;
    good = forward_url(request, url, sizeof url) &&
           curl_easy_setopt(upstream->easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(upstream->easy, CURLOPT_HTTPHEADER, fields) == CURLE_OK &&
           curl_easy_setopt(upstream->easy, CURLOPT_POSTFIELDS,
                            request->body.length > 0 ? request->body.data : "") == CURLE_OK &&
           curl_easy_setopt(upstream->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t) request->body.length) == CURLE_OK &&
           curl_easy_setopt(upstream->easy, CURLOPT_TIMEOUT_MS,
                            (long) (attempt->timeout_us / 1000)) == CURLE_OK &&
           curl_multi_add_handle(request->worker->multi, upstream->easy) == CURLM_OK;
    if (!good)
        upstream_give_back(request);
    return good;
}

/* ---- attempts ---- */

/* Time left of --total-timeout, which counts from the arrival of the last byte. */
static uint64_t forward_time_left(const struct request *request)
{
    uint64_t end = request->arrived_us + request->worker->options->total_timeout;
    uint64_t now = request->worker->loop.now_us;

    return end > now ? end - now : 0;
}

/* One attempt at the target in request->attempt; answers the client when it cannot be made. */
static void forward_attempt(struct request *request)
{
    struct attempt *attempt = &request->attempt;
    uint64_t left = forward_time_left(request), now = request->worker->loop.now_us;

    ruleset_target(request->worker, attempt->webhook, &attempt->timeout_us, &attempt->policy);
    if (attempt->timeout_us > left)
        attempt->timeout_us = left > 1000 ? left : 1000;
    attempt->started_us = loop_clock();
    attempt->outcomes = outcomes_prepare(request);
    if (attempt->outcomes == NULL)
        reply_problem(request, request->earlier != 0 ? request->earlier : 503,
                      "the log cannot take another row");
    else if (!forward_start(request))
    {
        outcomes_finish(request, "error", 0, false, false,
                        "no attempt: no memory, or no usable URL for the target");
        reply_problem(request, request->earlier != 0 ? request->earlier : 503,
                      "the function cannot be called");
    }
    else /* libcurl keeps the time; ours is for the case that it does not */
        request_enter(request, REQUEST_FORWARDING, now + attempt->timeout_us + 1000000);
}

void forward_begin(struct request *request)
{
    bool unified = strcmp(request->decision.side, route_side_name(ROUTE_UNIFIED)) == 0;

    request->attempt =
        (struct attempt){.number = 1,
                         .webhook = request->decision.webhook,
                         .url = request->decision.url,
                         .side = route_side_name(unified ? ROUTE_UNIFIED : ROUTE_LEGACY)};
    forward_attempt(request);
}

static void forward_fall_back(struct request *request)
{
    request->attempt = (struct attempt){.number = 2,
                                        .webhook = request->decision.fallback_webhook,
                                        .url = request->decision.fallback_url,
                                        .side = route_side_name(ROUTE_LEGACY)};
    forward_attempt(request);
}

/* ---- the end of an attempt ---- */

static enum attempt_end forward_end(CURLcode code, const struct upstream *upstream)
{
    if (code == CURLE_OK)
        return ATTEMPT_ANSWERED;
    if (upstream->sent == 0)
        return ATTEMPT_NOT_REACHED;
    return code == CURLE_OPERATION_TIMEDOUT ? ATTEMPT_TIMED_OUT : ATTEMPT_BROKEN;
}

/* Why an attempt failed, for the log; "" after a success. */
static void forward_explain(char *text, size_t size, CURLcode code, unsigned status,
                            const struct upstream *upstream)
{
    if (code == CURLE_OK && status >= 200 && status < 300)
        text[0] = '\0';
    else if (code == CURLE_OK)
        snprintf(text, size, "HTTP %u", status);
    else if (upstream->refused != NULL)
        snprintf(text, size, "%s: %s", upstream->sent == 0 ? "not reached" : "broken off",
                 upstream->refused);
    else
        snprintf(text, size, "%s: %.120s",
                 upstream->sent == 0                ? "not reached"
                 : code == CURLE_OPERATION_TIMEDOUT ? "no answer in time"
                                                    : "broken off",
                 upstream->error[0] != '\0' ? upstream->error : curl_easy_strerror(code));
}

static void forward_report(const struct request *request, unsigned status, const char *why)
{
    struct log_line line;

    if (*why == '\0' ||
        !log_begin_limited(&line, LOG_WARNING, "attempt_failed", "a function did not answer 2xx",
                           &request->worker->failures))
        return;
    log_text(&line, "webhook", request->attempt.webhook);
    log_text(&line, "side", request->attempt.side);
    log_number(&line, "attempt", request->attempt.number);
    log_number(&line, "http_status", status);
    log_text(&line, "detail", why);
    log_text(&line, "correlation_id", request->correlation_id);
    log_end(&line);
}

/* Logs the attempt and does what its end leads to. */
static void forward_judge(struct request *request, enum attempt_end end, unsigned status,
                          const char *why)
{
    struct attempt *attempt = &request->attempt;
    bool fallback = attempt->number == 1 && request->decision.fallback_webhook != NULL &&
                    forward_time_left(request) > LEAST_ATTEMPT_US &&
                    !outcomes_full(request->worker);
    struct relay_verdict verdict =
        relay_judge(end, status, attempt->policy, fallback, request->earlier);

    outcomes_finish(request, attempt->side, end == ATTEMPT_ANSWERED ? status : 0, verdict.success,
                    verdict.ambiguous, why);
    forward_report(request, status, why);
    if (verdict.step == RELAY_ANSWER)
        reply_relay(request, verdict.status);
    upstream_give_back(request);
    if (verdict.step == RELAY_PROBLEM)
        reply_problem(request, verdict.status,
                      end == ATTEMPT_NOT_REACHED ? "the function was not reached"
                      : end == ATTEMPT_TIMED_OUT ? "the function did not answer in time"
                                                 : "the function broke off its answer");
    if (verdict.step == RELAY_FALL_BACK)
    {
        request->earlier = verdict.ambiguous ? verdict.status : 0;
        forward_fall_back(request);
    }
}

static void forward_finished(struct upstream *upstream, CURLcode code)
{
    struct request *request = upstream->request;
    enum attempt_end end = forward_end(code, upstream);
    char why[ERROR_LIMIT];
    long status = 0;

    if (curl_easy_getinfo(upstream->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
        status < 0 || status > 999)
        status = 0;
    forward_explain(why, sizeof why, code, (unsigned) status, upstream);
    forward_judge(request, end, (unsigned) status, why);
}

void forward_expired(struct request *request)
{
    enum attempt_end end =
        request->attempt.upstream->sent == 0 ? ATTEMPT_NOT_REACHED : ATTEMPT_TIMED_OUT;

    forward_judge(request, end, 0, "no answer in time");
}

void forward_abort(struct request *request, const char *why)
{
    bool sent = request->attempt.upstream->sent > 0;

    upstream_give_back(request);
    outcomes_finish(request, request->attempt.side, 0, false, sent, why);
    reply_problem(request, 503, why);
}

/* ---- the turn ---- */

void forward_turn(struct worker *worker)
{
    CURLMsg *message;
    int left, running;

    for (int rounds = 0; worker->upstream_due && rounds < 4; rounds++)
    {
        worker->upstream_due = false;
        curl_multi_socket_action(worker->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    while ((message = curl_multi_info_read(worker->multi, &left)) != NULL)
    {
        struct upstream *upstream = NULL;
        CURLcode code = message->data.result;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &upstream) == CURLE_OK)
            forward_finished(upstream, code);
    }
}

bool forward_open(struct worker *worker)
{
    CURLM *multi = curl_multi_init();

    worker->multi = multi;
    return multi != NULL &&
           loop_timer_open(&worker->loop, &worker->upstream_timer, upstream_timer_expired,
                           worker) &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, upstream_wants) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, worker) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, upstream_wakes) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERDATA, worker) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) worker->max_in_flight) == CURLM_OK;
}

void forward_close(struct worker *worker)
{
    struct upstream *upstream;

    while ((upstream = worker->upstream_pool) != NULL)
    {
        worker->upstream_pool = upstream->next;
        curl_easy_cleanup(upstream->easy);
        free(upstream);
    }
    curl_multi_cleanup(worker->multi);
    worker->multi = NULL;
    loop_timer_close(&worker->loop, &worker->upstream_timer);
    for (size_t i = 0; i < worker->socket_count; i++)
        free(worker->sockets[i]);
    free(worker->sockets);
    worker->sockets = NULL;
    worker->socket_count = 0;
}
