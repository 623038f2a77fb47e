/* SPDX-License-Identifier: PostgreSQL
 *
 * The spool as its worker sees it, in a real directory: what is given to it comes back, whatever
 * happens to the process, the files, or the disk. A life of a forwarder is a `struct life`; it ends
 * properly (end), or with what a kill leaves behind: processes of their own are killed, and
 * segments are changed byte by byte before the next life reads them.
 *
 * fdatasync(), fsync() and pwrite() of the programs under test are the ones below, so that they can
 * fail.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "spool_rows.h"

#define MIB ((size_t) 1 << 20)

/* ---- a disk that fails ---- */

static _Atomic int sync_error; /* what fdatasync() fails with */
static _Atomic int sync_held;  /* it waits while this is set */
static _Atomic int sync_count; /* calls that succeeded */
static int write_error;        /* what pwrite() fails with after `write_allowed` bytes */
static size_t write_allowed = SIZE_MAX;
static unsigned write_count;          /* calls */
static size_t write_piece = SIZE_MAX; /* bytes that it takes at most, after being interrupted */

int fdatasync(int fd)
{
    (void) fd;
    while (sync_held)
        usleep(1000);
    if (sync_error != 0)
    {
        errno = sync_error;
        return -1;
    }
    sync_count++;
    return 0;
}

int fsync(int fd)
{
    (void) fd;
    return 0;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t place)
{
    static bool interrupted;

    write_count++;
    if (write_allowed == 0)
    {
        errno = write_error;
        return -1;
    }
    if (write_piece != SIZE_MAX && (interrupted = !interrupted))
    {
        errno = EINTR;
        return -1;
    }
    if (size > write_allowed)
        size = write_allowed;
    if (size > write_piece)
        size = write_piece;
    if (write_allowed != SIZE_MAX)
        write_allowed -= size;
    return syscall(SYS_pwrite64, fd, data, size, place);
}

/* ---- lives ---- */

struct life
{
    struct options options;
    struct loop loop;
    struct spool_directory *directory;
    struct spool *spool;
};

static char home[64]; /* a new directory for each test */
static uint64_t lock_timeout;

static enum spool_opening try_begin(struct life *life, size_t spool_size, bool wait)
{
    enum spool_opening opening;

    log_open(); /* limits of lines are for each life */
    memset(life, 0, sizeof *life);
    life->options.spool_directory = home;
    life->options.spool_size = spool_size;
    life->options.spool_sync = wait;
    life->options.spool_lock_timeout = lock_timeout;
    life->options.workers = 1;
    assert_true(loop_open(&life->loop));
    opening = spool_directory_open(&life->directory, &life->options);
    if (opening != SPOOL_OPENED)
        loop_close(&life->loop);
    else
    {
        life->spool = spool_open(life->directory, &life->loop, 0);
        assert_non_null(life->spool);
    }
    return opening;
}

static void begin(struct life *life)
{
    assert_int_equal(try_begin(life, 8 * MIB, false), SPOOL_OPENED);
}

static void end(struct life *life)
{
    spool_close(life->spool);
    spool_directory_close(life->directory);
    loop_close(&life->loop);
}

/* Turns the loop until `milliseconds` have passed. */
static void turn_for(struct life *life, unsigned milliseconds)
{
    uint64_t until = loop_clock() + milliseconds * 1000;

    while (loop_clock() < until)
    {
        loop_turn(&life->loop, until);
        spool_turn(life->spool);
    }
}

/* Until the condition holds, five seconds at most: another thread syncs, when the machine lets it.
 */
#define TURN_UNTIL(life, condition)                                                                \
    for (int tries = 0; tries < 500 && !(condition); tries++)                                      \
    turn_for(life, 10)

/* Everything that waits to be replayed, in one list. */
static struct outcome *replay_all(struct life *life, size_t *count)
{
    struct outcome *first = NULL, **last = &first;

    *count = 0;
    for (int calls = 0; spool_has_replay(life->spool); calls++)
    {
        assert_true(calls < 100000);
        *last = spool_replay(life->spool, 7);
        for (; *last != NULL; last = &(*last)->next)
            ++*count;
        loop_turn(&life->loop, 0);
        spool_turn(life->spool);
    }
    return first;
}

static void store(struct life *life, struct outcome *rows)
{
    for (struct outcome *row = rows; row != NULL; row = row->next)
        spool_stored(life->spool, row);
    free_rows(rows);
}

/* An attempt with its outcome. */
static struct outcome *attempt(struct life *life, unsigned number, unsigned count)
{
    struct outcome *rows = make_rows(number, count);

    assert_true(spool_decided(life->spool, rows) > 0);
    spool_turn(life->spool);
    finish_rows(rows, 200, "");
    spool_finished(life->spool, rows);
    spool_turn(life->spool);
    return rows;
}

/* ---- files ---- */

/* Files of a folder of the directory whose names end so; the last one's path. */
static size_t count_files(const char *folder, const char *suffix, char path[300])
{
    char whole[128];
    struct dirent *entry;
    size_t count = 0;
    DIR *stream;

    snprintf(whole, sizeof whole, "%s/%s", home, folder);
    stream = opendir(whole);
    while (stream != NULL && (entry = readdir(stream)) != NULL)
    {
        size_t length = strlen(entry->d_name);

        if (length < strlen(suffix) || entry->d_name[0] == '.' ||
            strcmp(entry->d_name + length - strlen(suffix), suffix) != 0)
            continue;
        count++;
        if (path != NULL)
            snprintf(path, 300, "%.100s/%.150s", whole, entry->d_name);
    }
    if (stream != NULL)
        closedir(stream);
    return count;
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0 && write(fd, data, size) == (ssize_t) size);
    close(fd);
}

