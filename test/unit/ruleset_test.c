/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset_test.c: what a snapshot compiles to, and what is refused, with which line.
 */
#include "support.h"

#define PLAIN CONFIG("50", "t", "0")
#define RULES(lines) HEAD PLAIN lines "end\n"

static void test_everything_is_read(void **state)
{
    const char *snapshot = HEAD
        "pattern\tjobs\tkeyword\tprefix\tjob\n"
        "pattern\tjobs\tbutton\texact\tjobs_agent\n"
        "domain\tjobs\twa-webhook-jobs\tf\t33.33\t20\tt\n"
        "domain\trides\twa-webhook-rides\tt\t\\N\t-5\tf\n"
        "domain\tcars\twa-webhook-rides\tf\t0.5\t20\tt\n"
        "target\tzeta\thttps://example.test/z\t2500\tany\tf\n"
        "target\twa-webhook-jobs\t\\N\t\\N\tconnect\tt\n"
        "config\t01890a5d-ac96-774b-bcce-b302099a8057\t9223372036854775807\t25.5\tt\t-2\tuni\tdef\n"
        "target\tdef\thttp://h/\\\\x\t1\terror\tf\n"
        "end\n";
    route_ruleset *rules = compile(snapshot);
    const route_config *config = route_ruleset_config(rules);
    const route_target *target;
    const route_domain *domain;

    (void) state;
    assert_true(text_is(config->id, "01890a5d-ac96-774b-bcce-b302099a8057"));
    assert_true(config->version == INT64_MAX);
    assert_int_equal(config->percentage, 2550);
    assert_true(config->enabled);
    assert_true(config->salt == (uint64_t) -2);
    assert_true(text_is(config->unified_target, "uni") && text_is(config->default_target, "def"));

    assert_int_equal(route_ruleset_target_count(rules), 5);
    target = route_ruleset_target(rules, 0);
    assert_true(text_is(target->name, "def") && text_is(target->url, "http://h/\\x"));
    assert_int_equal(target->timeout_ms, 1);
    target = route_ruleset_target(rules, 1);
    assert_true(text_is(target->name, "uni") && target->url.data == NULL);
    assert_true(target->timeout_ms == 0 && !target->retired);
    assert_int_equal(target->fallback_policy, ROUTE_FALLBACK_ERROR);
    target = route_ruleset_find_target(rules, (route_text){"wa-webhook-jobs", 15});
    assert_true(target->index == 2 && target->retired && target->url.data == NULL);
    assert_int_equal(target->fallback_policy, ROUTE_FALLBACK_CONNECT);
    target = route_ruleset_find_target(rules, (route_text){"zeta", 4});
    assert_true(target->index == 4 && target->timeout_ms == 2500);
    assert_int_equal(target->fallback_policy, ROUTE_FALLBACK_ANY);
    assert_null(route_ruleset_find_target(rules, (route_text){"zet", 3}));
    assert_null(route_ruleset_find_target(rules, (route_text){"zeta2", 5}));
    assert_null(route_ruleset_find_target(rules, (route_text){NULL, 0}));
    assert_null(route_ruleset_target(rules, 5));

    /* by priority, then by name */
    assert_int_equal(route_ruleset_domain_count(rules), 3);
    domain = route_ruleset_domain(rules, 0);
    assert_true(text_is(domain->name, "rides") && domain->priority == -5);
    assert_true(domain->is_protected && !domain->enrolled && domain->percentage == 2550);
    domain = route_ruleset_domain(rules, 1);
    assert_true(text_is(domain->name, "cars") && domain->percentage == 50);
    assert_true(text_is(domain->legacy->name, "wa-webhook-rides"));
    domain = route_ruleset_domain(rules, 2);
    assert_true(text_is(domain->name, "jobs") && domain->percentage == 2550);
    assert_true(domain->index == 2 && domain->enrolled);
    assert_null(route_ruleset_domain(rules, 3));

    assert_int_equal(route_ruleset_pattern_count(rules), 2);
    assert_true(text_is(route_ruleset_pattern(rules, 0), "job"));
    assert_true(text_is(route_ruleset_pattern(rules, 1), "jobs_agent"));
    assert_null(route_ruleset_pattern(rules, 2).data);
    route_ruleset_free(rules);
    route_ruleset_free(NULL);
}

