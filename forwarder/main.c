/* SPDX-License-Identifier: PostgreSQL
 *
 * main.c: start, signals, exit status. The main thread makes what all share, starts the workers and
 * then serves the admin listener until a signal ends it.
 *
 * SIGTERM and SIGINT drain: nothing new is accepted, what is in hand is finished and logged. A
 * second one ends that at once. SIGHUP has the files of secrets read again. SIGPIPE and SIGXFSZ are
 * ignored.
 */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "forwarder.h"
#include "status.h"

struct process
{
    struct options options;
    struct secrets *secrets; /* the newest */
    struct loop loop;
    struct loop_source signals;
    struct admin admin;
    struct notify notify;
    struct loop_timer watchdog;
    bool ready; /* every worker serves */
    struct spool_directory *directory;
    struct worker *workers;
    unsigned worker_count; /* started */
    int *listeners;        /* one for each worker */
    int admin_fd;
    unsigned stops; /* SIGTERMs so far */
    bool failed;    /* a worker could not start: the process ends because of that */
};

static int fail(int status, const char *problem)
{
    log_failure(problem);
    return status;
}

/* ---- signals ---- */

static void process_stop(struct process *process)
{
    process->stops++;
    process->admin.draining = true;
    log_plain(LOG_INFO, process->stops == 1 ? EVENT_DRAINING : EVENT_ABORTING,
              process->stops == 1 ? "asked to stop: finishing what is in hand"
                                  : "asked to stop again: ending at once");
    notify_send(&process->notify, "STOPPING=1\nSTATUS=finishing what is in hand");
    for (unsigned i = 0; i < process->worker_count; i++)
        worker_give(&process->workers[i], process->stops == 1 ? WORKER_DRAIN : WORKER_ABORT);
}

static void process_reload(struct process *process)
{
    notify_reloading(&process->notify);
    secrets_reload(&process->options, &process->secrets);
    for (unsigned i = 0; i < process->worker_count; i++)
        worker_offer(&process->workers[i], process->secrets);
    status_offer(process->admin.status, process->secrets);
    if (process->ready)
        notify_send(&process->notify, "READY=1");
}

