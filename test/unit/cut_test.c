/* SPDX-License-Identifier: PostgreSQL
 *
 * cut_test.c: a webhook cut to some of its items is those items, byte for byte. Takes the
 * repository's top as working directory. A folder of further payloads (WEBHOOK_ROUTING_PAYLOADS) is
 * cut too.
 */
#include "support.h"

#include "cut_check.h"

#include <dirent.h>

#define FOLDER "test/fixtures/"

static route_ruleset *rules;

/* ---------------------------------------------------------------------------------------------
 * Examples: quotes are written ' here.
 * ------------------------------------------------------------------------------------------ */

static void quote(char *to, const char *from)
{
    size_t length = strlen(from);

    for (size_t i = 0; i <= length; i++)
        to[i] = from[i] == '\'' ? '"' : from[i];
}

/* The payload cut to the items of `subset` is `expected`, "" for nothing. */
static void check_cut(const char *with_ticks, uint64_t subset, const char *expected_with_ticks)
{
    char payload[4096], expected[4096], out[4096];
    size_t length = strlen(with_ticks);
    const char *problem;

    quote(payload, with_ticks);
    quote(expected, expected_with_ticks);
    problem = cut_problem(rules, payload, length, subset);
    if (problem != NULL)
        fail_msg("%s: %s", payload, problem);
    out[route_cut(payload, length, cut_keeps, &subset, out)] = '\0';
    assert_string_equal(out, expected);
}

#define WHATSAPP "'object':'whatsapp_business_account'"
#define ENVELOPE(changes) "{" WHATSAPP ",'entry':[{'id':'1','changes':[" changes "]}]}"
#define CHANGE(members) "{'value':{" members "},'field':'messages'}"
#define VALUE(members) ENVELOPE(CHANGE(members))
#define FROM(number) "{'from':'" number "'}"
#define TO(number) "{'recipient_id':'" number "'}"
#define WA(number) "{'wa_id':'" number "'}"

static void test_arrays(void **state)
{
    (void) state;
    check_cut(VALUE("'messages':[" FROM("1") "," FROM("2") "," FROM("3") "]"), 1,
              VALUE("'messages':[" FROM("1") "]"));
    check_cut(VALUE("'messages':[" FROM("1") "," FROM("2") "," FROM("3") "]"), 2,
              VALUE("'messages':[" FROM("2") "]"));
    check_cut(VALUE("'messages':[" FROM("1") "," FROM("2") "," FROM("3") "]"), 5,
              VALUE("'messages':[" FROM("1") "," FROM("3") "]"));
    check_cut(VALUE("'messages':[" FROM("1") "," FROM("2") "," FROM("3") "]"), 0, "");
    check_cut(VALUE("'messages':[1,null,[{}]]"), 4, VALUE("'messages':[[{}]]"));
    /* white space stays around what stays */
    check_cut(VALUE("'messages' : [ " FROM("1") " , " FROM("2") "\n,\t" FROM("3") " ] "), 1,
              VALUE("'messages' : [ " FROM("1") " ] "));
    check_cut(VALUE("'messages' : [ " FROM("1") " , " FROM("2") "\n,\t" FROM("3") " ] "), 5,
              VALUE("'messages' : [ " FROM("1") "\n,\t" FROM("3") " ] "));
    check_cut(VALUE("'messages' : [ " FROM("1") " , " FROM("2") "\n,\t" FROM("3") " ] "), 4,
              VALUE("'messages' : [ " FROM("3") " ] "));
    check_cut("\n " VALUE("'messages':[" FROM("1") "," FROM("2") "]") " \t", 1,
              "\n " VALUE("'messages':[" FROM("1") "]") " \t");
}

/* Messages come before statuses, however they are written. */
static void test_values(void **state)
{
    (void) state;
    check_cut(VALUE("'messages':[" FROM("1") "],'statuses':[" TO("2") "],'metadata':{}"), 1,
              VALUE("'messages':[" FROM("1") "],'metadata':{}"));
    check_cut(VALUE("'messages':[" FROM("1") "],'statuses':[" TO("2") "],'metadata':{}"), 2,
              VALUE("'statuses':[" TO("2") "],'metadata':{}"));
    check_cut(VALUE("'statuses':[" TO("2") "," TO("3") "],'messages':[" FROM("1") "]"), 5,
              VALUE("'statuses':[" TO("3") "],'messages':[" FROM("1") "]"));
    check_cut(VALUE("'statuses':[" TO("2") "," TO("3") "],'messages':[]"), 2,
              VALUE("'statuses':[" TO("3") "],'messages':[]"));
    check_cut(VALUE("'statuses':[" TO("2") "," TO("3") "],'messages':7"), 2,
              VALUE("'statuses':[" TO("3") "],'messages':7"));
}