static void test_the_snapshot_is_copied(void **state)
{
    char *snapshot = strdup(SEED("50", "t"));
    route_ruleset *rules = compile(snapshot);
    route_decision decision;

    (void) state;
    memset(snapshot, 'x', strlen(snapshot));
    free(snapshot);
    decision = decide(rules, MESSAGE("1", "a job"));
    assert_string_equal(domain_name(&decision), "jobs");
    assert_true(text_is(route_ruleset_config(rules)->id, UUID));
    route_ruleset_free(rules);
}

/* The order of lines does not matter: reversed, the same decisions. */
static void test_any_order(void **state)
{
    char *snapshot = strdup(SEED("50", "t"));
    char *reversed = calloc(1, strlen(snapshot) + 1);
    size_t length = strlen(snapshot);
    char *end = snapshot + length - strlen("end\n");
    char *first = strchr(snapshot, '\n') + 1;
    static const char *const texts[] = {"buy a house", "order a ride", "job at a shop", "pay rent",
                                        "wallet"};
    route_ruleset *rules = compile(snapshot);
    route_ruleset *other;

    (void) state;
    strncat(reversed, snapshot, (size_t) (first - snapshot));
    while (end > first)
    {
        char *line = end - 1;

        while (line > first && line[-1] != '\n')
            line--;
        strncat(reversed, line, (size_t) (end - line));
        end = line;
    }
    strcat(reversed, "end\n");
    assert_int_equal(strlen(reversed), length);
    other = compile(reversed);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    {
        char payload[256];
        route_decision a;
        route_decision b;

        snprintf(payload, sizeof(payload),
                 "{\"from\":\"1\",\"message\":{\"text\":{\"body\":\"%s\"}}}", texts[i]);
        a = decide(rules, payload);
        b = decide(other, payload);
        assert_int_equal(a.reason, b.reason);
        assert_true(a.domain->name.length == b.domain->name.length &&
                    memcmp(a.domain->name.data, b.domain->name.data, a.domain->name.length) == 0);
        assert_true(route_ruleset_pattern(rules, (size_t) a.matched).length ==
                    route_ruleset_pattern(other, (size_t) b.matched).length);
    }
    route_ruleset_free(other);
    route_ruleset_free(rules);
    free(reversed);
    free(snapshot);
}

#define LONG_128                                                                                   \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                             \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define JOBS "domain\tjobs\twh\tf\t\\N\t1\tt\n"

