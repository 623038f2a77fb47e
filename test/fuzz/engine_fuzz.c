/* SPDX-License-Identifier: PostgreSQL
 *
 * engine_fuzz.c: any bytes as a webhook, against rules of every kind.
 *
 * Beyond not crashing (ASan and UBSan watch), what must hold of any input is asserted: the ways to
 * ask agree with each other and with a second, naive validator; strings are what they promise;
 * ranges are JSON inside the input; raising the percentage moves nobody back.
 *
 *     build/fuzz/engine_fuzz -dict=test/fuzz/engine.dict CORPUS test/fuzz/corpus/engine
 */
#include "require.h"

#include "../unit/reference_json.h"

#define RULES(percentage, enabled)                                                                 \
    "webhook_routing\t1\n"                                                                         \
    "config\t00000000-0000-4000-8000-000000000001\t1\t" percentage "\t" enabled                    \
    "\t42\tunified\tdefault\n"                                                                     \
    "domain\tjobs\twh-jobs\tf\t\\N\t20\tt\n"                                                       \
    "domain\tshop\twh-shop\tf\t30\t30\tt\n"                                                        \
    "domain\trides\twh-rides\tt\t\\N\t10\tf\n"                                                     \
    "domain\told\twh-old\tf\t\\N\t40\tt\n"                                                         \
    "domain\toff\twh-off\tf\t\\N\t50\tf\n"                                                         \
    "target\twh-old\t\\N\t\\N\terror\tt\n"                                                         \
    "pattern\tjobs\tkeyword\tprefix\tjob\n"                                                        \
    "pattern\tjobs\tkeyword\tword\tcv\n"                                                           \
    "pattern\tjobs\tkeyword\tword\tcover letter\n"                                                 \
    "pattern\tjobs\tbutton\tprefix\tjob\n"                                                         \
    "pattern\tjobs\tbutton\texact\tjobs_agent\n"                                                   \
    "pattern\tshop\tkeyword\tprefix\tbuy\n"                                                        \
    "pattern\tshop\tkeyword\texact\tb\n"                                                           \
    "pattern\tshop\tkeyword\tword\ta a\n"                                                          \
    "pattern\tshop\tkeyword\tprefix\ta a a\n"                                                      \
    "pattern\tshop\tbutton\texact\tjob shop\n"                                                     \
    "pattern\tshop\tbutton\tword\tshop\n"                                                          \
    "pattern\trides\tkeyword\tword\tr\xc3\xa9serv\xc3\xa9\n"                                       \
    "pattern\trides\tkeyword\tprefix\t\xe8\xbd\xa6\n"                                              \
    "pattern\told\tkeyword\tword\told\n"                                                           \
    "pattern\toff\tkeyword\tword\toff\n"                                                           \
    "end\n"

static route_ruleset *half, *full, *disabled;

static void *allocate(void *context, size_t size)
{
    (void) context;
    return malloc(size);
}

static void release(void *context, void *memory)
{
    (void) context;
    free(memory);
}

static route_ruleset *compile(const char *snapshot)
{
    static const route_allocator allocator = {allocate, release, NULL};
    route_error error;
    route_ruleset *ruleset = route_ruleset_compile(snapshot, strlen(snapshot), &allocator, &error);

    if (ruleset == NULL)
        fprintf(stderr, "line %zu: %s\n", error.line, error.message);
    REQUIRE(ruleset != NULL);
    return ruleset;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;
    half = compile(RULES("50", "t"));
    full = compile(RULES("100", "t"));
    disabled = compile(RULES("100", "f"));
    return 0;
}

static void check_string(const char *string, size_t length, size_t bound)
{
    REQUIRE(length <= bound);
    REQUIRE(strlen(string) == length);
    REQUIRE(reference_is_utf8(string, length));
}

static void check_decision(const route_decision *decision)
{
    check_string(decision->from_number, decision->from_number_length, ROUTE_MAX_SENDER);
    check_string(decision->message_id, decision->message_id_length, ROUTE_MAX_MESSAGE_ID);
    check_string(decision->message_type, decision->message_type_length, ROUTE_MAX_MESSAGE_TYPE);
    REQUIRE(decision->target != NULL);
    REQUIRE(decision->reason < ROUTE_REASON_COUNT);
    REQUIRE(decision->bucket >= ROUTE_NO_BUCKET && decision->bucket < ROUTE_BUCKETS);
    REQUIRE(decision->percentage <= ROUTE_BUCKETS);
    REQUIRE(decision->side == ROUTE_UNIFIED || decision->fallback == NULL);
    REQUIRE(decision->fallback == NULL || !decision->fallback->retired);
    REQUIRE(decision->domain == NULL || !decision->domain->is_protected ||
            decision->side == ROUTE_LEGACY);
}

typedef struct item_walk
{
    const uint8_t *data;
    size_t size;
    size_t items;
    bool agreed;
    bool any_retired; /* an item's legacy function is */
    route_decision first;
} item_walk;