static void test_changes_and_entries(void **state)
{
    static const char two[] = "{'entry':[{'changes':[" CHANGE(
        "'messages':[1]") "],'id':1},"
                          "{'changes':[" CHANGE("'messages':[2]") ",3]}]," WHATSAPP "}";

    (void) state;
    check_cut(two, 1, "{'entry':[{'changes':[" CHANGE("'messages':[1]") "],'id':1}]," WHATSAPP "}");
    check_cut(two, 2, "{'entry':[{'changes':[" CHANGE("'messages':[2]") "]}]," WHATSAPP "}");
    check_cut(two, 4, "{'entry':[{'changes':[3]}]," WHATSAPP "}");
    /* another field is an item whole, whatever is in it */
    check_cut(ENVELOPE("{'field':'calls','value':{'messages':[1,2]}}," CHANGE("'statuses':[]")), 1,
              ENVELOPE("{'field':'calls','value':{'messages':[1,2]}}"));
    check_cut(ENVELOPE("{'field':'calls','value':{'messages':[1,2]}}," CHANGE("'statuses':[]")), 2,
              ENVELOPE(CHANGE("'statuses':[]")));
    /* entries without an item were never an item's */
    check_cut("{'entry':[{'id':1},{'changes':[1]},{'changes':[]},7,{'changes':[2]}]," WHATSAPP "}",
              1, "{'entry':[{'id':1},{'changes':[1]},{'changes':[]},7]," WHATSAPP "}");
}

/* One item is all or nothing. */
static void test_single_items(void **state)
{
    static const char *const bodies[] = {"",
                                         " ",
                                         "{",
                                         "[1,2]",
                                         "{'from':'1','message':{'text':'a'}}",
                                         "{" WHATSAPP "}",
                                         "{" WHATSAPP ",'entry':[{}, {'changes':[]}]}",
                                         ENVELOPE("1"),
                                         VALUE("'messages':[1]")};

    (void) state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
    {
        check_cut(bodies[i], 1, bodies[i]);
        check_cut(bodies[i], 0, "");
    }
}

/* Of a key that comes twice, what nobody has read does not come to light. */
static void test_shadowed(void **state)
{
    (void) state;
    check_cut(VALUE("'messages':[9],'messages':[1,2],'x':0,'x':1"), 2,
              VALUE("'messages':[2],'x':0,'x':1"));
    check_cut(VALUE("'messages':[9],'messages':[1,2]"), 1, VALUE("'messages':[1]"));
    check_cut(VALUE("'statuses':[9],'messages':[1,2],'statuses':[3,4]"), 5,
              VALUE("'messages':[1],'statuses':[3]"));
    check_cut(VALUE("'contacts':[9],'messages':[1,2],'contacts':[7]"), 1,
              VALUE("'messages':[1],'contacts':[7]"));
    check_cut(VALUE("'messages':[9],'messages':[1],'statuses':[2]"), 2, VALUE("'statuses':[2]"));
    check_cut(VALUE("'m\\u0065ssages':[9],'messages':[1],'statuses':[2]"), 2,
              VALUE("'statuses':[2]"));
    check_cut(ENVELOPE("{'value':{'messages':[9]},'value':{'messages':[1,2]}}"), 1,
              ENVELOPE("{'value':{'messages':[1]}}"));
    check_cut("{" WHATSAPP ",'entry':[{'changes':[9]}],'entry':[{'changes':[8],'changes':[1,2]}]}",
              2, "{" WHATSAPP ",'entry':[{'changes':[2]}]}");
    /* the first of two entries loses its changes: those before them too */
    check_cut("{" WHATSAPP ",'entry':[{'changes':[9],'changes':[1]},{'changes':[2]}]}", 2,
              "{" WHATSAPP ",'entry':[{'changes':[2]}]}");
    check_cut(VALUE("'messages':[9],'messages':[1,2]"), 3,
              VALUE("'messages':[9],'messages':[1,2]"));
}

