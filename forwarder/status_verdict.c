/* SPDX-License-Identifier: PostgreSQL
 *
 * status_verdict.c: whether customers are safe, in words. What is worst comes first: webhooks that
 * are refused, a side that fails, a database that cannot be asked; then what the step of the
 * rollout says.
 */
#include <string.h>

#include "markup.h"
#include "status.h"

static const char *const LEVEL_NAMES[] = {
#define X(level, name, mark, meaning) name,
    STATUS_LEVELS(X)
#undef X
};

static const char *const LEVEL_MARKS[] = {
#define X(level, name, mark, meaning) mark,
    STATUS_LEVELS(X)
#undef X
};

const char *status_level_name(enum status_level level)
{
    return LEVEL_NAMES[level];
}

const char *status_level_mark(enum status_level level)
{
    return LEVEL_MARKS[level];
}

/* A value of the step with its unit, "0.5 %"; nothing for NULL. */
static void put_step(struct writer *writer, const struct status_view *view, const char *column,
                     const char *unit)
{
    const char *value = status_value(view, STATUS_STEP, 0, column);

    if (value == NULL)
        return;
    markup_number(writer, value);
    writer_string(writer, unit);
}

static double step_number(const struct status_view *view, const char *column)
{
    return status_number(view, STATUS_STEP, 0, column, 0);
}

/* ---- proof ---- */

/* "2 errors in 6,012 requests on unified since this step began: 0.033 %; with 95 % confidence each
 * no more than 0.105 % and no less than 0.006 %. Shown to be below 0.5 %." */
static void write_proof(const struct status_view *view, struct writer *proof)
{
    bool warning = status_is(view, STATUS_STEP, 0, "proof", "shown_warning");
    bool shown = warning || status_is(view, STATUS_STEP, 0, "proof", "shown_critical");

    if (status_value(view, STATUS_STEP, 0, "error_rate") == NULL)
        return;
    put_step(proof, view, "errors",
             status_is(view, STATUS_STEP, 0, "errors", "1") ? " error in " : " errors in ");
    put_step(proof, view, "requests", " requests on unified since this step began: ");
    put_step(proof, view, "error_rate", " %; with 95 % confidence each no more than ");
    put_step(proof, view, "error_rate_high", " % and no less than ");
    put_step(proof, view, "error_rate_low", " %. ");
    writer_string(proof, shown ? "Shown to be below " : "Not yet shown to be below ");
    put_step(proof, view, warning ? "warning_error_rate_pct" : "critical_error_rate_pct", " %.");
}

/* ---- the forwarder and its database ---- */

static void judge_refused(const struct status_view *view, struct status_verdict *verdict)
{
    verdict->level = STATUS_CRITICAL;
    writer_string(&verdict->headline, "Webhooks are not taken");
    writer_print(&verdict->detail, "This forwarder says: %s. Meta delivers again what it refuses.",
                 view->forwarder.problem);
    writer_string(&verdict->advice, "Look at the forwarder's log.");
}

static void put_since(struct writer *writer, const struct status_view *view)
{
    writer_string(writer, " since ");
    markup_moment(writer, view->problem_since, view->now);
    writer_string(writer, ", for ");
    markup_duration(writer, view->now - view->problem_since);
}

static void write_data_age(const struct status_view *view, struct writer *detail)
{
    if (view->data_age_s < 0)
    {
        writer_string(detail, " Nothing is known of the customers yet.");
        return;
    }
    writer_string(detail, " What is shown of the database is ");
    markup_duration(detail, view->data_age_s);
    writer_string(detail, " old.");
}

static void judge_unreachable(const struct status_view *view, struct status_verdict *verdict)
{
    verdict->level = STATUS_UNKNOWN;
    writer_string(&verdict->headline, "Database not reachable");
    put_since(&verdict->headline, view);
    if (view->forwarder.config_version > 0)
        writer_print(&verdict->detail,
                     "Webhooks are answered: the last rules (config version %lld) decide, so that "
                     "nobody changes side, and the log waits in the spool.",
                     (long long) view->forwarder.config_version);
    else
        writer_string(&verdict->detail,
                      "Webhooks are answered: there have never been any rules, so "
                      "that the default function gets them all.");
    write_data_age(view, &verdict->detail);
    writer_string(&verdict->advice,
                  view->mend != NULL
                      ? view->mend
                      : "The forwarder's log says why, and what mends it: database_unreachable.");
}

