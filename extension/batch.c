/* SPDX-License-Identifier: PostgreSQL
 *
 * batch.c: batches of the forwarder, into the log and into webhook_routing_pending.
 *
 * A forwarder gives up its own copy of a row when the COMMIT has been acknowledged, so each of these
 * functions makes that COMMIT wait for the local disk, also where synchronous_commit is off, and for a
 * synchronous standby, where there is one, also of rows that were there already.
 *
 * Who settles a row, with its outcome or without (routing_maintain()), first locks it in
 * webhook_routing_pending and only then writes the log. In that order nobody waits in a circle.
 */
#include "log.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "webhook_routing.h"

/* The arrays of both functions in order, and the column that each one fills. */
static const struct
{
	const char *parameter;
	const char *column;
	Oid type;
	bool personal; /* hashed when senders are */
} batch[] = {
	{"ids", "id", UUIDOID},
	{"created_ats", "created_at", TIMESTAMPTZOID},
	{"decision_ids", "decision_id", UUIDOID},
	{"attempts", "attempt", INT4OID},
	{"items", "item", INT4OID},
	{"webhook_names", "webhook_name", TEXTOID},
	{"domains", "domain", TEXTOID},
	{"routed_tos", "routed_to", TEXTOID},
	{"reasons", "reason", TEXTOID},
	{"buckets", "bucket", INT4OID},
	{"percentages", "percentage", NUMERICOID},
	{"config_versions", "config_version", INT8OID},
	{"from_numbers", "from_number", TEXTOID, true},
	{"message_ids", "message_id", TEXTOID, true},
	{"message_types", "message_type", TEXTOID},
	{"correlation_ids", "correlation_id", TEXTOID},
	{"http_statuses", "http_status", INT4OID},
	{"response_times_ms", "response_time_ms", FLOAT8OID},
	{"statuses", "status", TEXTOID},
	{"error_messages", "error_message", TEXTOID},
	{"ambiguous", "ambiguous", BOOLOID},
};

PG_FUNCTION_INFO_V1(store_routing_logs);
PG_FUNCTION_INFO_V1(store_routing_pending);

/* Raises unless all arguments are lists of the same length; returns the length. */
static int
check_batch(FunctionCallInfo fcinfo)
{
	int rows = 0;

	for (int i = 0; i < lengthof(batch); i++)
	{
		ArrayType *values;
		int length;

		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be NULL", batch[i].parameter),
					 errhint("For no rows give empty arrays.")));
		values = PG_GETARG_ARRAYTYPE_P(i);
		length = ArrayGetNItems(ARR_NDIM(values), ARR_DIMS(values));
		if (i == 0)
			rows = length;
		if (ARR_NDIM(values) > 1 || length != rows)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("the arrays of a log batch must be lists of the same length"),
					 errdetail("%s has %d elements in %d dimensions, ids has %d elements.",
							   batch[i].parameter, length, ARR_NDIM(values), rows),
					 errhint("Give each row its place in every array, NULL where there is no value.")));
	}
	return rows;
}

/*
 * The arguments as a relation that a command can name, "batch": a row per place in the arrays, which
 * costs a quarter of what unnest() of all of them would. With a key, senders are hashed.
 */
static EphemeralNamedRelation
batch_relation(FunctionCallInfo fcinfo, int rows, const uint8 *key)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	TupleDesc descriptor = CreateTemplateTupleDesc(lengthof(batch));
	Datum *values[lengthof(batch)];
	bool *nulls[lengthof(batch)];

	for (int i = 0; i < lengthof(batch); i++)
	{
		int16 length;
		bool by_value;
		char alignment;
		int count;

		TupleDescInitEntry(descriptor, i + 1, batch[i].column, batch[i].type, -1, 0);
		get_typlenbyvalalign(batch[i].type, &length, &by_value, &alignment);
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(i), batch[i].type, length, by_value, alignment,
						  &values[i], &nulls[i], &count);
	}
	for (int row = 0; row < rows; row++)
	{
		Datum row_values[lengthof(batch)];
		bool row_nulls[lengthof(batch)];

		for (int i = 0; i < lengthof(batch); i++)
		{
			row_values[i] = values[i][row];
			row_nulls[i] = nulls[i][row];
			if (key != NULL && batch[i].personal && !row_nulls[i])
				row_values[i] = PointerGetDatum(log_hashed(DatumGetTextPP(row_values[i]), key));
		}
		tuplestore_putvalues(store, descriptor, row_values, row_nulls);
	}

	relation->md.name = "batch";
	relation->md.tupdesc = descriptor;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = rows;
	relation->reldata = store;
	return relation;
}

/* The command that stores the relation "batch" in a table. Lives as long as the backend. */
static const char *
batch_command(const char *table)
{
	StringInfoData built;

	initStringInfo(&built);
	appendStringInfo(&built, "INSERT INTO %%s.%s (", table);
	for (int i = 0; i < lengthof(batch); i++)
		appendStringInfo(&built, "%s%s", i > 0 ? ", " : "", batch[i].column);
	appendStringInfoString(&built, ") SELECT * FROM batch ON CONFLICT DO NOTHING");
	return MemoryContextStrdup(TopMemoryContext, built.data);
}

/*
 * The server describes a row that breaks a constraint by its values, the sender's number among
 * them, and that would go to the server's log and the caller's. The id, which comes first, is what
 * the caller needs. Errors of ours name no table and say no more than that.
 */
