/* SPDX-License-Identifier: PostgreSQL
 *
 * route.h: the decision engine, whole.
 *
 * A WhatsApp webhook goes in as bytes; out comes the function that must answer it, and why. The
 * engine is pure C11: it knows no PostgreSQL and no HTTP, keeps no global state, allocates nothing
 * while it decides and reads nothing outside the bytes it is given. The extension decides with it
 * under SQL, the forwarder counts items and reads rulesets with it, and tests and fuzzers run it
 * bare: one engine, one answer.
 *
 * Start at decide.c, where a payload comes in (route_decide) and the order of the reasons is. It
 * walks over the items of the payload and asks for each what its sender says and who that is:
 *
 *     scan.c      bytes -> validated JSON (RFC 8259) and the place of each container
 *     members.c   JSON -> the members of an object; walk.h is the way through, text.c its strings
 *     payload.c   JSON -> the items (messages, statuses, other changes) of a webhook
 *     message.c   item -> what a message says: its button, its texts
 *     fold.c      text -> lower case, no diacritics, words separated by one space
 *     match.c     words -> which patterns occur (one automaton for all patterns of a kind)
 *     domain.c    patterns -> the domain they speak for
 *     bucket.c    sender key -> 0..9999, for ever
 *     decide.c    items + rules -> decision
 *     recollection.c  what the caller remembers of an item's sender
 *     trace.c     the steps of a decision in sentences; names.c has the names of its values
 *
 * Where the items of a payload belong to different functions, it can be taken apart:
 *
 *     cut.c       payload + items to keep -> a payload of these items alone
 *
 * The rules come from a snapshot (below), and are compiled before anything is decided:
 *
 *     snapshot.c  text -> lines and fields
 *     rules.c     lines -> config, targets, domains and patterns, each checked
 *     ruleset.c   all of them -> compiled rules (the only place that allocates);
 *                 ruleset_compiler.h is what it shares with rules.c
 *
 * Threads: a compiled ruleset is immutable and may be shared; every other object belongs to its
 * caller. No function takes a lock, and none fails in a way that its result does not say.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---------------------------------------------------------------------------------------------
 * Limits
 * ------------------------------------------------------------------------------------------ */

/* Deepest nesting of arrays and objects that counts as readable; deeper input is `malformed`. */
#define ROUTE_MAX_DEPTH 1024
/* Longest input in bytes that is looked at; longer input is `malformed`. (Meta sends up to 3 MB.)
 */
#define ROUTE_MAX_PAYLOAD ((size_t) 1 << 30)
/* Bounds of the strings in a decision, in bytes of UTF-8 without the terminating NUL. A longer
 * value is cut at a code point; the bucket is always made from the whole sender key. */
#define ROUTE_MAX_SENDER 128
#define ROUTE_MAX_MESSAGE_ID 256
#define ROUTE_MAX_MESSAGE_TYPE 64
/* Bounds of a ruleset. */
#define ROUTE_MAX_DOMAINS 256
#define ROUTE_MAX_TARGETS 1024
#define ROUTE_MAX_PATTERNS 16384
#define ROUTE_MAX_PATTERN_LENGTH 128
#define ROUTE_MAX_NAME_LENGTH 128
/* Number of buckets; one is a hundredth of a percent of the senders. */
#define ROUTE_BUCKETS 10000
#define ROUTE_NO_BUCKET (-1)

/* ---------------------------------------------------------------------------------------------
 * Words of a decision. Each list is the one definition: the enum, the names that are stored in the
 * log, and the reference documentation are all made from it.
 * ------------------------------------------------------------------------------------------ */

/*  X(CONSTANT, name, what it says to an operator) in the order in which they are tried */
#define ROUTE_REASONS(X)                                                                           \
    X(NO_CONFIG, "no_config", "no usable ruleset: the default target answers")                     \
    X(UNKNOWN_WEBHOOK, "unknown_webhook", "the caller named a webhook that no domain owns")        \
    X(MALFORMED, "malformed", "the body is not JSON (RFC 8259)")                                   \
    X(NOT_WHATSAPP, "not_whatsapp", "JSON, but not a WhatsApp webhook")                            \
    X(STATUS, "status", "a delivery status, never matched by keyword")                             \
    X(OTHER_FIELD, "other_field", "an account, template, call or other change without a message")  \
    X(PROTECTED, "protected", "the domain may never be moved")                                     \
    X(LEGACY_RETIRED, "legacy_retired", "the legacy function is retired: unified answers")         \
    X(DISABLED, "disabled", "routing is switched off")                                             \
    X(UNKNOWN_DOMAIN, "unknown_domain", "no button or keyword names a domain")                     \
    X(NOT_ENROLLED, "not_enrolled", "the domain is not enrolled")                                  \
    X(NO_SENDER, "no_sender", "nobody to be sticky to: the message names no sender")               \
    X(IN_PERCENTAGE, "in_percentage", "the sender's bucket is inside the percentage")              \
    X(IN_CONVERSATION, "in_conversation",                                                          \
      "outside the percentage, but in a conversation that is kept on unified")                     \
    X(OUT_OF_PERCENTAGE, "out_of_percentage", "the sender's bucket is outside the percentage")     \
    X(MIXED_BATCH, "mixed_batch", "the items of one POST belong to different functions")

