/* SPDX-License-Identifier: PostgreSQL
 *
 * options.c: defaults, environment, command line, systemd's credentials, in this order, over the
 * one table of options.h. Read once, before any thread; secrets' files again when main asks.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "options.h"
#include "route.h"

/* Longest content of a secret's file, in bytes. */
#define SECRET_LIMIT 65536

/* What one statement to PostgreSQL can hold: a message has less than 1 GiB, and libpq doubles its
 * buffer. */
#define MAX_BODY_MOST ((size_t) 512 << 20)
#define LOG_BATCH_MOST 10000
/* What is pending in the database for a minute is taken for cut off. */
#define TOTAL_TIMEOUT_MOST 55000000u
#define SPOOL_LEAST ((size_t) 4 << 20) /* two segments of the least size */

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

static const struct option_row
{
    enum option_kind kind;
    size_t offset; /* of the field in struct options */
    const char *flag, *standard, *metavar, *variable, *help;
} ROWS[] = {
#define SECTION(title) {.kind = KIND_SECTION, .help = title},
#define OPTION(field, kind, flag, standard, metavar, variable, help)                               \
    {KIND_##kind, offsetof(struct options, field), flag, standard, metavar, variable, help},
    OPTIONS_TABLE(SECTION, OPTION)
#undef SECTION
#undef OPTION
};

#define ROW_COUNT (sizeof ROWS / sizeof *ROWS)

/* Flags that ask for something else than serving. */
static const struct
{
    const char *flag;
    enum options_action action;
    const char *help;
} ACTIONS[] = {
    {"check-config", OPTIONS_CHECK, "check the settings and the files they name, then exit"},
    {"help", OPTIONS_HELP, "this text"},
    {"help-markdown", OPTIONS_HELP_MARKDOWN, "the same as a reference page"},
    {"version", OPTIONS_VERSION, "the version"},
};

struct complaint
{
    char *message;
    size_t size;
    bool no_memory; /* the setting is good */
};

__attribute__((format(printf, 2, 3))) static bool complain(struct complaint *complaint,
                                                           const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(complaint->message, complaint->size, format, arguments);
    va_end(arguments);
    return false;
}

static bool complain_of_memory(struct complaint *complaint)
{
    complaint->no_memory = true;
    return complain(complaint, "out of memory");
}

/* ---- values ---- */

/* A non-negative decimal number of at most 15 digits and the text after it. */
static bool parse_number(const char *text, uint64_t *number, const char **rest)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 15)
        return false;
    *number = strtoull(text, NULL, 10);
    *rest = text + digits;
    return true;
}

bool options_parse_duration(const char *text, uint64_t *microseconds)
{
    static const struct
    {
        const char *unit;
        uint64_t factor;
    } UNITS[] = {{"ms", 1000}, {"s", 1000000}, {"min", 60000000}, {"h", 3600000000u}};
    const char *unit;
    uint64_t number;

    if (!parse_number(text, &number, &unit) || number == 0 || number > 86400000)
        return false;
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (strcmp(unit, UNITS[i].unit) == 0)
        {
            *microseconds = number * UNITS[i].factor;
            return *microseconds <= 86400000000u;
        }
    return false;
}

