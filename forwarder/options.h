/* SPDX-License-Identifier: PostgreSQL
 *
 * options.h: every setting of the forwarder, once. The table below makes the struct, the parser,
 * the names of the environment variables, --help, --help-markdown and the defaults.
 *
 * A setting is a flag, `--flag VALUE`, and an environment variable, WEBHOOK_FORWARDER_FLAG; the
 * flag wins. A secret is never a flag: the flag names a file, the variable of the last column
 * holds the secret itself, and where neither is given systemd's credential of the flag's name
 * without `-file` is taken.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"

/* clang-format off */
/*  SECTION(title)
 *  OPTION(field, kind, flag, default, what VALUE is, variable of a secret's value, help)
 *  Kinds: TEXT, COUNT (1..), DURATION (us; "100ms", "10s", "1min"), SIZE (bytes; "4MiB"),
 *  SECRET (text of a file), LEVEL, SERVER (a libpq target_session_attrs), SYNC (when
 *  the spool is brought to the disk). */
#define OPTIONS_TABLE(SECTION, OPTION)                                                             \
    SECTION("Listening")                                                                           \
    OPTION(listen, TEXT, "listen", "127.0.0.1:8080", "HOST:PORT", "",                              \
           "where webhooks arrive, unless systemd hands over sockets; port 0 takes any free one")  \
    OPTION(admin_listen, TEXT, "admin-listen", "127.0.0.1:9180", "HOST:PORT", "",                  \
           "where /livez, /readyz, /metrics and /status answer, unless systemd hands over a socket " \
           "called admin; keep it private")                                                        \
    OPTION(workers, COUNT, "workers", "1", "N", "",                                                \
           "threads that serve requests, each with connections of its own to the database")        \
    OPTION(path_prefix, TEXT, "path-prefix", "", "PATH", "",                                       \
           "what stands before / and /<webhook-name>, such as /functions/v1")                      \
    OPTION(verify_token, SECRET, "verify-token-file", "", "FILE",                                  \
           "WEBHOOK_FORWARDER_VERIFY_TOKEN",                                                       \
           "the token that WhatsApp sends to verify the URL; without one, verification is refused") \
    OPTION(app_secrets, SECRET, "app-secret-file", "", "FILE",                                     \
           "WEBHOOK_FORWARDER_APP_SECRETS",                                                        \
           "the app secrets of Meta, one a line: a webhook has to be signed with one of them "     \
           "(X-Hub-Signature-256), and the parts of a split one are signed with the first; without " \
           "one, signatures are passed on unread and nothing is split")                            \
    SECTION("Functions")                                                                           \
    OPTION(functions_url, TEXT, "functions-url", "", "URL", "",                                    \
           "URL of a function is this, / and its name, unless the target has a URL of its own")    \
    OPTION(function_headers, SECRET, "function-header-file", "", "FILE",                           \
           "WEBHOOK_FORWARDER_FUNCTION_HEADERS",                                                   \
           "lines `Name: value` sent to every function, such as Authorization")                    \
    OPTION(default_target, TEXT, "default-target", "wa-webhook", "NAME", "",                       \
           "the function that gets everything while no rules have ever been had")                  \
    OPTION(breaker_failures, COUNT, "breaker-failures", "5", "N", "",                              \
           "failures in a row after which a function is left alone for a while")                   \
    OPTION(breaker_rate, COUNT, "breaker-rate", "50", "PERCENT", "",                               \
           "share of failures within 10 s after which it is too")                                  \
    OPTION(breaker_minimum, COUNT, "breaker-minimum", "20", "N", "",                               \
           "attempts that such a share is made of at least")                                       \
    SECTION("Database")                                                                            \
    OPTION(database_url, SECRET, "database-url-file", "", "FILE", "DATABASE_URL",                  \
           "libpq connection string or URI, several hosts included; without one libpq's own "      \
           "environment (PGHOST, PGSERVICE, ...) says where")                                      \
    OPTION(decide_server, SERVER, "decide-server", "any", "KIND", "",                           \
           "servers that may decide (libpq target_session_attrs): a standby can")                  \
    OPTION(log_server, SERVER, "log-server", "read-write", "KIND", "",                          \
           "servers that may store the log (libpq target_session_attrs)")                          \
    OPTION(log_batch, COUNT, "log-batch", "500", "ROWS", "",                                       \
           "log rows stored by one statement, at most 10000")                                                     \
    OPTION(log_interval, DURATION, "log-interval", "50ms", "TIME", "",                             \
           "longest time that a log row waits for its batch to fill")                              \
    OPTION(log_queue, COUNT, "log-queue", "50000", "ROWS", "",                                     \
           "log rows that may wait in memory while the database does not take them; more wait in "  \
           "the spool alone, or without a spool webhooks are refused with 503")                    \
    SECTION("Spool")                                                                               \
    OPTION(spool_directory, TEXT, "spool-directory", "", "DIR", "",                                \
           "where decisions wait until the database has them, and the last rules; without it "     \
           "STATE_DIRECTORY (systemd sets it), else /var/lib/webhook-forwarder")                   \
    OPTION(spool_size, SIZE, "spool-size", "1GiB", "SIZE", "",                                     \
           "most bytes that wait there, at least 4MiB for each worker")                                                           \
    OPTION(spool_sync, SYNC, "spool-sync", "grouped", "WHEN", "",                                  \
           "`grouped`: written before a webhook is relayed (a kill loses nothing) and on the disk " \
           "100 ms later at most (a power cut loses as much); `wait`: on the disk before")         \
    OPTION(spool_lock_timeout, DURATION, "spool-lock-timeout", "30s", "TIME", "",                  \
           "to wait at the start for another forwarder to leave the directory")                    \
    SECTION("Deadlines")                                                                           \
    OPTION(decide_timeout, DURATION, "decide-timeout", "100ms", "TIME", "",                        \
           "for the database to decide; then the last rules decide here")                          \
    OPTION(connect_timeout, DURATION, "connect-timeout", "500ms", "TIME", "",                      \
           "for a connection to a function, name lookup and TLS included")                         \
    OPTION(attempt_timeout, DURATION, "attempt-timeout", "10s", "TIME", "",                        \
           "for the whole answer of a function, unless timeout_ms of its row in "                       \
           "webhook_routing_targets says otherwise")                                               \
    OPTION(total_timeout, DURATION, "total-timeout", "15s", "TIME", "",                            \
           "for all attempts of one webhook together, at most 55s")                                             \
    OPTION(header_timeout, DURATION, "header-timeout", "10s", "TIME", "",                          \
           "for a request's header, from its first line or the opening of the connection")         \
    OPTION(receive_timeout, DURATION, "receive-timeout", "30s", "TIME", "",                        \
           "for a request's body, from the end of its header")                                     \
    OPTION(send_timeout, DURATION, "send-timeout", "30s", "TIME", "",                              \
           "for the client to take the answer")                                                    \
    OPTION(idle_timeout, DURATION, "idle-timeout", "75s", "TIME", "",                              \
           "for a connection between two requests")                                                \
    OPTION(drain_timeout, DURATION, "drain-timeout", "20s", "TIME", "",                            \
           "for requests and log rows in hand after SIGTERM")                                      \
    SECTION("Limits")                                                                              \
    OPTION(max_body, SIZE, "max-body", "4MiB", "SIZE", "",                                         \
           "longest request body, at most 512MiB; beyond it 413")                                                  \
    OPTION(max_reply, SIZE, "max-reply", "1MiB", "SIZE", "",                                       \
           "longest answer of a function; beyond it 502")                                          \
    OPTION(max_header, SIZE, "max-header", "8KiB", "SIZE", "",                                    \
           "longest request header; beyond it 431")                                                \
    OPTION(max_in_flight, COUNT, "max-in-flight", "1024", "N", "",                                 \
           "webhooks in hand at one time; beyond it 503")                                          \
    OPTION(max_connections, COUNT, "max-connections", "8192", "N", "",                             \
           "client connections at one time; more wait in the kernel's queue")                      \
    OPTION(max_buffer, SIZE, "max-buffer", "256MiB", "SIZE", "",                                   \
           "memory for bodies and answers together; beyond it 503")                                \
    SECTION("Reporting")                                                                           \
    OPTION(log_level, LEVEL, "log-level", "info", "LEVEL", "",                                     \
           "least level that is written to stderr: debug, info, warning or error")
