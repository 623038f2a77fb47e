/* SPDX-License-Identifier: PostgreSQL
 *
 * metrics_gather.c: /metrics: what the workers have published, added up, and what the main thread
 * knows of the process. Nothing here waits for a worker, the database or a disk but /proc.
 */
#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "forwarder.h"

/* ---- the process ---- */

static uint64_t cpu_us(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return METRIC_UNKNOWN;
    return (uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long pages, resident;
    bool good = file != NULL && fscanf(file, "%llu %llu", &pages, &resident) == 2;

    if (file != NULL)
        fclose(file);
    return good ? resident * (uint64_t) sysconf(_SC_PAGESIZE) : METRIC_UNKNOWN;
}

/* Without the one that is opened for counting. */
static uint64_t open_files(void)
{
    DIR *files = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (files == NULL)
        return METRIC_UNKNOWN;
    for (const struct dirent *entry; (entry = readdir(files)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(files);
    return count - 1;
}

static uint64_t most_files(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : METRIC_UNKNOWN;
}

static void gather_process(struct metrics *total, const struct admin *admin)
{
    const struct options *options = admin->options;
    metric_cell *cells = total->cells;

    metric_set(&cells[METRIC_CPU], cpu_us());
    metric_set(&cells[METRIC_RESIDENT], resident_bytes());
    metric_set(&cells[METRIC_OPEN_FDS], open_files());
    metric_set(&cells[METRIC_MAX_FDS], most_files());
    metric_set(&cells[METRIC_STARTED], (uint64_t) admin->started_us);
    metric_set(&cells[METRIC_WORKERS], admin->worker_count);
    metric_set(&cells[METRIC_DRAINING], admin->draining);
    metric_set(&cells[METRIC_IN_FLIGHT_LIMIT], options->max_in_flight);
    metric_set(&cells[METRIC_CONNECTIONS_LIMIT], options->max_connections);
    metric_set(&cells[METRIC_BUFFERED_LIMIT], options->max_buffer);
}

static void gather_spool(struct metrics *total, const struct admin *admin)
{
    struct spool_stock stock = spool_directory_stock(admin->directory);
    metric_cell *cells = total->cells;

    metric_set(&cells[METRIC_SPOOL_BYTES], stock.bytes);
    metric_set(&cells[METRIC_SPOOL_SEGMENTS], stock.segments);
    metric_set(&cells[METRIC_SPOOL_ASIDE], stock.aside);
    metric_set(&cells[METRIC_SPOOL_BAD], stock.bad);
    metric_set(&cells[METRIC_SPOOL_DAMAGED], stock.damaged);
    metric_set(&cells[METRIC_SPOOL_LIMIT], admin->options->spool_size);
    metric_set(&cells[METRIC_SPOOL_USABLE], stock.usable);
}

/* ---- the workers ---- */

/* By the names of the targets, which are those of attempts. */
static void gather_breakers(struct metrics *total, const struct breaker_table *table)
{
    size_t count = atomic_load(&table->count);

    for (size_t i = 0; i < count; i++)
    {
        size_t target = metric_place(&total->targets, table->breakers[i].target);

        metric_count(&total->breakers[target][atomic_load(&table->breakers[i].state)], 1);
    }
}

static void gather_worker(struct metrics *total, const struct worker *worker)
{
    metrics_add(total, &worker->metrics, loop_clock());
    gather_breakers(total, &worker->breakers);
    metric_count(&total->cells[METRIC_DECIDING_LOCALLY],
                 !atomic_load_explicit(&worker->status.can_decide, memory_order_relaxed));
}

void metrics_route(const struct admin *admin, struct admin_answer *answer)
{
    struct metrics *total = calloc(1, sizeof *total);

    answer->type = METRICS_CONTENT_TYPE;
    answer->body.failed = total == NULL;
    if (total == NULL)
        return;
    for (size_t i = 0; i < admin->worker_count; i++)
        gather_worker(total, &admin->workers[i]);
    gather_process(total, admin);
    gather_spool(total, admin);
    metrics_write(&answer->body, total);
    free(total);
}
