/* SPDX-License-Identifier: PostgreSQL
 *
 * outcome.c: log rows from the decision to the end of the attempt they speak of. They are made, one
 * for each item, before anything is relayed, and say `outcome unknown` until it is known, so that a
 * row says the truth whenever the forwarder is killed. A fallback's rows are made of those of the
 * first attempt, while these are still here.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"
#include "text.h"

/* Texts of a row in the order in which outcome_make() places them. */
enum
{
    WEBHOOK,
    DOMAIN,
    REASON,
    FROM,
    MESSAGE,
    TYPE,
    CORRELATION,
    TEXTS
};

/* ---- one row ---- */

/* What is not in `texts` is the caller's to fill in. */
static struct outcome *outcome_make(const route_text texts[TEXTS])
{
    struct outcome *outcome;
    size_t size = sizeof *outcome;
    char *at;

    for (int i = 0; i < TEXTS; i++)
        size += texts[i].data == NULL ? 0 : texts[i].length + 1;
    outcome = malloc(size);
    if (outcome == NULL)
        return NULL;
    memset(outcome, 0, sizeof *outcome);
    at = outcome->text;
    identity_make(outcome->id);
    outcome->webhook_name = text_place(&at, texts[WEBHOOK]);
    outcome->domain = text_place(&at, texts[DOMAIN]);
    outcome->reason = text_place(&at, texts[REASON]);
    outcome->from_number = text_place(&at, texts[FROM]);
    outcome->message_id = text_place(&at, texts[MESSAGE]);
    outcome->message_type = text_place(&at, texts[TYPE]);
    outcome->correlation_id = text_place(&at, texts[CORRELATION]);
    return outcome;
}

/* What a row says until the attempt has ended. */
static void outcome_unknown(struct outcome *outcome, const struct delivery *delivery)
{
    outcome->attempt = delivery->attempt.number;
    outcome->routed_to = delivery->attempt.side;
    outcome->success = false;
    outcome->ambiguous = true;
    outcome->http_status = 0;
    outcome->response_time_ms = -1;
    strcpy(outcome->error_message, SPOOL_UNKNOWN);
}

/* ---- the rows of a delivery ---- */

static void outcome_append(struct delivery *delivery, struct outcome *outcome)
{
    if (delivery->rows == NULL)
        delivery->rows = outcome;
    else
        delivery->last_row->next = outcome;
    delivery->last_row = outcome;
}

/* More items than are logged: somebody has to know that the log is not whole. */
static void outcomes_cut(const struct delivery *delivery)
{
    struct log_line line;

    if (!log_begin_limited(&line, LOG_WARNING, EVENT_ITEMS_CUT,
                           "a webhook holds more items than are logged"))
        return;
    log_text(&line, "correlation_id", delivery->request->correlation_id);
    log_number(&line, "items", (int64_t) delivery->request->item_count);
    log_number(&line, "logged", ITEM_LIMIT);
    log_end(&line);
}

bool outcomes_add(struct delivery *delivery, const struct decided *item)
{
    const route_text texts[TEXTS] = {[WEBHOOK] = text_of(delivery->webhook),
                                     [DOMAIN] = item->domain,
                                     [REASON] = item->reason,
                                     [FROM] = item->from_number,
                                     [MESSAGE] = item->message_id,
                                     [TYPE] = item->message_type,
                                     [CORRELATION] = text_of(delivery->request->correlation_id)};
    struct outcome *outcome;

    if (delivery->item_count == ITEM_LIMIT)
    {
        outcomes_cut(delivery);
        delivery->item_count++;
    }
    if (delivery->item_count > ITEM_LIMIT)
        return true;
    if (outcomes_full(delivery->worker) || (outcome = outcome_make(texts)) == NULL)
        return false;
    memcpy(outcome->decision_id, delivery->id, sizeof outcome->decision_id);
    outcome->created_us = delivery->created_us;
    outcome->item = delivery->item_count++;
    outcome->bucket = item->bucket;
    outcome->percentage = item->percentage;
    outcome->config_version = delivery->config_version;
    outcome_unknown(outcome, delivery);
    outcome_append(delivery, outcome);
    delivery->worker->outcomes.held++;
    return true;
}

