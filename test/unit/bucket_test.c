/* SPDX-License-Identifier: PostgreSQL
 *
 * bucket_test.c: a sender's bucket is for ever, and senders spread evenly.
 *
 * The golden vectors must never change: a different bucket moves people between functions. The
 * hashes with seed 0 are those that `xxhsum -H1` prints; XXH64 is written out here a second time
 * from its specification, for the other seeds.
 */
#include "support.h"

#include <math.h>

#define SENDERS 100000

/* xxHash fast digest algorithm, specification 0.1.1, XXH64. */
#define PRIME_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME_3 UINT64_C(0x165667B19E3779F9)
#define PRIME_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME_5 UINT64_C(0x27D4EB2F165667C5)

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t little_endian(const uint8_t *bytes, int count)
{
    uint64_t value = 0;

    for (int i = count - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static uint64_t lane_round(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

static uint64_t specified_hash(const void *data, size_t length, uint64_t seed)
{
    const uint8_t *p = data;
    size_t left = length;
    uint64_t hash = seed + PRIME_5;

    if (length >= 32)
    {
        uint64_t lanes[4] = {seed + PRIME_1 + PRIME_2, seed + PRIME_2, seed, seed - PRIME_1};

        for (; left >= 32; p += 32, left -= 32)
            for (int i = 0; i < 4; i++)
                lanes[i] = lane_round(lanes[i], little_endian(p + 8 * i, 8));
        hash =
            rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
        for (int i = 0; i < 4; i++)
            hash = (hash ^ lane_round(0, lanes[i])) * PRIME_1 + PRIME_4;
    }
    hash += length;
    for (; left >= 8; p += 8, left -= 8)
        hash = rotate(hash ^ lane_round(0, little_endian(p, 8)), 27) * PRIME_1 + PRIME_4;
    if (left >= 4)
    {
        hash = rotate(hash ^ little_endian(p, 4) * PRIME_1, 23) * PRIME_2 + PRIME_3;
        p += 4;
        left -= 4;
    }
    for (; left > 0; p++, left--)
        hash = rotate(hash ^ *p * PRIME_5, 11) * PRIME_1;
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}

static int32_t specified_bucket(const void *data, size_t length, uint64_t seed)
{
    return (int32_t) ((specified_hash(data, length, seed) >> 32) * 10000 >> 32);
}

static const struct
{
    const char *sender;
    uint64_t salt;
    int32_t bucket;
} golden[] = {
    {"", UINT64_C(0), 9346},
    {"250788100001", UINT64_C(0), 8377},
    {"972987654321", UINT64_C(0), 249},
    {"RW.13491208655302741918", UINT64_C(0), 424},
    {"a", UINT64_C(0), 8215},
    {"abcdefghijklmnopqrstuvwxyz0123456789", UINT64_C(0), 3943},
    {"\xc3\xa9t\xc3\xa9", UINT64_C(0), 9230},
    {"", UINT64_C(1), 8347},
    {"250788100001", UINT64_C(1), 874},
    {"972987654321", UINT64_C(1), 4018},
    {"RW.13491208655302741918", UINT64_C(1), 5609},
    {"a", UINT64_C(1), 8701},
    {"abcdefghijklmnopqrstuvwxyz0123456789", UINT64_C(1), 6278},
    {"\xc3\xa9t\xc3\xa9", UINT64_C(1), 3264},
    {"", UINT64_C(42), 5964},
    {"250788100001", UINT64_C(42), 8582},
    {"972987654321", UINT64_C(42), 4301},
    {"RW.13491208655302741918", UINT64_C(42), 3016},
    {"a", UINT64_C(42), 5347},
    {"abcdefghijklmnopqrstuvwxyz0123456789", UINT64_C(42), 1476},
    {"\xc3\xa9t\xc3\xa9", UINT64_C(42), 1545},
    {"", UINT64_MAX, 1623},
    {"250788100001", UINT64_MAX, 5871},
    {"972987654321", UINT64_MAX, 1845},
    {"RW.13491208655302741918", UINT64_MAX, 5475},
    {"a", UINT64_MAX, 3779},
    {"abcdefghijklmnopqrstuvwxyz0123456789", UINT64_MAX, 885},
    {"\xc3\xa9t\xc3\xa9", UINT64_MAX, 6712},
    {"", UINT64_C(11400714819323198485), 7664},
    {"250788100001", UINT64_C(11400714819323198485), 8154},
    {"972987654321", UINT64_C(11400714819323198485), 2238},
    {"RW.13491208655302741918", UINT64_C(11400714819323198485), 1317},
    {"a", UINT64_C(11400714819323198485), 6034},
    {"abcdefghijklmnopqrstuvwxyz0123456789", UINT64_C(11400714819323198485), 9515},
    {"\xc3\xa9t\xc3\xa9", UINT64_C(11400714819323198485), 8446},
};

static void test_golden_vectors(void **state)
{
    (void) state;
    /* printf '' | xxhsum -H1, and so on */
    assert_true(specified_hash("", 0, 0) == UINT64_C(0xef46db3751d8e999));
    assert_true(specified_hash("a", 1, 0) == UINT64_C(0xd24ec4f1a98c6e5b));
    assert_true(specified_hash("250788100001", 12, 0) == UINT64_C(0xd67418a954cc2837));
    assert_true(specified_hash("abcdefghijklmnopqrstuvwxyz0123456789", 36, 0) ==
                UINT64_C(0x64f23ecf1609b766));
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++)
    {
        size_t length = strlen(golden[i].sender);

        assert_int_equal(route_bucket(golden[i].sender, length, golden[i].salt), golden[i].bucket);
        assert_int_equal(specified_bucket(golden[i].sender, length, golden[i].salt),
                         golden[i].bucket);
    }
}

static void test_every_length(void **state)
{
    uint8_t bytes[300];
    uint64_t seed = 7;

    (void) state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t) next_random(&seed);
    for (size_t length = 0; length < sizeof(bytes); length++)
        assert_int_equal(route_bucket(bytes, length, seed + length),
                         specified_bucket(bytes, length, seed + length));
}

/* A sender written with escapes is the same person, of any length. */
static void test_escaped_sender(void **state)
{
    route_ruleset *rules = compile(SEED("50", "t"));
    char plain[2000];
    char *escaped = malloc(8 * sizeof(plain));
    char *payload = malloc(10 * sizeof(plain));

    (void) state;
    for (size_t length = 1; length < sizeof(plain); length = length * 3 / 2 + 1)
    {
        route_decision decision;

        for (size_t i = 0; i < length; i++)
        {
            plain[i] = (char) ('a' + i % 26);
            sprintf(escaped + 6 * i, "\\u%04x", plain[i]);
        }
        sprintf(payload, "{\"from\":\"%s\",\"message\":{}}", escaped);
        decision = decide(rules, payload);
        assert_int_equal(decision.bucket, route_bucket(plain, length, 0));
        sprintf(payload, "{\"from\":\"%.*s\",\"message\":{}}", (int) length, plain);
        decision = decide(rules, payload);
        assert_int_equal(decision.bucket, route_bucket(plain, length, 0));
        assert_int_equal(decision.from_number_length,
                         length < ROUTE_MAX_SENDER ? length : ROUTE_MAX_SENDER);
    }
    free(payload);
    free(escaped);
    route_ruleset_free(rules);
}

static size_t sender_name(char *name, size_t number)
{
    return (size_t) sprintf(name, "2507%08zu", number * 7919 % 100000000);
}

/* Through the whole decision, at the steps of a rollout: everybody stays where they are but those
 * who move to unified, and as many do as the percentage says (five sigma of a binomial). */
static void test_sticky_and_monotonic(void **state)
{
    static const char *const steps[] = {"0", "10", "25", "35", "50", "75", "100"};
    bool *unified = calloc(SENDERS, sizeof(bool));

    (void) state;
    assert_non_null(unified);
    for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]); step++)
    {
        char snapshot[sizeof(SEED("100", "t")) + 16];
        double share = atof(steps[step]) / 100;
        size_t count = 0;
        route_ruleset *rules;

        snprintf(snapshot, sizeof(snapshot),
                 HEAD "config\t" UUID
                      "\t7\t%s\tt\t0\twa-webhook-unified\twa-webhook\n" SEED_DOMAINS SEED_PATTERNS
                      "end\n",
                 steps[step]);
        rules = compile(snapshot);
        for (size_t i = 0; i < SENDERS; i++)
        {
            char name[32];
            char payload[128];
            route_decision decision;

            sender_name(name, i);
            sprintf(payload, "{\"from\":\"%s\",\"message\":{\"text\":{\"body\":\"job\"}}}", name);
            decision = decide(rules, payload);
            assert_true(!unified[i] || decision.side == ROUTE_UNIFIED);
            assert_int_equal(decision.side == ROUTE_UNIFIED, decision.bucket < share * 10000);
            unified[i] = decision.side == ROUTE_UNIFIED;
            count += unified[i];
        }
        assert_true(fabs((double) count - share * SENDERS) <=
                    5 * sqrt(SENDERS * share * (1 - share)));
        route_ruleset_free(rules);
    }
    free(unified);
}

