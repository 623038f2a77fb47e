/* SPDX-License-Identifier: PostgreSQL
 *
 * match_test.c: which patterns are found in what text, and which domain they speak for.
 */
#include "support.h"

#include "fold.h"

/* Domain of a text under rules, by name. */
static const char *domain_of(const route_ruleset *rules, const char *text)
{
    char payload[4096];
    route_decision decision;

    snprintf(payload, sizeof(payload), "{\"message\":{\"text\":{\"body\":\"%s\"}}}", text);
    assert_true(route_is_json(payload, strlen(payload)));
    decision = decide(rules, payload);
    return domain_name(&decision);
}

static const char *domain_of_button(const route_ruleset *rules, const char *id, const char *title)
{
    char payload[4096];
    route_decision decision;

    snprintf(payload, sizeof(payload),
             "{\"message\":{\"interactive\":{\"button_reply\":{\"id\":\"%s\",\"title\":\"%s\"}}}}",
             id, title);
    assert_true(route_is_json(payload, strlen(payload)));
    decision = decide(rules, payload);
    return domain_name(&decision);
}

static void test_seeded_words(void **state)
{
    static const struct
    {
        const char *domain, *text;
    } cases[] = {
        {"jobs", "I am looking for jobs"},
        {"jobs", "work"},
        {"jobs", "He works"},
        {"jobs", "WORKING!"},
        {"jobs", "my C.V. no; my cv yes"},
        {"jobs", "my cv, and a cover\\nletter"},
        {"insurance", "letter of cover"},
        {"property", "real estate"},
        {"property", "Real   \\t Estate."},
        {"property", "real-estate"},
        {"property", "renting a house"},
        {"property", "I want to buy a house"},
        {"mobility", "order a ride"},
        {"marketplace", "cart"},
        {"profile", "my current balance"},
        {"insurance", "the cover of a policy"},
        {"unknown", "network"},
        {"unknown", "parent"},
        {"unknown", "apparently different"},
        {"unknown", "the border"},
        {"unknown", "a carton of milk"},
        {"unknown", "current"},
        {"unknown", "discover"},
        {"unknown", "homework"},
        {"unknown", "bride"},
        {"unknown", "notebook"},
        {"property", "realestate"},
        {"unknown", "unrealestate"},
        {"unknown", "covered in mud"},
        {"unknown", "real. An estate"},
        {"unknown", "estate real"},
        {"unknown", "surreal estate"},
        {"unknown", "real estates"},
        {"unknown", "j o b"},
        {"unknown", ""},
        {"unknown", "   "},
    };
    route_ruleset *rules = compile(SEED("0", "t"));

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (strcmp(domain_of(rules, cases[i].text), cases[i].domain) != 0)
            fail_msg("\"%s\" is %s, not %s", cases[i].text, domain_of(rules, cases[i].text),
                     cases[i].domain);
    route_ruleset_free(rules);
}

#define DOMAIN(name, priority) "domain\t" name "\tt-" name "\tf\t\\N\t" priority "\tt\n"
#define PATTERN(domain, kind, match, text) "pattern\t" domain "\t" kind "\t" match "\t" text "\n"
#define WORD(domain, text) PATTERN(domain, "keyword", "word", text)
#define RULES(lines) HEAD CONFIG("50", "t", "0") lines "end\n"

static void test_counts_and_ties(void **state)
{
    route_ruleset *rules =
        compile(RULES(DOMAIN("b", "2") DOMAIN("a", "2") DOMAIN("c", "1") WORD("a", "one")
                          WORD("a", "two") WORD("b", "one") WORD("b", "three") WORD("c", "four")
                              WORD("b", "\xc3\xb6n\xc3\xa9") WORD("c", "five six")));

    (void) state;
    assert_string_equal(domain_of(rules, "one"), "a");                  /* tie: the name */
    assert_string_equal(domain_of(rules, "one four"), "c");             /* tie: the priority */
    assert_string_equal(domain_of(rules, "four one three"), "b");       /* most */
    assert_string_equal(domain_of(rules, "one one one one four"), "c"); /* distinct ones */
    assert_string_equal(domain_of(rules, "one two four"), "a");
    /* "one" and its accented spelling are one pattern of b */
    assert_string_equal(domain_of(rules, "\xc3\xb6ne"), "a");
    assert_string_equal(domain_of(rules, "five, SIX"), "c");
    assert_string_equal(domain_of(rules, "five five six six"), "c");
    assert_string_equal(domain_of(rules, "fives ix"), "unknown");
    route_ruleset_free(rules);
}

