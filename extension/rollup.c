/* SPDX-License-Identifier: PostgreSQL
 *
 * rollup.c: folds the rows of a statement into the per-minute rollups.
 *
 * A statistic is kept per minute, target, domain, side and config version, in one row or a few. A writer
 * takes any of these that nobody else has locked and adds to it, and makes a new one when there is
 * none: so writers never wait for each other, however long their transactions are, and there are
 * never more rows than there were writers at once. Readers add the rows up.
 *
 * Rows are read from the trigger's transition table, so a row that ON CONFLICT passed over is not
 * counted, and a batch that is stored again changes nothing. An error of a message that has failed
 * before is an error like any other in the statistics, and left out where health and guard judge.
 */
#include "log.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "sketch.h"

/* Kept in memory at once, 20 kB each; a statement that touches more is folded in portions. */
#define MAX_GROUPS 64

/* WhatsApp asks for a median of 250 ms and less than 1 % above a second. */
#define META_MEDIAN_MS 250.0
#define META_SLOW_MS 1000.0

/* Which rollup it is. */
typedef struct RollupKey
{
	TimestampTz minute;
	text *webhook_name;
	text *domain;
	text *routed_to;
	int64 config_version; /* 0 where there is none */
	bool no_config_version;
} RollupKey;

typedef struct RollupGroup
{
	RollupKey key;

	int64 requests;
	int64 errors;
	int64 repeated_errors; /* of a message whose error was counted before */
	int64 skipped;		   /* no attempt was made, so there is no latency; without repeated errors */
	int64 above_250_ms;
	int64 above_1000_ms;
	int64 reached_warning; /* at or above it, as the warning is defined; without repeated errors */
	int64 above_critical;  /* without repeated errors */
	TimestampTz first_request;
	TimestampTz last_request;
	LatencySketch latency;
} RollupGroup;

/* The columns that are read of each new row, by their number in the table. */
typedef struct RollupColumns
{
	int id;
	int item;
	int created_at;
	int webhook_name;
	int domain;
	int routed_to;
	int config_version;
	int status;
	int message_id;
	int response_time_ms;
} RollupColumns;

typedef struct Rollup
{
	FunctionCallInfo fcinfo;
	LogSettings settings;
	RollupColumns columns;
	LogFailures failures;
	Oid sketch_type;
	int used;
	RollupGroup *groups[MAX_GROUPS]; /* allocated up to the most that were ever used */
} Rollup;

PG_FUNCTION_INFO_V1(webhook_routing_log_count);

static bool
text_equals(const text *one, const text *other)
{
	return VARSIZE_ANY_EXHDR(one) == VARSIZE_ANY_EXHDR(other) &&
		   memcmp(VARDATA_ANY(one), VARDATA_ANY(other), VARSIZE_ANY_EXHDR(one)) == 0;
}

/* --- Writing a group ---------------------------------------------------------------------- */

/* $1 to $5 say which rollup it is, $6 to $16 what is added, $17 is a row's id. */
enum
{
	FIND_PARAMETERS = 5,
	INSERT_PARAMETERS = 16,
	UPDATE_PARAMETERS = 17
};

static LogPlan find_plan = {
	"SELECT id FROM %s.webhook_routing_rollups"
	" WHERE minute = $1 AND domain = $2 AND routed_to = $3 AND webhook_name = $4"
	" AND config_version IS NOT DISTINCT FROM $5"
	" LIMIT 1 FOR UPDATE SKIP LOCKED",
};

static LogPlan insert_plan = {
	"INSERT INTO %s.webhook_routing_rollups (minute, domain, routed_to, webhook_name, config_version,"
	" requests, errors, skipped, above_250_ms, above_1000_ms, reached_warning, above_critical,"
	" latency, first_request, last_request, repeated_errors)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
};

static LogPlan update_plan = {
	"UPDATE %s.webhook_routing_rollups SET"
	" requests = requests + $6, errors = errors + $7, skipped = skipped + $8,"
	" above_250_ms = above_250_ms + $9, above_1000_ms = above_1000_ms + $10,"
	" reached_warning = reached_warning + $11, above_critical = above_critical + $12,"
	" latency = %s.latency_sketch_merge(latency, $13),"
	" first_request = least(first_request, $14), last_request = greatest(last_request, $15),"
	" repeated_errors = repeated_errors + $16"
	" WHERE id = $17",
};

