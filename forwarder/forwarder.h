/* SPDX-License-Identifier: PostgreSQL
 *
 * forwarder.h: the forwarder, whole.
 *
 * A webhook comes in as an HTTP POST; the database says which function must answer it; the same
 * bytes go there; the function's answer goes back; the decision and each attempt become rows of the
 * log. A request walks through the files in this order:
 *
 *     receive.c    libmicrohttpd's callbacks: header, gate, body
 *     decide.c     asks route_decide(), in a pipeline with everybody else's questions
 *     forward.c    one attempt at one function, a second one when the policy allows it
 *     reply.c      the answer to the client
 *     outcomes.c   log rows: made before an attempt, filled in after it, stored in batches
 *
 * beside which stand
 *
 *     main.c       start, signals, exit status          options.c   every setting
 *     worker.c     a thread, the turn of its loop       loop.c      epoll and timers
 *     request.c    birth, state, death of a request     states.c    which state may follow which
 *     log.c        JSON lines to stderr                 upstream.c  libcurl's handles, sockets
 *     database.c   a libpq connection that heals itself ruleset.c   the rules in force
 *     gate.c       what a header must not hold          uri.c       path and query
 *     greeting.c   GET: verification and health         rows.c      rows as binary arrays
 *     relay.c      what an outcome leads to             limits.c    memory, addresses
 *     identity.c   UUIDv7, correlation ids              admin.c     /livez and /readyz
 *     setup.c      open files, privacy                  listen.c    listening sockets
 *     secrets.c    what is secret, read again           signature.c X-Hub-Signature-256
 *     retry.c      when a database is asked again       breaker.c   which functions are left alone
 *     notify.c     words for the service manager
 *
 * database.h and outcomes.h declare what the files of these names hold, as do log.h, loop.h,
 * options.h, breaker.h, secrets.h and signature.h.
 *
 * Threads: main (signals and the admin listener) and one for each worker. A worker owns all its
 * sockets, requests, libcurl and libpq handles and is never locked; main sees of it what `struct
 * worker_status` publishes. Short-lived threads open database connections (database.c) and resolve
 * names (libcurl).
 *
 * Memory: requests and libcurl handles come from pools of the worker. Nothing that follows the
 * first byte sent to a function needs memory that is not there already, except the answer itself:
 * a decision that was acted upon is always logged.
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

#include "database.h"
#include "log.h"
#include "loop.h"
#include "options.h"
#include "outcomes.h"
#include "route.h"
#include "secrets.h"
#include "signature.h"

/* ---------------------------------------------------------------------------------------------
 * Limits that are no options
 * ------------------------------------------------------------------------------------------ */

#define URI_LIMIT 4096         /* longest request target that is looked at; beyond it 414 */
#define HEADER_COUNT_LIMIT 128 /* header fields of one request; beyond it 431 */
#define CORRELATION_LIMIT 128  /* bytes of a correlation id that is kept */
#define NAME_LIMIT 128         /* bytes of a webhook name in a path */
#define DISCARD_LIMIT                                                                              \
    (16 << 20)                 /* body bytes that are read and dropped for the sake of an answer */
#define KEPT_BUFFER (16 << 10) /* a pooled request keeps buffers up to this size */
#define POOLED_REQUESTS 256    /* requests that a worker keeps for the next ones */
#define IDLE_UPSTREAM_SECONDS                                                                      \
    2L /* a connection to a function idle for longer is not used again                             \
        */

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
    X(DECIDING, "deciding", TO(FORWARDING) | TO(REPLYING),                                         \
      "the database has been asked; the connection is suspended")                                  \
    X(FORWARDING, "forwarding", TO(FORWARDING) | TO(REPLYING),                                     \
      "an attempt is under way, the second one if it follows itself")                              \
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

/* ---------------------------------------------------------------------------------------------
 * Bytes
 * ------------------------------------------------------------------------------------------ */

struct worker;

/* Growing bytes whose memory counts against --max-buffer. */
struct buffer
{
    char *data;
    size_t length;
    size_t room;
};

