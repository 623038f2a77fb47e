/* SPDX-License-Identifier: PostgreSQL
 *
 * decide.c: where a webhook goes. The database is asked; all questions of a turn travel together
 * and are closed by one sync (worker.c), and answers come in order. When it cannot answer (down,
 * late, refusing) the same engine decides here, at once, by the last rules: nobody changes side. A
 * question that is late is abandoned: its answer is thrown away when it comes.
 *
 * A webhook that holds several items asks a second question, so that each item can be logged, and
 * sent, by its own decision.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

#define LARGE_BODY ((size_t) 128 << 10)
#define OID_BYTEA 17
#define OID_TEXT 25

static const Oid PAYLOAD_AND_NAME[] = {OID_BYTEA, OID_TEXT};

/* Columns that route_decide() and route_decide_items() share, in the order in which both are read.
 * X(CONSTANT, column) */
#define DECIDED_COLUMNS(X)                                                                         \
    X(WEBHOOK, webhook_name)                                                                       \
    X(URL, target_url)                                                                             \
    X(FALLBACK_WEBHOOK, fallback_webhook)                                                          \
    X(FALLBACK_URL, fallback_url)                                                                  \
    X(DOMAIN, domain)                                                                              \
    X(REASON, reason)                                                                              \
    X(FROM, from_number)                                                                           \
    X(MESSAGE, message_id)                                                                         \
    X(TYPE, message_type)                                                                          \
    X(SIDE, routed_to)                                                                             \
    X(BUCKET, bucket)                                                                              \
    X(PERCENTAGE, percentage)

enum column
{
#define X(constant, column) COLUMN_##constant,
    DECIDED_COLUMNS(X)
#undef X
        COLUMN_VERSION
};

#define X(constant, column) #column ", "
const struct database_statement DECIDE_STATEMENTS[] = {
    {"decide", "SELECT " DECIDED_COLUMNS(X) "config_version FROM route_decide($1, $2)", 2,
     PAYLOAD_AND_NAME},
    {"items",
     "SELECT " DECIDED_COLUMNS(X) "config_version FROM route_decide_items($1, $2) ORDER BY item", 2,
     PAYLOAD_AND_NAME},
    {"ruleset", RULESET_STATEMENT, 0, NULL},
};
#undef X
const size_t DECIDE_STATEMENT_COUNT = sizeof DECIDE_STATEMENTS / sizeof *DECIDE_STATEMENTS;

static bool decide_is_large(const struct request *request)
{
    return request->body.length >= LARGE_BODY;
}

void decide_forget(struct request *request)
{
    for (unsigned i = 0; i < sizeof request->question.tickets / sizeof(uint64_t); i++)
        if (request->question.link != NULL)
            database_abandon(request->question.link, request->question.tickets[i]);
    request->question.awaited = 0;
}

/* ---- carrying a decision out ---- */

static void decide_without(struct request *request, const char *event, const char *why,
                           const char *mend);

/* Deliveries are planned, or the client has to come again. */
static void decide_carry_out(struct request *request, struct plan *plan, bool good)
{
    if (!good || !plan_finish(plan))
    {
        plan_give_up(plan);
        if (plan->differs) /* never so with the engine here */
            decide_without(request, "items_differ",
                           "the database counts the items of a webhook otherwise: is the extension "
                           "of another version?",
                           NULL);
        else
            reply_problem(request, 503, "no room to log and deliver the webhook");
        return;
    }
    request_enter(request, REQUEST_DELIVERING, 0);
    for (struct delivery *delivery = request->deliveries, *next; delivery != NULL; delivery = next)
    {
        next = delivery->next;
        recording_begin(delivery);
    }
}

static bool decide_is_unknown(const struct decided *whole)
{
    const char *unknown = route_reason_name(ROUTE_REASON_UNKNOWN_WEBHOOK);

    return whole->reason.length == strlen(unknown) &&
           memcmp(whole->reason.data, unknown, whole->reason.length) == 0;
}

/* ---- by the engine here ---- */

static struct decided decided_here(const route_decision *decision, bool ruleless)
{
    const char *reason = route_reason_name(ruleless ? ROUTE_REASON_NO_CONFIG : decision->reason);
    struct decided decided = {.webhook = decision->target->name,
                              .url = decision->target->url,
                              .reason = {reason, strlen(reason)},
                              .side = decision->side,
                              .bucket = ruleless ? -1 : decision->bucket,
                              .percentage = ruleless ? -1 : (int) decision->percentage};

