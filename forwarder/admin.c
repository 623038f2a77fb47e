/* SPDX-License-Identifier: PostgreSQL
 *
 * admin.c: the admin listener, on the main thread, and its routes. It answers from what the workers
 * publish, so that it answers even when they do not.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forwarder.h"
#include "status.h"

#define STUCK_US 5000000

const char *admin_live(const struct admin *admin)
{
    uint64_t now = loop_clock();

    for (size_t i = 0; i < admin->worker_count; i++)
    {
        uint64_t turned = atomic_load(&admin->workers[i].status.turned_us);

        if (!atomic_load(&admin->workers[i].ended) && now > turned && now - turned > STUCK_US)
            return "a worker is stuck";
    }
    return NULL;
}

const char *admin_ready(const struct admin *admin)
{
    const char *problem = admin_live(admin);

    if (admin->draining)
        return "stopping";
    for (size_t i = 0; problem == NULL && i < admin->worker_count; i++)
    {
        const struct worker_status *status = &admin->workers[i].status;

        if (!atomic_load(&status->serving))
            problem = "starting";
        else if (!atomic_load(&status->can_spool) && !atomic_load(&status->can_log))
            problem = "neither the spool nor the database takes decisions";
    }
    return problem;
}

static void admin_say(struct admin_answer *answer, const char *problem)
{
    answer->status = problem == NULL ? 200 : 503;
    writer_print(&answer->body, "%s\n", problem == NULL ? "ok" : problem);
}

static void admin_livez(const struct admin *admin, struct admin_answer *answer)
{
    admin_say(answer, admin_live(admin));
}

static void admin_readyz(const struct admin *admin, struct admin_answer *answer)
{
    admin_say(answer, admin_ready(admin));
}

/* ---- routes ---- */

static const struct admin_route ADMIN_ROUTES[] = {
    {"/livez", admin_livez, "200 while every worker turns; 503 when one is stuck: restart", NULL,
     NULL},
    {"/readyz", admin_readyz,
     "200 while webhooks are taken, be it with the database down; 503 with the reason otherwise",
     NULL, NULL},
    {"/status", status_page_route, "whether customers are safe, as a page", status_ready,
     status_wait},
    {"/status.json", status_json_route, "the same as JSON", status_ready, status_wait},
    {"/status/page.css", status_asset_route, NULL, NULL, NULL},
    {"/status/page.js", status_asset_route, NULL, NULL, NULL},
    {"/status/uplot.js", status_asset_route, NULL, NULL, NULL},
    {"/status/uplot.css", status_asset_route, NULL, NULL, NULL},
    {"/status/uplot-licence.txt", status_asset_route, NULL, NULL, NULL},
    {"/status/icon.svg", status_icon_route, NULL, NULL, NULL},
    {"/metrics", metrics_route, "numbers for Prometheus", NULL, NULL},
};

#define ROUTE_COUNT (sizeof ADMIN_ROUTES / sizeof *ADMIN_ROUTES)

void admin_header(struct admin_answer *answer, const char *name, const char *value)
{
    if (answer->header_count == ADMIN_HEADERS_MOST)
        abort();
    answer->headers[answer->header_count].name = name;
    answer->headers[answer->header_count++].value = value;
}

static void admin_not_found(struct admin_answer *answer)
{
    answer->status = 404;
    writer_string(&answer->body, "there is nothing of this name; there is\n");
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (ADMIN_ROUTES[i].what != NULL)
            writer_print(&answer->body, "  %-14s %s\n", ADMIN_ROUTES[i].path, ADMIN_ROUTES[i].what);
}

static void admin_refuse_method(struct admin_answer *answer)
{
    answer->status = 405;
    admin_header(answer, "Allow", "GET, HEAD");
    writer_string(&answer->body, "only GET and HEAD: nothing is changed here\n");
}

/* NULL: there is none. */
static const struct admin_route *admin_find(const char *path)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (strcmp(ADMIN_ROUTES[i].path, path) == 0)
            return &ADMIN_ROUTES[i];
    return NULL;
}

