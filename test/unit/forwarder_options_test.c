/* SPDX-License-Identifier: PostgreSQL
 *
 * The settings: values as people write them, the order of flag, environment and default, and that a
 * secret has no flag of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void values(void **state)
{
    uint64_t us;
    size_t bytes;
    unsigned count;

    (void) state;
    assert_true(options_parse_duration("100ms", &us) && us == 100000);
    assert_true(options_parse_duration("10s", &us) && us == 10000000);
    assert_true(options_parse_duration("2min", &us) && us == 120000000);
    assert_false(options_parse_duration("10", &us)); /* of what? */
    assert_false(options_parse_duration("0s", &us));
    assert_false(options_parse_duration("-1s", &us));
    assert_false(options_parse_duration("48h", &us));
    assert_true(options_parse_size("4MiB", &bytes) && bytes == 4194304);
    assert_true(options_parse_size("512", &bytes) && bytes == 512);
    assert_false(options_parse_size("4MB", &bytes));
    assert_false(options_parse_size("99999999999GiB", &bytes));
    assert_true(options_parse_count("12", &count) && count == 12);
    assert_false(options_parse_count("0", &count));
    assert_false(options_parse_count("1x", &count));
}

static void addresses(void **state)
{
    char host[64], port[8];

    (void) state;
#define PARSE(text) options_parse_address(text, host, sizeof host, port, sizeof port)
    assert_true(PARSE("127.0.0.1:8080"));
    assert_string_equal(host, "127.0.0.1");
    assert_string_equal(port, "8080");
    assert_true(PARSE("[::1]:0"));
    assert_string_equal(host, "::1");
    assert_true(PARSE(":80"));
    assert_string_equal(host, "");
    assert_false(PARSE("::1:80"));
    assert_false(PARSE("127.0.0.1"));
    assert_false(PARSE("127.0.0.1:"));
    assert_false(PARSE("127.0.0.1:65536"));
    assert_false(PARSE("127.0.0.1:http"));
#undef PARSE
}

static enum options_action run(struct options *options, const char *const argv[], int argc)
{
    static char message[512];

    return options_read(options, argc, argv, message, sizeof message);
}

static void flag_wins(void **state)
{
    const char *plain[] = {"x"}, *flagged[] = {"x", "--workers", "3", "--log-batch=7"};
    struct options options;

    (void) state;
    setenv("WEBHOOK_FORWARDER_WORKERS", "2", 1);
    assert_int_equal(run(&options, plain, 1), OPTIONS_SERVE);
    assert_int_equal(options.workers, 2);
    assert_int_equal(options.log_batch, 500);
    assert_string_equal(options.listen, "127.0.0.1:8080");
    options_free(&options);
    assert_int_equal(run(&options, flagged, COUNT(flagged)), OPTIONS_SERVE);
    assert_int_equal(options.workers, 3);
    assert_int_equal(options.log_batch, 7);
    options_free(&options);
    unsetenv("WEBHOOK_FORWARDER_WORKERS");
}

static void wrong_usage(void **state)
{
    const char *const cases[][4] = {{"x", "--nonsense"},
                                    {"x", "serve"},
                                    {"x", "--workers"},
                                    {"x", "--workers", "none"},
                                    {"x", "--decide-timeout", "5"},
                                    {"x", "--verify-token", "secret"},
                                    {"x", "--log-server", "best"}};
    struct options options;

    (void) state;
    for (size_t i = 0; i < COUNT(cases); i++)
    {
        int argc = cases[i][2] == NULL ? 2 : 3;

        assert_int_equal(run(&options, cases[i], argc), OPTIONS_BAD_USAGE);
        options_free(&options);
    }
}

static void wrong_config(void **state)
{
    const char *const cases[][4] = {{"x", "--listen", "nowhere"},
                                    {"x", "--path-prefix", "functions"},
                                    {"x", "--path-prefix", "/functions/"},
                                    {"x", "--functions-url", "file:///etc/passwd"},
                                    {"x", "--verify-token-file", "/nonexistent/token"},
                                    {"x", "--log-queue", "10"}};
    struct options options;

    (void) state;
    for (size_t i = 0; i < COUNT(cases); i++)
    {
        assert_int_equal(run(&options, cases[i], 3), OPTIONS_BAD_CONFIG);
        options_free(&options);
    }
}

/* What would only fail later, at the first large body or batch. */
static void together(void **state)
{
    const char *const wrong[][6] = {
        {"x", "--max-body", "513MiB", "--max-buffer", "2GiB"},
        {"x", "--max-body", "257MiB", "--max-buffer", "256MiB"},
        {"x", "--max-body", "65MiB", "--workers", "4"}, /* they share --max-buffer */
        {"x", "--log-batch", "10001", "--log-queue", "50000"}};
    const char *const good[][6] = {{"x", "--max-body", "512MiB", "--max-buffer", "512MiB"},
                                   {"x", "--max-body", "64MiB", "--workers", "4"},
                                   {"x", "--log-batch", "10000", "--log-queue", "10000"}};
    struct options options;

    (void) state;
    for (size_t i = 0; i < COUNT(wrong); i++)
    {
        assert_int_equal(run(&options, wrong[i], 5), OPTIONS_BAD_CONFIG);
        options_free(&options);
    }
    for (size_t i = 0; i < COUNT(good); i++)
    {
        assert_int_equal(run(&options, good[i], 5), OPTIONS_SERVE);
        options_free(&options);
    }
}

static void secrets(void **state)
{
    char path[] = "/tmp/forwarder_options_test.XXXXXX";
    const char *argv[] = {"x", "--verify-token-file", path};
    struct options options;
    int fd = mkstemp(path);

    (void) state;
    assert_true(fd >= 0 && write(fd, "from file\n", 10) == 10);
    setenv("WEBHOOK_FORWARDER_VERIFY_TOKEN", "from environment", 1);
    assert_int_equal(run(&options, argv, 1), OPTIONS_SERVE);
    assert_string_equal(options.verify_token, "from environment");
    options_free(&options);
    assert_int_equal(run(&options, argv, 3), OPTIONS_SERVE);
    assert_string_equal(options.verify_token, "from file");
    options_free(&options);
    unsetenv("WEBHOOK_FORWARDER_VERIFY_TOKEN");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(run(&options, argv, 3), OPTIONS_BAD_CONFIG);
    options_free(&options);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),      cmocka_unit_test(addresses),    cmocka_unit_test(flag_wins),
        cmocka_unit_test(wrong_usage), cmocka_unit_test(wrong_config), cmocka_unit_test(secrets),
        cmocka_unit_test(together),
    };

    return cmocka_run_group_tests_name("forwarder_options", tests, NULL, NULL);
}
