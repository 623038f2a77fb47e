/* SPDX-License-Identifier: PostgreSQL
 *
 * spool_rows.h: log rows for the tests of the spool, each different from every other, and their
 * comparison.
 */
#ifndef TEST_SPOOL_ROWS_H
#define TEST_SPOOL_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/forwarder.h"
#include "../../forwarder/spool_inside.h"

#define TEXTS 7

/* A row whose texts are those of the bits in `mask`. */
static inline struct outcome *make_row(unsigned number, unsigned mask)
{
    struct outcome *row = calloc(1, sizeof *row + TEXTS * 24);
    const char *texts[TEXTS];
    char *at;

    assert_non_null(row);
    at = row->text;
    for (int i = 0; i < TEXTS; i++)
    {
        texts[i] = (mask >> i & 1) != 0 ? at : NULL;
        at += (i == 5 ? 0 : snprintf(at, 24, "text %d of %u", i, number)) + 1; /* "" too */
    }
    memset(row->id, (int) number + 1, sizeof row->id);
    memcpy(row->id, &number, sizeof number);
    memset(row->decision_id, (int) number + 2, sizeof row->decision_id);
    row->created_us = 1700000000000000 + number;
    row->attempt = 1 + (int) number % 2;
    row->item = (int) number;
    row->bucket = (int) number % 3 == 0 ? -1 : (int) number;
    row->percentage = (int) number % 4 == 0 ? -1 : 3333;
    row->config_version = (int64_t) number << 33;
    row->routed_to = number % 2 == 0 ? "unified" : "legacy";
    row->webhook_name = texts[0];
    row->domain = texts[1];
    row->reason = texts[2];
    row->from_number = texts[3];
    row->message_id = texts[4];
    row->message_type = texts[5];
    row->correlation_id = texts[6];
    return row;
}

/* `count` rows of one attempt. */
static inline struct outcome *make_rows(unsigned number, unsigned count)
{
    struct outcome *first = NULL;

    while (count-- > 0)
    {
        struct outcome *row = make_row(number + count, 0x7f);

        row->next = first;
        first = row;
    }
    return first;
}

/* What outcomes_finish() does. */
static inline void finish_rows(struct outcome *rows, int status, const char *message)
{
    for (; rows != NULL; rows = rows->next)
    {
        rows->http_status = status;
        rows->success = status == 200;
        rows->ambiguous = status == 0;
        rows->response_time_ms = status == 0 ? -1 : 12.5;
        snprintf(rows->error_message, sizeof rows->error_message, "%s", message);
    }
}

static inline void free_rows(struct outcome *rows)
{
    while (rows != NULL)
    {
        struct outcome *next = rows->next;

        free(rows);
        rows = next;
    }
}

static inline void same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL)
        assert_string_equal(a, b);
}

static inline void same_row(const struct outcome *a, const struct outcome *b)
{
    assert_memory_equal(a->id, b->id, sizeof a->id);
    assert_memory_equal(a->decision_id, b->decision_id, sizeof a->decision_id);
    assert_int_equal(a->created_us, b->created_us);
    assert_int_equal(a->attempt, b->attempt);
    assert_int_equal(a->item, b->item);
    assert_int_equal(a->bucket, b->bucket);
    assert_int_equal(a->percentage, b->percentage);
    assert_int_equal(a->config_version, b->config_version);
    assert_string_equal(a->routed_to, b->routed_to);
    same_text(a->webhook_name, b->webhook_name);
    same_text(a->domain, b->domain);
    same_text(a->reason, b->reason);
    same_text(a->from_number, b->from_number);
    same_text(a->message_id, b->message_id);
    same_text(a->message_type, b->message_type);
    same_text(a->correlation_id, b->correlation_id);
}

static inline void same_outcome(const struct outcome *a, const struct outcome *b)
{
    assert_string_equal(a->routed_to, b->routed_to);
    assert_int_equal(a->http_status, b->http_status);
    assert_int_equal(a->success, b->success);
    assert_int_equal(a->ambiguous, b->ambiguous);
    assert_memory_equal(&a->response_time_ms, &b->response_time_ms, sizeof a->response_time_ms);
    assert_string_equal(a->error_message, b->error_message);
}

/* What a row without its outcome is stored with. */
static inline void unknown_outcome(const struct outcome *row)
{
    assert_int_equal(row->http_status, 0);
    assert_false(row->success);
    assert_true(row->ambiguous);
    assert_true(row->response_time_ms < 0);
    assert_string_equal(row->error_message, SPOOL_UNKNOWN);
}

#endif
