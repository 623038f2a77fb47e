/* SPDX-License-Identifier: PostgreSQL
 *
 * match.c: words -> which patterns occur (one automaton for all of a kind).
 *
 * The text is folded on the fly: for plain ASCII the class of a byte is looked up directly, so the
 * loop is two loads a byte; only escapes and characters beyond ASCII are decoded. A run of blanks
 * counts as one because a state whose text ends in a blank stays itself on another; no state of the
 * folding has to be kept for that.
 */
#include "match.h"

#include <string.h>

/* Class of the blank; 0 is the class of all bytes that are in no needle. */
#define BLANK_CLASS 1
/* Bound of the full rows: 1 MiB. Below it, thus with any usual rules, every state has one. */
#define MAX_ROW_ENTRIES ((uint32_t) 1 << 18)

/* ---------------------------------------------------------------------------------------------
 * Matching
 * ------------------------------------------------------------------------------------------ */

static inline uint32_t reference(const route_automaton *automaton, uint32_t state)
{
    uint32_t flag = automaton->hit[state] != 0 ? ROUTE_MATCH_HIT : 0;

    if (state < automaton->row_count)
        return state * automaton->class_count | flag;
    return (automaton->row_entries + state - automaton->row_count) | flag;
}

static inline uint32_t state_of(const route_automaton *automaton, uint32_t ref)
{
    ref &= ~ROUTE_MATCH_HIT;
    if (ref < automaton->row_entries)
        return ref / automaton->class_count;
    return ref - automaton->row_entries + automaton->row_count;
}

/* The step from a state without a row. */
static uint32_t deep_step(const route_automaton *automaton, uint32_t state, uint8_t class)
{
    while (state >= automaton->row_count)
    {
        if (class == BLANK_CLASS && automaton->label[state] == BLANK_CLASS)
            return reference(automaton, state);
        for (uint32_t child = automaton->first_child[state];
             child < automaton->first_child[state + 1]; child++)
            if (automaton->label[child] == class)
                return reference(automaton, child);
        state = automaton->fail[state];
    }
    return automaton->rows[state * automaton->class_count + class];
}

/* Reports what ends in the state; position is that behind it. */
static __attribute__((noinline)) void report_hits(const route_automaton *automaton, uint32_t state,
                                                  uint32_t position, route_hits *hits)
{
    for (state = automaton->hit[state]; state != 0; state = automaton->hit[automaton->fail[state]])
    {
        uint32_t pattern = automaton->pattern[state];

        /* All that are further along were found together with it. */
        if (hits->seen[pattern / 64] >> pattern % 64 & 1)
            return;
        for (; pattern != ROUTE_NO_PATTERN; pattern = automaton->same[pattern])
        {
            hits->seen[pattern / 64] |= UINT64_C(1) << pattern % 64;
            hits->found(hits->context, pattern, position - automaton->depth[state]);
        }
    }
}

/* Where the reading of a text stands. */
typedef struct reading
{
    uint32_t ref; /* to the state, without ROUTE_MATCH_HIT */
    uint32_t position;
} reading;

/* Takes the step to a state and reports what ends there. A state that stays itself read another
 * blank of a run, or is inside of no pattern: no position is taken. The flag is taken off only
 * where it is set: each step waits for the one before it. */
static inline reading move(const route_automaton *automaton, reading from, uint32_t to,
                           route_hits *hits)
{
    if (__builtin_expect(to & ROUTE_MATCH_HIT, 0))
    {
        to &= ~ROUTE_MATCH_HIT;
        report_hits(automaton, state_of(automaton, to), from.position + (to != from.ref), hits);
    }
    return (reading){to, from.position + (to != from.ref)};
}

/* Takes the step for one folded byte, from whatever state. */
static reading step(const route_automaton *automaton, reading from, uint8_t class, route_hits *hits)
{
    return move(automaton, from, deep_step(automaton, state_of(automaton, from.ref), class), hits);
}

/* Reads plain ASCII for as long as states have rows; returns where it stopped. */
static inline const uint8_t *read_plain(const route_automaton *automaton, const uint8_t *p,
                                        const uint8_t *end, reading *at, route_hits *hits)
{
    const uint32_t *rows = automaton->rows;
    uint32_t row_entries = automaton->row_entries;
    reading now = *at;

    for (; p < end && now.ref < row_entries; p++)
    {
        uint8_t class = automaton->class_of_raw[*p];

        if (__builtin_expect(class == ROUTE_MATCH_DECODE, 0))
            break;
        now = move(automaton, now, rows[now.ref + class], hits);
    }
    *at = now;
    return p;
}

/* Reads the character at p, whatever it is. */
static const uint8_t *read_character(const route_automaton *automaton, const uint8_t *p,
                                     const uint8_t *end, reading *at, route_hits *hits)
{
    uint8_t folded[ROUTE_FOLD_MAX];
    uint32_t character;
    size_t count;

    p = route_json_character(p, end, &character);
    count = route_fold_character(character, folded);
    for (size_t i = 0; i < count; i++)
        *at = step(automaton, *at, automaton->class_of[folded[i]], hits);
    return p;
}

