/* SPDX-License-Identifier: PostgreSQL
 *
 * forwarder.h: the forwarder, whole.
 *
 * A webhook comes in as an HTTP POST; the database says which function must answer it; the same
 * bytes go there; the function's answer goes back; the decision and each attempt become rows of the
 * log. A request walks through the files in this order:
 *
 *     clients.c    the listener and its connections
 *     receive.c    request line, header, gate, body
 *     decide.c     asks route_decide(), in a pipeline with everybody else's questions; decides here
 *                  while the database cannot be asked
 *     plan.c       decision -> deliveries: one, or one for each function of a mixed batch
 *     recording.c  nothing is relayed before its log rows are in the spool or in the database
 *     forward.c    one attempt at one function, a second one when the policy allows it
 *     reply.c      the answer to the client
 *     outcomes.c   log rows on their way to the database, in batches
 *
 * beside which stand, for
 *
 *   start and end
 *     main.c             start, signals, exit status    worker.c           a thread, its turns
 *     setup.c            memory, files, privacy         loop.c             epoll and timers
 *     listen.c           listening sockets              notify.c           the service manager told
 *     check.c            --check-config
 *   settings and secrets
 *     options.c          every setting                  options_table.c    settings, as data
 *     options_values.c   settings, read                 options_help.c     settings, printed
 *     options_url.c      --functions-url                options_secrets.c  files of secrets
 *     secrets.c          what is secret, read again
 *   a request and its deliveries
 *     request.c          birth, state, death            delivery.c         the same of a delivery
 *     states.c           which state may follow which   limits.c           memory, addresses
 *     gate.c             what no header may hold        uri.c              path and query
 *     greeting.c         GET: verification and health   signature.c        X-Hub-Signature-256
 *     identity.c         UUIDv7, correlation ids        decision.c         the database's, read
 *   functions
 *     upstream.c         connections to them            upstream_connect.c libcurl, which connects
 *     upstream_url.c     URLs, taken apart once         compose.c          the request to one
 *     exchange.c         one request and its answer     answer.c           its answer, read
 *     relay.c            what that leads to             breaker.c          who is left alone
 *   the log
 *     outcome.c          rows of an attempt             rows.c             rows as binary arrays
 *     spool*.c           rows in files (spool.h)        maintenance.c      upkeep, guard, audit
 *   the database
 *     database.c         a link that heals itself       connector.c        opens one
 *     database_facts.c   what is known of one           database_report.c  what is said of one
 *     database_url.c     whether it is one              retry.c            when it is asked again
 *     ruleset.c          the rules in force             keep.c             the last ones, in a file
 *   who looks at it
 *     log.c              JSON lines to stderr           admin.c            the admin listener
 *     metrics*.c         for Prometheus (metrics.h)     admin_clients.c    who asks that
 *     status*.c          the status page (status.h)     assets.c           files in the program
 *     markup.c           values in HTML and JSON        writer.c           text of any length
 *
 * buffer.h, text.h, decimal.h and little_endian.h are small things that many use. request.h tells
 * of requests, delivery.h of deliveries and attempts, answer.h of functions' answers, spool.h of
 * the durable log, events.h of all that is said in the log on stderr; other headers declare what
 * the files of their names hold.
 *
 * Threads: main (signals and the admin listener), one for each worker, and one that brings the
 * spool to the disk (spool_syncer.c). A worker owns all its sockets, requests, libcurl and libpq
 * handles and is never locked; main sees of it what `struct worker_status` and `struct metrics`
 * publish. Short-lived threads open database connections (connector.c), write the last rules
 * (keep.c) and resolve names (libcurl).
 *
 * Memory: requests and connections to functions come from pools of the worker. Nothing that follows
 * the first byte sent to a function needs memory that is not there already, except the answer
 * itself: a decision that was acted upon is always logged.
 */
#ifndef FORWARDER_H
#define FORWARDER_H

#include <curl/curl.h>
#include <libpq-fe.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "admin.h"
#include "breaker.h"
#include "database.h"
#include "delivery.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "options.h"
#include "outcomes.h"
#include "request.h"
#include "route.h"
#include "secrets.h"
#include "signature.h"
#include "spool.h"

/* ---------------------------------------------------------------------------------------------
 * Limits that are no options
 * ------------------------------------------------------------------------------------------ */

#define KEPT_BUFFER (16 << 10) /* a pooled request keeps buffers up to this size */
#define POOLED_REQUESTS 256    /* requests, and deliveries, that a worker keeps for the next ones */

/* ---------------------------------------------------------------------------------------------
 * identity.c
 * ------------------------------------------------------------------------------------------ */

/* 16 bytes by RFC 9562 version 7: sorted by time, 74 random bits. */
void identity_make(uint8_t id[16]);
/* 36 characters and a NUL. */
void identity_print(const uint8_t id[16], char text[37]);
/* Whether a client's correlation id is kept, and so logged and passed on as it is: 1..128 token
 * characters (RFC 9110), but for what could be a phone number (7..15 digits, E.164, with or without
 * a +). Pure. */
