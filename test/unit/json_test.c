/* SPDX-License-Identifier: PostgreSQL
 *
 * json_test.c: what is JSON and what is not, to the byte (RFC 8259, RFC 3629).
 */
#include "support.h"

#include "reference_json.h"
#include "text.h"

typedef struct sample
{
    const char *bytes;
    size_t length;
} sample;

#define S(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const sample valid[] = {
    /* values alone, and white space around them */
    S("{}"),
    S("[]"),
    S("null"),
    S("true"),
    S("false"),
    S("0"),
    S("\"\""),
    S(" 1 "),
    S("\t[\r\n]\n"),
    S("\r\n\t 1 \t\n\r"),
    S("[ ]"),
    S("{ }"),
    S("[[]   ]"),
    S(" {\n\t\"a\" :\r1\n}\t"),
    /* numbers */
    S("-0"),
    S("-1"),
    S("10"),
    S("1234567890"),
    S("0.0"),
    S("-0.5"),
    S("0e0"),
    S("0E+0"),
    S("0e-00"),
    S("1e1"),
    S("1E1"),
    S("1e+1"),
    S("1e-1"),
    S("1.5e10"),
    S("-1.5E-10"),
    S("123.456e78"),
    S("1e400000"),
    S("1e-400000"),
    S("-9223372036854775809"),
    S("0.00000000000000000000000000001"),
    S("100000000000000000000000000000000000000000000000000000000000"),
    S("[1,-1,0.5]"),
    /* strings */
    S("\"a\""),
    S("\"\\\"\""),
    S("\"\\\\\""),
    S("\"\\/\""),
    S("\"\\b\\f\\n\\r\\t\""),
    S("\"/\""),
    S("\"\\u0000\""),
    S("\"\\u001f\""),
    S("\"\\uABCD\\uabcd\\u1234\""),
    S("\"\\ud83d\\ude00\""),
    S("\"\\ud800\""),
    S("\"\\udc00\""),
    S("\"\\udc00\\ud800\""),
    S("\"\\ud800\\u0041\""),
    S("\"\\uD800\\n\""),
    S("\"\\uDBFF\\uDFFF\""),
    S("\"\\\\u0041\""),
    S("\"\\\\\\\\\""),
    S("\"\x7f\""),
    S("\"null\""),
    S("\"[{,:}]\""),
    S("\"'\""),
    S("\"\\u0022\""),
    /* UTF-8: the ends of each range */
    S("\"\xc2\x80\""),
    S("\"\xdf\xbf\""),
    S("\"\xe0\xa0\x80\""),
    S("\"\xe0\xbf\xbf\""),
    S("\"\xe1\x80\x80\""),
    S("\"\xec\xbf\xbf\""),
    S("\"\xed\x80\x80\""),
    S("\"\xed\x9f\xbf\""),
    S("\"\xee\x80\x80\""),
    S("\"\xef\xbf\xbf\""),
    S("\"\xf0\x90\x80\x80\""),
    S("\"\xf0\xbf\xbf\xbf\""),
    S("\"\xf1\x80\x80\x80\""),
    S("\"\xf3\xbf\xbf\xbf\""),
    S("\"\xf4\x80\x80\x80\""),
    S("\"\xf4\x8f\xbf\xbf\""),
    S("\"\xef\xbb\xbf\""),
    S("\"\xe2\x80\xa8\xe2\x80\xa9\""),
    S("\"\xef\xb7\x90\""),
    S("\"0123456789abcde\xc3\xa9 0123456789abcdef\""),
    S("{\"\xc3\xa9\":\"\xf0\x9f\x91\x8d\"}"),
    /* containers */
    S("[1]"),
    S("[1,2]"),
    S("[1 , 2]"),
    S("[[],{},[[]]]"),
    S("[null,1,\"1\",{}]"),
    S("{\"\":0}"),
    S("{\"a\":1,\"a\":2}"),
    S("{\"a\":{\"b\":[{\"c\":null}]}}"),
    S("{\"a\\u0000b\":1}"),
    S("[true,false]"),
    S("[\"a\",\"b\"]"),
    S("{\"a\":1 , \"b\" : [ 2 ] }"),
};

