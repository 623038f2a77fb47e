/* SPDX-License-Identifier: PostgreSQL
 *
 * load.c: sends distinct, generated WhatsApp webhooks at a set concurrency or rate, as Meta would,
 * and reports what came back as one JSON object.
 *
 * One thread and one epoll set: it has to cost little beside what it measures. Request number n
 * always has the same body (sender, message id and text follow from n), so that two runs, or the
 * two sides of a comparison, send the same bytes. With --rate a request's latency counts from the
 * moment it was due, not from the moment a connection was free for it; otherwise a server that
 * stalls would make its own figures look better. With --retry what was not answered 200 is sent
 * again, as Meta does. With --rate-file the rate follows a file, as the hours of a day go by.
 * SIGTERM lets it begin nothing new, and report.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum
{
    MAX_ANSWER = 1 << 16,   /* an answer's headers and body must fit */
    RETRY_PAUSE_MS = 200,   /* before a request is sent again */
    MAX_REQUEST_HEAD = 4096 /* request line and headers */
};

/* One message on its way: a number that decides its bytes, and how often it has been sent. */
struct message
{
    uint64_t number;
    double due; /* seconds since the start; 0: as soon as possible */
    unsigned int attempts;
};

struct connection
{
    int fd; /* -1: not open */
    bool busy, connected;
    struct message message;
    double started;
    char *out;
    size_t out_length, out_sent, out_room;
    char in[MAX_ANSWER];
    size_t in_length;
};

static struct connection *connections;
static struct message *retry_queue;
static size_t retry_count;
static int poller;
static double start, start_epoch; /* the same moment by both clocks */
static double next_due;           /* when the next new message is due, with a rate */
static volatile sig_atomic_t stopping;

static double now(void)
{
    struct timespec moment;

    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double) moment.tv_sec + (double) moment.tv_nsec / 1e9 - start;
}

void fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(EX_SOFTWARE);
}

/* ---- what is sent ---- */

static void write_request(struct connection *connection)
{
    size_t room = MAX_REQUEST_HEAD + body_room();
    char *body, signature[128] = "", correlation[128] = "";
    size_t length;
    int head;

    if (connection->out_room < 2 * room)
    {
        connection->out_room = 2 * room;
        connection->out = realloc(connection->out, connection->out_room);
        if (connection->out == NULL)
            fail("out of memory");
    }
    body = connection->out + room;
    length = body_of(connection->message.number, body, room);
    signature_line(body, length, signature, sizeof signature);
    if (option.correlation != NULL)
        snprintf(correlation, sizeof correlation, "X-Correlation-ID: %.64s-%llu-%u\r\n",
                 option.correlation, (unsigned long long) connection->message.number,
                 connection->message.attempts);
    head = snprintf(connection->out, MAX_REQUEST_HEAD,
                    "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n%s%s%s\r\n",
                    option.path, option.name != NULL ? option.name : option.host, length, signature,
                    correlation, option.headers);
    if (head >= MAX_REQUEST_HEAD)
        fail("too many header bytes");
    memmove(connection->out + head, body, length);
    connection->out_length = (size_t) head + length;
    connection->out_sent = 0;
    connection->in_length = 0;
}

/* ---- what came back ---- */

static void again_later(const struct message *message)
{
    retry_queue[retry_count] = *message;
    retry_queue[retry_count].due = now() + RETRY_PAUSE_MS / 1000.0;
    retry_count++;
}

/* What became of a request; --help has the columns. */
static void write_log(const struct connection *connection, unsigned int status, const char *target,
                      size_t target_length, double latency)
{
    const struct message *message = &connection->message;
    char id[MAX_ID];

    fprintf(option.log, "%llu\t", (unsigned long long) message->number);
    for (unsigned int item = 0; item < items_of(message->number); item++)
    {
        message_id_of(message->number, item, id);
        fprintf(option.log, "%s%s", item > 0 ? "," : "", id);
    }
    fputc('\t', option.log);
    for (unsigned int item = 0; item < items_of(message->number); item++)
        fprintf(option.log, "%s%s", item > 0 ? "," : "", domain_of(message->number, item));
    fputc('\t', option.log);
    if (status != 0)
        fprintf(option.log, "%u", status);
    else
        fputs(connection->connected ? "none" : "refused", option.log);
    fprintf(option.log, "\t%.*s\t%.3f\t%llu\t%.3f\t", (int) target_length, target, latency * 1000,
            sender_of(message->number, 0), connection->started);
    if (option.correlation != NULL)
        fprintf(option.log, "%.64s-%llu-%u", option.correlation,
                (unsigned long long) message->number, message->attempts);
    fputc('\n', option.log);
}

