/* SPDX-License-Identifier: PostgreSQL
 *
 * upstream.c: connections to functions. libcurl makes them (upstream_connect.c); requests go over
 * them one at a time (exchange.c), and between two requests they are kept for the next one to the
 * same origin, 2 s at most. A kept connection stays in the epoll set: when its function closes it,
 * or says anything at all, it is given up, so that taking one costs no system call.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

/* Idle for longer, a connection is not used again: its function may be closing it. */
#define KEPT_US 2000000u
/* Idle for longer, it is looked at once more before it is used: its end may have come in this turn.
 */
#define DOUBTFUL_US 50000
/* How often kept ones are looked through. */
#define SWEEP_US 500000

/* ---- an origin's kept connections, the newest first ---- */

static void kept_push(struct upstream *upstream)
{
    struct upstream_origin *origin = upstream->origin;

    upstream->previous = NULL;
    upstream->next = origin->first;
    if (origin->first == NULL)
        origin->last = upstream;
    else
        origin->first->previous = upstream;
    origin->first = upstream;
    upstream->worker->upstream_kept++;
}

static void kept_remove(struct upstream *upstream)
{
    struct upstream_origin *origin = upstream->origin;

    if (upstream->previous == NULL)
        origin->first = upstream->next;
    else
        upstream->previous->next = upstream->next;
    if (upstream->next == NULL)
        origin->last = upstream->previous;
    else
        upstream->next->previous = upstream->previous;
    upstream->next = upstream->previous = NULL;
    upstream->worker->upstream_kept--;
}

/* ---- birth and death ---- */

static void upstream_free(struct upstream *upstream)
{
    curl_easy_cleanup(upstream->easy);
    free(upstream);
}

/* One without a connection, of the pool or new. */
static struct upstream *upstream_spare(struct worker *worker)
{
    struct upstream *upstream = worker->upstream_pool;

    if (upstream != NULL)
    {
        worker->upstream_pool = upstream->next;
        worker->upstream_pooled--;
        upstream->next = NULL;
        return upstream;
    }
    upstream = calloc(1, sizeof *upstream);
    if (upstream == NULL)
        return NULL;
    upstream->worker = worker;
    upstream->easy = curl_easy_init();
    if (upstream->easy != NULL && upstream_configure(upstream))
        return upstream;
    upstream_free(upstream);
    return NULL;
}

/* Closes its connection, or ends its being made. */
static void upstream_discard(struct upstream *upstream)
{
    struct worker *worker = upstream->worker;

    loop_forget(&worker->loop, &upstream->source);
    if (upstream->state == UPSTREAM_KEPT)
        kept_remove(upstream);
    upstream_disconnect(upstream);
    upstream_leave_origin(worker, upstream->origin);
    upstream->origin = NULL;
    upstream->delivery = NULL;
    worker->upstream_open--;
    if (worker->upstream_pooled >= POOLED_REQUESTS)
    {
        upstream_free(upstream);
        return;
    }
    upstream->next = worker->upstream_pool;
    worker->upstream_pool = upstream;
    worker->upstream_pooled++;
}

/* ---- kept connections ---- */

static void upstream_event(struct loop_source *source, uint32_t events)
{
    struct upstream *upstream = source->owner;

    (void) events;
    if (upstream->state == UPSTREAM_BUSY)
        exchange_go_on(upstream);
    else if (!exchange_is_quiet(upstream))
        upstream_discard(upstream);
}

/* Gives up those of an origin that have been idle for so long. */
static void origin_sweep(struct worker *worker, struct upstream_origin *origin, uint64_t idle_us)
{
    struct upstream *upstream;

    origin->holders++;
    while ((upstream = origin->last) != NULL && worker->loop.now_us - upstream->kept_us >= idle_us)
        upstream_discard(upstream);
    upstream_leave_origin(worker, origin);
}

static void upstream_sweep(struct worker *worker, uint64_t idle_us)
{
    struct upstream_origin *next;

    for (struct upstream_origin *origin = worker->origins; origin != NULL; origin = next)
    {
        next = origin->next;
        origin_sweep(worker, origin, idle_us);
    }
}

/* With as many connections as there may be webhooks in hand, one that is kept gives way to a new
 * one: that which has been idle for longest. */
static void upstream_make_room(struct worker *worker)
{
    struct upstream *oldest = NULL;

    if (worker->upstream_kept == 0 || worker->upstream_open < worker->max_in_flight)
        return;
    for (struct upstream_origin *at = worker->origins; at != NULL; at = at->next)
        if (at->last != NULL && (oldest == NULL || at->last->kept_us < oldest->kept_us))
            oldest = at->last;
    upstream_discard(oldest);
}

static void upstream_sweep_due(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;

    upstream_sweep(worker, KEPT_US);
    if (worker->upstream_kept > 0)
        loop_arm(&worker->loop, timer, worker->loop.now_us + SWEEP_US);
}