static const sample invalid[] = {
    /* nothing, and too much */
    S(""),
    S(" "),
    S("\n\t"),
    S("1 2"),
    S("{}{}"),
    S("[] []"),
    S("{} x"),
    S("[]]"),
    S("{}}"),
    S("1,"),
    S(",1"),
    S("\"a\" \"b\""),
    S("null null"),
    S("[1]x"),
    S("{}#"),
    S("true,"),
    S("[],"),
    S("\0"),
    S("1\0"),
    S("[]\0"),
    S("\0{}"),
    S("{} \0"),
    /* byte order marks, other encodings, other white space */
    S("\xef\xbb\xbf{}"),
    S("\xef\xbb\xbf"),
    S("{}\xef\xbb\xbf"),
    S("\xff\xfe{\0}\0"),
    S("\xfe\xff\0{\0}"),
    S("\0\0\0{"),
    S("\xc2\xa0{}"),
    S("\v1"),
    S("\f1"),
    S("[1\f]"),
    S("[\xe2\x81\xa0]"),
    S("[\x0b]"),
    S("\xe2\x80\xa8[]"),
    /* words */
    S("tru"),
    S("truee"),
    S("True"),
    S("TRUE"),
    S("nul"),
    S("nulll"),
    S("NULL"),
    S("fals"),
    S("falsee"),
    S("nan"),
    S("NaN"),
    S("Infinity"),
    S("-Infinity"),
    S("undefined"),
    S("[tru]"),
    S("[nullx]"),
    S("t"),
    S("n"),
    S("f"),
    S("{\"a\":tru}"),
    S("[true false]"),
    S("a"),
    S("*"),
    /* numbers */
    S("-"),
    S("+1"),
    S("01"),
    S("00"),
    S("-01"),
    S("-00"),
    S("1."),
    S(".1"),
    S("-.1"),
    S("1.e1"),
    S("1e"),
    S("1e+"),
    S("1e-"),
    S("1E"),
    S("1e1.5"),
    S("0x1"),
    S("1_000"),
    S("1,000"),
    S("1 000"),
    S("--1"),
    S("-+1"),
    S("1-1"),
    S("1+1"),
    S("0.1.2"),
    S("1ee1"),
    S("0e"),
    S("0.e1"),
    S("[1.]"),
    S("[-]"),
    S("[01]"),
    S("[1e]"),
    S("- 1"),
    S("1f"),
    S("1L"),
    S("\xef\xbc\x91"),
    S("-a"),
    S("[-a]"),
    S("[1a]"),
    S("[.5]"),
    S("0b1"),
    S("0o7"),
    S("1/2"),
    S("[0.]"),
    /* strings */
    S("\""),
    S("\"a"),
    S("'a'"),
    S("a\""),
    S("\"\\\""),
    S("\"\\"),
    S("\"\\x00\""),
    S("\"\\a\""),
    S("\"\\v\""),
    S("\"\\0\""),
    S("\"\\'\""),
    S("\"\\u\""),
    S("\"\\u0\""),
    S("\"\\u00\""),
    S("\"\\u000\""),
    S("\"\\u000g\""),
    S("\"\\u00G0\""),
    S("\"\\U0041\""),
    S("\"\\u 041\""),
    S("\"\\u-041\""),
    S("\"\\u"),
    S("\"\\u00"),
    S("\"\\u0041"),
    S("\"\\ud83d\\u\""),
    S("\"\\ \""),
    S("\"\\\n\""),
    S("\"\\\xc3\xa9\""),
    S("\"\n\""),
    S("\"\t\""),
    S("\"\0\""),
    S("\"\x01\""),
    S("\"\x1f\""),
    S("\"a\x00z\""),
    S("\"\r\""),
    S("\\\"a\\\""),
    S("[\"a]"),
    S("\"0123456789abcdef\x1f\""),
    S("\"0123456789abcdef0123456789abcde\n\""),
    /* UTF-8 */
    S("\"\x80\""),
    S("\"\xbf\""),
    S("\"\xc0\x80\""),
    S("\"\xc0\xaf\""),
    S("\"\xc1\xbf\""),
    S("\"\xc2\""),
    S("\"\xc2\x7f\""),
    S("\"\xc2\xc0\""),
    S("\"\xe0\x80\x80\""),
    S("\"\xe0\x80\xaf\""),
    S("\"\xe0\x9f\xbf\""),
    S("\"\xe0\xa0\""),
    S("\"\xe1\x80\""),
    S("\"\xe1\x80\x7f\""),
    S("\"\xe1\x80\xc0\""),
    S("\"\xed\xa0\x80\""),
    S("\"\xed\xbf\xbf\""),
    S("\"\xed\xa0\xbd\xed\xb8\x80\""),
    S("\"\xf0\x80\x80\x80\""),
    S("\"\xf0\x8f\xbf\xbf\""),
    S("\"\xf0\x90\x80\""),
    S("\"\xf1\x80\x80\""),
    S("\"\xf1\x80\x80\x7f\""),
    S("\"\xf1\x80\xc0\x80\""),
    S("\"\xf4\x90\x80\x80\""),
    S("\"\xf5\x80\x80\x80\""),
    S("\"\xf7\xbf\xbf\xbf\""),
    S("\"\xf8\x88\x80\x80\x80\""),
    S("\"\xfc\x84\x80\x80\x80\x80\""),
    S("\"\xfe\""),
    S("\"\xff\""),
    S("\"\xc3\""),
    S("\"\xc3"),
    S("\"\xe2\x82"),
    S("\"\xf0\x9f\x91"),
    S("\"\xe9\""),
    S("[\xc3\xa9]"),
    S("{\"\xff\":1}"),
    S("\"0123456789abcdef0\xff\""),
    /* containers */
    S("["),
    S("]"),
    S("{"),
    S("}"),
    S("[1"),
    S("[1,"),
    S("[1,]"),
    S("[,1]"),
    S("[,]"),
    S("[1,,2]"),
    S("[1 2]"),
    S("[1;2]"),
    S("[}"),
    S("{]"),
    S("[1}"),
    S("{\"a\":1]"),
    S("[[1]"),
    S("{\"a\":{}"),
    S("{\"a\"}"),
    S("{\"a\":}"),
    S("{\"a\":1,}"),
    S("{,}"),
    S("{,\"a\":1}"),
    S("{\"a\" 1}"),
    S("{\"a\"::1}"),
    S("{\"a\":1 \"b\":2}"),
    S("{\"a\":1,,\"b\":2}"),
    S("{a:1}"),
    S("{'a':1}"),
    S("{1:1}"),
    S("{null:1}"),
    S("{[]:1}"),
    S("{\"a\":1,\"b\"}"),
    S("{\"a\",1}"),
    S("{\"a\":1"),
    S("{\"a\":"),
    S("{\"a\""),
    S("{\""),
    S("{:1}"),
    S("{\"a\":1:2}"),
    S("[\"a\":1]"),
    S("{\"a\"=1}"),
    S("(1)"),
    S("<1>"),
    S("[1]]"),
    S("[[]"),
    S("[]["),
    S("{}{"),
    S("{{}}"),
    S("[{]}"),
    /* comments */
    S("/**/1"),
    S("1//"),
    S("[1/**/]"),
    S("#\n1"),
    S("{/*a*/}"),
    S("--\n1"),
};

