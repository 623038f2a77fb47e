/* SPDX-License-Identifier: PostgreSQL
 *
 * rows.c: log rows as the binary arrays that store_routing_logs() takes, one array a column. Binary
 * costs no quoting and no parsing, and the text in it can hold anything but NUL. The layout is
 * array_recv()'s: dimensions, a flag for nulls, element type, length, lower bound, then each
 * element with its length in front, -1 for null; integers in network order.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

/* Microseconds from 1970 to 2000, where PostgreSQL's time begins. */
#define EPOCH_SHIFT_US 946684800000000

/*  X(parameter, element type, oid of the array type, encoder, field of struct outcome) in the order
 *  of store_routing_logs() */
#define COLUMNS(X)                                                                                 \
    X(1, UUID, 2951, put_uuid, id)                                                                 \
    X(2, TIMESTAMPTZ, 1185, put_time, created_us)                                                  \
    X(3, UUID, 2951, put_uuid, decision_id)                                                        \
    X(4, INT4, 1007, put_int, attempt)                                                             \
    X(5, INT4, 1007, put_int, item)                                                                \
    X(6, TEXT, 1009, put_text, webhook_name)                                                       \
    X(7, TEXT, 1009, put_text, domain)                                                             \
    X(8, TEXT, 1009, put_text, routed_to)                                                          \
    X(9, TEXT, 1009, put_text, reason)                                                             \
    X(10, INT4, 1007, put_optional, bucket)                                                        \
    X(11, NUMERIC, 1231, put_percentage, percentage)                                               \
    X(12, INT8, 1016, put_version, config_version)                                                 \
    X(13, TEXT, 1009, put_text, from_number)                                                       \
    X(14, TEXT, 1009, put_text, message_id)                                                        \
    X(15, TEXT, 1009, put_text, message_type)                                                      \
    X(16, TEXT, 1009, put_text, correlation_id)                                                    \
    X(17, INT4, 1007, put_status, http_status)                                                     \
    X(18, FLOAT8, 1022, put_elapsed, response_time_ms)                                             \
    X(19, TEXT, 1009, put_success, success)                                                        \
    X(20, TEXT, 1009, put_message, error_message)                                                  \
    X(21, BOOL, 1000, put_bool, ambiguous)

#define PARAMETERS                                                                                 \
    "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, " \
    "$21)"
const char ROWS_STATEMENT[] = "SELECT store_routing_logs" PARAMETERS;
const char ROWS_PENDING_STATEMENT[] = "SELECT store_routing_pending" PARAMETERS;

const Oid ROWS_TYPES[OUTCOME_COLUMNS] = {
#define X(parameter, type, array, put, field) array,
    COLUMNS(X)
#undef X
};

/* ---- elements ---- */

static bool put(struct rows_column *column, const void *bytes, size_t length)
{
    if (column->room - column->length < length)
    {
        size_t room = column->room * 2 + length + 1024;
        char *data = realloc(column->data, room);

        if (data == NULL)
            return false;
        column->data = data;
        column->room = room;
    }
    memcpy(column->data + column->length, bytes, length);
    column->length += length;
    return true;
}

static bool put_element(struct rows_column *column, const void *bytes, size_t length)
{
    uint32_t prefix = htobe32((uint32_t) length);

    return put(column, &prefix, sizeof prefix) && put(column, bytes, length);
}

static bool put_null(struct rows_column *column)
{
    return put(column, "\xff\xff\xff\xff", 4);
}

static bool put_uuid(struct rows_column *column, const uint8_t value[16])
{
    return put_element(column, value, 16);
}

static bool put_long(struct rows_column *column, int64_t value)
{
    uint64_t bytes = htobe64((uint64_t) value);

    return put_element(column, &bytes, sizeof bytes);
}

/* Versions begin with 1: where nothing was in force there is none. */
static bool put_version(struct rows_column *column, int64_t value)
{
    return value == 0 ? put_null(column) : put_long(column, value);
}

static bool put_time(struct rows_column *column, int64_t value)
{
    return put_long(column, value - EPOCH_SHIFT_US);
}

static bool put_int(struct rows_column *column, int value)
{
    uint32_t bytes = htobe32((uint32_t) value);

    return put_element(column, &bytes, sizeof bytes);
}

static bool put_optional(struct rows_column *column, int value)
{
    return value < 0 ? put_null(column) : put_int(column, value);
}

static bool put_status(struct rows_column *column, int value)
{
    return value == 0 ? put_null(column) : put_int(column, value);
}

static bool put_elapsed(struct rows_column *column, double value)
{
    uint64_t bytes;

    if (value < 0)
        return put_null(column);
    memcpy(&bytes, &value, sizeof bytes);
    bytes = htobe64(bytes);
    return put_element(column, &bytes, sizeof bytes);
}

static bool put_text(struct rows_column *column, const char *value)
{
    return value == NULL ? put_null(column) : put_element(column, value, strlen(value));
}

static bool put_message(struct rows_column *column, const char *value)
{
    return put_text(column, *value == '\0' ? NULL : value);
}

static bool put_success(struct rows_column *column, bool value)
{
    return put_text(column, value ? "success" : "error");
}

static bool put_bool(struct rows_column *column, bool value)
{
    return put_element(column, value ? "\1" : "\0", 1);
}

/* numeric_recv(): count of digits to base 10000, weight of the first, sign, decimals, digits. */
static bool put_percentage(struct rows_column *column, int hundredths)
{
    uint16_t numeric[6] = {htobe16(2), 0, 0, htobe16(2)};

    if (hundredths < 0)
        return put_null(column);
    numeric[4] = htobe16((uint16_t) (hundredths / 100));
    numeric[5] = htobe16((uint16_t) (hundredths % 100 * 100));
    return put_element(column, numeric, sizeof numeric);
}

/* ---- arrays ---- */

static bool begin(struct rows_column *column, uint32_t type, size_t count)
{
    const uint32_t head[5] = {htobe32(1), htobe32(1), htobe32(type), htobe32((uint32_t) count),
                              htobe32(1)};

    column->length = 0;
    return put(column, head, sizeof head);
}

bool rows_encode(struct rows *rows, const struct outcome *first, size_t count)
{
    bool good = true;

#define X(parameter, type, array, put, field)                                                      \
    good = good && begin(&rows->columns[(parameter) -1], OID_##type, count);
    COLUMNS(X)
#undef X
    for (size_t i = 0; good && i < count; i++, first = first->next)
    {
#define X(parameter, type, array, put, field)                                                      \
    good = good && put(&rows->columns[(parameter) -1], first->field);
        COLUMNS(X)
#undef X
    }
    for (int i = 0; i < OUTCOME_COLUMNS; i++)
        rows->lengths[i] = (int) rows->columns[i].length;
    return good;
}

void rows_free(struct rows *rows)
{
    for (int i = 0; i < OUTCOME_COLUMNS; i++)
        free(rows->columns[i].data);
    memset(rows, 0, sizeof *rows);
}
