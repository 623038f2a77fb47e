/* SPDX-License-Identifier: PostgreSQL
 *
 * status_sections.c: what the status page asks the database, and which columns the answers have.
 * Page and JSON are both made from this table. The functions are in extension/install/83_page.sql.
 */
#include "status.h"

#define COLUMNS(list) .columns = (list), .column_count = sizeof(list) / sizeof *(list)

/* The page shows it as facts, not as a table. */
static const struct status_column STEP[] = {
    {"percentage", NULL, STATUS_PERCENT},
    {"enabled", NULL, STATUS_FLAG},
    {"step", NULL, STATUS_COUNT},
    {"steps", NULL, STATUS_COUNT},
    {"began", NULL, STATUS_TIME},
    {"soak_s", NULL, STATUS_DURATION},
    {"soak_left_s", NULL, STATUS_DURATION},
    {"former", NULL, STATUS_PERCENT},
    {"next", NULL, STATUS_PERCENT},
    {"automatic_rollback", NULL, STATUS_FLAG},
    {"requests", NULL, STATUS_COUNT},
    {"errors", NULL, STATUS_COUNT},
    {"error_rate", NULL, STATUS_PERCENT},
    {"error_rate_low", NULL, STATUS_PERCENT},
    {"error_rate_high", NULL, STATUS_PERCENT},
    {"proof", NULL, STATUS_WORD},
    {"min_requests", NULL, STATUS_COUNT},
    {"warning_error_rate_pct", NULL, STATUS_PERCENT},
    {"critical_error_rate_pct", NULL, STATUS_PERCENT},
    {"warning_p95_ms", NULL, STATUS_MS},
    {"critical_p95_ms", NULL, STATUS_MS},
    {"config_version", NULL, STATUS_COUNT},
    {"changed", NULL, STATUS_TIME},
    {"changed_by", NULL, STATUS_TEXT},
    {"standby", NULL, STATUS_FLAG},
};

static const struct status_column GATES[] = {
    {"gate", "gate", STATUS_TEXT},         {"is_open", "passage", STATUS_FLAG},
    {"state", "state", STATUS_TEXT},       {"detail", "detail", STATUS_TEXT},
    {"remedy", "to open it", STATUS_TEXT},
};

static const struct status_column SPLIT[] = {
    {"domain", "domain", STATUS_TEXT},          {"state", "state", STATUS_TEXT},
    {"planned_pct", "planned", STATUS_PERCENT}, {"actual_pct", "actual", STATUS_PERCENT},
    {"share", "on unified", STATUS_BAR},        {"unified", NULL, STATUS_COUNT},
    {"requests", "requests", STATUS_COUNT},
};

static const struct status_column HEALTH[] = {
    {"domain", "domain", STATUS_TEXT},
    {"side", "side", STATUS_TEXT},
    {"severity", "verdict", STATUS_WORD},
    {"enrolled", NULL, STATUS_FLAG},
    {"requests", "requests", STATUS_COUNT},
    {"errors", "errors", STATUS_COUNT},
    {"error_rate", "error rate", STATUS_PERCENT},
    {"error_rate_low", "at least", STATUS_PERCENT},
    {"error_rate_high", "at most", STATUS_PERCENT},
    {"p95_ms", "P95", STATUS_MS},
    {"proof", "proof", STATUS_WORD},
    {"requests_needed", NULL, STATUS_COUNT},
    {"issue", "issue", STATUS_TEXT},
    {"advice", "advice", STATUS_TEXT},
};

static const struct status_column MINUTES[] = {
    {"minute", "minute", STATUS_TIME},
    {"unified_requests", "unified requests", STATUS_COUNT},
    {"unified_errors", "unified errors", STATUS_COUNT},
    {"unified_p50_ms", "unified median", STATUS_MS},
    {"unified_p95_ms", "unified P95", STATUS_MS},
    {"legacy_requests", "legacy requests", STATUS_COUNT},
    {"legacy_errors", "legacy errors", STATUS_COUNT},
    {"legacy_p50_ms", "legacy median", STATUS_MS},
    {"legacy_p95_ms", "legacy P95", STATUS_MS},
};

