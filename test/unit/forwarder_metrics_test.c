/* SPDX-License-Identifier: PostgreSQL
 *
 * What is counted, added up and written: bounds of buckets, names beyond the limit, workers whose
 * names came in different orders, and the text format with all its escapes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/metrics.h"

#define NOW UINT64_C(5000000000)

/* A worker with nothing counted, as large as the real one. */
static struct metrics *fresh(void)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);

    assert_non_null(metrics);
    return metrics;
}

/* What /metrics would say; the caller frees it. */
static char *text_of(const struct metrics *total)
{
    struct writer writer = {0};

    metrics_write(&writer, total);
    (void) writer_text(&writer);
    assert_false(writer.failed);
    return writer.bytes;
}

/* Whether the text has exactly this line. */
static bool has_line(const char *text, const char *line)
{
    size_t length = strlen(line);

    for (const char *at = text; (at = strstr(at, line)) != NULL; at++)
        if ((at == text || at[-1] == '\n') && at[length] == '\n')
            return true;
    return false;
}

static void says(const struct metrics *total, const char *line)
{
    char *text = text_of(total);

    if (!has_line(text, line))
        fail_msg("no line %s", line);
    free(text);
}

/* ---- buckets ---- */

static void a_value_at_a_bound_is_inside(void **state)
{
    const struct metric_bounds *bounds = &METRIC_ANSWER_BOUNDS;

    (void) state;
    for (size_t i = 0; i < bounds->count; i++)
    {
        struct metric_histogram histogram = {0};

        metric_observe(&histogram, bounds, bounds->us[i]);
        metric_observe(&histogram, bounds, bounds->us[i] + 1);
        assert_int_equal(metric_read(&histogram.buckets[i]), 1);
        assert_int_equal(metric_read(&histogram.buckets[i + 1]), 1);
        assert_int_equal(metric_read(&histogram.sum_us), 2 * bounds->us[i] + 1);
    }
}

static void bounds_rise_and_have_the_limits(void **state)
{
    static const uint64_t limits[] = {1000, 250000, 1000000, 2000000, 3000000};
    const struct metric_bounds *bounds = &METRIC_ANSWER_BOUNDS;

    (void) state;
    assert_true(bounds->count <= METRIC_BUCKETS);
    assert_true(METRIC_DECIDE_BOUNDS.count <= METRIC_BUCKETS);
    for (size_t i = 1; i < bounds->count; i++)
        assert_true(bounds->us[i] > bounds->us[i - 1]);
    for (size_t i = 1; i < METRIC_DECIDE_BOUNDS.count; i++)
        assert_true(METRIC_DECIDE_BOUNDS.us[i] > METRIC_DECIDE_BOUNDS.us[i - 1]);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    {
        size_t at = 0;

        while (at < bounds->count && bounds->us[at] != limits[i])
            at++;
        assert_true(at < bounds->count);
    }
}

static void buckets_are_shown_added_up(void **state)
{
    struct metrics *total = fresh();
    struct metric_histogram *histogram = &total->decide_seconds[DECIDED_BY_DATABASE];

    (void) state;
    metric_observe(histogram, &METRIC_DECIDE_BOUNDS, 100);
    metric_observe(histogram, &METRIC_DECIDE_BOUNDS, 101);
    metric_observe(histogram, &METRIC_DECIDE_BOUNDS, 70000000);
#define DECIDE METRICS_PREFIX "decide_duration_seconds"
    says(total, DECIDE "_bucket{decided_by=\"database\",le=\"0.0001\"} 1");
    says(total, DECIDE "_bucket{decided_by=\"database\",le=\"0.00025\"} 2");
    says(total, DECIDE "_bucket{decided_by=\"database\",le=\"1\"} 2");
    says(total, DECIDE "_bucket{decided_by=\"database\",le=\"+Inf\"} 3");
    says(total, DECIDE "_sum{decided_by=\"database\"} 70.000201");
    says(total, DECIDE "_count{decided_by=\"database\"} 3");
    free(total);
}

/* ---- names ---- */