bool identity_is_correlation(const char *text);
/* Microseconds since 1970, wall clock. */
int64_t identity_now_us(void);

/* ---------------------------------------------------------------------------------------------
 * limits.c
 * ------------------------------------------------------------------------------------------ */

/* Whether a function may live there: not link-local, multicast, unspecified, nor a cloud's metadata
 * service. NULL when allowed, else what it is, in words. Pure. */
const char *limits_refused_address(const struct sockaddr *address);

/* ---------------------------------------------------------------------------------------------
 * ruleset.c
 * ------------------------------------------------------------------------------------------ */

/* The statement "ruleset" of the decide and of the log link. */
extern const char RULESET_STATEMENT[];
/* Asks for the rules unless a question is on its way. */
void ruleset_refresh(struct worker *worker);
/* Begins with the rules of the last time, when the spool's directory has them. */
MUST_CHECK bool ruleset_open(struct worker *worker);
void ruleset_close(struct worker *worker);
/* A question was not answered in time: nobody asks the database until it has answered one that was
 * (ruleset.c asks for the rules ever so often to see). */
void ruleset_suspect(struct worker *worker);
/* The database refused a statement: whether that means that there are no rules. */
void ruleset_refused(struct worker *worker, const char *sqlstate, const char *message);
/* What decides here: the last rules, else rules that know nothing but --default-target; then
 * *version is 0. */
const route_ruleset *ruleset_last(const struct worker *worker, int64_t *version);
/* Timeout and policy of a target, its own or the defaults: by the rules that the worker knows,
 * which can be a moment older than those that decided. */
void ruleset_target(const struct worker *worker, const char *name, uint64_t *timeout_us,
                    route_fallback_policy *policy);

/* ---- keep.c: the last rules in a file ---- */

/* Writes them, in a while, unless they are what was written last and still there. Worker 0 only. */
void keep_ruleset(const struct spool_directory *directory, const char *text, size_t length);
/* What is there, not checked; NULL when there is nothing. The caller frees it. */
char *keep_recall(const struct spool_directory *directory, size_t *length);

/* ---------------------------------------------------------------------------------------------
 * worker.c
 * ------------------------------------------------------------------------------------------ */

/* What other threads may see of a worker. */
struct worker_status
{
    _Atomic bool serving;       /* it has started well */
    _Atomic uint64_t turned_us; /* loop_clock() of its last turn */
    _Atomic bool can_decide;    /* the database decides: link up and prompt, rules known */
    _Atomic bool can_log;       /* the database takes the log: link up and not late */
    _Atomic bool can_spool;     /* the spool takes decisions */
    /* Since when it has had no link to the database that is open; 0: it has one. loop_clock(). */
    _Atomic uint64_t linkless_us;
};

enum worker_order
{
    WORKER_SERVE,
    WORKER_DRAIN,
    WORKER_ABORT /* drain time over, or asked twice */
};

/* What a standby that decides has not heard yet (ruleset.c). */
struct behind
{
    bool is;                  /* its rules are older than the primary's: it is not asked */
    bool asked;               /* the primary has been, for its rules */
    int64_t standby, primary; /* config versions that each has last told */
    uint64_t since_us;
    struct log_lasting told;
};

struct worker
{
    int number; /* from 0; the first one calls for maintenance */
    const struct options *options;
    struct secrets *secrets;           /* the newest it has taken */
    _Atomic(struct secrets *) offered; /* newer ones, NULL without any */
    struct spool_directory *directory;
    unsigned max_in_flight, max_connections, log_queue; /* its share */
    size_t max_buffer;
    size_t kept_buffer; /* of max_buffer, for the answers and parts of webhooks in hand */
    pthread_t thread;
    _Atomic int order; /* enum worker_order */
    struct worker_status status;
    _Atomic bool ended;
    bool failed; /* could not start */
    bool lost;   /* ended with requests or rows in hand */

    struct loop loop;
    struct loop_source wakeup; /* eventfd: the order changed, or secrets are offered */
    uint64_t born_us, opened_us;
    bool draining;
    uint64_t drain_until_us;
    uint64_t log_until_us; /* while draining: for rows that are safe in the spool */

    int listen_fd;
    struct MHD_Daemon *daemon;
    struct MHD_Response *exhausted; /* 503 that needs no memory */
    struct loop_source http;
    struct client *clients;
    unsigned client_count;
    bool http_due; /* libmicrohttpd has something to do */

