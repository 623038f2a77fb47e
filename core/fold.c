/* SPDX-License-Identifier: PostgreSQL
 *
 * fold.c: text -> lower case, no diacritics, words separated by one space.
 *
 * Beyond ASCII this is Unicode's compatibility decomposition (NFKD) with case folding, less marks
 * and default ignorable characters, as utf8proc has it: so composed and decomposed accents, full
 * width letters, ligatures and sharp s all come out as the plain letters. A word is made of letters
 * and numbers (general categories L and N); anything else separates.
 */
#include "fold.h"

#include <string.h>
#include <utf8proc.h>

#define OPTIONS                                                                                    \
    (UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK |               \
     UTF8PROC_IGNORE)
/* Most characters that one decomposes to. */
#define MAX_CHARACTERS (ROUTE_FOLD_MAX / ROUTE_UTF8_MAX)

static bool is_word_character(utf8proc_int32_t character)
{
    switch (utf8proc_category(character))
    {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

uint8_t route_fold_ascii(uint8_t character)
{
    if ((uint8_t) (character - 'A') < 26)
        return character | 0x20;
    if ((uint8_t) (character - 'a') < 26 || (uint8_t) (character - '0') < 10)
        return character;
    return ROUTE_FOLD_BLANK;
}

size_t route_fold_character(uint32_t character, uint8_t folded[ROUTE_FOLD_MAX])
{
    utf8proc_int32_t parts[MAX_CHARACTERS];
    utf8proc_ssize_t count;
    size_t length = 0;
    int boundary = UTF8PROC_BOUNDCLASS_START;

    if (character < 0x80)
    {
        folded[0] = route_fold_ascii((uint8_t) character);
        return 1;
    }
    count = utf8proc_decompose_char((utf8proc_int32_t) character, parts, MAX_CHARACTERS, OPTIONS,
                                    &boundary);
    if (count < 0 || count > MAX_CHARACTERS)
    {
        folded[0] = ROUTE_FOLD_BLANK;
        return 1;
    }
    for (utf8proc_ssize_t i = 0; i < count; i++)
        if (is_word_character(parts[i]))
            length += route_utf8_encode((uint32_t) parts[i], folded + length);
        else
            folded[length++] = ROUTE_FOLD_BLANK;
    return length;
}

size_t route_fold_words(const void *text, size_t length, uint8_t *folded, size_t room)
{
    const uint8_t *p = text;
    const uint8_t *end = p + length;
    size_t size = 0;

    while (p < end)
    {
        uint8_t piece[ROUTE_FOLD_MAX];
        uint32_t character;
        size_t count;

        p = route_utf8_character(p, &character);
        count = route_fold_character(character, piece);
        for (size_t i = 0; i < count; i++)
        {
            if (piece[i] == ROUTE_FOLD_BLANK && (size == 0 || folded[size - 1] == ROUTE_FOLD_BLANK))
                continue;
            if (size == room)
                return room + 1;
            folded[size++] = piece[i];
        }
    }
    return size > 0 && folded[size - 1] == ROUTE_FOLD_BLANK ? size - 1 : size;
}