static void names_are_bounded(void **state)
{
    struct metrics *metrics = fresh();
    char name[ROUTE_MAX_NAME_LENGTH + 2];

    (void) state;
    for (size_t i = 1; i < METRIC_NAMES; i++)
    {
        snprintf(name, sizeof name, "target-%zu", i);
        assert_int_equal(metric_place(&metrics->targets, name), i);
        assert_int_equal(metric_place(&metrics->targets, name), i);
    }
    assert_int_equal(metric_place(&metrics->targets, "one-more"), 0);
    assert_int_equal(metric_place(&metrics->targets, NULL), 0);
    assert_string_equal(metric_name(&metrics->targets, 0), "other");
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(metric_place(&metrics->domains, name), 0);
    name[sizeof name - 2] = '\0';
    assert_int_equal(metric_place(&metrics->domains, name), 1);
    assert_string_equal(metric_name(&metrics->domains, 1), name);
    free(metrics);
}

static void labels_are_escaped(void **state)
{
    struct metrics *total = fresh();
    size_t target = metric_place(&total->targets, "a\\b\"c\nd\xc3\xa9");

    (void) state;
    metric_count(&total->fallbacks[target], 7);
    says(total, METRICS_PREFIX "fallbacks_total{target=\"a\\\\b\\\"c\\nd\xc3\xa9\"} 7");
    free(total);
}

/* ---- adding up ---- */

static void attempt(struct metrics *worker, const char *target, uint64_t count)
{
    size_t place = metric_place(&worker->targets, target);

    metric_count(&worker->attempts[place][METRIC_SIDE_LEGACY][OUTCOME_TIMED_OUT], count);
    metric_observe(&worker->attempt_seconds[place][METRIC_SIDE_LEGACY], &METRIC_ANSWER_BOUNDS,
                   count);
}

static void workers_are_added_by_name(void **state)
{
    struct metrics *one = fresh(), *two = fresh(), *total = fresh();

    (void) state;
    attempt(one, "jobs", 1);
    attempt(one, "property", 10);
    attempt(two, "property", 100);
    attempt(two, "jobs", 1000);
    metric_count(&one->decisions[metric_place(&one->domains, "jobs")][metric_place(
                     &one->reasons, "status")][METRIC_SIDE_LEGACY][DECIDED_BY_LAST_RULES],
                 3);
    (void) metric_place(&two->domains, "property");
    metric_count(&two->decisions[metric_place(&two->domains, "jobs")][metric_place(
                     &two->reasons, "status")][METRIC_SIDE_LEGACY][DECIDED_BY_LAST_RULES],
                 4);
    metrics_add(total, one, NOW);
    metrics_add(total, two, NOW);
#define ATTEMPTS METRICS_PREFIX "attempts_total"
    says(total, ATTEMPTS "{target=\"jobs\",routed_to=\"legacy\",status=\"error\",outcome=\"timed_"
                         "out\"} 1001");
    says(total, ATTEMPTS "{target=\"property\",routed_to=\"legacy\",status=\"error\",outcome="
                         "\"timed_out\"} 110");
    says(total, METRICS_PREFIX "attempt_duration_seconds_count{target=\"jobs\",routed_to="
                               "\"legacy\"} 2");
    says(total, METRICS_PREFIX "decisions_total{routed_to=\"legacy\",domain=\"jobs\",reason="
                               "\"status\",decided_by=\"last_rules\"} 7");
    free(one);
    free(two);
    free(total);
}

/* More targets than a total can tell apart, in different orders: nothing is lost. */
static void what_has_no_place_is_other(void **state)
{
    struct metrics *total = fresh();
    char name[32];

    (void) state;
    for (int worker = 0; worker < 2; worker++)
    {
        struct metrics *metrics = fresh();

        for (int i = 0; i < 40; i++)
        {
            snprintf(name, sizeof name, "target-%d-%d", worker, i);
            attempt(metrics, name, 1);
        }
        metrics_add(total, metrics, NOW);
        free(metrics);
    }
    says(total, ATTEMPTS "{target=\"other\",routed_to=\"legacy\",status=\"error\",outcome=\"timed_"
                         "out\"} 17");
    free(total);
}

