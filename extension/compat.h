/* SPDX-License-Identifier: PostgreSQL
 *
 * compat.h: what differs between PostgreSQL 15 and 18, and nowhere else. Included after postgres.h.
 */
#ifndef WEBHOOK_ROUTING_COMPAT_H
#define WEBHOOK_ROUTING_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "webhook_routing needs PostgreSQL 15 or later"
#endif

/* 16 moved the VARDATA family out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 17 moved the number that a transaction has in its backend. Wants storage/proc.h. */
#if PG_VERSION_NUM >= 170000
#define MY_LOCAL_TRANSACTION_ID (MyProc->vxid.lxid)
#else
#define MY_LOCAL_TRANSACTION_ID (MyProc->lxid)
#endif

/* 17 can flush the message at once, which a COMMIT does anyway. Wants replication/message.h. */
#if PG_VERSION_NUM >= 170000
#define LOG_MESSAGE_OF_TRANSACTION(prefix) LogLogicalMessage(prefix, "", 0, true, false)
#else
#define LOG_MESSAGE_OF_TRANSACTION(prefix) LogLogicalMessage(prefix, "", 0, true)
#endif

/* 18 says in front of a function, and in one word, that it does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* 18 lets a module say its name and version (pg_get_loaded_modules()). */
#if PG_VERSION_NUM >= 180000
#define WEBHOOK_ROUTING_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "webhook_routing", .version = WEBHOOK_ROUTING_VERSION)
#else
#define WEBHOOK_ROUTING_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#endif
