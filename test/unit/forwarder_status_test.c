/* SPDX-License-Identifier: PostgreSQL
 *
 * The verdict of the status page, and that page and JSON hold whatever the database says, or
 * nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/status.h"

#define NOW 1769860800 /* 2026-01-31 12:00:00 */

/* A result whose columns are those of the section; rows of name=value, NULL for the rest. */
static PGresult *result_of(enum status_section_id section)
{
    const struct status_section *table = &STATUS_TABLE[section];
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc *columns = calloc(table->column_count, sizeof *columns);

    assert_true(result != NULL && columns != NULL);
    for (size_t i = 0; i < table->column_count; i++)
        columns[i].name = (char *) table->columns[i].name;
    assert_true(PQsetResultAttrs(result, (int) table->column_count, columns));
    free(columns);
    return result;
}

static void put(PGresult *result, int row, const char *column, const char *value)
{
    if (row == PQntuples(result))
        for (int field = 0; field < PQnfields(result); field++)
            assert_true(PQsetvalue(result, row, field, NULL, -1));
    assert_true(PQfnumber(result, column) >= 0);
    assert_true(
        PQsetvalue(result, row, PQfnumber(result, column), (char *) value, (int) strlen(value)));
}

/* A forwarder that is well, in front of a database that says: unified is healthy at 25 %. */
struct scene
{
    struct status_view view;
    PGresult *results[STATUS_SECTIONS];
};

static void health(struct scene *scene, const char *domain, const char *side, const char *severity,
                   const char *issue)
{
    PGresult *result = scene->results[STATUS_HEALTH];
    int row = PQntuples(result);

    put(result, row, "domain", domain);
    put(result, row, "side", side);
    put(result, row, "severity", severity);
    put(result, row, "requests", "6000");
    put(result, row, "errors", "60");
    put(result, row, "error_rate", "1.000");
    put(result, row, "error_rate_low", "0.799");
    put(result, row, "error_rate_high", "1.237");
    put(result, row, "advice", "Roll back.");
    if (issue != NULL)
        put(result, row, "issue", issue);
}

static void open_scene(struct scene *scene)
{
    static const char *const STEP[][2] = {
        {"percentage", "25.00"},
        {"enabled", "t"},
        {"step", "2"},
        {"steps", "6"},
        {"soak_s", "14400"},
        {"soak_left_s", "0"},
        {"former", "10.00"},
        {"next", "35.00"},
        {"requests", "6012"},
        {"errors", "2"},
        {"error_rate", "0.033"},
        {"error_rate_low", "0.006"},
        {"error_rate_high", "0.105"},
        {"proof", "shown_critical"},
        {"min_requests", "50"},
        {"warning_error_rate_pct", "0.1"},
        {"critical_error_rate_pct", "0.5"},
        {"warning_p95_ms", "2000"},
        {"critical_p95_ms", "3000"},
        {"config_version", "7"},
    };

    *scene = (struct scene){.view = {.now = NOW,
                                     .forwarder = {.workers = 2,
                                                   .deciding = 2,
                                                   .logging = 2,
                                                   .spooling = 2,
                                                   .link_down_s = -1,
                                                   .config_version = 7}}};
    for (int section = 0; section < STATUS_SECTIONS; section++)
        scene->view.results[section] = scene->results[section] =
            result_of((enum status_section_id) section);
    for (size_t i = 0; i < sizeof STEP / sizeof *STEP; i++)
        put(scene->results[STATUS_STEP], 0, STEP[i][0], STEP[i][1]);
    put(scene->results[STATUS_GATES], 0, "gate", "evaluation");
    put(scene->results[STATUS_GATES], 0, "is_open", "f");
    put(scene->results[STATUS_GATES], 0, "state", "none");
}

static void close_scene(struct scene *scene)
{
    for (int section = 0; section < STATUS_SECTIONS; section++)
        PQclear(scene->results[section]);
}

static void has(const struct writer *writer, const char *words)
{
    assert_false(writer->failed);
    if (writer->bytes == NULL ||
        memmem(writer->bytes, writer->length, words, strlen(words)) == NULL)
        fail_msg("\"%.*s\" has no \"%s\"", (int) writer->length,
                 writer->bytes == NULL ? "" : writer->bytes, words);
}

static void has_not(const struct writer *writer, const char *words)
{
    if (writer->bytes != NULL &&
        memmem(writer->bytes, writer->length, words, strlen(words)) != NULL)
        fail_msg("it has \"%s\"", words);
}

static void judged(struct scene *scene, enum status_level level, const char *headline,
                   const char *detail, const char *proof)
{
    struct status_verdict verdict;

    status_judge(&scene->view, &verdict);
    has(&verdict.headline, headline);
    has(&verdict.detail, detail);
    if (proof != NULL)
        has(&verdict.proof, proof);
    else
        assert_int_equal(verdict.proof.length, 0);
    assert_int_equal(verdict.level, level);
    status_verdict_free(&verdict);
    close_scene(scene);
}

