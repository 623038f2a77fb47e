/* SPDX-License-Identifier: PostgreSQL
 *
 * upstream_url.c: the URLs of functions, parsed once. From text libcurl parses a URL anew for every
 * transfer and puts it together again, a tenth of all instructions of a relayed webhook; one that
 * is parsed it copies.
 *
 * There are as many as there are functions, so a list will do. A URL that the rules no longer name
 * falls out once the list is long: the one that has gone unused for longest, never one that a
 * transfer may still look at.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

#define KEPT_URLS 64

struct upstream_url
{
    struct upstream_url *next; /* used before this one */
    CURLU *parsed;
    unsigned users; /* handles that are set to it */
    char text[];
};

static void url_free(struct upstream_url *url)
{
    curl_url_cleanup(url->parsed);
    free(url);
}

/* The flags are those with which libcurl reads CURLOPT_URL. */
static struct upstream_url *url_parse(const char *text)
{
    size_t size = strlen(text) + 1;
    struct upstream_url *url = calloc(1, sizeof *url + size);

    if (url == NULL)
        return NULL;
    memcpy(url->text, text, size);
    url->parsed = curl_url();
    if (url->parsed != NULL && curl_url_set(url->parsed, CURLUPART_URL, text,
                                            CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME) == 0)
        return url;
    url_free(url);
    return NULL;
}

/* Frees the last one without users when there are too many. */
static void urls_trim(struct worker *worker)
{
    struct upstream_url **last = NULL, *url;
    size_t count = 0;

    for (struct upstream_url **at = &worker->urls; *at != NULL; at = &(*at)->next)
    {
        count++;
        if ((*at)->users == 0)
            last = at;
    }
    if (count < KEPT_URLS || last == NULL)
        return;
    url = *last;
    *last = url->next;
    url_free(url);
}

/* The one with that text, which becomes the first; NULL when it is none, or memory is used up. */
static struct upstream_url *url_of(struct worker *worker, const char *text)
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
        if ((url = url_parse(text)) == NULL)
            return NULL;
    }
    url->next = worker->urls;
    worker->urls = url;
    return url;
}

bool upstream_point(struct upstream *upstream, const char *text)
{
    upstream->url = url_of(upstream->delivery->worker, text);
    /* A URL that cannot be parsed is libcurl's to complain about, as an attempt that failed. */
    if (upstream->url == NULL)
        return curl_easy_setopt(upstream->easy, CURLOPT_URL, text) == CURLE_OK;
    upstream->url->users++;
    return curl_easy_setopt(upstream->easy, CURLOPT_CURLU, upstream->url->parsed) == CURLE_OK;
}

void upstream_unpoint(struct upstream *upstream)
{
    if (upstream->url == NULL)
        return;
    curl_easy_setopt(upstream->easy, CURLOPT_CURLU, NULL);
    upstream->url->users--;
    upstream->url = NULL;
}

void upstream_forget_urls(struct worker *worker)
{
    struct upstream_url *url;

    while ((url = worker->urls) != NULL)
    {
        worker->urls = url->next;
        url_free(url);
    }
}
