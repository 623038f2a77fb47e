/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_syncer.c: the thread that brings segments to the disk, so that no worker ever waits for it.
 * Files stand in one queue, each at most once, in the order in which they were first asked for;
 * what is written while its file is being synced puts it there again. Grouped syncs begin
 * SYNC_PAUSE_US after the first file came; one that a webhook waits for begins at once, and takes
 * with it all that was written until then.
 *
 * A file belongs to the thread from the moment when the worker releases it: it is closed here,
 * since closing the last descriptor of a removed file is what gives its blocks back, which takes
 * time.
 *
 * After a failed fdatasync() the kernel may take the bytes that it could not write for written. So
 * the first error of a file is its last word: it is never synced again.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "spool_inside.h"

/* Half of what is promised, so that the sync itself has time. */
#define SYNC_PAUSE_US 50000

/* ---- the queue; the mutex is held ---- */

static void push(struct syncer *syncer, struct sync_file *file)
{
    if (file->queued)
        return;
    file->queued = true;
    file->next_queued = NULL;
    *syncer->end = file;
    syncer->end = &file->next_queued;
    if (syncer->queued++ == 0)
        pthread_cond_signal(&syncer->wake);
}

static struct sync_file *pop(struct syncer *syncer)
{
    struct sync_file *file = syncer->first;

    syncer->first = file->next_queued;
    if (syncer->first == NULL)
        syncer->end = &syncer->first;
    syncer->queued--;
    file->queued = false;
    return file;
}

/* Tells the worker, if it still wants to know. */
static void post(struct sync_file *file)
{
    const uint64_t one = 1;
    struct sync_post *post = file->post;

    if (post == NULL || (file->error == 0 && !post->all) || file->posted)
        return;
    file->posted = true;
    file->next_done = NULL;
    *post->end = file;
    post->end = &file->next_done;
    if (write(post->event_fd, &one, sizeof one) < 0)
        return; /* its counter is full: it is being woken already */
}

static void withdraw(struct sync_file *file)
{
    struct sync_post *post = file->post;
    struct sync_file **at = &post->first;

    file->post = NULL;
    if (!file->posted)
        return;
    while (*at != file)
        at = &(*at)->next_done;
    *at = file->next_done;
    if (*at == NULL)
        post->end = at;
}

/* ---- the thread ---- */

static void complain(int error)
{
    struct log_line line;

    if (!log_begin_limited(&line, LOG_ERROR, EVENT_SPOOL_SYNC_FAILED,
                           "a segment of the spool could not be brought to the disk: it is closed, "
                           "and its rows are kept in memory until the database has them"))
        return;
    log_text(&line, "detail", strerror(error));
    log_text(&line, "mend", "look for errors of the disk in the kernel's log");
    log_end(&line);
}

/* A new file is found again after a power cut when its directory has been synced too, where a file
 * system knows that. Returns errno. */
static int sync_now(const struct syncer *syncer, const struct sync_file *file, bool named)
{
    if (fdatasync(file->fd) != 0)
        return errno;
    return named || fsync(*syncer->directory) == 0 || errno == EINVAL ? 0 : errno;
}

/* The mutex is held, but not while the disk works. */
static void serve(struct syncer *syncer, struct sync_file *file)
{
    uint64_t asked = file->asked;
    int error;

    if (file->dirty && !file->removed && file->error == 0)
    {
        file->dirty = false;
        file->busy = true;
        pthread_mutex_unlock(&syncer->mutex);
        error = sync_now(syncer, file, file->named);
        if (error != 0)
            complain(error);
        pthread_mutex_lock(&syncer->mutex);
        file->busy = false;
        file->named = true;
        file->error = error;
        if (error == 0)
            file->done = asked;
        post(file);
        pthread_cond_broadcast(&syncer->served);
    }
    if (file->released && !file->queued)
    {
        pthread_mutex_unlock(&syncer->mutex);
        close(file->fd);
        free(file);
        pthread_mutex_lock(&syncer->mutex);
    }
}

/* Lets a group gather; the mutex is held. */
static void gather(struct syncer *syncer)
{
    struct timespec until;
    int waited = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SYNC_PAUSE_US * 1000;
    if (until.tv_nsec >= 1000000000)
    {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!syncer->urgent && !syncer->stop && waited == 0)
        waited = pthread_cond_timedwait(&syncer->wake, &syncer->mutex, &until);
    syncer->urgent = false;
}

