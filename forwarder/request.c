/* SPDX-License-Identifier: PostgreSQL
 *
 * request.c: the life of a request. A request is born when libmicrohttpd has read a request line
 * and dies when it reports the request completed, whatever became of it. While a connection is
 * suspended (DECIDING, DELIVERING) it can not complete, so a stage may hold on to its request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

/* A deadline passed: what that means depends on the state alone. */
static void request_expired(struct loop_timer *timer)
{
    struct request *request = timer->owner;

    switch (request->state)
    {
    case REQUEST_DECIDING:
        decide_expired(request);
        break;
    default:
        client_cut(request->client);
        break;
    }
}

void request_enter(struct request *request, enum request_state state, uint64_t deadline_us)
{
    struct worker *worker = request->worker;

    if (!request_may_follow(request->state, state))
    {
        fprintf(stderr, "webhook-forwarder: request went from %s to %s\n",
                request_state_name(request->state), request_state_name(state));
        abort();
    }
    worker->in_state[request->state]--;
    worker->in_state[state]++;
    request->state = state;
    if (deadline_us != 0)
        loop_arm(&worker->loop, &request->deadline, deadline_us);
    else
        loop_disarm(&worker->loop, &request->deadline);
}

static struct request *request_new(struct worker *worker)
{
    struct request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    request->worker = worker;
    request->body.arrives = true;
    if (!loop_timer_open(&worker->loop, &request->deadline, request_expired, request))
    {
        free(request);
        return NULL;
    }
    worker->in_state[REQUEST_FREE]++;
    return request;
}

struct request *request_begin(struct worker *worker, struct client *client)
{
    struct request *request = worker->request_pool;

    if (request != NULL)
    {
        worker->request_pool = request->next;
        worker->pooled--;
    }
    else if ((request = request_new(worker)) == NULL)
        return NULL;
    request->client = client;
    client->request = request;
    request->secrets = secrets_keep(worker->secrets);
    request_enter(request, REQUEST_HEADER, worker->loop.now_us + worker->options->header_timeout);
    return request;
}

/* Clears everything that one request must not see of another. */
static void request_wipe(struct request *request)
{
    PQclear(request->question.whole);
    PQclear(request->question.items);
    memset(&request->question, 0, sizeof request->question);
    delivery_end_all(request);
    memset(&request->header, 0, sizeof request->header);
    buffer_reset(request->worker, &request->body, KEPT_BUFFER);
    buffer_reset(request->worker, &request->reply, KEPT_BUFFER);
    signature_abandon(&request->signature);
    secrets_release(request->secrets);
    request->secrets = NULL;
    buffer_reset(request->worker, &request->common, 0);
    request->client = NULL;
    request->http = NULL;
    request->suspended = request->close = false;
    request->refusal = 0;
    request->refused = REFUSAL_NOTHING;
    request->problem = request->allow = NULL;
    request->discarded = request->arrived_us = 0;
    request->item_count = 0;
    request->raw_uri[0] = request->correlation_id[0] = '\0';
}

static void request_free(struct request *request)
{
    struct worker *worker = request->worker;

    loop_timer_close(&worker->loop, &request->deadline);
    buffer_reset(worker, &request->body, 0);
    buffer_reset(worker, &request->reply, 0);
    worker->in_state[REQUEST_FREE]--;
    free(request);
}

void request_end(struct request *request)
{
    struct worker *worker = request->worker;

    if (request->in_flight)
        worker->in_flight--;
    request->in_flight = false;
    request->client->request = NULL;
    request_enter(request, REQUEST_FREE, 0);
    request_wipe(request);
    if (worker->pooled >= POOLED_REQUESTS)
    {
        request_free(request);
        return;
    }
    request->next = worker->request_pool;
    worker->request_pool = request;
    worker->pooled++;
}

void request_free_pool(struct worker *worker)
{
    struct request *request;

    while ((request = worker->request_pool) != NULL)
    {
        worker->request_pool = request->next;
        request_free(request);
    }
    worker->pooled = 0;
}

size_t request_count(const struct worker *worker)
{
    size_t count = 0;

    for (int state = REQUEST_FREE + 1; state < REQUEST_STATE_COUNT; state++)
        count += worker->in_state[state];
    return count;
}
