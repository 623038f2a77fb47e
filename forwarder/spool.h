/* SPDX-License-Identifier: PostgreSQL
 *
 * spool.h: the durable log in files, between a decision and its rows in the database.
 *
 * Before an attempt its rows are written as a DECIDED record, after it an OUTCOME record follows;
 * both leave in the one write() of the turn (spool_turn), the first before the function is called,
 * the second before the client is answered. A segment is a file of such records, of one worker; it
 * is removed when the database has every row of it. What a killed forwarder leaves is read by the
 * next one: rows with an outcome as they are, rows without one as `outcome unknown`. A row that is
 * in the database already is not stored twice (same id, same time), so reading twice is harmless.
 *
 *     spool.c            a worker's segments: which one takes what, and when one can go
 *     spool_rows.c       rows go into them, and leave
 *     spool_tickets.c    the turn's write, and what the disk makes of it
 *     spool_replay.c     rows out of segments that are not written any more
 *     spool_directory.c  the directory, and whose it is
 *     spool_stock.c      what is in it, and how much there may be
 *     spool_segment.c    one file: made, written, loaded, removed
 *     spool_header.c     its header and its name; pure
 *     spool_record.c     rows to bytes and back; pure
 *     spool_aside.c      what could not be read, or stored
 *     spool_syncer.c     a thread that brings what was written to the disk
 *     spool_inside.h     what these share
 *
 * README.md tells how they work together.
 *
 * Threads: `struct spool_directory` belongs to the process, `struct spool` to its worker's thread.
 */
#ifndef SPOOL_H
#define SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"

struct options;
struct outcome;
struct spool;
struct spool_directory;
struct spool_segment;

/* Why a row is stored without its outcome: `ambiguous`, neither status nor time. */
#define SPOOL_UNKNOWN "outcome unknown: the forwarder was killed before the function answered"

/* ---- the directory: by the main thread, before and after all workers ---- */

enum spool_opening
{
    SPOOL_OPENED, /* perhaps unusable for now: that is reported, and tried again */
    SPOOL_LOCKED, /* another forwarder has it, and kept it for --spool-lock-timeout or until this
                     one was asked to stop */
    SPOOL_FAILED  /* no memory, no thread */
};

/* Its path: the option; else what systemd gives, the first of several; else the default. */
void spool_directory_choose(const struct options *options, char *path, size_t size);
MUST_CHECK enum spool_opening spool_directory_open(struct spool_directory **directory,
                                                   const struct options *options);
/* Brings everything to the disk and gives the lock back. NULL is allowed. */
void spool_directory_close(struct spool_directory *directory);
/* Its path; "" while it cannot be used at all. For the last rules (ruleset.c). */
const char *spool_directory_path(const struct spool_directory *directory);

/* What is on the disk, and whether every worker can write. Any thread. */
struct spool_stock
{
    size_t bytes, segments;
    size_t aside;   /* bytes in set-aside/, as seen at the start and since */
    size_t bad;     /* segments that could not be written or synced, since the start */
    size_t damaged; /* records that could not be believed, since the start */
    bool usable;
};

struct spool_stock spool_directory_stock(const struct spool_directory *directory);

/* ---- a worker's spool ---- */

/* What became of a ticket. */
enum spool_verdict
{
    SPOOL_WAITING, /* not written yet, or with --spool-sync wait not on the disk yet */
    SPOOL_DURABLE,
    SPOOL_LOST /* could not be written: the rows have to be made durable in another way */
};

/* number: of the worker, from 0; the first one reads what earlier forwarders have left. The loop
 * turns when tickets have become durable. NULL without memory. */
MUST_CHECK struct spool *spool_open(struct spool_directory *directory, struct loop *loop,
                                    int number);
/* Writes and syncs what is left; segments whose rows are not all stored stay for the next start. */
void spool_close(struct spool *spool);

/* Whether spool_decided() would take rows now. */
bool spool_usable(const struct spool *spool);
/* The rows of an attempt that is about to be made, linked by `next`, each with the side it goes to
 * in `routed_to`: DECIDED. Returns a ticket, in rising order, or 0 when the spool cannot take them.
 * From then on each of the rows belongs to a segment until spool_stored() or spool_spill() is
 * called for it; that holds for a ticket that is lost, too. */
MUST_CHECK uint64_t spool_decided(struct spool *spool, struct outcome *rows);
/* The same list with its outcome, which all its rows share: OUTCOME. Cannot fail: what cannot be
 * written is in memory still and will be stored from there. Rows that are in no segment are left
 * alone. */
void spool_finished(struct spool *spool, struct outcome *rows);
/* Writes what was appended; once a turn. */
void spool_turn(struct spool *spool);
/* To be asked in each turn, after spool_turn(), until it is another than WAITING. */
enum spool_verdict spool_verdict(const struct spool *spool, uint64_t ticket);

/* The row is in the database, or set aside, or its attempt was never made: nothing has to remember
 * it any more. */
void spool_stored(struct spool *spool, struct outcome *row);
/* The row leaves memory without having been stored: it will come back from spool_replay(). Only for
 * rows with an outcome, after spool_turn(). False when the spool does not have that outcome (its
 * segment failed, or it is in none): then the row has to stay. */
MUST_CHECK bool spool_spill(struct spool *spool, struct outcome *row);
/* Whether this row, which has an outcome, is on the disk with it: the next start would find it. */
MUST_CHECK bool spool_is_safe(const struct spool *spool, const struct outcome *row);
/* Rows with an outcome, linked by `next`, of which some belong to no segment or to one that has
 * failed: writes some `most` of those into a good one, if there is one. Returns whether the turn
 * has something to write. Costs nothing unless a segment has failed or the spool was unusable. */
MUST_CHECK bool spool_rescue(struct spool *spool, struct outcome *rows, size_t most);
/* At the end: writes what was appended, and waits until all is on the disk, or known not to be. */
void spool_settle(struct spool *spool);
/* Keeps what the database refuses in set-aside/; spool_stored() follows. False when it could not be
 * written there. */
MUST_CHECK bool spool_set_aside(struct spool *spool, const struct outcome *row);

/* How many rows are known to wait on the disk alone; lowers *oldest_us (wall clock) to when the
 * oldest segment of such rows, read or not, was made. */
size_t spool_backlog(const struct spool *spool, int64_t *oldest_us);
/* Whether rows wait on the disk that are in no memory. */
bool spool_has_replay(const struct spool *spool);
/* Some `most` of them (all items of an attempt come together), linked by `next`, each with its
 * outcome and in its segment as after spool_decided(). Only while the database takes rows. NULL
 * when there are none yet, or no memory; the loop is made to turn again when that may change. */
MUST_CHECK struct outcome *spool_replay(struct spool *spool, size_t most);

#endif /* SPOOL_H */
