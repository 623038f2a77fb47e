/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset_cache.c: the tables, compiled once per backend.
 *
 * A load reads the four tables under one snapshot, writes them as the text that core/route.h
 * describes (ruleset_text.c), and lets the engine compile it: the forwarder gets the same text from
 * routing_ruleset(), so both decide by the same rules.
 *
 * The tables are read as the catalogs are, by heap scans under a catalog snapshot, for three
 * reasons. Such a snapshot is always fresh: under REPEATABLE READ, SPI would go on seeing the
 * configuration of the transaction's first query. It can be had in parallel workers, where
 * GetLatestSnapshot() raises an error, and on a standby. And a role that may call route_decide()
 * needs no right to read a table.
 *
 * Invalidation: the callback only counts. A load notes the count before it reads and starts again
 * when the count has moved while it read, so a ruleset is never older than the newest invalidation
 * that was pending when it was asked for. Nothing is freed before its successor is complete; after
 * an error the next call finds the count unequal and loads again.
 */
#include "webhook_routing.h"

#include "access/table.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(webhook_routing_rules_text);

static const char *const table_names[RULESET_TABLE_COUNT] = {
	"webhook_routing_config",
	"webhook_routing_targets",
	"webhook_routing_domains",
	"webhook_routing_keywords",
};

/* Number of invalidations so far; grows, never shrinks. */
static uint64 invalidations = 1;

static struct
{
	CachedRuleset *current;
	uint64 loaded_at; /* value of invalidations that current answers for; 0: never */
	Oid function;	  /* last function that asked, and its schema: another schema means */
	Oid schema;		  /* that the extension was dropped and created again */
	Oid tables[RULESET_TABLE_COUNT];
	bool complete; /* all tables were found */
} cache;

static void
note_invalidation(Datum arg, Oid relation)
{
	if (relation == InvalidOid)
	{
		invalidations++;
		return;
	}
	for (int i = 0; i < RULESET_TABLE_COUNT; i++)
		if (relation == cache.tables[i])
			invalidations++;
}

void
ruleset_cache_init(void)
{
	CacheRegisterRelcacheCallback(note_invalidation, (Datum) 0);
}

static void
find_tables(void)
{
	cache.complete = true;
	for (int i = 0; i < RULESET_TABLE_COUNT; i++)
	{
		cache.tables[i] = get_relname_relid(table_names[i], cache.schema);
		cache.complete = cache.complete && OidIsValid(cache.tables[i]);
	}
}

/*
 * Writes the snapshot text of what the tables hold, all under one MVCC snapshot, and takes over what
 * conversations want besides. Returns false when there is no config row.
 */
static bool
write_snapshot(StringInfo out, CachedRuleset *ruleset)
{
	Snapshot snapshot = RegisterSnapshot(GetCatalogSnapshot(cache.tables[CONFIG_TABLE]));
	Relation relation = table_open(cache.tables[CONFIG_TABLE], AccessShareLock);
	Row config = {RelationGetDescr(relation), webhook_routing_newest_config(relation, snapshot)};
	bool found = HeapTupleIsValid(config.tuple);
	StringInfoData rules;
	List *disabled;

	if (found)
	{
		initStringInfo(&rules);
		ruleset_text_rules(&rules, cache.tables, snapshot, &disabled);
		ruleset_text_compose(out, &config, rules.data, NULL);
		conversations_configure(ruleset, &config, cache.schema, disabled);
	}
	table_close(relation, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return found;
}

static Datum
make_text(route_text value)
{
	if (value.data == NULL)
		return (Datum) 0;
	return PointerGetDatum(cstring_to_text_with_len(value.data, value.length));
}

/* From hundredths of a percent, with two decimals. */
static Datum
make_percentage(uint32 hundredths)
{
	return NumericGetDatum(int64_div_fast_to_numeric(hundredths, 2));
}

/*
 * Fills in every value that a decision can return. The current memory context is the ruleset's.
 */
static void
prepare_values(CachedRuleset *ruleset)
{
	const route_ruleset *rules = ruleset->rules;
	const route_config *config = route_ruleset_config(rules);
	size_t targets = route_ruleset_target_count(rules);
	size_t domains = route_ruleset_domain_count(rules);
	size_t patterns = route_ruleset_pattern_count(rules);

	ruleset->config_id = DirectFunctionCall1(uuid_in,
											 CStringGetDatum(pnstrdup(config->id.data,
																	  config->id.length)));
	ruleset->config_version = config->version;
	ruleset->global_percentage = config->percentage;
	ruleset->global_percentage_numeric = make_percentage(config->percentage);
	ruleset->target_names = palloc0(targets * sizeof(Datum));
	ruleset->target_urls = palloc0(targets * sizeof(Datum));
	for (size_t i = 0; i < targets; i++)
	{
		const route_target *target = route_ruleset_target(rules, i);

		ruleset->target_names[target->index] = make_text(target->name);
		ruleset->target_urls[target->index] = make_text(target->url);
	}
	ruleset->domain_names = palloc0(domains * sizeof(Datum));
	ruleset->domain_percentages = palloc0(domains * sizeof(Datum));
	for (size_t i = 0; i < domains; i++)
	{
		const route_domain *domain = route_ruleset_domain(rules, i);

		ruleset->domain_names[domain->index] = make_text(domain->name);
		ruleset->domain_percentages[domain->index] = make_percentage(domain->percentage);
	}
	ruleset->patterns = palloc0(patterns * sizeof(Datum));
	for (size_t i = 0; i < patterns; i++)
		ruleset->patterns[i] = make_text(route_ruleset_pattern(rules, i));
}

/*
 * Reads and compiles the tables into a memory context under the current one. The result has no
 * rules when there is nothing to compile, or nothing that compiles.
 */
static CachedRuleset *
load(void)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "webhook_routing ruleset",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext scratch = AllocSetContextCreate(caller, "webhook_routing ruleset load",
												  ALLOCSET_DEFAULT_SIZES);
	route_error error = {{0}, 0};
	CachedRuleset *ruleset = MemoryContextAllocZero(context, sizeof(CachedRuleset));
	StringInfoData snapshot;

	ruleset->context = context;
	MemoryContextSwitchTo(scratch);
	initStringInfo(&snapshot);
	find_tables();
	if (cache.complete && write_snapshot(&snapshot, ruleset))
	{
		MemoryContextSwitchTo(context);
		ruleset->rules = ruleset_text_compile(&snapshot, context, &error);
		if (ruleset->rules != NULL)
		{
			ruleset->snapshot = PointerGetDatum(cstring_to_text_with_len(snapshot.data, snapshot.len));
			prepare_values(ruleset);
		}
		else
			strlcpy(ruleset->problem, error.message, sizeof(ruleset->problem));
	}
	else
		strlcpy(ruleset->problem, cache.complete ? "there is no config row" : "a table is missing",
				sizeof(ruleset->problem));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	return ruleset;
}

