/* SPDX-License-Identifier: PostgreSQL
 *
 * database.h: one connection in pipeline mode that is always being re-made while it is down, and
 * when to try again. It knows nothing of requests.
 *
 * Threads: a link belongs to the thread of its loop.
 */
#ifndef DATABASE_H
#define DATABASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "loop.h"

/* Types by pg_type.dat; their oids never change. */
enum
{
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_FLOAT8 = 701,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
    OID_UUID = 2950
};

/* A statement that a link prepares when it opens; all of it lives as long as the link. */
struct database_statement
{
    const char *name;
    const char *sql;
    int parameters;
    const Oid *types; /* of these; NULL: there are none */
};

/* Gets the answer of one query or sync, in order; owns the result. NULL: the connection broke, and
 * nobody knows whether it was run. An error is a result that is not PGRES_TUPLES_OK. */
typedef void (*database_answer)(void *context, PGresult *result);

enum database_state
{
    DATABASE_DOWN,       /* waiting for its next try */
    DATABASE_CONNECTING, /* a thread is opening it */
    DATABASE_PREPARING,  /* open, statements on their way */
    DATABASE_READY
};

struct database_pending
{
    database_answer answer; /* NULL: nobody waits any more */
    void *context;
    uint64_t sent_us;
    bool is_sync;
    bool answered; /* its result came; the NULL that ends it has not */
};

struct database_connector;

struct database
{
    const char *link;    /* its name for messages and metrics (METRIC_LINKS), or "status" */
    const char *session; /* target_session_attrs */
    const char *url;     /* NULL: libpq's environment */
    const struct database_statement *statements;
    size_t statement_count;
    void (*became_ready)(void *owner);                   /* NULL: nobody needs to know */
    void (*refused)(void *owner, const PGresult *error); /* a statement; NULL: the same */
    void *owner;
    struct loop *loop;

    enum database_state state;
    PGconn *connection;
    struct loop_source source;
    struct loop_source opened; /* eventfd of the connector */
    struct database_connector *connector;
    struct loop_timer retry;
    unsigned failures;   /* tries in a row that led to no lasting connection */
    uint64_t ready_us;   /* since when it is READY */
    uint64_t connects;   /* how often it has become so */
    bool unsynced;       /* something was sent since the last sync */
    bool condemned;      /* to be dropped as soon as its results are read */
    uint64_t stalled_us; /* an answer later than this condemns it; 0: never */
    struct database_pending *ring;
    size_t ring_size;        /* a power of two */
    uint64_t first, next;    /* places in the ring, ever growing */
    char given_up[256];      /* why it was condemned */
    const char *mend;        /* of that: what an operator does; NULL: nobody knows */
    struct log_lasting down; /* that it cannot be reached, and why */
};

MUST_CHECK bool database_open(struct database *database, struct loop *loop, size_t ring_size);
/* Whoever still waits for an answer hears nothing any more. */
void database_close(struct database *database);
/* Sends a prepared statement; its results are binary or text. False: not ready, full, or out of
 * memory; then nobody is called. *ticket (may be NULL) is for database_abandon. */
MUST_CHECK bool database_query(struct database *database, const char *statement, int parameters,
                               const char *const *values, const int *lengths, const int *formats,
                               bool binary, database_answer answer, void *context,
                               uint64_t *ticket);
/* Ends a transaction of what was sent since the last one and asks for its answers; `answer` (may be
 * NULL) hears of the commit. */
MUST_CHECK bool database_sync(struct database *database, database_answer answer, void *context);
/* A sync if anything needs one: once a turn. */
void database_turn(struct database *database);
/* Nobody waits for the answer any more. */
void database_abandon(struct database *database, uint64_t ticket);
/* Drops the connection after this turn's answers and makes a new one. */
void database_condemn(struct database *database, const char *why);

/* ---- database_report.c: lines of the log, for database.c ---- */

void database_report_ready(const struct database *database);
/* It is dropped, before its state says so. `detail`: why; NULL: for what it was condemned. */
void database_report_dropped(struct database *database, const char *detail);
/* For PQsetNoticeReceiver(); `context` is the link. */
void database_noticed(void *context, const PGresult *notice);

/* ---- database_facts.c: nothing is changed ---- */

/* Microseconds that the oldest question has waited. */
uint64_t database_lag(const struct database *database);
/* Whether two open connections lead to the same host and port; true when one of them is not open.
 */
bool database_together(const struct database *one, const struct database *other);
/* Whether it is open and leads to a standby, as far as the server has said. */
bool database_is_standby(const struct database *database);
/* SQLSTATE of an error result, "" without one. */
const char *database_sqlstate(const PGresult *result);
/* What the server, or libpq, says of an error: its first sentence. */
const char *database_complaint(const PGresult *error);

/* ---- connector.c: opening one, on a thread ---- */

/* The connection itself, open or with an error; waits for it. `name` is what pg_stat_activity
 * shows. */
MUST_CHECK PGconn *connector_connect(const char *url, const char *session, const char *name);

/* Begins to connect with a connection string or URI (NULL: libpq's environment),
 * target_session_attrs and the link's name, which pg_stat_activity shows behind ours. NULL without
 * memory, files or threads. */
struct database_connector *connector_start(const char *url, const char *session, const char *link);
/* Can be read as soon as the thread has finished, well or not. */
int connector_fd(const struct database_connector *connector);
/* Then: the connection, open or with an error, for the caller to finish; NULL without memory. The
 * connector is gone. */
MUST_CHECK PGconn *connector_take(struct database_connector *connector);
/* Instead of taking: whatever the thread makes is closed. */
void connector_leave(struct database_connector *connector);

/* ---- database_url.c: pure ---- */

/* What is wrong with a connection string or URI of libpq, in words that quote nothing of it; NULL
 * when libpq can read it. */
const char *database_url_problem(const char *url);

/* ---- retry.c: pure but for chance ---- */

#define RETRY_MOST_US 2000000u /* longest pause before a database is asked again */
/* When forwarder and extension do not understand each other. */
#define RETRY_MEND_VERSION                                                                         \
    "give forwarder and extension one version: webhook-forwarder --version, and ALTER EXTENSION "  \
    "webhook_routing UPDATE"

/* Microseconds to wait after so many failures in a row. */
uint64_t retry_pause(unsigned failures);
/* Whether an error means that this connection will not do better, but a new one may. */
bool retry_needs_connection(const char *sqlstate);
/* Whether an error is about what a row holds: it will be refused again, its neighbours may not. */
bool retry_blames_row(const char *sqlstate);
/* What an operator does about an error, for a line of the log; NULL when nothing can be said. */
const char *retry_mend(const char *sqlstate);
/* The same about a connection that does not come about, by what libpq says: it tells no SQLSTATE.
 * A server that speaks another language than English is not understood. */
const char *retry_mend_connection(const char *complaint);

#endif /* DATABASE_H */
