/* SPDX-License-Identifier: PostgreSQL
 *
 * options_help.c: the table of options.h as --help and as a page of the reference.
 */
#include <stdio.h>
#include <string.h>

#include "options_table.h"

/* Prints words at an indent, broken before column 80. */
static void help_words(const char *text)
{
    const int indent = 8, width = 80;
    int column = 0;

    while (*text != '\0')
    {
        int length = (int) strcspn(text, " ");

        if (column > 0 && column + 1 + length > width)
        {
            putchar('\n');
            column = 0;
        }
        printf("%*s%.*s", column == 0 ? indent : 1, "", length, text);
        column += (column == 0 ? indent : 1) + length;
        text += length + (text[length] == ' ');
    }
    putchar('\n');
}

static void help_option(const struct option_row *row)
{
    char name[128], credential[128] = "", origin[512];

    if (row->kind == KIND_SECTION)
    {
        printf("\n%s:\n", row->help);
        return;
    }
    option_variable(row, name, sizeof name);
    if (row->kind == KIND_SECRET)
        option_credential(row, credential, sizeof credential);
    snprintf(origin, sizeof origin, "[%s%s%s%s%s%s%s]", name,
             *row->variable != '\0' ? ", or the value itself in " : "", row->variable,
             *credential != '\0' ? ", or systemd's credential " : "", credential,
             *row->standard != '\0' ? "; default " : "", row->standard);
    printf("  --%s %s\n", row->flag, row->metavar);
    help_words(row->help);
    help_words(origin);
}

bool options_help(void)
{
    printf("Usage: webhook-forwarder [OPTION]...\n"
           "Takes WhatsApp webhooks, asks PostgreSQL where each one goes, relays it to that\n"
           "function and logs the decision with its outcome.\n\n"
           "Each option is also an environment variable, shown in brackets; the option wins.\n"
           "Secrets are never arguments. Those that came out of files are read again on SIGHUP.\n");
    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
        help_option(&OPTION_ROWS[i]);
    printf("\nOther:\n");
    for (size_t i = 0; i < OPTION_ACTION_COUNT; i++)
    {
        printf("  --%s\n", OPTION_ACTIONS[i].flag);
        help_words(OPTION_ACTIONS[i].help);
    }
    return fflush(stdout) == 0;
}

static void markdown_option(const struct option_row *row)
{
    char name[128], credential[128];

    if (row->kind == KIND_SECTION)
    {
        printf("\n## %s\n\n| option | variable | default | meaning |\n|---|---|---|---|\n",
               row->help);
        return;
    }
    option_variable(row, name, sizeof name);
    printf("| `--%s %s` | `%s`", row->flag, row->metavar, name);
    if (*row->variable != '\0')
        printf(", or the value itself in `%s`", row->variable);
    if (row->kind == KIND_SECRET)
    {
        option_credential(row, credential, sizeof credential);
        printf(", or systemd's credential `%s`", credential);
    }
    printf(*row->standard != '\0' ? " | `%s` | %s |\n" : " | %s | %s |\n", row->standard,
           row->help);
}

bool options_help_markdown(void)
{
    printf("# webhook-forwarder\n\nEvery option of the forwarder. An option wins over its "
           "environment variable. Secrets that came out of files are read again on SIGHUP.\n");
    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
        markdown_option(&OPTION_ROWS[i]);
    printf("\n## Other\n\n| option | meaning |\n|---|---|\n");
    for (size_t i = 0; i < OPTION_ACTION_COUNT; i++)
        printf("| `--%s` | %s |\n", OPTION_ACTIONS[i].flag, OPTION_ACTIONS[i].help);
    printf("\n## Exit status\n\n| status | meaning |\n|---|---|\n");
    for (size_t i = 0; i < EXIT_STATUS_COUNT; i++)
        printf("| %d | %s |\n", EXIT_STATUSES[i].status, EXIT_STATUSES[i].meaning);
    return fflush(stdout) == 0;
}
