/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset.c: snapshot text -> compiled rules (the only place that allocates).
 *
 * The snapshot is read three times: to count, so that every array is allocated once at its size;
 * for config, targets and domains; and, once domains have their final order, for patterns. Every
 * block is noted, so that whatever fails, all of them are given back.
 */
#include "count_of.h"
#include "ruleset_compiler.h"

#include <string.h>

int route_compare_text(route_text a, route_text b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);

    if (order != 0)
        return order;
    return a.length < b.length ? -1 : a.length > b.length;
}

/* ---------------------------------------------------------------------------------------------
 * Memory
 * ------------------------------------------------------------------------------------------ */

static void *note(const route_allocator *allocator, void **blocks, size_t *count, size_t most,
                  size_t size)
{
    void *memory = NULL;

    if (*count < most)
        memory = allocator->allocate(allocator->context, size == 0 ? 1 : size);
    if (memory != NULL)
        blocks[(*count)++] = memory;
    return memory;
}

/* Memory that lives as long as the ruleset. */
static void *allocate_lasting(void *context, size_t size)
{
    route_ruleset *ruleset = ((route_compiler *) context)->ruleset;

    return note(&ruleset->allocator, ruleset->blocks, &ruleset->block_count, ROUTE_RULESET_BLOCKS,
                size);
}

/* Memory until the compilation ends. */
static void *allocate_passing(void *context, size_t size)
{
    route_compiler *self = context;

    return note(&self->ruleset->allocator, self->passing, &self->passing_count, ROUTE_MAX_PASSING,
                size);
}

static void release_blocks(const route_allocator *allocator, void **blocks, size_t count)
{
    if (allocator->release != NULL)
        while (count > 0)
            allocator->release(allocator->context, blocks[--count]);
}

void route_ruleset_free(route_ruleset *ruleset)
{
    route_allocator allocator;

    if (ruleset == NULL)
        return;
    allocator = ruleset->allocator;
    release_blocks(&allocator, ruleset->blocks, ruleset->block_count);
    if (allocator.release != NULL)
        allocator.release(allocator.context, ruleset);
}

static bool out_of_memory(route_compiler *self)
{
    return route_fail(self->error, 0, ROUTE_OUT_OF_MEMORY);
}

/* ---------------------------------------------------------------------------------------------
 * Compilation
 * ------------------------------------------------------------------------------------------ */

static bool check_text(route_compiler *self)
{
    if (!route_is_utf8(self->text, self->length))
        return route_fail(self->error, 0, "the snapshot is not UTF-8");
    if (memchr(self->text, '\0', self->length) != NULL)
        return route_fail(self->error, 0, "the snapshot contains a NUL");
    return true;
}

static bool check_counts(route_compiler *self)
{
    if (!self->ended)
        return route_fail(self->error, self->snapshot.line,
                          "the snapshot is cut off: its last line is not \"end\"");
    if (self->config_count == 0)
        return route_fail(self->error, 0, "there is no config line");
    return true;
}

static bool allocate_arrays(route_compiler *self)
{
    route_ruleset *ruleset = self->ruleset;
    /* Every domain, unified and default may name a target without a line. */
    size_t targets = self->target_count + self->domain_count + 2;

    return (self->strings = allocate_lasting(self, self->length)) != NULL &&
           (self->scratch = allocate_passing(self, self->length)) != NULL &&
           (ruleset->targets = allocate_lasting(self, targets * sizeof(route_target))) != NULL &&
           (ruleset->domains = allocate_lasting(self, self->domain_count * sizeof(route_domain))) !=
               NULL &&
           (ruleset->patterns =
                allocate_lasting(self, self->pattern_count * sizeof(route_pattern))) != NULL &&
           (self->legacy_names = allocate_passing(self, self->domain_count * sizeof(route_text))) !=
               NULL;
}

/* Adds a target with defaults when the name has no line. */
static bool ensure_target(route_compiler *self, route_text name)
{
    route_ruleset *ruleset = self->ruleset;

    for (size_t i = 0; i < ruleset->target_count; i++)
        if (route_compare_text(ruleset->targets[i].name, name) == 0)
            return true;
    if (ruleset->target_count == ROUTE_MAX_TARGETS)
        return route_fail(self->error, 0, "too many targets");
    ruleset->targets[ruleset->target_count++] =
        (route_target){.name = name, .fallback_policy = ROUTE_FALLBACK_ERROR};
    return true;
}

