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
 * beside which stand
 *
 *     main.c       start, signals, exit status          options.c   every setting
 *     worker.c     a thread, the turn of its loop       loop.c      epoll and timers
 *     connector.c  opens a connection to PostgreSQL     options_help.c  settings, printed
 *     options_table.c  settings, as data                options_values.c  settings, read
 *     options_secrets.c  files of secrets               options_url.c  --functions-url
 *     admin_clients.c  who asks the admin listener      database_facts.c  what is known of a link
 *     request.c    birth, state, death of a request     states.c    which state may follow which
 *     delivery.c   the same for a delivery              compose.c   the request to a function
 *     spool.c      the durable log in files (spool.h)   keep.c      the last rules in a file
 *     maintenance.c  the log's upkeep
 *     log.c        JSON lines to stderr (events.h)     upstream.c  connections to functions
 *     database.c   a libpq connection that heals itself ruleset.c   the rules in force
 *     gate.c       what a header must not hold          uri.c       path and query
 *     greeting.c   GET: verification and health         rows.c      rows as binary arrays
 *     relay.c      what an outcome leads to             limits.c    memory, addresses
 *     identity.c   UUIDv7, correlation ids              admin.c     the admin listener, its routes
 *     setup.c      memory, files, privacy               listen.c    listening sockets
 *     secrets.c    what is secret, read again           signature.c X-Hub-Signature-256
 *     decision.c   what the database decided            decimal.h   numbers as text
 *     retry.c      when a database is asked again       breaker.c   which functions are left alone
 *     notify.c     words for the service manager        upstream_url.c  URLs, taken apart once
 *     exchange.c   one request and its answer           upstream_connect.c  libcurl, which connects
 *     answer.c     a function's answer, read            database_url.c  whether it is one
 *     writer.c     text of any length                   status*.c   the status page (status.h)
 *     markup.c     values in HTML and JSON              assets.c    files within the program
 *     metrics*.c   numbers for Prometheus               check.c     --check-config
 *
 * delivery.h tells of deliveries and attempts, answer.h of functions' answers, spool.h of the
 * durable log; admin.h, database.h, outcomes.h, log.h, loop.h, breaker.h, secrets.h, signature.h,
 * writer.h, markup.h, metrics.h, status.h and options.h declare what the files of these names hold.
 *
 * Threads: main (signals and the admin listener) and one for each worker. A worker owns all its
 * sockets, requests, libcurl and libpq handles and is never locked; main sees of it what `struct
 * worker_status` publishes. Short-lived threads open database connections (connector.c) and resolve
 * names (libcurl).
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
#include "route.h"
#include "secrets.h"
#include "signature.h"
#include "spool.h"

/* ---------------------------------------------------------------------------------------------
 * Limits that are no options
 * ------------------------------------------------------------------------------------------ */

#define URI_LIMIT 4096         /* longest request target that is looked at; beyond it 414 */
#define HEADER_COUNT_LIMIT 128 /* header fields of one request; beyond it 431 */
#define CORRELATION_LIMIT 128  /* bytes of a client's correlation id; a longer one is not kept */
#define NAME_LIMIT 128         /* bytes of a webhook name in a path */
#define DISCARD_LIMIT                                                                              \
    (16 << 20)                 /* body bytes that are read and dropped for the sake of an answer */
#define KEPT_BUFFER (16 << 10) /* a pooled request keeps buffers up to this size */
#define POOLED_REQUESTS 256    /* requests, and deliveries, that a worker keeps for the next ones */
#define IDLE_UPSTREAM_SECONDS 2 /* a connection to a function idle for longer is not used again */

/* ---------------------------------------------------------------------------------------------
 * The states of a request. One table: names, meaning, and the states that may follow, which
 * request_enter() insists on. README.md draws it.
 * ------------------------------------------------------------------------------------------ */