static void test_refusals(void **state)
{
    static const struct
    {
        const char *snapshot;
        size_t line;
        const char *words; /* in the message */
    } cases[] = {
        {"", 0, "empty"},
        {"x", 1, "cut off"},
        {"webhook_routing\t1", 1, "cut off"},
        {"something\t1\nend\n", 1, "no snapshot"},
        {"webhook_routing\t2\n" PLAIN "end\n", 1, "format"},
        {"webhook_routing\nend\n", 1, "format"},
        {HEAD, 1, "cut off"},
        {HEAD PLAIN, 2, "cut off"},
        {HEAD PLAIN "end", 3, "cut off"},
        {HEAD "end\n", 0, "no config"},
        {RULES("end\n"), 3, "follows the end"},
        {RULES("") "\n", 3, "follows the end"},
        {RULES("") "x", 3, "follows the end"},
        {RULES(PLAIN), 3, "already"},
        {RULES("\n"), 3, "not known"},
        {RULES("what\t1\n"), 3, "not known"},
        {RULES("Config\n"), 3, "not known"},
        {RULES("end\t1\n"), 3, "number of fields"},
        {RULES("domain\tjobs\n"), 3, "number of fields"},
        {RULES("domain\tjobs\twh\tf\t\\N\t1\tt\tx\n"), 3, "number of fields"},
        {RULES("domain\t1\t2\t3\t4\t5\t6\t7\t8\n"), 3, "too many fields"},
        {RULES("pattern\tjobs\tkeyword\tword\n"), 3, "number of fields"},
        {RULES("x\xff\n"), 0, "UTF-8"},
        {RULES("domain\tjobs\twh\xed\xa0\x80\tf\t\\N\t1\tt\n"), 0, "UTF-8"},
        /* config */
        {HEAD "config\tabc\t1\t0\tf\t0\tu\td\nend\n", 2, "uuid"},
        {HEAD "config\t00000000-0000-4000-8000-00000000000g\t1\t0\tf\t0\tu\td\nend\n", 2, "uuid"},
        {HEAD "config\t00000000-0000-4000-80000-0000000000\t1\t0\tf\t0\tu\td\nend\n", 2, "uuid"},
        {HEAD "config\t" UUID "\t\t0\tf\t0\tu\td\nend\n", 2, "version"},
        {HEAD "config\t" UUID "\tone\t0\tf\t0\tu\td\nend\n", 2, "version"},
        {HEAD "config\t" UUID "\t1.0\t0\tf\t0\tu\td\nend\n", 2, "version"},
        {HEAD "config\t" UUID "\t+1\t0\tf\t0\tu\td\nend\n", 2, "version"},
        {HEAD "config\t" UUID "\t9223372036854775808\t0\tf\t0\tu\td\nend\n", 2, "version"},
        {HEAD "config\t" UUID "\t-9223372036854775809\t0\tf\t0\tu\td\nend\n", 2, "version"},
        {HEAD CONFIG("100.01", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("101", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("-1", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("1.234", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("1.", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG(".5", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("1e1", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("NaN", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("\\N", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG(" 1", "t", "0") "end\n", 2, "percentage"},
        {HEAD CONFIG("1", "true", "0") "end\n", 2, "enabled"},
        {HEAD CONFIG("1", "", "0") "end\n", 2, "enabled"},
        {HEAD CONFIG("1", "t", "x") "end\n", 2, "salt"},
        {HEAD CONFIG("1", "t", "") "end\n", 2, "salt"},
        {HEAD CONFIG("1", "t", "-") "end\n", 2, "salt"},
        {HEAD CONFIG("1", "t", "9223372036854775808") "end\n", 2, "salt"},
        {HEAD "config\t" UUID "\t1\t0\tf\t0\t\td\nend\n", 2, "name"},
        {HEAD "config\t" UUID "\t1\t0\tf\t0\tu\t\\N\nend\n", 2, "name"},
        /* targets */
        {RULES("target\ta\t\\N\t\\N\terror\tf\ntarget\ta\t\\N\t\\N\terror\tf\n"), 4, "already"},
        {RULES("target\t\t\\N\t\\N\terror\tf\n"), 3, "name"},
        {RULES("target\ta\\nb\t\\N\t\\N\terror\tf\n"), 3, "control"},
        {RULES("target\t" LONG_128 "c\t\\N\t\\N\terror\tf\n"), 3, "128 bytes"},
        {RULES("target\ta\t\t\\N\terror\tf\n"), 3, "URL"},
        {RULES("target\ta\thttp://\\r\t\\N\terror\tf\n"), 3, "URL"},
        {RULES("target\ta\t\\N\t0\terror\tf\n"), 3, "timeout"},
        {RULES("target\ta\t\\N\t-1\terror\tf\n"), 3, "timeout"},
        {RULES("target\ta\t\\N\t4294967296\terror\tf\n"), 3, "timeout"},
        {RULES("target\ta\t\\N\t1\tnever\tf\n"), 3, "fallback policy"},
        {RULES("target\ta\t\\N\t1\t\\N\tf\n"), 3, "fallback policy"},
        {RULES("target\ta\t\\N\t1\tany\tmaybe\n"), 3, "retired"},
        {RULES("target\ta\\x\t\\N\t1\tany\tf\n"), 3, "backslash"},
        {RULES("target\ta\\\t\\N\t1\tany\tf\n"), 3, "backslash"},
        /* domains */
        {RULES(JOBS JOBS), 4, "already"},
        {RULES("domain\t\\N\twh\tf\t\\N\t1\tt\n"), 3, "name"},
        {RULES("domain\tjobs\t\tf\t\\N\t1\tt\n"), 3, "name"},
        {RULES("domain\tjobs\twh\tno\t\\N\t1\tt\n"), 3, "protected"},
        {RULES("domain\tjobs\twh\tf\t100.5\t1\tt\n"), 3, "percentage"},
        {RULES("domain\tjobs\twh\tf\t\\N\t2147483648\tt\n"), 3, "priority"},
        {RULES("domain\tjobs\twh\tf\t\\N\t-2147483649\tt\n"), 3, "priority"},
        {RULES("domain\tjobs\twh\tf\t\\N\t\\N\tt\n"), 3, "priority"},
        {RULES("domain\tjobs\twh\tf\t\\N\t1\tT\n"), 3, "enrolled"},
        /* patterns */
        {RULES("pattern\tjobs\tkeyword\tword\tjob\n"), 3, "domain has no line"},
        {RULES(JOBS "pattern\tjob\tkeyword\tword\tjob\n"), 4, "domain has no line"},
        {RULES(JOBS "pattern\tjobs\tkey\tword\tjob\n"), 4, "kind"},
        {RULES(JOBS "pattern\tjobs\tkeyword\tregex\tjob\n"), 4, "match"},
        {RULES(JOBS "pattern\tjobs\tkeyword\tword\t\n"), 4, "letter or a digit"},
        {RULES(JOBS "pattern\tjobs\tkeyword\tword\t ?!\n"), 4, "letter or a digit"},
        {RULES(JOBS "pattern\tjobs\tkeyword\tword\t\xcc\x81\n"), 4, "letter or a digit"},
        {RULES(JOBS "pattern\tjobs\tkeyword\tword\t\\N\n"), 4, "missing"},
        {RULES(JOBS "pattern\tjobs\tkeyword\tword\t\\q\n"), 4, "backslash"},
        {RULES(JOBS "pattern\tjobs\tkeyword\tword\ta\\nb\n"), 4, "control"},
        {RULES(JOBS "pattern\tjobs\tkeyword\tword\t" LONG_128 "c\n"), 4, "128 bytes"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        route_error error = {"", 99};
        route_ruleset *rules = route_ruleset_compile(cases[i].snapshot, strlen(cases[i].snapshot),
                                                     &test_allocator, &error);

        if (rules != NULL)
            fail_msg("compiled: %s", cases[i].snapshot);
        if (strstr(error.message, cases[i].words) == NULL || error.line != cases[i].line)
            fail_msg("line %zu, \"%s\", not line %zu, \"%s\": %s", error.line, error.message,
                     cases[i].line, cases[i].words, cases[i].snapshot);
        assert_null(route_ruleset_compile(cases[i].snapshot, strlen(cases[i].snapshot),
                                          &test_allocator, NULL));
    }
    assert_null(
        route_ruleset_compile(RULES("x\0y\n"), sizeof(RULES("x\0y\n")) - 1, &test_allocator, NULL));
    assert_null(route_ruleset_compile(NULL, 0, &test_allocator, NULL));
}

/* Messages are printable ASCII whatever the snapshot says. */
static void test_messages_are_clean(void **state)
{
    const char *snapshot = RULES("target\ta\t\\N\t1\t\xc3\xa9\x1b[31m\x7f%n%s\tf\n");
    route_error error;

    (void) state;
    assert_null(route_ruleset_compile(snapshot, strlen(snapshot), &test_allocator, &error));
    for (const char *p = error.message; *p != '\0'; p++)
        assert_in_range(*p, ' ', '~');
    assert_non_null(strstr(error.message, "[31m"));
}

static void test_bounds(void **state)
{
    static const struct
    {
        const char *line;
        size_t most;
    } cases[] = {
        {"target\tt%zu\t\\N\t\\N\terror\tf\n", ROUTE_MAX_TARGETS - 2}, /* unified and default */
        {"domain\td%zu\twa-webhook\tf\t\\N\t1\tt\n", ROUTE_MAX_DOMAINS},
        {"pattern\tjobs\tkeyword\tword\tp%zu\n", ROUTE_MAX_PATTERNS},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t over = 0; over < 2; over++)
        {
            char *snapshot = malloc(512 + 64 * cases[i].most);
            char *to = snapshot + sprintf(snapshot, HEAD PLAIN "%s", i == 2 ? JOBS : "");
            route_error error;
            route_ruleset *rules;

            for (size_t k = 0; k < cases[i].most + over; k++)
            {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                to += sprintf(to, cases[i].line, k);
#pragma GCC diagnostic pop
            }
            strcpy(to, "end\n");
            rules = route_ruleset_compile(snapshot, strlen(snapshot), &test_allocator, &error);
            assert_int_equal(rules == NULL, over);
            if (over)
                assert_non_null(strstr(error.message, "too many"));
            route_ruleset_free(rules);
            free(snapshot);
        }
}

static void test_percentages(void **state)
{
    static const struct
    {
        const char *written;
        uint32_t hundredths;
    } cases[] = {{"0", 0},        {"0.00", 0},     {"0.01", 1},    {"0.1", 10},      {"1", 100},
                 {"33.33", 3333}, {"99.99", 9999}, {"100", 10000}, {"100.00", 10000}};

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char snapshot[512];
        route_ruleset *rules;

        snprintf(snapshot, sizeof(snapshot), HEAD "config\t" UUID "\t1\t%s\tt\t0\tu\td\nend\n",
                 cases[i].written);
        rules = compile(snapshot);
        assert_int_equal(route_ruleset_config(rules)->percentage, cases[i].hundredths);
        route_ruleset_free(rules);
    }
}

/* Truncated anywhere, or with any byte changed to a few others: refused or sound, and never read
 * beyond the end. */
static void test_damaged(void **state)
{
    static const char others[] = {'\t', '\n', '\\', '0', '\0', 'N', '\xff'};
    const char *snapshot =
        RULES("target\ta\thttp://x\t10\tany\tf\n" JOBS "pattern\tjobs\tkeyword\tword\tjob s\n");
    size_t length = strlen(snapshot);
    guarded guard = guard_open(length);
    char *copy = strdup(snapshot);

    (void) state;
    for (size_t cut = 0; cut < length; cut++)
        assert_null(
            route_ruleset_compile(guard_put(&guard, snapshot, cut), cut, &test_allocator, NULL));
    for (size_t at = 0; at < length; at++)
        for (size_t i = 0; i < sizeof(others); i++)
        {
            copy[at] = others[i];
            route_ruleset_free(route_ruleset_compile(guard_put(&guard, copy, length), length,
                                                     &test_allocator, NULL));
            copy[at] = snapshot[at];
        }
    free(copy);
    guard_close(&guard);
}

/* ---------------------------------------------------------------------------------------------
 * Memory
 * ------------------------------------------------------------------------------------------ */

typedef struct test_meter
{
    long held;  /* blocks */
    long calls; /* so far */
    long fails; /* the call that fails; -1: none */
} test_meter;

static void *metered_allocate(void *context, size_t size)
{
    test_meter *meter = context;

    if (meter->calls++ == meter->fails)
        return NULL;
    meter->held++;
    assert_true(size > 0);
    return malloc(size);
}

static void metered_release(void *context, void *memory)
{
    test_meter *meter = context;

    assert_non_null(memory);
    meter->held--;
    free(memory);
}

static void test_every_allocation_may_fail(void **state)
{
    static const char snapshot[] = SEED("50", "t");
    test_meter meter = {0, 0, -1};
    route_allocator allocator = {metered_allocate, metered_release, &meter};
    route_ruleset *rules = route_ruleset_compile(snapshot, sizeof(snapshot) - 1, &allocator, NULL);
    long calls = meter.calls;

    (void) state;
    assert_non_null(rules);
    assert_true(meter.held > 0 && meter.held < calls); /* passing memory went back */
    route_ruleset_free(rules);
    assert_int_equal(meter.held, 0);
    for (long fails = 0; fails < calls; fails++)
    {
        route_error error = {"", 99};

        meter.calls = 0;
        meter.fails = fails;
        assert_null(route_ruleset_compile(snapshot, sizeof(snapshot) - 1, &allocator, &error));
        assert_string_equal(error.message, "out of memory");
        assert_int_equal(error.line, 0);
        assert_int_equal(meter.held, 0);
    }
}

/* Memory that is given back as a whole: no release is called. */
typedef struct arena_memory
{
    size_t used;
    _Alignas(16) char bytes[1 << 20];
} arena_memory;

static void *arena_allocate(void *context, size_t size)
{
    arena_memory *arena = context;
    void *memory = arena->bytes + arena->used;

    arena->used += (size + 15) / 16 * 16;
    return arena->used <= sizeof(arena->bytes) ? memory : NULL;
}

static void test_arena(void **state)
{
    static const char snapshot[] = SEED("50", "t");
    static arena_memory arena;
    const route_allocator allocator = {arena_allocate, NULL, &arena};
    route_ruleset *rules = route_ruleset_compile(snapshot, sizeof(snapshot) - 1, &allocator, NULL);
    route_decision decision;

    (void) state;
    assert_non_null(rules);
    decision = decide(rules, MESSAGE("1", "a job"));
    assert_string_equal(domain_name(&decision), "jobs");
    route_ruleset_free(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_read),
        cmocka_unit_test(test_the_snapshot_is_copied),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_messages_are_clean),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_percentages),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_arena),
    };

    return cmocka_run_group_tests_name("ruleset", tests, NULL, NULL);
}
