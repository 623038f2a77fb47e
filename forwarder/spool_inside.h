/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_inside.h: what the files of the spool share among themselves; everybody else includes
 * spool.h.
 *
 * A segment is a header of 64 bytes and records, all integers little-endian, each record at a
 * multiple of 8:
 *
 *     header    magic "whspool\n", version, length of the header, the segment's id, worker,
 *               time of its making, checksum
 *     record    magic, length of the body, checksum, body, zeros up to a multiple of 8
 *     DECIDED   kind, count of rows, rows
 *     OUTCOME   kind, side, flags, length of the message, HTTP status, place of the DECIDED, time
 *               that the function took, message
 *
 * A record's magic comes from the segment's id, and its checksum from the id and its place besides
 * its bytes. So nothing that a webhook holds, no older segment's bytes, and no record that the file
 * system has put elsewhere are ever taken for a record. The file is as long as it will ever be from
 * the beginning: zeros follow the last record.
 */
#ifndef SPOOL_SEGMENT_H
#define SPOOL_SEGMENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "loop.h"
#include "options.h"
#include "outcomes.h"
#include "spool.h"

#define SEGMENT_VERSION 1
#define SEGMENT_SIZE ((size_t) 8 << 20)  /* no segment is longer */
#define SEGMENT_LEAST ((size_t) 2 << 20) /* ... or shorter: the rows of 1,000 items fit */
#define SEGMENT_HEADER 64
#define SEGMENT_SUFFIX ".spool"
#define SPOOL_LOCK "lock"
#define SPOOL_ASIDE "set-aside"
#define SEGMENT_NAME 44 /* bytes of "<id>.spool" and its NUL, and one to spare */
#define RECORD_HEADER 16
#define RECORD_OUTCOME_MOST 200 /* bytes of the longest OUTCOME */

/* ---------------------------------------------------------------------------------------------
 * spool_record.c: pure
 * ------------------------------------------------------------------------------------------ */

/* What makes the records of one segment its own. */
struct record_key
{
    uint64_t seed;
    uint32_t magic;
};

struct record_key record_key_of(const uint8_t id[16]);

/* Bytes of the DECIDED of these rows, and their number; 0 when a text is too long for it. */
MUST_CHECK size_t record_decided_size(const struct outcome *rows, size_t *count);
/* Writes it as it stands at `place` of a segment. */
void record_put_decided(const struct record_key *key, uint64_t place, uint8_t *to,
                        const struct outcome *rows, size_t count);
/* Writes the OUTCOME of the DECIDED at `decided`; returns its size, RECORD_OUTCOME_MOST at most. */
size_t record_put_outcome(const struct record_key *key, uint64_t place, uint8_t *to,
                          uint64_t decided, const struct outcome *row);

enum record_kind
{
    RECORD_END,     /* nothing but zeros follows */
    RECORD_DAMAGED, /* bytes that are no record, up to the next one or to the last that is not 0 */
    RECORD_DECIDED, /* good, and record_rows() can read it */
    RECORD_OUTCOME  /* good */
};

struct record
{
    enum record_kind kind;
    size_t place, size; /* in the segment */
    uint64_t decided;   /* of an OUTCOME: where its DECIDED stands, if it is to be believed */
};

/* What stands at `place` of a segment of `size` bytes, of which nothing is trusted. */
struct record record_read(const struct record_key *key, const uint8_t *data, size_t size,
                          size_t place);
/* The rows of the DECIDED that stands at `decided`, with the outcome of the OUTCOME at `outcome`,
 * or the unknown one when that is 0; both have been read by record_read(). NULL without memory. */
MUST_CHECK struct outcome *record_rows(const uint8_t *data, size_t decided, size_t outcome,
                                       size_t *count);

/* ---------------------------------------------------------------------------------------------
 * spool_header.c: pure
 * ------------------------------------------------------------------------------------------ */

enum segment_header_kind
{
    SEGMENT_GOOD,
    SEGMENT_OTHER_VERSION, /* ours, but not for this release to read */
    SEGMENT_NO_HEADER      /* half made, damaged, or no segment at all */
};

void segment_put_header(uint8_t header[SEGMENT_HEADER], const uint8_t id[16], int worker,
                        int64_t created_us);
enum segment_header_kind segment_read_header(const uint8_t *data, size_t size, uint8_t id[16]);

void segment_name_of(const uint8_t id[16], char name[SEGMENT_NAME]);
/* False when the name is no segment's. */
MUST_CHECK bool segment_parse_name(const char *name, uint8_t id[16]);

/* ---------------------------------------------------------------------------------------------
 * spool_syncer.c: one thread, for all workers
 * ------------------------------------------------------------------------------------------ */

struct spool_segment;
struct sync_file;

/* Where a worker finds what the thread has done; guarded by the syncer. */
struct sync_post
{
    int event_fd; /* becomes readable when something arrives */
    bool all;     /* successes too, not failures alone */
    struct sync_file *first, **end;
};

