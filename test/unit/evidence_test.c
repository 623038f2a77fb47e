/* SPDX-License-Identifier: PostgreSQL
 *
 * evidence_test.c: bounds, proofs and verdicts. What the extension computes by continued fractions
 * is compared with published figures, and with the binomial probabilities added up one by one.
 */
#include "support.h"

#include <math.h>

#include "../../extension/evidence.h"

#define CLOSE(got, wanted, within)                                                                 \
    do                                                                                             \
    {                                                                                              \
        double got_ = (got), wanted_ = (wanted);                                                   \
        if (!(fabs(got_ - wanted_) <= (within)))                                                   \
            fail_msg("%s is %.15g, not %.15g", #got, got_, wanted_);                               \
    } while (0)

static const struct evidence_limits LIMITS = {0.001, 0.005, 50};

/* P(at most `errors` of `requests`) at that rate, each term from the one before. */
static long double binomial_at_most(int64_t errors, int64_t requests, long double rate)
{
    long double term = (long double) requests * log1pl(-rate), sum = 0;

    for (int64_t k = 0; k <= errors; k++)
    {
        sum += expl(term);
        term +=
            logl((long double) (requests - k) / (long double) (k + 1)) + logl(rate) - log1pl(-rate);
    }
    return sum;
}

/* Where that probability is alpha; it falls with the rate. */
static double bisected_upper_bound(int64_t errors, int64_t requests, double alpha)
{
    long double low = 0, high = 1;

    for (int i = 0; i < 200; i++)
    {
        long double middle = (low + high) / 2;

        if (binomial_at_most(errors, requests, middle) > alpha)
            low = middle;
        else
            high = middle;
    }
    return (double) low;
}

/*
 * The two-sided 95 % intervals of n = 10 and some of n = 20, as in Clopper and Pearson's charts
 * and, to four digits, in the Geigy scientific tables; and the example of R's binom.test():
 * Conover's 682 of 925 (Practical nonparametric statistics, 1971, page 97).
 */
static void test_published_bounds(void **state)
{
    static const struct
    {
        int errors, requests;
        double low, high, within;
    } published[] = {
        {0, 10, 0, 0.3085, 5e-5},      {1, 10, 0.0025, 0.4450, 5e-5},
        {2, 10, 0.0252, 0.5561, 5e-5}, {3, 10, 0.0667, 0.6525, 5e-5},
        {4, 10, 0.1216, 0.7376, 5e-5}, {5, 10, 0.1871, 0.8129, 5e-5},
        {10, 10, 0.6915, 1, 5e-5},     {0, 20, 0, 0.1684, 5e-5},
        {1, 20, 0.0013, 0.2487, 5e-5}, {682, 925, 0.7076683, 0.7654066, 5e-8},
    };

    (void) state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
    {
        CLOSE(evidence_lower_bound(published[i].errors, published[i].requests, 0.025),
              published[i].low, published[i].within);
        CLOSE(evidence_upper_bound(published[i].errors, published[i].requests, 0.025),
              published[i].high, published[i].within);
    }
}

static void test_bounds_by_summation(void **state)
{
    static const int64_t sizes[] = {1, 2, 3, 7, 50, 598, 1000, 20000, 1000000, 1000000000000};
    static const int64_t errors[] = {0, 1, 2, 3, 10, 49, 100, 500};

    (void) state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof errors / sizeof *errors; j++)
        {
            int64_t n = sizes[i], k = errors[j];
            double wanted;

            if (k >= n)
                continue;
            wanted = bisected_upper_bound(k, n, EVIDENCE_ALPHA);
            CLOSE(evidence_upper_bound(k, n, EVIDENCE_ALPHA), wanted, 1e-9 * wanted);
            /* As many successes: the other tail, seen from the other side. */
            CLOSE(1 - evidence_lower_bound(n - k, n, EVIDENCE_ALPHA), wanted, 1e-9);
            if (k == 0)
                continue;
            /* At least k errors, with probability alpha: at most k - 1, with the rest. */
            wanted = bisected_upper_bound(k - 1, n, 1 - EVIDENCE_ALPHA);
            CLOSE(evidence_lower_bound(k, n, EVIDENCE_ALPHA), wanted, 1e-9 * wanted);
        }
}

