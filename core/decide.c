/* SPDX-License-Identifier: PostgreSQL
 *
 * decide.c: items + rules -> decision.
 *
 * The order in which reasons are tried is the contract (ROUTE_REASONS in route.h lists it): first
 * what the webhook is, then what must not move, then what may. Each item is decided alone; a POST
 * whose items agree on the target goes there as a whole.
 */
#include "bucket.h"
#include "recollection.h"
#include "text.h"
#include "trace.h"

#include <string.h>

/* What stays the same over the items of one POST. */
typedef struct decider
{
    const route_ruleset *ruleset;
    const route_memory *memory; /* NULL: nothing is known of earlier messages */
    const route_trace *trace;
    bool named;                 /* the caller named the webhook */
    const route_domain *domain; /* that the name stands for; NULL: none */
} decider;

/* ---------------------------------------------------------------------------------------------
 * Outcomes
 * ------------------------------------------------------------------------------------------ */

/* The legacy function of the domain; the default target where there is no domain. */
static void choose_legacy(const decider *self, route_decision *decision, route_reason reason)
{
    const route_domain *domain = decision->domain;

    decision->target = domain == NULL ? self->ruleset->default_target : domain->legacy;
    decision->fallback = NULL;
    decision->side = ROUTE_LEGACY;
    decision->reason = reason;
}

/* The target itself when it can stand in for unified, else NULL: a retired one takes nothing. */
static const route_target *behind_unified(const route_ruleset *ruleset, const route_target *target)
{
    return target->retired || target == ruleset->unified ? NULL : target;
}

static void choose_unified(const decider *self, route_decision *decision, route_reason reason)
{
    decision->target = self->ruleset->unified;
    decision->fallback = behind_unified(self->ruleset, decision->domain->legacy);
    decision->side = ROUTE_UNIFIED;
    decision->reason = reason;
}

/* ---------------------------------------------------------------------------------------------
 * One item
 * ------------------------------------------------------------------------------------------ */

/* Which domain a message speaks of: by its button, else by its words, else the one before. */
static void find_domain(const decider *self, const route_document *document, const route_item *item,
                        route_recollection *last, route_decision *decision)
{
    route_message_text text;
    route_tally tally;

    route_item_read_text(document, item, &text);
    if (!route_is_absent(text.button))
    {
        decision->domain =
            route_domain_of_button(self->ruleset, document, text.button, &decision->matched);
        if (__builtin_expect(self->trace != NULL, 0))
            route_trace_button(self->trace, document, text.button, decision->domain,
                               route_ruleset_pattern(self->ruleset, (size_t) decision->matched));
        if (decision->domain != NULL)
            return;
    }
    decision->domain =
        route_domain_of_texts(self->ruleset, document, &text, &tally, &decision->matched);
    if (__builtin_expect(self->trace != NULL, 0))
        route_trace_keywords(self->trace, &text, &tally);
    if (decision->domain == NULL && last->memory != NULL)
        decision->domain = route_recall_domain(last);
}

/* Whether the item is none that a domain could be found for; then it is decided. */
static bool decide_without_domain(const decider *self, const route_item *item,
                                  route_decision *decision)
{
    if (self->named && self->domain == NULL)
        choose_legacy(self, decision, ROUTE_REASON_UNKNOWN_WEBHOOK);
    else if (self->named)
        return false; /* whatever the body is */
    else if (item->readability == ROUTE_MALFORMED)
        choose_legacy(self, decision, ROUTE_REASON_MALFORMED);
    else if (item->readability == ROUTE_FOREIGN)
        choose_legacy(self, decision, ROUTE_REASON_NOT_WHATSAPP);
    else if (item->kind == ROUTE_ITEM_STATUS)
        choose_legacy(self, decision, ROUTE_REASON_STATUS);
    else if (item->kind == ROUTE_ITEM_OTHER_FIELD)
        choose_legacy(self, decision, ROUTE_REASON_OTHER_FIELD);
    else
        return false;
    return true;
}

/* From the domain on: what must not move, then what may not, then who does. */
static void decide_side(const decider *self, route_recollection *last, route_decision *decision)
{
    const route_domain *domain = decision->domain;

    if (domain != NULL && domain->is_protected)
        choose_legacy(self, decision, ROUTE_REASON_PROTECTED);
    else if (domain != NULL && domain->legacy->retired)
        choose_unified(self, decision, ROUTE_REASON_LEGACY_RETIRED);
    else if (!self->ruleset->config.enabled)
        choose_legacy(self, decision, ROUTE_REASON_DISABLED);
    else if (domain == NULL)
        choose_legacy(self, decision, ROUTE_REASON_UNKNOWN_DOMAIN);
    else if (!domain->enrolled)
        choose_legacy(self, decision, ROUTE_REASON_NOT_ENROLLED);
    else if (decision->bucket == ROUTE_NO_BUCKET)
        choose_legacy(self, decision, ROUTE_REASON_NO_SENDER);
    else if ((uint32_t) decision->bucket < domain->percentage)
        choose_unified(self, decision, ROUTE_REASON_IN_PERCENTAGE);
    else if (route_is_kept(last, domain))
        choose_unified(self, decision, ROUTE_REASON_IN_CONVERSATION);
    else
        choose_legacy(self, decision, ROUTE_REASON_OUT_OF_PERCENTAGE);
}