/* A file that is to be brought to the disk. Made by a worker, freed by the thread. */
struct sync_file
{
    int fd;
    struct spool_segment *segment; /* the worker's; the thread only carries it */
    /* Guarded by the syncer: */
    struct sync_post *post;
    struct sync_file *next_queued, *next_done;
    uint64_t asked, done; /* marks of the worker: the last one given, and the one reached */
    int error;            /* of the first sync that failed: none after it is believed */
    bool named;           /* its name is on the disk too */
    bool dirty, queued, posted, released, removed;
    bool busy; /* the disk works */
};

struct syncer
{
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;   /* the thread: there is something to do */
    pthread_cond_t served; /* who waits: something is done */
    const int *directory;  /* whose names are brought to the disk too */
    struct sync_file *first, **end;
    size_t queued;
    bool urgent, stop;
};

MUST_CHECK bool syncer_open(struct syncer *syncer, const int *directory);
/* Returns when everything that was asked for is done. */
void syncer_close(struct syncer *syncer);
void sync_post_open(struct sync_post *post, int event_fd, bool all);
/* From now on fd is the thread's to close; NULL without memory. */
MUST_CHECK struct sync_file *sync_file_make(int fd, struct sync_post *post,
                                            struct spool_segment *segment);
/* What has been written until now is to be brought to the disk: soon, or at once. */
void syncer_ask(struct syncer *syncer, struct sync_file *file, uint64_t mark, bool at_once);
/* Whether everything that was asked for is on the disk. */
MUST_CHECK bool syncer_is_done(struct syncer *syncer, const struct sync_file *file);
/* Waits until that is so, or never will be: false then. */
MUST_CHECK bool syncer_wait(struct syncer *syncer, const struct sync_file *file);
/* The worker needs it no more: it is closed, and before that brought to the disk as far as that was
 * asked for and unless it is removed. */
void syncer_release(struct syncer *syncer, struct sync_file *file, bool removed);
/* A file whose `done` or `error` has changed, NULL when there is none. */
struct sync_file *syncer_take(struct syncer *syncer, struct sync_post *post, uint64_t *done,
                              int *error);

/* ---------------------------------------------------------------------------------------------
 * spool_directory.c
 * ------------------------------------------------------------------------------------------ */

/* Why the spool cannot be used, and what mends that. */
struct spool_trouble
{
    char what[256];
    const char *mend;
};

/* what: "cannot do something"; error: errno, 0 when there is none. Returns false. */
bool spool_trouble_set(struct spool_trouble *trouble, int error, const char *what,
                       const char *mend);

struct spool_directory
{
    const struct options *options;
    char path[4096];
    int fd, lock_fd;
    atomic_bool ready;     /* fd is open and the lock is ours */
    pthread_mutex_t mutex; /* of becoming ready */
    atomic_size_t bytes, segments;
    atomic_size_t aside;        /* bytes in set-aside/ */
    atomic_size_t bad, damaged; /* segments that failed, and records: since the start */
    atomic_int troubled;        /* workers that cannot write */
    size_t segment_size;
    /* Segments that were there when the lock became ours, oldest first: worker 0 reads them. */
    char (*leftovers)[SEGMENT_NAME];
    size_t leftover_count;
    struct syncer syncer;
};

/* Makes the directory ready if it is not. Any thread. */
MUST_CHECK bool spool_directory_try(struct spool_directory *directory,
                                    struct spool_trouble *trouble);

/* ---------------------------------------------------------------------------------------------
 * spool_stock.c
 * ------------------------------------------------------------------------------------------ */

/* Whether nothing but what belongs to a spool is there. */
MUST_CHECK bool stock_is_ours(int fd);
/* Remembers what was left, once, when the lock has become ours; names sort by time. False when it
 * cannot be read. */
MUST_CHECK bool stock_take(struct spool_directory *directory, int fd);
/* Counts bytes against --spool-size; false when they do not fit. */
MUST_CHECK bool spool_directory_take(struct spool_directory *directory, size_t bytes);
void spool_directory_give(struct spool_directory *directory, size_t bytes);

/* ---------------------------------------------------------------------------------------------
 * spool_aside.c
 * ------------------------------------------------------------------------------------------ */

/* Keeps bytes as a file in set-aside/. */
MUST_CHECK bool spool_aside_bytes(struct spool_directory *directory, const char *name,
                                  const uint8_t *data, size_t size);

/* ---------------------------------------------------------------------------------------------
 * spool_segment.c: one file
 * ------------------------------------------------------------------------------------------ */

struct spool_segment
{
    struct spool_segment *next, *previous; /* in its spool, oldest first */
    struct spool_segment *next_dirty;
    struct spool_directory *directory;
    struct sync_file *file; /* NULL: left by an earlier forwarder */
    char name[SEGMENT_NAME];
    uint8_t id[16];
    struct record_key key;
    size_t size;    /* of the file */
    size_t written; /* bytes that the kernel has */
    uint8_t *pending;
    size_t pending_length, pending_room; /* bytes that it does not have yet */
    size_t open;                         /* attempts under way: each will append an OUTCOME */
    size_t rows;                         /* in memory and not stored */
    size_t spilled;                      /* neither in memory nor stored */
    uint64_t first_ticket, last_ticket;
    uint64_t asked_ticket; /* written, and reported to the syncer */
    uint64_t active_us;    /* since when it takes DECIDEDs, on the loop's clock */
    bool dirty;            /* in the spool's list of what the turn writes */
    bool bad;              /* could not be written or synced: takes nothing and is not believed */
    bool unread;           /* left, and not read yet */
    bool replaying;        /* being read */
    bool keep;             /* holds what could not be set aside: its file stays */
};

