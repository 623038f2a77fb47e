/* SPDX-License-Identifier: PostgreSQL
 *
 * database_report.c: what the operator hears of a connection to PostgreSQL: that it is open, lost,
 * or not to be had, with what mends it.
 */
#include "forwarder.h"

void database_report_ready(const struct database *database)
{
    struct log_line line;

    if (!log_begin(&line, LOG_INFO, EVENT_DATABASE_READY, "a connection to the database is open"))
        return;
    log_text(&line, "link", database->link);
    log_text(&line, "host", PQhost(database->connection));
    log_text(&line, "port", PQport(database->connection));
    log_number(&line, "server_version", PQserverVersion(database->connection));
    log_end(&line);
}

/* One that was open is told of each time; one that could not be opened, or did not know what is
 * asked of it, once as long as that lasts. */
static bool database_begin_dropped(struct database *database, struct log_line *line,
                                   const char *detail)
{
    return database->state == DATABASE_READY
               ? log_begin_limited(line, LOG_WARNING, EVENT_DATABASE_LOST,
                                   "a connection to the database broke or was given up")
               : log_begin_lasting(line, LOG_WARNING, EVENT_DATABASE_UNREACHABLE,
                                   "no connection to the database", detail, &database->down);
}

void database_report_dropped(struct database *database, const char *detail)
{
    const char *mend = detail == NULL ? database->mend : NULL;
    struct log_line line;
    char text[512];

    log_flatten(text, sizeof text, detail == NULL ? database->given_up : detail);
    if (!database_begin_dropped(database, &line, text))
        return;
    if (mend == NULL && database->state != DATABASE_READY)
        mend = retry_mend_connection(text);
    log_text(&line, "link", database->link);
    if (*text != '\0')
        log_text(&line, "detail", text);
    if (mend != NULL)
        log_text(&line, "mend", mend);
    log_end(&line);
}

/* What the server says beside an answer can hold anything, a row included: only its kind is told.
 */
void database_noticed(void *context, const PGresult *notice)
{
    struct database *database = context;
    struct log_line line;

    if (!log_begin_limited(&line, LOG_INFO, EVENT_DATABASE_NOTICE, "the database has a remark"))
        return;
    log_text(&line, "link", database->link);
    log_text(&line, "severity", PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED));
    log_text(&line, "sqlstate", database_sqlstate(notice));
    log_end(&line);
}
