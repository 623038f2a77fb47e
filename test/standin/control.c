/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * control.c: the paths under /_standin/: the report, and how the functions are told to answer.
 */
#include "standin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the control paths ---- */

static const char *argument(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

static long number_argument(struct MHD_Connection *connection, const char *name, long otherwise)
{
    const char *value = argument(connection, name);

    return value == NULL ? otherwise : strtol(value, NULL, 10);
}

static void report_counted(struct text *text, const char *title, const struct counted *set)
{
    text_print(text, "\"distinct_%s\":%zu,\"repeated_%s\":%" PRIu64 ",", title, set->used, title,
               set->repeated);
}

static void report_entries(struct text *text, const struct counted *set, const char *only)
{
    const char *comma = "";

    for (size_t i = 0; i < set->size; i++)
    {
        const struct counted_entry *entry = &set->entries[i];

        if (entry->key == NULL || (only != NULL && strcmp(entry->key, only) != 0))
            continue;
        text_print(text, "%s{\"id\":", comma);
        text_json(text, entry->key);
        text_print(text, ",\"count\":%" PRIu64 ",\"function\":", entry->count);
        text_json(text, entry->function);
        text_print(text, ",\"sha256\":\"%s\"}", entry->sha256);
        comma = ",";
    }
}

static void report_seen(struct text *text, const char *name, uint64_t last)
{
    const char *comma = "";
    uint64_t oldest = total_requests > RECENT_LIMIT ? total_requests - RECENT_LIMIT + 1 : 1;
    uint64_t first = total_requests + 1, wanted = 0;

    while (first > oldest && wanted < last)
    {
        const struct seen *seen = &recent[--first % RECENT_LIMIT];

        if (seen->path != NULL && (name == NULL || strcmp(seen->function, name) == 0))
            wanted++;
    }
    for (; first <= total_requests; first++)
    {
        const struct seen *seen = &recent[first % RECENT_LIMIT];

        if (seen->path == NULL || (name != NULL && strcmp(seen->function, name) != 0))
            continue;
        text_print(text, "%s{\"number\":%" PRIu64 ",\"function\":", comma, seen->number);
        text_json(text, seen->function);
        text_print(text, ",\"method\":\"%s\",\"path\":", seen->method);
        text_json(text, seen->path);
        text_print(text, ",\"size\":%zu,\"sha256\":\"%s\",\"headers\":", seen->size, seen->sha256);
        text_bytes(text, seen->headers, strlen(seen->headers));
        text_bytes(text, "}", 1);
        comma = ",";
    }
}

/* GET /_standin/report?name=&last=&messages=1&message= */
static void control_report(struct MHD_Connection *connection, struct text *text)
{
    const char *name = argument(connection, "name");
    const char *message = argument(connection, "message");
    const char *comma = "";

    pthread_mutex_lock(&lock);
    text_print(text, "{\"total\":%" PRIu64 ",\"incomplete\":%" PRIu64 ",\"refusing\":%s,",
               total_requests, incomplete_requests, refusing ? "true" : "false");
    report_counted(text, "correlation_ids", &correlations);
    report_counted(text, "message_ids", &messages);
    report_counted(text, "bodies", &bodies);
    text_print(text, "\"functions\":{");
    for (size_t i = 0; i < function_count; i++)
    {
        const struct function *function = &functions[i];

        if ((name != NULL && strcmp(function->name, name) != 0) || function->requests == 0)
            continue;
        text_bytes(text, comma, strlen(comma));
        text_json(text, function->name);
        text_print(text, ":{\"requests\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"resets\":%" PRIu64 "}",
                   function->requests, function->bytes, function->resets);
        comma = ",";
    }
    text_print(text, "},");
    if (message != NULL || number_argument(connection, "messages", 0) != 0)
    {
        text_print(text, "\"messages\":[");
        report_entries(text, &messages, message);
        text_print(text, "],");
    }
    text_print(text, "\"requests\":[");
    report_seen(text, name, (uint64_t) number_argument(connection, "last", RECENT_DEFAULT));
    text_print(text, "]}\n");
    pthread_mutex_unlock(&lock);
}

/* GET /_standin/body?number=: the bytes of one request as they came; needs --keep-bodies */
static unsigned int control_body(struct MHD_Connection *connection, struct text *text)
{
    uint64_t number = (uint64_t) number_argument(connection, "number", 0);
    unsigned int status = MHD_HTTP_NOT_FOUND;

    pthread_mutex_lock(&lock);
    if (number == 0)
        number = total_requests;
    if (recent[number % RECENT_LIMIT].number == number &&
        recent[number % RECENT_LIMIT].body != NULL)
    {
        text_bytes(text, recent[number % RECENT_LIMIT].body, recent[number % RECENT_LIMIT].size);
        status = MHD_HTTP_OK;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

static void control_reset(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < function_count; i++)
    {
        functions[i].requests = functions[i].bytes = functions[i].resets = 0;
        behaviour_free(&functions[i].behaviour);
        functions[i].behaviour.times = 0;
    }
    behaviour_free(&everywhere);
    everywhere.times = -1;
    for (size_t i = 0; i < RECENT_LIMIT; i++)
        seen_clear(&recent[i]);
    counted_clear(&messages);
    counted_clear(&correlations);
    counted_clear(&bodies);
    total_requests = incomplete_requests = 0;
    pthread_mutex_unlock(&lock);
}

/* Caller holds `lock`. The accepting loop closes or opens the socket and cuts what is open. */
static void set_refusing(bool wanted)
{
    refusing = wanted;
    if (write(wake_pipe[1], "r", 1) != 1)
        perror("standin-functions: wake");
}

/* POST /_standin/behave?... (standin.c has them all) */
static void control_behave(struct MHD_Connection *connection)
{
    const char *name = argument(connection, "name");
    const char *header = argument(connection, "header");
    struct behaviour told = {
        .delay_ms = (int) number_argument(connection, "delay_ms", 0),
        .status = (int) number_argument(connection, "status", 200),
        .reset = number_argument(connection, "reset", 0) != 0,
        .truncate = number_argument(connection, "truncate", 0) != 0,
        .close_after = number_argument(connection, "close_after", 0) != 0,
        .times = number_argument(connection, "times", -1),
        .every = number_argument(connection, "every", 1),
        .body = copy_or_null(argument(connection, "body")),
        .file = copy_or_null(argument(connection, "file")),
        .raw = copy_or_null(argument(connection, "raw")),
        .content_type = copy_or_null(argument(connection, "content_type")),
    };
    struct behaviour *target;

    if (header != NULL && strchr(header, ':') != NULL)
    {
        size_t length = (size_t) (strchr(header, ':') - header);

        told.header_name = must(strndup(header, length));
        told.header_value = must(strdup(header + length + 1 + strspn(header + length + 1, " ")));
    }
    pthread_mutex_lock(&lock);
    target = name == NULL ? &everywhere : &function_named(name)->behaviour;
    behaviour_free(target);
    *target = told;
    if (argument(connection, "refuse") != NULL)
        set_refusing(number_argument(connection, "refuse", 0) != 0);
    pthread_mutex_unlock(&lock);
}

enum MHD_Result control_handler(void *unused, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **state)
{
    struct text text = {0};
    struct MHD_Response *response;
    unsigned int status = MHD_HTTP_OK;
    bool post = strcmp(method, "POST") == 0;
    enum MHD_Result result;

    (void) unused, (void) version, (void) upload;
    if (*state == NULL)
    {
        *state = &control_port; /* any address that is not a request's */
        return MHD_YES;
    }
    if (*upload_size > 0)
    {
        *upload_size = 0;
        return MHD_YES;
    }
    if (!post && strcmp(url, "/_standin/report") == 0)
        control_report(connection, &text);
    else if (!post && strcmp(url, "/_standin/body") == 0)
        status = control_body(connection, &text);
    else if (post && strcmp(url, "/_standin/reset") == 0)
        control_reset();
    else if (post && strcmp(url, "/_standin/behave") == 0)
        control_behave(connection);
    else
        status = MHD_HTTP_NOT_FOUND;
    if (text.bytes == NULL)
        text_print(&text, "%s\n", status == MHD_HTTP_OK ? "{\"ok\":true}" : "{\"ok\":false}");
    response = MHD_create_response_from_buffer(text.length, text.bytes, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}