/* A new file of its full size with a header; NULL with trouble. */
MUST_CHECK struct spool_segment *segment_make(struct spool_directory *directory,
                                              struct sync_post *post, int worker,
                                              struct spool_trouble *trouble);
/* One that is there already; NULL without memory. */
MUST_CHECK struct spool_segment *segment_adopt(struct spool_directory *directory, const char *name);
/* Whether a DECIDED of `size` bytes and every OUTCOME to come fit into the file. */
bool segment_has_room(const struct spool_segment *segment, size_t size);
/* The same of memory, which it reserves. */
MUST_CHECK bool segment_reserve(struct spool_segment *segment, size_t size);
/* Gives the memory back for which there is no use any more. */
void segment_shrink(struct spool_segment *segment);
/* Where the next record begins. */
uint64_t segment_end(const struct spool_segment *segment);
/* Reserved before. */
void segment_append_decided(struct spool_segment *segment, size_t size, const struct outcome *rows,
                            size_t count);
void segment_append_outcome(struct spool_segment *segment, uint64_t decided,
                            const struct outcome *row);
/* Writes what was appended; false with errno, which is ENOENT when somebody has removed the file,
 * so that nobody would ever read it. */
MUST_CHECK bool segment_flush(struct spool_segment *segment);
/* Reads up to `size` bytes at `place`; -1 with errno. */
MUST_CHECK ssize_t segment_load(const struct spool_segment *segment, uint8_t *to, size_t size,
                                size_t place);
/* A file that cannot be removed is reported, and stays. */
void segment_remove_file(const struct spool_segment *segment);
/* The memory alone, the file stays; it is brought to the disk unless it has been removed. */
void segment_free(struct spool_segment *segment, bool removed);

/* ---------------------------------------------------------------------------------------------
 * spool_replay.c
 * ------------------------------------------------------------------------------------------ */

/* A DECIDED, and its OUTCOME or 0. */
struct replay_entry
{
    uint32_t decided, outcome;
};

/* The segment that is being read. */
struct replay
{
    struct spool_segment *segment; /* NULL: none */
    uint8_t *data;                 /* all of it */
    size_t length;                 /* bytes read so far */
    size_t place;                  /* of the next record to look at */
    bool loaded, indexed;
    struct replay_entry *entries;
    size_t entry_count, entry_room, next_entry;
    size_t rows, unknown, damaged; /* since the last report */
};

void replay_close(struct replay *replay);

/* ---------------------------------------------------------------------------------------------
 * spool.c
 * ------------------------------------------------------------------------------------------ */

#define LOST_RANGES 16
#define SPOOL_REST_US 1000000 /* an active segment of this age goes once it has nothing to keep */

struct spool
{
    struct spool_directory *directory;
    struct loop *loop;
    int number;
    struct spool_segment *first, *last;       /* oldest first */
    struct spool_segment *active;             /* takes DECIDEDs; NULL: the next one makes it */
    struct spool_segment *dirty, **dirty_end; /* written by the next turn, in this order */
    uint64_t last_ticket;                     /* given */
    uint64_t settled;                         /* up to here they are durable, or lost */
    struct
    {
        uint64_t first, last;
    } lost[LOST_RANGES];
    unsigned lost_count;
    size_t wanted; /* segments to be replayed, the one under way included */
    bool troubled;
    bool stranded;      /* rows in memory may be in no good segment: for spool_rescue() */
    bool has_leftovers; /* they have been adopted */
    bool wait;          /* durable means on the disk */
    struct loop_timer retry, rest, again;
    struct loop_source synced;
    struct sync_post post;
    struct replay replay;
};

/* Makes the active segment; the spool is troubled when that fails. */
bool spool_activate(struct spool *spool);
/* It takes nothing, until another segment can be made. */
void spool_become_troubled(struct spool *spool, const struct spool_trouble *trouble);
/* Whether the segment counts as `wanted`. */
bool spool_wants(const struct spool_segment *segment);
/* Takes no DECIDEDs any more. */
void spool_retire(struct spool *spool);
/* Removes the segment when nothing needs it. */
void spool_review(struct spool *spool, struct spool_segment *segment);
/* Forgets a segment whose file is gone or not ours to touch. */
void spool_unlink(struct spool *spool, struct spool_segment *segment, bool removed);

/* ---------------------------------------------------------------------------------------------
 * spool_tickets.c
 * ------------------------------------------------------------------------------------------ */

/* The turn writes what the segment has, and looks whether it is needed any more. */
void spool_mark_dirty(struct spool *spool, struct spool_segment *segment);
/* The syncer has something to tell. */
void spool_synced(struct loop_source *source, uint32_t events);

#endif /* SPOOL_SEGMENT_H */
