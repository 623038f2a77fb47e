/* SPDX-License-Identifier: PostgreSQL
 *
 * recording.c: nothing is relayed before its log rows are safe from a kill. They go to the spool;
 * when that takes none, the database commits them as pending before the attempt (all that wait, in
 * one statement); when neither can, the client is told to come again. So there is no unlogged
 * decision, whatever breaks.
 *
 * What is answered here is answered only after a further write of the spool, so that an outcome is
 * written before its client hears of it: recording_turn() goes round until nothing is left to
 * write.
 */
#include "forwarder.h"

/* For the spool's disk or the database's commit, before the client is told to come again. */
#define PATIENCE_US 2000000
/* Rounds of one turn: a skipped attempt leads to a fallback, whose rows are written in the next,
 * and whose outcome, when it is skipped too, in the one after. There is no fourth. */
#define ROUNDS 4

/* ---- lists ---- */

static void list_append(struct delivery_list *list, struct delivery *delivery)
{
    delivery->next_recorded = NULL;
    if (list->first == NULL)
        list->first = delivery;
    else
        list->last->next_recorded = delivery;
    list->last = delivery;
}

static struct delivery *list_take(struct delivery_list *list)
{
    struct delivery *first = list->first;

    if (first != NULL)
        list->first = first->next_recorded;
    return first;
}

static bool list_remove(struct delivery_list *list, const struct delivery *delivery)
{
    struct delivery *before = NULL;

    for (struct delivery *at = list->first; at != NULL; before = at, at = at->next_recorded)
        if (at == delivery)
        {
            if (before == NULL)
                list->first = at->next_recorded;
            else
                before->next_recorded = at->next_recorded;
            if (list->last == at)
                list->last = before;
            return true;
        }
    return false;
}

/* ---- the beginning and the two ends ---- */

void recording_begin(struct delivery *delivery)
{
    struct worker *worker = delivery->worker;
    struct recording *recording = &worker->recording;

    delivery_enter(delivery, DELIVERY_RECORDING, worker->loop.now_us + PATIENCE_US);
    delivery->ticket = spool_decided(worker->spool, delivery->rows);
    recording->unwritten = true;
    list_append(delivery->ticket != 0 ? &recording->spooled : &recording->unspooled, delivery);
}

/* Nothing was relayed. Rows that the database may have get an outcome, others never were. */
static void recording_fail(struct delivery *delivery, bool forgotten, const char *why)
{
    delivery->attempt.started_us = 0;
    if (forgotten)
    {
        outcomes_discard(delivery->worker, delivery->rows);
        delivery->rows = NULL;
    }
    else
        outcomes_finish(delivery, delivery->attempt.number == 1 ? "error" : delivery->attempt.side,
                        OUTCOME_NOT_MADE, 0, false, why);
    delivery_done(delivery, delivery->earlier != 0 ? delivery->earlier : 503, why);
}

void recording_abort(struct delivery *delivery, const char *why)
{
    struct recording *recording = &delivery->worker->recording;
    bool unknown_to_all = list_remove(&recording->unspooled, delivery);

    if (!unknown_to_all && !list_remove(&recording->spooled, delivery))
        (void) list_remove(&recording->committing, delivery);
    recording_fail(delivery, unknown_to_all, why);
}

void recording_expired(struct delivery *delivery)
{
    recording_abort(delivery, "the decision could not be written down in time");
}

/* ---- by the database ---- */

static void recording_answered(void *context, PGresult *answer)
{
    struct worker *worker = context;
    struct recording *recording = &worker->recording;

    recording->commit_refused = answer == NULL || PQresultStatus(answer) != PGRES_TUPLES_OK;
    recording->rows_at_fault = answer != NULL && retry_blames_row(database_sqlstate(answer));
    if (answer != NULL && recording->commit_refused)
        outcomes_complain(worker, answer, "the database did not commit decisions");
    PQclear(answer);
}

