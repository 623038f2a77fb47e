/* SPDX-License-Identifier: PostgreSQL
 *
 * request.h: an HTTP request of a client, from its request line to the last byte of its answer: its
 * states, what is refused of it, the request itself, and its stages. Included by forwarder.h.
 *
 * Pointers into a request are good as long as the request is: until request_end().
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "database.h"
#include "delivery.h"
#include "loop.h"
#include "metrics.h"
#include "route.h"
#include "secrets.h"
#include "signature.h"

struct worker;

#define URI_LIMIT 4096         /* longest request target that is looked at, bytes; beyond it 414 */
#define HEADER_COUNT_LIMIT 128 /* header fields of one request; beyond it 431 */
#define CORRELATION_LIMIT 128  /* bytes of a client's correlation id; a longer one is not kept */
#define DISCARD_LIMIT                                                                              \
    (16 << 20) /* body bytes that are read and dropped for the sake of an answer */

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
    char webhook[ROUTE_MAX_NAME_LENGTH + 1]; /* for URI_WEBHOOK: letters, digits, - _ . */
    const char *query; /* behind the ?, "" without one; points into the target */
};

/* Whether it can be a target's name: 1..ROUTE_MAX_NAME_LENGTH letters, digits, - _ and dots, which
 * is all that extension/install/20_rules.sql allows, and more; a dot is no beginning, so that no
 * name is a step in a path. */
bool uri_is_name(const char *text, size_t length);
void uri_read(const char *target, const char *prefix, struct uri *uri);
/* Decodes the value of a query parameter into `value` (NUL-terminated, *length without the NUL);
 * false when it is absent, badly encoded or does not fit. */
MUST_CHECK bool uri_parameter(const char *query, const char *name, char *value, size_t size,
                              size_t *length);

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

#endif /* REQUEST_H */