void route_hits_clear(route_hits *hits, size_t pattern_count)
{
    hits->position = 0;
    memset(hits->seen, 0, (pattern_count + 63) / 64 * sizeof(hits->seen[0]));
}

void route_match_string(const route_automaton *automaton, const route_document *document,
                        route_value string, route_hits *hits)
{
    const uint8_t *p = route_string_begin(document, string);
    const uint8_t *end = route_string_end(document, string);
    /* START and the blank have been read. */
    reading at = {automaton->start, hits->position + 2};

    if (automaton->state_count == 0)
        return;
    while ((p = read_plain(automaton, p, end, &at, hits)) < end)
        p = read_character(automaton, p, end, &at, hits);
    at = step(automaton, at, BLANK_CLASS, hits);
    at = step(automaton, at, automaton->class_of[ROUTE_FOLD_END], hits);
    hits->position = at.position;
}

/* ---------------------------------------------------------------------------------------------
 * Building
 * ------------------------------------------------------------------------------------------ */

/* The trie of the needles, in order of insertion; node 0 is the root. */
typedef struct needle_trie
{
    uint32_t count;
    uint32_t *child;   /* first child, 0: none */
    uint32_t *sibling; /* next child of the same parent, 0: none */
    uint32_t *pattern;
    uint32_t *order; /* node of each state */
    uint8_t *label;
} needle_trie;

/* Bytes in needles, plus the root and a blank. */
static size_t count_nodes(const route_match_builder *builder)
{
    size_t count = 2;

    for (size_t i = 0; i < builder->needle_count; i++)
        count += builder->needles[i].length;
    return count;
}

static bool allocate_trie(needle_trie *trie, const route_match_builder *builder)
{
    size_t count = count_nodes(builder);

    trie->child = builder->passing(builder->context, count * sizeof(uint32_t));
    trie->sibling =
        trie->child == NULL ? NULL : builder->passing(builder->context, count * sizeof(uint32_t));
    trie->pattern =
        trie->sibling == NULL ? NULL : builder->passing(builder->context, count * sizeof(uint32_t));
    trie->order =
        trie->pattern == NULL ? NULL : builder->passing(builder->context, count * sizeof(uint32_t));
    trie->label =
        trie->order == NULL ? NULL : builder->passing(builder->context, count * sizeof(uint8_t));
    return trie->label != NULL;
}

static uint32_t add_node(needle_trie *trie, uint8_t label)
{
    uint32_t node = trie->count++;

    trie->child[node] = 0;
    trie->sibling[node] = 0;
    trie->pattern[node] = ROUTE_NO_PATTERN;
    trie->label[node] = label;
    return node;
}

static uint32_t child_of(needle_trie *trie, uint32_t node, uint8_t label)
{
    uint32_t child = trie->child[node];

    while (child != 0 && trie->label[child] != label)
        child = trie->sibling[child];
    if (child == 0)
    {
        child = add_node(trie, label);
        trie->sibling[child] = trie->child[node];
        trie->child[node] = child;
    }
    return child;
}

/* Appends the pattern to those of the node, unless one of its group is there. */
static void add_pattern(route_automaton *automaton, needle_trie *trie, uint32_t node,
                        uint32_t pattern, const route_match_builder *builder)
{
    uint32_t *link = &trie->pattern[node];

    while (*link != ROUTE_NO_PATTERN)
    {
        if (builder->same_group(builder->context, *link, pattern))
            return;
        link = &automaton->same[*link];
    }
    *link = pattern;
    automaton->same[pattern] = ROUTE_NO_PATTERN;
}

static void insert_needles(route_automaton *automaton, needle_trie *trie,
                           const route_match_builder *builder)
{
    trie->count = 0;
    add_node(trie, 0);
    child_of(trie, 0, BLANK_CLASS); /* the state from which any word can begin */
    for (size_t i = 0; i < builder->needle_count; i++)
    {
        const route_needle *needle = &builder->needles[i];
        uint32_t node = 0;

        for (uint32_t k = 0; k < needle->length; k++)
            node = child_of(trie, node, automaton->class_of[needle->bytes[k]]);
        add_pattern(automaton, trie, node, needle->pattern, builder);
    }
}

