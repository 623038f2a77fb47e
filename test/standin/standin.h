/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * standin.h: what the files of the stand-in share. standin.c tells how it works as a whole.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum
{
    MAX_NAMES = 256,      /* distinct function names that are counted apart */
    RECENT_LIMIT = 4096,  /* requests whose headers and hash are remembered */
    RECENT_DEFAULT = 20,  /* requests that a report shows unless told otherwise */
    MAX_IDS_PER_BODY = 64 /* message ids that are taken from one body */
};

/* How a function answers. `times` counts the answers left (-1: for ever); at 0 it is plain again.
 */
struct behaviour
{
    int delay_ms;
    int status;
    bool reset;       /* read the whole request, then abort the connection with RST */
    bool truncate;    /* announce the whole body, send half of it, close */
    bool close_after; /* answer, then close the connection */
    long times;
    long every;         /* only one request of so many, the others as if nothing had been told */
    long passed_over;   /* requests since the last of those */
    char *body;         /* NULL: a small JSON object that names the function */
    char *file;         /* the body is this file's bytes instead, or NULL */
    char *raw;          /* this file's bytes are all of the answer, header included, or NULL */
    char *content_type; /* NULL: application/json */
    char *header_name;  /* one more header of the answer, or NULL */
    char *header_value;
};

struct function
{
    char name[128];
    uint64_t requests, bytes, resets;
    struct behaviour behaviour;
};

/* A set of strings with a count each: open addressing, grown at half full. */
struct counted
{
    struct counted_entry
    {
        char *key;
        uint64_t count;
        const char *function; /* where it was seen last */
        char sha256[65];
    } * entries;
    size_t size, used;
    uint64_t repeated; /* keys seen more than once */
};

/* One request as it was received. */
struct seen
{
    uint64_t number; /* 1, 2, 3... since the last reset */
    const char *function;
    char method[16];
    char *path;
    char *headers; /* JSON: [["Name","value"], ...] in the order of arrival */
    char *body;    /* only with --keep-bodies */
    size_t size;
    char sha256[65];
};

/* A request on its way through libmicrohttpd. */
struct request
{
    struct MHD_Connection *connection;
    char *body;
    size_t size, room;
    bool recorded;
    struct behaviour answer; /* what was in force when the body was complete; owns its strings */
    struct function *function;
    uint64_t due_ms;            /* while suspended: when to go on */
    struct request *next_timer; /* while suspended: ordered by due_ms */
};

struct text
{
    char *bytes;
    size_t length, room;
};
/* ---- memory.c; behind `lock` ---- */

extern pthread_mutex_t lock;
extern struct function functions[MAX_NAMES];
extern size_t function_count;
extern struct behaviour
    everywhere; /* told without a name: holds where a function was told nothing */
extern struct counted messages, correlations, bodies;
extern struct seen recent[RECENT_LIMIT]; /* request n is at n modulo RECENT_LIMIT */
extern uint64_t total_requests, incomplete_requests;
extern bool count_only, keep_bodies; /* options */
extern FILE *journal;                /* option; NULL: none is kept */

struct function *function_named(const char *path);
void behaviour_free(struct behaviour *behaviour);
void counted_clear(struct counted *set);
void seen_clear(struct seen *seen);
/* Takes `lock` itself. */
void record(struct request *request, const char *method, const char *path);

/* ---- answer.c ---- */

extern pthread_cond_t timer_wake;                /* made by main: its clock is the monotonic one */
extern struct MHD_Connection **open_connections; /* behind `lock`; to be cut when refusing */
extern size_t open_count;

void *timer_thread(void *unused);
void timers_stop(void);
enum MHD_Result functions_handler(void *unused, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state);
void request_done(void *unused, struct MHD_Connection *connection, void **state,
                  enum MHD_RequestTerminationCode why);
void connection_changed(void *unused, struct MHD_Connection *connection, void **state,
                        enum MHD_ConnectionNotificationCode what);

/* ---- control.c ---- */

enum MHD_Result control_handler(void *unused, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **state);

/* ---- standin.c ---- */

extern int control_port;
extern int wake_pipe[2]; /* a byte here makes the accepting loop look at `refusing` */
extern bool refusing;    /* behind `lock`; wanted: the accepting loop obeys */

/* ---- text.c ---- */

/* Exits when there is no memory. */
void *must(void *pointer);
char *copy_or_null(const char *string);
void text_bytes(struct text *text, const char *bytes, size_t length);
__attribute__((format(printf, 2, 3))) void text_print(struct text *text, const char *format, ...);
void text_json(struct text *text, const char *string);

#endif /* STANDIN_H */
