/* SPDX-License-Identifier: PostgreSQL
 *
 * loop.h: one epoll set, file descriptors with a callback each, timers in a heap. It knows nothing
 * of requests, databases or HTTP.
 *
 * Threads: a loop belongs to the thread that turns it; nothing here is locked.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define MUST_CHECK __attribute__((warn_unused_result))

/* Events taken from the kernel in one turn. */
#define LOOP_EVENTS 256

/* A file descriptor that is watched. The memory belongs to the caller and stays put while it is
 * watched; fd, ready and owner are the caller's to set. */
struct loop_source
{
    int fd;
    void (*ready)(struct loop_source *source, uint32_t events);
    void *owner;
    uint32_t watched; /* events asked of the kernel; 0: not in the set. Kept by the loop. */
};

/* A moment at which something happens once. The memory belongs to the caller. */
struct loop_timer
{
    void (*expired)(struct loop_timer *timer);
    void *owner;
    uint64_t due_us; /* on the loop's clock */
    size_t place;    /* in the heap, from 1; 0: not armed */
};

struct loop
{
    int epoll_fd;
    uint64_t now_us; /* monotonic clock, read once a turn */
    struct loop_timer **heap;
    size_t armed;    /* timers in the heap */
    size_t reserved; /* timers that were opened: what the heap has room for at least */
    size_t room;
    struct epoll_event events[LOOP_EVENTS];
    int taken; /* events of this turn, and the one being handled */
    int current;
};

MUST_CHECK bool loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/* Waits at most until `until_us`, then calls back what is ready and what is due. A callback may
 * watch, forget, arm or disarm anything, its own source included. */
void loop_turn(struct loop *loop, uint64_t until_us);

/* Watches a source for `events`, or changes what it is watched for; false with errno set when the
 * kernel refuses. */
MUST_CHECK bool loop_watch(struct loop *loop, struct loop_source *source, uint32_t events);
/* Safe to call for a source that is not watched, and before its fd is closed. */
void loop_forget(struct loop *loop, struct loop_source *source);
/* The same for one whose fd has been closed by somebody else. The kernel has taken it out of the
 * set; its number may be that of another file by now, of another thread or watched here. */
void loop_forget_closed(struct loop *loop, struct loop_source *source);

/* Opening a timer reserves its place, so that arming it can not fail. */
MUST_CHECK bool loop_timer_open(struct loop *loop, struct loop_timer *timer,
                                void (*expired)(struct loop_timer *timer), void *owner);
void loop_timer_close(struct loop *loop, struct loop_timer *timer);
void loop_arm(struct loop *loop, struct loop_timer *timer, uint64_t due_us);
void loop_disarm(struct loop *loop, struct loop_timer *timer);

/* The monotonic clock, in microseconds, read now. */
uint64_t loop_clock(void);

#endif /* LOOP_H */
