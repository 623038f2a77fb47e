/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset.c: snapshot text -> compiled rules (the only place that allocates).
 *
 * The snapshot is read three times: to count, so that every array is allocated once at its size;
 * for config, targets and domains; and, once domains have their final order, for patterns. Every
 * block is noted, so that whatever fails, all of them are given back.
 */
#include "ruleset.h"
#include "snapshot.h"

#include <string.h>

#define FIRST_LINE "webhook_routing"
#define FORMAT "1"
#define UUID_LENGTH 36
/* Most bytes of a folded pattern: folding may lengthen it, but not without bound. */
#define MAX_WORDS 256
#define MAX_PASSING 32
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef struct compiler
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

    void *passing[MAX_PASSING];
    size_t passing_count;
} compiler;

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
    route_ruleset *ruleset = ((compiler *) context)->ruleset;

    return note(&ruleset->allocator, ruleset->blocks, &ruleset->block_count, ROUTE_RULESET_BLOCKS,
                size);
}

/* Memory until the compilation ends. */
static void *allocate_passing(void *context, size_t size)
{
    compiler *self = context;

    return note(&self->ruleset->allocator, self->passing, &self->passing_count, MAX_PASSING, size);
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

static bool out_of_memory(compiler *self)
{
    return route_fail(self->error, 0, "out of memory");
}

/* ---------------------------------------------------------------------------------------------
 * Fields
 * ------------------------------------------------------------------------------------------ */

static bool fail(const compiler *self, const char *sentence)
{
    return route_fail(self->error, self->snapshot.line, "%s", sentence);
}

static int compare_text(route_text a, route_text b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);

    if (order != 0)
        return order;
    return a.length < b.length ? -1 : a.length > b.length;
}

static bool has_control_character(route_text text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char) text.data[i] < ' ' || text.data[i] == 0x7f)
            return true;
    return false;
}

/* A name, copied to the arena. */
static bool read_name(const compiler *self, size_t field, char **arena, route_text *name)
{
    if (route_field_is_null(self->snapshot.fields[field]))
        return fail(self, "a name is missing");
    if (!route_field_text(&self->snapshot, field, arena, name))
        return false;
    if (name->length == 0 || name->length > ROUTE_MAX_NAME_LENGTH)
        return fail(self, "a name must have 1 to 128 bytes");
    if (has_control_character(*name))
        return fail(self, "a name must not contain control characters");
    return true;
}

