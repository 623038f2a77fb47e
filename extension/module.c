/* SPDX-License-Identifier: PostgreSQL
 *
 * module.c: the loading of the module, and the lock under which the configuration changes.
 */
#include "webhook_routing.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

WEBHOOK_ROUTING_MODULE_MAGIC;

void _PG_init(void);

PG_FUNCTION_INFO_V1(webhook_routing_acquire_lock);
PG_FUNCTION_INFO_V1(webhook_routing_invalidate);
PG_FUNCTION_INFO_V1(webhook_routing_note_edit);
PG_FUNCTION_INFO_V1(webhook_routing_noted_edit);

void
_PG_init(void)
{
	ruleset_cache_init();
	ruleset_history_init();
	route_decide_init();
}

/*
 * The schema of the extension is the one its functions are in, so no name is looked up that
 * somebody could shadow.
 */
Oid
webhook_routing_relation(FunctionCallInfo fcinfo, const char *name)
{
	Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Oid relation = get_relname_relid(name, schema);

	if (!OidIsValid(relation))
		elog(ERROR, "table %s of the extension webhook_routing is missing", name);
	return relation;
}

/* A month has 30 days here, as where intervals are compared. */
int64
webhook_routing_microseconds(const Interval *interval)
{
	return interval->time +
		   (interval->month * (int64) DAYS_PER_MONTH + interval->day) * USECS_PER_DAY;
}

HeapTuple
webhook_routing_last_row(Relation table, const char *index_name, Snapshot snapshot, int nkeys,
						 ScanKey key)
{
	Oid index_oid = get_relname_relid(index_name, RelationGetNamespace(table));
	Relation index;
	SysScanDesc scan;
	HeapTuple tuple;

	if (!OidIsValid(index_oid))
		elog(ERROR, "index %s is missing", index_name);
	index = index_open(index_oid, AccessShareLock);
	scan = systable_beginscan_ordered(table, index, snapshot, nkeys, key);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	return tuple;
}

HeapTuple
webhook_routing_newest_config(Relation config, Snapshot snapshot)
{
	return webhook_routing_last_row(config, "webhook_routing_config_version_key", snapshot, 0, NULL);
}

/*
 * webhook_routing_acquire_lock() returns bigint
 *
 * Waits, within lock_timeout, for the lock that serialises changes and holds it until the end of
 * the transaction. Returns the newest committed version, which the caller compares with the newest
 * that its snapshot shows: under REPEATABLE READ they may differ. The lock is on an object of the
 * config table that does not exist (subobject 1 of a relation, in the lock space of objects), which
 * no command locks.
 */
Datum
webhook_routing_acquire_lock(PG_FUNCTION_ARGS)
{
	Oid relid = webhook_routing_relation(fcinfo, "webhook_routing_config");
	int64 newest = 0;
	Relation config;
	Snapshot snapshot;
	HeapTuple tuple;

	LockDatabaseObject(RelationRelationId, relid, 1, ExclusiveLock);

	config = table_open(relid, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	tuple = webhook_routing_newest_config(config, snapshot);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;

		newest = DatumGetInt64(heap_getattr(tuple, get_attnum(relid, "version"),
											RelationGetDescr(config), &isnull));
	}
	UnregisterSnapshot(snapshot);
	table_close(config, AccessShareLock);
	PG_RETURN_INT64(newest);
}

/*
 * Statement trigger on the config and the rule tables: when this transaction commits, every backend
 * drops the ruleset it has compiled; this backend does so before its next command.
 */
Datum
webhook_routing_invalidate(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "webhook_routing_invalidate() was not called as a trigger");
	CacheInvalidateRelcacheByRelid(RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	PG_RETURN_POINTER(NULL);
}

/* The config version of the edit that is under way, and the transaction it belongs to. */
static struct
{
	LocalTransactionId transaction;
	int64 version;
} rule_edit;

/*
 * webhook_routing_note_edit(version bigint), called by the row triggers of the rule tables and the
 * plan, and by webhook_routing_append()
 */
Datum
webhook_routing_note_edit(PG_FUNCTION_ARGS)
{
	rule_edit.transaction = MY_LOCAL_TRANSACTION_ID;
	rule_edit.version = PG_GETARG_INT64(0);
	PG_RETURN_VOID();
}

/*
 * webhook_routing_noted_edit() returns bigint: 0 when this transaction has noted none
 */
Datum
webhook_routing_noted_edit(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(rule_edit.transaction == MY_LOCAL_TRANSACTION_ID ? rule_edit.version : 0);
}
