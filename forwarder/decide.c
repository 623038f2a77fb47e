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
#include <string.h>

#include "forwarder.h"
#include "text.h"

#define LARGE_BODY ((size_t) 128 << 10) /* bytes; from this size on a body is asked about apart */

static const Oid PAYLOAD_AND_NAME[] = {OID_BYTEA, OID_TEXT};

const struct database_statement DECIDE_STATEMENTS[] = {
    {"decide", DECISION_STATEMENT, 2, PAYLOAD_AND_NAME},
    {"items", DECISION_ITEMS_STATEMENT, 2, PAYLOAD_AND_NAME},
    {"ruleset", RULESET_STATEMENT, 0, NULL},
};
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

static void decide_without(struct request *request, enum log_event event, const char *why,
                           const char *mend);

/* Deliveries are planned, or the client has to come again. */
static void decide_carry_out(struct request *request, struct plan *plan, bool good)
{
    if (!good || !plan_finish(plan))
    {
        plan_give_up(plan);
        if (plan->differs) /* never so with the engine here */
            decide_without(request, EVENT_ITEMS_DIFFER,
                           "the database counts the items of a webhook otherwise",
                           RETRY_MEND_VERSION);
        else
            reply_refuse(request, REFUSAL_ROOM, 503, "no room to log and deliver the webhook");
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
    return text_is(whole->reason, route_reason_name(ROUTE_REASON_UNKNOWN_WEBHOOK));
}

/* ---- by the engine here ---- */

static struct decided decided_here(const route_decision *decision, bool ruleless)
{
    route_reason reason = ruleless ? ROUTE_REASON_NO_CONFIG : decision->reason;
    struct decided decided = {.webhook = decision->target->name,
                              .url = decision->target->url,
                              .reason = text_of(route_reason_name(reason)),
                              .side = decision->side,
                              .bucket = ruleless ? -1 : decision->bucket,
                              .percentage = ruleless ? -1 : (int) decision->percentage};

    if (decision->fallback != NULL)
    {
        decided.fallback_webhook = decision->fallback->name;
        decided.fallback_url = decision->fallback->url;
    }
    decided.domain = decision->domain != NULL ? decision->domain->name : text_of("unknown");
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
    route_text name = text_of(named ? request->uri.webhook : NULL);
    const char *body = request->body.length > 0 ? request->body.data : "";
    route_decision decision;
    struct decided whole;
    struct plan plan;
    struct local_items items = {.plan = &plan, .ruleless = ruleless};

    request->item_count =
        route_decide(ruleset, body, request->body.length, name, NULL, NULL, &decision);
    metrics_decided(request, ruleless ? DECIDED_BY_NO_RULES : DECIDED_BY_LAST_RULES);
    whole = decided_here(&decision, ruleless);
    if (decide_is_unknown(&whole))
    {
        reply_refuse(request, REFUSAL_NAME, 404, "no webhook has this name");
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
static void decide_without(struct request *request, enum log_event event, const char *why,
                           const char *mend)
{
    struct log_line line;

    decide_forget(request);
    if (log_begin_limited(&line, LOG_WARNING, event,
                          "the database does not decide: the last rules decide here"))
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
    decide_without(request, EVENT_DECIDE_TIMEOUT, "the database did not answer in time", NULL);
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

    return database_query(request->question.link, statement, 2, values, lengths, formats, true,
                          answer, request, ticket);
}

static void decide_ask_both(struct request *request)
{
    struct question *question = &request->question;
    bool several = request->item_count > 1;

    question->tickets[0] = question->tickets[1] = UINT64_MAX;
    if (!decide_ask(request, "decide", decide_answered, &question->tickets[0]) ||
        (several && !decide_ask(request, "items", items_answered, &question->tickets[1])))
        decide_without(request, EVENT_DECIDE_REFUSED, "no room for another question", NULL);
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

static route_text decide_row(const PGresult *answer, int row)
{
    return (route_text){PQgetvalue(answer, row, 0), (size_t) PQgetlength(answer, row, 0)};
}

/* Whether both answers speak of the same: by the same rules, and with each item of a webhook that
 * is sent whole bound for where the whole goes. Conversations may have moved on between the two. */
static bool decide_agreed(const struct question *question)
{
    const struct decided *whole = &question->decided;
    bool mixed = text_is(whole->reason, route_reason_name(ROUTE_REASON_MIXED_BATCH)), agreed = true;
    struct decided item;
    int64_t version;

    for (int row = 0; agreed && row < PQntuples(question->items); row++)
        agreed = decision_read(decide_row(question->items, row), &item, &version) &&
                 version == question->version && (mixed || text_same(item.webhook, whole->webhook));
    return agreed;
}

static bool decide_plan(struct request *request, struct plan *plan)
{
    const struct question *question = &request->question;
    struct decided item;
    int64_t version;
    bool good = plan_begin(plan, request, &question->decided, question->version);

    if (question->items == NULL)
        return good && plan_item(plan, &question->decided);
    for (int row = 0; good && row < PQntuples(question->items); row++)
        good = decision_read(decide_row(question->items, row), &item, &version) &&
               plan_item(plan, &item);
    return good;
}

/* Everything that was asked has been answered. */
static void decide_finish(struct request *request)
{
    struct worker *worker = request->worker;
    const struct question *question = &request->question;
    struct plan plan;
    bool good;

    if (question->items != NULL && !decide_agreed(question))
    {
        decide_again(request);
        return;
    }
    if (worker->ruleset == NULL ||
        route_ruleset_config(worker->ruleset)->version != question->version)
        ruleset_refresh(worker);
    metrics_decided(request, DECIDED_BY_DATABASE);
    if (decide_is_unknown(&question->decided))
    {
        reply_refuse(request, REFUSAL_NAME, 404, "no webhook has this name");
        return;
    }
    good = decide_plan(request, &plan);
    decide_carry_out(request, &plan, good);
}

/* Whether the answer holds at least one row; decides here otherwise. */
static bool decide_usable(struct request *request, const PGresult *answer)
{
    if (answer != NULL && PQresultStatus(answer) == PGRES_TUPLES_OK && PQntuples(answer) > 0)
        return true;
    if (answer == NULL)
    {
        decide_without(request, EVENT_DECIDE_FAILED, "the connection to the database broke", NULL);
        return false;
    }
    if (retry_needs_connection(database_sqlstate(answer)))
        database_condemn(request->question.link, PQresultErrorMessage(answer));
    decide_without(request, EVENT_DECIDE_FAILED, database_complaint(answer),
                   retry_mend(database_sqlstate(answer)));
    return false;
}

/* Whether every row is a decision that we understand; decides here otherwise. `decided` and
 * `version` are the last one's. */
static bool decide_understood(struct request *request, const PGresult *answer,
                              struct decided *decided, int64_t *version)
{
    for (int row = 0; row < PQntuples(answer); row++)
        if (!decision_read(decide_row(answer, row), decided, version))
        {
            decide_without(request, EVENT_DECIDE_FAILED,
                           "the database answered without a target, or in another form",
                           RETRY_MEND_VERSION);
            return false;
        }
    return true;
}

static void decide_take(struct request *request, PGresult **place, struct decided *decided,
                        int64_t *version, PGresult *answer)
{
    if (!decide_usable(request, answer) || !decide_understood(request, answer, decided, version))
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
    struct question *question = &((struct request *) context)->question;

    decide_take(context, &question->whole, &question->decided, &question->version, answer);
}

static void items_answered(void *context, PGresult *answer)
{
    struct question *question = &((struct request *) context)->question;
    struct decided last;
    int64_t version;

    decide_take(context, &question->items, &last, &version, answer);
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
    if (worker->suspect || worker->behind.is || request->question.link->state != DATABASE_READY)
        decide_here(request);
    else
        decide_ask_both(request);
}
