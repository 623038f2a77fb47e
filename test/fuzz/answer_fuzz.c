/* SPDX-License-Identifier: PostgreSQL
 *
 * answer_fuzz.c: any bytes as a function's answer. However they arrive, they are read as the same
 * answer, which ends at the same place; reading never stops before its end, and a body is as long
 * as its header says. The first byte says in what pieces they arrive.
 *
 *     build/fuzz/answer_fuzz CORPUS test/fuzz/corpus/answer
 */
#include "require.h"

#include <string.h>

#include "../../forwarder/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct got
{
    struct answer_reader reader;
    char *body;
    size_t body_length, taken;
    uint64_t announced; /* what Content-Length said when the body began */
};

/* Pieces lie on the heap, each alone, so that reading on is noticed. */
static size_t read_piece(struct got *got, const char *text, size_t length)
{
    bool begins = got->reader.state == ANSWER_FIELDS;
    char *copy = malloc(length);
    const char *body;
    size_t used, part;

    REQUIRE(copy != NULL);
    memcpy(copy, text, length);
    used = answer_read(&got->reader, copy, length, &body, &part);
    REQUIRE(used <= length && part <= used);
    REQUIRE(part == 0 || (body >= copy && body + part <= copy + used));
    memcpy(got->body + got->body_length, body, part);
    got->body_length += part;
    if (begins && got->reader.state == ANSWER_BODY)
        got->announced = got->reader.left;
    free(copy);
    return used;
}

static void read_in(struct got *got, const char *text, size_t length, size_t step)
{
    memset(got, 0, sizeof *got);
    got->body = malloc(length + 1);
    REQUIRE(got->body != NULL);
    answer_begin(&got->reader);
    while (got->taken < length)
    {
        size_t piece = length - got->taken < step ? length - got->taken : step;
        size_t used = read_piece(got, text + got->taken, piece);

        got->taken += used;
        if (got->reader.state == ANSWER_COMPLETE || got->reader.state == ANSWER_BAD)
            break;
        REQUIRE(used > 0);
    }
    if (got->reader.state != ANSWER_COMPLETE && got->reader.state != ANSWER_BAD)
        answer_end(&got->reader);
    REQUIRE(got->reader.state == ANSWER_COMPLETE || got->reader.state == ANSWER_BAD);
}

static void check_complete(const struct got *got)
{
    const struct answer_reader *reader = &got->reader;

    REQUIRE(reader->status >= 200 && reader->status <= 999);
    REQUIRE(!(reader->has_length && reader->chunked));
    REQUIRE(strlen(reader->content_type) < sizeof reader->content_type);
    REQUIRE(strpbrk(reader->content_type, "\r\n\t") == NULL);
    REQUIRE(strlen(reader->content_encoding) < sizeof reader->content_encoding);
    REQUIRE(strpbrk(reader->content_encoding, "\r\n\t") == NULL);
    REQUIRE(got->announced == 0 || got->announced == got->body_length);
    if (reader->status == 204 || reader->status == 304)
        REQUIRE(got->body_length == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct got whole, pieces;
    const char *text = (const char *) data + 1;

    if (size < 2)
        return 0;
    read_in(&whole, text, size - 1, size);
    read_in(&pieces, text, size - 1, (size_t) data[0] % 32 + 1);
    REQUIRE(whole.reader.state == pieces.reader.state);
    if (whole.reader.state == ANSWER_COMPLETE)
    {
        check_complete(&whole);
        check_complete(&pieces);
        REQUIRE(whole.taken == pieces.taken && whole.body_length == pieces.body_length);
        REQUIRE(memcmp(whole.body, pieces.body, whole.body_length) == 0);
        REQUIRE(whole.reader.status == pieces.reader.status);
        REQUIRE(answer_keeps(&whole.reader) == answer_keeps(&pieces.reader));
        REQUIRE(strcmp(whole.reader.content_type, pieces.reader.content_type) == 0);
    }
    free(whole.body);
    free(pieces.body);
    return 0;
}
