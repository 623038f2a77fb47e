/* SPDX-License-Identifier: PostgreSQL
 *
 * check.c: --check-config. The settings have been read and are good; here all is looked at that a
 * start would meet: files and who may read them, addresses, the spool directory, the database and
 * what the role may do there. Nothing is changed, and no webhook served. What a start lives with,
 * such as a database that is down, is a warning; a refused setting has ended it before.
 *
 * A line for each thing: `good`, `note` or `warning`, the setting, and what was found.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "forwarder.h"
#include "options_table.h"
#include "spool_inside.h"

enum verdict
{
    GOOD,
    NOTE,
    WARNING
};

static unsigned check_warnings; /* so far */

__attribute__((format(printf, 3, 4))) static void check_say(enum verdict verdict, const char *what,
                                                            const char *format, ...)
{
    static const char *const WORDS[] = {"good", "note", "warning"};
    va_list arguments;

    check_warnings += verdict == WARNING;
    printf("%-8s %-23s ", WORDS[verdict], what);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

/* ---- variables ---- */

static bool check_is_setting(const char *variable, size_t length)
{
    char name[128];

    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
    {
        const struct option_row *row = &OPTION_ROWS[i];

        if (row->kind == KIND_SECTION)
            continue;
        option_variable(row, name, sizeof name);
        if (strlen(name) == length && strncmp(name, variable, length) == 0)
            return true;
    }
    return false;
}

/* Those that are called like settings and are none: a start would not look at them. Secrets have
 * been taken out of the environment by now. */
static void check_variables(void)
{
    static const char PREFIX[] = "WEBHOOK_FORWARDER_";

    for (char **at = environ; at != NULL && *at != NULL; at++)
    {
        size_t length = strcspn(*at, "=");

        if (strncmp(*at, PREFIX, strlen(PREFIX)) == 0 && !check_is_setting(*at, length))
            check_say(WARNING, "environment", "%.*s is no setting: see --help for its name",
                      (int) length, *at);
    }
}

/* ---- files of secrets ---- */

/* What it means that a secret is not given. */
static const char *check_without(const char *flag)
{
    return strcmp(flag, "verify-token-file") == 0   ? "WhatsApp's verification is refused"
           : strcmp(flag, "app-secret-file") == 0   ? "whoever reaches the port can post webhooks"
           : strcmp(flag, "database-url-file") == 0 ? "PGHOST, PGSERVICE, ... say where it is"
                                                    : "nothing is sent besides";
}

static void check_secret(const struct secret *secret, const char *flag)
{
    char what[64];
    struct stat status;

    snprintf(what, sizeof what, "--%s", flag);
    if (secret->value == NULL)
        check_say(strcmp(flag, "app-secret-file") == 0 ? WARNING : NOTE, what, "not given: %s",
                  check_without(flag));
    else if (secret->file == NULL)
        check_say(GOOD, what, "from the environment");
    else if (stat(secret->file, &status) == 0 && (status.st_mode & 07) != 0)
        check_say(WARNING, what, "%s can be read by everybody: chmod 640 %s", secret->file,
                  secret->file);
    else
        check_say(GOOD, what, "%s", secret->file);
}

/* ---- the spool directory ---- */

/* Whether somebody holds its lock. */
static bool check_is_locked(int directory)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = openat(directory, SPOOL_LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool locked = fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;

    if (fd >= 0)
        close(fd);
    return locked;
}

static void check_room(int directory, const char *path, size_t wanted)
{
    struct statvfs room;
    unsigned long long free_bytes;

    if (fstatvfs(directory, &room) != 0)
    {
        check_say(WARNING, "--spool-size", "the room of %s is not known: %s", path,
                  strerror(errno));
        return;
    }
    free_bytes = (unsigned long long) room.f_bavail * room.f_frsize;
    if (free_bytes < wanted)
        check_say(WARNING, "--spool-size", "%s has room for %llu MiB of %zu MiB: free some", path,
                  free_bytes >> 20, wanted >> 20);
}

/* It is made at the start where only its parent is there. */
static void check_missing(const char *path)
{
    char parent[4096];
    char *slash;

    snprintf(parent, sizeof parent, "%s", path);
    slash = strrchr(parent, '/');
    if (slash != NULL)
        slash[slash == parent] = '\0';
    if (access(slash == NULL ? "." : parent, W_OK | X_OK) == 0)
        check_say(GOOD, "--spool-directory", "%s will be made", path);
    else
        check_say(WARNING, "--spool-directory", "%s cannot be made: %s; install -d -m 700 %s", path,
                  strerror(errno), path);
}

/* Returns whether a forwarder has it now. */
static bool check_spool(const struct options *options)
{
    char path[4096];
    struct stat status;
    bool locked = false;
    int fd;

    spool_directory_choose(options, path, sizeof path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        check_missing(path);
    else if (fd < 0)
        check_say(WARNING, "--spool-directory", "%s cannot be used: %s", path, strerror(errno));
    else if ((locked = check_is_locked(fd)))
        check_say(NOTE, "--spool-directory", "%s: a forwarder has it now", path);
    else if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        check_say(WARNING, "--spool-directory", "%s cannot be written: %s", path, strerror(errno));
    else if (geteuid() != 0 && (fstat(fd, &status) != 0 || status.st_uid != geteuid()))
        check_say(WARNING, "--spool-directory",
                  "%s belongs to somebody else: give the forwarder its own", path);
    else
        check_say(GOOD, "--spool-directory", "%s", path);
    if (fd >= 0)
    {
        check_room(fd, path, options->spool_size);
        close(fd);
    }
    return locked;
}

/* ---- addresses ---- */

static void check_address(const char *flag, const char *address, bool running)
{
    char problem[512];
    int fd;

    if (listen_open(flag, address, &fd, 1, problem, sizeof problem))
    {
        check_say(GOOD, flag, "%s is free", address);
        close(fd);
    }
    else if (running)
        check_say(NOTE, flag, "%s cannot be had, as while a forwarder runs", address);
    else
        check_say(WARNING, flag, "%s",
                  problem + (strncmp(problem, flag, strlen(flag)) == 0 ? strlen(flag) + 2 : 0));
}

/* ---- the database ---- */

/* The extension's version, and what the forwarder calls and the role may not. */
static void check_rights(const char *what, PGconn *connection)
{
    PGresult *answer = PQexec(
        connection,
        "SELECT e.extversion, current_user, (SELECT string_agg(DISTINCT p.proname, ', ')"
        " FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = e.extnamespace AND (p.proname IN"
        " ('route_decide', 'route_decide_items', 'routing_ruleset', 'store_routing_logs',"
        " 'store_routing_pending', 'routing_maintain', 'routing_guard', 'routing_sample_findings')"
        " OR p.proname LIKE 'webhook\\_routing\\_page\\_%')"
        " AND NOT pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))"
        " FROM pg_catalog.pg_extension AS e WHERE e.extname = 'webhook_routing'");
    bool good = PQresultStatus(answer) == PGRES_TUPLES_OK;

    if (!good)
        check_say(WARNING, what, "cannot be asked: %s", database_complaint(answer));
    else if (PQntuples(answer) == 0)
        check_say(WARNING, what, "has no extension: CREATE EXTENSION webhook_routing");
    else if (strcmp(PQgetvalue(answer, 0, 0), WEBHOOK_ROUTING_VERSION) != 0)
        check_say(WARNING, what,
                  "has version %s, this is %s: ALTER EXTENSION webhook_routing UPDATE",
                  PQgetvalue(answer, 0, 0), WEBHOOK_ROUTING_VERSION);
    else if (!PQgetisnull(answer, 0, 2))
        check_say(WARNING, what, "%s may not call %s: SELECT grant_routing_role('forwarder', '%s')",
                  PQgetvalue(answer, 0, 1), PQgetvalue(answer, 0, 2), PQgetvalue(answer, 0, 1));
    else
        check_say(GOOD, what, "%s:%s, PostgreSQL %s, extension %s, role %s", PQhost(connection),
                  PQport(connection), PQparameterStatus(connection, "server_version"),
                  PQgetvalue(answer, 0, 0), PQgetvalue(answer, 0, 1));
    PQclear(answer);
}

/* Whether its statements are understood there, by the search_path that the role has. */
static bool check_statements(const char *what, PGconn *connection,
                             const struct database_statement *statements, size_t count)
{
    bool good = true;

    for (size_t i = 0; good && i < count; i++)
    {
        PGresult *answer = PQprepare(connection, statements[i].name, statements[i].sql,
                                     statements[i].parameters, statements[i].types);
        const char *mend = retry_mend(database_sqlstate(answer));

        good = PQresultStatus(answer) == PGRES_COMMAND_OK;
        if (!good)
            check_say(WARNING, what, "%s%s%s", database_complaint(answer), mend == NULL ? "" : "; ",
                      mend == NULL ? "" : mend);
        PQclear(answer);
    }
    return good;
}

static void check_link(const char *what, const char *url, const char *session,
                       const struct database_statement *statements, size_t count)
{
    PGconn *connection = connector_connect(url, session, "check");
    char complaint[512];
    const char *mend;

    if (connection == NULL || PQstatus(connection) != CONNECTION_OK)
    {
        log_flatten(complaint, sizeof complaint,
                    connection == NULL ? "out of memory" : PQerrorMessage(connection));
        mend = retry_mend_connection(complaint);
        check_say(WARNING, what, "not reached: %s%s%s", complaint, mend == NULL ? "" : "; ",
                  mend == NULL ? "" : mend);
    }
    else if (check_statements(what, connection, statements, count))
        check_rights(what, connection);
    PQfinish(connection);
}

/* ---- all of it ---- */

/* A password in it stands where everybody reads it: here it is not repeated. */
static void check_functions_url(const char *url)
{
    if (url[0] == '\0')
        check_say(NOTE, "--functions-url", "not given: each target needs a URL of its own");
    else if (options_url_names_user(url))
        check_say(WARNING, "--functions-url",
                  "holds a user name or password: give it as a line `Authorization: ...` of "
                  "--function-header-file, whose file is secret");
    else
        check_say(GOOD, "--functions-url", "%s", url);
}

/* Deadlines beyond another one that is over before: nothing is left for what follows. */
static void check_deadlines(const struct options *options)
{
    const struct
    {
        const char *flag, *sooner;
        bool never;
    } PAIRS[] = {
        {"--connect-timeout", "--attempt-timeout",
         options->connect_timeout > options->attempt_timeout},
        {"--attempt-timeout", "--total-timeout", options->attempt_timeout > options->total_timeout},
        {"--decide-timeout", "--total-timeout", options->decide_timeout > options->total_timeout},
    };

    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++)
        if (PAIRS[i].never)
            check_say(WARNING, PAIRS[i].flag, "is longer than %s, which is over before: shorten it",
                      PAIRS[i].sooner);
}

bool check_all(struct options *options)
{
    const char *url = options->database_url.value, *flag;
    struct secret *secret;
    bool running;

    if (geteuid() == 0)
        check_say(NOTE, "root", "may read and write what the service's user may not");
    check_variables();
    for (size_t i = 0; (secret = options_secret(options, i, &flag)) != NULL; i++)
        check_secret(secret, flag);
    check_functions_url(options->functions_url);
    check_deadlines(options);
    running = check_spool(options);
    check_address("--listen", options->listen, running);
    check_address("--admin-listen", options->admin_listen, running);
    check_link("database, to decide", url, options->decide_server, DECIDE_STATEMENTS,
               DECIDE_STATEMENT_COUNT);
    check_link("database, for the log", url, options->log_server, LOG_STATEMENTS,
               LOG_STATEMENT_COUNT);
    if (check_warnings == 0)
        puts("the settings are good");
    else
        printf("the settings are good, but for %u warning%s\n", check_warnings,
               check_warnings == 1 ? "" : "s");
    return fflush(stdout) == 0 && !ferror(stdout);
}