static void
group_execute(Rollup *rollup, LogPlan *plan, Datum *values, const char *nulls, int nargs,
			  int expected)
{
	Oid types[UPDATE_PARAMETERS] = {
		TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, INT8OID,
		INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID,
		rollup->sketch_type, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, UUIDOID};
	int result = SPI_execute_plan(log_plan(rollup->fcinfo, plan, nargs, types),
								  values, nulls, false, 0);

	if (result != expected)
		elog(ERROR, "could not write a rollup: %s", SPI_result_code_string(result));
}

/* Caller is connected to SPI. */
static void
group_write(Rollup *rollup, const RollupGroup *group)
{
	char nulls[UPDATE_PARAMETERS + 1] = "                 ";
	Datum values[UPDATE_PARAMETERS] = {
		TimestampTzGetDatum(group->key.minute),
		PointerGetDatum(group->key.domain),
		PointerGetDatum(group->key.routed_to),
		PointerGetDatum(group->key.webhook_name),
		Int64GetDatum(group->key.config_version),
		Int64GetDatum(group->requests),
		Int64GetDatum(group->errors),
		Int64GetDatum(group->skipped),
		Int64GetDatum(group->above_250_ms),
		Int64GetDatum(group->above_1000_ms),
		Int64GetDatum(group->reached_warning),
		Int64GetDatum(group->above_critical),
		sketch_store(&group->latency),
		TimestampTzGetDatum(group->first_request),
		TimestampTzGetDatum(group->last_request),
		Int64GetDatum(group->repeated_errors),
	};

	if (group->key.no_config_version)
		nulls[FIND_PARAMETERS - 1] = 'n';

	/*
	 * Under REPEATABLE READ a row that somebody has changed since the snapshot cannot be changed
	 * here; a new one always can be made.
	 */
	if (!IsolationUsesXactSnapshot())
	{
		group_execute(rollup, &find_plan, values, nulls, FIND_PARAMETERS, SPI_OK_SELECT);
		if (SPI_processed > 0)
		{
			bool isnull;

			values[UPDATE_PARAMETERS - 1] = SPI_getbinval(SPI_tuptable->vals[0],
														  SPI_tuptable->tupdesc, 1, &isnull);
			group_execute(rollup, &update_plan, values, nulls, UPDATE_PARAMETERS, SPI_OK_UPDATE);
			return;
		}
	}
	group_execute(rollup, &insert_plan, values, nulls, INSERT_PARAMETERS, SPI_OK_INSERT);
}

static void
rollup_write(Rollup *rollup)
{
	SPI_connect();
	for (int i = 0; i < rollup->used; i++)
		group_write(rollup, rollup->groups[i]);
	SPI_finish();
	for (int i = 0; i < rollup->used; i++)
	{
		pfree(rollup->groups[i]->key.domain);
		pfree(rollup->groups[i]->key.routed_to);
		pfree(rollup->groups[i]->key.webhook_name);
	}
	rollup->used = 0;
}

/* --- Reading the rows --------------------------------------------------------------------- */

static bool
same_key(const RollupKey *one, const RollupKey *other)
{
	return one->minute == other->minute && one->config_version == other->config_version &&
		   one->no_config_version == other->no_config_version &&
		   text_equals(one->domain, other->domain) &&
		   text_equals(one->routed_to, other->routed_to) &&
		   text_equals(one->webhook_name, other->webhook_name);
}

/* The group of that key; made, and room made for it, when there is none. */
static RollupGroup *
group_of(Rollup *rollup, const RollupKey *key)
{
	RollupGroup *group;

	for (int i = 0; i < rollup->used; i++)
		if (same_key(&rollup->groups[i]->key, key))
			return rollup->groups[i];

	if (rollup->used == MAX_GROUPS)
		rollup_write(rollup);
	group = rollup->groups[rollup->used];
	if (group == NULL)
		group = rollup->groups[rollup->used] = palloc(sizeof(RollupGroup));
	rollup->used++;
	memset(group, 0, offsetof(RollupGroup, latency));
	sketch_init(&group->latency);
	group->key = *key;
	group->key.webhook_name = copy_text(key->webhook_name);
	group->key.domain = copy_text(key->domain);
	group->key.routed_to = copy_text(key->routed_to);
	group->first_request = PG_INT64_MAX;
	group->last_request = PG_INT64_MIN;
	return group;
}

