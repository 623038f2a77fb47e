/* SPDX-License-Identifier: PostgreSQL
 *
 * outcomes.c: finished log rows on their way to the database. A batch is one statement and one
 * sync: all of it is stored or none, and it leaves memory only when the sync has come back. When
 * the connection breaks in between, the same rows are sent again; the log does not store a row
 * twice (same id, same time).
 *
 * More rows than --log-queue are not kept in memory: they stay in the spool and come back from
 * there when the queue has room. The same way come the rows of a forwarder that was killed.
 *
 * A row that the database refuses for what it holds (retry.c) would keep its neighbours out: the
 * batch is halved until the row stands alone, and then set aside with a line to the operator.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

/* Rows that one turn takes out of the spool, or writes into it anew: the loop is not held up. */
#define SPOOL_SLICE 500

const struct database_statement LOG_STATEMENTS[] = {
    {"store", ROWS_STATEMENT, OUTCOME_COLUMNS, ROWS_TYPES},
    {"pending", ROWS_PENDING_STATEMENT, OUTCOME_COLUMNS, ROWS_TYPES},
    {"ruleset", RULESET_STATEMENT, 0, NULL},
};
const size_t LOG_STATEMENT_COUNT = sizeof LOG_STATEMENTS / sizeof *LOG_STATEMENTS;

/* ---- the queue ---- */

bool outcomes_full(const struct worker *worker)
{
    return worker->outcomes.held >= worker->log_queue && !spool_usable(worker->spool);
}

static void outcomes_append(struct worker *worker, struct outcome *outcome)
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

void outcomes_queue(struct worker *worker, struct outcome *rows)
{
    struct outcomes *outcomes = &worker->outcomes;
    struct outcome *next;

    for (; rows != NULL; rows = next)
    {
        next = rows->next;
        if (outcomes->queued < worker->log_queue)
        {
            outcomes_append(worker, rows);
            continue;
        }
        rows->next = outcomes->surplus;
        outcomes->surplus = rows;
    }
}

void outcomes_spill(struct worker *worker)
{
    struct outcome *rows = worker->outcomes.surplus, *next;

    worker->outcomes.surplus = NULL;
    for (; rows != NULL; rows = next)
    {
        next = rows->next;
        if (!spool_spill(worker->spool, rows))
            outcomes_append(worker, rows);
        else
        {
            worker->outcomes.held--;
            free(rows);
        }
    }
}

/* Rows that wait in the spool alone, when there is room for them and somebody to take them. */
static void outcomes_replay(struct worker *worker)
{
    struct outcome *rows, *next;

    if (worker->log.state != DATABASE_READY || worker->draining ||
        worker->outcomes.queued >= worker->options->log_batch || !spool_has_replay(worker->spool))
        return;
    rows = spool_replay(worker->spool, SPOOL_SLICE);
    for (; rows != NULL; rows = next)
    {
        next = rows->next;
        worker->outcomes.held++;
        outcomes_append(worker, rows);
    }
}

/* ---- batches ---- */

