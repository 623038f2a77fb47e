/* SPDX-License-Identifier: PostgreSQL
 *
 * trace.c: the sentences of an explanation that take more than a line to make.
 */
#include "trace.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SENTENCE 512
/* Most bytes of a payload's value that are said. */
#define MAX_SHOWN 64

/* Printing may have cut the sentence within a character. */
static void cut_whole(char *sentence)
{
    size_t length = strlen(sentence);

    while (length > 0 && !route_is_utf8(sentence, length))
        sentence[--length] = '\0';
}

void route_trace_say(const route_trace *trace, const char *step, const char *format, ...)
{
    char sentence[SENTENCE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    cut_whole(sentence);
    trace->step(trace->context, step, sentence);
}

/* A string of the payload, or "" when it is absent. */
static const char *show(const route_document *document, route_value value,
                        char shown[MAX_SHOWN + 1])
{
    shown[0] = '\0';
    if (!route_is_absent(value))
        route_copy_string(document, value, shown, MAX_SHOWN);
    for (char *p = shown; *p != '\0'; p++)
        if ((unsigned char) *p < ' ' || *p == 0x7f)
            *p = '?';
    return shown;
}

void route_trace_payload(const route_trace *trace, const route_webhook *webhook, size_t items)
{
    if (webhook->readability == ROUTE_MALFORMED)
        route_trace_say(trace, "payload", "not JSON");
    else if (webhook->readability == ROUTE_FOREIGN)
        route_trace_say(trace, "payload", "JSON, but not a WhatsApp webhook");
    else if (webhook->position == ROUTE_AT_SINGLE)
        route_trace_say(trace, "payload", "one message in the older flat form");
    else
        route_trace_say(trace, "payload", "a WhatsApp webhook with %zu item%s", items,
                        items == 1 ? "" : "s");
}

static const char *source_name(route_key key)
{
    static const char *const names[] = {
#define X(constant, name) name,
        ROUTE_KEYS(X)
#undef X
    };

    return key < ROUTE_KEY_COUNT ? names[key] : "nothing";
}

void route_trace_item(const route_trace *trace, const route_document *document,
                      const route_item *item, size_t number, int32_t bucket)
{
    char type[MAX_SHOWN + 1];

    if (item->kind == ROUTE_ITEM_UNREADABLE)
        return;
    show(document, item->type, type);
    route_trace_say(trace, "item", "%zu: %s%s%s", number,
                    item->kind == ROUTE_ITEM_MESSAGE  ? "a message"
                    : item->kind == ROUTE_ITEM_STATUS ? "a delivery status"
                                                      : "a change without messages",
                    type[0] == '\0' ? "" : " of type ", type);
    if (bucket == ROUTE_NO_BUCKET)
        route_trace_say(trace, "sender", "names no sender");
    else
        route_trace_say(trace, "sender", "known by \"%s\": bucket %d of %d",
                        source_name(item->sender_source), (int) bucket, ROUTE_BUCKETS);
}

void route_trace_button(const route_trace *trace, const route_document *document, route_value id,
                        const route_domain *domain, route_text pattern)
{
    char shown[MAX_SHOWN + 1];

    show(document, id, shown);
    if (domain == NULL)
        route_trace_say(trace, "button", "\"%s\" fits no button pattern", shown);
    else
        route_trace_say(trace, "button", "\"%s\" fits \"%.*s\" of %.*s", shown,
                        (int) pattern.length, pattern.data, (int) domain->name.length,
                        domain->name.data);
}

void route_trace_keywords(const route_trace *trace, const route_message_text *text,
                          const route_tally *tally)
{
    const route_ruleset *ruleset = tally->ruleset;
    char sentence[SENTENCE];
    size_t length = 0;

    for (size_t i = 0; i < ruleset->domain_count && length < sizeof(sentence); i++)
    {
        const route_domain *domain = &ruleset->domains[i];
        route_text first;

        if (tally->count[i] == 0)
            continue;
        first = ruleset->patterns[tally->pattern[i]].text;
        length += (size_t) snprintf(sentence + length, sizeof(sentence) - length,
                                    "%s%.*s %u (first \"%.*s\")", length == 0 ? "" : ", ",
                                    (int) domain->name.length, domain->name.data, tally->count[i],
                                    (int) first.length, first.data);
    }
    if (text->count == 0)
        route_trace_say(trace, "keywords", "there is no text to look at");
    else if (length == 0)
        route_trace_say(trace, "keywords", "none found");
    else
        route_trace_say(trace, "keywords", "%s", sentence);
}
