/* SPDX-License-Identifier: PostgreSQL
 *
 * status_tables.c: a section of the status page as a table, by its columns. On a phone each row is
 * a card, for which every cell carries its heading (data-label).
 */
#include <stdlib.h>
#include <string.h>

#include "markup.h"
#include "status.h"

/* ---- values ---- */

/* The mark before a word of a fixed set, and the class that colours it: a word is never told by its
 * colour alone. */
static const struct
{
    const char *word, *class, *mark;
} WORDS[] = {
    {"healthy", "good", "\xe2\x9c\x93"},
    {"shown_critical", "good", "\xe2\x9c\x93"},
    {"shown_warning", "good", "\xe2\x9c\x93"},
    {"warning", "warn", "!"},
    {"environmental", "warn", "!"},
    {"critical", "bad", "\xe2\x9c\x95"},
    {"insufficient_data", "dim", "\xe2\x80\xa6"},
    {"consistent", "dim", "\xe2\x80\xa6"},
    {"closed", "good", "\xe2\x9c\x93"},
    {"open", "bad", "\xe2\x9c\x95"},
    {"half-open", "warn", "!"},
};

static const struct
{
    const char *value, *words;
} PROOFS[] = {
    {"shown_warning", "below the warning limit"},
    {"shown_critical", "below the critical limit"},
    {"consistent", "nothing shown yet"},
    {"insufficient_data", "too few requests"},
};

static void put_word(struct writer *writer, const char *word)
{
    const char *class = "dim", *mark = "\xc2\xb7", *words = word;

    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (strcmp(WORDS[i].word, word) == 0)
        {
            class = WORDS[i].class;
            mark = WORDS[i].mark;
        }
    for (size_t i = 0; i < sizeof PROOFS / sizeof *PROOFS; i++)
        if (strcmp(PROOFS[i].value, word) == 0)
            words = PROOFS[i].words;
    writer_print(writer, "<span class=\"%s\"><span aria-hidden=\"true\">%s</span> ", class, mark);
    markup_text(writer, words);
    writer_string(writer, "</span>");
}

/* When, and how long ago. */
static void put_time(struct writer *writer, const struct status_view *view, const char *value)
{
    int64_t seconds = strtoll(value, NULL, 10);

    markup_time(writer, seconds, view->now);
    writer_string(writer, " <span class=\"ago\">");
    markup_duration(writer, view->now - seconds);
    writer_string(writer, " ago</span>");
}

static void put_ms(struct writer *writer, const char *value)
{
    double ms = strtod(value, NULL);
    char text[40];

    snprintf(text, sizeof text, ms < 10 ? "%.1f" : "%.0f", ms);
    markup_number(writer, text);
    writer_string(writer, " ms");
}

static void put_flag(struct writer *writer, const char *value)
{
    writer_string(writer,
                  *value == 't'
                      ? "<span class=\"good\"><span aria-hidden=\"true\">\xe2\x9c\x93</span> "
                        "open</span>"
                      : "<span class=\"warn\"><span aria-hidden=\"true\">\xe2\x8a\x98</span> "
                        "closed</span>");
}

void status_write_value(struct writer *writer, const struct status_view *view,
                        enum status_kind kind, const char *value)
{
    if (value == NULL || *value == '\0')
    {
        writer_string(writer, "<span class=\"dim\">\xe2\x80\x93</span>");
        return;
    }
    switch (kind)
    {
    case STATUS_WORD:
    case STATUS_BREAKER:
        put_word(writer, value);
        break;
    case STATUS_COUNT:
        markup_number(writer, value);
        break;
    case STATUS_PERCENT:
        markup_number(writer, value);
        writer_string(writer, " %");
        break;
    case STATUS_MS:
        put_ms(writer, value);
        break;
    case STATUS_TIME:
        put_time(writer, view, value);
        break;
    case STATUS_DURATION:
        markup_duration(writer, strtoll(value, NULL, 10));
        break;
    case STATUS_FLAG:
        put_flag(writer, value);
        break;
    default:
        markup_text(writer, value);
    }
}

/* The actual share as a bar, the planned one as a mark on it; both are in words beside it. */
static void put_bar(struct writer *writer, const struct status_view *view,
                    enum status_section_id section, int row)
{
    double planned = status_number(view, section, row, "planned_pct", 0);
    double actual = status_number(view, section, row, "actual_pct", 0);

