/* SPDX-License-Identifier: PostgreSQL
 *
 * upstream_url.c: the URLs of functions, taken apart once by libcurl's own parser: into what a
 * request to them begins with, and their origin (RFC 6454: scheme, host, port), whose kept
 * connections all URLs of it share.
 *
 * There are as many as there are functions, so a list will do. A URL that the rules no longer name
 * falls out once the list is long: the one that has gone unused for longest. An origin lives as
 * long as a URL or a connection is its.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "forwarder.h"

#define KEPT_URLS 64
/* A name in another script is asked for in the letters of DNS; libcurl says them since 7.88. */
#ifdef CURLU_PUNYCODE
#define HOST_FLAGS CURLU_PUNYCODE
#else
#define HOST_FLAGS 0
#endif

/* ---- origins ---- */

/* The one of that text, held once more; NULL when memory is used up. */
static struct upstream_origin *origin_of(struct worker *worker, const char *text, bool tls)
{
    struct upstream_origin *origin = worker->origins;
    size_t size = strlen(text) + 1;

    while (origin != NULL && strcmp(origin->url, text) != 0)
        origin = origin->next;
    if (origin == NULL && (origin = calloc(1, sizeof *origin + size)) != NULL)
    {
        memcpy(origin->url, text, size);
        origin->tls = tls;
        origin->next = worker->origins;
        worker->origins = origin;
    }
    if (origin != NULL)
        origin->holders++;
    return origin;
}

void upstream_leave_origin(struct worker *worker, struct upstream_origin *origin)
{
    struct upstream_origin **at = &worker->origins;

    if (origin == NULL || --origin->holders > 0)
        return;
    while (*at != origin)
        at = &(*at)->next;
    *at = origin->next;
    free(origin);
}

/* ---- taking a URL apart ---- */

struct parts
{
    CURLU *parsed;
    char *scheme, *host, *port, *path, *query, *user, *password;
    char *origin;
};

static void parts_free(struct parts *parts)
{
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->port);
    curl_free(parts->path);
    curl_free(parts->query);
    curl_free(parts->user);
    curl_free(parts->password);
    curl_free(parts->origin);
    curl_url_cleanup(parts->parsed);
}

/* A part that may be absent: NULL then. */
static bool optional_part(CURLU *parsed, CURLUPart part, char **text, unsigned flags,
                          CURLUcode none)
{
    CURLUcode code = curl_url_get(parsed, part, text, flags);

    return code == CURLUE_OK || code == none;
}

/* What is left of the URL is its origin. */
static bool parts_strip(struct parts *parts)
{
    static const CURLUPart REST[] = {CURLUPART_USER,  CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                     CURLUPART_QUERY, CURLUPART_FRAGMENT, CURLUPART_PATH};

    for (size_t i = 0; i < sizeof REST / sizeof *REST; i++)
        if (curl_url_set(parts->parsed, REST[i], NULL, 0) != CURLUE_OK)
            return false;
    return curl_url_get(parts->parsed, CURLUPART_URL, &parts->origin, CURLU_DEFAULT_PORT) ==
           CURLUE_OK;
}

static bool parts_read(struct parts *parts, const char *text)
{
    CURLU *parsed = curl_url();

    *parts = (struct parts){.parsed = parsed};
    return parsed != NULL && curl_url_set(parsed, CURLUPART_URL, text, 0) == CURLUE_OK &&
           curl_url_get(parsed, CURLUPART_SCHEME, &parts->scheme, 0) == CURLUE_OK &&
           curl_url_get(parsed, CURLUPART_HOST, &parts->host, HOST_FLAGS) == CURLUE_OK &&
           optional_part(parsed, CURLUPART_PORT, &parts->port, CURLU_NO_DEFAULT_PORT,
                         CURLUE_NO_PORT) &&
           curl_url_get(parsed, CURLUPART_PATH, &parts->path, 0) == CURLUE_OK &&
           optional_part(parsed, CURLUPART_QUERY, &parts->query, 0, CURLUE_NO_QUERY) &&
           optional_part(parsed, CURLUPART_USER, &parts->user, CURLU_URLDECODE, CURLUE_NO_USER) &&
           optional_part(parsed, CURLUPART_PASSWORD, &parts->password, CURLU_URLDECODE,
                         CURLUE_NO_PASSWORD) &&
           (strcmp(parts->scheme, "http") == 0 || strcmp(parts->scheme, "https") == 0) &&
           parts_strip(parts);
}

