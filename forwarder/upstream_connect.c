/* SPDX-License-Identifier: PostgreSQL
 *
 * upstream_connect.c: libcurl's multi interface on the worker's loop. libcurl makes connections,
 * and nothing else: it looks up the name, connects (all addresses, as they come), and speaks TLS.
 * Then its handle is done (CURLOPT_CONNECT_ONLY), and holds the connection as long as it stays in
 * the multi handle; for TLS, libcurl carries the bytes as well (exchange.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forwarder.h"

/* ---- libcurl's sockets and timer on the loop ---- */

/* A socket that libcurl waits for; no longer than until its connection is made. */
struct upstream_socket
{
    struct loop_source source;
    uint32_t wanted; /* events that libcurl waits for */
};

/* Has libcurl act. Without memory it can lose a connection that it makes: it does not say which
 * socket it waits for, and libcurl 7.88 divides by zero when it comes back to that socket. So it
 * does nothing more until upstream_turn() has ended the attempt. Returns how many connections are
 * being made. */
static size_t upstream_act(struct worker *worker, curl_socket_t fd, int events)
{
    int running = (int) worker->upstream_connecting;

    if (!worker->upstream_lost &&
        curl_multi_socket_action(worker->multi, fd, events, &running) != CURLM_OK)
        worker->upstream_lost = worker->upstream_due = true;
    return (size_t) running;
}

static void upstream_socket_ready(struct loop_source *source, uint32_t events)
{
    struct worker *worker = source->owner;
    int what = 0;

    if (events & (EPOLLIN | EPOLLHUP))
        what |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (events & EPOLLERR)
        what |= CURL_CSELECT_ERR;
    (void) upstream_act(worker, source->fd, what);
}

/* The entry of an fd, made when there is none; NULL when memory is used up. */
static struct upstream_socket *upstream_socket_of(struct worker *worker, int fd)
{
    size_t place = (size_t) fd;

    if (place >= worker->socket_count)
    {
        size_t count = place * 2 + 64;
        struct upstream_socket **sockets =
            realloc(worker->sockets, count * sizeof(*worker->sockets));

        if (sockets == NULL)
            return NULL;
        memset(sockets + worker->socket_count, 0,
               (count - worker->socket_count) * sizeof(*sockets));
        worker->sockets = sockets;
        worker->socket_count = count;
    }
    if (worker->sockets[place] == NULL)
    {
        struct upstream_socket *socket = calloc(1, sizeof *socket);

        if (socket == NULL)
            return NULL;
        socket->source =
            (struct loop_source){.fd = fd, .ready = upstream_socket_ready, .owner = worker};
        worker->sockets[place] = socket;
    }
    return worker->sockets[place];
}

/* An error from here would end everything that libcurl does: the one that it is about is lost,
 * which upstream_turn() looks after. */
static int upstream_wants(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    struct worker *worker = context;
    struct upstream_socket *socket = upstream_socket_of(worker, fd);
    struct upstream *upstream = NULL;
    bool heard = false;

    (void) unused;
    if (socket != NULL)
    {
        socket->wanted = what == CURL_POLL_IN      ? EPOLLIN
                         : what == CURL_POLL_OUT   ? EPOLLOUT
                         : what == CURL_POLL_INOUT ? EPOLLIN | EPOLLOUT
                                                   : 0;
        if (socket->wanted != 0)
            heard = loop_watch(&worker->loop, &socket->source, socket->wanted);
        else
            loop_forget(&worker->loop, &socket->source);
    }
    if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &upstream) == CURLE_OK && upstream != NULL)
        upstream->heard = heard;
    if (!heard && what != CURL_POLL_REMOVE)
        worker->upstream_lost = worker->upstream_due = true;
    return 0;
}

static int upstream_wakes(CURLM *multi, long milliseconds, void *context)
{
    struct worker *worker = context;

    (void) multi;
    if (milliseconds == 0)
        worker->upstream_due = true;
    else if (milliseconds < 0)
        loop_disarm(&worker->loop, &worker->upstream_timer);
    else
        loop_arm(&worker->loop, &worker->upstream_timer,
                 worker->loop.now_us + (uint64_t) milliseconds * 1000);
    return 0;
}

static void upstream_timer_expired(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;

    worker->upstream_due = true;
}

/* ---- its sockets ---- */

static curl_socket_t upstream_open_socket(void *context, curlsocktype purpose,
                                          struct curl_sockaddr *address)
{
    struct upstream *upstream = context;
    struct upstream_socket *socket_entry;
    const char *refused = limits_refused_address(&address->addr);
    int fd;

