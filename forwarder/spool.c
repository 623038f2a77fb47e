/* SPDX-License-Identifier: PostgreSQL
 *
 * spool.c: a worker's spool: which segment takes what, the turn's write, what became of a ticket,
 * when a segment can go.
 *
 * One segment is active: it takes DECIDEDs until it is full, fails, or has had nothing to keep for
 * a moment. An older one still takes the OUTCOMEs of its own attempts; room for them was kept, in
 * the file and in memory, when the DECIDED was taken. It is removed when no attempt of it is under
 * way and the database has all its rows.
 *
 * What fails: a segment that cannot be written or synced is bad. It takes nothing more, tickets
 * that it has not made durable are lost, and its rows stay in memory until they are stored. When no
 * new segment can be made, the spool is troubled: it takes nothing, and tries once a second.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "forwarder.h"
#include "spool_segment.h"

#define RETRY_US 1000000 /* between two tries of a troubled spool */
#define REST_US 1000000  /* an active segment with nothing to keep goes after so long */

/* In the place of an attempt's first row: its OUTCOME is still to come. Places are multiples of 8.
 */
#define ATTEMPT_OPEN 1u

/* ---- troubles ---- */

/* One line for all workers: when the first of them cannot write, and when the last one can again.
 */
static void spool_become_troubled(struct spool *spool, const struct spool_trouble *trouble)
{
    struct log_line line;

    loop_arm(spool->loop, &spool->retry, spool->loop->now_us + RETRY_US);
    if (spool->troubled)
        return;
    spool->troubled = true;
    if (atomic_fetch_add(&spool->directory->troubled, 1) > 0 ||
        !log_begin_limited(&line, LOG_ERROR, "spool_unusable",
                           "the spool cannot be used: decisions are committed in the database "
                           "before they are acted upon",
                           &spool->limiter))
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
        !log_begin_limited(&line, LOG_INFO, "spool_usable", "the spool can be used again",
                           &spool->limiter))
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
        segment_remove_file(segment, &spool->limiter);
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
        if (segment->began_us == 0 || spool->loop->now_us < segment->began_us + REST_US)
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

/* Makes the active segment; the spool is troubled when that fails. */
static bool spool_activate(struct spool *spool)
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
    spool_append(spool, spool->active);
    spool_become_usable(spool);
    return true;
}

/* ---- tickets ---- */

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
                 &line, LOG_ERROR, "spool_write_failed",
                 "outcomes could not be written to the spool: they are kept in memory "
                 "until the database has them",
                 &spool->limiter))
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

static void spool_mark_dirty(struct spool *spool, struct spool_segment *segment)
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

/* ---- records ---- */

bool spool_usable(const struct spool *spool)
{
    return !spool->troubled;
}

/* Sees to it that the active segment has room for a DECIDED. */
static bool spool_admit(struct spool *spool, size_t size)
{
    if (spool->troubled ||
        size + RECORD_OUTCOME_MOST > spool->directory->segment_size - SEGMENT_HEADER)
        return false;
    if (spool->active != NULL && !segment_has_room(spool->active, size))
        spool_retire(spool);
    return (spool->active != NULL || spool_activate(spool)) && segment_reserve(spool->active, size);
}

uint64_t spool_decided(struct spool *spool, struct outcome *rows)
{
    struct spool_segment *segment;
    size_t count, size = record_decided_size(rows, &count);
    uint64_t place;

    if (size == 0 || count == 0 || !spool_admit(spool, size))
        return 0;
    segment = spool->active;
    place = segment_end(segment);
    segment_append_decided(segment, size, rows, count);
    for (struct outcome *row = rows; row != NULL; row = row->next)
    {
        row->segment = segment;
        row->place = place;
    }
    rows->place |= ATTEMPT_OPEN;
    segment->open++;
    segment->rows += count;
    segment->last_ticket = ++spool->last_ticket;
    if (segment->first_ticket == 0)
    {
        segment->first_ticket = segment->last_ticket;
        segment->began_us = spool->loop->now_us;
        loop_arm(spool->loop, &spool->rest, segment->began_us + REST_US);
    }
    spool_mark_dirty(spool, segment);
    return segment->last_ticket;
}

void spool_finished(struct spool *spool, struct outcome *rows)
{
    struct spool_segment *segment = rows == NULL ? NULL : rows->segment;

    if (segment == NULL)
        spool->stranded = true;
    if (segment == NULL || (rows->place & ATTEMPT_OPEN) == 0)
        return;
    rows->place &= ~(uint64_t) ATTEMPT_OPEN;
    segment->open--;
    if (segment->bad)
    {
        spool->stranded = true;
        return;
    }
    segment_append_outcome(segment, rows->place, rows);
    spool_mark_dirty(spool, segment);
}

/* ---- rows that leave ---- */

/* The row belongs to no segment any more. */
static struct spool_segment *spool_detach(struct outcome *row)
{
    struct spool_segment *segment = row->segment;

    if ((row->place & ATTEMPT_OPEN) != 0)
        segment->open--;
    segment->rows--;
    row->segment = NULL;
    row->place = 0;
    return segment;
}

void spool_stored(struct spool *spool, struct outcome *row)
{
    if (row->segment != NULL)
        spool_review(spool, spool_detach(row));
}

