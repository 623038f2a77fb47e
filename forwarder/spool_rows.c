/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_rows.c: rows of attempts go into a worker's segments, and leave them: stored, spilled, or
 * for a better segment when theirs has failed.
 */
#include <string.h>

#include "spool_inside.h"

/* In the place of an attempt's first row: its OUTCOME is still to come. Places are multiples of 8.
 */
#define ATTEMPT_OPEN 1u

/* ---- rows that come ---- */

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
        segment->first_ticket = segment->last_ticket;
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

    if (segment == NULL || segment->bad || segment->pending_length > 0 ||
        (row->place & ATTEMPT_OPEN) != 0)
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
