/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_record.c: rows to bytes and back; see spool_inside.h for the format. Pure, and the place
 * where a file that anything may have happened to is read: no length in it is believed before the
 * bytes that it speaks of are known to be there, and no body before its checksum was right.
 */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "forwarder.h"
#include "little_endian.h"
#include "spool_inside.h"
#include "text.h"

#define KIND_DECIDED 1
#define KIND_OUTCOME 2
#define FLAG_SUCCESS 1
#define FLAG_AMBIGUOUS 2
#define NO_TEXT 0xffff /* instead of a length: NULL */

/* Bytes in front of a DECIDED's rows, of a row without its texts, and of an OUTCOME without its
 * message. */
#define DECIDED_FIXED 8
#define ROW_FIXED 79
#define OUTCOME_FIXED 24

_Static_assert((RECORD_HEADER + OUTCOME_FIXED + ERROR_LIMIT - 1 + 7) / 8 * 8 == RECORD_OUTCOME_MOST,
               "RECORD_OUTCOME_MOST");
_Static_assert(ERROR_LIMIT <= 256, "its length is one byte");

/*  X(index, field): a row's texts, in the order of the file */
#define ROW_TEXTS(X)                                                                               \
    X(0, webhook_name)                                                                             \
    X(1, domain)                                                                                   \
    X(2, reason)                                                                                   \
    X(3, from_number)                                                                              \
    X(4, message_id)                                                                               \
    X(5, message_type)                                                                             \
    X(6, correlation_id)
#define ROW_TEXT_COUNT 7

/* What `routed_to` can be, by its number in the file. */
static const char *const SIDES[] = {"error", "unified", "legacy"};
#define SIDE_COUNT (sizeof SIDES / sizeof *SIDES)

static uint8_t side_of(const char *routed_to)
{
    for (uint8_t side = 1; routed_to != NULL && side < SIDE_COUNT; side++)
        if (strcmp(SIDES[side], routed_to) == 0)
            return side;
    return 0;
}

/* ---- a record around its body ---- */

struct record_key record_key_of(const uint8_t id[16])
{
    struct record_key key = {.seed = XXH3_64bits(id, 16)};

    key.magic = (uint32_t) (key.seed >> 32) | 1; /* zeros are no record */
    return key;
}

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t) 7;
}

/* Of the body and the zeros behind it; every bit of the record changes it. */
static uint64_t checksum(const struct record_key *key, uint64_t place, const uint8_t *record,
                         uint32_t length)
{
    return XXH3_64bits_withSeed(record + RECORD_HEADER, padded(length),
                                key->seed ^ place ^ (uint64_t) length << 32);
}

/* Closes the record at `to` whose body is `length` bytes; returns its size. */
static size_t finish(const struct record_key *key, uint64_t place, uint8_t *to, size_t length)
{
    memset(to + RECORD_HEADER + length, 0, padded(length) - length);
    put32(to, key->magic);
    put32(to + 4, (uint32_t) length);
    put64(to + 8, checksum(key, place, to, (uint32_t) length));
    return RECORD_HEADER + padded(length);
}

/* ---- writing ---- */

size_t record_decided_size(const struct outcome *rows, size_t *count)
{
    size_t size = RECORD_HEADER + DECIDED_FIXED;

    *count = 0;
    for (; rows != NULL; rows = rows->next)
    {
        const char *const texts[] = {
#define X(index, field) rows->field,
            ROW_TEXTS(X)
#undef X
        };

        size += ROW_FIXED;
        for (int i = 0; i < ROW_TEXT_COUNT; i++)
        {
            size_t length = texts[i] == NULL ? 0 : strlen(texts[i]);

            if (length >= NO_TEXT)
                return 0;
            size += length;
        }
        ++*count;
    }
    return padded(size);
}