/* Makes room for `room` bytes in all; false when memory or --max-buffer is used up. */
MUST_CHECK bool buffer_reserve(struct worker *worker, struct buffer *buffer, size_t room);
MUST_CHECK bool buffer_append(struct worker *worker, struct buffer *buffer, const void *data,
                              size_t length);
/* Empties it; gives memory beyond `kept` bytes back. */
void buffer_reset(struct worker *worker, struct buffer *buffer, size_t kept);

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
    char webhook[NAME_LIMIT + 1]; /* for URI_WEBHOOK: letters, digits, - and _ */
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
/* Whether a client's correlation id is kept: 1..128 token characters (RFC 9110). Pure. */
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
 * relay.c: pure. What an attempt's end leads to (the table of README.md).
 * ------------------------------------------------------------------------------------------ */

enum attempt_end
{
    ATTEMPT_ANSWERED,    /* a complete answer with an HTTP status */
    ATTEMPT_NOT_REACHED, /* nothing was sent */
    ATTEMPT_TIMED_OUT,   /* sent, then silence: nobody knows whether the function acted */
    ATTEMPT_BROKEN       /* sent, then reset, cut off, unreadable or too long: the same */
};

enum relay_step
{
    RELAY_ANSWER,   /* the client gets `status`, and the function's answer with it */
    RELAY_PROBLEM,  /* the client gets `status` and a problem of ours */
    RELAY_FALL_BACK /* the other function gets its turn */
};

struct relay_verdict
{
    enum relay_step step;
    unsigned status;
    bool success;   /* a complete 2xx */
    bool ambiguous; /* the function may or may not have acted */
};

/* `fallback`: there is another target and time for it. `earlier`: status that an ambiguous earlier
 * attempt would have been answered with, 0 without one. */
struct relay_verdict relay_judge(enum attempt_end end, unsigned http_status,
                                 route_fallback_policy policy, bool fallback, unsigned earlier);

/* ---------------------------------------------------------------------------------------------
 * Decision and attempt
 * ------------------------------------------------------------------------------------------ */

/*  X(CONSTANT, column) of route_decide() that are read */
#define DECIDE_COLUMNS(X)                                                                          \
    X(WEBHOOK, webhook_name)                                                                       \
    X(URL, target_url)                                                                             \
    X(SIDE, routed_to)                                                                             \
    X(FALLBACK_WEBHOOK, fallback_webhook)                                                          \
    X(FALLBACK_URL, fallback_url)                                                                  \
    X(VERSION, config_version)                                                                     \
    DECIDE_ITEM_COLUMNS(X)
/* Those that route_decide_items() has too, of each item */
#define DECIDE_ITEM_COLUMNS(X)                                                                     \
    X(DOMAIN, domain)                                                                              \
    X(REASON, reason)                                                                              \
    X(BUCKET, bucket)                                                                              \
    X(PERCENTAGE, percentage)                                                                      \
    X(FROM, from_number)                                                                           \
    X(MESSAGE, message_id)                                                                         \
    X(TYPE, message_type)

enum decide_column
{
#define X(constant, column) DECIDE_##constant,
    DECIDE_COLUMNS(X)
#undef X
        DECIDE_COLUMN_COUNT
};

/* The same columns in the answer of route_decide_items(). */
enum item_column
{
#define X(constant, column) ITEM_##constant,
    DECIDE_ITEM_COLUMNS(X)
#undef X
        ITEM_COLUMN_COUNT
};

/* A field of an answer, NULL when it is null or there is no answer. */
const char *decide_value(const PGresult *answer, int row, int column);

/* What the database decided. The strings live in `answer`; absent ones are NULL. */
struct decision
{
    PGresult *answer;
    PGresult *items; /* one row per item, when the body holds more than one */
    const char *webhook, *url, *side, *domain, *reason, *percentage;
    const char *fallback_webhook, *fallback_url;
    uint8_t id[16];
    int64_t created_us; /* wall clock, fixed once for every row of the decision */
};

