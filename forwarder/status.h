/* SPDX-License-Identifier: PostgreSQL
 *
 * status.h: the status page, /status, and the same as JSON, /status.json. Whoever is on call sees
 * in five seconds whether customers are safe.
 *
 *     status_routes.c    the routes: what is known now, as the page, as JSON; the page's files
 *     status.c           asks the database, keeps what it said
 *     status_viewers.c   lets viewers wait for that; what is shown
 *     status_gather.c    what the workers have published
 *     status_sections.c  what is asked, and which columns it has: one table
 *     status_view.c      what is shown, and how a value in it is found; pure
 *     status_verdict.c   the verdict in words; pure
 *     status_page.c      HTML: the frame, verdict and step; pure
 *     status_tables.c    HTML: every section as a table; pure
 *     status_charts.c    HTML: the last hour as lines (SVG); pure
 *     status_json.c      JSON; pure
 *     assets.c           style sheet, script, uPlot: in the program, as files
 *
 * "Pure": from a struct status_view to text, and nothing else.
 *
 * Threads: main's. What is told of the workers is what they publish. The page has a link to the
 * database of its own, which is opened when somebody asks and closed a minute after the last one
 * did; any number of viewers cost one set of questions each STATUS_FRESH_US.
 */
#ifndef STATUS_H
#define STATUS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin.h"
#include "database.h"
#include "route.h"
#include "secrets.h"
#include "writer.h"

/* ---------------------------------------------------------------------------------------------
 * status_sections.c: what the database is asked
 * ------------------------------------------------------------------------------------------ */

enum status_section_id
{
    STATUS_STEP,
    STATUS_GATES,
    STATUS_SPLIT,
    STATUS_HEALTH,
    STATUS_MINUTES,
    STATUS_TARGETS,
    STATUS_ERRORS,
    STATUS_CHANGES,
    STATUS_SECTIONS /* how many there are */
};

enum status_kind
{
    STATUS_TEXT,
    STATUS_WORD,     /* of a fixed set: severity, proof; has a mark of its own */
    STATUS_COUNT,    /* a whole number */
    STATUS_PERCENT,  /* 0..100 */
    STATUS_MS,       /* milliseconds */
    STATUS_TIME,     /* seconds since 1970; in JSON RFC 3339 */
    STATUS_DURATION, /* seconds */
    STATUS_FLAG,     /* true or false */
    STATUS_BAR,      /* planned_pct and actual_pct of the row, drawn; no column of the answer */
    STATUS_BREAKER   /* of the row's target, from the workers; no column of the answer */
};

struct status_column
{
    const char *name;  /* in the answer and in JSON */
    const char *title; /* in HTML; NULL: in no table there */
    enum status_kind kind;
};

struct status_section
{
    const char *id;    /* in HTML and in JSON */
    const char *title; /* in HTML */
    const char *about; /* one sentence; NULL: none is needed */
    const char *empty; /* in the place of a table without rows */
    bool single;       /* one row: in JSON an object, not an array */
    const struct status_column *columns;
    size_t column_count;
};

extern const struct status_section STATUS_TABLE[STATUS_SECTIONS];
/* In the order of the sections, and behind them the session's settings. */
extern const struct database_statement STATUS_STATEMENTS[STATUS_SECTIONS + 1];
#define STATUS_SETTINGS STATUS_SECTIONS

/* ---------------------------------------------------------------------------------------------
 * status_view.c: what is shown
 * ------------------------------------------------------------------------------------------ */

/* A circuit breaker that is not closed. */
struct status_breaker
{
    char target[ROUTE_MAX_NAME_LENGTH + 1];
    const char *state;
    unsigned workers; /* so many have it so */
};

#define STATUS_BREAKERS 64 /* more are counted, not shown */

/* What the forwarder knows of itself. */
struct status_forwarder
{
    const char *problem; /* why webhooks are refused; NULL: they are taken */
    size_t workers;      /* threads, of which */
    size_t deciding;     /* have the database decide, */
    size_t logging;      /* have it take the log, */
    size_t spooling;     /* have a spool that takes decisions */
    int64_t link_down_s; /* so long has no worker had a link that works; -1: one has */
    int64_t uptime_s;
    int64_t config_version; /* of the last rules; 0: none have ever been had */
    int64_t ruleset_age_s;  /* since the database confirmed them, or since the start */
    int64_t spool_bytes;    /* on the disk */
    int64_t unstored_rows;  /* log rows that the database does not have yet */
    struct status_breaker breakers[STATUS_BREAKERS];
    size_t breaker_count;
};

struct status_view
{
    int64_t now; /* seconds since 1970 */
    struct status_forwarder forwarder;
    /* Each NULL when it was never had. Rows of PGRES_TUPLES_OK. */
    const PGresult *results[STATUS_SECTIONS];
    int64_t data_age_s;    /* how old they are; -1: there are none */
    const char *problem;   /* why nothing newer is there; NULL: nothing is wrong */
    const char *mend;      /* of that, NULL: unknown */
    bool unreachable;      /* the problem is that no connection can be had */
    int64_t problem_since; /* seconds since 1970 */
};