static void test_contacts(void **state)
{
    (void) state;
    /* of the dropped one alone; of both; of nobody */
    check_cut(
        VALUE("'contacts':[" WA("1") "," WA("2") "],'messages':[" FROM("1") "," FROM("2") "]"), 2,
        VALUE("'contacts':[" WA("2") "],'messages':[" FROM("2") "]"));
    check_cut(VALUE("'contacts':[" WA("1") "],'messages':[" FROM("1") "," FROM("1") "]"), 1,
              VALUE("'contacts':[" WA("1") "],'messages':[" FROM("1") "]"));
    check_cut(VALUE("'contacts':[" WA("1") "],'messages':[" FROM("1") "," FROM("1") "]"), 2,
              VALUE("'contacts':[" WA("1") "],'messages':[" FROM("1") "]"));
    check_cut(
        VALUE("'contacts':[" WA("1") "," WA("3") ",4,{}],'messages':[" FROM("1") "," FROM("2") "]"),
        2, VALUE("'contacts':[" WA("3") ",4,{}],'messages':[" FROM("2") "]"));
    /* the array goes with its last contact */
    check_cut(VALUE("'contacts':[" WA("1") "],'messages':[" FROM("1") "," FROM("2") "]"), 2,
              VALUE("'messages':[" FROM("2") "]"));
    /* statuses have contacts too */
    check_cut(VALUE("'statuses':[" TO("1") "],'messages':[" FROM("2") "],'contacts':[" WA(
                  "1") "," WA("2") "]"),
              2, VALUE("'statuses':[" TO("1") "],'contacts':[" WA("1") "]"));
    /* by either id, also when they are written with escapes */
    check_cut(VALUE("'contacts':[{'user_id':'U\\u0031','wa_id':'7'},{'user_id':'U2','wa_id':'8'}],"
                    "'messages':[{'from_user_id':'U1','from':'1'},{'from_user_id':'U2'}]"),
              2,
              VALUE("'contacts':[{'user_id':'U2','wa_id':'8'}],"
                    "'messages':[{'from_user_id':'U2'}]"));
    check_cut(VALUE("'contacts':[{'user_id':'U1','wa_id':'2'},{'wa_id':'1'}],"
                    "'messages':[{'from_user_id':'U1','from':'\\u0031'},{'from':'2'}]"),
              2, VALUE("'contacts':[{'user_id':'U1','wa_id':'2'}],'messages':[{'from':'2'}]"));
}

/* A kept item that names nobody is the only contact's: they stay as they are. */
static void test_contacts_that_are_senders(void **state)
{
    (void) state;
    check_cut(VALUE("'contacts':[" WA("1") "],'messages':[" FROM("1") ",{'id':'m'}]"), 2,
              VALUE("'contacts':[" WA("1") "],'messages':[{'id':'m'}]"));
    check_cut(VALUE("'contacts':[" WA("1") "," WA("2") "],'messages':[" FROM("1") ",{'id':'m'}]"),
              2, VALUE("'contacts':[" WA("1") "," WA("2") "],'messages':[{'id':'m'}]"));
    check_cut(VALUE("'contacts':[" WA("1") "],'messages':[" FROM("2") ",{'id':'m'}]"), 1,
              VALUE("'messages':[" FROM("2") "]"));
}

/* ---------------------------------------------------------------------------------------------
 * Payloads as they come
 * ------------------------------------------------------------------------------------------ */

static void check_payload(const char *name, const char *payload, size_t length)
{
    size_t count = route_count_items(payload, length);
    uint64_t random = 1 + length;
    size_t subsets = count <= 8 ? (size_t) 1 << count : length > 100000 ? 16 : 300;

    for (size_t i = 0; i < subsets; i++)
    {
        uint64_t subset = count <= 8 ? i : next_random(&random);
        const char *problem = cut_problem(rules, payload, length, subset);

        if (problem != NULL)
            fail_msg("%s, subset %llx: %s", name, (unsigned long long) subset, problem);
    }
    assert_null(cut_problem(rules, payload, length, UINT64_MAX));
}