static void set(struct metrics *worker, enum metric_id id, uint64_t value)
{
    metric_set(&worker->cells[id], value);
}

/* The sum, the worker with the newest rules, the longest wait. */
static void gauges_of_workers_are_combined(void **state)
{
    struct metrics *one = fresh(), *two = fresh(), *total = fresh();

    (void) state;
    set(one, METRIC_IN_FLIGHT, 3);
    set(two, METRIC_IN_FLIGHT, 4);
    set(one, METRIC_RULESET_VERSION, 9);
    set(two, METRIC_RULESET_VERSION, 8);
    set(one, METRIC_ROUTING_RATIO, 3333);
    set(two, METRIC_ROUTING_RATIO, 5000);
    set(one, METRIC_ROUTING_ENABLED, 1);
    set(one, METRIC_TURN_AGE, NOW - 2500000);
    set(two, METRIC_TURN_AGE, NOW - 1000);
    set(one, METRIC_LOG_OLDEST, 0);
    set(two, METRIC_LOG_OLDEST, NOW + 1000);
    set(one, METRIC_SAMPLE_FINDINGS, METRIC_UNKNOWN);
    metrics_add(total, one, NOW);
    metrics_add(total, two, NOW);
    says(total, METRICS_PREFIX "in_flight_webhooks 7");
    says(total, METRICS_PREFIX "ruleset_version 9");
    says(total, METRICS_PREFIX "routing_ratio 0.3333");
    says(total, METRICS_PREFIX "routing_enabled 1");
    says(total, METRICS_PREFIX "turn_age_seconds 2.500000");
    says(total, METRICS_PREFIX "log_oldest_waiting_seconds 0.000000");
    says(total, METRICS_PREFIX "sample_ratio_findings NaN");
    free(one);
    free(two);
    free(total);
}

/* ---- the whole ---- */

static void every_metric_is_there_with_help_and_type(void **state)
{
    static const char *const LINES[][2] = {
#define X(id, type, unit, source, name, labels, help)                                              \
    {"# HELP " name " " help, "# TYPE " name " " #type},
        METRICS(X)
#undef X
    };
    struct metrics *total = fresh();
    char *text = text_of(total);

    (void) state;
    for (size_t i = 0; i < METRIC_COUNT; i++)
    {
        assert_true(has_line(text, LINES[i][0]));
        assert_true(has_line(text, LINES[i][1]));
    }
    free(text);
    free(total);
}

/* A first error is an increase from 0, not a series out of nowhere. */
static void what_is_known_is_shown_from_the_beginning(void **state)
{
    struct metrics *total = fresh();

    (void) state;
    says(total, METRICS_PREFIX "responses_total{request=\"webhook\",code=\"200\"} 0");
    says(total, METRICS_PREFIX "refused_requests_total{reason=\"signature\"} 0");
    says(total, METRICS_PREFIX "database_links_up{link=\"decide\"} 0");
    free(total);
}

static void text_of_any_length_is_written(void **state)
{
    struct writer writer = {0};
    char piece[3000];

    (void) state;
    memset(piece, 'x', sizeof piece - 1);
    piece[sizeof piece - 1] = '\0';
    for (int i = 0; i < 10; i++)
        writer_print(&writer, "%s|", piece);
    assert_false(writer.failed);
    assert_int_equal(writer.length, 10 * sizeof piece);
    assert_int_equal(writer.bytes[sizeof piece - 1], '|');
    assert_int_equal(writer.bytes[writer.length - 1], '|');
    writer_free(&writer);
    assert_null(writer.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_at_a_bound_is_inside),
        cmocka_unit_test(bounds_rise_and_have_the_limits),
        cmocka_unit_test(buckets_are_shown_added_up),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(workers_are_added_by_name),
        cmocka_unit_test(what_has_no_place_is_other),
        cmocka_unit_test(gauges_of_workers_are_combined),
        cmocka_unit_test(every_metric_is_there_with_help_and_type),
        cmocka_unit_test(what_is_known_is_shown_from_the_beginning),
        cmocka_unit_test(text_of_any_length_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
