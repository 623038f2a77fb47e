/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_directory.c: the directory that holds the segments, and whose it is. It becomes ready once
 * its lock is ours, at the start or whenever what was in the way is gone; then it stays so. The
 * lock is of the open file (OFD): it ends with the process, however that ends, and a file that
 * nobody holds is no lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "spool_inside.h"

#define DEFAULT_DIRECTORY "/var/lib/webhook-forwarder"
#define LOCK_PAUSE_US 20000 /* between two tries to get the lock */

enum readiness
{
    DIRECTORY_READY,
    DIRECTORY_LOCKED,
    DIRECTORY_UNUSABLE
};

/* ---- troubles ---- */

static const char *mend_of(int error)
{
    switch (error)
    {
    case ENOSPC:
    case EDQUOT:
        return "free space on the file system of the spool directory";
    case EACCES:
    case EPERM:
        return "give the spool directory to the forwarder's user";
    case EROFS:
        return "mount the file system of the spool directory writable";
    case ENOENT:
    case ENOTDIR:
        return "make the spool directory's parent, or name another with --spool-directory";
    case EMFILE:
    case ENFILE:
        return "allow more open files (ulimit -n)";
    case EFBIG:
        return "allow larger files (ulimit -f)";
    case ENOMEM:
        return "give the forwarder more memory";
    default:
        return "look for errors of the disk in the kernel's log";
    }
}

bool spool_trouble_set(struct spool_trouble *trouble, int error, const char *what, const char *mend)
{
    snprintf(trouble->what, sizeof trouble->what, "%s%s%s", what, error != 0 ? ": " : "",
             error != 0 ? strerror(error) : "");
    trouble->mend = mend != NULL ? mend : mend_of(error);
    return false;
}

/* ---- whose it is ---- */

/* Nobody else may read phone numbers here. A directory that holds nothing else is tightened; one
 * that others use for other things is not touched. */
static bool make_private(int fd, struct spool_trouble *trouble)
{
    struct stat status;
    bool good = fstat(fd, &status) == 0 && status.st_uid == geteuid();

    if (good && (status.st_mode & 077) != 0)
        good = stock_is_ours(fd) && fchmod(fd, 0700) == 0 && fstat(fd, &status) == 0 &&
               (status.st_mode & 077) == 0;
    if (good)
        return true;
    return spool_trouble_set(trouble, 0, "the spool directory is not private",
                             "give the forwarder a directory of its own, with mode 0700");
}

/* The directory, made when only its parent is there; -1 with trouble. */
static int open_path(const struct spool_directory *directory, struct spool_trouble *trouble)
{
    int fd = -1;

    if (mkdir(directory->path, 0700) == 0 || errno == EEXIST)
        fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
    {
        spool_trouble_set(trouble, errno, "cannot use the spool directory", NULL);
        return -1;
    }
    if (make_private(fd, trouble))
        return fd;
    close(fd);
    return -1;
}

/* Who holds the lock, as far as the file tells. */
static void describe_holder(int lock_fd, struct spool_trouble *trouble)
{
    char pid[16] = "", what[96];
    ssize_t length = pread(lock_fd, pid, sizeof pid - 1, 0);

    pid[length < 0 ? 0 : length] = '\0';
    snprintf(what, sizeof what, "another forwarder has the spool directory (process %lld)",
             atoll(pid));
    spool_trouble_set(trouble, 0, what,
                      "stop it, or give each forwarder a directory of its own with "
                      "--spool-directory");
}

/* The open lock file, locked; -1 with trouble. */
static int take_lock(int fd, struct spool_trouble *trouble, enum readiness *readiness)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int lock_fd = openat(fd, SPOOL_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    char pid[16];

    if (lock_fd >= 0 && fcntl(lock_fd, F_OFD_SETLK, &whole) == 0)
    {
        int length = snprintf(pid, sizeof pid, "%d\n", (int) getpid());

        /* Only a message needs it: a full disk is no reason not to start. */
        if (ftruncate(lock_fd, 0) != 0 || pwrite(lock_fd, pid, (size_t) length, 0) != length)
            errno = 0;
        return lock_fd;
    }
    if (lock_fd >= 0 && (errno == EAGAIN || errno == EACCES))
    {
        describe_holder(lock_fd, trouble);
        *readiness = DIRECTORY_LOCKED;
    }
    else
        spool_trouble_set(trouble, errno, "cannot lock the spool directory", NULL);
    if (lock_fd >= 0)
        close(lock_fd);
    return -1;
}

/* ---- becoming ready; the mutex is held ---- */

/* Puts a descriptor in the place of one that others may be using: dup3() onto an open one cannot
 * fail but for a signal, and that is tried again. */
static void replace_fd(int *place, int fd)
{
    if (*place < 0)
    {
        *place = fd;
        return;
    }
    while (dup3(fd, *place, O_CLOEXEC) < 0 && (errno == EINTR || errno == EBUSY))
        ;
    close(fd);
}

static bool is_gone(const struct spool_directory *directory)
{
    struct stat status;

    return fstat(directory->fd, &status) == 0 && status.st_nlink == 0;
}