typedef enum route_reason
{
#define X(constant, name, meaning) ROUTE_REASON_##constant,
    ROUTE_REASONS(X)
#undef X
        ROUTE_REASON_COUNT
} route_reason;

/* Name of a reason as stored in webhook_routing_logs.reason, and its meaning in words. Static. */
const char *route_reason_name(route_reason reason);
const char *route_reason_meaning(route_reason reason);

typedef enum route_side
{
    ROUTE_LEGACY,  /* "legacy" */
    ROUTE_UNIFIED, /* "unified" */
} route_side;

const char *route_side_name(route_side side);

/* What one entry of a webhook is. */
typedef enum route_item_kind
{
    ROUTE_ITEM_MESSAGE,     /* "message": an element of messages[] */
    ROUTE_ITEM_STATUS,      /* "status": an element of statuses[] of a `messages` change */
    ROUTE_ITEM_OTHER_FIELD, /* "other_field": a change that carries neither */
    ROUTE_ITEM_UNREADABLE,  /* "unreadable": the whole body, malformed or not WhatsApp */
} route_item_kind;

const char *route_item_kind_name(route_item_kind kind);

/* When the fallback of a decision is asked instead of its target, whose policy it is; each policy
 * includes the one before. */
typedef enum route_fallback_policy
{
    ROUTE_FALLBACK_CONNECT, /* "connect": only when it was not reached */
    ROUTE_FALLBACK_ERROR,   /* "error": also when it took the request and refused it (default) */
    ROUTE_FALLBACK_ANY,     /* "any": also when it is unknown whether it acted */
} route_fallback_policy;

const char *route_fallback_policy_name(route_fallback_policy policy);

/* ---------------------------------------------------------------------------------------------
 * Text and ranges
 * ------------------------------------------------------------------------------------------ */

/* Bytes owned by somebody else; data is NULL when the value is absent. Not NUL-terminated. */
typedef struct route_text
{
    const char *data;
    size_t length;
} route_text;

/* A half-open byte range [start, end) of the payload; {0, 0} when there is none. */
typedef struct route_range
{
    size_t start;
    size_t end;
} route_range;

/* ---------------------------------------------------------------------------------------------
 * Ruleset: what decides. Compiled once from a snapshot, then immutable.
 *
 * The snapshot is a text that both parts exchange (SQL: routing_ruleset()). UTF-8; lines end in
 * LF; fields are separated by TAB; in a field, backslash, TAB, LF and CR are written \\ \t \n \r,
 * and NULL is \N. Lines may come in any order between the first and the last:
 *
 *     webhook_routing 1                                            format and its number
 *     config  ID  VERSION  PERCENTAGE  ENABLED  SALT  UNIFIED  DEFAULT
 *     target  NAME  URL  TIMEOUT_MS  FALLBACK_POLICY  RETIRED
 *     domain  NAME  LEGACY_TARGET  PROTECTED  PERCENTAGE  PRIORITY  ENROLLED
 *     pattern DOMAIN  KIND  MATCH  TEXT
 *     end                                                          proves that nothing is cut off
 *
 * ID is a uuid in its text form; PERCENTAGE has at most two decimals (a domain's may be NULL);
 * ENABLED, PROTECTED, RETIRED and ENROLLED are t or f; SALT and PRIORITY are signed integers (64
 * and 32 bit); KIND is keyword or button; MATCH is word, prefix or exact; TIMEOUT_MS is a positive
 * integer or NULL. Exactly one config line. A target that is named but has no line gets defaults.
 * ------------------------------------------------------------------------------------------ */

typedef struct route_ruleset route_ruleset;

/* Memory for a ruleset. allocate returns NULL when there is none (or does not return at all, as
 * PostgreSQL's palloc); release may be NULL when the whole arena goes at once. */
typedef struct route_allocator
{
    void *(*allocate)(void *context, size_t size);
    void (*release)(void *context, void *memory);
    void *context;
} route_allocator;