static size_t read_file(const char *path, uint8_t *data, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, data, size);

    assert_true(fd >= 0 && length >= 0);
    close(fd);
    return (size_t) length;
}

static int make_home(void **state)
{
    (void) state;
    strcpy(home, "/tmp/forwarder_spool_test.XXXXXX");
    sync_error = sync_held = 0;
    lock_timeout = 100000;
    write_allowed = write_piece = SIZE_MAX;
    return mkdtemp(home) == NULL;
}

static int remove_home(void **state)
{
    char command[128];

    (void) state;
    umount2(home, MNT_DETACH);
    snprintf(command, sizeof command, "rm -rf '%s'", home);
    return system(command);
}

/* ---- what is written to stderr ---- */

/* Everything written to stderr from now on, until heard(). */
static int listen_to_log(void)
{
    char path[300];
    int before = dup(STDERR_FILENO), fd;

    snprintf(path, sizeof path, "%s/ruleset.log", home);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(before >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
    log_set_level(LOG_DEBUG);
    return before;
}

static void heard(int before, char *text, size_t size)
{
    char path[300];

    log_set_level(LOG_ALWAYS);
    dup2(before, STDERR_FILENO);
    close(before);
    snprintf(path, sizeof path, "%s/ruleset.log", home);
    text[read_file(path, (uint8_t *) text, size - 1)] = '\0';
}

static unsigned times(const char *text, const char *event)
{
    char field[64];
    unsigned count = 0;

    snprintf(field, sizeof field, "\"event\":\"%s\"", event);
    while ((text = strstr(text, field)) != NULL)
    {
        count++;
        text++;
    }
    return count;
}

/* ---- what a kill leaves ---- */

/* A process that records three attempts, and ends the third one or not, in one turn or in two. */
static void live_and_be_killed(bool finish_third)
{
    struct life life;
    struct outcome *third;

    begin(&life);
    attempt(&life, 0, 1);
    attempt(&life, 10, ITEM_LIMIT);
    third = make_rows(5000, 2);
    if (spool_decided(life.spool, third) == 0)
        _exit(1);
    spool_turn(life.spool);
    if (finish_third)
    {
        finish_rows(third, 0, "gone");
        spool_finished(life.spool, third);
        spool_turn(life.spool);
    }
    /* Appended and not written: as if it had never been. */
    if (spool_decided(life.spool, make_rows(6000, 1)) == 0)
        _exit(1);
    raise(SIGKILL);
}

static void killed(bool finish_third)
{
    struct outcome *rows, *row, *expected;
    struct life life;
    pid_t child = fork();
    size_t count;
    int status;

    if (child == 0)
        live_and_be_killed(finish_third);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    begin(&life);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 1 + ITEM_LIMIT + 2);
    row = rows;
    for (unsigned i = 0; row != NULL; row = row->next, i++)
    {
        expected = make_row(i == 0 ? 0 : i <= ITEM_LIMIT ? 9 + i : 5000 + i - ITEM_LIMIT - 1, 0x7f);
        if (i > 0 && i <= ITEM_LIMIT)
            expected->routed_to = "unified"; /* the outcome is the first row's */
        else
            expected->routed_to = row->routed_to;
        same_row(expected, row);
        finish_rows(expected, i <= ITEM_LIMIT ? 200 : 0, i <= ITEM_LIMIT ? "" : "gone");
        if (i <= ITEM_LIMIT || finish_third)
            same_outcome(expected, row);
        else
            unknown_outcome(row);
        free(expected);
    }
    store(&life, rows);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
    assert_int_equal(count_files("set-aside", "", NULL), 0);
}

static void killed_with_outcome(void **state)
{
    (void) state;
    killed(true);
}

static void killed_without_outcome(void **state)
{
    (void) state;
    killed(false);
}

/* What a process tells before it goes on: numbers of attempts. */
struct told
{
    enum
    {
        DECIDED, /* the function may be called */
        FINISHED,
        STORED
    } what;
    unsigned number;
};

static void tell(int pipe, int what, unsigned number)
{
    struct told told = {what, number};

    if (write(pipe, &told, sizeof told) != (ssize_t) sizeof told)
        _exit(1);
}

#define UNDER_WAY 16

/* Attempts without end, some under way at a time; segments come and go. */
static void live_for_ever(int pipe)
{
    struct outcome *rows[UNDER_WAY] = {NULL};
    struct life life;
    unsigned finished[UNDER_WAY] = {0};

    begin(&life);
    for (unsigned number = 0;; number++)
    {
        unsigned slot = number * 7 % UNDER_WAY;

        if (rows[slot] != NULL)
        {
            finish_rows(rows[slot], 200, "");
            spool_finished(life.spool, rows[slot]);
            spool_turn(life.spool);
            tell(pipe, FINISHED, finished[slot]);
            tell(pipe, STORED, finished[slot]);
            store(&life, rows[slot]);
        }
        rows[slot] = make_rows(number, 1 + number % 64);
        finished[slot] = number;
        if (spool_decided(life.spool, rows[slot]) == 0)
            _exit(1);
        spool_turn(life.spool);
        tell(pipe, DECIDED, number);
    }
}

#define NUMBERS 1000000

/* Reads what was told; what[number] is a bit for each thing. Returns how many were told of. */
static unsigned hear(int pipe, uint8_t *what)
{
    struct told told;
    unsigned count = 0;

    memset(what, 0, NUMBERS);
    while (read(pipe, &told, sizeof told) == (ssize_t) sizeof told && told.number < NUMBERS)
    {
        what[told.number] |= (uint8_t) (1 << told.what);
        count = told.number + 1 > count ? told.number + 1 : count;
    }
    return count;
}

