/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * load: sends distinct, generated WhatsApp webhooks at a set concurrency or rate, as Meta would,
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
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
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
    BATCH_ITEMS = 3,        /* messages of a webhook that is a batch */
    MAX_ID = 64,            /* a message id, its NUL included */
    MAX_TARGETS = 64,       /* distinct X-Routed-To values */
    RETRY_PAUSE_MS = 200,   /* before a request is sent again */
    MAX_REQUEST_HEAD = 4096 /* request line and headers */
};

/* What customers write, and the domain that the seeded rules find in it. */
static const struct
{
    const char *domain, *text;
} SENTENCES[] = {
    {"jobs", "I am looking for jobs in Kigali"},
    {"marketplace", "I want to buy a second hand laptop"},
    {"property", "Is the two bedroom apartment in Remera still free?"},
    {"jobs", "Are you hiring cooks this month?"},
    {"mobility", "I need a ride from Nyabugogo to the airport"},
    {"marketplace", "Do you have this shoe in your shop?"},
    {"profile", "What is my wallet balance?"},
    {"property", "Renting a house near the university"},
    {"insurance", "How much is motor insurance for one year?"},
    {"unknown", "Good morning, how are you today?"},
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

static struct
{
    struct sockaddr_in address;
    char host[128];
    char path[512];
    uint64_t requests, first, senders, batch, statuses;
    unsigned int concurrency, retries;
    double rate, timeout;
    const char *rate_file; /* holds the rate, which may change; NULL: it does not */
    size_t size;
    const char *domain;
    const char *correlation; /* prefix of X-Correlation-ID; NULL: none is sent */
    const char *name;        /* for Host; NULL: as in the URL */
    char headers[2048];      /* what --header gave, ready to send */
    unsigned char secret[256];
    size_t secret_length;
    FILE *log;
} option = {.requests = 1000, .first = 1, .senders = 1000, .concurrency = 16, .timeout = 30};

static struct
{
    uint64_t statuses[600], refused, broken, sent, done;
    struct
    {
        char name[128];
        uint64_t count;
    } targets[MAX_TARGETS];
    double *latencies;
    size_t latency_count;
} result;

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

static void fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(EX_SOFTWARE);
}

/* ---- what is sent ---- */

/* splitmix64: numbers that look random and always are the same */
static uint64_t scramble(uint64_t number)
{
    number += 0x9e3779b97f4a7c15u;
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
    return number ^ (number >> 31);
}

/* What item `item` of webhook `number` speaks of: those of a batch of different domains. */
static size_t sentence_of(uint64_t number, unsigned int item)
{
    const size_t count = sizeof SENTENCES / sizeof *SENTENCES;
    size_t at = (number + item) % count;

    if (option.domain != NULL)
        for (size_t i = 0; i < count && strcmp(SENTENCES[at].domain, option.domain) != 0; i++)
            at = (at + 1) % count;
    return at;
}

/* A status of a message that was sent to somebody, instead of a message. */
static bool is_status(uint64_t number)
{
    return option.statuses > 0 && number % option.statuses == 0;
}

/* The domain of an item, or `status`. */
static const char *domain_of(uint64_t number, unsigned int item)
{
    return is_status(number) ? "status" : SENTENCES[sentence_of(number, item)].domain;
}

static unsigned int items_of(uint64_t number)
{
    return !is_status(number) && option.batch > 0 && number % option.batch == 0 ? BATCH_ITEMS : 1;
}

static unsigned long long sender_of(uint64_t number, unsigned int item)
{
    return 250780000000u + scramble(number + ((uint64_t) item << 56)) % option.senders;
}

static void message_id_of(uint64_t number, unsigned int item, char id[MAX_ID])
{
    int length = snprintf(id, MAX_ID, "wamid.HBgMMjUwNzg4MDAwMDAwFQIAEhgU%016llX%010llu",
                          (unsigned long long) scramble(number), (unsigned long long) number);

    if (item > 0)
        snprintf(id + length, MAX_ID - (size_t) length, "%u", item);
}

