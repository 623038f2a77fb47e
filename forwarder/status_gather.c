/* SPDX-License-Identifier: PostgreSQL
 *
 * status_gather.c: what the status page tells of the forwarder itself: what the workers have
 * published. Nothing here waits.
 */
#include <string.h>
#include <time.h>

#include "forwarder.h"
#include "status.h"

/* Adds a worker's breakers that are not closed. */
static void gather_breakers(struct status_forwarder *forwarder, const struct breaker_table *table)
{
    size_t count = atomic_load_explicit(&table->count, memory_order_acquire);

    for (size_t i = 0; i < count; i++)
    {
        const struct breaker *breaker = &table->breakers[i];
        int state = atomic_load_explicit(&breaker->state, memory_order_relaxed);
        size_t place = 0;

        if (state == BREAKER_CLOSED)
            continue;
        while (place < forwarder->breaker_count &&
               strcmp(forwarder->breakers[place].target, breaker->target) != 0)
            place++;
        if (place == STATUS_BREAKERS)
            return;
        if (place == forwarder->breaker_count)
        {
            forwarder->breaker_count++;
            strcpy(forwarder->breakers[place].target, breaker->target);
        }
        /* An open one says more than one that is being probed. */
        if (forwarder->breakers[place].state == NULL || state == BREAKER_OPEN)
            forwarder->breakers[place].state = breaker_state_name((enum breaker_state) state);
        forwarder->breakers[place].workers++;
    }
}

/* The rules of the worker that has waited longest for a word about them. */
static void gather_rules(struct status_forwarder *forwarder, const struct metrics *metrics,
                         uint64_t now_us)
{
    int64_t version = (int64_t) metric_read(&metrics->cells[METRIC_RULESET_VERSION]);
    uint64_t heard_us = metric_read(&metrics->cells[METRIC_RULESET_AGE]);
    int64_t age =
        heard_us == 0 || heard_us > now_us ? 0 : (int64_t) ((now_us - heard_us) / 1000000);

    if (age < forwarder->ruleset_age_s)
        return;
    forwarder->ruleset_age_s = age;
    forwarder->config_version = version;
}

/* So long has none had a link: as long as the one that has lost its own last. */
static void gather_link(struct status_forwarder *forwarder, uint64_t since_us, uint64_t now_us,
                        bool first)
{
    int64_t down =
        since_us == 0 || since_us > now_us ? -1 : (int64_t) ((now_us - since_us) / 1000000);

    if (first || down < forwarder->link_down_s)
        forwarder->link_down_s = down;
}

static void gather_worker(struct status_forwarder *forwarder, const struct worker *worker,
                          uint64_t now_us)
{
    const struct worker_status *status = &worker->status;

    forwarder->deciding += atomic_load_explicit(&status->can_decide, memory_order_relaxed);
    forwarder->logging += atomic_load_explicit(&status->can_log, memory_order_relaxed);
    forwarder->spooling += atomic_load_explicit(&status->can_spool, memory_order_relaxed);
    forwarder->unstored_rows += (int64_t) (metric_read(&worker->metrics.rows_in_memory) +
                                           metric_read(&worker->metrics.rows_in_spool));
    gather_link(forwarder, atomic_load_explicit(&status->linkless_us, memory_order_relaxed), now_us,
                worker->number == 0);
    gather_rules(forwarder, &worker->metrics, now_us);
    gather_breakers(forwarder, &worker->breakers);
}

void status_gather(const struct admin *admin, struct status_forwarder *forwarder)
{
    uint64_t now_us = loop_clock();

    *forwarder = (struct status_forwarder){
        .problem = admin_ready(admin),
        .workers = admin->worker_count,
        .link_down_s = -1,
        .uptime_s = time(NULL) - admin->started_us / 1000000,
        .ruleset_age_s = -1,
        .spool_bytes = (int64_t) spool_directory_stock(admin->directory).bytes};
    for (size_t i = 0; i < admin->worker_count; i++)
        gather_worker(forwarder, &admin->workers[i], now_us);
}