/* One life that is killed after so long, and what the next one finds. */
static void kill_after(unsigned microseconds, uint8_t *what)
{
    int pipes[2];
    pid_t child;
    struct life life;
    struct outcome *rows;
    unsigned count;
    size_t came;

    assert_int_equal(pipe(pipes), 0);
    assert_true(fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20) > 0);
    child = fork();
    if (child == 0)
        live_for_ever(pipes[1]);
    close(pipes[1]);
    usleep(microseconds);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    count = hear(pipes[0], what);
    close(pipes[0]);
    begin(&life);
    rows = replay_all(&life, &came);
    for (struct outcome *row = rows; row != NULL;)
    {
        unsigned number = (unsigned) row->item;

        assert_true(number <= count);
        assert_int_equal(what[number] & 0x80, 0);
        if ((what[number] & 1 << FINISHED) != 0)
            assert_int_equal(row->http_status, 200);
        what[number] |= 0x80;
        for (unsigned items = 0; items < 1 + number % 64; items++, row = row->next)
            assert_int_equal(row->item, number + items);
    }
    for (unsigned number = 0; number < count; number++)
        assert_true((what[number] & (0x80 | 1 << STORED)) != 0);
    store(&life, rows);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
}

/* Killed at any moment: whatever was decided and not stored comes back once, with its outcome if it
 * had one. */
static void killed_at_any_moment(void **state)
{
    uint8_t *what = malloc(NUMBERS);

    (void) state;
    assert_non_null(what);
    for (unsigned i = 0; i < 40; i++)
        kill_after(500 + i * 700, what);
    free(what);
}

/* ---- what can happen to a file ---- */

#define SAMPLE_ATTEMPTS 4

/* The bytes of a segment with four attempts of one row, the last without an outcome, and where each
 * record begins; the file's path. */
struct sample
{
    uint8_t data[8192];
    size_t length;
    size_t places[2 * SAMPLE_ATTEMPTS];
    char path[300];
};

static void make_sample(struct sample *sample)
{
    static uint8_t whole[2 * MIB];
    struct outcome *rows[SAMPLE_ATTEMPTS];
    struct life life;

    begin(&life);
    for (unsigned i = 0; i < SAMPLE_ATTEMPTS; i++)
    {
        rows[i] = make_rows(i, 1);
        sample->places[2 * i] = (size_t) segment_end(life.spool->active);
        assert_true(spool_decided(life.spool, rows[i]) > 0);
        finish_rows(rows[i], 200, "");
        sample->places[2 * i + 1] = (size_t) segment_end(life.spool->active);
        if (i + 1 < SAMPLE_ATTEMPTS)
            spool_finished(life.spool, rows[i]);
    }
    spool_turn(life.spool);
    sample->length = (size_t) segment_end(life.spool->active);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, sample->path), 1);
    read_file(sample->path, whole, sizeof whole);
    memcpy(sample->data, whole, sample->length);
    for (unsigned i = 0; i < SAMPLE_ATTEMPTS; i++)
        store(&life, rows[i]);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
}

/* Reads the file as a new life does. Bit i of *found: attempt i came back; of *known: with its
 * outcome. Afterwards the file is gone; returns the number of pieces set aside. */
static size_t read_sample(const struct sample *sample, unsigned *found, unsigned *known)
{
    struct life life;
    struct outcome *rows;
    size_t count, aside;
    char path[300];

    *found = *known = 0;
    begin(&life);
    rows = replay_all(&life, &count);
    for (struct outcome *row = rows; row != NULL; row = row->next)
    {
        struct outcome *expected = make_row((unsigned) row->item, 0x7f);

        same_row(expected, row);
        free(expected);
        assert_int_equal(*found >> row->item & 1, 0);
        *found |= 1u << row->item;
        if (row->success)
            *known |= 1u << row->item;
        else
            unknown_outcome(row);
    }
    store(&life, rows);
    end(&life);
    assert_int_equal(access(sample->path, F_OK), -1);
    for (aside = 0; count_files("set-aside", "", path) > 0; aside++)
        assert_int_equal(unlink(path), 0);
    return aside;
}

/* Cut anywhere, by the end of the file or by zeros up to its end: what was whole comes back. */
static void torn_anywhere(void **state)
{
    struct sample sample;
    static uint8_t padded[64 << 10];
    unsigned found, known, expected_found, expected_known;

    (void) state;
    make_sample(&sample);
    for (size_t cut = 0; cut <= sample.length; cut++)
    {
        expected_found = expected_known = 0;
        for (unsigned i = 0; i < SAMPLE_ATTEMPTS; i++)
        {
            if (cut >= sample.places[2 * i + 1])
                expected_found |= 1u << i;
            if (i + 1 < SAMPLE_ATTEMPTS && cut >= sample.places[2 * i + 2])
                expected_known |= 1u << i;
        }
        write_file(sample.path, sample.data, cut);
        assert_true(read_sample(&sample, &found, &known) <= 1);
        assert_int_equal(found, expected_found);
        assert_int_equal(known, expected_known);
        memset(padded, 0, sizeof padded);
        memcpy(padded, sample.data, cut);
        write_file(sample.path, padded, sizeof padded);
        assert_true(read_sample(&sample, &found, &known) <= 1);
        /* A record may end in zeros: cutting those changes nothing. */
        assert_int_equal(found & expected_found, expected_found);
        assert_int_equal(known & expected_known, expected_known);
    }
}

