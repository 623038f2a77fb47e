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
#include "standin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

int control_port, wake_pipe[2];
bool refusing;

static const char *listen_address = "127.0.0.1";
static int port, workers = 2;
static volatile sig_atomic_t stopping;

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
    fputs(
        "Usage: standin-functions [OPTION]...\n"
        "Plays every wa-webhook-* function: answers 200 to any path and remembers what came.\n\n"
        "  --port N           port of the functions (0: any free one; the default)\n"
        "  --control-port N   port of the control paths, reachable while the functions refuse\n"
        "  --address A        IPv4 address to listen on (default 127.0.0.1)\n"
        "  --workers N        threads that answer (default 2)\n"
        "  --delay-ms N       delay of every answer, until told otherwise\n"
        "  --count-only       count requests and nothing else (for benchmarks)\n"
        "  --keep-bodies      keep the last 4096 bodies for GET /_standin/body\n"
        "  --journal FILE     append a line for each request, tab-separated: correlation id,\n"
        "                     function, message ids, status of the answer or `broken`\n"
        "  --help             this text\n\n"
        "When it listens it prints one line: ready port=N control_port=N\n\n"
        "Control (on either port):\n"
        "  GET  /_standin/report[?name=F&last=N&messages=1&message=ID]\n"
        "  GET  /_standin/body[?number=N]\n"
        "  POST /_standin/reset\n"
        "  POST /_standin/behave?[name=F&]delay_ms=N&status=N&reset=1&truncate=1&close_after=1\n"
        "       &body=TEXT&content_type=TYPE&header=NAME:VALUE&times=N&every=N&refuse=0|1\n"
        "       &file=PATH&raw=PATH\n"
        "       (no name: all functions; times: so many answers, then plain again; every: one of\n"
        "       so many requests, the others as without a name, or plain;\n"
        "       refuse: stop listening and cut every connection, for all functions;\n"
        "       file: its bytes are the body; raw: its bytes are all of the answer, after which\n"
        "       the connection closes)\n",
        to);
}

static void open_journal(const char *path)
{
    journal = fopen(path, "a");
    if (journal != NULL)
        return;
    fprintf(stderr, "standin-functions: cannot write %s: %s\n", path, strerror(errno));
    exit(EX_CANTCREAT);
}

static void options(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},     {"control-port", required_argument, NULL, 'c'},
        {"address", required_argument, NULL, 'a'},  {"workers", required_argument, NULL, 'w'},
        {"delay-ms", required_argument, NULL, 'd'}, {"count-only", no_argument, NULL, 'n'},
        {"keep-bodies", no_argument, NULL, 'k'},    {"journal", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
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
        case 'j':
            open_journal(optarg);
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

/* Limits, signals, and what the threads share. */
static bool prepare(void)
{
    struct sigaction on_stop = {.sa_handler = stop};
    struct rlimit files;
    pthread_condattr_t monotonic;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sigaction(SIGTERM, &on_stop, NULL);
    sigaction(SIGINT, &on_stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    return pipe(wake_pipe) == 0 && pthread_cond_init(&timer_wake, &monotonic) == 0;
}

int main(int argc, char **argv)
{
    struct MHD_Daemon *daemon, *control;
    pthread_t timer;
    int listener, control_listener;

    options(argc, argv);
    if (!prepare())
        return EX_OSERR;

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

    timers_stop();
    pthread_join(timer, NULL);
    MHD_stop_daemon(daemon);
    MHD_stop_daemon(control);
    return EX_OK;
}
