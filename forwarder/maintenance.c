/* SPDX-License-Identifier: PostgreSQL
 *
 * maintenance.c: calls routing_maintain(), which makes partitions, drops expired ones and settles
 * decisions that were pending in the database when a forwarder was killed. Worker 0 does it, on a
 * connection of its own, since it may wait for locks: a moment after that has opened, in the
 * minutes after any worker has had decisions committed as pending, and every hour.
 *
 * The moment is for forwarders that were cut off from the database with outcomes in their memory:
 * these come first, and what is settled then has nobody who knows its end.
 */
#include "forwarder.h"

#define HOUR_US 3600000000u
/* Longer than any worker needs to reach a database that is back (retry.c) and to bring its rows. */
#define MOMENT_US 5000000u
/* A decision is pending for a minute at most; a little later it can be settled. */
#define TICK_US 70000000u

static const struct database_statement STATEMENTS[] = {
    {"maintain", "SELECT routing_maintain()", 0, NULL},
};

/* loop_clock() when decisions were last committed as pending, by whatever worker; 0: never. */
static _Atomic uint64_t last_pending_us;

void maintenance_note_pending(const struct worker *worker)
{
    atomic_store(&last_pending_us, worker->loop.now_us);
}

static void maintenance_answered(void *context, PGresult *answer)
{
    struct worker *worker = context;
    struct log_line line;

    if (answer != NULL && PQresultStatus(answer) != PGRES_TUPLES_OK &&
        log_begin_limited(&line, LOG_WARNING, "maintenance_failed", "routing_maintain() failed",
                          &worker->failures))
    {
        log_text(&line, "sqlstate", database_sqlstate(answer));
        log_text(&line, "detail", database_complaint(answer));
        log_end(&line);
    }
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
        !database_query(&maintenance->link, "maintain", 0, NULL, NULL, NULL, maintenance_answered,
                        worker, NULL))
        return;
    identity_make(id);
    if (now >= maintenance->next_us)
        maintenance->next_us = now + HOUR_US + id[15] * (HOUR_US / 2560);
}

/* The connection is open. An earlier forwarder may have left decisions pending until now. */
static void maintenance_ready(void *owner)
{
    struct worker *worker = owner;

    worker->maintenance.next_us = worker->loop.now_us;
    maintenance_note_pending(worker);
    loop_arm(&worker->loop, &worker->maintenance.timer, worker->loop.now_us + MOMENT_US);
}

bool maintenance_open(struct worker *worker)
{
    struct database *link = &worker->maintenance.link;

    if (worker->number != 0)
        return true;
    link->link = "maintenance";
    link->session = worker->options->log_server;
    link->url = worker->secrets->database_url;
    link->statements = STATEMENTS;
    link->statement_count = sizeof STATEMENTS / sizeof *STATEMENTS;
    link->became_ready = maintenance_ready;
    link->owner = worker;
    return loop_timer_open(&worker->loop, &worker->maintenance.timer, maintenance_due, worker) &&
           database_open(link, &worker->loop, 8);
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
}