static bool admin_only_looks(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static void admin_route(const struct admin *admin, struct admin_answer *answer,
                        const struct admin_route *route, const char *method)
{
    if (route == NULL)
        admin_not_found(answer);
    else if (!admin_only_looks(method))
        admin_refuse_method(answer);
    else
        route->handler(admin, answer);
}

/* The first time that a request is seen: whether it waits for the answer to be there. */
static bool admin_waits(const struct admin *admin, struct MHD_Connection *connection,
                        const struct admin_route *route, const char *method, void **seen)
{
    if (*seen != NULL || route == NULL || route->ready == NULL || !admin_only_looks(method))
        return false;
    *seen = (void *) route;
    if (route->ready(admin))
        return false;
    admin_client_waits(connection, true);
    route->wait(admin, connection);
    return true;
}

/* ---- the answer ---- */

static bool admin_add_headers(struct MHD_Response *response, const struct admin_answer *answer)
{
    bool good = MHD_add_response_header(response, "Content-Type", answer->type) == MHD_YES &&
                MHD_add_response_header(response, "Cache-Control", answer->cache) == MHD_YES &&
                MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES;

    for (size_t i = 0; good && i < answer->header_count; i++)
        good = MHD_add_response_header(response, answer->headers[i].name,
                                       answer->headers[i].value) == MHD_YES;
    return good;
}

/* Hands the answer over, and its bytes with it. Without memory the connection is closed. */
static enum MHD_Result admin_queue(struct admin_answer *answer)
{
    struct writer *body = &answer->body;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->length, body->bytes, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result = MHD_NO;

    if (response == NULL)
    {
        writer_free(body);
        return MHD_NO;
    }
    if (admin_add_headers(response, answer))
        result = MHD_queue_response(answer->connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result admin_call(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *length, void **request_context)
{
    const struct admin_route *route = admin_find(url);
    struct admin_answer answer = {.connection = connection,
                                  .path = url,
                                  .status = 200,
                                  .type = "text/plain; charset=utf-8",
                                  .cache = "no-store"};

    (void) version;
    (void) bytes;
    (void) length;
    if (admin_waits(context, connection, route, method, request_context))
        return MHD_YES;
    admin_client_waits(connection, false);
    admin_route(context, &answer, route, method);
    if (answer.body.failed)
    {
        writer_free(&answer.body);
        answer.status = 500;
    }
    return admin_queue(&answer);
}

/* ---- on the main thread's loop ---- */

static void admin_event(struct loop_source *source, uint32_t events)
{
    (void) events;
    admin_turn(source->owner);
}

bool admin_open(struct admin *admin, struct loop *loop, int fd)
{
    const union MHD_DaemonInfo *info;

    if (!admin_clients_open(admin, loop))
        return false;
    admin->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                                     admin_call, admin, MHD_OPTION_LISTEN_SOCKET, fd,
                                     MHD_OPTION_CONNECTION_LIMIT, ADMIN_CONNECTIONS_MOST,
                                     MHD_OPTION_NOTIFY_CONNECTION, admin_client_notified, admin,
                                     MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (admin->daemon == NULL)
        return false;
    info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    admin->source = (struct loop_source){
        .fd = info == NULL ? -1 : info->epoll_fd, .ready = admin_event, .owner = admin};
    return loop_watch(loop, &admin->source, EPOLLIN);
}

void admin_turn(struct admin *admin)
{
    MHD_UNSIGNED_LONG_LONG timeout;

    do
    {
        if (MHD_run(admin->daemon) != MHD_YES)
            return;
    } while (MHD_get_timeout(admin->daemon, &timeout) == MHD_YES && timeout == 0);
}

void admin_close(struct admin *admin)
{
    MHD_socket fd;

    if (admin->daemon == NULL)
        return;
    /* Only let go of the listener: another process may have it open, too. */
    fd = MHD_quiesce_daemon(admin->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    MHD_stop_daemon(admin->daemon);
    admin->daemon = NULL;
    loop_timer_close(admin->loop, &admin->sweeper);
}