static void test_matched_is_the_first(void **state)
{
    static const struct
    {
        const char *text, *matched;
    } cases[] = {
        {"big house small", "Big House"},
        {"small big house", "SMALL"},
        {"house big", "house"},
        {"a big   house", "Big House"},
        {"houses", NULL},
        {"bigs house", "house"},
    };
    route_ruleset *rules = compile(
        RULES(DOMAIN("a", "1") WORD("a", "SMALL") WORD("a", "house") WORD("a", "Big House")));

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char payload[256];
        route_decision decision;

        snprintf(payload, sizeof(payload), "{\"message\":{\"text\":{\"body\":\"%s\"}}}",
                 cases[i].text);
        decision = decide(rules, payload);
        if (cases[i].matched == NULL)
            assert_int_equal(decision.matched, -1);
        else
            assert_true(
                text_is(route_ruleset_pattern(rules, (size_t) decision.matched), cases[i].matched));
    }
    route_ruleset_free(rules);
}

static void test_kinds_of_match(void **state)
{
    route_ruleset *rules =
        compile(RULES(DOMAIN("word", "1") DOMAIN("prefix", "2") DOMAIN("exact", "3") PATTERN(
            "word", "keyword", "word", "alpha") PATTERN("prefix", "keyword", "prefix", "bet")
                          PATTERN("exact", "keyword", "exact", "Gamma Ray")));

    (void) state;
    assert_string_equal(domain_of(rules, "xx alpha xx"), "word");
    assert_string_equal(domain_of(rules, "alpha"), "word");
    assert_string_equal(domain_of(rules, "alphabet"), "unknown");
    assert_string_equal(domain_of(rules, "better"), "prefix");
    assert_string_equal(domain_of(rules, "bet"), "prefix");
    assert_string_equal(domain_of(rules, "the bet"), "prefix");
    assert_string_equal(domain_of(rules, "abet"), "unknown");
    assert_string_equal(domain_of(rules, "be t"), "unknown");
    assert_string_equal(domain_of(rules, "gamma ray"), "exact");
    assert_string_equal(domain_of(rules, " ..GAMMA-RAY!! "), "exact");
    assert_string_equal(domain_of(rules, "gamma rays"), "unknown");
    assert_string_equal(domain_of(rules, "a gamma ray"), "unknown");
    assert_string_equal(domain_of(rules, "gamma ray x"), "unknown");
    route_ruleset_free(rules);
}

