/* SPDX-License-Identifier: PostgreSQL
 *
 * status.c: the status page's link to the database, what it said, and who waits for it.
 *
 * What the database said is kept, so that any number of viewers cost one set of questions each
 * STATUS_FRESH_US; where answering takes long, each ten times as long as that, but for
 * STATUS_KEPT_MOST_US at most, and no longer than until a worker has heard of another
 * configuration. Whoever asks when it is older waits for the next set, suspended, for
 * STATUS_PATIENCE_US at most. Nobody waits with no connection to be had, for a set that has been
 * late for somebody before, nor when STATUS_WAITING_MOST do already: they get what was said last. A
 * section that fails keeps that.
 *
 * The link is opened when somebody asks, and closed STATUS_IDLE_US after the last one did. It goes
 * to a server that takes the log, since a standby may be behind; while there is none, to one that
 * may decide.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "forwarder.h"
#include "status.h"

#define STATUS_IDLE_US 60000000
#define STATUS_PATIENCE_US 1000000
#define STATUS_STALLED_US 20000000   /* the session's statement_timeout is less */
#define STATUS_OLD_US 10000000       /* so long after its time an answer is missed */
#define STATUS_RETURN_US 10000000    /* a standby is read for so long at least */
#define STATUS_SHARE 10              /* of the time, the database is kept busy for one part */
#define STATUS_KEPT_MOST_US 15000000 /* one slow set is no reason to know nothing for long */
/* So many viewers wait; the other connections are for probes and scrapes. */
#define STATUS_WAITING_MOST (ADMIN_CONNECTIONS_MOST / 2)
#define STATUS_RING 64

/* A section's answer is on its way: who is told of it. */
struct status_question
{
    struct status *status;
    enum status_section_id section;
};

struct status_waiting
{
    struct MHD_Connection *connection;
    struct status_waiting *next;
};

struct status
{
    struct loop *loop;
    const struct options *options;
    struct secrets *secrets;
    struct database link;
    bool linked;              /* the link is open, or being opened */
    struct loop_timer closer; /* nobody has asked for a while */
    struct loop_timer patience;
    uint64_t opened_us;

    struct status_question questions[STATUS_SECTIONS];
    PGresult *results[STATUS_SECTIONS]; /* what was said last */
    size_t awaited;                     /* answers of this set */
    size_t refused;                     /* of these, errors */
    uint64_t asked_us;                  /* the set on its way; 0: none ever */
    uint64_t told_us;                   /* the last whole set was here; 0: never */
    uint64_t took_us;                   /* that long after it was asked for */
    unsigned judged;                    /* failures of the link that `problem` knows of */
    bool declined;                      /* the next one is a statement that was refused */
    char problem[256];                  /* why the last set is not whole; "": it is */
    const char *mend;
    bool unreachable;
    int64_t problem_since; /* seconds since 1970; 0: there is none */

    struct status_waiting *waiting;
    size_t waiting_count;
};

/* ---- trouble ---- */

static void status_trouble(struct status *status, const char *problem, const char *mend,
                           bool unreachable)
{
    log_flatten(status->problem, sizeof status->problem, problem);
    status->mend = mend;
    if (status->problem_since == 0 || status->unreachable != unreachable)
        status->problem_since = time(NULL);
    status->unreachable = unreachable;
}

static void status_no_trouble(struct status *status)
{
    status->problem[0] = '\0';
    status->mend = NULL;
    status->problem_since = 0;
    status->unreachable = false;
}

/* ---- asking ---- */

static void status_resume(struct status *status)
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

/* The set is here, whole or not. */
static void status_told(struct status *status)
{
    if (status->refused == 0 && status->link.state == DATABASE_READY)
    {
        status->told_us = status->loop->now_us;
        status->took_us = status->told_us - status->asked_us;
        status_no_trouble(status);
    }
    status_resume(status);
}

static void status_answered(void *context, PGresult *result)
{
    const struct status_question *question = context;
    struct status *status = question->status;

    if (PQresultStatus(result) == PGRES_TUPLES_OK)
    {
        PQclear(status->results[question->section]);
        status->results[question->section] = result;
    }
    else
    {
        status->refused++;
        if (result == NULL)
            status_trouble(status, "the connection broke", NULL, true);
        else
            status_trouble(status, database_complaint(result),
                           retry_mend(database_sqlstate(result)), false);
        PQclear(result);
    }
    if (--status->awaited == 0)
        status_told(status);
}