/*
 * Brings the cache up to date with every invalidation that is pending.
 */
static pg_noinline void
reload(FunctionCallInfo fcinfo)
{
	Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);

	if (schema != cache.schema)
		cache.loaded_at = 0;
	cache.schema = schema;
	cache.function = fcinfo->flinfo->fn_oid;
	while (cache.loaded_at != invalidations)
	{
		uint64 started_at = invalidations;
		CachedRuleset *loaded;

		CHECK_FOR_INTERRUPTS();
		loaded = load();
		AcceptInvalidationMessages();
		if (started_at != invalidations)
		{
			MemoryContextDelete(loaded->context);
			continue;
		}
		MemoryContextSetParent(loaded->context, CacheMemoryContext);
		if (cache.current != NULL)
			MemoryContextDelete(cache.current->context);
		cache.current = loaded;
		cache.loaded_at = started_at;
		if (!cache.complete)
		{
			/* Without tables there is nothing whose change would be told: look again next time. */
			cache.loaded_at = 0;
			break;
		}
	}
}

static inline CachedRuleset *
refresh(FunctionCallInfo fcinfo)
{
	AcceptInvalidationMessages();
	if (unlikely(cache.loaded_at != invalidations || cache.function != fcinfo->flinfo->fn_oid))
		reload(fcinfo);
	return cache.current;
}

const CachedRuleset *
ruleset_cache_get(FunctionCallInfo fcinfo)
{
	CachedRuleset *ruleset = refresh(fcinfo);

	if (likely(ruleset->rules != NULL))
		return ruleset;
	if (!ruleset->reported)
	{
		ruleset->reported = true;
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("there are no usable routing rules: %s", ruleset->problem),
				 errdetail("Every webhook goes to the default target."),
				 errhint("SELECT * FROM validate_routing_config();")));
	}
	return NULL;
}

const char *
ruleset_cache_problem(FunctionCallInfo fcinfo)
{
	CachedRuleset *ruleset = refresh(fcinfo);

	return ruleset->rules == NULL ? ruleset->problem : NULL;
}

/*
 * webhook_routing_rules_text() returns text: the rules as this transaction sees them, without what
 * the config row adds.
 */
Datum
webhook_routing_rules_text(PG_FUNCTION_ARGS)
{
	Oid tables[RULESET_TABLE_COUNT];
	Snapshot snapshot;
	StringInfoData rules;
	List *disabled;

	for (int i = 0; i < RULESET_TABLE_COUNT; i++)
		tables[i] = webhook_routing_relation(fcinfo, table_names[i]);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(tables[CONFIG_TABLE]));
	initStringInfo(&rules);
	ruleset_text_rules(&rules, tables, snapshot, &disabled);
	UnregisterSnapshot(snapshot);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(rules.data, rules.len));
}
