/* SPDX-License-Identifier: PostgreSQL
 *
 * Rows to bytes and back, and what is made of bytes that something happened to.
 */
#include "spool_rows.h"

static const uint8_t ID[16] = "an id of a file";

/* A segment in memory. */
struct bytes
{
    struct record_key key;
    size_t length;
    uint8_t data[1 << 20];
};

static struct bytes *begin(void)
{
    struct bytes *bytes = calloc(1, sizeof *bytes);

    assert_non_null(bytes);
    bytes->key = record_key_of(ID);
    segment_put_header(bytes->data, ID, 3, 1700000000000000);
    bytes->length = SEGMENT_HEADER;
    return bytes;
}

static size_t add_decided(struct bytes *bytes, const struct outcome *rows)
{
    size_t place = bytes->length, count, size = record_decided_size(rows, &count);

    assert_true(size > 0 && size % 8 == 0 && place + size <= sizeof bytes->data);
    record_put_decided(&bytes->key, place, bytes->data + place, rows, count);
    bytes->length += size;
    return place;
}

static size_t add_outcome(struct bytes *bytes, size_t decided, const struct outcome *row)
{
    size_t place = bytes->length;
    size_t size = record_put_outcome(&bytes->key, place, bytes->data + place, decided, row);

    assert_true(size <= RECORD_OUTCOME_MOST && size % 8 == 0);
    bytes->length += size;
    return place;
}

static struct record read_bytes(const struct bytes *bytes, size_t place)
{
    return record_read(&bytes->key, bytes->data, bytes->length, place);
}

/* Each of the 128 combinations of absent texts. */
static void absent_texts(void **state)
{
    struct bytes *bytes = begin();
    size_t count;

    (void) state;
    for (unsigned mask = 0; mask < 1u << TEXTS; mask++)
    {
        struct outcome *row = make_row(mask, mask), *back;
        size_t place = add_decided(bytes, row);
        struct record record = read_bytes(bytes, place);

        assert_int_equal(record.kind, RECORD_DECIDED);
        assert_int_equal(record.size, bytes->length - place);
        back = record_rows(bytes->data, place, 0, &count);
        assert_int_equal(count, 1);
        same_row(row, back);
        unknown_outcome(back);
        free(row);
        free_rows(back);
    }
    free(bytes);
}

static void thousand_items(void **state)
{
    struct bytes *bytes = begin();
    struct outcome *rows = make_rows(0, ITEM_LIMIT), *back, *row, *other;
    size_t place, outcome, count;

    (void) state;
    for (row = rows; row != NULL; row = row->next)
        row->routed_to = "unified";
    place = add_decided(bytes, rows);
    finish_rows(rows, 200, "");
    outcome = add_outcome(bytes, place, rows);
    assert_int_equal(read_bytes(bytes, place).size, outcome - place);
    assert_int_equal(read_bytes(bytes, outcome).kind, RECORD_OUTCOME);
    assert_int_equal(read_bytes(bytes, outcome).decided, place);
    assert_int_equal(read_bytes(bytes, bytes->length).kind, RECORD_END);
    back = record_rows(bytes->data, place, outcome, &count);
    assert_int_equal(count, ITEM_LIMIT);
    for (row = rows, other = back; row != NULL; row = row->next, other = other->next)
    {
        same_row(row, other);
        same_outcome(row, other);
    }
    assert_null(other);
    free_rows(rows);
    free_rows(back);
    free(bytes);
}

/* The outcome's every field; the longest message and one that was not made. */
static void outcomes(void **state)
{
    static const struct
    {
        int status;
        const char *side, *message;
    } CASES[] = {
        {200, "unified", ""},
        {503, "legacy", "a function said no"},
        {0, "error",
         "a message as long as it gets: 0123456789 0123456789 0123456789 0123456789 0123456789 "
         "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"},
    };
    struct bytes *bytes = begin();
    struct outcome *row = make_row(1, 0x7f), *back;
    size_t decided = add_decided(bytes, row), outcome, count;

    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    {
        finish_rows(row, CASES[i].status, CASES[i].message);
        row->routed_to = CASES[i].side;
        outcome = add_outcome(bytes, decided, row);
        back = record_rows(bytes->data, decided, outcome, &count);
        same_outcome(row, back);
        free_rows(back);
    }
    assert_int_equal(strlen(row->error_message), ERROR_LIMIT - 1);
    free(row);
    free(bytes);
}

