/* SPDX-License-Identifier: PostgreSQL
 *
 * A decision as record_send() writes it: read whole, or not at all.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

#define TEXT 25
#define INT4 23
#define INT8 20
#define NUMERIC 1700
#define UUID 2950

struct row
{
    char bytes[1024];
    size_t length;
};

static void put(struct row *row, const void *bytes, size_t length)
{
    assert_true(row->length + length <= sizeof row->bytes);
    memcpy(row->bytes + row->length, bytes, length);
    row->length += length;
}

static void put_word(struct row *row, uint32_t word)
{
    word = htobe32(word);
    put(row, &word, sizeof word);
}

static void put_value(struct row *row, uint32_t type, const void *bytes, size_t length)
{
    put_word(row, type);
    put_word(row, bytes == NULL ? UINT32_MAX : (uint32_t) length);
    if (bytes != NULL)
        put(row, bytes, length);
}

static void put_text(struct row *row, const char *text)
{
    put_value(row, TEXT, text, text == NULL ? 0 : strlen(text));
}

/* A row in the order of the statement; `numeric` as numeric_send() writes it. */
static struct row row_of(const char *webhook, const char *side, const void *bucket,
                         const void *numeric, size_t numeric_length)
{
    struct row row = {.length = 0};

    put_word(&row, 15);
    put_text(&row, webhook);
    put_text(&row, NULL);
    put_text(&row, side);
    put_text(&row, "orders");
    put_text(&row, "percentage");
    put_text(&row, "a keyword");
    put_value(&row, INT4, bucket, 4);
    put_value(&row, NUMERIC, numeric, numeric_length);
    put_text(&row, "4915");
    put_text(&row, "wamid.X");
    put_text(&row, "");
    put_text(&row, "wa-legacy");
    put_text(&row, "https://legacy.example");
    put_value(&row, UUID, NULL, 0);
    put_value(&row, INT8, "\0\0\0\1\0\0\0\2", 8);
    return row;
}

static bool read_row(const struct row *row, struct decided *decided, int64_t *version)
{
    return decision_read((route_text){row->bytes, row->length}, decided, version);
}

static void assert_text(route_text text, const char *expected)
{
    assert_non_null(text.data);
    assert_int_equal(text.length, strlen(expected));
    assert_memory_equal(text.data, expected, text.length);
}

static void whole(void **state)
{
    /* 12.34 */
    struct row row =
        row_of("wa-unified", "unified", "\0\0\x27\x0f", "\0\2\0\0\0\0\0\2\0\x0c\x0d\x48", 12);
    struct decided decided;
    int64_t version;

    (void) state;
    assert_true(read_row(&row, &decided, &version));
    assert_text(decided.webhook, "wa-unified");
    assert_null(decided.url.data);
    assert_text(decided.fallback_webhook, "wa-legacy");
    assert_text(decided.fallback_url, "https://legacy.example");
    assert_text(decided.domain, "orders");
    assert_text(decided.reason, "percentage");
    assert_text(decided.from_number, "4915");
    assert_text(decided.message_id, "wamid.X");
    assert_text(decided.message_type, "");
    assert_int_equal(decided.side, ROUTE_UNIFIED);
    assert_int_equal(decided.bucket, 9999);
    assert_int_equal(decided.percentage, 1234);
    assert_int_equal(version, ((int64_t) 1 << 32) + 2);
    row = row_of("wa", "legacy", NULL, NULL, 0);
    assert_true(read_row(&row, &decided, &version));
    assert_int_equal(decided.side, ROUTE_LEGACY);
    assert_int_equal(decided.bucket, -1);
    assert_int_equal(decided.percentage, -1);
}

/* numeric leaves out zeros at both ends. */
static void percentages(void **state)
{
    static const struct
    {
        const char *bytes;
        size_t length;
        int hundredths;
    } CASES[] = {{"\0\0\0\0\0\0\0\2", 8, 0},                   /* 0.00 */
                 {"\0\1\xff\xff\0\0\0\2\1\xf4", 10, 5},        /* 0.05 */
                 {"\0\1\xff\xff\0\0\0\2\x26\xac", 10, 99},     /* 0.99 */
                 {"\0\1\0\0\0\0\0\2\0\x64", 10, 10000},        /* 100.00 */
                 {"\0\2\0\0\0\0\0\2\0\x21\x0c\xe4", 12, 3333}, /* 33.33 */
                 {"\0\3\0\0\0\0\0\6\0\1\0\1\0\1", 14, 100}};   /* 1.00010001 */
    static const struct
    {
        const char *bytes;
        size_t length;
    } WRONG[] = {{"\0\1\0\1\0\0\0\2\0\1", 10},   /* 10000 */
                 {"\0\1\0\0\x40\0\0\2\0\1", 10}, /* -1 */
                 {"\0\1\0\0\xc0\0\0\0\0\0", 10}, /* NaN */
                 {"\0\2\0\0\0\0\0\2\0\1", 10},   /* a digit is missing */
                 {"\0\1\0\0\0\0\0", 7}};
    struct decided decided;
    int64_t version;

    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    {
        struct row row = row_of("wa", "legacy", NULL, CASES[i].bytes, CASES[i].length);

        assert_true(read_row(&row, &decided, &version));
        assert_int_equal(decided.percentage, CASES[i].hundredths);
    }
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
    {
        struct row row = row_of("wa", "legacy", NULL, WRONG[i].bytes, WRONG[i].length);

        assert_false(read_row(&row, &decided, &version));
    }
}

/* A column that a later version has beside those that we know. */
static void later_version(void **state)
{
    struct row row = row_of("wa", "legacy", NULL, NULL, 0);
    struct decided decided;
    int64_t version;

    (void) state;
    row.bytes[3] = 16;
    put_text(&row, "news");
    assert_true(read_row(&row, &decided, &version));
    assert_text(decided.webhook, "wa");
}

/* Too few columns, another type, a target or side that is missing, an end too early. */
static void refused(void **state)
{
    struct row good = row_of("wa", "legacy", "\0\0\0\1", "\0\0\0\0\0\0\0\2", 8), row;
    struct decided decided;
    int64_t version;

    (void) state;
    assert_true(read_row(&good, &decided, &version));
    for (size_t length = 0; length < good.length; length++)
    {
        char *copy = malloc(length + 1); /* a sanitizer sees what is read beyond it */

        assert_non_null(copy);
        memcpy(copy, good.bytes, length);
        assert_false(decision_read((route_text){copy, length}, &decided, &version));
        free(copy);
    }
    row = good;
    row.bytes[3] = 14;
    assert_false(read_row(&row, &decided, &version));
    row = good;
    row.bytes[7] = INT4;
    assert_false(read_row(&row, &decided, &version));
    row = row_of(NULL, "legacy", NULL, NULL, 0);
    assert_false(read_row(&row, &decided, &version));
    row = row_of("wa", NULL, NULL, NULL, 0);
    assert_false(read_row(&row, &decided, &version));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(percentages),
        cmocka_unit_test(later_version),
        cmocka_unit_test(refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