size_t outcomes_count(const struct delivery *delivery)
{
    return (size_t) (delivery->item_count > ITEM_LIMIT ? ITEM_LIMIT : delivery->item_count);
}

/* The same row for another attempt at another function: with an id of its own, in no segment. */
static struct outcome *outcome_copy(const struct outcome *outcome, const char *webhook)
{
    const route_text texts[TEXTS] = {[WEBHOOK] = text_of(webhook),
                                     [DOMAIN] = text_of(outcome->domain),
                                     [REASON] = text_of(outcome->reason),
                                     [FROM] = text_of(outcome->from_number),
                                     [MESSAGE] = text_of(outcome->message_id),
                                     [TYPE] = text_of(outcome->message_type),
                                     [CORRELATION] = text_of(outcome->correlation_id)};
    struct outcome *copy = outcome_make(texts);

    if (copy == NULL)
        return NULL;
    memcpy(copy->decision_id, outcome->decision_id, sizeof copy->decision_id);
    copy->created_us = outcome->created_us;
    copy->item = outcome->item;
    copy->bucket = outcome->bucket;
    copy->percentage = outcome->percentage;
    copy->config_version = outcome->config_version;
    return copy;
}

struct outcome *outcomes_copy(const struct delivery *delivery, const char *webhook)
{
    struct worker *worker = delivery->worker;
    struct outcome *first = NULL, **end = &first;

    if (outcomes_full(worker))
        return NULL;
    for (const struct outcome *outcome = delivery->rows; outcome != NULL; outcome = outcome->next)
    {
        *end = outcome_copy(outcome, webhook);
        if (*end == NULL)
        {
            outcomes_discard(worker, first);
            return NULL;
        }
        worker->outcomes.held++;
        end = &(*end)->next;
    }
    return first;
}

void outcomes_take(struct delivery *delivery, struct outcome *rows)
{
    delivery->rows = rows;
    for (; rows != NULL; rows = rows->next)
    {
        outcome_unknown(rows, delivery);
        delivery->last_row = rows;
    }
}

void outcomes_discard(struct worker *worker, struct outcome *rows)
{
    while (rows != NULL)
    {
        struct outcome *next = rows->next;

        if (rows->segment != NULL)
            spool_stored(worker->spool, rows);
        worker->outcomes.held--;
        free(rows);
        rows = next;
    }
}

/* ---- the end of the attempt ---- */

void outcomes_finish(struct delivery *delivery, const char *routed_to, enum attempt_outcome outcome,
                     unsigned http_status, bool ambiguous, const char *error_message)
{
    struct worker *worker = delivery->worker;
    struct outcome *rows = delivery->rows;
    uint64_t started_us = delivery->attempt.started_us;
    const char *message = error_message == NULL ? "" : error_message;
    size_t length = strnlen(message, ERROR_LIMIT - 1);
    uint64_t elapsed_us = started_us == 0 ? 0 : loop_clock() - started_us;

    for (struct outcome *row = rows; row != NULL; row = row->next)
    {
        row->routed_to = routed_to;
        row->http_status = (int) http_status;
        row->success = outcome == OUTCOME_SUCCESS;
        row->ambiguous = ambiguous;
        row->response_time_ms = started_us == 0 ? -1 : (double) elapsed_us / 1000;
        memcpy(row->error_message, message, length);
        row->error_message[length] = '\0';
    }
    metrics_attempted(delivery, rows, outcome, elapsed_us);
    delivery->rows = delivery->last_row = NULL;
    spool_finished(worker->spool, rows);
    worker->recording.unwritten = true;
    outcomes_queue(worker, rows);
}
