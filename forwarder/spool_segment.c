/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_segment.c: one file of the spool; see spool_inside.h for what is in it. It has its full
 * size from the beginning, so that a full disk shows when it is made and not when a function has
 * been called.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forwarder.h"
#include "spool_inside.h"

/* ---- birth and death ---- */

static struct spool_segment *segment_new(struct spool_directory *directory, const uint8_t id[16])
{
    struct spool_segment *segment = calloc(1, sizeof *segment);

    if (segment == NULL)
        return NULL;
    segment->directory = directory;
    memcpy(segment->id, id, sizeof segment->id);
    segment->key = record_key_of(id);
    segment_name_of(id, segment->name);
    return segment;
}

/* Makes the file with its header; its descriptor, or -1 with errno and no file. */
static int segment_create(const struct spool_segment *segment, int worker)
{
    uint8_t header[SEGMENT_HEADER];
    int directory = segment->directory->fd, error;
    int fd =
        openat(directory, segment->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -1;
    segment_put_header(header, segment->id, worker, identity_now_us());
    do
        error = posix_fallocate(fd, 0, (off_t) segment->size);
    while (error == EINTR);
    if (error == 0 && pwrite(fd, header, sizeof header, 0) != (ssize_t) sizeof header)
        error = errno != 0 ? errno : EIO;
    if (error == 0)
        return fd;
    unlinkat(directory, segment->name, 0);
    close(fd);
    errno = error;
    return -1;
}

/* Makes the file of a segment and what the syncer knows of it. */
static bool segment_begin(struct spool_segment *segment, struct sync_post *post, int worker,
                          struct spool_trouble *trouble)
{
    int fd;

    errno = 0;
    fd = segment_create(segment, worker);
    if (fd < 0)
        return spool_trouble_set(trouble, errno, "cannot make a segment", NULL);
    segment->file = sync_file_make(fd, post, segment);
    if (segment->file != NULL)
        return true;
    unlinkat(segment->directory->fd, segment->name, 0);
    close(fd);
    return spool_trouble_set(trouble, ENOMEM, "cannot make a segment", NULL);
}

struct spool_segment *segment_make(struct spool_directory *directory, struct sync_post *post,
                                   int worker, struct spool_trouble *trouble)
{
    struct spool_segment *segment;
    uint8_t id[16];

    if (!spool_directory_take(directory, directory->segment_size))
    {
        spool_trouble_set(trouble, 0, "--spool-size is used up",
                          "bring the database back, or give more with --spool-size");
        return NULL;
    }
    identity_make(id);
    segment = segment_new(directory, id);
    if (segment == NULL)
        spool_trouble_set(trouble, ENOMEM, "cannot make a segment", NULL);
    else
    {
        segment->size = directory->segment_size;
        segment->written = SEGMENT_HEADER;
        if (segment_begin(segment, post, worker, trouble))
            return segment;
        free(segment);
    }
    spool_directory_give(directory, directory->segment_size);
    return NULL;
}

struct spool_segment *segment_adopt(struct spool_directory *directory, const char *name)
{
    struct spool_segment *segment;
    struct stat status;
    uint8_t id[16];

    if (!segment_parse_name(name, id))
        return NULL;
    segment = segment_new(directory, id);
    if (segment == NULL)
        return NULL;
    segment->unread = true;
    if (fstatat(directory->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        segment->size = (size_t) status.st_size;
    return segment;
}

void segment_remove_file(const struct spool_segment *segment)
{
    struct log_line line;

    if (unlinkat(segment->directory->fd, segment->name, 0) == 0 || errno == ENOENT)
        spool_directory_give(segment->directory, segment->size);
    else if (log_begin_limited(
                 &line, LOG_WARNING, EVENT_SPOOL_NOT_REMOVED,
                 "a segment of the spool whose rows are stored cannot be removed; the "
                 "next start will read it again, which does no harm"))
    {
        log_text(&line, "detail", strerror(errno));
        log_text(&line, "segment", segment->name);
        log_end(&line);
    }
}

void segment_free(struct spool_segment *segment, bool removed)
{
    if (segment->file != NULL)
        syncer_release(&segment->directory->syncer, segment->file, removed);
    free(segment->pending);
    free(segment);
}

/* ---- writing ---- */

uint64_t segment_end(const struct spool_segment *segment)
{
    return segment->written + segment->pending_length;
}

bool segment_has_room(const struct spool_segment *segment, size_t size)
{
    return segment_end(segment) + size + (segment->open + 1) * RECORD_OUTCOME_MOST <= segment->size;
}

bool segment_reserve(struct spool_segment *segment, size_t size)
{
    size_t room = segment->pending_length + size + (segment->open + 1) * RECORD_OUTCOME_MOST;
    uint8_t *pending;

    if (room <= segment->pending_room)
        return true;
    room += room / 2 + 16384;
    pending = realloc(segment->pending, room);
    if (pending == NULL)
        return false;
    segment->pending = pending;
    segment->pending_room = room;
    return true;
}

void segment_shrink(struct spool_segment *segment)
{
    free(segment->pending);
    segment->pending = NULL;
    segment->pending_room = 0;
}

void segment_append_decided(struct spool_segment *segment, size_t size, const struct outcome *rows,
                            size_t count)
{
    record_put_decided(&segment->key, segment_end(segment),
                       segment->pending + segment->pending_length, rows, count);
    segment->pending_length += size;
}

void segment_append_outcome(struct spool_segment *segment, uint64_t decided,
                            const struct outcome *row)
{
    segment->pending_length +=
        record_put_outcome(&segment->key, segment_end(segment),
                           segment->pending + segment->pending_length, decided, row);
}

bool segment_flush(struct spool_segment *segment)
{
    struct stat status;
    size_t done = 0;

    while (done < segment->pending_length)
    {
        ssize_t written = pwrite(segment->file->fd, segment->pending + done,
                                 segment->pending_length - done, (off_t) (segment->written + done));

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
        {
            errno = written == 0 ? EIO : errno;
            return false;
        }
        done += (size_t) written;
    }
    if (fstat(segment->file->fd, &status) == 0 && status.st_nlink == 0)
    {
        errno = ENOENT;
        return false;
    }
    segment->written += done;
    segment->pending_length = 0;
    return true;
}

/* ---- reading ---- */

ssize_t segment_load(const struct spool_segment *segment, uint8_t *to, size_t size, size_t place)
{
    int fd = segment->file != NULL ? segment->file->fd
                                   : openat(segment->directory->fd, segment->name,
                                            O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t length;

    if (fd < 0)
        return -1;
    do
        length = pread(fd, to, size, (off_t) place);
    while (length < 0 && errno == EINTR);
    if (segment->file == NULL)
    {
        int error = errno;

        close(fd);
        errno = error;
    }
    return length;
}
