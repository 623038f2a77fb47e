/* SPDX-License-Identifier: PostgreSQL
 *
 * match.h: which patterns occur in a text.
 *
 * All patterns of a kind are one automaton (A. V. Aho and M. J. Corasick, Efficient string
 * matching, CACM 18(6), 1975), so a text is read once whatever their number. Patterns are numbered
 * by the caller.
 */
#ifndef ROUTE_MATCH_H
#define ROUTE_MATCH_H

#include "fold.h"

/* A pattern as it is sought: folded text, framed as fold.h says. */
typedef struct route_needle
{
    const uint8_t *bytes;
    uint32_t length;
    uint32_t pattern;
} route_needle;

/*
 * States are numbered breadth first, so the shallow ones, where a text spends its time, come first
 * and have a full row of transitions. Deeper ones (only where rules are very many) have their
 * children alone and fall back along `fail`.
 *
 * A reference to a state is the offset of its row in `rows`, or row_entries plus the number of
 * states that it is behind the last one with a row. ROUTE_MATCH_HIT in it: a pattern ends there.
 */
#define ROUTE_MATCH_HIT UINT32_C(0x80000000)

typedef struct route_automaton
{
    uint32_t state_count;
    uint32_t class_count;
    uint32_t row_count;
    uint32_t row_entries; /* row_count * class_count */
    uint32_t start;       /* reference to the state behind START and a blank */
    /* Class of a folded byte, 0 for all that are in no needle. */
    uint8_t class_of[256];
    /* Class of what a byte of a JSON string folds to; ROUTE_MATCH_DECODE: look closer. */
    uint8_t class_of_raw[256];
    uint32_t *rows;
    uint32_t *first_child; /* [state_count + 1]; the children of a state are numbered in a row */
    uint8_t *label;        /* class by which a state is entered */
    uint32_t *fail;        /* state of the longest proper suffix */
    uint32_t *hit;         /* nearest state with patterns: itself, or along fail; 0: none */
    uint32_t *pattern;     /* first pattern that ends in a state, or ROUTE_NO_PATTERN */
    uint32_t *same;        /* [pattern count] next pattern with the same needle */
    uint32_t *depth;       /* length of a state's text in bytes */
} route_automaton;

#define ROUTE_MATCH_DECODE 255
#define ROUTE_NO_PATTERN UINT32_MAX

/* Patterns found so far. Only as many words of `seen` are cleared as there are patterns. */
typedef struct route_hits
{
    uint32_t position; /* folded bytes read; exact between two that are in the same pattern */
    /* Called for each pattern when it is found for the first time; start is the position of its
     * first byte. */
    void (*found)(void *context, uint32_t pattern, uint32_t start);
    void *context;
    uint64_t seen[ROUTE_MAX_PATTERNS / 64];
} route_hits;

void route_hits_clear(route_hits *hits, size_t pattern_count);

/* Seeks the patterns in one string of a document, as one text. */
void route_match_string(const route_automaton *automaton, const route_document *document,
                        route_value string, route_hits *hits);

/* Memory for the automaton, from whoever compiles; NULL when there is none. */
typedef void *(*route_match_allocate)(void *context, size_t size);

/* Builds the automaton of needles with pattern numbers below pattern_count. `lasting` memory is
 * the automaton's, `passing` memory is not needed when it returns. A needle's pattern is left out
 * when `same_group(context, a, b)` says that one before it with the same needle stands for it.
 * Returns false without memory. */
typedef struct route_match_builder
{
    const route_needle *needles;
    size_t needle_count;
    size_t pattern_count;
    route_match_allocate lasting;
    route_match_allocate passing;
    bool (*same_group)(void *context, uint32_t a, uint32_t b);
    void *context;
} route_match_builder;

bool route_match_build(route_automaton *automaton, const route_match_builder *builder);

#endif
