/* SPDX-License-Identifier: PostgreSQL
 *
 * decide_test.c: every reason, in its order; whole POSTs and their items; named webhooks; and that
 * an explanation tells what was decided.
 */
#include "support.h"

#define DOMAINS                                                                                    \
    "domain\tjobs\twh-jobs\tf\t\\N\t20\tt\n"                                                       \
    "domain\tshop\twh-shop\tf\t30\t30\tt\n"                                                        \
    "domain\trides\twh-rides\tt\t\\N\t10\tt\n"                                                     \
    "domain\told\twh-old\tf\t\\N\t40\tf\n"                                                         \
    "domain\tfixed\twh-fixed\tt\t\\N\t45\tf\n"                                                     \
    "domain\toff\twh-off\tf\t\\N\t50\tf\n"                                                         \
    "domain\tlate\twh-shop\tf\t\\N\t60\tt\n"                                                       \
    "domain\tdecoy\twh-rides\tf\t\\N\t1\tt\n"                                                      \
    "target\twh-old\t\\N\t\\N\terror\tt\n"                                                         \
    "target\twh-fixed\t\\N\t\\N\terror\tt\n"                                                       \
    "pattern\tjobs\tbutton\tprefix\tjob\n"                                                         \
    "pattern\tjobs\tkeyword\tword\tjob\n"                                                          \
    "pattern\tshop\tkeyword\tword\tshop\n"                                                         \
    "pattern\trides\tkeyword\tword\tride\n"                                                        \
    "pattern\told\tkeyword\tword\told\n"                                                           \
    "pattern\tfixed\tkeyword\tword\tfixed\n"                                                       \
    "pattern\toff\tkeyword\tword\toff\n"                                                           \
    "pattern\tlate\tkeyword\tword\tlate\n"
#define BEGINNING(percentage, enabled, default_target)                                             \
    HEAD "config\t" UUID "\t7\t" percentage "\t" enabled "\t0\tunified\t" default_target "\n"
#define RULES(percentage, enabled) BEGINNING(percentage, enabled, "default") DOMAINS "end\n"

#define ENVELOPE(changes)                                                                          \
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[" changes "]}]}"
#define TEXT(from, body)                                                                           \
    "{\"from\":\"" from "\",\"id\":\"m" from "\",\"type\":\"text\",\"text\":{\"body\":\"" body     \
    "\"}}"
#define MESSAGES(list) ENVELOPE("{\"field\":\"messages\",\"value\":{\"messages\":[" list "]}}")
#define STATUS "{\"id\":\"s\",\"status\":\"read\",\"recipient_id\":\"250788100001\"}"
#define STATUSES ENVELOPE("{\"field\":\"messages\",\"value\":{\"statuses\":[" STATUS "]}}")
#define OTHER ENVELOPE("{\"field\":\"security\",\"value\":{\"event\":\"job\"}}")

/* Buckets with salt 0: 8377, 249, 8215 (bucket_test.c). */
#define HIGH "250788100001"
#define LOW "972987654321"

static route_ruleset *at_0, *at_50, *at_100, *disabled;
static route_ruleset *default_retired, *default_unified, *default_protected;

static int open_rules(void **state)
{
    (void) state;
    at_0 = compile(RULES("0", "t"));
    at_50 = compile(RULES("50", "t"));
    at_100 = compile(RULES("100", "t"));
    disabled = compile(RULES("100", "f"));
    default_retired =
        compile(BEGINNING("50", "t", "gone") DOMAINS "target\tgone\t\\N\t\\N\terror\tt\nend\n");
    default_unified = compile(BEGINNING("50", "t", "unified") DOMAINS "end\n");
    default_protected = compile(BEGINNING("100", "t", "wh-rides") DOMAINS "end\n");
    return 0;
}

static int close_rules(void **state)
{
    (void) state;
    route_ruleset_free(at_0);
    route_ruleset_free(at_50);
    route_ruleset_free(at_100);
    route_ruleset_free(disabled);
    route_ruleset_free(default_retired);
    route_ruleset_free(default_unified);
    route_ruleset_free(default_protected);
    return 0;
}

