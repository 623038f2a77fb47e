/* SPDX-License-Identifier: PostgreSQL
 *
 * maintenance.c: calls routing_maintain(), which makes partitions, drops expired ones and settles
 * decisions that were pending in the database when a forwarder was killed. One worker does it: a
 * moment after its log link has opened, a minute later (for what was pending then), and every hour.
 * The moment is for forwarders that were cut off from the database with outcomes in their memory:
 * these come first, and what is settled then has nobody who knows its end.
 */
#include "forwarder.h"

#define HOUR_US 3600000000u
/* Longer than any worker needs to reach a database that is back (retry.c) and to bring its rows. */
#define MOMENT_US 5000000u
/* A decision is pending for a minute at most; a little later it can be settled. */
#define SOON_US 70000000u

const char MAINTENANCE_STATEMENT[] = "SELECT routing_maintain()";

static void maintenance_answered(void *context, PGresult *answer)
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

/* Hourly, at another moment for each forwarder. */
static void maintenance_due(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;
    uint8_t id[16];

    identity_make(id);
    if (database_query(&worker->log, "maintain", 0, NULL, NULL, NULL, maintenance_answered, worker,
                       NULL))
        loop_arm(&worker->loop, timer, worker->loop.now_us + HOUR_US + id[15] * (HOUR_US / 2560));
    if (worker->maintenance.opened)
        maintenance_soon(worker);
    worker->maintenance.opened = false;
}

void maintenance_soon(struct worker *worker)
{
    struct loop_timer *timer = &worker->maintenance.timer;
    uint64_t soon = worker->loop.now_us + SOON_US;

    if (timer->place == 0 || timer->due_us > soon)
        loop_arm(&worker->loop, timer, soon);
}

void maintenance_ready(struct worker *worker)
{
    if (worker->number != 0)
        return;
    worker->maintenance.opened = true;
    loop_arm(&worker->loop, &worker->maintenance.timer, worker->loop.now_us + MOMENT_US);
}

bool maintenance_open(struct worker *worker)
{
    return loop_timer_open(&worker->loop, &worker->maintenance.timer, maintenance_due, worker);
}

void maintenance_close(struct worker *worker)
{
    loop_timer_close(&worker->loop, &worker->maintenance.timer);
}
