/* SPDX-License-Identifier: PostgreSQL
 *
 * The way of a row into the log, in the order in which things happen to one INSERT:
 *
 *	 batch.c	store_routing_pending()	before the relay, for a forwarder without a usable spool: into
 *										webhook_routing_pending, which is not the log
 *				store_routing_logs()	one statement for a batch of the forwarder
 *	 log.c		log_begin				before the statement: are senders to be hashed?
 *				log_hash				each row: puts the hash in the place of the sender
 *	 rollup.c	log_count				after the statement: folds its rows into the rollups
 *	 repeated.c							an error of a message that has failed before is told apart
 *	 remember.c	log_remember			after the statement: notes which domain each sender was last in
 *
 * log_begin, log_count and log_remember are statement triggers of the partitioned table, so they see what comes
 * through it, from a batch or by hand, and nothing that is written into a partition directly:
 * pg_restore, and routing_maintain() when it moves rows, neither count nor hash a row again.
 */
#ifndef WEBHOOK_ROUTING_LOG_H
#define WEBHOOK_ROUTING_LOG_H

#include "postgres.h"

#include "commands/trigger.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/datum.h"

#include "compat.h"

/* What the log needs from the config in force. */
typedef struct LogSettings
{
	bool hash_senders;
	double warning_ms; /* latency limits: rollups count what is above */
	double critical_ms;
	TimestampTz oldest;			/* rows from before are past the retention */
	int64 conversation_timeout; /* microseconds; 0: conversations are not remembered */
} LogSettings;

extern void log_settings_read(FunctionCallInfo fcinfo, LogSettings *settings);

/* Raises, as the log does for a row that is older than settings.oldest; id is a uuid. */
pg_noreturn extern void log_refuse_expired(Datum id, TimestampTz created_at);

/*
 * The keys in webhook_routing_secrets: of hashed senders, and of messages that have failed. Each is made
 * when it is first needed. Caller of log_key() is connected to SPI.
 */
#define LOG_SENDER_KEY "sender_hash"
#define LOG_MESSAGE_KEY "message_hash"
#define LOG_KEY_BYTES 32
extern void log_key(FunctionCallInfo fcinfo, const char *name, uint8 *key);

/* Whether senders are hashed; then finds the key, and makes it if there is none. */
extern bool log_sender_key(FunctionCallInfo fcinfo, const LogSettings *settings, uint8 *key);

/* The hash of a sender or message id, or what it is given when that is one. */
extern text *log_hashed(text *plain, const uint8 *key);

/*
 * A plan that the backend keeps, prepared anew when the extension has been dropped and has come back.
 * In the command "%s" stands for its schema; it may occur any number of times.
 */
typedef struct LogPlan
{
	const char *command;
	SPIPlanPtr plan;
	Oid log; /* the log table that it was prepared for */
} LogPlan;

/* Caller is connected to SPI. */
extern SPIPlanPtr log_plan(FunctionCallInfo fcinfo, LogPlan *kept, int nargs, const Oid *types);

/* For log_error_repeated(), as long as a statement lasts. Starts zeroed. */
typedef struct LogFailures
{
	bool has_key;
	uint8 key[LOG_KEY_BYTES];
} LogFailures;

/*
 * Whether an error of that message was counted before, for that domain and side; from now on it was.
 * Not connected to SPI.
 */
extern bool log_error_repeated(FunctionCallInfo fcinfo, LogFailures *failures, const text *domain,
							   const text *routed_to, const text *message_id);

/* Texts of rows, by their bytes. */

static inline bool
text_is(const text *value, const char *string)
{
	return VARSIZE_ANY_EXHDR(value) == strlen(string) &&
		   memcmp(VARDATA_ANY(value), string, strlen(string)) == 0;
}

/* Into the current memory context. */
static inline text *
copy_text(const text *value)
{
	return (text *) DatumGetPointer(datumCopy(PointerGetDatum(value), false, -1));
}

/* Raises unless called as a trigger for that event (the TRIGGER_EVENT bits of an INSERT). */
extern TriggerData *log_trigger(FunctionCallInfo fcinfo, const char *name, TriggerEvent event);

#endif
