/* SPDX-License-Identifier: PostgreSQL
 *
 * empty_row.c: the peer of route_decide() in bench/decide.sh. A C function of the same signature
 * that returns a constant row of the same shape, so that what PostgreSQL itself charges for a
 * function call in FROM can be told from what the decision costs. Never installed.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_empty_row);
Datum bench_empty_row(PG_FUNCTION_ARGS);

Datum bench_empty_row(PG_FUNCTION_ARGS)
{
    TupleDesc descriptor = fcinfo->flinfo->fn_extra;
    Datum values[FUNC_MAX_ARGS] = {0};
    bool nulls[FUNC_MAX_ARGS];

    if (descriptor == NULL)
    {
        MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

        if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
            elog(ERROR, "bench_empty_row must return a row");
        descriptor = BlessTupleDesc(CreateTupleDescCopy(descriptor));
        fcinfo->flinfo->fn_extra = descriptor;
        MemoryContextSwitchTo(caller);
    }
    memset(nulls, true, sizeof(nulls));
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls)));
}
