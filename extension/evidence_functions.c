/* SPDX-License-Identifier: PostgreSQL
 *
 * evidence_functions.c: evidence.h under SQL.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "evidence.h"

/* The figures of struct evidence_counts, in its order. */
#define COUNTS 5

PG_FUNCTION_INFO_V1(routing_error_bounds);
PG_FUNCTION_INFO_V1(routing_requests_needed);
PG_FUNCTION_INFO_V1(routing_chi_square_p);
PG_FUNCTION_INFO_V1(webhook_routing_judge);
PG_FUNCTION_INFO_V1(webhook_routing_guard_run);

static Datum
row_of(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc row;

	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the result is not a row");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls));
}

static void
check_errors(int64 errors, int64 requests)
{
	if (errors < 0 || errors > requests || requests > EVIDENCE_MOST_REQUESTS)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%lld errors of %lld requests are not possible", (long long) errors,
						(long long) requests),
				 errhint("Give 0 <= errors <= requests <= %lld.",
						 (long long) EVIDENCE_MOST_REQUESTS)));
}

/* routing_error_bounds(errors bigint, requests bigint, OUT low_pct, OUT high_pct double precision) */
Datum
routing_error_bounds(PG_FUNCTION_ARGS)
{
	int64 errors = PG_GETARG_INT64(0);
	int64 requests = PG_GETARG_INT64(1);
	Datum values[2];
	bool nulls[2] = {false};

	check_errors(errors, requests);
	values[0] = Float8GetDatum(100 * evidence_lower_bound(errors, requests, EVIDENCE_ALPHA));
	values[1] = Float8GetDatum(100 * evidence_upper_bound(errors, requests, EVIDENCE_ALPHA));
	PG_RETURN_DATUM(row_of(fcinfo, values, nulls));
}

/* routing_requests_needed(errors bigint, requests bigint, limit_pct double precision) returns bigint */
Datum
routing_requests_needed(PG_FUNCTION_ARGS)
{
	int64 errors = PG_GETARG_INT64(0);
	int64 requests = PG_GETARG_INT64(1);
	double limit = PG_GETARG_FLOAT8(2);
	int64 needed;

	check_errors(errors, requests);
	if (!(limit > 0 && limit <= 100))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("an error rate of %g %% cannot be a limit", limit),
				 errhint("Give percent, above 0 and up to 100, such as 0.5.")));
	needed = evidence_requests_needed(errors, requests, limit / 100);
	if (needed < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(needed);
}

/* routing_chi_square_p(statistic double precision, degrees integer) returns double precision */
Datum
routing_chi_square_p(PG_FUNCTION_ARGS)
{
	double statistic = PG_GETARG_FLOAT8(0);
	int degrees = PG_GETARG_INT32(1);

	if (degrees < 1)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a chi-square statistic cannot have %d degrees of freedom", degrees),
				 errhint("Of k groups they are k - 1, at least 1.")));
	PG_RETURN_FLOAT8(evidence_chi_square_p(statistic, degrees));
}

/* The numbers of a plain array of so many. */
static const int64 *
numbers_from(ArrayType *array, int count)
{
	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] != count || ARR_HASNULL(array))
		elog(ERROR, "expected a list of %d numbers", count);
	return (const int64 *) ARR_DATA_PTR(array);
}

/* Raises unless the array can be a struct evidence_counts. */
static struct evidence_counts
counts_from(ArrayType *array)
{
	const int64 *figures = numbers_from(array, COUNTS);
	struct evidence_counts counts;

	counts = (struct evidence_counts){
		.requests = figures[0],
		.errors = figures[1],
		.measured = figures[2],
		.reached_warning = figures[3],
		.above_critical = figures[4],
	};
	check_errors(counts.errors, counts.requests);
	check_errors(counts.reached_warning, counts.measured);
	check_errors(counts.above_critical, counts.measured);
	return counts;
}

