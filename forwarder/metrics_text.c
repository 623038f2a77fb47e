/* SPDX-License-Identifier: PostgreSQL
 *
 * metrics_text.c: a total of numbers in Prometheus' text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Pure.
 *
 * A family whose words are known beforehand is shown with all of them from the beginning, so that a
 * first error is an increase; one that names targets, domains or codes shows those that there were,
 * a target at once with every outcome.
 */
#include <stdio.h>
#include <string.h>

#include "metrics.h"

struct text
{
    struct writer *writer;
    const struct metrics *total;
    const char *name; /* of the family that is being written */
};

enum unit
{
    NONE,
    BYTES,
    SECONDS,
    RATIO
};

#define WORDS(array, list) static const char *const array[] = {list(X)};
#define X(id, word, meaning) word,
WORDS(REQUEST_WORDS, METRIC_REQUESTS)
WORDS(REFUSAL_WORDS, METRIC_REFUSALS)
WORDS(SIDE_WORDS, METRIC_SIDES)
WORDS(ROUTE_WORDS, METRIC_ROUTES)
WORDS(DECIDER_WORDS, METRIC_DECIDERS)
WORDS(OUTCOME_WORDS, ATTEMPT_OUTCOMES)
WORDS(LINK_WORDS, METRIC_LINKS)
#undef X

/* ---- lines ---- */

/* Backslash and line feed, and in the value of a label the quotation mark. */
static void put_escaped(struct writer *writer, const char *text, bool label)
{
    for (; *text != '\0'; text++)
        if (*text == '\n')
            writer_string(writer, "\\n");
        else if (*text == '\\' || (label && *text == '"'))
        {
            char escaped[2] = {'\\', *text};

            writer_put(writer, escaped, sizeof escaped);
        }
        else
            writer_put(writer, text, 1);
}

/* One label. `value` NULL: there is none. */
struct label
{
    const char *name, *value;
};

#define LABELS_MOST 4

static void put_labels(struct writer *writer, const struct label labels[LABELS_MOST])
{
    const char *before = "{";

    for (size_t i = 0; i < LABELS_MOST && labels[i].value != NULL; i++)
    {
        writer_print(writer, "%s%s=\"", before, labels[i].name);
        put_escaped(writer, labels[i].value, true);
        writer_string(writer, "\"");
        before = ",";
    }
    if (labels[0].value != NULL)
        writer_string(writer, "}");
}

static void put_value(struct writer *writer, uint64_t value, enum unit unit)
{
    if (value == UINT64_MAX)
        writer_string(writer, " NaN\n");
    else if (unit == SECONDS)
        writer_print(writer, " %llu.%06llu\n", (unsigned long long) (value / 1000000),
                     (unsigned long long) (value % 1000000));
    else if (unit == RATIO)
        writer_print(writer, " %llu.%04llu\n", (unsigned long long) (value / 10000),
                     (unsigned long long) (value % 10000));
    else
        writer_print(writer, " %llu\n", (unsigned long long) value);
}

static void put_sample(const struct text *text, const char *suffix,
                       const struct label labels[LABELS_MOST], uint64_t value, enum unit unit)
{
    writer_string(text->writer, text->name);
    writer_string(text->writer, suffix);
    put_labels(text->writer, labels);
    put_value(text->writer, value, unit);
}

static void put_one(const struct text *text, const struct label labels[LABELS_MOST],
                    const metric_cell *cell)
{
    put_sample(text, "", labels, metric_read(cell), NONE);
}

/* Buckets are shown added up, with the bound in the last label. */
static void put_histogram(const struct text *text, struct label labels[LABELS_MOST], size_t bound,
                          const struct metric_histogram *histogram,
                          const struct metric_bounds *bounds)
{
    uint64_t count = 0;
    char le[32];

    labels[bound] = (struct label){"le", le};
    for (size_t i = 0; i <= bounds->count; i++)
    {
        if (i < bounds->count)
            snprintf(le, sizeof le, "%g", (double) bounds->us[i] / 1e6);
        else
            strcpy(le, "+Inf");
        count += metric_read(&histogram->buckets[i]);
        put_sample(text, "_bucket", labels, count, NONE);
    }
    labels[bound] = (struct label){NULL, NULL};
    put_sample(text, "_sum", labels, metric_read(&histogram->sum_us), SECONDS);
    put_sample(text, "_count", labels, count, NONE);
}

