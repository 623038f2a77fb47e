/* SPDX-License-Identifier: PostgreSQL
 *
 * Generations of secrets: header fields for functions out of --function-header-file, and what
 * becomes of files that are read again.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

/* With these header lines; NULL when they are refused, with `problem`. */
static struct secrets *headers(char *lines, char problem[512])
{
    const struct options options = {.function_headers.value = lines};

    problem[0] = '\0';
    return secrets_make(&options, problem, 512);
}

static void good(void **state)
{
    char lines[] = "# of ours\r\nAuthorization:  Bearer a\r\n\nX-A:b", problem[512];
    struct secrets *secrets = headers(lines, problem);

    (void) state;
    assert_string_equal(problem, "");
    assert_int_equal(secrets->header_count, 2);
    assert_string_equal(secrets->headers[0].line, "Authorization:  Bearer a");
    assert_int_equal(secrets->headers[0].name_length, 13);
    assert_string_equal(secrets->headers[1].line, "X-A:b");
    secrets_release(secrets);
}

static void wrong(void **state)
{
    static const char *const WRONG[] = {
        "NoColonHere", "X-A: 1\nN", "X-A:",         "X-A: \t",         ":",
        ": value",     "Host: a",   "te: trailers", "X-Routed-To: me", "X-Webhook-Domain: me",
        "X-A: a\001b", "X A: b",    "X-A : b"};
    char lines[64], problem[512];

    (void) state;
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
    {
        strcpy(lines, WRONG[i]);
        if (headers(lines, problem) != NULL ||
            strncmp(problem, "--function-header-file: header ", 31) != 0)
            fail_msg("taken: %s", WRONG[i]);
    }
}

static void too_many(void **state)
{
    char text[(CONFIGURED_HEADER_LIMIT + 1) * 7 + 1] = "", problem[512];

    (void) state;
    for (int i = 0; i < CONFIGURED_HEADER_LIMIT; i++)
        strcat(text, "X-A: b\n");
    secrets_release(headers(text, problem));
    assert_string_equal(problem, "");
    strcat(text, "X-A: b\n");
    assert_null(headers(text, problem));
    assert_string_equal(problem, "--function-header-file: more than 32 lines");
}

/* What is said of bad app secrets holds none of them. */
static void bad_app_secrets(void **state)
{
    char lines[] = "a1\na2\na3\na4\na5\na6\na7\na8\na9", problem[512];
    const struct options options = {.app_secrets.value = lines};

    (void) state;
    assert_null(secrets_make(&options, problem, sizeof problem));
    assert_string_equal(problem, "--app-secret-file: more than 8 secrets");
}

static const char *url_problem(const char *url, char problem[512])
{
    const struct options options = {.database_url.value = (char *) url};
    struct secrets *secrets = secrets_make(&options, problem, 512);

    if (secrets == NULL)
        return problem;
    secrets_release(secrets);
    return NULL;
}

static void good_urls(void **state)
{
    static const char *const GOOD[] = {
        "webhooks",
        "name@with at",
        "host=/tmp/a@b user=u password='a b@c'",
        "service=x",
        "postgresql://",
        "postgresql://u:a:b?c#d&e@h/db",
        "postgresql://u:p%40ss%2F@h1:5432,h2:5433/db?connect_timeout=2",
        "postgres://u@[::1]:5432/db",
        "postgresql:///webhooks?host=%2Ftmp%2Fa%40b&port=54329",
        "host=a,,b port=,1,2",
        "host=@abstract dbname=a"};
    char problem[512];

    (void) state;
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++)
        if (url_problem(GOOD[i], problem) != NULL)
            fail_msg("%s: %s", GOOD[i], problem);
}

/* libpq would quote what it cannot read, which is a piece of the password here. */
static void bad_urls(void **state)
{
    static const char *const BAD[] = {
        "host=a password=be hush",      "postgresql://u:be/hush@h/db",
        "postgresql://u:be@hush@h/db",  "postgresql://u:be%hush@h/db",
        "postgresql://u@h:hush/db",     "postgresql://h/db?password=be&hush",
        "host=a port=1,hush password=b"};
    char problem[512];

    (void) state;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
    {
        if (url_problem(BAD[i], problem) == NULL)
            fail_msg("taken: %s", BAD[i]);
        assert_true(strncmp(problem, "DATABASE_URL: ", 14) == 0);
        assert_null(strstr(problem, "hush"));
    }
}

/* ---- reading again ---- */

static void put(const char *path, const char *content)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    assert_true(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t) strlen(content));
    close(fd);
}

static char *new_file(const char *content)
{
    char *path = strdup("/tmp/forwarder_secrets_test.XXXXXX");
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    put(path, content);
    return path;
}

static void reload(void **state)
{
    char *token = new_file("token 1\n"), *fields = new_file("X-A: 1\n");
    struct options options = {.verify_token = {strdup("token 1"), token},
                              .function_headers = {strdup("X-A: 1"), fields},
                              .app_secrets = {strdup("secret"), NULL}};
    char problem[512];
    struct secrets *current = secrets_make(&options, problem, sizeof problem), *first;

    (void) state;
    assert_non_null(current);
    first = secrets_keep(current);
    put(token, "token 2\n");
    put(fields, "X-A: 2\n");
    secrets_reload(&options, &current);
    assert_string_equal(current->verify_token, "token 2");
    assert_string_equal(current->headers[0].line, "X-A: 2");
    assert_int_equal(current->signing.count, 1); /* from the environment: it stays */
    /* Who holds the one before still has it. */
    assert_string_equal(first->verify_token, "token 1");
    assert_string_equal(first->headers[0].line, "X-A: 1");
    secrets_release(first);

    /* Each stands for itself: a bad one keeps its value, a good one is taken. */
    put(token, "token 3");
    put(fields, "no field");
    secrets_reload(&options, &current);
    assert_string_equal(current->verify_token, "token 3");
    assert_string_equal(current->headers[0].line, "X-A: 2");
    put(token, " \n");
    unlink(fields);
    secrets_reload(&options, &current);
    assert_string_equal(current->verify_token, "token 3");
    assert_string_equal(current->headers[0].line, "X-A: 2");
    secrets_release(current);
    unlink(token);
    options_free(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),      cmocka_unit_test(wrong),
        cmocka_unit_test(too_many),  cmocka_unit_test(bad_app_secrets),
        cmocka_unit_test(good_urls), cmocka_unit_test(bad_urls),
        cmocka_unit_test(reload),
    };

    return cmocka_run_group_tests_name("forwarder_secrets", tests, NULL, NULL);
}
