/* SPDX-License-Identifier: PostgreSQL
 *
 * rules.c: the lines of a snapshot -> config, targets, domains and patterns, each checked.
 */
#include "count_of.h"
#include "ruleset_compiler.h"

#include <string.h>

#define FIRST_LINE "webhook_routing"
#define FORMAT "1"
#define UUID_LENGTH 36

static bool fail(const route_compiler *self, const char *sentence)
{
    return route_fail(self->error, self->snapshot.line, "%s", sentence);
}

/* ---------------------------------------------------------------------------------------------
 * Fields
 * ------------------------------------------------------------------------------------------ */

static bool has_control_character(route_text text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char) text.data[i] < ' ' || text.data[i] == 0x7f)
            return true;
    return false;
}

/* A name, copied to the arena. */
static bool read_name(const route_compiler *self, size_t field, char **arena, route_text *name)
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

bool route_is_anchored(const route_pattern *pattern)
{
    return pattern->match == ROUTE_MATCH_EXACT ||
           (pattern->kind == ROUTE_PATTERN_BUTTON && pattern->match == ROUTE_MATCH_PREFIX);
}

/* ---------------------------------------------------------------------------------------------
 * Lines
 * ------------------------------------------------------------------------------------------ */

static bool read_config(route_compiler *self)
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

static bool read_target(route_compiler *self)
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
        if (route_compare_text(self->ruleset->targets[i].name, target->name) == 0)
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
    if (!route_field_word(snapshot, 4, "the fallback policy", policies, ROUTE_COUNT_OF(policies),
                          &policy) ||
        !route_field_boolean(snapshot, 5, "retired", &target->retired))
        return false;
    target->fallback_policy = (route_fallback_policy) policy;
    self->ruleset->target_count++;
    return true;
}

static bool read_domain(route_compiler *self)
{
    route_domain *domain = &self->ruleset->domains[self->ruleset->domain_count];
    const route_snapshot *snapshot = &self->snapshot;
    int64_t priority;

    *domain = (route_domain){.index = (uint32_t) self->ruleset->domain_count,
                             .percentage = ROUTE_BUCKETS};
    if (!read_name(self, 1, &self->strings, &domain->name))
        return false;
    if (route_ruleset_find_domain(self->ruleset, domain->name) != NULL)
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
    if (hint < ruleset->domain_count && route_compare_text(ruleset->domains[hint].name, name) == 0)
        return &ruleset->domains[hint];
    return route_ruleset_find_domain(ruleset, name);
}

static bool read_pattern_text(route_compiler *self, route_pattern *pattern)
{
    uint8_t folded[ROUTE_MAX_FOLDED];
    size_t length;

    if (route_field_is_null(self->snapshot.fields[4]))
        return fail(self, "the pattern is missing");
    if (!route_field_text(&self->snapshot, 4, &self->strings, &pattern->text))
        return false;
    if (pattern->text.length > ROUTE_MAX_PATTERN_LENGTH)
        return fail(self, "a pattern must have at most 128 bytes");
    if (has_control_character(pattern->text))
        return fail(self, "a pattern must not contain control characters");
    length = route_fold_words(pattern->text.data, pattern->text.length, folded, ROUTE_MAX_FOLDED);
    if (length == 0)
        return fail(self, "a pattern must contain a letter or a digit");
    if (length > ROUTE_MAX_FOLDED)
        return fail(self, "the pattern is too long when folded");
    pattern->needle_length = (uint16_t) (length + 1 + (route_is_anchored(pattern) ? 1 : 0) +
                                         (pattern->match != ROUTE_MATCH_PREFIX ? 1 : 0) +
                                         (pattern->match == ROUTE_MATCH_EXACT ? 1 : 0));
    return true;
}

static bool read_pattern(route_compiler *self)
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
    if (!route_field_word(&self->snapshot, 2, "the kind", kinds, ROUTE_COUNT_OF(kinds), &kind) ||
        !route_field_word(&self->snapshot, 3, "the match", matches, ROUTE_COUNT_OF(matches),
                          &match))
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

static bool count_config(route_compiler *self)
{
    return ++self->config_count == 1 || fail(self, "there is a config line already");
}

static bool count_target(route_compiler *self)
{
    return ++self->target_count <= ROUTE_MAX_TARGETS || fail(self, "too many targets");
}

static bool count_domain(route_compiler *self)
{
    return ++self->domain_count <= ROUTE_MAX_DOMAINS || fail(self, "too many domains");
}

static bool count_pattern(route_compiler *self)
{
    return ++self->pattern_count <= ROUTE_MAX_PATTERNS || fail(self, "too many patterns");
}

static bool note_end(route_compiler *self)
{
    self->ended = true;
    return self->snapshot.at == self->snapshot.end || fail(self, "something follows the end");
}

/* Every kind of line but the first: how many fields it has, and what each pass does with it. */
typedef struct line_kind
{
    const char *word;
    size_t field_count;
    bool (*passes[ROUTE_PASS_MAX])(route_compiler *self);
} line_kind;

static const line_kind line_kinds[] = {
    {"config", 8, {count_config, read_config, NULL}},
    {"target", 6, {count_target, read_target, NULL}},
    {"domain", 7, {count_domain, read_domain, NULL}},
    {"pattern", 5, {count_pattern, NULL, read_pattern}},
    {"end", 1, {note_end, NULL, NULL}},
};

static bool take_line(route_compiler *self, route_pass pass)
{
    for (size_t i = 0; i < ROUTE_COUNT_OF(line_kinds); i++)
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

static bool take_first_line(route_compiler *self)
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

bool route_read_lines(route_compiler *self, route_pass pass)
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