/* Why a snapshot was refused: a sentence in English and the 1-based line it speaks of (0: none). */
typedef struct route_error
{
    char message[256];
    size_t line;
} route_error;

/* The message of a route_error for which no snapshot is to blame. */
#define ROUTE_OUT_OF_MEMORY "out of memory"

/* Compiles a snapshot. Returns NULL and fills *error when the text is not a valid snapshot (any
 * bytes are safe to pass) or memory runs out; nothing is left allocated then. The result copies
 * what it needs of the snapshot. */
route_ruleset *route_ruleset_compile(const char *snapshot, size_t length,
                                     const route_allocator *allocator, route_error *error);
/* Gives the memory back through the allocator's release. NULL is allowed. */
void route_ruleset_free(route_ruleset *ruleset);

/* The config line, as compiled. */
typedef struct route_config
{
    route_text id;       /* uuid, 36 characters */
    int64_t version;     /* config version */
    uint32_t percentage; /* hundredths of a percent, 0..10000 */
    bool enabled;
    uint64_t salt; /* seed of the bucket hash */
    route_text unified_target;
    route_text default_target;
} route_config;

/* A function that can receive a webhook. index is its place in the ruleset, 0..count-1: callers
 * keep per-target state (prepared values, breakers) in arrays of their own under it. */
typedef struct route_target
{
    uint32_t index;
    route_text name;
    route_text url;      /* absent: the functions base URL + "/" + name */
    uint32_t timeout_ms; /* 0: the forwarder's default */
    route_fallback_policy fallback_policy;
    bool retired;
} route_target;

/* A business area. */
typedef struct route_domain
{
    uint32_t index;
    route_text name;
    const route_target *legacy;
    bool is_protected;
    bool enrolled;
    uint32_t percentage; /* effective: least(own, global), hundredths of a percent */
    int32_t priority;    /* lower is preferred when matches tie, then the name in byte order */
} route_domain;

/* All return pointers into the ruleset, valid until it is freed. Targets and domains are sorted by
 * (name) and (priority, name). Lookup returns NULL when there is none. */
const route_config *route_ruleset_config(const route_ruleset *ruleset);
size_t route_ruleset_target_count(const route_ruleset *ruleset);
const route_target *route_ruleset_target(const route_ruleset *ruleset, size_t index);
const route_target *route_ruleset_find_target(const route_ruleset *ruleset, route_text name);
size_t route_ruleset_domain_count(const route_ruleset *ruleset);
const route_domain *route_ruleset_domain(const route_ruleset *ruleset, size_t index);
const route_domain *route_ruleset_find_domain(const route_ruleset *ruleset, route_text name);
/* Every pattern, for callers that prepare values: the text as written in the rule. */
size_t route_ruleset_pattern_count(const route_ruleset *ruleset);
route_text route_ruleset_pattern(const route_ruleset *ruleset, size_t index);

/* ---------------------------------------------------------------------------------------------
 * Bucket
 * ------------------------------------------------------------------------------------------ */

/* XXH64(sender key, seed = salt), then ((hash >> 32) * 10000) >> 32: 0..9999. Uniform, and sticky
 * for ever: the golden vectors in test/unit/ must never change. */
int32_t route_bucket(const void *sender_key, size_t length, uint64_t salt);

/* ---------------------------------------------------------------------------------------------
 * Decision
 * ------------------------------------------------------------------------------------------ */

/* The answer for one item, or for a whole POST. Targets and domains are the ruleset's and live as
 * long as it does; strings are copied in. */
typedef struct route_decision
{
    const route_target *target;   /* never NULL */
    const route_target *fallback; /* who may answer when unified does not; else NULL */
    const route_domain *domain;   /* NULL: unknown */
    route_side side;
    route_reason reason;
    int32_t matched;      /* index of the pattern that decided (route_ruleset_pattern), or -1 */
    int32_t bucket;       /* 0..9999 or ROUTE_NO_BUCKET */
    uint32_t percentage;  /* the domain's, or the global one without; hundredths of a percent */
    route_item_kind kind; /* of the item; of item 0 for a whole POST */
    route_range range;    /* of that item's JSON value in the payload */
    /* Valid UTF-8 without NUL, NUL-terminated; length 0 means absent. */
    uint16_t from_number_length;
    uint16_t message_id_length;
    uint16_t message_type_length;
    char from_number[ROUTE_MAX_SENDER + 1];
    char message_id[ROUTE_MAX_MESSAGE_ID + 1];
    char message_type[ROUTE_MAX_MESSAGE_TYPE + 1];
} route_decision;