/* A bit flipped in any byte: that record is set aside, all others come back. */
static void flipped_anywhere(void **state)
{
    struct sample sample;
    unsigned found, known;

    (void) state;
    make_sample(&sample);
    for (size_t at = 0; at < sample.length; at++)
    {
        unsigned lost = 0, unknown = 1u << (SAMPLE_ATTEMPTS - 1);

        for (unsigned i = 0; i < SAMPLE_ATTEMPTS; i++)
            if (at >= sample.places[2 * i] && at < sample.places[2 * i + 1])
                lost = 1u << i;
            else if (i + 1 < SAMPLE_ATTEMPTS && at >= sample.places[2 * i + 1] &&
                     at < sample.places[2 * i + 2])
                unknown |= 1u << i;
        sample.data[at] ^= (uint8_t) (1 << at % 8);
        write_file(sample.path, sample.data, sample.length);
        /* An OUTCOME is kept together with its DECIDED. */
        assert_int_equal(read_sample(&sample, &found, &known),
                         lost != 0 && lost != 1u << (SAMPLE_ATTEMPTS - 1) ? 2 : 1);
        assert_int_equal(found, (1u << SAMPLE_ATTEMPTS) - 1 - lost);
        assert_int_equal(known, (1u << SAMPLE_ATTEMPTS) - 1 - (lost | unknown));
        sample.data[at] ^= (uint8_t) (1 << at % 8);
    }
}

/* Half made, or no segment at all. */
static void strange_files(void **state)
{
    static const uint8_t zeros[4096];
    struct sample sample;
    unsigned found, known;

    (void) state;
    make_sample(&sample);
    write_file(sample.path, zeros, 0);
    assert_int_equal(read_sample(&sample, &found, &known), 0);
    write_file(sample.path, zeros, sizeof zeros);
    assert_int_equal(read_sample(&sample, &found, &known), 0);
    write_file(sample.path, sample.data, SEGMENT_HEADER);
    assert_int_equal(read_sample(&sample, &found, &known), 0);
    write_file(sample.path, (const uint8_t *) "no segment, but a name like one", 31);
    assert_int_equal(read_sample(&sample, &found, &known), 1);
}

/* A life that meets this file leaves it where it is, and works. */
static void left_alone(const char *path)
{
    struct life life;
    struct stat status;
    size_t count;

    assert_int_equal(try_begin(&life, 64 * MIB, false), SPOOL_OPENED);
    assert_null(replay_all(&life, &count));
    store(&life, attempt(&life, 1, 1));
    end(&life);
    assert_int_equal(lstat(path, &status), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(count_files("set-aside", "", NULL), 0);
}

/* Another version, a file too long, a link in a segment's place. */
static void files_of_others(void **state)
{
    struct sample sample;
    uint64_t sum;

    (void) state;
    make_sample(&sample);
    write_file(sample.path, sample.data, sample.length);
    assert_int_equal(truncate(sample.path, SEGMENT_SIZE + 1), 0);
    left_alone(sample.path);
    assert_int_equal(symlink("/etc/passwd", sample.path), 0);
    left_alone(sample.path);
    sample.data[8] = SEGMENT_VERSION + 1;
    sum = XXH3_64bits(sample.data, 56);
    memcpy(sample.data + 56, &sum, sizeof sum);
    write_file(sample.path, sample.data, sample.length);
    left_alone(sample.path);
}

/* ---- memory and files ---- */

/* An OUTCOME goes where its DECIDED is, also when another segment takes the DECIDEDs by then; each
 * segment goes when its own rows are stored. */
static void segments_change(void **state)
{
    struct outcome *first = make_rows(1, 1), *rows, *row;
    struct life life;
    size_t count;

    (void) state;
    begin(&life);
    assert_true(spool_decided(life.spool, first) > 0);
    for (rows = NULL; first->segment == life.spool->active;)
    {
        row = attempt(&life, 100, ITEM_LIMIT);
        store(&life, rows);
        rows = row;
    }
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 2);
    finish_rows(first, 200, "late");
    spool_finished(life.spool, first);
    spool_turn(life.spool);
    assert_ptr_not_equal(first->segment, life.spool->active);
    assert_true(spool_spill(life.spool, first));
    free(first);
    store(&life, rows);
    rows = replay_all(&life, &count);
    for (row = rows; row != NULL && row->item != 1; row = row->next)
        ;
    assert_non_null(row);
    assert_string_equal(row->error_message, "late");
    store(&life, rows);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 1);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
}

/* Whatever was decided can be finished, all at once: room for it was kept, in memory and in the
 * file, when it was decided. */
static void room_for_outcomes(void **state)
{
    static struct outcome *rows[20000];
    char longest[ERROR_LIMIT] = "";
    unsigned count = 0;
    struct spool_segment *segment;
    struct life life;
    struct stat status;
    size_t before;
    char path[300];

    (void) state;
    begin(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, path), 1);
    do
    {
        rows[count] = make_rows(count, 1);
        assert_true(spool_decided(life.spool, rows[count]) > 0);
        segment = rows[0]->segment;
        if (count % 3 == 0)
            spool_turn(life.spool);
    } while (rows[count++]->segment == segment);
    assert_true(count > 1000);
    memset(longest, 'x', sizeof longest - 1);
    before = mallinfo2().uordblks;
    for (unsigned i = 0; i < count; i++)
    {
        finish_rows(rows[i], 503, longest);
        spool_finished(life.spool, rows[i]);
    }
    assert_int_equal(mallinfo2().uordblks, before);
    assert_true(segment_end(segment) <= segment->size);
    spool_turn(life.spool);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, segment->size);
    assert_true(spool_spill(life.spool, rows[0]));
    for (unsigned i = 0; i < count; i++)
    {
        rows[i]->next = NULL;
        store(&life, rows[i]);
    }
    free_rows(replay_all(&life, &before));
    assert_int_equal(before, count - 1);
    end(&life);
}

/* Rows that leave memory come back when all the others of their segment are stored; those that are
 * not spilled, or have no outcome, do not. */
