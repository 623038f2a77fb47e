/* SPDX-License-Identifier: PostgreSQL
 *
 * Log rows as the arrays that array_recv() reads.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

static uint32_t word(const struct rows *rows, int column, size_t at)
{
    uint32_t value;

    memcpy(&value, rows->columns[column].data + at, sizeof value);
    return be32toh(value);
}

/* Two rows as array_recv() reads them: a null, a text, a numeric. */
static void arrays(void **state)
{
    struct outcome *first = calloc(1, sizeof *first), *second = calloc(1, sizeof *second);
    struct rows rows = {0};
    const char *numeric;

    (void) state;
    assert_true(first != NULL && second != NULL);
    first->next = second;
    first->bucket = -1;
    first->percentage = 3333;
    first->webhook_name = "wa";
    second->bucket = 9999;
    second->percentage = -1;
    second->config_version = 7;
    assert_true(rows_encode(&rows, first, 2));
    assert_int_equal(word(&rows, 9, 0), 1);  /* dimensions */
    assert_int_equal(word(&rows, 9, 8), 23); /* int4 */
    assert_int_equal(word(&rows, 9, 12), 2); /* elements */
    assert_int_equal(word(&rows, 9, 20), UINT32_MAX);
    assert_int_equal(word(&rows, 9, 24), 4);
    assert_int_equal(word(&rows, 9, 28), 9999);
    assert_int_equal(rows.lengths[9], 32);
    assert_int_equal(word(&rows, 5, 20), 2); /* webhook_name: "wa", null */
    assert_memory_equal(rows.columns[5].data + 24, "wa", 2);
    assert_int_equal(word(&rows, 5, 26), UINT32_MAX);
    numeric = rows.columns[10].data + 24;
    assert_memory_equal(numeric, "\0\2\0\0\0\0\0\2\0\x21\x0c\xe4", 12); /* 33, 3300 */
    assert_int_equal(word(&rows, 11, 20), UINT32_MAX); /* config_version: null, 7 */
    assert_int_equal(word(&rows, 11, 24), 8);
    assert_int_equal(word(&rows, 11, 32), 7);
    assert_true(rows_encode(&rows, second, 1)); /* a second batch starts anew */
    assert_int_equal(word(&rows, 9, 12), 1);
    rows_free(&rows);
    free(first);
    free(second);
}

/* An attempt that was not made took no time. */
static void no_time(void **state)
{
    struct outcome *outcome = calloc(1, sizeof *outcome);
    struct rows rows = {0};

    (void) state;
    assert_non_null(outcome);
    outcome->response_time_ms = -1;
    assert_true(rows_encode(&rows, outcome, 1));
    assert_int_equal(word(&rows, 17, 8), 701); /* float8 */
    assert_int_equal(word(&rows, 17, 20), UINT32_MAX);
    outcome->response_time_ms = 0;
    assert_true(rows_encode(&rows, outcome, 1));
    assert_int_equal(word(&rows, 17, 20), 8);
    rows_free(&rows);
    free(outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays),
        cmocka_unit_test(no_time),
    };

    return cmocka_run_group_tests_name("forwarder_rows", tests, NULL, NULL);
}
