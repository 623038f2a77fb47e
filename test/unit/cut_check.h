/* SPDX-License-Identifier: PostgreSQL
 *
 * cut_check.h: what must hold of any cut of any payload; for unit tests and fuzzers.
 */
#ifndef TEST_CUT_CHECK_H
#define TEST_CUT_CHECK_H

#include <stdlib.h>
#include <string.h>

#include "reference_json.h"
#include "route.h"

/* Which items are kept: the bits of `subset`, and of numbers made from it beyond the first 64; all
 * for the highest one. */
static inline bool cut_keeps(void *context, size_t item)
{
    uint64_t bits = *(const uint64_t *) context;

    if (item >= 64 && bits != UINT64_MAX && bits != 0)
        bits ^= (bits + item / 64) * UINT64_C(0x9e3779b97f4a7c15) >> 7;
    return bits >> item % 64 & 1;
}

typedef struct cut_check
{
    const char *bytes;
    uint64_t *subset;         /* of the payload; NULL for the cut */
    size_t kept;              /* so far */
    route_decision *expected; /* the kept items of the payload */
    const char *payload;
    const char *problem;
} cut_check;

static inline bool cut_same_decision(const route_decision *a, const route_decision *b)
{
    return a->target == b->target && a->fallback == b->fallback && a->domain == b->domain &&
           a->side == b->side && a->reason == b->reason && a->matched == b->matched &&
           a->bucket == b->bucket && a->kind == b->kind &&
           strcmp(a->from_number, b->from_number) == 0 &&
           strcmp(a->message_id, b->message_id) == 0 &&
           strcmp(a->message_type, b->message_type) == 0;
}

static inline bool cut_collect(void *context, size_t item, const route_decision *decision)
{
    cut_check *check = context;

    if (cut_keeps(check->subset, item))
        check->expected[check->kept++] = *decision;
    return true;
}

static inline bool cut_compare(void *context, size_t item, const route_decision *decision)
{
    cut_check *check = context;
    const route_decision *expected = &check->expected[item];
    size_t length = decision->range.end - decision->range.start;

    if (item >= check->kept)
        check->problem = "more items than were kept";
    else if (!cut_same_decision(decision, expected))
        check->problem = "an item is decided otherwise";
    else if ((decision->kind == ROUTE_ITEM_MESSAGE || decision->kind == ROUTE_ITEM_STATUS) &&
             (length != expected->range.end - expected->range.start ||
              memcmp(check->bytes + decision->range.start, check->payload + expected->range.start,
                     length) != 0))
        check->problem = "an item has other bytes";
    return check->problem == NULL;
}

/* What is left of the payload is its own bytes in their order. */
static inline bool cut_is_subsequence(const char *part, size_t part_length, const char *whole,
                                      size_t length)
{
    size_t at = 0;

    for (size_t i = 0; i < length && at < part_length; i++)
        at += part[at] == whole[i];
    return at == part_length;
}

static inline void cut_check_bytes(cut_check *check, size_t length, size_t cut_length, size_t count)
{
    if (cut_length > length)
        check->problem = "longer than the payload";
    else if (check->kept == 0 && cut_length != 0)
        check->problem = "something is left of nothing";
    else if (check->kept == count &&
             (cut_length != length || memcmp(check->bytes, check->payload, length) != 0))
        check->problem = "all is kept, yet not the same";
    else if (!cut_is_subsequence(check->bytes, cut_length, check->payload, length))
        check->problem = "bytes that are not the payload's";
    else if (check->kept > 0 && reference_is_json(check->payload, length) !=
                                    reference_is_json(check->bytes, cut_length))
        check->problem = "no JSON";
}

/* Cuts and checks; NULL when all is well, else what is wrong. */
static inline const char *cut_problem(const route_ruleset *ruleset, const void *payload,
                                      size_t length, uint64_t subset)
{
    static const route_text none = {NULL, 0};
    size_t count = route_count_items(payload, length);
    char *out = malloc(length + 1);
    cut_check check = {.bytes = out, .subset = &subset, .payload = payload};
    size_t cut_length;

    check.expected = malloc(count * sizeof(*check.expected));
    route_decide_items(ruleset, payload, length, none, NULL, cut_collect, &check);
    cut_length = route_cut(payload, length, cut_keeps, &subset, out);
    cut_check_bytes(&check, length, cut_length, count);
    if (check.problem == NULL && check.kept > 0 &&
        route_decide_items(ruleset, out, cut_length, none, NULL, cut_compare, &check) !=
            check.kept &&
        check.problem == NULL)
        check.problem = "fewer items than were kept";
    free(check.expected);
    free(out);
    return check.problem;
}

#endif