static void spilled(void **state)
{
    struct outcome *kept, *open = make_rows(50, 2), *rows, *next;
    struct life life;
    size_t count;

    (void) state;
    begin(&life);
    kept = attempt(&life, 1, 1);
    rows = attempt(&life, 2, 10);
    assert_true(spool_decided(life.spool, open) > 0);
    assert_false(spool_spill(life.spool, open));
    spool_turn(life.spool);
    assert_false(spool_has_replay(life.spool));
    for (; rows != NULL; rows = next)
    {
        next = rows->next;
        assert_true(spool_spill(life.spool, rows));
        free(rows);
    }
    assert_true(spool_has_replay(life.spool));
    assert_null(spool_replay(life.spool, 100)); /* two rows are in memory */
    store(&life, kept);
    store(&life, open); /* an attempt that was never made */
    rows = replay_all(&life, &count);
    assert_int_equal(count, 11);
    assert_true(rows->success);
    assert_false(spool_has_replay(life.spool));
    /* They may leave again. */
    assert_true(spool_spill(life.spool, rows));
    next = rows->next;
    free(rows);
    store(&life, next);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 11);
    store(&life, rows);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
}

/* Rows leave memory after the turn's write, which is the only one: leaving costs none. */
static void spilled_without_a_write(void **state)
{
    struct outcome *rows[10];
    struct life life;
    size_t count;
    unsigned before;

    (void) state;
    begin(&life);
    for (unsigned i = 0; i < 10; i++)
    {
        rows[i] = make_rows(i, 1);
        assert_true(spool_decided(life.spool, rows[i]) > 0);
    }
    spool_turn(life.spool);
    before = write_count;
    for (unsigned i = 0; i < 10; i++)
    {
        finish_rows(rows[i], 200, "");
        spool_finished(life.spool, rows[i]);
        assert_false(spool_spill(life.spool, rows[i]));
    }
    spool_turn(life.spool);
    for (unsigned i = 0; i < 10; i++)
    {
        assert_true(spool_spill(life.spool, rows[i]));
        free(rows[i]);
    }
    assert_int_equal(write_count - before, 1);
    rows[0] = replay_all(&life, &count);
    assert_int_equal(count, 10);
    store(&life, rows[0]);
    end(&life);
}

/* Rows that were spilled when the process ended are read by the next one. */
static void spilled_and_left(void **state)
{
    struct life life;
    struct outcome *rows;
    size_t count;

    (void) state;
    begin(&life);
    rows = attempt(&life, 1, 1);
    assert_true(spool_spill(life.spool, rows));
    free(rows);
    end(&life);
    begin(&life);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 1);
    assert_int_equal(rows->http_status, 200);
    /* Not stored, and the process ends again. */
    free_rows(rows);
    end(&life);
    begin(&life);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 1);
    store(&life, rows);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
}

/* An idle forwarder keeps no segment, whether something has come to it or not; a new webhook finds
 * it ready. */
static void rests(void **state)
{
    struct life life;

    (void) state;
    begin(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 1);
    turn_for(&life, 1050);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
    assert_true(spool_usable(life.spool));
    store(&life, attempt(&life, 1, 1));
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 1);
    turn_for(&life, 1050);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
    assert_true(spool_usable(life.spool));
    store(&life, attempt(&life, 2, 1));
    end(&life);
}

/* No more files than --spool-size; stored rows make room. */
static void bounded(void **state)
{
    struct outcome *rows[64];
    unsigned count = 0;
    static char text[4096];
    struct life life;
    int before;

    (void) state;
    begin(&life);
    before = listen_to_log();
    for (;;)
    {
        rows[count] = make_rows(1, ITEM_LIMIT);
        if (spool_decided(life.spool, rows[count]) == 0)
            break;
        spool_turn(life.spool);
        assert_true(++count < 64);
    }
    assert_false(spool_usable(life.spool));
    heard(before, text, sizeof text);
    assert_int_equal(times(text, "spool_unusable"), 1);
    assert_non_null(strstr(text, "\"segments\":4,\"bytes\":8388608,\"limit\":8388608"));
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 4);
    free_rows(rows[count]);
    turn_for(&life, 1050);
    assert_false(spool_usable(life.spool));
    while (count > 0)
        store(&life, rows[--count]);
    turn_for(&life, 1050);
    assert_true(spool_usable(life.spool));
    store(&life, attempt(&life, 1, 1));
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
}

/* What the database refuses is kept as a segment of its own: put back, it is read again. */
static void set_aside(void **state)
{
    struct life life;
    struct outcome *rows;
    char path[300], back[400];
    size_t count;

    (void) state;
    begin(&life);
    rows = attempt(&life, 1, 3);
    assert_true(spool_set_aside(life.spool, rows->next));
    store(&life, rows);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
    assert_int_equal(count_files("set-aside", SEGMENT_SUFFIX, path), 1);
    snprintf(back, sizeof back, "%s/%s", home, strrchr(path, '/') + 1);
    assert_int_equal(rename(path, back), 0);
    begin(&life);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 1);
    assert_int_equal(rows->item, 2);
    assert_int_equal(rows->http_status, 200);
    store(&life, rows);
    end(&life);
}

/* ---- whose directory it is ---- */

static void one_owner(void **state)
{
    struct life first, second;
    uint64_t before;

    (void) state;
    begin(&first);
    before = loop_clock();
    assert_int_equal(try_begin(&second, 8 * MIB, false), SPOOL_LOCKED);
    assert_in_range(loop_clock() - before, 100000, 2000000);
    end(&first);
    begin(&second);
    end(&second);
}

/* Somebody who waits and is asked to stop does not wait any more. */
static void waits_no_more(void **state)
{
    struct life first, second;
    sigset_t stop;
    int taken;

    (void) state;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &stop, NULL), 0);
    begin(&first);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    lock_timeout = 60000000;
    assert_int_equal(try_begin(&second, 8 * MIB, false), SPOOL_LOCKED);
    assert_int_equal(sigwait(&stop, &taken), 0);
    end(&first);
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &stop, NULL), 0);
}

