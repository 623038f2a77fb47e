/* SPDX-License-Identifier: PostgreSQL
 *
 * The header gate and the request target: every way in which two HTTP parsers have been known to
 * read one request differently is a line here (RFC 9112 section 11.2, RFC 9110 section 5).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"

/* Reads "Name: value" lines as libmicrohttpd hands them over, and adds a Host unless told not to.
 */
static unsigned gate(const char *lines, enum http_version version, bool host,
                     struct gate_result *result)
{
    struct header_field fields[16];
    size_t count = 0;

    if (host)
        fields[count++] = (struct header_field){"Host", "x", 4, 1};
    while (*lines != '\0')
    {
        size_t length = strcspn(lines, "\n"), name = strcspn(lines, ":");

        fields[count++] = (struct header_field){lines, lines + name + 2, name,
                                                length > name + 2 ? length - name - 2 : 0};
        lines += length + (lines[length] == '\n');
    }
    gate_check(fields, count, version, result);
    return result->status;
}

/* Values are compared up to their end, which in a real request is a NUL. */
static unsigned status(const char *lines)
{
    struct gate_result result;

    return gate(lines, HTTP_1_1, true, &result);
}

static void framing(void **state)
{
    static const char *const REFUSED[] = {"Content-Length: 3\nTransfer-Encoding: chunked",
                                          "Content-Length: 3\nContent-Length: 3",
                                          "Content-Length: 3\nContent-Length: 4",
                                          "Content-Length: +3",
                                          "Content-Length: 3, 3",
                                          "Content-Length: -1",
                                          "Content-Length: 0x3",
                                          "Content-Length: 3a",
                                          "Content-Length:",
                                          "Content-Length: 18446744073709551619",
                                          "Transfer-Encoding: xchunked",
                                          "Transfer-Encoding: chunked, chunked",
                                          "Transfer-Encoding: gzip, chunked",
                                          "Transfer-Encoding: identity",
                                          "Transfer-Encoding: chunked\nTransfer-Encoding: chunked"};

    (void) state;
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
        if (status(REFUSED[i]) != 400)
            fail_msg("passed: %s", REFUSED[i]);
    assert_int_equal(status("Content-Length: 3"), 0);
    assert_int_equal(status("content-length: 0"), 0);
    assert_int_equal(status("Transfer-Encoding: Chunked"), 0);
    assert_int_equal(status(""), 0);
}

static void length_is_read(void **state)
{
    struct gate_result result;

    (void) state;
    assert_int_equal(gate("Content-Length: 4194305", HTTP_1_1, true, &result), 0);
    assert_true(result.has_length);
    assert_int_equal(result.content_length, 4194305);
    assert_false(result.chunked);
}

static void old_version(void **state)
{
    struct gate_result result;

    (void) state;
    assert_int_equal(gate("Transfer-Encoding: chunked", HTTP_1_0, true, &result), 400);
    assert_int_equal(gate("Content-Length: 3", HTTP_1_0, false, &result), 0);
}

static void host(void **state)
{
    struct gate_result result;

    (void) state;
    assert_int_equal(gate("Content-Length: 3", HTTP_1_1, false, &result), 400);
    assert_int_equal(status("Host: x"), 400);
    assert_int_equal(gate("Host: a b", HTTP_1_1, false, &result), 400);
    assert_int_equal(gate("Host: [::1]:8080", HTTP_1_1, false, &result), 0);
}

static void fields(void **state)
{
    (void) state;
    assert_int_equal(status("X-A : 1"), 400);
    assert_int_equal(status("X A: 1"), 400);
    assert_int_equal(status(": 1"), 400);
    assert_int_equal(status("X-A\x01: 1"), 400);
    assert_int_equal(status("X-A: a\x01"), 400);
    assert_int_equal(status("X-A: a\rb"), 400);
    assert_int_equal(status("X-A: a\x7f"), 400);
    assert_int_equal(status("X-A: a\tb\xc3\xa9"), 0);
    assert_int_equal(status("X-Hub-Signature-256: a\nX-Hub-Signature-256: b"), 400);
    assert_int_equal(status("Content-Type: a\ncontent-type: a"), 400);
}

static void connection(void **state)
{
    (void) state;
    assert_int_equal(status("Connection: X-Hub-Signature-256"), 400);
    assert_int_equal(status("Connection: close, x-hub-signature-256"), 400);
    assert_int_equal(status("Connection: close,Content-Length"), 400);
    assert_int_equal(status("Connection: keep-alive, , te"), 0);
}

static void expectation(void **state)
{
    struct gate_result result;

    (void) state;
    assert_int_equal(status("Expect: 200-maybe"), 417);
    assert_int_equal(gate("Expect: 100-Continue", HTTP_1_1, true, &result), 0);
    assert_true(result.expects_continue);
}

static void passed_on(void **state)
{
    struct gate_result result;

    (void) state;
    assert_int_equal(
        gate("x-correlation-id: c\nTRACEPARENT: t\nX-Routed-From: evil", HTTP_1_1, true, &result),
        0);
    assert_int_equal(*result.correlation_id, 'c');
    assert_int_equal(*result.traceparent, 't');
    assert_null(result.signature);
    assert_null(result.content_type);
}