/* A libcurl handle of the pool, with what its callbacks need. */
struct upstream
{
    CURL *easy;
    struct upstream *next; /* in the pool */
    struct request *request;
    unsigned sent;       /* how often libcurl was about to send the request */
    const char *refused; /* why an address was refused, or the answer is unusable */
    bool has_length;     /* the answer's Content-Length, to notice a second one */
    long long length;
    bool is_chunked;        /* the answer has a Transfer-Encoding */
    char content_type[256]; /* of the answer, "" without one */
    char content_encoding[64];
    char error[CURL_ERROR_SIZE];
};

/* The attempt under way. */
struct attempt
{
    int number;                /* 1, or 2 for the fallback */
    const char *webhook, *url; /* in the decision */
    const char *side;          /* a literal: the log row keeps it longer than the decision lives */
    route_fallback_policy policy;
    uint64_t timeout_us;
    uint64_t started_us; /* 0: it could not be made */
    struct upstream *upstream;
    struct outcome *outcomes; /* one for each item */
};

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

/* Space for the header fields of a request to a function. */
#define UPSTREAM_HEADER_LIMIT (16 + CONFIGURED_HEADER_LIMIT)

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
    unsigned refusal;    /* status, for TASK_REFUSE */
    const char *problem; /* its words */
    const char *allow;   /* Allow of a 405 */
    struct uri uri;
    struct gate_result header;
    struct secrets *secrets; /* those in force when it began */
    struct signature signature;
    uint64_t discarded;  /* body bytes dropped */
    uint64_t arrived_us; /* the last byte came */
    char raw_uri[URI_LIMIT + 1];
    char correlation_id[CORRELATION_LIMIT + 1];
    struct buffer body;

    uint64_t tickets[2]; /* questions that the database has not answered */
    unsigned awaited;    /* how many of them */
    struct decision decision;
    size_t item_count;

    struct attempt attempt;
    unsigned earlier; /* status an ambiguous first attempt would have led to; 0 without one */
    struct curl_slist fields[UPSTREAM_HEADER_LIMIT];
    struct buffer field_text;

    struct buffer reply;
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

MUST_CHECK struct MHD_Daemon *receive_listen(struct worker *worker, int fd);
/* Stops accepting and closes connections that wait for nothing. */
void receive_drain(struct worker *worker);
/* Answers whatever is still suspended with 503: time is over. */
void receive_abort(struct worker *worker);
/* Closes the socket under a connection: libmicrohttpd then ends the request. */
void receive_cut(struct client *client);

extern const struct database_statement DECIDE_STATEMENTS[];
extern const size_t DECIDE_STATEMENT_COUNT;
void decide_begin(struct request *request);
void decide_expired(struct request *request);
void decide_forget(struct request *request);

void forward_begin(struct request *request);
void forward_expired(struct request *request);
/* libcurl has finished the attempt. */
void forward_finished(struct upstream *upstream, CURLcode code);
/* Ends the attempt without an answer: the outcome is logged as unknown. */
void forward_abort(struct request *request, const char *why);

MUST_CHECK bool upstream_open(struct worker *worker);
void upstream_close(struct worker *worker);
/* A handle out of the pool, NULL when memory is used up; it goes back when the attempt is over,
 * which ends its transfer. */
MUST_CHECK struct upstream *upstream_take(struct request *request);
void upstream_give_back(struct request *request);
/* Starts what was added this turn and takes what is finished. */
void upstream_turn(struct worker *worker);

/* The function's answer with `status`. */
void reply_relay(struct request *request, unsigned status);
/* An answer of our own: a JSON object that says `problem`. */
void reply_problem(struct request *request, unsigned status, const char *problem);
/* Bytes of our own, which must live as long as the request. */
void reply_bytes(struct request *request, unsigned status, const char *type, const char *bytes,
                 size_t length);

void greeting_verify(struct request *request);
void greeting_health(struct request *request);

/* ---------------------------------------------------------------------------------------------
 * ruleset.c
 * ------------------------------------------------------------------------------------------ */

