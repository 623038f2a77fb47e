/* SPDX-License-Identifier: PostgreSQL
 *
 * database_url.c: a connection string, looked at before libpq connects with it. What libpq says of
 * a bad one quotes it, and what it quotes can be a piece of the password: `missing "=" after
 * "..."`, or a host or a port that is the end of a password which nobody has percent-encoded. So a
 * bad one is no connection string, and what is said of it here quotes nothing. Pure.
 */
#include <string.h>

#include "forwarder.h"

#define ENCODE                                                                                     \
    "in a URL, a password's @ / and % have to be percent-encoded (%40 %2F %25); in a keyword = "   \
    "value string, one that holds a space has to stand in single quotes"

/* Whether each element of a list, separated by commas, is good. */
static bool all_good(const char *list, bool (*good)(const char *text, size_t length))
{
    for (;;)
    {
        size_t length = strcspn(list, ",");

        if (!good(list, length))
            return false;
        if (list[length] == '\0')
            return true;
        list += length + 1;
    }
}

/* A name or an address; a socket's directory, which begins with / or @, can hold anything. */
static bool is_host(const char *text, size_t length)
{
    return length == 0 || *text == '/' || *text == '@' || memchr(text, '@', length) == NULL;
}

static bool is_port(const char *text, size_t length)
{
    return strspn(text, "0123456789") >= length && length <= 5;
}

/* NULL when every setting is good. */
static const char *check_settings(const PQconninfoOption *setting)
{
    for (; setting->keyword != NULL; setting++)
        if (setting->val == NULL)
            continue;
        else if (strcmp(setting->keyword, "host") == 0 && !all_good(setting->val, is_host))
            return "a host with an @: " ENCODE;
        else if (strcmp(setting->keyword, "port") == 0 && !all_good(setting->val, is_port))
            return "a port that is no number: " ENCODE;
    return NULL;
}

const char *database_url_problem(const char *url)
{
    PQconninfoOption *settings;
    const char *problem;
    char *message = NULL;

    /* What is neither of libpq's forms is the name of a database. */
    if (strncmp(url, "postgresql://", 13) != 0 && strncmp(url, "postgres://", 11) != 0 &&
        strchr(url, '=') == NULL)
        return NULL;
    settings = PQconninfoParse(url, &message);
    if (settings != NULL)
        problem = check_settings(settings);
    else if (message == NULL || strstr(message, "out of memory") != NULL)
        problem = "out of memory";
    else
        problem = "no connection string of PostgreSQL: " ENCODE;
    PQconninfoFree(settings);
    if (message != NULL)
        explicit_bzero(message, strlen(message));
    PQfreemem(message);
    return problem;
}
