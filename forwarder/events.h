/* SPDX-License-Identifier: PostgreSQL
 *
 * events.h: everything that the forwarder can say in its log, once. The table makes the constants
 * that log.h takes, the words of the lines, and docs/reference/log-events.md
 * (scripts/reference.sh). Another event is another row: there is no line without one.
 *
 * A line has `time`, `level`, `event`, `message` and, of what the last column but one lists, the
 * fields that there are; `suppressed` where lines before it were left out. A line about one webhook
 * has its `correlation_id`. `mend` is what an operator does about it.
 */
#ifndef EVENTS_H
#define EVENTS_H

/* clang-format off */
/*  X(CONSTANT, "word", "levels", "fields", "meaning") */
#define LOG_EVENTS(X)                                                                              \
    X(LISTENING, "listening", "info, at every log level",                                          \
      "version listen admin_listen workers pid",                                                   \
      "it has started, and where it really listens")                                               \
    X(SIGNATURES_OFF, "signatures_off", "warning", "mend",                                         \
      "it has no app secret: whoever reaches the port can post webhooks")                          \
    X(FEW_FILES, "few_files", "warning", "open_files max_connections max_in_flight mend",          \
      "the limit on open files allows fewer connections than the options: these count")            \
    X(WORKER_FAILED, "worker_failed", "error", "mend",                                             \
      "a worker could not start; the process ends with 69")                                        \
    X(NOTIFY_FAILED, "notify_failed", "warning", "",                                               \
      "the service manager could not be told what goes on; the message says why")                  \
    X(SECRETS_RELOADED, "secrets_reloaded", "info", "files names",                                 \
      "after SIGHUP: the files that were read again")                                              \
    X(SECRETS_KEPT, "secrets_kept", "error", "option detail",                                      \
      "after SIGHUP: the file of this option is bad, and the secret before stays in force")        \
    X(DRAINING, "draining", "info", "", "asked to stop: what is in hand is finished")              \
    X(ABORTING, "aborting", "info", "", "asked to stop a second time: it ends at once")            \
    X(DRAIN_OVER, "drain_over", "warning", "requests log_rows",                                    \
      "--drain-timeout is over, and so much is still in hand: answered 503, logged as ambiguous")  \
    X(STOPPED, "stopped", "info or error", "",                                                     \
      "the last line; the message says whether everything was finished")                           \
    X(DATABASE_READY, "database_ready", "info", "link host port server_version",                   \
      "a connection to the database is open; link is what it is for")                              \
    X(DATABASE_LOST, "database_lost", "warning", "link detail mend",                               \
      "an open connection broke, or was given up; it is made again")                               \
    X(DATABASE_UNREACHABLE, "database_unreachable", "warning", "link detail mend",                 \
      "a connection cannot be opened; tried again at least every 2 s, told again every minute")    \
    X(DATABASE_LATE, "database_late", "warning", "",                                               \
      "the database has missed --decide-timeout: the last rules decide until it is prompt")        \
    X(DATABASE_PROMPT, "database_prompt", "info", "",                                              \
      "it answers in time again, and decides")                                                     \
    X(DATABASE_BEHIND, "database_behind", "warning", "standby_version primary_version mend",       \
      "the standby that decides has not replayed the newest rules: they decide here meanwhile")    \
    X(DATABASE_CAUGHT_UP, "database_caught_up", "info", "",                                        \
      "the standby has the newest rules, and decides")                                             \
    X(DATABASE_NOTICE, "database_notice", "info", "link severity sqlstate",                        \
      "the server has said something beside an answer; its text is not told: it could quote a row") \
    X(EXTENSION_MISSING, "extension_missing", "error", "detail mend",                              \
      "the database has no extension, or an older one: everything goes to --default-target")       \
    X(RULESET, "ruleset", "info", "worker from config_version percentage enabled",                 \
      "the rules in force, whenever they are others, and where they came from")                    \
    X(RULESET_UNUSABLE, "ruleset_unusable", "error", "detail mend",                                \
      "the rules cannot be had, or not be used: those before stay in force")                       \
    X(RULESET_NOT_KEPT, "ruleset_not_kept", "warning", "what detail mend",                         \
      "the rules could not be written to the spool directory, for a start without a database")     \
    X(DECIDE_TIMEOUT, "decide_timeout", "warning", "correlation_id detail mend",                   \
      "the database has not decided this webhook in time; the last rules have")                    \
    X(DECIDE_FAILED, "decide_failed", "warning", "correlation_id detail mend",                     \
      "the database has not decided this webhook, and says why; the last rules have")              \
    X(DECIDE_REFUSED, "decide_refused", "warning", "correlation_id detail mend",                   \
      "too many questions wait already; the last rules have decided this webhook")                 \
    X(ITEMS_DIFFER, "items_differ", "warning", "correlation_id detail mend",                       \
      "database and forwarder count other items: the extension is of another version")             \
    X(ITEMS_CUT, "items_cut", "warning", "correlation_id items logged",                            \
      "a webhook has more items than are logged")                                                  \
    X(SIGNATURE_REFUSED, "signature_refused", "warning", "signature correlation_id",               \
      "a webhook was answered 401: its signature is missing, malformed or wrong")                  \
    X(ATTEMPT_FAILED, "attempt_failed", "warning",                                                 \
      "webhook side attempt http_status detail correlation_id",                                    \
      "a function did not answer 2xx, and how it ended; http_status 0: no answer")                 \
    X(BREAKER, "breaker", "warning", "webhook state",                                              \
      "a function is left alone from now on (open), tried (half-open) or used again (closed)")     \
    X(LOG_BATCH_FAILED, "log_batch_failed", "warning", "sqlstate detail mend rows waiting",        \
      "log rows could not be stored; they are tried again")                                        \
    X(LOG_ROW_REFUSED, "log_row_refused", "error",                                                 \
      "kept decision_id attempt item correlation_id webhook routed_to http_status mend",           \
      "the database refuses this row for what it holds: it is set aside, its neighbours are stored") \
    X(LOG_ROWS_LOST, "log_rows_lost", "error", "rows",                                             \
      "at the end: so many rows neither the database nor the disk has")                            \
    X(SPOOL_LOCKED, "spool_locked", "info or error", "directory detail mend",                      \
      "another forwarder has the directory: it is waited for (info), or was in vain (error)")      \
    X(SPOOL_REPLAYED, "spool_replayed", "info or warning", "rows unknown damaged",                 \
      "what waited in the spool is on its way; unknown: rows whose attempt was cut off")           \
    X(SPOOL_UNUSABLE, "spool_unusable", "error",                                                   \
      "directory segments bytes limit detail mend",                                                \
      "decisions are committed in the database before they are acted upon, until it is usable")    \
    X(SPOOL_USABLE, "spool_usable", "info", "directory", "the spool takes records again")          \
    X(SPOOL_WRITE_FAILED, "spool_write_failed", "error", "detail mend",                            \
      "outcomes could not be written: they stay in memory until the database has them")            \
    X(SPOOL_SYNC_FAILED, "spool_sync_failed", "error", "detail mend",                              \
      "a segment could not be brought to the disk: it is closed, its rows stay in memory")         \
    X(SPOOL_NOT_REMOVED, "spool_not_removed", "warning", "detail segment",                         \
      "a segment whose rows are stored is still there; the next start reads it without harm")      \
    X(SPOOL_RECORD_DAMAGED, "spool_record_damaged", "warning", "segment place bytes",              \
      "a part of a segment is unreadable and set aside; the rest is read")                         \
    X(SPOOL_SEGMENT_LEFT, "spool_segment_left", "warning", "segment detail",                       \
      "a file of the spool is not read, and stays where it is")                                    \
    X(MAINTENANCE_FAILED, "maintenance_failed", "warning", "sqlstate detail mend",                 \
      "routing_maintain() failed; it is called again in an hour")                                  \
    X(GUARD_FAILED, "guard_failed", "warning", "sqlstate detail mend",                             \
      "routing_guard() failed, or is not allowed: nothing is rolled back by itself")               \
    X(GUARD_ROLLED_BACK, "guard_rolled_back", "warning", "domain detail",                          \
      "routing_guard() has switched routing off, and because of which domain")                     \
    X(AUDIT_FAILED, "audit_failed", "warning", "sqlstate detail mend",                             \
      "routing_sample_findings() failed: the sample ratio is not known")                           \
    X(HTTP, "http", "debug", "detail", "a remark of libmicrohttpd")
/* clang-format on */

enum log_event
{
#define X(constant, word, levels, fields, meaning) EVENT_##constant,
    LOG_EVENTS(X)
#undef X
        EVENT_COUNT
};

#endif /* EVENTS_H */