/* At the ends, and in the middle of so many that nobody can add them up: there the bound is the
 * normal one, 1.6448536 standard deviations off, but for a correction of the order of 1 / n. */
static void test_extreme_bounds(void **state)
{
    static const double n = 1e12;
    double off = 1.6448536269514722 * 0.5 / sqrt(n);

    (void) state;
    CLOSE(evidence_lower_bound(0, 0, 0.05), 0, 0);
    CLOSE(evidence_upper_bound(0, 0, 0.05), 1, 0);
    CLOSE(evidence_upper_bound(1, 1, 0.05), 1, 0);
    CLOSE(evidence_lower_bound(1, 1, 0.05), 0.05, 1e-15);
    CLOSE(evidence_upper_bound(0, 1, 0.05), 0.95, 1e-15);
    CLOSE(evidence_upper_bound(500000000000, 1000000000000, 0.05), 0.5 + off, 3e-12);
    CLOSE(evidence_lower_bound(500000000000, 1000000000000, 0.05), 0.5 - off, 3e-12);
}

/* The shown_ functions and the bounds are two ways to ask the same. */
static void test_shown_agrees_with_bounds(void **state)
{
    uint64_t seed = 4;

    (void) state;
    for (int i = 0; i < 20000; i++)
    {
        int64_t n = (int64_t) (next_random(&seed) % 5000) + 1;
        int64_t k = (int64_t) (next_random(&seed) % (uint64_t) (i % 2 == 0 ? n + 1 : 12)) % (n + 1);
        double rate = (double) (next_random(&seed) % 10000 + 1) / (i % 3 == 0 ? 10001 : 1000000);

        assert_int_equal(evidence_shown_below(k, n, rate),
                         evidence_upper_bound(k, n, EVIDENCE_ALPHA) < rate);
        assert_int_equal(evidence_shown_above(k, n, rate),
                         evidence_lower_bound(k, n, EVIDENCE_ALPHA) > rate);
    }
}

/* The figures that the documentation quotes; each is the first that suffices. */
static void test_requests_needed(void **state)
{
    (void) state;
    assert_int_equal(evidence_requests_needed(0, 0, 0.005), 598);
    assert_int_equal(evidence_requests_needed(0, 0, 0.001), 2995);
    assert_int_equal(evidence_requests_needed(1, 1, 0.005), 946);
    assert_int_equal(evidence_requests_needed(1, 1, 0.001), 4741);
    assert_int_equal(evidence_requests_needed(0, 0, 0.05), 59);
    assert_int_equal(evidence_requests_needed(0, 597, 0.005), 1);
    assert_int_equal(evidence_requests_needed(0, 598, 0.005), 0);
    assert_int_equal(evidence_requests_needed(1, 947, 0.005), 0);
    assert_int_equal(evidence_requests_needed(0, 0, 1e-12), -1);
    for (int64_t k = 0; k < 40; k++)
    {
        int64_t n = k + evidence_requests_needed(k, k, 0.003);

        assert_true(binomial_at_most(k, n, 0.003L) < EVIDENCE_ALPHA);
        assert_false(binomial_at_most(k, n - 1, 0.003L) < EVIDENCE_ALPHA);
    }
}

/* Critical values as every table has them (Pearson and Hartley, Biometrika tables I, table 8), and
 * the closed forms for 1 and 2 degrees. */
static void test_chi_square(void **state)
{
    static const struct
    {
        double statistic;
        int degrees;
        double p;
    } published[] = {
        {3.841, 1, 0.05},   {6.635, 1, 0.01},     {10.828, 1, 0.001},   {5.991, 2, 0.05},
        {7.815, 3, 0.05},   {11.345, 3, 0.01},    {16.266, 3, 0.001},   {18.307, 10, 0.05},
        {29.588, 10, .001}, {124.342, 100, 0.05}, {149.449, 100, .001},
    };

    (void) state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        CLOSE(evidence_chi_square_p(published[i].statistic, published[i].degrees), published[i].p,
              0.0005 * published[i].p);
    for (double x = 1e-6; x < 700; x *= 1.7)
    {
        CLOSE(evidence_chi_square_p(x, 1), erfc(sqrt(x / 2)), 1e-12);
        CLOSE(evidence_chi_square_p(x, 2), exp(-x / 2), 1e-13);
    }
    CLOSE(evidence_chi_square_p(1e6, 1000000), 0.49981, 1e-5);
    CLOSE(evidence_chi_square_p(0, 3), 1, 0);
    CLOSE(evidence_chi_square_p(-1, 3), 1, 0);
    CLOSE(evidence_chi_square_p(INFINITY, 3), 0, 0);
    assert_true(isnan(evidence_chi_square_p(NAN, 3)) || evidence_chi_square_p(NAN, 3) == 1);
}