static uint8_t *put_row(uint8_t *to, const struct outcome *row)
{
    const char *const texts[] = {
#define X(index, field) row->field,
        ROW_TEXTS(X)
#undef X
    };
    uint8_t *lengths;

    memcpy(to, row->id, 16);
    memcpy(to + 16, row->decision_id, 16);
    to = put64(to + 32, (uint64_t) row->created_us);
    to = put64(to, (uint64_t) row->config_version);
    to = put32(to, (uint32_t) row->attempt);
    to = put32(to, (uint32_t) row->item);
    to = put32(to, (uint32_t) row->bucket);
    to = put32(to, (uint32_t) row->percentage);
    *to++ = side_of(row->routed_to);
    lengths = to;
    to += 2 * ROW_TEXT_COUNT;
    for (int i = 0; i < ROW_TEXT_COUNT; i++)
    {
        size_t length = texts[i] == NULL ? 0 : strlen(texts[i]);

        lengths = put16(lengths, texts[i] == NULL ? NO_TEXT : (uint16_t) length);
        if (length > 0)
            memcpy(to, texts[i], length);
        to += length;
    }
    return to;
}

void record_put_decided(const struct record_key *key, uint64_t place, uint8_t *to,
                        const struct outcome *rows, size_t count)
{
    uint8_t *at = to + RECORD_HEADER;

    at = put32(at, KIND_DECIDED);
    at = put32(at, (uint32_t) count);
    for (; rows != NULL; rows = rows->next)
        at = put_row(at, rows);
    finish(key, place, to, (size_t) (at - to) - RECORD_HEADER);
}

size_t record_put_outcome(const struct record_key *key, uint64_t place, uint8_t *to,
                          uint64_t decided, const struct outcome *row)
{
    size_t length = strnlen(row->error_message, ERROR_LIMIT - 1);
    uint8_t *at = to + RECORD_HEADER;
    uint64_t elapsed;

    memcpy(&elapsed, &row->response_time_ms, sizeof elapsed);
    *at++ = KIND_OUTCOME;
    *at++ = side_of(row->routed_to);
    *at++ = (uint8_t) ((row->success ? FLAG_SUCCESS : 0) | (row->ambiguous ? FLAG_AMBIGUOUS : 0));
    *at++ = (uint8_t) length;
    at = put32(at, (uint32_t) row->http_status);
    at = put64(at, decided);
    at = put64(at, elapsed);
    memcpy(at, row->error_message, length);
    return finish(key, place, to, OUTCOME_FIXED + length);
}

/* ---- reading ---- */

/* A row as it lies in the file. */
struct row_view
{
    const uint8_t *fixed;
    route_text texts[ROW_TEXT_COUNT];
    size_t total; /* bytes of the texts with a NUL each */
};

/* Looks at the row at `*at`, which may not pass `end`, and moves behind it. */
static bool view_row(struct row_view *view, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *text, *lengths;

    if ((size_t) (end - *at) < ROW_FIXED)
        return false;
    text = *at + ROW_FIXED;
    lengths = text - (ptrdiff_t) 2 * ROW_TEXT_COUNT;
    if (lengths[-1] >= SIDE_COUNT)
        return false;
    view->fixed = *at;
    view->total = 0;
    for (int i = 0; i < ROW_TEXT_COUNT; i++)
    {
        size_t length = get16(lengths + (size_t) 2 * i);

        view->texts[i] = (route_text){NULL, 0};
        if (length == NO_TEXT)
            continue;
        if ((size_t) (end - text) < length)
            return false;
        view->texts[i] = (route_text){(const char *) text, length};
        text += length;
        view->total += length + 1;
    }
    *at = text;
    return true;
}

static bool decided_is_whole(const uint8_t *body, size_t length)
{
    const uint8_t *at = body + DECIDED_FIXED;
    struct row_view view;

    if (length < DECIDED_FIXED || get32(body) != KIND_DECIDED || get32(body + 4) == 0)
        return false;
    for (uint32_t left = get32(body + 4); left > 0; left--)
        if (!view_row(&view, &at, body + length))
            return false;
    return at == body + length;
}

static bool outcome_is_whole(const uint8_t *body, size_t length)
{
    return length >= OUTCOME_FIXED && body[0] == KIND_OUTCOME && body[1] < SIDE_COUNT &&
           body[3] < ERROR_LIMIT && length == OUTCOME_FIXED + (size_t) body[3];
}

