/* SPDX-License-Identifier: PostgreSQL
 *
 * The settings: values as people write them, the order of flag, environment and default, and that a
 * secret has no flag of its own. Beside them the small pure things: ids, JSON strings, log rows as
 * arrays, the loop's timers.
 */
#include <endian.h>
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
                                    {"x", "--log-session", "best"}};
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

/* ---- ids ---- */

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
    memset(long_one, 'a', sizeof long_one);
    long_one[CORRELATION_LIMIT + 1] = '\0';
    assert_false(identity_is_correlation(long_one));
    long_one[CORRELATION_LIMIT] = '\0';
    assert_true(identity_is_correlation(long_one));
}

static void json_strings(void **state)
{
    char buffer[32];
    size_t length;

    (void) state;
    length = log_json_string(buffer, 0, sizeof buffer, "a\"\\\n\x01\xc3\xa9\xff");
    buffer[length] = '\0';
    assert_string_equal(buffer, "\"a\\\"\\\\\\u000a\\u0001\xc3\xa9\xef\xbf\xbd\"");
    length = log_json_string(buffer, 0, 16, "0123456789abcdefghij");
    assert_true(length <= 16);
    assert_int_equal(buffer[length - 1], '"');
}

/* ---- rows ---- */

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
    assert_true(rows_encode(&rows, second, 1)); /* a second batch starts anew */
    assert_int_equal(word(&rows, 9, 12), 1);
    rows_free(&rows);
    free(first);
    free(second);
}

/* ---- timers ---- */

static int order[8];
static int expired;

static void expire(struct loop_timer *timer)
{
    order[expired++] = (int) (intptr_t) timer->owner;
}

static void timers(void **state)
{
    static struct loop loop;
    struct loop_timer timer[5];
    static const int due[5] = {3, 1, 5, 2, 4};

    (void) state;
    assert_true(loop_open(&loop));
    for (int i = 0; i < 5; i++)
    {
        assert_true(loop_timer_open(&loop, &timer[i], expire, (void *) (intptr_t) due[i]));
        loop_arm(&loop, &timer[i], loop.now_us + (uint64_t) due[i]);
    }
    loop_disarm(&loop, &timer[2]);
    loop_arm(&loop, &timer[1], loop.now_us + 10); /* later than it was */
    usleep(100);
    loop_turn(&loop, 0);
    assert_int_equal(expired, 4);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 3);
    assert_int_equal(order[2], 4);
    assert_int_equal(order[3], 1);
    for (int i = 0; i < 5; i++)
        loop_timer_close(&loop, &timer[i]);
    assert_int_equal(loop.reserved, 0);
    loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),      cmocka_unit_test(addresses),    cmocka_unit_test(flag_wins),
        cmocka_unit_test(wrong_usage), cmocka_unit_test(wrong_config), cmocka_unit_test(secrets),
        cmocka_unit_test(identities),  cmocka_unit_test(json_strings), cmocka_unit_test(arrays),
        cmocka_unit_test(timers),
    };

    return cmocka_run_group_tests_name("forwarder_options", tests, NULL, NULL);
}
