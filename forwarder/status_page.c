/* SPDX-License-Identifier: PostgreSQL
 *
 * status_page.c: the status page. Complete as it is served; page.js only fetches it again in its
 * place and draws the charts with uPlot. Every path in it is relative, so that it works under a
 * prefix of a front proxy; nothing is fetched from anywhere else.
 *
 * What is for the eye is in forwarder/page/page.css: no style and no script stands in the page, so
 * that the Content-Security-Policy (status_routes.c) can forbid both.
 */
#include <stdlib.h>
#include <string.h>

#include "markup.h"
#include "status.h"

/* ---- the frame ---- */

static void put_asset(struct writer *writer, const char *before, const char *name,
                      const char *after)
{
    writer_print(writer, "%sstatus/%s?v=%08x%s\n", before, name, assets_fingerprint(), after);
}

static void put_head(struct writer *writer, enum status_level level)
{
    writer_print(writer,
                 "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                 "<meta name=\"color-scheme\" content=\"light dark\">\n"
                 "<meta name=\"robots\" content=\"noindex\">\n"
                 "<title>%s %s \xc2\xb7 webhook routing</title>\n"
                 "<link rel=\"icon\" type=\"image/svg+xml\" href=\"status/icon.svg?level=%s\">\n",
                 status_level_mark(level), status_level_name(level), status_level_name(level));
    put_asset(writer, "<link rel=\"stylesheet\" href=\"", "page.css", "\">");
    if (assets_have_uplot())
    {
        put_asset(writer, "<link rel=\"stylesheet\" href=\"", "uplot.css", "\">");
        put_asset(writer, "<script defer src=\"", "uplot.js", "\"></script>");
    }
    put_asset(writer, "<script defer src=\"", "page.js", "\"></script>");
    writer_print(writer,
                 "<noscript><meta http-equiv=\"refresh\" content=\"%d\"></noscript>\n</head>\n",
                 STATUS_REFRESH_S);
}

static void put_top(struct writer *writer, const struct status_view *view)
{
    writer_string(writer, "<header>\n<h1>Webhook routing</h1>\n<p id=\"asof\">As of ");
    markup_time(writer, view->now, view->now);
    if (view->data_age_s > STATUS_REFRESH_S)
    {
        writer_string(writer, ", the database as it was ");
        markup_duration(writer, view->data_age_s);
        writer_string(writer, " before");
    }
    writer_print(writer, ", again every %d s</p>\n</header>\n", STATUS_REFRESH_S);
}

static void put_foot(struct writer *writer)
{
    writer_string(writer, "<footer>\n<p>webhook-forwarder " WEBHOOK_ROUTING_VERSION
                          " \xc2\xb7 <a href=\"status.json\">status.json</a> \xc2\xb7 "
                          "<a href=\"metrics\">metrics</a>");
    if (assets_have_uplot())
        writer_string(writer, " \xc2\xb7 charts drawn with uPlot, "
                              "<a href=\"status/uplot-licence.txt\">its licence</a>");
    writer_string(writer, "</p>\n<p>This page only shows; it changes nothing. Times are UTC.</p>\n"
                          "</footer>\n</body>\n</html>\n");
}

/* ---- the verdict ---- */

static void put_sentence(struct writer *writer, const char *class, struct writer *sentence)
{
    writer->failed = writer->failed || sentence->failed;
    if (sentence->length == 0)
        return;
    writer_print(writer, "<p class=\"%s\">", class);
    markup_text(writer, writer_text(sentence));
    writer_string(writer, "</p>\n");
}

static void put_verdict(struct writer *writer, struct status_verdict *verdict)
{
    writer_print(writer,
                 "<section id=\"verdict\" class=\"%s\" aria-labelledby=\"headline\" "
                 "aria-live=\"polite\">\n<h2 id=\"headline\"><span class=\"mark\" "
                 "aria-hidden=\"true\">%s</span> ",
                 status_level_name(verdict->level), status_level_mark(verdict->level));
    writer->failed = writer->failed || verdict->headline.failed;
    markup_text(writer, writer_text(&verdict->headline));
    writer_string(writer, "</h2>\n");
    put_sentence(writer, "detail", &verdict->detail);
    put_sentence(writer, "advice", &verdict->advice);
    put_sentence(writer, "proof", &verdict->proof);
    writer_string(writer, "</section>\n");
}

/* ---- the step ---- */

static void put_step_value(struct writer *writer, const struct status_view *view,
                           const char *column, enum status_kind kind)
{
    status_write_value(writer, view, kind, status_value(view, STATUS_STEP, 0, column));
}

static void put_share(struct writer *writer, const struct status_view *view)
{
    bool enabled = status_is(view, STATUS_STEP, 0, "enabled", "t");

    writer_print(writer, "<div class=\"%s\"><dt>On unified</dt><dd><b>", enabled ? "" : "off");
    put_step_value(writer, view, "percentage", STATUS_PERCENT);
    writer_string(writer, "</b> <span class=\"more\">");
    if (enabled)
    {
        writer_string(writer, "step ");
        put_step_value(writer, view, "step", STATUS_COUNT);
        writer_string(writer, " of ");
        put_step_value(writer, view, "steps", STATUS_COUNT);
    }
    else
        writer_string(writer, "switched off");
    writer_string(writer, "</span></dd></div>\n");
}

