/* SPDX-License-Identifier: PostgreSQL
 *
 * fold_test.c: what words a text consists of, in any script, and that a JSON string folds to the
 * same as the text it spells.
 */
#include "support.h"

#include "fold.h"
#include "payload.h"

static const struct
{
    const char *text, *folded;
} cases[] = {
    /* ASCII */
    {"", ""},
    {" ", ""},
    {"job", "job"},
    {"JOB", "job"},
    {"  I  need\ta\r\njob!! ", "i need a job"},
    {"jobs_agent", "jobs agent"},
    {"part-time", "part time"},
    {"l'emploi", "l emploi"},
    {"50%", "50"},
    {"a1b2", "a1b2"},
    {"+250 788", "250 788"},
    {"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", ""},
    {"\x01job\x02job\x03", "job job"},
    {"job\x7fjob", "job job"},
    /* accents, composed and not */
    {"\xc3\x89T\xc3\x89", "ete"},
    {"e\xcc\x81t\x65\xcc\x81", "ete"},
    {"\xc3\xa7\xc3\xb1\xc3\xbc\xc3\xa5", "cnua"},
    {"\xe1\xbb\x87", "e"},      /* e with circumflex and dot below */
    {"e\xcc\xa3\xcc\x82", "e"}, /* the same, in pieces */
    {"Nyarug\xc3\xa8nge", "nyarugenge"},
    {"\xcc\x81", ""}, /* a mark alone */
    {"job\xcc\x81s", "jobs"},
    /* Turkish: dotted capital I is i; dotless i stays a letter of its own */
    {"\xc4\xb0\xc5\x9e", "is"},
    {"I\xcc\x87\xc5\x9e", "is"},
    {"\xc4\xb1\xc5\x9f", "\xc4\xb1s"},
    /* sharp s, ligatures, full width, superscripts, Roman numerals */
    {"Stra\xc3\x9f\x65", "strasse"},
    {"STRA\xe1\xba\x9e\x45", "strasse"},
    {"o\xef\xac\x83\x63\x65", "office"},
    {"\xef\xbc\xaa\xef\xbc\xaf\xef\xbc\xa2", "job"},
    {"x\xc2\xb2", "x2"},
    {"\xe2\x85\xa3", "iv"},
    {"\xf0\x9d\x90\xa3\xf0\x9d\x90\xa8\xf0\x9d\x90\x9b", "job"}, /* mathematical bold */
    {"\xe2\x93\x99", "j"},                                       /* circled */
    /* what cannot be seen is no border; what separates is */
    {"jo\xe2\x80\x8b"
     "bs",
     "jobs"}, /* zero width space */
    {"jo\xe2\x80\x8d"
     "bs",
     "jobs"}, /* zero width joiner */
    {"jo\xc2\xad"
     "bs",
     "jobs"}, /* soft hyphen */
    {"jo\xef\xbb\xbf"
     "bs",
     "jobs"}, /* zero width no-break space */
    {"real\xc2\xa0"
     "estate",
     "real estate"},
    {"real\xe2\x80\x93"
     "estate",
     "real estate"},
    {"real\xe3\x80\x80"
     "estate",
     "real estate"},
    {"\xc2\xbfjob\xc2\xbf", "job"},
    /* emoji */
    {"\xf0\x9f\x91\x8d", ""},
    {"job\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd"
     "job",
     "job job"},
    {"\xe2\x9d\xa4\xef\xb8\x8f"
     "job",
     "job"},
    /* other scripts */
    {"\xd0\xa0\xd0\x90\xd0\x91\xd0\x9e\xd0\xa2\xd0\x90",
     "\xd1\x80\xd0\xb0\xd0\xb1\xd0\xbe\xd1\x82\xd0\xb0"},
    {"\xce\xa3\xce\xa3 \xcf\x82", "\xcf\x83\xcf\x83 \xcf\x83"}, /* final sigma */
    {"\xe8\xbd\xa6", "\xe8\xbd\xa6"},
    {"\xd9\xa0\xd9\xa1", "\xd9\xa0\xd9\xa1"}, /* Arabic digits */
    {"\xef\xbf\xbd", ""},                     /* replacement character */
};

static void test_words(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        uint8_t folded[256];
        size_t length =
            route_fold_words(cases[i].text, strlen(cases[i].text), folded, sizeof(folded));

        if (length != strlen(cases[i].folded) || memcmp(folded, cases[i].folded, length) != 0)
            fail_msg("\"%s\" folds to \"%.*s\", not \"%s\"", cases[i].text, (int) length,
                     (const char *) folded, cases[i].folded);
    }
}

static void test_room(void **state)
{
    uint8_t folded[8];

    (void) state;
    assert_int_equal(route_fold_words("abcdefgh", 8, folded, 8), 8);
    assert_int_equal(route_fold_words("abcdefghi", 9, folded, 8), 9);
    assert_int_equal(route_fold_words("!abcdefgh", 9, folded, 8), 8);
    assert_int_equal(route_fold_words("", 0, folded, 8), 0);
}

