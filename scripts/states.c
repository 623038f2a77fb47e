/* SPDX-License-Identifier: PostgreSQL
 *
 * states.c: prints a table of states out of request.h or delivery.h as Markdown: a picture
 * (Mermaid) and what each state means. scripts/states.sh puts it into forwarder/README.md.
 *
 *     build/states request
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../forwarder/forwarder.h"

/*  T(what has the states, their table) */
#define TABLES(T)                                                                                  \
    T(request, REQUEST_STATES)                                                                     \
    T(delivery, DELIVERY_STATES)

struct state
{
    const char *mark; /* how others name it in `next`: TO(HEADER) */
    const char *name;
    const char *next; /* as it is written: TO(BODY) | TO(REPLYING) */
    const char *meaning;
};

#define STATE(state, name, next, meaning) {"TO(" #state ")", name, #next, meaning},
#define T(name, table) static const struct state name[] = {table(STATE)};
TABLES(T)
#undef T

static const struct
{
    const char *name;
    const struct state *states;
    size_t count;
} ALL[] = {
#define T(name, table) {#name, name, sizeof name / sizeof *name},
    TABLES(T)
#undef T
};

/* One that nothing follows is an end. */
static void print_arrows(const struct state *from, const struct state *states, size_t count)
{
    bool is_end = true;

    for (size_t i = 0; i < count; i++)
        if (strstr(from->next, states[i].mark) != NULL)
        {
            printf("    %s --> %s\n", from->name, states[i].name);
            is_end = false;
        }
    if (is_end)
        printf("    %s --> [*]\n", from->name);
}

static void print_states(const struct state *states, size_t count)
{
    printf("```mermaid\nstateDiagram-v2\n    [*] --> %s\n", states->name);
    for (size_t i = 0; i < count; i++)
        print_arrows(&states[i], states, count);
    printf("```\n\n| state | what it means |\n|---|---|\n");
    for (size_t i = 0; i < count; i++)
        printf("| `%s` | %s |\n", states[i].name, states[i].meaning);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof ALL / sizeof *ALL; i++)
        if (strcmp(argv[1], ALL[i].name) == 0)
        {
            print_states(ALL[i].states, ALL[i].count);
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EX_IOERR;
        }
    fprintf(stderr, "usage: states TABLE\n");
    return EX_USAGE;
}
