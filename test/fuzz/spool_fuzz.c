/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_fuzz.c: any bytes as a segment of the spool: as they are, and once more with magic numbers
 * and checksums that are right wherever a record could stand, so that what is in the records is
 * read too. Reading has to end, to miss no byte, and to make rows that can be written and read
 * again.
 *
 *     build/fuzz/spool_fuzz CORPUS test/fuzz/corpus/spool
 */
#include "require.h"

#include <endian.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../../forwarder/spool_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void free_rows(struct outcome *rows)
{
    while (rows != NULL)
    {
        struct outcome *next = rows->next;

        free(rows);
        rows = next;
    }
}

static size_t length_of(const char *text)
{
    return text == NULL ? 0 : strlen(text);
}

static void check_row(const struct outcome *row)
{
    REQUIRE(strcmp(row->routed_to, "unified") == 0 || strcmp(row->routed_to, "legacy") == 0 ||
            strcmp(row->routed_to, "error") == 0);
    REQUIRE(strlen(row->error_message) < ERROR_LIMIT);
    REQUIRE(length_of(row->webhook_name) + length_of(row->domain) + length_of(row->reason) +
                length_of(row->from_number) + length_of(row->message_id) +
                length_of(row->message_type) + length_of(row->correlation_id) <
            (size_t) 7 * 0xffff);
}

/* What was read can be written, and then says the same. */
static void check_again(const struct outcome *rows, size_t count)
{
    static const uint8_t ID[16] = "another segment";
    struct record_key key = record_key_of(ID);
    size_t counted, size = record_decided_size(rows, &counted), room = size + RECORD_OUTCOME_MOST;
    uint8_t *data = calloc(1, room);
    struct record record;
    struct outcome *again;

    REQUIRE(data != NULL && size > 0 && counted == count);
    record_put_decided(&key, 0, data, rows, count);
    room = size + record_put_outcome(&key, size, data + size, 0, rows);
    record = record_read(&key, data, room, 0);
    REQUIRE(record.kind == RECORD_DECIDED && record.size == size);
    REQUIRE(record_read(&key, data, room, size).kind == RECORD_OUTCOME);
    again = record_rows(data, 0, size, &counted);
    REQUIRE(again != NULL && counted == count);
    REQUIRE(strcmp(again->error_message, rows->error_message) == 0);
    REQUIRE(length_of(again->message_id) == length_of(rows->message_id));
    free_rows(again);
    free(data);
}

static void check_rows(const uint8_t *data, size_t decided, size_t outcome)
{
    size_t count;
    struct outcome *rows = record_rows(data, decided, outcome, &count);

    REQUIRE(rows != NULL && count > 0);
    for (const struct outcome *row = rows; row != NULL; row = row->next)
        check_row(row);
    check_again(rows, count);
    free_rows(rows);
}

static struct record_key key_of(const uint8_t *data, size_t size)
{
    uint8_t id[16] = "no header";

    if (segment_read_header(data, size, id) == SEGMENT_NO_HEADER)
        memcpy(id, "no header at all", sizeof id);
    return record_key_of(id);
}

static void check_segment(const struct record_key *key, const uint8_t *data, size_t size)
{
    size_t place = SEGMENT_HEADER, decided = 0;

    for (;;)
    {
        struct record record = record_read(key, data, size, place);

        REQUIRE(record.place == place);
        if (record.kind == RECORD_END)
            break;
        REQUIRE(record.size > 0 && record.size <= size - place);
        if (record.kind == RECORD_DECIDED)
            check_rows(data, decided = place, 0);
        if (record.kind == RECORD_OUTCOME && decided != 0)
            check_rows(data, decided, place);
        place = (place + record.size + 7) & ~(size_t) 7;
    }
    for (; place < size; place++)
        REQUIRE(data[place] == 0);
}

/* Makes whatever stands at each place a record with a good checksum. */
static void seal(const struct record_key *key, uint8_t *data, size_t size)
{
    const uint32_t magic = htole32(key->magic);
    size_t padded, place = SEGMENT_HEADER;

    for (; place + RECORD_HEADER <= size; place += RECORD_HEADER + padded)
    {
        uint8_t *record = data + place, *body = record + RECORD_HEADER;
        uint32_t length;
        uint64_t sum;

        memcpy(&length, record + 4, sizeof length);
        padded = ((size_t) le32toh(length) + 7) & ~(size_t) 7;
        if (padded > size - place - RECORD_HEADER)
            return;
        sum = htole64(XXH3_64bits_withSeed(body, padded,
                                           key->seed ^ place ^ (uint64_t) le32toh(length) << 32));
        memcpy(record, &magic, sizeof magic);
        memcpy(record + 8, &sum, sizeof sum);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record_key key = key_of(data, size);
    uint8_t *copy = malloc(size);

    REQUIRE(copy != NULL || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    check_segment(&key, copy, size);
    seal(&key, copy, size);
    check_segment(&key, copy, size);
    free(copy);
    return 0;
}
