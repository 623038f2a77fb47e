/* SPDX-License-Identifier: PostgreSQL
 *
 * setup.c: what is made of the options once, before anything starts: the header fields for
 * functions, and limits that fit the number of files the process may open.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "forwarder.h"

/* Files beside connections: links to the database, epoll sets, wake-ups, of each worker. */
#define FILES_BESIDE 12u

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
static const char *setup_check_header(const char *line, size_t name_length)
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

static bool setup_header(struct setup *setup, const char *line, size_t length, char *problem,
                         size_t size)
{
    struct configured_header *header = &setup->headers[setup->header_count];
    const char *wrong;

    if (setup->header_count == CONFIGURED_HEADER_LIMIT)
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
    setup->header_count++;
    header->name_length = strcspn(header->line, ":");
    wrong = setup_check_header(header->line, header->name_length);
    if (wrong != NULL) /* the value may be a secret: only the line's number is told */
        snprintf(problem, size, "--function-header-file: header %zu: %s", setup->header_count,
                 wrong);
    return wrong == NULL;
}

bool setup_headers(struct setup *setup, char *problem, size_t size)
{
    const char *at = setup->options.function_headers;

    while (at != NULL && *at != '\0')
    {
        size_t length = strcspn(at, "\n"), kept = length;

        if (kept > 0 && at[kept - 1] == '\r')
            kept--;
        if (kept > 0 && *at != '#' && !setup_header(setup, at, kept, problem, size))
            return false;
        at += length + (at[length] == '\n');
    }
    return true;
}

void setup_free(struct setup *setup)
{
    for (size_t i = 0; i < setup->header_count; i++)
    {
        explicit_bzero(setup->headers[i].line, strlen(setup->headers[i].line));
        free(setup->headers[i].line);
    }
    setup->header_count = 0;
    options_free(&setup->options);
}

/* ---- files ---- */

void setup_files(struct setup *setup)
{
    struct options *options = &setup->options;
    unsigned beside = FILES_BESIDE + FILES_BESIDE * options->workers, available;
    struct rlimit limit;
    struct log_line line;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    available = limit.rlim_cur > 10000000 ? 10000000 : (unsigned) limit.rlim_cur;
    available = available > beside + 12 ? available - beside : 12;
    if (options->max_connections + options->max_in_flight <= available)
        return;
    if (options->max_in_flight > available / 3)
        options->max_in_flight = available / 3;
    if (options->max_connections > available - options->max_in_flight)
        options->max_connections = available - options->max_in_flight;
    if (log_begin(&line, LOG_WARNING, "few_files",
                  "the limit on open files allows fewer connections than the options"))
    {
        log_number(&line, "open_files", (int64_t) limit.rlim_cur);
        log_number(&line, "max_connections", options->max_connections);
        log_number(&line, "max_in_flight", options->max_in_flight);
        log_end(&line);
    }
}
