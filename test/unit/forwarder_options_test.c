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
#include <sys/stat.h>
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

/* Who is refused is told what is allowed. */
static void ranges(void **state)
{
    static const struct
    {
        const char *flag, *value, *message;
    } CASES[] = {
        {"--workers", "0", "--workers: \"0\" is refused; it takes a whole number from 1 to 64"},
        {"--workers", "65", "--workers: \"65\" is refused; it takes a whole number from 1 to 64"},
        {"--breaker-rate", "101",
         "--breaker-rate: \"101\" is refused; it takes a whole number from 1 to 100"},
        {"--log-batch", "10001",
         "--log-batch: \"10001\" is refused; it takes a whole number from 1 to 10000"},
        {"--max-in-flight", "x",
         "--max-in-flight: \"x\" is refused; it takes a whole number from 1 to 10000000"},
        {"--total-timeout", "56s",
         "--total-timeout: \"56s\" is refused; it takes a time from 1ms to 55s, in ms, s, min or "
         "h"},
        {"--max-body", "513MiB",
         "--max-body: \"513MiB\" is refused; it takes a size from 1 to 512MiB, in bytes, KiB, MiB "
         "or "
         "GiB"},
        {"--log-level", "loud",
         "--log-level: \"loud\" is refused; it takes debug, info, warning or error"},
        {"--spool-sync", "never", "--spool-sync: \"never\" is refused; it takes grouped or wait"}};
    struct options options;
    char message[512];

    (void) state;
    for (size_t i = 0; i < COUNT(CASES); i++)
    {
        const char *argv[] = {"x", CASES[i].flag, CASES[i].value};

        assert_int_equal(options_read(&options, 3, argv, message, sizeof message),
                         OPTIONS_BAD_USAGE);
        assert_string_equal(message, CASES[i].message);
        options_free(&options);
    }
}

static void wrong_config(void **state)
{
    const char *const cases[][4] = {{"x", "--listen", "nowhere"},
                                    {"x", "--path-prefix", "functions"},
                                    {"x", "--path-prefix", "/functions/"},
                                    {"x", "--path-prefix", "/a?b"},
                                    {"x", "--path-prefix", "/a b"},
                                    {"x", "--path-prefix", "/%61"},
                                    {"x", "--functions-url", "file:///etc/passwd"},
                                    {"x", "--functions-url", "http://a b/"},
                                    {"x", "--functions-url", "http://"},
                                    {"x", "--functions-url", "http:///path"},
                                    {"x", "--functions-url", "https://a:0"},
                                    {"x", "--functions-url", "https://a:65536/x"},
                                    {"x", "--functions-url", "https://a:/x"},
                                    {"x", "--functions-url", "http://[::1"},
                                    {"x", "--functions-url", "http://[::1]8080"},
                                    {"x", "--functions-url", "https://a/b?key=1"},
                                    {"x", "--functions-url", "https://a/#b"},
                                    {"x", "--functions-url", "http://169.254.169.254/"},
                                    {"x", "--functions-url", "http://2852039166/"},
                                    {"x", "--functions-url", "http://user@[fe80::1]:80/"},
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
        {"x", "--max-body", "257MiB", "--max-buffer", "256MiB"},
        {"x", "--max-body", "65MiB", "--workers", "4"}}; /* they share --max-buffer */
    const char *const good[][6] = {{"x", "--max-body", "512MiB", "--max-buffer", "512MiB"},
                                   {"x", "--max-body", "64MiB", "--workers", "4"},
                                   {"x", "--log-batch", "10000", "--log-queue", "10000"},
                                   {"x", "--functions-url", "http://[::1]:8080/functions/v1/",
                                    "--path-prefix", "/functions/v1"},
                                   {"x", "--functions-url", "https://user:p%40ss@f.example.org",
                                    "--path-prefix", "/a-b_c.d~e"}};
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
    assert_string_equal(options.verify_token.value, "from environment");
    options_free(&options);
    assert_int_equal(run(&options, argv, 3), OPTIONS_SERVE);
    assert_string_equal(options.verify_token.value, "from file");
    options_free(&options);
    unsetenv("WEBHOOK_FORWARDER_VERIFY_TOKEN");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(run(&options, argv, 3), OPTIONS_BAD_CONFIG);
    options_free(&options);
    close(fd);
    unlink(path);
}

/* A process that opens the pipe after a while, writes these pieces with a while between them, and
 * ends. */
