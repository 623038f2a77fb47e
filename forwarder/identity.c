/* SPDX-License-Identifier: PostgreSQL
 *
 * identity.c: ids that sort by time. Random bytes are fetched from the kernel a thousand at a
 * time, for each thread apart.
 */
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "forwarder.h"

int64_t identity_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Once the kernel is up getrandom() gives all of it, unless a signal comes in between. */
static void random_bytes(void *bytes, size_t length)
{
    static _Thread_local unsigned char store[1024];
    static _Thread_local size_t left;

    if (left < length)
    {
        while (getrandom(store, sizeof store, 0) != (ssize_t) sizeof store)
            ;
        left = sizeof store;
    }
    left -= length;
    memcpy(bytes, store + left, length);
}

void identity_make(uint8_t id[16])
{
    uint64_t milliseconds = (uint64_t) identity_now_us() / 1000;

    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t) (milliseconds >> (40 - 8 * i));
    random_bytes(id + 6, 10);
    id[6] = (uint8_t) (0x70 | (id[6] & 0x0f));
    id[8] = (uint8_t) (0x80 | (id[8] & 0x3f));
}

void identity_print(const uint8_t id[16], char text[37])
{
    static const char DIGITS[] = "0123456789abcdef";

    for (int i = 0; i < 16; i++)
    {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *text++ = '-';
        *text++ = DIGITS[id[i] >> 4];
        *text++ = DIGITS[id[i] & 15];
    }
    *text = '\0';
}

/* E.164: 15 digits at most; one of less than 7 reaches nobody. */
static bool is_phone_number(const char *text)
{
    const char *digits = text + (*text == '+');
    size_t count = strspn(digits, "0123456789");

    return digits[count] == '\0' && count >= 7 && count <= 15;
}

bool identity_is_correlation(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "!#$%&'*+-.^_`|~");

    return length > 0 && length <= CORRELATION_LIMIT && text[length] == '\0' &&
           !is_phone_number(text);
}
