/* SPDX-License-Identifier: PostgreSQL
 *
 * remember.c: notes from the rows of a statement which domain each sender was last in.
 *
 * The newest row of a sender wins; of two at one moment, the one of a fallback, which is where the
 * message ended. A row that comes late therefore moves nothing back, and one that is stored again is
 * not in the transition table at all. What is older than conversation_timeout is not noted; what is
 * from the future (a clock that is ahead) is as of now, so that it cannot outlast what comes after.
 *
 * Written as the rollups are: a row of the sender that nobody else has locked is brought up to date, a
 * new one is made when there is none, and readers take the newest. So no writer waits for another,
 * and none can deadlock.
 */
#include "log.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "webhook_routing.h"

/* Kept in memory at once; a statement that brings more is written in portions. */
#define MAX_NOTES 2000

/* What one log row says. */
typedef struct Note
{
	text *sender;
	text *domain;
	text *routed_to;
	TimestampTz at;
	int32 item;
	int32 attempt;
} Note;

/* The columns that are read of each new row, by their number in the table. */
typedef struct NoteColumns
{
	int from_number;
	int domain;
	int routed_to;
	int created_at;
	int item;
	int attempt;
	int message_type;
} NoteColumns;

typedef struct Notes
{
	FunctionCallInfo fcinfo;
	MemoryContext texts; /* of the notes; emptied with them */
	MemoryContext row;	 /* of the row that is being read; emptied with the next */
	NoteColumns columns;
	TimestampTz oldest;
	TimestampTz now;
	int used;
	Note notes[MAX_NOTES];
} Notes;

PG_FUNCTION_INFO_V1(webhook_routing_log_remember);

/* --- Writing ------------------------------------------------------------------------------ */

enum
{
	SENDER,
	DOMAIN,
	ROUTED_TO,
	LAST_AT,
	PARAMETERS
};

#define NEW_NOTES "unnest($1, $2, $3, $4) AS n (sender, domain, routed_to, last_at)"

/* The limit leaves duplicates alone, so that they go one day. */
static LogPlan merge_plan = {
	"WITH new AS MATERIALIZED (SELECT * FROM " NEW_NOTES "),"
	" held AS MATERIALIZED (SELECT c.id, n.* FROM new n, LATERAL ("
	"SELECT e.id FROM %s.webhook_routing_conversations e WHERE e.sender = n.sender"
	" LIMIT 1 FOR UPDATE SKIP LOCKED) c),"
	" moved AS (UPDATE %s.webhook_routing_conversations c"
	" SET domain = h.domain, routed_to = h.routed_to, last_at = h.last_at"
	" FROM held h WHERE c.id = h.id AND (h.last_at > c.last_at"
	" OR h.last_at = c.last_at AND h.routed_to = 'legacy'))"
	" INSERT INTO %s.webhook_routing_conversations (sender, domain, routed_to, last_at)"
	" SELECT n.sender, n.domain, n.routed_to, n.last_at FROM new n"
	" WHERE NOT EXISTS (SELECT FROM held h WHERE h.sender = n.sender)",
};

static LogPlan insert_plan = {
	"INSERT INTO %s.webhook_routing_conversations (sender, domain, routed_to, last_at)"
	" SELECT n.sender, n.domain, n.routed_to, n.last_at FROM " NEW_NOTES,
};

static Datum
text_array(Datum *values, int count)
{
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Writes as many notes, one of each sender. Under REPEATABLE READ a row that somebody has changed
 * since the snapshot cannot be changed here; a new one always can be made.
 */
static void
write_notes(FunctionCallInfo fcinfo, Datum columns[PARAMETERS][MAX_NOTES], int count)
{
	static Oid types[PARAMETERS] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID};
	Datum values[PARAMETERS];
	LogPlan *plan = IsolationUsesXactSnapshot() ? &insert_plan : &merge_plan;
	int result;

	for (int i = SENDER; i < LAST_AT; i++)
		values[i] = text_array(columns[i], count);
	values[LAST_AT] = PointerGetDatum(construct_array(columns[LAST_AT], count, TIMESTAMPTZOID,
													  sizeof(TimestampTz), FLOAT8PASSBYVAL,
													  TYPALIGN_DOUBLE));
	SPI_connect();
	result = SPI_execute_plan(log_plan(fcinfo, plan, PARAMETERS, types), values, NULL, false, 0);
	if (result != SPI_OK_INSERT)
		elog(ERROR, "could not write conversations: %s", SPI_result_code_string(result));
	SPI_finish();
}

static int
compare_senders(const text *a, const text *b)
{
	size_t a_length = VARSIZE_ANY_EXHDR(a);
	size_t b_length = VARSIZE_ANY_EXHDR(b);
	int order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(a_length, b_length));

	return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* By sender, then from older to newer; of one POST in the order of its items, then of the attempts. */
static int
compare_notes(const void *left, const void *right)
{
	const Note *a = left;
	const Note *b = right;
	int order = compare_senders(a->sender, b->sender);

	if (order == 0)
		order = (a->at > b->at) - (a->at < b->at);
	if (order == 0)
		order = (a->item > b->item) - (a->item < b->item);
	return order != 0 ? order : (a->attempt > b->attempt) - (a->attempt < b->attempt);
}