/* Cuts every payload in a folder; returns how many there are. */
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
        free(payload);
        count++;
    }
    closedir(directory);
    return count;
}

static void test_any_payload(void **state)
{
    (void) state;
    assert_true(check_folder(FOLDER "payloads") > 100);
}

static void test_large_payloads(void **state)
{
    char folder[] = "/tmp/webhook_routing_cut.XXXXXX";
    char command[256];

    (void) state;
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof(command), "perl " FOLDER "generate.pl %s", folder);
    if (system(command) != 0)
        fail_msg("%s failed", command);
    assert_true(check_folder(folder) > 10);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void test_further_payloads(void **state)
{
    const char *folder = getenv("WEBHOOK_ROUTING_PAYLOADS");

    (void) state;
    if (folder == NULL || folder[0] == '\0')
        skip();
    assert_true(check_folder(folder) > 0);
}

/* ---------------------------------------------------------------------------------------------
 * Time
 * ------------------------------------------------------------------------------------------ */

/* A value of `count` messages of `padding` bytes and more, and of a contact for each of `senders`.
 */
static char *many_messages(size_t count, size_t senders, size_t padding, size_t *length)
{
    char *payload = malloc(count * (padding + 64) + senders * 64 + 256);
    char *to = payload;

    to += sprintf(to, "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{"
                      "\"value\":{\"contacts\":[");
    for (size_t i = 0; i < senders; i++)
        to += sprintf(to, "%s{\"wa_id\":\"25078%07zu\"}", i == 0 ? "" : ",", i);
    to += sprintf(to, "],\"messages\":[");
    for (size_t i = 0; i < count; i++)
        to += sprintf(to, "%s{\"from\":\"25078%07zu\",\"x\":\"%0*d\"}", i == 0 ? "" : ",",
                      i % senders, (int) padding, 0);
    to += sprintf(to, "]}}]}]}");
    *length = (size_t) (to - payload);
    return payload;
}

/* Keeps the messages of every second sender. */
static bool keeps_even(void *context, size_t item)
{
    return item % *(size_t *) context % 2 == 0;
}

static size_t count_contacts(const char *payload, size_t length)
{
    size_t count = 0;

    for (const char *p = payload; p + 7 < payload + length; p++)
        count += memcmp(p, "\"wa_id\"", 7) == 0;
    return count;
}

/* Cuts to every second sender; returns how many contacts are left. */
static size_t cut_in_time(size_t count, size_t senders, size_t padding, double bound)
{
    size_t length;
    char *payload = many_messages(count, senders, padding, &length);
    char *out = malloc(length);
    double begun = seconds();
    size_t left = route_cut(payload, length, keeps_even, &senders, out);
    double took = seconds() - begun;
    size_t contacts = count_contacts(out, left);

    assert_true(route_is_json(out, left));
    assert_int_equal(route_count_items(out, left), count / 2);
    if (took > bound)
        fail_msg("%zu messages of %zu senders, %zu bytes: %.3f s", count, senders, length, took);
    free(out);
    free(payload);
    return contacts;
}

/* Bounds are generous: sanitizers and busy machines are slow, what is quadratic takes minutes. */
static void test_time(void **state)
{
    (void) state;
    assert_int_equal(cut_in_time(1000, 300, 3000, 0.5), 150);
    assert_int_equal(cut_in_time(1000, 1000, 0, 0.5), 500);
    /* More senders than the table takes: all contacts stay. */
    assert_int_equal(cut_in_time(50000, 50000, 0, 2), 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_changes_and_entries),
        cmocka_unit_test(test_single_items),
        cmocka_unit_test(test_shadowed),
        cmocka_unit_test(test_contacts),
        cmocka_unit_test(test_contacts_that_are_senders),
        cmocka_unit_test(test_any_payload),
        cmocka_unit_test(test_large_payloads),
        cmocka_unit_test(test_further_payloads),
        cmocka_unit_test(test_time),
    };
    int failed;

    rules = compile(SEED("50", "t"));
    failed = cmocka_run_group_tests_name("cut", tests, NULL, NULL);
    route_ruleset_free(rules);
    return failed;
}