/* RFC 7617: user and password of the URL, as the value of Authorization. "" without any. */
static bool put_authorization(const struct parts *parts, char *text, size_t size)
{
    char pair[512];
    int length;

    *text = '\0';
    if (parts->user == NULL && parts->password == NULL)
        return true;
    length = snprintf(pair, sizeof pair, "%s:%s", parts->user == NULL ? "" : parts->user,
                      parts->password == NULL ? "" : parts->password);
    if (length >= (int) sizeof pair || size < sizeof "Basic " + ((size_t) length + 2) / 3 * 4)
        return false;
    strcpy(text, "Basic ");
    EVP_EncodeBlock((unsigned char *) text + strlen(text), (const unsigned char *) pair, length);
    explicit_bzero(pair, sizeof pair);
    return true;
}

/* Request line and Host (RFC 9112 3.2.1, RFC 9110 7.2). */
static int put_start(const struct parts *parts, char *text, size_t size)
{
    return snprintf(text, size, "POST %s%s%s HTTP/1.1\r\nHost: %s%s%s\r\n", parts->path,
                    parts->query == NULL ? "" : "?", parts->query == NULL ? "" : parts->query,
                    parts->host, parts->port == NULL ? "" : ":",
                    parts->port == NULL ? "" : parts->port);
}

/* ---- the list ---- */

static void url_free(struct worker *worker, struct upstream_url *url)
{
    upstream_leave_origin(worker, url->origin);
    explicit_bzero(url->authorization, sizeof url->authorization);
    free(url->start);
    free(url);
}

static bool url_fill(struct worker *worker, struct upstream_url *url, const struct parts *parts)
{
    int length = put_start(parts, NULL, 0);

    if (length < 0 || !put_authorization(parts, url->authorization, sizeof url->authorization) ||
        (url->start = malloc((size_t) length + 1)) == NULL)
        return false;
    put_start(parts, url->start, (size_t) length + 1);
    url->start_length = (size_t) length;
    url->origin = origin_of(worker, parts->origin, strcmp(parts->scheme, "https") == 0);
    return url->origin != NULL;
}

static struct upstream_url *url_make(struct worker *worker, const char *text)
{
    size_t size = strlen(text) + 1;
    struct upstream_url *url = calloc(1, sizeof *url + size);
    struct parts parts;
    bool good;

    if (url == NULL)
        return NULL;
    memcpy(url->text, text, size);
    good = parts_read(&parts, text) && url_fill(worker, url, &parts);
    parts_free(&parts);
    if (good)
        return url;
    url_free(worker, url);
    return NULL;
}

/* Frees the last one when there are too many. */
static void urls_trim(struct worker *worker)
{
    struct upstream_url **at = &worker->urls, *url;
    size_t count = 0;

    for (; *at != NULL && (*at)->next != NULL; at = &(*at)->next)
        count++;
    if (count + 1 < KEPT_URLS || (url = *at) == NULL)
        return;
    *at = NULL;
    url_free(worker, url);
}

const struct upstream_url *upstream_url_of(struct worker *worker, const char *text)
{
    struct upstream_url **at = &worker->urls, *url;

    while (*at != NULL && strcmp((*at)->text, text) != 0)
        at = &(*at)->next;
    url = *at;
    if (url != NULL)
        *at = url->next;
    else
    {
        urls_trim(worker);
        if ((url = url_make(worker, text)) == NULL)
            return NULL;
    }
    url->next = worker->urls;
    worker->urls = url;
    return url;
}

void upstream_forget_urls(struct worker *worker)
{
    struct upstream_url *url;

    while ((url = worker->urls) != NULL)
    {
        worker->urls = url->next;
        url_free(worker, url);
    }
}
