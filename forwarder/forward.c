/* SPDX-License-Identifier: PostgreSQL
 *
 * forward.c: an attempt: what is sent to a function, and what its end leads to. The handles and
 * their callbacks are in upstream.c, the judgement in relay.c.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

#define LEAST_ATTEMPT_US 50000 /* with less time left there is no second attempt */

/* ---- what is sent ---- */

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
    return encode_name(request->attempt.webhook, url + length, size - length);
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
    const struct secrets *secrets = request->secrets;
    size_t count = 0;

    if (!put_fields(request))
        return NULL;
    for (char *at = request->field_text.data, *end = at + request->field_text.length; at < end;
         at += strlen(at) + 1)
        request->fields[count++].data = at;
    for (size_t i = 0; i < secrets->header_count; i++)
        request->fields[count++].data = secrets->headers[i].line;
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

/* One attempt at the function that request->attempt names, with the timeout and the policy that
 * the rules give it; answers the client when it cannot be made. */
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
        attempt->started_us = 0;
        /* A decision that led to nothing at all has no side. */
        outcomes_finish(request, attempt->number == 1 ? "error" : attempt->side, 0, false, false,
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

void forward_finished(struct upstream *upstream, CURLcode code)
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
