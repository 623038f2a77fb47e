/* SPDX-License-Identifier: PostgreSQL
 *
 * When a database is asked again, and whether on another connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

static void pauses(void **state)
{
    uint64_t longest = 50000;

    (void) state;
    for (unsigned failures = 0; failures < 40; failures++)
    {
        for (int i = 0; i < 20; i++)
        {
            uint64_t pause = retry_pause(failures);

            assert_in_range(pause, longest / 2, longest);
        }
        longest = longest * 2 > RETRY_MOST_US ? RETRY_MOST_US : longest * 2;
    }
    assert_in_range(retry_pause(4000000000u), RETRY_MOST_US / 2, RETRY_MOST_US);
}

static void connections(void **state)
{
    static const char *const NEW[] = {"0A000", "25006", "26000", "42501",
                                      "42883", "57P01", "57P03", "XX000"};
    static const char *const SAME[] = {"",      "22021", "23514", "40001", "40P01",
                                       "53100", "55P03", "57014", "WR001"};

    (void) state;
    for (size_t i = 0; i < sizeof NEW / sizeof *NEW; i++)
        assert_true(retry_needs_connection(NEW[i]));
    for (size_t i = 0; i < sizeof SAME / sizeof *SAME; i++)
        assert_false(retry_needs_connection(SAME[i]));
}

static void rows(void **state)
{
    static const char *const ROW[] = {"21000", "22021", "22P02", "23505",
                                      "23514", "44000", "54000", "P0001"};
    static const char *const ALL[] = {"",      "0A000", "25006", "40001", "42501", "42P01",
                                      "53100", "55P03", "57014", "57P01", "58030", "XX000"};

    (void) state;
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        assert_true(retry_blames_row(ROW[i]));
    for (size_t i = 0; i < sizeof ALL / sizeof *ALL; i++)
        assert_false(retry_blames_row(ALL[i]));
}

static void mends(void **state)
{
    static const char *const KNOWN[] = {"25006", "42501", "42883", "42P01",
                                        "53100", "55P03", "57014"};

    (void) state;
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        assert_non_null(retry_mend(KNOWN[i]));
    assert_null(retry_mend(""));
    assert_null(retry_mend("XX000"));
    assert_non_null(strstr(retry_mend("42501"), "grant_routing_role('forwarder', "));
}

/* What libpq says of connections, several hosts' lines included. */
static void connection_mends(void **state)
{
    static const struct
    {
        const char *complaint, *mend;
    } CASES[] = {
        {"connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n\tIs the "
         "server "
         "running on that host and accepting TCP/IP connections?\n",
         "start PostgreSQL"},
        {"connection to server on socket \"/tmp/.s.PGSQL.1\" failed: No such file or directory\n",
         "start PostgreSQL"},
        {"could not translate host name \"db.invalid\" to address: Name or service not known\n",
         "getent hosts"},
        {"connection to server at \"192.0.2.1\", port 5432 failed: timeout expired\n",
         "pg_isready"},
        {"FATAL:  password authentication failed for user \"a\"\n", "ALTER ROLE"},
        {"fe_sendauth: no password supplied\n", "ALTER ROLE"},
        {"FATAL:  no pg_hba.conf entry for host \"::1\", user \"a\", database \"b\"\n",
         "pg_hba.conf"},
        {"FATAL:  Peer authentication failed for user \"a\"\n", "pg_hba.conf"},
        {"FATAL:  permission denied for database \"b\"\n", "GRANT CONNECT"},
        {"FATAL:  database \"b\" does not exist\n", "CREATE DATABASE"},
        {"FATAL:  role \"a\" does not exist\n", "CREATE ROLE"},
        {"FATAL:  sorry, too many clients already\n", "max_connections"},
        {"FATAL:  too many connections for role \"a\"\n", "max_connections"},
        {"FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute\n",
         "max_connections"},
        {"connection to server at \"10.0.0.1\", port 5432 failed: session is read-only\n",
         "name the primary"}};

    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    {
        const char *mend = retry_mend_connection(CASES[i].complaint);

        assert_non_null(mend);
        assert_non_null(strstr(mend, CASES[i].mend));
    }
    assert_null(retry_mend_connection(""));
    assert_null(retry_mend_connection("server closed the connection unexpectedly\n"));
    assert_null(retry_mend_connection("FATAL:  the database system is starting up\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses), cmocka_unit_test(connections),      cmocka_unit_test(rows),
        cmocka_unit_test(mends),  cmocka_unit_test(connection_mends),
    };

    return cmocka_run_group_tests_name("forwarder_retry", tests, NULL, NULL);
}
