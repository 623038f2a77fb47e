/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_tickets.c: the turn's write of a worker's spool, and what the disk makes of it. A ticket
 * stands for a DECIDED; it is durable when it has been written or, with --spool-sync wait, synced.
 *
 * A segment that cannot be written or synced is bad. It takes nothing more, tickets that it has not
 * made durable are lost, and its rows stay in memory until they are stored or written anew
 * (spool_rows.c).
 */
#include <errno.h>
#include <unistd.h>

#include "spool_inside.h"

/* ---- what became of a ticket ---- */

static void spool_lose(struct spool *spool, uint64_t first, uint64_t last)
{
    if (first > last)
        return;
    spool->lost[spool->lost_count % LOST_RANGES].first = first;
    spool->lost[spool->lost_count % LOST_RANGES].last = last;
    spool->lost_count++;
}

enum spool_verdict spool_verdict(const struct spool *spool, uint64_t ticket)
{
    for (unsigned i = 0; i < spool->lost_count && i < LOST_RANGES; i++)
        if (ticket >= spool->lost[i].first && ticket <= spool->lost[i].last)
            return SPOOL_LOST;
    return ticket <= spool->settled ? SPOOL_DURABLE : SPOOL_WAITING;
}

/* Tickets from `first` on are lost, and with them the segment. */
static void spool_condemn(struct spool *spool, struct spool_segment *segment, uint64_t first)
{
    if (!segment->bad)
        atomic_fetch_add(&spool->directory->bad, 1);
    segment->bad = true;
    segment->pending_length = 0;
    spool->stranded = true;
    if (segment->last_ticket > 0)
        spool_lose(spool, first > segment->first_ticket ? first : segment->first_ticket,
                   segment->last_ticket);
    if (segment == spool->active)
        spool->active = NULL;
}

/* ---- the turn's write ---- */

static void spool_write_failed(struct spool *spool, struct spool_segment *segment, int error)
{
    bool was_active = segment == spool->active;
    struct spool_trouble trouble;
    struct log_line line;

    spool_condemn(spool, segment, segment->asked_ticket + 1);
    if (error == ENOENT)
        spool_trouble_set(&trouble, 0, "a segment has been removed by somebody else",
                          "leave what is in the spool directory to the forwarder");
    else
        spool_trouble_set(&trouble, error, "cannot write to a segment", NULL);
    if (was_active)
        spool_become_troubled(spool, &trouble);
    else if (log_begin_limited(
                 &line, LOG_ERROR, EVENT_SPOOL_WRITE_FAILED,
                 "outcomes could not be written to the spool: they are kept in memory "
                 "until the database has them"))
    {
        log_text(&line, "detail", trouble.what);
        log_text(&line, "mend", trouble.mend);
        log_end(&line);
    }
}

/* Gives the kernel what the segment has appended. */
static void spool_flush(struct spool *spool, struct spool_segment *segment)
{
    bool awaited = spool->wait && segment->last_ticket > segment->asked_ticket;

    if (segment->pending_length == 0)
        return;
    if (!segment_flush(segment))
    {
        spool_write_failed(spool, segment, errno);
        return;
    }
    segment->asked_ticket = segment->last_ticket;
    syncer_ask(&spool->directory->syncer, segment->file, segment->asked_ticket, awaited);
    if (!spool->wait && segment->last_ticket > spool->settled)
        spool->settled = segment->last_ticket;
}

void spool_mark_dirty(struct spool *spool, struct spool_segment *segment)
{
    if (segment->dirty)
        return;
    segment->dirty = true;
    segment->next_dirty = NULL;
    *spool->dirty_end = segment;
    spool->dirty_end = &segment->next_dirty;
}

void spool_turn(struct spool *spool)
{
    struct spool_segment *segment = spool->dirty, *next;

    spool->dirty = NULL;
    spool->dirty_end = &spool->dirty;
    for (; segment != NULL; segment = next)
    {
        next = segment->next_dirty;
        segment->dirty = false;
        spool_flush(spool, segment);
        if (segment != spool->active && segment->open == 0)
            segment_shrink(segment);
        spool_review(spool, segment);
    }
}

/* ---- what the disk says ---- */

static void spool_sync_failed(struct spool *spool, struct spool_segment *segment, bool fresh,
                              int error)
{
    bool was_active = segment == spool->active;
    struct spool_trouble trouble;

    spool_condemn(spool, segment, spool->settled + 1);
    if (segment->last_ticket > spool->settled)
        spool->settled = segment->last_ticket;
    if (!was_active || !fresh)
        return;
    /* It was never synced: the next one would not fare better. */
    spool_trouble_set(&trouble, error, "cannot bring a segment to the disk", NULL);
    spool_become_troubled(spool, &trouble);
}

void spool_synced(struct loop_source *source, uint32_t events)
{
    struct spool *spool = source->owner;
    uint64_t done, count;
    struct sync_file *file;
    int error;

    (void) events;
    if (read(source->fd, &count, sizeof count) < 0)
        return;
    while ((file = syncer_take(&spool->directory->syncer, &spool->post, &done, &error)) != NULL)
    {
        struct spool_segment *segment = file->segment;

        if (done > spool->settled)
            spool->settled = done;
        if (error != 0 && !segment->bad)
            spool_sync_failed(spool, segment, done == 0, error);
        spool_review(spool, segment);
    }
}

void spool_settle(struct spool *spool)
{
    spool_turn(spool);
    for (struct spool_segment *segment = spool->first; segment != NULL; segment = segment->next)
        if (segment->file != NULL && !segment->bad &&
            !syncer_wait(&spool->directory->syncer, segment->file))
            spool_condemn(spool, segment, spool->settled + 1);
}
