/* SPDX-License-Identifier: PostgreSQL
 *
 * delivery.c: the life of a delivery. It is born when a request has been decided (plan.c) and goes
 * back to the pool with its request. Whatever it goes through, it ends in delivery_done(), once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"
#include "text.h"

/* A deadline passed: what that means depends on the state alone. */
static void delivery_expired(struct loop_timer *timer)
{
    struct delivery *delivery = timer->owner;

    if (delivery->state == DELIVERY_RECORDING)
        recording_expired(delivery);
    else
        forward_expired(delivery);
}

void delivery_enter(struct delivery *delivery, enum delivery_state state, uint64_t deadline_us)
{
    struct loop *loop = &delivery->worker->loop;

    if (!delivery_may_follow(delivery->state, state))
    {
        fprintf(stderr, "webhook-forwarder: delivery went from %s to %s\n",
                delivery_state_name(delivery->state), delivery_state_name(state));
        abort();
    }
    delivery->state = state;
    if (deadline_us != 0)
        loop_arm(loop, &delivery->deadline, deadline_us);
    else
        loop_disarm(loop, &delivery->deadline);
}

/* ---- birth ---- */

static struct delivery *delivery_new(struct worker *worker)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);

    if (delivery == NULL)
        return NULL;
    delivery->worker = worker;
    if (loop_timer_open(&worker->loop, &delivery->deadline, delivery_expired, delivery))
        return delivery;
    free(delivery);
    return NULL;
}

static void delivery_free(struct delivery *delivery)
{
    struct worker *worker = delivery->worker;

    loop_timer_close(&worker->loop, &delivery->deadline);
    buffer_reset(worker, &delivery->text, 0);
    buffer_reset(worker, &delivery->part, 0);
    buffer_reset(worker, &delivery->head, 0);
    buffer_reset(worker, &delivery->answer.body, 0);
    free(delivery);
}

/* Copies the texts of the decision that are needed later. */
static bool delivery_keep(struct delivery *delivery, const struct decided *decided)
{
    struct buffer *text = &delivery->text;
    char *at;
    size_t size = decided->webhook.length + decided->url.length + decided->domain.length +
                  decided->reason.length + decided->fallback_webhook.length +
                  decided->fallback_url.length + 6;

    if (!buffer_reserve(delivery->worker, text, size))
        return false;
    at = text->data;
    delivery->webhook = text_place(&at, decided->webhook);
    delivery->url = text_place(&at, decided->url);
    delivery->domain = text_place(&at, decided->domain);
    delivery->reason = text_place(&at, decided->reason);
    delivery->fallback_webhook = text_place(&at, decided->fallback_webhook);
    delivery->fallback_url = text_place(&at, decided->fallback_url);
    text->length = (size_t) (at - text->data);
    delivery->side = decided->side;
    delivery->percentage = decided->percentage;
    return true;
}

static struct delivery *delivery_take(struct worker *worker)
{
    struct delivery *delivery = worker->delivery_pool;

    if (delivery == NULL)
        return delivery_new(worker);
    worker->delivery_pool = delivery->next;
    worker->pooled_deliveries--;
    delivery->next = NULL;
    return delivery;
}

struct delivery *delivery_begin(struct request *request, const struct decided *decided,
                                int64_t config_version)
{
    struct delivery *delivery = delivery_take(request->worker);

    if (delivery == NULL)
        return NULL;
    if (!delivery_keep(delivery, decided))
    {
        delivery_free(delivery);
        return NULL;
    }
    delivery->request = request;
    delivery->config_version = config_version;
    delivery->body = request->body.data;
    delivery->body_length = request->body.length;
    identity_make(delivery->id);
    delivery->created_us = identity_now_us();
    delivery->attempt = (struct attempt){.number = 1,
                                         .webhook = delivery->webhook,
                                         .url = delivery->url,
                                         .side = route_side_name(delivery->side)};
    if (request->deliveries == NULL)
        request->deliveries = delivery;
    else
        request->last_delivery->next = delivery;
    request->last_delivery = delivery;
    request->delivery_count++;
    request->undelivered++;
    return delivery;
}

/* ---- the end ---- */

void delivery_done(struct delivery *delivery, unsigned status, const char *problem)
{
    struct request *request = delivery->request;

    delivery_enter(delivery, DELIVERY_DONE, 0);
    delivery->status = status;
    delivery->problem = problem;
    if (--request->undelivered == 0)
        reply_delivered(request);
}

void delivery_abort(struct delivery *delivery, const char *why)
{
    switch (delivery->state)
    {
    case DELIVERY_RECORDING:
        recording_abort(delivery, why);
        break;
    case DELIVERY_ATTEMPTING:
        forward_abort(delivery, why);
        break;
    default:
        break;
    }
}

/* Clears everything that one delivery must not see of another. */
static void delivery_wipe(struct delivery *delivery)
{
    struct worker *worker = delivery->worker;

    outcomes_discard(worker, delivery->rows);
    buffer_reset(worker, &delivery->text, KEPT_BUFFER);
    buffer_reset(worker, &delivery->part, 0);
    buffer_reset(worker, &delivery->head, KEPT_BUFFER);
    buffer_reset(worker, &delivery->answer.body, KEPT_BUFFER);
    answer_begin(&delivery->answer.reader);
    delivery->signature[0] = '\0';
    delivery->request = NULL;
    delivery->rows = delivery->last_row = NULL;
    delivery->item_count = 0;
    delivery->body = delivery->problem = NULL;
    delivery->earlier = delivery->status = 0;
    delivery->ticket = 0;
    memset(&delivery->attempt, 0, sizeof delivery->attempt);
}

static void delivery_end(struct delivery *delivery)
{
    struct worker *worker = delivery->worker;

    /* One that was planned in vain is IDLE still. */
    if (delivery->state != DELIVERY_IDLE)
        delivery_enter(delivery, DELIVERY_IDLE, 0);
    delivery_wipe(delivery);
    if (worker->pooled_deliveries >= POOLED_REQUESTS)
    {
        delivery_free(delivery);
        return;
    }
    delivery->next = worker->delivery_pool;
    worker->delivery_pool = delivery;
    worker->pooled_deliveries++;
}

void delivery_end_all(struct request *request)
{
    struct delivery *delivery;

    while ((delivery = request->deliveries) != NULL)
    {
        request->deliveries = delivery->next;
        delivery_end(delivery);
    }
    request->last_delivery = NULL;
    request->delivery_count = request->undelivered = 0;
}

void delivery_free_pool(struct worker *worker)
{
    struct delivery *delivery;

    while ((delivery = worker->delivery_pool) != NULL)
    {
        worker->delivery_pool = delivery->next;
        delivery_free(delivery);
    }
    worker->pooled_deliveries = 0;
}
