/* SPDX-License-Identifier: PostgreSQL
 *
 * outcomes.c: the log. The rows of an attempt are made before it, so that nothing that happens
 * after a function has seen the webhook can keep it from being logged; when the queue is full, or
 * memory is, the attempt is not made.
 *
 * Rows wait in one list, oldest first. A batch is its beginning; one batch is under way at a time,
 * and its rows leave the list only when the sync after it has come back: that is the commit. When a
 * connection breaks before that, nobody knows, and the batch is sent again; the database stores a
 * row of the same id and time once.
 *
 * A row that the database refuses (SQLSTATE class 22 or 23) would keep its neighbours out: the
 * batch is halved until the row stands alone, and then set aside with a line to the operator.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

#define MAINTENANCE_US 3600000000u

const struct database_statement LOG_STATEMENTS[] = {
    {"store", ROWS_STATEMENT, OUTCOME_COLUMNS, ROWS_TYPES},
    {"maintain", "SELECT routing_maintain()", 0, NULL},
};
const size_t LOG_STATEMENT_COUNT = sizeof LOG_STATEMENTS / sizeof *LOG_STATEMENTS;

/* ---- rows before the attempt ---- */

/* "12.34" to 1234; -1 when there is none. */
static int hundredths(const char *percentage)
{
    return percentage == NULL ? -1 : (int) (strtod(percentage, NULL) * 100 + 0.5);
}

/* What of a row comes from the decision on its item. */
struct outcome_source
{
    const char *texts[7]; /* in the order in which outcome_make() places them */
    int bucket, percentage;
};

