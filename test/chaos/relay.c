/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * relay.c: the connections. A pair is a client's connection and the one made for it to the
 * upstream; each direction is a queue of pieces with the time at which they are due.
 *
 * A socket of which nothing is wanted leaves the epoll set, so that a peer's end goes unnoticed
 * while its connection is frozen or half-open, and nothing spins.
 */
#include "chaos.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_LIMIT ((size_t) 256 << 10) /* bytes of one direction; then the sender has to wait */
#define PIECE_LIMIT ((size_t) 16 << 10)

struct piece
{
    struct piece *next;
    uint64_t due_us;
    size_t length, done;
    char bytes[];
};

struct flow
{
    struct piece *first, *last;
    size_t queued;
    uint64_t gone;    /* bytes passed on */
    uint64_t next_us; /* with a rate: when the next bytes may go */
    bool ended;       /* its sender has ended it */
    bool passed;      /* so has been told to its receiver */
};

struct end
{
    struct pair *pair;
    int fd; /* -1: there is none, as in a black hole */
    uint32_t watched;
};

/* flows[UP] goes from ends[UP] to ends[DOWN], flows[DOWN] the other way: ends[UP] is the client. */
struct pair
{
    struct pair *next, *previous;
    struct end ends[2];
    struct flow flows[2];
    bool connecting;
    bool half_open;
    bool dead;
    bool asked; /* the last bytes that moved went up */
};

struct orders orders;
struct counts counts;

static int epoll_set;
static struct sockaddr_storage upstream;
static socklen_t upstream_length;
static struct pair *pairs;
static size_t pair_count;

uint64_t clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

bool take_one(long *times)
{
    if (*times == 0)
        return false;
    if (*times > 0)
        --*times;
    return true;
}

/* ---- the epoll set ---- */

static void end_watch(struct end *end, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.ptr = end};
    int how = end->watched == 0 ? EPOLL_CTL_ADD : wanted == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (end->fd < 0 || end->watched == wanted)
        return;
    epoll_ctl(epoll_set, how, end->fd, &event);
    end->watched = wanted;
}

/* ---- the end of a pair ---- */

static void end_close(struct end *end, bool reset)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (end->fd < 0)
        return;
    end_watch(end, 0);
    if (reset)
        setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(end->fd);
    end->fd = -1;
}

/* Closes both ends; relay_turn() frees it. */
static void pair_end(struct pair *pair, bool reset)
{
    if (pair->dead)
        return;
    pair->dead = true;
    counts.resets += reset;
    end_close(&pair->ends[UP], reset);
    end_close(&pair->ends[DOWN], reset);
}

static void pair_free(struct pair *pair)
{
    for (int direction = UP; direction <= DOWN; direction++)
        for (struct piece *piece = pair->flows[direction].first, *next; piece != NULL; piece = next)
        {
            next = piece->next;
            free(piece);
        }
    if (pair->previous != NULL)
        pair->previous->next = pair->next;
    else
        pairs = pair->next;
    if (pair->next != NULL)
        pair->next->previous = pair->previous;
    pair_count--;
    free(pair);
}

/* ---- bytes in ---- */

/* When a piece that has just come may go on; pieces never overtake each other. */
static uint64_t piece_due(const struct flow *flow, const struct weather *weather)
{
    uint64_t due = clock_us() + weather->latency_us;

    if (weather->jitter_us > 0)
        due += (uint64_t) random() % weather->jitter_us;
    return flow->last != NULL && flow->last->due_us > due ? flow->last->due_us : due;
}

static void flow_append(struct pair *pair, enum direction direction, const char *bytes,
                        size_t length)
{
    struct flow *flow = &pair->flows[direction];
    struct piece *piece = must(malloc(sizeof *piece + length));

    piece->next = NULL;
    piece->due_us = piece_due(flow, &orders.weather[direction]);
    piece->length = length;
    piece->done = 0;
    memcpy(piece->bytes, bytes, length);
    if (flow->last != NULL)
        flow->last->next = piece;
    else
        flow->first = piece;
    flow->last = piece;
    flow->queued += length;
}

