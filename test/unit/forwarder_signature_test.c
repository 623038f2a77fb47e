/* SPDX-License-Identifier: PostgreSQL
 *
 * X-Hub-Signature-256: known vectors, several secrets, and everything that is no signature.
 */
#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../forwarder/signature.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What Meta sends: escapes stand in the raw bytes, which are what is signed. */
#define SECRET "8f6d8b7c1e2a4b3c9d0e1f2a3b4c5d6e"
#define BODY                                                                                       \
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"changes\":[{\"value\":"  \
    "{\"messages\":[{\"text\":{\"body\":\"caf\\u00e9 \\/ 100\\u0025 @\"}}]},\"field\":"            \
    "\"messages\"}]}]}"
#define SIGNED "sha256=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22ef"

static void prepare(struct signature_secrets *secrets, const char *lines)
{
    const char *problem;

    if (!signature_prepare(secrets, lines, &problem))
        fail_msg("%s", problem);
}

/* The body in pieces of `step` bytes. */
static enum signature_verdict check(const char *lines, const char *body, size_t step,
                                    const char *text)
{
    struct signature_secrets secrets;
    struct signature signature = {.count = 0};
    enum signature_verdict verdict;
    size_t length = strlen(body);

    prepare(&secrets, lines);
    verdict = signature_begin(&signature, &secrets, text);
    if (verdict == SIGNATURE_RIGHT)
    {
        for (size_t at = 0; at < length; at += step)
            assert_true(
                signature_update(&signature, body + at, length - at < step ? length - at : step));
        verdict = signature_end(&signature);
    }
    assert_int_equal(signature.count, 0);
    signature_free(&secrets);
    return verdict;
}

