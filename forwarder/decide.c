/* SPDX-License-Identifier: PostgreSQL
 *
 * decide.c: asks the database where a webhook goes. All questions of a turn travel together and are
 * closed by one sync (worker.c); answers come in order. A question that is not answered in time is
 * abandoned: its late answer is thrown away, and the client is told to come again.
 *
 * A webhook that holds several items asks a second question, so that each item can be logged with
 * its own domain, sender and bucket.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

#define OID_BYTEA 17
#define OID_TEXT 25

static const Oid PAYLOAD_AND_NAME[] = {OID_BYTEA, OID_TEXT};

#define X(constant, column) #column ", "
const struct database_statement DECIDE_STATEMENTS[] = {
    {"decide", "SELECT " DECIDE_COLUMNS(X) "NULL FROM route_decide($1, $2)", 2, PAYLOAD_AND_NAME},
    {"items", "SELECT " DECIDE_ITEM_COLUMNS(X) "NULL FROM route_decide_items($1, $2) ORDER BY item",
     2, PAYLOAD_AND_NAME},
    {"ruleset", RULESET_STATEMENT, 0, NULL},
};
#undef X
const size_t DECIDE_STATEMENT_COUNT = sizeof DECIDE_STATEMENTS / sizeof *DECIDE_STATEMENTS;

const char *decide_value(const PGresult *answer, int row, int column)
{
    return answer == NULL || PQgetisnull(answer, row, column) ? NULL
                                                              : PQgetvalue(answer, row, column);
}

void decide_forget(struct request *request)
{
    for (unsigned i = 0; i < sizeof request->tickets / sizeof *request->tickets; i++)
        database_abandon(&request->worker->decide, request->tickets[i]);
    request->awaited = 0;
}

/* No decision: the client has to come again. */
static void decide_fail(struct request *request, const char *event, const char *why)
{
    struct worker *worker = request->worker;
    struct log_line line;

    decide_forget(request);
    if (log_begin_limited(&line, LOG_WARNING, event, "a webhook was not decided",
                          &worker->refusals))
    {
        log_text(&line, "correlation_id", request->correlation_id);
        log_text(&line, "detail", why);
        log_end(&line);
    }
    reply_problem(request, 503, "no decision could be had from the database");
}

void decide_expired(struct request *request)
{
    decide_fail(request, "decide_timeout", "the database did not answer in time");
}

/* Whether the answer holds at least one row; fails the request otherwise. */
static bool decide_usable(struct request *request, const PGresult *answer)
{
    if (answer != NULL && PQresultStatus(answer) == PGRES_TUPLES_OK && PQntuples(answer) > 0)
        return true;
    if (answer != NULL && retry_needs_connection(database_sqlstate(answer)))
        database_condemn(&request->worker->decide, PQresultErrorMessage(answer));
    decide_fail(request, "decide_failed",
                answer == NULL ? "the connection to the database broke"
                               : PQresultErrorMessage(answer));
    return false;
}

static void decision_read(struct decision *decision)
{
    const PGresult *answer = decision->answer;

    decision->webhook = decide_value(answer, 0, DECIDE_WEBHOOK);
    decision->url = decide_value(answer, 0, DECIDE_URL);
    decision->side = decide_value(answer, 0, DECIDE_SIDE);
    decision->domain = decide_value(answer, 0, DECIDE_DOMAIN);
    decision->reason = decide_value(answer, 0, DECIDE_REASON);
    decision->percentage = decide_value(answer, 0, DECIDE_PERCENTAGE);
    decision->fallback_webhook = decide_value(answer, 0, DECIDE_FALLBACK_WEBHOOK);
    decision->fallback_url = decide_value(answer, 0, DECIDE_FALLBACK_URL);
    identity_make(decision->id);
    decision->created_us = identity_now_us();
}

/* Everything that was asked has been answered. */
static void decide_finish(struct request *request)
{
    struct worker *worker = request->worker;
    struct decision *decision = &request->decision;
    const char *version = decide_value(decision->answer, 0, DECIDE_VERSION);

    decision_read(decision);
    if (version != NULL && (worker->ruleset == NULL ||
                            route_ruleset_config(worker->ruleset)->version != atoll(version)))
        ruleset_refresh(worker);
    if (decision->webhook == NULL || decision->side == NULL || decision->reason == NULL)
        decide_fail(request, "decide_failed", "the database answered without a target");
    else if (strcmp(decision->reason, route_reason_name(ROUTE_REASON_UNKNOWN_WEBHOOK)) == 0)
        reply_problem(request, 404, "no webhook has this name");
    else
        forward_begin(request);
}

static void decide_take(struct request *request, PGresult **place, PGresult *answer)
{
    if (!decide_usable(request, answer))
    {
        PQclear(answer);
        return;
    }
    *place = answer;
    if (--request->awaited == 0)
        decide_finish(request);
}

static void decide_answered(void *context, PGresult *answer)
{
    struct request *request = context;

    decide_take(request, &request->decision.answer, answer);
}

static void items_answered(void *context, PGresult *answer)
{
    struct request *request = context;

    decide_take(request, &request->decision.items, answer);
}

static bool decide_ask(struct request *request, const char *statement, database_answer answer,
                       uint64_t *ticket)
{
    const char *values[2] = {request->body.length > 0 ? request->body.data : "",
                             request->uri.kind == URI_WEBHOOK ? request->uri.webhook : NULL};
    const int lengths[2] = {(int) request->body.length, 0}, formats[2] = {1, 0};

    return database_query(&request->worker->decide, statement, 2, values, lengths, formats, answer,
                          request, ticket);
}

void decide_begin(struct request *request)
{
    struct worker *worker = request->worker;
    bool several;

    request->item_count = route_count_items(request->body.data, request->body.length);
    several = request->item_count > 1;
    request->tickets[0] = request->tickets[1] = UINT64_MAX;
    request_enter(request, REQUEST_DECIDING, worker->loop.now_us + worker->options->decide_timeout);
    if (database_lag(&worker->decide) > worker->options->decide_timeout)
        decide_fail(request, "decide_refused", "the database is late for others already");
    else if (!decide_ask(request, "decide", decide_answered, &request->tickets[0]) ||
             (several && !decide_ask(request, "items", items_answered, &request->tickets[1])))
        decide_fail(request, "decide_refused", "no connection to the database");
    else
        request->awaited = several ? 2 : 1;
}
