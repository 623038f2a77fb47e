/* SPDX-License-Identifier: PostgreSQL
 *
 * A function's answer, read whole and byte by byte: what it says, where it ends, and everything
 * that could be read in two ways (RFC 9112 6 and 7).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/answer.h"

struct got
{
    struct answer_reader reader;
    char body[4096];
    size_t body_length;
    size_t taken; /* bytes of the text that were read */
};

/* Reads the text in pieces of `step` bytes, up to where the reader stops. */
static void read_in(struct got *got, const char *text, size_t length, size_t step)
{
    answer_begin(&got->reader);
    got->body_length = got->taken = 0;
    while (got->taken < length)
    {
        size_t piece = length - got->taken < step ? length - got->taken : step, used, part;
        const char *body;

        used = answer_read(&got->reader, text + got->taken, piece, &body, &part);
        assert_true(used <= piece && part <= used);
        assert_true(got->body_length + part <= sizeof got->body);
        memcpy(got->body + got->body_length, body, part);
        got->body_length += part;
        got->taken += used;
        if (used == 0)
            break;
    }
}

/* The same at once and in pieces of every size; the last is left in *got. */
static void read_all(struct got *got, const char *text, size_t length, enum answer_state expected)
{
    for (size_t step = length + 1; step > 0; step = step > 17 ? step / 2 : step - 1)
    {
        read_in(got, text, length, step);
        if (got->reader.state != ANSWER_COMPLETE && got->reader.state != ANSWER_BAD)
            answer_end(&got->reader);
        assert_int_equal(got->reader.state, expected);
        assert_true((got->reader.problem != NULL) == (expected == ANSWER_BAD));
    }
}

static void good(const char *text, unsigned status, const char *body, bool keeps)
{
    struct got got;

    read_all(&got, text, strlen(text), ANSWER_COMPLETE);
    assert_int_equal(got.reader.status, status);
    assert_int_equal(got.body_length, strlen(body));
    assert_memory_equal(got.body, body, strlen(body));
    assert_int_equal(answer_keeps(&got.reader), keeps);
}

