/* SPDX-License-Identifier: PostgreSQL
 *
 * metrics.c: a worker's numbers, counted and added up. Pure.
 */
#include "metrics.h"

#include <string.h>

/* ---- names ---- */

size_t metric_place(struct metric_names *names, const char *name)
{
    size_t count = atomic_load_explicit(&names->count, memory_order_relaxed);
    size_t length = name == NULL ? 0 : strlen(name);

    if (name == NULL)
        return 0;
    for (size_t place = 1; place <= count; place++)
        if (names->lengths[place] == length && memcmp(names->names[place], name, length) == 0)
            return place;
    if (count + 1 == METRIC_NAMES || length > ROUTE_MAX_NAME_LENGTH)
        return 0;
    count++;
    memcpy(names->names[count], name, length + 1);
    names->lengths[count] = (uint8_t) length;
    /* Last: from now on other threads read it. */
    atomic_store_explicit(&names->count, count, memory_order_release);
    return count;
}

const char *metric_name(const struct metric_names *names, size_t place)
{
    return place == 0 ? "other" : names->names[place];
}

enum metric_side metric_side_of(const char *routed_to)
{
    switch (*routed_to)
    {
    case 'u':
        return METRIC_SIDE_UNIFIED;
    case 'l':
        return METRIC_SIDE_LEGACY;
    default:
        return METRIC_SIDE_ERROR;
    }
}

/* ---- histograms ---- */

const struct metric_bounds METRIC_ANSWER_BOUNDS = {
    17,
    {500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2000000, 3000000,
     5000000, 10000000, 15000000, 30000000}};

const struct metric_bounds METRIC_DECIDE_BOUNDS = {
    12, {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000}};

void metric_observe(struct metric_histogram *histogram, const struct metric_bounds *bounds,
                    uint64_t us)
{
    size_t bucket = 0;

    while (bucket < bounds->count && us > bounds->us[bucket])
        bucket++;
    metric_count(&histogram->buckets[bucket], 1);
    metric_count(&histogram->sum_us, us);
}

static void add_histogram(struct metric_histogram *total, const struct metric_histogram *worker)
{
    for (size_t i = 0; i <= METRIC_BUCKETS; i++)
        metric_count(&total->buckets[i], metric_read(&worker->buckets[i]));
    metric_count(&total->sum_us, metric_read(&worker->sum_us));
}

/* ---- adding up ---- */

enum source
{
    SUM,
    NEWEST,
    AGE,
    PROCESS,
    LABELS
};

static const enum source SOURCES[] = {
#define X(id, type, unit, source, name, labels, help) source,
    METRICS(X)
#undef X
};

static void add_cell(metric_cell *total, uint64_t value, enum source source, bool newest,
                     uint64_t now_us)
{
    uint64_t age = value == 0 || value >= now_us ? 0 : now_us - value;

    if (source == SUM)
        metric_count(total, value);
    else if (source == AGE && age > metric_read(total))
        metric_set(total, age);
    else if (source == NEWEST && newest)
        metric_set(total, value);
}

static void add_cells(struct metrics *total, const struct metrics *worker, uint64_t now_us)
{
    bool newest = metric_read(&worker->cells[METRIC_RULESET_VERSION]) >=
                  metric_read(&total->cells[METRIC_RULESET_VERSION]);

    for (size_t id = 0; id < METRIC_COUNT; id++)
        add_cell(&total->cells[id], metric_read(&worker->cells[id]), SOURCES[id], newest, now_us);
}

/* Any array of cells. */
static void add_array(metric_cell *total, const metric_cell *worker, size_t size)
{
    for (size_t i = 0; i < size / sizeof *total; i++)
        if (metric_read(&worker[i]) != 0)
            metric_count(&total[i], metric_read(&worker[i]));
}

#define ADD(field)                                                                                 \
    add_array((metric_cell *) &total->field, (const metric_cell *) &worker->field,                 \
              sizeof total->field)

/* Where the worker's names are in the total. */
static size_t map_names(struct metric_names *total, const struct metric_names *worker,
                        size_t places[METRIC_NAMES])
{
    size_t count = atomic_load_explicit(&worker->count, memory_order_acquire);

    places[0] = 0;
    for (size_t place = 1; place <= count; place++)
        places[place] = metric_place(total, worker->names[place]);
    return count;
}

static void add_decisions(struct metrics *total, const struct metrics *worker)
{
    size_t domains[METRIC_NAMES], reasons[METRIC_NAMES];
    size_t domain_count = map_names(&total->domains, &worker->domains, domains);
    size_t reason_count = map_names(&total->reasons, &worker->reasons, reasons);

    for (size_t domain = 0; domain <= domain_count; domain++)
        for (size_t reason = 0; reason <= reason_count; reason++)
            add_array(&total->decisions[domains[domain]][reasons[reason]][0][0],
                      &worker->decisions[domain][reason][0][0], sizeof worker->decisions[0][0]);
}

static void add_targets(struct metrics *total, const struct metrics *worker)
{
    size_t targets[METRIC_NAMES];
    size_t count = map_names(&total->targets, &worker->targets, targets);

    for (size_t from = 0; from <= count; from++)
    {
        size_t to = targets[from];

        add_array(&total->attempts[to][0][0], &worker->attempts[from][0][0],
                  sizeof worker->attempts[0]);
        metric_count(&total->fallbacks[to], metric_read(&worker->fallbacks[from]));
        metric_count(&total->openings[to], metric_read(&worker->openings[from]));
        add_histogram(&total->attempt_seconds[to][0], &worker->attempt_seconds[from][0]);
        add_histogram(&total->attempt_seconds[to][1], &worker->attempt_seconds[from][1]);
    }
}

void metrics_add(struct metrics *total, const struct metrics *worker, uint64_t now_us)
{
    add_cells(total, worker, now_us);
    ADD(responses);
    ADD(refused);
    ADD(links);
    ADD(links_up);
    ADD(connects);
    ADD(rows_in_memory);
    ADD(rows_in_spool);
    ADD(request_seconds);
    ADD(decide_seconds);
    add_decisions(total, worker);
    add_targets(total, worker);
}
