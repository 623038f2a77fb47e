/* SPDX-License-Identifier: PostgreSQL
 *
 * status.c: the status page's link to the database, and what it said. A section that fails keeps
 * what it said last.
 *
 * The link is opened when somebody asks, and closed a minute after the last one did
 * (status_viewers.c). It goes to a server that takes the log, since a standby may be behind; while
 * there is none, to one that may decide.
 */
#include <stdlib.h>
#include <time.h>

#include "forwarder.h"
#include "status.h"
#include "status_inside.h"

#define STATUS_STALLED_US 20000000 /* the session's statement_timeout is less */
#define STATUS_RING 64

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
void status_ask(struct status *status)
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

bool status_link(struct status *status)
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
