/* SPDX-License-Identifier: PostgreSQL
 *
 * delivery.h: a webhook, or a part of one, on its way to a function: what was decided, the
 * delivery, its attempts. Included by forwarder.h.
 *
 * A webhook becomes one delivery. A mixed batch, whose items belong to different functions, becomes
 * one delivery for each of them when we can sign the parts (plan.c). A delivery makes one attempt,
 * and a second one, the fallback, when the first has not led to an answer and the policy allows it.
 * Before each attempt its log rows are recorded (recording.c).
 */
#ifndef DELIVERY_H
#define DELIVERY_H

#include <curl/curl.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer.h"
#include "buffer.h"
#include "loop.h"
#include "metrics.h"
#include "route.h"
#include "secrets.h"
#include "signature.h"

struct breaker;
struct database;
struct outcome;
struct request;
struct worker;

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
    bool ambiguous; /* the function may or may not have acted */
};

/* `fallback`: there is another target and time for it. `earlier`: status that an ambiguous earlier
 * attempt would have been answered with, 0 without one. */
struct relay_verdict relay_judge(enum attempt_end end, unsigned http_status,
                                 route_fallback_policy policy, bool fallback, unsigned earlier);
/* Whether such an end speaks against the function, for its breaker. A status of 500 and above does
 * where there is another function to ask; otherwise it is the answer. */
bool relay_is_failure(enum attempt_end end, unsigned http_status, bool fallback);
/* What a complete answer with this status is called in the metrics. */
enum attempt_outcome relay_outcome(unsigned http_status);
/* The worse of two statuses of parts: 5xx over 4xx over 3xx over 2xx; of one kind the first. */
unsigned relay_worse(unsigned status, unsigned other);

/* ---------------------------------------------------------------------------------------------
 * Decision
 * ------------------------------------------------------------------------------------------ */

/* What was decided for a webhook or for one item of it, by the database or here. The texts are its
 * decider's and valid only while the structure is handed on; an absent one has no data. */
struct decided
{
    route_text webhook, url, fallback_webhook, fallback_url;
    route_text domain, reason, from_number, message_id, message_type;
    route_side side;
    int bucket;     /* -1: none */
    int percentage; /* hundredths of a percent; -1: none */
};

/* ---- decision.c: pure ---- */

/* The statements that decide a webhook ($1) that may have come by a name ($2), and its items: rows
 * of one column, to be asked for in binary. */
extern const char DECISION_STATEMENT[], DECISION_ITEMS_STATEMENT[];
/* Reads a row; its texts point into it. False when it is none, or names no target; then nothing is
 * promised of *decided. A version is 0 when nothing is in force. */
MUST_CHECK bool decision_read(route_text row, struct decided *decided, int64_t *config_version);

/* What the database has been asked for a request. */
struct question
{
    struct database *link;   /* that was asked */
    PGresult *whole, *items; /* answers; items: one row an item, when there are several */
    struct decided decided;  /* what `whole` says, once it is there */
    int64_t version;         /* ... by which rules; 0: none */
    uint64_t tickets[2];     /* questions that are not answered */
    unsigned awaited;        /* how many of them */
};

/* ---------------------------------------------------------------------------------------------
 * Deliveries
 * ------------------------------------------------------------------------------------------ */

/*  X(STATE, name, states that may follow, what it means) */
#define DELIVERY_STATES(X)                                                                         \
    X(IDLE, "idle", TO(RECORDING) | TO(DONE), "in the pool, or just planned")                      \
    X(RECORDING, "recording", TO(ATTEMPTING) | TO(DONE),                                           \
      "its rows are on their way to the spool, or into the database")                              \
    X(ATTEMPTING, "attempting", TO(RECORDING) | TO(DONE),                                          \
      "a function has it; recording again comes before the fallback")                              \
    X(DONE, "done", TO(IDLE), "there is an answer for the client, or a problem")

enum delivery_state
{
#define X(state, name, next, meaning) DELIVERY_##state,
    DELIVERY_STATES(X)
#undef X
        DELIVERY_STATE_COUNT
};

const char *delivery_state_name(enum delivery_state state);
/* Whether the table allows `to` after `from`. */
bool delivery_may_follow(enum delivery_state from, enum delivery_state to);

/* Scheme, host and port, and the connections to them that are kept. */
struct upstream_origin
{
    struct upstream_origin *next; /* of the worker */
    unsigned holders;             /* URLs and connections */
    bool tls;
    struct upstream *first, *last; /* kept connections, the newest first */
    char url[];
};

/* A function's URL, taken apart. */
struct upstream_url
{
    struct upstream_url *next; /* used before this one */
    struct upstream_origin *origin;
    char *start; /* of a request to it: request line and Host */
    size_t start_length;
    char authorization[768]; /* by its user and password, "" without any */
    char text[];
};

