/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset_fuzz.c: any bytes as a snapshot. Whatever compiles has to hold its promises and to
 * decide; whatever does not must say why and leave nothing allocated.
 *
 *     build/fuzz/ruleset_fuzz -dict=test/fuzz/ruleset.dict CORPUS test/fuzz/corpus/ruleset
 */
#include "require.h"

#include <string.h>

#include "route.h"

static const char message[] =
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"field\":\"messages\","
    "\"value\":{\"messages\":[{\"from\":\"1\",\"id\":\"m\",\"type\":\"text\",\"text\":{\"body\":"
    "\"I want a job, to buy a car, real estate \\u00e9t\\u00e9 a b c\"}},{\"from\":\"2\",\"type\":"
    "\"button\",\"button\":{\"payload\":\"job_a\",\"text\":\"house\"}}]}}]}]}";

static long blocks;

static void *allocate(void *context, size_t size)
{
    (void) context;
    blocks++;
    return malloc(size);
}

static void release(void *context, void *memory)
{
    (void) context;
    blocks--;
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(route_text a, route_text b)
{
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

static void check_targets(const route_ruleset *ruleset)
{
    const route_config *config = route_ruleset_config(ruleset);

    REQUIRE(route_ruleset_find_target(ruleset, config->unified_target) != NULL);
    REQUIRE(route_ruleset_find_target(ruleset, config->default_target) != NULL);
    REQUIRE(config->percentage <= ROUTE_BUCKETS && config->id.length == 36);
    for (size_t i = 0; i < route_ruleset_target_count(ruleset); i++)
    {
        const route_target *target = route_ruleset_target(ruleset, i);

        REQUIRE(target->index == i && route_ruleset_find_target(ruleset, target->name) == target);
    }
}

static void check_domains(const route_ruleset *ruleset)
{
    for (size_t i = 0; i < route_ruleset_domain_count(ruleset); i++)
    {
        const route_domain *domain = route_ruleset_domain(ruleset, i);

        REQUIRE(domain->index == i && domain->legacy != NULL);
        REQUIRE(domain->percentage <= route_ruleset_config(ruleset)->percentage);
        if (i > 0)
            REQUIRE(domain->priority >= route_ruleset_domain(ruleset, i - 1)->priority);
    }
    for (size_t i = 0; i < route_ruleset_pattern_count(ruleset); i++)
        REQUIRE(route_ruleset_pattern(ruleset, i).length <= ROUTE_MAX_PATTERN_LENGTH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const route_allocator allocator = {allocate, release, NULL};
    route_error error = {"", 0};
    route_ruleset *ruleset = route_ruleset_compile((const char *) data, size, &allocator, &error);

    if (ruleset == NULL)
        REQUIRE(error.message[0] != '\0' && strlen(error.message) < sizeof(error.message));
    else
    {
        route_decision decision;
        route_text name = route_ruleset_target(ruleset, 0)->name;
        route_text none = {NULL, 0};

        check_targets(ruleset);
        check_domains(ruleset);
        REQUIRE(same(name, route_ruleset_find_target(ruleset, name)->name));
        REQUIRE(route_decide(ruleset, message, sizeof(message) - 1, none, NULL, NULL, &decision) ==
                2);
        REQUIRE(decision.target != NULL);
        route_decide(ruleset, message, sizeof(message) - 1, name, NULL, NULL, &decision);
        route_ruleset_free(ruleset);
    }
    REQUIRE(blocks == 0);
    return 0;
}