/* Whether an order strikes at the bytes that have just arrived, which then go nowhere. */
static bool pair_struck(struct pair *pair, enum direction direction)
{
    bool kept = pair->flows[DOWN].gone > 0 && !pair->asked;

    if ((direction == UP && kept && take_one(&orders.close_idle)) ||
        (direction == DOWN && pair->asked && take_one(&orders.reset_answers)))
    {
        pair_end(pair, true);
        return true;
    }
    pair->asked = direction == UP;
    return false;
}

static void flow_read(struct pair *pair, enum direction direction)
{
    struct flow *flow = &pair->flows[direction];
    char bytes[PIECE_LIMIT];
    ssize_t got = recv(pair->ends[direction].fd, bytes, sizeof bytes, 0);

    if (got > 0 && pair->ends[DOWN].fd < 0)
        counts.black_holed += (uint64_t) got;
    else if (got > 0)
    {
        if (!pair_struck(pair, direction))
            flow_append(pair, direction, bytes, (size_t) got);
    }
    else if (got == 0)
        flow->ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        pair_end(pair, true);
}

/* ---- bytes out ---- */

/* How many of `length` bytes may go now; with a rate, a twentieth of a second's worth, at least
 * one. */
static size_t flow_share(struct flow *flow, const struct weather *weather, size_t length)
{
    uint64_t share = weather->rate / 20;

    if (weather->rate > 0 && length > (share > 0 ? share : 1))
        length = share > 0 ? share : 1;
    if (weather->reset_after > flow->gone && weather->reset_times != 0 &&
        length > weather->reset_after - flow->gone)
        length = weather->reset_after - flow->gone;
    return length;
}

static void flow_sent(struct pair *pair, enum direction direction, size_t sent)
{
    struct flow *flow = &pair->flows[direction];
    struct weather *weather = &orders.weather[direction];
    struct piece *piece = flow->first;

    piece->done += sent;
    flow->queued -= sent;
    flow->gone += sent;
    counts.bytes[direction] += sent;
    if (weather->rate > 0)
        flow->next_us = clock_us() + sent * 1000000 / weather->rate;
    if (piece->done == piece->length)
    {
        flow->first = piece->next;
        if (flow->first == NULL)
            flow->last = NULL;
        free(piece);
    }
    if (weather->reset_after != 0 && flow->gone == weather->reset_after &&
        take_one(&weather->reset_times))
        pair_end(pair, true);
}

/* When the next bytes of a flow are due; UINT64_MAX when there are none. */
static uint64_t flow_due(const struct flow *flow)
{
    if (flow->first == NULL)
        return UINT64_MAX;
    return flow->first->due_us > flow->next_us ? flow->first->due_us : flow->next_us;
}

/* Passes on what is due, and the end behind the last byte; false when the receiver has to be waited
 * for. */
static bool flow_write(struct pair *pair, enum direction direction)
{
    struct flow *flow = &pair->flows[direction];
    struct end *to = &pair->ends[!direction];

    while (!pair->dead && flow_due(flow) <= clock_us())
    {
        struct piece *piece = flow->first;
        size_t share = flow_share(flow, &orders.weather[direction], piece->length - piece->done);
        ssize_t sent = send(to->fd, piece->bytes + piece->done, share, MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN)
            return false;
        if (sent < 0)
            pair_end(pair, true);
        else
            flow_sent(pair, direction, (size_t) sent);
    }
    if (!pair->dead && flow->first == NULL && flow->ended && !flow->passed && to->fd >= 0)
    {
        flow->passed = true;
        shutdown(to->fd, SHUT_WR);
    }
    return true;
}

/* ---- a pair ---- */

static bool pair_rests(const struct pair *pair)
{
    return pair->dead || pair->half_open || orders.frozen;
}

