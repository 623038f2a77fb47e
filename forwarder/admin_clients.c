/* SPDX-License-Identifier: PostgreSQL
 *
 * admin_clients.c: the connections of the admin listener. There are few of them, so that whoever
 * holds one and asks nothing, sends a byte a second or never reads could keep probes and scrapes
 * out. Nobody has one for longer than ADMIN_PATIENCE_US without being answered, nor, where most are
 * taken, for longer than ADMIN_CROWDED_US; libmicrohttpd's own time-out only counts inactivity.
 *
 * Who waits for the database is left alone: that ends by itself (status_viewers.c).
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "forwarder.h"

#define ADMIN_CROWD (ADMIN_CONNECTIONS_MOST * 3 / 4)
#define ADMIN_PATIENCE_US 10000000
#define ADMIN_CROWDED_US 500000
#define ADMIN_SWEEP_US 250000

struct admin_client
{
    struct admin_client *next, *previous;
    int fd;
    uint64_t since_us; /* it was accepted, or its answer was there */
    bool waits;        /* for the database, suspended */
};

static struct admin_client *admin_client_begin(struct admin *admin,
                                               struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct admin_client *client = info == NULL ? NULL : calloc(1, sizeof *client);

    if (client == NULL)
        return NULL;
    client->fd = info->connect_fd;
    client->since_us = loop_clock();
    client->next = admin->clients;
    if (client->next != NULL)
        client->next->previous = client;
    admin->clients = client;
    if (admin->client_count++ == 0)
        loop_arm(admin->loop, &admin->sweeper, client->since_us + ADMIN_SWEEP_US);
    return client;
}

static void admin_client_end(struct admin *admin, struct admin_client *client)
{
    admin->client_count--;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        admin->clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    free(client);
}

void admin_client_notified(void *context, struct MHD_Connection *connection, void **socket_context,
                           enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *socket_context = admin_client_begin(context, connection);
    else if (*socket_context != NULL)
    {
        admin_client_end(context, *socket_context);
        *socket_context = NULL;
    }
}

void admin_client_waits(struct MHD_Connection *connection, bool waits)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct admin_client *client = info == NULL ? NULL : info->socket_context;

    if (client == NULL)
        return;
    client->waits = waits;
    client->since_us = loop_clock();
}

/* Whatever has arrived is read first: a late turn of ours is not the client's fault. */
static void admin_sweep(struct loop_timer *timer)
{
    struct admin *admin = timer->owner;
    uint64_t patience, now;

    admin_turn(admin);
    patience = admin->client_count > ADMIN_CROWD ? ADMIN_CROWDED_US : ADMIN_PATIENCE_US;
    now = loop_clock();
    for (struct admin_client *client = admin->clients; client != NULL; client = client->next)
        if (!client->waits && now - client->since_us > patience)
            shutdown(client->fd, SHUT_RDWR);
    admin_turn(admin);
    if (admin->client_count > 0)
        loop_arm(admin->loop, timer, now + ADMIN_SWEEP_US);
}

bool admin_clients_open(struct admin *admin, struct loop *loop)
{
    admin->loop = loop;
    return loop_timer_open(loop, &admin->sweeper, admin_sweep, admin);
}
