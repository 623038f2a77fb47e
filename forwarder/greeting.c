/* SPDX-License-Identifier: PostgreSQL
 *
 * greeting.c: the two GETs of the public listener. Neither needs the database.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "forwarder.h"
#include "text.h"

/* Compares digests, so that the time taken tells neither the content nor the length. */
static bool same_token(const char *given, size_t length, const char *expected)
{
    unsigned char a[EVP_MAX_MD_SIZE], b[EVP_MAX_MD_SIZE];
    unsigned size;

    return EVP_Digest(given, length, a, &size, EVP_sha256(), NULL) == 1 &&
           EVP_Digest(expected, strlen(expected), b, &size, EVP_sha256(), NULL) == 1 &&
           CRYPTO_memcmp(a, b, size) == 0;
}

/* WhatsApp's verification of the URL: the challenge's exact bytes for the right token. */
void greeting_verify(struct request *request)
{
    const char *token = request->secrets->verify_token, *query = request->uri.query;
    char mode[32], given[1024], challenge[URI_LIMIT];
    size_t mode_length, given_length, length;

    if (token == NULL || !uri_parameter(query, "hub.mode", mode, sizeof mode, &mode_length) ||
        strcmp(mode, "subscribe") != 0 ||
        !uri_parameter(query, "hub.verify_token", given, sizeof given, &given_length) ||
        !same_token(given, given_length, token))
        reply_refuse(request, REFUSAL_TOKEN, 403,
                     "the URL is not verified: wrong hub.mode or hub.verify_token");
    else if (!uri_parameter(query, "hub.challenge", challenge, sizeof challenge, &length))
        reply_refuse(request, REFUSAL_TOKEN, 400, "hub.challenge is missing");
    else if (!buffer_append(request->worker, &request->reply, challenge, length))
        reply_refuse(request, REFUSAL_MEMORY, 503, "out of memory");
    else
        reply_bytes(request, 200, "text/plain", request->reply.data, length);
}

/* ---- health ---- */

struct text
{
    struct worker *worker;
    struct buffer *buffer;
    bool good;
};

static void put(struct text *text, const char *bytes, size_t length)
{
    text->good = text->good && buffer_append(text->worker, text->buffer, bytes, length);
}

static void put_string(struct text *text, const char *string)
{
    char json[1024];

    put(text, json, log_json_string(json, 0, sizeof json, string));
}

/* Order of names, by bytes. */
static int compare_names(const route_domain *a, const route_domain *b)
{
    size_t length = a->name.length < b->name.length ? a->name.length : b->name.length;
    int order = memcmp(a->name.data, b->name.data, length);

    return order != 0 ? order : (a->name.length > length) - (b->name.length > length);
}

/* The enrolled domain whose name comes next after that of `last` (NULL: the first); NULL when there
 * is none. The ruleset has them by priority. */
static const route_domain *next_enrolled(const route_ruleset *ruleset, const route_domain *last)
{
    const route_domain *next = NULL;

    for (size_t i = 0; i < route_ruleset_domain_count(ruleset); i++)
    {
        const route_domain *domain = route_ruleset_domain(ruleset, i);

        if (domain->enrolled && domain->name.length <= ROUTE_MAX_NAME_LENGTH &&
            (last == NULL || compare_names(domain, last) > 0) &&
            (next == NULL || compare_names(domain, next) < 0))
            next = domain;
    }
    return next;
}

/* The names of the enrolled domains, sorted. */
static void put_domains(struct text *text, const route_ruleset *ruleset)
{
    const char *comma = "";

    for (const route_domain *domain = next_enrolled(ruleset, NULL); domain != NULL;
         domain = next_enrolled(ruleset, domain))
    {
        char name[ROUTE_MAX_NAME_LENGTH + 1], *end = name;

        put(text, comma, strlen(comma));
        put_string(text, text_place(&end, domain->name));
        comma = ", ";
    }
}

/* What the old router answered to a health check, with its own words for it. */
void greeting_health(struct request *request)
{
    struct worker *worker = request->worker;
    struct text text = {worker, &request->reply, true};
    const route_config *config =
        worker->ruleset == NULL ? NULL : route_ruleset_config(worker->ruleset);
    bool healthy = atomic_load(&worker->status.can_decide) &&
                   atomic_load(&worker->status.can_log) && atomic_load(&worker->status.can_spool);
    char line[512], now[40];

    snprintf(line, sizeof line,
             "{\"status\": \"%s\", \"service\": \"webhook-traffic-router\", \"version\": \"%s\", "
             "\"routing\": {\"percentage\": ",
             healthy ? "healthy" : "degraded", WEBHOOK_ROUTING_VERSION);
    put(&text, line, strlen(line));
    if (config == NULL)
        snprintf(line, sizeof line, "null, \"enabled\": null, \"domains\": [");
    else
        snprintf(line, sizeof line, "%g, \"enabled\": %s, \"domains\": [",
                 config->percentage / 100.0, config->enabled ? "true" : "false");
    put(&text, line, strlen(line));
    if (worker->ruleset != NULL)
        put_domains(&text, worker->ruleset);
    log_timestamp(now, sizeof now);
    snprintf(line, sizeof line, "]}, \"timestamp\": \"%s\"}\n", now);
    put(&text, line, strlen(line));
    if (text.good)
        reply_bytes(request, 200, "application/json", request->reply.data, request->reply.length);
    else
        reply_refuse(request, REFUSAL_MEMORY, 503, "out of memory");
}
