/* SPDX-License-Identifier: PostgreSQL
 *
 * loop.c: see loop.h. Two things are easy to get wrong here. A callback may forget a source whose
 * event waits later in the same turn: the event is struck out, so that nobody is called for memory
 * that may be gone. And a timer callback may arm timers that are due at once: they are due a
 * microsecond after the turn's clock at the earliest, so that a turn ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

uint64_t loop_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

bool loop_open(struct loop *loop)
{
    memset(loop, 0, sizeof *loop);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->now_us = loop_clock();
    return loop->epoll_fd >= 0;
}

void loop_close(struct loop *loop)
{
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    free(loop->heap);
    memset(loop, 0, sizeof *loop);
    loop->epoll_fd = -1;
}

/* ---- sources ---- */

bool loop_watch(struct loop *loop, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    if (source->watched == events)
        return true;
    if (epoll_ctl(loop->epoll_fd, source->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, source->fd,
                  &event) != 0)
        return false;
    source->watched = events;
    return true;
}

void loop_forget(struct loop *loop, struct loop_source *source)
{
    if (source->watched != 0)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    loop_forget_closed(loop, source);
}

void loop_forget_closed(struct loop *loop, struct loop_source *source)
{
    if (source->watched == 0)
        return;
    /* What this turn still holds for it must not come. */
    for (int i = loop->current + 1; i < loop->taken; i++)
        if (loop->events[i].data.ptr == source)
            loop->events[i].data.ptr = NULL;
    source->watched = 0;
}

/* ---- timers: a binary heap, the earliest at 1 ---- */

static void heap_put(struct loop *loop, size_t place, struct loop_timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place;
}

/* Moves the timer at `place` to where it belongs. */
static void heap_settle(struct loop *loop, size_t place)
{
    struct loop_timer *timer = loop->heap[place];

    while (place > 1 && loop->heap[place / 2]->due_us > timer->due_us)
    {
        heap_put(loop, place, loop->heap[place / 2]);
        place /= 2;
    }
    for (size_t child = place * 2; child <= loop->armed; child = place * 2)
    {
        if (child < loop->armed && loop->heap[child + 1]->due_us < loop->heap[child]->due_us)
            child++;
        if (loop->heap[child]->due_us >= timer->due_us)
            break;
        heap_put(loop, place, loop->heap[child]);
        place = child;
    }
    heap_put(loop, place, timer);
}

bool loop_timer_open(struct loop *loop, struct loop_timer *timer,
                     void (*expired)(struct loop_timer *timer), void *owner)
{
    if (loop->reserved + 2 > loop->room) /* place 0 is not used */
    {
        size_t room = loop->room == 0 ? 64 : loop->room * 2;
        struct loop_timer **heap = realloc(loop->heap, room * sizeof(*heap));

        if (heap == NULL)
            return false;
        loop->heap = heap;
        loop->room = room;
    }
    loop->reserved++;
    *timer = (struct loop_timer){.expired = expired, .owner = owner};
    return true;
}

void loop_timer_close(struct loop *loop, struct loop_timer *timer)
{
    if (timer->expired == NULL)
        return;
    loop_disarm(loop, timer);
    timer->expired = NULL;
    loop->reserved--;
}

void loop_arm(struct loop *loop, struct loop_timer *timer, uint64_t due_us)
{
    timer->due_us = due_us > loop->now_us ? due_us : loop->now_us + 1;
    if (timer->place == 0)
        heap_put(loop, ++loop->armed, timer);
    heap_settle(loop, timer->place);
}

void loop_disarm(struct loop *loop, struct loop_timer *timer)
{
    size_t place = timer->place;
    struct loop_timer *last;

    if (place == 0)
        return;
    last = loop->heap[loop->armed--];
    timer->place = 0;
    if (last == timer)
        return;
    heap_put(loop, place, last);
    heap_settle(loop, place);
}

static void loop_expire(struct loop *loop)
{
    while (loop->armed > 0 && loop->heap[1]->due_us <= loop->now_us)
    {
        struct loop_timer *timer = loop->heap[1];

        loop_disarm(loop, timer);
        timer->expired(timer);
    }
}

/* ---- a turn ---- */

/* Milliseconds that epoll may wait: up to the next timer or `until_us`, rounded up so that a timer
 * is due when it returns. */
static int loop_patience(const struct loop *loop, uint64_t until_us)
{
    uint64_t next = until_us, now;

    if (loop->armed > 0 && loop->heap[1]->due_us < next)
        next = loop->heap[1]->due_us;
    if (next <= loop->now_us)
        return 0;
    now = loop_clock();
    if (next <= now)
        return 0;
    return next - now > 60000000 ? 60000 : (int) ((next - now + 999) / 1000);
}

void loop_turn(struct loop *loop, uint64_t until_us)
{
    loop->taken =
        epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS, loop_patience(loop, until_us));
    loop->now_us = loop_clock();
    for (loop->current = 0; loop->current < loop->taken; loop->current++)
    {
        struct loop_source *source = loop->events[loop->current].data.ptr;

        if (source != NULL)
            source->ready(source, loop->events[loop->current].events);
    }
    loop->taken = 0;
    loop_expire(loop);
}