static void process_signalled(struct loop_source *source, uint32_t events)
{
    struct signalfd_siginfo info;

    (void) events;
    while (read(source->fd, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGHUP)
            process_reload(source->owner);
        else
            process_stop(source->owner);
}

/* Signals come through the loop; threads started later inherit that they do not get them. */
static bool process_take_signals(struct process *process)
{
    sigset_t taken;

    sigemptyset(&taken);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGINT);
    sigaddset(&taken, SIGHUP);
    /* A file that may not grow further (ulimit -f) is an error like a full disk. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
        pthread_sigmask(SIG_BLOCK, &taken, NULL) != 0)
        return false;
    process->signals = (struct loop_source){.fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK),
                                            .ready = process_signalled,
                                            .owner = process};
    return process->signals.fd >= 0 && loop_watch(&process->loop, &process->signals, EPOLLIN);
}

/* ---- start ---- */

/* The one line that every start writes: where it really listens. */
static void process_announce(const struct process *process)
{
    char public[160], admin[160];
    struct log_line line;

    listen_describe(process->listeners[0], public, sizeof public);
    listen_describe(process->admin_fd, admin, sizeof admin);
    if (!log_begin(&line, LOG_ALWAYS, EVENT_LISTENING, "webhook-forwarder has started"))
        return;
    log_text(&line, "version", WEBHOOK_ROUTING_VERSION);
    log_text(&line, "listen", public);
    log_text(&line, "admin_listen", admin);
    log_number(&line, "workers", process->options.workers);
    log_number(&line, "pid", getpid());
    log_end(&line);
}

/* Without an app secret nobody can tell Meta's webhooks from others'. */
static void process_say_signatures(const struct process *process)
{
    struct log_line line;

    if (process->options.app_secrets.value != NULL ||
        !log_begin(&line, LOG_WARNING, EVENT_SIGNATURES_OFF,
                   "there is no app secret: signatures are not checked, and whoever reaches the "
                   "port can post webhooks"))
        return;
    log_text(&line, "mend",
             "give Meta's app secret: --app-secret-file FILE, or WEBHOOK_FORWARDER_APP_SECRETS");
    log_end(&line);
}

/* Sockets from outside, and our own for webhooks where none came. EX_OK, or what the process ends
 * with. */
static int process_listen(struct process *process)
{
    const struct options *options = &process->options;
    struct inherited inherited;
    char problem[512];

    if (!listen_inherit(&inherited, problem, sizeof problem) ||
        (inherited.count > 0 &&
         !listen_spread(&inherited, process->listeners, options->workers, problem, sizeof problem)))
        return fail(EX_CONFIG, problem);
    process->admin_fd = inherited.admin;
    if (inherited.count == 0 && !listen_open("--listen", options->listen, process->listeners,
                                             options->workers, problem, sizeof problem))
        return fail(EX_UNAVAILABLE, problem);
    return EX_OK;
}

/* Once the spool is ours: a forwarder that drains leaves the port of webhooks at once and keeps
 * this one, for probes and scrapes, until just before it gives the spool back. */
static int process_listen_admin(struct process *process)
{
    char problem[512];

    if (process->admin_fd < 0 && !listen_open("--admin-listen", process->options.admin_listen,
                                              &process->admin_fd, 1, problem, sizeof problem))
        return fail(EX_UNAVAILABLE, problem);
    return EX_OK;
}

static bool process_start_workers(struct process *process)
{
    while (process->worker_count < process->options.workers)
    {
        unsigned number = process->worker_count;

        if (!worker_start(&process->workers[number], (int) number, &process->options,
                          process->secrets, process->directory, process->listeners[number]))
            return false;
        process->worker_count++;
    }
    return true;
}

/* ---- the service manager ---- */

static void process_sign_of_life(struct loop_timer *timer)
{
    struct process *process = timer->owner;

    if (admin_live(&process->admin) == NULL)
        notify_send(&process->notify, "WATCHDOG=1");
    loop_arm(&process->loop, timer, process->loop.now_us + process->notify.watchdog_us / 2);
}

static bool process_open_watchdog(struct process *process)
{
    if (process->notify.watchdog_us == 0)
        return true;
    if (!loop_timer_open(&process->loop, &process->watchdog, process_sign_of_life, process))
        return false;
    loop_arm(&process->loop, &process->watchdog,
             process->loop.now_us + process->notify.watchdog_us / 2);
    return true;
}

/* Says once that every worker serves. */
static void process_look_ready(struct process *process)
{
    for (unsigned i = 0; i < process->worker_count; i++)
        if (!atomic_load(&process->workers[i].status.serving))
            return;
    process->ready = true;
    notify_send(&process->notify, "READY=1\nSTATUS=serving");
}

/* ---- to the end ---- */

static bool process_workers_run(const struct process *process)
{
    for (unsigned i = 0; i < process->worker_count; i++)
        if (!atomic_load(&process->workers[i].ended))
            return true;
    return false;
}

/* What became of it all; a failed start counts more than that somebody asked to stop. */
static int process_end(const struct process *process, bool finished)
{
    if (process->failed)
        log_plain(LOG_ERROR, EVENT_STOPPED, "a worker could not start");
    else
        log_plain(LOG_INFO, EVENT_STOPPED,
                  finished ? "everything in hand is finished" : "stopped with work in hand");
    return process->failed ? EX_UNAVAILABLE : finished ? EX_OK : EX_TEMPFAIL;
}

/* Serves until every worker has ended. */
static int process_run(struct process *process)
{
    bool finished = true;

    while (process_workers_run(process))
    {
        bool soon = process->stops > 0 || !process->ready;

        loop_turn(&process->loop, process->loop.now_us + (soon ? 20000 : 1000000));
        status_turn(process->admin.status);
        admin_turn(&process->admin);
        if (!process->ready && process->stops == 0)
            process_look_ready(process);
    }
    for (unsigned i = 0; i < process->worker_count; i++)
    {
        finished = worker_join(&process->workers[i]) && finished;
        process->failed = process->failed || process->workers[i].failed;
    }
    return process_end(process, finished);
}

/* EX_OK, or why not. */
static int process_open_spool(struct process *process)
{
    switch (spool_directory_open(&process->directory, &process->options))
    {
    case SPOOL_OPENED:
        return EX_OK;
    case SPOOL_LOCKED:
        return fail(EX_TEMPFAIL, "another forwarder has the spool directory: give each its own "
                                 "with --spool-directory, or stop the other one");
    default:
        return fail(EX_UNAVAILABLE, "cannot start: out of memory or threads");
    }
}

static int process_serve(struct process *process)
{
    unsigned workers = process->options.workers;
    int status;

    setup_files(&process->options);
    process->workers = calloc(workers, sizeof *process->workers);
    process->listeners = calloc(workers, sizeof *process->listeners);
    if (process->workers == NULL || process->listeners == NULL || !loop_open(&process->loop) ||
        !process_take_signals(process) || curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
        return fail(EX_UNAVAILABLE, "cannot start: out of memory or files");
    status = process_listen(process);
    if (status == EX_OK)
        status = process_open_spool(process);
    if (status == EX_OK)
        status = process_listen_admin(process);
    if (status != EX_OK)
        return status;
    process->admin.options = &process->options;
    process->admin.directory = process->directory;
    process->admin.started_us = identity_now_us();
    process->admin.workers = process->workers;
    process->admin.worker_count = workers;
    process->admin.status = status_open(&process->loop, &process->options, process->secrets);
    if (process->admin.status == NULL ||
        !admin_open(&process->admin, &process->loop, process->admin_fd) ||
        !process_open_watchdog(process))
        return fail(EX_UNAVAILABLE, "cannot start the admin listener");
    process_announce(process);
    process_say_signatures(process);
    if (!process_start_workers(process))
    {
        process->failed = true;
        process_stop(process);
    }
    return process_run(process);
}

/* The admin port first, then the spool, for which a successor waits: process_listen_admin(). */
static void process_free(struct process *process)
{
    status_close(process->admin.status);
    admin_close(&process->admin);
    notify_close(&process->notify);
    spool_directory_close(process->directory);
    loop_close(&process->loop);
    free(process->workers);
    free(process->listeners);
    secrets_release(process->secrets);
    options_free(&process->options);
    curl_global_cleanup();
}

/* The secrets, good or not. */
static int process_open_secrets(struct process *process)
{
    char problem[512];

    process->secrets = secrets_make(&process->options, problem, sizeof problem);
    return process->secrets == NULL ? fail(EX_CONFIG, problem) : EX_OK;
}

static int process_check(struct process *process)
{
    int status = process_open_secrets(process);

    if (status != EX_OK)
        return status;
    return check_all(&process->options) ? EX_OK : EX_IOERR;
}

int main(int argc, char *argv[])
{
    static struct process process;
    char problem[512];
    enum options_action action;
    int status;

    log_open();
    setup_privacy();
    setup_memory();
    action =
        options_read(&process.options, argc, (const char *const *) argv, problem, sizeof problem);
    options_hide_environment();
    switch (action)
    {
    case OPTIONS_HELP:
        return options_help() ? EX_OK : EX_IOERR;
    case OPTIONS_HELP_MARKDOWN:
        return options_help_markdown() ? EX_OK : EX_IOERR;
    case OPTIONS_METRICS_MARKDOWN:
        return metrics_help_markdown() ? EX_OK : EX_IOERR;
    case OPTIONS_VERSION:
        return puts("webhook-forwarder " WEBHOOK_ROUTING_VERSION) < 0 || fflush(stdout) != 0
                   ? EX_IOERR
                   : EX_OK;
    case OPTIONS_BAD_USAGE:
        return fail(EX_USAGE, problem);
    case OPTIONS_BAD_CONFIG:
        return fail(EX_CONFIG, problem);
    case OPTIONS_NO_MEMORY:
        return fail(EX_UNAVAILABLE, problem);
    case OPTIONS_CHECK:
        return process_check(&process);
    case OPTIONS_SERVE:
        break;
    }
    log_set_level((enum log_level) process.options.log_level);
    status = process_open_secrets(&process);
    if (status != EX_OK)
        return status;
    notify_open(&process.notify);
    status = process_serve(&process);
    process_free(&process);
    return status;
}
