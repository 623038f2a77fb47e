/* SPDX-License-Identifier: PostgreSQL
 *
 * connector.c: opens one connection to PostgreSQL on a thread of its own, since libpq resolves
 * names with getaddrinfo(), which waits, and hands it over to the loop.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "database.h"

#define CONNECT_SECONDS "3" /* unless the connection string says otherwise */
#define CONNECTOR_STACK (512 << 10)

/* Owned by the thread and the loop together; whoever leaves last frees it. */
struct database_connector
{
    _Atomic int owners;
    int event_fd;
    char *url, *session;        /* its own: the options may be gone before the thread is */
    char name[64];              /* what pg_stat_activity says, unless the URL says otherwise */
    PGconn *_Atomic connection; /* the loop takes it by putting NULL there */
};

static void connector_free(struct database_connector *connector)
{
    if (connector->event_fd >= 0)
        close(connector->event_fd);
    if (connector->url != NULL)
        explicit_bzero(connector->url, strlen(connector->url));
    free(connector->url);
    free(connector->session);
    free(connector);
}

void connector_leave(struct database_connector *connector)
{
    if (atomic_fetch_sub(&connector->owners, 1) > 1)
        return;
    PQfinish(atomic_load(&connector->connection));
    connector_free(connector);
}

/* Settings before dbname are defaults that the connection string overrides. */
PGconn *connector_connect(const char *url, const char *session, const char *name)
{
    const char *const names[] = {"connect_timeout",
                                 "target_session_attrs",
                                 "keepalives_idle",
                                 "keepalives_interval",
                                 "keepalives_count",
                                 "tcp_user_timeout",
                                 "fallback_application_name",
                                 url != NULL ? "dbname" : NULL,
                                 NULL};
    const char *const values[] = {CONNECT_SECONDS, session, "10", "5", "3",
                                  "20000",         name,    url,  NULL};

    return PQconnectdbParams(names, values, 1);
}

static void *connector_run(void *argument)
{
    struct database_connector *connector = argument;
    uint64_t one = 1;

    atomic_store(&connector->connection,
                 connector_connect(connector->url, connector->session, connector->name));
    while (write(connector->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    connector_leave(connector);
    return NULL;
}

struct database_connector *connector_start(const char *url, const char *session, const char *link)
{
    struct database_connector *connector = calloc(1, sizeof *connector);
    pthread_attr_t attributes;
    pthread_t thread;
    int failed;

    if (connector == NULL)
        return NULL;
    atomic_init(&connector->owners, 2);
    connector->url = url == NULL ? NULL : strdup(url);
    connector->session = strdup(session);
    snprintf(connector->name, sizeof connector->name, "webhook-forwarder %s", link);
    connector->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    failed = connector->event_fd < 0 || connector->session == NULL ||
             (url != NULL && connector->url == NULL) || pthread_attr_init(&attributes) != 0;
    if (!failed)
    {
        failed = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0 ||
                 pthread_attr_setstacksize(&attributes, CONNECTOR_STACK) != 0 ||
                 pthread_create(&thread, &attributes, connector_run, connector) != 0;
        pthread_attr_destroy(&attributes);
    }
    if (!failed)
        return connector;
    connector_free(connector);
    return NULL;
}

int connector_fd(const struct database_connector *connector)
{
    return connector->event_fd;
}

PGconn *connector_take(struct database_connector *connector)
{
    PGconn *connection = atomic_exchange(&connector->connection, NULL);

    connector_leave(connector);
    return connection;
}