bool options_parse_size(const char *text, size_t *bytes)
{
    static const struct
    {
        const char *unit;
        uint64_t factor;
    } UNITS[] = {{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    const char *unit;
    uint64_t number;

    if (!parse_number(text, &number, &unit) || number == 0 || number > (uint64_t) 1 << 34)
        return false;
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (strcmp(unit, UNITS[i].unit) == 0)
        {
            *bytes = number * UNITS[i].factor;
            return *bytes <= (size_t) 1 << 34;
        }
    return false;
}

bool options_parse_count(const char *text, unsigned *count)
{
    const char *rest;
    uint64_t number;

    if (!parse_number(text, &number, &rest) || *rest != '\0' || number == 0 || number > 10000000)
        return false;
    *count = (unsigned) number;
    return true;
}

bool options_parse_address(const char *text, char *host, size_t host_size, char *port,
                           size_t port_size)
{
    const char *colon = strrchr(text, ':'), *start = text;
    size_t length;
    unsigned number = 0;

    if (colon == NULL || (strcmp(colon, ":0") != 0 && !options_parse_count(colon + 1, &number)) ||
        number > 65535 || strlen(colon + 1) >= port_size)
        return false;
    length = (size_t) (colon - text);
    if (length >= 2 && text[0] == '[' && colon[-1] == ']')
    {
        start++;
        length -= 2;
    }
    else if (memchr(text, ':', length) != NULL)
        return false; /* a V6 address needs its brackets */
    if (length >= host_size)
        return false;
    memcpy(host, start, length);
    host[length] = '\0';
    strcpy(port, colon + 1);
    return true;
}

static bool known_server(const char *text)
{
    static const char *const KINDS[] = {"any",     "read-write", "read-only",
                                        "primary", "standby",    "prefer-standby"};

    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(text, KINDS[i]) == 0)
            return true;
    return false;
}

/* ---- secrets ---- */

void options_wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

/* Reads into `content`, of SECRET_LIMIT + 1 bytes; NULL when that went well. */
static const char *read_text(FILE *file, char *content)
{
    size_t length = fread(content, 1, SECRET_LIMIT + 1, file);

    if (ferror(file))
        return strerror(errno);
    if (length > SECRET_LIMIT || memchr(content, '\0', length) != NULL)
        return "longer than 64 KiB, or not text";
    while (length > 0 && isspace((unsigned char) content[length - 1]))
        length--;
    content[length] = '\0';
    return length == 0 ? "it is empty" : NULL;
}

char *options_read_secret(const char *path, char *message, size_t size)
{
    FILE *file = fopen(path, "re");
    char *content = file == NULL ? NULL : calloc(1, SECRET_LIMIT + 1);
    const char *wrong;

    /* No buffer: nothing of the secret stays behind in one. */
    if (content == NULL || setvbuf(file, NULL, _IONBF, 0) != 0)
        wrong = strerror(errno);
    else
        wrong = read_text(file, content);
    if (file != NULL)
        fclose(file);
    if (wrong == NULL)
        return content;
    snprintf(message, size, "cannot read %s: %s", path, wrong);
    if (content != NULL)
        explicit_bzero(content, SECRET_LIMIT + 1);
    free(content);
    return NULL;
}

/* ---- one setting ---- */

static void *field_of(struct options *options, const struct option_row *row)
{
    return (char *) options + row->offset;
}

/* Makes `copy`, which may be NULL for want of memory, the text of the field. */
static bool put_text(const char **field, char *copy, struct complaint *complaint)
{
    if (copy == NULL)
        return complain_of_memory(complaint);
    free((char *) *field);
    *field = copy;
    return true;
}

/* Makes the content of a file the secret. */
static bool put_secret(struct secret *secret, const char *path, struct complaint *complaint)
{
    char *content = options_read_secret(path, complaint->message, complaint->size);
    char *file = content == NULL ? NULL : strdup(path);

    if (content == NULL)
        return false;
    options_wipe(secret->value);
    free(secret->file);
    *secret = (struct secret){.value = content, .file = file};
    return file != NULL || complain_of_memory(complaint);
}

/* Takes `value` for one setting. `origin` names where it comes from, for the complaint. */
static bool put(struct options *options, const struct option_row *row, const char *value,
                const char *origin, struct complaint *complaint)
{
    void *field = field_of(options, row);
    bool good = true;

    switch (row->kind)
    {
    case KIND_SECRET:
        return put_secret(field, value, complaint);
    case KIND_COUNT:
        good = options_parse_count(value, field);
        break;
    case KIND_DURATION:
        good = options_parse_duration(value, field);
        break;
    case KIND_SIZE:
        good = options_parse_size(value, field);
        break;
    case KIND_LEVEL:
        good = log_parse_level(value, field);
        break;
    case KIND_SERVER:
        good = known_server(value);
        break;
    case KIND_SYNC:
        good = strcmp(value, "grouped") == 0 || strcmp(value, "wait") == 0;
        *(bool *) field = strcmp(value, "wait") == 0;
        break;
    default:
        break;
    }
    if (!good)
        return complain(complaint, "%s: \"%s\" is no %s (such as %s)", origin, value, row->metavar,
                        row->standard);
    if (row->kind == KIND_TEXT || row->kind == KIND_SERVER)
        return put_text(field, strdup(value), complaint);
    return true;
}

/* WEBHOOK_FORWARDER_ and the flag in capitals. */
static void variable_of(const struct option_row *row, char *name, size_t size)
{
    snprintf(name, size, "WEBHOOK_FORWARDER_%s", row->flag);
    for (char *letter = name; *letter != '\0'; letter++)
        *letter = *letter == '-' ? '_' : (char) toupper((unsigned char) *letter);
}

static bool put_standard(struct options *options, const struct option_row *row,
                         struct complaint *complaint)
{
    return row->kind == KIND_SECRET || put(options, row, row->standard, row->flag, complaint);
}

/* The secret itself out of the environment. */
static bool put_secret_value(struct secret *secret, const char *value, struct complaint *complaint)
{
    if (value == NULL || *value == '\0' || (secret->value = strdup(value)) != NULL)
        return true;
    return complain_of_memory(complaint);
}

/* A secret's own variable, then the setting's. */
static bool put_environment(struct options *options, const struct option_row *row,
                            struct complaint *complaint)
{
    char name[128];
    const char *value;

    if (row->kind == KIND_SECRET &&
        !put_secret_value(field_of(options, row), getenv(row->variable), complaint))
        return false;
    variable_of(row, name, sizeof name);
    value = getenv(name);
    return value == NULL || *value == '\0' || put(options, row, value, name, complaint);
}

/* ---- systemd's credentials ---- */

/* The credential of a secret: its flag without `-file`. */
static void credential_of(const struct option_row *row, char *name, size_t size)
{
    snprintf(name, size, "%.*s", (int) (strlen(row->flag) - strlen("-file")), row->flag);
}

/* A secret that was not given is looked for among the service's credentials. */
static bool put_credential(struct options *options, const struct option_row *row,
                           struct complaint *complaint)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    struct secret *secret = field_of(options, row);
    char name[128], path[4096];

    if (secret->value != NULL || directory == NULL || *directory == '\0')
        return true;
    credential_of(row, name, sizeof name);
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int) sizeof path)
        return complain(complaint, "CREDENTIALS_DIRECTORY is too long");
    return access(path, F_OK) != 0 || put_secret(secret, path, complaint);
}

