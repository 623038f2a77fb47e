/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset_cache.c: the tables, compiled once per backend.
 *
 * A load reads the four tables under one snapshot, writes them as the text that core/route.h
 * describes, and lets the engine compile it: the forwarder gets the same text from
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

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

enum
{
	CONFIG_TABLE,
	TARGETS_TABLE,
	DOMAINS_TABLE,
	KEYWORDS_TABLE,
	TABLE_COUNT
};

static const char *const table_names[TABLE_COUNT] = {
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
	Oid tables[TABLE_COUNT];
	bool complete; /* all tables were found */
} cache;

/* One row of a table while it is being read. */
typedef struct Row
{
	TupleDesc descriptor;
	HeapTuple tuple;
} Row;

static void
note_invalidation(Datum arg, Oid relation)
{
	if (relation == InvalidOid)
	{
		invalidations++;
		return;
	}
	for (int i = 0; i < TABLE_COUNT; i++)
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
	for (int i = 0; i < TABLE_COUNT; i++)
	{
		cache.tables[i] = get_relname_relid(table_names[i], cache.schema);
		cache.complete = cache.complete && OidIsValid(cache.tables[i]);
	}
}

/*
 * A column by its name. Returns false for NULL.
 */
static bool
row_value(const Row *row, const char *column, Datum *value)
{
	for (int i = 0; i < row->descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(row->descriptor, i);
		bool isnull;

		if (attribute->attisdropped || strcmp(NameStr(attribute->attname), column) != 0)
			continue;
		*value = heap_getattr(row->tuple, i + 1, row->descriptor, &isnull);
		return !isnull;
	}
	elog(ERROR, "column %s is missing from a table of the extension webhook_routing", column);
	return false; /* not reached */
}

/* The fields of a snapshot line: TAB, then the value in the form that core/route.h describes. */

static void
put_text(StringInfo out, const char *value)
{
	appendStringInfoChar(out, '\t');
	for (const char *c = value; *c != '\0'; c++)
		switch (*c)
		{
			case '\\':
				appendStringInfoString(out, "\\\\");
				break;
			case '\t':
				appendStringInfoString(out, "\\t");
				break;
			case '\n':
				appendStringInfoString(out, "\\n");
				break;
			case '\r':
				appendStringInfoString(out, "\\r");
				break;
			default:
				appendStringInfoCharMacro(out, *c);
		}
}

static void
put_text_column(StringInfo out, const Row *row, const char *column)
{
	Datum value;

	if (row_value(row, column, &value))
		put_text(out, TextDatumGetCString(value));
	else
		appendStringInfoString(out, "\t\\N");
}

static void
put_boolean_column(StringInfo out, const Row *row, const char *column)
{
	Datum value;

	appendStringInfoString(out, row_value(row, column, &value) && DatumGetBool(value) ? "\tt" : "\tf");
}

static void
put_integer_column(StringInfo out, const Row *row, const char *column)
{
	Datum value;

	if (row_value(row, column, &value))
		appendStringInfo(out, "\t%d", DatumGetInt32(value));
	else
		appendStringInfoString(out, "\t\\N");
}

static void
put_bigint_column(StringInfo out, const Row *row, const char *column)
{
	Datum value = (Datum) 0;

	row_value(row, column, &value);
	appendStringInfo(out, "\t" INT64_FORMAT, DatumGetInt64(value));
}

static void
put_numeric_column(StringInfo out, const Row *row, const char *column)
{
	Datum value;

	if (row_value(row, column, &value))
		put_text(out, DatumGetCString(DirectFunctionCall1(numeric_out, value)));
	else
		appendStringInfoString(out, "\t\\N");
}

/* Lines. A domain that is disabled is not enrolled, and its patterns are left out: nothing is found
 * to belong to it, but a caller may still name its webhook. */

static void
put_config(StringInfo out, const Row *row)
{
	Datum id;

	appendStringInfoString(out, "config");
	if (row_value(row, "id", &id))
		put_text(out, DatumGetCString(DirectFunctionCall1(uuid_out, id)));
	put_bigint_column(out, row, "version");
	put_numeric_column(out, row, "percentage");
	put_boolean_column(out, row, "enabled");
	put_bigint_column(out, row, "hash_salt");
	put_text_column(out, row, "unified_webhook");
	put_text_column(out, row, "default_webhook");
	appendStringInfoChar(out, '\n');
}

static void
put_target(StringInfo out, const Row *row)
{
	appendStringInfoString(out, "target");
	put_text_column(out, row, "name");
	put_text_column(out, row, "url");
	put_integer_column(out, row, "timeout_ms");
	put_text_column(out, row, "fallback_policy");
	put_boolean_column(out, row, "retired");
	appendStringInfoChar(out, '\n');
}

