/* SPDX-License-Identifier: PostgreSQL
 *
 * log.c: JSON lines to stderr; see log.h. Any thread may write: a line is one write(), which the
 * kernel does not mix with others up to PIPE_BUF.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* Lines a second of one event and thread. */
#define LOG_LIMIT 5

static const char *const LEVELS[] = {"debug", "info", "warning", "error", "info"};
/* syslog(3)'s numbers, as sd-daemon(3) writes them. */
static const char *const PRIORITIES[] = {"<7>", "<6>", "<4>", "<3>", "<6>"};

static const char *const EVENTS[] = {
#define X(constant, word, levels, fields, meaning) word,
    LOG_EVENTS(X)
#undef X
};

static _Atomic int least_level = LOG_INFO;
static bool to_journal;

/* What this thread has written of each event within a second, and left out since its last line. */
static _Thread_local struct
{
    uint64_t second;
    unsigned written, suppressed;
} limits[EVENT_COUNT];

/* JOURNAL_STREAM is "DEVICE:INODE" of what systemd has connected (systemd.exec(5)). */
void log_open(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;

    to_journal = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                 fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
                 status.st_ino == inode;
    unsetenv("JOURNAL_STREAM");
    memset(limits, 0, sizeof limits);
}

const char *log_event_word(enum log_event event)
{
    return EVENTS[event];
}

void log_set_level(enum log_level level)
{
    atomic_store(&least_level, (int) level);
}

bool log_parse_level(const char *text, int *level)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(text, LEVELS[i]) == 0)
        {
            *level = i;
            return true;
        }
    return false;
}

void log_timestamp(char *text, size_t size)
{
    struct timespec now;
    struct tm parts;
    char seconds[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, size, "%s.%03dZ", seconds, (int) (now.tv_nsec / 1000000));
}

/* ---- JSON ---- */

/* Length of the well-formed UTF-8 sequence at `text`, 0 when there is none. */
static size_t utf8_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80                       ? 1
                    : text[0] >= 0xc2 && text[0] <= 0xdf ? 2
                    : (text[0] & 0xf0) == 0xe0           ? 3
                    : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4
                                                         : 0;

    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

size_t log_json_string(char *buffer, size_t length, size_t size, const char *text)
{
    const unsigned char *at = (const unsigned char *) text;

    if (length + 2 > size)
        return length;
    buffer[length++] = '"';
    while (*at != '\0' && length + 8 < size)
    {
        size_t step = utf8_length(at);

        if (step == 0)
        {
            memcpy(buffer + length, "\xef\xbf\xbd", 3);
            length += 3;
            at++;
        }
        else if (*at == '"' || *at == '\\' || *at < 0x20 || *at == 0x7f)
        {
            length += (size_t) snprintf(buffer + length, size - length,
                                        *at < 0x20 || *at == 0x7f ? "\\u%04x" : "\\%c", *at);
            at++;
        }
        else
        {
            memcpy(buffer + length, at, step);
            length += step;
            at += step;
        }
    }
    buffer[length++] = '"';
    return length;
}

