/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * answer.c: the functions themselves, from the first header to the last byte of the answer. Runs on
 * libmicrohttpd's workers; the timer thread resumes the requests that wait for their delay.
 */
#include "standin.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

pthread_cond_t timer_wake;
struct MHD_Connection **open_connections;
size_t open_count;

static pthread_mutex_t timer_lock = PTHREAD_MUTEX_INITIALIZER;
static struct request *timers;
static bool timer_stop;
static size_t open_room;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

/* ---- delays ---- */

static void timer_add(struct request *request)
{
    struct request **at;

    request->due_ms = now_ms() + (uint64_t) request->answer.delay_ms;
    request->answer.delay_ms = 0;
    MHD_suspend_connection(request->connection);
    pthread_mutex_lock(&timer_lock);
    for (at = &timers; *at != NULL && (*at)->due_ms <= request->due_ms;)
        at = &(*at)->next_timer;
    request->next_timer = *at;
    *at = request;
    pthread_cond_signal(&timer_wake);
    pthread_mutex_unlock(&timer_lock);
}

void *timer_thread(void *unused)
{
    (void) unused;
    pthread_mutex_lock(&timer_lock);
    while (!timer_stop)
    {
        uint64_t now = now_ms();

        while (timers != NULL && timers->due_ms <= now)
        {
            struct request *due = timers;

            timers = due->next_timer;
            MHD_resume_connection(due->connection);
        }
        if (timers == NULL)
            pthread_cond_wait(&timer_wake, &timer_lock);
        else
        {
            struct timespec until = {.tv_sec = (time_t) (timers->due_ms / 1000),
                                     .tv_nsec = (long) (timers->due_ms % 1000) * 1000000};

            pthread_cond_timedwait(&timer_wake, &timer_lock, &until);
        }
    }
    for (; timers != NULL; timers = timers->next_timer)
        MHD_resume_connection(timers->connection);
    pthread_mutex_unlock(&timer_lock);
    return NULL;
}

/* Lets everything that waits go on at once, and ends timer_thread(). */
void timers_stop(void)
{
    pthread_mutex_lock(&timer_lock);
    timer_stop = true;
    pthread_cond_signal(&timer_wake);
    pthread_mutex_unlock(&timer_lock);
}

/* ---- answering as a function ---- */

/* Half of the announced body, then an error, at which libmicrohttpd closes the connection. */
static ssize_t half_body(void *body, uint64_t position, char *buffer, size_t room)
{
    size_t half = strlen(body) / 2;

    if (position >= half)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (room > half - position)
        room = half - position;
    memcpy(buffer, (char *) body + position, room);
    return (ssize_t) room;
}

/* The bytes of a file as they are, after which the connection closes: what no HTTP library sends.
 */
static void send_raw(int fd, const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    char bytes[65536];
    ssize_t length = file < 0 ? -1 : read(file, bytes, sizeof bytes);

    if (length < 0 || send(fd, bytes, (size_t) length, MSG_NOSIGNAL) != length)
        fprintf(stderr, "standin-functions: %s: cannot be sent\n", path);
    if (file >= 0)
        close(file);
}

static struct MHD_Response *response_from_file(const char *path)
{
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0 || fstat(file, &about) != 0)
    {
        fprintf(stderr, "standin-functions: %s: cannot be read\n", path);
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    return MHD_create_response_from_fd64((uint64_t) about.st_size, file);
}

/* Dissolving the association sends RST at once; MHD's own close would begin with FIN. */
static void send_reset(int fd)
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

    connect(fd, &nowhere, sizeof nowhere);
}

static struct MHD_Response *response_of(const struct request *request)
{
    const struct behaviour *answer = &request->answer;
    const char *body = answer->body;
    char plain[256];

    if (body == NULL)
    {
        snprintf(plain, sizeof plain, "{\"function\":\"%.100s\",\"received\":%zu}",
                 request->function->name, request->size);
        body = plain;
    }
    if (answer->truncate)
        return MHD_create_response_from_callback(strlen(body), 4096, half_body, must(strdup(body)),
                                                 free);
    if (answer->file != NULL)
        return response_from_file(answer->file);
    return MHD_create_response_from_buffer(strlen(body), (void *) (uintptr_t) body,
                                           MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result function_answer(struct request *request)
{
    const struct behaviour *answer = &request->answer;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct MHD_Response *response;
    enum MHD_Result result;

    if (answer->reset)
        send_reset(info->connect_fd);
    else if (answer->raw != NULL)
        send_raw(info->connect_fd, answer->raw);
    if (answer->reset || answer->raw != NULL)
        return MHD_NO;
    response = response_of(request);
    MHD_add_response_header(response, "Content-Type",
                            answer->content_type == NULL ? "application/json"
                                                         : answer->content_type);
    if (answer->header_name != NULL)
        MHD_add_response_header(response, answer->header_name, answer->header_value);
    if (answer->close_after)
        MHD_add_response_header(response, "Connection", "close");
    result = MHD_queue_response(request->connection, (unsigned int) answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void request_append(struct request *request, const char *bytes, size_t length)
{
    if (request->size + length > request->room)
    {
        request->room = (request->size + length) * 2;
        request->body = must(realloc(request->body, request->room));
    }
    memcpy(request->body + request->size, bytes, length);
    request->size += length;
}

enum MHD_Result functions_handler(void *unused, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct request *request = *state;

    if (strncmp(url, "/_standin/", 10) == 0)
        return control_handler(unused, connection, url, method, version, upload, upload_size,
                               state);
    if (request == NULL)
    {
        request = must(calloc(1, sizeof *request));
        request->connection = connection;
        *state = request;
        return MHD_YES;
    }
    if (*upload_size > 0)
    {
        request_append(request, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (!request->recorded)
        record(request, method, url);
    if (request->answer.delay_ms > 0)
    {
        timer_add(request);
        return MHD_YES;
    }
    return function_answer(request);
}

void request_done(void *unused, struct MHD_Connection *connection, void **state,
                  enum MHD_RequestTerminationCode why)
{
    struct request *request = *state;

    (void) unused, (void) connection, (void) why;
    if (request == NULL || (void *) request == (void *) &control_port)
        return;
    if (!request->recorded)
    {
        pthread_mutex_lock(&lock);
        incomplete_requests++;
        pthread_mutex_unlock(&lock);
    }
    behaviour_free(&request->answer);
    free(request->body);
    free(request);
    *state = NULL;
}

/* Knows the open connections, so that refusing can cut them too, as a process that dies would. */
void connection_changed(void *unused, struct MHD_Connection *connection, void **state,
                        enum MHD_ConnectionNotificationCode what)
{
    (void) unused, (void) state;
    pthread_mutex_lock(&lock);
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
    {
        if (open_count == open_room)
        {
            open_room = open_room == 0 ? 256 : open_room * 2;
            open_connections =
                must(realloc(open_connections, open_room * sizeof *open_connections));
        }
        open_connections[open_count++] = connection;
    }
    else
    {
        for (size_t i = 0; i < open_count; i++)
            if (open_connections[i] == connection)
            {
                open_connections[i] = open_connections[--open_count];
                break;
            }
    }
    pthread_mutex_unlock(&lock);
}
