/* SPDX-License-Identifier: PostgreSQL
 *
 * Which addresses are no place for a function, and what buffers may hold.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

static bool refused(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return limits_refused_address((struct sockaddr *) &v4) != NULL;
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return limits_refused_address((struct sockaddr *) &v6) != NULL;
}

static void addresses(void **state)
{
    static const char *const REFUSED[] = {"169.254.169.254",
                                          "169.254.0.1",
                                          "100.100.100.200",
                                          "0.0.0.0",
                                          "0.1.2.3",
                                          "224.0.0.1",
                                          "255.255.255.255",
                                          "240.0.0.1",
                                          "::",
                                          "fe80::1",
                                          "ff02::1",
                                          "fd00:ec2::254",
                                          "::ffff:169.254.169.254",
                                          "64:ff9b::169.254.169.254"};
    static const char *const ALLOWED[] = {
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1",  "169.253.255.255", "169.255.0.1",
        "8.8.8.8",   "::1",      "fd00::1",     "2001:db8::1", "::ffff:10.0.0.1"};

    (void) state;
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
        if (!refused(REFUSED[i]))
            fail_msg("allowed: %s", REFUSED[i]);
    for (size_t i = 0; i < sizeof ALLOWED / sizeof *ALLOWED; i++)
        if (refused(ALLOWED[i]))
            fail_msg("refused: %s", ALLOWED[i]);
}

/* All of --max-buffer can be used, though buffers grow by doubling. */
static void buffers(void **state)
{
    static struct worker worker = {.max_buffer = 10000};
    static char bytes[6001];
    struct buffer buffer = {0};

    (void) state;
    assert_true(buffer_append(&worker, &buffer, bytes, 6000));
    assert_true(buffer_append(&worker, &buffer, bytes, 4000));
    assert_int_equal(worker.buffered, 10000);
    assert_false(buffer_append(&worker, &buffer, bytes, 1));
    assert_int_equal(buffer.length, 10000);
    buffer_reset(&worker, &buffer, 0);
    assert_int_equal(worker.buffered, 0);
}

/* Bodies that arrive cannot take the last room, which is for answers. */
static void kept(void **state)
{
    static struct worker worker = {.max_buffer = 10000, .kept_buffer = 1000};
    static char bytes[9001];
    struct buffer body = {.arrives = true}, answer = {0};

    (void) state;
    assert_true(buffer_append(&worker, &body, bytes, 9000));
    assert_false(buffer_append(&worker, &body, bytes, 1));
    assert_true(buffer_append(&worker, &answer, bytes, 1000));
    assert_false(buffer_append(&worker, &answer, bytes, 1));
    buffer_reset(&worker, &body, 0);
    buffer_reset(&worker, &answer, 0);
    assert_true(body.arrives);
    assert_int_equal(worker.buffered, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(buffers),
        cmocka_unit_test(kept),
    };

    return cmocka_run_group_tests_name("forwarder_limits", tests, NULL, NULL);
}
