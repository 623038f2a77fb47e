/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_replay.c: rows out of segments that nothing is written to any more, one segment at a time,
 * a slice in each call: its bytes are loaded, then its records looked at and each OUTCOME put
 * beside its DECIDED, then rows handed out.
 *
 * Two kinds of segments are read. Those of an earlier life: a DECIDED without an OUTCOME is an
 * attempt that the end of that life cut off, and its rows are stored with the unknown outcome. And
 * our own with spilled rows, as soon as memory has none of their rows any more: then whatever has
 * no OUTCOME was never spilled and has been dealt with. Rows that are stored already come again
 * with the others; the database keeps the first.
 *
 * Bytes that are no good record go to set-aside/, and reading goes on at the next good one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spool_inside.h"

#define LOAD_SLICE ((size_t) 1 << 20)  /* bytes of a file that one call reads */
#define INDEX_SLICE ((size_t) 1 << 20) /* ... and looks at */

/* ---- choosing ---- */

/* Rows of ours can be read when all the others of their segment are stored. */
static bool replay_may_begin(const struct spool_segment *segment)
{
    return segment->unread ||
           (segment->spilled > 0 && segment->rows == 0 && segment->open == 0 && !segment->dirty);
}

static bool replay_begin(struct spool *spool, struct spool_segment *segment)
{
    struct replay *replay = &spool->replay;

    if (segment->size > 0 && segment->size <= SEGMENT_SIZE)
    {
        replay->data = malloc(segment->size);
        if (replay->data == NULL)
            return false;
    }
    replay->segment = segment;
    replay->length = replay->entry_count = replay->next_entry = 0;
    replay->place = SEGMENT_HEADER;
    replay->loaded = replay->indexed = false;
    segment->replaying = true;
    segment->unread = false;
    segment->spilled = 0;
    return true;
}

/* Forgets the buffers; the segment stays until its rows are stored. */
static void replay_end(struct spool *spool)
{
    struct replay *replay = &spool->replay;

    replay->segment->replaying = false;
    if (!spool_wants(replay->segment))
        spool->wanted--;
    replay->segment = NULL;
    free(replay->data);
    replay->data = NULL;
}

static bool replay_choose(struct spool *spool)
{
    struct spool_segment *segment = spool->first;

    if (spool->active != NULL && spool->active->spilled > 0)
        spool_retire(spool); /* so that its other rows come to an end */
    while (segment != NULL && (segment == spool->active || !replay_may_begin(segment)))
        segment = segment->next;
    return segment != NULL && replay_begin(spool, segment);
}

/* ---- what is damaged ---- */

static void replay_complain(struct replay *replay, size_t place, size_t size, bool kept)
{
    struct log_line line;

    if (!log_begin_limited(&line, LOG_WARNING, EVENT_SPOOL_RECORD_DAMAGED,
                           kept ? "a part of a segment is unreadable: it is set aside, the rest is "
                                  "read"
                                : "a part of a segment is unreadable, and could not be set aside; "
                                  "the rest is read"))
        return;
    log_text(&line, "segment", replay->segment->name);
    log_number(&line, "place", (int64_t) place);
    log_number(&line, "bytes", (int64_t) size);
    log_end(&line);
}

static void replay_damaged(struct spool *spool, size_t place, size_t size)
{
    struct replay *replay = &spool->replay;
    char name[SEGMENT_NAME + 32];
    bool kept;

    snprintf(name, sizeof name, "%.36s-%zu.damaged", replay->segment->name, place);
    kept = spool_aside_bytes(spool->directory, name, replay->data + place, size);
    replay->segment->keep |= !kept;
    replay->damaged++;
    atomic_fetch_add(&spool->directory->damaged, 1);
    replay_complain(replay, place, size, kept);
}

/* ---- loading ---- */

