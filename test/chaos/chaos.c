/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * chaos.c: the chaos proxy's start, its listeners and its loop.
 */
#include "chaos.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;
static int epoll_set;
static struct
{
    int fd, port; /* fd is -1 while nothing listens */
    bool watched;
} listener = {.fd = -1};

void *must(void *pointer)
{
    if (pointer == NULL)
    {
        fputs("chaos-proxy: out of memory\n", stderr);
        exit(EX_OSERR);
    }
    return pointer;
}

static void usage(FILE *to)
{
    fputs(
        "Usage: chaos-proxy --upstream HOST:PORT|PATH [OPTION]...\n"
        "Relays TCP connections to an upstream (IPv4 address and port, or a Unix socket's path) "
        "and\n"
        "does to them, when told to, what networks and dying peers do. Bytes are never changed.\n\n"
        "  --upstream U       where connections go\n"
        "  --port N           port on 127.0.0.1 (0: any free one; the default)\n"
        "  --control-port N   port of the orders, alike\n"
        "  --help             this text\n\n"
        "When it listens it prints one line: ready port=N control_port=N\n\n"
        "Orders (POST without a body on the control port, such as curl -X POST .../freeze); "
        "direction\n"
        "is `up` (client to upstream) or `down`, both when it is left out:\n"
        "  /latency?ms=N[&jitter_ms=N][&direction=D]   pieces arrive later; 0: no more\n"
        "  /rate?bytes=N[&direction=D]                 bytes a second (1: a drip); 0: no limit\n"
        "  /black-hole      new connections are accepted and read, and nothing ever answers\n"
        "  /freeze, /thaw   nothing is accepted, read or written, as by a stopped process\n"
        "  /half-open       connections of now carry nothing more, not even their ends\n"
        "  /reset           both ends of all connections get an RST, now\n"
        "  /reset-after?bytes=N&direction=D[&times=N]  a connection is reset when N bytes have "
        "passed\n"
        "  /reset-answer[?times=N]  reset instead of an answer's first byte: the request was "
        "delivered\n"
        "  /close-idle[?times=N]    reset instead of passing a kept connection's next request on\n"
        "  /refuse          nothing listens any more; what is connected stays\n"
        "  /plain           all orders are over (what is half-open stays so)\n"
        "GET /report says what has passed: open, accepted, unreachable, resets, black_holed, up, "
        "down.\n",
        to);
}

static int listen_on(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t) *port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *) &address, sizeof address) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *) &address, &length) != 0)
    {
        fprintf(stderr, "chaos-proxy: cannot listen on port %d: %s\n", *port, strerror(errno));
        exit(EX_UNAVAILABLE);
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/* "127.0.0.1:80", "localhost:80" or a path with a slash. */
static socklen_t read_upstream(const char *text, struct sockaddr_storage *address)
{
    struct sockaddr_in *inet = (struct sockaddr_in *) address;
    struct sockaddr_un *local = (struct sockaddr_un *) address;
    const char *colon = strrchr(text, ':');
    char host[64];

    memset(address, 0, sizeof *address);
    if (strchr(text, '/') != NULL && strlen(text) < sizeof local->sun_path)
    {
        local->sun_family = AF_UNIX;
        strcpy(local->sun_path, text);
        return sizeof *local;
    }
    if (colon == NULL || (size_t) (colon - text) >= sizeof host)
        return 0;
    snprintf(host, sizeof host, "%.*s", (int) (colon - text), text);
    inet->sin_family = AF_INET;
    inet->sin_port = htons((uint16_t) atoi(colon + 1));
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                     &inet->sin_addr) == 1
               ? sizeof *inet
               : 0;
}

static void stop(int number)
{
    (void) number;
    stopping = 1;
}

static void watch(int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

    epoll_ctl(epoll_set, EPOLL_CTL_ADD, fd, &event);
}

void listener_obey(void)
{
    bool wanted;

    if (orders.refusing && listener.fd >= 0)
    {
        close(listener.fd);
        listener.fd = -1;
        listener.watched = false;
    }
    else if (!orders.refusing && listener.fd < 0)
        listener.fd = listen_on(&listener.port);
    wanted = listener.fd >= 0 && !orders.frozen;
    if (wanted && !listener.watched)
        watch(listener.fd, &listener);
    else if (!wanted && listener.watched)
        epoll_ctl(epoll_set, EPOLL_CTL_DEL, listener.fd, NULL);
    listener.watched = wanted;
}

static void accept_all(void)
{
    int fd;

    while ((fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        relay_accepted(fd);
}

static void serve(int control)
{
    struct epoll_event events[64];
    int count, wait = 0;

    watch(control, &control);
    listener_obey();
    while (!stopping)
    {
        count = epoll_wait(epoll_set, events, 64, wait);
        for (int i = 0; i < count; i++)
            if (events[i].data.ptr == &listener)
                accept_all();
            else if (events[i].data.ptr == &control)
                control_serve(accept4(control, NULL, NULL, SOCK_CLOEXEC));
            else
                relay_event(events[i].data.ptr, events[i].events);
        wait = relay_turn();
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"upstream", required_argument, NULL, 'u'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"control-port", required_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct sigaction on_stop = {.sa_handler = stop};
    struct sockaddr_storage target;
    struct rlimit files;
    socklen_t length = 0;
    int option, control_port = 0, control;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        if (option == 'u')
            length = read_upstream(optarg, &target);
        else if (option == 'p')
            listener.port = atoi(optarg);
        else if (option == 'c')
            control_port = atoi(optarg);
        else
        {
            usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? EX_OK : EX_USAGE;
        }
    if (length == 0 || optind < argc)
    {
        usage(stderr);
        return EX_USAGE;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sigaction(SIGTERM, &on_stop, NULL);
    sigaction(SIGINT, &on_stop, NULL);
    listener.fd = listen_on(&listener.port);
    control = listen_on(&control_port);
    epoll_set = epoll_create1(EPOLL_CLOEXEC);
    relay_open(epoll_set, &target, length);
    printf("ready port=%d control_port=%d\n", listener.port, control_port);
    fflush(stdout);
    serve(control);
    return EX_OK;
}
