/* SPDX-License-Identifier: PostgreSQL
 *
 * status_inside.h: what status.c and status_viewers.c share; everybody else includes status.h.
 * Main's thread.
 */
#ifndef STATUS_INSIDE_H
#define STATUS_INSIDE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database.h"
#include "loop.h"
#include "status.h"

struct status_waiting;

/* A section's answer is on its way: who is told of it. */
struct status_question
{
    struct status *status;
    enum status_section_id section;
};

struct status
{
    struct loop *loop;
    const struct options *options;
    struct secrets *secrets;
    struct database link;
    bool linked;              /* the link is open, or being opened */
    struct loop_timer closer; /* nobody has asked for a while */
    struct loop_timer patience;
    uint64_t opened_us;

    struct status_question questions[STATUS_SECTIONS];
    PGresult *results[STATUS_SECTIONS]; /* what was said last */
    size_t awaited;                     /* answers of this set */
    size_t refused;                     /* of these, errors */
    uint64_t asked_us;                  /* the set on its way; 0: none ever */
    uint64_t told_us;                   /* the last whole set was here; 0: never */
    uint64_t took_us;                   /* that long after it was asked for */
    unsigned judged;                    /* failures of the link that `problem` knows of */
    bool declined;                      /* the next one is a statement that was refused */
    char problem[256];                  /* why the last set is not whole; "": it is */
    const char *mend;
    bool unreachable;
    int64_t problem_since; /* seconds since 1970; 0: there is none */

    struct status_waiting *waiting;
    size_t waiting_count;
};

/* ---- status.c ---- */

/* Opens the link; false without memory. */
MUST_CHECK bool status_link(struct status *status);
/* Asks for a set, unless one is on its way or the link is not ready. */
void status_ask(struct status *status);

/* ---- status_viewers.c ---- */

/* Whoever waits gets what there is. */
void status_resume(struct status *status);
/* The same when STATUS_PATIENCE_US are over; the timer's owner is the status. */
void status_impatient(struct loop_timer *timer);

#endif /* STATUS_INSIDE_H */
