/* SPDX-License-Identifier: PostgreSQL
 *
 * decide_again.c: logged decisions, made again.
 *
 * A log row keeps of a message what decided about its side: the domain, the bucket, the reason, the
 * config version. From these the engine takes the same steps again, from the domain on, under the
 * rules of that version (an audit), or under these with another percentage (a simulation).
 */
#include "webhook_routing.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(webhook_routing_decide_again);
PG_FUNCTION_INFO_V1(webhook_routing_explain_again);

enum
{
	ARGUMENT_VERSION,
	ARGUMENT_DOMAIN,
	ARGUMENT_BUCKET,
	ARGUMENT_REASON,
	ARGUMENT_PERCENTAGE,
	ARGUMENT_ENABLED
};

enum
{
	AGAIN_WEBHOOK_NAME,
	AGAIN_ROUTED_TO,
	AGAIN_REASON,
	AGAIN_PERCENTAGE,
	AGAIN_LEGACY_WEBHOOK,
	AGAIN_DEFAULT_WEBHOOK,
	AGAIN_PROBLEM,
	AGAIN_COLUMN_COUNT
};

/* Bytes of an argument, which the engine reads where they are. */
static route_text
text_argument(FunctionCallInfo fcinfo, int n)
{
	text *value = PG_GETARG_TEXT_PP(n);

	return (route_text){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

static bool
is_unknown(route_text domain)
{
	return domain.length == strlen(WEBHOOK_ROUTING_UNKNOWN_DOMAIN) &&
		   memcmp(domain.data, WEBHOOK_ROUTING_UNKNOWN_DOMAIN, domain.length) == 0;
}

/* What the log says of the item. No domain is "unknown", as the log has it, or NULL. */
static route_known
known_arguments(FunctionCallInfo fcinfo)
{
	route_known known = {{NULL, 0}, ROUTE_NO_BUCKET, ROUTE_REASON_COUNT};

	if (!PG_ARGISNULL(ARGUMENT_DOMAIN))
		known.domain = text_argument(fcinfo, ARGUMENT_DOMAIN);
	if (known.domain.data != NULL && is_unknown(known.domain))
		known.domain.data = NULL;
	if (!PG_ARGISNULL(ARGUMENT_BUCKET))
		known.bucket = PG_GETARG_INT32(ARGUMENT_BUCKET);
	if (!PG_ARGISNULL(ARGUMENT_REASON))
		known.reason = route_reason_of_name(text_argument(fcinfo, ARGUMENT_REASON));
	return known;
}

/* The percentage in hundredths; it has been checked by whoever calls. */
static RulesetChange
change_arguments(FunctionCallInfo fcinfo)
{
	RulesetChange change = {-1, -1};

	if (!PG_ARGISNULL(ARGUMENT_PERCENTAGE))
	{
		Datum hundredths = DirectFunctionCall2(numeric_mul, PG_GETARG_DATUM(ARGUMENT_PERCENTAGE),
											   NumericGetDatum(int64_to_numeric(100)));

		change.percentage = DatumGetInt32(DirectFunctionCall1(numeric_int4, hundredths));
	}
	if (!PG_ARGISNULL(ARGUMENT_ENABLED))
		change.enabled = PG_GETARG_BOOL(ARGUMENT_ENABLED);
	return change;
}

static Datum
make_text(route_text value)
{
	return PointerGetDatum(cstring_to_text_with_len(value.data, value.length));
}

static void
fill_decision(Datum *values, bool *nulls, const route_ruleset *rules, const route_decision *decision)
{
	const route_config *config = route_ruleset_config(rules);
	route_text legacy = decision->domain == NULL ? config->default_target
												 : decision->domain->legacy->name;

	memset(nulls, false, AGAIN_COLUMN_COUNT * sizeof(bool));
	nulls[AGAIN_PROBLEM] = true;
	values[AGAIN_WEBHOOK_NAME] = make_text(decision->target->name);
	values[AGAIN_ROUTED_TO] = CStringGetTextDatum(route_side_name(decision->side));
	values[AGAIN_REASON] = CStringGetTextDatum(route_reason_name(decision->reason));
	values[AGAIN_PERCENTAGE] = NumericGetDatum(int64_div_fast_to_numeric(decision->percentage, 2));
	values[AGAIN_LEGACY_WEBHOOK] = make_text(legacy);
	values[AGAIN_DEFAULT_WEBHOOK] = make_text(config->default_target);
}

/* Why a decision cannot be made again. */
static char *
missing_version(int64 version)
{
	return psprintf("the rules of config version " INT64_FORMAT " are not known here", version);
}

static char *
missing_domain(route_text domain, int64 version)
{
	return psprintf("there is no domain \"%.*s\" in config version " INT64_FORMAT,
					(int) domain.length, domain.data, version);
}

/*
 * webhook_routing_decide_again(config_version bigint, domain text, bucket integer, reason text,
 * other_percentage numeric, other_enabled boolean): one row, with a problem or with a decision. All
 * NULL when there is no config_version.
 */
Datum
webhook_routing_decide_again(PG_FUNCTION_ARGS)
{
	TupleDesc descriptor;
	Datum values[AGAIN_COLUMN_COUNT] = {0};
	bool nulls[AGAIN_COLUMN_COUNT];
	const char *problem = NULL;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "webhook_routing_decide_again() must return a row");
	memset(nulls, true, sizeof(nulls));
	if (!PG_ARGISNULL(ARGUMENT_VERSION))
	{
		int64 version = PG_GETARG_INT64(ARGUMENT_VERSION);
		RulesetChange change = change_arguments(fcinfo);
		route_known known = known_arguments(fcinfo);
		const route_ruleset *rules = ruleset_history_get(fcinfo, version, &change);
		route_decision decision;

		if (rules == NULL)
			problem = missing_version(version);
		else if (route_decide_known(rules, &known, NULL, &decision))
			fill_decision(values, nulls, rules, &decision);
		else
			problem = missing_domain(known.domain, version);
	}
	if (problem != NULL)
	{
		values[AGAIN_PROBLEM] = CStringGetTextDatum(problem);
		nulls[AGAIN_PROBLEM] = false;
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

static void
put_step(void *context, const char *step, const char *outcome)
{
	ReturnSetInfo *result = context;
	Datum values[2] = {CStringGetTextDatum(step), CStringGetTextDatum(outcome)};
	bool nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * webhook_routing_explain_again(config_version bigint, domain text, bucket integer, reason text): the
 * same with somebody listening, as route_explain() does: a row (name, outcome) for each step.
 */
Datum
webhook_routing_explain_again(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result;
	route_trace trace;
	route_known known;
	const route_ruleset *rules;
	route_decision decision;
	int64 version;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(ARGUMENT_VERSION))
		return (Datum) 0;
	version = PG_GETARG_INT64(ARGUMENT_VERSION);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	trace = (route_trace){put_step, result};
	known = known_arguments(fcinfo);
	rules = ruleset_history_get(fcinfo, version, NULL);
	if (rules == NULL)
		put_step(result, "config", missing_version(version));
	else if (!route_decide_known(rules, &known, &trace, &decision))
		put_step(result, "domain", missing_domain(known.domain, version));
	return (Datum) 0;
}
