/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * trust.c: preloaded into a program, puts the file that $TRUST names in the place of the system's
 * certificates of those who vouch for others: so a test can have a function behind TLS that is
 * trusted.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef FILE *(*opener)(const char *, const char *);

static const char *trusted(const char *path)
{
    const char *instead = getenv("TRUST");

    return instead != NULL && strstr(path, "/ca-certificates.crt") != NULL ? instead : path;
}

FILE *fopen(const char *path, const char *mode)
{
    return ((opener) dlsym(RTLD_NEXT, "fopen"))(trusted(path), mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return ((opener) dlsym(RTLD_NEXT, "fopen64"))(trusted(path), mode);
}