/* "target/fallback side domain reason bucket percentage" */
static const char *summary(const route_decision *decision)
{
    static char text[512];
    route_text fallback =
        decision->fallback == NULL ? (route_text){"-", 1} : decision->fallback->name;

    snprintf(text, sizeof(text), "%.*s/%.*s %s %s %s %d %u", (int) decision->target->name.length,
             decision->target->name.data, (int) fallback.length, fallback.data,
             route_side_name(decision->side), domain_name(decision),
             route_reason_name(decision->reason), (int) decision->bucket, decision->percentage);
    return text;
}

static route_decision decide_named(const route_ruleset *rules, const char *payload,
                                   const char *name)
{
    route_decision decision;
    route_text text = {name, name == NULL ? 0 : strlen(name)};

    memset(&decision, 0xa5, sizeof(decision));
    route_decide(rules, payload, strlen(payload), text, NULL, NULL, &decision);
    return decision;
}

/* The item from what a log keeps of it. */
static route_decision decide_again(const route_ruleset *rules, const route_decision *logged)
{
    route_decision decision;
    route_known known = {{NULL, 0}, logged->bucket, logged->reason};

    memset(&decision, 0xa5, sizeof(decision));
    if (logged->domain != NULL)
        known.domain = logged->domain->name;
    assert_true(route_decide_known(rules, &known, NULL, &decision));
    return decision;
}

