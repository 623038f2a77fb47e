/* SPDX-License-Identifier: PostgreSQL
 *
 * engine_bench.c: what the engine costs, without PostgreSQL and without HTTP.
 *
 *     make -f Makefile.programs build/bench/engine_bench && build/bench/engine_bench [ROUNDS]
 *
 * Each row is one payload: time of a whole decision and of validation alone, the least and the
 * median of the rounds. With an argument after ROUNDS, only the row of that name is run, once per
 * round and without a clock: for counting instructions with callgrind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "route.h"

#include "../test/unit/seed.h"

#define MOST_ROUNDS 1001

static const char text_message[] =
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"102290129340398\",\"changes\":["
    "{"
    "\"value\":{\"messaging_product\":\"whatsapp\",\"metadata\":{\"display_phone_number\":"
    "\"250788000000\",\"phone_number_id\":\"106540352242922\"},\"contacts\":[{\"profile\":{"
    "\"name\":"
    "\"Jean Bosco Habimana\"},\"wa_id\":\"250788100001\",\"user_id\":\"RW.13491208655302741918\"}],"
    "\"messages\":[{\"from\":\"250788100001\",\"from_user_id\":\"RW.13491208655302741918\",\"id\":"
    "\"wamid.HBgMMjUwNzg4MTAwMDAxFQIAEhgUM0EwNDAyNjlDNEYxMkQ3\",\"timestamp\":\"1760000001\","
    "\"type\""
    ":\"text\",\"text\":{\"body\":\"Hello, I am looking for jobs in Kigali\"}}]},\"field\":"
    "\"messages\"}]}]}";

static const char status[] =
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"102290129340398\",\"changes\":["
    "{"
    "\"value\":{\"messaging_product\":\"whatsapp\",\"metadata\":{\"display_phone_number\":"
    "\"250788000000\",\"phone_number_id\":\"106540352242922\"},\"statuses\":[{\"id\":"
    "\"wamid.HBgMMjUwNzg4MTAwMDAxFQIAERgSM0EwNDAyNjlDNEYxMkQ3\",\"status\":\"delivered\","
    "\"timestamp\":\"1760000002\",\"recipient_id\":\"250788100001\",\"conversation\":{\"id\":"
    "\"4b2a1c\",\"origin\":{\"type\":\"service\"}},\"pricing\":{\"billable\":false,\"pricing_"
    "model\":"
    "\"PMP\",\"type\":\"free_customer_service\",\"category\":\"service\"}}]},\"field\":"
    "\"messages\"}]}]}";

static route_ruleset *rules;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void *allocate(void *context, size_t size)
{
    (void) context;
    return malloc(size);
}

static void release(void *context, void *memory)
{
    (void) context;
    free(memory);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *) a;
    double y = *(const double *) b;

    return x < y ? -1 : x > y;
}

typedef size_t work(const char *payload, size_t length);

static size_t decide(const char *payload, size_t length)
{
    route_decision decision;

    return route_decide(rules, payload, length, (route_text){NULL, 0}, NULL, NULL, &decision) +
           (size_t) decision.side;
}

static size_t validate(const char *payload, size_t length)
{
    return route_is_json(payload, length);
}

/* Seconds per call: *least and *median over the rounds. */
static void measure(work *run, const char *payload, size_t length, size_t rounds, double *least,
                    double *median)
{
    static double times[MOST_ROUNDS];
    static volatile size_t sink;
    size_t calls = 1 + 4000000 / length;

    for (size_t round = 0; round < rounds; round++)
    {
        double start = now();

        for (size_t i = 0; i < calls; i++)
            sink += run(payload, length);
        times[round] = (now() - start) / (double) calls;
    }
    qsort(times, rounds, sizeof(times[0]), compare);
    *least = times[0];
    *median = times[rounds / 2];
}

static void report(const char *name, const char *payload, size_t length, size_t rounds,
                   const char *only)
{
    double least, median, json_least, json_median;
    double megabytes = (double) length / 1e6;

    if (only != NULL && strcmp(only, name) != 0)
        return;
    if (only != NULL)
    {
        for (size_t i = 0; i < rounds; i++)
            decide(payload, length);
        return;
    }
    measure(decide, payload, length, rounds, &least, &median);
    measure(validate, payload, length, rounds, &json_least, &json_median);
    printf("%-14s %9zu %12.3f %12.3f %9.0f %9.0f %14.0f\n", name, length, least * 1e6, median * 1e6,
           megabytes / least, megabytes / median, megabytes / json_median);
}

/* Repeats the element between an array's brackets until the whole has about `size` bytes. */
static char *batch(const char *payload, const char *array, size_t size, size_t *length)
{
    const char *open = strstr(payload, array) + strlen(array);
    const char *close = strstr(open, "]},\"field\"");
    size_t element = (size_t) (close - open);
    char *bytes = malloc(size + 2 * strlen(payload));
    char *p = bytes;

    if (bytes == NULL)
        exit(EXIT_FAILURE);
    p = mempcpy(p, payload, (size_t) (close - payload));
    while ((size_t) (p - bytes) < size)
    {
        *p++ = ',';
        p = mempcpy(p, open, element);
    }
    p = mempcpy(p, close, strlen(close));
    *length = (size_t) (p - bytes);
    return bytes;
}

int main(int argc, char **argv)
{
    static const route_allocator allocator = {allocate, release, NULL};
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 101;
    const char *only = argc > 2 ? argv[2] : NULL;
    route_error error;
    size_t length;
    char *bytes;

    rules = route_ruleset_compile(SEED("50", "t"), strlen(SEED("50", "t")), &allocator, &error);
    if (rules == NULL || rounds == 0 || rounds > MOST_ROUNDS)
        return EXIT_FAILURE;
    if (only == NULL)
        printf("%-14s %9s %12s %12s %9s %9s %14s\n", "payload", "bytes", "least us", "median us",
               "MB/s", "median", "JSON alone");
    report("text", text_message, strlen(text_message), rounds, only);
    report("status", status, strlen(status), rounds, only);
    if (only != NULL)
        return EXIT_SUCCESS;
    bytes = batch(text_message, "\"messages\":[", 3000000, &length);
    report("batch", bytes, length, rounds / 10 + 1, only);
    free(bytes);
    bytes = batch(status, "\"statuses\":[", 3000000, &length);
    report("statuses", bytes, length, rounds / 10 + 1, only);
    free(bytes);
    route_ruleset_free(rules);
    return EXIT_SUCCESS;
}