    (void) purpose;
    if (refused != NULL)
    {
        upstream->refused = refused;
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    upstream->ours = fd < 0 && errno != EAFNOSUPPORT;
    if (fd < 0)
        return CURL_SOCKET_BAD;
    socket_entry = upstream_socket_of(upstream->worker, fd);
    if (socket_entry == NULL)
    {
        close(fd);
        upstream->ours = true;
        return CURL_SOCKET_BAD;
    }
    socket_entry->source.watched = 0; /* a new socket under an old number */
    socket_entry->wanted = 0;
    return fd;
}

static int upstream_close_socket(void *context, curl_socket_t fd)
{
    struct worker *worker = context;

    if ((size_t) fd < worker->socket_count && worker->sockets[fd] != NULL)
        loop_forget(&worker->loop, &worker->sockets[fd]->source);
    return close(fd);
}

/* ---- connections ---- */

bool upstream_configure(struct upstream *upstream)
{
    struct worker *worker = upstream->worker;
    CURL *easy = upstream->easy;
    CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
    if (code == CURLE_OK)                                                                          \
    code = curl_easy_setopt(easy, option, value)
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* or it waits for a thread that waits for a name server */
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1); /* all that TLS offers the function */
    SET(CURLOPT_BUFFERSIZE, (long) UPSTREAM_BUFFER);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long) (worker->options->connect_timeout / 1000));
    SET(CURLOPT_ERRORBUFFER, upstream->error);
    SET(CURLOPT_PRIVATE, upstream);
    SET(CURLOPT_OPENSOCKETFUNCTION, upstream_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, upstream);
    SET(CURLOPT_CLOSESOCKETFUNCTION, upstream_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, worker);
#undef SET
    return code == CURLE_OK;
}

bool upstream_connect(struct upstream *upstream)
{
    struct worker *worker = upstream->worker;
    const char *url = upstream->origin->url;

    if (curl_easy_setopt(upstream->easy, CURLOPT_URL, url) != CURLE_OK ||
        curl_multi_add_handle(worker->multi, upstream->easy) != CURLM_OK)
        return false;
    upstream->state = UPSTREAM_CONNECTING;
    upstream->heard = false;
    worker->upstream_connecting++;
    return true;
}

void upstream_disconnect(struct upstream *upstream)
{
    if (upstream->state == UPSTREAM_CONNECTING)
        upstream->worker->upstream_connecting--;
    curl_multi_remove_handle(upstream->worker->multi, upstream->easy);
    upstream->state = UPSTREAM_SPARE;
}

/* ---- the turn ---- */

/* Ends the attempts of connections that nobody waits for: one of them was lost. */
static void upstream_end_lost(struct worker *worker)
{
    worker->upstream_lost = false;
    for (struct client *client = worker->clients; client != NULL; client = client->next)
    {
        struct delivery *at = client->request == NULL ? NULL : client->request->deliveries;

        for (; at != NULL; at = at->next)
        {
            struct upstream *upstream = at->attempt.upstream;

            if (upstream != NULL && upstream->state == UPSTREAM_CONNECTING && !upstream->heard)
                forward_finished(upstream, CURLE_OUT_OF_MEMORY);
        }
    }
}

void upstream_turn(struct worker *worker)
{
    CURLMsg *message;
    int left;

    while (worker->upstream_connecting > 0 &&
           (message = curl_multi_info_read(worker->multi, &left)) != NULL)
    {
        struct upstream *upstream = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &upstream) != CURLE_OK)
            continue;
        worker->upstream_connecting--;
        upstream->state = UPSTREAM_BUSY;
        if (code == CURLE_OK)
            upstream_connected(upstream);
        else
            forward_finished(upstream, code);
    }
    if (worker->upstream_lost)
        upstream_end_lost(worker);
}

void upstream_start(struct worker *worker)
{
    size_t running = worker->upstream_connecting;

    for (int rounds = 0; worker->upstream_due && !worker->upstream_lost && rounds < 4; rounds++)
    {
        worker->upstream_due = false;
        running = upstream_act(worker, CURL_SOCKET_TIMEOUT, 0);
    }
    /* A connection can be made, or fail, right here, and no event will tell. */
    if (running < worker->upstream_connecting)
        worker->upstream_due = true;
}

/* ---- open and close ---- */

bool upstream_open_curl(struct worker *worker)
{
    CURLM *multi = curl_multi_init();

    worker->multi = multi;
    return multi != NULL &&
           loop_timer_open(&worker->loop, &worker->upstream_timer, upstream_timer_expired,
                           worker) &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, upstream_wants) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, worker) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, upstream_wakes) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERDATA, worker) == CURLM_OK;
}

void upstream_close_curl(struct worker *worker)
{
    curl_multi_cleanup(worker->multi);
    worker->multi = NULL;
    loop_timer_close(&worker->loop, &worker->upstream_timer);
    for (size_t i = 0; i < worker->socket_count; i++)
        free(worker->sockets[i]);
    free(worker->sockets);
    worker->sockets = NULL;
    worker->socket_count = 0;
}
