/*
 * log.c: batches, and hashed senders.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A hashed sender is "hmac:" and 32 hexadecimal digits: HMAC-SHA-256 (RFC 2104, cut to 128 bits)
 * under a key of 32 random bytes that is made when it is first needed, is kept in
 * webhook_routing_secrets and is granted to nobody. What already has that form is left as it is,
 * so that storing a row a second time hashes nothing twice.
 */
#include "log.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "webhook_routing.h"

#define KEY_BYTES 32
#define HASH_PREFIX "hmac:"
#define HASH_BYTES 16 /* of the 32 that HMAC-SHA-256 has */
#define HASH_LENGTH (strlen(HASH_PREFIX) + 2 * HASH_BYTES)

/*
 * What log_begin found, for the rows of its statement. It is of no use in a later transaction: a
 * statement that failed may have left it behind, and rows that are then loaded into a partition
 * directly must stay as they are.
 */
static struct
{
	LocalTransactionId transaction;
	bool hash_senders;
	uint8 key[KEY_BYTES];
} current;

/* The arrays of store_routing_logs() in order, and the column that each one fills. */
static const struct
{
	const char *parameter;
	const char *column;
	Oid type;
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
	{"from_numbers", "from_number", TEXTOID},
	{"message_ids", "message_id", TEXTOID},
	{"message_types", "message_type", TEXTOID},
	{"correlation_ids", "correlation_id", TEXTOID},
	{"http_statuses", "http_status", INT4OID},
	{"response_times_ms", "response_time_ms", FLOAT8OID},
	{"statuses", "status", TEXTOID},
	{"error_messages", "error_message", TEXTOID},
	{"ambiguous", "ambiguous", BOOLOID},
};

PG_FUNCTION_INFO_V1(store_routing_logs);
PG_FUNCTION_INFO_V1(webhook_routing_log_begin);
PG_FUNCTION_INFO_V1(webhook_routing_log_hash);
PG_FUNCTION_INFO_V1(routing_sender_hash);

/* --- What both files use ------------------------------------------------------------------ */

static Datum
config_value(HeapTuple config, Relation table, const char *column)
{
	bool isnull;
	Datum value = heap_getattr(config, get_attnum(RelationGetRelid(table), column),
							   RelationGetDescr(table), &isnull);

	if (isnull)
		elog(ERROR, "column %s of the routing configuration is null", column);
	return value;
}

void
log_settings_read(FunctionCallInfo fcinfo, LogSettings *settings)
{
	Relation table = table_open(webhook_routing_relation(fcinfo, "webhook_routing_config"),
								AccessShareLock);
	HeapTuple config = webhook_routing_newest_config(table, GetActiveSnapshot());
	Timestamp expiry;

	if (!HeapTupleIsValid(config))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no routing configuration"),
				 errhint("DROP EXTENSION webhook_routing; CREATE EXTENSION webhook_routing;")));
	settings->hash_senders = DatumGetBool(config_value(config, table, "hash_senders"));
	settings->warning_ms = DatumGetInt32(config_value(config, table, "warning_p95_ms"));
	settings->critical_ms = DatumGetInt32(config_value(config, table, "critical_p95_ms"));

	/* In UTC, whatever the session's time zone; and whole days, as partitions are dropped. */
	expiry = DatumGetTimestamp(DirectFunctionCall2(timestamp_mi_interval,
												   TimestampGetDatum(GetCurrentTimestamp()),
												   config_value(config, table, "log_retention")));
	settings->oldest = DatumGetTimestamp(DirectFunctionCall2(timestamp_trunc,
															 CStringGetTextDatum("day"),
															 TimestampGetDatum(expiry)));
	table_close(table, AccessShareLock);
}

SPIPlanPtr
log_plan(FunctionCallInfo fcinfo, LogPlan *kept, int nargs, const Oid *types)
{
	Oid log = webhook_routing_relation(fcinfo, "webhook_routing_logs");

	if (kept->plan == NULL || kept->log != log)
	{
		const char *schema = quote_identifier(get_namespace_name(get_rel_namespace(log)));
		StringInfoData command;
		SPIPlanPtr plan;

		initStringInfo(&command);
		for (const char *at = kept->command; *at != '\0'; at++)
		{
			if (at[0] == '%' && at[1] == 's')
			{
				appendStringInfoString(&command, schema);
				at++;
			}
			else
				appendStringInfoChar(&command, *at);
		}
		plan = SPI_prepare(command.data, nargs, unconstify(Oid *, types));
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", command.data,
				 SPI_result_code_string(SPI_result));
		if (kept->plan != NULL)
			SPI_freeplan(kept->plan);
		kept->plan = plan;
		kept->log = log;
	}
	return kept->plan;
}

