/* SPDX-License-Identifier: PostgreSQL
 *
 * route_decide.c: the engine's answers as SQL rows.
 *
 * route_decide() is called for every webhook, so it looks nothing up: the row type is made once per
 * backend, target names, URLs and percentages lie ready in the cached ruleset, and the strings of
 * the message go from the engine's buffers straight into the tuple. For bytea nothing on this path
 * raises an error for any payload, since the engine reads bytes and promises valid UTF-8.
 */
#include "conversation.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(webhook_routing_decide);
PG_FUNCTION_INFO_V1(webhook_routing_decide_jsonb);
PG_FUNCTION_INFO_V1(webhook_routing_decide_items);
PG_FUNCTION_INFO_V1(webhook_routing_explain);
PG_FUNCTION_INFO_V1(webhook_routing_explain_jsonb);
PG_FUNCTION_INFO_V1(webhook_routing_bucket);
PG_FUNCTION_INFO_V1(webhook_routing_ruleset);
PG_FUNCTION_INFO_V1(webhook_routing_rules_problem);

/*  X(CONSTANT, column, type) of route_decide(), in the order of its OUT parameters */
#define DECISION_COLUMNS(X)                          \
	X(WEBHOOK_NAME, "webhook_name", TEXTOID)         \
	X(TARGET_URL, "target_url", TEXTOID)             \
	X(ROUTED_TO, "routed_to", TEXTOID)               \
	X(DOMAIN, "domain", TEXTOID)                     \
	X(REASON, "reason", TEXTOID)                     \
	X(MATCHED, "matched", TEXTOID)                   \
	X(BUCKET, "bucket", INT4OID)                     \
	X(PERCENTAGE, "percentage", NUMERICOID)          \
	X(FROM_NUMBER, "from_number", TEXTOID)           \
	X(MESSAGE_ID, "message_id", TEXTOID)             \
	X(MESSAGE_TYPE, "message_type", TEXTOID)         \
	X(FALLBACK_WEBHOOK, "fallback_webhook", TEXTOID) \
	X(FALLBACK_URL, "fallback_url", TEXTOID)         \
	X(CONFIG_ID, "config_id", UUIDOID)               \
	X(CONFIG_VERSION, "config_version", INT8OID)

enum
{
#define X(constant, column, type) COLUMN_##constant,
	DECISION_COLUMNS(X)
#undef X
		DECISION_COLUMN_COUNT
};

/* A row of route_decide_items(): these, then a decision. */
#define ITEM_COLUMN_COUNT 4
#define ITEM_ROW_COLUMN_COUNT (ITEM_COLUMN_COUNT + DECISION_COLUMN_COUNT)

/* Values that never change, made at load. */
static TupleDesc decision_descriptor;
static Datum reason_names[ROUTE_REASON_COUNT];
static Datum side_names[2];
static Datum unknown_domain;
static Datum default_target;

/* A text value in the making, on the stack of a call. */
typedef union TextBuffer
{
	int32 align;
	char data[VARHDRSZ + ROUTE_MAX_MESSAGE_ID];
} TextBuffer;

typedef struct DecisionRow
{
	Datum values[DECISION_COLUMN_COUNT];
	bool nulls[DECISION_COLUMN_COUNT];
	TextBuffer from_number;
	TextBuffer message_id;
	TextBuffer message_type;
} DecisionRow;

/*
 * Called once, when the module is loaded.
 */