/* The first rows are stored, or set aside. */
static void outcomes_drop(struct worker *worker, size_t count)
{
    struct outcomes *outcomes = &worker->outcomes;

    for (; count > 0; count--)
    {
        struct outcome *outcome = outcomes->first;

        outcomes->first = outcome->next;
        if (outcomes->first == NULL)
            outcomes->last = NULL;
        outcomes->queued--;
        outcomes->held--;
        spool_stored(worker->spool, outcome);
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
    bool kept = spool_set_aside(worker->spool, outcomes->first);

    identity_print(outcomes->first->decision_id, id);
    if (log_begin(&line, LOG_ERROR, EVENT_LOG_ROW_REFUSED,
                  "the database refuses a log row: it is set aside and not stored"))
    {
        log_text(&line, "kept", kept ? "in the spool's set-aside" : "in this line only");
        log_text(&line, "decision_id", id);
        log_number(&line, "attempt", outcomes->first->attempt);
        log_number(&line, "item", outcomes->first->item);
        log_text(&line, "correlation_id", outcomes->first->correlation_id);
        log_text(&line, "webhook", outcomes->first->webhook_name);
        log_text(&line, "routed_to", outcomes->first->routed_to);
        log_number(&line, "http_status", outcomes->first->http_status);
        if (kept)
            log_text(
                &line, "mend",
                "mend what log_batch_failed says of it, move its file from set-aside/ into the "
                "spool directory, and restart");
        log_end(&line);
    }
    metric_count(&worker->metrics.cells[METRIC_LOG_SET_ASIDE], 1);
    outcomes_drop(worker, 1);
    outcomes->suspects = 0;
}

/* SQLSTATE and primary message; a DETAIL could quote a row. */
void outcomes_complain(struct worker *worker, const PGresult *answer, const char *message)
{
    const char *mend = retry_mend(database_sqlstate(answer));
    struct log_line line;

    if (!log_begin_limited(&line, LOG_WARNING, EVENT_LOG_BATCH_FAILED, message))
        return;
    log_text(&line, "sqlstate", database_sqlstate(answer));
    log_text(&line, "detail", database_complaint(answer));
    if (mend != NULL)
        log_text(&line, "mend", mend);
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
        worker->outcomes.refused_alone = retry_blames_row(sqlstate);
        outcomes_complain(worker, answer,
                          "the database did not store a batch of log rows; it will be sent again");
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
    PQclear(answer);
    if (!outcomes->refused)
    {
        metric_count(&worker->metrics.cells[METRIC_LOG_STORED], sent);
        outcomes_drop(worker, sent);
        outcomes->suspects -= outcomes->suspects < sent ? outcomes->suspects : sent;
        outcomes->failures = 0;
        return;
    }
    metric_count(&worker->metrics.cells[METRIC_LOG_FAILURES], 1);
    if (!outcomes->refused_alone)
        outcomes_pause(worker);
    else if (sent == 1)
        outcomes_set_aside(worker);
    else
        outcomes->suspects = sent;
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

/* One statement and its sync; false when nothing was sent, or nobody knows. */
static bool outcomes_send_rows(struct worker *worker, const char *statement,
                               const struct outcome *first, size_t count, database_answer answer,
                               database_answer committed)
{
    struct rows *rows = &worker->outcomes.rows;
    const char *values[OUTCOME_COLUMNS];
    int formats[OUTCOME_COLUMNS];

    if (!rows_encode(rows, first, count))
        return false;
    for (int i = 0; i < OUTCOME_COLUMNS; i++)
    {
        values[i] = rows->columns[i].data;
        formats[i] = 1;
    }
    if (!database_query(&worker->log, statement, OUTCOME_COLUMNS, values, rows->lengths, formats,
                        false, answer, worker, NULL))
        return false;
    if (database_sync(&worker->log, committed, worker))
        return true;
    database_condemn(&worker->log, "log rows could not be sent");
    return false;
}

bool outcomes_send_pending(struct worker *worker, const struct outcome *first, size_t count,
                           database_answer answer, database_answer committed)
{
    if (!outcomes_send_rows(worker, "pending", first, count, answer, committed))
        return false;
    maintenance_note_pending(worker);
    return true;
}

static void outcomes_send(struct worker *worker, size_t count)
{
    struct outcomes *outcomes = &worker->outcomes;

    outcomes->refused = outcomes->refused_alone = false;
    if (outcomes_send_rows(worker, "store", outcomes->first, count, outcomes_answered,
                           outcomes_committed))
        outcomes->sent = count;
    else
        outcomes_pause(worker);
}

void outcomes_turn(struct worker *worker)
{
    struct outcomes *outcomes = &worker->outcomes;
    size_t count;

    if (spool_rescue(worker->spool, outcomes->first, SPOOL_SLICE))
        worker->recording.unwritten = true;
    outcomes_replay(worker);
    count = outcomes_due(worker);
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

void outcomes_ready(void *owner)
{
    struct worker *worker = owner;

    worker->outcomes.retry_us = 0;
    worker->outcomes.failures = 0;
    maintenance_follow(worker);
}

bool outcomes_open(struct worker *worker)
{
    return loop_timer_open(&worker->loop, &worker->outcomes.timer, outcomes_expired, worker);
}

/* Rows that would be lost if this were the end. */
static size_t outcomes_unsafe(const struct worker *worker)
{
    size_t count = 0;

    for (const struct outcome *row = worker->outcomes.first; row != NULL; row = row->next)
        count += spool_is_safe(worker->spool, row) ? 0 : 1;
    return count;
}

bool outcomes_settled(const struct worker *worker)
{
    const struct outcomes *outcomes = &worker->outcomes;

    return outcomes->held == 0 ||
           (outcomes->held == outcomes->queued &&
            (worker->log.state != DATABASE_READY || worker->loop.now_us >= worker->log_until_us) &&
            outcomes_unsafe(worker) == 0);
}

/* Rows in the spool wait for the next start; others are lost: say so. */
static void outcomes_report_lost(struct worker *worker)
{
    struct log_line line;
    size_t lost;

    if (worker->outcomes.held == 0)
        return;
    spool_settle(worker->spool);
    outcomes_spill(worker);
    lost = outcomes_unsafe(worker);
    if (lost == 0)
        return;
    worker->lost = true;
    if (!log_begin(&line, LOG_ERROR, EVENT_LOG_ROWS_LOST,
                   "log rows could not be stored before the end"))
        return;
    log_number(&line, "rows", (int64_t) lost);
    log_end(&line);
}

void outcomes_close(struct worker *worker)
{
    struct outcomes *outcomes = &worker->outcomes;

    outcomes_report_lost(worker);
    loop_timer_close(&worker->loop, &outcomes->timer);
    for (struct outcome *row = outcomes->first, *next; row != NULL; row = next)
    {
        next = row->next;
        free(row);
    }
    outcomes->first = outcomes->last = NULL;
    rows_free(&outcomes->rows);
}
