/* SPDX-License-Identifier: PostgreSQL
 *
 * status_charts.c: the last hour of both sides as lines, drawn here as SVG, so that they are there
 * without any script. With one, page.js draws the table beneath with uPlot in their place.
 *
 * Scales are logarithmic: 10 ms to 10 s, and 0.01 % to 100 %; what is less lies on the lower edge.
 * Places in the drawing are percentages, so that lines stretch and letters do not.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "markup.h"
#include "status.h"

struct chart_line
{
    const char *name, *class;
    const char *value;    /* column of a minute */
    const char *requests; /* NULL: the value is drawn; else the share of `value` in these, in % */
};

struct chart_limit
{
    double value; /* 0: that of the configuration, from the step's column */
    const char *column, *name, *class;
    bool at_end; /* its name stands at the right, beneath the line; else at the left, above it */
};

struct chart
{
    const char *id, *title, *unit;
    double least, most; /* of the scale */
    const struct chart_line *lines;
    size_t line_count;
    const struct chart_limit *limits;
    size_t limit_count;
};

/* WhatsApp's wishes: a median of 250 ms, less than 1 % above one second. */
static const struct chart_line LATENCY_LINES[] = {
    {"unified P95", "unified p95", "unified_p95_ms", NULL},
    {"unified median", "unified p50", "unified_p50_ms", NULL},
    {"legacy P95", "legacy p95", "legacy_p95_ms", NULL},
    {"legacy median", "legacy p50", "legacy_p50_ms", NULL},
};

static const struct chart_limit LATENCY_LIMITS[] = {
    {250, NULL, "Meta: median 250 ms", "meta", false},
    {1000, NULL, "Meta: 1 s for 99 %", "meta", false},
    {0, "warning_p95_ms", "warning P95", "warning", true},
    {0, "critical_p95_ms", "critical P95", "critical", false},
};

static const struct chart_line ERROR_LINES[] = {
    {"unified", "unified p95", "unified_errors", "unified_requests"},
    {"legacy", "legacy p95", "legacy_errors", "legacy_requests"},
};

static const struct chart_limit ERROR_LIMITS[] = {
    {0, "warning_error_rate_pct", "warning", "warning", true},
    {0, "critical_error_rate_pct", "critical", "critical", false},
};

#define OF(list) (list), sizeof(list) / sizeof *(list)

static const struct chart CHARTS[] = {
    {"latency", "Response time", "ms", 10, 10000, OF(LATENCY_LINES), OF(LATENCY_LIMITS)},
    {"error-rate", "Error rate", "%", 0.01, 100, OF(ERROR_LINES), OF(ERROR_LIMITS)},
};

/* From the upper edge, in percent of the height. */
static double height_of(const struct chart *chart, double value)
{
    double span = log10(chart->most / chart->least);
    double place = value <= chart->least ? 0 : log10(value / chart->least) / span;

    return 100 * (1 - (place > 1 ? 1 : place));
}

/* What a line shows in a minute; NAN: nothing. */
static double minute_value(const struct status_view *view, const struct chart_line *line, int row)
{
    double value = status_number(view, STATUS_MINUTES, row, line->value, NAN);
    double requests;

    if (line->requests == NULL)
        return value;
    requests = status_number(view, STATUS_MINUTES, row, line->requests, 0);
    return requests > 0 ? 100 * value / requests : NAN;
}

/* A path that is interrupted where a minute has nothing; one minute alone is a dot. */
static void put_line(struct writer *writer, const struct status_view *view,
                     const struct chart *chart, const struct chart_line *line)
{
    bool drawing = false;

    writer_print(writer, "<path class=\"line %s\" d=\"", line->class);
    for (int row = 0; row < status_rows(view, STATUS_MINUTES); row++)
    {
        double value = minute_value(view, line, row);

        if (isnan(value))
        {
            drawing = false;
            continue;
        }
        writer_print(writer, drawing ? "L%d %.1f" : "M%d %.1fh0", row, height_of(chart, value));
        drawing = true;
    }
    writer_string(writer, "\"/>");
}

static double limit_of(const struct status_view *view, const struct chart_limit *limit)
{
    return limit->column == NULL ? limit->value
                                 : status_number(view, STATUS_STEP, 0, limit->column, 0);
}

static void put_limit(struct writer *writer, const struct status_view *view,
                      const struct chart *chart, const struct chart_limit *limit)
{
    double value = limit_of(view, limit), height;

    if (value <= 0)
        return;
    height = height_of(chart, value);
    writer_print(writer,
                 "<line class=\"limit %s\" x1=\"0\" x2=\"100%%\" y1=\"%.1f%%\" y2=\"%.1f%%\"/>",
                 limit->class, height, height);
    writer_print(writer, "<text class=\"limit %s\" x=\"%s\" y=\"%.1f%%\" dy=\"%d\"%s>%s",
                 limit->class, limit->at_end ? "100%" : "0", height, limit->at_end ? 12 : -3,
                 limit->at_end ? " text-anchor=\"end\"" : "", limit->name);
    if (limit->column != NULL)
        writer_print(writer, " %g %s", value, chart->unit);
    writer_string(writer, "</text>");
}