/* Says what was decided, and the numbers behind it. */
static void say_decision(const decider *self, const route_decision *decision)
{
    const route_domain *domain = decision->domain;

    if (self->trace == NULL)
        return;
    if (domain != NULL)
    {
        route_say(self->trace, "domain", "%.*s", (int) domain->name.length, domain->name.data);
        route_say(self->trace, "protected", "%s", domain->is_protected ? "yes" : "no");
        route_say(self->trace, "legacy target", "%.*s%s", (int) domain->legacy->name.length,
                  domain->legacy->name.data, domain->legacy->retired ? ", which is retired" : "");
        route_say(self->trace, "enrolled", "%s", domain->enrolled ? "yes" : "no");
    }
    route_say(self->trace, "routing", "%s at %u.%02u %%",
              self->ruleset->config.enabled ? "enabled" : "disabled", decision->percentage / 100,
              decision->percentage % 100);
    route_say(self->trace, "decision", "%.*s (%s), %s: %s", (int) decision->target->name.length,
              decision->target->name.data, route_side_name(decision->side),
              route_reason_name(decision->reason), route_reason_meaning(decision->reason));
}

/* Decides an item as if it stood alone; the strings of the decision are left to fill_strings. */
static void decide_item(const decider *self, const route_document *document, const route_item *item,
                        size_t number, route_decision *decision)
{
    const route_config *config = &self->ruleset->config;
    route_recollection last = {
        .memory = self->memory, .trace = self->trace, .document = document, .item = item};

    decision->domain = self->domain;
    decision->matched = ROUTE_NO_MATCH;
    decision->kind = item->kind;
    decision->range = item->range;
    decision->bucket = route_is_absent(item->sender)
                           ? ROUTE_NO_BUCKET
                           : route_bucket_of_string(document, item->sender, config->salt);
    if (__builtin_expect(self->trace != NULL, 0))
        route_trace_item(self->trace, document, item, number, decision->bucket);
    if (!decide_without_domain(self, item, decision))
    {
        if (!self->named)
            find_domain(self, document, item, &last, decision);
        decide_side(self, &last, decision);
    }
    decision->percentage =
        decision->domain == NULL ? config->percentage : decision->domain->percentage;
    say_decision(self, decision);
    if (__builtin_expect(self->memory != NULL, 0))
        route_remember(&last, decision);
}

static uint16_t fill_string(const route_document *document, route_value value, char *to,
                            size_t bound)
{
    if (!route_is_absent(value))
        return route_copy_string(document, value, to, bound);
    to[0] = '\0';
    return 0;
}

static void fill_strings(const route_document *document, const route_item *item,
                         route_decision *decision)
{
    decision->from_number_length =
        fill_string(document, item->from, decision->from_number, ROUTE_MAX_SENDER);
    decision->message_id_length =
        fill_string(document, item->id, decision->message_id, ROUTE_MAX_MESSAGE_ID);
    decision->message_type_length =
        fill_string(document, item->type, decision->message_type, ROUTE_MAX_MESSAGE_TYPE);
}

/* ---------------------------------------------------------------------------------------------
 * A whole POST
 * ------------------------------------------------------------------------------------------ */

static void start(decider *self, const route_ruleset *ruleset, route_text name,
                  const route_memory *memory, const route_trace *trace)
{
    const route_text *default_name = &ruleset->config.default_target;
    const route_domain *owner;

    *self = (decider){.ruleset = ruleset, .memory = memory, .trace = trace};
    if (name.data == NULL)
        return;
    owner = route_ruleset_domain_of_target(ruleset, name);
    /* The default target sorts out whatever comes, unless it is a function that must not be left.
     */
    if (name.length == default_name->length &&
        memcmp(name.data, default_name->data, name.length) == 0 &&
        (owner == NULL || !owner->is_protected))
        return;
    self->named = true;
    self->domain = owner;
    if (self->domain == NULL)
        route_say(trace, "webhook", "named by the caller, but no domain owns it");
    else
        route_say(trace, "webhook", "named by the caller: it stands for domain %.*s",
                  (int) self->domain->name.length, self->domain->name.data);
}

/* What a POST becomes whose items go to different targets: nobody but a legacy function that knows
 * all of them can take it. */
static void decide_mixed(const decider *self, route_decision *decision)
{
    decision->target = self->domain == NULL ? self->ruleset->default_target : self->domain->legacy;
    decision->fallback = NULL;
    decision->side = ROUTE_LEGACY;
    decision->reason = ROUTE_REASON_MIXED_BATCH;
    decision->bucket = ROUTE_NO_BUCKET;
    decision->matched = ROUTE_NO_MATCH;
    route_say(self->trace, "decision", "%.*s (legacy), %s: %s", (int) decision->target->name.length,
              decision->target->name.data, route_reason_name(decision->reason),
              route_reason_meaning(decision->reason));
}

