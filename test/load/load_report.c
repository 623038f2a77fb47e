/* SPDX-License-Identifier: PostgreSQL
 *
 * load_report.c: what came back, counted and printed.
 */
#include "load.h"

#include <stdlib.h>
#include <string.h>

struct load_result result;

void report_target(const char *name, size_t length)
{
    for (size_t i = 0; i < MAX_TARGETS; i++)
    {
        if (result.targets[i].count == 0)
            snprintf(result.targets[i].name, sizeof result.targets[i].name, "%.*s", (int) length,
                     name);
        if (strlen(result.targets[i].name) == length &&
            memcmp(result.targets[i].name, name, length) == 0)
        {
            result.targets[i].count++;
            return;
        }
    }
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *) left, b = *(const double *) right;

    return (a > b) - (a < b);
}

static double percentile(double share)
{
    size_t at = (size_t) (share * (double) result.latency_count);

    if (result.latency_count == 0)
        return 0;
    return result.latencies[at < result.latency_count ? at : result.latency_count - 1] * 1000;
}

void report_print(double seconds, double began_at)
{
    const char *comma = "";

    qsort(result.latencies, result.latency_count, sizeof *result.latencies, by_size);
    printf("{\"requests\":%llu,\"sent\":%llu,\"began_at\":%.3f,\"seconds\":%.3f,"
           "\"per_second\":%.1f,\"refused\":%llu,\"broken\":%llu,\"statuses\":{",
           (unsigned long long) option.requests, (unsigned long long) result.sent, began_at,
           seconds, (double) option.requests / seconds, (unsigned long long) result.refused,
           (unsigned long long) result.broken);
    for (unsigned int status = 1; status < 600; status++)
        if (result.statuses[status] > 0)
        {
            printf("%s\"%u\":%llu", comma, status, (unsigned long long) result.statuses[status]);
            comma = ",";
        }
    printf("},\"routed_to\":{");
    comma = "";
    for (size_t i = 0; i < MAX_TARGETS && result.targets[i].count > 0; i++)
    {
        printf("%s\"%s\":%llu", comma, result.targets[i].name,
               (unsigned long long) result.targets[i].count);
        comma = ",";
    }
    printf(
        "},\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}}\n",
        percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999), percentile(1));
}
