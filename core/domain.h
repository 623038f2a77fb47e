/* SPDX-License-Identifier: PostgreSQL
 *
 * domain.h: which domain a message speaks of.
 */
#ifndef ROUTE_DOMAIN_H
#define ROUTE_DOMAIN_H

#include "message.h"
#include "ruleset.h"

#define ROUTE_NO_MATCH (-1)

/* The domain whose button pattern fits the id best, or NULL; *matched becomes that pattern. */
const route_domain *route_domain_of_button(const route_ruleset *ruleset,
                                           const route_document *document, route_value id,
                                           int32_t *matched);

/* What keywords were found, per domain. Only as many entries are written as there are domains. */
typedef struct route_tally
{
    const route_ruleset *ruleset;
    uint16_t count[ROUTE_MAX_DOMAINS];   /* of distinct patterns */
    uint32_t start[ROUTE_MAX_DOMAINS];   /* where the first of them in the text begins */
    uint32_t pattern[ROUTE_MAX_DOMAINS]; /* the first of them */
} route_tally;

/* The domain of most keywords in the texts, or NULL; *matched becomes its first one. */
const route_domain *route_domain_of_texts(const route_ruleset *ruleset,
                                          const route_document *document,
                                          const route_message_text *text, route_tally *tally,
                                          int32_t *matched);

#endif
