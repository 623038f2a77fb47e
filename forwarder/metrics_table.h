/* SPDX-License-Identifier: PostgreSQL
 *
 * metrics_table.h: every metric, once: what /metrics shows, docs/reference/metrics.md, and the test
 * that both agree come from here. And the words that their labels can have, but for names of
 * domains, reasons and targets, which come from decisions.
 */
#ifndef METRICS_TABLE_H
#define METRICS_TABLE_H

/* Names begin with this, but for those that every exporter calls process_*. */
#define METRICS_PREFIX "webhook_forwarder_"

/*  X(ID, type, unit, source, name, labels, help)
 *
 *  unit: what a cell holds, and what is shown: SECONDS from microseconds, RATIO from hundredths of
 *  a percent, the others as they are.
 *
 *  source: where the value is. SUM, NEWEST, AGE: a cell of each worker, added up; of the worker
 *  with the newest rules; the moment (loop_clock(), 0: none) longest ago. PROCESS: what the main
 *  thread knows. LABELS: a family that metrics_text.c writes.
 */
#define METRICS(X)                                                                                 \
    X(RESPONSES, counter, NONE, LABELS, METRICS_PREFIX "responses_total", "request, code",         \
      "Answers to clients by what was asked and status code.")                                     \
    X(REFUSED, counter, NONE, LABELS, METRICS_PREFIX "refused_requests_total", "reason",           \
      "Requests that were answered with an error before anything was relayed.")                    \
    X(REQUEST_SECONDS, histogram, SECONDS, LABELS, METRICS_PREFIX "request_duration_seconds",      \
      "routed_to",                                                                                 \
      "From a webhook's last byte to its answer, by the side of its last attempt; mixed: several " \
      "functions had a part of it.")                                                               \
    X(IN_FLIGHT, gauge, NONE, SUM, METRICS_PREFIX "in_flight_webhooks", "", "Webhooks in hand.")   \
    X(IN_FLIGHT_LIMIT, gauge, NONE, PROCESS, METRICS_PREFIX "in_flight_webhooks_limit", "",        \
      "--max-in-flight; beyond it webhooks are refused.")                                          \
    X(CONNECTIONS, gauge, NONE, SUM, METRICS_PREFIX "connections", "", "Connections of clients.")  \
    X(CONNECTIONS_LIMIT, gauge, NONE, PROCESS, METRICS_PREFIX "connections_limit", "",             \
      "--max-connections, or less when the limit on open files does not allow it.")                \
    X(BUFFERED, gauge, BYTES, SUM, METRICS_PREFIX "buffered_bytes", "",                            \
      "Bytes of webhooks and answers in memory.")                                                  \
    X(BUFFERED_LIMIT, gauge, BYTES, PROCESS, METRICS_PREFIX "buffered_bytes_limit", "",            \
      "--max-buffer; beyond it webhooks are refused.")                                             \
    X(DECISIONS, counter, NONE, LABELS, METRICS_PREFIX "decisions_total",                          \
      "routed_to, domain, reason, decided_by",                                                     \
      "Decisions that were acted upon, with the side that was decided, whatever came of it.")      \
    X(DECIDE_SECONDS, histogram, SECONDS, LABELS, METRICS_PREFIX "decide_duration_seconds",        \
      "decided_by", "From a webhook's last byte to its decision.")                                 \
    X(DECIDING_LOCALLY, gauge, NONE, PROCESS, METRICS_PREFIX "deciding_locally", "",               \
      "Workers for which the database does not decide now.")                                       \
    X(ATTEMPTS, counter, NONE, LABELS, METRICS_PREFIX "attempts_total",                            \
      "target, routed_to, status, outcome",                                                        \
      "Attempts by function, side and outcome; routed_to and status are those of the log.")        \
    X(ATTEMPT_SECONDS, histogram, SECONDS, LABELS, METRICS_PREFIX "attempt_duration_seconds",      \
      "target, routed_to", "How long attempts took that were made; the log's response_time_ms.")   \
    X(FALLBACKS, counter, NONE, LABELS, METRICS_PREFIX "fallbacks_total", "target",                \
      "Attempts at this function that led to one at the legacy function.")                         \
    X(BREAKERS, gauge, NONE, LABELS, METRICS_PREFIX "breakers", "target, state",                   \
      "Workers whose breaker for this function is in this state.")                                 \
    X(BREAKER_OPENINGS, counter, NONE, LABELS, METRICS_PREFIX "breaker_openings_total", "target",  \
      "How often a worker's breaker for this function has opened.")                                \
    X(UPSTREAMS, gauge, NONE, SUM, METRICS_PREFIX "function_connections", "",                      \
      "Connections to functions, idle ones included.")                                             \
    X(RULESET_VERSION, gauge, NONE, NEWEST, METRICS_PREFIX "ruleset_version", "",                  \
      "Config version of the newest rules; 0: there are none.")                                    \
    X(RULESET_AGE, gauge, SECONDS, AGE, METRICS_PREFIX "ruleset_age_seconds", "",                  \
      "Since the database confirmed the rules, or since the start, of the worker that has waited " \
      "longest.")                                                                                  \
    X(ROUTING_RATIO, gauge, RATIO, NEWEST, METRICS_PREFIX "routing_ratio", "",                     \
      "The percentage in force, as a share from 0 to 1.")                                          \
    X(ROUTING_ENABLED, gauge, NONE, NEWEST, METRICS_PREFIX "routing_enabled", "",                  \
      "1: routing is switched on.")                                                                \
    X(DATABASE_LINKS, gauge, NONE, LABELS, METRICS_PREFIX "database_links", "link",                \
      "Connections to the database that there should be.")                                         \
    X(DATABASE_LINKS_UP, gauge, NONE, LABELS, METRICS_PREFIX "database_links_up", "link",          \
      "Connections to the database that are open.")                                                \
    X(DATABASE_CONNECTS, counter, NONE, LABELS, METRICS_PREFIX "database_connects_total", "link",  \
      "Connections to the database that have come about.")                                         \
    X(LOG_STORED, counter, NONE, SUM, METRICS_PREFIX "log_rows_stored_total", "",                  \
      "Log rows that the database has stored.")                                                    \
    X(LOG_SET_ASIDE, counter, NONE, SUM, METRICS_PREFIX "log_rows_set_aside_total", "",            \
      "Log rows that the database refused for what they hold; they are in set-aside/.")            \
    X(LOG_FAILURES, counter, NONE, SUM, METRICS_PREFIX "log_batches_failed_total", "",             \
      "Batches of log rows that the database did not store; they are sent again.")                 \
    X(LOG_WAITING, gauge, NONE, LABELS, METRICS_PREFIX "log_rows_waiting", "place",                \
      "Log rows that are not stored yet; in the spool alone: as far as they are known, segments "  \
      "of an earlier process count once they are read.")                                           \
    X(LOG_OLDEST, gauge, SECONDS, AGE, METRICS_PREFIX "log_oldest_waiting_seconds", "",            \
      "Age of the oldest log row that is not stored; 0: none waits.")                              \
    X(SPOOL_USABLE, gauge, NONE, PROCESS, METRICS_PREFIX "spool_usable", "",                       \
      "1: every worker can write to its spool.")                                                   \
    X(SPOOL_BYTES, gauge, BYTES, PROCESS, METRICS_PREFIX "spool_bytes", "",                        \
      "Bytes of the segments on the disk; an idle forwarder has none.")                            \
    X(SPOOL_LIMIT, gauge, BYTES, PROCESS, METRICS_PREFIX "spool_bytes_limit", "", "--spool-size.") \
    X(SPOOL_SEGMENTS, gauge, NONE, PROCESS, METRICS_PREFIX "spool_segments", "",                   \
      "Segments on the disk.")                                                                     \
    X(SPOOL_ASIDE, gauge, BYTES, PROCESS, METRICS_PREFIX "spool_set_aside_bytes", "",              \
      "Bytes in set-aside/, as seen at the start and since: somebody has to look at them.")        \
    X(SPOOL_BAD, counter, NONE, PROCESS, METRICS_PREFIX "spool_bad_segments_total", "",            \
      "Segments that could not be written, or brought to the disk; their rows are written anew.")  \
    X(SPOOL_DAMAGED, counter, NONE, PROCESS, METRICS_PREFIX "spool_damaged_records_total", "",     \
      "Records of an earlier process that could not be believed; they are in set-aside/.")         \
    X(GUARD_ROLLBACKS, counter, NONE, SUM, METRICS_PREFIX "guard_rollbacks_total", "",             \
      "Domains for which routing_guard(), asked by this forwarder, has switched routing off.")     \
    X(SAMPLE_FINDINGS, gauge, NONE, SUM, METRICS_PREFIX "sample_ratio_findings", "",               \
      "What routing_sample_findings() has found critical lately; NaN: it has not been asked, or "  \
      "the log is too long for it.")                                                               \
    X(SAMPLE_AGE, gauge, SECONDS, AGE, METRICS_PREFIX "sample_ratio_age_seconds", "",              \
      "Since that was asked; 0: never.")                                                           \
    X(WORKERS, gauge, NONE, PROCESS, METRICS_PREFIX "workers", "", "Workers.")                     \
    X(TURN_AGE, gauge, SECONDS, AGE, METRICS_PREFIX "turn_age_seconds", "",                        \
      "Since the worker that has waited longest last turned; above 5 it is stuck.")                \
    X(DRAINING, gauge, NONE, PROCESS, METRICS_PREFIX "draining", "",                               \
      "1: it was asked to stop and finishes what is in hand.")                                     \
    X(BUILD_INFO, gauge, NONE, LABELS, METRICS_PREFIX "build_info", "version",                     \
      "Always 1; its label is the version.")                                                       \
    X(CPU, counter, SECONDS, PROCESS, "process_cpu_seconds_total", "",                             \
      "User and system CPU time spent.")                                                           \
    X(RESIDENT, gauge, BYTES, PROCESS, "process_resident_memory_bytes", "", "Resident memory.")    \
    X(OPEN_FDS, gauge, NONE, PROCESS, "process_open_fds", "", "Open file descriptors.")            \
    X(MAX_FDS, gauge, NONE, PROCESS, "process_max_fds", "",                                        \
      "Most file descriptors that may be open.")                                                   \
    X(STARTED, gauge, SECONDS, PROCESS, "process_start_time_seconds", "",                          \
      "When the process started, in seconds since 1970.")

