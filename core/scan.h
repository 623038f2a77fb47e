/* SPDX-License-Identifier: PostgreSQL
 *
 * scan.h: validated JSON and the way through it.
 *
 * A document is scanned once. From then on its text is known to be JSON, so everything that walks
 * over it trusts it: no reader below looks for errors again. The scan also notes where the first
 * containers end ("landmarks", in opening order), so that a reader jumps over a container without
 * looking into it; a container that came later is jumped over by counting brackets.
 */
#ifndef ROUTE_SCAN_H
#define ROUTE_SCAN_H

#include "route.h"

/* How many containers have their end noted: a usual webhook has about a dozen. */
#define ROUTE_LANDMARKS 128

typedef struct route_landmark
{
    uint32_t end;  /* offset behind its closing bracket */
    uint32_t next; /* number of the first container that opens behind it */
} route_landmark;

typedef struct route_document
{
    const uint8_t *text;
    const uint8_t *end;
    uint32_t root; /* offset of the outermost value */
    uint32_t landmark_count;
    route_landmark landmarks[ROUTE_LANDMARKS];
} route_document;

/* One JSON value of a document, at the bytes [start, end); absent when start == end. */
typedef struct route_value
{
    uint32_t start;
    uint32_t end;
    uint32_t landmark; /* a container's number, ROUTE_LANDMARKS when it has none */
    bool escaped;      /* a string with at least one backslash */
} route_value;

/* Where a walk stands: at a character of the text that is inside some container. */
typedef struct route_cursor
{
    const uint8_t *at;
    uint32_t landmark; /* number of the next container to open */
} route_cursor;

/* Validates by RFC 8259. Only when it returns true may the document be walked over; it refers to
 * the bytes, which must outlive it. Takes constant stack and time linear in length. */
bool route_scan(route_document *document, const void *bytes, size_t length);

/* The outermost value. */
route_value route_root(const route_document *document);

/* Reads the value at the cursor and leaves the cursor behind it. */
route_value route_read_value(const route_document *document, route_cursor *cursor);

/* Reads the string at the cursor, as route_read_value does. */
route_value route_read_string(const route_document *document, route_cursor *cursor);

/* The cursor at the first element of an array, or first key of an object. Its `at` is NULL when
 * the value is neither or is empty. */
route_cursor route_enter(const route_document *document, route_value container);

/* From behind a key to its value. */
void route_pass_colon(route_cursor *cursor);

/* From behind a value to the next element or key; `at` becomes NULL at the end of the container. */
void route_advance(route_cursor *cursor);

/* The next element of an array; false when there is none (the cursor came from route_enter). */
static inline bool route_next_element(const route_document *document, route_cursor *cursor,
                                      route_value *element)
{
    if (cursor->at == NULL)
        return false;
    *element = route_read_value(document, cursor);
    route_advance(cursor);
    return true;
}

static inline bool route_is_object(const route_document *document, route_value value)
{
    return value.start != value.end && document->text[value.start] == '{';
}

static inline bool route_is_array(const route_document *document, route_value value)
{
    return value.start != value.end && document->text[value.start] == '[';
}

static inline bool route_is_string(const route_document *document, route_value value)
{
    return value.start != value.end && document->text[value.start] == '"';
}

/* A string with at least one character. */
static inline bool route_is_filled_string(const route_document *document, route_value value)
{
    return route_is_string(document, value) && value.end - value.start > 2;
}

#endif
