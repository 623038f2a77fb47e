/* SPDX-License-Identifier: PostgreSQL
 *
 * outcomes.h: rows of the log: before and after the attempt they speak of (outcome.c), in the queue
 * until the database has stored them (outcomes.c), and as the arrays in which they travel (rows.c).
 */
#ifndef OUTCOMES_H
#define OUTCOMES_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"

struct decided;
struct delivery;
struct spool_segment;
struct worker;

#define ITEM_LIMIT 1000 /* items of one POST that are logged; Meta sends at most as many */
#define ERROR_LIMIT 160 /* bytes of error_message, its NUL included */

/* One row of the log on its way. Made before the attempt it speaks of. */
struct outcome
{
    struct outcome *next;
    struct spool_segment *segment; /* where its DECIDED record stands; NULL: in no spool */
    uint64_t place;                /* of that record, in bytes from the segment's beginning */
    uint8_t id[16], decision_id[16];
    int64_t created_us;
    int attempt, item;
    int bucket;              /* -1: none */
    int percentage;          /* hundredths; -1: none */
    int http_status;         /* 0: none */
    int64_t config_version;  /* 0: none */
    double response_time_ms; /* negative: none, the attempt was not made */
    bool success, ambiguous;
    const char *routed_to;                      /* a literal */
    const char *webhook_name, *domain, *reason; /* into `text`, NULL: null */
    const char *from_number, *message_id, *message_type, *correlation_id;
    char error_message[ERROR_LIMIT]; /* "": null */
    char text[];
};

/* ---- rows.c ---- */

#define OUTCOME_COLUMNS 21

/* Binary arrays, one per column of store_routing_logs(), of the first rows of a list. Pure. */
struct rows
{
    struct rows_column
    {
        char *data;
        size_t length;
        size_t room;
    } columns[OUTCOME_COLUMNS];
    int lengths[OUTCOME_COLUMNS];
};

MUST_CHECK bool rows_encode(struct rows *rows, const struct outcome *first, size_t count);
void rows_free(struct rows *rows);
/* The statements that take them: with their outcome, and before the attempt; and the types of their
 * parameters. */
extern const char ROWS_STATEMENT[], ROWS_PENDING_STATEMENT[];
extern const Oid ROWS_TYPES[OUTCOME_COLUMNS];

/* ---- outcome.c ---- */

/* Makes a row for an item of the delivery's coming attempt; items beyond ITEM_LIMIT are counted
 * only. False when the queue is full or memory is used up: then the attempt must not be made. */
MUST_CHECK bool outcomes_add(struct delivery *delivery, const struct decided *item);
/* Rows of the coming attempt. */
size_t outcomes_count(const struct delivery *delivery);
/* The rows of an attempt again, for another function; NULL as above. outcomes_take() makes them the
 * delivery's when its attempt is the other one. */
MUST_CHECK struct outcome *outcomes_copy(const struct delivery *delivery, const char *webhook);
void outcomes_take(struct delivery *delivery, struct outcome *rows);
/* Rows of an attempt that was never made and of which nobody has heard. */
void outcomes_discard(struct worker *worker, struct outcome *rows);
/* The attempt has ended: fills its rows in, gives them to the spool and queues them. Can not fail.
 * Without attempt.started_us the rows have no response time. Of `outcome` the rows know whether it
 * is a success, and the metrics all. */
void outcomes_finish(struct delivery *delivery, const char *routed_to, enum attempt_outcome outcome,
                     unsigned http_status, bool ambiguous, const char *error_message);

/* ---- outcomes.c ---- */

struct outcomes
{
    struct outcome *first, *last; /* waiting to be stored, oldest first */
    struct outcome *surplus;      /* finished in this turn, more than the queue is to hold */
    size_t queued;
    size_t held;        /* queued and those of attempts to come and under way */
    size_t sent;        /* rows of the batch that is under way; 0: none */
    size_t suspects;    /* the first rows, among which is one that the database refuses */
    bool refused;       /* the batch under way met an error */
    bool refused_alone; /* ... of its data, so that a smaller batch may pass */
    unsigned failures;  /* in a row */
    uint64_t retry_us;  /* no batch before this */
    uint64_t oldest_us; /* when the first row of the next batch was queued */
    struct loop_timer timer;
    struct rows rows;
};

extern const struct database_statement LOG_STATEMENTS[];
extern const size_t LOG_STATEMENT_COUNT;
MUST_CHECK bool outcomes_open(struct worker *worker);
void outcomes_close(struct worker *worker);
/* Finished rows, linked by `next`. Those for which memory has no room stay in the spool alone, from
 * outcomes_spill() on, when the turn's write has brought their outcomes there. */
void outcomes_queue(struct worker *worker, struct outcome *rows);
void outcomes_spill(struct worker *worker);
/* Asks the database to commit rows before their attempt, with a sync of their own; false when that
 * cannot be had now. */
MUST_CHECK bool outcomes_send_pending(struct worker *worker, const struct outcome *first,
                                      size_t count, database_answer answer,
                                      database_answer committed);
/* Sends a batch when one is due. */
void outcomes_turn(struct worker *worker);
void outcomes_ready(void *worker);
/* Whether no further row may be made: the queue is full and there is no spool. */
bool outcomes_full(const struct worker *worker);
/* Whether a worker that drains may end: every row is stored, or safe in the spool. Looks at every
 * row that waits. */
bool outcomes_settled(const struct worker *worker);
/* An error of the database, to the operator: without what it might quote of a row. */
void outcomes_complain(struct worker *worker, const PGresult *answer, const char *message);

/* ---- maintenance.c: routing_maintain(), routing_guard() and routing_sample_findings(), by worker
 * 0, on a connection of its own ---- */

struct maintenance
{
    struct database link;
    struct loop_timer timer;
    uint64_t next_us; /* of the hourly call */
    struct loop_timer guard_timer;
    bool guard_forbidden; /* the role may not call it */
    struct loop_timer audit_timer;
};

MUST_CHECK bool maintenance_open(struct worker *worker);
void maintenance_close(struct worker *worker);
void maintenance_turn(struct worker *worker);
/* The log's link has opened, perhaps to another server than before. */
void maintenance_follow(struct worker *worker);
/* Decisions have been committed as pending: those whose outcome never comes are settled in a while.
 * Any worker. */
void maintenance_note_pending(const struct worker *worker);

#endif /* OUTCOMES_H */
