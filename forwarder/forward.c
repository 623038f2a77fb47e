/* SPDX-License-Identifier: PostgreSQL
 *
 * forward.c: an attempt: begun once its rows are recorded, and what its end leads to. The request
 * is put together in compose.c and goes over a connection of upstream.c (exchange.c); the judgement
 * is in relay.c.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

#define LEAST_ATTEMPT_US 50000 /* with less time left no attempt is made */

/* ---- an attempt ---- */

/* Sends the request on its way; false when that was impossible, and nothing was sent. */
static bool forward_start(struct delivery *delivery)
{
    const struct upstream_url *parsed;
    char url[4096];

    delivery->answer.body.length = 0;
    return compose_url(delivery, url, sizeof url) &&
           (parsed = upstream_url_of(delivery->worker, url)) != NULL &&
           compose_head(delivery, parsed) && upstream_begin(delivery, parsed);
}

/* Time left of --total-timeout, which counts from the arrival of the last byte. */
static uint64_t forward_time_left(const struct delivery *delivery)
{
    uint64_t end = delivery->request->arrived_us + delivery->worker->options->total_timeout;
    uint64_t now = delivery->worker->loop.now_us;

    return end > now ? end - now : 0;
}

/* Whether there is another function, and time and room to ask it. */
static bool forward_has_fallback(const struct delivery *delivery)
{
    return delivery->attempt.number == 1 && delivery->fallback_webhook != NULL &&
           forward_time_left(delivery) > LEAST_ATTEMPT_US && !outcomes_full(delivery->worker);
}

static void forward_judge(struct delivery *delivery, enum attempt_end end, unsigned status,
                          const char *why);

/* The attempt can be over when this returns. */
static void forward_try(struct delivery *delivery)
{
    struct attempt *attempt = &delivery->attempt;

    attempt->started_us = loop_clock();
    if (forward_start(delivery))
        return;
    attempt->started_us = 0;
    attempt->impossible = true;
    breaker_forget(attempt->breaker, attempt->begun_us);
    forward_judge(delivery, ATTEMPT_NOT_REACHED, 0,
                  "not reached: no memory, or no usable URL for the target");
}

void forward_attempt(struct delivery *delivery)
{
    struct attempt *attempt = &delivery->attempt;
    struct worker *worker = delivery->worker;
    uint64_t left = forward_time_left(delivery), now = worker->loop.now_us;

    ruleset_target(worker, attempt->webhook, &attempt->timeout_us, &attempt->policy);
    if (attempt->timeout_us > left)
        attempt->timeout_us = left;
    delivery_enter(delivery, DELIVERY_ATTEMPTING, now + attempt->timeout_us);
    attempt->breaker = breaker_of(&worker->breakers, attempt->webhook);
    attempt->begun_us = now;
    if (left < LEAST_ATTEMPT_US)
        forward_judge(delivery, ATTEMPT_NOT_REACHED, 0, "not reached: --total-timeout is over");
    else if ((attempt->held = !breaker_allows(attempt->breaker, now)))
        forward_judge(delivery, ATTEMPT_NOT_REACHED, 0, "not reached: its breaker is open");
    else
        forward_try(delivery);
}

/* The legacy function's turn, with the rows made for it. */
static void forward_fall_back(struct delivery *delivery, struct outcome *rows)
{
    struct worker *worker = delivery->worker;

    metrics_target(worker, delivery->attempt.webhook, worker->metrics.fallbacks);
    delivery->attempt = (struct attempt){.number = 2,
                                         .webhook = delivery->fallback_webhook,
                                         .url = delivery->fallback_url,
                                         .side = route_side_name(ROUTE_LEGACY)};
    outcomes_take(delivery, rows);
    recording_begin(delivery);
}

/* ---- the end of an attempt ---- */

static enum attempt_end forward_end(CURLcode code, const struct upstream *upstream)
{
    if (code == CURLE_OK)
        return ATTEMPT_ANSWERED;
    return upstream_has_sent(upstream) ? ATTEMPT_BROKEN : ATTEMPT_NOT_REACHED;
}

/* Why an attempt failed, for the log; "" after a success. */
static void forward_explain(char *text, size_t size, CURLcode code, unsigned status,
                            const struct upstream *upstream)
{
    const char *what = upstream_has_sent(upstream) ? "broken off" : "not reached";

    if (code == CURLE_OK && status >= 200 && status < 300)
        text[0] = '\0';
    else if (code == CURLE_OK)
        snprintf(text, size, "HTTP %u", status);
    else if (upstream->refused != NULL)
        snprintf(text, size, "%s: %s", what, upstream->refused);
    else
        snprintf(text, size, "%s: %.120s", what,
                 upstream->error[0] != '\0' ? upstream->error : curl_easy_strerror(code));
}

static void forward_report(const struct delivery *delivery, unsigned status, const char *why)
{
    struct log_line line;

    if (*why == '\0' || !log_begin_limited(&line, LOG_WARNING, EVENT_ATTEMPT_FAILED,
                                           "a function did not answer 2xx"))
        return;
    log_text(&line, "webhook", delivery->attempt.webhook);
    log_text(&line, "side", delivery->attempt.side);
    log_number(&line, "attempt", delivery->attempt.number);
    log_number(&line, "http_status", status);
    log_text(&line, "detail", why);
    log_text(&line, "correlation_id", delivery->request->correlation_id);
    log_end(&line);
}