static bool
contains_text(Datum *elements, bool *nulls, int count, Datum value)
{
	char *wanted = TextDatumGetCString(value);

	for (int i = 0; i < count; i++)
		if (!nulls[i] && strcmp(TextDatumGetCString(elements[i]), wanted) == 0)
			return true;
	return false;
}

static bool
is_true(const Row *row, const char *column)
{
	Datum value;

	return row_value(row, column, &value) && DatumGetBool(value);
}

static void
put_domain(StringInfo out, const Row *row, Datum *enrolled, bool *nulls, int enrolled_count)
{
	Datum name;
	bool is_enrolled;

	if (!row_value(row, "domain", &name))
		return;
	appendStringInfoString(out, "domain");
	put_text_column(out, row, "domain");
	put_text_column(out, row, "legacy_target");
	put_boolean_column(out, row, "protected");
	put_numeric_column(out, row, "percentage");
	put_integer_column(out, row, "priority");
	is_enrolled = is_true(row, "enabled") && contains_text(enrolled, nulls, enrolled_count, name);
	appendStringInfoString(out, is_enrolled ? "\tt\n" : "\tf\n");
}

static void
put_pattern(StringInfo out, const Row *row, const List *disabled)
{
	Datum domain;
	ListCell *cell;

	if (!is_true(row, "enabled") || !row_value(row, "domain", &domain))
		return;
	foreach(cell, disabled)
		if (strcmp(lfirst(cell), TextDatumGetCString(domain)) == 0)
			return;
	appendStringInfoString(out, "pattern");
	put_text_column(out, row, "domain");
	put_text_column(out, row, "kind");
	put_text_column(out, row, "match");
	put_text_column(out, row, "pattern");
	appendStringInfoChar(out, '\n');
}

/*
 * Writes the snapshot text of what the tables hold, all under one MVCC snapshot. Returns false when
 * there is no config row.
 */
static bool
write_snapshot(StringInfo out)
{
	Snapshot snapshot = RegisterSnapshot(GetCatalogSnapshot(cache.tables[CONFIG_TABLE]));
	Relation relation = table_open(cache.tables[CONFIG_TABLE], AccessShareLock);
	Row row = {RelationGetDescr(relation), webhook_routing_newest_config(relation, snapshot)};
	bool found = HeapTupleIsValid(row.tuple);
	Datum *enrolled = NULL;
	bool *nulls = NULL;
	int enrolled_count = 0;
	List *disabled = NIL;

	if (found)
	{
		Datum domains;

		appendStringInfoString(out, "webhook_routing\t1\n");
		put_config(out, &row);
		if (row_value(&row, "domains", &domains))
			deconstruct_array(DatumGetArrayTypeP(domains), TEXTOID, -1, false, TYPALIGN_INT,
							  &enrolled, &nulls, &enrolled_count);
	}
	table_close(relation, AccessShareLock);

	/* Domains before keywords: which domains are disabled must be known by then. */
	for (int i = TARGETS_TABLE; found && i < TABLE_COUNT; i++)
	{
		TableScanDesc scan;

		relation = table_open(cache.tables[i], AccessShareLock);
		scan = table_beginscan(relation, snapshot, 0, NULL);
		row.descriptor = RelationGetDescr(relation);
		while ((row.tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		{
			Datum name;

			if (i == TARGETS_TABLE)
				put_target(out, &row);
			else if (i == KEYWORDS_TABLE)
				put_pattern(out, &row, disabled);
			else
			{
				put_domain(out, &row, enrolled, nulls, enrolled_count);
				if (!is_true(&row, "enabled") && row_value(&row, "domain", &name))
					disabled = lappend(disabled, TextDatumGetCString(name));
			}
		}
		table_endscan(scan);
		table_close(relation, AccessShareLock);
	}
	UnregisterSnapshot(snapshot);
	appendStringInfoString(out, "end\n");
	return found;
}

static void *
allocate(void *context, size_t size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
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
	route_allocator allocator = {allocate, NULL, context};
	route_error error = {{0}, 0};
	CachedRuleset *ruleset = MemoryContextAllocZero(context, sizeof(CachedRuleset));
	StringInfoData snapshot;

	ruleset->context = context;
	MemoryContextSwitchTo(scratch);
	initStringInfo(&snapshot);
	find_tables();
	if (cache.complete && write_snapshot(&snapshot))
	{
		MemoryContextSwitchTo(context);
		ruleset->rules = route_ruleset_compile(snapshot.data, snapshot.len, &allocator, &error);
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
