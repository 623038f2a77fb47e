/* SPDX-License-Identifier: PostgreSQL
 *
 * clients.c: a worker's listener and the connections of its clients, from being accepted until they
 * are gone. libmicrohttpd's own time-out counts inactivity, and one byte a second is activity:
 * deadlines are ours, absolute, and end in client_cut().
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forwarder.h"

/* Memory that libmicrohttpd gives a connection for header, a piece of body, and the answer's
 * header, at least. It touches all of it: this is what an idle connection costs. */
#define CONNECTION_MEMORY ((size_t) 16 << 10)

/* Before 1.0 the strict parser only adds an answer of its own to a request without Host, with two
 * headers; the gate answers it with one. */
#define PARSER_STRICT (MHD_VERSION >= 0x01000000 ? 1 : 0)

/* While draining, how long a client that keeps its connection has for one more request, which it
 * may be sending already. The answer tells it that the connection closes. */
#define LAST_REQUEST_US 1000000

/* ---- connections ---- */

void client_cut(struct client *client)
{
    shutdown(client->fd, SHUT_RDWR);
    client->worker->http_due = true;
}

/* No complete header in time. */
static void client_expired(struct loop_timer *timer)
{
    client_cut(timer->owner);
}

void client_wait(struct client *client, uint64_t patience_us)
{
    struct worker *worker = client->worker;

    if (worker->draining)
        patience_us = worker->options->drain_timeout / 2 < LAST_REQUEST_US
                          ? worker->options->drain_timeout / 2
                          : LAST_REQUEST_US;
    loop_arm(&worker->loop, &client->timer, worker->loop.now_us + patience_us);
}

static struct client *client_begin(struct worker *worker, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct client *client = info == NULL ? NULL : calloc(1, sizeof *client);

    if (client == NULL || !loop_timer_open(&worker->loop, &client->timer, client_expired, client))
    {
        free(client);
        return NULL;
    }
    client->worker = worker;
    client->fd = info->connect_fd;
    client->next = worker->clients;
    if (client->next != NULL)
        client->next->previous = client;
    worker->clients = client;
    worker->client_count++;
    client_wait(client, worker->options->header_timeout);
    return client;
}

static void client_end(struct client *client)
{
    struct worker *worker = client->worker;

    worker->client_count--;
    loop_timer_close(&worker->loop, &client->timer);
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        worker->clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    free(client);
}

static void client_notified(void *context, struct MHD_Connection *connection, void **socket_context,
                            enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *socket_context = client_begin(context, connection);
    else if (*socket_context != NULL)
    {
        client_end(*socket_context);
        *socket_context = NULL;
    }
}

/* ---- start and end ---- */

__attribute__((format(printf, 2, 0))) static void
clients_complain(void *context, const char *format, va_list arguments)
{
    char text[512];
    struct log_line line;

    (void) context;
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\r\n")] = '\0';
    if (log_begin_limited(&line, LOG_DEBUG, EVENT_HTTP, "libmicrohttpd says"))
    {
        log_text(&line, "detail", text);
        log_end(&line);
    }
}

/* The path and the query are ours to decode (uri.c). */
static size_t clients_undecoded(void *context, struct MHD_Connection *connection, char *text)
{
    (void) context;
    (void) connection;
    return strlen(text);
}

static void clients_event(struct loop_source *source, uint32_t events)
{
    struct worker *worker = source->owner;

    (void) events;
    worker->http_due = true;
}

struct MHD_Daemon *clients_listen(struct worker *worker, int fd)
{
    size_t memory = worker->options->max_header * 2;
    const union MHD_DaemonInfo *info;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, receive_call,
        worker, MHD_OPTION_EXTERNAL_LOGGER, clients_complain, worker, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, worker->max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        memory > CONNECTION_MEMORY ? memory : CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT,
        PARSER_STRICT, MHD_OPTION_NOTIFY_CONNECTION, client_notified, worker,
        MHD_OPTION_NOTIFY_COMPLETED, receive_completed, worker, MHD_OPTION_URI_LOG_CALLBACK,
        receive_uri, worker, MHD_OPTION_UNESCAPE_CALLBACK, clients_undecoded, NULL,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);

    if (daemon == NULL)
        return NULL;
    info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    worker->http = (struct loop_source){
        .fd = info == NULL ? -1 : info->epoll_fd, .ready = clients_event, .owner = worker};
    if (loop_watch(&worker->loop, &worker->http, EPOLLIN))
        return daemon;
    MHD_stop_daemon(daemon);
    return NULL;
}

void clients_drain(struct worker *worker)
{
    MHD_socket fd = MHD_quiesce_daemon(worker->daemon);

    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    for (struct client *client = worker->clients; client != NULL; client = client->next)
        if (client->request == NULL)
            client_wait(client, 0);
    worker->http_due = true;
}

void clients_abort(struct worker *worker)
{
    for (struct client *client = worker->clients; client != NULL; client = client->next)
    {
        struct request *request = client->request;

        if (request != NULL && request->state == REQUEST_DECIDING)
        {
            decide_forget(request);
            reply_refuse(request, REFUSAL_STOPPING, 503, "the forwarder is stopping");
        }
        else if (request != NULL && request->state == REQUEST_DELIVERING)
            for (struct delivery *at = request->deliveries; at != NULL; at = at->next)
                delivery_abort(at, "the forwarder was stopped before the function answered");
        else if (request == NULL || request->state != REQUEST_REPLYING)
            client_cut(client);
    }
}
