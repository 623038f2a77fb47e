/* SPDX-License-Identifier: PostgreSQL
 *
 * recall.c: the conversation that a sender is in, for a decision.
 *
 * Asked only for messages that say nothing themselves, or, with keep_conversations, that are outside
 * the percentage. The table is read as the rules are, beneath the level at which rights are checked.
 * The snapshot is that of the statement, so one statement decides a payload one way.
 */
#include "conversation.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "log.h"

#define SENDER_INDEX "webhook_routing_conversations_sender_idx"
/* Of senders in one POST; the table grows beyond it by itself. */
#define EXPECTED_SENDERS 64

static const route_conversation no_conversation = {NULL, ROUTE_LEGACY};

/* --- What this POST has said ---------------------------------------------------------------- */

static route_conversation
recall_said(const Conversations *self, const char *sender)
{
	const Said *said;

	if (strcmp(self->latest.sender, sender) == 0)
		return self->latest.conversation;
	if (self->earlier == NULL)
		return no_conversation;
	said = hash_search(self->earlier, sender, HASH_FIND, NULL);
	return said == NULL ? no_conversation : said->conversation;
}

/* Makes room for what is said next. */
static void
put_aside(Conversations *self)
{
	Said *said;

	if (self->earlier == NULL)
	{
		HASHCTL control = {.keysize = sizeof(self->latest.sender),
						   .entrysize = sizeof(Said),
						   .hcxt = CurrentMemoryContext};

		self->earlier = hash_create("webhook_routing senders", EXPECTED_SENDERS, &control,
									HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	said = hash_search(self->earlier, self->latest.sender, HASH_ENTER, NULL);
	said->conversation = self->latest.conversation;
}

static void
remember(void *context, const char *sender, size_t length, const route_decision *decision)
{
	Conversations *self = context;

	if (self->latest.sender[0] != '\0' && strcmp(self->latest.sender, sender) != 0)
		put_aside(self);
	memcpy(self->latest.sender, sender, length + 1);
	self->latest.conversation = (route_conversation){decision->domain, decision->side};
}

/* --- What the table says -------------------------------------------------------------------- */

/*
 * Opens a table if that can be done at once. NULL when it cannot, or when the table is gone. To be
 * closed with table_close(..., AccessShareLock).
 */
static Relation
open_at_once(Oid table)
{
	Relation relation;

	if (!OidIsValid(table) || !ConditionalLockRelationOid(table, AccessShareLock))
		return NULL;
	relation = try_table_open(table, NoLock);
	if (relation == NULL)
		UnlockRelationOid(table, AccessShareLock);
	return relation;
}

/* The snapshot that everything else in this statement sees; NULL stands for a fresh one. */
static Snapshot
statement_snapshot(void)
{
	return ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;
}

static Datum
column(HeapTuple tuple, Relation table, const char *name)
{
	TupleDesc descriptor = RelationGetDescr(table);
	bool isnull;
	Datum value = heap_getattr(tuple, SPI_fnumber(descriptor, name), descriptor, &isnull);

	if (isnull)
		elog(ERROR, "column %s of %s is null", name, RelationGetRelationName(table));
	return value;
}

/*
 * The key of hashed senders, read anew each time: it comes with the first sender that is hashed, which
 * no invalidation tells of, and its table has one row. Returns false when there is none.
 */
static bool
read_hash_key(const CachedRuleset *ruleset, uint8 *key)
{
	Relation table = open_at_once(ruleset->secrets);
	bool found = false;
	SysScanDesc scan;
	HeapTuple tuple;

	if (table == NULL)
		return false;
	scan = systable_beginscan(table, InvalidOid, false, statement_snapshot(), 0, NULL);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bytea *secret = DatumGetByteaPP(column(tuple, table, "secret"));

		found = strcmp(TextDatumGetCString(column(tuple, table, "name")), "sender_hash") == 0 &&
				VARSIZE_ANY_EXHDR(secret) == LOG_KEY_BYTES;
		if (found)
			memcpy(key, VARDATA_ANY(secret), LOG_KEY_BYTES);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return found;
}

/* The sender as the log has it; NULL when no sender of that form can have been logged. */
static text *
logged_sender(const CachedRuleset *ruleset, const char *sender, size_t length)
{
	text *plain = cstring_to_text_with_len(sender, length);
	uint8 key[LOG_KEY_BYTES];

	if (!ruleset->hash_senders)
		return plain;
	return read_hash_key(ruleset, key) ? log_hashed(plain, key) : NULL;
}

/* The domain of that name, unless it is gone or disabled. */
static const route_domain *
domain_in_force(const CachedRuleset *ruleset, const text *name)
{
	route_text domain = {VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)};
	ListCell *cell;

	foreach(cell, ruleset->disabled_domains)
		if (strlen(lfirst(cell)) == domain.length &&
			memcmp(lfirst(cell), domain.data, domain.length) == 0)
			return NULL;
	return route_ruleset_find_domain(ruleset->rules, domain);
}

/* The newest of the sender's rows that is not idle. Caller holds a lock on the table and the index. */
static route_conversation
newest_conversation(const Conversations *self, Relation table, Oid index, text *sender)
{
	route_conversation newest = no_conversation;
	TimestampTz newest_at = self->oldest;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, SPI_fnumber(RelationGetDescr(table), "sender"), BTEqualStrategyNumber,
				F_TEXTEQ, PointerGetDatum(sender));
	scan = systable_beginscan(table, index, OidIsValid(index), statement_snapshot(), 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TimestampTz at = DatumGetTimestampTz(column(tuple, table, "last_at"));
		text *side = DatumGetTextPP(column(tuple, table, "routed_to"));
		bool unified = text_is(side, "unified");

		/* A fallback has the time of what it stands in for, and is where the message ended. */
		if (at < newest_at || (at == newest_at && newest.domain != NULL && unified))
			continue;
		newest_at = at;
		newest.domain = domain_in_force(self->ruleset,
										DatumGetTextPP(column(tuple, table, "domain")));
		newest.side = unified ? ROUTE_UNIFIED : ROUTE_LEGACY;
	}
	systable_endscan(scan);
	return newest;
}

