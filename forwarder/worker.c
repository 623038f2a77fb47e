/* SPDX-License-Identifier: PostgreSQL
 *
 * worker.c: a thread that serves requests, and the turn of its loop. The order within a turn is
 * what makes it cheap: answers of the database and of functions first, then new requests, then one
 * sync for all the questions that came up.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "forwarder.h"

/* How often libmicrohttpd is run in one turn while it says that it has more to do. */
#define HTTP_ROUNDS 16
/* ... and how long: functions and the database do not wait while large bodies arrive. */
#define HTTP_PATIENCE_US 1000
/* After the drain's end: for answers and log rows to leave. */
#define LAST_MOMENT_US 1000000
/* A drain waits so long for the database to store what is safe in the spool already. */
#define LAST_LOG_US 3000000
/* A link whose oldest question is older than this is given up. Deciding takes a millisecond; a
 * batch of log rows may wait for a lock or a disk. */
#define DECIDE_STALLED_US 2000000
#define LOG_STALLED_US 30000000
/* A log link whose oldest batch is older than this does not take the log. */
#define LOG_LATE_US 5000000
/* How long the first webhook waits for the rules of a database that is only being connected. */
#define WARM_UP_US 3000000
/* Bodies that arrive leave this share of --max-buffer to webhooks in hand, as far as --max-body
 * allows: a function that was called has room to answer. */
#define KEPT_SHARE 8
/* A worker turns at least so often. */
#define LONGEST_TURN_US 1000000

/* ---- the turn ---- */

/* Sending an answer takes libmicrohttpd two rounds, and the second can swallow the edge of the next
 * request: it is run until it has nothing left. */
static uint64_t worker_run_http(struct worker *worker)
{
    MHD_UNSIGNED_LONG_LONG timeout = 0;
    uint64_t end = loop_clock() + HTTP_PATIENCE_US;
    bool more = false;

    worker->http_due = false;
    for (int round = 0; round < HTTP_ROUNDS; round++)
    {
        if (MHD_run(worker->daemon) != MHD_YES)
            break;
        more = MHD_get_timeout(worker->daemon, &timeout) == MHD_YES;
        if (!more || timeout > 0 || loop_clock() > end)
            break;
    }
    return more ? worker->loop.now_us + (uint64_t) timeout * 1000
                : worker->loop.now_us + LONGEST_TURN_US;
}

static void worker_publish_link(struct worker *worker)
{
    bool linked = worker->decide.state == DATABASE_READY || worker->log.state == DATABASE_READY;
    _Atomic uint64_t *since = &worker->status.linkless_us;

    if (linked)
        atomic_store_explicit(since, 0, memory_order_relaxed);
    else if (atomic_load_explicit(since, memory_order_relaxed) == 0)
        atomic_store_explicit(since, worker->loop.now_us, memory_order_relaxed);
}

static void worker_publish(struct worker *worker)
{
    struct worker_status *status = &worker->status;

    atomic_store_explicit(&status->turned_us, worker->loop.now_us, memory_order_relaxed);
    atomic_store_explicit(&status->can_decide,
                          worker->decide.state == DATABASE_READY && worker->ruleset != NULL &&
                              !worker->suspect && !worker->behind.is,
                          memory_order_relaxed);
    atomic_store_explicit(&status->can_log,
                          worker->log.state == DATABASE_READY &&
                              database_lag(&worker->log) <= LOG_LATE_US,
                          memory_order_relaxed);
    atomic_store_explicit(&status->can_spool, spool_usable(worker->spool), memory_order_relaxed);
    worker_publish_link(worker);
}

static bool worker_has_work(const struct worker *worker)
{
    return worker->http_due || worker->upstream_due || recording_due(worker);
}

/* Returns until when the next turn may wait. */
static uint64_t worker_turn(struct worker *worker, uint64_t until_us)
{
    loop_turn(&worker->loop, worker_has_work(worker) ? 0 : until_us);
    upstream_turn(worker);
    recording_turn(worker);
    outcomes_spill(worker);
    upstream_start(worker);
    until_us = worker_run_http(worker);
    database_turn(&worker->decide);
    if (worker->decide_large.loop != NULL)
        database_turn(&worker->decide_large);
    outcomes_turn(worker);
    database_turn(&worker->log);
    maintenance_turn(worker);
    worker_publish(worker);
    metrics_publish(worker);
    return until_us;
}

/* ---- the end ---- */

static bool worker_idle(const struct worker *worker)
{
    return worker->clients == NULL && outcomes_settled(worker);
}

static void worker_drain(struct worker *worker)
{
    worker->draining = true;
    worker->drain_until_us = worker->loop.now_us + worker->options->drain_timeout;
    worker->log_until_us = worker->loop.now_us + LAST_LOG_US;
    clients_drain(worker);
}

