/* SPDX-License-Identifier: PostgreSQL
 *
 * option_pages.c: the table of options.h in the forms that are installed beside the program.
 *
 *     build/option-pages KIND
 *
 * KIND is `options`, `variables` or `statuses`, sections of the manual page (man(7)); `words`, what
 * bash may complete; or `environment`, a file of variables for systemd, all of them commented out.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../forwarder/options_table.h"

static const struct option_row *row_end(void)
{
    return OPTION_ROWS + OPTION_ROW_COUNT;
}

/* The next row from `row` on that is a setting; row_end() behind the last. */
static const struct option_row *next_setting(const struct option_row *row)
{
    while (row < row_end() && row->kind == KIND_SECTION)
        row++;
    return row;
}

/* ---- the manual page ---- */

/* One character of roff; `is_code` keeps it as typed, where text may have a nicer one. */
static void roff_character(char character, bool is_code)
{
    switch (character)
    {
    case '\\':
        fputs("\\e", stdout);
        break;
    case '-':
        fputs(is_code ? "\\-" : "-", stdout);
        break;
    case '\'':
        fputs(is_code ? "\\(aq" : "'", stdout);
        break;
    case '~':
        fputs("\\(ti", stdout);
        break;
    case '^':
        fputs("\\(ha", stdout);
        break;
    default:
        putchar(character);
    }
}

static void roff_code(const char *code)
{
    fputs("\\fB", stdout);
    for (; *code != '\0'; code++)
        roff_character(*code, true);
    fputs("\\fR", stdout);
}

static void roff_flag(const char *flag)
{
    fputs("\\fB\\-\\-", stdout);
    for (; *flag != '\0'; flag++)
        roff_character(*flag, true);
    fputs("\\fR", stdout);
}

/* Prose of the table as one line: `code` is bold, an --option keeps its hyphens. */
static void roff_line(const char *text)
{
    bool is_code = false, is_option = false;

    fputs("\\&", stdout); /* no request, whatever it begins with */
    for (; *text != '\0'; text++)
    {
        is_option = strncmp(text, "--", 2) == 0 || (is_option && *text != ' ');
        if (*text == '`')
        {
            is_code = !is_code;
            fputs(is_code ? "\\fB" : "\\fR", stdout);
        }
        else
            roff_character(*text, is_code || is_option);
    }
    putchar('\n');
}

static void man_option(const struct option_row *row)
{
    char variable[128], allowed[128];

    if (row->kind == KIND_SECTION)
    {
        printf(".SS %s\n", row->help);
        return;
    }
    option_variable(row, variable, sizeof variable);
    option_allowed(row, allowed, sizeof allowed);
    printf(".TP\n");
    roff_flag(row->flag);
    printf(" \\fI%s\\fR\n", row->metavar);
    roff_line(row->help);
    printf(".br\nVariable ");
    roff_code(variable);
    if (*row->standard != '\0')
    {
        printf(";\ndefault ");
        roff_code(row->standard);
    }
    if (*allowed != '\0')
        printf(";\ntakes %s", allowed);
    printf(".\n");
}

static void man_options(void)
{
    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
        man_option(&OPTION_ROWS[i]);
    printf(".SS Other\n");
    for (size_t i = 0; i < OPTION_ACTION_COUNT; i++)
    {
        printf(".TP\n");
        roff_flag(OPTION_ACTIONS[i].flag);
        putchar('\n');
        roff_line(OPTION_ACTIONS[i].help);
    }
}

/* Those that hold a secret itself. */
static void man_variables(void)
{
    char credential[128];

    for (const struct option_row *row = next_setting(OPTION_ROWS); row < row_end();
         row = next_setting(row + 1))
    {
        if (row->kind != KIND_SECRET)
            continue;
        option_credential(row, credential, sizeof credential);
        printf(".TP\n");
        roff_code(row->variable);
        printf("\nwhat a file of ");
        roff_flag(row->flag);
        printf(" would hold;\nsystemd's credential is called ");
        roff_code(credential);
        printf(".\n");
    }
}

static void man_statuses(void)
{
    for (size_t i = 0; i < EXIT_STATUS_COUNT; i++)
    {
        printf(".TP\n\\fB%d\\fR\n", EXIT_STATUSES[i].status);
        roff_line(EXIT_STATUSES[i].meaning);
    }
}

