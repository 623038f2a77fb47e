/* SPDX-License-Identifier: PostgreSQL
 *
 * support.h: what the engine's tests share: short ways to compile and to decide.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "route.h"

#include "seed.h"

static inline void *test_allocate(void *context, size_t size)
{
    (void) context;
    return malloc(size);
}

static inline void test_release(void *context, void *memory)
{
    (void) context;
    free(memory);
}

/* Processor time that this process has used. */
static inline double seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static const route_allocator test_allocator = {test_allocate, test_release, NULL};

/* Compiles or fails the test. */
static inline route_ruleset *compile(const char *snapshot)
{
    route_error error;
    route_ruleset *ruleset =
        route_ruleset_compile(snapshot, strlen(snapshot), &test_allocator, &error);

    if (ruleset == NULL)
        fail_msg("line %zu: %s\n%s", error.line, error.message, snapshot);
    return ruleset;
}

/* Bytes that end where readable memory ends: reading one more is a crash. */
typedef struct guarded
{
    char *pages;
    size_t size; /* of the readable pages */
} guarded;

static inline guarded guard_open(size_t most)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    guarded guard = {.size = (most / page + 1) * page};

    guard.pages =
        mmap(NULL, guard.size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(guard.pages != MAP_FAILED);
    assert_int_equal(mprotect(guard.pages + guard.size, page, PROT_NONE), 0);
    return guard;
}

static inline const char *guard_put(const guarded *guard, const void *bytes, size_t length)
{
    assert_true(length <= guard->size);
    return memcpy(guard->pages + guard->size - length, bytes, length);
}

static inline void guard_close(guarded *guard)
{
    munmap(guard->pages, guard->size + (size_t) sysconf(_SC_PAGESIZE));
}

/* A generator of numbers that is the same everywhere (xorshift64, G. Marsaglia, 2003). */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#define NOT_NAMED ((route_text){NULL, 0})

/* A text message around a body that needs no escapes. */
#define MESSAGE(from, body)                                                                        \
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"changes\":[{\"field\":"  \
    "\"messages\",\"value\":{\"messages\":[{\"from\":\"" from                                      \
    "\",\"id\":\"wamid.T\",\"type\":\"text\",\"text\":{\"body\":\"" body "\"}}]}}]}]}"

static inline route_decision decide(const route_ruleset *ruleset, const char *payload)
{
    route_decision decision;

    route_decide(ruleset, payload, strlen(payload), NOT_NAMED, NULL, NULL, &decision);
    return decision;
}

/* Name of the decision's domain, "unknown" without one. Valid until the next call. */
static inline const char *domain_name(const route_decision *decision)
{
    static char name[ROUTE_MAX_NAME_LENGTH + 1];

    if (decision->domain == NULL)
        return "unknown";
    snprintf(name, sizeof(name), "%.*s", (int) decision->domain->name.length,
             decision->domain->name.data);
    return name;
}

static inline bool text_is(route_text text, const char *expected)
{
    return text.length == strlen(expected) && memcmp(text.data, expected, text.length) == 0;
}

/* Reads a whole file; fails the test when it cannot. The caller frees. */
static inline char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *bytes;

    if (file == NULL)
        fail_msg("cannot open %s", path);
    fseek(file, 0, SEEK_END);
    *length = (size_t) ftell(file);
    rewind(file);
    bytes = malloc(*length + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *length, file), *length);
    bytes[*length] = '\0';
    fclose(file);
    return bytes;
}

#endif
