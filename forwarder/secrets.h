/* SPDX-License-Identifier: PostgreSQL
 *
 * secrets.h: what is secret, as the workers use it, and how it is replaced while they run.
 *
 * Main makes a generation of secrets at start and another at each SIGHUP, and offers it to the
 * workers. A generation never changes. Whoever uses one holds it: a worker the newest that it was
 * offered, a request the one it began with, to its end. The last to let go of it wipes it.
 */
#ifndef SECRETS_H
#define SECRETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "options.h"
#include "signature.h"

#define CONFIGURED_HEADER_LIMIT 32

/* A header field of --function-header-file. */
struct configured_header
{
    char *line; /* "Name: value" */
    size_t name_length;
};

struct secrets
{
    _Atomic unsigned holders;
    char *verify_token;               /* NULL: none */
    char *database_url;               /* NULL: libpq's environment */
    struct signature_secrets signing; /* app secrets; count 0: none */
    struct configured_header headers[CONFIGURED_HEADER_LIMIT];
    size_t header_count;
};

/* A generation out of the options, held once; NULL with a sentence in `problem` that holds no
 * secret. */
MUST_CHECK struct secrets *secrets_make(const struct options *options, char *problem, size_t size);
/* Holds it once more. */
struct secrets *secrets_keep(struct secrets *secrets);
/* Lets go of it, which may be NULL. */
void secrets_release(struct secrets *secrets);

/* Reads every secret that came out of a file again and makes a generation of them in the place of
 * *current. A secret whose file is missing or wrong stays as it is. Says in the log what became of
 * each. Main's thread only. */
void secrets_reload(struct options *options, struct secrets **current);

#endif /* SECRETS_H */
