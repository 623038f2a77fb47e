/* SPDX-License-Identifier: PostgreSQL
 *
 * options_secrets.c: files that hold a secret; read at the start, and again when main asks.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

/* Longest content of a secret's file, in bytes. */
#define SECRET_LIMIT 65536

void options_wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

/* Reads into `content`, of SECRET_LIMIT + 1 bytes; NULL when that went well. */
static const char *read_text(FILE *file, char *content)
{
    size_t length = fread(content, 1, SECRET_LIMIT + 1, file);

    if (ferror(file))
        return strerror(errno);
    if (length > SECRET_LIMIT || memchr(content, '\0', length) != NULL)
        return "longer than 64 KiB, or not text";
    while (length > 0 && isspace((unsigned char) content[length - 1]))
        length--;
    content[length] = '\0';
    return length == 0 ? "it is empty" : NULL;
}

/* What mends that a file cannot be opened; "" when that is plain. */
static const char *mend_file(int error)
{
    return error == ENOENT ? "; write it, or leave the setting out"
           : error == EACCES
               ? "; let the forwarder's group read it (chgrp and chmod 640), and its folders (750)"
               : "";
}

char *options_read_secret(const char *path, char *message, size_t size)
{
    FILE *file = fopen(path, "re");
    const char *mend = file == NULL ? mend_file(errno) : "", *wrong;
    char *content = file == NULL ? NULL : calloc(1, SECRET_LIMIT + 1);

    /* No buffer: nothing of the secret stays behind in one. */
    if (content == NULL || setvbuf(file, NULL, _IONBF, 0) != 0)
        wrong = strerror(errno);
    else
        wrong = read_text(file, content);
    if (file != NULL)
        fclose(file);
    if (wrong == NULL)
        return content;
    snprintf(message, size, "cannot read %s: %s%s", path, wrong, mend);
    if (content != NULL)
        explicit_bzero(content, SECRET_LIMIT + 1);
    free(content);
    return NULL;
}
