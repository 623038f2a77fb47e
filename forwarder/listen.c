/* SPDX-License-Identifier: PostgreSQL
 *
 * listen.c: listening sockets, and sentences for what can go wrong with them.
 *
 * Every worker has a socket of its own on the same port (SO_REUSEPORT); the kernel spreads the
 * connections. Since that would let a second forwarder of the same user slip in unnoticed, the port
 * is first taken without sharing it.
 *
 * Or the sockets come from outside (sd_listen_fds(3)), where they stay open when we end:
 * connections then wait in their queues for the next forwarder, and a restart loses none.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forwarder.h"

#define BACKLOG 4096

/* A sentence about `address` and errno, with the way to find out more where there is one. */
static void listen_explain(const char *flag, const char *address, const char *port, char *problem,
                           size_t size)
{
    if (errno == EADDRINUSE)
        snprintf(
            problem, size,
            "%s: cannot listen on %s: port %s is in use; `ss -ltnp 'sport = :%s'` shows by whom",
            flag, address, port, port);
    else if (errno == EACCES)
        snprintf(problem, size,
                 "%s: cannot listen on %s: port %s needs CAP_NET_BIND_SERVICE (ports below 1024)",
                 flag, address, port);
    else if (errno == EADDRNOTAVAIL)
        snprintf(problem, size,
                 "%s: cannot listen on %s: this machine does not have the address; `ip addr` shows "
                 "which it has",
                 flag, address);
    else
        snprintf(problem, size, "%s: cannot listen on %s: %s", flag, address, strerror(errno));
}

static int listen_try(const struct addrinfo *address, bool shared, bool listening)
{
    int one = 1, zero = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0) &&
        (address->ai_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) == 0) &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
        (!listening || listen(fd, BACKLOG) == 0))
        return fd;
    close(fd);
    return -1;
}

/* The port that the kernel chose for the first socket is the others' too. */
static void listen_copy_port(const struct addrinfo *address, int fd)
{
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;

    if (getsockname(fd, (struct sockaddr *) &bound, &length) == 0 && length <= address->ai_addrlen)
        memcpy(address->ai_addr, &bound, length);
}

static bool listen_all(const struct addrinfo *address, bool shared, int *fds, size_t count)
{
    int probe;

    if (shared && (probe = listen_try(address, false, true)) < 0)
        return false;
    if (shared)
    {
        listen_copy_port(address, probe);
        close(probe);
    }
    for (size_t i = 0; i < count; i++)
    {
        fds[i] = listen_try(address, shared, true);
        if (fds[i] < 0)
        {
            while (i-- > 0)
                close(fds[i]);
            return false;
        }
    }
    return true;
}

bool listen_open(const char *flag, const char *address, int *fds, size_t count, char *problem,
                 size_t size)
{
    char host[256], port[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int failed;
    bool good;

    if (!options_parse_address(address, host, sizeof host, port, sizeof port))
    {
        snprintf(problem, size, "%s: \"%s\" is no HOST:PORT", flag, address);
        return false;
    }
    if (*host == '\0')
        strcpy(host, "::"); /* every address, both families */
    failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0)
    {
        snprintf(problem, size, "%s: cannot listen on %s: %s", flag, address, gai_strerror(failed));
        return false;
    }
    good = listen_all(found, count > 1, fds, count);
    if (!good)
        listen_explain(flag, address, port, problem, size);
    freeaddrinfo(found);
    return good;
}

void listen_describe(int fd, char *text, size_t size)
{
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    char host[128], port[8];

    snprintf(text, size, "unknown");
    if (getsockname(fd, (struct sockaddr *) &bound, &length) == 0 &&
        getnameinfo((struct sockaddr *) &bound, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(text, size, bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* ---- sockets from outside ---- */

#define FIRST_INHERITED 3 /* behind stdin, stdout and stderr */

/* Number `index` of a list of names that colons part; "" where there is none. */
static void inherited_name(const char *names, int index, char *name, size_t size)
{
    while (index-- > 0 && *names != '\0')
    {
        names += strcspn(names, ":");
        names += *names == ':';
    }
    snprintf(name, size, "%.*s", (int) strcspn(names, ":"), names);
}

static bool is_listening(int fd)
{
    int domain = 0, type = 0, listening = 0;
    socklen_t length = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 &&
           (domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM && listening;
}

static bool inherit_one(struct inherited *inherited, int fd, const char *name, char *problem,
                        size_t size)
{
    bool admin = strcmp(name, "admin") == 0;

    if (!is_listening(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        snprintf(problem, size, "LISTEN_FDS: file %d (\"%s\") is no listening TCP socket", fd,
                 name);
    else if (admin && inherited->admin >= 0)
        snprintf(problem, size, "LISTEN_FDNAMES: more than one socket is called admin");
    else if (!admin && inherited->count == INHERITED_MOST)
        snprintf(problem, size, "LISTEN_FDS: more than %d sockets for webhooks", INHERITED_MOST);
    else
    {
        if (admin)
            inherited->admin = fd;
        else
            inherited->webhooks[inherited->count++] = fd;
        return true;
    }
    return false;
}

static bool inherit_all(struct inherited *inherited, char *problem, size_t size)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    char name[64];
    unsigned count;

    if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != getpid() || strcmp(fds, "0") == 0)
        return true;
    if (!options_parse_count(fds, &count) || count > INHERITED_MOST + 1)
    {
        snprintf(problem, size, "LISTEN_FDS: \"%s\" is no number of sockets", fds);
        return false;
    }
    for (int i = 0; i < (int) count; i++)
    {
        inherited_name(names == NULL ? "" : names, i, name, sizeof name);
        if (!inherit_one(inherited, FIRST_INHERITED + i, name, problem, size))
            return false;
    }
    return true;
}

bool listen_inherit(struct inherited *inherited, char *problem, size_t size)
{
    bool good;

    *inherited = (struct inherited){.admin = -1};
    good = inherit_all(inherited, problem, size);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return good;
}

bool listen_spread(const struct inherited *inherited, int *fds, size_t count, char *problem,
                   size_t size)
{
    if (inherited->count > count)
    {
        snprintf(problem, size,
                 "LISTEN_FDS: %zu sockets for webhooks, but --workers is %zu: each needs a worker",
                 inherited->count, count);
        return false;
    }
    for (size_t i = 0; i < count; i++)
    {
        int fd = inherited->webhooks[i % inherited->count];

        fds[i] = i < inherited->count ? fd : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_INHERITED);
        if (fds[i] < 0)
        {
            snprintf(problem, size, "cannot share the socket of LISTEN_FDS: %s", strerror(errno));
            return false;
        }
    }
    return true;
}