static void *end_soon(void *life)
{
    usleep(50000);
    end(life);
    return NULL;
}

/* A restart: the second waits until the first has gone. */
static void handed_over(void **state)
{
    struct life first, second;
    pthread_t thread;

    (void) state;
    begin(&first);
    assert_int_equal(pthread_create(&thread, NULL, end_soon, &first), 0);
    begin(&second);
    pthread_join(thread, NULL);
    store(&second, attempt(&second, 1, 1));
    end(&second);
}

static unsigned mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

/* Made private when it is ours alone; not touched when others use it. */
static void permissions(void **state)
{
    struct life life;
    char path[300];

    (void) state;
    assert_int_equal(chmod(home, 0755), 0);
    begin(&life);
    assert_true(spool_usable(life.spool));
    assert_int_equal(mode_of(home), 0700);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, path), 1);
    assert_int_equal(mode_of(path), 0600);
    end(&life);
    snprintf(path, sizeof path, "%s/something", home);
    write_file(path, (const uint8_t *) "", 0);
    assert_int_equal(chmod(home, 0755), 0);
    begin(&life);
    assert_false(spool_usable(life.spool));
    assert_string_equal(spool_directory_path(life.directory), "");
    assert_int_equal(mode_of(home), 0755);
    assert_int_equal(spool_decided(life.spool, NULL), 0);
    end(&life);
}

/* It may come into being later; what is in it then is read. */
static void directory_comes_late(void **state)
{
    char parent[64], moved[80];
    struct life life;
    struct outcome *rows;
    size_t count;

    (void) state;
    begin(&life);
    free_rows(attempt(&life, 1, 1));
    end(&life);
    strcpy(parent, home);
    snprintf(moved, sizeof moved, "%s.moved", parent);
    assert_int_equal(rename(home, moved), 0);
    snprintf(home, sizeof home, "%.50s/spool", parent);
    begin(&life);
    assert_false(spool_usable(life.spool));
    assert_int_equal(mkdir(parent, 0700), 0);
    assert_int_equal(rename(moved, home), 0);
    turn_for(&life, 1050);
    assert_true(spool_usable(life.spool));
    assert_string_equal(spool_directory_path(life.directory), home);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 1);
    store(&life, rows);
    end(&life);
    strcpy(home, parent);
}

/* A directory that is removed under the forwarder's feet is made anew. */
static void directory_removed(void **state)
{
    struct life life;

    (void) state;
    begin(&life);
    store(&life, attempt(&life, 1, 1));
    assert_int_equal(remove_home(NULL), 0);
    turn_for(&life, 1050);
    store(&life, attempt(&life, 2, 1));
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 1);
    assert_int_equal(count_files("", "lock", NULL), 1);
    end(&life);
}

/* What is written into a file that is gone is not durable: nobody would ever read it. */
static void segment_removed(void **state)
{
    struct outcome *rows = make_rows(2, 1), *first;
    struct life life;
    uint64_t ticket;

    (void) state;
    begin(&life);
    first = attempt(&life, 1, 1);
    assert_int_equal(remove_home(NULL), 0);
    ticket = spool_decided(life.spool, rows);
    assert_true(ticket > 0);
    spool_turn(life.spool);
    assert_int_equal(spool_verdict(life.spool, ticket), SPOOL_LOST);
    assert_false(spool_usable(life.spool));
    turn_for(&life, 1050);
    assert_true(spool_usable(life.spool));
    assert_false(spool_spill(life.spool, first));
    store(&life, first);
    store(&life, rows);
    store(&life, attempt(&life, 3, 1));
    end(&life);
}

/* Files are made, never found through a link that somebody has put there. */
static void no_links(void **state)
{
    struct life life;
    char path[300], target[300];

    (void) state;
    snprintf(path, sizeof path, "%s/lock", home);
    snprintf(target, sizeof target, "%s/ruleset.target", home);
    assert_int_equal(symlink(target, path), 0);
    begin(&life);
    assert_false(spool_usable(life.spool));
    end(&life);
    assert_int_equal(access(target, F_OK), -1);
}

/* ---- a disk that fails ---- */

/* Until it is synced a ticket waits; many share a sync. */
static void waits_for_the_disk(void **state)
{
    struct outcome *first = make_rows(1, 1), *second = make_rows(2, 1);
    uint64_t a, b;
    struct life life;

    (void) state;
    assert_int_equal(try_begin(&life, 8 * MIB, true), SPOOL_OPENED);
    sync_held = 1;
    sync_count = 0;
    a = spool_decided(life.spool, first);
    assert_int_equal(spool_verdict(life.spool, a), SPOOL_WAITING);
    spool_turn(life.spool);
    b = spool_decided(life.spool, second);
    spool_turn(life.spool);
    assert_true(b > a && a > 0);
    turn_for(&life, 100);
    assert_int_equal(spool_verdict(life.spool, a), SPOOL_WAITING);
    sync_held = 0;
    turn_for(&life, 100);
    assert_int_equal(spool_verdict(life.spool, a), SPOOL_DURABLE);
    assert_int_equal(spool_verdict(life.spool, b), SPOOL_DURABLE);
    assert_in_range(sync_count, 1, 2);
    store(&life, first);
    store(&life, second);
    end(&life);
}

/* Grouped: durable at the turn's end, on the disk soon after. */
static void grouped(void **state)
{
    struct life life;
    struct outcome *rows = make_rows(1, 1);
    uint64_t ticket;

    (void) state;
    begin(&life);
    sync_count = 0;
    ticket = spool_decided(life.spool, rows);
    assert_int_equal(spool_verdict(life.spool, ticket), SPOOL_WAITING);
    spool_turn(life.spool);
    assert_int_equal(spool_verdict(life.spool, ticket), SPOOL_DURABLE);
    assert_int_equal(sync_count, 0);
    turn_for(&life, 150);
    assert_int_equal(sync_count, 1);
    store(&life, rows);
    end(&life);
}

