/* SPDX-License-Identifier: PostgreSQL
 *
 * upstream.c: libcurl's multi interface on the worker's loop, and its handles.
 *
 * A POST never reaches a function twice by our doing. libcurl sends a request again, silently, when
 * a connection it had kept dies before the first byte of the answer; the second call of
 * upstream_before_sending() for one attempt forbids that. What matters most when an attempt fails
 * is whether a byte of it has left: upstream_has_sent().
 *
 * libcurl's sockets stay in the epoll set between two requests, so that a kept connection costs no
 * system call. An event on a socket that libcurl does not wait for takes it out of the set. Sockets
 * that libcurl opens for itself (name resolution) are not kept.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "forwarder.h"

#define UPSTREAM_BUFFER 16384L

/* ---- libcurl's sockets and timer on the loop ---- */

struct upstream_socket
{
    struct loop_source source;
    uint32_t wanted; /* events that libcurl waits for */
    bool kept;       /* stays in the epoll set between requests */
};

/* Has libcurl act; returns how many transfers are under way. Without memory it can lose a transfer:
 * it does not say which socket it waits for, and libcurl 7.88 divides by zero when it comes back to
 * that socket. So it does nothing more until upstream_turn() has ended the transfer. */
static size_t upstream_act(struct worker *worker, curl_socket_t fd, int events)
{
    int running = (int) worker->upstream_taken;

    if (!worker->upstream_lost &&
        curl_multi_socket_action(worker->multi, fd, events, &running) != CURLM_OK)
        worker->upstream_lost = worker->upstream_due = true;
    return (size_t) running;
}

static void upstream_event(struct loop_source *source, uint32_t events)
{
    struct worker *worker = source->owner;
    struct upstream_socket *socket = (struct upstream_socket *) source;
    int what = 0;

    if (socket->wanted == 0)
    {
        loop_forget(&worker->loop, source);
        return;
    }
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
        socket->source = (struct loop_source){.fd = fd, .ready = upstream_event, .owner = worker};
        worker->sockets[place] = socket;
    }
    return worker->sockets[place];
}

/* An error from here would end every transfer of the worker: the one that it is about is lost,
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
        else if (!socket->kept)
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

/* ---- callbacks of one transfer ---- */

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
    socket_entry = upstream_socket_of(upstream->delivery->worker, fd);
    if (socket_entry == NULL)
    {
        close(fd);
        upstream->ours = true;
        return CURL_SOCKET_BAD;
    }
    socket_entry->source.watched = 0; /* a new socket under an old number */
    socket_entry->wanted = 0;
    socket_entry->kept = true;
    return fd;
}

static int upstream_close_socket(void *context, curl_socket_t fd)
{
    struct worker *worker = context;

    if ((size_t) fd < worker->socket_count && worker->sockets[fd] != NULL)
    {
        loop_forget(&worker->loop, &worker->sockets[fd]->source);
        worker->sockets[fd]->kept = false;
    }
    return close(fd);
}

