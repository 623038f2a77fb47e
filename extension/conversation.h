/* SPDX-License-Identifier: PostgreSQL
 *
 * conversation.h: which domain a sender was last in.
 *
 *	 remember.c		rows of the log -> webhook_routing_conversations, when the log is written
 *	 recall.c		webhook_routing_conversations -> the engine (route_memory), when it decides
 *
 * A decision writes nothing, so it can be made on a standby: a conversation is known from the moment
 * when the log row of its message is committed. What one POST says is known within that POST at once.
 *
 * Nobody waits here, neither who decides nor who writes the log. A decider that cannot have the table
 * at once (somebody holds it exclusively) decides without conversations. A writer takes any row of
 * the sender that is free and makes a new one when there is none, as with the rollups; so nothing is
 * lost, and readers take the newest.
 */
#ifndef WEBHOOK_ROUTING_CONVERSATION_H
#define WEBHOOK_ROUTING_CONVERSATION_H

#include "webhook_routing.h"

#include "datatype/timestamp.h"
#include "utils/hsearch.h"

/* Something that a sender has said in the POST that is being decided. */
typedef struct Said
{
	char sender[ROUTE_MAX_SENDER + 1]; /* first, since it is the key of the table; "": nothing */
	route_conversation conversation;
} Said;

/* The memory of one decision; lives on its caller's stack. */
typedef struct Conversations
{
	route_memory memory;
	const CachedRuleset *ruleset;
	TimestampTz oldest; /* a conversation whose last message is from before is idle */
	Said latest;
	HTAB *earlier; /* what others have said in this POST; NULL: nothing */
} Conversations;

extern const route_memory *conversations_open(Conversations *conversations,
											  const CachedRuleset *ruleset);

/* What the engine is to know of earlier messages; NULL, at no cost, when that is switched off. */
static inline const route_memory *
conversations_of(Conversations *conversations, const CachedRuleset *ruleset)
{
	if (likely(ruleset->conversation_timeout == 0))
		return NULL;
	return conversations_open(conversations, ruleset);
}

#endif
