/* SPDX-License-Identifier: PostgreSQL
 *
 * status_viewers.c: who looks at the status page: whether what the database said last will do, who
 * waits for more, and what is shown.
 *
 * What it said is kept, so that any number of viewers cost one set of questions each
 * STATUS_FRESH_US; where answering takes long, each ten times as long as that, but for
 * STATUS_KEPT_MOST_US at most, and no longer than until a worker has heard of another
 * configuration. Whoever asks when it is older waits for the next set, suspended, for
 * STATUS_PATIENCE_US at most. Nobody waits with no connection to be had, for a set that has been
 * late for somebody before, nor when STATUS_WAITING_MOST do already: they get what was said last.
 */
#include <stdlib.h>
#include <time.h>

#include "forwarder.h"
#include "status.h"
#include "status_inside.h"

#define STATUS_IDLE_US 60000000
#define STATUS_PATIENCE_US 1000000
#define STATUS_OLD_US 10000000       /* so long after its time an answer is missed */
#define STATUS_RETURN_US 10000000    /* a standby is read for so long at least */
#define STATUS_SHARE 10              /* of the time, the database is kept busy for one part */
#define STATUS_KEPT_MOST_US 15000000 /* one slow set is no reason to know nothing for long */
/* So many viewers wait; the other connections are for probes and scrapes. */
#define STATUS_WAITING_MOST (ADMIN_CONNECTIONS_MOST / 2)

struct status_waiting
{
    struct MHD_Connection *connection;
    struct status_waiting *next;
};

/* ---- waiting ---- */

void status_resume(struct status *status)
{
    while (status->waiting != NULL)
    {
        struct status_waiting *first = status->waiting;

        status->waiting = first->next;
        status->waiting_count--;
        MHD_resume_connection(first->connection);
        free(first);
    }
}

void status_impatient(struct loop_timer *timer)
{
    status_resume(timer->owner);
}

/* So long an answer is not asked for again. */
static uint64_t status_kept_us(const struct status *status)
{
    uint64_t kept = status->took_us * STATUS_SHARE;

    if (kept > STATUS_KEPT_MOST_US)
        return STATUS_KEPT_MOST_US;
    return kept > STATUS_FRESH_US ? kept : STATUS_FRESH_US;
}

/* A change has reached the forwarder that the answer does not know. */
static bool status_is_behind(const struct status_view *view)
{
    return status_number(view, STATUS_STEP, 0, "config_version", 0) <
           (double) view->forwarder.config_version;
}

/* The set that was told last is not to be asked for again yet. */
static bool status_is_fresh(const struct status *status, const struct admin *admin)
{
    uint64_t age = status->loop->now_us - status->told_us;
    struct status_view view = {.results = {[STATUS_STEP] = status->results[STATUS_STEP]}};

    if (status->told_us == 0 || age >= status_kept_us(status))
        return false;
    if (age < STATUS_FRESH_US)
        return true;
    status_gather(admin, &view.forwarder);
    return !status_is_behind(&view);
}

/* Whether who comes now may be told of the set on its way in time. */
static bool status_is_soon(const struct status *status)
{
    return status->awaited == 0 || status->loop->now_us - status->asked_us < STATUS_PATIENCE_US;
}

/* Whether a worker stores the log: there is a primary. */
static bool status_has_primary(const struct admin *admin)
{
    for (size_t i = 0; i < admin->worker_count; i++)
        if (atomic_load_explicit(&admin->workers[i].status.can_log, memory_order_relaxed))
            return true;
    return false;
}

/* Leaves a standby when the primary is there again; rarely, should it not be one. */
static void status_return(struct status *status, const struct admin *admin)
{
    const PGresult *step = status->results[STATUS_STEP];
    int standby = step == NULL ? -1 : PQfnumber(step, "standby");

    if (status->link.state != DATABASE_READY || standby < 0 || PQntuples(step) == 0 ||
        *PQgetvalue(step, 0, standby) != 't' ||
        status->loop->now_us - status->link.ready_us < STATUS_RETURN_US ||
        !status_has_primary(admin))
        return;
    status->link.session = status->options->log_server;
    status->declined = true; /* that it is left is no trouble */
    database_condemn(&status->link, "the primary is there again");
}

bool status_ready(const struct admin *admin)
{
    struct status *status = admin->status;

    status_return(status, admin);
    loop_arm(status->loop, &status->closer, status->loop->now_us + STATUS_IDLE_US);
    if (!status->linked && !status_link(status))
        return true;
    if (status->link.state == DATABASE_READY && status_is_fresh(status, admin))
        return true;
    status_ask(status);
    if (status->waiting_count == STATUS_WAITING_MOST || !status_is_soon(status))
        return true;
    return status->awaited == 0 &&
           (status->link.state == DATABASE_READY || status->link.failures > 0 ||
            status->loop->now_us - status->opened_us > STATUS_PATIENCE_US);
}

void status_wait(const struct admin *admin, struct MHD_Connection *connection)
{
    struct status *status = admin->status;
    struct status_waiting *waiting = malloc(sizeof *waiting);

    if (waiting == NULL)
        return;
    if (status->waiting == NULL)
        loop_arm(status->loop, &status->patience, status->loop->now_us + STATUS_PATIENCE_US);
    *waiting = (struct status_waiting){connection, status->waiting};
    status->waiting = waiting;
    status->waiting_count++;
    MHD_suspend_connection(connection);
}

/* ---- what is shown ---- */

/* The workers have known for longer than the page that there is no database: it was not asked. */
static int64_t status_since(const struct status *status, const struct status_view *view)
{
    int64_t down = view->now - view->forwarder.link_down_s;

    if (status->problem_since == 0)
        return view->now - view->data_age_s;
    return status->unreachable && view->forwarder.link_down_s >= 0 && down < status->problem_since
               ? down
               : status->problem_since;
}

/* Nothing is known to be wrong, and yet nothing new has come. */
static bool status_is_late(const struct status *status, uint64_t now_us)
{
    return status->told_us != 0 && now_us > status->told_us &&
           now_us - status->told_us > status_kept_us(status) + STATUS_OLD_US;
}

void status_look(const struct admin *admin, struct status_view *view)
{
    const struct status *status = admin->status;

    *view = (struct status_view){.now = time(NULL), .data_age_s = -1};
    status_gather(admin, &view->forwarder);
    for (int section = 0; section < STATUS_SECTIONS; section++)
        view->results[section] = status->results[section];
    if (status->told_us != 0)
        view->data_age_s = (int64_t) ((loop_clock() - status->told_us) / 1000000);
    if (status->problem[0] != '\0')
        view->problem = status->problem;
    else if (status_is_late(status, loop_clock()))
        view->problem = "it has not answered yet";
    else if (status_is(view, STATUS_STEP, 0, "standby", "t") && status_is_behind(view))
        view->problem = "the primary cannot be reached, and the standby is behind";
    view->mend = status->mend;
    view->unreachable = status->unreachable;
    view->problem_since = status_since(status, view);
}
