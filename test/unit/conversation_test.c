/* SPDX-License-Identifier: PostgreSQL
 *
 * conversation_test.c: what the engine asks a memory of conversations, when, and what it makes of
 * the answers. What a database remembers is tested under SQL.
 */
#include "support.h"

/* Buckets 2334 and 9894 with salt 0. */
#define LOW "250788000002"
#define HIGH "250788000004"

#define TEXT(from, body)                                                                           \
    "{\"from\":\"" from "\",\"id\":\"m\",\"type\":\"text\",\"text\":{\"body\":\"" body "\"}}"
#define STATUS(to) "{\"recipient_id\":\"" to "\",\"id\":\"s\",\"status\":\"read\"}"
#define MESSAGES(messages)                                                                         \
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"field\":\"messages\","  \
    "\"value\":{\"messages\":[" messages "]}}]}]}"
#define STATUSES(statuses)                                                                         \
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"field\":\"messages\","  \
    "\"value\":{\"statuses\":[" statuses "]}}]}]}"

static route_ruleset *at_50, *at_0, *off;

/* A memory of one answer for everybody, that keeps a record of what it is asked and told. */
static struct
{
    const char *domain; /* NULL: nobody is in a conversation */
    route_side side;
    size_t asked, told;
    char sender[ROUTE_MAX_SENDER + 1];    /* of the last question */
    char last[2 * ROUTE_MAX_SENDER + 64]; /* what it was told last: sender, domain, side */
} remembered;
static route_ruleset *deciding;

static route_conversation recall(void *context, const char *sender, size_t length)
{
    route_conversation conversation = {NULL, remembered.side};

    assert_ptr_equal(context, &remembered);
    assert_int_equal(strlen(sender), length);
    remembered.asked++;
    snprintf(remembered.sender, sizeof(remembered.sender), "%s", sender);
    for (size_t i = 0; remembered.domain != NULL && i < route_ruleset_domain_count(deciding); i++)
        if (text_is(route_ruleset_domain(deciding, i)->name, remembered.domain))
            conversation.domain = route_ruleset_domain(deciding, i);
    return conversation;
}

static void remember(void *context, const char *sender, size_t length,
                     const route_decision *decision)
{
    assert_ptr_equal(context, &remembered);
    assert_int_equal(strlen(sender), length);
    assert_non_null(decision->domain);
    remembered.told++;
    snprintf(remembered.last, sizeof(remembered.last), "%s %s %s", sender, domain_name(decision),
             route_side_name(decision->side));
}

/* target, side, domain, reason of a POST, and how often the memory was asked. */
static const char *decided(route_ruleset *rules, bool keeps, const char *domain, route_side side,
                           const char *payload, const char *name)
{
    static char text[200];
    route_memory memory = {recall, remember, &remembered, keeps};
    route_text webhook = {name, name == NULL ? 0 : strlen(name)};
    route_decision decision;

    memset(&decision, 0xa5, sizeof(decision));
    memset(&remembered, 0, sizeof(remembered));
    remembered.domain = domain;
    remembered.side = side;
    deciding = rules;
    route_decide(rules, payload, strlen(payload), webhook, &memory, NULL, &decision);
    snprintf(text, sizeof(text), "%.*s %s %s %s %zu", (int) decision.target->name.length,
             decision.target->name.data, route_side_name(decision.side), domain_name(&decision),
             route_reason_name(decision.reason), remembered.asked);
    return text;
}

static int open_rules(void **state)
{
    (void) state;
    at_50 = compile(SEED("50", "t"));
    at_0 = compile(SEED("0", "t"));
    off = compile(SEED("50", "f"));
    return 0;
}

static int close_rules(void **state)
{
    (void) state;
    route_ruleset_free(at_50);
    route_ruleset_free(at_0);
    route_ruleset_free(off);
    return 0;
}

