/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset.c: the rules in force, as each worker knows them: what decides here while the database
 * does not, timeouts and fallback policies of the targets, and what the health answer shows.
 * Fetched when the connection opens, when a decision comes back with another version, and every
 * second; compiled only when their text has changed. The version alone does not tell: a database
 * that was restored, or has lost its last change in a fail-over, can have other rules under the
 * same one.
 *
 * The same question is the probe of a database that has missed a deadline: while it is suspect it
 * is asked nothing else, and trusted again when it has answered in time.
 *
 * Where a standby decides, it may not have heard yet of a change that the primary has committed, a
 * thrown kill switch included. So the primary is asked for its rules as well, over the log's link;
 * while they are newer than the standby's they decide here, as all rules do while the database does
 * not.
 *
 * The last rules are kept in the spool's directory too (keep.c), so that a forwarder that starts
 * while the database is down decides as the one before it did.
 */
#include <stdlib.h>
#include <string.h>

#include "forwarder.h"
#include "text.h"

#define REFRESH_US 1000000
#define PROBE_US 100000 /* between two questions to a suspect, or to a standby that is behind */

const char RULESET_STATEMENT[] = "SELECT snapshot, config_version FROM routing_ruleset()";

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

/* What is found wrong each second is told once, then rarely. */
static void ruleset_complain(struct worker *worker, enum log_event event, const char *message,
                             const char *detail, const char *mend)
{
    struct log_line line;

    if (!log_begin_lasting(&line, LOG_ERROR, event, message, detail, &worker->ruleset_problem))
        return;
    log_text(&line, "detail", detail);
    if (mend != NULL)
        log_text(&line, "mend", mend);
    log_end(&line);
}

/* ---- adopting ---- */

static void ruleset_announce(const struct worker *worker, const char *source)
{
    const route_config *config = route_ruleset_config(worker->ruleset);
    struct log_line line;

    if (!log_begin(&line, LOG_INFO, EVENT_RULESET, "the rules in force"))
        return;
    log_number(&line, "worker", worker->number);
    log_text(&line, "from", source);
    log_number(&line, "config_version", config->version);
    log_real(&line, "percentage", config->percentage / 100.0);
    log_text(&line, "enabled", config->enabled ? "yes" : "no");
    log_end(&line);
}

/* The text that is in force: to see a change by, and to keep. Without memory for it the same rules
 * are compiled again at the next answer. */
static void ruleset_remember(struct worker *worker, const char *snapshot, size_t length)
{
    free(worker->ruleset_text);
    worker->ruleset_text = malloc(length + 1);
    worker->ruleset_length = length;
    if (worker->ruleset_text != NULL)
        memcpy(worker->ruleset_text, snapshot, length);
}

static void ruleset_adopt(struct worker *worker, const char *snapshot, size_t length,
                          const char *source)
{
    route_error error;
    route_ruleset *ruleset = route_ruleset_compile(snapshot, length, &ALLOCATOR, &error);

    if (ruleset == NULL)
    {
        ruleset_complain(worker, EVENT_RULESET_UNUSABLE, "the rules cannot be used", error.message,
                         strcmp(error.message, ROUTE_OUT_OF_MEMORY) == 0 ? NULL
                                                                         : RETRY_MEND_VERSION);
        return;
    }
    route_ruleset_free(worker->ruleset);
    worker->ruleset = ruleset;
    worker->ruleset_problem = (struct log_lasting){0};
    ruleset_remember(worker, snapshot, length);
    ruleset_announce(worker, source);
}

/* ---- asking ---- */

/* One worker writes what is in force into the spool's directory, unless it is there. */
static void ruleset_keep(const struct worker *worker)
{
    if (worker->number == 0 && worker->ruleset_text != NULL)
        keep_ruleset(worker->directory, worker->ruleset_text, worker->ruleset_length);
}

static void ruleset_recall(struct worker *worker)
{
    size_t length;
    char *snapshot = keep_recall(worker->directory, &length);

    if (snapshot != NULL)
        ruleset_adopt(worker, snapshot, length, "disk");
    free(snapshot);
}

/* An answer in time clears a suspect. */
static void ruleset_trust(struct worker *worker)
{
    if (!worker->suspect ||
        worker->loop.now_us - worker->ruleset_asked_us > worker->options->decide_timeout)
        return;
    worker->suspect = false;
    log_plain(LOG_INFO, EVENT_DATABASE_PROMPT, "the database answers in time again and decides");
}

