/* SPDX-License-Identifier: PostgreSQL
 *
 * load_options.c: the command line of load.
 */
#include "load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct load_options option = {
    .requests = 1000, .first = 1, .senders = 1000, .concurrency = 16, .timeout = 30};

static void usage(FILE *to)
{
    fputs(
        "Usage: load --url http://127.0.0.1:PORT/PATH [OPTION]...\n"
        "Sends distinct generated WhatsApp webhooks; prints one JSON object about the answers.\n\n"
        "  --requests N      how many (default 1000)\n"
        "  --concurrency N   connections (default 16)\n"
        "  --rate N          so many a second, latency counted from when each was due\n"
        "  --rate-file FILE  the same, as FILE says, which is read ten times a second\n"
        "  --senders N       distinct senders (default 1000)\n"
        "  --first N         number of the first message (default 1); n always has the same bytes\n"
        "  --domain NAME     only messages about one domain, or `unknown`\n"
        "  --batch N         each N-th webhook is a batch: several messages, of different domains\n"
        "                    and senders\n"
        "  --statuses N      each N-th webhook is a status: sent, delivered or read\n"
        "  --size BYTES      bodies at least so long (default: as they are, some 500)\n"
        "  --retry N         send again, up to N times, what was not answered 200\n"
        "  --timeout S       seconds until a request counts as broken (default 30)\n"
        "  --header LINE     one more request header\n"
        "  --host NAME       what Host says (default: as in the URL)\n"
        "  --secret-file F   sign each body with the app secret in F\n"
        "  --correlation P   send X-Correlation-ID: P-NUMBER-ATTEMPT\n"
        "  --log FILE        a line per request, tab-separated: number, message ids, their "
        "domains, "
        "status\n"
        "                    (`none` when no whole answer came, `refused` without a connection),\n"
        "                    X-Routed-To, ms, sender, seconds since the start, correlation id\n"
        "  --help            this text\n\n"
        "Exit status 0 when every message was answered 200 in the end, else 1.\n",
        to);
}

/* ---- how a value is taken ---- */

static void take_url(const char *url, void *to)
{
    char address[64] = "";
    int port = 80;

    (void) to;
    option.path[0] = '/';
    if (sscanf(url, "http://%63[0-9.]:%d/%510s", address, &port, option.path + 1) < 1 ||
        inet_pton(AF_INET, address, &option.address.sin_addr) != 1)
    {
        fprintf(stderr, "load: not http://ADDRESS:PORT/PATH with an IPv4 address: %s\n", url);
        exit(EX_USAGE);
    }
    option.address.sin_family = AF_INET;
    option.address.sin_port = htons((uint16_t) port);
    snprintf(option.host, sizeof option.host, "%s:%d", address, port);
}

static void take_header(const char *line, void *to)
{
    size_t length = strlen(option.headers), room = sizeof option.headers - length;

    (void) to;
    if ((size_t) snprintf(option.headers + length, room, "%s\r\n", line) >= room)
        fail("too many header bytes");
}

static void take_secret(const char *file, void *to)
{
    FILE *in = fopen(file, "r");

    (void) to;
    if (in == NULL)
        fail("cannot read the secret file");
    option.secret_length = fread(option.secret, 1, sizeof option.secret, in);
    fclose(in);
    while (option.secret_length > 0 && option.secret[option.secret_length - 1] == '\n')
        option.secret_length--;
}

static void take_log(const char *file, void *to)
{
    (void) to;
    option.log = fopen(file, "w");
    if (option.log == NULL)
        fail("cannot write the log");
}

static void take_count(const char *value, void *to)
{
    *(uint64_t *) to = strtoull(value, NULL, 10);
}

static void take_number(const char *value, void *to)
{
    *(unsigned int *) to = (unsigned int) strtoul(value, NULL, 10);
}

static void take_size(const char *value, void *to)
{
    *(size_t *) to = strtoul(value, NULL, 10);
}

static void take_real(const char *value, void *to)
{
    *(double *) to = strtod(value, NULL);
}

static void take_text(const char *value, void *to)
{
    *(const char **) to = value;
}

static const struct
{
    const char *name;
    void (*take)(const char *value, void *to);
    void *to; /* of the kind that `take` writes */
} FLAGS[] = {
    {"url", take_url, NULL},
    {"requests", take_count, &option.requests},
    {"concurrency", take_number, &option.concurrency},
    {"rate", take_real, &option.rate},
    {"rate-file", take_text, &option.rate_file},
    {"senders", take_count, &option.senders},
    {"first", take_count, &option.first},
    {"domain", take_text, &option.domain},
    {"size", take_size, &option.size},
    {"retry", take_number, &option.retries},
    {"timeout", take_real, &option.timeout},
    {"header", take_header, NULL},
    {"host", take_text, &option.name},
    {"secret-file", take_secret, NULL},
    {"batch", take_count, &option.batch},
    {"statuses", take_count, &option.statuses},
    {"correlation", take_text, &option.correlation},
    {"log", take_log, NULL},
};

#define FLAG_COUNT (sizeof FLAGS / sizeof *FLAGS)

/* ---- all of it ---- */

void options_read(int argc, char **argv)
{
    struct option known[FLAG_COUNT + 2] = {[FLAG_COUNT] = {"help", no_argument, NULL, 'h'}};
    int letter, place;

    for (size_t i = 0; i < FLAG_COUNT; i++)
        known[i] = (struct option){FLAGS[i].name, required_argument, NULL, 'f'};
    while ((letter = getopt_long(argc, argv, "", known, &place)) == 'f')
        FLAGS[place].take(optarg, FLAGS[place].to);
    if (letter == 'h')
    {
        usage(stdout);
        exit(EX_OK);
    }
    if (letter != -1 || optind < argc || option.host[0] == '\0' || option.requests == 0 ||
        option.concurrency == 0 || option.senders == 0)
    {
        usage(stderr);
        exit(EX_USAGE);
    }
    if (option.rate_file != NULL)
        options_read_rate();
    if (option.rate_file != NULL && option.rate <= 0)
        fail("the rate file holds no rate");
}

void options_read_rate(void)
{
    FILE *in = fopen(option.rate_file, "r");
    double rate;

    if (in == NULL)
        return;
    if (fscanf(in, "%lf", &rate) == 1 && rate > 0)
        option.rate = rate;
    fclose(in);
}
