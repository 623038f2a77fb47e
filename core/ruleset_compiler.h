/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset_compiler.h: the state of a compilation, shared by the reader of the lines (rules.c) and
 * by what makes a ruleset of them (ruleset.c).
 */
#ifndef ROUTE_RULESET_COMPILER_H
#define ROUTE_RULESET_COMPILER_H

#include "ruleset.h"
#include "snapshot.h"

/* Most bytes of a folded pattern: folding may lengthen it, but not without bound. */
#define ROUTE_MAX_FOLDED 256
/* Most blocks of memory that are needed only while compiling. */
#define ROUTE_MAX_PASSING 32

typedef struct route_compiler
{
    route_ruleset *ruleset;
    route_snapshot snapshot;
    const char *text;
    size_t length;
    route_error *error;

    /* Counted. */
    size_t config_count;
    size_t target_count;
    size_t domain_count;
    size_t pattern_count;
    bool ended;

    char *strings;            /* room for what the ruleset keeps of the snapshot */
    char *scratch;            /* room for the strings of one line */
    route_text *legacy_names; /* per domain, in the order of the lines */
    route_needle *needles[2]; /* by kind of pattern */
    size_t needle_count[2];
    size_t needle_bytes;
    size_t last_domain; /* index of that of the pattern before: patterns come in groups */

    void *passing[ROUTE_MAX_PASSING];
    size_t passing_count;
} route_compiler;

/* What is made of the lines of one kind. */
typedef enum route_pass
{
    ROUTE_PASS_COUNT,    /* every line counted, and its number of fields checked */
    ROUTE_PASS_NAMES,    /* config, targets and domains */
    ROUTE_PASS_PATTERNS, /* patterns: domains have their final places by now */
    ROUTE_PASS_MAX
} route_pass;

/* Reads all lines; false when one of them is not as it should be, then the error is filled. */
bool route_read_lines(route_compiler *self, route_pass pass);

/* Whether the pattern is sought at the beginning of a text alone. */
bool route_is_anchored(const route_pattern *pattern);

#endif