/* How much of the soak is over, as a bar and in words. */
static void put_soak(struct writer *writer, const struct status_view *view)
{
    double soak = status_number(view, STATUS_STEP, 0, "soak_s", 0);
    double left = status_number(view, STATUS_STEP, 0, "soak_left_s", 0);

    writer_string(writer, "<div><dt>Soak</dt><dd><b>");
    if (soak <= 0)
        writer_string(writer, "none");
    else if (left <= 0)
        writer_string(writer, "over");
    else
    {
        put_step_value(writer, view, "soak_left_s", STATUS_DURATION);
        writer_string(writer, " left");
    }
    writer_string(writer, "</b> <span class=\"more\">of ");
    put_step_value(writer, view, "soak_s", STATUS_DURATION);
    writer_string(writer, "</span>");
    if (soak > 0)
        writer_print(
            writer,
            "<svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" "
            "aria-hidden=\"true\"><rect class=\"track\" width=\"100\" height=\"10\"/><rect "
            "class=\"fill\" width=\"%.2f\" height=\"10\"/></svg>",
            left > soak ? 0 : 100 * (1 - left / soak));
    writer_string(writer, "</dd></div>\n");
}

static void put_next(struct writer *writer, const struct status_view *view)
{
    writer_string(writer, "<div><dt>Next</dt><dd><b>");
    if (status_value(view, STATUS_STEP, 0, "next") == NULL)
        writer_string(writer, "the last step");
    else
        put_step_value(writer, view, "next", STATUS_PERCENT);
    writer_string(writer, "</b> <span class=\"more\">way back: ");
    put_step_value(writer, view, "former", STATUS_PERCENT);
    writer_string(writer, "</span></dd></div>\n");
}

static void put_error_rate(struct writer *writer, const struct status_view *view)
{
    writer_string(writer, "<div><dt>Errors on unified, this step</dt><dd><b>");
    put_step_value(writer, view, "error_rate", STATUS_PERCENT);
    writer_string(writer, "</b> <span class=\"more\">");
    if (status_value(view, STATUS_STEP, 0, "error_rate_high") == NULL)
        writer_string(writer, "no requests yet");
    else
    {
        writer_string(writer, "at most ");
        put_step_value(writer, view, "error_rate_high", STATUS_PERCENT);
        writer_string(writer, ", of ");
        put_step_value(writer, view, "requests", STATUS_COUNT);
    }
    writer_string(writer, "</span></dd></div>\n");
}

static void put_config(struct writer *writer, const struct status_view *view)
{
    writer_string(writer, "<div><dt>Configuration</dt><dd><b>version ");
    put_step_value(writer, view, "config_version", STATUS_COUNT);
    writer_string(writer, "</b> <span class=\"more\">automatic rollback ");
    writer_string(writer,
                  status_is(view, STATUS_STEP, 0, "automatic_rollback", "t") ? "on" : "off");
    if (status_is(view, STATUS_STEP, 0, "standby", "t"))
        writer_string(writer, "; read from a standby");
    writer_string(writer, "</span></dd></div>\n");
}

static void put_step(struct writer *writer, const struct status_view *view)
{
    writer_print(writer,
                 "<section id=\"step\" aria-labelledby=\"step-title\">\n"
                 "<h2 id=\"step-title\" class=\"unseen\">%s</h2>\n",
                 STATUS_TABLE[STATUS_STEP].title);
    if (status_rows(view, STATUS_STEP) == 0)
        writer_string(writer, "<p class=\"empty\">Not known: the database has not said.</p>\n");
    else
    {
        writer_string(writer, "<dl class=\"facts\">\n");
        put_share(writer, view);
        put_soak(writer, view);
        put_next(writer, view);
        put_error_rate(writer, view);
        put_config(writer, view);
        writer_string(writer, "</dl>\n");
    }
    writer_string(writer, "</section>\n");
}

/* ---- the forwarder ---- */

static void put_fact(struct writer *writer, const char *name, bool good)
{
    writer_print(writer,
                 "<div><dt>%s</dt><dd><span class=\"%s\"><span aria-hidden=\"true\">%s</span> ",
                 name, good ? "good" : "bad", good ? "\xe2\x9c\x93" : "\xe2\x9c\x95");
}

static void put_links(struct writer *writer, const struct status_forwarder *forwarder)
{
    bool down = forwarder->deciding == 0 && forwarder->logging == 0;

    put_fact(writer, "Database",
             forwarder->deciding == forwarder->workers && forwarder->logging == forwarder->workers);
    if (down && forwarder->link_down_s >= 0)
    {
        writer_string(writer, "not reachable for ");
        markup_duration(writer, forwarder->link_down_s);
    }
    else
        writer_print(writer, "decides for %zu, takes the log of %zu of %zu workers",
                     forwarder->deciding, forwarder->logging, forwarder->workers);
    writer_string(writer, "</span></dd></div>\n");
}

