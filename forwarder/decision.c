/* SPDX-License-Identifier: PostgreSQL
 *
 * decision.c: a decision out of an answer of the database: one column, a row in binary. libpq takes
 * an answer apart column by column, with their names, for each question anew: fifteen columns are
 * three times the work of one that holds them all. The layout is record_send()'s: how many columns,
 * then of each the oid of its type, its length, -1 for null, and its bytes as its type sends them;
 * integers in network order.
 */
#include <endian.h>
#include <string.h>

#include "forwarder.h"
#include "text.h"

/*  X(CONSTANT, column, oid of its type) in the order of route_decide()'s OUT parameters, before the
 *  last */
#define COLUMNS(X)                                                                                 \
    X(WEBHOOK, webhook_name, OID_TEXT)                                                             \
    X(URL, target_url, OID_TEXT)                                                                   \
    X(SIDE, routed_to, OID_TEXT)                                                                   \
    X(DOMAIN, domain, OID_TEXT)                                                                    \
    X(REASON, reason, OID_TEXT)                                                                    \
    X(MATCHED, matched, OID_TEXT)                                                                  \
    X(BUCKET, bucket, OID_INT4)                                                                    \
    X(PERCENTAGE, percentage, OID_NUMERIC)                                                         \
    X(FROM, from_number, OID_TEXT)                                                                 \
    X(MESSAGE, message_id, OID_TEXT)                                                               \
    X(TYPE, message_type, OID_TEXT)                                                                \
    X(FALLBACK_WEBHOOK, fallback_webhook, OID_TEXT)                                                \
    X(FALLBACK_URL, fallback_url, OID_TEXT)                                                        \
    X(CONFIG, config_id, OID_UUID)

enum column
{
#define X(constant, column, type) constant,
    COLUMNS(X)
#undef X
        VERSION,
    COLUMN_COUNT
};

static const uint32_t TYPES[COLUMN_COUNT] = {
#define X(constant, column, type) type,
    COLUMNS(X)
#undef X
        OID_INT8};

/* Not in FROM: there the server would keep the row, and take it apart again. */
const char DECISION_STATEMENT[] = "SELECT route_decide($1, $2)";
#define X(constant, column, type) #column ", "
const char DECISION_ITEMS_STATEMENT[] =
    "SELECT ROW(" COLUMNS(X) "config_version) FROM route_decide_items($1, $2) ORDER BY item";
#undef X

/* ---- the row ---- */

struct reader
{
    const char *at;
    size_t left;
};

static bool take_word(struct reader *reader, uint32_t *word)
{
    if (reader->left < sizeof *word)
        return false;
    memcpy(word, reader->at, sizeof *word);
    *word = be32toh(*word);
    reader->at += sizeof *word;
    reader->left -= sizeof *word;
    return true;
}

static bool take_column(struct reader *reader, uint32_t expected, route_text *value)
{
    uint32_t type, length;

    if (!take_word(reader, &type) || !take_word(reader, &length) || type != expected)
        return false;
    *value = (route_text){NULL, 0};
    if (length == UINT32_MAX)
        return true;
    if (length > reader->left)
        return false;
    *value = (route_text){reader->at, length};
    reader->at += length;
    reader->left -= length;
    return true;
}

/* What comes after the columns that we know is of a later version of the extension. */
static bool take_row(struct reader *reader, route_text values[COLUMN_COUNT])
{
    uint32_t count;

    if (!take_word(reader, &count) || count < COLUMN_COUNT)
        return false;
    for (int i = 0; i < COLUMN_COUNT; i++)
        if (!take_column(reader, TYPES[i], &values[i]))
            return false;
    return true;
}

/* ---- values ---- */

/* int4 and int8; `absent` for null. */
static bool read_integer(route_text value, size_t size, int64_t absent, int64_t *integer)
{
    uint64_t bits = 0;

    *integer = absent;
    if (value.data == NULL)
        return true;
    if (value.length != size)
        return false;
    for (size_t i = 0; i < size; i++)
        bits = bits << 8 | (unsigned char) value.data[i];
    *integer = (int64_t) bits;
    return true;
}

/* numeric_send(): count of digits to base 10000, weight of the first, sign, decimals, digits. A
 * percentage with two decimals; -1 for null. */
static bool read_hundredths(route_text value, int *hundredths)
{
    uint16_t head[4], digit;
    int weight;

    *hundredths = -1;
    if (value.data == NULL)
        return true;
    if (value.length < sizeof head)
        return false;
    memcpy(head, value.data, sizeof head);
    weight = (int16_t) be16toh(head[1]);
    if (value.length != sizeof head + be16toh(head[0]) * sizeof digit || head[2] != 0 || weight > 0)
        return false;
    *hundredths = 0;
    for (size_t at = sizeof head; at < value.length && weight >= -1; at += sizeof digit, weight--)
    {
        memcpy(&digit, value.data + at, sizeof digit);
        digit = be16toh(digit);
        *hundredths += weight == 0 ? digit * 100 : digit / 100;
    }
    return true;
}

static route_side side_of(route_text name)
{
    return text_is(name, route_side_name(ROUTE_UNIFIED)) ? ROUTE_UNIFIED : ROUTE_LEGACY;
}

bool decision_read(route_text row, struct decided *decided, int64_t *config_version)
{
    struct reader reader = {row.data, row.length};
    route_text values[COLUMN_COUNT];
    int64_t bucket;

    if (!take_row(&reader, values) || values[WEBHOOK].data == NULL || values[REASON].data == NULL ||
        values[SIDE].data == NULL)
        return false;
    *decided = (struct decided){.webhook = values[WEBHOOK],
                                .url = values[URL],
                                .fallback_webhook = values[FALLBACK_WEBHOOK],
                                .fallback_url = values[FALLBACK_URL],
                                .domain = values[DOMAIN],
                                .reason = values[REASON],
                                .from_number = values[FROM],
                                .message_id = values[MESSAGE],
                                .message_type = values[TYPE],
                                .side = side_of(values[SIDE])};
    if (!read_integer(values[BUCKET], sizeof(int32_t), -1, &bucket) ||
        !read_hundredths(values[PERCENTAGE], &decided->percentage) ||
        !read_integer(values[VERSION], sizeof(int64_t), 0, config_version))
        return false;
    decided->bucket = (int) (int32_t) bucket;
    return true;
}
