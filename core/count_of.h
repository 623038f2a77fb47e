/* SPDX-License-Identifier: PostgreSQL
 *
 * count_of.h: how many elements an array has.
 */
#ifndef ROUTE_COUNT_OF_H
#define ROUTE_COUNT_OF_H

/* Of an array alone; a pointer to its first element does not know. */
#define ROUTE_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
