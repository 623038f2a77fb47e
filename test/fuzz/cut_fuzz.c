/* SPDX-License-Identifier: PostgreSQL
 *
 * cut_fuzz.c: any bytes as a webhook, cut to any of its items.
 *
 *     build/fuzz/cut_fuzz -dict=test/fuzz/engine.dict CORPUS test/fuzz/corpus/engine
 */
#include "require.h"

#include "../unit/cut_check.h"

/* A word and a sender decide, so that an item that is read differently is decided differently. */
#define RULES                                                                                      \
    "webhook_routing\t1\n"                                                                         \
    "config\t00000000-0000-4000-8000-000000000001\t1\t50\tt\t42\tunified\tdefault\n"               \
    "domain\tjobs\twh-jobs\tf\t\\N\t20\tt\n"                                                       \
    "pattern\tjobs\tkeyword\tprefix\tjob\n"                                                        \
    "pattern\tjobs\tbutton\tprefix\tjob\n"                                                         \
    "end\n"

static route_ruleset *rules;

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

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const route_allocator allocator = {allocate, release, NULL};
    route_error error;

    (void) argc;
    (void) argv;
    rules = route_ruleset_compile(RULES, strlen(RULES), &allocator, &error);
    REQUIRE(rules != NULL);
    return 0;
}

static void check(const uint8_t *data, size_t size, uint64_t subset)
{
    const char *problem = cut_problem(rules, data, size, subset);

    if (problem != NULL)
        fprintf(stderr, "subset %016llx: %s\n", (unsigned long long) subset, problem);
    REQUIRE(problem == NULL);
}

/* All subsets of a few items; of more the halves, and some that the bytes themselves choose. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = route_count_items(data, size);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
    if (count <= 4)
        for (uint64_t subset = 0; subset < 1u << count; subset++)
            check(data, size, subset);
    else
    {
        check(data, size, 0);
        check(data, size, UINT64_MAX);
        check(data, size, UINT64_C(0x5555555555555555));
        check(data, size, UINT64_C(0xaaaaaaaaaaaaaaaa));
        check(data, size, hash);
        check(data, size, ~hash);
        check(data, size, hash & hash >> 9);
    }
    return 0;
}