static const struct status_column TARGETS[] = {
    {"target", "function", STATUS_TEXT},    {"role", "role", STATUS_TEXT},
    {"breaker", "breaker", STATUS_BREAKER}, {"requests", "attempts", STATUS_COUNT},
    {"errors", "errors", STATUS_COUNT},     {"error_rate", "error rate", STATUS_PERCENT},
    {"p50_ms", "median", STATUS_MS},        {"p95_ms", "P95", STATUS_MS},
    {"last", "last attempt", STATUS_TIME},
};

static const struct status_column ERRORS[] = {
    {"errors", "errors", STATUS_COUNT}, {"first", "first", STATUS_TIME},
    {"last", "last", STATUS_TIME},      {"domain", "domain", STATUS_TEXT},
    {"side", "side", STATUS_TEXT},      {"target", "function", STATUS_TEXT},
    {"http", "HTTP", STATUS_TEXT},      {"message", "message", STATUS_TEXT},
};

static const struct status_column CHANGES[] = {
    {"at", "when", STATUS_TIME},          {"who", "who", STATUS_TEXT},
    {"what", "what", STATUS_TEXT},        {"why", "why", STATUS_TEXT},
    {"version", "version", STATUS_COUNT},
};

const struct status_section STATUS_TABLE[STATUS_SECTIONS] = {
    [STATUS_STEP] = {.id = "step", .title = "This step", .single = true, COLUMNS(STEP)},
    [STATUS_GATES] = {.id = "gates",
                      .title = "Gates to the next step",
                      .empty = "No gate applies.",
                      COLUMNS(GATES)},
    [STATUS_SPLIT] = {.id = "split",
                      .title = "Split, planned and actual",
                      .about =
                          "The last hour of this step. A busy sender counts more, a fallback on "
                          "both sides.",
                      .empty = "There are no domains.",
                      COLUMNS(SPLIT)},
    [STATUS_HEALTH] = {.id = "health",
                       .title = "Health of both sides",
                       .about = "The last hour of this step, or longer where that gives too few "
                                "requests. Bounds hold with 95 % confidence each.",
                       .empty = "No domain is enrolled, and there were no requests.",
                       COLUMNS(HEALTH)},
    [STATUS_MINUTES] = {.id = "minutes",
                        .title = "The last hour",
                        .empty = "Nothing is known of the last hour.",
                        COLUMNS(MINUTES)},
    [STATUS_TARGETS] = {.id = "targets",
                        .title = "Functions",
                        .about = "Attempts of the last hour. A function whose breaker is open is "
                                 "left alone for a while.",
                        .empty = "There are no functions.",
                        COLUMNS(TARGETS)},
    [STATUS_ERRORS] = {.id = "errors",
                       .title = "Recent errors",
                       .about = "Of the newest 1,000 within a day. Words with digits in them are "
                                "shown as #.",
                       .empty = "No errors within a day.",
                       COLUMNS(ERRORS)},
    [STATUS_CHANGES] = {.id = "changes",
                        .title = "Last changes",
                        .empty = "Nothing was ever changed.",
                        COLUMNS(CHANGES)},
};

/* The settings last for the session: nothing here may write, or take long. */
const struct database_statement STATUS_STATEMENTS[STATUS_SECTIONS + 1] = {
    [STATUS_STEP] = {"step", "SELECT * FROM webhook_routing_page_step()", 0, NULL},
    [STATUS_GATES] = {"gates", "SELECT * FROM webhook_routing_page_gates()", 0, NULL},
    [STATUS_SPLIT] = {"split", "SELECT * FROM webhook_routing_page_split()", 0, NULL},
    [STATUS_HEALTH] = {"health", "SELECT * FROM webhook_routing_page_health()", 0, NULL},
    [STATUS_MINUTES] = {"minutes", "SELECT * FROM webhook_routing_page_minutes()", 0, NULL},
    [STATUS_TARGETS] = {"targets", "SELECT * FROM webhook_routing_page_targets()", 0, NULL},
    [STATUS_ERRORS] = {"errors", "SELECT * FROM webhook_routing_page_errors()", 0, NULL},
    [STATUS_CHANGES] = {"changes", "SELECT * FROM webhook_routing_page_changes()", 0, NULL},
    [STATUS_SETTINGS] = {"settings",
                         "SELECT set_config('statement_timeout', '5s', false), "
                         "set_config('lock_timeout', '500ms', false), "
                         "set_config('default_transaction_read_only', 'on', false)",
                         0, NULL},
};
