/* SPDX-License-Identifier: PostgreSQL
 *
 * What the forwarder says to its operator: text of any origin as a JSON string, and as one line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

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

/* A library's message, as PQerrorMessage() has it, in a language that is not English. */
static void one_line(void **state)
{
    char text[64];

    (void) state;
    assert_int_equal(log_flatten(text, sizeof text, " a\n\tb\r\n"), 3);
    assert_string_equal(text, "a b");
    assert_int_equal(log_flatten(text, sizeof text,
                                 "Verbindung \xc3\xbc"
                                 "ber\x01\x1b[31m\x7f"),
                     21);
    assert_string_equal(text, "Verbindung \xc3\xbc"
                              "ber [31m");
    assert_int_equal(log_flatten(text, sizeof text, ""), 0);
    assert_int_equal(log_flatten(text, sizeof text, "\n"), 0);
    assert_int_equal(log_flatten(text, 4, "abcdef"), 3);
    assert_string_equal(text, "abc");
}

/* An event that comes again and again is told some times a second, and hides no other. */
static void limited(void **state)
{
    struct log_line line;
    int told = 0;

    (void) state;
    log_open();
    for (int i = 0; i < 100; i++)
        told += log_begin_limited(&line, LOG_WARNING, EVENT_ATTEMPT_FAILED, "it failed");
    assert_in_range(told, 5, 50); /* 5 a second: of one on any machine, of ten on a slow one */
    assert_true(log_begin_limited(&line, LOG_WARNING, EVENT_GUARD_FAILED, "so did this"));
    assert_null(memmem(line.text, line.length, "suppressed", 10));
    log_open();
    assert_true(log_begin_limited(&line, LOG_WARNING, EVENT_ATTEMPT_FAILED, "it failed"));
    assert_null(memmem(line.text, line.length, "suppressed", 10));
}

/* A state that lasts is told once, then rarely, and again when it is another. */
static void lasting(void **state)
{
    struct log_lasting down = {0};
    struct log_line line;
    int told = 0;

    (void) state;
    for (int i = 0; i < 100; i++)
        told += log_begin_lasting(&line, LOG_WARNING, EVENT_DATABASE_UNREACHABLE, "it is down",
                                  "refused", &down);
    assert_int_equal(told, 1);
    assert_true(log_begin_lasting(&line, LOG_WARNING, EVENT_DATABASE_UNREACHABLE, "it is down",
                                  NULL, &down));
    line.text[line.length] = '\0';
    assert_non_null(strstr(line.text, "\"suppressed\":99"));
    assert_false(
        log_begin_lasting(&line, LOG_WARNING, EVENT_DATABASE_UNREACHABLE, "it is down", "", &down));
    /* It still is, after a while. */
    down.told_s -= LOG_LASTING_S;
    assert_true(
        log_begin_lasting(&line, LOG_WARNING, EVENT_DATABASE_UNREACHABLE, "it is down", "", &down));
    assert_false(
        log_begin_lasting(&line, LOG_WARNING, EVENT_DATABASE_UNREACHABLE, "it is down", "", &down));
    /* A new time. */
    down = (struct log_lasting){0};
    assert_true(
        log_begin_lasting(&line, LOG_WARNING, EVENT_DATABASE_UNREACHABLE, "it is down", "", &down));
}

/* The table of events: words that nobody can take for one another, and fields that a line can have.
 */
static void events(void **state)
{
    static const char *const FIELDS[] = {
#define X(constant, word, levels, fields, meaning) fields,
        LOG_EVENTS(X)
#undef X
    };

    (void) state;
    for (int i = 0; i < EVENT_COUNT; i++)
    {
        const char *word = log_event_word((enum log_event) i);

        assert_true(*word != '\0' && word[strspn(word, "abcdefghijklmnopqrstuvwxyz_")] == '\0');
        assert_int_equal(FIELDS[i][strspn(FIELDS[i], "abcdefghijklmnopqrstuvwxyz_ ")], '\0');
        for (int other = 0; other < i; other++)
            assert_string_not_equal(word, log_event_word((enum log_event) other));
    }
}

/* A line is whole however long its fields are, and says its event's word. */
static void long_lines(void **state)
{
    char text[4096];
    struct log_line line;

    (void) state;
    memset(text, '\\', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_true(log_begin(&line, LOG_ERROR, EVENT_HTTP, text));
    log_text(&line, "detail", text);
    log_number(&line, "rows", 1);
    assert_true(line.length + 2 <= sizeof line.text);
    line.text[line.length] = '\0';
    assert_non_null(strstr(line.text, "\"event\":\"http\""));
    assert_int_equal(line.text[line.length - 1], '"');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_strings), cmocka_unit_test(one_line), cmocka_unit_test(limited),
        cmocka_unit_test(lasting),      cmocka_unit_test(events),   cmocka_unit_test(long_lines),
    };

    return cmocka_run_group_tests_name("forwarder_log", tests, NULL, NULL);
}
