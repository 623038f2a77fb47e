/* SPDX-License-Identifier: PostgreSQL
 *
 * empty_row.c: the peer of route_decide() in bench/decide.sh. A C function of the same signature
 * that decides nothing and returns one constant row, of the same types and lengths, so that what
 * PostgreSQL itself charges for a function call in FROM can be told from what the decision costs.
 * Never installed.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_MODULE_MAGIC;

/* The row as text, in the order of route_decide()'s columns; NULL is NULL. */
static const char *const constant_row[] = {
    "wa-webhook-unified",
    NULL,
    "unified",
    "property",
    "in_percentage",
    "apartment",
    "4711",
    "50.00",
    "250788100001",
    "wamid.HBgLMjUwNzg4MTIzNDU2FQIAEhgUM0EwRjQ4NEY0RDQ500000001",
    "text",
    "wa-webhook-property",
    NULL,
    "00000000-0000-4000-8000-000000000001",
    "3",
};

typedef struct ConstantRow
{
    TupleDesc descriptor;
    Datum values[lengthof(constant_row)];
    bool nulls[lengthof(constant_row)];
} ConstantRow;

PG_FUNCTION_INFO_V1(bench_empty_row);
Datum bench_empty_row(PG_FUNCTION_ARGS);

static ConstantRow *make_row(FunctionCallInfo fcinfo)
{
    MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    ConstantRow *row = palloc0(sizeof(ConstantRow));

    if (get_call_result_type(fcinfo, NULL, &row->descriptor) != TYPEFUNC_COMPOSITE ||
        row->descriptor->natts != lengthof(constant_row))
        elog(ERROR, "bench_empty_row must return the row of route_decide()");
    row->descriptor = BlessTupleDesc(CreateTupleDescCopy(row->descriptor));
    for (int i = 0; i < row->descriptor->natts; i++)
    {
        Oid input, parameter;

        row->nulls[i] = constant_row[i] == NULL;
        if (row->nulls[i])
            continue;
        getTypeInputInfo(TupleDescAttr(row->descriptor, i)->atttypid, &input, &parameter);
        row->values[i] = OidInputFunctionCall(input, pstrdup(constant_row[i]), parameter, -1);
    }
    MemoryContextSwitchTo(caller);
    return row;
}

Datum bench_empty_row(PG_FUNCTION_ARGS)
{
    ConstantRow *row = fcinfo->flinfo->fn_extra;

    if (row == NULL)
        row = fcinfo->flinfo->fn_extra = make_row(fcinfo);
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(row->descriptor, row->values, row->nulls)));
}