static void test_reasons(void **state)
{
    const struct
    {
        const route_ruleset *rules;
        const char *payload, *name, *expected;
    } cases[] = {
        /* what it is */
        {at_50, "", NULL, "default/- legacy unknown malformed -1 5000"},
        {at_50, "{", NULL, "default/- legacy unknown malformed -1 5000"},
        {disabled, "job", NULL, "default/- legacy unknown malformed -1 10000"},
        {at_50, "{}", NULL, "default/- legacy unknown not_whatsapp -1 5000"},
        {at_50, "{\"object\":\"page\"}", NULL, "default/- legacy unknown not_whatsapp -1 5000"},
        {disabled, "[]", NULL, "default/- legacy unknown not_whatsapp -1 10000"},
        {at_50, STATUSES, NULL, "default/- legacy unknown status 8377 5000"},
        {disabled, STATUSES, NULL, "default/- legacy unknown status 8377 10000"},
        {at_50, OTHER, NULL, "default/- legacy unknown other_field -1 5000"},
        {disabled, OTHER, NULL, "default/- legacy unknown other_field -1 10000"},
        /* what must not move: before anything else about the domain */
        {at_100, MESSAGES(TEXT(HIGH, "ride")), NULL,
         "wh-rides/- legacy rides protected 8377 10000"},
        {disabled, MESSAGES(TEXT(HIGH, "ride")), NULL,
         "wh-rides/- legacy rides protected 8377 10000"},
        {at_100, MESSAGES(TEXT("", "ride")), NULL, "wh-rides/- legacy rides protected -1 10000"},
        {at_100, MESSAGES(TEXT(HIGH, "fixed")), NULL,
         "wh-fixed/- legacy fixed protected 8377 10000"},
        /* a retired function: whatever the switch says */
        {at_0, MESSAGES(TEXT(HIGH, "old")), NULL, "unified/- unified old legacy_retired 8377 0"},
        {disabled, MESSAGES(TEXT("", "old")), NULL,
         "unified/- unified old legacy_retired -1 10000"},
        {disabled, MESSAGES(TEXT(LOW, "job")), NULL, "wh-jobs/- legacy jobs disabled 249 10000"},
        {disabled, MESSAGES(TEXT(LOW, "hm")), NULL, "default/- legacy unknown disabled 249 10000"},
        {disabled, MESSAGES(TEXT(LOW, "off")), NULL, "wh-off/- legacy off disabled 249 10000"},
        {at_100, MESSAGES(TEXT(LOW, "hm")), NULL,
         "default/- legacy unknown unknown_domain 249 10000"},
        {at_100, MESSAGES(TEXT("", "hm")), NULL,
         "default/- legacy unknown unknown_domain -1 10000"},
        {at_100, MESSAGES(TEXT(LOW, "off")), NULL, "wh-off/- legacy off not_enrolled 249 10000"},
        {at_100, MESSAGES(TEXT("", "off")), NULL, "wh-off/- legacy off not_enrolled -1 10000"},
        {at_100, MESSAGES(TEXT("", "job")), NULL, "wh-jobs/- legacy jobs no_sender -1 10000"},
        /* who moves */
        {at_0, MESSAGES(TEXT(LOW, "job")), NULL, "wh-jobs/- legacy jobs out_of_percentage 249 0"},
        {at_50, MESSAGES(TEXT(LOW, "job")), NULL,
         "unified/wh-jobs unified jobs in_percentage 249 5000"},
        {at_50, MESSAGES(TEXT(HIGH, "job")), NULL,
         "wh-jobs/- legacy jobs out_of_percentage 8377 5000"},
        {at_100, MESSAGES(TEXT(HIGH, "job")), NULL,
         "unified/wh-jobs unified jobs in_percentage 8377 10000"},
        {at_100, MESSAGES(TEXT(HIGH, "shop")), NULL,
         "wh-shop/- legacy shop out_of_percentage 8377 3000"},
        {at_100, MESSAGES(TEXT(LOW, "shop")), NULL,
         "unified/wh-shop unified shop in_percentage 249 3000"},
        {at_0, MESSAGES(TEXT(LOW, "shop")), NULL, "wh-shop/- legacy shop out_of_percentage 249 0"},
        /* named: the domain of that function, whatever the body is */
        {at_50, MESSAGES(TEXT(LOW, "ride")), "wh-jobs",
         "unified/wh-jobs unified jobs in_percentage 249 5000"},
        {at_50, MESSAGES(TEXT(HIGH, "ride")), "wh-jobs",
         "wh-jobs/- legacy jobs out_of_percentage 8377 5000"},
        {at_100, STATUSES, "wh-jobs", "unified/wh-jobs unified jobs in_percentage 8377 10000"},
        {at_100, OTHER, "wh-jobs", "wh-jobs/- legacy jobs no_sender -1 10000"},
        {at_100, "{", "wh-jobs", "wh-jobs/- legacy jobs no_sender -1 10000"},
        {at_100, "{}", "wh-jobs", "wh-jobs/- legacy jobs no_sender -1 10000"},
        {disabled, "{", "wh-jobs", "wh-jobs/- legacy jobs disabled -1 10000"},
        {at_100, MESSAGES(TEXT(LOW, "job")), "wh-rides",
         "wh-rides/- legacy rides protected 249 10000"}, /* though the decoy is preferred */
        {default_protected, MESSAGES(TEXT(LOW, "job")), "wh-rides",
         "wh-rides/- legacy rides protected 249 10000"},
        {default_protected, MESSAGES(TEXT(LOW, "job")), NULL,
         "unified/wh-jobs unified jobs in_percentage 249 10000"},
        {at_100, "", "wh-old", "unified/- unified old legacy_retired -1 10000"},
        {at_100, MESSAGES(TEXT(LOW, "job")), "wh-off",
         "wh-off/- legacy off not_enrolled 249 10000"},
        /* a function of two domains stands for the preferred one */
        {at_100, MESSAGES(TEXT(LOW, "late")), "wh-shop",
         "unified/wh-shop unified shop in_percentage 249 3000"},
        /* the default target's name is no name */
        {at_50, MESSAGES(TEXT(LOW, "job")), "default",
         "unified/wh-jobs unified jobs in_percentage 249 5000"},
        {at_50, "{", "default", "default/- legacy unknown malformed -1 5000"},
        /* any other name */
        {at_50, MESSAGES(TEXT(LOW, "job")), "nobody",
         "default/- legacy unknown unknown_webhook 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "job")), "unified",
         "default/- legacy unknown unknown_webhook 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "job")), "jobs",
         "default/- legacy unknown unknown_webhook 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "job")), "",
         "default/- legacy unknown unknown_webhook 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "job")), "WH-JOBS",
         "default/- legacy unknown unknown_webhook 249 5000"},
        {at_50, "{", "nobody", "default/- legacy unknown unknown_webhook -1 5000"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        route_decision decision = decide_named(cases[i].rules, cases[i].payload, cases[i].name);

        if (strcmp(summary(&decision), cases[i].expected) != 0)
            fail_msg("%s, not %s: %s", summary(&decision), cases[i].expected, cases[i].payload);
        decision = decide_again(cases[i].rules, &decision);
        if (strcmp(summary(&decision), cases[i].expected) != 0)
            fail_msg("again %s, not %s", summary(&decision), cases[i].expected);
    }
}

/* What a log knows is enough to decide again, also by other rules. */
static void test_known_items(void **state)
{
    const route_text nowhere = {"nowhere", 7}, status = {"status", 6}, nothing = {"nothing", 7};
    const route_known unknown = {nowhere, 1, ROUTE_REASON_IN_PERCENTAGE};
    route_decision decision = decide_named(at_50, MESSAGES(TEXT(LOW, "job")), NULL), other;

    (void) state;
    other = decide_again(at_0, &decision);
    assert_string_equal(summary(&other), "wh-jobs/- legacy jobs out_of_percentage 249 0");
    other = decide_again(disabled, &decision);
    assert_string_equal(summary(&other), "wh-jobs/- legacy jobs disabled 249 10000");
    assert_int_equal(other.from_number_length + other.message_id_length, 0);
    assert_int_equal(other.matched, -1);
    assert_false(route_decide_known(at_50, &unknown, NULL, &other));
    assert_int_equal(route_reason_of_name(status), ROUTE_REASON_STATUS);
    assert_int_equal(route_reason_of_name(nothing), ROUTE_REASON_COUNT);
    for (int i = 0; i < ROUTE_REASON_COUNT; i++)
    {
        const char *name = route_reason_name((route_reason) i);

        assert_int_equal(route_reason_of_name((route_text){name, strlen(name)}), i);
    }
}

static void test_whole_posts(void **state)
{
    const struct
    {
        const route_ruleset *rules;
        const char *payload, *name;
        size_t items;
        const char *expected;
    } cases[] = {
        /* agreed */
        {at_50, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "a job")), NULL, 2,
         "unified/wh-jobs unified jobs in_percentage 249 5000"},
        {at_50, MESSAGES(TEXT(HIGH, "job") "," TEXT(HIGH, "job")), NULL, 2,
         "wh-jobs/- legacy jobs out_of_percentage 8377 5000"},
        {at_50, MESSAGES(TEXT(LOW, "hm") "," TEXT(HIGH, "hm")), NULL, 2,
         "default/- legacy unknown unknown_domain 249 5000"},
        /* different reasons, one target: those of the first */
        {at_50,
         ENVELOPE("{\"value\":{\"messages\":[" TEXT(LOW, "hm") "],\"statuses\":[" STATUS "]}}"),
         NULL, 2, "default/- legacy unknown unknown_domain 249 5000"},
        /* one target, different functions behind it: the default one */
        {at_50, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "shop")), NULL, 2,
         "unified/default unified jobs in_percentage 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "shop") "," TEXT(LOW, "job")), NULL, 3,
         "unified/default unified jobs in_percentage 249 5000"},
        /* one of a retired function: it must reach nobody else, so the whole has no fallback */
        {at_50, MESSAGES(TEXT(LOW, "old") "," TEXT(LOW, "job")), NULL, 2,
         "unified/- unified old legacy_retired 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "old")), NULL, 2,
         "unified/- unified jobs in_percentage 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "shop") "," TEXT(LOW, "old")), NULL, 3,
         "unified/- unified jobs in_percentage 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "old") "," TEXT(LOW, "job") "," TEXT(LOW, "shop")), NULL, 3,
         "unified/- unified old legacy_retired 249 5000"},
        /* the default target is retired itself, or is the unified one: nobody stands behind */
        {default_retired, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "shop")), NULL, 2,
         "unified/- unified jobs in_percentage 249 5000"},
        {default_retired, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "job")), NULL, 2,
         "unified/wh-jobs unified jobs in_percentage 249 5000"},
        {default_unified, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "shop")), NULL, 2,
         "unified/- unified jobs in_percentage 249 5000"},
        {default_unified, MESSAGES(TEXT(LOW, "hm") "," TEXT(LOW, "job")), NULL, 2,
         "unified/- legacy unknown unknown_domain 249 5000"},
        /* two domains of one function */
        {at_50, MESSAGES(TEXT(HIGH, "shop") "," TEXT(HIGH, "late")), NULL, 2,
         "wh-shop/- legacy shop out_of_percentage 8377 3000"},
        /* disagreed */
        {at_50, MESSAGES(TEXT(LOW, "job") "," TEXT(HIGH, "job")), NULL, 2,
         "default/- legacy jobs mixed_batch -1 5000"},
        {at_50, MESSAGES(TEXT(LOW, "job") "," TEXT(LOW, "ride") "," TEXT(LOW, "job")), NULL, 3,
         "default/- legacy jobs mixed_batch -1 5000"},
        {at_0, MESSAGES(TEXT(LOW, "hm") "," TEXT(LOW, "job")), NULL, 2,
         "default/- legacy unknown mixed_batch -1 0"},
        {disabled, MESSAGES(TEXT(LOW, "shop") "," TEXT(LOW, "job")), NULL, 2,
         "default/- legacy shop mixed_batch -1 3000"},
        {at_50, ENVELOPE("{\"value\":{\"messages\":[" TEXT(LOW, "job") "]}},{\"field\":\"x\"}"),
         NULL, 2, "default/- legacy jobs mixed_batch -1 5000"},
        /* named: the domain's function takes the whole */
        {at_50, MESSAGES(TEXT(LOW, "ride") "," TEXT(HIGH, "hm")), "wh-jobs", 2,
         "wh-jobs/- legacy jobs mixed_batch -1 5000"},
        {at_100, MESSAGES(TEXT(LOW, "ride") "," TEXT(HIGH, "hm")), "wh-jobs", 2,
         "unified/wh-jobs unified jobs in_percentage 249 10000"},
        {at_50, MESSAGES(TEXT(LOW, "ride") "," TEXT(HIGH, "hm")), "nobody", 2,
         "default/- legacy unknown unknown_webhook 249 5000"},
        {at_50, MESSAGES(TEXT(LOW, "ride") "," TEXT(HIGH, "hm")), "wh-old", 2,
         "unified/- unified old legacy_retired 249 5000"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        route_decision decision = decide_named(cases[i].rules, cases[i].payload, cases[i].name);

        if (strcmp(summary(&decision), cases[i].expected) != 0)
            fail_msg("%s, not %s: %s", summary(&decision), cases[i].expected, cases[i].payload);
        assert_int_equal(route_count_items(cases[i].payload, strlen(cases[i].payload)),
                         cases[i].items);
        if (decision.reason == ROUTE_REASON_MIXED_BATCH)
            assert_int_equal(decision.matched, -1);
    }
}