/* Time is over: everybody gets an answer and every attempt a row, as far as a last moment allows.
 */
static void worker_abort(struct worker *worker)
{
    uint64_t end = worker->loop.now_us + LAST_MOMENT_US;
    struct log_line line;

    worker->lost = true;
    if (log_begin(&line, LOG_WARNING, EVENT_DRAIN_OVER, "stopping with work still in hand"))
    {
        log_number(&line, "requests", (int64_t) request_count(worker));
        log_number(&line, "log_rows", (int64_t) worker->outcomes.held);
        log_end(&line);
    }
    clients_abort(worker);
    while (!worker_idle(worker) && worker->loop.now_us < end)
        (void) worker_turn(worker, worker->loop.now_us + 10000);
    clients_abort(worker);
}

/* Whether the first webhook may be read: the database has given the rules, or has shown that it
 * will not soon. Rules of the last time do not make it wait so long. */
static bool worker_is_warm(const struct worker *worker)
{
    uint64_t patience = worker->ruleset == NULL ? WARM_UP_US : WARM_UP_US / 10;

    return worker->ruleset_heard_us != 0 || worker->decide.failures > 0 ||
           worker->loop.now_us >= worker->opened_us + patience;
}

/* Connections wait in the listener's queue meanwhile. A restart would otherwise begin with webhooks
 * that are decided by old rules, or by none. */
static void worker_warm_up(struct worker *worker)
{
    uint64_t turn_us = WARM_UP_US / 10;

    worker->opened_us = worker->loop.now_us;
    while (!worker_is_warm(worker) && atomic_load(&worker->order) == WORKER_SERVE)
    {
        loop_turn(&worker->loop, worker->loop.now_us + turn_us);
        database_turn(&worker->decide);
        database_turn(&worker->log);
        worker_publish(worker);
    }
}

static void worker_serve(struct worker *worker)
{
    uint64_t until_us = 0;

    for (;;)
    {
        int order = atomic_load(&worker->order);

        if (order != WORKER_SERVE && !worker->draining)
            worker_drain(worker);
        if (worker->draining && worker_idle(worker))
            return;
        if (order == WORKER_ABORT ||
            (worker->draining && worker->loop.now_us >= worker->drain_until_us))
        {
            worker_abort(worker);
            return;
        }
        if (worker->draining && until_us > worker->drain_until_us)
            until_us = worker->drain_until_us;
        until_us = worker_turn(worker, until_us);
    }
}

/* ---- birth and death ---- */

/* Takes secrets that are offered. A link to the database uses its URL when it connects next. */
static void worker_take_secrets(struct worker *worker)
{
    struct secrets *offered = atomic_exchange(&worker->offered, NULL);

    if (offered == NULL)
        return;
    secrets_release(worker->secrets);
    worker->secrets = offered;
    worker->decide.url = worker->decide_large.url = worker->log.url = worker->maintenance.link.url =
        offered->database_url;
}

/* The order itself is looked at every turn. */
static void worker_woken(struct loop_source *source, uint32_t events)
{
    uint64_t count;

    (void) events;
    if (read(source->fd, &count, sizeof count) == sizeof count)
        worker_take_secrets(source->owner);
}

static void worker_decide_ready(void *owner)
{
    struct worker *worker = owner;

    worker->ruleset_asked = false;
    ruleset_refresh(worker);
}

static void worker_decide_refused(void *owner, const PGresult *error)
{
    ruleset_refused(owner, database_sqlstate(error), PQresultErrorMessage(error));
}

static bool worker_open_databases(struct worker *worker)
{
    const struct options *options = worker->options;
    uint64_t patience = options->decide_timeout * 10;

    worker->decide.link = "decide";
    worker->decide.session = options->decide_server;
    worker->decide.statements = DECIDE_STATEMENTS;
    worker->decide.statement_count = DECIDE_STATEMENT_COUNT;
    worker->decide.became_ready = worker_decide_ready;
    worker->decide.refused = worker_decide_refused;
    worker->decide.stalled_us = patience > DECIDE_STALLED_US ? patience : DECIDE_STALLED_US;
    worker->log.link = "log";
    worker->log.session = options->log_server;
    worker->log.statements = LOG_STATEMENTS;
    worker->log.statement_count = LOG_STATEMENT_COUNT;
    worker->log.became_ready = outcomes_ready;
    worker->log.stalled_us = LOG_STALLED_US;
    worker->decide.owner = worker->log.owner = worker;
    worker->decide.url = worker->log.url = worker->secrets->database_url;
    return database_open(&worker->decide, &worker->loop, worker->max_in_flight * 4) &&
           database_open(&worker->log, &worker->loop, 64);
}

