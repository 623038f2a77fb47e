/* SPDX-License-Identifier: PostgreSQL
 *
 * domain.c: pattern hits -> the domain they speak for.
 *
 * A pressed button says what its owner made it for, so the best pattern decides: exact before
 * prefix, the longer before the shorter. Free text is counted: the domain of most distinct patterns
 * wins. Ties go to the preferred domain, that is the one with the lower index.
 */
#include "domain.h"

#include <string.h>

typedef struct best_button
{
    const route_ruleset *ruleset;
    const route_pattern *pattern; /* NULL: none yet */
} best_button;

static bool is_better(const route_pattern *a, const route_pattern *b)
{
    if (a->match != b->match)
        return a->match > b->match;
    if (a->needle_length != b->needle_length)
        return a->needle_length > b->needle_length;
    return a->domain < b->domain;
}

static void weigh_button(void *context, uint32_t pattern, uint32_t start)
{
    best_button *best = context;
    const route_pattern *candidate = &best->ruleset->patterns[pattern];

    (void) start;
    if (best->pattern == NULL || is_better(candidate, best->pattern))
        best->pattern = candidate;
}

const route_domain *route_domain_of_button(const route_ruleset *ruleset,
                                           const route_document *document, route_value id,
                                           int32_t *matched)
{
    best_button best = {ruleset, NULL};
    route_hits hits;

    route_hits_clear(&hits, ruleset->pattern_count);
    hits.found = weigh_button;
    hits.context = &best;
    route_match_string(&ruleset->buttons, document, id, &hits);
    if (best.pattern == NULL)
        return NULL;
    *matched = (int32_t) (best.pattern - ruleset->patterns);
    return &ruleset->domains[best.pattern->domain];
}

static void count_keyword(void *context, uint32_t pattern, uint32_t start)
{
    route_tally *tally = context;
    uint16_t domain = tally->ruleset->patterns[pattern].domain;

    if (tally->count[domain]++ > 0 && tally->start[domain] <= start)
        return;
    tally->start[domain] = start;
    tally->pattern[domain] = pattern;
}

const route_domain *route_domain_of_texts(const route_ruleset *ruleset,
                                          const route_document *document,
                                          const route_message_text *text, route_tally *tally,
                                          int32_t *matched)
{
    size_t best = 0;
    route_hits hits;

    tally->ruleset = ruleset;
    memset(tally->count, 0, ruleset->domain_count * sizeof(tally->count[0]));
    route_hits_clear(&hits, ruleset->pattern_count);
    hits.found = count_keyword;
    hits.context = tally;
    for (size_t i = 0; i < text->count; i++)
        route_match_string(&ruleset->keywords, document, text->texts[i], &hits);
    for (size_t i = 1; i < ruleset->domain_count; i++)
        if (tally->count[i] > tally->count[best])
            best = i;
    if (ruleset->domain_count == 0 || tally->count[best] == 0)
        return NULL;
    *matched = (int32_t) tally->pattern[best];
    return &ruleset->domains[best];
}
