/* SPDX-License-Identifier: PostgreSQL
 *
 * options.c: defaults, environment, command line, systemd's credentials, in this order, over the
 * one table of options.h. Read once, before any thread. options_values.c reads the values,
 * options_secrets.c files of secrets, options_help.c prints the table.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "options_table.h"
#include "request.h"

#define SPOOL_LEAST ((size_t) 4 << 20) /* two segments of the least size */

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

static bool known_server(const char *text)
{
    static const char *const KINDS[] = {"any",     "read-write", "read-only",
                                        "primary", "standby",    "prefer-standby"};

    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(text, KINDS[i]) == 0)
            return true;
    return false;
}

/* ---- one setting ---- */

/* Makes `copy`, which may be NULL for want of memory, the text of the field. */
static bool put_text(const char **field, char *copy, struct complaint *complaint)
{
    if (copy == NULL)
        return complain_of_memory(complaint);
    free((char *) *field);
    *field = copy;
    return true;
}

/* Makes the content of a file the secret. `origin` names the setting, for the complaint. */
static bool put_secret(struct secret *secret, const char *path, const char *origin,
                       struct complaint *complaint)
{
    char problem[512];
    char *content = options_read_secret(path, problem, sizeof problem);
    char *file = content == NULL ? NULL : strdup(path);

    if (content == NULL)
        return complain(complaint, "%s: %s", origin, problem);
    options_wipe(secret->value);
    free(secret->file);
    *secret = (struct secret){.value = content, .file = file};
    return file != NULL || complain_of_memory(complaint);
}

/* Whether what was read is not above the most that the setting takes. */
static bool is_within(const struct option_row *row, const void *field)
{
    const char *most = option_most(row);
    unsigned count;
    uint64_t duration;
    size_t bytes;

    switch (row->kind)
    {
    case KIND_COUNT:
        return options_parse_count(most, &count) && *(const unsigned *) field <= count;
    case KIND_DURATION:
        return options_parse_duration(most, &duration) && *(const uint64_t *) field <= duration;
    case KIND_SIZE:
        return options_parse_size(most, &bytes) && *(const size_t *) field <= bytes;
    default:
        return true;
    }
}

static bool refuse(const struct option_row *row, const char *value, const char *origin,
                   struct complaint *complaint)
{
    char allowed[128];

    option_allowed(row, allowed, sizeof allowed);
    return complain(complaint, "%s: \"%s\" is refused; it takes %s", origin, value, allowed);
}

/* Takes `value` for one setting. `origin` names where it comes from, for the complaint. */
static bool put(struct options *options, const struct option_row *row, const char *value,
                const char *origin, struct complaint *complaint)
{
    void *field = option_field(options, row);
    bool good = true;

    switch (row->kind)
    {
    case KIND_SECRET:
        return put_secret(field, value, origin, complaint);
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
    if (!good || !is_within(row, field))
        return refuse(row, value, origin, complaint);
    if (row->kind == KIND_TEXT || row->kind == KIND_SERVER)
        return put_text(field, strdup(value), complaint);
    return true;
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
        !put_secret_value(option_field(options, row), getenv(row->variable), complaint))
        return false;
    option_variable(row, name, sizeof name);
    value = getenv(name);
    return value == NULL || *value == '\0' || put(options, row, value, name, complaint);
}

/* ---- systemd's credentials ---- */

/* A secret that was not given is looked for among the service's credentials. */
static bool put_credential(struct options *options, const struct option_row *row,
                           struct complaint *complaint)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    struct secret *secret = option_field(options, row);
    char name[128], path[4096], origin[160];

    if (secret->value != NULL || directory == NULL || *directory == '\0')
        return true;
    option_credential(row, name, sizeof name);
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int) sizeof path)
        return complain(complaint, "CREDENTIALS_DIRECTORY is too long");
    snprintf(origin, sizeof origin, "credential %s", name);
    return access(path, F_OK) != 0 || put_secret(secret, path, origin, complaint);
}

static bool put_credentials(struct options *options, struct complaint *complaint)
{
    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
        if (OPTION_ROWS[i].kind == KIND_SECRET &&
            !put_credential(options, &OPTION_ROWS[i], complaint))
            return false;
    return true;
}

/* ---- the command line ---- */

static const struct option_row *find_flag(const char *flag, size_t length)
{
    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
        if (OPTION_ROWS[i].kind != KIND_SECTION && strlen(OPTION_ROWS[i].flag) == length &&
            strncmp(OPTION_ROWS[i].flag, flag, length) == 0)
            return &OPTION_ROWS[i];
    return NULL;
}

static bool find_action(const char *flag, enum options_action *action)
{
    for (size_t i = 0; i < OPTION_ACTION_COUNT; i++)
        if (strcmp(OPTION_ACTIONS[i].flag, flag) == 0)
        {
            *action = OPTION_ACTIONS[i].action;
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
    char origin[64];

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
    snprintf(origin, sizeof origin, "--%s", row->flag);
    if (put(options, row, value, origin, complaint))
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

static bool check_paths(const struct options *options, struct complaint *complaint)
{
    const char *prefix = options->path_prefix, *url = options->functions_url, *problem;

    if (prefix[0] != '\0' && (prefix[0] != '/' || prefix[strlen(prefix) - 1] == '/'))
        return complain(complaint,
                        "--path-prefix: \"%s\" has to begin with / and not to end with it", prefix);
    for (const char *at = prefix; *at != '\0'; at++)
        if ((unsigned char) *at <= ' ' || (unsigned char) *at >= 0x7f || strchr("?#%\\", *at))
            return complain(complaint,
                            "--path-prefix: \"%s\" holds what no path does as it stands: white "
                            "space, ? # %% \\ or what is not ASCII",
                            prefix);
    problem = url[0] == '\0' ? NULL : options_url_problem(url);
    /* Not repeated when a password may be in it, wherever that ends. */
    if (problem != NULL && strchr(url, '@') != NULL)
        return complain(complaint, "--functions-url: its URL %s", problem);
    return problem == NULL || complain(complaint, "--functions-url: \"%s\" %s", url, problem);
}

static bool check_together(const struct options *options, struct complaint *complaint)
{
    if (!check_address(options->listen, "listen", complaint) ||
        !check_address(options->admin_listen, "admin-listen", complaint) ||
        !check_paths(options, complaint))
        return false;
    if (options->log_batch > options->log_queue)
        return complain(complaint, "--log-batch is more than --log-queue can hold");
    if (options->spool_size < options->workers * SPOOL_LEAST)
        return complain(complaint, "--spool-size: at least 4MiB for each worker");
    if (!uri_is_name(options->default_target, strlen(options->default_target)))
        return complain(
            complaint,
            "--default-target: \"%s\" is no name of a function (letters, digits, - _ and, "
            "but for the first, .)",
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

    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
        if (OPTION_ROWS[i].kind != KIND_SECTION &&
            (!put_standard(options, &OPTION_ROWS[i], complaint) ||
             !put_environment(options, &OPTION_ROWS[i], complaint)))
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
    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
    {
        void *field = option_field(options, &OPTION_ROWS[i]);

        if (OPTION_ROWS[i].kind == KIND_TEXT || OPTION_ROWS[i].kind == KIND_SERVER)
        {
            free(*(char **) field);
            *(char **) field = NULL;
        }
        else if (OPTION_ROWS[i].kind == KIND_SECRET)
        {
            struct secret *secret = field;

            options_wipe(secret->value);
            free(secret->file);
            *secret = (struct secret){NULL, NULL};
        }
    }
}