bool worker_open_large(struct worker *worker)
{
    struct database *large = &worker->decide_large;

    large->link = "decide-large";
    large->session = worker->options->decide_server;
    large->url = worker->secrets->database_url;
    large->statements = DECIDE_STATEMENTS;
    large->statement_count = DECIDE_STATEMENT_COUNT;
    large->stalled_us = worker->decide.stalled_us;
    large->owner = worker;
    return database_open(large, &worker->loop, 64);
}

static bool worker_open(struct worker *worker)
{
    if (!loop_open(&worker->loop) || worker->wakeup.fd < 0 ||
        !loop_watch(&worker->loop, &worker->wakeup, EPOLLIN))
        return false;
    worker->exhausted = MHD_create_response_from_buffer(0, (void *) "", MHD_RESPMEM_PERSISTENT);
    worker->spool = spool_open(worker->directory, &worker->loop, worker->number);
    return worker->exhausted != NULL && worker->spool != NULL && upstream_open(worker) &&
           outcomes_open(worker) && maintenance_open(worker) && worker_open_databases(worker) &&
           ruleset_open(worker) &&
           (worker->daemon = clients_listen(worker, worker->listen_fd)) != NULL;
}

static void worker_close(struct worker *worker)
{
    if (worker->daemon != NULL)
        MHD_stop_daemon(worker->daemon);
    if (worker->exhausted != NULL)
        MHD_destroy_response(worker->exhausted);
    upstream_close(worker);
    database_close(&worker->decide);
    database_close(&worker->decide_large);
    database_close(&worker->log);
    outcomes_close(worker);
    maintenance_close(worker);
    ruleset_close(worker);
    request_free_pool(worker);
    delivery_free_pool(worker);
    spool_close(worker->spool);
    loop_close(&worker->loop);
    secrets_release(worker->secrets);
}

static void worker_complain(const char *message)
{
    struct log_line line;

    if (!log_begin(&line, LOG_ERROR, EVENT_WORKER_FAILED, message))
        return;
    log_text(&line, "mend", "allow more memory, open files (ulimit -n) or threads (ulimit -u)");
    log_end(&line);
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;

    if (worker_open(worker))
    {
        worker_warm_up(worker);
        atomic_store(&worker->status.serving, true);
        worker_serve(worker);
    }
    else
    {
        worker->failed = true;
        worker_complain("a worker could not start");
        kill(getpid(), SIGTERM);
    }
    worker_close(worker);
    atomic_store(&worker->ended, true);
    return NULL;
}

static uint8_t worker_chance(void)
{
    uint8_t id[16];

    identity_make(id);
    return id[15];
}

bool worker_start(struct worker *worker, int number, const struct options *options,
                  struct secrets *secrets, struct spool_directory *directory, int fd)
{
    unsigned workers = options->workers;

    memset(worker, 0, sizeof *worker);
    worker->number = number;
    worker->born_us = loop_clock();
    worker->options = options;
    worker->secrets = secrets_keep(secrets);
    worker->directory = directory;
    worker->breaker_settings = (struct breaker_settings){.failures = options->breaker_failures,
                                                         .rate = options->breaker_rate,
                                                         .minimum = options->breaker_minimum,
                                                         .chance = worker_chance};
    worker->listen_fd = fd;
    worker->max_in_flight = (options->max_in_flight + workers - 1) / workers;
    worker->max_connections = (options->max_connections + workers - 1) / workers;
    worker->log_queue = (options->log_queue + workers - 1) / workers;
    worker->max_buffer = options->max_buffer / workers;
    worker->kept_buffer = worker->max_buffer - options->max_body;
    if (worker->kept_buffer > worker->max_buffer / KEPT_SHARE)
        worker->kept_buffer = worker->max_buffer / KEPT_SHARE;
    worker->wakeup = (struct loop_source){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = worker_woken, .owner = worker};
    atomic_store(&worker->status.turned_us, loop_clock());
    if (pthread_create(&worker->thread, NULL, worker_run, worker) == 0)
        return true;
    worker_complain("a thread could not be started");
    secrets_release(worker->secrets);
    close(worker->wakeup.fd);
    return false;
}

static void worker_wake(struct worker *worker)
{
    uint64_t one = 1;

    if (write(worker->wakeup.fd, &one, sizeof one) < 0)
        return; /* its counter is full: it is being woken already */
}

void worker_give(struct worker *worker, enum worker_order order)
{
    atomic_store(&worker->order, (int) order);
    worker_wake(worker);
}

void worker_offer(struct worker *worker, struct secrets *secrets)
{
    secrets_release(atomic_exchange(&worker->offered, secrets_keep(secrets)));
    worker_wake(worker);
}

bool worker_join(struct worker *worker)
{
    bool joined = pthread_join(worker->thread, NULL) == 0;

    close(worker->wakeup.fd); /* not before: an order may come as long as the worker is known */
    secrets_release(atomic_exchange(&worker->offered, NULL));
    return joined && !worker->lost;
}