/* The statement "ruleset" of the decide link. */
extern const char RULESET_STATEMENT[];
/* Asks for the rules unless a question is on its way. */
void ruleset_refresh(struct worker *worker);
MUST_CHECK bool ruleset_open(struct worker *worker);
void ruleset_close(struct worker *worker);
/* Timeout and policy of a target: its own or the defaults. */
void ruleset_target(const struct worker *worker, const char *name, uint64_t *timeout_us,
                    route_fallback_policy *policy);

/* ---------------------------------------------------------------------------------------------
 * worker.c, admin.c
 * ------------------------------------------------------------------------------------------ */

/* What other threads may see of a worker. */
struct worker_status
{
    _Atomic bool serving;       /* it has started well */
    _Atomic uint64_t turned_us; /* loop_clock() of its last turn */
    _Atomic bool can_decide;    /* database link up and prompt, rules known */
    _Atomic bool can_log;       /* database link up and not late, queue not full */
};

enum worker_order
{
    WORKER_SERVE,
    WORKER_DRAIN,
    WORKER_ABORT /* drain time over, or asked twice */
};

struct worker
{
    int number; /* from 0; the first one calls for maintenance */
    const struct options *options;
    struct secrets *secrets;                            /* the newest it has taken */
    _Atomic(struct secrets *) offered;                  /* newer ones, NULL without any */
    unsigned max_in_flight, max_connections, log_queue; /* its share */
    size_t max_buffer;
    pthread_t thread;
    _Atomic int order; /* enum worker_order */
    struct worker_status status;
    _Atomic bool ended;
    bool failed; /* could not start */
    bool lost;   /* ended with requests or rows in hand */

    struct loop loop;
    struct loop_source wakeup; /* eventfd: the order changed, or secrets are offered */
    bool draining;
    uint64_t drain_until_us;

    int listen_fd;
    struct MHD_Daemon *daemon;
    struct MHD_Response *exhausted; /* 503 that needs no memory */
    struct loop_source http;
    struct client *clients;
    bool http_due; /* libmicrohttpd has something to do */

    struct database decide, log;
    struct loop_timer ruleset_timer;
    route_ruleset *ruleset;
    bool ruleset_asked;

    CURLM *multi;
    struct loop_timer upstream_timer;
    bool upstream_due; /* libcurl wants a call without an event */
    struct upstream *upstream_pool;
    struct upstream_socket **sockets; /* by fd */
    size_t socket_count;

    struct request *request_pool;
    size_t pooled;
    size_t in_state[REQUEST_STATE_COUNT];
    size_t in_flight;
    size_t buffered; /* bytes in buffers */
    struct outcomes outcomes;
    struct log_limiter refusals, failures, signatures;
};

/* Starts the thread; false when that is impossible. */
MUST_CHECK bool worker_start(struct worker *worker, int number, const struct options *options,
                             struct secrets *secrets, int fd);
void worker_give(struct worker *worker, enum worker_order order);
/* Secrets for whatever begins from now on. */
void worker_offer(struct worker *worker, struct secrets *secrets);
/* Waits for its end; true when it finished everything in hand. */
MUST_CHECK bool worker_join(struct worker *worker);

struct admin
{
    struct MHD_Daemon *daemon;
    struct loop_source source;
    struct worker *workers;
    size_t worker_count;
    bool draining;
};

MUST_CHECK bool admin_open(struct admin *admin, struct loop *loop, int fd);
void admin_turn(struct admin *admin);
/* NULL while every worker turns, else what is wrong. */
const char *admin_live(const struct admin *admin);
void admin_close(struct admin *admin);

/* ---------------------------------------------------------------------------------------------
 * setup.c, listen.c
 * ------------------------------------------------------------------------------------------ */

/* No core files, and no other process of the same user sees the memory. */
void setup_privacy(void);
/* Raises the limit on open files, and lowers the limits on connections to what it allows. */
void setup_files(struct options *options);

/* `count` listening sockets on one address, shared when there are several; false with a sentence in
 * `problem`. */
MUST_CHECK bool listen_open(const char *address, int *fds, size_t count, char *problem,
                            size_t size);
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