/* A segment that could not be synced is not believed: its rows stay in memory, a new one is begun;
 * when that fails too, the spool is troubled until one can be synced again. */
static void sync_fails(void **state)
{
    struct life life;
    struct outcome *rows, *more;

    (void) state;
    begin(&life);
    sync_count = 0;
    rows = attempt(&life, 1, 1);
    TURN_UNTIL(&life, sync_count > 0);
    sync_error = EIO;
    more = attempt(&life, 2, 1);
    TURN_UNTIL(&life, life.spool->active == NULL);
    assert_false(spool_spill(life.spool, rows));
    assert_false(spool_spill(life.spool, more));
    assert_true(spool_usable(life.spool));
    assert_null(life.spool->active);
    store(&life, rows);
    store(&life, more);
    rows = attempt(&life, 3, 1);
    TURN_UNTIL(&life, !spool_usable(life.spool));
    assert_false(spool_usable(life.spool));
    sync_error = 0;
    TURN_UNTIL(&life, spool_usable(life.spool));
    assert_true(spool_usable(life.spool));
    store(&life, rows);
    rows = attempt(&life, 4, 1);
    assert_true(spool_spill(life.spool, rows));
    free(rows);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 1);
}

/* With `wait` the tickets are lost, whatever comes after them in another segment. */
static void sync_fails_while_waited_for(void **state)
{
    struct outcome *first = make_rows(1, 1), *second = make_rows(2, 1);
    struct life life;
    uint64_t a, b;

    (void) state;
    assert_int_equal(try_begin(&life, 8 * MIB, true), SPOOL_OPENED);
    store(&life, attempt(&life, 0, 1));
    turn_for(&life, 50);
    sync_error = EIO;
    a = spool_decided(life.spool, first);
    spool_turn(life.spool);
    turn_for(&life, 50);
    assert_int_equal(spool_verdict(life.spool, a), SPOOL_LOST);
    sync_error = 0;
    b = spool_decided(life.spool, second);
    spool_turn(life.spool);
    turn_for(&life, 50);
    assert_int_equal(spool_verdict(life.spool, a), SPOOL_LOST);
    assert_int_equal(spool_verdict(life.spool, b), SPOOL_DURABLE);
    finish_rows(first, 200, "");
    spool_finished(life.spool, first); /* has no place to go: no harm */
    spool_turn(life.spool);
    store(&life, first);
    store(&life, second);
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
}

/* Rows whose segment has failed are written anew, with those that never were in one: the next life
 * finds each with its outcome. Attempts under way follow when they have one. */
static void written_anew(void **state)
{
    struct outcome *rows, *open = make_rows(50, 2), *never = make_rows(60, 1), *last;
    struct life life;
    size_t count;

    (void) state;
    begin(&life);
    rows = attempt(&life, 1, 3);
    assert_true(spool_decided(life.spool, open) > 0);
    assert_false(spool_rescue(life.spool, rows, 100));
    spool_turn(life.spool);
    turn_for(&life, 150);
    assert_true(spool_is_safe(life.spool, rows));
    sync_error = EIO;
    for (last = rows; last->next != NULL; last = last->next)
        ;
    last->next = attempt(&life, 10, 2);
    turn_for(&life, 150);
    sync_error = 0;
    assert_false(spool_is_safe(life.spool, rows));
    finish_rows(never, 200, "");
    spool_finished(life.spool, never);
    last->next->next->next = never;
    assert_true(spool_rescue(life.spool, rows, 4));
    assert_false(spool_is_safe(life.spool, rows)); /* not written yet */
    assert_true(spool_rescue(life.spool, rows, 4));
    assert_false(spool_rescue(life.spool, rows, 4));
    finish_rows(open, 0, "gone");
    spool_finished(life.spool, open);
    assert_true(spool_rescue(life.spool, open, 4));
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 2);
    spool_turn(life.spool);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 1);
    turn_for(&life, 150);
    count = 0;
    for (last = rows; last != NULL; last = last->next)
        count += spool_is_safe(life.spool, last) ? 1 : 0;
    assert_int_equal(count, 6);
    assert_true(spool_is_safe(life.spool, open));
    free_rows(rows);
    free_rows(open);
    end(&life);
    begin(&life);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 8);
    count = 0;
    for (last = rows; last != NULL; last = last->next)
        count += last->success ? 1 : 0;
    assert_int_equal(count, 6);
    store(&life, rows);
    end(&life);
}

/* The end waits for the disk, and knows what it has not got. */
static void safe_at_the_end(void **state)
{
    struct outcome *rows;
    struct life life;

    (void) state;
    begin(&life);
    rows = attempt(&life, 1, 1);
    assert_false(spool_is_safe(life.spool, rows));
    spool_settle(life.spool);
    assert_true(spool_is_safe(life.spool, rows));
    rows->next = attempt(&life, 2, 1);
    sync_error = EIO;
    spool_settle(life.spool);
    assert_false(spool_is_safe(life.spool, rows));
    assert_false(spool_is_safe(life.spool, rows->next));
    free_rows(rows);
    end(&life);
}

/* A write that fails after a part of it: what was in it is lost and said to be, what was written
 * before stays, and the next segment takes over. */
