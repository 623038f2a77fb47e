/* SPDX-License-Identifier: PostgreSQL
 *
 * limits.c: what bounds memory, and which addresses are no place for a function.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

/* ---- buffers ---- */

bool buffer_reserve(struct worker *worker, struct buffer *buffer, size_t room)
{
    size_t kept = buffer->arrives ? worker->kept_buffer : 0;
    char *data;

    if (room <= buffer->room)
        return true;
    if (worker->buffered + (room - buffer->room) > worker->max_buffer - kept)
        return false;
    data = realloc(buffer->data, room);
    if (data == NULL)
        return false;
    worker->buffered += room - buffer->room;
    buffer->data = data;
    buffer->room = room;
    return true;
}

bool buffer_append(struct worker *worker, struct buffer *buffer, const void *data, size_t length)
{
    if (length > buffer->room - buffer->length)
    {
        size_t room = buffer->room < 1024 ? 1024 : buffer->room * 2;

        if (room < buffer->length + length)
            room = buffer->length + length;
        /* The last bytes of --max-buffer are for those who need no more than these. */
        if (!buffer_reserve(worker, buffer, room) &&
            !buffer_reserve(worker, buffer, buffer->length + length))
            return false;
    }
    if (length > 0)
        memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    return true;
}

void buffer_trim(struct worker *worker, struct buffer *buffer)
{
    char *data;

    if (buffer->length == 0 || buffer->length == buffer->room ||
        (data = realloc(buffer->data, buffer->length)) == NULL)
        return;
    worker->buffered -= buffer->room - buffer->length;
    buffer->data = data;
    buffer->room = buffer->length;
}

void buffer_reset(struct worker *worker, struct buffer *buffer, size_t kept)
{
    buffer->length = 0;
    if (buffer->room <= kept)
        return;
    worker->buffered -= buffer->room;
    free(buffer->data);
    buffer->data = NULL;
    buffer->room = 0;
}

/* ---- addresses: what extension/install/22_rule_checks.sql refuses in a URL, and more ---- */

static const char *refused_v4(uint32_t address)
{
    if (address >> 16 == 0xa9fe) /* 169.254.0.0/16, where clouds keep their metadata too */
        return "link-local address";
    if (address == 0x646464c8 || address == 0xc00000c0) /* 100.100.100.200, 192.0.0.192 */
        return "metadata address";
    if (address >> 24 == 0 || address >> 28 >= 0xe) /* 0/8; multicast, reserved, broadcast */
        return "not a host's address";
    return NULL;
}

static const char *refused_v6(const struct in6_addr *address)
{
    static const uint8_t AWS_METADATA[16] = {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
    static const uint8_t NAT64[12] = {0, 0x64, 0xff, 0x9b};
    uint32_t low;

    memcpy(&low, address->s6_addr + 12, sizeof low);
    if (IN6_IS_ADDR_V4MAPPED(address) || memcmp(address->s6_addr, NAT64, sizeof NAT64) == 0)
        return refused_v4(ntohl(low));
    if (IN6_IS_ADDR_LINKLOCAL(address))
        return "link-local address";
    if (memcmp(address->s6_addr, AWS_METADATA, sizeof AWS_METADATA) == 0)
        return "metadata address";
    if (IN6_IS_ADDR_MULTICAST(address) || IN6_IS_ADDR_UNSPECIFIED(address))
        return "not a host's address";
    return NULL;
}

const char *limits_refused_address(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return refused_v4(
            ntohl(((const struct sockaddr_in *) (const void *) address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return refused_v6(&((const struct sockaddr_in6 *) (const void *) address)->sin6_addr);
    return "unknown kind of address";
}
