/* SPDX-License-Identifier: PostgreSQL
 *
 * retry.c: when to ask a database again, whether on another connection, whether it is the row that
 * it will never take, and what a person can do. Pure but for chance.
 */
#include <stddef.h>
#include <string.h>

#include "forwarder.h"

#define RETRY_LEAST_US 50000u
#define MEND_EXTENSION "CREATE EXTENSION webhook_routing, or ALTER EXTENSION webhook_routing UPDATE"
#define MEND_PRIMARY "name the primary in the database URL as well: --log-server finds it"
#define MEND_ADDRESS "start PostgreSQL, or correct host and port in the database URL"
#define MEND_PASSWORD "correct the password in the database URL, or ALTER ROLE <name> PASSWORD"
#define MEND_HBA "let the role in by a line of pg_hba.conf, then SELECT pg_reload_conf()"
#define MEND_FULL "raise max_connections, or the limit of the role or database; or lower --workers"
#define MEND_WAIT                                                                                  \
    "SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity shows who keeps it waiting"

/* 50 ms, doubled with each failure up to 2 s; between half of that and the whole, so that
 * forwarders do not come in step. */
uint64_t retry_pause(unsigned failures)
{
    uint64_t pause = failures > 6 ? RETRY_MOST_US : (uint64_t) RETRY_LEAST_US << failures;
    uint8_t id[16];

    if (pause > RETRY_MOST_US)
        pause = RETRY_MOST_US;
    identity_make(id);
    return pause / 2 + pause / 2 * id[15] / 255;
}

static bool starts_with_any(const char *sqlstate, const char *const starts[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(sqlstate, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

bool retry_needs_connection(const char *sqlstate)
{
    static const char *const STARTS[] = {
        "0A000", /* a prepared statement whose result has changed: the extension was updated */
        "25006", /* read-only: it has become a standby */
        "26000", /* a prepared statement that is gone */
        "42",    /* a function that is missing or may not be called; a new one can be prepared */
        "57P",   /* the server is shutting down or starting */
        "XX"};

    return starts_with_any(sqlstate, STARTS, sizeof STARTS / sizeof *STARTS);
}

bool retry_blames_row(const char *sqlstate)
{
    static const char *const STARTS[] = {
        "21", /* more rows than there may be */
        "22", /* a value */
        "23", /* a constraint */
        "44", /* a view's check */
        "54", /* a limit, such as that of an index entry */
        "P0"  /* a trigger's own refusal */
    };

    return starts_with_any(sqlstate, STARTS, sizeof STARTS / sizeof *STARTS);
}

/* The words are libpq's, getaddrinfo()'s, strerror()'s and, behind FATAL, the server's. */
const char *retry_mend_connection(const char *complaint)
{
    static const struct
    {
        const char *words, *mend;
    } MENDS[] = {
        {"Connection refused", MEND_ADDRESS},
        {"No such file or directory", MEND_ADDRESS},
        {"could not translate host name", "correct the host in the database URL, or the name "
                                          "service of this machine: getent hosts <host>"},
        {"timeout expired", "let this machine reach host and port: pg_isready -h <host> -p <port>"},
        {"password authentication failed", MEND_PASSWORD},
        {"no password supplied", MEND_PASSWORD},
        {"no pg_hba.conf entry", MEND_HBA},
        {"authentication failed for user", MEND_HBA},
        {"permission denied for database", "GRANT CONNECT ON DATABASE <name> TO <the forwarder's "
                                           "role>"},
        {"too many clients", MEND_FULL},
        {"too many connections", MEND_FULL},
        {"remaining connection slots are reserved", MEND_FULL},
        {"session is read-only", MEND_PRIMARY},
        {"server is in hot standby mode", MEND_PRIMARY}};

    for (size_t i = 0; i < sizeof MENDS / sizeof *MENDS; i++)
        if (strstr(complaint, MENDS[i].words) != NULL)
            return MENDS[i].mend;
    if (strstr(complaint, "does not exist") == NULL)
        return NULL;
    return strstr(complaint, "database \"") != NULL
               ? "CREATE DATABASE <name>, or correct its name in the database URL"
               : "CREATE ROLE <name> LOGIN, then SELECT grant_routing_role('forwarder', '<name>')";
}

const char *retry_mend(const char *sqlstate)
{
    static const struct
    {
        const char *sqlstate, *mend;
    } MENDS[] = {{"25006", MEND_PRIMARY},
                 {"42501", "SELECT grant_routing_role('forwarder', '<role of the forwarder>')"},
                 {"42883", MEND_EXTENSION},
                 {"42P01", MEND_EXTENSION},
                 {"53100", "free space on the disk of the database"},
                 {"55P03", MEND_WAIT},
                 {"57014", MEND_WAIT}};

    for (size_t i = 0; i < sizeof MENDS / sizeof *MENDS; i++)
        if (strcmp(MENDS[i].sqlstate, sqlstate) == 0)
            return MENDS[i].mend;
    return NULL;
}
