/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * memory.c: what the functions have received and how each was told to answer. Everything here that
 * is shared is behind `lock`; hashing and scanning happen outside it.
 */
#include "standin.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct function functions[MAX_NAMES];
size_t function_count;
struct behaviour everywhere = {.status = 200, .times = -1};
struct counted messages, correlations, bodies;
struct seen recent[RECENT_LIMIT];
uint64_t total_requests, incomplete_requests;
bool count_only, keep_bodies;
FILE *journal;

/* ---- counting ---- */

static struct counted_entry *counted_slot(struct counted_entry *entries, size_t size,
                                          const char *key)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (const char *byte = key; *byte != '\0'; byte++)
        hash = (hash ^ (unsigned char) *byte) * 1099511628211u;
    for (size_t at = hash & (size - 1);; at = (at + 1) & (size - 1))
        if (entries[at].key == NULL || strcmp(entries[at].key, key) == 0)
            return &entries[at];
}

static void counted_add(struct counted *set, const char *key, const char *function,
                        const char *sha256)
{
    struct counted_entry *entry;

    if (set->used * 2 >= set->size)
    {
        size_t size = set->size == 0 ? 1024 : set->size * 2;
        struct counted_entry *entries = must(calloc(size, sizeof *entries));

        for (size_t i = 0; i < set->size; i++)
            if (set->entries[i].key != NULL)
                *counted_slot(entries, size, set->entries[i].key) = set->entries[i];
        free(set->entries);
        set->entries = entries;
        set->size = size;
    }
    entry = counted_slot(set->entries, set->size, key);
    if (entry->key == NULL)
    {
        entry->key = must(strdup(key));
        set->used++;
    }
    if (++entry->count == 2)
        set->repeated++;
    entry->function = function;
    memcpy(entry->sha256, sha256, sizeof entry->sha256);
}

void counted_clear(struct counted *set)
{
    for (size_t i = 0; i < set->size; i++)
        free(set->entries[i].key);
    free(set->entries);
    memset(set, 0, sizeof *set);
}

/*
 * The ids of the messages and statuses in a body: the strings "wamid..." that are the value of a
 * key "id" at the least depth where there is one, so that the id of a quoted message (`context.id`,
 * one level deeper) is not taken. Works on anything, JSON or not. Returns how many were put into
 * `ids`.
 */
static size_t message_ids(const char *body, size_t size, char ids[][128])
{
    size_t count = 0, at = 0;
    int depth = 0, least = 1 << 30;
    bool key_is_id = false;

    while (at < size)
    {
        char byte = body[at++];

        if (byte == '{' || byte == '[')
            depth++;
        else if (byte == '}' || byte == ']')
            depth--;
        if (byte == ',' || byte == '{' || byte == '}' || byte == '[' || byte == ']')
            key_is_id = false;
        if (byte == '"')
        {
            size_t start = at, length;

            while (at < size && body[at] != '"')
                at += body[at] == '\\' ? 2 : 1;
            length = (at < size ? at : size) - start;
            at++;
            if (!key_is_id)
                key_is_id = length == 2 && memcmp(body + start, "id", 2) == 0;
            else if (length > 5 && length < 128 && memcmp(body + start, "wamid", 5) == 0)
            {
                if (depth < least)
                {
                    least = depth;
                    count = 0;
                }
                if (depth == least && count < MAX_IDS_PER_BODY)
                {
                    memcpy(ids[count], body + start, length);
                    ids[count++][length] = '\0';
                }
                key_is_id = false;
            }
        }
    }
    return count;
}

/* ---- functions and how they answer ---- */

/* Caller holds `lock`. Beyond MAX_NAMES all share the last one, so that junk paths cost nothing. */
struct function *function_named(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    struct function *function;

    for (size_t i = 0; i < function_count; i++)
        if (strncmp(functions[i].name, name, sizeof functions[i].name - 1) == 0)
            return &functions[i];
    if (function_count == MAX_NAMES)
        return &functions[MAX_NAMES - 1];
    function = &functions[function_count++];
    snprintf(function->name, sizeof function->name, "%s", name);
    function->behaviour = (struct behaviour){.times = 0};
    return function;
}

static struct behaviour behaviour_copy(const struct behaviour *from)
{
    struct behaviour copy = *from;

    copy.body = copy_or_null(from->body);
    copy.file = copy_or_null(from->file);
    copy.raw = copy_or_null(from->raw);
    copy.content_type = copy_or_null(from->content_type);
    copy.header_name = copy_or_null(from->header_name);
    copy.header_value = copy_or_null(from->header_value);
    return copy;
}

