/* SPDX-License-Identifier: PostgreSQL
 *
 * signature.h: Meta's X-Hub-Signature-256, `sha256=` and 64 lowercase hexadecimal digits: the
 * HMAC-SHA256 of the body's raw bytes under the app secret. Several secrets may live at one time,
 * so that one can be replaced while webhooks arrive.
 *
 *     begin when the header is there, update with each piece of the body, end once it is whole
 *
 * Nothing here tells by its time which secret a signature fits, or how much of it was right.
 * Pure but for OpenSSL. Threads: prepared secrets are only read, by any number of them.
 */
#ifndef SIGNATURE_H
#define SIGNATURE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "loop.h"

#define SIGNATURE_SECRETS_MOST 8 /* live at one time: each costs one more pass over the body */
#define SIGNATURE_TEXT_SIZE 72   /* of a signature, with its NUL */

enum signature_verdict
{
    SIGNATURE_RIGHT,
    SIGNATURE_MISSING,
    SIGNATURE_MALFORMED, /* not what Meta sends, whatever the body */
    SIGNATURE_WRONG,     /* of another body, or under a secret that is not known */
    SIGNATURE_UNKNOWN    /* no memory to find out */
};

/* App secrets, ready to sign with. */
struct signature_secrets
{
    size_t count;
    EVP_MAC_CTX *keyed[SIGNATURE_SECRETS_MOST]; /* initialised, never used but to be copied */
};

/* One a line; blanks at a line's end and empty lines do not count. False with a sentence in
 * `problem`, which never holds a secret. Free it in either case. */
MUST_CHECK bool signature_prepare(struct signature_secrets *secrets, const char *lines,
                                  const char **problem);
void signature_free(struct signature_secrets *secrets);

/* A signature that is being checked. All zero: none is. */
struct signature
{
    size_t count;
    EVP_MAC_CTX *running[SIGNATURE_SECRETS_MOST];
    unsigned char claimed[32];
};

/* RIGHT so far: then the body is to follow. `text` is the field's value, NULL without one. */
MUST_CHECK enum signature_verdict signature_begin(struct signature *signature,
                                                  const struct signature_secrets *secrets,
                                                  const char *text);
/* False: the verdict will be SIGNATURE_UNKNOWN. */
MUST_CHECK bool signature_update(struct signature *signature, const void *bytes, size_t length);
/* RIGHT, WRONG or UNKNOWN; nothing is being checked any more. */
MUST_CHECK enum signature_verdict signature_end(struct signature *signature);
/* Forgets what was being checked, with the keys in it. */
void signature_abandon(struct signature *signature);

/* "missing", ... for the log. */
const char *signature_verdict_name(enum signature_verdict verdict);

/* Signs with the first secret; false for want of memory. */
MUST_CHECK bool signature_sign(const struct signature_secrets *secrets, const void *bytes,
                               size_t length, char text[SIGNATURE_TEXT_SIZE]);

#endif /* SIGNATURE_H */