static void feed(const char *path, const char *const pieces[])
{
    if (fork() != 0)
        return;
    usleep(50000);
    FILE *pipe = fopen(path, "w");
    for (; pipe != NULL && *pieces != NULL; pieces++)
    {
        fputs(*pieces, pipe);
        fflush(pipe);
        usleep(50000);
    }
    _exit(0);
}

/* A pipe is read to its end, whenever its writer comes; nobody waits for ever for one who does not.
 */
static void secret_from_pipe(void **state)
{
    char folder[] = "/tmp/forwarder_options_test.XXXXXX", path[64], message[256];
    char *secret;

    (void) state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    feed(path, (const char *const[]){"of two ", "pieces\n", NULL});
    secret = options_read_secret(path, message, sizeof message);
    assert_non_null(secret);
    assert_string_equal(secret, "of two pieces");
    options_wipe(secret);
    feed(path, (const char *const[]){NULL});
    assert_null(options_read_secret(path, message, sizeof message));
    assert_non_null(strstr(message, "it is empty"));
    assert_null(options_read_secret(path, message, sizeof message));
    assert_non_null(strstr(message, "nobody fills"));
    unlink(path);
    rmdir(folder);
}

/* Writes `content` to the file of that name in the folder. */
static void put_credential(const char *folder, const char *name, const char *content)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

/* systemd's credentials count where neither a flag nor the environment gives a secret. */
static void credentials(void **state)
{
    char folder[] = "/tmp/forwarder_options_test.XXXXXX", path[256];
    const char *const argv[] = {"x", "--verify-token-file", path};
    struct options options;

    (void) state;
    assert_non_null(mkdtemp(folder));
    put_credential(folder, "app-secret", "secret one\nsecret two\n");
    put_credential(folder, "verify-token", "from credential\n");
    put_credential(folder, "database-url", "dbname=x\n");
    put_credential(folder, "token", "from file\n");
    snprintf(path, sizeof path, "%s/token", folder);
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    assert_int_equal(run(&options, argv, 1), OPTIONS_SERVE);
    assert_string_equal(options.app_secrets.value, "secret one\nsecret two");
    assert_string_equal(options.verify_token.value, "from credential");
    assert_string_equal(options.database_url.value, "dbname=x");
    assert_null(options.function_headers.value);
    assert_true(strncmp(options.app_secrets.file, folder, strlen(folder)) == 0);
    options_free(&options);
    /* The others win. */
    setenv("DATABASE_URL", "dbname=y", 1);
    assert_int_equal(run(&options, argv, 3), OPTIONS_SERVE);
    assert_string_equal(options.verify_token.value, "from file");
    assert_string_equal(options.verify_token.file, path);
    assert_string_equal(options.database_url.value, "dbname=y");
    assert_null(options.database_url.file);
    options_free(&options);
    unsetenv("DATABASE_URL");
    /* One that is there has to be good. */
    put_credential(folder, "function-header", "\n");
    assert_int_equal(run(&options, argv, 1), OPTIONS_BAD_CONFIG);
    options_free(&options);
    unsetenv("CREDENTIALS_DIRECTORY");
    for (size_t i = 0; i < 5; i++)
    {
        static const char *const NAMES[] = {"app-secret", "verify-token", "database-url", "token",
                                            "function-header"};

        snprintf(path, sizeof path, "%s/%s", folder, NAMES[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* Once they are read, no variable holds a secret, where it stood neither. */
static void hidden(void **state)
{
    static char variable[] = "WEBHOOK_FORWARDER_APP_SECRETS=secret one";

    (void) state;
    assert_int_equal(putenv(variable), 0);
    setenv("PGPASSWORD", "libpq's", 1);
    options_hide_environment();
    assert_null(getenv("WEBHOOK_FORWARDER_APP_SECRETS"));
    assert_string_equal(variable, "WEBHOOK_FORWARDER_APP_SECRETS=");
    assert_string_equal(getenv("PGPASSWORD"), "libpq's");
    unsetenv("PGPASSWORD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),           cmocka_unit_test(addresses),
        cmocka_unit_test(flag_wins),        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(wrong_config),     cmocka_unit_test(secrets),
        cmocka_unit_test(secret_from_pipe), cmocka_unit_test(together),
        cmocka_unit_test(credentials),      cmocka_unit_test(hidden),
        cmocka_unit_test(ranges),
    };

    return cmocka_run_group_tests_name("forwarder_options", tests, NULL, NULL);
}