static void put_legend(struct writer *writer, const struct chart *chart)
{
    writer_string(writer, "<ul class=\"legend\" aria-hidden=\"true\">");
    for (size_t i = 0; i < chart->line_count; i++)
        writer_print(writer,
                     "<li><svg class=\"key\" width=\"26\" height=\"8\"><path class=\"line %s\" "
                     "d=\"M1 4H25\"/></svg>%s</li>",
                     chart->lines[i].class, chart->lines[i].name);
    writer_string(writer, "</ul>\n");
}

/* The limits go along for the script that draws them again. */
static void put_chart(struct writer *writer, const struct status_view *view,
                      const struct chart *chart)
{
    int minutes = status_rows(view, STATUS_MINUTES);

    writer_print(writer, "<figure class=\"chart\" id=\"chart-%s\" data-unit=\"%s\"", chart->id,
                 chart->unit);
    for (size_t i = 0; i < chart->limit_count; i++)
        writer_print(writer, " data-limit-%zu=\"%g %s %s\"", i, limit_of(view, &chart->limits[i]),
                     chart->limits[i].class, chart->limits[i].name);
    writer_print(writer,
                 ">\n<figcaption>%s<span class=\"about\">, %s, logarithmic</span></figcaption>\n",
                 chart->title, chart->unit);
    put_legend(writer, chart);
    writer_print(writer,
                 "<div class=\"plot\"><svg class=\"drawing\" role=\"img\" aria-label=\"%s of both "
                 "sides in the last hour; the numbers are in the table below\" width=\"100%%\" "
                 "height=\"100%%\">",
                 chart->title);
    for (size_t i = 0; i < chart->limit_count; i++)
        put_limit(writer, view, chart, &chart->limits[i]);
    writer_print(writer, "<svg viewBox=\"0 0 %d 100\" preserveAspectRatio=\"none\">",
                 minutes > 1 ? minutes - 1 : 1);
    for (size_t i = 0; i < chart->line_count; i++)
        put_line(writer, view, chart, &chart->lines[i]);
    writer_string(writer,
                  "</svg></svg></div>\n<p class=\"axis\" aria-hidden=\"true\"><span>an hour "
                  "ago</span><span>now</span></p>\n</figure>\n");
}

/* Plain numbers, which page.js reads; empty where there is nothing. */
static void put_minutes(struct writer *writer, const struct status_view *view)
{
    const struct status_section *table = &STATUS_TABLE[STATUS_MINUTES];

    writer_string(writer,
                  "<details id=\"minutes-numbers\"><summary>The numbers, minute by "
                  "minute</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
                  "aria-label=\"The numbers, minute by minute\"><table id=\"minutes-table\">"
                  "<thead><tr>");
    for (size_t i = 0; i < table->column_count; i++)
        writer_print(writer, "<th scope=\"col\" class=\"n\" data-name=\"%s\">%s%s</th>",
                     table->columns[i].name, table->columns[i].title,
                     table->columns[i].kind == STATUS_MS ? ", ms" : "");
    writer_string(writer, "</tr></thead>\n<tbody>\n");
    for (int row = 0; row < status_rows(view, STATUS_MINUTES); row++)
    {
        const char *minute = status_value(view, STATUS_MINUTES, row, "minute");
        int64_t seconds = minute == NULL ? 0 : strtoll(minute, NULL, 10);

        writer_print(
            writer, "<tr><th scope=\"row\" class=\"n\"><time data-s=\"%lld\">%02d:%02d</time></th>",
            (long long) seconds, (int) (seconds / 3600 % 24), (int) (seconds / 60 % 60));
        for (size_t i = 1; i < table->column_count; i++)
        {
            const char *value = status_value(view, STATUS_MINUTES, row, table->columns[i].name);

            writer_string(writer, "<td class=\"n\">");
            if (value != NULL)
                markup_text(writer, value);
            writer_string(writer, "</td>");
        }
        writer_string(writer, "</tr>\n");
    }
    writer_string(writer, "</tbody></table></div></details>\n");
}

void status_write_charts(struct writer *writer, const struct status_view *view)
{
    const struct status_section *section = &STATUS_TABLE[STATUS_MINUTES];

    status_open_section(writer, section);
    if (status_rows(view, STATUS_MINUTES) == 0)
        writer_print(writer, "<p class=\"empty\">%s</p>\n", section->empty);
    else
    {
        writer_string(writer, "<div class=\"charts\">\n");
        for (size_t i = 0; i < sizeof CHARTS / sizeof *CHARTS; i++)
            put_chart(writer, view, &CHARTS[i]);
        writer_string(writer, "</div>\n");
        put_minutes(writer, view);
    }
    writer_string(writer, "</section>\n");
}
