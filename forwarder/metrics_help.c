/* SPDX-License-Identifier: PostgreSQL
 *
 * metrics_help.c: the tables of metrics_table.h as a page of the reference.
 */
#include <stdio.h>

#include "metrics.h"

#define HEAD                                                                                       \
    "# Metrics\n\nWhat `/metrics` of the admin listener shows, in Prometheus' text format 0.0.4. " \
    "Made from the\nforwarder itself (`webhook-forwarder --metrics-markdown`); "                   \
    "[monitoring](../monitoring.md) tells what to watch.\n\n"                                      \
    "Counters begin at 0 with the process and are of all workers together. Names of domains, "     \
    "reasons and targets come\nfrom decisions; of each %d are told apart, and further ones are "   \
    "`other`. No label has anything of a sender or of a\nmessage.\n\n"

struct word
{
    const char *word, *meaning;
};

#define X(id, word, meaning) {word, meaning},
static const struct word REQUESTS[] = {METRIC_REQUESTS(X)};
static const struct word REFUSALS[] = {METRIC_REFUSALS(X)};
static const struct word SIDES[] = {METRIC_SIDES(X)};
static const struct word DECIDERS[] = {METRIC_DECIDERS(X)};
static const struct word OUTCOMES[] = {ATTEMPT_OUTCOMES(X)};
static const struct word LINKS[] = {METRIC_LINKS(X)};
static const struct word BREAKERS[] = {BREAKER_STATES(X)};
#undef X

static void help_metric(const char *name, const char *type, const char *labels, const char *help)
{
    printf("| `%s` | %s | %s%s%s | %s |\n", name, type, *labels != '\0' ? "`" : "", labels,
           *labels != '\0' ? "`" : "", help);
}

static void help_words(const char *title, const struct word *words, size_t count)
{
    printf("\n## %s\n\n| word | meaning |\n|---|---|\n", title);
    for (size_t i = 0; i < count; i++)
        if (*words[i].word != '\0')
            printf("| `%s` | %s |\n", words[i].word, words[i].meaning);
}

#define HELP_WORDS(title, words) help_words(title, words, sizeof words / sizeof *words)

static void help_bounds(const char *of, const struct metric_bounds *bounds)
{
    printf("%s:", of);
    for (size_t i = 0; i < bounds->count; i++)
        printf("%s %g", i > 0 ? "," : "", (double) bounds->us[i] / 1e6);
    printf(".\n");
}

bool metrics_help_markdown(void)
{
    printf(HEAD "| metric | type | labels | meaning |\n|---|---|---|---|\n", METRIC_NAMES - 1);
#define X(id, type, unit, source, name, labels, help) help_metric(name, #type, labels, help);
    METRICS(X)
#undef X
    HELP_WORDS("`request`", REQUESTS);
    HELP_WORDS("`reason` of a refusal", REFUSALS);
    HELP_WORDS("`routed_to`", SIDES);
    HELP_WORDS("`decided_by`", DECIDERS);
    HELP_WORDS("`outcome`", OUTCOMES);
    HELP_WORDS("`link`", LINKS);
    HELP_WORDS("`state`", BREAKERS);
    printf("\n## Buckets\n\nUpper bounds in seconds.\n\n");
    help_bounds("Requests and attempts", &METRIC_ANSWER_BOUNDS);
    printf("\n");
    help_bounds("Decisions", &METRIC_DECIDE_BOUNDS);
    return fflush(stdout) == 0;
}