/* One element of `messages` without the end of its text. Returns its length. */
static size_t item_of(uint64_t number, unsigned int item, char *to, size_t room)
{
    char id[MAX_ID];

    message_id_of(number, item, id);
    return (size_t) snprintf(to, room,
                             "{\"from\":\"%llu\",\"id\":\"%s\",\"timestamp\":\"%llu\","
                             "\"text\":{\"body\":\"%s",
                             sender_of(number, item), id,
                             1760000000ull + (unsigned long long) number,
                             SENTENCES[sentence_of(number, item)].text);
}

/* A webhook that says how a message fared. Returns its length. */
static size_t status_of(uint64_t number, char *body, size_t room)
{
    static const char *const WORDS[] = {"sent", "delivered", "read"};
    char id[MAX_ID];

    message_id_of(number, 0, id);
    return (size_t) snprintf(
        body, room,
        "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"102290129340398\","
        "\"changes\":[{\"value\":{\"messaging_product\":\"whatsapp\",\"metadata\":"
        "{\"display_phone_number\":\"250788000000\",\"phone_number_id\":\"106540352242922\"},"
        "\"statuses\":[{\"id\":\"%s\",\"status\":\"%s\",\"timestamp\":\"%llu\","
        "\"recipient_id\":\"%llu\"}]},\"field\":\"messages\"}]}]}",
        id, WORDS[scramble(number) % 3], 1760000000ull + (unsigned long long) number,
        sender_of(number, 0));
}

/* The body of message `number`. Returns its length; `room` is known to suffice. */
static size_t body_of(uint64_t number, char *body, size_t room)
{
    static const char item_end[] = "\"},\"type\":\"text\"}",
                      tail[] = "]},\"field\":\"messages\"}]}]}";
    unsigned long long sender = sender_of(number, 0);
    unsigned int items = items_of(number);
    size_t length;

    if (is_status(number))
        return status_of(number, body, room);
    length = (size_t) snprintf(
        body, room,
        "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"102290129340398\","
        "\"changes\":"
        "[{\"value\":{\"messaging_product\":\"whatsapp\",\"metadata\":{\"display_phone_number\":"
        "\"250788000000\",\"phone_number_id\":\"106540352242922\"},\"contacts\":[{\"profile\":"
        "{\"name\":\"Mutesi %llu\"},\"wa_id\":\"%llu\"}],\"messages\":[",
        sender % 1000, sender);

    for (unsigned int item = 0; item < items; item++)
    {
        if (item > 0)
            body[length++] = ',';
        length += item_of(number, item, body + length, room - length);
        while (item + 1 == items && length + sizeof item_end + sizeof tail - 2 < option.size)
        {
            memcpy(body + length, " la", 3); /* no word of any domain */
            length += 3;
        }
        memcpy(body + length, item_end, sizeof item_end - 1);
        length += sizeof item_end - 1;
    }
    memcpy(body + length, tail, sizeof tail - 1);
    return length + sizeof tail - 1;
}

static size_t signature_line(const char *body, size_t length, char *line, size_t room)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_length = 0;
    size_t at;

    if (option.secret_length == 0)
        return 0;
    HMAC(EVP_sha256(), option.secret, (int) option.secret_length, (const unsigned char *) body,
         length, digest, &digest_length);
    at = (size_t) snprintf(line, room, "X-Hub-Signature-256: sha256=");
    for (unsigned int i = 0; i < digest_length; i++)
        at += (size_t) snprintf(line + at, room - at, "%02x", digest[i]);
    return at + (size_t) snprintf(line + at, room - at, "\r\n");
}

static void write_request(struct connection *connection)
{
    size_t room = MAX_REQUEST_HEAD + 1024 * BATCH_ITEMS + option.size;
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

static void count_target(const char *name, size_t length)
{
    for (size_t i = 0; i < MAX_TARGETS; i++)
    {
        if (result.targets[i].count == 0)
            snprintf(result.targets[i].name, sizeof result.targets[i].name, "%.*s", (int) length,
                     name);
        if (strlen(result.targets[i].name) == length &&
            memcmp(result.targets[i].name, name, length) == 0)
        {
            result.targets[i].count++;
            return;
        }
    }
}

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
        count_target(target, target_length);
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

/* Takes over what the file of --rate-file says now; what is no rate above 0 changes nothing. */
static void read_rate(void)
{
    FILE *in = fopen(option.rate_file, "r");
    double rate;

    if (in == NULL)
        return;
    if (fscanf(in, "%lf", &rate) == 1 && rate > 0)
        option.rate = rate;
    fclose(in);
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
            read_rate();
        for (unsigned int i = 0; i < option.concurrency; i++)
            if (connections[i].busy && connections[i].fd >= 0 &&
                checked - connections[i].started > option.timeout)
                broken(&connections[i], &result.broken);
    }
}

