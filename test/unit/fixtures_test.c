/* SPDX-License-Identifier: PostgreSQL
 *
 * fixtures_test.c: every webhook in test/fixtures/payloads is read as its table says, and every
 * sentence is understood. Takes the repository's top as working directory. A folder of further
 * payloads (WEBHOOK_ROUTING_PAYLOADS) is checked for what must hold of any webhook.
 */
#include "support.h"

#include "reference_json.h"

#include <dirent.h>

#define FOLDER "test/fixtures/"
#define MAX_FIELDS 9

static route_ruleset *rules;

/* Splits a line at tabs, in place; returns the number of fields. */
static size_t split(char *line, char **fields)
{
    size_t count = 0;

    for (char *p = line; p != NULL && count < MAX_FIELDS;)
    {
        char *tab = strchr(p, '\t');

        fields[count++] = p;
        if (tab != NULL)
            *tab++ = '\0';
        p = tab;
    }
    return count;
}

/* Undoes the escapes of COPY; NULL stays \N. */
static const char *unescape(char *field)
{
    char *to = field;

    if (strcmp(field, "\\N") == 0)
        return "";
    for (const char *p = field; *p != '\0'; p++)
    {
        if (*p != '\\')
        {
            *to++ = *p;
            continue;
        }
        p++;
        *to++ = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p == 'r' ? '\r' : *p;
    }
    *to = '\0';
    return field;
}

static void check_row(const char *folder, char **fields)
{
    char path[4096];
    size_t length;
    char *payload;
    route_decision decision;
    size_t items;
    const char *sender;

    snprintf(path, sizeof(path), "%s/%s", folder, fields[0]);
    payload = read_file(path, &length);
    items = route_decide(rules, payload, length, NOT_NAMED, NULL, NULL, &decision);
    if (items != strtoul(fields[1], NULL, 10) || strcmp(domain_name(&decision), fields[7]) != 0 ||
        strcmp(route_reason_name(decision.reason), fields[8]) != 0)
        print_message("in %s:\n", fields[0]);
    assert_int_equal(items, strtoul(fields[1], NULL, 10));
    assert_int_equal(items, route_count_items(payload, length));
    assert_string_equal(route_item_kind_name(decision.kind), fields[2]);
    assert_string_equal(decision.from_number, unescape(fields[3]));
    sender = unescape(fields[4]);
    if (strcmp(fields[8], "mixed_batch") != 0)
        assert_int_equal(decision.bucket, sender[0] == '\0'
                                              ? ROUTE_NO_BUCKET
                                              : route_bucket(sender, strlen(sender), 0));
    assert_string_equal(decision.message_id, unescape(fields[5]));
    assert_string_equal(decision.message_type, unescape(fields[6]));
    assert_string_equal(domain_name(&decision), fields[7]);
    assert_string_equal(route_reason_name(decision.reason), fields[8]);
    free(payload);
}

/* Checks every row of a table against the payloads of a folder; returns how many there are. */
static size_t check_table(const char *path, const char *folder)
{
    size_t length;
    char *table = read_file(path, &length);
    size_t rows = 0;
    char *rest = table;
    char *line = strsep(&rest, "\n"); /* names of the columns */

    while ((line = strsep(&rest, "\n")) != NULL && line[0] != '\0')
    {
        char *fields[MAX_FIELDS];

        assert_int_equal(split(line, fields), MAX_FIELDS);
        check_row(folder, fields);
        rows++;
    }
    free(table);
    return rows;
}

static void test_payloads(void **state)
{
    (void) state;
    assert_true(check_table(FOLDER "expected.tsv", FOLDER "payloads") > 100);
}

/* Those that are too large to keep are made, and taken away again. */
static void test_large_payloads(void **state)
{
    char folder[] = "/tmp/webhook_routing_fixtures.XXXXXX";
    char command[256];
    char table[128];
    size_t rows;

    (void) state;
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof(command), "perl " FOLDER "generate.pl %s", folder);
    if (system(command) != 0)
        fail_msg("%s failed", command);
    snprintf(table, sizeof(table), "%s/expected.tsv", folder);
    rows = check_table(table, folder);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    assert_true(rows > 10);
}

/* ---------------------------------------------------------------------------------------------
 * What must hold of any webhook
 * ------------------------------------------------------------------------------------------ */

/* Removes white space outside strings; returns the new length. */
static size_t squeeze(const char *from, size_t length, char *to)
{
    char *begin = to;
    bool in_string = false;

    for (size_t i = 0; i < length; i++)
    {
        if (!in_string && strchr(" \t\n\r", from[i]) != NULL && from[i] != '\0')
            continue;
        if (from[i] == '"')
            in_string = !in_string;
        *to++ = from[i];
        if (in_string && from[i] == '\\')
            *to++ = from[++i];
    }
    return (size_t) (to - begin);
}

