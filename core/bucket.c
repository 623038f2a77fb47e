/* SPDX-License-Identifier: PostgreSQL
 *
 * bucket.c: sender key -> 0..9999, for ever.
 *
 * XXH64 is a fixed algorithm with published test vectors (xxHash fast digest algorithm, Y. Collet,
 * version 0.1.1 of its specification). The salt is its seed. Taking the upper 32 bits times 10,000,
 * shifted down, is a multiplication in fixed point: no modulo, and no bucket is more likely than
 * another by more than 10,000 / 2^32.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bucket.h"
#include "text.h"

/* Decoded bytes are hashed in pieces of this size. */
#define PIECE 256

static int32_t bucket_of_hash(uint64_t hash)
{
    return (int32_t) ((hash >> 32) * ROUTE_BUCKETS >> 32);
}

int32_t route_bucket(const void *sender_key, size_t length, uint64_t salt)
{
    return bucket_of_hash(XXH64(sender_key, length, salt));
}

/* Not inlined: gcc 12 sees overflows in the library's function that its state rules out. */
static __attribute__((noinline)) void update(XXH64_state_t *state, const uint8_t *piece,
                                             size_t length)
{
    XXH64_update(state, piece, length);
}

static int32_t bucket_of_escaped(const uint8_t *p, const uint8_t *end, uint64_t salt)
{
    XXH64_state_t state;
    uint8_t piece[PIECE];
    size_t length = 0;

    XXH64_reset(&state, salt);
    while (p < end)
    {
        uint32_t character;

        p = route_json_character(p, end, &character);
        length += route_utf8_encode(character, piece + length);
        if (length > PIECE - ROUTE_UTF8_MAX)
        {
            update(&state, piece, length);
            length = 0;
        }
    }
    update(&state, piece, length);
    return bucket_of_hash(XXH64_digest(&state));
}

int32_t route_bucket_of_string(const route_document *document, route_value string, uint64_t salt)
{
    const uint8_t *begin = route_string_begin(document, string);
    const uint8_t *end = route_string_end(document, string);

    if (route_is_escaped(string))
        return bucket_of_escaped(begin, end, salt);
    return route_bucket(begin, (size_t) (end - begin), salt);
}