/* ---- the report ---- */

static int by_size(const void *left, const void *right)
{
    double a = *(const double *) left, b = *(const double *) right;

    return (a > b) - (a < b);
}

static double percentile(double share)
{
    size_t at = (size_t) (share * (double) result.latency_count);

    if (result.latency_count == 0)
        return 0;
    return result.latencies[at < result.latency_count ? at : result.latency_count - 1] * 1000;
}

static void report(double seconds)
{
    const char *comma = "";

    qsort(result.latencies, result.latency_count, sizeof *result.latencies, by_size);
    printf("{\"requests\":%llu,\"sent\":%llu,\"began_at\":%.3f,\"seconds\":%.3f,"
           "\"per_second\":%.1f,\"refused\":%llu,\"broken\":%llu,\"statuses\":{",
           (unsigned long long) option.requests, (unsigned long long) result.sent, start_epoch,
           seconds, (double) option.requests / seconds, (unsigned long long) result.refused,
           (unsigned long long) result.broken);
    for (unsigned int status = 1; status < 600; status++)
        if (result.statuses[status] > 0)
        {
            printf("%s\"%u\":%llu", comma, status, (unsigned long long) result.statuses[status]);
            comma = ",";
        }
    printf("},\"routed_to\":{");
    comma = "";
    for (size_t i = 0; i < MAX_TARGETS && result.targets[i].count > 0; i++)
    {
        printf("%s\"%s\":%llu", comma, result.targets[i].name,
               (unsigned long long) result.targets[i].count);
        comma = ",";
    }
    printf(
        "},\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}}\n",
        percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999), percentile(1));
}

/* ---- options ---- */

static void usage(FILE *to)
{
    fputs(
        "Usage: load --url http://127.0.0.1:PORT/PATH [OPTION]...\n"
        "Sends distinct generated WhatsApp webhooks; prints one JSON object about the answers.\n\n"
        "  --requests N      how many (default 1000)\n"
        "  --concurrency N   connections (default 16)\n"
        "  --rate N          so many a second, latency counted from when each was due\n"
        "  --rate-file FILE  the same, as FILE says, which is read ten times a second\n"
        "  --senders N       distinct senders (default 1000)\n"
        "  --first N         number of the first message (default 1); n always has the same bytes\n"
        "  --domain NAME     only messages about one domain, or `unknown`\n"
        "  --batch N         each N-th webhook is a batch: several messages, of different domains\n"
        "                    and senders\n"
        "  --statuses N      each N-th webhook is a status: sent, delivered or read\n"
        "  --size BYTES      bodies at least so long (default: as they are, some 500)\n"
        "  --retry N         send again, up to N times, what was not answered 200\n"
        "  --timeout S       seconds until a request counts as broken (default 30)\n"
        "  --header LINE     one more request header\n"
        "  --host NAME       what Host says (default: as in the URL)\n"
        "  --secret-file F   sign each body with the app secret in F\n"
        "  --correlation P   send X-Correlation-ID: P-NUMBER-ATTEMPT\n"
        "  --log FILE        a line per request, tab-separated: number, message ids, their "
        "domains, "
        "status\n"
        "                    (`none` when no whole answer came, `refused` without a connection),\n"
        "                    X-Routed-To, ms, sender, seconds since the start, correlation id\n"
        "  --help            this text\n\n"
        "Exit status 0 when every message was answered 200 in the end, else 1.\n",
        to);
}

