/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * moments.c: preloaded into a program, ends it by SIGKILL at an exact moment: just before or just
 * after one of the calls by which it has an effect outside itself. The file named by $MOMENTS says
 * when, in two bytes that may be written at any time: the number of moments that are left (0: no
 * end), and whether fdatasync() fails meanwhile, as it does on a disk that is dying.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct control
{
    _Atomic uint8_t left;
    _Atomic uint8_t disk_fails;
};

static struct control *control;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("MOMENTS");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *mapped = fd < 0 ? MAP_FAILED
                          : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (mapped != MAP_FAILED)
        control = mapped;
    if (fd >= 0)
        close(fd);
}

static void moment(void)
{
    if (control != NULL && control->left > 0 && atomic_fetch_sub(&control->left, 1) == 1)
        kill(getpid(), SIGKILL);
}

#define WATCHED(type, name, parameters, arguments)                                                 \
    type name parameters                                                                           \
    {                                                                                              \
        type(*real) parameters = (type(*) parameters) dlsym(RTLD_NEXT, #name);                     \
        type result;                                                                               \
                                                                                                   \
        moment();                                                                                  \
        result = real arguments;                                                                   \
        moment();                                                                                  \
        return result;                                                                             \
    }

WATCHED(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
WATCHED(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
WATCHED(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at),
        (fd, bytes, size, at))
WATCHED(ssize_t, writev, (int fd, const struct iovec *pieces, int count), (fd, pieces, count))
WATCHED(ssize_t, send, (int fd, const void *bytes, size_t size, int flags),
        (fd, bytes, size, flags))
WATCHED(ssize_t, sendto,
        (int fd, const void *bytes, size_t size, int flags, const struct sockaddr *address,
         socklen_t length),
        (fd, bytes, size, flags, address, length))
WATCHED(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WATCHED(int, connect, (int fd, const struct sockaddr *address, socklen_t length),
        (fd, address, length))
WATCHED(int, unlinkat, (int directory, const char *path, int flags), (directory, path, flags))

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    int result;

    moment();
    if (control != NULL && control->disk_fails)
    {
        errno = EIO;
        result = -1;
    }
    else
        result = real(fd);
    moment();
    return result;
}
