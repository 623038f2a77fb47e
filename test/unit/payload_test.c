/* SPDX-License-Identifier: PostgreSQL
 *
 * payload_test.c: what is read out of a webhook, and from where: items, senders, ids, types, texts.
 * The fixtures cover the shapes as Meta sends them; here are the corners.
 */
#include "support.h"

#include "message.h"
#include "text.h"

#define ENVELOPE(changes)                                                                          \
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"changes\":[" changes     \
    "]}]}"
#define CHANGE(field, value) "{\"field\":\"" field "\",\"value\":" value "}"
#define MESSAGES(members) ENVELOPE(CHANGE("messages", "{" members "}"))

/* The text of item 0: the button, then every text, each in brackets. */
static const char *text_of(const char *payload)
{
    static char text[4096];
    static route_webhook webhook;
    static route_item item;
    route_message_text said;
    size_t length = 0;

    route_webhook_open(&webhook, payload, strlen(payload));
    assert_true(route_webhook_next(&webhook, &item));
    assert_int_equal(item.kind, ROUTE_ITEM_MESSAGE);
    route_item_read_text(&webhook.document, &item, &said);
    text[0] = '\0';
    if (!route_is_absent(said.button))
    {
        text[length++] = '#';
        length += route_copy_string(&webhook.document, said.button, text + length, 500);
    }
    for (size_t i = 0; i < said.count; i++)
    {
        text[length++] = '[';
        length += route_copy_string(&webhook.document, said.texts[i], text + length, 500);
        text[length++] = ']';
        text[length] = '\0';
    }
    return text;
}