/*  X(STATE, name, states that may follow, what it means) */
#define REQUEST_STATES(X)                                                                          \
    X(FREE, "free", TO(HEADER), "in the pool")                                                     \
    X(HEADER, "header", TO(BODY) | TO(REPLYING) | TO(FREE),                                        \
      "the request line is known, header fields are arriving")                                     \
    X(BODY, "body", TO(DECIDING) | TO(REPLYING) | TO(FREE),                                        \
      "the header passed the gate; the body is arriving, or is being discarded")                   \
    X(DECIDING, "deciding", TO(DELIVERING) | TO(REPLYING),                                         \
      "the database has been asked; the connection is suspended")                                  \
    X(DELIVERING, "delivering", TO(REPLYING),                                                      \
      "it is on its way to its function, or its parts to theirs: see the deliveries")              \
    X(REPLYING, "replying", TO(FREE), "the answer is queued and on its way to the client")

enum request_state
{
#define X(state, name, next, meaning) REQUEST_##state,
    REQUEST_STATES(X)
#undef X
        REQUEST_STATE_COUNT
};

const char *request_state_name(enum request_state state);
/* Whether the table allows `to` after `from`. */
bool request_may_follow(enum request_state from, enum request_state to);

struct worker;

/* ---------------------------------------------------------------------------------------------
 * gate.c: pure. What two HTTP parsers could read differently is refused (RFC 9112).
 * ------------------------------------------------------------------------------------------ */

struct header_field
{
    const char *name, *value;
    size_t name_length, value_length;
};

enum http_version
{
    HTTP_1_0,
    HTTP_1_1
};

/* What a request's header says about its framing, and the fields that are passed on. Values point
 * into the request; NULL when absent. */
struct gate_result
{
    unsigned status;     /* 0: passed; else the answer, after which the connection closes */
    const char *problem; /* in words, for that answer */
    bool has_length;
    bool chunked;
    bool expects_continue;
    uint64_t content_length; /* when has_length */
    const char *content_type, *content_encoding, *signature, *user_agent;
    const char *correlation_id, *traceparent, *tracestate;
};

void gate_check(const struct header_field *fields, size_t count, enum http_version version,
                struct gate_result *result);
/* How many bytes a header of exactly these parts has. A real one that has more, or fewer, holds
 * what its parser has dropped: a folded line, a NUL, a line that ends without CRLF. Each value must
 * stand behind its name, where it was received. */
size_t gate_size(const char *method, const char *target, const char *version,
                 const struct header_field *fields, size_t count);

/* ---------------------------------------------------------------------------------------------
 * uri.c: pure. The raw request target: no decoding before the path has been taken apart.
 * ------------------------------------------------------------------------------------------ */

enum uri_kind
{
    URI_ROOT,    /* "/" under the prefix */
    URI_WEBHOOK, /* "/<webhook-name>" under the prefix */
    URI_UNKNOWN  /* anything else */
};

struct uri
{
    enum uri_kind kind;
    char webhook[NAME_LIMIT + 1]; /* for URI_WEBHOOK: letters, digits, - _ . */
    const char *query;            /* behind the ?, "" without one; points into the target */
};

void uri_read(const char *target, const char *prefix, struct uri *uri);
/* Decodes the value of a query parameter into `value` (NUL-terminated, *length without the NUL);
 * false when it is absent, badly encoded or does not fit. */
MUST_CHECK bool uri_parameter(const char *query, const char *name, char *value, size_t size,
                              size_t *length);

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
 * request.c
 * ------------------------------------------------------------------------------------------ */

/* A client's TCP connection. */
struct client
{
    struct client *next, *previous; /* all of the worker */
    struct worker *worker;
    struct request *request; /* the one that is being served */
    struct loop_timer timer; /* for its next header */
    int fd;
};

/* What to do once the request has arrived. */
enum request_task
{
    TASK_REFUSE, /* answer `refusal` */
    TASK_VERIFY, /* WhatsApp's verification of the URL */
    TASK_HEALTH,
    TASK_RELAY
};