void behaviour_free(struct behaviour *behaviour)
{
    free(behaviour->body);
    free(behaviour->file);
    free(behaviour->raw);
    free(behaviour->content_type);
    free(behaviour->header_name);
    free(behaviour->header_value);
    *behaviour = (struct behaviour){.status = 200};
}

/* Caller holds `lock`. Whether it is this request's turn to be answered as told. */
static bool behaviour_applies(struct behaviour *told)
{
    if (told->times == 0 || (told->every > 1 && ++told->passed_over < told->every))
        return false;
    told->passed_over = 0;
    return true;
}

/* Caller holds `lock`. What the function was told, else what all were told; used up by one. */
static struct behaviour behaviour_take(struct function *function)
{
    struct behaviour *told = &function->behaviour;
    struct behaviour copy;

    if (!behaviour_applies(told))
        told = &everywhere;
    if (told == &everywhere && !behaviour_applies(told))
        return (struct behaviour){.status = 200};
    copy = behaviour_copy(told);
    if (told->times > 0)
        told->times--;
    return copy;
}

/* ---- what is remembered of a request ---- */

static enum MHD_Result header_into(void *target, enum MHD_ValueKind kind, const char *key,
                                   const char *value)
{
    struct text *text = target;

    (void) kind;
    text_bytes(text, text->length == 1 ? "[" : ",[", text->length == 1 ? 1 : 2);
    text_json(text, key);
    text_bytes(text, ",", 1);
    text_json(text, value == NULL ? "" : value);
    text_bytes(text, "]", 1);
    return MHD_YES;
}

static void sha256_hex(const char *body, size_t size, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    if (EVP_Digest(body, size, digest, &length, EVP_sha256(), NULL) != 1)
        exit(EX_SOFTWARE);
    for (unsigned int i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void seen_clear(struct seen *seen)
{
    free(seen->path);
    free(seen->headers);
    free(seen->body);
    memset(seen, 0, sizeof *seen);
}

/* Caller holds `lock`. A line of what was received and how it will be answered; --help has the
 * columns. */
static void journal_write(const struct request *request, const char *correlation, char ids[][128],
                          size_t id_count)
{
    const struct behaviour *answer = &request->answer;

    fprintf(journal, "%s\t%s\t", correlation == NULL ? "" : correlation, request->function->name);
    for (size_t i = 0; i < id_count; i++)
        fprintf(journal, "%s%s", i > 0 ? "," : "", ids[i]);
    if (answer->reset || answer->truncate || answer->raw != NULL)
        fputs("\tbroken\n", journal);
    else
        fprintf(journal, "\t%d\n", answer->status);
    fflush(journal);
}

/* Caller holds `lock`. Takes `headers` over. */
static void remember(const struct request *request, const char *method, const char *path,
                     char *headers, const char sha256[65])
{
    struct seen *seen = &recent[total_requests % RECENT_LIMIT];

    seen_clear(seen);
    seen->number = total_requests;
    seen->function = request->function->name;
    snprintf(seen->method, sizeof seen->method, "%s", method);
    seen->path = must(strdup(path));
    seen->headers = headers;
    seen->size = request->size;
    memcpy(seen->sha256, sha256, sizeof seen->sha256);
    if (keep_bodies)
    {
        seen->body = must(malloc(request->size + 1));
        memcpy(seen->body, request->size == 0 ? "" : request->body, request->size);
    }
}

/* The body is complete: count it, remember it, and settle how it will be answered. */
void record(struct request *request, const char *method, const char *path)
{
    const char *correlation =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-Correlation-ID");
    char ids[MAX_IDS_PER_BODY][128];
    char sha256[65] = "";
    struct text headers = {0};
    size_t id_count = 0;

    if (!count_only)
    {
        sha256_hex(request->body, request->size, sha256);
        id_count = message_ids(request->body, request->size, ids);
        text_bytes(&headers, "[", 1);
        MHD_get_connection_values(request->connection, MHD_HEADER_KIND, header_into, &headers);
        text_bytes(&headers, "]", 1);
    }

    pthread_mutex_lock(&lock);
    request->function = function_named(path);
    request->function->requests++;
    request->function->bytes += request->size;
    total_requests++;
    if (!count_only)
    {
        const char *function = request->function->name;

        remember(request, method, path, headers.bytes, sha256);
        counted_add(&bodies, sha256, function, sha256);
        if (correlation != NULL)
            counted_add(&correlations, correlation, function, sha256);
        for (size_t i = 0; i < id_count; i++)
            counted_add(&messages, ids[i], function, sha256);
    }
    request->answer = behaviour_take(request->function);
    if (request->answer.reset)
        request->function->resets++;
    if (journal != NULL)
        journal_write(request, correlation, ids, id_count);
    pthread_mutex_unlock(&lock);
    request->recorded = true;
}