static void judge_silent(const struct status_view *view, struct status_verdict *verdict)
{
    verdict->level = STATUS_UNKNOWN;
    writer_string(&verdict->headline, "The database does not tell this page how things are");
    writer_print(&verdict->detail, "Why: %s.", view->problem);
    write_data_age(view, &verdict->detail);
    if (view->mend != NULL)
        writer_string(&verdict->advice, view->mend);
}

/* ---- the two sides ---- */

static void put_health(struct writer *writer, const struct status_view *view, int row,
                       const char *column, const char *unit)
{
    const char *value = status_value(view, STATUS_HEALTH, row, column);

    markup_number(writer, value == NULL ? "0" : value);
    writer_string(writer, unit);
}

/* "property on unified: error rate 9.09 % is above 0.5 %." and what the requests prove of it. */
static void put_issue(struct status_verdict *verdict, const struct status_view *view, int row)
{
    const char *domain = status_value(view, STATUS_HEALTH, row, "domain");
    const char *side = status_value(view, STATUS_HEALTH, row, "side");
    const char *issue = status_value(view, STATUS_HEALTH, row, "issue");
    const char *advice = status_value(view, STATUS_HEALTH, row, "advice");
    const char *colon = issue == NULL ? NULL : strstr(issue, ": ");

    writer_print(&verdict->detail, "%s%s%s: %s.", domain == NULL ? "unknown" : domain,
                 side == NULL ? "" : " on ", side == NULL ? "" : side,
                 issue == NULL   ? "no requests"
                 : colon == NULL ? issue
                                 : colon + 2);
    if (advice != NULL)
        writer_string(&verdict->advice, advice);
    put_health(&verdict->proof, view, row, "errors", " of ");
    put_health(&verdict->proof, view, row, "requests", " requests failed: ");
    put_health(&verdict->proof, view, row, "error_rate",
               " %; with 95 % confidence each no less than ");
    put_health(&verdict->proof, view, row, "error_rate_low", " % and no more than ");
    put_health(&verdict->proof, view, row, "error_rate_high", " %.");
}

/* The first row of this severity, one of unified rather than of another side; -1: there is none. */
static int bad_row(const struct status_view *view, const char *severity)
{
    int found = -1;

    for (int row = 0; row < status_rows(view, STATUS_HEALTH); row++)
    {
        if (!status_is(view, STATUS_HEALTH, row, "severity", severity))
            continue;
        if (status_is(view, STATUS_HEALTH, row, "side", "unified"))
            return row;
        if (found < 0)
            found = row;
    }
    return found;
}

static bool judge_bad_side(const struct status_view *view, struct status_verdict *verdict,
                           const char *severity, enum status_level level, const char *unified,
                           const char *elsewhere)
{
    int row = bad_row(view, severity);

    if (row < 0)
        return false;
    verdict->level = level;
    writer_string(&verdict->headline,
                  status_is(view, STATUS_HEALTH, row, "side", "unified") ? unified : elsewhere);
    put_issue(verdict, view, row);
    return true;
}

/* Whether a side is in trouble: the worst verdict of all, in words. */
static bool judge_sides(const struct status_view *view, struct status_verdict *verdict)
{
    return judge_bad_side(view, verdict, "critical", STATUS_CRITICAL,
                          "Customers on unified are being failed: roll back",
                          "Customers on legacy are being failed") ||
           judge_bad_side(view, verdict, "environmental", STATUS_WARNING,
                          "Both sides fail alike: hold, rolling back would not help",
                          "Both sides fail alike: hold, rolling back would not help") ||
           judge_bad_side(view, verdict, "warning", STATUS_WARNING,
                          "Hold: unified has errors to explain",
                          "Hold: legacy has errors to explain");
}

/* ---- the step ---- */

/* Requests that the health has seen of a side, all domains together. */
static double side_requests(const struct status_view *view, const char *side)
{
    double sum = 0;

    for (int row = 0; row < status_rows(view, STATUS_HEALTH); row++)
        if (status_is(view, STATUS_HEALTH, row, "side", side))
            sum += status_number(view, STATUS_HEALTH, row, "requests", 0);
    return sum;
}

/* Who has switched routing off, when, and why. */
static void put_switch(struct writer *detail, const struct status_view *view)
{
    for (int row = 0; row < status_rows(view, STATUS_CHANGES); row++)
    {
        const char *what = status_value(view, STATUS_CHANGES, row, "what");
        const char *who = status_value(view, STATUS_CHANGES, row, "who");
        const char *why = status_value(view, STATUS_CHANGES, row, "why");

        if (what == NULL || strstr(what, "enabled true -> false") == NULL)
            continue;
        writer_string(detail, "Switched off at ");
        markup_moment(detail, (int64_t) status_number(view, STATUS_CHANGES, row, "at", 0),
                      view->now);
        writer_print(detail, " by %s%s%s. ", who == NULL ? "somebody" : who,
                     why == NULL ? "" : ": ", why == NULL ? "" : why);
        return;
    }
}

