/* SPDX-License-Identifier: PostgreSQL
 *
 * status_view.c: how a value of the status page is found.
 */
#include <stdlib.h>
#include <string.h>

#include "status.h"

int status_rows(const struct status_view *view, enum status_section_id section)
{
    return view->results[section] == NULL ? 0 : PQntuples(view->results[section]);
}

const char *status_value(const struct status_view *view, enum status_section_id section, int row,
                         const char *column)
{
    const PGresult *result = view->results[section];
    int field = result == NULL ? -1 : PQfnumber(result, column);

    if (field < 0 || row >= PQntuples(result) || PQgetisnull(result, row, field))
        return NULL;
    return PQgetvalue(result, row, field);
}

double status_number(const struct status_view *view, enum status_section_id section, int row,
                     const char *column, double otherwise)
{
    const char *value = status_value(view, section, row, column);

    return value == NULL ? otherwise : strtod(value, NULL);
}

bool status_is(const struct status_view *view, enum status_section_id section, int row,
               const char *column, const char *value)
{
    const char *is = status_value(view, section, row, column);

    return is != NULL && strcmp(is, value) == 0;
}

const char *status_breaker(const struct status_view *view, const char *target)
{
    const struct status_forwarder *forwarder = &view->forwarder;

    for (size_t i = 0; i < forwarder->breaker_count; i++)
        if (strcmp(forwarder->breakers[i].target, target) == 0)
            return forwarder->breakers[i].state;
    return "closed";
}