/* ---- words of labels: X(ID, "word", meaning) ---- */

/* request */
#define METRIC_REQUESTS(X)                                                                         \
    X(WEBHOOK, "webhook", "a webhook that was decided")                                            \
    X(VERIFICATION, "verification", "WhatsApp's verification of the URL")                          \
    X(HEALTH, "health", "GET /")                                                                   \
    X(REFUSED, "refused", "whatever was refused: see refused_requests_total")

/* reason of a refusal */
#define METRIC_REFUSALS(X)                                                                         \
    X(NOTHING, "", "it is not refused")                                                            \
    X(LONG_TARGET, "long_target", "414: the request target is too long")                           \
    X(LONG_HEADER, "long_header", "431: the header is too long")                                   \
    X(LONG_BODY, "long_body", "413: the body is over --max-body")                                  \
    X(VERSION, "version", "505: another version of HTTP")                                          \
    X(FRAMING, "framing", "400: a header that two parsers could read differently")                 \
    X(PATH, "path", "404: there is nothing there")                                                 \
    X(METHOD, "method", "405: another method")                                                     \
    X(NAME, "name", "404: no webhook has this name")                                               \
    X(SIGNATURE, "signature", "401: not signed with an app secret")                                \
    X(TOKEN, "token", "400 or 403: the verification of the URL lacks the token or its challenge")  \
    X(IN_FLIGHT, "in_flight", "503: --max-in-flight webhooks are in hand")                         \
    X(LOG_QUEUE, "log_queue", "503: --log-queue rows wait, and the spool takes none")              \
    X(BUFFER, "buffer", "503: --max-buffer is used up")                                            \
    X(ROOM, "room", "503: no room to log the webhook's items, or to cut it into parts")            \
    X(MEMORY, "memory", "503: memory is used up")                                                  \
    X(STOPPING, "stopping", "503: the time to drain was over before it was decided")