static void outcome_source(const struct request *request, int item, struct outcome_source *source)
{
    const struct decision *decision = &request->decision;
    bool several = decision->items != NULL;
    const PGresult *answer = several ? decision->items : decision->answer;
    const char *bucket;

#define VALUE(column)                                                                              \
    decide_value(answer, item, several ? (int) ITEM_##column : (int) DECIDE_##column)
    bucket = VALUE(BUCKET);
    source->bucket = bucket == NULL ? -1 : atoi(bucket);
    source->percentage = hundredths(VALUE(PERCENTAGE));
    source->texts[0] = request->attempt.webhook;
    source->texts[1] = VALUE(DOMAIN);
    source->texts[2] = VALUE(REASON);
    source->texts[3] = VALUE(FROM);
    source->texts[4] = VALUE(MESSAGE);
    source->texts[5] = VALUE(TYPE);
    source->texts[6] = request->correlation_id;
#undef VALUE
    /* Items that went another way than they would alone are logged with the reason for that. */
    if (strcmp(decision->reason, route_reason_name(ROUTE_REASON_MIXED_BATCH)) == 0)
        source->texts[2] = decision->reason;
}

/* Copies one text behind the others; NULL stays NULL. */
static const char *outcome_place(char **at, const char *text)
{
    char *place = *at;
    size_t size;

    if (text == NULL)
        return NULL;
    size = strlen(text) + 1;
    memcpy(place, text, size);
    *at += size;
    return place;
}

static struct outcome *outcome_make(const struct request *request, int item)
{
    struct outcome_source source;
    struct outcome *outcome;
    size_t size = 0;
    char *at;

    outcome_source(request, item, &source);
    for (int i = 0; i < 7; i++)
        size += source.texts[i] == NULL ? 0 : strlen(source.texts[i]) + 1;
    outcome = malloc(sizeof *outcome + size);
    if (outcome == NULL)
        return NULL;
    memset(outcome, 0, sizeof *outcome);
    at = outcome->text;
    identity_make(outcome->id);
    memcpy(outcome->decision_id, request->decision.id, sizeof outcome->decision_id);
    outcome->created_us = request->decision.created_us;
    outcome->attempt = request->attempt.number;
    outcome->item = item;
    outcome->bucket = source.bucket;
    outcome->percentage = source.percentage;
    outcome->config_version = atoll(PQgetvalue(request->decision.answer, 0, DECIDE_VERSION));
    outcome->webhook_name = outcome_place(&at, source.texts[0]);
    outcome->domain = outcome_place(&at, source.texts[1]);
    outcome->reason = outcome_place(&at, source.texts[2]);
    outcome->from_number = outcome_place(&at, source.texts[3]);
    outcome->message_id = outcome_place(&at, source.texts[4]);
    outcome->message_type = outcome_place(&at, source.texts[5]);
    outcome->correlation_id = outcome_place(&at, source.texts[6]);
    return outcome;
}

static void outcome_free_list(struct outcome *first)
{
    while (first != NULL)
    {
        struct outcome *next = first->next;

        free(first);
        first = next;
    }
}

/* More items than are logged: somebody has to know that the log is not whole. */
static void outcomes_cut(const struct request *request, int items)
{
    struct log_line line;

    if (!log_begin_limited(&line, LOG_WARNING, "items_cut",
                           "a webhook holds more items than are logged",
                           &request->worker->outcomes.limiter))
        return;
    log_text(&line, "correlation_id", request->correlation_id);
    log_number(&line, "attempt", request->attempt.number);
    log_number(&line, "items", items);
    log_number(&line, "logged", ITEM_LIMIT);
    log_end(&line);
}

struct outcome *outcomes_prepare(struct request *request)
{
    struct outcomes *outcomes = &request->worker->outcomes;
    struct outcome *first = NULL, **end = &first;
    int count = request->decision.items == NULL ? 1 : PQntuples(request->decision.items);

    if (count > ITEM_LIMIT)
    {
        outcomes_cut(request, count);
        count = ITEM_LIMIT;
    }
    if (outcomes->held + (size_t) count > request->worker->log_queue)
        return NULL;
    for (int item = 0; item < count; item++)
    {
        *end = outcome_make(request, item);
        if (*end == NULL)
        {
            outcome_free_list(first);
            return NULL;
        }
        end = &(*end)->next;
    }
    outcomes->held += (size_t) count;
    return first;
}

bool outcomes_full(const struct worker *worker)
{
    return worker->outcomes.held >= worker->log_queue;
}

/* ---- rows after the attempt ---- */

static void outcomes_queue(struct worker *worker, struct outcome *outcome)
{
    struct outcomes *outcomes = &worker->outcomes;

    outcome->next = NULL;
    if (outcomes->first == NULL)
        outcomes->first = outcome;
    else
        outcomes->last->next = outcome;
    outcomes->last = outcome;
    if (outcomes->queued++ == outcomes->sent)
    {
        outcomes->oldest_us = worker->loop.now_us;
        if (outcomes->timer.place == 0)
            loop_arm(&worker->loop, &outcomes->timer,
                     outcomes->oldest_us + worker->options->log_interval);
    }
}

void outcomes_finish(struct request *request, const char *routed_to, unsigned http_status,
                     bool success, bool ambiguous, const char *error_message)
{
    struct outcome *outcome = request->attempt.outcomes, *next;
    uint64_t started_us = request->attempt.started_us;
    double elapsed = started_us == 0 ? -1 : (double) (loop_clock() - started_us) / 1000;

    request->attempt.outcomes = NULL;
    for (; outcome != NULL; outcome = next)
    {
        next = outcome->next;
        outcome->routed_to = routed_to;
        outcome->http_status = (int) http_status;
        outcome->success = success;
        outcome->ambiguous = ambiguous;
        outcome->response_time_ms = elapsed;
        snprintf(outcome->error_message, sizeof outcome->error_message, "%s",
                 error_message == NULL ? "" : error_message);
        outcomes_queue(request->worker, outcome);
    }
}

/* ---- batches ---- */

static void outcomes_drop(struct outcomes *outcomes, size_t count)
{
    for (; count > 0; count--)
    {
        struct outcome *outcome = outcomes->first;

        outcomes->first = outcome->next;
        if (outcomes->first == NULL)
            outcomes->last = NULL;
        outcomes->queued--;
        outcomes->held--;
        free(outcome);
    }
}

static void outcomes_pause(struct worker *worker)
{
    struct outcomes *outcomes = &worker->outcomes;

    outcomes->retry_us = worker->loop.now_us + retry_pause(outcomes->failures++);
}

/* The first row, alone, was refused. */
static void outcomes_set_aside(struct worker *worker)
{
    struct outcomes *outcomes = &worker->outcomes;
    char id[37];
    struct log_line line;

    identity_print(outcomes->first->decision_id, id);
    if (log_begin(&line, LOG_ERROR, "log_row_refused",
                  "the database refuses a log row: it is set aside and not stored"))
    {
        log_text(&line, "decision_id", id);
        log_number(&line, "attempt", outcomes->first->attempt);
        log_number(&line, "item", outcomes->first->item);
        log_text(&line, "correlation_id", outcomes->first->correlation_id);
        log_text(&line, "webhook", outcomes->first->webhook_name);
        log_text(&line, "routed_to", outcomes->first->routed_to);
        log_number(&line, "http_status", outcomes->first->http_status);
        log_end(&line);
    }
    outcomes_drop(outcomes, 1);
    outcomes->suspects = 0;
}

/* SQLSTATE and primary message; a DETAIL could quote a row. */
static void outcomes_complain(struct worker *worker, const PGresult *answer)
{
    struct log_line line;

    if (!log_begin_limited(&line, LOG_WARNING, "log_batch_failed",
                           "the database did not store a batch of log rows; it will be sent again",
                           &worker->outcomes.limiter))
        return;
    log_text(&line, "sqlstate", database_sqlstate(answer));
    log_text(&line, "detail", PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY));
    log_number(&line, "rows", (int64_t) worker->outcomes.sent);
    log_number(&line, "waiting", (int64_t) worker->outcomes.queued);
    log_end(&line);
}