/* The texts are the row's. */
static RollupKey
key_of(const RollupColumns *columns, TupleTableSlot *row, TimestampTz created_at)
{
	bool isnull;
	RollupKey key;

	/* Rounded down also before 2000, where timestamps are negative. */
	key.minute = created_at - ((created_at % USECS_PER_MINUTE) + USECS_PER_MINUTE) % USECS_PER_MINUTE;
	key.webhook_name = DatumGetTextPP(slot_getattr(row, columns->webhook_name, &isnull));
	key.domain = DatumGetTextPP(slot_getattr(row, columns->domain, &isnull));
	key.routed_to = DatumGetTextPP(slot_getattr(row, columns->routed_to, &isnull));
	key.config_version = DatumGetInt64(slot_getattr(row, columns->config_version,
													&key.no_config_version));
	if (key.no_config_version)
		key.config_version = 0;
	return key;
}

/* Whether this error row is one of a message that was counted before. */
static bool
is_repeated(Rollup *rollup, TupleTableSlot *row, const RollupKey *key)
{
	bool isnull;
	Datum message_id = slot_getattr(row, rollup->columns.message_id, &isnull);

	return !isnull && log_error_repeated(rollup->fcinfo, &rollup->failures, key->domain,
										 key->routed_to, DatumGetTextPP(message_id));
}

static void
rollup_add(Rollup *rollup, TupleTableSlot *row)
{
	const RollupColumns *columns = &rollup->columns;
	bool isnull;
	bool no_response_time;
	TimestampTz created_at = DatumGetTimestampTz(slot_getattr(row, columns->created_at, &isnull));
	text *status;
	double response_time;
	RollupKey key;
	RollupGroup *group;
	bool repeated = false;

	if (created_at < rollup->settings.oldest)
		log_refuse_expired(slot_getattr(row, columns->id, &isnull), created_at);
	if (DatumGetInt32(slot_getattr(row, columns->item, &isnull)) != 0)
		return;

	status = DatumGetTextPP(slot_getattr(row, columns->status, &isnull));
	response_time = DatumGetFloat8(slot_getattr(row, columns->response_time_ms, &no_response_time));
	key = key_of(columns, row, created_at);
	group = group_of(rollup, &key);
	group->requests++;
	if (!text_is(status, "success"))
	{
		group->errors++;
		repeated = is_repeated(rollup, row, &key);
	}
	group->repeated_errors += repeated;
	if (created_at < group->first_request)
		group->first_request = created_at;
	if (created_at > group->last_request)
		group->last_request = created_at;
	if (no_response_time)
	{
		group->skipped += !repeated;
		return;
	}
	sketch_add(&group->latency, response_time);
	group->above_250_ms += response_time > META_MEDIAN_MS;
	group->above_1000_ms += response_time > META_SLOW_MS;
	if (repeated)
		return;
	group->reached_warning += response_time >= rollup->settings.warning_ms;
	group->above_critical += response_time > rollup->settings.critical_ms;
}

/* Statement trigger: after an INSERT into the log. */
Datum
webhook_routing_log_count(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = log_trigger(fcinfo, "webhook_routing_log_count",
									   TRIGGER_EVENT_INSERT | TRIGGER_EVENT_AFTER);
	TupleDesc table = RelationGetDescr(trigger->tg_relation);
	Rollup *rollup = palloc0(sizeof(Rollup));
	TupleTableSlot *row = MakeSingleTupleTableSlot(table, &TTSOpsMinimalTuple);

	rollup->fcinfo = fcinfo;
	log_settings_read(fcinfo, &rollup->settings);
	rollup->sketch_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
										  CStringGetDatum("latency_sketch"),
										  ObjectIdGetDatum(get_func_namespace(fcinfo->flinfo->fn_oid)));
	rollup->columns = (RollupColumns){
		.id = SPI_fnumber(table, "id"),
		.item = SPI_fnumber(table, "item"),
		.created_at = SPI_fnumber(table, "created_at"),
		.webhook_name = SPI_fnumber(table, "webhook_name"),
		.domain = SPI_fnumber(table, "domain"),
		.routed_to = SPI_fnumber(table, "routed_to"),
		.config_version = SPI_fnumber(table, "config_version"),
		.status = SPI_fnumber(table, "status"),
		.message_id = SPI_fnumber(table, "message_id"),
		.response_time_ms = SPI_fnumber(table, "response_time_ms"),
	};

	tuplestore_rescan(trigger->tg_newtable);
	while (tuplestore_gettupleslot(trigger->tg_newtable, true, false, row))
	{
		CHECK_FOR_INTERRUPTS();
		rollup_add(rollup, row);
	}
	rollup_write(rollup);
	ExecDropSingleTupleTableSlot(row);
	PG_RETURN_POINTER(NULL);
}