/* Pearson's chi-square over 100 classes of buckets: 99 degrees of freedom, mean 99, deviation 14;
 * 170 is beyond p = 0.00001. The salt deals anew. */
static void test_uniform(void **state)
{
    static const uint64_t salts[] = {0, 1, 2, 42, UINT64_MAX};
    size_t same = 0;

    (void) state;
    for (size_t s = 0; s < sizeof(salts) / sizeof(salts[0]); s++)
    {
        size_t classes[100] = {0};
        double square = 0;

        for (size_t i = 0; i < SENDERS; i++)
        {
            char name[32];
            size_t length = sender_name(name, i);
            int32_t bucket = route_bucket(name, length, salts[s]);

            assert_in_range(bucket, 0, ROUTE_BUCKETS - 1);
            classes[bucket / 100]++;
            same += s > 0 && bucket == route_bucket(name, length, salts[0]);
        }
        for (size_t i = 0; i < 100; i++)
            square += pow((double) classes[i] - SENDERS / 100.0, 2) / (SENDERS / 100.0);
        assert_true(square > 40 && square < 170);
    }
    assert_true(same < 100); /* 40 by chance */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_vectors), cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_escaped_sender), cmocka_unit_test(test_sticky_and_monotonic),
        cmocka_unit_test(test_uniform),
    };

    return cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
}
