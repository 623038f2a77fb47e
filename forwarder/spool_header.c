/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_header.c: the header and the name of a segment; see spool_inside.h for the format. Pure.
 */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "forwarder.h"
#include "little_endian.h"
#include "spool_inside.h"

/* ---- the header ---- */

static const uint8_t SEGMENT_MAGIC[8] = {'w', 'h', 's', 'p', 'o', 'o', 'l', '\n'};

void segment_put_header(uint8_t header[SEGMENT_HEADER], const uint8_t id[16], int worker,
                        int64_t created_us)
{
    memset(header, 0, SEGMENT_HEADER);
    memcpy(header, SEGMENT_MAGIC, 8);
    put32(header + 8, SEGMENT_VERSION);
    put32(header + 12, SEGMENT_HEADER);
    memcpy(header + 16, id, 16);
    put32(header + 32, (uint32_t) worker);
    put64(header + 40, (uint64_t) created_us);
    put64(header + 56, XXH3_64bits(header, 56));
}

/* Every version's header is 64 bytes with these fields. */
enum segment_header_kind segment_read_header(const uint8_t *data, size_t size, uint8_t id[16])
{
    if (size < SEGMENT_HEADER || memcmp(data, SEGMENT_MAGIC, 8) != 0 ||
        get64(data + 56) != XXH3_64bits(data, 56))
        return SEGMENT_NO_HEADER;
    memcpy(id, data + 16, 16);
    return get32(data + 8) == SEGMENT_VERSION ? SEGMENT_GOOD : SEGMENT_OTHER_VERSION;
}

/* ---- the name ---- */

void segment_name_of(const uint8_t id[16], char name[SEGMENT_NAME])
{
    identity_print(id, name);
    memcpy(name + 36, SEGMENT_SUFFIX, sizeof SEGMENT_SUFFIX);
}

static int hex_value(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                          : -1;
}

bool segment_parse_name(const char *name, uint8_t id[16])
{
    char again[SEGMENT_NAME];
    int nibbles = 0;

    if (strlen(name) != 36 + sizeof SEGMENT_SUFFIX - 1)
        return false;
    memset(id, 0, 16);
    for (int i = 0; i < 36 && nibbles < 32; i++)
        if (hex_value(name[i]) >= 0)
        {
            id[nibbles / 2] = (uint8_t) (id[nibbles / 2] << 4 | hex_value(name[i]));
            nibbles++;
        }
    segment_name_of(id, again);
    return strcmp(name, again) == 0;
}