static void *run(void *argument)
{
    struct syncer *syncer = argument;

    pthread_mutex_lock(&syncer->mutex);
    while (!syncer->stop || syncer->queued > 0)
    {
        if (syncer->queued == 0)
        {
            pthread_cond_wait(&syncer->wake, &syncer->mutex);
            continue;
        }
        gather(syncer);
        /* Only what is there now: a file that comes again belongs to the next group. */
        for (size_t left = syncer->queued; left > 0; left--)
            serve(syncer, pop(syncer));
    }
    pthread_mutex_unlock(&syncer->mutex);
    return NULL;
}

/* ---- the workers' side ---- */

bool syncer_open(struct syncer *syncer, const int *directory)
{
    pthread_condattr_t monotonic;
    sigset_t all, before;
    bool started;

    memset(syncer, 0, sizeof *syncer);
    syncer->directory = directory;
    syncer->end = &syncer->first;
    if (pthread_mutex_init(&syncer->mutex, NULL) != 0 ||
        pthread_cond_init(&syncer->served, NULL) != 0 || pthread_condattr_init(&monotonic) != 0)
        return false;
    started = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&syncer->wake, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = started && pthread_create(&syncer->thread, NULL, run, syncer) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void syncer_close(struct syncer *syncer)
{
    pthread_mutex_lock(&syncer->mutex);
    syncer->stop = true;
    pthread_cond_signal(&syncer->wake);
    pthread_mutex_unlock(&syncer->mutex);
    pthread_join(syncer->thread, NULL);
    pthread_cond_destroy(&syncer->wake);
    pthread_cond_destroy(&syncer->served);
    pthread_mutex_destroy(&syncer->mutex);
}

void sync_post_open(struct sync_post *post, int event_fd, bool all)
{
    *post = (struct sync_post){.event_fd = event_fd, .all = all, .end = &post->first};
}

struct sync_file *sync_file_make(int fd, struct sync_post *post, struct spool_segment *segment)
{
    struct sync_file *file = calloc(1, sizeof *file);

    if (file == NULL)
        return NULL;
    file->fd = fd;
    file->post = post;
    file->segment = segment;
    return file;
}

void syncer_ask(struct syncer *syncer, struct sync_file *file, uint64_t mark, bool at_once)
{
    pthread_mutex_lock(&syncer->mutex);
    file->asked = mark;
    file->dirty = true;
    push(syncer, file);
    if (at_once && !syncer->urgent)
    {
        syncer->urgent = true;
        pthread_cond_signal(&syncer->wake);
    }
    pthread_mutex_unlock(&syncer->mutex);
}

static bool is_done(const struct sync_file *file)
{
    return !file->dirty && !file->busy && file->error == 0;
}

bool syncer_is_done(struct syncer *syncer, const struct sync_file *file)
{
    bool done;

    pthread_mutex_lock(&syncer->mutex);
    done = is_done(file);
    pthread_mutex_unlock(&syncer->mutex);
    return done;
}

bool syncer_wait(struct syncer *syncer, const struct sync_file *file)
{
    bool done;

    pthread_mutex_lock(&syncer->mutex);
    syncer->urgent = true;
    pthread_cond_signal(&syncer->wake);
    while (!(done = is_done(file)) && file->error == 0)
        pthread_cond_wait(&syncer->served, &syncer->mutex);
    pthread_mutex_unlock(&syncer->mutex);
    return done;
}

void syncer_release(struct syncer *syncer, struct sync_file *file, bool removed)
{
    pthread_mutex_lock(&syncer->mutex);
    file->removed = removed;
    file->released = true;
    if (file->post != NULL)
        withdraw(file);
    push(syncer, file);
    pthread_mutex_unlock(&syncer->mutex);
}

struct sync_file *syncer_take(struct syncer *syncer, struct sync_post *post, uint64_t *done,
                              int *error)
{
    struct sync_file *file;

    pthread_mutex_lock(&syncer->mutex);
    file = post->first;
    if (file != NULL)
    {
        post->first = file->next_done;
        if (post->first == NULL)
            post->end = &post->first;
        file->posted = false;
        *done = file->done;
        *error = file->error;
    }
    pthread_mutex_unlock(&syncer->mutex);
    return file;
}
