/* SPDX-License-Identifier: PostgreSQL
 *
 * scan.h: bytes -> validated JSON.
 *
 * A document is scanned once. From then on its text is known to be JSON, so everything that walks
 * over it (walk.h) trusts it: no reader looks for errors again. The scan also notes where the first
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

/*
 * One JSON value of a document; 0 is none. In one word, since values are passed on a great deal and
 * a word that is written in pieces and read as a whole makes the processor wait:
 *
 *     bits 0..30   offset of its first byte
 *     bits 31..61  offset behind its last byte, or the number of a landmark that knows it
 *     bit 62       a string with at least one backslash
 *     bit 63       bits 31..61 are a landmark
 */
typedef struct route_value
{
    uint64_t bits;
} route_value;

/* Validates by RFC 8259. Only when it returns true may the document be walked over; it refers to
 * the bytes, which must outlive it. Takes constant stack and time linear in length. */
bool route_scan(route_document *document, const void *bytes, size_t length);

/* From the bracket at p, which opens a container of a scanned document, to behind the one that
 * closes it: for containers that have no landmark. end is the end of the text. */
const uint8_t *route_pass_container(const uint8_t *p, const uint8_t *end);

/* Whether the bytes are UTF-8 by RFC 3629. */
bool route_is_utf8(const void *bytes, size_t length);

#endif
