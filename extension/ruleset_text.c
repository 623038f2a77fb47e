/* SPDX-License-Identifier: PostgreSQL
 *
 * ruleset_text.c: the tables as text.
 *
 * The rules of three tables become lines, sorted, so that equal rules are equal texts: this is what
 * webhook_routing_rulesets keeps whenever it differs from what it was. Together with a config row
 * they make the snapshot that core/route.h describes. Nothing in the lines depends on the config
 * row: where the snapshot says whether a domain is enrolled, they say whether it is enabled.
 *
 * The rules in force and those of long ago go through the same functions, so that a decision is
 * made again from the very text that it was made from.
 */
#include "webhook_routing.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

bool
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

bool
row_is_true(const Row *row, const char *column)
{
	Datum value;

	return row_value(row, column, &value) && DatumGetBool(value);
}

/* The fields of a line: TAB, then the value in the form that core/route.h describes. */

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
put_boolean(StringInfo out, bool value)
{
	appendStringInfoString(out, value ? "\tt" : "\tf");
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

/* Lines. The patterns of a domain that is disabled are left out: nothing is found to belong to it,
 * but a caller may still name its webhook. */

static void
put_target(StringInfo out, const Row *row)
{
	appendStringInfoString(out, "target");
	put_text_column(out, row, "name");
	put_text_column(out, row, "url");
	put_integer_column(out, row, "timeout_ms");
	put_text_column(out, row, "fallback_policy");
	put_boolean(out, row_is_true(row, "retired"));
}

static void
put_domain(StringInfo out, const Row *row)
{
	appendStringInfoString(out, "domain");
	put_text_column(out, row, "domain");
	put_text_column(out, row, "legacy_target");
	put_boolean(out, row_is_true(row, "protected"));
	put_numeric_column(out, row, "percentage");
	put_integer_column(out, row, "priority");
	put_boolean(out, row_is_true(row, "enabled"));
}

static void
put_pattern(StringInfo out, const Row *row)
{
	appendStringInfoString(out, "pattern");
	put_text_column(out, row, "domain");
	put_text_column(out, row, "kind");
	put_text_column(out, row, "match");
	put_text_column(out, row, "pattern");
}

/* Whether the pattern is sought at all, by itself and by its domain. */
static bool
is_sought(const Row *row, const List *disabled)
{
	Datum domain;
	ListCell *cell;

	if (!row_is_true(row, "enabled") || !row_value(row, "domain", &domain))
		return false;
	foreach(cell, disabled)
		if (strcmp(lfirst(cell), TextDatumGetCString(domain)) == 0)
			return false;
	return true;
}

/* A table's lines, added to *lines. The names of disabled domains are added to *disabled, which must
 * be complete before the keywords come. */
static void
read_lines(Oid table, RulesetTable which, Snapshot snapshot, List **lines, List **disabled)
{
	Relation relation = table_open(table, AccessShareLock);
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
	Row row = {RelationGetDescr(relation), NULL};

	while ((row.tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		StringInfoData line;
		Datum name;

		initStringInfo(&line);
		if (which == TARGETS_TABLE)
			put_target(&line, &row);
		else if (which == DOMAINS_TABLE)
		{
			put_domain(&line, &row);
			if (!row_is_true(&row, "enabled") && row_value(&row, "domain", &name))
				*disabled = lappend(*disabled, TextDatumGetCString(name));
		}
		else if (is_sought(&row, *disabled))
			put_pattern(&line, &row);
		else
			continue;
		*lines = lappend(*lines, line.data);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
}

static int
compare_lines(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

void
ruleset_text_rules(StringInfo out, const Oid tables[RULESET_TABLE_COUNT], Snapshot snapshot,
				   List **disabled)
{
	List *lines = NIL;
	ListCell *cell;

	*disabled = NIL;
	for (int i = TARGETS_TABLE; i < RULESET_TABLE_COUNT; i++)
		read_lines(tables[i], i, snapshot, &lines, disabled);
	list_sort(lines, compare_lines);
	foreach(cell, lines)
	{
		appendStringInfoString(out, lfirst(cell));
		appendStringInfoChar(out, '\n');
	}
}

static void
put_config(StringInfo out, const Row *row, const RulesetChange *change)
{
	Datum id;

	appendStringInfoString(out, "config");
	if (row_value(row, "id", &id))
		put_text(out, DatumGetCString(DirectFunctionCall1(uuid_out, id)));
	put_bigint_column(out, row, "version");
	if (change != NULL && change->percentage >= 0)
		appendStringInfo(out, "\t%d.%02d", change->percentage / 100, change->percentage % 100);
	else
		put_numeric_column(out, row, "percentage");
	if (change != NULL && change->enabled >= 0)
		put_boolean(out, change->enabled == 1);
	else
		put_boolean(out, row_is_true(row, "enabled"));
	put_bigint_column(out, row, "hash_salt");
	put_text_column(out, row, "unified_webhook");
	put_text_column(out, row, "default_webhook");
	appendStringInfoChar(out, '\n');
}

/* How the enrolled domains of a config row begin the line of a domain each. */
static List *
enrolled_lines(const Row *config)
{
	List *beginnings = NIL;
	Datum domains;
	Datum *elements;
	bool *nulls;
	int count;

	if (!row_value(config, "domains", &domains))
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(domains), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		StringInfoData beginning;

		if (nulls[i])
			continue;
		initStringInfo(&beginning);
		appendStringInfoString(&beginning, "domain");
		put_text(&beginning, TextDatumGetCString(elements[i]));
		appendStringInfoChar(&beginning, '\t');
		beginnings = lappend(beginnings, beginning.data);
	}
	return beginnings;
}

void
ruleset_text_compose(StringInfo out, const Row *config, const char *rules,
					 const RulesetChange *change)
{
	List *enrolled = enrolled_lines(config);

	appendStringInfoString(out, "webhook_routing\t1\n");
	put_config(out, config, change);
	while (*rules != '\0')
	{
		size_t length = strcspn(rules, "\n");
		bool is_enrolled = false;
		ListCell *cell;

		appendBinaryStringInfo(out, rules, length);
		if (strncmp(rules, "domain\t", 7) == 0)
		{
			foreach(cell, enrolled)
				is_enrolled = is_enrolled || strncmp(rules, lfirst(cell), strlen(lfirst(cell))) == 0;
			if (!is_enrolled)
				out->data[out->len - 1] = 'f'; /* in the place of "enabled" */
		}
		appendStringInfoChar(out, '\n');
		rules += length + (rules[length] == '\n');
	}
	appendStringInfoString(out, "end\n");
}

static void *
allocate(void *context, size_t size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

route_ruleset *
ruleset_text_compile(StringInfo snapshot, MemoryContext context, route_error *error)
{
	route_allocator allocator = {allocate, NULL, context};

	return route_ruleset_compile(snapshot->data, snapshot->len, &allocator, error);
}