static void require_same(const char *name, const route_decision *a, const route_decision *b)
{
    if (a->target != b->target || a->reason != b->reason || a->bucket != b->bucket ||
        a->matched != b->matched || strcmp(a->from_number, b->from_number) != 0 ||
        strcmp(a->message_id, b->message_id) != 0 || strcmp(a->message_type, b->message_type) != 0)
        fail_msg("%s: another decision without its white space", name);
}

typedef struct item_walk
{
    const char *payload;
    size_t length;
} item_walk;

static bool check_item(void *context, size_t item, const route_decision *decision)
{
    item_walk *walk = context;
    route_range range = decision->range;

    (void) item;
    assert_true(range.end <= walk->length && range.start <= range.end);
    if (range.end != 0)
        assert_true(reference_is_json(walk->payload + range.start, range.end - range.start));
    return true;
}

/* One payload: both validators agree on it and on every beginning of it, none of which is read
 * beyond its end; items are JSON inside it; its white space does not matter. */
static void check_payload(const char *name, const char *payload, size_t length)
{
    guarded guard = guard_open(length);
    char *squeezed = malloc(length + 1);
    bool valid = reference_is_json(payload, length);
    item_walk walk = {payload, length};
    route_decision decision;
    route_decision other;

    for (size_t cut = 0; cut <= length; cut++)
    {
        const char *bytes = guard_put(&guard, payload, cut);

        route_decide(rules, bytes, cut, NOT_NAMED, NULL, NULL, &decision);
        if ((decision.reason != ROUTE_REASON_MALFORMED) != reference_is_json(bytes, cut))
            fail_msg("%s: wrong when cut to %zu bytes", name, cut);
    }
    route_decide_items(rules, payload, length, NOT_NAMED, NULL, check_item, &walk);
    if (valid)
    {
        size_t left = squeeze(payload, length, squeezed);

        route_decide(rules, squeezed, left, NOT_NAMED, NULL, NULL, &other);
        require_same(name, &decision, &other);
    }
    free(squeezed);
    guard_close(&guard);
}

/* Checks every payload in a folder; returns how many are JSON. */
static size_t check_folder(const char *folder)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    size_t count = 0;

    if (directory == NULL)
        fail_msg("cannot open %s", folder);
    while ((entry = readdir(directory)) != NULL)
    {
        const char *dot = strrchr(entry->d_name, '.');
        char path[4096];
        size_t length;
        char *payload;

        if (dot == NULL || (strcmp(dot, ".json") != 0 && strcmp(dot, ".bin") != 0))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        payload = read_file(path, &length);
        check_payload(entry->d_name, payload, length);
        assert_int_equal(route_is_json(payload, length), strcmp(dot, ".json") == 0);
        count += route_is_json(payload, length);
        free(payload);
    }
    closedir(directory);
    return count;
}

static void test_any_payload(void **state)
{
    (void) state;
    assert_true(check_folder(FOLDER "payloads") > 100);
}

static void test_further_payloads(void **state)
{
    const char *folder = getenv("WEBHOOK_ROUTING_PAYLOADS");

    (void) state;
    if (folder == NULL || folder[0] == '\0')
        skip();
    assert_true(check_folder(folder) > 0);
}

/* Sentences in English, with the seeded rules: nineteen in twenty have to be understood as a person
 * would. Words that mean different things in different sentences cannot be told apart by rules. */
static void test_sentences(void **state)
{
    size_t length;
    char *table = read_file(FOLDER "sentences.tsv", &length);
    char *rest = table;
    char *line = strsep(&rest, "\n");
    size_t count = 0;
    size_t missed = 0;

    (void) state;
    while ((line = strsep(&rest, "\n")) != NULL && line[0] != '\0')
    {
        char *fields[MAX_FIELDS];
        char payload[2048];
        route_decision decision;

        assert_int_equal(split(line, fields), 3);
        if (strcmp(fields[0], "en") != 0)
            continue;
        snprintf(payload, sizeof(payload), "{\"message\":{\"text\":{\"body\":\"%s\"}}}", fields[2]);
        decision = decide(rules, payload);
        count++;
        if (strcmp(domain_name(&decision), fields[1]) == 0)
            continue;
        missed++;
        print_message("%s, not %s: %s\n", domain_name(&decision), fields[1], fields[2]);
    }
    assert_true(count > 100 && missed * 20 <= count);
    free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payloads),    cmocka_unit_test(test_large_payloads),
        cmocka_unit_test(test_any_payload), cmocka_unit_test(test_further_payloads),
        cmocka_unit_test(test_sentences),
    };
    int failed;

    rules = compile(SEED("0", "t"));
    failed = cmocka_run_group_tests_name("fixtures", tests, NULL, NULL);
    route_ruleset_free(rules);
    return failed;
}