/*
 * webhook_routing_judge(counts bigint[], other bigint[], warning_rate double precision, critical_rate
 * double precision, min_requests integer): evidence_judge() of rates as proportions; other may be NULL.
 */
Datum
webhook_routing_judge(PG_FUNCTION_ARGS)
{
	struct evidence_counts counts, other;
	struct evidence_limits limits;
	struct evidence_verdict verdict;
	Datum values[7];
	bool nulls[7] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		PG_RETURN_NULL();
	counts = counts_from(PG_GETARG_ARRAYTYPE_P(0));
	if (!PG_ARGISNULL(1))
		other = counts_from(PG_GETARG_ARRAYTYPE_P(1));
	limits = (struct evidence_limits){
		.warning_rate = PG_GETARG_FLOAT8(2),
		.critical_rate = PG_GETARG_FLOAT8(3),
		.min_requests = PG_GETARG_INT32(4),
	};
	verdict = evidence_judge(&counts, PG_ARGISNULL(1) ? NULL : &other, &limits);

	values[0] = CStringGetTextDatum(evidence_severity_name(verdict.severity));
	values[1] = CStringGetTextDatum(evidence_proof_name(verdict.proof));
	values[2] = CStringGetTextDatum(evidence_severity_name(verdict.errors));
	values[3] = CStringGetTextDatum(evidence_severity_name(verdict.latency));
	values[4] = Float8GetDatum(100 * verdict.error_low);
	values[5] = Float8GetDatum(100 * verdict.error_high);
	values[6] = Int64GetDatum(verdict.needed);
	nulls[6] = verdict.needed < 0;
	PG_RETURN_DATUM(row_of(fcinfo, values, nulls));
}

/* The guard's state after all minutes, given in four arrays. */
static struct evidence_guard
guard_over(FunctionCallInfo fcinfo, const struct evidence_limits *limits)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	int count = ARR_NDIM(array) == 1 ? ARR_DIMS(array)[0] : 0;
	const int64 *requests = numbers_from(array, count);
	const int64 *errors = numbers_from(PG_GETARG_ARRAYTYPE_P(1), count);
	const int64 *legacy_requests = numbers_from(PG_GETARG_ARRAYTYPE_P(2), count);
	const int64 *legacy_errors = numbers_from(PG_GETARG_ARRAYTYPE_P(3), count);
	struct evidence_minute *minutes = palloc(sizeof(*minutes) * count);
	struct evidence_guard guard = {0};

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		check_errors(errors[i], requests[i]);
		check_errors(legacy_errors[i], legacy_requests[i]);
		minutes[i] = (struct evidence_minute){requests[i], errors[i], legacy_requests[i],
											  legacy_errors[i]};
		evidence_guard_add(&guard, minutes, i, limits);
	}
	pfree(minutes);
	return guard;
}

/*
 * webhook_routing_guard_run(requests bigint[], errors bigint[], legacy_requests bigint[], legacy_errors
 * bigint[], warning_rate double precision, critical_rate double precision, min_requests integer)
 */
Datum
webhook_routing_guard_run(PG_FUNCTION_ARGS)
{
	struct evidence_limits limits = {
		.warning_rate = PG_GETARG_FLOAT8(4),
		.critical_rate = PG_GETARG_FLOAT8(5),
		.min_requests = PG_GETARG_INT32(6),
	};
	struct evidence_guard guard = guard_over(fcinfo, &limits);
	Datum values[] = {
		Float8GetDatum(guard.statistic),
		BoolGetDatum(guard.alarm),
		Int32GetDatum((int32) guard.first + 1),
		Int64GetDatum(guard.requests),
		Int64GetDatum(guard.errors),
		Int64GetDatum(guard.legacy_requests),
		Int64GetDatum(guard.legacy_errors),
		Int64GetDatum(guard.excused),
	};
	bool nulls[lengthof(values)] = {false};

	nulls[2] = guard.statistic == 0;
	PG_RETURN_DATUM(row_of(fcinfo, values, nulls));
}
