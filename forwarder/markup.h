/* SPDX-License-Identifier: PostgreSQL
 *
 * markup.h: values as the status page and /status.json write them. Every text from outside passes
 * markup_text() or markup_json_text() on its way out. Pure.
 */
#ifndef MARKUP_H
#define MARKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "writer.h"

/* Text in HTML, in an element or in a quoted attribute: & < > " ' become references, control
 * characters that HTML does not allow U+FFFD. */
void markup_text(struct writer *writer, const char *text);
/* A JSON string, quotes included; NULL: null. */
void markup_json_text(struct writer *writer, const char *text);
/* A number as PostgreSQL writes it, without the zeros that end its fraction; what is no number
 * (NaN, an infinity, NULL): null. */
void markup_json_number(struct writer *writer, const char *number);

/* "1,234,567.5": the digits in groups of three, without the zeros that end a fraction. */
void markup_number(struct writer *writer, const char *number);
/* "0 s", "59 s", "12 min", "3 h 5 min", "2 d 4 h": the two largest units of so many seconds; a
 * negative length counts as none. */
void markup_duration(struct writer *writer, int64_t seconds);
/* "2026-01-31T12:00:00Z" of so many seconds since 1970. */
void markup_instant(struct writer *writer, int64_t seconds);
/* "12:00:00 UTC", with the date instead of the seconds unless it is that of `now`. */
void markup_moment(struct writer *writer, int64_t seconds, int64_t now);
/* <time datetime="...">12:00:00 UTC</time>, as markup_moment() writes it. */
void markup_time(struct writer *writer, int64_t seconds, int64_t now);

#endif /* MARKUP_H */