/* ---- the request target ---- */

static enum uri_kind kind(const char *target, const char *prefix)
{
    struct uri uri;

    uri_read(target, prefix, &uri);
    return uri.kind;
}

static void paths(void **state)
{
    struct uri uri;

    (void) state;
    assert_int_equal(kind("/", ""), URI_ROOT);
    assert_int_equal(kind("/?a=b", ""), URI_ROOT);
    assert_int_equal(kind("http://host", ""), URI_ROOT);
    assert_int_equal(kind("http://host/wa-webhook-jobs", ""), URI_WEBHOOK);
    assert_int_equal(kind("*", ""), URI_UNKNOWN);
    assert_int_equal(kind("/a/b", ""), URI_UNKNOWN);
    assert_int_equal(kind("/a%00", ""), URI_UNKNOWN);
    assert_int_equal(kind("/../etc", ""), URI_UNKNOWN);
    assert_int_equal(kind("/..", ""), URI_UNKNOWN);
    assert_int_equal(kind("/.hidden", ""), URI_UNKNOWN);
    assert_int_equal(kind("/jobs.v2", ""), URI_WEBHOOK);
    assert_int_equal(kind("/functions/v1", "/functions/v1"), URI_ROOT);
    assert_int_equal(kind("/functions/v1/", "/functions/v1"), URI_ROOT);
    assert_int_equal(kind("/functions/v12", "/functions/v1"), URI_UNKNOWN);
    assert_int_equal(kind("/", "/functions/v1"), URI_UNKNOWN);
    uri_read("/functions/v1/wa-webhook-jobs?x=y", "/functions/v1", &uri);
    assert_int_equal(uri.kind, URI_WEBHOOK);
    assert_string_equal(uri.webhook, "wa-webhook-jobs");
    assert_string_equal(uri.query, "x=y");
}

static void long_names(void **state)
{
    char target[ROUTE_MAX_NAME_LENGTH + 4] = "/";

    (void) state;
    memset(target + 1, 'a', ROUTE_MAX_NAME_LENGTH);
    assert_int_equal(kind(target, ""), URI_WEBHOOK);
    target[ROUTE_MAX_NAME_LENGTH + 1] = 'a';
    assert_int_equal(kind(target, ""), URI_UNKNOWN);
}

static void parameters(void **state)
{
    char value[16];
    size_t length;
    const char *query =
        "hub.mode=subscribe&hub%2Echallenge=a%00b%2B+c&bad=%zz&cut=%4&empty=&long=0123456789abcdef";

    (void) state;
    assert_true(uri_parameter(query, "hub.mode", value, sizeof value, &length));
    assert_string_equal(value, "subscribe");
    assert_true(uri_parameter(query, "hub.challenge", value, sizeof value, &length));
    assert_int_equal(length, 6);
    assert_memory_equal(value, "a\0b+ c", 7);
    assert_true(uri_parameter(query, "empty", value, sizeof value, &length));
    assert_int_equal(length, 0);
    assert_false(uri_parameter(query, "bad", value, sizeof value, &length));
    assert_false(uri_parameter(query, "cut", value, sizeof value, &length));
    assert_false(uri_parameter(query, "long", value, sizeof value, &length));
    assert_false(uri_parameter(query, "mode", value, sizeof value, &length));
    assert_false(uri_parameter("", "hub.mode", value, sizeof value, &length));
}

/* What a parser hands over of this header, which it received whole, counts as all of it. */
static void size_of_the_parts(void **state)
{
    const char *header = "POST /x?y HTTP/1.1\r\nHost: a\r\nEmpty:\r\nBlank: \t b \r\n\r\n";
    const char *host = strstr(header, "Host"), *empty = strstr(header, "Empty"),
               *blank = strstr(header, "Blank");
    const struct header_field fields[] = {
        {host, host + 6, 4, 1}, {empty, empty + 6, 5, 0}, {blank, blank + 9, 5, 2}};

    (void) state;
    assert_int_equal(gate_size("POST", "/x?y", "HTTP/1.1", fields, 3), strlen(header));
    /* A text that ended early at a NUL, a field that was lost */
    assert_int_not_equal(gate_size("POST", "/x", "HTTP/1.1", fields, 3), strlen(header));
    assert_int_not_equal(gate_size("POST", "/x?y", "HTTP/1.1", fields, 2), strlen(header));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing),     cmocka_unit_test(length_is_read),
        cmocka_unit_test(old_version), cmocka_unit_test(host),
        cmocka_unit_test(fields),      cmocka_unit_test(connection),
        cmocka_unit_test(expectation), cmocka_unit_test(passed_on),
        cmocka_unit_test(paths),       cmocka_unit_test(long_names),
        cmocka_unit_test(parameters),  cmocka_unit_test(size_of_the_parts),
    };

    return cmocka_run_group_tests_name("forwarder_gate", tests, NULL, NULL);
}
