/* SPDX-License-Identifier: PostgreSQL
 *
 * trace.h: a decision in words, for who asks why.
 *
 * A step is said where it is taken, in decide.c, so that the explanation cannot drift away from the
 * decision. Values of the payload are cut and cleared of control characters before they are said.
 */
#ifndef ROUTE_TRACE_H
#define ROUTE_TRACE_H

#include "domain.h"

/* Says one step; the sentence is cut at 512 bytes. Does nothing without a trace. */
#define route_say(trace, step, ...)                                                                \
    do                                                                                             \
    {                                                                                              \
        if (__builtin_expect((trace) != NULL, 0))                                                  \
            route_trace_say((trace), (step), __VA_ARGS__);                                         \
    } while (0)

void route_trace_say(const route_trace *trace, const char *step, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Says what kind of webhook it is. */
void route_trace_payload(const route_trace *trace, const route_webhook *webhook, size_t items)
    __attribute__((cold));

/* Says which item comes next, and who sent it. */
void route_trace_item(const route_trace *trace, const route_document *document,
                      const route_item *item, size_t number, int32_t bucket) __attribute__((cold));

/* Says which button was pressed and what it means; domain is NULL when no pattern fits. */
void route_trace_button(const route_trace *trace, const route_document *document, route_value id,
                        const route_domain *domain, route_text pattern) __attribute__((cold));

/* Says what keywords were found. */
void route_trace_keywords(const route_trace *trace, const route_message_text *text,
                          const route_tally *tally) __attribute__((cold));

#endif
