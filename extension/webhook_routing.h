/* SPDX-License-Identifier: PostgreSQL
 *
 * webhook_routing.h: the decision engine under SQL, whole.
 *
 *	 module.c			loading; the lock under which the configuration changes; the trigger that
 *						tells all backends of a change
 *	 ruleset_text.c		config and rule tables -> snapshot text
 *	 ruleset_cache.c	snapshot text -> compiled rules, once per backend
 *	 ruleset_history.c	the same for the rules of an earlier config version
 *	 route_decide.c		the SQL functions: decide, items, explain, bucket, ruleset
 *	 recall.c			the conversation that a sender is in, when that counts (conversation.h)
 *	 decide_again.c		logged decisions made again, by the rules of their own version or by others
 *
 * The engine itself is core/ (core/route.h). The log, its rollups and the quantile sketch have a
 * header of their own (log.h).
 *
 * A backend keeps one compiled ruleset. Whoever changes a table that it is made from makes, by a
 * statement trigger, his COMMIT send a relation-cache invalidation; every decision first takes the
 * invalidations that are pending, so no decision that starts after that COMMIT returned uses what
 * it replaced. There is no lock between deciding and changing.
 */
#ifndef WEBHOOK_ROUTING_H
#define WEBHOOK_ROUTING_H

#include "postgres.h"

#include "access/htup.h"
#include "access/skey.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "compat.h"
#include "route.h"

/* Where everything goes that no rule claims, when there is no configuration that could say it. */
#define WEBHOOK_ROUTING_DEFAULT_TARGET "wa-webhook"

/* What a domain is called when there is none. */
#define WEBHOOK_ROUTING_UNKNOWN_DOMAIN "unknown"

/*
 * A ruleset as this backend has it: compiled, and each value that a decision can return as a Datum
 * that goes into a row as it is. Immutable but for `reported`; lives in a memory context of its own.
 */
typedef struct CachedRuleset
{
	MemoryContext context;
	const route_ruleset *rules; /* NULL: nothing to decide with, reason no_config */
	char problem[256];			/* why, when there are none */
	bool reported;				/* the problem has been told to this session */
	Datum snapshot;				/* text; what the rules were compiled from */
	Datum config_id;			/* uuid */
	int64 config_version;
	uint32 global_percentage; /* hundredths of a percent */
	Datum global_percentage_numeric;
	Datum *target_names;	   /* text, by route_target.index */
	Datum *target_urls;		   /* text, or 0 for NULL */
	Datum *domain_names;	   /* text, by route_domain.index */
	Datum *domain_percentages; /* numeric */
	Datum *patterns;		   /* text, by route_decision.matched */
	/* Conversations (conversation.h). */
	int64 conversation_timeout; /* microseconds; 0: off, and nothing below counts */
	bool keep_conversations;
	bool hash_senders;
	List *disabled_domains; /* char *, names */
	Oid conversations;		/* tables */
	Oid secrets;
} CachedRuleset;

/* module.c */

/* A table of the extension, found in the schema of the function that is being called. Raises when
 * it is missing. */
extern Oid webhook_routing_relation(FunctionCallInfo fcinfo, const char *name);

/* Of an interval that the configuration has checked. */
extern int64 webhook_routing_microseconds(const Interval *interval);

/*
 * The last row, in the order of a unique index, that fits the keys; copied into the current memory
 * context, or NULL. Caller holds a lock on the table.
 */
extern HeapTuple webhook_routing_last_row(Relation table, const char *index_name, Snapshot snapshot,
										  int nkeys, ScanKey key);

/* The config row in force under a snapshot, copied into the current memory context, or NULL. */
extern HeapTuple webhook_routing_newest_config(Relation config, Snapshot snapshot);

/* ruleset_text.c */

/* The tables that decide, in the order in which they are read. */
typedef enum RulesetTable
{
	CONFIG_TABLE,
	TARGETS_TABLE,
	DOMAINS_TABLE,
	KEYWORDS_TABLE,
	RULESET_TABLE_COUNT
} RulesetTable;

/* One row of a table while it is being read. */
typedef struct Row
{
	TupleDesc descriptor;
	HeapTuple tuple;
} Row;

/* What stands in the place of a config row's own values, to see what would be decided with it. */
typedef struct RulesetChange
{
	int32 percentage; /* hundredths of a percent; -1: the row's own */
	int32 enabled;	  /* 0 or 1; -1: the row's own */
} RulesetChange;

/* A column by its name. Returns false for NULL; raises where there is no such column. */
extern bool row_value(const Row *row, const char *column, Datum *value);

/* The same of a boolean; NULL is not true. */
extern bool row_is_true(const Row *row, const char *column);

/*
 * The lines of the rules as the snapshot shows them, sorted, without what the config row adds. Sets
 * *disabled to the names (char *) of the domains that are disabled.
 */
extern void ruleset_text_rules(StringInfo out, const Oid tables[RULESET_TABLE_COUNT],
							   Snapshot snapshot, List **disabled);

/* The text that is compiled, from a config row and the lines of the rules. change may be NULL. */
extern void ruleset_text_compose(StringInfo out, const Row *config, const char *rules,
								 const RulesetChange *change);

/* Compiles such a text into the memory context. Returns NULL and fills *error when it cannot be. */
extern route_ruleset *ruleset_text_compile(StringInfo snapshot, MemoryContext context,
										   route_error *error);

/* ruleset_history.c */

/* Called once, when the module is loaded. */
extern void ruleset_history_init(void);

/*
 * The rules of a config version, with change (NULL: as they were). NULL when there is no such
 * version, or when its rules are not kept or do not compile. They hold until the next call.
 */
extern const route_ruleset *ruleset_history_get(FunctionCallInfo fcinfo, int64 version,
												const RulesetChange *change);

/* ruleset_cache.c */

/* Called once, when the module is loaded. */
extern void ruleset_cache_init(void);

/*
 * The rules in force, or NULL when there are none that could be compiled, which is told once as a
 * WARNING. They hold at least until the next call of one of these functions.
 */
extern const CachedRuleset *ruleset_cache_get(FunctionCallInfo fcinfo);

/* Why there are no rules that could be compiled; NULL when there are. Tells nobody else. */
extern const char *ruleset_cache_problem(FunctionCallInfo fcinfo);

/* recall.c */

/* Takes over what conversations want of a config row, and copies the names of disabled domains. */
extern void conversations_configure(CachedRuleset *ruleset, const Row *config, Oid schema,
									const List *disabled);

/* route_decide.c */

/* Called once, when the module is loaded. */
extern void route_decide_init(void);

#endif
