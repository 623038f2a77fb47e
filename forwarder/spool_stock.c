/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_stock.c: what is in the spool's directory, and how much there may be.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spool_inside.h"

/* ---- what is in a directory ---- */

/* Calls `visit` for each name until it says false; false then, and when it cannot be read. */
static bool each_entry(int directory, bool (*visit)(void *context, int directory, const char *name),
                       void *context)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    bool good = true;

    if (stream == NULL)
    {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (good && (entry = readdir(stream)) != NULL)
        good = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
               visit(context, fd, entry->d_name);
    closedir(stream);
    return good;
}

static bool is_segment(const char *name)
{
    uint8_t id[16];

    return segment_parse_name(name, id);
}

static bool visit_ours(void *context, int directory, const char *name)
{
    (void) context;
    (void) directory;
    return strcmp(name, SPOOL_LOCK) == 0 || strcmp(name, SPOOL_ASIDE) == 0 ||
           strcmp(name, "lost+found") == 0 || strncmp(name, "ruleset", 7) == 0 || is_segment(name);
}

/* Remembers the segments, and counts their bytes. */
static bool visit_segment(void *context, int fd, const char *name)
{
    struct spool_directory *directory = context;
    size_t count = directory->leftover_count;
    struct stat status;
    void *grown;

    if (!is_segment(name))
        return true;
    if (count % 64 == 0)
    {
        grown = realloc(directory->leftovers, (count + 64) * sizeof *directory->leftovers);
        if (grown == NULL)
            return false;
        directory->leftovers = grown;
    }
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
        return true;
    memcpy(directory->leftovers[count], name, strlen(name) + 1);
    directory->leftover_count++;
    atomic_fetch_add(&directory->bytes, (size_t) status.st_size);
    atomic_fetch_add(&directory->segments, 1);
    return true;
}

static bool visit_aside(void *context, int fd, const char *name)
{
    struct spool_directory *directory = context;
    struct stat status;

    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        directory->aside += (size_t) status.st_blocks * 512;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

bool stock_is_ours(int fd)
{
    return each_entry(fd, visit_ours, NULL);
}

bool stock_take(struct spool_directory *directory, int fd)
{
    int aside = openat(fd, SPOOL_ASIDE, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    if (aside >= 0)
    {
        (void) each_entry(aside, visit_aside, directory);
        close(aside);
    }
    if (!each_entry(fd, visit_segment, directory))
        return false;
    if (directory->leftover_count > 0)
        qsort(directory->leftovers, directory->leftover_count, sizeof *directory->leftovers,
              by_name);
    return true;
}

/* ---- how much there is and may be ---- */

struct spool_stock spool_directory_stock(const struct spool_directory *directory)
{
    return (struct spool_stock){.bytes = atomic_load(&directory->bytes),
                                .segments = atomic_load(&directory->segments),
                                .aside = atomic_load(&directory->aside),
                                .bad = atomic_load(&directory->bad),
                                .damaged = atomic_load(&directory->damaged),
                                .usable = atomic_load(&directory->troubled) == 0};
}

bool spool_directory_take(struct spool_directory *directory, size_t bytes)
{
    size_t before = atomic_fetch_add(&directory->bytes, bytes);

    if (before + bytes > directory->options->spool_size)
    {
        atomic_fetch_sub(&directory->bytes, bytes);
        return false;
    }
    atomic_fetch_add(&directory->segments, 1);
    return true;
}

void spool_directory_give(struct spool_directory *directory, size_t bytes)
{
    atomic_fetch_sub(&directory->bytes, bytes);
    atomic_fetch_sub(&directory->segments, 1);
}
