/* SPDX-License-Identifier: PostgreSQL
 *
 * setup.c: what the process settles with the kernel once, before anything starts: limits that fit
 * the number of files it may open, and that nobody gets to see its memory.
 */
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "forwarder.h"

/* Files beside connections: links to the database, epoll sets, wake-ups, of each worker. */
#define FILES_BESIDE 12u
/* Blocks of memory from this size on are the kernel's to give and take, each alone; and so much
 * free memory behind the last one is kept. */
#define MAPPED_LEAST (256 << 10)
#define TRIMMED_LEAST (4 << 20)

/* A core file would hold secrets, and so would what a debugger of the same user reads. A build with
 * sanitizers (Makefile.programs defines INSPECTABLE for it) is for tests alone: what looks for
 * leaks at its end reads its memory as a debugger does. */
void setup_privacy(void)
{
    const struct rlimit none = {0, 0};

    (void) setrlimit(RLIMIT_CORE, &none);
#ifndef INSPECTABLE
    (void) prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* A body that is gone gives its memory back at once, and one that grows is moved by the kernel:
 * pieces of that size would otherwise be kept, with holes between them. Small ones stay where they
 * are, so that a worker in its stride asks the kernel for nothing. */
void setup_memory(void)
{
    (void) mallopt(M_MMAP_THRESHOLD, MAPPED_LEAST);
    (void) mallopt(M_TRIM_THRESHOLD, TRIMMED_LEAST);
}

void setup_files(struct options *options)
{
    unsigned beside = FILES_BESIDE + FILES_BESIDE * options->workers, available;
    struct rlimit limit;
    struct log_line line;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    available = limit.rlim_cur > 10000000 ? 10000000 : (unsigned) limit.rlim_cur;
    available = available > beside + 12 ? available - beside : 12;
    if (options->max_connections + options->max_in_flight <= available)
        return;
    if (options->max_in_flight > available / 3)
        options->max_in_flight = available / 3;
    if (options->max_connections > available - options->max_in_flight)
        options->max_connections = available - options->max_in_flight;
    if (log_begin(&line, LOG_WARNING, EVENT_FEW_FILES,
                  "the limit on open files allows fewer connections than the options"))
    {
        log_number(&line, "open_files", (int64_t) limit.rlim_cur);
        log_number(&line, "max_connections", options->max_connections);
        log_number(&line, "max_in_flight", options->max_in_flight);
        log_text(&line, "mend", "allow more open files: ulimit -n, or the unit's LimitNOFILE=");
        log_end(&line);
    }
}
