/* SPDX-License-Identifier: PostgreSQL
 *
 * bucket.h: the bucket of a sender key as it stands in a document.
 */
#ifndef ROUTE_BUCKET_H
#define ROUTE_BUCKET_H

#include "scan.h"

/* Of all the string's decoded bytes, however long it is; the same as route_bucket() of them. */
int32_t route_bucket_of_string(const route_document *document, route_value string, uint64_t salt);

#endif