static void check(const guarded *guard, const sample *s, bool expected)
{
    const char *bytes = guard_put(guard, s->bytes, s->length);

    if (route_is_json(bytes, s->length) != expected ||
        reference_is_json(bytes, s->length) != expected)
        fail_msg("\"%.*s\" should be %s", (int) s->length, s->bytes,
                 expected ? "valid" : "invalid");
}

static void test_table(void **state)
{
    guarded guard = guard_open(4096);

    (void) state;
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
        check(&guard, &valid[i], true);
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
        check(&guard, &invalid[i], false);
    assert_false(route_is_json(NULL, 0));
    guard_close(&guard);
}

/* The same at every distance from the end of memory and from a vector's boundary. */
static void test_every_alignment(void **state)
{
    guarded guard = guard_open(4096);
    char padded[256];

    (void) state;
    for (size_t pad = 0; pad < 40; pad++)
        for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
        {
            size_t length = pad + valid[i].length;

            memset(padded, ' ', pad);
            memcpy(padded + pad, valid[i].bytes, valid[i].length);
            assert_true(route_is_json(guard_put(&guard, padded, length), length));
        }
    guard_close(&guard);
}

/* A string of every length with one bad byte at every place. */
static void test_bad_byte_anywhere(void **state)
{
    static const char bad[] = {'\x1f', '\0', '\x80', '\xff', '\n'};
    guarded guard = guard_open(4096);
    char text[80];

    (void) state;
    for (size_t length = 0; length < 70; length++)
    {
        memset(text, 'a', sizeof(text));
        text[0] = '"';
        text[length + 1] = '"';
        assert_true(route_is_json(guard_put(&guard, text, length + 2), length + 2));
        assert_false(route_is_json(guard_put(&guard, text, length + 1), length + 1));
        for (size_t at = 1; at <= length; at++)
            for (size_t i = 0; i < sizeof(bad); i++)
            {
                text[at] = bad[i];
                assert_false(route_is_json(guard_put(&guard, text, length + 2), length + 2));
                text[at] = 'a';
            }
    }
    guard_close(&guard);
}

