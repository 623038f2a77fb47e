/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset.h: the rules as they are compiled.
 */
#ifndef ROUTE_RULESET_H
#define ROUTE_RULESET_H

#include "match.h"
#include "route.h"

/* Most blocks of memory that one ruleset holds as long as it lives. */
#define ROUTE_RULESET_BLOCKS 64

typedef enum route_pattern_kind
{
    ROUTE_PATTERN_KEYWORD,
    ROUTE_PATTERN_BUTTON,
} route_pattern_kind;

/* In rising order of preference for buttons. */
typedef enum route_pattern_match
{
    ROUTE_MATCH_WORD,
    ROUTE_MATCH_PREFIX,
    ROUTE_MATCH_EXACT,
} route_pattern_match;

typedef struct route_pattern
{
    route_text text; /* as written */
    uint16_t domain;
    uint8_t kind;
    uint8_t match;
    uint16_t needle_length;
} route_pattern;

struct route_ruleset
{
    route_allocator allocator;
    void *blocks[ROUTE_RULESET_BLOCKS];
    size_t block_count;

    route_config config;
    const route_target *unified;
    const route_target *default_target;
    route_target *targets;
    route_domain *domains;
    route_pattern *patterns;
    size_t target_count;
    size_t domain_count;
    size_t pattern_count;
    route_automaton keywords;
    route_automaton buttons;
};

/* Order of names: by bytes, then by length. */
int route_compare_text(route_text a, route_text b);

/* Domain whose legacy target has this name, or NULL: a protected one before all others, since its
 * function must never be left, else the preferred one. */
const route_domain *route_ruleset_domain_of_target(const route_ruleset *ruleset, route_text name);

#endif
