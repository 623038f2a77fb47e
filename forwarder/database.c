/* SPDX-License-Identifier: PostgreSQL
 *
 * database.c: a connection to PostgreSQL that never blocks the loop and is always being re-made.
 *
 * A connector opens it (connector.c). Everything after that is pipeline mode: what is sent gets a
 * place in a ring, results come in the same order, and each place's `answer` is called exactly
 * once, with NULL when the connection breaks first.
 *
 * An error aborts everything up to the next sync, and nothing is stored before the sync's own
 * result has come: whoever needs to know of the commit waits for that one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

/* ---- losing and trying again ---- */

/* libpq closes the socket of a connection that breaks, and other threads open files meanwhile: only
 * a number that libpq still has is ours. */
static void database_unwatch(struct database *database)
{
    if (database->connection != NULL && PQsocket(database->connection) == database->source.fd)
        loop_forget(database->loop, &database->source);
    else
        loop_forget_closed(database->loop, &database->source);
}

/* Down, with a retry on its way. Whoever waits hears of it last, when all is consistent. */
static void database_drop(struct database *database, const char *detail)
{
    /* A connection counts as good when it has lasted: one that is opened well and then fails at its
     * first question would otherwise be re-made as fast as it can be. */
    if (database->state == DATABASE_READY &&
        database->loop->now_us - database->ready_us >= RETRY_MOST_US)
    {
        database->failures = 0;
        database->down = (struct log_lasting){0};
    }
    database_report_dropped(database, detail);
    database_unwatch(database);
    PQfinish(database->connection);
    database->connection = NULL;
    database->state = DATABASE_DOWN;
    database->condemned = database->unsynced = false;
    loop_arm(database->loop, &database->retry,
             database->loop->now_us + retry_pause(database->failures++));
    while (database->first != database->next)
    {
        struct database_pending pending =
            database->ring[database->first++ & (database->ring_size - 1)];

        if (pending.answer != NULL && !pending.answered)
            pending.answer(pending.context, NULL);
    }
}

static void database_give_up(struct database *database, const char *why, const char *mend)
{
    if (database->state < DATABASE_PREPARING || database->condemned)
        return;
    database->condemned = true;
    database->mend = mend;
    snprintf(database->given_up, sizeof database->given_up, "%s", why);
}

void database_condemn(struct database *database, const char *why)
{
    database_give_up(database, why, NULL);
}

/* ---- reading ---- */

static struct database_pending *database_head(struct database *database)
{
    return database->first == database->next
               ? NULL
               : &database->ring[database->first & (database->ring_size - 1)];
}

/* Gives one result to whoever waits for it. */
static void database_deliver(struct database *database, PGresult *result)
{
    struct database_pending *head = database_head(database), pending = *head;
    bool is_sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC;

    if (is_sync != pending.is_sync)
    {
        PQclear(result);
        database_condemn(database, "results came in an order that was not expected");
        return;
    }
    if (is_sync)
        database->first++;
    else
        head->answered = true;
    if (pending.answer != NULL && !pending.answered)
        pending.answer(pending.context, result);
    else
        PQclear(result);
}

static void database_read_results(struct database *database)
{
    struct database_pending *head;
    int empty = 0; /* NULLs in a row that end nothing */

    while ((head = database_head(database)) != NULL && !database->condemned &&
           !PQisBusy(database->connection))
    {
        PGresult *result = PQgetResult(database->connection);

        if (result != NULL)
        {
            empty = 0;
            database_deliver(database, result);
        }
        else if (head->answered)
            database->first++;
        else if (++empty > 2)
            break;
    }
}

/* Without memory libpq reads an answer and has nothing to hand out: who waits for it would wait
 * until the link is taken for stalled. Its words are English, since nobody calls setlocale(). */
static void database_notice_lost(struct database *database)
{
    if (database_head(database) != NULL && !database->condemned && PQisBusy(database->connection) &&
        strstr(PQerrorMessage(database->connection), "out of memory") != NULL)
        database_condemn(database, "no memory for an answer");
}