/* The one place where a message ends: status 0 means that no whole answer came. */
static void settle(struct connection *connection, unsigned int status, const char *target,
                   size_t target_length)
{
    double latency = now() - connection->started;

    connection->busy = false;
    if (option.log != NULL)
        write_log(connection, status, target, target_length, latency);
    if (status < 600)
        result.statuses[status]++;
    if (target_length > 0)
        report_target(target, target_length);
    if (status != 200 && connection->message.attempts <= option.retries)
    {
        again_later(&connection->message);
        return;
    }
    if (status != 0)
        result.latencies[result.latency_count++] = latency;
    result.done++;
}

static void close_connection(struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    connection->connected = false;
}

/* A header's value in the head [answer, end), or NULL. */
static const char *header(const char *answer, const char *end, const char *name, size_t *length)
{
    size_t name_length = strlen(name);

    for (const char *line = answer; line < end;)
    {
        const char *stop = memchr(line, '\r', (size_t) (end - line));

        if (stop == NULL)
            stop = end;
        if ((size_t) (stop - line) > name_length && line[name_length] == ':' &&
            strncasecmp(line, name, name_length) == 0)
        {
            line += name_length + 1;
            while (line < stop && *line == ' ')
                line++;
            *length = (size_t) (stop - line);
            return line;
        }
        line = stop + 2;
    }
    *length = 0;
    return NULL;
}

/* Whether the buffered bytes are a whole answer; settles the message then. */
static bool take_answer(struct connection *connection)
{
    char *end = memmem(connection->in, connection->in_length, "\r\n\r\n", 4);
    const char *value, *target;
    size_t length, target_length, body;
    bool close_after;

    if (end == NULL)
        return false;
    value = header(connection->in, end, "Content-Length", &length);
    body = value == NULL ? 0 : strtoul(value, NULL, 10);
    if ((size_t) (end + 4 - connection->in) + body > sizeof connection->in)
        fail("an answer is longer than 64 KB");
    if (connection->in_length < (size_t) (end + 4 - connection->in) + body)
        return false;
    value = header(connection->in, end, "Connection", &length);
    close_after = value != NULL && length == 5 && strncasecmp(value, "close", 5) == 0;
    target = header(connection->in, end, "X-Routed-To", &target_length);
    settle(connection, (unsigned int) strtoul(connection->in + 9, NULL, 10),
           target == NULL ? "" : target, target_length);
    if (close_after)
        close_connection(connection);
    return true;
}

/* ---- the way of a message: open, send, receive ---- */

static void broken(struct connection *connection, uint64_t *counter)
{
    (*counter)++;
    if (connection->busy)
        settle(connection, 0, "", 0);
    close_connection(connection);
}

static void send_more(struct connection *connection)
{
    ssize_t sent = send(connection->fd, connection->out + connection->out_sent,
                        connection->out_length - connection->out_sent, MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN && errno != ENOTCONN)
        broken(connection, connection->connected ? &result.broken : &result.refused);
    else if (sent > 0)
        connection->out_sent += (size_t) sent;
}

static void receive_more(struct connection *connection)
{
    ssize_t got = recv(connection->fd, connection->in + connection->in_length,
                       sizeof connection->in - connection->in_length, 0);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
    {
        if (connection->busy)
            broken(connection, connection->connected ? &result.broken : &result.refused);
        else
            close_connection(connection);
        return;
    }
    connection->in_length += (size_t) got;
    if (connection->busy)
        take_answer(connection);
}

static void open_connection(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
    int on = 1;

    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        fail("no more file descriptors");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->connected = false;
    if (connect(connection->fd, (struct sockaddr *) &option.address, sizeof option.address) != 0 &&
        errno != EINPROGRESS)
    {
        broken(connection, &result.refused);
        return;
    }
    epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event);
}

