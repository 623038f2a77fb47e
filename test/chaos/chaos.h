/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * chaos.h: what the files of the chaos proxy share. It relays TCP bytes from whoever connects to
 * one upstream, and does to them at run time what networks and dying peers do: chaos.c starts and
 * tells the usage, relay.c moves the bytes, control.c is told how.
 *
 * One thread, one epoll set. Bytes are never changed, only delayed, dropped or cut off.
 */
#ifndef CHAOS_H
#define CHAOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum direction
{
    UP,  /* from the client to the upstream */
    DOWN /* from the upstream to the client */
};

/* What is done to one direction of every connection. */
struct weather
{
    uint64_t latency_us, jitter_us; /* a piece arrives so much later, and up to jitter more */
    uint64_t rate;                  /* bytes a second, 0: as fast as it goes */
    uint64_t reset_after; /* the connection is reset when so many bytes have gone; 0: no */
    long reset_times;     /* how often that still happens, -1: for ever */
};

struct orders
{
    struct weather weather[2]; /* by enum direction */
    bool black_hole;           /* new connections: accepted, read, never answered */
    bool frozen;               /* nothing is accepted, read or written */
    bool refusing;             /* nothing listens */
    long reset_answers; /* so often: reset instead of the first byte of an answer; -1: always */
    long close_idle;    /* so often: reset instead of a kept connection's next request; -1 */
};

struct counts
{
    uint64_t accepted, unreachable, resets, black_holed, bytes[2];
};

extern struct orders orders;
extern struct counts counts;

/* ---- relay.c ---- */

uint64_t clock_us(void);
/* The epoll set must be there. `target` is connected to for each client. */
void relay_open(int epoll, const struct sockaddr_storage *target, socklen_t length);
void relay_accepted(int client);
/* An event of the epoll set that is not the listeners'. */
void relay_event(void *end, uint32_t events);
/* Moves what is due and frees what is over; returns how long nothing will be due, in ms, -1: ever.
 */
int relay_turn(void);
size_t relay_count(void);
/* Both ends of every connection get an RST. */
void relay_reset_all(void);
/* Connections of now carry nothing more, not even their ends; new ones are not touched. */
void relay_half_open(void);
/* Counts one down; false when none is left. -1 lasts for ever. */
bool take_one(long *times);

/* ---- control.c ---- */

/* Answers one HTTP request on a connection just accepted, and closes it. */
void control_serve(int fd);

/* ---- chaos.c ---- */

/* Opens or closes the listener as ordered; while frozen it stays open and the kernel accepts. */
void listener_obey(void);
/* Exits when there is no memory. */
void *must(void *pointer);

#endif /* CHAOS_H */