/* libpq could not write everything: ask to be told when it can. */
static bool database_flush(struct database *database)
{
    int left = PQflush(database->connection);

    return left >= 0 &&
           loop_watch(database->loop, &database->source, left > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void database_check(struct database *database, bool good)
{
    if (database->connection == NULL)
        return;
    if (!good || PQstatus(database->connection) == CONNECTION_BAD)
    {
        char detail[512];

        snprintf(detail, sizeof detail, "%s", PQerrorMessage(database->connection));
        database_drop(database, detail);
    }
    else if (database->condemned)
        database_drop(database, NULL);
}

static void database_event(struct loop_source *source, uint32_t events)
{
    struct database *database = source->owner;
    bool good = true;

    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
    {
        good = PQconsumeInput(database->connection) == 1;
        database_read_results(database);
        database_notice_lost(database);
    }
    if (good && database->connection != NULL && !database->condemned)
        good = database_flush(database);
    database_check(database, good);
}

/* ---- becoming ready ---- */

static void database_prepared(void *context, PGresult *result)
{
    struct database *database = context;

    if (result != NULL && PQresultStatus(result) != PGRES_COMMAND_OK && !database->condemned)
    {
        if (database->refused != NULL)
            database->refused(database->owner, result);
        database_give_up(database, PQresultErrorMessage(result),
                         retry_mend(database_sqlstate(result)));
    }
    PQclear(result);
}

static void database_all_prepared(void *context, PGresult *result)
{
    struct database *database = context;

    if (result != NULL && !database->condemned)
    {
        database->state = DATABASE_READY;
        database->ready_us = database->loop->now_us;
        database->connects++;
        database_report_ready(database);
        if (database->became_ready != NULL)
            database->became_ready(database->owner);
    }
    PQclear(result);
}

static void database_put(struct database *database, bool is_sync, database_answer answer,
                         void *context, uint64_t *ticket)
{
    database->ring[database->next & (database->ring_size - 1)] =
        (struct database_pending){.answer = answer,
                                  .context = context,
                                  .sent_us = database->loop->now_us,
                                  .is_sync = is_sync};
    if (ticket != NULL)
        *ticket = database->next;
    database->next++;
}

/* Names in the statements are found by the server's own search_path. */
static bool database_prepare(struct database *database)
{
    PGconn *connection = database->connection;

    if (PQsetnonblocking(connection, 1) != 0 || PQenterPipelineMode(connection) != 1)
        return false;
    database->state = DATABASE_PREPARING;
    for (size_t i = 0; i < database->statement_count; i++)
    {
        const struct database_statement *statement = &database->statements[i];

        if (PQsendPrepare(connection, statement->name, statement->sql, statement->parameters,
                          statement->types) != 1)
            return false;
        database_put(database, false, database_prepared, database, NULL);
    }
    database->source.fd = PQsocket(connection);
    return database_sync(database, database_all_prepared, database);
}

/* The connector's thread has finished, well or not. */
static void database_opened(struct loop_source *source, uint32_t events)
{
    struct database *database = source->owner;

    (void) events;
    loop_forget(database->loop, source);
    database->connection = connector_take(database->connector);
    database->connector = NULL;
    if (database->connection == NULL)
    {
        database_drop(database, "out of memory");
        return;
    }
    PQsetNoticeReceiver(database->connection, database_noticed, database);
    /* A DETAIL can quote a row, and a CONTEXT the parameters: no more is heard of an error than its
     * first sentence, so that the log can say it. */
    (void) PQsetErrorVerbosity(database->connection, PQERRORS_TERSE);
    database_check(database,
                   PQstatus(database->connection) == CONNECTION_OK && database_prepare(database));
}

static void database_connect(struct loop_timer *timer)
{
    struct database *database = timer->owner;

    database->connector = connector_start(database->url, database->session, database->link);
    if (database->connector == NULL)
    {
        database_drop(database, "cannot start a thread");
        return;
    }
    database->state = DATABASE_CONNECTING;
    database->opened = (struct loop_source){
        .fd = connector_fd(database->connector), .ready = database_opened, .owner = database};
    if (!loop_watch(database->loop, &database->opened, EPOLLIN))
    {
        connector_leave(database->connector);
        database->connector = NULL;
        database_drop(database, strerror(errno));
    }
}

/* ---- for the others ---- */

bool database_open(struct database *database, struct loop *loop, size_t ring_size)
{
    size_t size = 64;

    while (size < ring_size)
        size *= 2;
    database->loop = loop;
    database->state = DATABASE_DOWN;
    database->source = (struct loop_source){.fd = -1, .ready = database_event, .owner = database};
    database->ring_size = size;
    database->ring = calloc(size, sizeof *database->ring);
    if (database->ring == NULL ||
        !loop_timer_open(loop, &database->retry, database_connect, database))
        return false;
    loop_arm(loop, &database->retry, loop->now_us);
    return true;
}

void database_close(struct database *database)
{
    if (database->connector != NULL)
    {
        loop_forget(database->loop, &database->opened);
        connector_leave(database->connector);
        database->connector = NULL;
    }
    if (database->loop != NULL)
    {
        database_unwatch(database);
        loop_timer_close(database->loop, &database->retry);
    }
    PQfinish(database->connection);
    database->connection = NULL;
    database->state = DATABASE_DOWN;
    free(database->ring);
    database->ring = NULL;
}

bool database_query(struct database *database, const char *statement, int parameters,
                    const char *const *values, const int *lengths, const int *formats, bool binary,
                    database_answer answer, void *context, uint64_t *ticket)
{
    /* One place is kept for the sync that has to follow. */
    if (database->state != DATABASE_READY || database->condemned ||
        database->next - database->first + 2 > database->ring_size)
        return false;
    if (PQsendQueryPrepared(database->connection, statement, parameters, values, lengths, formats,
                            binary ? 1 : 0) != 1)
    {
        database_condemn(database, PQerrorMessage(database->connection));
        return false;
    }
    database_put(database, false, answer, context, ticket);
    database->unsynced = true;
    return true;
}

bool database_sync(struct database *database, database_answer answer, void *context)
{
    if (database->next - database->first + 1 > database->ring_size ||
        PQpipelineSync(database->connection) != 1)
        return false;
    database_put(database, true, answer, context, NULL);
    database->unsynced = false;
    if (!database_flush(database)) /* it is under way: whoever waits will hear that it broke */
        database_condemn(database, PQerrorMessage(database->connection));
    return true;
}

void database_turn(struct database *database)
{
    if (database->unsynced && !database->condemned)
        database_check(database, database_sync(database, NULL, NULL));
    if (database->stalled_us != 0 && database->state >= DATABASE_PREPARING &&
        database_lag(database) > database->stalled_us)
        database_condemn(database, "it has not answered for too long");
    if (database->condemned)
        database_drop(database, NULL);
}

void database_abandon(struct database *database, uint64_t ticket)
{
    if (ticket - database->first < database->next - database->first)
        database->ring[ticket & (database->ring_size - 1)].answer = NULL;
}
