/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * standin-functions: one process that plays every HTTP function behind the forwarder.
 *
 * Any path is accepted; its last segment is the function's name, so that /wa-webhook-jobs and
 * /functions/v1/wa-webhook-jobs are the same function. What arrives is remembered (count, bytes,
 * SHA-256, headers, message ids, correlation ids) and reported as JSON; how a function answers can
 * be told at any time (delay, status, reset, truncation...). The control paths live under
 * /_standin/ on a port of their own, which stays reachable while the functions refuse, and on the
 * functions' port.
 *
 * Threads: `main` accepts and hands sockets to libmicrohttpd's workers (so that the listening
 * socket is ours to close: that is how "refuse" works); the workers run functions_handler(); one
 * control thread runs control_handler(); one timer thread resumes the requests that wait for their
 * delay. Everything shared is behind `lock`; hashing and scanning happen outside it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum
{
    MAX_NAMES = 256,      /* distinct function names that are counted apart */
    RECENT_LIMIT = 4096,  /* requests whose headers and hash are remembered */
    RECENT_DEFAULT = 20,  /* requests that a report shows unless told otherwise */
    MAX_IDS_PER_BODY = 64 /* message ids that are taken from one body */
};

/* How a function answers. `times` counts the answers left (-1: for ever); at 0 it is plain again.
 */
struct behaviour
{
    int delay_ms;
    int status;
    bool reset;       /* read the whole request, then abort the connection with RST */
    bool truncate;    /* announce the whole body, send half of it, close */
    bool close_after; /* answer, then close the connection */
    long times;
    char *body;         /* NULL: a small JSON object that names the function */
    char *content_type; /* NULL: application/json */
    char *header_name;  /* one more header of the answer, or NULL */
    char *header_value;
};

struct function
{
    char name[128];
    uint64_t requests, bytes, resets;
    struct behaviour behaviour;
};

/* A set of strings with a count each: open addressing, grown at half full. */
struct counted
{
    struct counted_entry
    {
        char *key;
        uint64_t count;
        const char *function; /* where it was seen last */
        char sha256[65];
    } * entries;
    size_t size, used;
    uint64_t repeated; /* keys seen more than once */
};

/* One request as it was received. */
struct seen
{
    uint64_t number; /* 1, 2, 3... since the last reset */
    const char *function;
    char method[16];
    char *path;
    char *headers; /* JSON: [["Name","value"], ...] in the order of arrival */
    char *body;    /* only with --keep-bodies */
    size_t size;
    char sha256[65];
};

/* A request on its way through libmicrohttpd. */
struct request
{
    struct MHD_Connection *connection;
    char *body;
    size_t size, room;
    bool recorded;
    struct behaviour answer; /* what was in force when the body was complete; owns its strings */
    struct function *function;
    uint64_t due_ms;            /* while suspended: when to go on */
    struct request *next_timer; /* while suspended: ordered by due_ms */
};