TriggerData *
log_trigger(FunctionCallInfo fcinfo, const char *name, TriggerEvent event)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(trigger->tg_event & (TRIGGER_EVENT_OPMASK | TRIGGER_EVENT_ROW |
							  TRIGGER_EVENT_TIMINGMASK)) != event)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s() can only be called by its trigger", name)));
	return trigger;
}

/* --- Batches ------------------------------------------------------------------------------ */

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
 * costs a quarter of what unnest() of all of them would.
 */
static EphemeralNamedRelation
batch_relation(FunctionCallInfo fcinfo, int rows)
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

static const char *
batch_command(void)
{
	static char *command = NULL;
	StringInfoData built;

	if (command != NULL)
		return command;
	initStringInfo(&built);
	appendStringInfoString(&built, "INSERT INTO %s.webhook_routing_logs (");
	for (int i = 0; i < lengthof(batch); i++)
		appendStringInfo(&built, "%s%s", i > 0 ? ", " : "", batch[i].column);
	appendStringInfoString(&built, ") SELECT * FROM batch ON CONFLICT DO NOTHING");
	command = MemoryContextStrdup(TopMemoryContext, built.data);
	return command;
}

/*
 * The server describes a row that breaks a constraint by its values, the sender's number among
 * them, and that would go to the server's log and the caller's. The id, which comes first, is what
 * the caller needs.
 */
static void
reduce_to_id(ErrorData *error)
{
	const char *row;

	if (error->detail == NULL || (error->sqlerrcode != ERRCODE_CHECK_VIOLATION &&
								  error->sqlerrcode != ERRCODE_NOT_NULL_VIOLATION))
		return;
	row = strchr(error->detail, '(');
	if (row != NULL && strspn(row + 1, "0123456789abcdef-") == 36)
		error->detail = psprintf("The row has the id %.36s.", row + 1);
	else
		error->detail = NULL;
}

/*
 * store_routing_logs(21 arrays) returns bigint
 *
 * Stores a batch; returns how many rows were not there yet. Either all of it is in the table
 * afterwards, or nothing of it.
 */
