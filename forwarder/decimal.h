/* SPDX-License-Identifier: PostgreSQL
 *
 * decimal.h: numbers as text. snprintf() takes a thousand instructions for one, and each webhook
 * has four.
 */
#ifndef DECIMAL_H
#define DECIMAL_H

#include <stdint.h>
#include <string.h>

/* Room that every number below has enough of, its NUL included. */
#define DECIMAL_SIZE 24

/* 1234 as "1234"; returns where the NUL is. */
static inline char *decimal_print(char *at, uint64_t value)
{
    char digits[DECIMAL_SIZE], *first = digits + sizeof digits;
    size_t length;

    do
        *--first = (char) ('0' + value % 10);
    while ((value /= 10) > 0);
    length = (size_t) (digits + sizeof digits - first);
    memcpy(at, first, length);
    at[length] = '\0';
    return at + length;
}

/* 1234 as "12.34"; returns where the NUL is. */
static inline char *decimal_print_hundredths(char *at, uint64_t hundredths)
{
    at = decimal_print(at, hundredths / 100);
    *at++ = '.';
    *at++ = (char) ('0' + hundredths % 100 / 10);
    *at++ = (char) ('0' + hundredths % 10);
    *at = '\0';
    return at;
}

#endif /* DECIMAL_H */