static bool is_empty(const struct metric_histogram *histogram)
{
    uint64_t count = 0;

    for (size_t i = 0; i <= METRIC_BUCKETS; i++)
        count += metric_read(&histogram->buckets[i]);
    return count == 0;
}

/* ---- families ---- */

static void write_responses(const struct text *text)
{
    char code[16];

    for (size_t kind = 0; kind < METRIC_REQUEST_COUNT; kind++)
        for (unsigned status = 0; status < METRIC_STATUSES; status++)
        {
            const metric_cell *cell = &text->total->responses[kind][status];
            bool always = kind == REQUEST_IS_WEBHOOK && status == 200;

            snprintf(code, sizeof code, "%u", status);
            if (always || metric_read(cell) != 0)
                put_one(
                    text,
                    (struct label[LABELS_MOST]){{"request", REQUEST_WORDS[kind]}, {"code", code}},
                    cell);
        }
}

static void write_refused(const struct text *text)
{
    for (size_t i = 1; i < REFUSAL_COUNT; i++)
        put_one(text, (struct label[LABELS_MOST]){{"reason", REFUSAL_WORDS[i]}},
                &text->total->refused[i]);
}

static void write_request_seconds(const struct text *text)
{
    for (size_t i = 0; i < METRIC_ROUTE_COUNT; i++)
        put_histogram(text, (struct label[LABELS_MOST]){{"routed_to", ROUTE_WORDS[i]}}, 1,
                      &text->total->request_seconds[i], &METRIC_ANSWER_BOUNDS);
}

static void write_decide_seconds(const struct text *text)
{
    for (size_t i = 0; i < DECIDER_COUNT; i++)
        put_histogram(text, (struct label[LABELS_MOST]){{"decided_by", DECIDER_WORDS[i]}}, 1,
                      &text->total->decide_seconds[i], &METRIC_DECIDE_BOUNDS);
}

/* The decisions of a domain for a reason. */
static void write_decided(const struct text *text, size_t domain, size_t reason)
{
    const struct metrics *total = text->total;
    struct label labels[LABELS_MOST] = {{"routed_to", NULL},
                                        {"domain", metric_name(&total->domains, domain)},
                                        {"reason", metric_name(&total->reasons, reason)},
                                        {"decided_by", NULL}};

    for (size_t side = 0; side < 2; side++)
        for (size_t by = 0; by < DECIDER_COUNT; by++)
        {
            const metric_cell *cell = &total->decisions[domain][reason][side][by];

            labels[0].value = SIDE_WORDS[side];
            labels[3].value = DECIDER_WORDS[by];
            if (metric_read(cell) != 0)
                put_one(text, labels, cell);
        }
}

static void write_decisions(const struct text *text)
{
    for (size_t domain = 0; domain <= text->total->domains.count; domain++)
        for (size_t reason = 0; reason <= text->total->reasons.count; reason++)
            write_decided(text, domain, reason);
}

/* Of a target and side that there were attempts at, every outcome. */
static void write_outcomes(const struct text *text, size_t target, size_t side)
{
    const metric_cell *cells = text->total->attempts[target][side];
    struct label labels[LABELS_MOST] = {{"target", metric_name(&text->total->targets, target)},
                                        {"routed_to", SIDE_WORDS[side]},
                                        {"status", NULL},
                                        {"outcome", NULL}};
    uint64_t count = 0;

    for (size_t outcome = 0; outcome < ATTEMPT_OUTCOME_COUNT; outcome++)
        count += metric_read(&cells[outcome]);
    for (size_t outcome = 0; count > 0 && outcome < ATTEMPT_OUTCOME_COUNT; outcome++)
    {
        labels[2].value = outcome == OUTCOME_SUCCESS ? "success" : "error";
        labels[3].value = OUTCOME_WORDS[outcome];
        put_one(text, labels, &cells[outcome]);
    }
}

static void write_attempts(const struct text *text)
{
    for (size_t target = 0; target <= text->total->targets.count; target++)
        for (size_t side = 0; side < METRIC_SIDE_COUNT; side++)
            write_outcomes(text, target, side);
}

static void write_attempt_seconds(const struct text *text)
{
    const struct metrics *total = text->total;

    for (size_t target = 0; target <= total->targets.count; target++)
        for (size_t side = 0; side < 2; side++)
            if (!is_empty(&total->attempt_seconds[target][side]))
                put_histogram(
                    text,
                    (struct label[LABELS_MOST]){{"target", metric_name(&total->targets, target)},
                                                {"routed_to", SIDE_WORDS[side]}},
                    2, &total->attempt_seconds[target][side], &METRIC_ANSWER_BOUNDS);
}