Datum
store_routing_logs(PG_FUNCTION_ARGS)
{
	static LogPlan plan;
	MemoryContext context = CurrentMemoryContext;
	EphemeralNamedRelation relation = batch_relation(fcinfo, check_batch(fcinfo));
	int64 stored;

	plan.command = batch_command();
	SPI_connect();
	PG_TRY();
	{
		int result;

		SPI_register_relation(relation);
		result = SPI_execute_plan(log_plan(fcinfo, &plan, 0, NULL), NULL, NULL, false, 0);
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
	stored = (int64) SPI_processed;
	SPI_finish();
	tuplestore_end(relation->reldata);
	PG_RETURN_INT64(stored);
}

/* --- Hashed senders ----------------------------------------------------------------------- */

static bool
read_key(FunctionCallInfo fcinfo, uint8 *key)
{
	static LogPlan plan = {
		"SELECT secret FROM %s.webhook_routing_secrets WHERE name = 'sender_hash'",
	};
	bool isnull;
	bytea *secret;

	if (SPI_execute_plan(log_plan(fcinfo, &plan, 0, NULL), NULL, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the key of hashed senders");
	if (SPI_processed == 0)
		return false;
	secret = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										   &isnull));
	if (VARSIZE_ANY_EXHDR(secret) != KEY_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the key of hashed senders is not %d bytes long", KEY_BYTES)));
	memcpy(key, VARDATA_ANY(secret), KEY_BYTES);
	return true;
}

/* Two backends may be here at once: one key stays, and both use that one. */
static void
make_key(FunctionCallInfo fcinfo, uint8 *key)
{
	static LogPlan plan = {
		"INSERT INTO %s.webhook_routing_secrets (name, secret) VALUES ('sender_hash', $1)"
		" ON CONFLICT DO NOTHING",
	};
	bytea *secret = palloc(VARHDRSZ + KEY_BYTES);
	Datum value = PointerGetDatum(secret);

	SET_VARSIZE(secret, VARHDRSZ + KEY_BYTES);
	if (!pg_strong_random(VARDATA(secret), KEY_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a key for hashed senders")));
	if (SPI_execute_plan(log_plan(fcinfo, &plan, 1, (Oid[]){BYTEAOID}), &value, NULL, false,
						 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store the key of hashed senders");
	if (!read_key(fcinfo, key))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the key of hashed senders was made by a concurrent transaction"),
				 errhint("Run the transaction again.")));
}

static bool
is_hashed(const char *string)
{
	return strlen(string) == HASH_LENGTH &&
		   strncmp(string, HASH_PREFIX, strlen(HASH_PREFIX)) == 0 &&
		   strspn(string + strlen(HASH_PREFIX), "0123456789abcdef") == 2 * HASH_BYTES;
}

/* The hash of a text, or that text when it is one. */
static text *
hashed(text *plain, const uint8 *key)
{
	char *string = text_to_cstring(plain);
	char result[sizeof(HASH_PREFIX) + 2 * HASH_BYTES] = HASH_PREFIX;
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *hmac;

	if (is_hashed(string))
		return plain;
	hmac = pg_hmac_create(PG_SHA256);
	if (hmac == NULL ||
		pg_hmac_init(hmac, key, KEY_BYTES) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) string, strlen(string)) < 0 ||
		pg_hmac_final(hmac, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not hash a sender: %s", pg_hmac_error(hmac))));
	pg_hmac_free(hmac);
	hex_encode((char *) digest, HASH_BYTES, result + strlen(HASH_PREFIX));
	result[HASH_LENGTH] = '\0';
	return cstring_to_text(result);
}

/* Statement trigger: before an INSERT into the log. */
Datum
webhook_routing_log_begin(PG_FUNCTION_ARGS)
{
	LogSettings settings;

	log_trigger(fcinfo, "webhook_routing_log_begin", TRIGGER_EVENT_INSERT | TRIGGER_EVENT_BEFORE);
	log_settings_read(fcinfo, &settings);
	current.hash_senders = false;
	if (settings.hash_senders)
	{
		SPI_connect();
		if (!read_key(fcinfo, current.key))
			make_key(fcinfo, current.key);
		SPI_finish();
		current.hash_senders = true;
	}
	current.transaction = MY_LOCAL_TRANSACTION_ID;
	PG_RETURN_POINTER(NULL);
}

/* Row trigger: before each row of an INSERT, into the log or into one of its partitions. */
Datum
webhook_routing_log_hash(PG_FUNCTION_ARGS)
{
	static const char *const columns[] = {"from_number", "message_id"};
	TriggerData *trigger = log_trigger(fcinfo, "webhook_routing_log_hash",
									   TRIGGER_EVENT_INSERT | TRIGGER_EVENT_BEFORE |
										   TRIGGER_EVENT_ROW);
	TupleDesc row = RelationGetDescr(trigger->tg_relation);
	int changed = 0;
	int numbers[lengthof(columns)];
	Datum values[lengthof(columns)];
	bool nulls[lengthof(columns)] = {false};

	if (!current.hash_senders || current.transaction != MY_LOCAL_TRANSACTION_ID)
		return PointerGetDatum(trigger->tg_trigtuple);
	for (int i = 0; i < lengthof(columns); i++)
	{
		int number = SPI_fnumber(row, columns[i]);
		bool isnull;
		Datum plain = heap_getattr(trigger->tg_trigtuple, number, row, &isnull);

		if (isnull)
			continue;
		numbers[changed] = number;
		values[changed] = PointerGetDatum(hashed(DatumGetTextPP(plain), current.key));
		changed++;
	}
	if (changed == 0)
		return PointerGetDatum(trigger->tg_trigtuple);
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_trigtuple, row, changed, numbers,
													 values, nulls));
}

/*
 * routing_sender_hash(sender text) returns text: as the log has it, or NULL when no sender was
 * ever hashed here.
 */
Datum
routing_sender_hash(PG_FUNCTION_ARGS)
{
	uint8 key[KEY_BYTES];
	bool found;

	SPI_connect();
	found = read_key(fcinfo, key);
	SPI_finish();
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(hashed(PG_GETARG_TEXT_PP(0), key));
}
