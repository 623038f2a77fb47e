/* SPDX-License-Identifier: PostgreSQL
 *
 * secrets.c: generations of secrets, made at start and at SIGHUP.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "forwarder.h"

/* ---- header fields ---- */

/* Fields that the forwarder itself answers for. */
static bool is_ours(const char *name, size_t length)
{
    static const char *const OURS[] = {
        "Host",         "Content-Length",   "Transfer-Encoding",   "Connection",       "Expect",
        "Content-Type", "Content-Encoding", "X-Hub-Signature-256", "X-Correlation-ID", "Upgrade",
        "TE",           "Trailer",          "Keep-Alive"};

    for (size_t i = 0; i < sizeof OURS / sizeof *OURS; i++)
        if (strlen(OURS[i]) == length && strncasecmp(OURS[i], name, length) == 0)
            return true;
    return (length >= 9 && strncasecmp(name, "X-Routed-", 9) == 0) ||
           (length >= 10 && strncasecmp(name, "X-Webhook-", 10) == 0) ||
           (length >= 10 && strncasecmp(name, "X-Routing-", 10) == 0);
}

/* A line "Name: value": checked by the same gate as a client's. NULL when good, else what is
 * wrong. */
static const char *secrets_check_header(const char *line, size_t name_length)
{
    static const char FORM[] = "a header line has to be `Name: value`";
    struct header_field field = {.name = line, .name_length = name_length};
    struct gate_result gate;

    if (line[name_length] != ':')
        return FORM;
    field.value = line + name_length + 1;
    field.value += strspn(field.value, " \t");
    field.value_length = strlen(field.value);
    if (field.value_length == 0)
        return FORM;
    if (is_ours(line, name_length))
        return "a header that the forwarder sets itself cannot be configured";
    gate_check(&field, 1, HTTP_1_0, &gate);
    return gate.status == 0 ? NULL : gate.problem;
}

static bool secrets_take_header(struct secrets *secrets, const char *line, size_t length,
                                char *problem, size_t size)
{
    struct configured_header *header = &secrets->headers[secrets->header_count];
    const char *wrong;

    if (secrets->header_count == CONFIGURED_HEADER_LIMIT)
    {
        snprintf(problem, size, "--function-header-file: more than %d lines",
                 CONFIGURED_HEADER_LIMIT);
        return false;
    }
    header->line = strndup(line, length);
    if (header->line == NULL)
    {
        snprintf(problem, size, "out of memory");
        return false;
    }
    secrets->header_count++;
    header->name_length = strcspn(header->line, ":");
    wrong = secrets_check_header(header->line, header->name_length);
    if (wrong != NULL) /* the value may be a secret: only the line's number is told */
        snprintf(problem, size, "--function-header-file: header %zu: %s", secrets->header_count,
                 wrong);
    return wrong == NULL;
}

static bool secrets_take_headers(struct secrets *secrets, const char *lines, char *problem,
                                 size_t size)
{
    const char *at = lines;

    while (at != NULL && *at != '\0')
    {
        size_t length = strcspn(at, "\n"), kept = length;

        if (kept > 0 && at[kept - 1] == '\r')
            kept--;
        if (kept > 0 && *at != '#' && !secrets_take_header(secrets, at, kept, problem, size))
            return false;
        at += length + (at[length] == '\n');
    }
    return true;
}

/* ---- a generation ---- */

static void secrets_free(struct secrets *secrets)
{
    options_wipe(secrets->verify_token);
    options_wipe(secrets->database_url);
    signature_free(&secrets->signing);
    for (size_t i = 0; i < secrets->header_count; i++)
        options_wipe(secrets->headers[i].line);
    free(secrets);
}

/* Copies a secret, when there is one. */
static bool secrets_copy(char **copy, const struct secret *secret, char *problem, size_t size)
{
    if (secret->value == NULL || (*copy = strdup(secret->value)) != NULL)
        return true;
    snprintf(problem, size, "out of memory");
    return false;
}

/* The verify token, when there is one. WhatsApp sends one line: with more none would ever be right.
 */
static bool secrets_take_token(struct secrets *secrets, const struct secret *token, char *problem,
                               size_t size)
{
    for (const char *at = token->value; at != NULL && *at != '\0'; at++)
        if (iscntrl((unsigned char) *at))
        {
            snprintf(problem, size, "--verify-token-file: the token has to be one line");
            return false;
        }
    return secrets_copy(&secrets->verify_token, token, problem, size);
}

