/* SPDX-License-Identifier: PostgreSQL
 *
 * admin.h: the admin listener and its routes. A route is a path and a function that writes the
 * answer; ADMIN_ROUTES (admin.c) has them all. The main thread runs them: what they tell of a
 * worker is what it publishes, so that they answer even when it does not.
 */
#ifndef ADMIN_H
#define ADMIN_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "writer.h"

struct admin_client;
struct status;
struct options;
struct spool_directory;
struct worker;

/* So many connections at once. */
#define ADMIN_CONNECTIONS_MOST 128u

struct admin
{
    struct MHD_Daemon *daemon;
    struct loop_source source;
    struct loop *loop;
    struct loop_timer sweeper; /* of clients that keep a connection; armed while there are any */
    struct admin_client *clients;
    size_t client_count;
    struct worker *workers;
    size_t worker_count;
    struct status *status; /* of the status page */
    const struct options *options;
    const struct spool_directory *directory;
    int64_t started_us; /* wall clock */
    bool draining;
};

#define ADMIN_HEADERS_MOST 8

/* What a route says. GET and HEAD alike: libmicrohttpd leaves the body out. */
struct admin_answer
{
    struct MHD_Connection *connection; /* who asks, for its query and header */
    const char *path;                  /* of the route */
    unsigned status;                   /* 200 unless the route sets another */
    const char *type;                  /* Content-Type, a literal; text/plain unless set */
    const char *cache;                 /* Cache-Control, a literal; no-store unless set */
    struct writer body;                /* when it has failed, the answer is 500 */
    struct
    {
        const char *name, *value; /* literals, or alive until the route returns */
    } headers[ADMIN_HEADERS_MOST];
    size_t header_count;
};

typedef void (*admin_handler)(const struct admin *admin, struct admin_answer *answer);

struct admin_route
{
    const char *path;
    admin_handler handler;
    const char *what; /* it tells, for who asks for another path; NULL: not told of */
    /* Whether the handler can answer now; otherwise `wait` takes the connection, suspends it and
     * resumes it. NULL: it can always. */
    bool (*ready)(const struct admin *admin);
    void (*wait)(const struct admin *admin, struct MHD_Connection *connection);
};

MUST_CHECK bool admin_open(struct admin *admin, struct loop *loop, int fd);
void admin_turn(struct admin *admin);
/* NULL while every worker turns, else what is wrong. */
const char *admin_live(const struct admin *admin);
/* NULL while webhooks are taken, else why not. */
const char *admin_ready(const struct admin *admin);
void admin_close(struct admin *admin);

/* admin_clients.c */
MUST_CHECK bool admin_clients_open(struct admin *admin, struct loop *loop);
/* For libmicrohttpd: a connection came, or went. `context` is the struct admin. */
void admin_client_notified(void *context, struct MHD_Connection *connection, void **socket_context,
                           enum MHD_ConnectionNotificationCode code);
/* Whether it waits for an answer to be there, suspended; from then on its time counts anew. */
void admin_client_waits(struct MHD_Connection *connection, bool waits);

/* A header field beside Content-Type, Cache-Control and what HTTP itself needs; at most
 * ADMIN_HEADERS_MOST of them. */
void admin_header(struct admin_answer *answer, const char *name, const char *value);

#endif /* ADMIN_H */