static void judge_off(const struct status_view *view, struct status_verdict *verdict)
{
    bool disabled = !status_is(view, STATUS_STEP, 0, "enabled", "t");
    double requests = side_requests(view, "legacy");

    verdict->level = STATUS_OFF;
    writer_string(&verdict->headline,
                  disabled ? "Routing is off: every customer is on legacy"
                           : "Nobody is on unified yet: every customer is on legacy");
    if (disabled)
        put_switch(&verdict->detail, view);
    if (requests >= step_number(view, "min_requests"))
        writer_print(&verdict->detail, "Legacy is healthy, with %.0f requests looked at.",
                     requests);
    else
        writer_string(&verdict->detail, "Legacy has had too few requests for a verdict.");
    if (disabled)
        writer_string(&verdict->advice,
                      "When it is time: SELECT set_routing_enabled(true, 'why');");
}

static void judge_early(const struct status_view *view, struct status_verdict *verdict)
{
    verdict->level = STATUS_EARLY;
    writer_string(&verdict->headline, "Too early to tell: ");
    put_step(&verdict->headline, view, "requests", " of ");
    put_step(&verdict->headline, view, "min_requests", " requests on unified");
    writer_string(&verdict->detail,
                  "Nothing speaks against unified so far, and too little for it.");
}

/* The first gate that is closed; -1 when none is. */
static int closed_gate(const struct status_view *view)
{
    for (int row = 0; row < status_rows(view, STATUS_GATES); row++)
        if (!status_is(view, STATUS_GATES, row, "is_open", "t"))
            return row;
    return -1;
}

static void judge_safe(const struct status_view *view, struct status_verdict *verdict)
{
    int gate = closed_gate(view);

    verdict->level = STATUS_SAFE;
    writer_string(&verdict->headline, "Customers are safe: unified is healthy at ");
    put_step(&verdict->headline, view, "percentage", " %");
    if (status_value(view, STATUS_STEP, 0, "next") == NULL)
        writer_string(&verdict->detail, "This is the last step of the plan.");
    else if (gate < 0 && status_rows(view, STATUS_GATES) > 0)
    {
        writer_string(&verdict->detail, "Every gate is open to ");
        put_step(&verdict->detail, view, "next", " %.");
        writer_string(&verdict->advice, "SELECT rollout_advance('why');");
    }
    else if (gate >= 0)
    {
        const char *name = status_value(view, STATUS_GATES, gate, "gate");
        const char *state = status_value(view, STATUS_GATES, gate, "state");

        writer_string(&verdict->detail, "The way to ");
        put_step(&verdict->detail, view, "next", " % is closed: ");
        writer_print(&verdict->detail, "%s, %s.", name == NULL ? "" : name,
                     state == NULL ? "" : state);
    }
}

static void judge_step(const struct status_view *view, struct status_verdict *verdict)
{
    if (status_rows(view, STATUS_STEP) == 0 || view->results[STATUS_HEALTH] == NULL)
    {
        verdict->level = STATUS_UNKNOWN;
        writer_string(&verdict->headline, "Nothing is known of the customers yet");
        writer_string(&verdict->detail, "The database has not answered yet.");
    }
    else if (!status_is(view, STATUS_STEP, 0, "enabled", "t") ||
             step_number(view, "percentage") == 0)
        judge_off(view, verdict);
    else if (step_number(view, "requests") < step_number(view, "min_requests"))
        judge_early(view, verdict);
    else
        judge_safe(view, verdict);
}

void status_judge(const struct status_view *view, struct status_verdict *verdict)
{
    *verdict = (struct status_verdict){0};
    if (view->forwarder.problem != NULL)
        judge_refused(view, verdict);
    else if (view->problem != NULL && view->unreachable)
        judge_unreachable(view, verdict);
    else if (view->problem != NULL)
        judge_silent(view, verdict);
    else if (!judge_sides(view, verdict))
        judge_step(view, verdict);
    if (view->problem == NULL && verdict->proof.length == 0 && step_number(view, "percentage") > 0)
        write_proof(view, &verdict->proof);
}

void status_verdict_free(struct status_verdict *verdict)
{
    writer_free(&verdict->headline);
    writer_free(&verdict->detail);
    writer_free(&verdict->proof);
    writer_free(&verdict->advice);
}