/* ---- verdicts ---- */

static void safe(void **state)
{
    struct scene scene;

    (void) state;
    open_scene(&scene);
    judged(
        &scene, STATUS_SAFE, "Customers are safe: unified is healthy at 25 %",
        "The way to 35 % is closed: evaluation, none.",
        "2 errors in 6,012 requests on unified since this step began: 0.033 %; with 95 % "
        "confidence each no more than 0.105 % and no less than 0.006 %. Shown to be below 0.5 %.");
    open_scene(&scene);
    put(scene.results[STATUS_GATES], 0, "is_open", "t");
    judged(&scene, STATUS_SAFE, "Customers are safe", "Every gate is open to 35 %.", "6,012");
}

static void early_and_off(void **state)
{
    struct scene scene;

    (void) state;
    open_scene(&scene);
    put(scene.results[STATUS_STEP], 0, "requests", "12");
    judged(&scene, STATUS_EARLY, "Too early to tell: 12 of 50 requests", "Nothing speaks against",
           "in 12 requests");
    open_scene(&scene);
    put(scene.results[STATUS_STEP], 0, "enabled", "f");
    put(scene.results[STATUS_CHANGES], 0, "what", "min_requests 50 -> 100");
    put(scene.results[STATUS_CHANGES], 1, "what", "enabled true -> false");
    put(scene.results[STATUS_CHANGES], 1, "who", "ada");
    put(scene.results[STATUS_CHANGES], 1, "why", "complaints");
    put(scene.results[STATUS_CHANGES], 1, "at", "1769860740");
    judged(&scene, STATUS_OFF, "Routing is off: every customer is on legacy",
           "Switched off at 11:59:00 UTC by ada: complaints. Legacy has had too few requests",
           "6,012");
    open_scene(&scene);
    put(scene.results[STATUS_STEP], 0, "percentage", "0.00");
    health(&scene, "jobs", "legacy", "healthy", NULL);
    judged(&scene, STATUS_OFF, "Nobody is on unified yet", "Legacy is healthy, with 6000", NULL);
}

/* The worst is said, unified before legacy, wherever it stands. */
static void a_bad_side(void **state)
{
    struct scene scene;

    (void) state;
    open_scene(&scene);
    health(&scene, "jobs", "legacy", "critical", "critical: error rate 1.00 % is above 0.5 %");
    health(&scene, "jobs", "unified", "warning", "warning: error rate 1.00 % has reached 0.1 %");
    judged(
        &scene, STATUS_CRITICAL, "Customers on legacy are being failed", "jobs on legacy: error",
        "60 of 6,000 requests failed: 1 %; with 95 % confidence each no less than 0.799 % and no "
        "more than 1.237 %.");
    open_scene(&scene);
    health(&scene, "jobs", "legacy", "critical", "critical: P95 4000.00 ms is above 3000 ms");
    health(&scene, "property", "unified", "critical", "critical: error rate 1.00 % is above 0.5 %");
    judged(&scene, STATUS_CRITICAL, "Customers on unified are being failed: roll back",
           "property on unified: error rate 1.00 % is above 0.5 %.", "60 of 6,000");
    open_scene(&scene);
    health(&scene, "jobs", "unified", "environmental", "environmental: error rate 1.00 %");
    judged(&scene, STATUS_WARNING, "Both sides fail alike: hold", "jobs on unified", "60 of 6,000");
}

static void no_database(void **state)
{
    struct scene scene;

    (void) state;
    open_scene(&scene);
    health(&scene, "jobs", "unified", "critical", "critical: error rate 1.00 % is above 0.5 %");
    scene.view.problem = "no connection";
    scene.view.unreachable = true;
    scene.view.problem_since = NOW - 185;
    scene.view.data_age_s = 190;
    judged(
        &scene, STATUS_UNKNOWN, "Database not reachable since 11:56:55 UTC, for 3 min",
        "the last rules (config version 7) decide, so that nobody changes side, and the log waits "
        "in the spool. What is shown of the database is 3 min old.",
        NULL);
    open_scene(&scene);
    scene.view.problem = "permission denied for function webhook_routing_page_step";
    scene.view.data_age_s = -1;
    judged(&scene, STATUS_UNKNOWN, "The database does not tell this page how things are",
           "Why: permission denied for function webhook_routing_page_step. Nothing is known", NULL);
}

/* Without the health nobody is said to be safe, however well the step looks. */
static void half_an_answer(void **state)
{
    struct scene scene;

    (void) state;
    open_scene(&scene);
    scene.view.results[STATUS_HEALTH] = NULL;
    judged(&scene, STATUS_UNKNOWN, "Nothing is known of the customers yet", "has not answered yet",
           "6,012");
}

/* What concerns every customer comes before what the database says. */
static void refused_webhooks(void **state)
{
    struct scene scene;

    (void) state;
    open_scene(&scene);
    scene.view.forwarder.problem = "neither the spool nor the database takes decisions";
    judged(&scene, STATUS_CRITICAL, "Webhooks are not taken", "neither the spool", "6,012");
}

