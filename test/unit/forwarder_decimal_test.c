/* SPDX-License-Identifier: PostgreSQL
 *
 * Numbers as printf() prints them.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../forwarder/decimal.h"

static void as_printf(void **state)
{
    static const uint64_t VALUES[] = {0,   1,   9,    10,    99,         100,
                                      101, 999, 1000, 10000, UINT32_MAX, UINT64_MAX};
    char printed[DECIMAL_SIZE], expected[64];

    (void) state;
    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++)
    {
        uint64_t value = VALUES[i];

        snprintf(expected, sizeof expected, "%" PRIu64, value);
        assert_ptr_equal(decimal_print(printed, value), printed + strlen(expected));
        assert_string_equal(printed, expected);
        snprintf(expected, sizeof expected, "%" PRIu64 ".%02u", value / 100,
                 (unsigned) (value % 100));
        assert_ptr_equal(decimal_print_hundredths(printed, value), printed + strlen(expected));
        assert_string_equal(printed, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_printf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