static void test_text_by_type(void **state)
{
    static const struct
    {
        const char *message, *text;
    } cases[] = {
        {"'type':'text','text':{'body':'a'}", "[a]"},
        {"'text':{'body':'a','preview_url':'no'},'type':'text'", "[a]"},
        {"'type':'text'", ""},
        {"'type':'text','text':'a'", ""},
        {"'type':'text','text':null", ""},
        {"'type':'text','text':['a']", ""},
        {"'type':'text','text':{'body':1}", ""},
        {"'type':'text','text':{'body':''}", ""},
        {"'type':'text','text':{'body':{'body':'a'}}", ""},
        {"'type':'text','image':{'caption':'a'}", ""},
        {"'type':'image','image':{'caption':'a','id':'no'},'text':{'body':'no'}", "[a]"},
        {"'type':'video','video':{'caption':'a'}", "[a]"},
        {"'type':'document','document':{'caption':'a','filename':'no'}", "[a]"},
        {"'type':'audio','audio':{'caption':'no','body':'no'}", ""},
        {"'type':'voice','voice':{'caption':'no'}", ""},
        {"'type':'sticker','sticker':{'caption':'no'}", ""},
        {"'type':'location','location':{'name':'a','address':'b','url':'no'}", "[a][b]"},
        {"'type':'location','location':{'address':'b'}", "[b]"},
        {"'type':'location','location':{'latitude':1.5}", ""},
        {"'type':'contacts','contacts':[{'name':{'formatted_name':'no'}}]", ""},
        {"'type':'order','order':{'text':'a','product_items':[{'name':'no'}]}", "[a]"},
        {"'type':'reaction','reaction':{'emoji':'no','body':'no'}", ""},
        {"'type':'system','system':{'body':'a','wa_id':'no','type':'x'}", "[a]"},
        {"'type':'unsupported','errors':[{'title':'no'}]", ""},
        {"'type':'request_welcome'", ""},
        {"'type':'button','button':{'text':'a','payload':'b'}", "#b[a]"},
        {"'type':'button','button':{'text':'a'}", "[a]"},
        {"'type':'button','button':{'payload':'','text':'a'}", "[a]"},
        {"'type':'button','button':{'payload':7}", ""},
        {"'type':'interactive','interactive':{'type':'button_reply','button_reply':{'id':'b',"
         "'title':'a'}}",
         "#b[a]"},
        {"'type':'interactive','interactive':{'type':'list_reply','list_reply':{'id':'b','title':"
         "'a','description':'c'}}",
         "#b[a][c]"},
        {"'type':'interactive','interactive':{'button_reply':{'id':'b','title':'a'}}", "#b[a]"},
        {"'type':'interactive','interactive':{'list_reply':{'id':'b'},'button_reply':{'title':'a'}"
         "}",
         "#b[a]"},
        {"'type':'interactive','interactive':{'type':'list_reply','button_reply':{'id':'b'}}", ""},
        {"'type':'interactive','interactive':{'type':'nfm_reply','nfm_reply':{'body':'a','name':"
         "'no','response_json':'{}'}}",
         "[a]"},
        {"'type':'interactive','interactive':{'type':'other','other':{'body':'no','title':'no'}}",
         ""},
        {"'type':'edit','edit':{'original_message_id':'x','message':{'type':'text','text':{'body':"
         "'a'}}}",
         "[a]"},
        {"'type':'edit','edit':{'message':{'type':'image','image':{'caption':'a'},'text':{'body':"
         "'no'}}}",
         "[a]"},
        {"'type':'edit','edit':{'message':{'text':{'body':'a'}}}", "[a]"},
        {"'type':'edit','edit':{'message':{'type':'edit','edit':{'message':{'type':'text','text':"
         "{'body':'no'}}}}}",
         ""},
        {"'type':'revoke','revoke':{'original_message_id':'no'}", ""},
        {"'type':'text','text':{'body':'a'},'referral':{'body':'no','headline':'no'}", "[a]"},
        {"'type':'text','text':{'body':'a'},'context':{'body':'no','text':{'body':'no'}}", "[a]"},
        {"'type':'new_one','new_one':{'body':'no'},'text':{'body':'no'}", ""},
        {"'type':'TEXT','text':{'body':'no'}", ""},
        {"'type':'entry','entry':{'body':'no'}", ""},
        /* no type: whatever is there */
        {"'text':{'body':'a'}", "[a]"},
        {"'type':7,'text':{'body':'a'}", "[a]"},
        {"'type':'','text':{'body':'a'}", "[a]"},
        {"'image':{'caption':'b'},'text':{'body':'a'},'button':{'payload':'c','text':'d'}",
         "#c[a][d][b]"},
        /* keys that come twice: the last */
        {"'type':'image','type':'text','text':{'body':'no'},'text':{'body':'b','body':'a'}", "[a]"},
        {"'type':'text','text':{'body':'no'},'text':null", ""},
        {"'type':'text','text':{'body':'no','body':7}", ""},
        /* keys and types with escapes */
        {"'\\u0074ype':'te\\u0078t','t\\u0065xt':{'\\u0062\\u006f\\u0064\\u0079':'a'}", "[a]"},
        {"'type':'text','text':{'body':'a'},'te\\u0078t':{'body':'b'}", "[b]"},
        {"'type':'text','text':{'body':'a'},'text\\u0000':{'body':'b'}", "[a]"},
        {"'type':'text','text':{'body':'a','body_but_longer':'b','bod':'c','':'d','Body':'e'}",
         "[a]"},
        {"'type':'text','text':{'body':'a','b\\u006fdy_that_is_much_longer_than_any':'b'}", "[a]"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char quoted[1024];
        char payload[2048];
        char *to = quoted;

        for (const char *p = cases[i].message; *p != '\0'; p++)
            *to++ = *p == '\'' ? '"' : *p;
        *to = '\0';
        snprintf(payload, sizeof(payload), MESSAGES("\"messages\":[{%s}]"), quoted);
        assert_true(route_is_json(payload, strlen(payload)));
        if (strcmp(text_of(payload), cases[i].text) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", cases[i].message, text_of(payload), cases[i].text);
        /* the flat form takes the same members */
        snprintf(payload, sizeof(payload), "{\"message\":{%s}}", quoted);
        assert_string_equal(text_of(payload), cases[i].text);
    }
}

/* One character per item: m, s, o, u; and a sender in brackets where there is one. */
static const char *items_of(const char *payload)
{
    static char items[4096];
    static route_webhook webhook;
    static route_item item;
    size_t length = 0;

    route_webhook_open(&webhook, payload, strlen(payload));
    while (route_webhook_next(&webhook, &item))
    {
        items[length++] = "msou"[item.kind];
        if (route_is_absent(item.sender))
            continue;
        items[length++] = '(';
        length += route_copy_string(&webhook.document, item.sender, items + length, 100);
        items[length++] = ')';
    }
    items[length] = '\0';
    assert_false(route_webhook_next(&webhook, &item));
    return items;
}

static void test_items(void **state)
{
    static const struct
    {
        const char *payload, *items;
    } cases[] = {
        /* envelopes */
        {"{'object':'whatsapp_business_account'}", "o"},
        {"{'object':'whatsapp_business_account','entry':null}", "o"},
        {"{'object':'whatsapp_business_account','entry':{}}", "o"},
        {"{'object':'whatsapp_business_account','entry':[]}", "o"},
        {"{'object':'whatsapp_business_account','entry':[1,null,'x',[]]}", "o"},
        {"{'object':'whatsapp_business_account','entry':[{}]}", "o"},
        {"{'object':'whatsapp_business_account','entry':[{'changes':[]},{'changes':{}}]}", "o"},
        {"{'object':'whatsapp_business_account','entry':[{'changes':[{}]}]}", "o"},
        {"{'object':'whatsapp_business_account','entry':[{'changes':[1,null,[]]}]}", "ooo"},
        {"{'object':'whatsapp\\u005fbusiness_account'}", "o"},
        {"{'object':'Whatsapp_business_account'}", "u"},
        {"{'object':'whatsapp_business_account '}", "u"},
        {"{'object':'whatsapp_business_account\\u0000'}", "u"},
        {"{'object':'page','object':'whatsapp_business_account'}", "o"},
        {"{'object':'whatsapp_business_account','object':'page'}", "u"},
        {"{'object':'page','message':{}}", "u"},
        {"{'object':null,'message':{}}", "m"},
        {"{'message':{}}", "m"},
        {"{'message':'x'}", "u"},
        {"{'message':[{}]}", "u"},
        {"{'entry':[{'changes':[{}]}]}", "u"},
        {"[]", "u"},
        {"3", "u"},
        {"'whatsapp_business_account'", "u"},
        /* messages and statuses */
        {MESSAGES("'messages':[]"), "o"},
        {MESSAGES("'messages':[],'statuses':[]"), "o"},
        {MESSAGES("'messages':{},'statuses':null"), "o"},
        {MESSAGES("'messages':[{'from':'1'},{'from':'2'}]"), "m(1)m(2)"},
        {MESSAGES("'statuses':[{'recipient_id':'3'}],'messages':[{'from':'1'}]"), "m(1)s(3)"},
        {MESSAGES("'messages':[1,null,{},[{}],'x']"), "mmmmm"},
        {MESSAGES("'messages':[{'from':'1'}],'messages':[{'from':'2'}]"), "m(2)"},
        {MESSAGES("'messages':[{'from':'1'}],'messages':7"), "o"},
        {ENVELOPE("{'value':{'messages':[{'from':'1'}]}}"), "m(1)"},
        {ENVELOPE("{'field':7,'value':{'messages':[{'from':'1'}]}}"), "m(1)"},
        {ENVELOPE("{'field':'','value':{'messages':[{'from':'1'}]}}"), "o"},
        {ENVELOPE("{'field':'message','value':{'messages':[{'from':'1'}]}}"), "o"},
        {ENVELOPE("{'field':'mess\\u0061ges','value':{'messages':[{'from':'1'}]}}"), "m(1)"},
        {ENVELOPE("{'field':'messages','value':[{'messages':[{}]}]}"), "o"},
        {ENVELOPE(CHANGE("messages", "{'messages':[{'from':'1'}]}") "," CHANGE(
             "security", "{}") "," CHANGE("messages", "{'statuses':[{}]}")),
         "m(1)os"},
        {"{'object':'whatsapp_business_account','entry':[{'changes':[{'value':{'messages':[{'from':"
         "'1'}]}}]},7,{'changes':[{'value':{'messages':[{'from':'2'}]}}]}]}",
         "m(1)m(2)"},
        {"{'object':'whatsapp_business_account','entry':[{'changes':[{}]}],'entry':[]}", "o"},
        /* senders */
        {MESSAGES("'messages':[{'from_user_id':'U','from':'1'}]"), "m(U)"},
        {MESSAGES("'messages':[{'from_user_id':'','from':'1'}]"), "m(1)"},
        {MESSAGES("'messages':[{'from_user_id':{},'from':'1'}]"), "m(1)"},
        {MESSAGES("'messages':[{'from':1}]"), "m"},
        {MESSAGES("'messages':[{'fr\\u006fm':'\\u0031'}]"), "m(1)"},
        {MESSAGES("'messages':[{'from\\u005fuser_id':'U'}]"), "m(U)"},
        {MESSAGES("'messages':[{'from\\u005fuser_id\\ud83d\\ude4f':'U'}]"), "m"},
        {MESSAGES("'messages':[{'from_user_id\\u8f66x':'U'}]"), "m"},
        {MESSAGES("'messages':[{'from_user_id\\u0000':'U'}]"), "m"},
        {MESSAGES("'contacts':[{'wa_id':'W'}],'messages':[{'from':'1'},{}]"), "m(1)m(W)"},
        {MESSAGES("'contacts':[{'wa_id':'W','user_id':'U'}],'messages':[{}]"), "m(U)"},
        {MESSAGES("'messages':[{}],'contacts':[{'wa_id':'W','user_id':null}]"), "m(W)"},
        {MESSAGES("'contacts':[{'wa_id':'W'},{'wa_id':'X'}],'messages':[{}]"), "m"},
        {MESSAGES("'contacts':[{'wa_id':'W'},null],'messages':[{}]"), "m"},
        {MESSAGES("'contacts':[null],'messages':[{}]"), "m"},
        {MESSAGES("'contacts':{'wa_id':'W'},'messages':[{}]"), "m"},
        {MESSAGES("'contacts':[],'messages':[{}]"), "m"},
        {MESSAGES("'contacts':[{'wa_id':'W'}],'statuses':[{'recipient_id':'R'},{'from':'F'}]"),
         "s(R)s(W)"},
        {ENVELOPE(
             "{'value':{'contacts':[{'wa_id':'W'}],'messages':[{}]}},{'value':{'messages':[{}]}}"),
         "m(W)m"},
        /* other changes */
        {ENVELOPE(CHANGE("calls",
                         "{'calls':[{'from':'C','from_user_id':7}],'statuses':[{'from':'S'}]}")),
         "o(C)"},
        {ENVELOPE(CHANGE("calls",
                         "{'calls':[],'statuses':[{'recipient_id':'R'},{'recipient_id':'Q'}]}")),
         "o(R)"},
        {ENVELOPE(CHANGE("calls", "{'calls':[7],'statuses':[{'recipient_id':'R'}],'contacts':"
                                  "[{'wa_id':'W'}]}")),
         "o(W)"},
        {ENVELOPE(CHANGE("x", "{'contacts':[{'wa_id':'W'}]}")), "o(W)"},
        {ENVELOPE(CHANGE("x", "7")), "o"},
        /* the flat form */
        {"{'from':'1','message':{'from':'2'}}", "m(1)"},
        {"{'from':null,'message':{'from':'2'}}", "m(2)"},
        {"{'from':'1','from_user_id':'U','message':{}}", "m(U)"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char payload[1024];
        char *to = payload;

        for (const char *p = cases[i].payload; *p != '\0'; p++)
            *to++ = *p == '\'' ? '"' : *p;
        *to = '\0';
        assert_true(route_is_json(payload, strlen(payload)));
        if (strcmp(items_of(payload), cases[i].items) != 0)
            fail_msg("%s: %s, not %s", payload, items_of(payload), cases[i].items);
    }
}

static void test_ranges(void **state)
{
    const char *payload = MESSAGES(" \"messages\" : [ {\"id\":\"a\"} , 7 ] , \"statuses\":[{\"id\":"
                                   "\"b\"}]");
    static const char *const expected[] = {"{\"id\":\"a\"}", "7", "{\"id\":\"b\"}"};
    route_webhook webhook;
    route_item item;
    size_t count = 0;

    (void) state;
    route_webhook_open(&webhook, payload, strlen(payload));
    for (; route_webhook_next(&webhook, &item); count++)
    {
        assert_int_equal(item.range.end - item.range.start, strlen(expected[count]));
        assert_memory_equal(payload + item.range.start, expected[count], strlen(expected[count]));
    }
    assert_int_equal(count, 3);
}

static void test_strings(void **state)
{
    static const struct
    {
        const char *json, *expected;
    } cases[] = {
        {"abc", "abc"},
        {"\\u0061\\n\\t\\\"\\\\\\/", "a\n\t\"\\/"},
        {"a\\u0000b", "a\xef\xbf\xbd"
                      "b"},
        {"\\ud800", "\xef\xbf\xbd"},
        {"\\udc00\\ud800x", "\xef\xbf\xbd\xef\xbf\xbdx"},
        {"\\ud83d\\ude4f", "\xf0\x9f\x99\x8f"},
        {"\xc3\xa9\xe8\xbd\xa6\xf0\x9f\x99\x8f", "\xc3\xa9\xe8\xbd\xa6\xf0\x9f\x99\x8f"},
    };
    route_ruleset *rules = compile(SEED("0", "t"));

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char payload[256];
        route_decision decision;

        snprintf(payload, sizeof(payload),
                 "{\"from\":\"%s\",\"type\":\"%s\",\"message\":{\"id\":\"%s\"}}", cases[i].json,
                 cases[i].json, cases[i].json);
        decision = decide(rules, payload);
        assert_string_equal(decision.from_number, cases[i].expected);
        assert_string_equal(decision.message_id, cases[i].expected);
        assert_string_equal(decision.message_type, cases[i].expected);
        assert_int_equal(decision.from_number_length, strlen(cases[i].expected));
        assert_int_equal(decision.bucket,
                         route_bucket(cases[i].expected, strlen(cases[i].expected), 0));
    }
    route_ruleset_free(rules);
}

/* Strings of every length around the bounds, of one to four bytes a character, plain and escaped:
 * cut to whole characters; the bucket is that of all of it. */
static void test_cuts(void **state)
{
    static const char *const units[][2] = {{"a", "\\u0061"},
                                           {"\xc3\xa9", "\\u00e9"},
                                           {"\xe8\xbd\xa6", "\\u8f66"},
                                           {"\xf0\x9f\x99\x8f", "\\ud83d\\ude4f"}};
    route_ruleset *rules = compile(SEED("0", "t"));
    char *payload = malloc(16 * 300 * 3);
    char *plain = malloc(5 * 300);

    (void) state;
    for (size_t u = 0; u < 4; u++)
        for (size_t count = 1; count < 300; count++)
            for (size_t form = 0; form < 2; form++)
            {
                size_t unit = strlen(units[u][0]);
                char *to = payload + sprintf(payload, "{\"message\":{\"id\":\"");
                route_decision decision;

                for (size_t i = 0; i < count; i++)
                    to += sprintf(to, "%s", units[u][form]);
                to += sprintf(to, "\"},\"from\":\"");
                for (size_t i = 0; i < count; i++)
                    to += sprintf(to, "%s", units[u][form]);
                sprintf(to, "\",\"type\":\"text\"}");
                for (size_t i = 0; i < count; i++)
                    memcpy(plain + unit * i, units[u][0], unit);
                decision = decide(rules, payload);
                assert_int_equal(decision.message_id_length,
                                 unit * (count < 256 / unit ? count : 256 / unit));
                assert_int_equal(decision.from_number_length,
                                 unit * (count < 128 / unit ? count : 128 / unit));
                assert_memory_equal(decision.message_id, plain, decision.message_id_length);
                assert_int_equal(strlen(decision.message_id), decision.message_id_length);
                assert_int_equal(decision.bucket, route_bucket(plain, unit * count, 0));
            }
    free(plain);
    free(payload);
    route_ruleset_free(rules);
}

/* Containers beyond the landmarks are read like those before: any number of them in front. */
static void test_beyond_landmarks(void **state)
{
    char *payload = malloc(8192);

    (void) state;
    for (size_t before = 0; before < 2 * ROUTE_LANDMARKS + 4; before++)
    {
        char *to = payload;

        to += sprintf(to, "{\"x\":[");
        for (size_t i = 0; i < before; i++)
            to += sprintf(to, "%s{\"k\":\"]}\\\"\"}", i == 0 ? "" : ",");
        sprintf(to,
                "],\"object\":\"whatsapp_business_account\",\"entry\":[{\"y\":[[],{}],\"changes\":"
                "[{\"value\":{\"messages\":[{\"from\":\"1\",\"z\":{\"a\":[{}]},\"id\":\"i\"},"
                "{\"from\":\"2\"}],\"statuses\":[{\"recipient_id\":\"3\"}],\"contacts\":[]},"
                "\"field\":\"messages\"}]}]}");
        assert_string_equal(items_of(payload), "m(1)m(2)s(3)");
    }
    free(payload);
}

/* Envelopes of 3 MB in which some list or object is huge: linear, wherever it stands. */
static void test_hostile_sizes(void **state)
{
    static const struct
    {
        const char *before, *unit, *after;
        size_t items; /* 0: one per unit */
    } cases[] = {
        {"{\"object\":\"whatsapp_business_account\",\"entry\":[", "{},", "{}]}", 1},
        {"{\"object\":\"whatsapp_business_account\",\"entry\":[", "{\"changes\":[{}]},", "{}]}", 0},
        {"{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[", "{},", "7]}]}", 0},
        {"{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"value\":{"
         "\"contacts\":"
         "[",
         "{\"wa_id\":\"1\"},", "7],\"messages\":[{},{},{},{}]}}]}]}", 4},
        {"{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"value\":{"
         "\"messages\":"
         "[",
         "{},", "7],\"contacts\":[{},{}]}}]}]}", 0},
        {"{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"value\":{"
         "\"statuses\":"
         "[",
         "[[]],", "7]}}]}]}", 0},
        {"{\"message\":{\"text\":{", "\"body\":\"a a a\",", "\"body\":\"job\"}}}", 1},
        {"{\"message\":{", "\"text\":{\"body\":\"a\"},", "\"text\":{\"body\":\"job\"}}}", 1},
        {"{", "\"message\":{},", "\"message\":{\"text\":{\"body\":\"job\"}}}", 1},
        {"{\"message\":{\"text\":{\"body\":\"", "job ", "\"}}}", 1},
        {"{\"message\":{\"text\":{\"body\":\"", "\\u00e9\\u0301", " job\"}}}", 1},
        {"{\"from\":\"", "\\ud83d\\ude4f", "\",\"message\":{\"text\":{\"body\":\"job\"}}}", 1},
    };
    size_t size = 3000000;
    char *payload = malloc(size + 512);
    route_ruleset *rules = compile(SEED("50", "t"));

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        size_t unit = strlen(cases[i].unit);
        size_t count = size / unit;
        char *to = payload + sprintf(payload, "%s", cases[i].before);
        route_decision decision;
        double start;
        size_t items;

        for (size_t k = 0; k < count; k++, to += unit)
            memcpy(to, cases[i].unit, unit);
        strcpy(to, cases[i].after);
        start = seconds();
        items = route_decide(rules, payload, strlen(payload), NOT_NAMED, NULL, NULL, &decision);
        assert_true(seconds() - start < 10);
        assert_int_not_equal(decision.reason, ROUTE_REASON_MALFORMED);
        if (cases[i].items == 0)
            assert_in_range(items, count, count + 1);
        else
            assert_int_equal(items, cases[i].items);
        if (strstr(cases[i].after, "job") != NULL)
            assert_string_equal(domain_name(&decision), "jobs");
    }
    route_ruleset_free(rules);
    free(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_by_type),  cmocka_unit_test(test_items),
        cmocka_unit_test(test_ranges),        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_cuts),          cmocka_unit_test(test_beyond_landmarks),
        cmocka_unit_test(test_hostile_sizes),
    };

    return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