static void
reduce_to_id(ErrorData *error)
{
	const char *row;

	if (error->detail == NULL || error->table_name == NULL ||
		(error->sqlerrcode != ERRCODE_CHECK_VIOLATION &&
		 error->sqlerrcode != ERRCODE_NOT_NULL_VIOLATION))
		return;
	row = strchr(error->detail, '(');
	if (row != NULL && strspn(row + 1, "0123456789abcdef-") == 36)
		error->detail = psprintf("The row has the id %.36s.", row + 1);
	else
		error->detail = NULL;
}

/*
 * Stores the relation by the plan's command; returns how many of its rows were not there yet.
 * Caller is connected to SPI.
 */
static int64
insert_batch(FunctionCallInfo fcinfo, LogPlan *plan, EphemeralNamedRelation relation)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		int result;

		SPI_register_relation(relation);
		result = SPI_execute_plan(log_plan(fcinfo, plan, 0, NULL), NULL, NULL, false, 0);
		if (result != SPI_OK_INSERT)
			elog(ERROR, "storing log rows failed: %s", SPI_result_code_string(result));
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		reduce_to_id(error);
		ReThrowError(error);
	}
	PG_END_TRY();
	return (int64) SPI_processed;
}

/* --- Into the log ------------------------------------------------------------------------- */

/*
 * Whether nothing can be pending: the table has no page, as always when no forwarder was ever without
 * its spool, and again when VACUUM has been there since. Costs one lseek().
 */
static bool
nothing_pending(FunctionCallInfo fcinfo)
{
	Relation pending = table_open(webhook_routing_relation(fcinfo, "webhook_routing_pending"),
								  AccessShareLock);
	bool nothing = RelationGetNumberOfBlocks(pending) == 0;

	table_close(pending, AccessShareLock);
	return nothing;
}

/* Caller is connected to SPI. */
static void
remove_pending(FunctionCallInfo fcinfo, Datum ids)
{
	static LogPlan plan = {"DELETE FROM %s.webhook_routing_pending WHERE id = ANY ($1)"};
	int result = SPI_execute_plan(log_plan(fcinfo, &plan, 1, (Oid[]){UUIDARRAYOID}), &ids, NULL,
								  false, 0);

	if (result != SPI_OK_DELETE)
		elog(ERROR, "removing pending rows failed: %s", SPI_result_code_string(result));
}

/*
 * Makes this COMMIT wait. That of a batch of which something was there already may have nothing to write,
 * and would wait for nobody; but the rows may not have reached the standby, when the COMMIT that brought
 * them was cut off while it waited itself. So it gets something to write: a message that nobody reads.
 */
static void
make_commit_wait(int rows, int64 stored)
{
	ForceSyncCommit();
	if (stored < rows)
		LOG_MESSAGE_OF_TRANSACTION("webhook_routing");
}

/*
 * store_routing_logs(21 arrays) returns bigint
 *
 * Stores a batch; returns how many rows were not there yet. Either all of it is in the table
 * afterwards, and pending no more, or nothing of it.
 */
Datum
store_routing_logs(PG_FUNCTION_ARGS)
{
	static LogPlan plan;
	int rows = check_batch(fcinfo);
	EphemeralNamedRelation relation = batch_relation(fcinfo, rows, NULL);
	int64 stored;

	if (plan.command == NULL)
		plan.command = batch_command("webhook_routing_logs");
	SPI_connect();
	if (!nothing_pending(fcinfo))
		remove_pending(fcinfo, PG_GETARG_DATUM(0));
	stored = insert_batch(fcinfo, &plan, relation);
	SPI_finish();
	make_commit_wait(rows, stored);
	tuplestore_end(relation->reldata);
	PG_RETURN_INT64(stored);
}

/* --- Into webhook_routing_pending --------------------------------------------------------- */

/* Raises when a row is too old for the log: it could never be settled. */
static void
check_age(const LogSettings *settings, EphemeralNamedRelation relation)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(relation->md.tupdesc, &TTSOpsMinimalTuple);

	while (tuplestore_gettupleslot(relation->reldata, true, false, row))
	{
		bool no_id;
		bool no_time;
		Datum id = slot_getattr(row, 1, &no_id);
		Datum created_at = slot_getattr(row, 2, &no_time);

		if (!no_id && !no_time && DatumGetTimestampTz(created_at) < settings->oldest)
			log_refuse_expired(id, DatumGetTimestampTz(created_at));
	}
	tuplestore_rescan(relation->reldata);
	ExecDropSingleTupleTableSlot(row);
}

/*
 * store_routing_pending(21 arrays) returns bigint
 *
 * Stores rows whose outcome is not known yet; returns how many were not there. It takes what
 * store_routing_logs() would take, all of it or nothing.
 */
Datum
store_routing_pending(PG_FUNCTION_ARGS)
{
	static LogPlan plan;
	int rows = check_batch(fcinfo);
	uint8 key[LOG_KEY_BYTES];
	LogSettings settings;
	EphemeralNamedRelation relation;
	int64 stored;

	log_settings_read(fcinfo, &settings);
	relation = batch_relation(fcinfo, rows, log_sender_key(fcinfo, &settings, key) ? key : NULL);
	check_age(&settings, relation);

	if (plan.command == NULL)
		plan.command = batch_command("webhook_routing_pending");
	SPI_connect();
	stored = insert_batch(fcinfo, &plan, relation);
	SPI_finish();
	make_commit_wait(rows, stored);
	tuplestore_end(relation->reldata);
	PG_RETURN_INT64(stored);
}