static enum readiness make_ready(struct spool_directory *directory, struct spool_trouble *trouble)
{
    enum readiness readiness = DIRECTORY_UNUSABLE;
    bool first = !atomic_load(&directory->ready);
    int fd, lock_fd;

    if (!first && !is_gone(directory))
        return DIRECTORY_READY;
    fd = open_path(directory, trouble);
    if (fd < 0)
        return DIRECTORY_UNUSABLE;
    lock_fd = take_lock(fd, trouble, &readiness);
    if (lock_fd >= 0 && (!first || stock_take(directory, fd)))
    {
        replace_fd(&directory->fd, fd);
        replace_fd(&directory->lock_fd, lock_fd);
        atomic_store(&directory->ready, true);
        return DIRECTORY_READY;
    }
    if (lock_fd >= 0)
    {
        spool_trouble_set(trouble, errno, "cannot read the spool directory", NULL);
        directory->leftover_count = 0;
        directory->bytes = directory->segments = directory->aside = 0;
        close(lock_fd);
    }
    close(fd);
    return readiness;
}

static enum readiness try_once(struct spool_directory *directory, struct spool_trouble *trouble)
{
    enum readiness readiness;

    pthread_mutex_lock(&directory->mutex);
    readiness = make_ready(directory, trouble);
    pthread_mutex_unlock(&directory->mutex);
    return readiness;
}

bool spool_directory_try(struct spool_directory *directory, struct spool_trouble *trouble)
{
    return try_once(directory, trouble) == DIRECTORY_READY;
}

static void report_lock(enum log_level level, const char *message,
                        const struct spool_directory *directory,
                        const struct spool_trouble *trouble)
{
    struct log_line line;

    if (!log_begin(&line, level, EVENT_SPOOL_LOCKED, message))
        return;
    log_text(&line, "directory", directory->path);
    log_text(&line, "detail", trouble->what);
    log_text(&line, "mend", trouble->mend);
    log_end(&line);
}

/* The main thread takes signals later, from its loop. */
static bool asked_to_stop(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* Tries until another forwarder has left, time is over, or nobody wants to start any more. */
static enum readiness wait_for_lock(struct spool_directory *directory)
{
    const struct timespec pause = {0, LOCK_PAUSE_US * 1000};
    uint64_t end = loop_clock() + directory->options->spool_lock_timeout;
    struct spool_trouble trouble;
    enum readiness readiness = try_once(directory, &trouble);

    if (readiness == DIRECTORY_LOCKED)
        report_lock(LOG_INFO, "waiting for another forwarder to leave the spool directory",
                    directory, &trouble);
    while (readiness == DIRECTORY_LOCKED && loop_clock() < end && !asked_to_stop())
    {
        nanosleep(&pause, NULL);
        readiness = try_once(directory, &trouble);
    }
    if (readiness == DIRECTORY_LOCKED)
        report_lock(LOG_ERROR, "another forwarder keeps the spool directory", directory, &trouble);
    return readiness;
}

/* ---- open and close ---- */

void spool_directory_choose(const struct options *options, char *path, size_t size)
{
    const char *chosen = options->spool_directory;
    int length = (int) strlen(chosen);

    if (*chosen == '\0' && (chosen = getenv("STATE_DIRECTORY")) != NULL)
        length = (int) strcspn(chosen, ":");
    if (chosen == NULL || length == 0)
    {
        chosen = DEFAULT_DIRECTORY;
        length = (int) strlen(chosen);
    }
    snprintf(path, size, "%.*s", length, chosen);
}

/* Several segments of each worker fit into --spool-size. */
static size_t choose_segment_size(const struct options *options)
{
    size_t size = options->spool_size / options->workers / 4 & ~(size_t) 4095;

    return size > SEGMENT_SIZE ? SEGMENT_SIZE : size < SEGMENT_LEAST ? SEGMENT_LEAST : size;
}

enum spool_opening spool_directory_open(struct spool_directory **directory,
                                        const struct options *options)
{
    struct spool_directory *made = calloc(1, sizeof *made);

    *directory = NULL;
    if (made == NULL)
        return SPOOL_FAILED;
    made->options = options;
    made->fd = made->lock_fd = -1;
    made->segment_size = choose_segment_size(options);
    spool_directory_choose(options, made->path, sizeof made->path);
    if (pthread_mutex_init(&made->mutex, NULL) != 0 || !syncer_open(&made->syncer, &made->fd))
    {
        free(made);
        return SPOOL_FAILED;
    }
    if (wait_for_lock(made) == DIRECTORY_LOCKED)
    {
        spool_directory_close(made);
        return SPOOL_LOCKED;
    }
    *directory = made;
    return SPOOL_OPENED;
}

void spool_directory_close(struct spool_directory *directory)
{
    if (directory == NULL)
        return;
    syncer_close(&directory->syncer);
    if (directory->lock_fd >= 0)
        close(directory->lock_fd);
    if (directory->fd >= 0)
        close(directory->fd);
    pthread_mutex_destroy(&directory->mutex);
    free(directory->leftovers);
    free(directory);
}

const char *spool_directory_path(const struct spool_directory *directory)
{
    return atomic_load(&directory->ready) ? directory->path : "";
}