/* How many rows a section has; 0 as well when it was never had. */
int status_rows(const struct status_view *view, enum status_section_id section);
/* A value as text; NULL: null, no such row or column, or never had. */
const char *status_value(const struct status_view *view, enum status_section_id section, int row,
                         const char *column);
/* The same as a number; `otherwise` in the place of NULL. */
double status_number(const struct status_view *view, enum status_section_id section, int row,
                     const char *column, double otherwise);
bool status_is(const struct status_view *view, enum status_section_id section, int row,
               const char *column, const char *value);
/* The state of a target's breaker, "closed" when no worker has one that is not. */
const char *status_breaker(const struct status_view *view, const char *target);

/* ---------------------------------------------------------------------------------------------
 * status_verdict.c
 * ------------------------------------------------------------------------------------------ */

/*  X(LEVEL, name, mark, what it means) */
#define STATUS_LEVELS(X)                                                                           \
    X(SAFE, "safe", "\xe2\x9c\x93", "nothing to do")                                               \
    X(OFF, "off", "\xe2\x80\x93", "nobody is on unified")                                          \
    X(EARLY, "early", "\xe2\x80\xa6", "too few requests to tell")                                  \
    X(UNKNOWN, "unknown", "?", "nothing recent is known of the customers")                         \
    X(WARNING, "warning", "!", "hold, and look")                                                   \
    X(CRITICAL, "critical", "\xe2\x9c\x95", "act now")

enum status_level
{
#define X(level, name, mark, meaning) STATUS_##level,
    STATUS_LEVELS(X)
#undef X
};

const char *status_level_name(enum status_level level);
const char *status_level_mark(enum status_level level);

/* In plain words, each a sentence or empty. */
struct status_verdict
{
    enum status_level level;
    struct writer headline; /* whether customers are safe */
    struct writer detail;   /* why */
    struct writer proof;    /* what the requests of this step prove of unified, with its bounds */
    struct writer advice;   /* what to do */
};

/* Fills *verdict, for status_verdict_free(). */
void status_judge(const struct status_view *view, struct status_verdict *verdict);
void status_verdict_free(struct status_verdict *verdict);

/* ---------------------------------------------------------------------------------------------
 * The page, and JSON
 * ------------------------------------------------------------------------------------------ */

#define STATUS_REFRESH_S 5 /* the page fetches itself so often */

void status_write_page(struct writer *writer, const struct status_view *view);
void status_write_json(struct writer *writer, const struct status_view *view);
/* The icon of the browser's tab, in the colour of a level's name (NULL, unknown: grey). SVG. */
void status_write_icon(struct writer *writer, const char *level);

/* Begins a section: the element, for the caller to close, and its heading. */
void status_open_section(struct writer *writer, const struct status_section *section);
/* A section with its heading, and its rows as a table; without rows, what its `empty` says. */
void status_write_table(struct writer *writer, const struct status_view *view,
                        enum status_section_id section);
/* One value in words. */
void status_write_value(struct writer *writer, const struct status_view *view,
                        enum status_kind kind, const char *value);
/* Latency and error rate of both sides, minute by minute, with the limits as lines; and the same
 * as a table, which page.js draws with uPlot. */
void status_write_charts(struct writer *writer, const struct status_view *view);

/* ---------------------------------------------------------------------------------------------
 * assets.c
 * ------------------------------------------------------------------------------------------ */

struct asset
{
    const char *path; /* of the route */
    const char *type; /* Content-Type */
    const char *bytes;
    size_t length;
};

/* The asset of a route; NULL: none of that name. */
const struct asset *asset_find(const char *path);
/* Changes when any of them does: browsers keep what they fetched under another one. */
uint32_t assets_fingerprint(void);
/* Whether uPlot was built in (make UPLOT=...). */
bool assets_have_uplot(void);

/* ---------------------------------------------------------------------------------------------
 * status.c
 * ------------------------------------------------------------------------------------------ */

#define STATUS_FRESH_US 2000000 /* an answer is not asked for again so soon */

struct status;

/* The database is asked with these secrets, until status_offer(). NULL without memory. */
MUST_CHECK struct status *status_open(struct loop *loop, const struct options *options,
                                      struct secrets *secrets);
/* Secrets for the next connection. */
void status_offer(struct status *status, struct secrets *secrets);
/* Once a turn of the loop, before admin_turn(). */
void status_turn(struct status *status);
void status_close(struct status *status);

/* ---- status_viewers.c ---- */

/* What there is to show now; of what the database said it holds what lives until the next turn. */
void status_look(const struct admin *admin, struct status_view *view);
/* For a route (admin.c): whether the page can be written now; otherwise the answer is being waited
 * for, a second at most, and status_wait() takes the connection, suspended. */
bool status_ready(const struct admin *admin);
void status_wait(const struct admin *admin, struct MHD_Connection *connection);

/* status_gather.c: by the main thread. */
void status_gather(const struct admin *admin, struct status_forwarder *forwarder);

/* status_routes.c: routes (admin.c). */
void status_page_route(const struct admin *admin, struct admin_answer *answer);
void status_json_route(const struct admin *admin, struct admin_answer *answer);
void status_asset_route(const struct admin *admin, struct admin_answer *answer);
void status_icon_route(const struct admin *admin, struct admin_answer *answer);

#endif /* STATUS_H */
