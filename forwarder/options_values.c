/* SPDX-License-Identifier: PostgreSQL
 *
 * options_values.c: values of settings as people write them. Pure.
 */
#include <stdlib.h>
#include <string.h>

#include "options.h"

/* A non-negative decimal number of at most 15 digits and the text after it. */
static bool parse_number(const char *text, uint64_t *number, const char **rest)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 15)
        return false;
    *number = strtoull(text, NULL, 10);
    *rest = text + digits;
    return true;
}

bool options_parse_duration(const char *text, uint64_t *microseconds)
{
    static const struct
    {
        const char *unit;
        uint64_t factor;
    } UNITS[] = {{"ms", 1000}, {"s", 1000000}, {"min", 60000000}, {"h", 3600000000u}};
    const char *unit;
    uint64_t number;

    if (!parse_number(text, &number, &unit) || number == 0 || number > 86400000)
        return false;
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (strcmp(unit, UNITS[i].unit) == 0)
        {
            *microseconds = number * UNITS[i].factor;
            return *microseconds <= 86400000000u;
        }
    return false;
}

bool options_parse_size(const char *text, size_t *bytes)
{
    static const struct
    {
        const char *unit;
        uint64_t factor;
    } UNITS[] = {{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    const char *unit;
    uint64_t number;

    if (!parse_number(text, &number, &unit) || number == 0 || number > (uint64_t) 1 << 34)
        return false;
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (strcmp(unit, UNITS[i].unit) == 0)
        {
            *bytes = number * UNITS[i].factor;
            return *bytes <= (size_t) 1 << 34;
        }
    return false;
}

bool options_parse_count(const char *text, unsigned *count)
{
    const char *rest;
    uint64_t number;

    if (!parse_number(text, &number, &rest) || *rest != '\0' || number == 0 || number > 10000000)
        return false;
    *count = (unsigned) number;
    return true;
}

bool options_parse_address(const char *text, char *host, size_t host_size, char *port,
                           size_t port_size)
{
    const char *colon = strrchr(text, ':'), *start = text;
    size_t length;
    unsigned number = 0;

    if (colon == NULL || (strcmp(colon, ":0") != 0 && !options_parse_count(colon + 1, &number)) ||
        number > 65535 || strlen(colon + 1) >= port_size)
        return false;
    length = (size_t) (colon - text);
    if (length >= 2 && text[0] == '[' && colon[-1] == ']')
    {
        start++;
        length -= 2;
    }
    else if (memchr(text, ':', length) != NULL)
        return false; /* a V6 address needs its brackets */
    if (length >= host_size)
        return false;
    memcpy(host, start, length);
    host[length] = '\0';
    strcpy(port, colon + 1);
    return true;
}
