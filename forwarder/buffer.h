/* SPDX-License-Identifier: PostgreSQL
 *
 * buffer.h: growing bytes whose memory counts against --max-buffer (limits.c).
 */
#ifndef BUFFER_H
#define BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "loop.h"

struct worker;

struct buffer
{
    char *data;
    size_t length;
    size_t room;
    bool arrives; /* from a client: leaves `kept_buffer` to what is in hand already */
};

/* Makes room for `room` bytes in all; false when memory or --max-buffer is used up. */
MUST_CHECK bool buffer_reserve(struct worker *worker, struct buffer *buffer, size_t room);
MUST_CHECK bool buffer_append(struct worker *worker, struct buffer *buffer, const void *data,
                              size_t length);
/* Gives back the memory that its bytes do not need. */
void buffer_trim(struct worker *worker, struct buffer *buffer);
/* Empties it; gives memory beyond `kept` bytes back. */
void buffer_reset(struct worker *worker, struct buffer *buffer, size_t kept);

#endif /* BUFFER_H */