static bool is_uuid(route_text text)
{
    if (text.length != UUID_LENGTH)
        return false;
    for (size_t i = 0; i < UUID_LENGTH; i++)
    {
        char c = text.data[i];

        if (i == 8 || i == 13 || i == 18 || i == 23)
        {
            if (c != '-')
                return false;
        }
        else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------
 * Lines
 * ------------------------------------------------------------------------------------------ */

static bool read_config(compiler *self)
{
    route_config *config = &self->ruleset->config;
    const route_snapshot *snapshot = &self->snapshot;
    int64_t salt;

    if (!route_field_text(snapshot, 1, &self->strings, &config->id))
        return false;
    if (!is_uuid(config->id))
        return fail(self, "the config's id must be a uuid");
    if (!route_field_integer(snapshot, 2, "the version", INT64_MIN, INT64_MAX, &config->version) ||
        !route_field_percentage(snapshot, 3, &config->percentage) ||
        !route_field_boolean(snapshot, 4, "enabled", &config->enabled) ||
        !route_field_integer(snapshot, 5, "the salt", INT64_MIN, INT64_MAX, &salt) ||
        !read_name(self, 6, &self->strings, &config->unified_target) ||
        !read_name(self, 7, &self->strings, &config->default_target))
        return false;
    config->salt = (uint64_t) salt;
    return true;
}

static bool read_target(compiler *self)
{
    static const char *const policies[] = {"connect", "error", "any"};
    route_target *target = &self->ruleset->targets[self->ruleset->target_count];
    const route_snapshot *snapshot = &self->snapshot;
    int64_t timeout = 0;
    size_t policy;

    *target = (route_target){0};
    if (!read_name(self, 1, &self->strings, &target->name))
        return false;
    for (size_t i = 0; i < self->ruleset->target_count; i++)
        if (compare_text(self->ruleset->targets[i].name, target->name) == 0)
            return fail(self, "the target has a line already");
    if (!route_field_is_null(snapshot->fields[2]))
    {
        if (!route_field_text(snapshot, 2, &self->strings, &target->url))
            return false;
        if (target->url.length == 0 || has_control_character(target->url))
            return fail(self, "a URL must not be empty nor contain control characters");
    }
    if (!route_field_is_null(snapshot->fields[3]) &&
        !route_field_integer(snapshot, 3, "the timeout", 1, UINT32_MAX, &timeout))
        return false;
    target->timeout_ms = (uint32_t) timeout;
    if (!route_field_word(snapshot, 4, "the fallback policy", policies, COUNT_OF(policies),
                          &policy) ||
        !route_field_boolean(snapshot, 5, "retired", &target->retired))
        return false;
    target->fallback_policy = (route_fallback_policy) policy;
    self->ruleset->target_count++;
    return true;
}

static bool read_domain(compiler *self)
{
    route_domain *domain = &self->ruleset->domains[self->ruleset->domain_count];
    const route_snapshot *snapshot = &self->snapshot;
    int64_t priority;

    *domain = (route_domain){.index = (uint32_t) self->ruleset->domain_count,
                             .percentage = ROUTE_BUCKETS};
    if (!read_name(self, 1, &self->strings, &domain->name))
        return false;
    for (size_t i = 0; i < self->ruleset->domain_count; i++)
        if (compare_text(self->ruleset->domains[i].name, domain->name) == 0)
            return fail(self, "the domain has a line already");
    if (!read_name(self, 2, &self->strings, &self->legacy_names[domain->index]) ||
        !route_field_boolean(snapshot, 3, "protected", &domain->is_protected))
        return false;
    if (!route_field_is_null(snapshot->fields[4]) &&
        !route_field_percentage(snapshot, 4, &domain->percentage))
        return false;
    if (!route_field_integer(snapshot, 5, "the priority", INT32_MIN, INT32_MAX, &priority) ||
        !route_field_boolean(snapshot, 6, "enrolled", &domain->enrolled))
        return false;
    domain->priority = (int32_t) priority;
    self->ruleset->domain_count++;
    return true;
}

static const route_domain *find_domain(const route_ruleset *ruleset, route_text name, size_t hint)
{
    if (hint < ruleset->domain_count && compare_text(ruleset->domains[hint].name, name) == 0)
        return &ruleset->domains[hint];
    for (size_t i = 0; i < ruleset->domain_count; i++)
        if (compare_text(ruleset->domains[i].name, name) == 0)
            return &ruleset->domains[i];
    return NULL;
}

static bool is_anchored(const route_pattern *pattern)
{
    return pattern->match == ROUTE_MATCH_EXACT ||
           (pattern->kind == ROUTE_PATTERN_BUTTON && pattern->match == ROUTE_MATCH_PREFIX);
}

static bool read_pattern_text(compiler *self, route_pattern *pattern)
{
    uint8_t words[MAX_WORDS];
    size_t length;

    if (route_field_is_null(self->snapshot.fields[4]))
        return fail(self, "the pattern is missing");
    if (!route_field_text(&self->snapshot, 4, &self->strings, &pattern->text))
        return false;
    if (pattern->text.length > ROUTE_MAX_PATTERN_LENGTH)
        return fail(self, "a pattern must have at most 128 bytes");
    length = route_fold_words(pattern->text.data, pattern->text.length, words, MAX_WORDS);
    if (length == 0)
        return fail(self, "a pattern must contain a letter or a digit");
    if (length > MAX_WORDS)
        return fail(self, "the pattern is too long when folded");
    pattern->needle_length = (uint16_t) (length + 1 + (is_anchored(pattern) ? 1 : 0) +
                                         (pattern->match != ROUTE_MATCH_PREFIX ? 1 : 0) +
                                         (pattern->match == ROUTE_MATCH_EXACT ? 1 : 0));
    return true;
}

static bool read_pattern(compiler *self)
{
    static const char *const kinds[] = {"keyword", "button"};
    static const char *const matches[] = {"word", "prefix", "exact"};
    route_ruleset *ruleset = self->ruleset;
    route_pattern *pattern = &ruleset->patterns[ruleset->pattern_count];
    char *scratch = self->scratch;
    const route_domain *domain;
    route_text name;
    size_t kind;
    size_t match;

    *pattern = (route_pattern){0};
    if (!read_name(self, 1, &scratch, &name))
        return false;
    domain = find_domain(ruleset, name, self->last_domain);
    if (domain == NULL)
        return fail(self, "the pattern's domain has no line");
    self->last_domain = domain->index;
    if (!route_field_word(&self->snapshot, 2, "the kind", kinds, COUNT_OF(kinds), &kind) ||
        !route_field_word(&self->snapshot, 3, "the match", matches, COUNT_OF(matches), &match))
        return false;
    pattern->domain = (uint16_t) domain->index;
    pattern->kind = (uint8_t) kind;
    pattern->match = (uint8_t) match;
    if (!read_pattern_text(self, pattern))
        return false;
    self->needle_count[kind]++;
    self->needle_bytes += pattern->needle_length;
    ruleset->pattern_count++;
    return true;
}

/* ---------------------------------------------------------------------------------------------
 * Passes over the lines
 * ------------------------------------------------------------------------------------------ */

static bool count_config(compiler *self)
{
    return ++self->config_count == 1 || fail(self, "there is a config line already");
}

static bool count_target(compiler *self)
{
    return ++self->target_count <= ROUTE_MAX_TARGETS || fail(self, "too many targets");
}

static bool count_domain(compiler *self)
{
    return ++self->domain_count <= ROUTE_MAX_DOMAINS || fail(self, "too many domains");
}

static bool count_pattern(compiler *self)
{
    return ++self->pattern_count <= ROUTE_MAX_PATTERNS || fail(self, "too many patterns");
}

static bool note_end(compiler *self)
{
    self->ended = true;
    return self->snapshot.at == self->snapshot.end || fail(self, "something follows the end");
}

/* Every kind of line but the first: how many fields it has, and what each pass does with it. */
typedef struct line_kind
{
    const char *word;
    size_t field_count;
    bool (*passes[3])(compiler *self);
} line_kind;

static const line_kind line_kinds[] = {
    {"config", 8, {count_config, read_config, NULL}},
    {"target", 6, {count_target, read_target, NULL}},
    {"domain", 7, {count_domain, read_domain, NULL}},
    {"pattern", 5, {count_pattern, NULL, read_pattern}},
    {"end", 1, {note_end, NULL, NULL}},
};

static bool take_line(compiler *self, size_t pass)
{
    for (size_t i = 0; i < COUNT_OF(line_kinds); i++)
    {
        const line_kind *kind = &line_kinds[i];

        if (!route_field_is(self->snapshot.fields[0], kind->word))
            continue;
        if (self->snapshot.field_count != kind->field_count)
            return fail(self, "the line has a wrong number of fields");
        return kind->passes[pass] == NULL || kind->passes[pass](self);
    }
    return fail(self, "the line begins with a word that is not known here");
}

static bool take_first_line(compiler *self)
{
    const route_snapshot *snapshot = &self->snapshot;
    bool failed;

    if (!route_snapshot_next(&self->snapshot, &failed))
        return failed ? false : fail(self, "the snapshot is empty");
    if (snapshot->field_count < 1 || !route_field_is(snapshot->fields[0], FIRST_LINE))
        return fail(self, "this is no snapshot: it does not begin with \"webhook_routing\"");
    if (snapshot->field_count != 2 || !route_field_is(snapshot->fields[1], FORMAT))
        return fail(self, "the snapshot has a format that is not known here");
    return true;
}

static bool read_lines(compiler *self, size_t pass)
{
    bool failed;

    route_snapshot_open(&self->snapshot, self->text, self->length, self->error);
    if (!take_first_line(self))
        return false;
    while (route_snapshot_next(&self->snapshot, &failed))
        if (!take_line(self, pass))
            return false;
    return !failed;
}

/* ---------------------------------------------------------------------------------------------
 * Compilation
 * ------------------------------------------------------------------------------------------ */

static bool check_text(compiler *self)
{
    if (!route_is_utf8(self->text, self->length))
        return route_fail(self->error, 0, "the snapshot is not UTF-8");
    if (memchr(self->text, '\0', self->length) != NULL)
        return route_fail(self->error, 0, "the snapshot contains a NUL");
    return true;
}

static bool check_counts(compiler *self)
{
    if (!self->ended)
        return fail(self, "the snapshot is cut off: its last line is not \"end\"");
    if (self->config_count == 0)
        return route_fail(self->error, 0, "there is no config line");
    return true;
}

static bool allocate_arrays(compiler *self)
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
static bool ensure_target(compiler *self, route_text name)
{
    route_ruleset *ruleset = self->ruleset;

    for (size_t i = 0; i < ruleset->target_count; i++)
        if (compare_text(ruleset->targets[i].name, name) == 0)
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

        for (; k > 0 && compare_text(ruleset->targets[k - 1].name, target.name) > 0; k--)
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
    return compare_text(a->name, b->name) < 0;
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
static bool resolve_names(compiler *self)
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
    ruleset->fallback = route_ruleset_find_target(ruleset, ruleset->config.default_target);
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
    if (is_anchored(pattern))
        *to++ = ROUTE_FOLD_START;
    *to++ = ROUTE_FOLD_BLANK;
    to += route_fold_words(pattern->text.data, pattern->text.length, to, MAX_WORDS);
    if (pattern->match != ROUTE_MATCH_PREFIX)
        *to++ = ROUTE_FOLD_BLANK;
    if (pattern->match == ROUTE_MATCH_EXACT)
        *to = ROUTE_FOLD_END;
}

static bool write_needles(compiler *self)
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
    const route_pattern *patterns = ((compiler *) context)->ruleset->patterns;

    return patterns[a].domain == patterns[b].domain;
}

static bool build_automata(compiler *self)
{
    route_automaton *automata[] = {&self->ruleset->keywords, &self->ruleset->buttons};

    for (size_t kind = 0; kind < COUNT_OF(automata); kind++)
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

static bool compile(compiler *self)
{
    if (!check_text(self) || !read_lines(self, 0) || !check_counts(self))
        return false;
    if (!allocate_arrays(self))
        return out_of_memory(self);
    if (!read_lines(self, 1) || !resolve_names(self) || !read_lines(self, 2))
        return false;
    if (!write_needles(self) || !build_automata(self))
        return out_of_memory(self);
    return true;
}

route_ruleset *route_ruleset_compile(const char *snapshot, size_t length,
                                     const route_allocator *allocator, route_error *error)
{
    compiler self = {.text = snapshot == NULL ? "" : snapshot, .length = length, .error = error};
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
        int order = compare_text(ruleset->targets[middle].name, name);

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

const route_domain *route_ruleset_domain_of_target(const route_ruleset *ruleset, route_text name)
{
    for (size_t i = 0; i < ruleset->domain_count; i++)
        if (compare_text(ruleset->domains[i].legacy->name, name) == 0)
            return &ruleset->domains[i];
    return NULL;
}

size_t route_ruleset_pattern_count(const route_ruleset *ruleset)
{
    return ruleset->pattern_count;
}

route_text route_ruleset_pattern(const route_ruleset *ruleset, size_t index)
{
    return index < ruleset->pattern_count ? ruleset->patterns[index].text : (route_text){NULL, 0};
}