/* routed_to of a decision is the side; of an attempt it is what the log says. */
#define METRIC_SIDES(X)                                                                            \
    X(UNIFIED, "unified", "the unified function")                                                  \
    X(LEGACY, "legacy", "a legacy function, or the default target")                                \
    X(ERROR, "error", "nothing could be attempted")

/* routed_to of request_duration_seconds */
#define METRIC_ROUTES(X)                                                                           \
    X(UNIFIED, "unified", "")                                                                      \
    X(LEGACY, "legacy", "")                                                                        \
    X(MIXED, "mixed", "")

/* decided_by */
#define METRIC_DECIDERS(X)                                                                         \
    X(DATABASE, "database", "route_decide() in the database")                                      \
    X(LAST_RULES, "last_rules",                                                                    \
      "the forwarder, by the last rules: the database does not answer, or lags behind them")       \
    X(NO_RULES, "no_rules", "the forwarder, to --default-target: there have never been any rules")

/* outcome */
#define ATTEMPT_OUTCOMES(X)                                                                        \
    X(SUCCESS, "success", "a complete 2xx: the only one whose status is success")                  \
    X(HTTP_3XX, "http_3xx", "a complete 3xx")                                                      \
    X(HTTP_4XX, "http_4xx", "a complete 4xx")                                                      \
    X(HTTP_5XX, "http_5xx", "a complete 5xx but 504")                                              \
    X(GATEWAY_TIMEOUT, "gateway_timeout", "504 from a gateway: ambiguous")                         \
    X(NOT_REACHED, "not_reached", "name, refused, TLS, connect timeout: nothing was sent")         \
    X(BREAKER_OPEN, "breaker_open", "not made: the function's breaker is open")                    \
    X(NOT_MADE, "not_made", "not made: no memory, time, URL, or place to write the decision down") \
    X(TIMED_OUT, "timed_out", "sent, then silence: ambiguous")                                     \
    X(BROKEN_OFF, "broken_off", "sent, then reset, cut off, unreadable or too long: ambiguous")    \
    X(STOPPED, "stopped", "the forwarder was stopped first: ambiguous if something was sent")

/* link */
#define METRIC_LINKS(X)                                                                            \
    X(DECIDE, "decide", "asks where webhooks go")                                                  \
    X(DECIDE_LARGE, "decide-large", "the same for large bodies, once there was one")               \
    X(LOG, "log", "stores the log")                                                                \
    X(MAINTENANCE, "maintenance", "upkeep, the guard, the sample ratio")

#endif /* METRICS_TABLE_H */
