/* SPDX-License-Identifier: PostgreSQL
 *
 * options_url.c: what is wrong with --functions-url, before a webhook meets it. A target's own URL
 * is looked at by the database (extension/install/22_rule_checks.sql). Pure.
 */
#include <ctype.h>
#include <netdb.h>
#include <string.h>

#include "forwarder.h"

/* The host of what comes between scheme and path, without the brackets of IPv6. False for none, or
 * for a port that is no number up to 65535. */
static bool take_host(const char *authority, size_t length, char *host, size_t size)
{
    const char *end = authority + length, *at = memrchr(authority, '@', length), *stop;
    unsigned port = 0;

    if (at != NULL)
        authority = at + 1;
    authority += *authority == '[';
    stop = memchr(authority, authority[-1] == '[' ? ']' : ':', (size_t) (end - authority));
    if (stop == NULL && authority[-1] != '[')
        stop = end;
    if (stop == NULL || stop == authority || (size_t) (stop - authority) >= size)
        return false;
    memcpy(host, authority, (size_t) (stop - authority));
    host[stop - authority] = '\0';
    stop += *stop == ']';
    if (stop == end)
        return true;
    if (*stop++ != ':' || end - stop > 5)
        return false;
    for (; stop < end && isdigit((unsigned char) *stop); stop++)
        port = port * 10 + (unsigned) (*stop - '0');
    return stop == end && port > 0 && port < 65536;
}

/* An address in any spelling that libraries read as one; names are looked at when connecting. */
static const char *refused_host(const char *host)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *address;
    const char *problem;

    if (getaddrinfo(host, NULL, &hints, &address) != 0)
        return NULL;
    problem = limits_refused_address(address->ai_addr);
    freeaddrinfo(address);
    return problem;
}

const char *options_url_problem(const char *url)
{
    size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    char host[256];

    if (scheme == 0)
        return "is no http:// or https:// URL";
    for (const char *at = url; *at != '\0'; at++)
        if ((unsigned char) *at <= ' ' || *at == 0x7f || *at == '\\')
            return "holds a space, a control character or a backslash";
    if (strpbrk(url, "?#") != NULL)
        return "has a query or a fragment, where the names of functions come";
    if (!take_host(url + scheme, strcspn(url + scheme, "/"), host, sizeof host))
        return "has no host, or a port that is none";
    return refused_host(host) == NULL ? NULL : "leads to an address that is no function's";
}

bool options_url_names_user(const char *url)
{
    const char *colon = strstr(url, "://");
    const char *authority = colon == NULL ? url : colon + 3;

    return memchr(authority, '@', strcspn(authority, "/?#")) != NULL;
}