/* RFC 4231: the test cases whose keys are lines. */
static void vectors(void **state)
{
    static const struct
    {
        char byte; /* the key: so often this byte, or a word */
        size_t times;
        const char *key, *text, *digest;
    } CASES[] = {
        {0x0b, 20, NULL, "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {0, 0, "Jefe", "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {(char) 0xaa, 131, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {(char) 0xaa, 131, NULL,
         "This is a test using a larger than block-size key and a larger than block-size data. The "
         "key needs to be hashed before being used by the HMAC algorithm.",
         "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
    };
    struct signature_secrets secrets;
    char key[200], text[SIGNATURE_TEXT_SIZE];

    (void) state;
    for (size_t i = 0; i < COUNT(CASES); i++)
    {
        memset(key, CASES[i].byte, CASES[i].times);
        key[CASES[i].times] = '\0';
        if (CASES[i].key != NULL)
            strcpy(key, CASES[i].key);
        prepare(&secrets, key);
        assert_true(signature_sign(&secrets, CASES[i].text, strlen(CASES[i].text), text));
        assert_memory_equal(text, "sha256=", 7);
        assert_string_equal(text + 7, CASES[i].digest);
        signature_free(&secrets);
        assert_int_equal(check(key, CASES[i].text, 5, text), SIGNATURE_RIGHT);
    }
}

static void metas(void **state)
{
    (void) state;
    for (size_t step = 1; step < sizeof BODY; step += 7)
        assert_int_equal(check(SECRET "\n", BODY, step, SIGNED), SIGNATURE_RIGHT);
    assert_int_equal(check(SECRET, BODY " ", 100, SIGNED), SIGNATURE_WRONG);
    assert_int_equal(check(SECRET "x", BODY, 100, SIGNED), SIGNATURE_WRONG);
    assert_int_equal(check(SECRET, "", 1, SIGNED), SIGNATURE_WRONG);
}

static void several_secrets(void **state)
{
    struct signature_secrets secrets;
    char text[SIGNATURE_TEXT_SIZE];

    (void) state;
    assert_int_equal(check("old\r\n\n" SECRET " \t\n", BODY, 64, SIGNED), SIGNATURE_RIGHT);
    assert_int_equal(check(SECRET "\nold", BODY, 64, SIGNED), SIGNATURE_RIGHT);
    assert_int_equal(check("1\n2\n3\n4\n5\n6\n7\n" SECRET, BODY, 64, SIGNED), SIGNATURE_RIGHT);
    assert_int_equal(check("old\nolder", BODY, 64, SIGNED), SIGNATURE_WRONG);
    /* The first one signs. */
    prepare(&secrets, "\n" SECRET "\nold");
    assert_int_equal(secrets.count, 2);
    assert_true(signature_sign(&secrets, BODY, strlen(BODY), text));
    assert_string_equal(text, SIGNED);
    signature_free(&secrets);
}

/* Prepared secrets are not changed by their use. */
static void again(void **state)
{
    struct signature signatures[2] = {{.count = 0}, {.count = 0}};
    struct signature_secrets secrets;

    (void) state;
    prepare(&secrets, SECRET "\nold");
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(signature_begin(&signatures[i], &secrets, SIGNED), SIGNATURE_RIGHT);
    for (size_t at = 0; at < strlen(BODY); at++) /* one beside the other */
        for (size_t i = 0; i < 2; i++)
            assert_true(signature_update(&signatures[i], &BODY[at], 1));
    signature_free(&secrets); /* what is being checked does not need them */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(signature_end(&signatures[i]), SIGNATURE_RIGHT);
}

static void malformed(void **state)
{
    static const char *const WRONG[] = {
        "",
        "sha256=",
        "ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22ef",
        "sha1=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22ef",
        "SHA256=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22ef",
        "sha256=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22e",
        "sha256=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22eff",
        "sha256=BA3FB4F0EF2C707E74F71E75E54D2A7AE0CBFB96920232094F487F9ED3FA22EF",
        "sha256=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22eg",
        "sha256=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22e ",
        " sha256=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22ef",
        "sha256=ba3fb4f0ef2c707e74f71e75e54d2a7ae0cbfb96920232094f487f9ed3fa22e\xef",
        SIGNED "," SIGNED,
    };

    (void) state;
    for (size_t i = 0; i < COUNT(WRONG); i++)
        if (check(SECRET, BODY, 64, WRONG[i]) != SIGNATURE_MALFORMED)
            fail_msg("taken: %s", WRONG[i]);
    assert_int_equal(check(SECRET, BODY, 64, NULL), SIGNATURE_MISSING);
}

/* One wrong bit, wherever it stands, makes it wrong: nothing ends a comparison early and well. */
static void every_bit(void **state)
{
    static const char DIGITS[] = "0123456789abcdef";
    char text[] = SIGNED;

    (void) state;
    for (size_t at = 7; at < strlen(SIGNED); at++)
        for (int bit = 1; bit < 16; bit *= 2)
        {
            text[at] = DIGITS[(strchr(DIGITS, SIGNED[at]) - DIGITS) ^ bit];
            assert_int_equal(check("old\n" SECRET, BODY, 64, text), SIGNATURE_WRONG);
            text[at] = SIGNED[at];
        }
}

static void abandoned(void **state)
{
    struct signature_secrets secrets;
    struct signature signature = {.count = 0};

    (void) state;
    prepare(&secrets, SECRET);
    assert_int_equal(signature_begin(&signature, &secrets, SIGNED), SIGNATURE_RIGHT);
    signature_abandon(&signature);
    assert_false(signature_update(&signature, BODY, 1));
    assert_int_equal(signature_end(&signature), SIGNATURE_UNKNOWN);
    signature_free(&secrets);
}

static void wrong_secrets(void **state)
{
    static const char *const WRONG[] = {"", "\n", " \r\n\t\n", "1\n2\n3\n4\n5\n6\n7\n8\n9"};
    struct signature_secrets secrets;
    const char *problem;

    (void) state;
    for (size_t i = 0; i < COUNT(WRONG); i++)
    {
        assert_false(signature_prepare(&secrets, WRONG[i], &problem));
        assert_non_null(problem);
        signature_free(&secrets);
    }
}

/* ---- memory ---- */

static int allocations_left = -1; /* -1: as many as are asked for */

static bool may_allocate(void)
{
    if (allocations_left > 0)
        allocations_left--;
    return allocations_left != 0;
}

static void *allocate(size_t size, const char *file, int line)
{
    (void) file;
    (void) line;
    return may_allocate() ? malloc(size) : NULL;
}

static void *reallocate(void *memory, size_t size, const char *file, int line)
{
    (void) file;
    (void) line;
    return may_allocate() ? realloc(memory, size) : NULL;
}

static void release(void *memory, const char *file, int line)
{
    (void) file;
    (void) line;
    free(memory);
}

/* However early memory runs out: the verdict is that nobody knows, and a right one stays right. */
static void out_of_memory(void **state)
{
    struct signature_secrets secrets;
    struct signature signature = {.count = 0};
    enum signature_verdict verdict = SIGNATURE_UNKNOWN;
    char text[SIGNATURE_TEXT_SIZE];
    int most;

    (void) state;
    prepare(&secrets, "old\n" SECRET);
    for (most = 1; most < 1000 && verdict != SIGNATURE_RIGHT; most++)
    {
        allocations_left = most;
        verdict = signature_begin(&signature, &secrets, SIGNED);
        if (verdict == SIGNATURE_RIGHT && signature_update(&signature, BODY, strlen(BODY)))
            verdict = signature_end(&signature);
        signature_abandon(&signature);
        if (verdict != SIGNATURE_RIGHT)
            assert_int_equal(verdict, SIGNATURE_UNKNOWN);
    }
    assert_in_range(most, 3, 999);
    allocations_left = 1;
    assert_false(signature_sign(&secrets, BODY, strlen(BODY), text));
    allocations_left = -1;
    signature_free(&secrets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),         cmocka_unit_test(metas),
        cmocka_unit_test(several_secrets), cmocka_unit_test(again),
        cmocka_unit_test(malformed),       cmocka_unit_test(every_bit),
        cmocka_unit_test(abandoned),       cmocka_unit_test(wrong_secrets),
        cmocka_unit_test(out_of_memory),
    };

    /* Before OpenSSL has allocated anything. */
    if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1)
        return 1;
    return cmocka_run_group_tests_name("forwarder_signature", tests, NULL, NULL);
}