    if (decision->fallback != NULL)
    {
        decided.fallback_webhook = decision->fallback->name;
        decided.fallback_url = decision->fallback->url;
    }
    decided.domain = decision->domain != NULL ? decision->domain->name
                                              : (route_text){"unknown", sizeof "unknown" - 1};
#define TAKE(field)                                                                                \
    if (decision->field##_length > 0)                                                              \
    decided.field = (route_text){decision->field, decision->field##_length}
    TAKE(from_number);
    TAKE(message_id);
    TAKE(message_type);
#undef TAKE
    return decided;
}

struct local_items
{
    struct plan *plan;
    bool ruleless;
    bool good;
};

static bool decide_item_here(void *context, size_t item, const route_decision *decision)
{
    struct local_items *items = context;
    struct decided decided = decided_here(decision, items->ruleless);

    (void) item;
    items->good = plan_item(items->plan, &decided);
    return items->good;
}

/* The engine as the database would run it, but for conversations, which only the database knows: a
 * message stands alone here. Without any rules everything goes to --default-target, whatever name
 * it came by, since no name is known. */
static void decide_here(struct request *request)
{
    int64_t version;
    const route_ruleset *ruleset = ruleset_last(request->worker, &version);
    bool ruleless = version == 0, named = request->uri.kind == URI_WEBHOOK && !ruleless;
    route_text name = {named ? request->uri.webhook : NULL,
                       named ? strlen(request->uri.webhook) : 0};
    const char *body = request->body.length > 0 ? request->body.data : "";
    route_decision decision;
    struct decided whole;
    struct plan plan;
    struct local_items items = {.plan = &plan, .ruleless = ruleless};

    request->item_count =
        route_decide(ruleset, body, request->body.length, name, NULL, NULL, &decision);
    whole = decided_here(&decision, ruleless);
    if (decide_is_unknown(&whole))
    {
        reply_problem(request, 404, "no webhook has this name");
        return;
    }
    items.good = plan_begin(&plan, request, &whole, version);
    if (items.good && request->item_count == 1)
        items.good = plan_item(&plan, &whole);
    else if (items.good)
        route_decide_items(ruleset, body, request->body.length, name, NULL, decide_item_here,
                           &items);
    decide_carry_out(request, &plan, items.good);
}

/* ---- by the database ---- */

/* It does not decide this one. */
static void decide_without(struct request *request, const char *event, const char *why,
                           const char *mend)
{
    struct log_line line;

    decide_forget(request);
    if (log_begin_limited(&line, LOG_WARNING, event,
                          "the database does not decide: the last rules decide here",
                          &request->worker->refusals))
    {
        log_text(&line, "correlation_id", request->correlation_id);
        log_text(&line, "detail", why);
        if (mend != NULL)
            log_text(&line, "mend", mend);
        log_end(&line);
    }
    decide_here(request);
}

void decide_expired(struct request *request)
{
    /* A large body may take long by itself. */
    if (!decide_is_large(request))
        ruleset_suspect(request->worker);
    decide_without(request, "decide_timeout", "the database did not answer in time", NULL);
}

static route_text field(const PGresult *answer, int row, enum column column)
{
    return PQgetisnull(answer, row, (int) column)
               ? (route_text){NULL, 0}
               : (route_text){PQgetvalue(answer, row, (int) column),
                              (size_t) PQgetlength(answer, row, (int) column)};
}

/* "12.34" to 1234; -1 when there is none. */
static int hundredths(route_text percentage)
{
    return percentage.data == NULL ? -1 : (int) (strtod(percentage.data, NULL) * 100 + 0.5);
}

static struct decided decided_there(const PGresult *answer, int row)
{
    route_text bucket = field(answer, row, COLUMN_BUCKET);

    return (struct decided){
        .webhook = field(answer, row, COLUMN_WEBHOOK),
        .url = field(answer, row, COLUMN_URL),
        .fallback_webhook = field(answer, row, COLUMN_FALLBACK_WEBHOOK),
        .fallback_url = field(answer, row, COLUMN_FALLBACK_URL),
        .domain = field(answer, row, COLUMN_DOMAIN),
        .reason = field(answer, row, COLUMN_REASON),
        .from_number = field(answer, row, COLUMN_FROM),
        .message_id = field(answer, row, COLUMN_MESSAGE),
        .message_type = field(answer, row, COLUMN_TYPE),
        .side = strcmp(PQgetvalue(answer, row, COLUMN_SIDE), route_side_name(ROUTE_UNIFIED)) == 0
                    ? ROUTE_UNIFIED
                    : ROUTE_LEGACY,
        .bucket = bucket.data == NULL ? -1 : atoi(bucket.data),
        .percentage = hundredths(field(answer, row, COLUMN_PERCENTAGE))};
}

/* ---- asking ---- */

static void decide_answered(void *context, PGresult *answer);
static void items_answered(void *context, PGresult *answer);

static bool decide_ask(struct request *request, const char *statement, database_answer answer,
                       uint64_t *ticket)
{
    const char *values[2] = {request->body.length > 0 ? request->body.data : "",
                             request->uri.kind == URI_WEBHOOK ? request->uri.webhook : NULL};
    const int lengths[2] = {(int) request->body.length, 0}, formats[2] = {1, 0};

    return database_query(request->question.link, statement, 2, values, lengths, formats, answer,
                          request, ticket);
}

static void decide_ask_both(struct request *request)
{
    struct question *question = &request->question;
    bool several = request->item_count > 1;

    question->tickets[0] = question->tickets[1] = UINT64_MAX;
    if (!decide_ask(request, "decide", decide_answered, &question->tickets[0]) ||
        (several && !decide_ask(request, "items", items_answered, &question->tickets[1])))
        decide_without(request, "decide_refused", "no room for another question", NULL);
    else
        question->awaited = several ? 2 : 1;
}

/* Rules or conversations have changed between the two answers: together they would send and log
 * items by what is not theirs. The deadline stays. */
static void decide_again(struct request *request)
{
    PQclear(request->question.whole);
    PQclear(request->question.items);
    request->question.whole = request->question.items = NULL;
    decide_ask_both(request);
}

/* ---- the answers ---- */

static int64_t version_of(const PGresult *answer)
{
    return atoll(PQgetvalue(answer, 0, COLUMN_VERSION));
}

/* Whether both answers speak of the same: by the same rules, and with each item of a webhook that
 * is sent whole bound for where the whole goes. Conversations may have moved on between the two. */
static bool decide_agreed(const PGresult *answer, const PGresult *items)
{
    const char *whole = PQgetvalue(answer, 0, COLUMN_WEBHOOK);
    bool mixed = strcmp(PQgetvalue(answer, 0, COLUMN_REASON),
                        route_reason_name(ROUTE_REASON_MIXED_BATCH)) == 0;
    bool agreed = version_of(items) == version_of(answer);

    for (int row = 0; agreed && !mixed && row < PQntuples(items); row++)
        agreed = strcmp(PQgetvalue(items, row, COLUMN_WEBHOOK), whole) == 0;
    return agreed;
}

/* Everything that was asked has been answered. */
static void decide_finish(struct request *request)
{
    struct worker *worker = request->worker;
    const PGresult *answer = request->question.whole, *items = request->question.items;
    struct decided whole = decided_there(answer, 0);
    int64_t version = version_of(answer);
    struct plan plan;
    bool good;

    if (items != NULL && !decide_agreed(answer, items))
    {
        decide_again(request);
        return;
    }
    if (worker->ruleset == NULL || route_ruleset_config(worker->ruleset)->version != version)
        ruleset_refresh(worker);
    if (whole.webhook.data == NULL || whole.reason.data == NULL)
    {
        decide_without(request, "decide_failed", "the database answered without a target", NULL);
        return;
    }
    if (decide_is_unknown(&whole))
    {
        reply_problem(request, 404, "no webhook has this name");
        return;
    }
    good = plan_begin(&plan, request, &whole, version);
    if (items == NULL)
        good = good && plan_item(&plan, &whole);
    for (int row = 0; good && items != NULL && row < PQntuples(items); row++)
    {
        struct decided item = decided_there(items, row);

        good = plan_item(&plan, &item);
    }
    decide_carry_out(request, &plan, good);
}

/* Whether the answer holds at least one row; decides here otherwise. */
static bool decide_usable(struct request *request, const PGresult *answer)
{
    if (answer != NULL && PQresultStatus(answer) == PGRES_TUPLES_OK && PQntuples(answer) > 0)
        return true;
    if (answer == NULL)
    {
        decide_without(request, "decide_failed", "the connection to the database broke", NULL);
        return false;
    }
    if (retry_needs_connection(database_sqlstate(answer)))
        database_condemn(request->question.link, PQresultErrorMessage(answer));
    decide_without(request, "decide_failed", database_complaint(answer),
                   retry_mend(database_sqlstate(answer)));
    return false;
}

static void decide_take(struct request *request, PGresult **place, PGresult *answer)
{
    if (!decide_usable(request, answer))
    {
        PQclear(answer);
        return;
    }
    *place = answer;
    if (--request->question.awaited == 0)
        decide_finish(request);
}

static void decide_answered(void *context, PGresult *answer)
{
    struct request *request = context;

    decide_take(request, &request->question.whole, answer);
}

static void items_answered(void *context, PGresult *answer)
{
    struct request *request = context;

    decide_take(request, &request->question.items, answer);
}

/* ---- the beginning ---- */

/* A large body has a connection of its own, opened by the first one: the questions of a pipeline
 * wait for each other, and small ones must not wait for the server to read megabytes. Until it is
 * there the large ones travel with the small: rules that a commit has replaced a moment ago must
 * not decide. */
static struct database *decide_link(const struct request *request)
{
    struct worker *worker = request->worker;
    struct database *large = &worker->decide_large;

    if (!decide_is_large(request) || (large->loop == NULL && !worker_open_large(worker)))
        return &worker->decide;
    return large->state == DATABASE_READY ? large : &worker->decide;
}

void decide_begin(struct request *request)
{
    struct worker *worker = request->worker;

    request->item_count = route_count_items(request->body.data, request->body.length);
    request_enter(request, REQUEST_DECIDING, worker->loop.now_us + worker->options->decide_timeout);
    request->question.link = decide_link(request);
    if (worker->suspect || request->question.link->state != DATABASE_READY)
        decide_here(request);
    else
        decide_ask_both(request);
}
