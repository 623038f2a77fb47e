/* SPDX-License-Identifier: PostgreSQL
 *
 * exchange.c: one request over a connection to a function, and its answer. A request is sent once,
 * by us, over one connection: nobody else could send it again. What matters most when an attempt
 * fails is whether a byte of it has left: upstream_has_sent().
 *
 * Over TCP the bytes go to the kernel and come from there; under TLS libcurl carries them. Of TLS
 * one record at a time is sent: when that fails, the function cannot have read a byte of it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "forwarder.h"

/* A record of TLS holds 16,384 bytes. */
#define RECORD_MOST ((size_t) 16000)

/* Most that one turn sends over one connection: a memcpy of some 50 us. */
#define SLICE ((size_t) 256 << 10)

/* What came of an attempt to move bytes: how many, or one of these. */
#define LINK_AGAIN (-1) /* not now */
#define LINK_BROKEN (-2)

/* ---- bytes over the connection ---- */

static ssize_t link_fail(struct upstream *upstream, const char *why)
{
    snprintf(upstream->error, sizeof upstream->error, "%s", why);
    return LINK_BROKEN;
}

static ssize_t link_result(struct upstream *upstream, ssize_t moved)
{
    if (moved >= 0)
        return moved;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return LINK_AGAIN;
    return link_fail(upstream, strerror(errno));
}

static ssize_t link_curl_result(struct upstream *upstream, CURLcode code, size_t moved)
{
    if (code == CURLE_OK)
        return (ssize_t) moved;
    if (code == CURLE_AGAIN)
        return LINK_AGAIN;
    upstream->ours |= code == CURLE_OUT_OF_MEMORY;
    return upstream->error[0] != '\0' ? LINK_BROKEN : link_fail(upstream, curl_easy_strerror(code));
}

/* 0: the function has closed it. */
static ssize_t link_receive(struct upstream *upstream, char *bytes, size_t size)
{
    size_t received = 0;
    CURLcode code;

    if (!upstream->origin->tls)
        return link_result(upstream, recv(upstream->source.fd, bytes, size, 0));
    code = curl_easy_recv(upstream->easy, bytes, size, &received);
    return link_curl_result(upstream, code, received);
}

/* At most `most` bytes of the request from byte `from` on; how many parts they are. */
static int request_parts(const struct delivery *delivery, size_t from, size_t most,
                         struct iovec parts[2])
{
    const struct iovec whole[2] = {
        {delivery->head.data, delivery->head.length},
        {(void *) (uintptr_t) delivery->body, delivery->body_length},
    };
    int count = 0;

    for (int i = 0; i < 2; i++)
    {
        size_t skipped = from < whole[i].iov_len ? from : whole[i].iov_len;
        size_t length = whole[i].iov_len - skipped < most ? whole[i].iov_len - skipped : most;

        from -= skipped;
        most -= length;
        if (length > 0)
            parts[count++] = (struct iovec){(char *) whole[i].iov_base + skipped, length};
    }
    return count;
}

/* One record's worth, in a piece. OpenSSL wants to be called with the same bytes at the same
 * address when it has to be called again. */
static ssize_t link_send_record(struct upstream *upstream, const struct iovec *parts, int count)
{
    char *record = upstream->worker->upstream_bytes;
    size_t length = 0, sent = 0;
    CURLcode code;

    for (int i = 0; i < count && length < RECORD_MOST; i++)
    {
        size_t piece =
            parts[i].iov_len < RECORD_MOST - length ? parts[i].iov_len : RECORD_MOST - length;

        memcpy(record + length, parts[i].iov_base, piece);
        length += piece;
    }
    code = curl_easy_send(upstream->easy, record, length, &sent);
    upstream->may_have_sent |= code == CURLE_AGAIN; /* OpenSSL holds it, or a part of it */
    return link_curl_result(upstream, code, sent);
}

static ssize_t link_send(struct upstream *upstream)
{
    struct iovec parts[2];
    int count = request_parts(upstream->delivery, upstream->sent, SLICE, parts);
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t) count};

    if (upstream->origin->tls)
        return link_send_record(upstream, parts, count);
    return link_result(upstream, sendmsg(upstream->source.fd, &message, MSG_NOSIGNAL));
}

/* ---- the request ---- */

static bool exchange_has_sent_all(const struct upstream *upstream)
{
    const struct delivery *delivery = upstream->delivery;

    return upstream->sent == delivery->head.length + delivery->body_length;
}