    writer_string(writer,
                  "<svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" "
                  "aria-hidden=\"true\"><rect class=\"track\" width=\"100\" height=\"10\"/>");
    writer_print(writer, "<rect class=\"fill\" width=\"%.2f\" height=\"10\"/>",
                 actual > 100 ? 100 : actual);
    writer_print(writer, "<path class=\"plan\" d=\"M%.2f 0V10\"/></svg>",
                 planned > 99  ? 99
                 : planned < 1 ? 1
                               : planned);
}

/* ---- rows ---- */

/* A column in which no row has anything is left out. */
static bool is_shown(const struct status_view *view, enum status_section_id section,
                     const struct status_column *column)
{
    if (column->title == NULL)
        return false;
    if (column->kind == STATUS_BAR || column->kind == STATUS_BREAKER)
        return true;
    for (int row = 0; row < status_rows(view, section); row++)
        if (status_value(view, section, row, column->name) != NULL)
            return true;
    return false;
}

static bool is_number(enum status_kind kind)
{
    return kind == STATUS_COUNT || kind == STATUS_PERCENT || kind == STATUS_MS;
}

static void put_cell(struct writer *writer, const struct status_view *view,
                     enum status_section_id section, int row, const struct status_column *column,
                     bool heads)
{
    const char *element = heads ? "th scope=\"row\"" : "td";
    const char *value = status_value(view, section, row, column->name);

    if (column->kind == STATUS_BREAKER)
    {
        const char *target = status_value(view, section, row, "target");

        value = target == NULL ? NULL : status_breaker(view, target);
    }
    writer_print(writer, "<%s class=\"c-%s%s%s\" data-label=\"%s\">", element, column->name,
                 is_number(column->kind) ? " n" : "",
                 value == NULL && column->kind != STATUS_BAR ? " none" : "", column->title);
    if (column->kind == STATUS_BAR)
        put_bar(writer, view, section, row);
    else
        status_write_value(writer, view, column->kind, value);
    writer_print(writer, "</%s>", heads ? "th" : "td");
}

/* A row of trouble stands out. */
static const char *row_class(const struct status_view *view, enum status_section_id section,
                             int row)
{
    const char *severity = status_value(view, section, row, "severity");

    if (severity == NULL)
        return "";
    return strcmp(severity, "critical") == 0                                            ? "bad-row"
           : strcmp(severity, "warning") == 0 || strcmp(severity, "environmental") == 0 ? "warn-row"
                                                                                        : "";
}

static void put_rows(struct writer *writer, const struct status_view *view,
                     enum status_section_id section)
{
    const struct status_section *table = &STATUS_TABLE[section];

    for (int row = 0; row < status_rows(view, section); row++)
    {
        bool heads = true; /* the first cell names the row */

        writer_print(writer, "<tr class=\"%s\">", row_class(view, section, row));
        for (size_t i = 0; i < table->column_count; i++)
        {
            if (!is_shown(view, section, &table->columns[i]))
                continue;
            put_cell(writer, view, section, row, &table->columns[i], heads);
            heads = false;
        }
        writer_string(writer, "</tr>\n");
    }
}

static void put_head(struct writer *writer, const struct status_view *view,
                     enum status_section_id section)
{
    const struct status_section *table = &STATUS_TABLE[section];

    writer_string(writer, "<thead><tr>");
    for (size_t i = 0; i < table->column_count; i++)
        if (is_shown(view, section, &table->columns[i]))
            writer_print(writer, "<th scope=\"col\" class=\"c-%s%s\">%s</th>",
                         table->columns[i].name, is_number(table->columns[i].kind) ? " n" : "",
                         table->columns[i].title);
    writer_string(writer, "</tr></thead>\n<tbody>\n");
}

void status_open_section(struct writer *writer, const struct status_section *section)
{
    writer_print(writer,
                 "<section id=\"%s\" aria-labelledby=\"%s-title\">\n<h2 id=\"%s-title\">%s</h2>\n",
                 section->id, section->id, section->id, section->title);
}

void status_write_table(struct writer *writer, const struct status_view *view,
                        enum status_section_id section)
{
    const struct status_section *table = &STATUS_TABLE[section];

    status_open_section(writer, table);
    if (table->about != NULL)
        writer_print(writer, "<p class=\"about\">%s</p>\n", table->about);
    if (view->results[section] == NULL)
        writer_string(writer, "<p class=\"empty\">Not known: the database has not said.</p>\n");
    else if (status_rows(view, section) == 0)
        writer_print(writer, "<p class=\"empty\">%s</p>\n", table->empty);
    else
    {
        writer_print(writer, "<table aria-labelledby=\"%s-title\">", table->id);
        put_head(writer, view, section);
        put_rows(writer, view, section);
        writer_string(writer, "</tbody></table>\n");
    }
    writer_string(writer, "</section>\n");
}
