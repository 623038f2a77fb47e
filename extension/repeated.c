/* SPDX-License-Identifier: PostgreSQL
 *
 * repeated.c: an error that was counted before.
 *
 * Meta delivers a webhook that it got an error for again, for seven days. One message that a function
 * cannot digest would look like a fault of everything, so its errors count once for each domain and
 * side. webhook_routing_failed_messages has a keyed 64-bit hash of what has failed; it tells nobody
 * which message that was, and routing_maintain() removes what is older than Meta's patience.
 *
 * It has no unique constraint, which would make writers wait for each other: two of them that store the
 * first error of a message at the same moment both count it.
 */
#include "log.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "webhook_routing.h"

/* The first 64 bits of HMAC-SHA-256 over domain, side and message id, each but the last ended by a NUL. */
static int64
failure_hash(const uint8 *key, const text *domain, const text *routed_to, const text *message_id)
{
	const text *const parts[] = {domain, routed_to, message_id};
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
	bool done = hmac != NULL && pg_hmac_init(hmac, key, LOG_KEY_BYTES) == 0;
	int64 hash;

	for (int i = 0; i < lengthof(parts); i++)
		done = done &&
			   pg_hmac_update(hmac, (const uint8 *) VARDATA_ANY(parts[i]),
							  VARSIZE_ANY_EXHDR(parts[i])) == 0 &&
			   (i == lengthof(parts) - 1 || pg_hmac_update(hmac, (const uint8 *) "", 1) == 0);
	if (!done || pg_hmac_final(hmac, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not hash a message id: %s", pg_hmac_error(hmac))));
	pg_hmac_free(hmac);
	memcpy(&hash, digest, sizeof(hash));
	return hash;
}

/*
 * Looked up in the index itself: a plan that was made while the table was empty would read all of it for
 * each error. The snapshot is new each time, so that what this statement has noted is seen.
 */
static bool
is_noted(FunctionCallInfo fcinfo, int64 hash)
{
	Relation table = table_open(webhook_routing_relation(fcinfo, "webhook_routing_failed_messages"),
								AccessShareLock);
	Oid index = webhook_routing_relation(fcinfo, "webhook_routing_failed_messages_idx");
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	bool found;

	ScanKeyInit(&key, get_attnum(RelationGetRelid(table), "message_hash"), BTEqualStrategyNumber,
				F_INT8EQ, Int64GetDatum(hash));
	scan = systable_beginscan(table, index, true, snapshot, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(table, AccessShareLock);
	return found;
}

/* Caller is connected to SPI. */
static void
note(FunctionCallInfo fcinfo, int64 hash)
{
	static LogPlan plan = {
		"INSERT INTO %s.webhook_routing_failed_messages (message_hash) VALUES ($1)",
	};
	Datum value = Int64GetDatum(hash);
	int result = SPI_execute_plan(log_plan(fcinfo, &plan, 1, (Oid[]){INT8OID}), &value, NULL, false, 0);

	if (result != SPI_OK_INSERT)
		elog(ERROR, "could not note a failed message: %s", SPI_result_code_string(result));
}

bool
log_error_repeated(FunctionCallInfo fcinfo, LogFailures *failures, const text *domain,
				   const text *routed_to, const text *message_id)
{
	int64 hash;
	bool found;

	SPI_connect();
	if (!failures->has_key)
		log_key(fcinfo, LOG_MESSAGE_KEY, failures->key);
	failures->has_key = true;
	hash = failure_hash(failures->key, domain, routed_to, message_id);
	found = is_noted(fcinfo, hash);
	if (!found)
		note(fcinfo, hash);
	SPI_finish();
	return found;
}