static void test_buttons(void **state)
{
    route_ruleset *rules = compile(RULES(
        DOMAIN("a", "1") DOMAIN("b", "2") DOMAIN("c", "3") PATTERN("a", "button", "prefix", "job")
            PATTERN("b", "button", "prefix", "job_shop") PATTERN(
                "c", "button", "exact", "job_shop_x") PATTERN("b", "button", "exact", "same")
                PATTERN("a", "button", "exact", "same") PATTERN("c", "button", "word", "menu")
                    WORD("a", "house") PATTERN("c", "keyword", "word", "job")));

    (void) state;
    assert_string_equal(domain_of_button(rules, "jobs", ""), "a");
    assert_string_equal(domain_of_button(rules, "JOBS-LIST", ""), "a");
    assert_string_equal(domain_of_button(rules, "job_shop", ""), "b"); /* longer */
    assert_string_equal(domain_of_button(rules, "Job Shopping", ""), "b");
    assert_string_equal(domain_of_button(rules, "job_shop_x", ""), "c"); /* exact */
    assert_string_equal(domain_of_button(rules, "job-shop x", ""), "c");
    assert_string_equal(domain_of_button(rules, "job_shop_xy", ""), "b");
    assert_string_equal(domain_of_button(rules, "same", ""), "a"); /* preferred */
    assert_string_equal(domain_of_button(rules, "open_menu_2", ""), "c");
    assert_string_equal(domain_of_button(rules, "job_menu", ""), "a");      /* prefix beats word */
    assert_string_equal(domain_of_button(rules, "my_jobs", ""), "unknown"); /* anchored */
    assert_string_equal(domain_of_button(rules, "house", ""), "unknown");   /* a keyword */
    /* no button pattern fits: the words of the title */
    assert_string_equal(domain_of_button(rules, "btn_1", "A house"), "a");
    assert_string_equal(domain_of_button(rules, "btn_1", "job"), "c");
    /* a button pattern is not sought in text */
    assert_string_equal(domain_of(rules, "same menu jobs"), "unknown");
    route_ruleset_free(rules);
}

static void test_no_match_across_texts(void **state)
{
    route_ruleset *rules = compile(
        RULES(DOMAIN("a", "1") WORD("a", "real estate") PATTERN("a", "keyword", "exact", "whole")));

    (void) state;
    assert_string_equal(
        domain_name(&(route_decision[]){decide(
            rules, "{\"message\":{\"interactive\":{\"list_reply\":{\"id\":\"x\",\"title\":\"real\","
                   "\"description\":\"estate\"}}}}")}[0]),
        "unknown");
    assert_string_equal(
        domain_name(&(route_decision[]){decide(
            rules, "{\"message\":{\"interactive\":{\"list_reply\":{\"id\":\"x\",\"title\":\"a\","
                   "\"description\":\"whole\"}}}}")}[0]),
        "a");
    route_ruleset_free(rules);
}

/* ---------------------------------------------------------------------------------------------
 * Against a search that does nothing cleverly
 * ------------------------------------------------------------------------------------------ */

#define MANY 400

typedef struct naive_pattern
{
    char needle[64];
    int domain;
} naive_pattern;

/* Words of a two-letter alphabet, so that suffixes of one pattern are prefixes of others. */
static size_t random_words(uint64_t *seed, char *text, size_t most)
{
    static const char alphabet[] = "aab b";
    size_t length = 1 + next_random(seed) % most;

    for (size_t i = 0; i < length; i++)
        text[i] = alphabet[next_random(seed) % 5];
    text[next_random(seed) % length] = 'b';
    text[length] = '\0';
    return length;
}

static size_t write_pattern(uint64_t *seed, naive_pattern *pattern, char *line)
{
    static const char *const matches[] = {"word", "prefix", "exact"};
    size_t match = next_random(seed) % 3;
    char text[16];
    uint8_t folded[32];
    size_t length = random_words(seed, text, 8);

    length = route_fold_words(text, length, folded, sizeof(folded));
    pattern->domain = (int) (next_random(seed) % 3);
    snprintf(pattern->needle, sizeof(pattern->needle), "%s %.*s%s%s", match == 2 ? "<" : "",
             (int) length, (const char *) folded, match == 1 ? "" : " ", match == 2 ? ">" : "");
    return (size_t) sprintf(line, "pattern\td%d\tkeyword\t%s\t%s\n", pattern->domain,
                            matches[match], text);
}