static void parse_url(const char *url)
{
    char address[64] = "";
    int port = 80;

    option.path[0] = '/';
    if (sscanf(url, "http://%63[0-9.]:%d/%510s", address, &port, option.path + 1) < 1 ||
        inet_pton(AF_INET, address, &option.address.sin_addr) != 1)
    {
        fprintf(stderr, "load: not http://ADDRESS:PORT/PATH with an IPv4 address: %s\n", url);
        exit(EX_USAGE);
    }
    option.address.sin_family = AF_INET;
    option.address.sin_port = htons((uint16_t) port);
    snprintf(option.host, sizeof option.host, "%s:%d", address, port);
}

static void read_secret(const char *file)
{
    FILE *in = fopen(file, "r");

    if (in == NULL)
        fail("cannot read the secret file");
    option.secret_length = fread(option.secret, 1, sizeof option.secret, in);
    fclose(in);
    while (option.secret_length > 0 && option.secret[option.secret_length - 1] == '\n')
        option.secret_length--;
}

static void options(int argc, char **argv)
{
    static const struct option known[] = {
        {"url", required_argument, NULL, 'u'},
        {"requests", required_argument, NULL, 'n'},
        {"concurrency", required_argument, NULL, 'c'},
        {"rate", required_argument, NULL, 'r'},
        {"rate-file", required_argument, NULL, 'R'},
        {"senders", required_argument, NULL, 's'},
        {"first", required_argument, NULL, 'f'},
        {"domain", required_argument, NULL, 'd'},
        {"size", required_argument, NULL, 'b'},
        {"retry", required_argument, NULL, 'a'},
        {"timeout", required_argument, NULL, 't'},
        {"header", required_argument, NULL, 'H'},
        {"host", required_argument, NULL, 'O'},
        {"secret-file", required_argument, NULL, 'k'},
        {"batch", required_argument, NULL, 'B'},
        {"statuses", required_argument, NULL, 'S'},
        {"correlation", required_argument, NULL, 'C'},
        {"log", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    size_t length;
    int letter;

    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (letter)
        {
        case 'u':
            parse_url(optarg);
            break;
        case 'n':
            option.requests = strtoull(optarg, NULL, 10);
            break;
        case 'c':
            option.concurrency = (unsigned int) strtoul(optarg, NULL, 10);
            break;
        case 'r':
            option.rate = strtod(optarg, NULL);
            break;
        case 'R':
            option.rate_file = optarg;
            break;
        case 's':
            option.senders = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            option.first = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            option.domain = optarg;
            break;
        case 'b':
            option.size = strtoul(optarg, NULL, 10);
            break;
        case 'a':
            option.retries = (unsigned int) strtoul(optarg, NULL, 10);
            break;
        case 't':
            option.timeout = strtod(optarg, NULL);
            break;
        case 'H':
            length = strlen(option.headers);
            snprintf(option.headers + length, sizeof option.headers - length, "%s\r\n", optarg);
            break;
        case 'O':
            option.name = optarg;
            break;
        case 'k':
            read_secret(optarg);
            break;
        case 'B':
            option.batch = strtoull(optarg, NULL, 10);
            break;
        case 'S':
            option.statuses = strtoull(optarg, NULL, 10);
            break;
        case 'C':
            option.correlation = optarg;
            break;
        case 'l':
            if ((option.log = fopen(optarg, "w")) == NULL)
                fail("cannot write the log");
            break;
        case 'h':
            usage(stdout);
            exit(EX_OK);
        default:
            usage(stderr);
            exit(EX_USAGE);
        }
    if (optind < argc || option.host[0] == '\0' || option.requests == 0 ||
        option.concurrency == 0 || option.senders == 0)
    {
        usage(stderr);
        exit(EX_USAGE);
    }
}

int main(int argc, char **argv)
{
    struct sigaction on_term = {.sa_handler = on_stop};
    struct rlimit files;
    struct timespec moment;

    options(argc, argv);
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
    if (option.rate_file != NULL)
        read_rate();
    if (option.rate_file != NULL && option.rate <= 0)
        fail("the rate file holds no rate");
    clock_gettime(CLOCK_REALTIME, &moment);
    start_epoch = (double) moment.tv_sec + (double) moment.tv_nsec / 1e9;
    start = now();
    run();
    report(now());
    if (option.log != NULL && fclose(option.log) != 0)
        fail("cannot write the log");
    return result.latency_count == option.requests && result.statuses[200] >= option.requests ? 0
                                                                                              : 1;
}