enum upstream_state
{
    UPSTREAM_SPARE,      /* in the pool, without a connection */
    UPSTREAM_CONNECTING, /* libcurl makes its connection */
    UPSTREAM_BUSY,       /* an attempt has it */
    UPSTREAM_KEPT        /* connected, for the next attempt */
};

/* A connection to a function. */
struct upstream
{
    enum upstream_state state;
    struct worker *worker;
    CURL *easy;                       /* holds the connection */
    struct upstream *next, *previous; /* kept for the same origin; or in the pool */
    struct upstream_origin *origin;   /* NULL: SPARE */
    struct loop_source source;        /* once it is connected */
    struct delivery *delivery;        /* while CONNECTING and BUSY */
    uint64_t kept_us;                 /* since when it is KEPT */
    size_t sent;                      /* bytes of the request that have left */
    bool may_have_sent;               /* there may be more of them */
    bool surplus;                     /* the function says more than an answer */
    bool heard;                       /* libcurl waits for a socket, and it is watched */
    bool ours;                        /* what failed is the forwarder's own memory or files */
    const char *refused;              /* why an address was refused, or the answer is unusable */
    char error[CURL_ERROR_SIZE];
};

/* The attempt under way, or the last one. */
struct attempt
{
    int number;                /* 1, or 2 for the fallback */
    const char *webhook, *url; /* of the delivery; url NULL: base URL and name */
    const char *side;          /* a literal: the log row keeps it longer than the delivery lives */
    route_fallback_policy policy;
    uint64_t timeout_us;
    struct breaker *breaker; /* of the target */
    uint64_t begun_us;       /* when that was asked */
    uint64_t started_us;     /* when it began; 0: it was not made */
    bool impossible;         /* it could not be made */
    bool held;               /* its breaker is open */
    struct upstream *upstream;
};

/* A function's answer. */
struct answer
{
    struct buffer body;
    struct answer_reader reader;
};

struct delivery
{
    enum delivery_state state;
    struct request *request;
    struct worker *worker;
    struct delivery *next; /* of the request; or in the pool */
    struct loop_timer deadline;

    uint8_t id[16];         /* decision_id of its rows */
    int64_t created_us;     /* wall clock, fixed once for every row of the decision */
    int64_t config_version; /* 0: none */
    route_side side;
    int percentage; /* hundredths; -1: none */
    /* In `text`, or of the request (fallback of a part); NULL: none. */
    const char *webhook, *url, *domain, *reason, *fallback_webhook, *fallback_url;
    struct buffer text;

    const char *body; /* the request's, or that of `part` */
    size_t body_length;
    struct buffer part;
    char signature[SIGNATURE_TEXT_SIZE]; /* of a part; "": the request's is passed on */

    struct outcome *rows, *last_row; /* of the attempt that comes or is under way */
    int item_count;
    uint64_t ticket;                /* of the spool, while RECORDING */
    struct delivery *next_recorded; /* in a list of recording.c */

    struct attempt attempt;
    unsigned earlier;   /* status an ambiguous first attempt would have led to; 0 without one */
    struct buffer head; /* of the request to the function: everything before its body */
    struct answer answer;

    unsigned status;     /* when DONE, for the client */
    const char *problem; /* its words (a literal); NULL: the function's answer */
};

/* ---- delivery.c: birth, the one door for changes of state, death ---- */

/* A delivery out of the pool, the last of the request's; NULL when memory is used up. */
MUST_CHECK struct delivery *delivery_begin(struct request *request, const struct decided *decided,
                                           int64_t config_version);
/* Aborts on a change that the table does not allow. `deadline_us` is when its deadline strikes, on
 * the loop's clock; 0: never. */
void delivery_enter(struct delivery *delivery, enum delivery_state state, uint64_t deadline_us);
/* The client will get the function's answer (problem NULL) or a problem with `status`. The last
 * delivery of a request brings its reply about. */
void delivery_done(struct delivery *delivery, unsigned status, const char *problem);
/* Ends it wherever it is, with 503: time is over. */
void delivery_abort(struct delivery *delivery, const char *why);
/* All deliveries of a request back into the pool. */
void delivery_end_all(struct request *request);
void delivery_free_pool(struct worker *worker);

/* ---- plan.c: from what was decided to deliveries ---- */

struct plan
{
    struct request *request;
    const struct decided *whole;
    int64_t config_version;
    bool split;
    uint16_t *parts; /* of each item the number of its delivery, when split */
    size_t item;     /* the next one */
    bool differs;    /* who decided counts the items otherwise than we do */
};

/* For a request in state DECIDING: plan_begin, plan_item for each item in order (the whole again
 * when there is but one), plan_finish. False: memory is used up; plan_give_up follows. `whole`
 * lives as long as the plan. */