static void test_strings_of_item_0(void **state)
{
    const char *payload =
        ENVELOPE("{\"value\":{\"messages\":[{\"from\":\"1\",\"id\":\"a\",\"type\":"
                 "\"text\",\"text\":{\"body\":\"job\"}},{\"from\":\"2\",\"id\":"
                 "\"b\",\"type\":\"image\"}]}}");
    route_decision decision = decide_named(at_0, payload, NULL);

    (void) state;
    assert_string_equal(decision.from_number, "1");
    assert_string_equal(decision.message_id, "a");
    assert_string_equal(decision.message_type, "text");
    assert_int_equal(decision.from_number_length, 1);
    assert_int_equal(decision.kind, ROUTE_ITEM_MESSAGE);
    decision = decide_named(at_0, "x", NULL);
    assert_string_equal(decision.from_number, "");
    assert_string_equal(decision.message_id, "");
    assert_string_equal(decision.message_type, "");
    assert_int_equal(
        decision.from_number_length + decision.message_id_length + decision.message_type_length, 0);
    assert_int_equal(decision.kind, ROUTE_ITEM_UNREADABLE);
    assert_int_equal(decision.range.end, 0);
}

typedef struct collected
{
    size_t count;
    size_t stop_after;
    route_decision decisions[8];
} collected;