/* A cell for each target there was; "other" when it has something. */
static void write_targets(const struct text *text, const metric_cell cells[METRIC_NAMES])
{
    const struct metric_names *targets = &text->total->targets;

    for (size_t target = 0; target <= targets->count; target++)
        if (target > 0 || metric_read(&cells[0]) != 0)
            put_one(text, (struct label[LABELS_MOST]){{"target", metric_name(targets, target)}},
                    &cells[target]);
}

static void write_fallbacks(const struct text *text)
{
    write_targets(text, text->total->fallbacks);
}

static void write_breaker_openings(const struct text *text)
{
    write_targets(text, text->total->openings);
}

static void write_breakers(const struct text *text)
{
    const struct metrics *total = text->total;

    for (size_t target = 1; target <= total->targets.count; target++)
        for (size_t state = 0; state < BREAKER_STATE_COUNT; state++)
            put_one(text,
                    (struct label[LABELS_MOST]){
                        {"target", metric_name(&total->targets, target)},
                        {"state", breaker_state_name((enum breaker_state) state)}},
                    &total->breakers[target][state]);
}

static void write_by_link(const struct text *text, const metric_cell cells[METRIC_LINK_COUNT])
{
    for (size_t i = 0; i < METRIC_LINK_COUNT; i++)
        put_one(text, (struct label[LABELS_MOST]){{"link", LINK_WORDS[i]}}, &cells[i]);
}

static void write_database_links(const struct text *text)
{
    write_by_link(text, text->total->links);
}

static void write_database_links_up(const struct text *text)
{
    write_by_link(text, text->total->links_up);
}

static void write_database_connects(const struct text *text)
{
    write_by_link(text, text->total->connects);
}

static void write_log_waiting(const struct text *text)
{
    put_one(text, (struct label[LABELS_MOST]){{"place", "memory"}}, &text->total->rows_in_memory);
    put_one(text, (struct label[LABELS_MOST]){{"place", "spool"}}, &text->total->rows_in_spool);
}

static void write_build_info(const struct text *text)
{
    put_sample(text, "", (struct label[LABELS_MOST]){{"version", WEBHOOK_ROUTING_VERSION}}, 1,
               NONE);
}

/* ---- the whole ---- */

/* NULL: the metric is a cell. */
static void (*const FAMILIES[METRIC_COUNT])(const struct text *text) = {
    [METRIC_RESPONSES] = write_responses,
    [METRIC_REFUSED] = write_refused,
    [METRIC_REQUEST_SECONDS] = write_request_seconds,
    [METRIC_DECISIONS] = write_decisions,
    [METRIC_DECIDE_SECONDS] = write_decide_seconds,
    [METRIC_ATTEMPTS] = write_attempts,
    [METRIC_ATTEMPT_SECONDS] = write_attempt_seconds,
    [METRIC_FALLBACKS] = write_fallbacks,
    [METRIC_BREAKERS] = write_breakers,
    [METRIC_BREAKER_OPENINGS] = write_breaker_openings,
    [METRIC_DATABASE_LINKS] = write_database_links,
    [METRIC_DATABASE_LINKS_UP] = write_database_links_up,
    [METRIC_DATABASE_CONNECTS] = write_database_connects,
    [METRIC_LOG_WAITING] = write_log_waiting,
    [METRIC_BUILD_INFO] = write_build_info,
};

static const struct
{
    const char *name, *type, *help;
    enum unit unit;
} ROWS[] = {
#define X(id, type, unit, source, name, labels, help) {name, #type, help, unit},
    METRICS(X)
#undef X
};

static void write_metric(struct text *text, size_t id)
{
    static const struct label none[LABELS_MOST];

    text->name = ROWS[id].name;
    writer_print(text->writer, "# HELP %s ", text->name);
    put_escaped(text->writer, ROWS[id].help, false);
    writer_print(text->writer, "\n# TYPE %s %s\n", text->name, ROWS[id].type);
    if (FAMILIES[id] != NULL)
        FAMILIES[id](text);
    else
        put_sample(text, "", none, metric_read(&text->total->cells[id]), ROWS[id].unit);
}

void metrics_write(struct writer *writer, const struct metrics *total)
{
    struct text text = {.writer = writer, .total = total};

    for (size_t id = 0; id < METRIC_COUNT; id++)
        write_metric(&text, id);
}
