/* SPDX-License-Identifier: PostgreSQL
 *
 * uri.c: the request target, raw. A path is compared as it was sent: a name holds nothing that
 * needs encoding, so an encoded path is simply unknown, and a %00 or %2F can not mean anything.
 */
#include <string.h>
#include <strings.h>

#include "forwarder.h"

/* RFC 9112 3.2.2: the absolute form is accepted; the authority is not looked at. */
static const char *skip_authority(const char *target)
{
    if (strncasecmp(target, "http://", 7) == 0)
        target += 7;
    else if (strncasecmp(target, "https://", 8) == 0)
        target += 8;
    else
        return target;
    return target + strcspn(target, "/?");
}

bool uri_is_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", text[i]) ==
            NULL)
            return false;
    return length > 0 && length <= ROUTE_MAX_NAME_LENGTH && *text != '.';
}

void uri_read(const char *target, const char *prefix, struct uri *uri)
{
    const char *path = skip_authority(target);
    size_t length = strcspn(path, "?"), prefix_length = strlen(prefix);

    uri->kind = URI_UNKNOWN;
    uri->webhook[0] = '\0';
    uri->query = path[length] == '?' ? path + length + 1 : "";
    if (length < prefix_length || memcmp(path, prefix, prefix_length) != 0)
        return;
    path += prefix_length;
    length -= prefix_length;
    if (length == 0 || (length == 1 && *path == '/'))
        /* "" is the root of a prefix, or of an absolute form without a path; "*" is neither */
        uri->kind = URI_ROOT;
    else if (*path == '/' && uri_is_name(path + 1, length - 1))
    {
        uri->kind = URI_WEBHOOK;
        memcpy(uri->webhook, path + 1, length - 1);
        uri->webhook[length - 1] = '\0';
    }
}

/* ---- query ---- */

static int hex_digit(char digit)
{
    const char *digits = "0123456789abcdef", *found;

    if (digit == '\0')
        return -1;
    found = strchr(digits, digit | 0x20);
    return found == NULL || (digit < '0') ? -1 : (int) (found - digits);
}

/* Decodes up to `end` (application/x-www-form-urlencoded); false when it is not well-formed or too
 * long. */
static bool decode(const char *at, const char *end, char *value, size_t size, size_t *length)
{
    *length = 0;
    while (at < end)
    {
        char byte = *at++;

        if (*length + 1 >= size)
            return false;
        if (byte == '%')
        {
            int high = at < end ? hex_digit(at[0]) : -1;
            int low = high >= 0 && at + 1 < end ? hex_digit(at[1]) : -1;

            if (low < 0)
                return false;
            byte = (char) (high << 4 | low);
            at += 2;
        }
        else if (byte == '+')
            byte = ' ';
        value[(*length)++] = byte;
    }
    value[*length] = '\0';
    return true;
}

bool uri_parameter(const char *query, const char *name, char *value, size_t size, size_t *length)
{
    const char *at = query;
    size_t name_length = strlen(name);

    while (*at != '\0')
    {
        const char *end = at + strcspn(at, "&");
        const char *equals = memchr(at, '=', (size_t) (end - at));
        char key[64];
        size_t key_length;

        if (equals != NULL && decode(at, equals, key, sizeof key, &key_length) &&
            key_length == name_length && memcmp(key, name, name_length) == 0)
            return decode(equals + 1, end, value, size, length);
        at = *end == '&' ? end + 1 : end;
    }
    return false;
}