static void begin(struct connection *connection, struct message message)
{
    connection->message = message;
    connection->message.attempts++;
    connection->busy = true;
    connection->started = option.rate > 0 && message.attempts == 0 ? message.due : now();
    result.sent++;
    write_request(connection);
    if (connection->fd < 0)
        open_connection(connection);
    if (connection->fd >= 0 && connection->connected)
        send_more(connection);
}

/* The next message that is due: one to be sent again, else a new one. */
static bool next_message(struct message *message, uint64_t *next)
{
    double moment = now();

    for (size_t i = 0; i < retry_count; i++)
        if (retry_queue[i].due <= moment)
        {
            *message = retry_queue[i];
            retry_queue[i] = retry_queue[--retry_count];
            return true;
        }
    if (*next >= option.requests || next_due > moment)
        return false;
    message->due = next_due;
    if (option.rate > 0)
        next_due += 1 / option.rate;
    message->number = option.first + (*next)++;
    message->attempts = 0;
    return true;
}

/* Nanoseconds until something may be due without an event; a millisecond would blur the latencies.
 */
static long wait_for(uint64_t next)
{
    double until = 0.1;

    if (option.rate > 0 && next < option.requests)
        until = next_due - now();
    if (retry_count > 0 && until > 0.01)
        until = 0.01;
    return until < 0 ? 0 : until > 0.1 ? 100000000 : (long) (until * 1e9);
}

static void on_event(struct connection *connection, uint32_t events)
{
    if (connection->fd >= 0 && !connection->connected && (events & EPOLLOUT) != 0 &&
        (events & (EPOLLERR | EPOLLHUP)) == 0)
        connection->connected = true;
    if (connection->fd >= 0 && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        receive_more(connection);
    while (connection->fd >= 0 && connection->busy && connection->connected &&
           connection->out_sent < connection->out_length)
    {
        size_t before = connection->out_sent;

        send_more(connection);
        if (connection->fd < 0 || connection->out_sent == before)
            break;
    }
}

static void on_stop(int number)
{
    (void) number;
    stopping = 1;
}

static void run(void)
{
    struct epoll_event events[256];
    uint64_t next = 0;
    double checked = 0;

    while (result.done < option.requests)
    {
        struct message message;
        int ready;

        if (stopping)
            option.requests = next;
        for (unsigned int i = 0; i < option.concurrency; i++)
            if (!connections[i].busy)
            {
                if (!next_message(&message, &next))
                    break;
                begin(&connections[i], message);
            }
        ready =
            epoll_pwait2(poller, events, 256, &(struct timespec){.tv_nsec = wait_for(next)}, NULL);
        for (int i = 0; i < ready; i++)
            on_event(events[i].data.ptr, events[i].events);
        if (now() - checked < 0.1)
            continue;
        checked = now();
        if (option.rate_file != NULL)
            options_read_rate();
        for (unsigned int i = 0; i < option.concurrency; i++)
            if (connections[i].busy && connections[i].fd >= 0 &&
                checked - connections[i].started > option.timeout)
                broken(&connections[i], &result.broken);
    }
}

int main(int argc, char **argv)
{
    struct sigaction on_term = {.sa_handler = on_stop};
    struct rlimit files;
    struct timespec moment;

    options_read(argc, argv);
    sigaction(SIGTERM, &on_term, NULL);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc(option.concurrency, sizeof *connections);
    retry_queue = calloc(option.requests, sizeof *retry_queue);
    result.latencies = calloc(option.requests, sizeof *result.latencies);
    if (poller < 0 || connections == NULL || retry_queue == NULL || result.latencies == NULL)
        fail("out of memory");
    for (unsigned int i = 0; i < option.concurrency; i++)
        connections[i].fd = -1;
    clock_gettime(CLOCK_REALTIME, &moment);
    start_epoch = (double) moment.tv_sec + (double) moment.tv_nsec / 1e9;
    start = now();
    run();
    report_print(now(), start_epoch);
    if (option.log != NULL && fclose(option.log) != 0)
        fail("cannot write the log");
    return result.latency_count == option.requests && result.statuses[200] >= option.requests ? 0
                                                                                              : 1;
}
