/* SPDX-License-Identifier: PostgreSQL
 *
 * admin.c: the admin listener, on the main thread. It answers from what the workers publish, so
 * that it answers even when they do not.
 *
 *     /livez    200 while every worker turns; 503 when one is stuck: restart
 *     /readyz   200 while webhooks are taken, be it with the database down; 503 with the reason
 *               otherwise
 */
#include <string.h>
#include <unistd.h>

#include "forwarder.h"

#define STUCK_US 5000000

const char *admin_live(const struct admin *admin)
{
    uint64_t now = loop_clock();

    for (size_t i = 0; i < admin->worker_count; i++)
    {
        uint64_t turned = atomic_load(&admin->workers[i].status.turned_us);

        if (!atomic_load(&admin->workers[i].ended) && now > turned && now - turned > STUCK_US)
            return "a worker is stuck\n";
    }
    return NULL;
}

static const char *admin_ready(const struct admin *admin)
{
    const char *problem = admin_live(admin);

    if (admin->draining)
        return "stopping\n";
    for (size_t i = 0; problem == NULL && i < admin->worker_count; i++)
    {
        const struct worker_status *status = &admin->workers[i].status;

        if (!atomic_load(&status->serving))
            problem = "starting\n";
        else if (!atomic_load(&status->can_spool) && !atomic_load(&status->can_log))
            problem = "neither the spool nor the database takes decisions\n";
    }
    return problem;
}

static enum MHD_Result admin_answer(struct MHD_Connection *connection, unsigned status,
                                    const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *) text, MHD_RESPMEM_PERSISTENT); /* a literal */
    enum MHD_Result result = MHD_NO;

    if (response == NULL)
        return MHD_NO;
    if (MHD_add_response_header(response, "Content-Type", "text/plain") == MHD_YES &&
        MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result admin_call(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *length, void **request_context)
{
    struct admin *admin = context;
    const char *problem;

    (void) version;
    (void) bytes;
    (void) length;
    (void) request_context;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return admin_answer(connection, 405, "only GET\n");
    if (strcmp(url, "/livez") == 0)
        problem = admin_live(admin);
    else if (strcmp(url, "/readyz") == 0)
        problem = admin_ready(admin);
    else
        return admin_answer(connection, 404, "/livez, /readyz\n");
    return admin_answer(connection, problem == NULL ? 200 : 503,
                        problem == NULL ? "ok\n" : problem);
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

    admin->daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, admin_call, admin, MHD_OPTION_LISTEN_SOCKET,
                         fd, MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_CONNECTION_LIMIT, 64u,
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
}
