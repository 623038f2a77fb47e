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

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "forwarder.h"

#define NAME "ruleset"
#define LONGEST ((off_t) 64 << 20)

/* One writer at a time; what it has written is only believed when it succeeded. */
static _Atomic bool writing, failed;
static bool complained; /* since it last succeeded; the writer's */

struct keeping
{
    size_t length;
    char directory[4096];
    char text[];
};

/* Once, until they could be written: it is tried every second. */
static void keep_complain(const char *what)
{
    struct log_line line;

    if (complained || !log_begin(&line, LOG_WARNING, EVENT_RULESET_NOT_KEPT,
                                 "the rules could not be written to the spool directory"))
        return;
    complained = true;
    log_text(&line, "what", what);
    log_text(&line, "detail", strerror(errno));
    log_text(&line, "mend",
             "free space in the spool directory, and leave what is in it to the forwarder");
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

static bool keep_replace(const struct keeping *keeping)
{
    int directory = open(keeping->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = directory < 0 ? -1
                           : openat(directory, NAME ".new",
                                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && keep_write(fd, keeping->text, keeping->length) &&
                renameat(directory, NAME ".new", directory, NAME) == 0 && fsync(directory) == 0;

    if (good)
        complained = false;
    else
        keep_complain(fd < 0 ? "open" : "write");
    if (fd >= 0)
        close(fd);
    if (directory >= 0)
        close(directory);
    return good;
}

static void *keep_run(void *argument)
{
    struct keeping *keeping = argument;

    atomic_store(&failed, !keep_replace(keeping));
    free(keeping);
    atomic_store(&writing, false);
    return NULL;
}

static bool keep_start(struct keeping *keeping)
{
    pthread_attr_t attributes;
    pthread_t thread;
    bool started = false;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
              pthread_create(&thread, &attributes, keep_run, keeping) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

/* Whether the file is there, as it was written last. */
static bool keep_has(const char *directory, const char *text, size_t length)
{
    static uint64_t last; /* hash of the last text; its length is in it too */
    uint64_t hash = XXH3_64bits_withSeed(text, length, length);
    char path[4096 + sizeof NAME + 1];
    bool there;

    snprintf(path, sizeof path, "%s/" NAME, directory);
    there = last == hash && !atomic_load(&failed) && access(path, F_OK) == 0;
    last = hash;
    return there;
}

void keep_ruleset(const struct spool_directory *directory, const char *text, size_t length)
{
    const char *path = spool_directory_path(directory);
    struct keeping *keeping;

    if (*path == '\0' || strlen(path) >= sizeof keeping->directory || atomic_load(&writing) ||
        keep_has(path, text, length))
        return;
    keeping = malloc(sizeof *keeping + length);
    atomic_store(&failed, keeping == NULL);
    if (keeping == NULL)
        return;
    keeping->length = length;
    strcpy(keeping->directory, path);
    memcpy(keeping->text, text, length);
    atomic_store(&writing, true);
    if (keep_start(keeping))
        return;
    free(keeping);
    atomic_store(&failed, true);
    atomic_store(&writing, false);
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
