/* SPDX-License-Identifier: PostgreSQL
 *
 * options_table.c: the table of options.h as data, and the names that follow from it.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "options_table.h"

const struct option_row OPTION_ROWS[] = {
#define SECTION(title) {.kind = KIND_SECTION, .help = title},
#define OPTION(field, kind, flag, standard, metavar, variable, help)                               \
    {KIND_##kind, offsetof(struct options, field), flag, standard, metavar, variable, help},
    OPTIONS_TABLE(SECTION, OPTION)
#undef SECTION
#undef OPTION
};

const size_t OPTION_ROW_COUNT = sizeof OPTION_ROWS / sizeof *OPTION_ROWS;

const struct option_action OPTION_ACTIONS[] = {
    {"check-config", OPTIONS_CHECK, "check the settings and the files they name, then exit"},
    {"help", OPTIONS_HELP, "this text"},
    {"help-markdown", OPTIONS_HELP_MARKDOWN, "the same as a reference page"},
    {"version", OPTIONS_VERSION, "the version"},
};

const size_t OPTION_ACTION_COUNT = sizeof OPTION_ACTIONS / sizeof *OPTION_ACTIONS;

void option_variable(const struct option_row *row, char *name, size_t size)
{
    snprintf(name, size, "WEBHOOK_FORWARDER_%s", row->flag);
    for (char *letter = name; *letter != '\0'; letter++)
        *letter = *letter == '-' ? '_' : (char) toupper((unsigned char) *letter);
}

void option_credential(const struct option_row *row, char *name, size_t size)
{
    snprintf(name, size, "%.*s", (int) (strlen(row->flag) - strlen("-file")), row->flag);
}