/* Sorted by insertion: the lines usually come in order, and qsort may allocate. */
static void sort_targets(route_ruleset *ruleset)
{
    for (size_t i = 1; i < ruleset->target_count; i++)
    {
        route_target target = ruleset->targets[i];
        size_t k = i;

        for (; k > 0 && route_compare_text(ruleset->targets[k - 1].name, target.name) > 0; k--)
            ruleset->targets[k] = ruleset->targets[k - 1];
        ruleset->targets[k] = target;
    }
    for (size_t i = 0; i < ruleset->target_count; i++)
        ruleset->targets[i].index = (uint32_t) i;
}

static bool is_preferred(const route_domain *a, const route_domain *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    return route_compare_text(a->name, b->name) < 0;
}

static void sort_domains(route_ruleset *ruleset)
{
    for (size_t i = 1; i < ruleset->domain_count; i++)
    {
        route_domain domain = ruleset->domains[i];
        size_t k = i;

        for (; k > 0 && is_preferred(&domain, &ruleset->domains[k - 1]); k--)
            ruleset->domains[k] = ruleset->domains[k - 1];
        ruleset->domains[k] = domain;
    }
}

/* Ties names to targets and gives targets and domains their final order. */
static bool resolve_names(route_compiler *self)
{
    route_ruleset *ruleset = self->ruleset;

    if (!ensure_target(self, ruleset->config.unified_target) ||
        !ensure_target(self, ruleset->config.default_target))
        return false;
    for (size_t i = 0; i < ruleset->domain_count; i++)
        if (!ensure_target(self, self->legacy_names[i]))
            return false;
    sort_targets(ruleset);
    sort_domains(ruleset);
    ruleset->unified = route_ruleset_find_target(ruleset, ruleset->config.unified_target);
    ruleset->default_target = route_ruleset_find_target(ruleset, ruleset->config.default_target);
    for (size_t i = 0; i < ruleset->domain_count; i++)
    {
        route_domain *domain = &ruleset->domains[i];

        domain->legacy = route_ruleset_find_target(ruleset, self->legacy_names[domain->index]);
        domain->index = (uint32_t) i;
        if (domain->percentage > ruleset->config.percentage)
            domain->percentage = ruleset->config.percentage;
    }
    return true;
}

/* The pattern as it is sought: its words, framed by how they have to match. */
static void write_needle(const route_pattern *pattern, uint8_t *to)
{
    if (route_is_anchored(pattern))
        *to++ = ROUTE_FOLD_START;
    *to++ = ROUTE_FOLD_BLANK;
    to += route_fold_words(pattern->text.data, pattern->text.length, to, ROUTE_MAX_FOLDED);
    if (pattern->match != ROUTE_MATCH_PREFIX)
        *to++ = ROUTE_FOLD_BLANK;
    if (pattern->match == ROUTE_MATCH_EXACT)
        *to = ROUTE_FOLD_END;
}

static bool write_needles(route_compiler *self)
{
    route_ruleset *ruleset = self->ruleset;
    /* Folding writes a blank behind the words before it takes it back. */
    uint8_t *bytes = allocate_passing(self, self->needle_bytes + 1);
    size_t counts[2] = {0, 0};

    for (size_t kind = 0; kind < 2; kind++)
        if ((self->needles[kind] =
                 allocate_passing(self, self->needle_count[kind] * sizeof(route_needle))) == NULL)
            return false;
    if (bytes == NULL)
        return false;
    for (size_t i = 0; i < ruleset->pattern_count; i++)
    {
        const route_pattern *pattern = &ruleset->patterns[i];

        write_needle(pattern, bytes);
        self->needles[pattern->kind][counts[pattern->kind]++] =
            (route_needle){bytes, pattern->needle_length, (uint32_t) i};
        bytes += pattern->needle_length;
    }
    return true;
}

/* Two spellings of one thing in one domain are one pattern. */
static bool same_domain(void *context, uint32_t a, uint32_t b)
{
    const route_pattern *patterns = ((route_compiler *) context)->ruleset->patterns;

    return patterns[a].domain == patterns[b].domain;
}