void
route_decide_init(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	decision_descriptor = CreateTemplateTupleDesc(DECISION_COLUMN_COUNT);
#define X(constant, column, type) \
	TupleDescInitEntry(decision_descriptor, COLUMN_##constant + 1, column, type, -1, 0);
	DECISION_COLUMNS(X)
#undef X
	for (int i = 0; i < ROUTE_REASON_COUNT; i++)
		reason_names[i] = CStringGetTextDatum(route_reason_name(i));
	side_names[ROUTE_LEGACY] = CStringGetTextDatum(route_side_name(ROUTE_LEGACY));
	side_names[ROUTE_UNIFIED] = CStringGetTextDatum(route_side_name(ROUTE_UNIFIED));
	unknown_domain = CStringGetTextDatum(WEBHOOK_ROUTING_UNKNOWN_DOMAIN);
	default_target = CStringGetTextDatum(WEBHOOK_ROUTING_DEFAULT_TARGET);
	MemoryContextSwitchTo(caller);
}

static inline void
set_value(DecisionRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static inline void
set_text(DecisionRow *row, int column, TextBuffer *buffer, const char *data, size_t length)
{
	if (length == 0)
		return;
	SET_VARSIZE(buffer->data, VARHDRSZ + length);
	memcpy(VARDATA(buffer->data), data, length);
	set_value(row, column, PointerGetDatum(buffer->data));
}

static inline void
set_target(DecisionRow *row, const CachedRuleset *ruleset, const route_target *target,
		   int name_column, int url_column)
{
	set_value(row, name_column, ruleset->target_names[target->index]);
	if (ruleset->target_urls[target->index] != (Datum) 0)
		set_value(row, url_column, ruleset->target_urls[target->index]);
}

/*
 * The effective percentage: the domain's or the global one, which lie ready, or else (0 for what
 * can never be routed) one made here.
 */
static inline Datum
percentage_value(const CachedRuleset *ruleset, const route_decision *decision)
{
	if (decision->domain != NULL && decision->percentage == decision->domain->percentage)
		return ruleset->domain_percentages[decision->domain->index];
	if (decision->percentage == ruleset->global_percentage)
		return ruleset->global_percentage_numeric;
	return NumericGetDatum(int64_div_fast_to_numeric(decision->percentage, 2));
}

/*
 * Fills a row from a decision. The values point into the row, the ruleset and static memory.
 */
static inline void
fill_row(DecisionRow *row, const CachedRuleset *ruleset, const route_decision *decision)
{
	memset(row->nulls, true, sizeof(row->nulls));
	set_target(row, ruleset, decision->target, COLUMN_WEBHOOK_NAME, COLUMN_TARGET_URL);
	set_value(row, COLUMN_ROUTED_TO, side_names[decision->side]);
	set_value(row, COLUMN_DOMAIN,
			  decision->domain == NULL ? unknown_domain
									   : ruleset->domain_names[decision->domain->index]);
	set_value(row, COLUMN_REASON, reason_names[decision->reason]);
	if (decision->matched >= 0)
		set_value(row, COLUMN_MATCHED, ruleset->patterns[decision->matched]);
	if (decision->bucket != ROUTE_NO_BUCKET)
		set_value(row, COLUMN_BUCKET, Int32GetDatum(decision->bucket));
	set_value(row, COLUMN_PERCENTAGE, percentage_value(ruleset, decision));
	set_text(row, COLUMN_FROM_NUMBER, &row->from_number,
			 decision->from_number, decision->from_number_length);
	set_text(row, COLUMN_MESSAGE_ID, &row->message_id,
			 decision->message_id, decision->message_id_length);
	set_text(row, COLUMN_MESSAGE_TYPE, &row->message_type,
			 decision->message_type, decision->message_type_length);
	if (decision->fallback != NULL)
		set_target(row, ruleset, decision->fallback, COLUMN_FALLBACK_WEBHOOK, COLUMN_FALLBACK_URL);
	set_value(row, COLUMN_CONFIG_ID, ruleset->config_id);
	set_value(row, COLUMN_CONFIG_VERSION, Int64GetDatum(ruleset->config_version));
}

/*
 * The row where there are no rules.
 */
static void
fill_row_without_rules(DecisionRow *row)
{
	memset(row->nulls, true, sizeof(row->nulls));
	set_value(row, COLUMN_WEBHOOK_NAME, default_target);
	set_value(row, COLUMN_ROUTED_TO, side_names[ROUTE_LEGACY]);
	set_value(row, COLUMN_DOMAIN, unknown_domain);
	set_value(row, COLUMN_REASON, reason_names[ROUTE_REASON_NO_CONFIG]);
}

/* A varlena argument as the engine wants it: detoasted at most once, and not copied otherwise. NULL
 * is no bytes. */
static inline route_text
bytes_argument(FunctionCallInfo fcinfo, int n)
{
	route_text bytes = {"", 0};

	if (!PG_ARGISNULL(n))
	{
		struct varlena *value = PG_GETARG_VARLENA_PP(n);

		bytes.data = VARDATA_ANY(value);
		bytes.length = VARSIZE_ANY_EXHDR(value);
	}
	return bytes;
}

/* The webhook that the caller named, if any. */
static inline route_text
name_argument(FunctionCallInfo fcinfo, int n)
{
	route_text name = bytes_argument(fcinfo, n);

	if (name.length == 0)
		name.data = NULL;
	return name;
}

static route_text
jsonb_argument(FunctionCallInfo fcinfo, int n)
{
	StringInfoData text_form;

	if (PG_ARGISNULL(n))
		return (route_text){"", 0};
	initStringInfo(&text_form);
	JsonbToCString(&text_form, &PG_GETARG_JSONB_P(n)->root, VARSIZE(PG_GETARG_JSONB_P(n)));
	return (route_text){text_form.data, text_form.len};
}

static inline Datum
decide(FunctionCallInfo fcinfo, route_text payload)
{
	const CachedRuleset *ruleset = ruleset_cache_get(fcinfo);
	Conversations conversations;
	route_decision decision;
	DecisionRow row;

	if (likely(ruleset != NULL))
	{
		route_decide(ruleset->rules, payload.data, payload.length, name_argument(fcinfo, 1),
					 conversations_of(&conversations, ruleset), NULL, &decision);
		fill_row(&row, ruleset, &decision);
	}
	else
		fill_row_without_rules(&row);
	if (unlikely(decision_descriptor->tdtypmod < 0))
		BlessTupleDesc(decision_descriptor);
	return HeapTupleGetDatum(heap_form_tuple(decision_descriptor, row.values, row.nulls));
}

/*
 * route_decide(payload bytea|text|json, webhook_name text DEFAULT NULL)
 */
Datum
webhook_routing_decide(PG_FUNCTION_ARGS)
{
	return decide(fcinfo, bytes_argument(fcinfo, 0));
}

/*
 * route_decide(payload jsonb, webhook_name text DEFAULT NULL)
 */
Datum
webhook_routing_decide_jsonb(PG_FUNCTION_ARGS)
{
	return decide(fcinfo, jsonb_argument(fcinfo, 0));
}

/* Items: one row each, straight into the tuplestore. */

typedef struct ItemSink
{
	ReturnSetInfo *result;
	const CachedRuleset *ruleset;
} ItemSink;

static void
put_item(ReturnSetInfo *result, size_t item, route_item_kind kind, route_range range,
		 const DecisionRow *row)
{
	Datum values[ITEM_ROW_COLUMN_COUNT] = {0};
	bool nulls[ITEM_ROW_COLUMN_COUNT] = {0};

	values[0] = Int32GetDatum((int32) item);
	values[1] = CStringGetTextDatum(route_item_kind_name(kind));
	values[2] = Int32GetDatum((int32) range.start);
	values[3] = Int32GetDatum((int32) range.end);
	nulls[2] = nulls[3] = range.end == 0;
	memcpy(values + ITEM_COLUMN_COUNT, row->values, sizeof(row->values));
	memcpy(nulls + ITEM_COLUMN_COUNT, row->nulls, sizeof(row->nulls));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	pfree(DatumGetPointer(values[1]));
}

static bool
visit_item(void *context, size_t item, const route_decision *decision)
{
	ItemSink *sink = context;
	DecisionRow row;

	fill_row(&row, sink->ruleset, decision);
	put_item(sink->result, item, decision->kind, decision->range, &row);
	return true;
}

/*
 * route_decide_items(payload bytea|text, webhook_name text DEFAULT NULL)
 */
Datum
webhook_routing_decide_items(PG_FUNCTION_ARGS)
{
	route_text payload = bytes_argument(fcinfo, 0);
	Conversations conversations;
	ItemSink sink;

	InitMaterializedSRF(fcinfo, 0);
	sink.result = (ReturnSetInfo *) fcinfo->resultinfo;
	sink.ruleset = ruleset_cache_get(fcinfo);
	if (sink.ruleset != NULL)
		route_decide_items(sink.ruleset->rules, payload.data, payload.length,
						   name_argument(fcinfo, 1), conversations_of(&conversations, sink.ruleset),
						   visit_item, &sink);
	else
	{
		DecisionRow row;

		fill_row_without_rules(&row);
		put_item(sink.result, 0, ROUTE_ITEM_UNREADABLE, (route_range){0, 0}, &row);
	}
	return (Datum) 0;
}

/* Explaining: the same call as deciding, with somebody listening. */

typedef struct StepSink
{
	ReturnSetInfo *result;
	int32 count;
} StepSink;

static void
put_step(void *context, const char *step, const char *outcome)
{
	StepSink *sink = context;
	Datum values[3];
	bool nulls[3] = {false, false, false};

	values[0] = Int32GetDatum(++sink->count);
	values[1] = CStringGetTextDatum(step);
	values[2] = CStringGetTextDatum(outcome);
	tuplestore_putvalues(sink->result->setResult, sink->result->setDesc, values, nulls);
}

/* An id without a type is taken for a payload, as it is nothing else to the parser. */
static void
notice_id(route_text payload)
{
	if (payload.length != 36)
		return;
	for (size_t i = 0; i < payload.length; i++)
		if (payload.data[i] == '\0' || strchr("0123456789abcdefABCDEF-", payload.data[i]) == NULL)
			return;
	ereport(NOTICE,
			(errmsg("this is the id of a decision, not a webhook"),
			 errhint("SELECT * FROM route_explain('%.36s'::uuid);", payload.data)));
}

static void
explain(FunctionCallInfo fcinfo, route_text payload)
{
	const CachedRuleset *ruleset;
	StepSink sink = {NULL, 0};
	route_trace trace = {put_step, &sink};
	Conversations conversations;
	route_decision decision;

	InitMaterializedSRF(fcinfo, 0);
	sink.result = (ReturnSetInfo *) fcinfo->resultinfo;
	notice_id(payload);
	ruleset = ruleset_cache_get(fcinfo);
	if (ruleset == NULL)
	{
		put_step(&sink, "config", route_reason_meaning(ROUTE_REASON_NO_CONFIG));
		return;
	}
	put_step(&sink, "config",
			 psprintf("version " INT64_FORMAT ": %s at %u.%02u %%", ruleset->config_version,
					  route_ruleset_config(ruleset->rules)->enabled ? "enabled" : "disabled",
					  ruleset->global_percentage / 100, ruleset->global_percentage % 100));
	route_decide(ruleset->rules, payload.data, payload.length, name_argument(fcinfo, 1),
				 conversations_of(&conversations, ruleset), &trace, &decision);
}

/*
 * route_explain(payload bytea|text|json, webhook_name text DEFAULT NULL)
 */
Datum
webhook_routing_explain(PG_FUNCTION_ARGS)
{
	explain(fcinfo, bytes_argument(fcinfo, 0));
	return (Datum) 0;
}

/*
 * route_explain(payload jsonb, webhook_name text DEFAULT NULL)
 */
Datum
webhook_routing_explain_jsonb(PG_FUNCTION_ARGS)
{
	explain(fcinfo, jsonb_argument(fcinfo, 0));
	return (Datum) 0;
}

/*
 * routing_bucket(sender text): the bucket under the salt in force; NULL where nobody is named or
 * no rules are.
 */
Datum
webhook_routing_bucket(PG_FUNCTION_ARGS)
{
	const CachedRuleset *ruleset = ruleset_cache_get(fcinfo);
	route_text sender = bytes_argument(fcinfo, 0);

	if (ruleset == NULL || sender.length == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(route_bucket(sender.data, sender.length,
								 route_ruleset_config(ruleset->rules)->salt));
}

/*
 * routing_ruleset(): one row; NULLs where there are no rules.
 */
Datum
webhook_routing_ruleset(PG_FUNCTION_ARGS)
{
	const CachedRuleset *ruleset = ruleset_cache_get(fcinfo);
	TupleDesc descriptor;
	Datum values[2] = {0, 0};
	bool nulls[2] = {true, true};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "routing_ruleset() must return a row");
	if (ruleset != NULL)
	{
		values[0] = Int64GetDatum(ruleset->config_version);
		values[1] = ruleset->snapshot;
		nulls[0] = nulls[1] = false;
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

/*
 * webhook_routing_rules_problem(): why the rules as this transaction sees them do not compile, or
 * NULL.
 */
Datum
webhook_routing_rules_problem(PG_FUNCTION_ARGS)
{
	const char *problem = ruleset_cache_problem(fcinfo);

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