/* As much as the connection takes, but a slice in a turn, so that others do not wait for 3 MB: what
 * is left goes when the loop says again that it can be written. False when it is broken. */
static bool exchange_send(struct upstream *upstream)
{
    size_t until = upstream->sent + SLICE;
    ssize_t moved = 0;

    while (moved >= 0 && upstream->sent < until && !exchange_has_sent_all(upstream))
        if ((moved = link_send(upstream)) > 0)
            upstream->sent += (size_t) moved;
    if (moved == LINK_BROKEN)
        return false;
    upstream->ours = !loop_watch(&upstream->worker->loop, &upstream->source,
                                 exchange_has_sent_all(upstream) ? EPOLLIN : EPOLLIN | EPOLLOUT);
    return !upstream->ours;
}

bool exchange_begin(struct upstream *upstream)
{
    if (exchange_send(upstream))
        return true;
    if (!upstream_has_sent(upstream))
        return false;
    forward_finished(upstream, CURLE_SEND_ERROR);
    return true;
}

/* ---- the answer ---- */

/* A piece of the body; false when there is no room for it. */
static bool exchange_take(struct upstream *upstream, const char *bytes, size_t length)
{
    struct worker *worker = upstream->worker;
    struct buffer *body = &upstream->delivery->answer.body;

    if (length > worker->options->max_reply - body->length)
        upstream->refused = "the answer is longer than --max-reply";
    else if (!buffer_append(worker, body, bytes, length))
    {
        upstream->refused = "--max-buffer has no room for the answer";
        upstream->ours = true;
    }
    return upstream->refused == NULL;
}

/* Whether there is more to come: the answer is not whole, and nothing is wrong with it. */
static bool exchange_read(struct upstream *upstream, const char *bytes, size_t length)
{
    struct answer_reader *reader = &upstream->delivery->answer.reader;
    const char *body;
    size_t body_length;

    while (length > 0 && reader->state != ANSWER_COMPLETE && reader->state != ANSWER_BAD)
    {
        size_t taken = answer_read(reader, bytes, length, &body, &body_length);

        if (body_length > 0 && !exchange_take(upstream, body, body_length))
            return false;
        bytes += taken;
        length -= taken;
    }
    upstream->surplus = length > 0;
    return reader->state != ANSWER_COMPLETE && reader->state != ANSWER_BAD;
}

/* Everything that is there; false when the exchange is over. The last of it is not asked for twice,
 * but for what TLS may hold back. */
static bool exchange_receive(struct upstream *upstream)
{
    char *bytes = upstream->worker->upstream_bytes;
    ssize_t length;

    while ((length = link_receive(upstream, bytes, UPSTREAM_BUFFER)) > 0)
    {
        if (!exchange_read(upstream, bytes, (size_t) length))
            return false;
        if ((size_t) length < UPSTREAM_BUFFER && !upstream->origin->tls)
            return true;
    }
    if (length == 0)
        answer_end(&upstream->delivery->answer.reader);
    return length == LINK_AGAIN;
}

static void exchange_over(struct upstream *upstream)
{
    const struct answer_reader *reader = &upstream->delivery->answer.reader;

    if (upstream->refused == NULL && reader->state == ANSWER_BAD)
        upstream->refused = reader->problem;
    forward_finished(upstream, upstream->refused == NULL && reader->state == ANSWER_COMPLETE
                                   ? CURLE_OK
                                   : CURLE_RECV_ERROR);
}

/* The answer may come before the whole request has left: it counts, and the rest is not sent. */
void exchange_go_on(struct upstream *upstream)
{
    if (!exchange_receive(upstream))
        exchange_over(upstream);
    else if (!exchange_has_sent_all(upstream) && !exchange_send(upstream))
        forward_finished(upstream, CURLE_SEND_ERROR);
}

/* What TLS has received already shows in no event. */
bool exchange_was_clean(struct upstream *upstream)
{
    return upstream->refused == NULL && !upstream->surplus && exchange_has_sent_all(upstream) &&
           answer_keeps(&upstream->delivery->answer.reader) &&
           (!upstream->origin->tls || exchange_is_quiet(upstream));
}

bool exchange_is_quiet(struct upstream *upstream)
{
    char byte;

    return link_receive(upstream, &byte, 1) == LINK_AGAIN;
}