/* The record at `place`; its kind is RECORD_DAMAGED when there is none. */
static struct record read_at(const struct record_key *key, const uint8_t *data, size_t size,
                             size_t place)
{
    struct record record = {.kind = RECORD_DAMAGED, .place = place};
    const uint8_t *at = data + place, *body = at + RECORD_HEADER;
    uint32_t length;

    if (size - place < RECORD_HEADER || get32(at) != key->magic)
        return record;
    length = get32(at + 4);
    if (length > SEGMENT_SIZE || padded(length) > size - place - RECORD_HEADER ||
        get64(at + 8) != checksum(key, place, at, length))
        return record;
    record.size = RECORD_HEADER + padded(length);
    if (decided_is_whole(body, length))
        record.kind = RECORD_DECIDED;
    else if (outcome_is_whole(body, length))
    {
        record.kind = RECORD_OUTCOME;
        record.decided = get64(body + 8);
    }
    return record;
}

/* How many of the bytes there are left when the zeros at their end are not counted. */
static size_t without_zeros(const uint8_t *data, size_t size)
{
    while (size >= 8 && get64(data + size - 8) == 0)
        size -= 8;
    while (size > 0 && data[size - 1] == 0)
        size--;
    return size;
}

struct record record_read(const struct record_key *key, const uint8_t *data, size_t size,
                          size_t place)
{
    struct record record = {.kind = RECORD_END, .place = place};
    size_t next;

    if (place >= size)
        return record;
    record = read_at(key, data, size, place);
    if (record.kind != RECORD_DAMAGED)
        return record;
    for (next = padded(place + 1); next < size; next += 8)
        if (size - next >= RECORD_HEADER && get32(data + next) == key->magic &&
            read_at(key, data, size, next).kind != RECORD_DAMAGED)
            break;
    record.size = next < size ? next - place : without_zeros(data + place, size - place);
    if (record.size == 0)
        record.kind = RECORD_END;
    return record;
}

static struct outcome *make_row(const struct row_view *view)
{
    struct outcome *row = malloc(sizeof *row + view->total);
    const uint8_t *at = view->fixed;
    char *text;

    if (row == NULL)
        return NULL;
    memset(row, 0, sizeof *row);
    text = row->text;
    memcpy(row->id, at, 16);
    memcpy(row->decision_id, at + 16, 16);
    row->created_us = (int64_t) get64(at + 32);
    row->config_version = (int64_t) get64(at + 40);
    row->attempt = (int) get32(at + 48);
    row->item = (int) get32(at + 52);
    row->bucket = (int) get32(at + 56);
    row->percentage = (int) get32(at + 60);
    row->routed_to = SIDES[at[64]];
#define X(index, field) row->field = text_place(&text, view->texts[index]);
    ROW_TEXTS(X)
#undef X
    return row;
}

/* Gives the row the outcome in the body of an OUTCOME, NULL when there is none. */
static void take_outcome(struct outcome *row, const uint8_t *body)
{
    uint64_t elapsed;

    if (body == NULL)
    {
        row->ambiguous = true;
        row->response_time_ms = -1;
        memcpy(row->error_message, SPOOL_UNKNOWN, sizeof SPOOL_UNKNOWN);
        return;
    }
    row->routed_to = SIDES[body[1]];
    row->success = (body[2] & FLAG_SUCCESS) != 0;
    row->ambiguous = (body[2] & FLAG_AMBIGUOUS) != 0;
    row->http_status = (int) get32(body + 4);
    elapsed = get64(body + 16);
    memcpy(&row->response_time_ms, &elapsed, sizeof elapsed);
    memcpy(row->error_message, body + OUTCOME_FIXED, body[3]);
}

struct outcome *record_rows(const uint8_t *data, size_t decided, size_t outcome, size_t *count)
{
    const uint8_t *body = data + decided + RECORD_HEADER, *at = body + DECIDED_FIXED;
    const uint8_t *end = body + get32(data + decided + 4);
    struct outcome *first = NULL, **last = &first;
    struct row_view view;

    *count = 0;
    while (at < end && view_row(&view, &at, end))
    {
        *last = make_row(&view);
        if (*last == NULL)
        {
            while (first != NULL)
            {
                struct outcome *next = first->next;

                free(first);
                first = next;
            }
            return NULL;
        }
        take_outcome(*last, outcome == 0 ? NULL : data + outcome + RECORD_HEADER);
        last = &(*last)->next;
        ++*count;
    }
    return first;
}