struct request
{
    enum request_state state;
    struct worker *worker;
    struct client *client;
    struct MHD_Connection *http;
    struct request *next; /* in the pool */
    struct loop_timer deadline;
    bool suspended;
    bool in_flight; /* counts against --max-in-flight */
    bool close;     /* the connection closes after the answer */

    enum request_task task;
    enum refusal refused; /* why */
    unsigned refusal;     /* status, for TASK_REFUSE */
    const char *problem;  /* its words */
    const char *allow;    /* Allow of a 405 */
    struct uri uri;
    struct gate_result header;
    struct secrets *secrets; /* those in force when it began */
    struct signature signature;
    uint64_t discarded;  /* body bytes dropped */
    uint64_t arrived_us; /* the last byte came */
    char raw_uri[URI_LIMIT + 1];
    char correlation_id[CORRELATION_LIMIT + 1];
    struct buffer body;

    struct question question;
    enum decider decided_by;
    size_t item_count;

    struct delivery *deliveries; /* one, or the parts of a split webhook */
    struct delivery *last_delivery;
    size_t delivery_count, undelivered;
    struct buffer common; /* texts that parts share (plan.c) */

    struct buffer reply; /* an answer of our own */
};

/* A request out of the pool in state HEADER, or NULL when memory is used up. */
MUST_CHECK struct request *request_begin(struct worker *worker, struct client *client);
/* The one door for changes of state; aborts on one that the table does not allow. `deadline_us` is
 * when request_expired() strikes, on the loop's clock; 0: never. */
void request_enter(struct request *request, enum request_state state, uint64_t deadline_us);
/* Into the pool, with everything it holds given back. */
void request_end(struct request *request);
void request_free_pool(struct worker *worker);
/* Requests between HEADER and the end of REPLYING. */
size_t request_count(const struct worker *worker);

/* ---------------------------------------------------------------------------------------------
 * The stages. Each takes the request where the one before has left it.
 * ------------------------------------------------------------------------------------------ */

/* ---- clients.c ---- */

MUST_CHECK struct MHD_Daemon *clients_listen(struct worker *worker, int fd);
/* Stops accepting; connections that wait for nothing have a moment for one last request. */
void clients_drain(struct worker *worker);
/* Answers whatever is still suspended with 503: time is over. */
void clients_abort(struct worker *worker);
/* The connection waits for a next header, so long at most. */
void client_wait(struct client *client, uint64_t patience_us);
/* Closes the socket under a connection: libmicrohttpd then ends the request. */
void client_cut(struct client *client);

/* ---- receive.c: what libmicrohttpd calls for a request ---- */

void *receive_uri(void *context, const char *raw_uri, struct MHD_Connection *connection);
enum MHD_Result receive_call(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *bytes,
                             size_t *length, void **request_context);
void receive_completed(void *context, struct MHD_Connection *connection, void **request_context,
                       enum MHD_RequestTerminationCode code);

/* ---- decide.c ---- */

extern const struct database_statement DECIDE_STATEMENTS[];
extern const size_t DECIDE_STATEMENT_COUNT;
/* Asks the database, or decides here while it cannot be asked. */
void decide_begin(struct request *request);
void decide_expired(struct request *request);
void decide_forget(struct request *request);

/* ---- reply.c ---- */

/* The answer to a request all of whose deliveries are done. */
void reply_delivered(struct request *request);
/* An answer of our own: a JSON object that says `problem`. */
void reply_problem(struct request *request, unsigned status, const char *problem);
/* The same to a request of which nothing is relayed. */
void reply_refuse(struct request *request, enum refusal refused, unsigned status,
                  const char *problem);
/* Bytes of our own, which must live as long as the request. */
void reply_bytes(struct request *request, unsigned status, const char *type, const char *bytes,
                 size_t length);

/* ---- greeting.c ---- */

void greeting_verify(struct request *request);
void greeting_health(struct request *request);

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
