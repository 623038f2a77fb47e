/* SPDX-License-Identifier: PostgreSQL
 *
 * notify.c: tells the service manager what becomes of us (sd_notify(3)): datagrams to the socket
 * that NOTIFY_SOCKET names. Without one nothing is told.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "forwarder.h"

/* How long the manager waits for a sign of life; 0: it does not, or not for this process. */
static uint64_t notify_watchdog(void)
{
    const char *microseconds = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (microseconds == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
        return 0;
    return strtoull(microseconds, NULL, 10);
}

void notify_open(struct notify *notify)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path == NULL ? 0 : strlen(path);

    *notify = (struct notify){.fd = -1, .watchdog_us = notify_watchdog()};
    if (length > 1 && (path[0] == '/' || path[0] == '@') &&
        length < sizeof notify->address.sun_path)
    {
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        notify->address.sun_family = AF_UNIX;
        memcpy(notify->address.sun_path, path, length);
        if (path[0] == '@') /* an abstract name */
            notify->address.sun_path[0] = '\0';
        notify->length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_send(const struct notify *notify, const char *message)
{
    if (notify->fd >= 0 && sendto(notify->fd, message, strlen(message), MSG_NOSIGNAL,
                                  (const struct sockaddr *) &notify->address, notify->length) < 0)
        log_plain(LOG_WARNING, EVENT_NOTIFY_FAILED, strerror(errno));
}

void notify_reloading(const struct notify *notify)
{
    char message[80];

    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long) loop_clock());
    notify_send(notify, message);
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}