/* Every character: the output fits, is UTF-8, has no frame character and folds to itself. */
static void test_every_character(void **state)
{
    size_t longest = 0;

    (void) state;
    for (uint32_t character = 0; character <= 0x10ffff; character++)
    {
        uint8_t folded[ROUTE_FOLD_MAX];
        uint8_t words[ROUTE_FOLD_MAX];
        uint8_t again[ROUTE_FOLD_MAX];
        uint8_t encoded[ROUTE_UTF8_MAX];
        size_t length;

        if (character >= 0xd800 && character < 0xe000)
            continue;
        length = route_fold_character(character, folded);
        assert_true(length <= ROUTE_FOLD_MAX && route_is_utf8(folded, length));
        for (size_t i = 0; i < length; i++)
            assert_true(folded[i] >= ROUTE_FOLD_BLANK);
        if (length > longest)
            longest = length;
        length =
            route_fold_words(encoded, route_utf8_encode(character, encoded), words, sizeof(words));
        if (route_fold_words(words, length, again, sizeof(again)) != length ||
            memcmp(words, again, length) != 0)
            fail_msg("U+%04X is not folded once and for all", character);
    }
    assert_true(longest < ROUTE_FOLD_MAX / 2);
}

static void quote(const char *text, char *json, bool all)
{
    const uint8_t *p = (const uint8_t *) text;
    const uint8_t *end = p + strlen(text);

    for (*json++ = '"'; p < end;)
    {
        uint32_t character;
        const uint8_t *next = route_utf8_character(p, &character);

        if (character >= 0x10000 && all)
            json += sprintf(json, "\\u%04x\\u%04x", 0xd7c0 + (character >> 10),
                            0xdc00 + (character & 0x3ff));
        else if (all || character < ' ' || character == '"' || character == '\\')
            json += sprintf(json, "\\u%04X", character);
        else
            json += sprintf(json, "%.*s", (int) (next - p), p);
        p = next;
    }
    memcpy(json, "\"", 2);
}

/* The same text as plain JSON and all in escapes is matched by an exact pattern of itself, and by
 * one of its folded form. */
static void test_json_strings(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char snapshot[1024];
        route_ruleset *rules;

        if (cases[i].folded[0] == '\0')
            continue;
        snprintf(snapshot, sizeof(snapshot),
                 HEAD CONFIG("0", "t", "0") "domain\td\tt\tf\t\\N\t1\tt\n"
                                            "pattern\td\tkeyword\texact\t%s\nend\n",
                 cases[i].folded);
        rules = compile(snapshot);
        for (int all = 0; all < 2; all++)
        {
            char json[1024];
            char payload[2048];
            route_decision decision;

            quote(cases[i].text, json, all);
            snprintf(payload, sizeof(payload), "{\"message\":{\"text\":{\"body\":%s}}}", json);
            assert_true(route_is_json(payload, strlen(payload)));
            decision = decide(rules, payload);
            if (decision.domain == NULL)
                fail_msg("\"%s\" is not found in %s", cases[i].folded, payload);
        }
        route_ruleset_free(rules);
    }
}

static void test_json_characters(void **state)
{
    static const struct
    {
        const char *json;
        uint32_t character;
        size_t length;
    } escapes[] = {
        {"\\n", '\n', 2},
        {"\\r", '\r', 2},
        {"\\t", '\t', 2},
        {"\\b", '\b', 2},
        {"\\f", '\f', 2},
        {"\\/", '/', 2},
        {"\\\\", '\\', 2},
        {"\\\"", '"', 2},
        {"\\u0041", 'A', 6},
        {"\\u0000", 0xfffd, 6},
        {"\\uFfFf", 0xffff, 6},
        {"\\ud83d\\ude4f", 0x1f64f, 12},
        {"\\ud800", 0xfffd, 6},
        {"\\ud800\\ud800", 0xfffd, 6},
        {"\\udc00\\ud800", 0xfffd, 6},
        {"\\ud800\\n", 0xfffd, 6},
        {"\\ud800x", 0xfffd, 6},
        {"\\uDBFF\\uDFFF", 0x10ffff, 12},
        {"\\uD800\\uDC00", 0x10000, 12},
        {"\\ud800\\u0041", 0xfffd, 6},
        {"\xc3\xa9", 0xe9, 2},
        {"\xe8\xbd\xa6", 0x8f66, 3},
        {"\xf0\x9f\x99\x8f", 0x1f64f, 4},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++)
    {
        const uint8_t *begin = (const uint8_t *) escapes[i].json;
        uint32_t character;
        const uint8_t *next =
            route_json_character(begin, begin + strlen(escapes[i].json), &character);

        assert_int_equal(character, escapes[i].character);
        assert_int_equal(next - begin, escapes[i].length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),           cmocka_unit_test(test_room),
        cmocka_unit_test(test_every_character), cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_json_characters),
    };

    return cmocka_run_group_tests_name("fold", tests, NULL, NULL);
}