static bool build_automata(route_compiler *self)
{
    route_automaton *automata[] = {&self->ruleset->keywords, &self->ruleset->buttons};

    for (size_t kind = 0; kind < ROUTE_COUNT_OF(automata); kind++)
    {
        route_match_builder builder = {.needles = self->needles[kind],
                                       .needle_count = self->needle_count[kind],
                                       .pattern_count = self->ruleset->pattern_count,
                                       .lasting = allocate_lasting,
                                       .passing = allocate_passing,
                                       .same_group = same_domain,
                                       .context = self};

        if (!route_match_build(automata[kind], &builder))
            return false;
    }
    return true;
}

static bool compile(route_compiler *self)
{
    if (!check_text(self) || !route_read_lines(self, ROUTE_PASS_COUNT) || !check_counts(self))
        return false;
    if (!allocate_arrays(self))
        return out_of_memory(self);
    if (!route_read_lines(self, ROUTE_PASS_NAMES) || !resolve_names(self) ||
        !route_read_lines(self, ROUTE_PASS_PATTERNS))
        return false;
    if (!write_needles(self) || !build_automata(self))
        return out_of_memory(self);
    return true;
}

route_ruleset *route_ruleset_compile(const char *snapshot, size_t length,
                                     const route_allocator *allocator, route_error *error)
{
    route_compiler self = {
        .text = snapshot == NULL ? "" : snapshot, .length = length, .error = error};
    bool compiled;

    self.ruleset = allocator->allocate(allocator->context, sizeof(*self.ruleset));
    if (self.ruleset == NULL)
    {
        out_of_memory(&self);
        return NULL;
    }
    memset(self.ruleset, 0, sizeof(*self.ruleset));
    self.ruleset->allocator = *allocator;
    compiled = compile(&self);
    release_blocks(allocator, self.passing, self.passing_count);
    if (compiled)
        return self.ruleset;
    route_ruleset_free(self.ruleset);
    return NULL;
}

/* ---------------------------------------------------------------------------------------------
 * Looking things up
 * ------------------------------------------------------------------------------------------ */

const route_config *route_ruleset_config(const route_ruleset *ruleset)
{
    return &ruleset->config;
}

size_t route_ruleset_target_count(const route_ruleset *ruleset)
{
    return ruleset->target_count;
}

const route_target *route_ruleset_target(const route_ruleset *ruleset, size_t index)
{
    return index < ruleset->target_count ? &ruleset->targets[index] : NULL;
}

const route_target *route_ruleset_find_target(const route_ruleset *ruleset, route_text name)
{
    size_t low = 0;
    size_t high = ruleset->target_count;

    while (low < high)
    {
        size_t middle = low + (high - low) / 2;
        int order = route_compare_text(ruleset->targets[middle].name, name);

        if (order == 0)
            return &ruleset->targets[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

size_t route_ruleset_domain_count(const route_ruleset *ruleset)
{
    return ruleset->domain_count;
}

const route_domain *route_ruleset_domain(const route_ruleset *ruleset, size_t index)
{
    return index < ruleset->domain_count ? &ruleset->domains[index] : NULL;
}

const route_domain *route_ruleset_find_domain(const route_ruleset *ruleset, route_text name)
{
    for (size_t i = 0; i < ruleset->domain_count; i++)
        if (route_compare_text(ruleset->domains[i].name, name) == 0)
            return &ruleset->domains[i];
    return NULL;
}

const route_domain *route_ruleset_domain_of_target(const route_ruleset *ruleset, route_text name)
{
    const route_domain *found = NULL;

    for (size_t i = 0; i < ruleset->domain_count; i++)
    {
        const route_domain *domain = &ruleset->domains[i];

        if (route_compare_text(domain->legacy->name, name) != 0)
            continue;
        if (domain->is_protected)
            return domain;
        if (found == NULL)
            found = domain;
    }
    return found;
}

size_t route_ruleset_pattern_count(const route_ruleset *ruleset)
{
    return ruleset->pattern_count;
}

route_text route_ruleset_pattern(const route_ruleset *ruleset, size_t index)
{
    return index < ruleset->pattern_count ? ruleset->patterns[index].text : (route_text){NULL, 0};
}
