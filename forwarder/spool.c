/* SPDX-License-Identifier: PostgreSQL
 *
 * spool.c: a worker's segments: which one takes what, and when one can go.
 *
 * One segment is active: it takes DECIDEDs until it is full, fails, or is a moment old and has
 * nothing to keep. (The first is made at the start, to see whether one can be made.) An older one
 * still takes the OUTCOMEs of its own attempts; room for them was kept, in the file and in memory,
 * when the DECIDED was taken. It is removed when no attempt of it is under way and the database has
 * all its rows.
 *
 * When no new segment can be made, the spool is troubled: it takes nothing, and tries once a
 * second.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "forwarder.h"
#include "spool_inside.h"

#define RETRY_US 1000000 /* between two tries of a troubled spool */

/* ---- troubles ---- */

/* One line for all workers: when the first of them cannot write, and when the last one can again.
 */
void spool_become_troubled(struct spool *spool, const struct spool_trouble *trouble)
{
    struct log_line line;

    loop_arm(spool->loop, &spool->retry, spool->loop->now_us + RETRY_US);
    if (spool->troubled)
        return;
    spool->troubled = true;
    if (atomic_fetch_add(&spool->directory->troubled, 1) > 0 ||
        !log_begin_limited(&line, LOG_ERROR, EVENT_SPOOL_UNUSABLE,
                           "the spool cannot be used: decisions are committed in the database "
                           "before they are acted upon"))
        return;
    log_text(&line, "directory", spool->directory->path);
    log_number(&line, "segments", (int64_t) atomic_load(&spool->directory->segments));
    log_number(&line, "bytes", (int64_t) atomic_load(&spool->directory->bytes));
    log_number(&line, "limit", (int64_t) spool->directory->options->spool_size);
    log_text(&line, "detail", trouble->what);
    log_text(&line, "mend", trouble->mend);
    log_end(&line);
}

static void spool_become_usable(struct spool *spool)
{
    struct log_line line;

    if (!spool->troubled)
        return;
    spool->troubled = false;
    spool->stranded = true;
    if (atomic_fetch_sub(&spool->directory->troubled, 1) > 1 ||
        !log_begin_limited(&line, LOG_INFO, EVENT_SPOOL_USABLE, "the spool can be used again"))
        return;
    log_text(&line, "directory", spool->directory->path);
    log_end(&line);
}

/* ---- the list of segments ---- */

bool spool_wants(const struct spool_segment *segment)
{
    return segment->unread || segment->replaying || segment->spilled > 0;
}

static void spool_append(struct spool *spool, struct spool_segment *segment)
{
    segment->previous = spool->last;
    if (spool->last == NULL)
        spool->first = segment;
    else
        spool->last->next = segment;
    spool->last = segment;
}

void spool_unlink(struct spool *spool, struct spool_segment *segment, bool removed)
{
    if (segment->previous == NULL)
        spool->first = segment->next;
    else
        segment->previous->next = segment->next;
    if (segment->next == NULL)
        spool->last = segment->previous;
    else
        segment->next->previous = segment->previous;
    segment_free(segment, removed);
}

/* The end of a segment whose rows are all stored. */
static void spool_drop(struct spool *spool, struct spool_segment *segment)
{
    bool removed = !segment->keep;

    if (removed)
        segment_remove_file(segment);
    spool_unlink(spool, segment, removed);
}

static bool spool_holds_nothing(const struct spool_segment *segment)
{
    return segment->rows == 0 && segment->open == 0 && !segment->dirty && !spool_wants(segment);
}

void spool_review(struct spool *spool, struct spool_segment *segment)
{
    if (!spool_holds_nothing(segment))
        return;
    if (segment == spool->active)
    {
        if (spool->loop->now_us < segment->active_us + SPOOL_REST_US)
            return;
        spool->active = NULL;
    }
    spool_drop(spool, segment);
}

void spool_retire(struct spool *spool)
{
    struct spool_segment *segment = spool->active;

    spool->active = NULL;
    if (segment != NULL)
        spool_review(spool, segment);
}