/* --- Verdicts ----------------------------------------------------------------------------- */

static struct evidence_verdict judge(int64_t requests, int64_t errors)
{
    struct evidence_counts counts = {requests, errors, requests, 0, 0};

    return evidence_judge(&counts, NULL, &LIMITS);
}

static struct evidence_verdict judge_slow(int64_t requests, int64_t reached, int64_t above)
{
    struct evidence_counts counts = {requests, 0, requests, reached, above};

    return evidence_judge(&counts, NULL, &LIMITS);
}

static void test_proof(void **state)
{
    (void) state;
    assert_int_equal(judge(597, 0).proof, EVIDENCE_CONSISTENT);
    assert_int_equal(judge(597, 0).needed, 1);
    assert_int_equal(judge(598, 0).proof, EVIDENCE_SHOWN_CRITICAL);
    assert_int_equal(judge(598, 0).needed, 2995 - 598);
    assert_int_equal(judge(946, 1).proof, EVIDENCE_CONSISTENT);
    assert_int_equal(judge(947, 1).proof, EVIDENCE_SHOWN_CRITICAL);
    assert_int_equal(judge(2994, 0).proof, EVIDENCE_SHOWN_CRITICAL);
    assert_int_equal(judge(2995, 0).proof, EVIDENCE_SHOWN_WARNING);
    assert_int_equal(judge(2995, 0).needed, 0);
    assert_int_equal(judge(4741, 1).proof, EVIDENCE_SHOWN_CRITICAL);
    assert_int_equal(judge(4742, 1).proof, EVIDENCE_SHOWN_WARNING);
    assert_int_equal(judge(0, 0).needed, 598);
    /* Slow answers put it off, and so do answers that nobody has timed. */
    assert_int_equal(judge_slow(2995, 200, 0).proof, EVIDENCE_SHOWN_CRITICAL);
    assert_int_equal(judge_slow(2995, 200, 200).proof, EVIDENCE_CONSISTENT);
    assert_true(judge_slow(2995, 200, 200).needed > 0);
    assert_int_equal(
        evidence_judge(&(struct evidence_counts){2995, 0, 58, 0, 0}, NULL, &LIMITS).proof,
        EVIDENCE_CONSISTENT);
    assert_int_equal(
        evidence_judge(&(struct evidence_counts){2995, 0, 59, 0, 0}, NULL, &LIMITS).proof,
        EVIDENCE_SHOWN_WARNING);
}

static void test_severity(void **state)
{
    (void) state;
    assert_int_equal(judge(0, 0).severity, EVIDENCE_INSUFFICIENT_DATA);
    assert_int_equal(judge(49, 0).severity, EVIDENCE_INSUFFICIENT_DATA);
    assert_int_equal(judge(49, 2).severity, EVIDENCE_INSUFFICIENT_DATA);
    assert_int_equal(judge(2, 2).severity, EVIDENCE_INSUFFICIENT_DATA);
    assert_int_equal(judge(3, 3).severity, EVIDENCE_CRITICAL);
    assert_int_equal(judge(49, 49).severity, EVIDENCE_CRITICAL);
    assert_int_equal(judge(50, 0).severity, EVIDENCE_HEALTHY);
    assert_int_equal(judge(50, 2).severity, EVIDENCE_WARNING);
    /* At the limits themselves: a warning is reached, critical is exceeded. */
    assert_int_equal(judge(2000, 1).severity, EVIDENCE_HEALTHY);
    assert_int_equal(judge(2000, 2).severity, EVIDENCE_WARNING);
    assert_int_equal(judge(2000, 10).severity, EVIDENCE_WARNING);
    assert_int_equal(judge(2000, 11).severity, EVIDENCE_CRITICAL);
    /* Without response times nothing is healthy. */
    assert_int_equal(
        evidence_judge(&(struct evidence_counts){60, 0, 0, 0, 0}, NULL, &LIMITS).severity,
        EVIDENCE_INSUFFICIENT_DATA);
    assert_int_equal(
        evidence_judge(&(struct evidence_counts){60, 1, 0, 0, 0}, NULL, &LIMITS).severity,
        EVIDENCE_WARNING);
}

