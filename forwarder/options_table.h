/* SPDX-License-Identifier: PostgreSQL
 *
 * options_table.h: the table of options.h as data, for those who read settings (options.c) and
 * those who print them (options_help.c, and scripts/option_pages.c for what is installed).
 */
#ifndef OPTIONS_TABLE_H
#define OPTIONS_TABLE_H

#include "options.h"

enum option_kind
{
    KIND_TEXT,
    KIND_COUNT,
    KIND_DURATION,
    KIND_SIZE,
    KIND_SECRET,
    KIND_LEVEL,
    KIND_SERVER,
    KIND_SYNC,
    KIND_SECTION /* a heading of the help; help is its title */
};

struct option_row
{
    enum option_kind kind;
    size_t offset; /* of the field in struct options */
    const char *flag, *standard, *metavar, *variable, *help;
};

extern const struct option_row OPTION_ROWS[];
extern const size_t OPTION_ROW_COUNT;

/* Flags that ask for something else than serving. */
struct option_action
{
    const char *flag;
    enum options_action action;
    const char *help;
};

extern const struct option_action OPTION_ACTIONS[];
extern const size_t OPTION_ACTION_COUNT;

/* What the process says with its end. */
struct exit_status
{
    int status; /* sysexits.h */
    const char *meaning;
};

extern const struct exit_status EXIT_STATUSES[];
extern const size_t EXIT_STATUS_COUNT;

/* The setting's field, of the type of its kind (OPTION_TYPE_...). */
void *option_field(struct options *options, const struct option_row *row);
/* The environment variable of a setting: WEBHOOK_FORWARDER_ and the flag in capitals. */
void option_variable(const struct option_row *row, char *name, size_t size);
/* systemd's credential of a secret: its flag without `-file`. */
void option_credential(const struct option_row *row, char *name, size_t size);

/* The highest number, time or size that a setting takes, as people write it; NULL for the others.
 */
const char *option_most(const struct option_row *row);
/* What a setting takes, in words; "" for a text that anything can stand in. */
void option_allowed(const struct option_row *row, char *text, size_t size);

#endif /* OPTIONS_TABLE_H */
