/* SPDX-License-Identifier: PostgreSQL
 *
 * database_facts.c: what is known of a connection, and of an answer. Nothing here changes either.
 */
#include <string.h>

#include "forwarder.h"

uint64_t database_lag(const struct database *database)
{
    return database->first == database->next
               ? 0
               : database->loop->now_us -
                     database->ring[database->first & (database->ring_size - 1)].sent_us;
}

bool database_together(const struct database *one, const struct database *other)
{
    return one->connection == NULL || other->connection == NULL ||
           (strcmp(PQhost(one->connection), PQhost(other->connection)) == 0 &&
            strcmp(PQport(one->connection), PQport(other->connection)) == 0);
}

/* The server tells of a promotion with the answer to the next question. */
bool database_is_standby(const struct database *database)
{
    const char *status = database->connection == NULL
                             ? NULL
                             : PQparameterStatus(database->connection, "in_hot_standby");

    return status != NULL && strcmp(status, "on") == 0;
}

const char *database_sqlstate(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return state == NULL ? "" : state;
}

const char *database_complaint(const PGresult *error)
{
    const char *primary = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);

    return primary == NULL ? PQresultErrorMessage(error) : primary;
}