static bool put_credentials(struct options *options, struct complaint *complaint)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (ROWS[i].kind == KIND_SECRET && !put_credential(options, &ROWS[i], complaint))
            return false;
    return true;
}

/* ---- the command line ---- */

static const struct option_row *find_flag(const char *flag, size_t length)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (ROWS[i].kind != KIND_SECTION && strlen(ROWS[i].flag) == length &&
            strncmp(ROWS[i].flag, flag, length) == 0)
            return &ROWS[i];
    return NULL;
}

static bool find_action(const char *flag, enum options_action *action)
{
    for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
        if (strcmp(ACTIONS[i].flag, flag) == 0)
        {
            *action = ACTIONS[i].action;
            return true;
        }
    return false;
}

/* `--flag VALUE`, `--flag=VALUE` or an action at argv[*at]; moves *at behind it. BAD_USAGE and
 * BAD_CONFIG come with a complaint; *action changes only for an action. */
static enum options_action take_argument(struct options *options, int argc,
                                         const char *const argv[], int *at,
                                         enum options_action *action, struct complaint *complaint)
{
    const char *argument = argv[(*at)++], *value = strchr(argument, '=');
    const struct option_row *row = NULL;

    if (strncmp(argument, "--", 2) == 0)
    {
        if (find_action(argument + 2, action))
            return OPTIONS_SERVE;
        row = find_flag(argument + 2,
                        value != NULL ? (size_t) (value - argument) - 2 : strlen(argument) - 2);
    }
    if (row == NULL)
    {
        complain(complaint, "unknown option %s; see --help", argument);
        return OPTIONS_BAD_USAGE;
    }
    value = value != NULL ? value + 1 : *at < argc ? argv[(*at)++] : NULL;
    if (value == NULL)
    {
        complain(complaint, "--%s needs a value (%s)", row->flag, row->metavar);
        return OPTIONS_BAD_USAGE;
    }
    if (put(options, row, value, argument, complaint))
        return OPTIONS_SERVE;
    return row->kind == KIND_SECRET ? OPTIONS_BAD_CONFIG : OPTIONS_BAD_USAGE;
}