/* Each section is a transaction of its own: one that fails takes no other with it. */
static void status_ask(struct status *status)
{
    if (status->awaited > 0 || status->link.state != DATABASE_READY)
        return;
    status->refused = 0;
    status->asked_us = status->loop->now_us;
    for (int section = 0; section < STATUS_SECTIONS; section++)
    {
        if (!database_query(&status->link, STATUS_STATEMENTS[section].name, 0, NULL, NULL, NULL,
                            false, status_answered, &status->questions[section], NULL))
            break;
        status->awaited++;
        if (!database_sync(&status->link, NULL, NULL))
            break;
    }
}

static void status_set(void *context, PGresult *result)
{
    struct status *status = context;

    if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK)
        database_condemn(&status->link, database_complaint(result));
    PQclear(result);
}

static void status_linked(void *owner)
{
    struct status *status = owner;

    status->judged = 0;
    status->declined = false;
    if (database_query(&status->link, STATUS_STATEMENTS[STATUS_SETTINGS].name, 0, NULL, NULL, NULL,
                       false, status_set, status, NULL) &&
        database_sync(&status->link, NULL, NULL))
        status_ask(status);
}

/* The database knows no such function, or does not let this role call it. */
static void status_refused(void *owner, const PGresult *error)
{
    struct status *status = owner;

    status->declined = true;
    status_trouble(status, database_complaint(error), retry_mend(database_sqlstate(error)), false);
}

/* ---- the link ---- */

static bool status_link(struct status *status)
{
    status->link = (struct database){.link = "status",
                                     .session = status->options->log_server,
                                     .url = status->secrets->database_url,
                                     .statements = STATUS_STATEMENTS,
                                     .statement_count = STATUS_SECTIONS + 1,
                                     .became_ready = status_linked,
                                     .refused = status_refused,
                                     .owner = status,
                                     .stalled_us = STATUS_STALLED_US};
    status->opened_us = status->loop->now_us;
    status->judged = 0;
    status->linked = database_open(&status->link, status->loop, STATUS_RING);
    if (!status->linked)
        database_close(&status->link);
    return status->linked;
}

static void status_idle(struct loop_timer *timer)
{
    struct status *status = timer->owner;

    status->linked = false;
    status->awaited = 0;
    status_no_trouble(status);
    database_close(&status->link);
}

static void status_impatient(struct loop_timer *timer)
{
    status_resume(timer->owner);
}

/* For the next try. */
static void status_other_server(struct status *status)
{
    const struct options *options = status->options;
    bool primary = status->link.session == options->log_server;

    status->link.session = primary ? options->decide_server : options->log_server;
}

void status_turn(struct status *status)
{
    if (!status->linked)
        return;
    database_turn(&status->link);
    if (status->link.failures == 0 || status->link.state == DATABASE_READY)
        return;
    if (status->link.failures != status->judged && !status->declined)
    {
        status_other_server(status);
        status_trouble(status, "no connection", NULL, true);
    }
    status->judged = status->link.failures;
    status->declined = false;
    status_resume(status);
}

struct status *status_open(struct loop *loop, const struct options *options,
                           struct secrets *secrets)
{
    struct status *status = calloc(1, sizeof *status);

    if (status == NULL)
        return NULL;
    status->loop = loop;
    status->options = options;
    for (int section = 0; section < STATUS_SECTIONS; section++)
        status->questions[section] =
            (struct status_question){status, (enum status_section_id) section};
    if (!loop_timer_open(loop, &status->closer, status_idle, status) ||
        !loop_timer_open(loop, &status->patience, status_impatient, status))
    {
        free(status);
        return NULL;
    }
    status->secrets = secrets_keep(secrets);
    return status;
}

void status_offer(struct status *status, struct secrets *secrets)
{
    struct secrets *former = status->secrets;

    status->secrets = secrets_keep(secrets);
    status->link.url = secrets->database_url;
    secrets_release(former);
}

void status_close(struct status *status)
{
    if (status == NULL)
        return;
    status_resume(status);
    if (status->linked)
        database_close(&status->link);
    loop_timer_close(status->loop, &status->closer);
    loop_timer_close(status->loop, &status->patience);
    for (int section = 0; section < STATUS_SECTIONS; section++)
        PQclear(status->results[section]);
    secrets_release(status->secrets);
    free(status);
}

/* ---- waiting ---- */

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
