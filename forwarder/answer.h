/* SPDX-License-Identifier: PostgreSQL
 *
 * answer.h: a function's answer, read as it arrives (RFC 9112). Pure: no socket, no memory of its
 * own. What does not frame itself beyond doubt is refused: a function's answer that could be read
 * in two ways must not be relayed as a complete one.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the header with all interim ones, and of the lines around chunks: beyond it refused. */
#define ANSWER_LINES_MOST ((size_t) 256 << 10)
/* Bytes of a line that are looked at; a longer one must be of no interest. */
#define ANSWER_LINE_LIMIT 1024

enum answer_state
{
    ANSWER_STATUS,      /* in a status line */
    ANSWER_FIELDS,      /* in the header fields */
    ANSWER_BODY,        /* in a body of known length */
    ANSWER_BODY_TO_END, /* in a body that the end of the connection ends */
    ANSWER_CHUNK_SIZE,  /* in the line in front of a chunk */
    ANSWER_CHUNK,       /* in a chunk */
    ANSWER_CHUNK_END,   /* in the CRLF behind it */
    ANSWER_TRAILER,     /* in the fields behind the last chunk */
    ANSWER_COMPLETE,
    ANSWER_BAD /* `problem` says why */
};

struct answer_reader
{
    enum answer_state state;
    unsigned status;     /* of the last status line */
    const char *problem; /* when BAD: a literal */
    bool old;            /* HTTP/1.0 */
    bool has_length, chunked;
    bool closes, keeps; /* what Connection says */
    bool ours;          /* the last field was one that is looked at */
    uint64_t left;      /* bytes of the body, or of the chunk, still to come */
    size_t lines;       /* bytes of lines so far */
    size_t line_length; /* of a line that has come in part */
    bool line_cut;      /* ... that is longer than ANSWER_LINE_LIMIT */
    char line[ANSWER_LINE_LIMIT];
    char content_type[256]; /* "" without one, or when it does not fit */
    char content_encoding[64];
};

void answer_begin(struct answer_reader *reader);
/* Reads on; returns how many of the bytes it took, at least one unless COMPLETE or BAD. Those of
 * the body among them are *body_length from *body on, one piece a call. */
size_t answer_read(struct answer_reader *reader, const char *bytes, size_t length,
                   const char **body, size_t *body_length);
/* The connection has ended: COMPLETE or BAD from now on. */
void answer_end(struct answer_reader *reader);
/* Whether the connection can take another request, once the answer is COMPLETE. */
bool answer_keeps(const struct answer_reader *reader);

#endif /* ANSWER_H */
