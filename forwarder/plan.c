/* SPDX-License-Identifier: PostgreSQL
 *
 * plan.c: from what was decided to deliveries. Usually there is one: the whole webhook, its bytes
 * untouched, whatever the number of its items. A mixed batch, whose items belong to different
 * functions, goes whole to the function that the decision names for it, unless we hold the app
 * secret: then it is cut from the original bytes into one envelope for each function, each signed
 * anew, each with a decision, rows and a fallback of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"
#include "text.h"

/* ---- beginning ---- */

/* What parts are signed with, NULL without any. */
static const struct signature_secrets *plan_secrets(const struct request *request)
{
    const struct signature_secrets *signing = &request->secrets->signing;

    return signing->count > 0 ? signing : NULL;
}

static bool plan_splits(const struct request *request, const struct decided *whole)
{
    return text_is(whole->reason, route_reason_name(ROUTE_REASON_MIXED_BATCH)) &&
           plan_secrets(request) != NULL && request->item_count <= UINT16_MAX;
}

/* The function of a mixed batch is behind every part whose items have different ones behind them:
 * its name and URL outlive the decision here. */
static bool plan_keep_common(struct request *request, const struct decided *whole)
{
    struct buffer *common = &request->common;

    return buffer_append(request->worker, common, whole->webhook.data, whole->webhook.length) &&
           buffer_append(request->worker, common, "", 1) &&
           buffer_append(request->worker, common, whole->url.data, whole->url.length) &&
           buffer_append(request->worker, common, "", 1);
}

bool plan_begin(struct plan *plan, struct request *request, const struct decided *whole,
                int64_t config_version)
{
    *plan = (struct plan){.request = request,
                          .whole = whole,
                          .config_version = config_version,
                          .split = plan_splits(request, whole)};
    if (!plan->split)
        return delivery_begin(request, whole, config_version) != NULL;
    plan->parts = calloc(request->item_count, sizeof *plan->parts);
    return plan->parts != NULL && plan_keep_common(request, whole);
}

/* ---- items ---- */

/* Who stands behind a part: its items' common fallback, else the function of the mixed batch; where
 * one item has nobody, all have nobody, since that one must not reach anyone else. The engine has
 * the same rule for whole webhooks. */
static void plan_merge_fallback(struct delivery *part, const struct decided *item)
{
    const char *common = part->request->common.data;

    if (part->fallback_webhook == NULL || text_is(item->fallback_webhook, part->fallback_webhook))
        return;
    if (item->fallback_webhook.data == NULL)
    {
        part->fallback_webhook = part->fallback_url = NULL;
        return;
    }
    part->fallback_webhook = common;
    part->fallback_url = common + strlen(common) + 1;
    if (*part->fallback_url == '\0')
        part->fallback_url = NULL;
}

/* The part for the function of an item, made when it is the first one; its number in *number. */
static struct delivery *plan_part(struct plan *plan, const struct decided *item, uint16_t *number)
{
    *number = 0;
    for (struct delivery *part = plan->request->deliveries; part != NULL; part = part->next)
    {
        if (text_is(item->webhook, part->webhook))
        {
            plan_merge_fallback(part, item);
            return part;
        }
        (*number)++;
    }
    return delivery_begin(plan->request, item, plan->config_version);
}

bool plan_item(struct plan *plan, const struct decided *item)
{
    struct delivery *delivery = plan->request->deliveries;
    struct decided followed = *item;
    uint16_t number = 0;

    if (plan->split)
    {
        plan->differs = plan->item >= plan->request->item_count;
        if (plan->differs)
            return false; /* nothing is safe to cut */
        delivery = plan_part(plan, item, &number);
        plan->parts[plan->item] = number;
    }
    else if (text_is(plan->whole->reason, route_reason_name(ROUTE_REASON_MIXED_BATCH)))
        followed.reason = plan->whole->reason; /* it goes another way than it would alone */
    plan->item++;
    return delivery != NULL && outcomes_add(delivery, &followed);
}

/* ---- parts ---- */

struct cutting
{
    const uint16_t *parts;
    uint16_t part;
};

static bool plan_keeps(void *context, size_t item)
{
    const struct cutting *cutting = context;

    return cutting->parts[item] == cutting->part;
}

static bool plan_cut(struct plan *plan, struct delivery *part, uint16_t number)
{
    struct request *request = plan->request;
    struct cutting cutting = {plan->parts, number};

    if (!buffer_reserve(request->worker, &part->part, request->body.length))
        return false;
    part->part.length =
        route_cut(request->body.data, request->body.length, plan_keeps, &cutting, part->part.data);
    buffer_trim(request->worker, &part->part);
    part->body = part->part.data;
    part->body_length = part->part.length;
    return part->body_length > 0 &&
           signature_sign(plan_secrets(request), part->body, part->body_length, part->signature);
}

bool plan_finish(struct plan *plan)
{
    uint16_t number = 0;
    bool good;

    plan->differs = plan->item == 0 || (plan->split && plan->item != plan->request->item_count);
    good = !plan->differs;
    if (plan->split)
        for (struct delivery *part = plan->request->deliveries; good && part != NULL;
             part = part->next)
            good = plan_cut(plan, part, number++);
    free(plan->parts);
    plan->parts = NULL;
    return good;
}

void plan_give_up(struct plan *plan)
{
    free(plan->parts);
    plan->parts = NULL;
    delivery_end_all(plan->request);
}