/* One of them is refused for what it holds: they are committed one by one. */
static void recording_single_out(struct recording *recording, struct delivery_list list)
{
    recording->singly = 0;
    for (struct delivery *at = list.first; at != NULL; at = at->next_recorded)
        recording->singly++;
    list.last->next_recorded = recording->unspooled.first;
    if (recording->unspooled.first == NULL)
        recording->unspooled.last = list.last;
    recording->unspooled.first = list.first;
}

/* They are committed, or not; `answered`: that is certain. */
static void recording_settle(const struct recording *recording, struct delivery_list *list,
                             bool answered)
{
    struct delivery *delivery;

    while ((delivery = list_take(list)) != NULL)
        if (answered && !recording->commit_refused)
            forward_attempt(delivery);
        else
            recording_fail(delivery, answered, "the database did not commit the decision");
}

/* The sync behind them: only now they are committed, or not. Those whose patience has ended
 * meanwhile are not in the list any more. */
static void recording_committed(void *context, PGresult *answer)
{
    struct worker *worker = context;
    struct recording *recording = &worker->recording;
    struct delivery_list list = recording->committing;

    recording->committing = (struct delivery_list){NULL, NULL};
    recording->commit_asked = false;
    if (answer != NULL && recording->commit_refused && recording->rows_at_fault &&
        list.first != NULL && list.first != list.last)
        recording_single_out(recording, list);
    else
        recording_settle(recording, &list, answer != NULL);
    PQclear(answer);
}

/* Takes what the next commit is to hold out of those that wait: all, or one. */
static struct delivery_list recording_next(struct recording *recording)
{
    struct delivery_list next = recording->unspooled;

    if (recording->singly == 0)
    {
        recording->unspooled = (struct delivery_list){NULL, NULL};
        return next;
    }
    recording->singly--;
    next.last = list_take(&recording->unspooled);
    next.last->next_recorded = NULL;
    return next;
}

/* Links the rows of all of them into one list, and back into one for each. */
static size_t recording_link(struct delivery_list *list, bool together)
{
    size_t count = 0;

    for (struct delivery *at = list->first; at != NULL; at = at->next_recorded)
    {
        bool followed = together && at->next_recorded != NULL;

        at->last_row->next = followed ? at->next_recorded->rows : NULL;
        count += outcomes_count(at);
    }
    return count;
}

/* One commit is under way at a time. */
static void recording_commit(struct worker *worker)
{
    struct recording *recording = &worker->recording;
    struct delivery_list next = recording_next(recording);
    size_t count = recording_link(&next, true);
    struct delivery *delivery;

    recording->commit_asked = outcomes_send_pending(worker, next.first->rows, count,
                                                    recording_answered, recording_committed);
    (void) recording_link(&next, false);
    if (recording->commit_asked)
        recording->committing = next;
    else
        while ((delivery = list_take(&next)) != NULL)
            recording_fail(delivery, true, "neither the spool nor the database takes the decision");
}

/* ---- the turn ---- */

static void recording_write(struct worker *worker)
{
    worker->recording.unwritten = false;
    spool_turn(worker->spool);
}

static void recording_turn_spooled(struct worker *worker)
{
    struct recording *recording = &worker->recording;
    struct delivery *delivery;

    recording_write(worker);
    while ((delivery = recording->spooled.first) != NULL)
    {
        enum spool_verdict verdict = spool_verdict(worker->spool, delivery->ticket);

        if (verdict == SPOOL_WAITING)
            return;
        (void) list_take(&recording->spooled);
        if (verdict == SPOOL_DURABLE)
            forward_attempt(delivery);
        else
            list_append(&recording->unspooled, delivery);
    }
}

static bool recording_may_commit(const struct recording *recording)
{
    return recording->unspooled.first != NULL && !recording->commit_asked;
}

void recording_turn(struct worker *worker)
{
    for (int round = 0; round < ROUNDS; round++)
    {
        recording_turn_spooled(worker);
        while (recording_may_commit(&worker->recording))
            recording_commit(worker);
        if (!worker->recording.unwritten)
            return;
    }
    recording_write(worker);
}

bool recording_due(const struct worker *worker)
{
    return worker->recording.unwritten || recording_may_commit(&worker->recording);
}