static bool collect(void *context, size_t item, const route_decision *decision)
{
    collected *to = context;

    assert_int_equal(item, to->count);
    to->decisions[to->count++] = *decision;
    return to->count < to->stop_after;
}

static void test_items(void **state)
{
    const char *payload = ENVELOPE("{\"value\":{\"statuses\":[" STATUS "],\"messages\":[" TEXT(
        LOW, "job") "," TEXT(HIGH, "job") "," TEXT(LOW, "ride") "]}},{\"field\":\"security\"}");
    static const char *const expected[] = {
        "unified/wh-jobs unified jobs in_percentage 249 5000",
        "wh-jobs/- legacy jobs out_of_percentage 8377 5000",
        "wh-rides/- legacy rides protected 249 5000",
        "default/- legacy unknown status 8377 5000",
        "default/- legacy unknown other_field -1 5000",
    };
    collected all = {.stop_after = 8};

    (void) state;
    assert_int_equal(
        route_decide_items(at_50, payload, strlen(payload), NOT_NAMED, NULL, collect, &all), 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(summary(&all.decisions[i]), expected[i]);
    assert_string_equal(all.decisions[1].message_id, "m" HIGH);
    assert_string_equal(all.decisions[3].message_type, "read");
    assert_string_equal(all.decisions[4].message_type, "security");
    all = (collected){.stop_after = 2};
    assert_int_equal(
        route_decide_items(at_50, payload, strlen(payload), NOT_NAMED, NULL, collect, &all), 2);
    all = (collected){.stop_after = 8};
    assert_int_equal(route_decide_items(at_50, "x", 1, NOT_NAMED, NULL, collect, &all), 1);
    assert_string_equal(summary(&all.decisions[0]), "default/- legacy unknown malformed -1 5000");
}

/* A payload in memory of its exact size, by item: nothing is read outside, nothing written. */
static void test_reads_only_its_bytes(void **state)
{
    const char *payload = MESSAGES(TEXT(LOW, "job") "," TEXT(HIGH, "\\u00e9t\\u00e9"));
    guarded guard = guard_open(strlen(payload));
    route_decision decision;

    (void) state;
    for (size_t length = 0; length <= strlen(payload); length++)
    {
        const char *bytes = guard_put(&guard, payload, length);

        mprotect(guard.pages, guard.size, PROT_READ);
        route_decide(at_50, bytes, length, NOT_NAMED, NULL, NULL, &decision);
        assert_int_equal(decision.reason, length == strlen(payload) ? ROUTE_REASON_MIXED_BATCH
                                                                    : ROUTE_REASON_MALFORMED);
        mprotect(guard.pages, guard.size, PROT_READ | PROT_WRITE);
    }
    guard_close(&guard);
}

/* Everything that is said, one "step: outcome" per line. */
static void note(void *context, const char *step, const char *outcome)
{
    char *to = (char *) context + strlen(context);

    sprintf(to, "%s: %s\n", step, outcome);
}

static void test_explanations(void **state)
{
    static char said[65536];
    const route_trace trace = {note, said};
    static const char *const payloads[] = {
        MESSAGES(TEXT(LOW, "job shop job") "," TEXT(HIGH, "job")),
        "{\"from\":\"1\",\"message\":{\"interactive\":{\"button_reply\":{\"id\":\"a\\nb\\u0000\"}}}"
        "}",
        "{\"message\":{\"button\":{\"payload\":\"job_1\"}}}",
        "{\"message\":{\"text\":{\"body\":\"hm\"}}}",
        STATUSES,
        OTHER,
        "x",
        "[]",
        MESSAGES(TEXT("", "old"))};

    (void) state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
    {
        route_decision decision;
        route_decision plain = decide_named(at_50, payloads[i], NULL);

        said[0] = '\0';
        route_decide(at_50, payloads[i], strlen(payloads[i]), NOT_NAMED, NULL, &trace, &decision);
        assert_string_equal(summary(&decision), strdupa(summary(&plain)));
        assert_non_null(strstr(said, route_reason_name(decision.reason)));
        assert_non_null(strstr(said, route_reason_meaning(decision.reason)));
        assert_null(strstr(said, LOW)); /* nobody's number */
    }
    said[0] = '\0';
    route_decide(at_50, payloads[0], strlen(payloads[0]), NOT_NAMED, NULL, &trace,
                 &(route_decision){0});
    assert_non_null(strstr(said, "payload: a WhatsApp webhook with 2 items\n"));
    assert_non_null(strstr(said, "item: 0: a message of type text\n"));
    assert_non_null(strstr(said, "sender: known by \"from\": bucket 249 of 10000\n"));
    assert_non_null(strstr(said, "keywords: jobs 1 (first \"job\"), shop 1 (first \"shop\")\n"));
    assert_non_null(strstr(said, "routing: enabled at 50.00 %\n"));
    assert_non_null(strstr(said, "decision: default (legacy), mixed_batch"));
    said[0] = '\0';
    route_decide(at_50, payloads[2], strlen(payloads[2]), NOT_NAMED, NULL, &trace,
                 &(route_decision){0});
    assert_non_null(strstr(said, "payload: one message in the older flat form\n"));
    assert_non_null(strstr(said, "sender: names no sender\n"));
    assert_non_null(strstr(said, "button: \"job_1\" fits \"job\" of jobs\n"));
    said[0] = '\0';
    route_decide(at_50, payloads[3], strlen(payloads[3]), NOT_NAMED, NULL, &trace,
                 &(route_decision){0});
    assert_non_null(strstr(said, "keywords: none found\n"));
    said[0] = '\0';
    route_decide(at_50, "x", 1, (route_text){"wh-jobs", 7}, NULL, &trace, &(route_decision){0});
    assert_non_null(strstr(said, "webhook: named by the caller: it stands for domain jobs\n"));
    said[0] = '\0';
    route_decide(at_50, "x", 1, (route_text){"nobody", 6}, NULL, &trace, &(route_decision){0});
    assert_non_null(strstr(said, "webhook: named by the caller, but no domain owns it\n"));
}

static void test_words(void **state)
{
    (void) state;
    for (int i = 0; i < ROUTE_REASON_COUNT; i++)
    {
        assert_true(strlen(route_reason_name((route_reason) i)) > 3);
        assert_true(strlen(route_reason_meaning((route_reason) i)) > 10);
    }
    assert_string_equal(route_reason_name(ROUTE_REASON_COUNT), "unknown");
    assert_string_equal(route_reason_meaning(ROUTE_REASON_COUNT), "unknown");
    assert_string_equal(route_reason_name(ROUTE_REASON_MIXED_BATCH), "mixed_batch");
    assert_string_equal(route_side_name(ROUTE_LEGACY), "legacy");
    assert_string_equal(route_side_name(ROUTE_UNIFIED), "unified");
    assert_string_equal(route_item_kind_name(ROUTE_ITEM_MESSAGE), "message");
    assert_string_equal(route_item_kind_name(ROUTE_ITEM_STATUS), "status");
    assert_string_equal(route_item_kind_name(ROUTE_ITEM_OTHER_FIELD), "other_field");
    assert_string_equal(route_item_kind_name(ROUTE_ITEM_UNREADABLE), "unreadable");
    assert_string_equal(route_fallback_policy_name(ROUTE_FALLBACK_CONNECT), "connect");
    assert_string_equal(route_fallback_policy_name(ROUTE_FALLBACK_ERROR), "error");
    assert_string_equal(route_fallback_policy_name(ROUTE_FALLBACK_ANY), "any");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),      cmocka_unit_test(test_known_items),
        cmocka_unit_test(test_whole_posts),  cmocka_unit_test(test_strings_of_item_0),
        cmocka_unit_test(test_items),        cmocka_unit_test(test_reads_only_its_bytes),
        cmocka_unit_test(test_explanations), cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests_name("decide", tests, open_rules, close_rules);
}