MUST_CHECK bool plan_begin(struct plan *plan, struct request *request, const struct decided *whole,
                           int64_t config_version);
MUST_CHECK bool plan_item(struct plan *plan, const struct decided *item);
MUST_CHECK bool plan_finish(struct plan *plan);
void plan_give_up(struct plan *plan);

/* ---- recording.c: rows are durable before anything is relayed ---- */

struct delivery_list
{
    struct delivery *first, *last;
};

struct recording
{
    struct delivery_list spooled;    /* DECIDED was given to the spool, by rising tickets */
    struct delivery_list unspooled;  /* the spool does not take them */
    struct delivery_list committing; /* the database has been asked to commit them */
    bool commit_asked;   /* its sync has not come back, whatever is left in `committing` */
    bool commit_refused; /* it met an error, */
    bool rows_at_fault;  /* of what its rows hold */
    size_t singly;       /* so many of the first unspooled are committed each alone */
    bool unwritten;      /* something was given to the spool since its last write */
};

void recording_begin(struct delivery *delivery);
/* Writes, and starts the attempts whose rows are durable: once a turn. */
void recording_turn(struct worker *worker);
/* Whether a turn has something to do without waiting for an event. */
bool recording_due(const struct worker *worker);
void recording_expired(struct delivery *delivery);
/* Takes it out of whatever list it is in; its rows are forgotten, or logged as not relayed when the
 * database may have them. */
void recording_abort(struct delivery *delivery, const char *why);

/* ---- forward.c: attempts ---- */

/* The rows of the coming attempt are durable. */
void forward_attempt(struct delivery *delivery);
void forward_expired(struct delivery *delivery);
/* The attempt has ended: with a whole answer (CURLE_OK), or for what `code` and the connection say.
 */
void forward_finished(struct upstream *upstream, CURLcode code);
/* Ends the attempt without an answer: the outcome is logged as ambiguous. */
void forward_abort(struct delivery *delivery, const char *why);

/* ---- compose.c: the request to a function ---- */

/* URL of the attempt's function; false when there is none or it does not fit. */
MUST_CHECK bool compose_url(const struct delivery *delivery, char *url, size_t size);
/* Puts the head of the request together; false when memory is used up. */
MUST_CHECK bool compose_head(struct delivery *delivery, const struct upstream_url *url);

/* ---- upstream.c: connections to functions ---- */

#define UPSTREAM_BUFFER ((size_t) 16384) /* bytes of an answer that are taken at once */

MUST_CHECK bool upstream_open(struct worker *worker);
/* When no attempt is under way. */
void upstream_close(struct worker *worker);
/* Begins the attempt over a connection that was kept, or has one made; false when memory is used
 * up. forward_finished() can come before it returns. */
MUST_CHECK bool upstream_begin(struct delivery *delivery, const struct upstream_url *url);
/* The connection is made: the request goes over it. */
void upstream_connected(struct upstream *upstream);
/* The attempt is over, whatever became of it: its connection is kept when it is good. */
void upstream_give_back(struct delivery *delivery);
/* Whether a byte of the request has left, or may have. */
MUST_CHECK bool upstream_has_sent(const struct upstream *upstream);

/* ---- upstream_connect.c: libcurl, which makes them ---- */

MUST_CHECK bool upstream_open_curl(struct worker *worker);
void upstream_close_curl(struct worker *worker);
/* What never changes from one connection of a handle to the next. */
MUST_CHECK bool upstream_configure(struct upstream *upstream);
MUST_CHECK bool upstream_connect(struct upstream *upstream);
void upstream_disconnect(struct upstream *upstream);
/* Takes the connections that are made, or not to be had. */
void upstream_turn(struct worker *worker);
/* Starts those that were asked for in this turn. */
void upstream_start(struct worker *worker);

/* ---- exchange.c: one request and its answer ---- */

/* Sends the delivery's request; false when the connection is broken and nothing has left over it.
 * When it breaks later, the attempt is finished. */
MUST_CHECK bool exchange_begin(struct upstream *upstream);
/* There are bytes to receive, or room to send. */
void exchange_go_on(struct upstream *upstream);
/* Whether the connection can take another request, after this one. */
MUST_CHECK bool exchange_was_clean(struct upstream *upstream);
/* Whether a connection without a request is open and says nothing. */
MUST_CHECK bool exchange_is_quiet(struct upstream *upstream);

/* ---- upstream_url.c: URLs, taken apart once ---- */

/* NULL when memory is used up, or the text is no URL of http or https. Good until the next call. */
MUST_CHECK const struct upstream_url *upstream_url_of(struct worker *worker, const char *text);
/* One holder of the origin less. */
void upstream_leave_origin(struct worker *worker, struct upstream_origin *origin);
void upstream_forget_urls(struct worker *worker);

#endif /* DELIVERY_H */