static int naive_domain(const naive_pattern *patterns, size_t count, const char *text)
{
    char framed[128];
    uint8_t folded[64];
    size_t length = route_fold_words(text, strlen(text), folded, sizeof(folded));
    int counts[3] = {0, 0, 0};
    int best = 0;

    snprintf(framed, sizeof(framed), "< %.*s >", (int) length, (const char *) folded);
    for (size_t i = 0; i < count; i++)
    {
        bool again = false;

        for (size_t k = 0; k < i; k++)
            again = again || (patterns[k].domain == patterns[i].domain &&
                              strcmp(patterns[k].needle, patterns[i].needle) == 0);
        counts[patterns[i].domain] += !again && strstr(framed, patterns[i].needle) != NULL;
    }
    for (int i = 1; i < 3; i++)
        if (counts[i] > counts[best])
            best = i;
    return counts[best] == 0 ? -1 : best;
}

static void test_against_naive_search(void **state)
{
    uint64_t seed = 4711;

    (void) state;
    for (int round = 0; round < 60; round++)
    {
        naive_pattern patterns[MANY];
        size_t count = 1 + next_random(&seed) % (round < 40 ? 12 : MANY);
        char *snapshot = malloc(256 + 64 * count);
        char *to = snapshot;
        route_ruleset *rules;

        to += sprintf(to, "%s",
                      HEAD CONFIG("50", "t", "0") DOMAIN("d0", "1") DOMAIN("d1", "1")
                          DOMAIN("d2", "1"));
        for (size_t i = 0; i < count; i++)
            to += write_pattern(&seed, &patterns[i], to);
        strcpy(to, "end\n");
        rules = compile(snapshot);
        for (int i = 0; i < 300; i++)
        {
            char text[64];
            char expected[8] = "unknown";
            int best;

            random_words(&seed, text, 30);
            best = naive_domain(patterns, count, text);
            if (best >= 0)
                sprintf(expected, "d%d", best);
            if (strcmp(domain_of(rules, text), expected) != 0)
                fail_msg("\"%s\" is %s, not %s, under\n%s", text, domain_of(rules, text), expected,
                         snapshot);
        }
        route_ruleset_free(rules);
        free(snapshot);
    }
}

/* As many patterns as there may be, so that most states have no row of their own: each is found,
 * its beginning is not. */
static void test_most_patterns(void **state)
{
    char *snapshot = malloc(256 + 160 * ROUTE_MAX_PATTERNS);
    char *to = snapshot;
    route_ruleset *rules;

    (void) state;
    assert_non_null(snapshot);
    to += sprintf(to, "%s", HEAD CONFIG("50", "t", "0") DOMAIN("d0", "1") DOMAIN("d1", "1"));
    for (unsigned int i = 0; i < ROUTE_MAX_PATTERNS; i++)
        to +=
            sprintf(to, "pattern\td%u\tkeyword\tword\tx%08x of the many words number %u and more\n",
                    i & 1, i * 2654435761u, i);
    strcpy(to, "end\n");
    rules = compile(snapshot);
    assert_int_equal(route_ruleset_pattern_count(rules), ROUTE_MAX_PATTERNS);
    for (unsigned int i = 0; i < ROUTE_MAX_PATTERNS; i += 61)
    {
        char text[160];
        char domain[8];

        sprintf(text, "a x%08x  of the, many words number %u and more.", i * 2654435761u, i);
        sprintf(domain, "d%u", i & 1);
        assert_string_equal(domain_of(rules, text), domain);
        sprintf(text, "x%08x of the many  words number %u and mor", i * 2654435761u, i);
        assert_string_equal(domain_of(rules, text), "unknown");
        sprintf(text, "x%08x of the many words number x%08x of the many words number %u and more",
                i * 2654435761u, i * 2654435761u, i);
        assert_string_equal(domain_of(rules, text), domain);
    }
    route_ruleset_free(rules);
    free(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeded_words),
        cmocka_unit_test(test_counts_and_ties),
        cmocka_unit_test(test_matched_is_the_first),
        cmocka_unit_test(test_kinds_of_match),
        cmocka_unit_test(test_buttons),
        cmocka_unit_test(test_no_match_across_texts),
        cmocka_unit_test(test_against_naive_search),
        cmocka_unit_test(test_most_patterns),
    };

    return cmocka_run_group_tests_name("match", tests, NULL, NULL);
}
