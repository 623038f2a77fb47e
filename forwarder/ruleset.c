/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset.c: the rules in force, as each worker knows them: timeouts and fallback policies of the
 * targets, and what the health answer shows. Fetched when the connection opens, when a decision
 * comes back with another version, and every second; compiled only when the version is new. The
 * question every second shows as well whether the database still answers.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"

#define REFRESH_US 1000000

const char RULESET_STATEMENT[] = "SELECT config_version, snapshot FROM routing_ruleset()";

static void *ruleset_allocate(void *context, size_t size)
{
    (void) context;
    return malloc(size);
}

static void ruleset_release(void *context, void *memory)
{
    (void) context;
    free(memory);
}

static const route_allocator ALLOCATOR = {ruleset_allocate, ruleset_release, NULL};

static void ruleset_complain(struct worker *worker, const char *detail)
{
    struct log_line line;

    if (!log_begin_limited(&line, LOG_ERROR, "ruleset_unusable",
                           "the rules could not be had from the database", &worker->failures))
        return;
    log_text(&line, "detail", detail);
    log_end(&line);
}

static void ruleset_adopt(struct worker *worker, const char *snapshot)
{
    route_error error;
    struct log_line line;
    route_ruleset *ruleset = route_ruleset_compile(snapshot, strlen(snapshot), &ALLOCATOR, &error);

    if (ruleset == NULL)
    {
        ruleset_complain(worker, error.message);
        return;
    }
    route_ruleset_free(worker->ruleset);
    worker->ruleset = ruleset;
    if (log_begin(&line, LOG_INFO, "ruleset", "the rules in force"))
    {
        const route_config *config = route_ruleset_config(ruleset);

        log_number(&line, "worker", worker->number);
        log_number(&line, "config_version", config->version);
        log_real(&line, "percentage", config->percentage / 100.0);
        log_text(&line, "enabled", config->enabled ? "yes" : "no");
        log_end(&line);
    }
}

static void ruleset_answered(void *context, PGresult *answer)
{
    struct worker *worker = context;

    worker->ruleset_asked = false;
    if (answer == NULL)
        return;
    if (PQresultStatus(answer) != PGRES_TUPLES_OK || PQntuples(answer) != 1)
        ruleset_complain(worker, PQresultErrorMessage(answer));
    else if (worker->ruleset == NULL ||
             route_ruleset_config(worker->ruleset)->version != atoll(PQgetvalue(answer, 0, 0)))
        ruleset_adopt(worker, PQgetvalue(answer, 0, 1));
    PQclear(answer);
}

void ruleset_refresh(struct worker *worker)
{
    if (!worker->ruleset_asked)
        worker->ruleset_asked = database_query(&worker->decide, "ruleset", 0, NULL, NULL, NULL,
                                               ruleset_answered, worker, NULL);
}

static void ruleset_due(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;

    ruleset_refresh(worker);
    loop_arm(&worker->loop, timer, worker->loop.now_us + REFRESH_US);
}

bool ruleset_open(struct worker *worker)
{
    if (!loop_timer_open(&worker->loop, &worker->ruleset_timer, ruleset_due, worker))
        return false;
    loop_arm(&worker->loop, &worker->ruleset_timer, worker->loop.now_us + REFRESH_US);
    return true;
}

void ruleset_close(struct worker *worker)
{
    loop_timer_close(&worker->loop, &worker->ruleset_timer);
    route_ruleset_free(worker->ruleset);
    worker->ruleset = NULL;
}

void ruleset_target(const struct worker *worker, const char *name, uint64_t *timeout_us,
                    route_fallback_policy *policy)
{
    route_text text = {name, strlen(name)};
    const route_target *target =
        worker->ruleset == NULL ? NULL : route_ruleset_find_target(worker->ruleset, text);

    *timeout_us = target != NULL && target->timeout_ms != 0 ? (uint64_t) target->timeout_ms * 1000
                                                            : worker->options->attempt_timeout;
    *policy = target != NULL ? target->fallback_policy : ROUTE_FALLBACK_ERROR;
}
