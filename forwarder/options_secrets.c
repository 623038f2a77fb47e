/* SPDX-License-Identifier: PostgreSQL
 *
 * options_secrets.c: secrets: files that hold them, read at the start and again when main asks, and
 * the variables that held them, taken out of sight.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "options_table.h"

/* Longest content of a secret's file, in bytes. */
#define SECRET_LIMIT 65536
/* Whoever writes into a pipe has so long, in ms, for all of it. */
#define SECRET_PATIENCE_MS 5000

void options_wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads up to `size` bytes, to the end: of a pipe too, which says that it is at its end before
 * anybody has begun to write as well. -1 with errno; ETIMEDOUT when a pipe's writer is not done in
 * time. */
static ssize_t read_all(int fd, char *content, size_t size)
{
    int64_t deadline = now_ms() + SECRET_PATIENCE_MS;
    struct pollfd pipe = {.fd = fd, .events = POLLIN};
    size_t length = 0;

    while (length < size)
    {
        ssize_t got = read(fd, content + length, size - length);
        int64_t left = deadline - now_ms();

        if (got > 0)
        {
            length += (size_t) got;
            continue;
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        if (got == 0 &&
            (length > 0 || (pipe.revents & POLLHUP) != 0 || lseek(fd, 0, SEEK_CUR) >= 0))
            break;
        if (left <= 0 || poll(&pipe, 1, (int) left) == 0)
        {
            errno = ETIMEDOUT;
            return -1;
        }
    }
    return (ssize_t) length;
}

/* Reads into `content`, of SECRET_LIMIT + 1 bytes; NULL when that went well. */
static const char *read_text(int fd, char *content)
{
    ssize_t length = read_all(fd, content, SECRET_LIMIT + 1);

    if (length < 0)
        return errno == ETIMEDOUT ? "it is a pipe that nobody fills within 5 s" : strerror(errno);
    if (length > SECRET_LIMIT || memchr(content, '\0', (size_t) length) != NULL)
        return "longer than 64 KiB, or not text";
    while (length > 0 && isspace((unsigned char) content[length - 1]))
        length--;
    content[length] = '\0';
    return length == 0 ? "it is empty" : NULL;
}

/* What mends that a file cannot be opened; "" when that is plain. */
static const char *mend_file(int error)
{
    return error == ENOENT ? "; write it, or leave the setting out"
           : error == EACCES
               ? "; let the forwarder's group read it (chgrp and chmod 640), and its folders (750)"
               : "";
}

char *options_read_secret(const char *path, char *message, size_t size)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    const char *mend = fd < 0 ? mend_file(errno) : "", *wrong;
    char *content = fd < 0 ? NULL : calloc(1, SECRET_LIMIT + 1);

    wrong = content == NULL ? strerror(errno) : read_text(fd, content);
    if (fd >= 0)
        close(fd);
    if (wrong == NULL)
        return content;
    snprintf(message, size, "cannot read %s: %s%s", path, wrong, mend);
    if (content != NULL)
        explicit_bzero(content, SECRET_LIMIT + 1);
    free(content);
    return NULL;
}

/* ---- afterwards ---- */

struct secret *options_secret(struct options *options, size_t index, const char **flag)
{
    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
        if (OPTION_ROWS[i].kind == KIND_SECRET && index-- == 0)
        {
            *flag = OPTION_ROWS[i].flag;
            return option_field(options, &OPTION_ROWS[i]);
        }
    return NULL;
}

/* Overwrites a variable where the kernel shows it (/proc/PID/environ), too. */
static void hide_variable(const char *name)
{
    char *value = getenv(name);

    if (value == NULL)
        return;
    explicit_bzero(value, strlen(value));
    unsetenv(name);
}

void options_hide_environment(void)
{
    const char *password = getenv("PGPASSWORD");
    char *copy = password == NULL ? NULL : strdup(password);

    for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
        if (OPTION_ROWS[i].kind == KIND_SECRET)
            hide_variable(OPTION_ROWS[i].variable);
    /* libpq reads this one again for each connection: from a copy that only we see. */
    if (copy == NULL)
        return;
    hide_variable("PGPASSWORD");
    setenv("PGPASSWORD", copy, 1);
    options_wipe(copy);
}
