/* SPDX-License-Identifier: PostgreSQL
 *
 * log.h: what the forwarder says to its operator: one JSON object a line on stderr, written with
 * one write(). No body, no phone number and no secret ever goes in. events.h has all that can be
 * said.
 *
 * Where stderr leads to systemd's journal (JOURNAL_STREAM), each line begins with its priority as
 * sd-daemon(3) has it, which the journal takes off: `journalctl -p warning` then knows the levels.
 *
 *     struct log_line line;
 *
 *     if (log_begin(&line, LOG_WARNING, EVENT_DATABASE_LOST, "a connection to the database broke"))
 *     {
 *         log_text(&line, "link", link);
 *         log_end(&line);
 *     }
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "events.h"

enum log_level
{
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARNING,
    LOG_ERROR,
    LOG_ALWAYS /* information that no level hides */
};

struct log_line
{
    enum log_level level;
    size_t length;
    char text[2048]; /* longer lines lose fields, never their end */
};

/* Keeps a state that lasts from being told again and again: zeroed, none was told. */
struct log_lasting
{
    uint64_t told_s; /* monotonic second of its last line; 0: none yet */
    unsigned suppressed;
    char what[256]; /* tells this state from another */
};

#define LOG_LASTING_S 60 /* between two lines about a state that has not changed */

/* Finds out where stderr leads, and takes JOURNAL_STREAM out of the environment; what this thread
 * has said counts against no limit. Once, before any thread and any line. */
void log_open(void);
void log_set_level(enum log_level level);
bool log_parse_level(const char *text, int *level);

/* The word of an event: for machines, and for good. */
const char *log_event_word(enum log_event event);

/* False when the level is not written: then the line need not be made. `message` is a sentence for
 * people. */
bool log_begin(struct log_line *line, enum log_level level, enum log_event event,
               const char *message);
/* The same, at most five a second of one event and thread; the next line of it says how many were
 * left out. */
bool log_begin_limited(struct log_line *line, enum log_level level, enum log_event event,
                       const char *message);
/* The same for a state that lasts and is found again and again: once, once more whenever `what`
 * (NULL: "") is not what it was, and else every LOG_LASTING_S. Who sees it end zeroes `lasting`. */
bool log_begin_lasting(struct log_line *line, enum log_level level, enum log_event event,
                       const char *message, const char *what, struct log_lasting *lasting);
void log_text(struct log_line *line, const char *name, const char *value); /* NULL: null */
void log_number(struct log_line *line, const char *name, int64_t value);
void log_real(struct log_line *line, const char *name, double value);
void log_end(struct log_line *line);

/* A line without fields. */
void log_plain(enum log_level level, enum log_event event, const char *message);
/* Why the process ends before it could serve: a plain sentence for whoever has typed the command,
 * an error for the journal. */
void log_failure(const char *sentence);

/* Appends `text` as a JSON string, quotes included, to a buffer that holds `length` of `size`
 * bytes; returns the new length, never beyond size. Bytes that are not UTF-8 become U+FFFD. */
size_t log_json_string(char *buffer, size_t length, size_t size, const char *text);

/* Copies `from` as one line into `size` bytes: each run of blanks and control characters becomes
 * one blank, none at the ends. Returns its length. Libraries' messages have several lines. */
size_t log_flatten(char *text, size_t size, const char *from);

/* "2026-01-31T12:00:00.123Z" of now, into at least 25 bytes. */
void log_timestamp(char *text, size_t size);

#endif /* LOG_H */
