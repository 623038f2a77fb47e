/* SPDX-License-Identifier: PostgreSQL
 *
 * status_json.c: the status page as JSON. What was never had is null.
 */
#include <stdlib.h>
#include <string.h>

#include "markup.h"
#include "status.h"

static void put_instant(struct writer *writer, int64_t seconds)
{
    writer_put(writer, "\"", 1);
    markup_instant(writer, seconds);
    writer_put(writer, "\"", 1);
}

static void put_value(struct writer *writer, enum status_kind kind, const char *value)
{
    switch (kind)
    {
    case STATUS_COUNT:
    case STATUS_PERCENT:
    case STATUS_MS:
    case STATUS_DURATION:
        markup_json_number(writer, value);
        break;
    case STATUS_TIME:
        if (value == NULL)
            writer_string(writer, "null");
        else
            put_instant(writer, strtoll(value, NULL, 10));
        break;
    case STATUS_FLAG:
        writer_string(writer, value == NULL ? "null" : *value == 't' ? "true" : "false");
        break;
    default:
        markup_json_text(writer, value);
    }
}

static void put_row(struct writer *writer, const struct status_view *view,
                    enum status_section_id section, int row)
{
    const struct status_section *table = &STATUS_TABLE[section];
    const char *separator = "{";

    for (size_t i = 0; i < table->column_count; i++)
    {
        const struct status_column *column = &table->columns[i];
        const char *value = status_value(view, section, row, column->name);

        if (column->kind == STATUS_BAR)
            continue;
        if (column->kind == STATUS_BREAKER)
        {
            const char *target = status_value(view, section, row, "target");

            value = target == NULL ? NULL : status_breaker(view, target);
        }
        writer_print(writer, "%s\"%s\":", separator, column->name);
        put_value(writer, column->kind, value);
        separator = ",";
    }
    writer_put(writer, "}", 1);
}

static void put_section(struct writer *writer, const struct status_view *view,
                        enum status_section_id section)
{
    const struct status_section *table = &STATUS_TABLE[section];
    int rows = status_rows(view, section);

    writer_print(writer, ",\n\"%s\":", table->id);
    if (view->results[section] == NULL || (table->single && rows == 0))
    {
        writer_string(writer, "null");
        return;
    }
    if (table->single)
    {
        put_row(writer, view, section, 0);
        return;
    }
    writer_put(writer, "[", 1);
    for (int row = 0; row < rows; row++)
    {
        writer_string(writer, row == 0 ? "\n" : ",\n");
        put_row(writer, view, section, row);
    }
    writer_put(writer, "]", 1);
}

/* What a writer holds, as a JSON string; null when that is nothing. */
static void put_sentence(struct writer *writer, const char *name, struct writer *sentence)
{
    writer_print(writer, ",\"%s\":", name);
    writer->failed = writer->failed || sentence->failed;
    markup_json_text(writer, sentence->length == 0 ? NULL : writer_text(sentence));
}

static void put_verdict(struct writer *writer, const struct status_view *view)
{
    struct status_verdict verdict;

    status_judge(view, &verdict);
    writer_print(writer, ",\n\"verdict\":{\"level\":\"%s\"", status_level_name(verdict.level));
    put_sentence(writer, "headline", &verdict.headline);
    put_sentence(writer, "detail", &verdict.detail);
    put_sentence(writer, "proof", &verdict.proof);
    put_sentence(writer, "advice", &verdict.advice);
    writer_put(writer, "}", 1);
    status_verdict_free(&verdict);
}

/* A number of which a negative one means that it is not known. */
static void put_known(struct writer *writer, const char *name, int64_t value)
{
    if (value < 0)
        writer_print(writer, ",\"%s\":null", name);
    else
        writer_print(writer, ",\"%s\":%lld", name, (long long) value);
}

static void put_database(struct writer *writer, const struct status_view *view)
{
    writer_print(writer, ",\n\"database\":{\"reachable\":%s",
                 view->problem == NULL || !view->unreachable ? "true" : "false");
    put_known(writer, "data_age_s", view->data_age_s);
    writer_string(writer, ",\"problem\":");
    markup_json_text(writer, view->problem);
    writer_string(writer, ",\"since\":");
    if (view->problem == NULL)
        writer_string(writer, "null");
    else
        put_instant(writer, view->problem_since);
    writer_put(writer, "}", 1);
}

static void put_forwarder(struct writer *writer, const struct status_view *view)
{
    const struct status_forwarder *forwarder = &view->forwarder;

    writer_string(writer, ",\n\"forwarder\":{\"problem\":");
    markup_json_text(writer, forwarder->problem);
    put_known(writer, "uptime_s", forwarder->uptime_s);
    put_known(writer, "workers", (int64_t) forwarder->workers);
    put_known(writer, "workers_deciding", (int64_t) forwarder->deciding);
    put_known(writer, "workers_logging", (int64_t) forwarder->logging);
    put_known(writer, "workers_spooling", (int64_t) forwarder->spooling);
    put_known(writer, "config_version",
              forwarder->config_version > 0 ? forwarder->config_version : -1);
    put_known(writer, "ruleset_age_s", forwarder->ruleset_age_s);
    put_known(writer, "spool_bytes", forwarder->spool_bytes);
    put_known(writer, "unstored_rows", forwarder->unstored_rows);
    writer_string(writer, ",\"breakers\":[");
    for (size_t i = 0; i < forwarder->breaker_count; i++)
    {
        writer_string(writer, i == 0 ? "{\"target\":" : ",{\"target\":");
        markup_json_text(writer, forwarder->breakers[i].target);
        writer_print(writer, ",\"state\":\"%s\",\"workers\":%u}", forwarder->breakers[i].state,
                     forwarder->breakers[i].workers);
    }
    writer_string(writer, "]}");
}

void status_write_json(struct writer *writer, const struct status_view *view)
{
    writer_string(writer,
                  "{\"service\":\"webhook-forwarder\",\"version\":\"" WEBHOOK_ROUTING_VERSION
                  "\",\"time\":");
    put_instant(writer, view->now);
    put_verdict(writer, view);
    put_database(writer, view);
    put_forwarder(writer, view);
    for (int section = 0; section < STATUS_SECTIONS; section++)
        put_section(writer, view, (enum status_section_id) section);
    writer_string(writer, "}\n");
}
