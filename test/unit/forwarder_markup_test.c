/* SPDX-License-Identifier: PostgreSQL
 *
 * Values as the status page writes them: nothing from outside leaves its place in HTML or JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/markup.h"

/* What one of them wrote, once more in memory of its own size, so that a sanitizer sees the end. */
static void is_written(struct writer *writer, const char *expected)
{
    assert_false(writer->failed);
    assert_int_equal(writer->length, strlen(expected));
    assert_string_equal(writer_text(writer), expected);
    assert_int_equal(writer->length, strlen(expected));
    writer_free(writer);
}

static void text_stays_text(void **state)
{
    static const char *const CASES[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"},
        {"\" onclick='x' &amp;", "&quot; onclick=&#39;x&#39; &amp;amp;"},
        {"a\x01\x7f"
         "b\n\tc",
         "a\xef\xbf\xbd\xef\xbf\xbd"
         "b\n\tc"},
        {"\xd8\xa7\xf0\x9f\x98\x80", "\xd8\xa7\xf0\x9f\x98\x80"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    {
        struct writer writer = {0};

        markup_text(&writer, CASES[i][0]);
        is_written(&writer, CASES[i][1]);
    }
}

static void json_strings(void **state)
{
    static const char *const CASES[][2] = {
        {NULL, "null"},
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"line\nnext\x01", "\"line\\u000anext\\u0001\""},
        {"\xff", "\"\xef\xbf\xbd\""},
    };

    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    {
        struct writer writer = {0};

        markup_json_text(&writer, CASES[i][0]);
        is_written(&writer, CASES[i][1]);
    }
}

/* Longer than any piece of it, and nothing but escapes. */
static void a_long_json_string(void **state)
{
    struct writer writer = {0};
    char *text = malloc(100001);

    (void) state;
    assert_non_null(text);
    memset(text, 1, 100000);
    text[100000] = '\0';
    markup_json_text(&writer, text);
    assert_int_equal(writer.length, 6 * 100000 + 2);
    assert_memory_equal(writer.bytes + writer.length - 7, "\\u0001\"", 7);
    free(text);
    writer_free(&writer);
}

static void numbers(void **state)
{
    static const char *const CASES[][3] = {
        {"0", "0", "0"},
        {"10.00", "10", "10"},
        {"0.030", "0.03", "0.03"},
        {"1234567.5", "1234567.5", "1,234,567.5"},
        {"-1234", "-1234", "-1,234"},
        {"-123", "-123", "-123"},
        {"NaN", "null", "NaN"},
        {"Infinity", "null", "Infinity"},
        {"1e5", "null", "1e5"},
        {"", "null", ""},
        {"1.", "1", "1"},
        {"<b>", "null", "&lt;b&gt;"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    {
        struct writer json = {0}, words = {0};

        markup_json_number(&json, CASES[i][0]);
        is_written(&json, CASES[i][1]);
        markup_number(&words, CASES[i][0]);
        is_written(&words, CASES[i][2]);
    }
}

static void durations(void **state)
{
    static const struct
    {
        int64_t seconds;
        const char *words;
    } CASES[] = {
        {-5, "0 s"},   {0, "0 s"},           {59, "59 s"},   {60, "1 min"},       {3599, "59 min"},
        {3600, "1 h"}, {11100, "3 h 5 min"}, {86400, "1 d"}, {187200, "2 d 4 h"}, {86459, "1 d"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    {
        struct writer writer = {0};

        markup_duration(&writer, CASES[i].seconds);
        is_written(&writer, CASES[i].words);
    }
}

static void moments(void **state)
{
    struct writer writer = {0};

    (void) state;
    markup_instant(&writer, 1769860800);
    is_written(&writer, "2026-01-31T12:00:00Z");
    markup_time(&writer, 1769860800, 1769860860);
    is_written(&writer, "<time datetime=\"2026-01-31T12:00:00Z\">12:00:00 UTC</time>");
    markup_time(&writer, 1769860800, 1769860800 + 86400);
    is_written(&writer, "<time datetime=\"2026-01-31T12:00:00Z\">2026-01-31 12:00 UTC</time>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_stays_text),    cmocka_unit_test(json_strings),
        cmocka_unit_test(a_long_json_string), cmocka_unit_test(numbers),
        cmocka_unit_test(durations),          cmocka_unit_test(moments),
    };

    return cmocka_run_group_tests_name("forwarder_markup", tests, NULL, NULL);
}