static void
notes_write(Notes *self)
{
	Datum(*columns)[MAX_NOTES] = MemoryContextAlloc(self->texts, PARAMETERS * sizeof(*columns));
	MemoryContext caller = MemoryContextSwitchTo(self->texts);
	int count = 0;

	qsort(self->notes, self->used, sizeof(Note), compare_notes);
	for (int i = 0; i < self->used; i++)
	{
		const Note *note = &self->notes[i];

		if (i + 1 < self->used && compare_senders(note->sender, note[1].sender) == 0)
			continue;
		columns[SENDER][count] = PointerGetDatum(note->sender);
		columns[DOMAIN][count] = PointerGetDatum(note->domain);
		columns[ROUTED_TO][count] = PointerGetDatum(note->routed_to);
		columns[LAST_AT][count] = TimestampTzGetDatum(note->at);
		count++;
	}
	if (count > 0)
		write_notes(self->fcinfo, columns, count);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(self->texts);
	self->used = 0;
}

/* --- Reading the rows --------------------------------------------------------------------- */

/*
 * Whether the type is not one of a message. A status or a call has a domain only where the caller
 * named the webhook; nobody has said anything then.
 */
static bool
says_nothing(const text *type)
{
	static const char *const types[] = {"sent", "delivered", "read", "played", "failed", "deleted",
										"warning", "pending", "captured", "canceled", "calls"};

	for (int i = 0; i < lengthof(types); i++)
		if (text_is(type, types[i]))
			return true;
	return false;
}

/* A column as text, of the row or in the current memory context; NULL for NULL. */
static text *
text_column(TupleTableSlot *row, int number)
{
	bool isnull;
	Datum value = slot_getattr(row, number, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

/* Whether the row says where its sender is; then *note is what it says, with the row's texts. */
static bool
read_note(const NoteColumns *columns, TupleTableSlot *row, Note *note)
{
	const text *type = text_column(row, columns->message_type);
	bool isnull;

	if (type != NULL && says_nothing(type))
		return false;
	note->item = DatumGetInt32(slot_getattr(row, columns->item, &isnull));
	note->attempt = DatumGetInt32(slot_getattr(row, columns->attempt, &isnull));
	note->sender = text_column(row, columns->from_number);
	note->domain = text_column(row, columns->domain);
	note->routed_to = text_column(row, columns->routed_to);
	return note->sender != NULL && VARSIZE_ANY_EXHDR(note->sender) > 0 &&
		   !text_is(note->domain, WEBHOOK_ROUTING_UNKNOWN_DOMAIN) &&
		   !text_is(note->routed_to, "error");
}

static void
notes_add(Notes *self, TupleTableSlot *row)
{
	bool isnull;
	TimestampTz at = DatumGetTimestampTz(slot_getattr(row, self->columns.created_at, &isnull));
	MemoryContext caller;
	Note *note;

	if (at < self->oldest)
		return;
	if (self->used == MAX_NOTES)
		notes_write(self);
	note = &self->notes[self->used];
	note->at = Min(at, self->now);
	MemoryContextReset(self->row);
	caller = MemoryContextSwitchTo(self->row);
	if (read_note(&self->columns, row, note))
	{
		MemoryContextSwitchTo(self->texts);
		note->sender = copy_text(note->sender);
		note->domain = copy_text(note->domain);
		note->routed_to = copy_text(note->routed_to);
		self->used++;
	}
	MemoryContextSwitchTo(caller);
}

static Notes *
notes_begin(FunctionCallInfo fcinfo, TupleDesc table, int64 timeout)
{
	Notes *self = palloc(sizeof(Notes));

	self->fcinfo = fcinfo;
	self->texts = AllocSetContextCreate(CurrentMemoryContext, "webhook_routing conversations",
										ALLOCSET_DEFAULT_SIZES);
	self->row = AllocSetContextCreate(CurrentMemoryContext, "webhook_routing conversations row",
									  ALLOCSET_SMALL_SIZES);
	self->now = GetCurrentTimestamp();
	self->oldest = self->now - timeout;
	self->used = 0;
	self->columns = (NoteColumns){
		.from_number = SPI_fnumber(table, "from_number"),
		.domain = SPI_fnumber(table, "domain"),
		.routed_to = SPI_fnumber(table, "routed_to"),
		.created_at = SPI_fnumber(table, "created_at"),
		.item = SPI_fnumber(table, "item"),
		.attempt = SPI_fnumber(table, "attempt"),
		.message_type = SPI_fnumber(table, "message_type"),
	};
	return self;
}

/* Statement trigger: after an INSERT into the log. */
Datum
webhook_routing_log_remember(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = log_trigger(fcinfo, "webhook_routing_log_remember",
									   TRIGGER_EVENT_INSERT | TRIGGER_EVENT_AFTER);
	TupleDesc table = RelationGetDescr(trigger->tg_relation);
	LogSettings settings;
	TupleTableSlot *row;
	Notes *notes;

	log_settings_read(fcinfo, &settings);
	if (settings.conversation_timeout == 0)
		PG_RETURN_POINTER(NULL);
	notes = notes_begin(fcinfo, table, settings.conversation_timeout);
	row = MakeSingleTupleTableSlot(table, &TTSOpsMinimalTuple);
	tuplestore_rescan(trigger->tg_newtable);
	while (tuplestore_gettupleslot(trigger->tg_newtable, true, false, row))
	{
		CHECK_FOR_INTERRUPTS();
		notes_add(notes, row);
	}
	notes_write(notes);
	ExecDropSingleTupleTableSlot(row);
	PG_RETURN_POINTER(NULL);
}
