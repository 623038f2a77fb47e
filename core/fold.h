/* SPDX-License-Identifier: PostgreSQL
 *
 * fold.h: text -> folded text, in which patterns are sought.
 *
 * Folded text is a stream of bytes: words of lower case letters and digits without diacritics, in
 * UTF-8, with one blank before, between and behind them, framed by two control characters:
 *
 *     "Où est l'AGENCE?"  ->  START " ou est l agence " END
 *
 * So a whole word is " word ", the beginning of one " word", and a whole text START " text " END.
 */
#ifndef ROUTE_FOLD_H
#define ROUTE_FOLD_H

#include "text.h"

/* Neither can come out of folding. */
#define ROUTE_FOLD_START 0x02
#define ROUTE_FOLD_END 0x03
#define ROUTE_FOLD_BLANK ' '
/* Most bytes that one character folds to: 18 characters (U+FDFA), with room to spare. */
#define ROUTE_FOLD_MAX 128

/* Folds one character: writes nothing for what is no part of a word nor between words (a
 * combining mark, a zero-width joiner), one or more blanks or word characters otherwise. Returns
 * the number of bytes. */
size_t route_fold_character(uint32_t character, uint8_t folded[ROUTE_FOLD_MAX]);

/* Folds an ASCII character: to its lower case letter, its digit, or a blank. */
uint8_t route_fold_ascii(uint8_t character);

/* Folds UTF-8 (of a rule, no JSON) without the frame: words with one blank between. Returns the
 * length, 0 when there is no word in it, or room + 1 when it does not fit. */
size_t route_fold_words(const void *text, size_t length, uint8_t *folded, size_t room);

#endif