/* Writes what is due and asks the epoll set for what the pair waits for. */
static void pair_move(struct pair *pair)
{
    uint32_t wanted[2] = {0, 0};

    if (!pair_rests(pair) && pair->connecting)
        wanted[DOWN] = EPOLLOUT;
    else if (!pair_rests(pair))
        for (int direction = UP; direction <= DOWN; direction++)
        {
            if (!flow_write(pair, direction))
                wanted[!direction] |= EPOLLOUT;
            if (!pair->flows[direction].ended && pair->flows[direction].queued < QUEUE_LIMIT)
                wanted[direction] |= EPOLLIN;
        }
    if (pair->flows[UP].passed && pair->flows[DOWN].passed)
        pair_end(pair, false);
    if (pair->ends[DOWN].fd < 0 && pair->flows[UP].ended)
        pair_end(pair, false);
    if (pair->dead)
        return;
    end_watch(&pair->ends[UP], wanted[UP]);
    end_watch(&pair->ends[DOWN], wanted[DOWN]);
}

static void pair_connected(struct pair *pair)
{
    int error = 0;
    socklen_t size = sizeof error;

    getsockopt(pair->ends[DOWN].fd, SOL_SOCKET, SO_ERROR, &error, &size);
    pair->connecting = false;
    if (error == 0)
        return;
    counts.unreachable++;
    pair_end(pair, true);
}

static void pair_connect(struct pair *pair)
{
    int fd = socket(upstream.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    pair->ends[DOWN].fd = fd;
    if (upstream.ss_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fd >= 0 && connect(fd, (struct sockaddr *) &upstream, upstream_length) == 0)
        return;
    pair->connecting = fd >= 0 && errno == EINPROGRESS;
    if (pair->connecting)
        return;
    counts.unreachable++;
    pair_end(pair, true);
}

/* ---- what the loop calls ---- */

void relay_open(int epoll, const struct sockaddr_storage *target, socklen_t length)
{
    epoll_set = epoll;
    upstream = *target;
    upstream_length = length;
}

void relay_accepted(int client)
{
    struct pair *pair = must(calloc(1, sizeof *pair));
    int on = 1;

    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    counts.accepted++;
    pair_count++;
    pair->ends[UP] = (struct end){.pair = pair, .fd = client};
    pair->ends[DOWN] = (struct end){.pair = pair, .fd = -1};
    pair->next = pairs;
    if (pairs != NULL)
        pairs->previous = pair;
    pairs = pair;
    if (!orders.black_hole)
        pair_connect(pair);
    pair_move(pair);
}

void relay_event(void *context, uint32_t events)
{
    struct end *end = context;
    struct pair *pair = end->pair;
    enum direction from = end == &pair->ends[UP] ? UP : DOWN;

    if (pair_rests(pair))
        return;
    if (pair->connecting)
        pair_connected(pair);
    else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && (end->watched & EPOLLIN))
        flow_read(pair, from);
    else if (events & EPOLLERR)
        pair_end(pair, true);
    pair_move(pair);
}

int relay_turn(void)
{
    uint64_t due = UINT64_MAX, now;

    for (struct pair *pair = pairs, *next; pair != NULL; pair = next)
    {
        next = pair->next;
        pair_move(pair);
        if (pair->dead)
            pair_free(pair);
        else if (!pair_rests(pair) && !pair->connecting)
            for (int direction = UP; direction <= DOWN; direction++)
                if (!(pair->ends[!direction].watched & EPOLLOUT) &&
                    flow_due(&pair->flows[direction]) < due)
                    due = flow_due(&pair->flows[direction]);
    }
    now = clock_us();
    return due == UINT64_MAX ? -1 : due <= now ? 0 : (int) ((due - now) / 1000) + 1;
}

size_t relay_count(void)
{
    return pair_count;
}

void relay_reset_all(void)
{
    for (struct pair *pair = pairs; pair != NULL; pair = pair->next)
        pair_end(pair, true);
}

void relay_half_open(void)
{
    for (struct pair *pair = pairs; pair != NULL; pair = pair->next)
        pair->half_open = true;
}