    struct database decide, log;
    struct database decide_large; /* for large bodies, once there was one (decide.c) */
    struct loop_timer ruleset_timer;
    route_ruleset *ruleset;  /* in force when last heard; NULL: never had any */
    route_ruleset *ruleless; /* decides then */
    bool ruleset_asked;
    uint64_t ruleset_heard_us;          /* when, from the database; 0: not by this process */
    bool ruleset_void;                  /* the database has said that there are none */
    struct log_lasting ruleset_problem; /* why they cannot be had, or used */
    char *ruleset_text;                 /* the snapshot that is in force */
    size_t ruleset_length;
    uint64_t ruleset_asked_us;
    bool suspect; /* the database has missed a deadline and is not asked */
    struct behind behind;

    CURLM *multi;
    struct loop_timer upstream_timer;
    bool upstream_due;          /* libcurl wants a call without an event */
    bool upstream_lost;         /* it had no memory for a connection */
    size_t upstream_connecting; /* connections that it makes */
    struct upstream *upstream_pool;
    size_t upstream_pooled;
    size_t upstream_open;               /* connections, those that are being made included */
    size_t upstream_kept;               /* connections that no attempt has */
    struct loop_timer upstream_sweeper; /* closes those that are idle for too long */
    char *upstream_bytes;               /* UPSTREAM_BUFFER: what is being sent or received */
    struct upstream_url *urls;
    struct upstream_origin *origins;
    struct upstream_socket **sockets; /* by fd */
    size_t socket_count;

    struct spool *spool;
    struct recording recording;
    struct breaker_table breakers;
    struct breaker_settings breaker_settings;

    struct request *request_pool;
    size_t pooled;
    struct delivery *delivery_pool;
    size_t pooled_deliveries;
    size_t in_state[REQUEST_STATE_COUNT];
    size_t in_flight;
    size_t buffered; /* bytes in buffers */
    struct outcomes outcomes;
    struct maintenance maintenance;
    struct metrics metrics;
    uint64_t published_us; /* gauges of it */
};

/* Opens the connection for large bodies; false without memory. */
MUST_CHECK bool worker_open_large(struct worker *worker);
/* Starts the thread; false when that is impossible, which the log says. */
MUST_CHECK bool worker_start(struct worker *worker, int number, const struct options *options,
                             struct secrets *secrets, struct spool_directory *directory, int fd);
void worker_give(struct worker *worker, enum worker_order order);
/* Secrets for whatever begins from now on. */
void worker_offer(struct worker *worker, struct secrets *secrets);
/* Waits for its end; true when it finished everything in hand. */
MUST_CHECK bool worker_join(struct worker *worker);

/* ---------------------------------------------------------------------------------------------
 * check.c
 * ------------------------------------------------------------------------------------------ */

/* Looks at all that a start would meet, and prints what it finds: a line for each thing, the last
 * one that the settings are good. Waits for the database some seconds at most. False when stdout
 * does not take it. */
MUST_CHECK bool check_all(struct options *options);

/* ---------------------------------------------------------------------------------------------
 * setup.c, listen.c
 * ------------------------------------------------------------------------------------------ */

/* No core files, and no other process of the same user sees the memory. */
void setup_privacy(void);
/* What the allocator keeps of memory that is free again. Before any thread. */
void setup_memory(void);
/* Raises the limit on open files, and lowers the limits on connections to what it allows. */
void setup_files(struct options *options);

/* `count` listening sockets on one address, shared when there are several; false with a sentence in
 * `problem`, which begins with the setting, `flag`. */
MUST_CHECK bool listen_open(const char *flag, const char *address, int *fds, size_t count,
                            char *problem, size_t size);
/* Listening sockets that whoever started us has opened. */
#define INHERITED_MOST 64
struct inherited
{
    int admin; /* the one that is called so, -1 without it */
    int webhooks[INHERITED_MOST];
    size_t count; /* of those for webhooks */
};

/* Takes them over, when there are any, and their variables out of the environment; false with a
 * sentence in `problem` when one is of no use. Before any thread. */
MUST_CHECK bool listen_inherit(struct inherited *inherited, char *problem, size_t size);
/* Gives each of `count` workers one of those for webhooks, of which there is one at least; several
 * workers share one when there are fewer. */
MUST_CHECK bool listen_spread(const struct inherited *inherited, int *fds, size_t count,
                              char *problem, size_t size);
/* The address a socket is bound to, "127.0.0.1:8080". */
void listen_describe(int fd, char *text, size_t size);

/* ---------------------------------------------------------------------------------------------
 * notify.c
 * ------------------------------------------------------------------------------------------ */

/* The service manager that started us, when it wants to be told. */
struct notify
{
    int fd; /* -1: it does not */
    struct sockaddr_un address;
    socklen_t length;
    uint64_t watchdog_us; /* it takes us for stuck after so long without a sign of life; 0: never */
};

void notify_open(struct notify *notify);
/* Lines NAME=VALUE of sd_notify(3), such as READY=1. */
void notify_send(const struct notify *notify, const char *message);
/* Settings are being read again; READY=1 ends that. */
void notify_reloading(const struct notify *notify);
void notify_close(struct notify *notify);

#endif /* FORWARDER_H */