static bool visit(void *context, size_t item, const route_decision *decision)
{
    item_walk *walk = context;
    route_range range = decision->range;

    REQUIRE(item == walk->items);
    check_decision(decision);
    REQUIRE(decision->reason != ROUTE_REASON_MIXED_BATCH);
    REQUIRE(range.start <= range.end && range.end <= walk->size);
    if (range.end != 0)
        REQUIRE(reference_is_json(walk->data + range.start, range.end - range.start));
    else
        REQUIRE(decision->kind == ROUTE_ITEM_UNREADABLE ||
                decision->kind == ROUTE_ITEM_OTHER_FIELD);
    if (walk->items++ == 0)
        walk->first = *decision;
    walk->agreed = walk->agreed && decision->target == walk->first.target;
    walk->any_retired |= decision->reason == ROUTE_REASON_LEGACY_RETIRED;
    return true;
}

static void require_same(const route_decision *a, const route_decision *b)
{
    REQUIRE(a->kind == b->kind && a->domain == b->domain);
    REQUIRE(a->range.start == b->range.start && a->range.end == b->range.end);
    REQUIRE(strcmp(a->from_number, b->from_number) == 0);
    REQUIRE(strcmp(a->message_id, b->message_id) == 0);
    REQUIRE(strcmp(a->message_type, b->message_type) == 0);
}

/* A memory in which every sender is in a conversation, which one his last character says. */
static route_conversation recall(void *context, const char *sender, size_t length)
{
    const route_ruleset *ruleset = context;
    unsigned char last;

    REQUIRE(length > 0);
    check_string(sender, length, ROUTE_MAX_SENDER);
    last = (unsigned char) sender[length - 1];
    return (route_conversation){
        route_ruleset_domain(ruleset, last % route_ruleset_domain_count(ruleset)),
        last % 2 == 0 ? ROUTE_UNIFIED : ROUTE_LEGACY};
}

static void remember(void *context, const char *sender, size_t length,
                     const route_decision *decision)
{
    (void) context;
    REQUIRE(length > 0);
    check_string(sender, length, ROUTE_MAX_SENDER);
    REQUIRE(decision->kind == ROUTE_ITEM_MESSAGE && decision->domain != NULL);
}

/* Asks in every way under one ruleset. */
static route_decision check_ruleset(const route_ruleset *ruleset, const route_memory *memory,
                                    const uint8_t *data, size_t size, route_text name)
{
    item_walk walk = {.data = data, .size = size, .agreed = true};
    route_decision decision;
    route_decision again;
    size_t items = route_decide(ruleset, data, size, name, memory, NULL, &decision);

    REQUIRE(items >= 1);
    REQUIRE(items == route_count_items(data, size));
    REQUIRE(items == route_decide_items(ruleset, data, size, name, memory, visit, &walk));
    REQUIRE(items == walk.items);
    check_decision(&decision);
    require_same(&decision, &walk.first);
    REQUIRE(!walk.any_retired || decision.fallback == NULL);
    if (walk.agreed)
    {
        REQUIRE(decision.target == walk.first.target && decision.side == walk.first.side);
        REQUIRE(decision.reason == walk.first.reason && decision.matched == walk.first.matched);
        REQUIRE(decision.bucket == walk.first.bucket);
    }
    else
        REQUIRE(decision.reason == ROUTE_REASON_MIXED_BATCH && decision.side == ROUTE_LEGACY);
    REQUIRE(route_decide(ruleset, data, size, name, memory, NULL, &again) == items);
    require_same(&decision, &again);
    REQUIRE(decision.target == again.target && decision.reason == again.reason);
    return decision;
}

static void say(void *context, const char *step, const char *outcome)
{
    (void) context;
    REQUIRE(step[0] != '\0' && outcome[0] != '\0');
    REQUIRE(reference_is_utf8(outcome, strlen(outcome)));
    for (; *outcome != '\0'; outcome++)
        REQUIRE((unsigned char) *outcome >= ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const route_trace trace = {say, NULL};
    static const route_text none = {NULL, 0};
    static const route_text jobs = {"wh-jobs", 7};
    static const route_text nobody = {"nobody", 6};
    bool valid = route_is_json(data, size);
    route_decision at_half;
    route_decision at_full;
    route_decision said;
    const route_memory memory = {recall, remember, half, true};
    route_decision remembered;

    REQUIRE(valid == reference_is_json(data, size));
    at_half = check_ruleset(half, NULL, data, size, none);
    REQUIRE((at_half.reason == ROUTE_REASON_MALFORMED) == !valid);
    at_full = check_ruleset(full, NULL, data, size, none);
    if (route_count_items(data, size) == 1 && at_half.side == ROUTE_UNIFIED)
        REQUIRE(at_full.side == ROUTE_UNIFIED);
    check_ruleset(disabled, NULL, data, size, none);
    REQUIRE(check_ruleset(half, NULL, data, size, nobody).reason == ROUTE_REASON_UNKNOWN_WEBHOOK);
    check_ruleset(half, NULL, data, size, jobs);
    route_decide(half, data, size, none, NULL, &trace, &said);
    REQUIRE(said.target == at_half.target && said.reason == at_half.reason);
    remembered = check_ruleset(half, &memory, data, size, none);
    REQUIRE(at_half.domain == NULL || remembered.domain == at_half.domain);
    route_decide(half, data, size, none, &memory, &trace, &said);
    REQUIRE(said.target == remembered.target && said.reason == remembered.reason);
    return 0;
}
