/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset_history.c: the rules of an earlier config version, compiled.
 *
 * What was in force at a version is its config row, and of webhook_routing_rulesets the row with the
 * highest version that is not above it. Both are read as ruleset_cache.c reads its tables, so that
 * whoever may ask needs no right to read them.
 *
 * A backend keeps the last few, since a log is read version by version. What is committed never
 * changes; what this transaction appended may be rolled back, and its version be given to something
 * else: so every change of the config table, of which a rollback tells as well, empties the cache.
 */
#include "webhook_routing.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define KEPT 8

typedef struct KeptRuleset
{
	MemoryContext context; /* NULL: the place is free */
	Oid config;			   /* table; another one after DROP and CREATE EXTENSION */
	int64 version;
	RulesetChange change;
	const route_ruleset *rules; /* NULL: there are none that could be used */
} KeptRuleset;

static KeptRuleset kept[KEPT];
static int next_place;
static bool stale;

static void
note_change(Datum arg, Oid relation)
{
	for (int i = 0; i < KEPT; i++)
		stale = stale || relation == InvalidOid || relation == kept[i].config;
}

void
ruleset_history_init(void)
{
	CacheRegisterRelcacheCallback(note_change, (Datum) 0);
}

static void
forget(KeptRuleset *place)
{
	MemoryContext context = place->context;

	place->context = NULL;
	if (context != NULL)
		MemoryContextDelete(context);
}

/* The row with the highest value of a bigint column that fits, by a unique index on it; copied into
 * the current memory context, or NULL. */
static HeapTuple
find_row(Relation table, const char *column, const char *index_name, StrategyNumber strategy,
		 RegProcedure procedure, int64 value, Snapshot snapshot)
{
	ScanKeyData key;

	ScanKeyInit(&key, get_attnum(RelationGetRelid(table), column), strategy, procedure,
				Int64GetDatum(value));
	return webhook_routing_last_row(table, index_name, snapshot, 1, &key);
}

/* Writes the text of what was in force at a version. Returns false when that is not known. */
static bool
write_version(StringInfo out, Oid config_oid, Oid rulesets_oid, int64 version,
			  const RulesetChange *change)
{
	Snapshot snapshot = RegisterSnapshot(GetCatalogSnapshot(config_oid));
	Relation config = table_open(config_oid, AccessShareLock);
	Relation rulesets = table_open(rulesets_oid, AccessShareLock);
	Row config_row = {RelationGetDescr(config),
					  find_row(config, "version", "webhook_routing_config_version_key",
							   BTEqualStrategyNumber, F_INT8EQ, version, snapshot)};
	Row rules_row = {RelationGetDescr(rulesets),
					 find_row(rulesets, "config_version", "webhook_routing_rulesets_pkey",
							  BTLessEqualStrategyNumber, F_INT8LE, version, snapshot)};
	Datum rules;
	bool found = HeapTupleIsValid(config_row.tuple) && HeapTupleIsValid(rules_row.tuple) &&
				 row_value(&rules_row, "rules", &rules);

	if (found)
		ruleset_text_compose(out, &config_row, TextDatumGetCString(rules), change);
	table_close(rulesets, AccessShareLock);
	table_close(config, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return found;
}

/* Reads and compiles into a free place. */
static void
load(FunctionCallInfo fcinfo, KeptRuleset *place, Oid config, int64 version,
	 const RulesetChange *change)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(caller, "webhook_routing history load",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext context = AllocSetContextCreate(caller, "webhook_routing history",
												  ALLOCSET_DEFAULT_SIZES);
	const route_ruleset *rules = NULL;
	route_error error = {{0}, 0};
	StringInfoData snapshot;

	MemoryContextSwitchTo(scratch);
	initStringInfo(&snapshot);
	if (write_version(&snapshot, config,
					  webhook_routing_relation(fcinfo, "webhook_routing_rulesets"), version, change))
		rules = ruleset_text_compile(&snapshot, context, &error);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);

	MemoryContextSetParent(context, CacheMemoryContext);
	*place = (KeptRuleset){context, config, version, *change, rules};
}

const route_ruleset *
ruleset_history_get(FunctionCallInfo fcinfo, int64 version, const RulesetChange *change)
{
	static const RulesetChange unchanged = {-1, -1};
	Oid config = webhook_routing_relation(fcinfo, "webhook_routing_config");
	KeptRuleset *place;

	if (change == NULL)
		change = &unchanged;
	AcceptInvalidationMessages();
	if (stale)
	{
		for (int i = 0; i < KEPT; i++)
			forget(&kept[i]);
		stale = false;
	}
	for (int i = 0; i < KEPT; i++)
		if (kept[i].context != NULL && kept[i].config == config && kept[i].version == version &&
			kept[i].change.percentage == change->percentage &&
			kept[i].change.enabled == change->enabled)
			return kept[i].rules;
	place = &kept[next_place];
	next_place = (next_place + 1) % KEPT;
	forget(place);
	load(fcinfo, place, config, version, change);
	return place->rules;
}