static void test_every_byte_alone(void **state)
{
    (void) state;
    for (unsigned int byte = 0; byte < 256; byte++)
    {
        char alone[1] = {(char) byte};
        char quoted[3] = {'"', (char) byte, '"'};
        char escaped[4] = {'"', '\\', (char) byte, '"'};
        char between[3] = {'[', (char) byte, ']'};

        assert_int_equal(route_is_json(alone, 1), byte >= '0' && byte <= '9');
        assert_int_equal(route_is_json(quoted, 3),
                         byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\');
        assert_int_equal(route_is_json(escaped, 4),
                         byte != 0 && strchr("\"\\/bfnrt", (int) byte) != NULL);
        assert_int_equal(route_is_json(between, 3), reference_is_json(between, 3));
    }
}

/* All pairs and, for leads, triples of bytes in a string, against the productions of RFC 3629. */
static void test_all_utf8_sequences(void **state)
{
    (void) state;
    for (unsigned int a = 0x80; a < 256; a++)
        for (unsigned int b = 0; b < 256; b++)
        {
            char two[4] = {'"', (char) a, (char) b, '"'};
            char three[5] = {'"', (char) a, (char) b, '\xbf', '"'};
            char four[6] = {'"', (char) a, (char) b, '\x80', '\xbf', '"'};

            assert_int_equal(route_is_json(two, 4), reference_is_json(two, 4));
            assert_int_equal(route_is_json(three, 5), reference_is_json(three, 5));
            assert_int_equal(route_is_json(four, 6), reference_is_json(four, 6));
            assert_int_equal(route_is_utf8(two, 4), reference_is_utf8(two, 4));
            assert_int_equal(route_is_utf8(three, 5), reference_is_utf8(three, 5));
            assert_int_equal(route_is_utf8(four, 6), reference_is_utf8(four, 6));
        }
}

static void fill(char *bytes, const char *unit, size_t count)
{
    for (size_t i = 0; i < count; i++)
        memcpy(bytes + i * strlen(unit), unit, strlen(unit));
}

static void test_depth(void **state)
{
    char *text = malloc(16 * (ROUTE_MAX_DEPTH + 2));
    size_t depth;

    (void) state;
    assert_non_null(text);
    for (depth = ROUTE_MAX_DEPTH - 1; depth <= ROUTE_MAX_DEPTH + 1; depth++)
    {
        bool expected = depth <= ROUTE_MAX_DEPTH;

        fill(text, "[", depth);
        fill(text + depth, "]", depth);
        assert_int_equal(route_is_json(text, 2 * depth), expected);
        fill(text, "{\"a\":", depth);
        fill(text + 5 * depth, "}", depth);
        memcpy(text + 5 * (depth - 1), "{   }", 5); /* the innermost is empty */
        assert_int_equal(route_is_json(text, 6 * depth - 1), expected);
    }
    /* what was closed does not count */
    text[0] = '[';
    fill(text + 1, "[],", ROUTE_MAX_DEPTH * 2);
    memcpy(text + 1 + 6 * ROUTE_MAX_DEPTH, "0]", 2);
    assert_true(route_is_json(text, 3 + 6 * ROUTE_MAX_DEPTH));
    free(text);
}

/* Inputs that make careless readers quadratic or deep. A linear one takes milliseconds for 3 MB;
 * the bound leaves room for sanitizers and valgrind, and none for squares. */
static void test_hostile_sizes(void **state)
{
    static const struct
    {
        const char *before, *unit, *after;
        bool expected;
    } cases[] = {
        {"", "9", "", true},
        {"-0.", "9", "", true},
        {"", "[", "", false},
        {"", "{\"a\":", "", false},
        {"\"", "a", "\"", true},
        {"\"", "a", "", false},
        {"\"", "\\\\", "\"", true},
        {"\"", "\\\\", "", false},
        {"", " ", "", false},
        {"", " ", "1", true},
        {"[", "{},", "{}]", true},
        {"[", "[[]],", "0]", true},
        {"\"", "\xc3\xa9", "\"", true},
        {"\"", "\\u00e9", "\"", true},
        {"[", "\"\",", "1]", true},
        {"", "\"", "", true},
        {"{\"a\":[", "1,", "]}", false},
        {"{", "\"a\":1,", "\"a\":2}", true},
    };
    size_t size = 3000000;
    char *text = malloc(size + 64);

    (void) state;
    assert_non_null(text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        size_t unit = strlen(cases[i].unit);
        size_t count = size / unit;
        size_t length = strlen(cases[i].before);
        double start;

        memcpy(text, cases[i].before, length);
        fill(text + length, cases[i].unit, count);
        length += unit * count;
        memcpy(text + length, cases[i].after, strlen(cases[i].after));
        length += strlen(cases[i].after);
        start = seconds();
        /* an even number of quotes is several strings, thus no JSON */
        assert_int_equal(route_is_json(text, length),
                         strcmp(cases[i].unit, "\"") == 0 ? false : cases[i].expected);
        assert_true(seconds() - start < 5);
    }
    free(text);
}

/* Random edits of valid texts: both readers must agree on every one. */
static void test_against_reference(void **state)
{
    static const char alphabet[] = "{}[]\",:\\u0123eE+-. \n\ttruefalsn\xc3\xa9\xf0\x9f\x80\xed\xa0";
    guarded guard = guard_open(4096);
    uint64_t seed = 88172645463325252u;
    char text[256];

    (void) state;
    for (int round = 0; round < 300000; round++)
    {
        const sample *base = &valid[next_random(&seed) % (sizeof(valid) / sizeof(valid[0]))];
        const sample *other = &valid[next_random(&seed) % (sizeof(valid) / sizeof(valid[0]))];
        size_t length = (size_t) sprintf(text, "%s", "[");
        const char *bytes;

        memcpy(text + length, base->bytes, base->length);
        length += base->length;
        text[length++] = ',';
        memcpy(text + length, other->bytes, other->length);
        length += other->length;
        text[length++] = ']';
        for (size_t edits = next_random(&seed) % 4; edits > 0; edits--)
            text[next_random(&seed) % length] =
                alphabet[next_random(&seed) % (sizeof(alphabet) - 1)];
        length -= next_random(&seed) % 8 == 0 ? next_random(&seed) % length : 0;
        bytes = guard_put(&guard, text, length);
        if (route_is_json(bytes, length) != reference_is_json(bytes, length))
            fail_msg("the readers differ on %.*s", (int) length, text);
    }
    guard_close(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_every_alignment),
        cmocka_unit_test(test_bad_byte_anywhere),
        cmocka_unit_test(test_every_byte_alone),
        cmocka_unit_test(test_all_utf8_sequences),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_hostile_sizes),
        cmocka_unit_test(test_against_reference),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