/* Any one bit changed: no record stands there any more, and the next one is found. */
static void every_bit(void **state)
{
    struct bytes *bytes = begin();
    struct outcome *rows = make_rows(5, 2);
    size_t place = add_decided(bytes, rows), next = add_outcome(bytes, place, rows);

    (void) state;
    for (size_t bit = place * 8; bit < next * 8; bit++)
    {
        struct record record;

        bytes->data[bit / 8] ^= (uint8_t) (1 << bit % 8);
        record = read_bytes(bytes, place);
        assert_int_equal(record.kind, RECORD_DAMAGED);
        assert_int_equal(record.size, next - place);
        bytes->data[bit / 8] ^= (uint8_t) (1 << bit % 8);
    }
    assert_int_equal(read_bytes(bytes, place).kind, RECORD_DECIDED);
    free_rows(rows);
    free(bytes);
}

/* A good record is no record elsewhere: not at another place, not in another segment, and not in a
 * text that a webhook brought. */
static void not_elsewhere(void **state)
{
    static const char OTHER[] = "an id of another";
    struct record_key other = record_key_of((const uint8_t *) OTHER);
    struct bytes *bytes = begin();
    struct outcome *row = make_row(1, 0x7f);
    size_t place = add_decided(bytes, row), size = bytes->length - place;

    (void) state;
    assert_int_equal(record_read(&other, bytes->data, bytes->length, place).kind, RECORD_DAMAGED);
    memcpy(bytes->data + bytes->length, bytes->data + place, size);
    bytes->length += size;
    assert_int_equal(read_bytes(bytes, place + size).kind, RECORD_DAMAGED);
    free(row);
    free(bytes);
}

/* A text longer than any that the engine lets through has no record. */
static void too_long(void **state)
{
    struct outcome *row = make_row(1, 0);
    char *text = calloc(1, 70000);
    size_t count;

    (void) state;
    assert_non_null(text);
    memset(text, 'x', 69999);
    row->message_id = text;
    assert_int_equal(record_decided_size(row, &count), 0);
    free(text);
    free(row);
}

static void headers_and_names(void **state)
{
    uint8_t header[SEGMENT_HEADER], id[16];
    char name[SEGMENT_NAME];

    (void) state;
    segment_put_header(header, ID, 3, 1700000000000000);
    assert_int_equal(segment_read_header(header, sizeof header, id), SEGMENT_GOOD);
    assert_memory_equal(id, ID, 16);
    assert_int_equal(segment_read_header(header, sizeof header - 1, id), SEGMENT_NO_HEADER);
    for (size_t bit = 0; bit < sizeof header * 8; bit++)
    {
        header[bit / 8] ^= (uint8_t) (1 << bit % 8);
        assert_int_equal(segment_read_header(header, sizeof header, id), SEGMENT_NO_HEADER);
        header[bit / 8] ^= (uint8_t) (1 << bit % 8);
    }
    segment_name_of(ID, name);
    assert_true(segment_parse_name(name, id));
    assert_memory_equal(id, ID, 16);
    assert_false(segment_parse_name("lock", id));
    name[3] = 'G';
    assert_false(segment_parse_name(name, id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_texts),      cmocka_unit_test(thousand_items),
        cmocka_unit_test(outcomes),          cmocka_unit_test(every_bit),
        cmocka_unit_test(not_elsewhere),     cmocka_unit_test(too_long),
        cmocka_unit_test(headers_and_names),
    };

    return cmocka_run_group_tests_name("forwarder_record", tests, NULL, NULL);
}