/* Who stands behind unified for two items at once: for those of several domains it is the entry
 * that sorts them out. Where one item has nobody, as that of a retired function, all have nobody:
 * that item must not reach anyone else. */
static const route_target *common_fallback(const decider *self, const route_target *a,
                                           const route_target *b)
{
    if (a == b)
        return a;
    if (a == NULL || b == NULL)
        return NULL;
    return behind_unified(self->ruleset, self->ruleset->default_target);
}

size_t route_decide(const route_ruleset *ruleset, const void *payload, size_t length,
                    route_text webhook_name, const route_memory *memory, const route_trace *trace,
                    route_decision *decision)
{
    decider self;
    route_webhook webhook;
    route_item item;
    size_t count = 1;
    bool agreed = true;

    start(&self, ruleset, webhook_name, memory, trace);
    route_webhook_open(&webhook, payload, length);
    if (__builtin_expect(trace != NULL, 0))
        route_trace_payload(trace, &webhook, route_count_items(payload, length));
    route_webhook_next(&webhook, &item);
    decide_item(&self, &webhook.document, &item, 0, decision);
    fill_strings(&webhook.document, &item, decision);
    for (; route_webhook_next(&webhook, &item); count++)
    {
        route_decision other;

        if (!agreed)
            continue;
        decide_item(&self, &webhook.document, &item, count, &other);
        agreed = other.target == decision->target;
        decision->fallback = common_fallback(&self, decision->fallback, other.fallback);
    }
    if (!agreed)
        decide_mixed(&self, decision);
    return count;
}

size_t route_decide_items(const route_ruleset *ruleset, const void *payload, size_t length,
                          route_text webhook_name, const route_memory *memory,
                          route_visit_item visit, void *context)
{
    decider self;
    route_webhook webhook;
    route_item item;
    size_t count = 0;
    bool wanted = true;

    start(&self, ruleset, webhook_name, memory, NULL);
    route_webhook_open(&webhook, payload, length);
    while (wanted && route_webhook_next(&webhook, &item))
    {
        route_decision decision;

        decide_item(&self, &webhook.document, &item, count, &decision);
        fill_strings(&webhook.document, &item, &decision);
        wanted = visit(context, count++, &decision);
    }
    return count;
}

/* ---------------------------------------------------------------------------------------------
 * An item that was decided before
 * ------------------------------------------------------------------------------------------ */

/* Whether items of this reason are never asked for a domain. */
static bool is_without_domain(route_reason reason)
{
    return reason == ROUTE_REASON_UNKNOWN_WEBHOOK || reason == ROUTE_REASON_MALFORMED ||
           reason == ROUTE_REASON_NOT_WHATSAPP || reason == ROUTE_REASON_STATUS ||
           reason == ROUTE_REASON_OTHER_FIELD;
}

bool route_decide_known(const route_ruleset *ruleset, const route_known *known,
                        const route_trace *trace, route_decision *decision)
{
    /* A conversation that was kept is one that was on unified. */
    const route_memory memory = {.keeps_sides = known->reason == ROUTE_REASON_IN_CONVERSATION};
    const decider self = {.ruleset = ruleset, .trace = trace};
    const route_item item = {.kind = ROUTE_ITEM_MESSAGE};
    route_recollection last = {.memory = &memory, .item = &item, .asked = true};

    memset(decision, 0, sizeof(*decision));
    decision->matched = ROUTE_NO_MATCH;
    decision->bucket = known->bucket;
    if (known->domain.data != NULL)
    {
        decision->domain = route_ruleset_find_domain(ruleset, known->domain);
        if (decision->domain == NULL)
            return false;
    }
    if (known->bucket == ROUTE_NO_BUCKET)
        route_say(trace, "sender", "names no sender");
    else
        route_say(trace, "sender", "bucket %d of %d", (int) known->bucket, ROUTE_BUCKETS);
    if (memory.keeps_sides)
        route_say(trace, "conversation", "was active, on unified");
    if (decision->domain == NULL && is_without_domain(known->reason))
        choose_legacy(&self, decision, known->reason);
    else
    {
        last.conversation = (route_conversation){decision->domain, ROUTE_UNIFIED};
        decide_side(&self, &last, decision);
    }
    decision->percentage =
        decision->domain == NULL ? ruleset->config.percentage : decision->domain->percentage;
    say_decision(&self, decision);
    return true;
}

size_t route_count_items(const void *payload, size_t length)
{
    route_webhook webhook;
    route_item item;
    size_t count = 0;

    route_webhook_open(&webhook, payload, length);
    while (route_webhook_next(&webhook, &item))
        count++;
    return count;
}