static void outcomes_answered(void *context, PGresult *answer)
{
    struct worker *worker = context;
    const char *sqlstate;

    if (answer == NULL)
        return;
    worker->outcomes.refused = PQresultStatus(answer) != PGRES_TUPLES_OK;
    if (worker->outcomes.refused)
    {
        sqlstate = database_sqlstate(answer);
        worker->outcomes.refused_alone =
            strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0;
        outcomes_complain(worker, answer);
        if (retry_needs_connection(sqlstate))
            database_condemn(&worker->log, "this connection can not store the log");
    }
    PQclear(answer);
}

/* The sync after a batch: only now it is known to be stored, or not. */
static void outcomes_committed(void *context, PGresult *answer)
{
    struct worker *worker = context;
    struct outcomes *outcomes = &worker->outcomes;
    size_t sent = outcomes->sent;

    outcomes->sent = 0;
    outcomes->oldest_us = worker->loop.now_us;
    if (answer == NULL)
        return;
    if (!outcomes->refused)
    {
        outcomes_drop(outcomes, sent);
        outcomes->suspects -= outcomes->suspects < sent ? outcomes->suspects : sent;
        outcomes->failures = 0;
    }
    else if (!outcomes->refused_alone)
        outcomes_pause(worker);
    else if (sent == 1)
        outcomes_set_aside(worker);
    else
        outcomes->suspects = sent;
    PQclear(answer);
}

/* How many rows the next batch has; 0: none is due. */
static size_t outcomes_due(const struct worker *worker)
{
    const struct outcomes *outcomes = &worker->outcomes;
    size_t batch = worker->options->log_batch;

    if (outcomes->queued == 0 || outcomes->sent > 0 || worker->log.state != DATABASE_READY ||
        worker->loop.now_us < outcomes->retry_us)
        return 0;
    if (outcomes->suspects > 0)
        return outcomes->suspects > 1 ? outcomes->suspects / 2 : 1;
    if (outcomes->queued < batch && !worker->draining &&
        worker->loop.now_us < outcomes->oldest_us + worker->options->log_interval)
        return 0;
    return outcomes->queued < batch ? outcomes->queued : batch;
}