static void write_fails(void **state)
{
    struct outcome *good, *rows = make_rows(10, 3);
    struct life life;
    uint64_t ticket;
    size_t count;

    (void) state;
    begin(&life);
    good = attempt(&life, 1, 1);
    assert_true(spool_spill(life.spool, good));
    free(good);
    write_error = EIO;
    write_allowed = 100;
    ticket = spool_decided(life.spool, rows);
    assert_true(ticket > 0);
    spool_turn(life.spool);
    assert_int_equal(spool_verdict(life.spool, ticket), SPOOL_LOST);
    assert_false(spool_usable(life.spool));
    assert_int_equal(spool_decided(life.spool, rows), 0);
    turn_for(&life, 1050);
    assert_false(spool_usable(life.spool)); /* not even a header can be written */
    write_allowed = SIZE_MAX;
    turn_for(&life, 1050);
    assert_true(spool_usable(life.spool));
    finish_rows(rows, 200, "");
    spool_finished(life.spool, rows);
    spool_turn(life.spool);
    assert_false(spool_spill(life.spool, rows));
    store(&life, rows);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 1);
    store(&life, rows);
    store(&life, attempt(&life, 5, 1));
    end(&life);
    assert_int_equal(count_files("", SEGMENT_SUFFIX, NULL), 0);
}

/* Short and interrupted writes are no failure. */
static void short_writes(void **state)
{
    struct life life;
    struct outcome *rows;
    size_t count;

    (void) state;
    begin(&life);
    write_piece = 17;
    free_rows(attempt(&life, 1, 100));
    write_piece = SIZE_MAX;
    end(&life);
    begin(&life);
    rows = replay_all(&life, &count);
    assert_int_equal(count, 100);
    store(&life, rows);
    end(&life);
    assert_int_equal(count_files("set-aside", "", NULL), 0);
}

/* A full disk shows when a segment is made, and the spool comes back when there is room: on a
 * file system of 3 MiB, or where that cannot be mounted, with a limit on files. */
static void disk_full(void **state)
{
    struct rlimit limit, none = {MIB, RLIM_INFINITY};
    bool mounted = unshare(CLONE_NEWNS) == 0 &&
                   mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                   mount("tmpfs", home, "tmpfs", 0, "size=3m,mode=0700") == 0;
    struct outcome *rows = NULL, *row;
    struct life life;
    unsigned made = 0;

    (void) state;
    begin(&life);
    assert_true(spool_usable(life.spool));
    getrlimit(RLIMIT_FSIZE, &limit);
    if (!mounted)
    {
        none.rlim_max = limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    }
    while (spool_decided(life.spool, row = make_rows(made, ITEM_LIMIT)) > 0)
    {
        struct outcome *last = row;

        spool_turn(life.spool);
        while (last->next != NULL)
            last = last->next;
        last->next = rows;
        rows = row;
        made++;
    }
    assert_true(made > 0);
    assert_false(spool_usable(life.spool));
    free_rows(row);
    setrlimit(RLIMIT_FSIZE, &limit);
    store(&life, rows);
    turn_for(&life, 1050);
    assert_true(spool_usable(life.spool));
    store(&life, attempt(&life, 1, 1));
    end(&life);
}

/* ---- what the operator hears ---- */

/* One line for each thing that happens, however often it is tried, and none with what a webhook
 * held. */
static void reports(void **state)
{
    static char text[65536];
    struct sample sample;
    struct life life;
    struct outcome *rows;
    size_t count;
    int before;

    (void) state;
    make_sample(&sample);
    sample.data[sample.places[2] + 40] ^= 1;
    write_file(sample.path, sample.data, sample.length);
    before = listen_to_log();
    begin(&life);
    store(&life, replay_all(&life, &count));
    assert_int_equal(count, SAMPLE_ATTEMPTS - 1);
    write_error = ENOSPC;
    write_allowed = 0;
    rows = make_rows(1, 1);
    assert_true(spool_decided(life.spool, rows) > 0);
    spool_turn(life.spool);
    turn_for(&life, 2100);
    write_allowed = SIZE_MAX;
    turn_for(&life, 1050);
    store(&life, rows);
    sync_error = EIO;
    rows = attempt(&life, 2, 1);
    turn_for(&life, 150);
    store(&life, rows);
    sync_error = 0;
    end(&life);
    heard(before, text, sizeof text);
    assert_int_equal(times(text, "spool_record_damaged"), 2);
    assert_int_equal(times(text, "spool_replayed"), 1);
    assert_non_null(strstr(text, "\"rows\":3,\"unknown\":1,\"damaged\":2"));
    assert_int_equal(times(text, "spool_unusable"), 2);
    assert_non_null(strstr(text, "free space"));
    assert_int_equal(times(text, "spool_usable"), 1);
    assert_int_equal(times(text, "spool_sync_failed"), 1);
    assert_null(strstr(text, "text 3"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_home, remove_home)
    const struct CMUnitTest tests[] = {
        TEST(killed_with_outcome),
        TEST(killed_without_outcome),
        TEST(killed_at_any_moment),
        TEST(torn_anywhere),
        TEST(flipped_anywhere),
        TEST(strange_files),
        TEST(files_of_others),
        TEST(segments_change),
        TEST(room_for_outcomes),
        TEST(spilled),
        TEST(spilled_without_a_write),
        TEST(spilled_and_left),
        TEST(rests),
        TEST(bounded),
        TEST(set_aside),
        TEST(one_owner),
        TEST(waits_no_more),
        TEST(handed_over),
        TEST(permissions),
        TEST(directory_comes_late),
        TEST(directory_removed),
        TEST(segment_removed),
        TEST(no_links),
        TEST(waits_for_the_disk),
        TEST(grouped),
        TEST(sync_fails),
        TEST(sync_fails_while_waited_for),
        TEST(written_anew),
        TEST(safe_at_the_end),
        TEST(write_fails),
        TEST(short_writes),
        TEST(disk_full),
        TEST(reports),
    };

    log_set_level(LOG_ALWAYS);
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests_name("forwarder_spool", tests, NULL, NULL);
}