struct text
{
    char *bytes;
    size_t length, room;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct function functions[MAX_NAMES];
static size_t function_count;
static struct behaviour everywhere = {.status = 200, .times = -1}; /* behave without a name */
static struct counted messages, correlations, bodies;
static struct seen recent[RECENT_LIMIT];
static uint64_t total_requests, incomplete_requests;
static struct MHD_Connection **open_connections; /* to be cut when refusing */
static size_t open_count, open_room;
static bool refusing; /* wanted; the accepting loop obeys */

static pthread_mutex_t timer_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t timer_wake;
static struct request *timers;
static bool timer_stop;

static const char *listen_address = "127.0.0.1";
static int port, control_port, workers = 2;
static bool count_only, keep_bodies;
static int
    wake_pipe[2]; /* a byte here makes the accepting loop look at `refusing` and `stopping` */
static volatile sig_atomic_t stopping;

static void *must(void *pointer)
{
    if (pointer == NULL)
    {
        fputs("standin-functions: out of memory\n", stderr);
        exit(EX_OSERR);
    }
    return pointer;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

/* ---- growing text, and JSON in it ---- */

static void text_bytes(struct text *text, const char *bytes, size_t length)
{
    if (text->length + length + 1 > text->room)
    {
        text->room = (text->length + length + 1) * 2;
        text->bytes = must(realloc(text->bytes, text->room));
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

__attribute__((format(printf, 2, 3))) static void text_print(struct text *text, const char *format,
                                                             ...)
{
    char line[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text_bytes(text, line, length < (int) sizeof line ? (size_t) length : sizeof line - 1);
}

/* A JSON string; bytes beyond ASCII are shown as U+00XX, so that the report is always readable. */
static void text_json(struct text *text, const char *string)
{
    text_bytes(text, "\"", 1);
    for (const unsigned char *byte = (const unsigned char *) string; *byte != '\0'; byte++)
    {
        if (*byte == '"' || *byte == '\\')
            text_print(text, "\\%c", *byte);
        else if (*byte < 0x20 || *byte >= 0x7f)
            text_print(text, "\\u%04x", *byte);
        else
            text_bytes(text, (const char *) byte, 1);
    }
    text_bytes(text, "\"", 1);
}

/* ---- counting ---- */

static struct counted_entry *counted_slot(struct counted_entry *entries, size_t size,
                                          const char *key)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (const char *byte = key; *byte != '\0'; byte++)
        hash = (hash ^ (unsigned char) *byte) * 1099511628211u;
    for (size_t at = hash & (size - 1);; at = (at + 1) & (size - 1))
        if (entries[at].key == NULL || strcmp(entries[at].key, key) == 0)
            return &entries[at];
}

static void counted_add(struct counted *set, const char *key, const char *function,
                        const char *sha256)
{
    struct counted_entry *entry;

    if (set->used * 2 >= set->size)
    {
        size_t size = set->size == 0 ? 1024 : set->size * 2;
        struct counted_entry *entries = must(calloc(size, sizeof *entries));

        for (size_t i = 0; i < set->size; i++)
            if (set->entries[i].key != NULL)
                *counted_slot(entries, size, set->entries[i].key) = set->entries[i];
        free(set->entries);
        set->entries = entries;
        set->size = size;
    }
    entry = counted_slot(set->entries, set->size, key);
    if (entry->key == NULL)
    {
        entry->key = must(strdup(key));
        set->used++;
    }
    if (++entry->count == 2)
        set->repeated++;
    entry->function = function;
    memcpy(entry->sha256, sha256, sizeof entry->sha256);
}

static void counted_clear(struct counted *set)
{
    for (size_t i = 0; i < set->size; i++)
        free(set->entries[i].key);
    free(set->entries);
    memset(set, 0, sizeof *set);
}

/*
 * The ids of the messages and statuses in a body: the strings "wamid..." that are the value of a
 * key "id" at the least depth where there is one, so that the id of a quoted message (`context.id`,
 * one level deeper) is not taken. Works on anything, JSON or not. Returns how many were put into
 * `ids`.
 */
static size_t message_ids(const char *body, size_t size, char ids[][128])
{
    size_t count = 0, at = 0;
    int depth = 0, least = 1 << 30;
    bool key_is_id = false;

    while (at < size)
    {
        char byte = body[at++];

        if (byte == '{' || byte == '[')
            depth++;
        else if (byte == '}' || byte == ']')
            depth--;
        if (byte == ',' || byte == '{' || byte == '}' || byte == '[' || byte == ']')
            key_is_id = false;
        if (byte == '"')
        {
            size_t start = at, length;

            while (at < size && body[at] != '"')
                at += body[at] == '\\' ? 2 : 1;
            length = (at < size ? at : size) - start;
            at++;
            if (!key_is_id)
                key_is_id = length == 2 && memcmp(body + start, "id", 2) == 0;
            else if (length > 5 && length < 128 && memcmp(body + start, "wamid", 5) == 0)
            {
                if (depth < least)
                {
                    least = depth;
                    count = 0;
                }
                if (depth == least && count < MAX_IDS_PER_BODY)
                {
                    memcpy(ids[count], body + start, length);
                    ids[count++][length] = '\0';
                }
                key_is_id = false;
            }
        }
    }
    return count;
}

/* ---- functions and how they answer ---- */

/* Caller holds `lock`. Beyond MAX_NAMES all share the last one, so that junk paths cost nothing. */
static struct function *function_named(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    struct function *function;

    for (size_t i = 0; i < function_count; i++)
        if (strncmp(functions[i].name, name, sizeof functions[i].name - 1) == 0)
            return &functions[i];
    if (function_count == MAX_NAMES)
        return &functions[MAX_NAMES - 1];
    function = &functions[function_count++];
    snprintf(function->name, sizeof function->name, "%s", name);
    function->behaviour = (struct behaviour){.times = 0};
    return function;
}

static char *copy_or_null(const char *string)
{
    return string == NULL ? NULL : must(strdup(string));
}

static struct behaviour behaviour_copy(const struct behaviour *from)
{
    struct behaviour copy = *from;

    copy.body = copy_or_null(from->body);
    copy.content_type = copy_or_null(from->content_type);
    copy.header_name = copy_or_null(from->header_name);
    copy.header_value = copy_or_null(from->header_value);
    return copy;
}

static void behaviour_free(struct behaviour *behaviour)
{
    free(behaviour->body);
    free(behaviour->content_type);
    free(behaviour->header_name);
    free(behaviour->header_value);
    *behaviour = (struct behaviour){.status = 200};
}

/* Caller holds `lock`. What the function was told, else what all were told; used up by one. */
static struct behaviour behaviour_take(struct function *function)
{
    struct behaviour *told = function->behaviour.times != 0 ? &function->behaviour : &everywhere;
    struct behaviour copy;

    if (told->times == 0)
        return (struct behaviour){.status = 200};
    copy = behaviour_copy(told);
    if (told->times > 0)
        told->times--;
    return copy;
}

/* ---- what is remembered of a request ---- */

static enum MHD_Result header_into(void *target, enum MHD_ValueKind kind, const char *key,
                                   const char *value)
{
    struct text *text = target;

    (void) kind;
    text_bytes(text, text->length == 1 ? "[" : ",[", text->length == 1 ? 1 : 2);
    text_json(text, key);
    text_bytes(text, ",", 1);
    text_json(text, value == NULL ? "" : value);
    text_bytes(text, "]", 1);
    return MHD_YES;
}

static void sha256_hex(const char *body, size_t size, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    if (EVP_Digest(body, size, digest, &length, EVP_sha256(), NULL) != 1)
        exit(EX_SOFTWARE);
    for (unsigned int i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void seen_clear(struct seen *seen)
{
    free(seen->path);
    free(seen->headers);
    free(seen->body);
    memset(seen, 0, sizeof *seen);
}

/* The body is complete: count it, remember it, and settle how it will be answered. */
static void record(struct request *request, const char *method, const char *path)
{
    const char *correlation =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-Correlation-ID");
    char ids[MAX_IDS_PER_BODY][128];
    char sha256[65] = "";
    struct text headers = {0};
    size_t id_count = 0;

    if (!count_only)
    {
        sha256_hex(request->body, request->size, sha256);
        id_count = message_ids(request->body, request->size, ids);
        text_bytes(&headers, "[", 1);
        MHD_get_connection_values(request->connection, MHD_HEADER_KIND, header_into, &headers);
        text_bytes(&headers, "]", 1);
    }

    pthread_mutex_lock(&lock);
    request->function = function_named(path);
    request->function->requests++;
    request->function->bytes += request->size;
    total_requests++;
    if (!count_only)
    {
        struct seen *seen = &recent[total_requests % RECENT_LIMIT];

        seen_clear(seen);
        seen->number = total_requests;
        seen->function = request->function->name;
        snprintf(seen->method, sizeof seen->method, "%s", method);
        seen->path = must(strdup(path));
        seen->headers = headers.bytes;
        seen->size = request->size;
        memcpy(seen->sha256, sha256, sizeof sha256);
        if (keep_bodies)
        {
            seen->body = must(malloc(request->size + 1));
            memcpy(seen->body, request->size == 0 ? "" : request->body, request->size);
        }
        counted_add(&bodies, sha256, seen->function, sha256);
        if (correlation != NULL)
            counted_add(&correlations, correlation, seen->function, sha256);
        for (size_t i = 0; i < id_count; i++)
            counted_add(&messages, ids[i], seen->function, sha256);
    }
    request->answer = behaviour_take(request->function);
    if (request->answer.reset)
        request->function->resets++;
    pthread_mutex_unlock(&lock);
    request->recorded = true;
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

static void *timer_thread(void *unused)
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

static enum MHD_Result function_answer(struct request *request)
{
    const struct behaviour *answer = &request->answer;
    struct MHD_Response *response;
    char plain[256];
    const char *body = answer->body;
    enum MHD_Result result;

    if (answer->reset)
    {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

        /* Dissolving the association sends RST at once; MHD's own close would begin with FIN. */
        connect(info->connect_fd, &nowhere, sizeof nowhere);
        return MHD_NO;
    }
    if (body == NULL)
    {
        snprintf(plain, sizeof plain, "{\"function\":\"%.100s\",\"received\":%zu}",
                 request->function->name, request->size);
        body = plain;
    }
    if (answer->truncate)
        response = MHD_create_response_from_callback(strlen(body), 4096, half_body,
                                                     must(strdup(body)), free);
    else
        response = MHD_create_response_from_buffer(strlen(body), (void *) (uintptr_t) body,
                                                   MHD_RESPMEM_MUST_COPY);
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

static enum MHD_Result control_handler(void *unused, struct MHD_Connection *connection,
                                       const char *url, const char *method, const char *version,
                                       const char *upload, size_t *upload_size, void **state);

static enum MHD_Result functions_handler(void *unused, struct MHD_Connection *connection,
                                         const char *url, const char *method, const char *version,
                                         const char *upload, size_t *upload_size, void **state)
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

static void request_done(void *unused, struct MHD_Connection *connection, void **state,
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
static void connection_changed(void *unused, struct MHD_Connection *connection, void **state,
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

/* POST /_standin/behave?name=&delay_ms=&status=&reset=&truncate=&close_after=&body=&times=&refuse=
 */
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
        .body = copy_or_null(argument(connection, "body")),
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

static enum MHD_Result control_handler(void *unused, struct MHD_Connection *connection,
                                       const char *url, const char *method, const char *version,
                                       const char *upload, size_t *upload_size, void **state)
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

/* ---- listening ---- */

/* A listening socket on `listen_address`; *wanted_port becomes the real one. Exits on failure. */
static int listen_on(int *wanted_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t) *wanted_port)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (inet_pton(AF_INET, listen_address, &address.sin_addr) != 1)
    {
        fprintf(stderr, "standin-functions: not an IPv4 address: %s\n", listen_address);
        exit(EX_USAGE);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *) &address, sizeof address) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *) &address, &length) != 0)
    {
        fprintf(stderr, "standin-functions: cannot listen on %s:%d: %s\n", listen_address,
                *wanted_port, strerror(errno));
        exit(EX_UNAVAILABLE);
    }
    *wanted_port = ntohs(address.sin_port);
    return fd;
}

/* Cuts every open connection, as the kernel does for a process that has died. */
static void cut_connections(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < open_count; i++)
    {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(open_connections[i], MHD_CONNECTION_INFO_CONNECTION_FD);

        shutdown(info->connect_fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&lock);
}

static void accept_one(int listener, struct MHD_Daemon *daemon)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int on = 1;
    int fd = accept4(listener, (struct sockaddr *) &peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
    {
        if (errno == EMFILE || errno == ENFILE)
            usleep(10000);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    MHD_add_connection(daemon, fd, (struct sockaddr *) &peer, length);
}

/* Accepts until told to stop; while refusing there is no listening socket, so the kernel refuses.
 */
static void accept_loop(int listener, struct MHD_Daemon *daemon)
{
    while (!stopping)
    {
        struct pollfd wait[2] = {{.fd = wake_pipe[0], .events = POLLIN},
                                 {.fd = listener, .events = POLLIN}};
        char drained[64];
        bool refuse;

        poll(wait, 2, -1);
        if (wait[0].revents != 0 && read(wake_pipe[0], drained, sizeof drained) < 0)
            continue;
        if (listener >= 0 && wait[1].revents != 0)
            accept_one(listener, daemon);
        pthread_mutex_lock(&lock);
        refuse = refusing;
        pthread_mutex_unlock(&lock);
        if (refuse && listener >= 0)
        {
            close(listener);
            listener = -1;
            cut_connections();
        }
        else if (!refuse && listener < 0)
            listener = listen_on(&port);
    }
    if (listener >= 0)
        close(listener);
}

static void stop(int number)
{
    ssize_t ignored;

    (void) number;
    stopping = 1;
    ignored = write(wake_pipe[1], "s", 1);
    (void) ignored;
}

static void usage(FILE *to)
{
    fputs("Usage: standin-functions [OPTION]...\n"
          "Plays every wa-webhook-* function: answers 200 to any path and remembers what came.\n\n"
          "  --port N           port of the functions (0: any free one; the default)\n"
          "  --control-port N   port of the control paths, reachable while the functions refuse\n"
          "  --address A        IPv4 address to listen on (default 127.0.0.1)\n"
          "  --workers N        threads that answer (default 2)\n"
          "  --delay-ms N       delay of every answer, until told otherwise\n"
          "  --count-only       count requests and nothing else (for benchmarks)\n"
          "  --keep-bodies      keep the last 4096 bodies for GET /_standin/body\n"
          "  --help             this text\n\n"
          "When it listens it prints one line: ready port=N control_port=N\n\n"
          "Control (on either port):\n"
          "  GET  /_standin/report[?name=F&last=N&messages=1&message=ID]\n"
          "  GET  /_standin/body[?number=N]\n"
          "  POST /_standin/reset\n"
          "  POST /_standin/behave?[name=F&]delay_ms=N&status=N&reset=1&truncate=1&close_after=1\n"
          "       &body=TEXT&content_type=TYPE&header=NAME:VALUE&times=N&refuse=0|1\n"
          "       (no name: all functions; times: so many answers, then plain again;\n"
          "       refuse: stop listening and cut every connection, for all functions)\n",
          to);
}

static void options(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},
        {"control-port", required_argument, NULL, 'c'},
        {"address", required_argument, NULL, 'a'},
        {"workers", required_argument, NULL, 'w'},
        {"delay-ms", required_argument, NULL, 'd'},
        {"count-only", no_argument, NULL, 'n'},
        {"keep-bodies", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (option)
        {
        case 'p':
            port = atoi(optarg);
            break;
        case 'c':
            control_port = atoi(optarg);
            break;
        case 'a':
            listen_address = optarg;
            break;
        case 'w':
            workers = atoi(optarg) < 1 ? 1 : atoi(optarg);
            break;
        case 'd':
            everywhere.delay_ms = atoi(optarg);
            break;
        case 'n':
            count_only = true;
            break;
        case 'k':
            keep_bodies = true;
            break;
        case 'h':
            usage(stdout);
            exit(EX_OK);
        default:
            usage(stderr);
            exit(EX_USAGE);
        }
    if (optind < argc)
    {
        usage(stderr);
        exit(EX_USAGE);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct MHD_Daemon *daemon, *control;
    pthread_condattr_t monotonic;
    pthread_t timer;
    struct sigaction on_stop = {.sa_handler = stop};
    int listener, control_listener;

    options(argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (pipe(wake_pipe) != 0)
        return EX_OSERR;
    sigaction(SIGTERM, &on_stop, NULL);
    sigaction(SIGINT, &on_stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&timer_wake, &monotonic);

    listener = listen_on(&port);
    control_listener = listen_on(&control_port);
    daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
            MHD_ALLOW_SUSPEND_RESUME,
        0, NULL, NULL, functions_handler, NULL, MHD_OPTION_THREAD_POOL_SIZE, (unsigned int) workers,
        MHD_OPTION_CONNECTION_LIMIT, 20000u, MHD_OPTION_NOTIFY_COMPLETED, request_done, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, connection_changed, NULL, MHD_OPTION_END);
    control = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, control_handler, NULL,
                               MHD_OPTION_LISTEN_SOCKET, control_listener, MHD_OPTION_END);
    if (daemon == NULL || control == NULL)
    {
        fputs("standin-functions: cannot start the HTTP server\n", stderr);
        return EX_UNAVAILABLE;
    }
    if (pthread_create(&timer, NULL, timer_thread, NULL) != 0)
        return EX_OSERR;
    printf("ready port=%d control_port=%d\n", port, control_port);
    fflush(stdout);

    accept_loop(listener, daemon);

    pthread_mutex_lock(&timer_lock);
    timer_stop = true;
    pthread_cond_signal(&timer_wake);
    pthread_mutex_unlock(&timer_lock);
    pthread_join(timer, NULL);
    MHD_stop_daemon(daemon);
    MHD_stop_daemon(control);
    return EX_OK;
}