static void bad(const char *text)
{
    struct got got;

    read_all(&got, text, strlen(text), ANSWER_BAD);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void bodies(void **state)
{
    (void) state;
    good(OK "Content-Length: 2\r\n\r\n{}", 200, "{}", true);
    good(OK "content-length:2\r\n\r\n{}", 200, "{}", true);
    good("HTTP/1.1 200\r\nContent-Length: \t2 \t\r\n\r\n{}", 200, "{}", true);
    good("HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", 200, "{}", true);
    good(OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", true);
    good(OK "Content-Length: 0\r\n\r\n", 200, "", true);
    good(OK "\r\nto the end", 200, "to the end", false);
    good("HTTP/1.1 204 No\r\n\r\n", 204, "", true);
    good("HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", 304, "", true);
    good("HTTP/1.1 503 Not now\r\nContent-Length: 1\r\n\r\n\n", 503, "\n", true);
    good("HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n", 999, "", true);
}

static void chunks(void **state)
{
    (void) state;
    good(OK "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, "{}", true);
    good(OK "transfer-encoding:\tCHUNKED\r\n\r\n1;a=b\r\n{\r\n001 \r\n}\r\n000\r\n\r\n", 200, "{}",
         true);
    good(OK "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n"
            "X-T: b\r\nContent-Length: 7\r\n\r\n",
         200, "01234567890123456789", true);
    good(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", true);
}

static void connections(void **state)
{
    (void) state;
    good(OK "Content-Length: 0\r\nConnection: close\r\n\r\n", 200, "", false);
    good(OK "Content-Length: 0\r\nConnection: a ,\tClose\r\n\r\n", 200, "", false);
    good(OK "Content-Length: 0\r\nConnection: closed, keep-alive\r\n\r\n", 200, "", true);
    good(OK "Content-Length: 0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", 200, "",
         false);
    good("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false);
    good("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", 200, "", true);
    good("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, close\r\n\r\n", 200, "",
         false);
}

static void interim(void **state)
{
    struct got got;
    const char *text =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Type: a/b\r\n"
        "Content-Length: 9\r\nConnection: close\r\n\r\n" OK
        "Content-Length: 4\r\nContent-Encoding: gzip\r\n\r\ndone";

    (void) state;
    read_all(&got, text, strlen(text), ANSWER_COMPLETE);
    assert_int_equal(got.reader.status, 200);
    assert_memory_equal(got.body, "done", 4);
    assert_string_equal(got.reader.content_type, "");
    assert_string_equal(got.reader.content_encoding, "gzip");
    assert_true(answer_keeps(&got.reader));
    bad("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n");
    bad("HTTP/1.1 100 Continue\r\n\r\n");
}

static void values(void **state)
{
    static const char LONG[] = OK "Content-Length: 0\r\nContent-Type: ";
    struct got got;
    char text[2048];

    (void) state;
    read_all(&got, OK "Content-Length: 0\r\nContent-Type:  a/b;\tc \r\n\r\n",
             sizeof OK "Content-Length: 0\r\nContent-Type:  a/b;\tc \r\n\r\n" - 1, ANSWER_COMPLETE);
    assert_string_equal(got.reader.content_type, "a/b; c");
    /* One that does not fit is none. */
    for (size_t length = 200; length < 1500; length += 50)
    {
        size_t size = sizeof LONG - 1;

        memcpy(text, LONG, size);
        memset(text + size, 'a', length);
        memcpy(text + size + length, "\r\n\r\n", 4);
        read_all(&got, text, size + length + 4, ANSWER_COMPLETE);
        assert_int_equal(strlen(got.reader.content_type),
                         length < sizeof got.reader.content_type ? length : 0);
    }
}

/* A line of any length is passed over when it is of no interest. */
static void long_lines(void **state)
{
    static char text[ANSWER_LINES_MOST + 1024];
    const char *end = "\r\nContent-Length: 2\r\n\r\n{}";
    size_t length = 0;
    struct got got;

    (void) state;
    for (size_t line = 900; line < 20000; line = line * 3 / 2)
    {
        length = sizeof OK - 1;
        memcpy(text, OK "X: ", length + 3);
        memset(text + length + 3, 'x', line);
        length += 3 + line;
        memcpy(text + length, end, strlen(end));
        length += strlen(end);
        read_in(&got, text, length, line % 2 == 0 ? 100 : length);
        assert_int_equal(got.reader.state, ANSWER_COMPLETE);
        assert_memory_equal(got.body, "{}", 2);
    }
    memset(text, 'x', sizeof text);
    memcpy(text, OK, sizeof OK - 1);
    read_in(&got, text, sizeof text, 10000);
    assert_int_equal(got.reader.state, ANSWER_BAD);
    /* A length that is written out over a thousand bytes is nobody's. */
    memset(text, ' ', 2000);
    memcpy(text, OK "Content-Length:", sizeof OK "Content-Length:" - 1);
    memcpy(text + 1998, "2\r\n\r\n{}", 7);
    read_all(&got, text, 2005, ANSWER_BAD);
}

static void refused(void **state)
{
    static const char *const TEXTS[] = {
        "",
        "this is not HTTP\r\n\r\n",
        "{\"ok\": true}",
        "\x16\x03\x01\x02\x01\xff\xff",
        "\r\n" OK "Content-Length: 0\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.x 200 OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        OK,
        OK "Content-Length: 2\r\n",
        OK "Content-Length: 3\r\n\r\n{}",
        OK "Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}",
        OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK "Content-Length: -2\r\n\r\n{}",
        OK "Content-Length: +2\r\n\r\n{}",
        OK "Content-Length: 2, 2\r\n\r\n{}",
        OK "Content-Length: 0x2\r\n\r\n{}",
        OK "Content-Length:\r\n\r\n{}",
        OK "Content-Length : 2\r\n\r\n{}",
        OK "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
        OK "Content-Length: 18446744073709551618\r\n\r\n{}",
        OK "Content-Length: 2\r\n 0\r\n\r\n{}",
        OK "Content-Type: a/b;\r\n\tc=d\r\nContent-Length: 2\r\n\r\n{}",
        OK "Content-Type: a\x01/b\r\nContent-Length: 2\r\n\r\n{}",
        OK "Content-Encoding: gz\rip\r\nContent-Length: 2\r\n\r\n{}",
        OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK "Transfer-Encoding: identity\r\n\r\n{}",
        OK "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\na\r\n12345",
        OK "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\nzz\r\n12345\r\n0\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n5x\r\n12345\r\n0\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n-5\r\n12345\r\n0\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n\r\n12345\r\n0\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n4\r\n12345\r\n0\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\n12345\r\n0\r\n\r\n",
    };
    struct got got;

    (void) state;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        bad(TEXTS[i]);
    read_all(&got, OK "X: \0\r\nContent-Length: 0\r\n\r\n",
             sizeof OK "X: \0\r\nContent-Length: 0\r\n\r\n" - 1, ANSWER_BAD);
}

/* Behind ANSWER_LINE_LIMIT a line is not kept when it comes in pieces, nor looked at when it comes
 * whole; but for a NUL. */
static void cut_lines(void **state)
{
    static const char START[] = OK "X: ", END[] = "\r\nContent-Length: 0\r\n\r\n";
    char text[sizeof START + 2 * ANSWER_LINE_LIMIT + sizeof END];
    size_t far = sizeof START - 1 + 2 * ANSWER_LINE_LIMIT;
    struct got got;

    (void) state;
    memset(text, 'x', sizeof text);
    memcpy(text, START, sizeof START - 1);
    memcpy(text + far, END, sizeof END - 1);
    read_all(&got, text, far + sizeof END - 1, ANSWER_COMPLETE);
    text[far - 1] = '\0';
    read_all(&got, text, far + sizeof END - 1, ANSWER_BAD);
}

/* What is no answer is known as soon as it can be, and what is behind one is left alone. */
static void bounds(void **state)
{
    static const char TWO[] = OK "Content-Length: 2\r\n\r\n{}" OK;
    struct got got;

    (void) state;
    read_in(&got, "HTTQ", 4, 4);
    assert_int_equal(got.reader.state, ANSWER_BAD);
    read_in(&got, "HTTP/1", 6, 1);
    assert_int_equal(got.reader.state, ANSWER_STATUS);
    read_in(&got, TWO, sizeof TWO - 1, sizeof TWO);
    assert_int_equal(got.reader.state, ANSWER_COMPLETE);
    assert_int_equal(got.taken, sizeof TWO - sizeof OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),  cmocka_unit_test(chunks),    cmocka_unit_test(connections),
        cmocka_unit_test(interim), cmocka_unit_test(values),    cmocka_unit_test(long_lines),
        cmocka_unit_test(refused), cmocka_unit_test(cut_lines), cmocka_unit_test(bounds),
    };

    return cmocka_run_group_tests_name("forwarder_answer", tests, NULL, NULL);
}
