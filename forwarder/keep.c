/* SPDX-License-Identifier: PostgreSQL
 *
 * keep.c: the last rules in a file of the spool's directory. Written under another name, brought to
 * the disk and renamed, so that there is always a whole file; on a thread of its own, since a disk
 * may take its time. The text ends in a line that proves it is whole (core/route.h), and is
 * compiled like one from the database: a damaged file is no file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forwarder.h"

#define NAME "ruleset"
#define LONGEST ((off_t) 64 << 20)

/* One writer at a time, and of two texts the later one stays. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_written;

struct keeping
{
    uint64_t number;
    size_t length;
    char directory[4096];
    char text[];
};

static void keep_complain(const char *what)
{
    struct log_line line;

    if (!log_begin(&line, LOG_WARNING, "ruleset_not_kept",
                   "the rules could not be written to the spool directory"))
        return;
    log_text(&line, "what", what);
    log_text(&line, "detail", strerror(errno));
    log_end(&line);
}

static bool keep_write(int fd, const char *text, size_t length)
{
    while (length > 0)
    {
        ssize_t written = write(fd, text, length);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        length -= (size_t) written;
    }
    return fdatasync(fd) == 0;
}

static void keep_replace(const struct keeping *keeping)
{
    int directory = open(keeping->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = directory < 0 ? -1
                           : openat(directory, NAME ".new",
                                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && keep_write(fd, keeping->text, keeping->length) &&
                renameat(directory, NAME ".new", directory, NAME) == 0 && fsync(directory) == 0;

    if (!good)
        keep_complain(fd < 0 ? "open" : "write");
    if (fd >= 0)
        close(fd);
    if (directory >= 0)
        close(directory);
}

static void *keep_run(void *argument)
{
    struct keeping *keeping = argument;

    pthread_mutex_lock(&writing);
    if (keeping->number > last_written)
    {
        keep_replace(keeping);
        last_written = keeping->number;
    }
    pthread_mutex_unlock(&writing);
    free(keeping);
    return NULL;
}

void keep_ruleset(const struct spool_directory *directory, const char *text, size_t length)
{
    static uint64_t number; /* worker 0 alone calls this */
    const char *path = spool_directory_path(directory);
    struct keeping *keeping;
    pthread_attr_t attributes;
    pthread_t thread;
    bool started = false;

    if (*path == '\0' || strlen(path) >= sizeof keeping->directory ||
        (keeping = malloc(sizeof *keeping + length)) == NULL)
        return;
    keeping->number = ++number;
    keeping->length = length;
    strcpy(keeping->directory, path);
    memcpy(keeping->text, text, length);
    if (pthread_attr_init(&attributes) == 0)
    {
        started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                  pthread_create(&thread, &attributes, keep_run, keeping) == 0;
        pthread_attr_destroy(&attributes);
    }
    if (!started)
        free(keeping);
}

char *keep_recall(const struct spool_directory *directory, size_t *length)
{
    char path[4096 + sizeof NAME + 1];
    struct stat status;
    char *text = NULL;
    int fd;

    *length = 0;
    if (*spool_directory_path(directory) == '\0' ||
        snprintf(path, sizeof path, "%s/" NAME, spool_directory_path(directory)) >=
            (int) sizeof path ||
        (fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= LONGEST &&
        (text = malloc((size_t) status.st_size + 1)) != NULL)
    {
        ssize_t got = read(fd, text, (size_t) status.st_size);

        *length = got < 0 ? 0 : (size_t) got;
    }
    close(fd);
    return text;
}