static int upstream_before_sending(void *context, char *peer, char *local, int peer_port,
                                   int local_port)
{
    struct upstream *upstream = context;

    (void) peer;
    (void) local;
    (void) peer_port;
    (void) local_port;
    return ++upstream->sent == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

bool upstream_has_sent(const struct upstream *upstream)
{
    long written;

    return upstream->sent > 1 ||
           (upstream->sent == 1 &&
            (curl_easy_getinfo(upstream->easy, CURLINFO_REQUEST_SIZE, &written) != CURLE_OK ||
             written > 0));
}

static size_t upstream_body(char *bytes, size_t size, size_t count, void *context)
{
    struct upstream *upstream = context;
    struct worker *worker = upstream->delivery->worker;
    struct buffer *body = &upstream->delivery->answer.body;

    (void) size;
    if (body->length + count > worker->options->max_reply)
        upstream->refused = "the answer is longer than --max-reply";
    else if (!buffer_append(worker, body, bytes, count))
    {
        upstream->refused = "--max-buffer has no room for the answer";
        upstream->ours = true;
    }
    else
        return count;
    return 0;
}

/* Copies the value of `line` when it is the field `name`; false when it is another one. */
static bool take_field(const char *line, size_t length, const char *name, char *value, size_t size)
{
    size_t name_length = strlen(name);

    if (length <= name_length || line[name_length] != ':' ||
        strncasecmp(line, name, name_length) != 0)
        return false;
    line += name_length + 1;
    length -= name_length + 1;
    while (length > 0 && (*line == ' ' || *line == '\t'))
        line++, length--;
    while (length > 0 && (unsigned char) line[length - 1] <= ' ')
        length--;
    if (length >= size)
        length = 0; /* unusable; better none than half */
    memcpy(value, line, length);
    value[length] = '\0';
    return true;
}

/* Every header line of the answer, interim answers (100, 103) included; and the lines of a trailer,
 * whose fields must not be taken for the header's (RFC 9110 6.5.1). */
static size_t upstream_header(char *line, size_t size, size_t count, void *context)
{
    struct upstream *upstream = context;
    struct answer *answer = &upstream->delivery->answer;
    char length[32];

    (void) size;
    if (count >= 5 && memcmp(line, "HTTP/", 5) == 0)
    {
        answer->content_type[0] = answer->content_encoding[0] = '\0';
        upstream->has_length = upstream->is_chunked = upstream->header_over = false;
    }
    else if (upstream->header_over)
        return count;
    else if (*line == '\r' || *line == '\n')
        upstream->header_over = true;
    else if (take_field(line, count, "Content-Length", length, sizeof length))
    {
        if (*length == '\0' || strspn(length, "0123456789") != strlen(length))
        {
            upstream->refused = "the answer's length is no number";
            return 0;
        }
        if (upstream->has_length && upstream->length != atoll(length))
        {
            upstream->refused = "the answer has two lengths";
            return 0;
        }
        upstream->has_length = true;
        upstream->length = atoll(length);
    }
    else if (take_field(line, count, "Transfer-Encoding", length, sizeof length))
        upstream->is_chunked = true;
    else if (!take_field(line, count, "Content-Type", answer->content_type,
                         sizeof answer->content_type))
        (void) take_field(line, count, "Content-Encoding", answer->content_encoding,
                          sizeof answer->content_encoding);
    if (!upstream->has_length || !upstream->is_chunked)
        return count;
    upstream->refused = "the answer has a length and an encoding";
    return 0;
}

/* ---- the pool of handles ---- */

/* What never changes from one attempt to the next. */
static bool upstream_configure(struct upstream *upstream, struct worker *worker)
{
    CURL *easy = upstream->easy;
    CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
    if (code == CURLE_OK)                                                                          \
    code = curl_easy_setopt(easy, option, value)
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* or it waits for a thread that waits for a name server */
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_BUFFERSIZE, UPSTREAM_BUFFER);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_MAXAGE_CONN, IDLE_UPSTREAM_SECONDS);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long) (worker->options->connect_timeout / 1000));
    SET(CURLOPT_ERRORBUFFER, upstream->error);
    SET(CURLOPT_PRIVATE, upstream);
    SET(CURLOPT_PREREQFUNCTION, upstream_before_sending);
    SET(CURLOPT_PREREQDATA, upstream);
    SET(CURLOPT_OPENSOCKETFUNCTION, upstream_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, upstream);
    SET(CURLOPT_CLOSESOCKETFUNCTION, upstream_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, worker);
    SET(CURLOPT_WRITEFUNCTION, upstream_body);
    SET(CURLOPT_WRITEDATA, upstream);
    SET(CURLOPT_HEADERFUNCTION, upstream_header);
    SET(CURLOPT_HEADERDATA, upstream);
#undef SET
    return code == CURLE_OK;
}