size_t log_flatten(char *text, size_t size, const char *from)
{
    size_t length = 0;

    for (; *from != '\0' && length + 1 < size; from++)
    {
        unsigned char byte = (unsigned char) *from;

        if (byte > ' ' && byte != 0x7f)
            text[length++] = *from;
        else if (length > 0 && text[length - 1] != ' ')
            text[length++] = ' ';
    }
    if (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = '\0';
    return length;
}

/* ---- a line ---- */

/* Room that every field leaves for the end of the line. */
#define LINE_ROOM (sizeof(((struct log_line *) NULL)->text) - 2)

/* Writes ,"name": and tells whether there is room for a value of `size` bytes. */
static bool log_name(struct log_line *line, const char *name, size_t size)
{
    if (line->length + strlen(name) + 4 + size > LINE_ROOM)
        return false;
    line->length += (size_t) snprintf(line->text + line->length, sizeof line->text - line->length,
                                      "%s\"%s\":", line->length > 1 ? "," : "", name);
    return true;
}

void log_text(struct log_line *line, const char *name, const char *value)
{
    if (!log_name(line, name, value == NULL ? 4 : 16))
        return;
    if (value != NULL)
        line->length = log_json_string(line->text, line->length, LINE_ROOM, value);
    else
    {
        memcpy(line->text + line->length, "null", 4);
        line->length += 4;
    }
}

void log_number(struct log_line *line, const char *name, int64_t value)
{
    if (log_name(line, name, 24))
        line->length += (size_t) snprintf(line->text + line->length, 24, "%lld", (long long) value);
}

void log_real(struct log_line *line, const char *name, double value)
{
    if (log_name(line, name, 40))
        line->length += (size_t) snprintf(line->text + line->length, 40, "%.3f", value);
}

bool log_begin(struct log_line *line, enum log_level level, enum log_event event,
               const char *message)
{
    char now[40];

    if ((int) level < atomic_load_explicit(&least_level, memory_order_relaxed))
        return false;
    line->level = level;
    line->text[0] = '{';
    line->length = 1;
    log_timestamp(now, sizeof now);
    log_text(line, "time", now);
    log_text(line, "level", LEVELS[level]);
    log_text(line, "event", log_event_word(event));
    log_text(line, "message", message);
    return true;
}

/* How many lines were left out before this one. */
static void log_suppressed(struct log_line *line, unsigned *suppressed)
{
    if (*suppressed > 0)
        log_number(line, "suppressed", *suppressed);
    *suppressed = 0;
}

bool log_begin_limited(struct log_line *line, enum log_level level, enum log_event event,
                       const char *message)
{
    uint64_t second = (uint64_t) time(NULL);

    if (second != limits[event].second)
    {
        limits[event].second = second;
        limits[event].written = 0;
    }
    if (limits[event].written >= LOG_LIMIT)
    {
        limits[event].suppressed++;
        return false;
    }
    if (!log_begin(line, level, event, message))
        return false;
    limits[event].written++;
    log_suppressed(line, &limits[event].suppressed);
    return true;
}

bool log_begin_lasting(struct log_line *line, enum log_level level, enum log_event event,
                       const char *message, const char *what, struct log_lasting *lasting)
{
    char kept[sizeof lasting->what];
    struct timespec now;

    snprintf(kept, sizeof kept, "%s", what == NULL ? "" : what);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (lasting->told_s != 0 && strcmp(kept, lasting->what) == 0 &&
        (uint64_t) now.tv_sec < lasting->told_s + LOG_LASTING_S)
    {
        lasting->suppressed++;
        return false;
    }
    if (!log_begin(line, level, event, message))
        return false;
    memcpy(lasting->what, kept, sizeof kept);
    lasting->told_s = (uint64_t) now.tv_sec + (now.tv_sec == 0);
    log_suppressed(line, &lasting->suppressed);
    return true;
}

static void log_write(enum log_level level, const char *text, size_t length)
{
    const char *priority = to_journal ? PRIORITIES[level] : "";
    const struct iovec parts[] = {{(void *) priority, strlen(priority)}, {(void *) text, length}};

    /* There is nobody left to tell when stderr is gone. */
    if (writev(STDERR_FILENO, parts, 2) < 0)
        return;
}

void log_end(struct log_line *line)
{
    line->text[line->length++] = '}';
    line->text[line->length++] = '\n';
    log_write(line->level, line->text, line->length);
}

void log_failure(const char *sentence)
{
    char text[1024];
    int length = snprintf(text, sizeof text - 1, "webhook-forwarder: %s", sentence);

    if (length >= (int) sizeof text - 1)
        length = (int) sizeof text - 2;
    text[length] = '\n';
    log_write(LOG_ERROR, text, (size_t) length + 1);
}

void log_plain(enum log_level level, enum log_event event, const char *message)
{
    struct log_line line;

    if (log_begin(&line, level, event, message))
        log_end(&line);
}