/* clang-format on */

#define OPTION_TYPE_TEXT const char *
#define OPTION_TYPE_COUNT unsigned
#define OPTION_TYPE_DURATION uint64_t
#define OPTION_TYPE_SIZE size_t
#define OPTION_TYPE_SECRET struct secret
#define OPTION_TYPE_LEVEL int
#define OPTION_TYPE_SERVER const char *
#define OPTION_TYPE_SYNC bool /* wait */

struct secret
{
    char *value; /* NULL: not given */
    char *file;  /* where it came from, to be read again; NULL: the environment */
};

/* The settings in force: made once at start, then read by every thread, but for the secrets, which
 * are main's alone (secrets.h is what the others see). Text that was not given is "". */
struct options
{
#define SECTION(title)
#define OPTION(field, kind, flag, value, metavar, variable, help) OPTION_TYPE_##kind field;
    OPTIONS_TABLE(SECTION, OPTION)
#undef SECTION
#undef OPTION
};

/* What the command line asks for beside serving. */
enum options_action
{
    OPTIONS_SERVE,
    OPTIONS_CHECK,            /* --check-config */
    OPTIONS_HELP,             /* --help */
    OPTIONS_HELP_MARKDOWN,    /* --help-markdown */
    OPTIONS_METRICS_MARKDOWN, /* --metrics-markdown */
    OPTIONS_VERSION,          /* --version */
    OPTIONS_BAD_USAGE,        /* message says why: exit EX_USAGE */
    OPTIONS_BAD_CONFIG,       /* message says why: exit EX_CONFIG */
    OPTIONS_NO_MEMORY         /* message says so: exit EX_UNAVAILABLE */
};

