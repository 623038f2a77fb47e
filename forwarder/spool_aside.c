/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_aside.c: set-aside/, where somebody may look at what could not be read, or what the
 * database refused. Nothing here reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forwarder.h"
#include "spool_inside.h"

#define ASIDE_MOST ((size_t) 64 << 20) /* bytes in it; beyond them nothing more is kept */

/* ---- bytes ---- */

/* Opens it, made when it is not there; -1 when that fails, or when it holds enough. */
static int open_aside(struct spool_directory *directory, size_t bytes)
{
    if (atomic_load(&directory->aside) + bytes > ASIDE_MOST ||
        (mkdirat(directory->fd, SPOOL_ASIDE, 0700) != 0 && errno != EEXIST))
        return -1;
    return openat(directory->fd, SPOOL_ASIDE, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* Writes a new file; the syncer brings it to the disk and closes it. */
static bool write_aside(struct spool_directory *directory, int aside, const char *name,
                        const uint8_t *data, size_t size)
{
    int fd = openat(aside, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && write(fd, data, size) == (ssize_t) size;
    struct sync_file *file = good ? sync_file_make(fd, NULL, NULL) : NULL;

    if (file != NULL)
    {
        syncer_ask(&directory->syncer, file, 0, false);
        syncer_release(&directory->syncer, file, false);
    }
    else if (fd >= 0)
        close(fd);
    if (!good && fd >= 0)
        unlinkat(aside, name, 0);
    return good;
}

bool spool_aside_bytes(struct spool_directory *directory, const char *name, const uint8_t *data,
                       size_t size)
{
    size_t bytes = (size + 4095) & ~(size_t) 4095;
    int aside = open_aside(directory, bytes);
    bool good = aside >= 0 && write_aside(directory, aside, name, data, size);

    if (aside >= 0)
        close(aside);
    if (good)
        atomic_fetch_add(&directory->aside, bytes);
    return good;
}

/* ---- rows ---- */

bool spool_set_aside(struct spool *spool, const struct outcome *row)
{
    struct outcome alone = *row;
    char name[SEGMENT_NAME];
    struct record_key key;
    size_t count, decided, size;
    uint8_t id[16], *data;
    bool good;

    alone.next = NULL;
    decided = record_decided_size(&alone, &count);
    data = decided == 0 || !atomic_load(&spool->directory->ready)
               ? NULL
               : malloc(SEGMENT_HEADER + decided + RECORD_OUTCOME_MOST);
    if (data == NULL)
        return false;
    identity_make(id);
    key = record_key_of(id);
    segment_name_of(id, name);
    segment_put_header(data, id, spool->number, identity_now_us());
    record_put_decided(&key, SEGMENT_HEADER, data + SEGMENT_HEADER, &alone, count);
    size = SEGMENT_HEADER + decided;
    size += record_put_outcome(&key, size, data + size, SEGMENT_HEADER, &alone);
    good = spool_aside_bytes(spool->directory, name, data, size);
    free(data);
    return good;
}
