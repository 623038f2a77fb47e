/* SPDX-License-Identifier: PostgreSQL
 *
 * little_endian.h: integers in the files of the spool, at any place. Writers return what is behind.
 */
#ifndef LITTLE_ENDIAN_H
#define LITTLE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint8_t *put16(uint8_t *to, uint16_t value)
{
    value = htole16(value);
    return (uint8_t *) memcpy(to, &value, sizeof value) + sizeof value;
}

static inline uint8_t *put32(uint8_t *to, uint32_t value)
{
    value = htole32(value);
    return (uint8_t *) memcpy(to, &value, sizeof value) + sizeof value;
}

static inline uint8_t *put64(uint8_t *to, uint64_t value)
{
    value = htole64(value);
    return (uint8_t *) memcpy(to, &value, sizeof value) + sizeof value;
}

static inline uint16_t get16(const uint8_t *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof value);
    return le16toh(value);
}

static inline uint32_t get32(const uint8_t *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static inline uint64_t get64(const uint8_t *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

#endif /* LITTLE_ENDIAN_H */