static void put_spool(struct writer *writer, const struct status_forwarder *forwarder)
{
    char text[32];

    put_fact(writer, "Spool", forwarder->spooling == forwarder->workers);
    writer_string(writer,
                  forwarder->spooling == forwarder->workers ? "takes decisions" : "not usable");
    snprintf(text, sizeof text, "%lld", (long long) forwarder->unstored_rows);
    writer_string(writer, ", log rows waiting: ");
    markup_number(writer, text);
    writer_print(writer, ", %.1f MiB</span></dd></div>\n",
                 (double) forwarder->spool_bytes / 1048576);
}

static void put_rules(struct writer *writer, const struct status_forwarder *forwarder)
{
    put_fact(writer, "Rules", forwarder->config_version > 0);
    if (forwarder->config_version > 0)
        writer_print(writer, "version %lld", (long long) forwarder->config_version);
    else
        writer_string(writer, "never had any");
    if (forwarder->ruleset_age_s >= 0)
    {
        writer_string(writer, ", confirmed ");
        markup_duration(writer, forwarder->ruleset_age_s);
        writer_string(writer, " ago");
    }
    writer_string(writer, "</span></dd></div>\n");
}

static void put_breakers(struct writer *writer, const struct status_forwarder *forwarder)
{
    put_fact(writer, "Breakers", forwarder->breaker_count == 0);
    if (forwarder->breaker_count == 0)
        writer_string(writer, "all closed");
    for (size_t i = 0; i < forwarder->breaker_count; i++)
    {
        writer_string(writer, i > 0 ? ", " : "");
        markup_text(writer, forwarder->breakers[i].target);
        writer_print(writer, " %s in %u of %zu workers", forwarder->breakers[i].state,
                     forwarder->breakers[i].workers, forwarder->workers);
    }
    writer_string(writer, "</span></dd></div>\n");
}

static void put_forwarder(struct writer *writer, const struct status_view *view)
{
    const struct status_forwarder *forwarder = &view->forwarder;

    writer_string(writer, "<section id=\"forwarder\" aria-labelledby=\"forwarder-title\">\n"
                          "<h2 id=\"forwarder-title\">This forwarder</h2>\n<dl class=\"facts\">\n");
    put_fact(writer, "Webhooks", forwarder->problem == NULL);
    markup_text(writer, forwarder->problem == NULL ? "taken" : forwarder->problem);
    writer_string(writer, "</span></dd></div>\n");
    put_links(writer, forwarder);
    put_spool(writer, forwarder);
    put_rules(writer, forwarder);
    put_breakers(writer, forwarder);
    writer_print(writer, "<div><dt>Running</dt><dd>" WEBHOOK_ROUTING_VERSION ", %zu worker%s, for ",
                 forwarder->workers, forwarder->workers == 1 ? "" : "s");
    markup_duration(writer, forwarder->uptime_s);
    writer_string(writer, "</dd></div>\n</dl>\n</section>\n");
}

/* ---- all of it ---- */

void status_write_page(struct writer *writer, const struct status_view *view)
{
    struct status_verdict verdict;

    status_judge(view, &verdict);
    put_head(writer, verdict.level);
    writer_print(writer, "<body data-refresh=\"%d\"%s>\n", STATUS_REFRESH_S,
                 view->problem != NULL && view->data_age_s >= 0 ? " class=\"stale\"" : "");
    put_top(writer, view);
    writer_string(writer, "<main>\n");
    put_verdict(writer, &verdict);
    put_step(writer, view);
    status_write_table(writer, view, STATUS_SPLIT);
    status_write_table(writer, view, STATUS_GATES);
    status_write_table(writer, view, STATUS_HEALTH);
    status_write_charts(writer, view);
    status_write_table(writer, view, STATUS_TARGETS);
    status_write_table(writer, view, STATUS_ERRORS);
    status_write_table(writer, view, STATUS_CHANGES);
    put_forwarder(writer, view);
    writer_string(writer, "</main>\n");
    put_foot(writer);
    status_verdict_free(&verdict);
}

void status_write_icon(struct writer *writer, const char *level)
{
    static const char *const COLOURS[][2] = {
        {"safe", "#1a7f4b"}, {"warning", "#b45309"}, {"critical", "#c2262e"}};
    const char *colour = "#6b7280";

    for (size_t i = 0; level != NULL && i < sizeof COLOURS / sizeof *COLOURS; i++)
        if (strcmp(level, COLOURS[i][0]) == 0)
            colour = COLOURS[i][1];
    writer_print(writer,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><circle cx=\"8\" "
                 "cy=\"8\" r=\"7\" fill=\"%s\"/></svg>\n",
                 colour);
}