/* What a sender was last speaking of, and the side that it went to. */
typedef struct route_conversation
{
    const route_domain *domain; /* of the ruleset; NULL: he is in no active conversation */
    route_side side;
} route_conversation;

/* Conversations: what a caller remembers of the senders whose messages it has decided on. The
 * engine asks and tells, and keeps nothing itself; without a memory (NULL) each message stands
 * alone. A sender is named as decision.from_number is: valid UTF-8 without NUL, NUL-terminated, up
 * to ROUTE_MAX_SENDER bytes. */
typedef struct route_memory
{
    /* Asked at most once an item, and only where the answer counts: for a message in which neither
     * button nor keyword was found, whose webhook the caller has not named, and, with keeps_sides,
     * for one that is outside the percentage. */
    route_conversation (*recall)(void *context, const char *sender, size_t length);
    /* Told of each message with a sender and a domain, in order, so that a later item of the same
     * POST follows an earlier one. Of the decision its strings are not filled in. */
    void (*remember)(void *context, const char *sender, size_t length,
                     const route_decision *decision);
    void *context;
    bool keeps_sides; /* a conversation on unified stays there while it is active */
} route_memory;

/* One step of a decision in words, for route_explain. step is a static name such as "payload",
 * "sender", "button", "keywords", "protected"; outcome is a NUL-terminated sentence that lives only
 * during the call. */
typedef struct route_trace
{
    void (*step)(void *context, const char *step, const char *outcome);
    void *context;
} route_trace;

/* Decides a whole POST: as its items agree, else mixed_batch. It has a fallback where each of its
 * items has one: the same, or the default target. webhook_name is absent (data NULL) unless the
 * caller named one. memory and trace may be NULL. Any bytes are safe; always fills *decision.
 * Returns the number of items, at least 1. A caller without a ruleset has nothing to decide with:
 * it answers ROUTE_REASON_NO_CONFIG itself. */
size_t route_decide(const route_ruleset *ruleset, const void *payload, size_t length,
                    route_text webhook_name, const route_memory *memory, const route_trace *trace,
                    route_decision *decision);

/* Decides each item as if it stood alone, in order, though with a memory it may follow an earlier
 * one; visit gets item = 0, 1, ... and returns false to stop early. A body that cannot be read is
 * one item. Returns the number of items visited. */
typedef bool (*route_visit_item)(void *context, size_t item, const route_decision *decision);
size_t route_decide_items(const route_ruleset *ruleset, const void *payload, size_t length,
                          route_text webhook_name, const route_memory *memory,
                          route_visit_item visit, void *context);

/* What a log knows of an item that was decided before. The domain is absent where it was unknown;
 * the reason tells whether the item was one that a domain is sought for. */
typedef struct route_known
{
    route_text domain;
    int32_t bucket; /* or ROUTE_NO_BUCKET */
    route_reason reason;
} route_known;

/* Decides such an item again, alone, from its domain on, by the steps that decided it. The decision
 * has no strings, no pattern and no range. trace may be NULL. Returns false, and decides nothing,
 * when the ruleset has no domain of that name. */
bool route_decide_known(const route_ruleset *ruleset, const route_known *known,
                        const route_trace *trace, route_decision *decision);

/* The reason of that name; ROUTE_REASON_COUNT when there is none. */
route_reason route_reason_of_name(route_text name);

/* Number of items in a payload (at least 1), without a ruleset. */
size_t route_count_items(const void *payload, size_t length);

/* Cuts a webhook down to the items for which keep(context, item) is true, numbered as
 * route_decide_items() does; keep is asked several times and must not change its mind. What is left
 * is the payload's own bytes in their order, valid JSON when the payload is, all of it when all are
 * kept: dropped items go with their commas; arrays, changes and entries that lose all their items
 * go whole; contacts[] keeps those that belong to a kept item or to none (cut.c has the fine
 * print). Its items are the kept ones, each decided as before where there is no memory. A body of
 * one item is kept whole or not at all. `out` has room for `length` bytes and does not overlap the
 * payload. Returns the bytes written; 0 when nothing is kept. */
typedef bool (*route_keep_item)(void *context, size_t item);
size_t route_cut(const void *payload, size_t length, route_keep_item keep, void *context,
                 void *out);

/* Whether the bytes are one JSON text by RFC 8259 (UTF-8, no byte order mark, nesting within
 * ROUTE_MAX_DEPTH). Lone surrogate escapes and \u0000 are JSON. */
bool route_is_json(const void *bytes, size_t length);

#endif /* ROUTE_H */