/* ---- what no single setting shows ---- */

static bool check_address(const char *text, const char *flag, struct complaint *complaint)
{
    char host[256], port[8];

    return options_parse_address(text, host, sizeof host, port, sizeof port) ||
           complain(complaint, "--%s: \"%s\" is no HOST:PORT (such as 127.0.0.1:8080)", flag, text);
}

/* Also harmless in a snapshot and in a URL. */
static bool is_target_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 ".-_");

    return length > 0 && length <= ROUTE_MAX_NAME_LENGTH && text[length] == '\0';
}

static bool check_together(const struct options *options, struct complaint *complaint)
{
    if (!check_address(options->listen, "listen", complaint) ||
        !check_address(options->admin_listen, "admin-listen", complaint))
        return false;
    if (options->workers > 64)
        return complain(complaint, "--workers: at most 64");
    if (options->path_prefix[0] != '\0' &&
        (options->path_prefix[0] != '/' ||
         options->path_prefix[strlen(options->path_prefix) - 1] == '/'))
        return complain(complaint,
                        "--path-prefix: \"%s\" has to begin with / and not to end with it",
                        options->path_prefix);
    if (options->functions_url[0] != '\0' && strncmp(options->functions_url, "http://", 7) != 0 &&
        strncmp(options->functions_url, "https://", 8) != 0)
        return complain(complaint, "--functions-url: \"%s\" is no http:// or https:// URL",
                        options->functions_url);
    if (options->log_batch > options->log_queue)
        return complain(complaint, "--log-batch is more than --log-queue can hold");
    if (options->log_batch > LOG_BATCH_MOST)
        return complain(complaint, "--log-batch: at most %d", LOG_BATCH_MOST);
    if (options->total_timeout > TOTAL_TIMEOUT_MOST)
        return complain(complaint, "--total-timeout: at most 55s");
    if (options->max_body > MAX_BODY_MOST)
        return complain(complaint, "--max-body: at most 512MiB");
    if (options->spool_size < options->workers * SPOOL_LEAST)
        return complain(complaint, "--spool-size: at least 4MiB for each worker");
    if (!is_target_name(options->default_target))
        return complain(
            complaint, "--default-target: \"%s\" is no name of a function (letters, digits, . - _)",
            options->default_target);
    if (options->max_body > options->max_buffer / options->workers)
        return complain(complaint,
                        "--max-body is more than a worker's share of --max-buffer can hold: "
                        "%zu of %zu bytes, shared by %u",
                        options->max_body, options->max_buffer, options->workers);
    return true;
}

static enum options_action read_all(struct options *options, int argc, const char *const argv[],
                                    struct complaint *complaint)
{
    enum options_action action = OPTIONS_SERVE, taken;

    for (size_t i = 0; i < ROW_COUNT; i++)
        if (ROWS[i].kind != KIND_SECTION && (!put_standard(options, &ROWS[i], complaint) ||
                                             !put_environment(options, &ROWS[i], complaint)))
            return OPTIONS_BAD_CONFIG;
    for (int at = 1; at < argc;)
        if ((taken = take_argument(options, argc, argv, &at, &action, complaint)) != OPTIONS_SERVE)
            return taken;
    if ((action == OPTIONS_SERVE || action == OPTIONS_CHECK) &&
        (!put_credentials(options, complaint) || !check_together(options, complaint)))
        return OPTIONS_BAD_CONFIG;
    return action;
}