bool spool_spill(struct spool *spool, struct outcome *row)
{
    struct spool_segment *segment = row->segment;

    if (segment == NULL || (row->place & ATTEMPT_OPEN) != 0)
        return false;
    if (segment->bad || segment->pending_length > 0)
        return false;
    if (!spool_wants(segment))
        spool->wanted++;
    spool_detach(row);
    segment->spilled++;
    return true;
}

/* ---- rows that a segment has failed ---- */

bool spool_is_safe(const struct spool *spool, const struct outcome *row)
{
    const struct spool_segment *segment = row->segment;

    return segment != NULL && !segment->bad && segment->pending_length == 0 &&
           (segment->file == NULL || syncer_is_done(&spool->directory->syncer, segment->file));
}

/* The last of the rows that are of the same attempt as the first; *count: how many they are. */
static struct outcome *spool_attempt_end(struct outcome *row, size_t *count)
{
    const struct outcome *first = row;

    for (*count = 1; row->next != NULL && row->next->segment == first->segment &&
                     row->next->attempt == first->attempt &&
                     memcmp(row->next->decision_id, first->decision_id, 16) == 0;
         ++*count)
        row = row->next;
    return row;
}

/* Writes rows of an attempt into the active segment. The one that they were in is looked at only
 * after that has been written: until then its file is better than none. */
static bool spool_move(struct spool *spool, struct outcome *rows, size_t count)
{
    struct spool_segment *before = rows->segment;

    if (spool_decided(spool, rows) == 0)
        return false;
    spool_finished(spool, rows);
    if (before == NULL)
        return true;
    before->rows -= count;
    spool_mark_dirty(spool, before);
    return true;
}

bool spool_rescue(struct spool *spool, struct outcome *rows, size_t most)
{
    struct outcome *next, *last;
    size_t count, moved = 0;

    if (!spool->stranded)
        return false;
    for (; rows != NULL && !spool->troubled && moved < most; rows = next)
    {
        last = spool_attempt_end(rows, &count);
        next = last->next;
        if (rows->segment != NULL && !rows->segment->bad)
            continue;
        last->next = NULL;
        moved += spool_move(spool, rows, count) ? count : 0;
        last->next = next;
    }
    /* When the spool is troubled, its becoming usable begins anew. */
    spool->stranded = rows != NULL && !spool->troubled;
    return moved > 0;
}

void spool_settle(struct spool *spool)
{
    spool_turn(spool);
    for (struct spool_segment *segment = spool->first; segment != NULL; segment = segment->next)
        if (segment->file != NULL && !segment->bad &&
            !syncer_wait(&spool->directory->syncer, segment->file))
            spool_condemn(spool, segment, spool->settled + 1);
}

bool spool_set_aside(struct spool *spool, const struct outcome *row)
{
    struct outcome alone = *row;
    char name[SEGMENT_NAME];
    struct record_key key;
    size_t count, decided, size;
    uint8_t id[16], *data;
    bool good;

    alone.next = NULL;
    decided = record_decided_size(&alone, &count);
    data = decided == 0 || !atomic_load(&spool->directory->ready)
               ? NULL
               : malloc(SEGMENT_HEADER + decided + RECORD_OUTCOME_MOST);
    if (data == NULL)
        return false;
    identity_make(id);
    key = record_key_of(id);
    segment_name_of(id, name);
    segment_put_header(data, id, spool->number, identity_now_us());
    record_put_decided(&key, SEGMENT_HEADER, data + SEGMENT_HEADER, &alone, count);
    size = SEGMENT_HEADER + decided;
    size += record_put_outcome(&key, size, data + size, SEGMENT_HEADER, &alone);
    good = spool_aside_bytes(spool->directory, name, data, size);
    free(data);
    return good;
}

/* ---- what the loop brings ---- */

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

/* The syncer has something to tell. */
static void spool_synced(struct loop_source *source, uint32_t events)
{
    struct spool *spool = source->owner;
    uint64_t before = spool->settled, done, count;
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
    if (spool->settled > before)
        spool->woken(spool->owner);
}

static void spool_retry(struct loop_timer *timer)
{
    struct spool *spool = timer->owner;

    if (spool->troubled)
        (void) spool_activate(spool);
}

/* Once a second while the active segment holds records: an idle forwarder keeps none. */
static void spool_rest(struct loop_timer *timer)
{
    struct spool *spool = timer->owner;

    if (spool->active == NULL || spool->active->began_us == 0)
        return;
    loop_arm(spool->loop, timer, spool->loop->now_us + REST_US);
    spool_review(spool, spool->active);
}

/* Only makes a turn happen: replay has more to do. */
static void spool_again(struct loop_timer *timer)
{
    (void) timer;
}

/* ---- open and close ---- */

struct spool *spool_open(struct spool_directory *directory, struct loop *loop, int number,
                         void (*woken)(void *owner), void *owner)
{
    struct spool *spool = calloc(1, sizeof *spool);

    if (spool == NULL)
        return NULL;
    spool->directory = directory;
    spool->loop = loop;
    spool->number = number;
    spool->woken = woken;
    spool->owner = owner;
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
