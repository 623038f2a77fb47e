/* SPDX-License-Identifier: PostgreSQL
 *
 * metrics_worker.c: what a worker counts while webhooks pass, and the gauges that it publishes.
 */
#include <string.h>

#include "forwarder.h"

/* Gauges need not be newer than this. */
#define PUBLISH_US 100000

/* ---- what happens ---- */

static enum metric_request request_kind(const struct request *request)
{
    if (request->refused != REFUSAL_NOTHING)
        return REQUEST_IS_REFUSED;
    switch (request->task)
    {
    case TASK_VERIFY:
        return REQUEST_IS_VERIFICATION;
    case TASK_HEALTH:
        return REQUEST_IS_HEALTH;
    default:
        return REQUEST_IS_WEBHOOK;
    }
}

static enum metric_route request_route(const struct request *request)
{
    if (request->delivery_count > 1)
        return METRIC_ROUTE_MIXED;
    return metric_side_of(request->deliveries->attempt.side) == METRIC_SIDE_UNIFIED
               ? METRIC_ROUTE_UNIFIED
               : METRIC_ROUTE_LEGACY;
}

void metrics_answered(const struct request *request, unsigned status, uint64_t elapsed_us)
{
    struct metrics *metrics = &request->worker->metrics;
    enum metric_request kind = request_kind(request);

    if (status < METRIC_STATUSES)
        metric_count(&metrics->responses[kind][status], 1);
    if (kind == REQUEST_IS_REFUSED)
        metric_count(&metrics->refused[request->refused], 1);
    if (kind == REQUEST_IS_WEBHOOK && request->delivery_count > 0)
        metric_observe(&metrics->request_seconds[request_route(request)], &METRIC_ANSWER_BOUNDS,
                       elapsed_us);
}

void metrics_decided(struct request *request, enum decider by)
{
    request->decided_by = by;
    metric_observe(&request->worker->metrics.decide_seconds[by], &METRIC_DECIDE_BOUNDS,
                   loop_clock() - request->arrived_us);
}

/* The first attempt of a decision stands for it, with the domain and the reason of its first row.
 */
static void count_decision(struct metrics *metrics, const struct delivery *delivery,
                           const struct outcome *row)
{
    size_t domain = metric_place(&metrics->domains, row->domain);
    size_t reason = metric_place(&metrics->reasons, row->reason);
    size_t side = delivery->side == ROUTE_UNIFIED ? METRIC_SIDE_UNIFIED : METRIC_SIDE_LEGACY;

    metric_count(&metrics->decisions[domain][reason][side][delivery->request->decided_by], 1);
}

void metrics_attempted(const struct delivery *delivery, const struct outcome *rows,
                       enum attempt_outcome outcome, uint64_t elapsed_us)
{
    struct metrics *metrics = &delivery->worker->metrics;
    size_t target = metric_place(&metrics->targets, rows->webhook_name);
    enum metric_side side = metric_side_of(rows->routed_to);

    if (delivery->attempt.number == 1)
        count_decision(metrics, delivery, rows);
    metric_count(&metrics->attempts[target][side][outcome], 1);
    if (elapsed_us > 0 && side != METRIC_SIDE_ERROR)
        metric_observe(&metrics->attempt_seconds[target][side], &METRIC_ANSWER_BOUNDS, elapsed_us);
}

void metrics_target(struct worker *worker, const char *target, metric_cell cells[METRIC_NAMES])
{
    metric_count(&cells[metric_place(&worker->metrics.targets, target)], 1);
}

/* ---- what is ---- */

static void publish_link(struct metrics *metrics, enum metric_link link,
                         const struct database *database)
{
    metric_set(&metrics->links[link], database->loop != NULL);
    metric_set(&metrics->links_up[link], database->state == DATABASE_READY);
    metric_set(&metrics->connects[link], database->connects);
}

static void publish_links(struct worker *worker)
{
    publish_link(&worker->metrics, METRIC_LINK_DECIDE, &worker->decide);
    publish_link(&worker->metrics, METRIC_LINK_DECIDE_LARGE, &worker->decide_large);
    publish_link(&worker->metrics, METRIC_LINK_LOG, &worker->log);
    publish_link(&worker->metrics, METRIC_LINK_MAINTENANCE, &worker->maintenance.link);
}

static void publish_rules(struct worker *worker)
{
    metric_cell *cells = worker->metrics.cells;
    const route_config *config =
        worker->ruleset == NULL ? NULL : route_ruleset_config(worker->ruleset);

    metric_set(&cells[METRIC_RULESET_VERSION], config == NULL ? 0 : (uint64_t) config->version);
    metric_set(&cells[METRIC_ROUTING_RATIO], config == NULL ? 0 : (uint64_t) config->percentage);
    metric_set(&cells[METRIC_ROUTING_ENABLED], config != NULL && config->enabled);
    metric_set(&cells[METRIC_RULESET_AGE],
               worker->ruleset_heard_us != 0 ? worker->ruleset_heard_us : worker->born_us);
}

/* A moment of the wall clock on the loop's, as far as that goes back. */
static uint64_t loop_moment(const struct worker *worker, int64_t wall_us)
{
    uint64_t now = worker->loop.now_us;
    int64_t age_us = identity_now_us() - wall_us;

    if (age_us <= 0)
        return now;
    return (uint64_t) age_us < now ? now - (uint64_t) age_us : 1;
}

/* Rows that wait, and when the oldest of them was decided. */
static void publish_log(struct worker *worker)
{
    struct metrics *metrics = &worker->metrics;
    const struct outcome *first = worker->outcomes.first;
    int64_t oldest_us = first == NULL ? INT64_MAX : first->created_us;

    metric_set(&metrics->rows_in_memory, worker->outcomes.queued);
    metric_set(&metrics->rows_in_spool, spool_backlog(worker->spool, &oldest_us));
    metric_set(&metrics->cells[METRIC_LOG_OLDEST],
               oldest_us == INT64_MAX ? 0 : loop_moment(worker, oldest_us));
}

void metrics_publish(struct worker *worker)
{
    metric_cell *cells = worker->metrics.cells;

    if (worker->loop.now_us < worker->published_us + PUBLISH_US)
        return;
    worker->published_us = worker->loop.now_us;
    metric_set(&cells[METRIC_TURN_AGE], worker->loop.now_us);
    metric_set(&cells[METRIC_IN_FLIGHT], worker->in_flight);
    metric_set(&cells[METRIC_CONNECTIONS], worker->client_count);
    metric_set(&cells[METRIC_BUFFERED], worker->buffered);
    metric_set(&cells[METRIC_UPSTREAMS], worker->upstream_open);
    publish_links(worker);
    publish_rules(worker);
    publish_log(worker);
}