/*
 * Looks the sender up. REINDEX CONCURRENTLY gives the index another Oid, so it is found by name, and
 * exists as long as it is locked.
 */
static route_conversation
look_up(const Conversations *self, text *sender)
{
	route_conversation found = no_conversation;
	Relation table = open_at_once(self->ruleset->conversations);
	Oid index;

	if (table == NULL)
		return no_conversation;
	index = get_relname_relid(SENDER_INDEX, RelationGetNamespace(table));
	if (!OidIsValid(index))
		found = newest_conversation(self, table, InvalidOid, sender);
	else if (ConditionalLockRelationOid(index, AccessShareLock))
	{
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(index)))
			found = newest_conversation(self, table, index, sender);
		UnlockRelationOid(index, AccessShareLock);
	}
	table_close(table, AccessShareLock);
	return found;
}

static route_conversation
recall(void *context, const char *sender, size_t length)
{
	const Conversations *self = context;
	route_conversation said = recall_said(self, sender);
	text *logged;

	if (said.domain != NULL)
		return said;
	logged = logged_sender(self->ruleset, sender, length);
	return logged == NULL ? no_conversation : look_up(self, logged);
}

/* --- The beginning -------------------------------------------------------------------------- */

void
conversations_configure(CachedRuleset *ruleset, const Row *config, Oid schema, const List *disabled)
{
	MemoryContext caller = MemoryContextSwitchTo(ruleset->context);
	ListCell *cell;
	Datum timeout;

	if (row_value(config, "conversation_timeout", &timeout))
		ruleset->conversation_timeout = webhook_routing_microseconds(DatumGetIntervalP(timeout));
	ruleset->keep_conversations = row_is_true(config, "keep_conversations");
	ruleset->hash_senders = row_is_true(config, "hash_senders");
	ruleset->conversations = get_relname_relid("webhook_routing_conversations", schema);
	ruleset->secrets = get_relname_relid("webhook_routing_secrets", schema);
	foreach(cell, disabled)
		ruleset->disabled_domains = lappend(ruleset->disabled_domains, pstrdup(lfirst(cell)));
	MemoryContextSwitchTo(caller);
}

const route_memory *
conversations_open(Conversations *conversations, const CachedRuleset *ruleset)
{
	conversations->memory = (route_memory){recall, remember, conversations,
										   ruleset->keep_conversations};
	conversations->ruleset = ruleset;
	conversations->oldest = GetCurrentStatementStartTimestamp() - ruleset->conversation_timeout;
	conversations->latest.sender[0] = '\0';
	conversations->earlier = NULL;
	return &conversations->memory;
}