/* They are in force from now on, if they were not before. */
static void ruleset_enforce(struct worker *worker, const PGresult *answer, const char *source)
{
    const char *snapshot = PQgetvalue(answer, 0, 0);
    size_t length = (size_t) PQgetlength(answer, 0, 0);

    worker->ruleset_heard_us = worker->loop.now_us;
    if (worker->ruleset == NULL || worker->ruleset_text == NULL ||
        worker->ruleset_length != length || memcmp(worker->ruleset_text, snapshot, length) != 0)
        ruleset_adopt(worker, snapshot, length, source);
    else
        worker->ruleset_problem = (struct log_lasting){0};
    ruleset_keep(worker);
}

static int64_t ruleset_version(const PGresult *answer)
{
    return strtoll(PQgetvalue(answer, 0, 1), NULL, 10);
}

static bool ruleset_had(const PGresult *answer)
{
    return PQresultStatus(answer) == PGRES_TUPLES_OK && PQntuples(answer) == 1;
}

/* ---- a standby that is behind ---- */

/* Told when it lasts: a change is on its way to every standby for some milliseconds. */
static void ruleset_tell_behind(struct worker *worker)
{
    struct behind *behind = &worker->behind;
    struct log_line line;

    if (worker->loop.now_us - behind->since_us < REFRESH_US ||
        !log_begin_lasting(
            &line, LOG_WARNING, EVENT_DATABASE_BEHIND,
            "the standby that decides has not heard of the newest rules: they decide "
            "here",
            NULL, &behind->told))
        return;
    log_number(&line, "standby_version", behind->standby);
    log_number(&line, "primary_version", behind->primary);
    log_text(&line, "mend",
             "SELECT now() - pg_last_xact_replay_timestamp() on the standby, and "
             "pg_wal_replay_resume() if pg_is_wal_replay_paused()");
    log_end(&line);
}

static void ruleset_set_behind(struct worker *worker, bool is)
{
    struct behind *behind = &worker->behind;

    if (is && !behind->is)
        behind->since_us = worker->loop.now_us;
    if (is)
        ruleset_tell_behind(worker);
    else if (behind->told.told_s != 0)
    {
        log_plain(LOG_INFO, EVENT_DATABASE_CAUGHT_UP,
                  "the standby has the newest rules and decides");
        behind->told = (struct log_lasting){0};
    }
    behind->is = is;
}

/* The primary's word: also that what was newer has been lost with an earlier one. */
static void ruleset_take_primary(struct worker *worker, const PGresult *answer)
{
    struct behind *behind = &worker->behind;

    behind->primary = ruleset_version(answer);
    if (!behind->is && behind->primary <= behind->standby)
        return;
    ruleset_enforce(worker, answer, "primary");
    ruleset_set_behind(worker, behind->standby < behind->primary);
}

static void ruleset_primary_answered(void *context, PGresult *answer)
{
    struct worker *worker = context;

    worker->behind.asked = false;
    if (answer == NULL)
        return;
    if (!ruleset_had(answer))
        ruleset_complain(worker, EVENT_RULESET_UNUSABLE,
                         "the rules could not be had from the primary", database_complaint(answer),
                         retry_mend(database_sqlstate(answer)));
    else if (database_is_standby(&worker->decide))
        ruleset_take_primary(worker, answer);
    PQclear(answer);
}

/* In a transaction of its own: an error takes no log rows with it. */
static void ruleset_ask_primary(struct worker *worker)
{
    if (worker->behind.asked || !database_is_standby(&worker->decide))
        return;
    database_turn(&worker->log);
    worker->behind.asked = database_query(&worker->log, "ruleset", 0, NULL, NULL, NULL, false,
                                          ruleset_primary_answered, worker, NULL);
    database_turn(&worker->log);
}

/* ---- what decides ---- */

static void ruleset_take(struct worker *worker, const PGresult *answer)
{
    worker->ruleset_void = false;
    worker->behind.standby = ruleset_version(answer);
    if (worker->behind.is)
        ruleset_set_behind(worker, database_is_standby(&worker->decide) &&
                                       worker->behind.standby < worker->behind.primary);
    if (!worker->behind.is)
        ruleset_enforce(worker, answer, "database");
}