/* Fills *options from defaults, environment and command line; everything in it lives until
 * options_free. message is a sentence for the user when the result is BAD or NO_MEMORY. */
MUST_CHECK enum options_action options_read(struct options *options, int argc,
                                            const char *const argv[], char *message, size_t size);
void options_free(struct options *options);

/* The secrets of the table, one after the other, NULL behind the last; *flag is the option that
 * names its file. */
struct secret *options_secret(struct options *options, size_t index, const char **flag);
/* What a secret's file holds, without the white space at its end; NULL with a sentence in
 * `message`. It may be a pipe, whose writer has 5 s; nothing else is waited for. */
MUST_CHECK char *options_read_secret(const char *path, char *message, size_t size);
/* Frees a secret, which may be NULL, and leaves nothing of it in memory. */
void options_wipe(char *secret);
/* Takes secrets out of the environment, where others of the machine might read them: after
 * options_read, before any thread. */
void options_hide_environment(void);

/* Writes to stdout; false when that fails. */
MUST_CHECK bool options_help(void);
MUST_CHECK bool options_help_markdown(void);

/* Values as people write them; false when the text is none. Pure. */
MUST_CHECK bool options_parse_duration(const char *text, uint64_t *microseconds);
MUST_CHECK bool options_parse_size(const char *text, size_t *bytes);
MUST_CHECK bool options_parse_count(const char *text, unsigned *count);

/* "HOST:PORT", "[V6]:PORT" or ":PORT" into its parts; false when it is none of them. Pure. */
MUST_CHECK bool options_parse_address(const char *text, char *host, size_t host_size, char *port,
                                      size_t port_size);

/* Why webhooks cannot be sent to what is beneath that URL, as the end of a sentence; NULL when
 * nothing speaks against it. Asks no name server. Pure. */
const char *options_url_problem(const char *url);
/* Whether a user's name, and perhaps a password, stands before its host. Pure. */
bool options_url_names_user(const char *url);

#endif /* OPTIONS_H */
