/* SPDX-License-Identifier: PostgreSQL
 *
 * maintenance.c: what the database wants to be called for, by worker 0, on a connection of its own,
 * since it may wait for locks.
 *
 * routing_maintain() makes partitions, drops expired ones and settles decisions that were pending
 * in the database when a forwarder was killed: a moment after the connection has opened, in the
 * minutes after any worker has had decisions committed as pending, and every hour.
 *
 * A statement here may take minutes, so that no time tells that the server is gone: this link
 * follows the log's. A primary that was left for its standby would otherwise keep it for as long as
 * the old server neither answers nor ends, and nobody would call the guard of the new one.
 *
 * The moment is for forwarders that were cut off from the database with outcomes in their memory:
 * these come first, and what is settled then has nobody who knows its end.
 *
 * routing_guard() rolls back by itself where an operator has asked for it (automatic_rollback):
 * every 15 s. What it decides reaches the workers as every other change does.
 *
 * routing_sample_findings() audits the split: 20 s after the connection has opened, when what an
 * earlier forwarder has left is stored, and every hour. It takes some seconds at most, by which the
 * next guard is late.
 */
#include "forwarder.h"

#include <stdlib.h>
#include <string.h>

#define HOUR_US 3600000000u
/* Longer than any worker needs to reach a database that is back (retry.c) and to bring its rows. */
#define MOMENT_US 5000000u
/* A decision is pending for a minute at most; a little later it can be settled. */
#define TICK_US 70000000u
#define GUARD_US 15000000u
#define AUDIT_FIRST_US 20000000u

static const struct database_statement STATEMENTS[] = {
    {"maintain", "SELECT routing_maintain()", 0, NULL},
    {"guard", "SELECT domain, detail FROM routing_guard() WHERE action = 'rolled back'", 0, NULL},
    {"audit", "SELECT findings FROM routing_sample_findings()", 0, NULL},
};

/* loop_clock() when decisions were last committed as pending, by whatever worker; 0: never. */
static _Atomic uint64_t last_pending_us;

void maintenance_note_pending(const struct worker *worker)
{
    atomic_store(&last_pending_us, worker->loop.now_us);
}

static void maintenance_complain(enum log_event event, const char *message, const PGresult *answer)
{
    const char *mend = retry_mend(database_sqlstate(answer));
    struct log_line line;

    if (!log_begin_limited(&line, LOG_WARNING, event, message))
        return;
    log_text(&line, "sqlstate", database_sqlstate(answer));
    log_text(&line, "detail", database_complaint(answer));
    if (mend != NULL)
        log_text(&line, "mend", mend);
    log_end(&line);
}

static void maintenance_answered(void *context, PGresult *answer)
{
    (void) context;
    if (answer != NULL && PQresultStatus(answer) != PGRES_TUPLES_OK)
        maintenance_complain(EVENT_MAINTENANCE_FAILED, "routing_maintain() failed", answer);
    PQclear(answer);
}

/* Whether what was pending lately may be old enough to be settled at this tick, or at the next. */
static bool maintenance_may_settle(const struct worker *worker)
{
    uint64_t last_us = atomic_load(&last_pending_us);

    return last_us != 0 && worker->loop.now_us < last_us + 2 * (uint64_t) TICK_US;
}

/* Hourly, at another moment for each forwarder. */
static void maintenance_due(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;
    struct maintenance *maintenance = &worker->maintenance;
    uint64_t now = worker->loop.now_us;
    uint8_t id[16];

    loop_arm(&worker->loop, timer, now + TICK_US);
    if ((now < maintenance->next_us && !maintenance_may_settle(worker)) ||
        !database_query(&maintenance->link, "maintain", 0, NULL, NULL, NULL, false,
                        maintenance_answered, worker, NULL))
        return;
    identity_make(id);
    if (now >= maintenance->next_us)
        maintenance->next_us = now + HOUR_US + id[15] * (HOUR_US / 2560);
}

/* A guard that the role may not call is told once for each connection, then left alone. */
static void guard_refused(struct worker *worker, const PGresult *answer)
{
    bool forbidden = strcmp(database_sqlstate(answer), "42501") == 0;

    worker->maintenance.guard_forbidden = forbidden;
    maintenance_complain(EVENT_GUARD_FAILED,
                         forbidden
                             ? "routing_guard() is not allowed: nothing is rolled back by itself"
                             : "routing_guard() failed",
                         answer);
}

