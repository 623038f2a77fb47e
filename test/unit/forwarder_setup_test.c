/* SPDX-License-Identifier: PostgreSQL
 *
 * Header fields for functions out of --function-header-file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

/* "" when the text is good, else what is said about it. */
static const char *headers(const char *text, struct setup *setup)
{
    static char problem[512];

    memset(setup, 0, sizeof *setup);
    setup->options.function_headers = strdup(text);
    assert_non_null(setup->options.function_headers);
    problem[0] = '\0';
    return setup_headers(setup, problem, sizeof problem) ? "" : problem;
}

static void good(void **state)
{
    struct setup setup;

    (void) state;
    assert_string_equal(headers("# of ours\r\nAuthorization:  Bearer a\r\n\nX-A:b", &setup), "");
    assert_int_equal(setup.header_count, 2);
    assert_string_equal(setup.headers[0].line, "Authorization:  Bearer a");
    assert_int_equal(setup.headers[0].name_length, 13);
    assert_string_equal(setup.headers[1].line, "X-A:b");
    setup_free(&setup);
}

static void wrong(void **state)
{
    static const char *const WRONG[] = {
        "NoColonHere", "X-A: 1\nN", "X-A:",         "X-A: \t",         ":",
        ": value",     "Host: a",   "te: trailers", "X-Routed-To: me", "X-Webhook-Domain: me",
        "X-A: a\001b", "X A: b",    "X-A : b"};
    struct setup setup;

    (void) state;
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
    {
        if (strncmp(headers(WRONG[i], &setup), "--function-header-file: header ", 31) != 0)
            fail_msg("taken: %s", WRONG[i]);
        setup_free(&setup);
    }
}

static void too_many(void **state)
{
    char text[(CONFIGURED_HEADER_LIMIT + 1) * 7 + 1] = "";
    struct setup setup;

    (void) state;
    for (int i = 0; i < CONFIGURED_HEADER_LIMIT; i++)
        strcat(text, "X-A: b\n");
    assert_string_equal(headers(text, &setup), "");
    setup_free(&setup);
    strcat(text, "X-A: b\n");
    assert_string_equal(headers(text, &setup), "--function-header-file: more than 32 lines");
    setup_free(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(wrong),
        cmocka_unit_test(too_many),
    };

    return cmocka_run_group_tests_name("forwarder_setup", tests, NULL, NULL);
}
