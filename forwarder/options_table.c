/* SPDX-License-Identifier: PostgreSQL
 *
 * options_table.c: the table of options.h as data, and the names that follow from it.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

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
    {"check-config", OPTIONS_CHECK,
     "look at all that a start would meet (settings, files, spool, addresses, database), then "
     "exit"},
    {"help", OPTIONS_HELP, "this text"},
    {"help-markdown", OPTIONS_HELP_MARKDOWN, "the same as a reference page"},
    {"metrics-markdown", OPTIONS_METRICS_MARKDOWN, "the metrics as a reference page"},
    {"version", OPTIONS_VERSION, "the version"},
};

const size_t OPTION_ACTION_COUNT = sizeof OPTION_ACTIONS / sizeof *OPTION_ACTIONS;

const struct exit_status EXIT_STATUSES[] = {
    {EX_OK, "asked to stop, and everything in hand was finished"},
    {EX_USAGE, "wrong usage"},
    {EX_UNAVAILABLE, "cannot listen or start"},
    {EX_IOERR, "cannot write what was asked for to stdout"},
    {EX_TEMPFAIL,
     "another forwarder keeps the spool directory, or stopped with requests or log rows "
     "still in hand"},
    {EX_CONFIG, "a setting or a file it names is wrong"},
};

const size_t EXIT_STATUS_COUNT = sizeof EXIT_STATUSES / sizeof *EXIT_STATUSES;

void *option_field(struct options *options, const struct option_row *row)
{
    return (char *) options + row->offset;
}

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

/* ---- what a setting takes ---- */

/* Settings that take less than others of their kind. A statement to PostgreSQL is a message of less
 * than 1 GiB, and libpq doubles its buffer; what is pending in the database for a minute is taken
 * for cut off. */
static const struct
{
    const char *flag, *most;
} LIMITS[] = {{"workers", "64"},
              {"log-batch", "10000"},
              {"total-timeout", "55s"},
              {"max-body", "512MiB"},
              {"breaker-rate", "100"}};

const char *option_most(const struct option_row *row)
{
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++)
        if (strcmp(LIMITS[i].flag, row->flag) == 0)
            return LIMITS[i].most;
    switch (row->kind)
    {
    case KIND_COUNT:
        return "10000000";
    case KIND_DURATION:
        return "24h";
    case KIND_SIZE:
        return "16GiB";
    default:
        return NULL;
    }
}

void option_allowed(const struct option_row *row, char *text, size_t size)
{
    const char *most = option_most(row);

    *text = '\0';
    switch (row->kind)
    {
    case KIND_COUNT:
        snprintf(text, size, "a whole number from 1 to %s", most);
        break;
    case KIND_DURATION:
        snprintf(text, size, "a time from 1ms to %s, in ms, s, min or h", most);
        break;
    case KIND_SIZE:
        snprintf(text, size, "a size from 1 to %s, in bytes, KiB, MiB or GiB", most);
        break;
    case KIND_LEVEL:
        snprintf(text, size, "debug, info, warning or error");
        break;
    case KIND_SERVER:
        snprintf(text, size, "any, read-write, read-only, primary, standby or prefer-standby");
        break;
    case KIND_SYNC:
        snprintf(text, size, "grouped or wait");
        break;
    default:
        break;
    }
}