/* One row for each domain that has brought it about; hardly ever any. */
static void guard_answered(void *context, PGresult *answer)
{
    struct worker *worker = context;
    struct log_line line;

    if (answer != NULL && PQresultStatus(answer) != PGRES_TUPLES_OK)
        guard_refused(worker, answer);
    if (answer != NULL)
        metric_count(&worker->metrics.cells[METRIC_GUARD_ROLLBACKS], (uint64_t) PQntuples(answer));
    for (int row = 0; answer != NULL && row < PQntuples(answer); row++)
        if (log_begin(&line, LOG_WARNING, EVENT_GUARD_ROLLED_BACK,
                      "routing_guard() has switched routing off"))
        {
            log_text(&line, "domain", PQgetvalue(answer, row, 0));
            log_text(&line, "detail", PQgetvalue(answer, row, 1));
            log_end(&line);
        }
    PQclear(answer);
}

/* In a transaction of its own: an error of the one call takes nothing back of the other. */
static void guard_due(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;
    struct maintenance *maintenance = &worker->maintenance;

    loop_arm(&worker->loop, timer, worker->loop.now_us + GUARD_US);
    if (maintenance->guard_forbidden || database_lag(&maintenance->link) > 0)
        return;
    database_turn(&maintenance->link);
    if (database_query(&maintenance->link, "guard", 0, NULL, NULL, NULL, false, guard_answered,
                       worker, NULL))
        database_turn(&maintenance->link);
}

/* ---- the audit ---- */

/* NULL: the log is too long for it. */
static void audit_answered(void *context, PGresult *answer)
{
    struct worker *worker = context;
    metric_cell *cells = worker->metrics.cells;
    bool good =
        answer != NULL && PQresultStatus(answer) == PGRES_TUPLES_OK && PQntuples(answer) == 1;

    if (answer != NULL && !good)
        maintenance_complain(EVENT_AUDIT_FAILED,
                             "routing_sample_findings() failed: the sample ratio is not known",
                             answer);
    metric_set(&cells[METRIC_SAMPLE_FINDINGS], good && !PQgetisnull(answer, 0, 0)
                                                   ? strtoull(PQgetvalue(answer, 0, 0), NULL, 10)
                                                   : METRIC_UNKNOWN);
    if (good)
        metric_set(&cells[METRIC_SAMPLE_AGE], worker->loop.now_us);
    PQclear(answer);
}

/* In a transaction of its own, too. */
static void audit_due(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;
    struct database *link = &worker->maintenance.link;

    loop_arm(&worker->loop, timer, worker->loop.now_us + HOUR_US);
    database_turn(link);
    if (database_query(link, "audit", 0, NULL, NULL, NULL, false, audit_answered, worker, NULL))
        database_turn(link);
}

/* The connection is open. An earlier forwarder may have left decisions pending until now. */
static void maintenance_ready(void *owner)
{
    struct worker *worker = owner;

    worker->maintenance.next_us = worker->loop.now_us;
    maintenance_note_pending(worker);
    worker->maintenance.guard_forbidden = false;
    loop_arm(&worker->loop, &worker->maintenance.timer, worker->loop.now_us + MOMENT_US);
    loop_arm(&worker->loop, &worker->maintenance.guard_timer, worker->loop.now_us + GUARD_US);
    loop_arm(&worker->loop, &worker->maintenance.audit_timer, worker->loop.now_us + AUDIT_FIRST_US);
}

bool maintenance_open(struct worker *worker)
{
    struct database *link = &worker->maintenance.link;

    if (worker->number != 0)
        return true;
    metric_set(&worker->metrics.cells[METRIC_SAMPLE_FINDINGS], METRIC_UNKNOWN);
    link->link = "maintenance";
    link->session = worker->options->log_server;
    link->url = worker->secrets->database_url;
    link->statements = STATEMENTS;
    link->statement_count = sizeof STATEMENTS / sizeof *STATEMENTS;
    link->became_ready = maintenance_ready;
    link->owner = worker;
    return loop_timer_open(&worker->loop, &worker->maintenance.timer, maintenance_due, worker) &&
           loop_timer_open(&worker->loop, &worker->maintenance.guard_timer, guard_due, worker) &&
           loop_timer_open(&worker->loop, &worker->maintenance.audit_timer, audit_due, worker) &&
           database_open(link, &worker->loop, 8);
}

void maintenance_follow(struct worker *worker)
{
    if (worker->number == 0 && !database_together(&worker->maintenance.link, &worker->log))
        database_condemn(&worker->maintenance.link, "the log has gone to another server");
}

void maintenance_turn(struct worker *worker)
{
    if (worker->number == 0)
        database_turn(&worker->maintenance.link);
}

void maintenance_close(struct worker *worker)
{
    if (worker->number != 0)
        return;
    database_close(&worker->maintenance.link);
    loop_timer_close(&worker->loop, &worker->maintenance.timer);
    loop_timer_close(&worker->loop, &worker->maintenance.guard_timer);
    loop_timer_close(&worker->loop, &worker->maintenance.audit_timer);
}