struct upstream *upstream_take(struct delivery *delivery)
{
    struct worker *worker = delivery->worker;
    struct upstream *upstream = worker->upstream_pool;

    if (upstream != NULL)
        worker->upstream_pool = upstream->next;
    else if ((upstream = calloc(1, sizeof *upstream)) == NULL ||
             (upstream->easy = curl_easy_init()) == NULL || !upstream_configure(upstream, worker))
    {
        if (upstream != NULL)
            curl_easy_cleanup(upstream->easy);
        free(upstream);
        return NULL;
    }
    worker->upstream_taken++;
    upstream->delivery = delivery;
    upstream->sent = 0;
    upstream->heard = false;
    upstream->refused = NULL;
    upstream->ours = false;
    upstream->has_length = upstream->is_chunked = upstream->header_over = false;
    upstream->error[0] = '\0';
    delivery->answer.content_type[0] = delivery->answer.content_encoding[0] = '\0';
    return upstream;
}

void upstream_give_back(struct delivery *delivery)
{
    struct worker *worker = delivery->worker;
    struct upstream *upstream = delivery->attempt.upstream;

    if (upstream == NULL)
        return;
    curl_multi_remove_handle(worker->multi, upstream->easy);
    upstream_unpoint(upstream);
    upstream->delivery = NULL;
    upstream->next = worker->upstream_pool;
    worker->upstream_pool = upstream;
    worker->upstream_taken--;
    delivery->attempt.upstream = NULL;
}

/* ---- the turn ---- */

/* Ends the transfers that nobody waits for: one of them was lost. */
static void upstream_end_lost(struct worker *worker)
{
    worker->upstream_lost = false;
    for (struct client *client = worker->clients; client != NULL; client = client->next)
    {
        struct delivery *at = client->request == NULL ? NULL : client->request->deliveries;

        for (; at != NULL; at = at->next)
            if (at->attempt.upstream != NULL && !at->attempt.upstream->heard)
                forward_finished(at->attempt.upstream, CURLE_OUT_OF_MEMORY);
    }
}

void upstream_turn(struct worker *worker)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(worker->multi, &left)) != NULL)
    {
        struct upstream *upstream = NULL;
        CURLcode code = message->data.result;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &upstream) == CURLE_OK)
            forward_finished(upstream, code);
    }
    if (worker->upstream_lost)
        upstream_end_lost(worker);
}

void upstream_start(struct worker *worker)
{
    size_t running = worker->upstream_taken;

    for (int rounds = 0; worker->upstream_due && !worker->upstream_lost && rounds < 4; rounds++)
    {
        worker->upstream_due = false;
        running = upstream_act(worker, CURL_SOCKET_TIMEOUT, 0);
    }
    /* A transfer can end right here, and no event will tell. */
    if (running < worker->upstream_taken)
        worker->upstream_due = true;
}

bool upstream_open(struct worker *worker)
{
    CURLM *multi = curl_multi_init();

    worker->multi = multi;
    return multi != NULL &&
           loop_timer_open(&worker->loop, &worker->upstream_timer, upstream_timer_expired,
                           worker) &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, upstream_wants) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, worker) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, upstream_wakes) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERDATA, worker) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) worker->max_in_flight) == CURLM_OK;
}

void upstream_close(struct worker *worker)
{
    struct upstream *upstream;

    while ((upstream = worker->upstream_pool) != NULL)
    {
        worker->upstream_pool = upstream->next;
        curl_easy_cleanup(upstream->easy);
        free(upstream);
    }
    curl_multi_cleanup(worker->multi);
    worker->multi = NULL;
    upstream_forget_urls(worker);
    loop_timer_close(&worker->loop, &worker->upstream_timer);
    for (size_t i = 0; i < worker->socket_count; i++)
        free(worker->sockets[i]);
    free(worker->sockets);
    worker->sockets = NULL;
    worker->socket_count = 0;
}