static void upstream_keep(struct upstream *upstream)
{
    struct worker *worker = upstream->worker;

    upstream->state = UPSTREAM_KEPT;
    upstream->delivery = NULL;
    upstream->kept_us = worker->loop.now_us;
    kept_push(upstream);
    if (worker->upstream_sweeper.place == 0)
        loop_arm(&worker->loop, &worker->upstream_sweeper, worker->loop.now_us + SWEEP_US);
}

/* The one that was used last, if it can be used again; NULL without any. */
static struct upstream *upstream_kept(struct worker *worker, struct upstream_origin *origin)
{
    struct upstream *upstream;

    while ((upstream = origin->first) != NULL)
    {
        uint64_t idle_us = worker->loop.now_us - upstream->kept_us;

        if (idle_us < DOUBTFUL_US || (idle_us < KEPT_US && exchange_is_quiet(upstream)))
        {
            kept_remove(upstream);
            return upstream;
        }
        upstream_discard(upstream);
    }
    return NULL;
}

/* ---- an attempt's connection ---- */

static void upstream_lend(struct upstream *upstream, struct delivery *delivery)
{
    upstream->delivery = delivery;
    upstream->state = UPSTREAM_BUSY;
    upstream->sent = 0;
    upstream->may_have_sent = upstream->surplus = upstream->ours = false;
    upstream->refused = NULL;
    upstream->error[0] = '\0';
    delivery->attempt.upstream = upstream;
    answer_begin(&delivery->answer.reader);
}

static void upstream_unlend(struct upstream *upstream)
{
    upstream->delivery->attempt.upstream = NULL;
    upstream_discard(upstream);
}

/* Has a connection made for the attempt. */
static bool upstream_anew(struct delivery *delivery, struct upstream_origin *origin)
{
    struct worker *worker = delivery->worker;
    struct upstream *upstream;

    upstream_make_room(worker);
    if ((upstream = upstream_spare(worker)) == NULL)
        return false;
    upstream_lend(upstream, delivery);
    upstream->origin = origin;
    origin->holders++;
    worker->upstream_open++;
    if (upstream_connect(upstream))
        return true;
    upstream_unlend(upstream);
    return false;
}

bool upstream_begin(struct delivery *delivery, const struct upstream_url *url)
{
    struct upstream *upstream;

    while ((upstream = upstream_kept(delivery->worker, url->origin)) != NULL)
    {
        upstream_lend(upstream, delivery);
        if (exchange_begin(upstream))
            return true;
        upstream_unlend(upstream); /* nothing has left over it: another one can be tried */
    }
    return upstream_anew(delivery, url->origin);
}

/* Binds a connection that is made to its handle, which reading once does: else it is to libcurl one
 * that nobody uses, and libcurl closes it, under an exchange too, when it makes another one and
 * finds that this one is dead or, in later versions, that bytes have come. False when it is broken
 * already. */
static bool upstream_bind(struct upstream *upstream)
{
    char byte;
    size_t received;

    return curl_easy_recv(upstream->easy, &byte, 1, &received) == CURLE_AGAIN;
}

void upstream_connected(struct upstream *upstream)
{
    struct worker *worker = upstream->worker;
    curl_socket_t fd;

    if (curl_easy_getinfo(upstream->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD)
    {
        upstream->ours = true;
        forward_finished(upstream, CURLE_COULDNT_CONNECT);
        return;
    }
    upstream->source =
        (struct loop_source){.fd = fd, .ready = upstream_event, .owner = upstream, .watched = 0};
    upstream->ours = !loop_watch(&worker->loop, &upstream->source, EPOLLIN);
    if (upstream->ours || !upstream_bind(upstream) || !exchange_begin(upstream))
        forward_finished(upstream, CURLE_COULDNT_CONNECT);
}

bool upstream_has_sent(const struct upstream *upstream)
{
    return upstream->sent > 0 || upstream->may_have_sent;
}

void upstream_give_back(struct delivery *delivery)
{
    struct upstream *upstream = delivery->attempt.upstream;

    if (upstream == NULL)
        return;
    if (upstream->state == UPSTREAM_BUSY && exchange_was_clean(upstream))
    {
        delivery->attempt.upstream = NULL;
        upstream_keep(upstream);
    }
    else
        upstream_unlend(upstream);
}

/* ---- open and close ---- */

bool upstream_open(struct worker *worker)
{
    worker->upstream_bytes = malloc(UPSTREAM_BUFFER);
    return worker->upstream_bytes != NULL &&
           loop_timer_open(&worker->loop, &worker->upstream_sweeper, upstream_sweep_due, worker) &&
           upstream_open_curl(worker);
}

void upstream_close(struct worker *worker)
{
    struct upstream *upstream;

    upstream_sweep(worker, 0);
    upstream_forget_urls(worker);
    while ((upstream = worker->upstream_pool) != NULL)
    {
        worker->upstream_pool = upstream->next;
        upstream_free(upstream);
    }
    upstream_close_curl(worker);
    loop_timer_close(&worker->loop, &worker->upstream_sweeper);
    free(worker->upstream_bytes);
    worker->upstream_bytes = NULL;
}