static void ruleset_answered(void *context, PGresult *answer)
{
    struct worker *worker = context;

    worker->ruleset_asked = false;
    if (answer == NULL)
        return;
    if (!ruleset_had(answer))
        ruleset_complain(worker, EVENT_RULESET_UNUSABLE,
                         "the rules could not be had from the database", database_complaint(answer),
                         retry_mend(database_sqlstate(answer)));
    else
    {
        ruleset_trust(worker);
        ruleset_take(worker, answer);
    }
    PQclear(answer);
}

void ruleset_refresh(struct worker *worker)
{
    if (worker->ruleset_asked)
        return;
    worker->ruleset_asked_us = worker->loop.now_us;
    worker->ruleset_asked = database_query(&worker->decide, "ruleset", 0, NULL, NULL, NULL, false,
                                           ruleset_answered, worker, NULL);
}

static void ruleset_due(struct loop_timer *timer)
{
    struct worker *worker = timer->owner;

    ruleset_refresh(worker);
    ruleset_ask_primary(worker);
    if (worker->ruleset == NULL && !worker->ruleset_void)
        ruleset_recall(worker); /* the directory may be there by now */
    loop_arm(&worker->loop, timer,
             worker->loop.now_us + (worker->suspect || worker->behind.is ? PROBE_US : REFRESH_US));
}

void ruleset_suspect(struct worker *worker)
{
    if (worker->suspect)
        return;
    worker->suspect = true;
    loop_arm(&worker->loop, &worker->ruleset_timer, worker->loop.now_us + PROBE_US);
    log_plain(LOG_WARNING, EVENT_DATABASE_LATE,
              "the database misses --decide-timeout: the last rules decide until it is prompt");
}

/* The database says that there is no extension, or an older one: the rules are not in force any
 * more, whatever was known of them. */
void ruleset_refused(struct worker *worker, const char *sqlstate, const char *message)
{
    if (strcmp(sqlstate, "42883") != 0 && strcmp(sqlstate, "42P01") != 0)
        return;
    ruleset_complain(worker, EVENT_EXTENSION_MISSING,
                     "the database has no extension webhook_routing, or an older one: everything "
                     "goes to --default-target",
                     message, retry_mend(sqlstate));
    route_ruleset_free(worker->ruleset);
    worker->ruleset = NULL;
    worker->ruleset_void = true;
}

/* ---- start and end ---- */

/* Rules that know nothing but one function. */
static route_ruleset *ruleset_make_ruleless(const char *target)
{
    char snapshot[1024];
    route_error error;
    int length = snprintf(snapshot, sizeof snapshot,
                          "webhook_routing\t1\n"
                          "config\t00000000-0000-0000-0000-000000000000\t1\t0\tf\t0\t%s\t%s\n"
                          "end\n",
                          target, target);

    return length < (int) sizeof snapshot
               ? route_ruleset_compile(snapshot, (size_t) length, &ALLOCATOR, &error)
               : NULL;
}

bool ruleset_open(struct worker *worker)
{
    worker->ruleless = ruleset_make_ruleless(worker->options->default_target);
    if (worker->ruleless == NULL ||
        !loop_timer_open(&worker->loop, &worker->ruleset_timer, ruleset_due, worker))
        return false;
    ruleset_recall(worker);
    loop_arm(&worker->loop, &worker->ruleset_timer, worker->loop.now_us + REFRESH_US);
    return true;
}

void ruleset_close(struct worker *worker)
{
    loop_timer_close(&worker->loop, &worker->ruleset_timer);
    route_ruleset_free(worker->ruleset);
    route_ruleset_free(worker->ruleless);
    worker->ruleset = worker->ruleless = NULL;
    free(worker->ruleset_text);
    worker->ruleset_text = NULL;
}

/* ---- for the others ---- */

const route_ruleset *ruleset_last(const struct worker *worker, int64_t *version)
{
    *version = worker->ruleset == NULL ? 0 : route_ruleset_config(worker->ruleset)->version;
    return worker->ruleset == NULL ? worker->ruleless : worker->ruleset;
}

void ruleset_target(const struct worker *worker, const char *name, uint64_t *timeout_us,
                    route_fallback_policy *policy)
{
    const route_target *target =
        worker->ruleset == NULL ? NULL : route_ruleset_find_target(worker->ruleset, text_of(name));

    *timeout_us = target != NULL && target->timeout_ms != 0 ? (uint64_t) target->timeout_ms * 1000
                                                            : worker->options->attempt_timeout;
    *policy = target != NULL ? target->fallback_policy : ROUTE_FALLBACK_ERROR;
}