/* Gives each byte in needles a class of its own. Valid UTF-8 has fewer than 255 byte values. */
static void assign_classes(route_automaton *automaton, const route_match_builder *builder)
{
    uint32_t count = BLANK_CLASS + 1;

    memset(automaton->class_of, 0, sizeof(automaton->class_of));
    automaton->class_of[ROUTE_FOLD_BLANK] = BLANK_CLASS;
    for (size_t i = 0; i < builder->needle_count; i++)
        for (uint32_t k = 0; k < builder->needles[i].length; k++)
        {
            uint8_t byte = builder->needles[i].bytes[k];

            if (automaton->class_of[byte] == 0)
                automaton->class_of[byte] = (uint8_t) count++;
        }
    automaton->class_count = count;
    for (unsigned int byte = 0; byte < 256; byte++)
        automaton->class_of_raw[byte] = byte == '\\' || byte >= 0x80
                                            ? ROUTE_MATCH_DECODE
                                            : automaton->class_of[route_fold_ascii((uint8_t) byte)];
}

/* Numbers the states breadth first. */
static void number_states(route_automaton *automaton, needle_trie *trie)
{
    uint32_t count = 1;

    trie->order[0] = 0;
    automaton->depth[0] = 0;
    for (uint32_t state = 0; state < trie->count; state++)
    {
        uint32_t node = trie->order[state];

        automaton->label[state] = trie->label[node];
        automaton->pattern[state] = trie->pattern[node];
        automaton->first_child[state] = count;
        for (uint32_t child = trie->child[node]; child != 0; child = trie->sibling[child])
        {
            automaton->depth[count] = automaton->depth[state] + 1;
            trie->order[count++] = child;
        }
    }
    automaton->first_child[trie->count] = count;
}

/* The row of a state: that of its longest suffix, but for its own children. */
static void fill_row(route_automaton *automaton, uint32_t state)
{
    uint32_t *row = automaton->rows + (size_t) state * automaton->class_count;

    if (state == 0)
        memset(row, 0, automaton->class_count * sizeof(*row));
    else
        memcpy(row, automaton->rows + (size_t) automaton->fail[state] * automaton->class_count,
               automaton->class_count * sizeof(*row));
    for (uint32_t child = automaton->first_child[state]; child < automaton->first_child[state + 1];
         child++)
        row[automaton->label[child]] = reference(automaton, child);
    if (automaton->label[state] == BLANK_CLASS)
        row[BLANK_CLASS] = reference(automaton, state);
}

/* Algorithms 3 and 4 of the paper, state by state in breadth-first order: when a state is reached,
 * the fail of it and the rows of all before it are known. */
static void connect_states(route_automaton *automaton)
{
    automaton->fail[0] = 0;
    automaton->hit[0] = 0;
    for (uint32_t state = 0; state < automaton->state_count; state++)
    {
        for (uint32_t child = automaton->first_child[state];
             child < automaton->first_child[state + 1]; child++)
        {
            uint32_t fail = 0;

            if (state != 0)
                fail = state_of(automaton, deep_step(automaton, automaton->fail[state],
                                                     automaton->label[child]));
            automaton->fail[child] = fail;
            automaton->hit[child] =
                automaton->pattern[child] != ROUTE_NO_PATTERN ? child : automaton->hit[fail];
        }
        if (state < automaton->row_count)
            fill_row(automaton, state);
    }
}

static void *allocate_words(const route_match_builder *builder, bool *enough, size_t count)
{
    void *memory = NULL;

    if (*enough)
        memory = builder->lasting(builder->context, count * sizeof(uint32_t));
    if (memory == NULL)
        *enough = false;
    return memory;
}

static bool allocate_states(route_automaton *automaton, const route_match_builder *builder)
{
    size_t count = automaton->state_count;
    bool enough = true;

    automaton->row_count = MAX_ROW_ENTRIES / automaton->class_count;
    if (automaton->row_count > count)
        automaton->row_count = (uint32_t) count;
    automaton->row_entries = automaton->row_count * automaton->class_count;
    automaton->rows = allocate_words(builder, &enough, automaton->row_entries);
    automaton->first_child = allocate_words(builder, &enough, count + 1);
    automaton->fail = allocate_words(builder, &enough, count);
    automaton->hit = allocate_words(builder, &enough, count);
    automaton->pattern = allocate_words(builder, &enough, count);
    automaton->depth = allocate_words(builder, &enough, count);
    if (enough)
        automaton->label = builder->lasting(builder->context, count);
    return enough && automaton->label != NULL;
}

bool route_match_build(route_automaton *automaton, const route_match_builder *builder)
{
    needle_trie trie;
    bool enough = true;
    uint32_t ref;

    memset(automaton, 0, sizeof(*automaton));
    if (builder->needle_count == 0)
        return true;
    assign_classes(automaton, builder);
    automaton->same = allocate_words(builder, &enough, builder->pattern_count);
    if (!enough || !allocate_trie(&trie, builder))
        return false;
    insert_needles(automaton, &trie, builder);
    automaton->state_count = trie.count;
    if (!allocate_states(automaton, builder))
        return false;
    number_states(automaton, &trie);
    connect_states(automaton);
    ref = automaton->rows[automaton->class_of[ROUTE_FOLD_START]] & ~ROUTE_MATCH_HIT;
    automaton->start = deep_step(automaton, state_of(automaton, ref), BLANK_CLASS);
    return true;
}