/* Gives up a segment that cannot be read here and now; its file stays where it is. */
static void replay_leave(struct spool *spool, const char *message, int error)
{
    struct spool_segment *segment = spool->replay.segment;
    struct log_line line;

    if (log_begin_limited(&line, LOG_WARNING, EVENT_SPOOL_SEGMENT_LEFT, message))
    {
        log_text(&line, "segment", segment->name);
        log_text(&line, "detail", error == 0 ? NULL : strerror(error));
        log_end(&line);
    }
    replay_end(spool);
    spool_unlink(spool, segment, false);
}

/* Loads a slice; false when that did not succeed. */
static bool replay_load(struct spool *spool)
{
    struct replay *replay = &spool->replay;
    size_t left = replay->segment->size - replay->length;
    ssize_t length;

    if (replay->segment->size > SEGMENT_SIZE)
    {
        replay_leave(spool, "a file of the spool is longer than any segment: it is left alone", 0);
        return false;
    }
    length = left == 0 ? 0
                       : segment_load(replay->segment, replay->data + replay->length,
                                      left < LOAD_SLICE ? left : LOAD_SLICE, replay->length);
    if (length < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return false; /* that passes */
    if (length < 0)
    {
        replay_leave(spool, "a segment of the spool cannot be read: it is left alone", errno);
        return false;
    }
    replay->length += (size_t) length;
    replay->loaded = length == 0 || replay->length == replay->segment->size;
    return true;
}

static bool all_zero(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* Looks at the header. A damaged one is no reason to give the records up: what a reader needs to
 * know is in the file's name too. */
static void replay_read_header(struct spool *spool)
{
    struct replay *replay = &spool->replay;
    struct spool_segment *segment = replay->segment;
    uint8_t id[16];

    switch (segment_read_header(replay->data, replay->length, id))
    {
    case SEGMENT_GOOD:
        segment->key = record_key_of(id);
        break;
    case SEGMENT_OTHER_VERSION:
        replay_leave(spool, "a segment of the spool is of another version: it is left alone", 0);
        break;
    case SEGMENT_NO_HEADER:
        if (all_zero(replay->data, replay->length))
            replay->indexed = true; /* half made: no records */
        else
            replay_damaged(spool, 0,
                           replay->length < SEGMENT_HEADER ? replay->length : SEGMENT_HEADER);
        break;
    }
}

/* ---- indexing ---- */

static bool replay_add(struct replay *replay, size_t decided)
{
    if (replay->entry_count == replay->entry_room)
    {
        size_t room = replay->entry_room == 0 ? 4096 : replay->entry_room * 2;
        void *entries = realloc(replay->entries, room * sizeof *replay->entries);

        if (entries == NULL)
            return false;
        replay->entries = entries;
        replay->entry_room = room;
    }
    replay->entries[replay->entry_count++] = (struct replay_entry){(uint32_t) decided, 0};
    return true;
}

/* The DECIDED at that place, NULL when there is none that could be read. */
static struct replay_entry *replay_find(struct replay *replay, uint64_t decided)
{
    size_t low = 0, high = replay->entry_count;

    while (low < high)
    {
        size_t middle = (low + high) / 2;

        if (replay->entries[middle].decided < decided)
            low = middle + 1;
        else
            high = middle;
    }
    return low < replay->entry_count && replay->entries[low].decided == decided
               ? &replay->entries[low]
               : NULL;
}

/* Looks at a slice of the records; false without memory. */
static bool replay_index(struct spool *spool)
{
    struct replay *replay = &spool->replay;
    size_t end = replay->place + INDEX_SLICE;
    struct replay_entry *entry;

    while (!replay->indexed && replay->place < end)
    {
        struct record record =
            record_read(&replay->segment->key, replay->data, replay->length, replay->place);

        if (record.kind == RECORD_DECIDED && !replay_add(replay, record.place))
            return false;
        if (record.kind == RECORD_OUTCOME)
        {
            entry = replay_find(replay, record.decided);
            if (entry != NULL)
                entry->outcome = (uint32_t) record.place;
            else
                replay_damaged(spool, record.place, record.size); /* its DECIDED is */
        }
        if (record.kind == RECORD_DAMAGED)
            replay_damaged(spool, record.place, record.size);
        replay->indexed = record.kind == RECORD_END;
        replay->place += record.size;
        replay->place = (replay->place + 7) & ~(size_t) 7;
    }
    return true;
}

/* ---- rows ---- */

/* Rows of one attempt, in the segment; NULL without memory. */
static struct outcome *replay_attempt(struct spool *spool, const struct replay_entry *entry,
                                      size_t *count)
{
    struct replay *replay = &spool->replay;
    struct outcome *rows = record_rows(replay->data, entry->decided, entry->outcome, count);

    for (struct outcome *row = rows; row != NULL; row = row->next)
    {
        row->segment = replay->segment;
        row->place = entry->decided;
    }
    if (rows == NULL)
        return NULL;
    replay->segment->rows += *count;
    replay->rows += *count;
    replay->unknown += entry->outcome == 0 ? *count : 0;
    return rows;
}

static struct outcome *replay_rows(struct spool *spool, size_t most)
{
    struct replay *replay = &spool->replay;
    struct outcome *first = NULL, **last = &first;
    size_t taken = 0, count;

    for (; replay->next_entry < replay->entry_count && taken < most; replay->next_entry++)
    {
        const struct replay_entry *entry = &replay->entries[replay->next_entry];

        if (entry->outcome == 0 && replay->segment->file != NULL)
            continue;
        *last = replay_attempt(spool, entry, &count);
        if (*last == NULL)
            break;
        taken += count;
        while (*last != NULL)
            last = &(*last)->next;
    }
    return first;
}

/* Everything that waited has been handed out. */
static void replay_report(struct spool *spool)
{
    struct replay *replay = &spool->replay;
    struct log_line line;

    if (spool->wanted > 0 || replay->rows + replay->damaged == 0)
        return;
    if (log_begin_limited(&line, replay->damaged > 0 ? LOG_WARNING : LOG_INFO, EVENT_SPOOL_REPLAYED,
                          "rows that waited in the spool are on their way to the database"))
    {
        log_number(&line, "rows", (int64_t) replay->rows);
        log_number(&line, "unknown", (int64_t) replay->unknown);
        log_number(&line, "damaged", (int64_t) replay->damaged);
        log_end(&line);
    }
    replay->rows = replay->unknown = replay->damaged = 0;
}

/* Nothing is left to hand out of this segment. */
static void replay_finish(struct spool *spool)
{
    struct spool_segment *segment = spool->replay.segment;

    replay_end(spool);
    spool_review(spool, segment);
    replay_report(spool);
}

bool spool_has_replay(const struct spool *spool)
{
    return spool->wanted > 0;
}

/* One step with the chosen segment that hands no rows out; false when nothing came of it. */
static bool replay_step(struct spool *spool)
{
    struct replay *replay = &spool->replay;

    if (replay->loaded)
        return replay_index(spool);
    if (!replay_load(spool))
        return replay->segment == NULL;
    if (replay->loaded)
        replay_read_header(spool);
    return true;
}

struct outcome *spool_replay(struct spool *spool, size_t most)
{
    struct replay *replay = &spool->replay;
    struct outcome *rows = NULL;
    bool moved;

    if (replay->segment == NULL && !replay_choose(spool))
        return NULL;
    if (replay->indexed)
        rows = replay_rows(spool, most);
    moved = replay->indexed ? rows != NULL : replay_step(spool);
    if (replay->segment != NULL && replay->indexed && replay->next_entry == replay->entry_count)
    {
        replay_finish(spool);
        moved = true;
    }
    if (rows == NULL && moved && spool->wanted > 0)
        loop_arm(spool->loop, &spool->again, spool->loop->now_us);
    return rows;
}

void replay_close(struct replay *replay)
{
    free(replay->data);
    free(replay->entries);
    *replay = (struct replay){0};
}