/* The database's URL, when there is one. */
static bool secrets_take_url(struct secrets *secrets, const struct secret *url, char *problem,
                             size_t size)
{
    const char *wrong = url->value == NULL ? NULL : database_url_problem(url->value);

    if (wrong == NULL)
        return secrets_copy(&secrets->database_url, url, problem, size);
    snprintf(problem, size, "%s: %s", url->file == NULL ? "DATABASE_URL" : "--database-url-file",
             wrong);
    return false;
}

static bool secrets_take_signing(struct secrets *secrets, const char *lines, char *problem,
                                 size_t size)
{
    const char *wrong;

    if (lines == NULL || signature_prepare(&secrets->signing, lines, &wrong))
        return true;
    snprintf(problem, size, "--app-secret-file: %s", wrong);
    return false;
}

struct secrets *secrets_make(const struct options *options, char *problem, size_t size)
{
    struct secrets *secrets = calloc(1, sizeof *secrets);

    if (secrets == NULL)
    {
        snprintf(problem, size, "out of memory");
        return NULL;
    }
    atomic_init(&secrets->holders, 1);
    if (secrets_take_token(secrets, &options->verify_token, problem, size) &&
        secrets_take_url(secrets, &options->database_url, problem, size) &&
        secrets_take_signing(secrets, options->app_secrets.value, problem, size) &&
        secrets_take_headers(secrets, options->function_headers.value, problem, size))
        return secrets;
    secrets_free(secrets);
    return NULL;
}

struct secrets *secrets_keep(struct secrets *secrets)
{
    atomic_fetch_add_explicit(&secrets->holders, 1, memory_order_relaxed);
    return secrets;
}

void secrets_release(struct secrets *secrets)
{
    if (secrets != NULL &&
        atomic_fetch_sub_explicit(&secrets->holders, 1, memory_order_acq_rel) == 1)
        secrets_free(secrets);
}

/* ---- reading again ---- */

/* Reads one secret's file and puts a generation with it in the place of *current. False with a
 * sentence: then everything is as it was. */
static bool secrets_reread(struct options *options, struct secret *secret, struct secrets **current,
                           char *problem, size_t size)
{
    char *before = secret->value;
    struct secrets *made;

    secret->value = options_read_secret(secret->file, problem, size);
    made = secret->value == NULL ? NULL : secrets_make(options, problem, size);
    if (made == NULL)
    {
        options_wipe(secret->value);
        secret->value = before;
        return false;
    }
    options_wipe(before);
    secrets_release(*current);
    *current = made;
    return true;
}

static void secrets_say_kept(const char *flag, const char *problem)
{
    struct log_line line;

    if (!log_begin(&line, LOG_ERROR, EVENT_SECRETS_KEPT,
                   "a secret could not be read again: the one before stays in force"))
        return;
    log_text(&line, "option", flag);
    log_text(&line, "detail", problem);
    log_end(&line);
}

/* Appends a file to those that were read; one that finds no room is left out. */
static void secrets_name(char *files, size_t size, const char *file)
{
    size_t length = strlen(files);

    if (length + strlen(file) + 3 <= size)
        snprintf(files + length, size - length, "%s%s", length > 0 ? ", " : "", file);
}

void secrets_reload(struct options *options, struct secrets **current)
{
    struct secret *secret;
    struct log_line line;
    const char *flag;
    char problem[512], files[1024] = "";
    int read = 0, kept = 0;

    for (size_t i = 0; (secret = options_secret(options, i, &flag)) != NULL; i++)
    {
        if (secret->file == NULL)
            continue;
        if (secrets_reread(options, secret, current, problem, sizeof problem))
        {
            read++;
            secrets_name(files, sizeof files, secret->file);
        }
        else
        {
            kept++;
            secrets_say_kept(flag, problem);
        }
    }
    if ((read == 0 && kept > 0) ||
        !log_begin(&line, LOG_INFO, EVENT_SECRETS_RELOADED, "secrets were read again"))
        return;
    log_number(&line, "files", read);
    log_text(&line, "names", files);
    log_end(&line);
}
