/* SPDX-License-Identifier: PostgreSQL
 *
 * log.c: what all of the log uses, and hashed senders.
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
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "webhook_routing.h"

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
	uint8 key[LOG_KEY_BYTES];
} current;

PG_FUNCTION_INFO_V1(webhook_routing_log_begin);
PG_FUNCTION_INFO_V1(webhook_routing_log_hash);
PG_FUNCTION_INFO_V1(routing_sender_hash);

/* --- What all files use ------------------------------------------------------------------ */

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
	settings->conversation_timeout = webhook_routing_microseconds(
		DatumGetIntervalP(config_value(config, table, "conversation_timeout")));

	/* In UTC, whatever the session's time zone; and whole days, as partitions are dropped. */
	expiry = DatumGetTimestamp(DirectFunctionCall2(timestamp_mi_interval,
												   TimestampGetDatum(GetCurrentTimestamp()),
												   config_value(config, table, "log_retention")));
	settings->oldest = DatumGetTimestamp(DirectFunctionCall2(timestamp_trunc,
															 CStringGetTextDatum("day"),
															 TimestampGetDatum(expiry)));
	table_close(table, AccessShareLock);
}

void
log_refuse_expired(Datum id, TimestampTz created_at)
{
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("log row of %s is older than the log retention",
					timestamptz_to_str(created_at)),
			 errdetail("The row has the id %s.", DatumGetCString(DirectFunctionCall1(uuid_out, id))),
			 errhint("Leave it out, or keep rows longer: "
					 "SELECT update_routing_settings('{\"log_retention\": \"60 days\"}', 'why');")));
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

/* --- Hashed senders ----------------------------------------------------------------------- */

/* Caller is connected to SPI. */
static bool
read_key(FunctionCallInfo fcinfo, const char *name, uint8 *key)
{
	static LogPlan plan = {
		"SELECT secret FROM %s.webhook_routing_secrets WHERE name = $1",
	};
	Datum value = CStringGetTextDatum(name);
	bool isnull;
	bytea *secret;

	if (SPI_execute_plan(log_plan(fcinfo, &plan, 1, (Oid[]){TEXTOID}), &value, NULL, false, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read the key \"%s\"", name);
	if (SPI_processed == 0)
		return false;
	secret = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										   &isnull));
	if (VARSIZE_ANY_EXHDR(secret) != LOG_KEY_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the key \"%s\" is not %d bytes long", name, LOG_KEY_BYTES)));
	memcpy(key, VARDATA_ANY(secret), LOG_KEY_BYTES);
	return true;
}

/* Two backends may be here at once: one key stays, and both use that one. */
static void
make_key(FunctionCallInfo fcinfo, const char *name, uint8 *key)
{
	static LogPlan plan = {
		"INSERT INTO %s.webhook_routing_secrets (name, secret) VALUES ($1, $2)"
		" ON CONFLICT DO NOTHING",
	};
	bytea *secret = palloc(VARHDRSZ + LOG_KEY_BYTES);
	Datum values[] = {CStringGetTextDatum(name), PointerGetDatum(secret)};

	SET_VARSIZE(secret, VARHDRSZ + LOG_KEY_BYTES);
	if (!pg_strong_random(VARDATA(secret), LOG_KEY_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make the key \"%s\"", name)));
	if (SPI_execute_plan(log_plan(fcinfo, &plan, 2, (Oid[]){TEXTOID, BYTEAOID}), values, NULL, false,
						 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store the key \"%s\"", name);
	if (!read_key(fcinfo, name, key))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the key \"%s\" was made by a concurrent transaction", name),
				 errhint("Run the transaction again.")));
}

void
log_key(FunctionCallInfo fcinfo, const char *name, uint8 *key)
{
	if (!read_key(fcinfo, name, key))
		make_key(fcinfo, name, key);
}

static bool
is_hashed(const char *string)
{
	return strlen(string) == HASH_LENGTH &&
		   strncmp(string, HASH_PREFIX, strlen(HASH_PREFIX)) == 0 &&
		   strspn(string + strlen(HASH_PREFIX), "0123456789abcdef") == 2 * HASH_BYTES;
}

text *
log_hashed(text *plain, const uint8 *key)
{
	char *string = text_to_cstring(plain);
	char result[sizeof(HASH_PREFIX) + 2 * HASH_BYTES] = HASH_PREFIX;
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *hmac;

	if (is_hashed(string))
		return plain;
	hmac = pg_hmac_create(PG_SHA256);
	if (hmac == NULL ||
		pg_hmac_init(hmac, key, LOG_KEY_BYTES) < 0 ||
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

bool
log_sender_key(FunctionCallInfo fcinfo, const LogSettings *settings, uint8 *key)
{
	if (!settings->hash_senders)
		return false;
	SPI_connect();
	log_key(fcinfo, LOG_SENDER_KEY, key);
	SPI_finish();
	return true;
}

/* Statement trigger: before an INSERT into the log. */
Datum
webhook_routing_log_begin(PG_FUNCTION_ARGS)
{
	LogSettings settings;

	log_trigger(fcinfo, "webhook_routing_log_begin", TRIGGER_EVENT_INSERT | TRIGGER_EVENT_BEFORE);
	log_settings_read(fcinfo, &settings);
	current.hash_senders = false;
	current.hash_senders = log_sender_key(fcinfo, &settings, current.key);
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
		values[changed] = PointerGetDatum(log_hashed(DatumGetTextPP(plain), current.key));
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
	uint8 key[LOG_KEY_BYTES];
	bool found;

	SPI_connect();
	found = read_key(fcinfo, LOG_SENDER_KEY, key);
	SPI_finish();
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(log_hashed(PG_GETARG_TEXT_PP(0), key));
}