enum options_action options_read(struct options *options, int argc, const char *const argv[],
                                 char *message, size_t size)
{
    struct complaint complaint = {.message = message, .size = size};
    enum options_action action;

    memset(options, 0, sizeof *options);
    action = read_all(options, argc, argv, &complaint);
    return complaint.no_memory ? OPTIONS_NO_MEMORY : action;
}

void options_free(struct options *options)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
    {
        void *field = field_of(options, &ROWS[i]);

        if (ROWS[i].kind == KIND_TEXT || ROWS[i].kind == KIND_SERVER)
        {
            free(*(char **) field);
            *(char **) field = NULL;
        }
        else if (ROWS[i].kind == KIND_SECRET)
        {
            struct secret *secret = field;

            options_wipe(secret->value);
            free(secret->file);
            *secret = (struct secret){NULL, NULL};
        }
    }
}

/* ---- secrets, afterwards ---- */

struct secret *options_secret(struct options *options, size_t index, const char **flag)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (ROWS[i].kind == KIND_SECRET && index-- == 0)
        {
            *flag = ROWS[i].flag;
            return field_of(options, &ROWS[i]);
        }
    return NULL;
}

/* Overwrites a variable where the kernel shows it (/proc/PID/environ), too. */
static void hide_variable(const char *name)
{
    char *value = getenv(name);

    if (value == NULL)
        return;
    explicit_bzero(value, strlen(value));
    unsetenv(name);
}

void options_hide_environment(void)
{
    const char *password = getenv("PGPASSWORD");
    char *copy = password == NULL ? NULL : strdup(password);

    for (size_t i = 0; i < ROW_COUNT; i++)
        if (ROWS[i].kind == KIND_SECRET)
            hide_variable(ROWS[i].variable);
    /* libpq reads this one again for each connection: from a copy that only we see. */
    if (copy == NULL)
        return;
    hide_variable("PGPASSWORD");
    setenv("PGPASSWORD", copy, 1);
    options_wipe(copy);
}

/* ---- help ---- */

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
    variable_of(row, name, sizeof name);
    if (row->kind == KIND_SECRET)
        credential_of(row, credential, sizeof credential);
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
    for (size_t i = 0; i < ROW_COUNT; i++)
        help_option(&ROWS[i]);
    printf("\nOther:\n");
    for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
    {
        printf("  --%s\n", ACTIONS[i].flag);
        help_words(ACTIONS[i].help);
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
    variable_of(row, name, sizeof name);
    printf("| `--%s %s` | `%s`", row->flag, row->metavar, name);
    if (*row->variable != '\0')
        printf(", or the value itself in `%s`", row->variable);
    if (row->kind == KIND_SECRET)
    {
        credential_of(row, credential, sizeof credential);
        printf(", or systemd's credential `%s`", credential);
    }
    printf(*row->standard != '\0' ? " | `%s` | %s |\n" : " | %s | %s |\n", row->standard,
           row->help);
}

bool options_help_markdown(void)
{
    printf("# webhook-forwarder\n\nEvery option of the forwarder. An option wins over its "
           "environment variable. Secrets that came out of files are read again on SIGHUP.\n");
    for (size_t i = 0; i < ROW_COUNT; i++)
        markdown_option(&ROWS[i]);
    printf("\n## Other\n\n| option | meaning |\n|---|---|\n");
    for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
        printf("| `--%s` | %s |\n", ACTIONS[i].flag, ACTIONS[i].help);
    printf("\n## Exit status\n\n| status | meaning |\n|---|---|\n"
           "| 0 | asked to stop, and everything in hand was finished |\n"
           "| 64 | wrong usage |\n"
           "| 69 | cannot listen or start |\n"
           "| 74 | cannot write the help |\n"
           "| 75 | stopped with requests or log rows still in hand |\n"
           "| 78 | a setting or a file it names is wrong |\n");
    return fflush(stdout) == 0;
}