/* It has opened or closed. */
static void forward_report_breaker(struct worker *worker, const struct breaker *breaker)
{
    enum breaker_state state = (enum breaker_state) atomic_load(&breaker->state);
    struct log_line line;

    if (state == BREAKER_OPEN)
        metrics_target(worker, breaker->target, worker->metrics.openings);
    if (!log_begin(&line, LOG_WARNING, EVENT_BREAKER, "a function's breaker has changed"))
        return;
    log_text(&line, "webhook", breaker->target);
    log_text(&line, "state", breaker_state_name(state));
    log_end(&line);
}

/* What the attempt says about its function. One that was never made, or that failed for want of our
 * own memory or files, says nothing. */
static void forward_tell_breaker(struct delivery *delivery, enum attempt_end end, unsigned status)
{
    struct worker *worker = delivery->worker;
    const struct attempt *attempt = &delivery->attempt;
    bool failed = relay_is_failure(end, status, delivery->fallback_webhook != NULL);

    if (attempt->upstream != NULL && attempt->upstream->ours)
    {
        breaker_forget(attempt->breaker, attempt->begun_us);
        return;
    }
    if (attempt->started_us != 0 && breaker_record(attempt->breaker, failed, attempt->begun_us,
                                                   worker->loop.now_us, &worker->breaker_settings))
        forward_report_breaker(worker, attempt->breaker);
}

/* The metrics' word for it. */
static enum attempt_outcome forward_outcome(const struct attempt *attempt, enum attempt_end end,
                                            unsigned status)
{
    switch (end)
    {
    case ATTEMPT_ANSWERED:
        return relay_outcome(status);
    case ATTEMPT_TIMED_OUT:
        return OUTCOME_TIMED_OUT;
    case ATTEMPT_BROKEN:
        return OUTCOME_BROKEN_OFF;
    default:
        return attempt->held              ? OUTCOME_BREAKER_OPEN
               : attempt->started_us == 0 ? OUTCOME_NOT_MADE
                                          : OUTCOME_NOT_REACHED;
    }
}

static const char *forward_problem(enum attempt_end end)
{
    return end == ATTEMPT_NOT_REACHED ? "the function was not reached"
           : end == ATTEMPT_TIMED_OUT ? "the function did not answer in time"
                                      : "the function broke off its answer";
}

/* Logs the attempt and does what its end leads to. The fallback's rows are made first, while there
 * are the attempt's to copy; without memory for them there is no fallback. */
static void forward_judge(struct delivery *delivery, enum attempt_end end, unsigned status,
                          const char *why)
{
    struct attempt *attempt = &delivery->attempt;
    struct relay_verdict verdict = relay_judge(end, status, attempt->policy,
                                               forward_has_fallback(delivery), delivery->earlier);
    struct outcome *rows = NULL;
    const char *side = attempt->side;

    if (verdict.step == RELAY_FALL_BACK &&
        (rows = outcomes_copy(delivery, delivery->fallback_webhook)) == NULL)
        verdict = relay_judge(end, status, attempt->policy, false, delivery->earlier);
    if (attempt->impossible && attempt->number == 1 && verdict.step != RELAY_FALL_BACK)
        side = "error"; /* a decision that led to nothing at all has no side */
    forward_tell_breaker(delivery, end, status);
    outcomes_finish(delivery, side, forward_outcome(attempt, end, status),
                    end == ATTEMPT_ANSWERED ? status : 0, verdict.ambiguous, why);
    forward_report(delivery, status, why);
    upstream_give_back(delivery);
    if (verdict.step == RELAY_FALL_BACK)
    {
        delivery->earlier = verdict.ambiguous ? verdict.status : 0;
        forward_fall_back(delivery, rows);
    }
    else
        delivery_done(delivery, verdict.status,
                      verdict.step == RELAY_ANSWER ? NULL : forward_problem(end));
}

void forward_finished(struct upstream *upstream, CURLcode code)
{
    struct delivery *delivery = upstream->delivery;
    unsigned status = code == CURLE_OK ? delivery->answer.reader.status : 0;
    char why[ERROR_LIMIT];

    upstream->ours |= code == CURLE_OUT_OF_MEMORY;
    forward_explain(why, sizeof why, code, status, upstream);
    forward_judge(delivery, forward_end(code, upstream), status, why);
}

void forward_expired(struct delivery *delivery)
{
    if (upstream_has_sent(delivery->attempt.upstream))
        forward_judge(delivery, ATTEMPT_TIMED_OUT, 0, "no answer in time");
    else
        forward_judge(delivery, ATTEMPT_NOT_REACHED, 0, "not reached: no connection in time");
}

void forward_abort(struct delivery *delivery, const char *why)
{
    bool sent = upstream_has_sent(delivery->attempt.upstream);

    breaker_forget(delivery->attempt.breaker, delivery->attempt.begun_us);
    upstream_give_back(delivery);
    outcomes_finish(delivery, delivery->attempt.side, OUTCOME_STOPPED, 0, sent, why);
    delivery_done(delivery, 503, why);
}
