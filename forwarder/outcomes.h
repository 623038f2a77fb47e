/* SPDX-License-Identifier: PostgreSQL
 *
 * outcomes.h: rows of the log, from the moment before an attempt until the database has stored them
 * (outcomes.c), and as the arrays in which they travel (rows.c).
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

struct request;
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
/* The statement that takes them: its text and its parameters' types, from the same table. */
extern const char ROWS_STATEMENT[];
extern const Oid ROWS_TYPES[OUTCOME_COLUMNS];

/* ---- outcomes.c ---- */

struct outcomes
{
    struct outcome *first, *last; /* waiting to be stored, oldest first */
    size_t queued;
    size_t held;        /* queued and those of attempts under way: bounded by --log-queue */
    size_t sent;        /* rows of the batch that is under way; 0: none */
    size_t suspects;    /* the first rows, among which is one that the database refuses */
    bool refused;       /* the batch under way met an error */
    bool refused_alone; /* ... of its data, so that a smaller batch may pass */
    unsigned failures;  /* in a row */
    uint64_t retry_us;  /* no batch before this */
    uint64_t oldest_us; /* when the first row of the next batch was queued */
    struct loop_timer timer;
    struct loop_timer maintenance;
    struct rows rows;
    struct log_limiter limiter;
};

extern const struct database_statement LOG_STATEMENTS[];
extern const size_t LOG_STATEMENT_COUNT;
MUST_CHECK bool outcomes_open(struct worker *worker);
void outcomes_close(struct worker *worker);
/* The rows of an attempt, one for each item; NULL when the queue is full or memory is used up:
 * then the attempt must not be made. */
MUST_CHECK struct outcome *outcomes_prepare(struct request *request);
/* The attempt has ended: fills the rows in and queues them. Can not fail. */
void outcomes_finish(struct request *request, const char *routed_to, unsigned http_status,
                     bool success, bool ambiguous, const char *error_message);
/* Sends a batch when one is due. */
void outcomes_turn(struct worker *worker);
void outcomes_ready(void *worker);
bool outcomes_full(const struct worker *worker);

#endif /* OUTCOMES_H */