/* ---- completion ---- */

/* The names in a text such as "debug, info or error", one space between them. */
static void print_names(const char *text)
{
    while (*text != '\0')
    {
        size_t length = strcspn(text, ", ");

        printf("%.*s", (int) length, text);
        text += length;
        text += strncmp(text, ", ", 2) == 0 ? 2 : strncmp(text, " or ", 4) == 0 ? 4 : strlen(text);
        if (*text != '\0')
            putchar(' ');
    }
}

/* A line for each option: its flag, then how its value is completed (`files`, `folders`, `names`
 * and the names, `none`); an action has nothing behind its flag. */
static void words(void)
{
    char allowed[128];

    for (const struct option_row *row = next_setting(OPTION_ROWS); row < row_end();
         row = next_setting(row + 1))
    {
        printf("    --%s ", row->flag);
        option_allowed(row, allowed, sizeof allowed);
        if (row->kind == KIND_LEVEL || row->kind == KIND_SERVER || row->kind == KIND_SYNC)
        {
            printf("names ");
            print_names(allowed);
        }
        else if (strcmp(row->metavar, "HOST:PORT") != 0 && *row->standard != '\0')
            printf("names %s", row->standard);
        else
            printf(strcmp(row->metavar, "FILE") == 0  ? "files"
                   : strcmp(row->metavar, "DIR") == 0 ? "folders"
                                                      : "none");
        putchar('\n');
    }
    for (size_t i = 0; i < OPTION_ACTION_COUNT; i++)
        printf("    --%s\n", OPTION_ACTIONS[i].flag);
}

/* ---- variables for systemd ---- */

/* Words behind `# `, broken before column 100. */
static void comment(const char *text)
{
    size_t column = 0;

    while (*text != '\0')
    {
        size_t length = strcspn(text, " ");
        bool is_first = column == 0, is_new = is_first || column + 1 + length > 100;

        column = is_new ? 0 : column;
        column += (size_t) printf("%s%.*s",
                                  is_first ? "# "
                                  : is_new ? "\n# "
                                           : " ",
                                  (int) length, text);
        text += length + (text[length] == ' ');
    }
    putchar('\n');
}

static void environment_setting(const struct option_row *row)
{
    char variable[128], allowed[128], credential[128], more[512] = "";

    option_variable(row, variable, sizeof variable);
    option_allowed(row, allowed, sizeof allowed);
    option_credential(row, credential, sizeof credential);
    if (row->kind == KIND_SECRET)
        snprintf(more, sizeof more,
                 " (a file; or the value itself in %s, or systemd's credential %s)", row->variable,
                 credential);
    else if (*allowed != '\0')
        snprintf(more, sizeof more, " (%s)", allowed);
    printf("\n");
    comment(row->help);
    if (*more != '\0')
        comment(more + 1);
    printf("#%s=%s\n", variable, row->standard);
}

static void environment(void)
{
    printf(
        "# Options of webhook-forwarder(8) as the environment variables that the service reads "
        "from\n"
        "# /etc/webhook-forwarder/environment, each commented out, with its default. Take away the "
        "#\n"
        "# of a line to set it; quotes are not needed. Then: systemctl restart webhook-forwarder\n"
        "#\n"
        "# Secrets do not belong here: they are files in the same folder.\n");
    for (const struct option_row *row = OPTION_ROWS; row < row_end(); row++)
        if (row->kind == KIND_SECTION)
            printf("\n# ---- %s ----\n", row->help);
        else
            environment_setting(row);
}

/* ---- which one ---- */

static const struct
{
    const char *kind;
    void (*print)(void);
} PAGES[] = {{"options", man_options},
             {"variables", man_variables},
             {"statuses", man_statuses},
             {"words", words},
             {"environment", environment}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof PAGES / sizeof *PAGES; i++)
        if (strcmp(argv[1], PAGES[i].kind) == 0)
        {
            PAGES[i].print();
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EX_IOERR;
        }
    fprintf(stderr, "usage: option-pages options|variables|statuses|words|environment\n");
    return EX_USAGE;
}