static void outcomes_send(struct worker *worker, size_t count)
{
    struct outcomes *outcomes = &worker->outcomes;
    const char *values[OUTCOME_COLUMNS];
    int formats[OUTCOME_COLUMNS];

    if (!rows_encode(&outcomes->rows, outcomes->first, count))
    {
        outcomes_pause(worker);
        return;
    }
    for (int i = 0; i < OUTCOME_COLUMNS; i++)
    {
        values[i] = outcomes->rows.columns[i].data;
        formats[i] = 1;
    }
    if (!database_query(&worker->log, "store", OUTCOME_COLUMNS, values, outcomes->rows.lengths,
                        formats, outcomes_answered, worker, NULL))
        return;
    outcomes->sent = count;
    outcomes->refused = outcomes->refused_alone = false;
    if (!database_sync(&worker->log, outcomes_committed, worker))
    {
        outcomes->sent = 0;
        database_condemn(&worker->log, "a batch could not be sent");
    }
}

void outcomes_turn(struct worker *worker)
{
    struct outcomes *outcomes = &worker->outcomes;
    size_t count = outcomes_due(worker);

    if (count > 0)
        outcomes_send(worker, count);
    if (outcomes->queued > outcomes->sent && outcomes->timer.place == 0)
        loop_arm(&worker->loop, &outcomes->timer,
                 worker->loop.now_us + worker->options->log_interval);
}

/* The timer only makes a turn happen. */
static void outcomes_expired(struct loop_timer *timer)
{
    (void) timer;
}

/* ---- maintenance: partitions and retention, by one worker only ---- */

static void outcomes_maintained(void *context, PGresult *answer)
{
    struct worker *worker = context;
    struct log_line line;

    if (answer != NULL && PQresultStatus(answer) != PGRES_TUPLES_OK &&
        log_begin_limited(&line, LOG_WARNING, "maintenance_failed", "routing_maintain() failed",
                          &worker->failures))
    {
        log_text(&line, "sqlstate", database_sqlstate(answer));
        log_text(&line, "detail", PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY));
        log_end(&line);
    }
    PQclear(answer);
}

static void outcomes_maintain(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;
    uint8_t id[16];

    identity_make(id);
    if (database_query(&worker->log, "maintain", 0, NULL, NULL, NULL, outcomes_maintained, worker,
                       NULL))
        loop_arm(&worker->loop, timer,
                 worker->loop.now_us + MAINTENANCE_US + id[15] * (MAINTENANCE_US / 2560));
}

void outcomes_ready(void *owner)
{
    struct worker *worker = owner;

    worker->outcomes.retry_us = 0;
    worker->outcomes.failures = 0;
    if (worker->number == 0 && worker->outcomes.maintenance.place == 0)
        loop_arm(&worker->loop, &worker->outcomes.maintenance, worker->loop.now_us);
}

bool outcomes_open(struct worker *worker)
{
    return loop_timer_open(&worker->loop, &worker->outcomes.timer, outcomes_expired, worker) &&
           loop_timer_open(&worker->loop, &worker->outcomes.maintenance, outcomes_maintain, worker);
}

/* What is still here is lost; say so. */
void outcomes_close(struct worker *worker)
{
    struct log_line line;

    if (worker->outcomes.queued > 0 &&
        log_begin(&line, LOG_ERROR, "log_rows_lost", "log rows could not be stored before the end"))
    {
        log_number(&line, "rows", (int64_t) worker->outcomes.queued);
        log_end(&line);
    }
    loop_timer_close(&worker->loop, &worker->outcomes.timer);
    loop_timer_close(&worker->loop, &worker->outcomes.maintenance);
    outcome_free_list(worker->outcomes.first);
    worker->outcomes.first = worker->outcomes.last = NULL;
    rows_free(&worker->outcomes.rows);
}
