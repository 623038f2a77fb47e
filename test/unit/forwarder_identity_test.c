/* SPDX-License-Identifier: PostgreSQL
 *
 * Ids of decisions and rows, and which correlation ids of clients are kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

static void identities(void **state)
{
    uint8_t a[16], b[16];
    char text[37], long_one[CORRELATION_LIMIT + 2];

    (void) state;
    identity_make(a);
    identity_make(b);
    assert_memory_not_equal(a, b, 16);
    assert_int_equal(a[6] >> 4, 7);
    assert_int_equal(a[8] >> 6, 2);
    identity_print((const uint8_t[16]){1, 0x20, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff},
                   text);
    assert_string_equal(text, "01200304-0506-0708-090a-0b0c0d0e0fff");
    assert_true(identity_is_correlation("abc-1_2.3"));
    assert_false(identity_is_correlation(""));
    assert_false(identity_is_correlation("a b"));
    assert_false(identity_is_correlation("a\"b"));
    assert_false(identity_is_correlation("250788123456"));
    assert_false(identity_is_correlation("+1234567"));
    assert_true(identity_is_correlation("123456"));
    assert_true(identity_is_correlation("1234567890123456"));
    assert_true(identity_is_correlation("250788123456-1"));
    memset(long_one, 'a', sizeof long_one);
    long_one[CORRELATION_LIMIT + 1] = '\0';
    assert_false(identity_is_correlation(long_one));
    long_one[CORRELATION_LIMIT] = '\0';
    assert_true(identity_is_correlation(long_one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities),
    };

    return cmocka_run_group_tests_name("forwarder_identity", tests, NULL, NULL);
}