static void test_follow_ups(void **state)
{
    const struct
    {
        const route_ruleset *rules;
        const char *payload, *name, *domain, *expected;
    } cases[] = {
        {at_50, MESSAGES(TEXT(LOW, "yes")), NULL, "jobs",
         "wa-webhook-unified unified jobs in_percentage 1"},
        {at_50, MESSAGES(TEXT(HIGH, "yes")), NULL, "jobs",
         "wa-webhook-jobs legacy jobs out_of_percentage 1"},
        {at_50, MESSAGES(TEXT(LOW, "yes")), NULL, NULL,
         "wa-webhook legacy unknown unknown_domain 1"},
        {at_50, MESSAGES(TEXT(LOW, "yes")), NULL, "mobility",
         "wa-webhook-mobility legacy mobility protected 1"},
        {off, MESSAGES(TEXT(LOW, "yes")), NULL, "jobs", "wa-webhook-jobs legacy jobs disabled 1"},
        /* what the message or the caller says counts more, and is not asked about */
        {at_50, MESSAGES(TEXT(LOW, "a house")), NULL, "jobs",
         "wa-webhook-unified unified property in_percentage 0"},
        {at_50, MESSAGES(TEXT(LOW, "yes")), "wa-webhook-property", "jobs",
         "wa-webhook-unified unified property in_percentage 0"},
        /* nobody to ask about */
        {at_50, MESSAGES(TEXT("", "yes")), NULL, "jobs",
         "wa-webhook legacy unknown unknown_domain 0"},
        {at_50, STATUSES(STATUS(LOW)), NULL, "jobs", "wa-webhook legacy unknown status 0"},
        {at_50, "{", NULL, "jobs", "wa-webhook legacy unknown malformed 0"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(decided((route_ruleset *) cases[i].rules, false, cases[i].domain,
                                    ROUTE_UNIFIED, cases[i].payload, cases[i].name),
                            cases[i].expected);
}

static void test_kept_sides(void **state)
{
    const struct
    {
        const char *payload, *name;
        bool keeps;
        route_side side;
        const char *expected;
    } cases[] = {
        {MESSAGES(TEXT(LOW, "a job")), NULL, true, ROUTE_UNIFIED,
         "wa-webhook-unified unified jobs in_conversation 1"},
        {MESSAGES(TEXT(LOW, "yes")), NULL, true, ROUTE_UNIFIED,
         "wa-webhook-unified unified jobs in_conversation 1"},
        {MESSAGES(TEXT(LOW, "yes")), "wa-webhook-jobs", true, ROUTE_UNIFIED,
         "wa-webhook-unified unified jobs in_conversation 1"},
        {MESSAGES(TEXT(LOW, "a job")), NULL, false, ROUTE_UNIFIED,
         "wa-webhook-jobs legacy jobs out_of_percentage 0"},
        {MESSAGES(TEXT(LOW, "a job")), NULL, true, ROUTE_LEGACY,
         "wa-webhook-jobs legacy jobs out_of_percentage 1"},
        {MESSAGES(TEXT(LOW, "a house")), NULL, true, ROUTE_UNIFIED,
         "wa-webhook-property legacy property out_of_percentage 1"},
        {MESSAGES(TEXT(LOW, "a taxi")), NULL, true, ROUTE_UNIFIED,
         "wa-webhook-mobility legacy mobility protected 0"},
        {STATUSES(STATUS(LOW)), "wa-webhook-jobs", true, ROUTE_UNIFIED,
         "wa-webhook-jobs legacy jobs out_of_percentage 0"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(
            decided(at_0, cases[i].keeps, "jobs", cases[i].side, cases[i].payload, cases[i].name),
            cases[i].expected);
    assert_string_equal(
        decided(off, true, "jobs", ROUTE_UNIFIED, MESSAGES(TEXT(HIGH, "yes")), NULL),
        "wa-webhook-jobs legacy jobs disabled 1");
}

/* Told of messages with a domain and a sender, in the form in which the log has senders. */
static void test_remembers(void **state)
{
    (void) state;
    decided(at_50, false, NULL, ROUTE_LEGACY,
            MESSAGES(TEXT(LOW, "a job") "," TEXT(HIGH, "a job") "," TEXT("", "a house")), NULL);
    assert_int_equal(remembered.told, 2);
    assert_string_equal(remembered.last, HIGH " jobs legacy");
    decided(at_50, false, NULL, ROUTE_LEGACY, MESSAGES(TEXT(LOW, "yes")), NULL);
    assert_int_equal(remembered.told, 0);
    assert_string_equal(remembered.sender, LOW);
    decided(at_50, false, NULL, ROUTE_LEGACY, STATUSES(STATUS(LOW)), "wa-webhook-jobs");
    assert_int_equal(remembered.told, 0);
    decided(at_50, false, NULL, ROUTE_LEGACY, MESSAGES(TEXT("a\\u0000\\ud800\\u00e9", "yes")),
            NULL);
    assert_string_equal(remembered.sender, "a\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9");
}

/* A logged decision is made again without a memory: its reason says what the memory said. */
static void test_made_again(void **state)
{
    const route_text jobs = {"jobs", 4};
    route_known known = {jobs, 2334, ROUTE_REASON_IN_CONVERSATION};
    route_decision decision;

    (void) state;
    assert_true(route_decide_known(at_0, &known, NULL, &decision));
    assert_int_equal(decision.side, ROUTE_UNIFIED);
    assert_int_equal(decision.reason, ROUTE_REASON_IN_CONVERSATION);
    assert_true(route_decide_known(at_50, &known, NULL, &decision));
    assert_int_equal(decision.reason, ROUTE_REASON_IN_PERCENTAGE);
    assert_true(route_decide_known(off, &known, NULL, &decision));
    assert_int_equal(decision.reason, ROUTE_REASON_DISABLED);
    known.reason = ROUTE_REASON_IN_PERCENTAGE;
    assert_true(route_decide_known(at_0, &known, NULL, &decision));
    assert_int_equal(decision.reason, ROUTE_REASON_OUT_OF_PERCENTAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follow_ups),
        cmocka_unit_test(test_kept_sides),
        cmocka_unit_test(test_remembers),
        cmocka_unit_test(test_made_again),
    };

    return cmocka_run_group_tests(tests, open_rules, close_rules);
}
