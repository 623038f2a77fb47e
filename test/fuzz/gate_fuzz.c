/* SPDX-License-Identifier: PostgreSQL
 *
 * gate_fuzz.c: any bytes as what a stranger controls of a request's header, and as what an operator
 * puts into the files of secrets. The first byte says as what the others are taken:
 *
 *     header fields     what the gate lets through cannot be read in two ways, and what it refuses
 *                       is refused whatever follows
 *     request target    a name is a name; what is decoded was encoded so
 *     configured lines  of --function-header-file: what a generation of secrets holds is sendable
 *     a signature       is right only when it is the one that we would make
 *
 *     build/fuzz/gate_fuzz CORPUS test/fuzz/corpus/gate
 */
#include "require.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "../../forwarder/forwarder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly these bytes and a NUL, on the heap, so that reading on is noticed. */
static char *copy_of(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);

    REQUIRE(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

/* ---- header fields ---- */

#define FIELDS_MOST 64

struct fields
{
    struct header_field list[FIELDS_MOST];
    char *lines[FIELDS_MOST];
    size_t count;
    size_t bytes; /* of all lines, each with its CRLF */
};

/* "Name: value", with a NUL behind the value and none of the line's end, as libmicrohttpd leaves it
 * in its buffer. */
static void fields_add(struct fields *fields, const uint8_t *line, size_t length)
{
    struct header_field *field = &fields->list[fields->count];
    const uint8_t *colon = length == 0 ? NULL : memchr(line, ':', length);
    char *copy;

    if (colon == NULL || fields->count == FIELDS_MOST)
        return;
    copy = copy_of(line, length);
    field->name = copy;
    field->name_length = (size_t) (colon - line);
    field->value = copy + field->name_length + 1;
    while (*field->value == ' ' || *field->value == '\t')
        field->value++;
    field->value_length = (size_t) (copy + length - field->value);
    fields->bytes += length + 2;
    fields->lines[fields->count++] = copy;
}

static void fields_read(struct fields *fields, const uint8_t *data, size_t size)
{
    fields->count = fields->bytes = 0;
    while (size > 0)
    {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end == NULL ? size : (size_t) (end - data);

        fields_add(fields, data, length);
        length += end != NULL;
        data += length;
        size -= length;
    }
}

static void fields_free(struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        free(fields->lines[i]);
}

static bool is_named(const struct header_field *field, const char *name)
{
    return field->name_length == strlen(name) &&
           strncasecmp(field->name, name, field->name_length) == 0;
}

/* How many fields have that name; the last of them in *found. */
static size_t fields_named(const struct fields *fields, const char *name,
                           const struct header_field **found)
{
    size_t count = 0;

    for (size_t i = 0; i < fields->count; i++)
        if (is_named(&fields->list[i], name))
        {
            *found = &fields->list[i];
            count++;
        }
    return count;
}

static void check_token(const char *text, size_t length)
{
    REQUIRE(length > 0);
    for (size_t i = 0; i < length; i++)
        REQUIRE(isalnum((unsigned char) text[i]) ||
                (text[i] != '\0' && strchr("!#$%&'*+-.^_`|~", text[i]) != NULL));
}

static void check_value(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        REQUIRE((unsigned char) text[i] >= ' ' ? text[i] != 0x7f : text[i] == '\t');
}

/* A value that is passed on is that of a field of this name; where two could be meant, of the only
 * one. */
static void check_passed(const struct fields *fields, const char *name, const char *value,
                         bool once)
{
    const struct header_field *found = NULL;
    size_t count = fields_named(fields, name, &found);
    bool is_one = false;

    REQUIRE((value != NULL) == (count > 0));
    REQUIRE(!once || count <= 1);
    for (size_t i = 0; i < fields->count && value != NULL; i++)
        is_one = is_one || (is_named(&fields->list[i], name) && fields->list[i].value == value &&
                            strlen(value) == fields->list[i].value_length);
    REQUIRE(is_one == (value != NULL));
}

static void check_framing(const struct fields *fields, enum http_version version,
                          const struct gate_result *result)
{
    const struct header_field *found = NULL;

    REQUIRE(!(result->has_length && result->chunked));
    REQUIRE(fields_named(fields, "Transfer-Encoding", &found) == (result->chunked ? 1 : 0));
    REQUIRE(!result->chunked || (version == HTTP_1_1 && strcasecmp(found->value, "chunked") == 0));
    REQUIRE(fields_named(fields, "Content-Length", &found) == (result->has_length ? 1 : 0));
    if (result->has_length)
    {
        for (size_t i = 0; i < found->value_length; i++)
            REQUIRE(found->value[i] >= '0' && found->value[i] <= '9');
        REQUIRE(found->value_length > 0 &&
                strtoull(found->value, NULL, 10) == result->content_length);
    }
    REQUIRE(fields_named(fields, "Host", &found) <= 1);
    REQUIRE(version == HTTP_1_0 || fields_named(fields, "Host", &found) == 1);
}

/* No list of Connection may take a field away that the message needs. */
static void check_connection(const struct fields *fields)
{
    static const char *const KEPT[] = {"x-hub-signature-256", "content-type", "content-length",
                                       "transfer-encoding",   "host",         "content-encoding"};

    for (size_t i = 0; i < fields->count; i++)
    {
        char list[4096], *rest = list, *option;

        if (!is_named(&fields->list[i], "Connection") ||
            fields->list[i].value_length >= sizeof list)
            continue;
        strcpy(list, fields->list[i].value);
        while ((option = strsep(&rest, ", \t")) != NULL)
            for (size_t kept = 0; kept < sizeof KEPT / sizeof *KEPT; kept++)
                REQUIRE(strcasecmp(option, KEPT[kept]) != 0);
    }
}

/* Whatever follows a refused beginning; that Host is absent is known at the end only. */
static void check_beginnings(const struct fields *fields, enum http_version version,
                             const struct gate_result *result)
{
    struct gate_result before;

    for (size_t count = 0; count < fields->count; count++)
    {
        gate_check(fields->list, count, version, &before);
        if (before.status != 0 && strcmp(before.problem, "no Host") != 0 &&
            strcmp(before.problem, "Content-Length and Transfer-Encoding") != 0)
            REQUIRE(result->status == before.status);
    }
}

static void check_fields(enum http_version version, const uint8_t *data, size_t size)
{
    static const char METHOD[] = "POST", TARGET[] = "/", VERSION[] = "HTTP/1.1";
    struct fields fields;
    struct gate_result result;

    fields_read(&fields, data, size);
    gate_check(fields.list, fields.count, version, &result);
    REQUIRE(gate_size(METHOD, TARGET, VERSION, fields.list, fields.count) ==
            sizeof "POST / HTTP/1.1\r\n\r\n" - 1 + fields.bytes);
    REQUIRE(result.status == 0 || result.status == 400 || result.status == 417);
    REQUIRE((result.status == 0) == (result.problem == NULL));
    if (result.status == 0)
    {
        for (size_t i = 0; i < fields.count; i++)
        {
            check_token(fields.list[i].name, fields.list[i].name_length);
            check_value(fields.list[i].value, fields.list[i].value_length);
        }
        check_framing(&fields, version, &result);
        check_connection(&fields);
        check_passed(&fields, "Content-Type", result.content_type, true);
        check_passed(&fields, "Content-Encoding", result.content_encoding, true);
        check_passed(&fields, "X-Hub-Signature-256", result.signature, true);
        check_passed(&fields, "User-Agent", result.user_agent, false);
        check_passed(&fields, "X-Correlation-ID", result.correlation_id, false);
        check_passed(&fields, "traceparent", result.traceparent, false);
        check_passed(&fields, "tracestate", result.tracestate, false);
    }
    check_beginnings(&fields, version, &result);
    fields_free(&fields);
}

/* ---- the request target ---- */

static void check_uri(const char *target, const char *prefix)
{
    struct uri uri;
    char path[2 * ROUTE_MAX_NAME_LENGTH];

    uri_read(target, prefix, &uri);
    REQUIRE(*uri.query == '\0' || (uri.query > target && uri.query[-1] == '?'));
    if (uri.kind != URI_WEBHOOK)
    {
        REQUIRE(uri.webhook[0] == '\0');
        return;
    }
    REQUIRE(uri.webhook[0] != '\0' &&
            uri.webhook[strspn(uri.webhook, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789-_.")] == '\0' &&
            uri.webhook[0] != '.');
    snprintf(path, sizeof path, "%s/%s", prefix, uri.webhook);
    REQUIRE(strstr(target, path) != NULL);
}

static void check_parameters(const char *query)
{
    static const char *const NAMES[] = {"hub.mode", "hub.verify_token", "hub.challenge", "a", ""};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        for (size_t room = 1; room <= 64; room += 21)
        {
            char *value = malloc(room);
            size_t length;

            REQUIRE(value != NULL);
            if (uri_parameter(query, NAMES[i], value, room, &length))
                REQUIRE(length < room && value[length] == '\0' && length <= strlen(query));
            free(value);
        }
}

/* Whatever is encoded byte by byte is read back. */
static void check_encoded(const uint8_t *data, size_t size)
{
    char query[16 + 3 * 256] = "x=%zz&a=", value[257];
    size_t length = strlen(query), read;

    if (size > 256)
        size = 256;
    for (size_t i = 0; i < size; i++)
        length += (size_t) snprintf(query + length, 4, data[i] & 1 ? "%%%02x" : "%%%02X", data[i]);
    REQUIRE(uri_parameter(query, "a", value, sizeof value, &read));
    REQUIRE(read == size && memcmp(value, data, size) == 0);
}

static void check_target(const uint8_t *data, size_t size)
{
    char *target = copy_of(data, size);

    check_uri(target, "");
    check_uri(target, "/functions/v1");
    check_parameters(target);
    check_encoded(data, size);
    free(target);
}

/* ---- files of secrets ---- */

static void check_configured(const uint8_t *data, size_t size)
{
    struct options options = {.functions_url = ""};
    char problem[512] = "";
    struct secrets *secrets;

    options.function_headers.value = copy_of(data, size);
    secrets = secrets_make(&options, problem, sizeof problem);
    REQUIRE((secrets == NULL) == (problem[0] != '\0'));
    for (size_t i = 0; secrets != NULL && i < secrets->header_count; i++)
    {
        const struct configured_header *header = &secrets->headers[i];

        REQUIRE(header->line[header->name_length] == ':');
        check_token(header->line, header->name_length);
        check_value(header->line, strlen(header->line));
        REQUIRE(strncasecmp(header->line, "X-Routed-", 9) != 0 &&
                strncasecmp(header->line, "Content-Length:", 15) != 0 &&
                strncasecmp(header->line, "Transfer-Encoding:", 18) != 0 &&
                strncasecmp(header->line, "Host:", 5) != 0);
    }
    secrets_release(secrets);
    free(options.function_headers.value);
}

/* The bytes as lines of secrets, as what was signed, and as the signature. */
static void check_signature(const uint8_t *data, size_t size)
{
    struct signature_secrets secrets;
    struct signature signature = {.count = 0};
    char *text = copy_of(data, size), right[SIGNATURE_TEXT_SIZE];
    const char *problem;

    if (signature_prepare(&secrets, text, &problem))
    {
        REQUIRE(secrets.count > 0 && secrets.count <= SIGNATURE_SECRETS_MOST);
        REQUIRE(signature_sign(&secrets, data, size, right));
        if (signature_begin(&signature, &secrets, text) == SIGNATURE_RIGHT)
        {
            REQUIRE(signature_update(&signature, data, size));
            REQUIRE(signature_end(&signature) == SIGNATURE_WRONG); /* nobody signs a signature */
        }
        REQUIRE(signature_begin(&signature, &secrets, right) == SIGNATURE_RIGHT);
        REQUIRE(signature_update(&signature, data, size / 2));
        REQUIRE(signature_update(&signature, data + size / 2, size - size / 2));
        REQUIRE(signature_end(&signature) == SIGNATURE_RIGHT);
        right[size % (sizeof right - 1)] ^= 1;
        if (signature_begin(&signature, &secrets, right) == SIGNATURE_RIGHT)
        {
            REQUIRE(signature_update(&signature, data, size));
            REQUIRE(signature_end(&signature) == SIGNATURE_WRONG);
        }
        signature_abandon(&signature);
    }
    signature_free(&secrets);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % 5)
    {
    case 0:
        check_fields(HTTP_1_0, data + 1, size - 1);
        break;
    case 1:
        check_fields(HTTP_1_1, data + 1, size - 1);
        break;
    case 2:
        check_target(data + 1, size - 1);
        break;
    case 3:
        check_configured(data + 1, size - 1);
        break;
    default:
        check_signature(data + 1, size - 1);
        break;
    }
    return 0;
}