/* ---- page and JSON ---- */

static void nothing_is_known(void **state)
{
    struct status_view view = {.now = NOW, .data_age_s = -1};
    struct writer page = {0}, json = {0};

    (void) state;
    status_write_page(&page, &view);
    has(&page, "Nothing is known of the customers yet");
    has(&page, "Not known: the database has not said.");
    has(&page, "never had any");
    status_write_json(&json, &view);
    has(&json, "\"level\":\"unknown\"");
    has(&json, "\"step\":null");
    has(&json, "\"errors\":null");
    writer_free(&page);
    writer_free(&json);
}

/* Every text of every section, with what could leave its place. */
static void nothing_leaves_its_place(void **state)
{
    static const char EVIL[] = "</table><script>x()</script>\"' onload=x \\ \n<!--";
    struct scene scene;
    struct writer page = {0}, json = {0};

    (void) state;
    open_scene(&scene);
    for (int section = STATUS_GATES; section < STATUS_SECTIONS; section++)
        for (size_t i = 0; i < STATUS_TABLE[section].column_count; i++)
            if (STATUS_TABLE[section].columns[i].kind != STATUS_BAR &&
                STATUS_TABLE[section].columns[i].kind != STATUS_BREAKER)
                put(scene.results[section], 0, STATUS_TABLE[section].columns[i].name, EVIL);
    strcpy(scene.view.forwarder.breakers[0].target, "</dl><script>");
    scene.view.forwarder.breakers[0].state = "open";
    scene.view.forwarder.breaker_count = 1;
    scene.view.problem = EVIL;
    status_write_page(&page, &scene.view);
    has_not(&page, "<script>");
    has_not(&page, "<!--");
    has_not(&page, "\"' onload");
    has(&page, "&lt;script&gt;x()");
    status_write_json(&json, &scene.view);
    has_not(&json, "</script>\"'");
    has(&json, "</script>\\\"' onload=x \\\\ \\u000a<!--");
    writer_free(&page);
    writer_free(&json);
    close_scene(&scene);
}

static void charts(void **state)
{
    struct scene scene;
    struct writer page = {0};
    PGresult *minutes;

    (void) state;
    open_scene(&scene);
    minutes = scene.results[STATUS_MINUTES];
    for (int row = 0; row < 4; row++)
    {
        put(minutes, row, "minute", "1769860800");
        put(minutes, row, "unified_requests", row == 2 ? "0" : "100");
        put(minutes, row, "unified_errors", row == 2 ? "0" : "1");
        if (row != 2)
            put(minutes, row, "unified_p95_ms", "100.0");
    }
    status_write_charts(&page, &scene.view);
    /* 100 ms is a third of the way from 10 ms to 10 s; a minute without requests is a gap, and one
     * alone a dot. 1 % is half of the way from 0.01 to 100. */
    has(&page, "<path class=\"line unified p95\" d=\"M0 66.7h0L1 66.7M3 66.7h0\"/>");
    has(&page, "<path class=\"line unified p95\" d=\"M0 50.0h0L1 50.0M3 50.0h0\"/>");
    has(&page, "<path class=\"line legacy p50\" d=\"\"/>");
    has(&page, "warning P95 2000 ms");
    has(&page, "data-limit-0=\"250 meta Meta: median 250 ms\"");
    has(&page, "12:00</time></th><td class=\"n\">100</td>");
    writer_free(&page);
    close_scene(&scene);
}

/* A row of an open breaker says so; the sentence about it, too. */
static void breakers(void **state)
{
    struct scene scene;
    struct writer page = {0};

    (void) state;
    open_scene(&scene);
    put(scene.results[STATUS_TARGETS], 0, "target", "wa-webhook-jobs");
    put(scene.results[STATUS_TARGETS], 1, "target", "wa-webhook");
    strcpy(scene.view.forwarder.breakers[0].target, "wa-webhook-jobs");
    scene.view.forwarder.breakers[0].state = "half-open";
    scene.view.forwarder.breakers[0].workers = 1;
    scene.view.forwarder.breaker_count = 1;
    assert_string_equal(status_breaker(&scene.view, "wa-webhook-jobs"), "half-open");
    assert_string_equal(status_breaker(&scene.view, "wa-webhook"), "closed");
    status_write_page(&page, &scene.view);
    has(&page, "half-open</span>");
    has(&page, "wa-webhook-jobs half-open in 1 of 2 workers");
    writer_free(&page);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe),
        cmocka_unit_test(early_and_off),
        cmocka_unit_test(a_bad_side),
        cmocka_unit_test(no_database),
        cmocka_unit_test(half_an_answer),
        cmocka_unit_test(refused_webhooks),
        cmocka_unit_test(nothing_is_known),
        cmocka_unit_test(nothing_leaves_its_place),
        cmocka_unit_test(charts),
        cmocka_unit_test(breakers),
    };

    return cmocka_run_group_tests_name("forwarder_status", tests, NULL, NULL);
}
