/* SPDX-License-Identifier: PostgreSQL
 *
 * load.h: the client that plays Meta, in four files:
 *
 *     load_options.c   what the command line says
 *     load_messages.c  the bytes of a webhook, which follow from its number and the options; pure
 *     load_report.c    what came back, as JSON
 *     load.c           their way: connections, answers, what is sent again
 */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum
{
    BATCH_ITEMS = 3,  /* messages of a webhook that is a batch */
    MAX_TARGETS = 64, /* distinct X-Routed-To values */
    MAX_ID = 64       /* a message id, its NUL included */
};

/* Says what is wrong, and ends with EX_SOFTWARE. */
_Noreturn void fail(const char *what);

/* ---- load_options.c ---- */

struct load_options
{
    struct sockaddr_in address;
    char host[128];
    char path[512];
    uint64_t requests, first, senders, batch, statuses;
    unsigned int concurrency, retries;
    double rate, timeout;
    const char *rate_file; /* holds the rate, which may change; NULL: it does not */
    size_t size;
    const char *domain;
    const char *correlation; /* prefix of X-Correlation-ID; NULL: none is sent */
    const char *name;        /* for Host; NULL: as in the URL */
    char headers[2048];      /* what --header gave, ready to send */
    unsigned char secret[256];
    size_t secret_length;
    FILE *log;
};

extern struct load_options option;

/* Fills `option`; ends with the usage, and EX_OK or EX_USAGE, when that is what is asked for. */
void options_read(int argc, char **argv);
/* Takes over what the file of --rate-file says now; what is no rate above 0 changes nothing. */
void options_read_rate(void);

/* ---- load_messages.c ---- */

/* How many items webhook `number` has. */
unsigned int items_of(uint64_t number);
/* The domain of an item, or `status`. */
const char *domain_of(uint64_t number, unsigned int item);
/* Who has written an item, or is told of in a status. */
unsigned long long sender_of(uint64_t number, unsigned int item);
void message_id_of(uint64_t number, unsigned int item, char id[MAX_ID]);
/* Bytes that the body of any webhook has at most. */
size_t body_room(void);
/* The body of webhook `number`, in body_room() bytes. Returns its length. */
size_t body_of(uint64_t number, char *body, size_t room);
/* The header line X-Hub-Signature-256 of a body; returns its length, 0 without an app secret. */
size_t signature_line(const char *body, size_t length, char *line, size_t room);

/* ---- load_report.c ---- */

struct load_result
{
    uint64_t statuses[600];   /* answers by status code; 0: none came */
    uint64_t refused, broken; /* no connection; no whole answer */
    uint64_t sent, done;      /* requests; messages that have come to their end */
    struct
    {
        char name[128];
        uint64_t count;
    } targets[MAX_TARGETS];
    double *latencies; /* seconds, of each message that was answered in the end */
    size_t latency_count;
};

extern struct load_result result;

/* Counts a value of X-Routed-To; beyond MAX_TARGETS of them others are not told. */
void report_target(const char *name, size_t length);
/* Prints `result` as one JSON object, of a run of so many seconds that began then (since 1970). */
void report_print(double seconds, double began_at);

#endif /* LOAD_H */