/* What earlier forwarders have left; once. */
static void spool_adopt(struct spool *spool)
{
    struct spool_directory *directory = spool->directory;

    if (spool->number != 0 || spool->has_leftovers)
        return;
    spool->has_leftovers = true;
    for (size_t i = 0; i < directory->leftover_count; i++)
    {
        struct spool_segment *segment = segment_adopt(directory, directory->leftovers[i]);

        if (segment == NULL)
            continue; /* no memory: the next start will find it */
        spool_append(spool, segment);
        spool->wanted++;
    }
}

bool spool_activate(struct spool *spool)
{
    struct spool_trouble trouble;

    if (spool_directory_try(spool->directory, &trouble))
    {
        spool_adopt(spool);
        spool->active = segment_make(spool->directory, &spool->post, spool->number, &trouble);
    }
    if (spool->active == NULL)
    {
        spool_become_troubled(spool, &trouble);
        return false;
    }
    spool->active->active_us = spool->loop->now_us;
    loop_arm(spool->loop, &spool->rest, spool->loop->now_us + SPOOL_REST_US);
    spool_append(spool, spool->active);
    spool_become_usable(spool);
    return true;
}

/* ---- what the loop brings ---- */

static void spool_retry(struct loop_timer *timer)
{
    struct spool *spool = timer->owner;

    if (spool->troubled)
        (void) spool_activate(spool);
}

/* Once a second while a segment is active: an idle forwarder keeps none. */
static void spool_rest(struct loop_timer *timer)
{
    struct spool *spool = timer->owner;

    if (spool->active == NULL)
        return;
    loop_arm(spool->loop, timer, spool->loop->now_us + SPOOL_REST_US);
    spool_review(spool, spool->active);
}

/* Only makes a turn happen: replay has more to do. */
static void spool_again(struct loop_timer *timer)
{
    (void) timer;
}

/* ---- open and close ---- */

bool spool_usable(const struct spool *spool)
{
    return !spool->troubled;
}

/* UUIDv7 (RFC 9562): milliseconds since 1970 in its first 48 bits. */
static int64_t segment_made_us(const struct spool_segment *segment)
{
    int64_t milliseconds = 0;

    for (int i = 0; i < 6; i++)
        milliseconds = milliseconds << 8 | segment->id[i];
    return milliseconds * 1000;
}

size_t spool_backlog(const struct spool *spool, int64_t *oldest_us)
{
    size_t rows = 0;

    for (const struct spool_segment *at = spool->first; at != NULL && spool->wanted > 0;
         at = at->next)
        if (spool_wants(at))
        {
            rows += at->spilled;
            if (segment_made_us(at) < *oldest_us)
                *oldest_us = segment_made_us(at);
        }
    return rows;
}

struct spool *spool_open(struct spool_directory *directory, struct loop *loop, int number)
{
    struct spool *spool = calloc(1, sizeof *spool);

    if (spool == NULL)
        return NULL;
    spool->directory = directory;
    spool->loop = loop;
    spool->number = number;
    spool->wait = directory->options->spool_sync;
    spool->dirty_end = &spool->dirty;
    spool->synced =
        (struct loop_source){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), spool_synced, spool, 0};
    sync_post_open(&spool->post, spool->synced.fd, spool->wait);
    if (spool->synced.fd < 0 || !loop_watch(loop, &spool->synced, EPOLLIN) ||
        !loop_timer_open(loop, &spool->retry, spool_retry, spool) ||
        !loop_timer_open(loop, &spool->rest, spool_rest, spool) ||
        !loop_timer_open(loop, &spool->again, spool_again, spool))
    {
        spool_close(spool);
        return NULL;
    }
    (void) spool_activate(spool);
    return spool;
}

void spool_close(struct spool *spool)
{
    if (spool == NULL)
        return;
    spool_turn(spool);
    replay_close(&spool->replay);
    spool->active = NULL;
    while (spool->first != NULL)
    {
        struct spool_segment *segment = spool->first;

        if (spool_holds_nothing(segment))
            spool_drop(spool, segment);
        else
            spool_unlink(spool, segment, false);
    }
    if (spool->synced.fd >= 0)
    {
        loop_forget(spool->loop, &spool->synced);
        close(spool->synced.fd);
    }
    loop_timer_close(spool->loop, &spool->retry);
    loop_timer_close(spool->loop, &spool->rest);
    loop_timer_close(spool->loop, &spool->again);
    if (spool->troubled)
        atomic_fetch_sub(&spool->directory->troubled, 1);
    free(spool);
}