static void test_slow(void **state)
{
    (void) state;
    assert_int_equal(judge_slow(100, 5, 5).severity, EVIDENCE_HEALTHY);
    assert_int_equal(judge_slow(100, 6, 0).severity, EVIDENCE_WARNING);
    /* Above 5 %, but it may be chance; shown. */
    assert_int_equal(judge_slow(100, 6, 6).severity, EVIDENCE_WARNING);
    assert_int_equal(judge_slow(1000, 70, 60).severity, EVIDENCE_CRITICAL);
    assert_int_equal(judge_slow(3, 3, 3).severity, EVIDENCE_CRITICAL);
    assert_int_equal(judge_slow(2, 2, 2).severity, EVIDENCE_INSUFFICIENT_DATA);
}

static enum evidence_severity beside(struct evidence_counts unified, struct evidence_counts legacy)
{
    return evidence_judge(&unified, &legacy, &LIMITS).severity;
}

static void test_environmental(void **state)
{
    static const struct evidence_counts bad = {400, 20, 400, 0, 0}, slow = {400, 0, 400, 100, 100};

    (void) state;
    assert_int_equal(beside(bad, bad), EVIDENCE_ENVIRONMENTAL);
    assert_int_equal(beside(slow, slow), EVIDENCE_ENVIRONMENTAL);
    assert_int_equal(beside((struct evidence_counts){400, 1, 400, 0, 0},
                            (struct evidence_counts){400, 1, 400, 0, 0}),
                     EVIDENCE_ENVIRONMENTAL);
    /* Few of the other side excuse nothing, nor does one that is healthy. */
    assert_int_equal(beside(bad, (struct evidence_counts){49, 40, 49, 0, 0}), EVIDENCE_CRITICAL);
    assert_int_equal(beside(bad, (struct evidence_counts){50, 40, 50, 0, 0}),
                     EVIDENCE_ENVIRONMENTAL);
    assert_int_equal(beside(bad, (struct evidence_counts){400, 0, 400, 0, 0}), EVIDENCE_CRITICAL);
    /* Nor one that only has a warning, nor one that is bad by another measure. */
    assert_int_equal(beside(bad, (struct evidence_counts){2000, 4, 2000, 0, 0}), EVIDENCE_CRITICAL);
    assert_int_equal(beside(bad, slow), EVIDENCE_CRITICAL);
    /* Nor when this side is far worse. */
    assert_int_equal(beside((struct evidence_counts){400, 100, 400, 0, 0}, bad), EVIDENCE_CRITICAL);
    assert_int_equal(beside((struct evidence_counts){400, 40, 400, 0, 0}, bad),
                     EVIDENCE_ENVIRONMENTAL);
    /* Errors excused, slowness not. */
    assert_int_equal(beside((struct evidence_counts){400, 20, 400, 100, 100}, bad),
                     EVIDENCE_CRITICAL);
    assert_int_equal(beside((struct evidence_counts){400, 20, 400, 40, 0}, bad), EVIDENCE_WARNING);
    /* What is too little for a verdict stays so. */
    assert_int_equal(beside((struct evidence_counts){20, 1, 20, 0, 0}, bad),
                     EVIDENCE_INSUFFICIENT_DATA);
    assert_int_equal(beside((struct evidence_counts){3, 3, 3, 0, 0},
                            (struct evidence_counts){100, 90, 100, 0, 0}),
                     EVIDENCE_ENVIRONMENTAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_bounds),
        cmocka_unit_test(test_bounds_by_summation),
        cmocka_unit_test(test_extreme_bounds),
        cmocka_unit_test(test_shown_agrees_with_bounds),
        cmocka_unit_test(test_requests_needed),
        cmocka_unit_test(test_chi_square),
        cmocka_unit_test(test_proof),
        cmocka_unit_test(test_severity),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_environmental),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
