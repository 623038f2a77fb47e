/* SPDX-License-Identifier: PostgreSQL
 *
 * evidence.c: exact bounds of a rate, and what is shown about it.
 *
 * Clopper, Pearson: "The use of confidence or fiducial limits illustrated in the case of the
 * binomial", Biometrika 26 (1934). The upper bound is the rate under which as few errors have the
 * probability alpha, the lower one that under which as many have it. Both tails are values of the
 * incomplete beta function, which is computed by its continued fraction (DiDonato, Morris: "Algorithm
 * 708", ACM TOMS 18, 1992). The factor before it is written as a binomial probability and computed by
 * the saddle-point expansion of Loader ("Fast and accurate computation of binomial probabilities",
 * 2000): differences of log-gamma functions would leave three digits of 1e12 requests.
 */
#include "evidence.h"

#include <float.h>
#include <math.h>

#define PI 3.14159265358979323846

/* Reached by continued fractions and series; near the middle of 1e12 requests they take a million
 * terms. */
#define PRECISION (4 * DBL_EPSILON)
#define MOST_TERMS 20000000

/* --- Loader's parts ----------------------------------------------------------------------- */

/* log(n!) less Stirling's formula, for n > 0. */
static double
stirling_error(double n)
{
	double square = n * n;

	if (n <= 15)
		return lgamma(n + 1) - (n + 0.5) * log(n) + n - 0.5 * log(2 * PI);
	return (1 / 12.0 -
			(1 / 360.0 - (1 / 1260.0 - (1 / 1680.0 - 1 / 1188.0 / square) / square) / square) /
				square) /
		   n;
}

/* observed * log(observed / expected) + expected - observed, where the two may be nearly equal. */
static double
deviance(double observed, double expected)
{
	double ratio = (observed - expected) / (observed + expected);
	double sum, term;

	if (fabs(ratio) >= 0.1)
		return observed * log(observed / expected) + expected - observed;
	sum = (observed - expected) * ratio;
	term = 2 * observed * ratio;
	for (int j = 1; j < 1000; j++)
	{
		double before = sum;

		term *= ratio * ratio;
		sum += term / (2 * j + 1);
		if (sum == before)
			break;
	}
	return sum;
}

/* x^a y^b / B(a, b), where y is 1 - x and a, b > 0: a b / (a + b) times a binomial probability. */
static double
beta_factor(double a, double b, double x, double y)
{
	double n = a + b;
	double exponent = stirling_error(n) - stirling_error(a) - stirling_error(b) -
					  deviance(a, n * x) - deviance(b, n * y);

	return a * b / n * exp(exponent) * sqrt(n / (2 * PI * a * b));
}

/* --- The incomplete beta function ---------------------------------------------------------- */

/*
 * I_x(a, b) divided by x^a y^b / B(a, b), for lambda = a - (a + b) x >= 0: BFRAC of Algorithm 708. The
 * caller knows lambda, which is lost when x is rounded.
 */
static double
beta_fraction(double a, double b, double x, double y, double lambda)
{
	double c = 1 + lambda, c0 = b / a, c1 = 1 + 1 / a;
	double p = 1, s = a + 1;
	double numerator[2] = {0, 1}, denominator[2] = {1, c / c1};
	double value = c1 / c;

	for (int n = 1; n <= MOST_TERMS; n++)
	{
		double t = n / a, w = n * (b - n) * x, e = a / s;
		double alpha = p * (p + c0) * e * e * (w * x);
		double before = value;
		double beta, next;

		e = (1 + t) / (c1 + t + t);
		beta = n + w / s + e * (c + n * (y + 1));
		p = 1 + t;
		s += 2;

		next = alpha * numerator[0] + beta * numerator[1];
		numerator[0] = numerator[1];
		numerator[1] = next;
		next = alpha * denominator[0] + beta * denominator[1];
		denominator[0] = denominator[1];
		denominator[1] = next;
		value = numerator[1] / denominator[1];
		if (fabs(value - before) <= PRECISION * value)
			break;
		numerator[0] /= denominator[1];
		denominator[0] /= denominator[1];
		numerator[1] = value;
		denominator[1] = 1;
	}
	return value;
}

/* I_x(a, b), where y is 1 - x; a, b >= 1. */
static double
beta_regularised(double a, double b, double x, double y)
{
	double lambda = a > b ? (a + b) * y - b : a - (a + b) * x;

	if (x <= 0)
		return 0;
	if (y <= 0)
		return 1;
	if (lambda >= 0)
		return beta_factor(a, b, x, y) * beta_fraction(a, b, x, y, lambda);
	return 1 - beta_factor(a, b, x, y) * beta_fraction(b, a, y, x, -lambda);
}

/* The normal deviate that is exceeded with probability p; Abramowitz, Stegun 26.2.23, within 4.5e-4. */
static double
normal_deviate(double p)
{
	double tail = p < 0.5 ? p : 1 - p;
	double t = sqrt(-2 * log(tail));
	double deviate = t - (2.515517 + t * (0.802853 + t * 0.010328)) /
							 (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));

	return p < 0.5 ? deviate : -deviate;
}

/* Near the x at which I_x(a, b) is p; Abramowitz, Stegun 26.5.22. */
static double
beta_guess(double a, double b, double p)
{
	double deviate = normal_deviate(p);
	double lambda = (deviate * deviate - 3) / 6;
	double h = 2 / (1 / (2 * a - 1) + 1 / (2 * b - 1));
	double w = deviate * sqrt(h + lambda) / h -
			   (1 / (2 * b - 1) - 1 / (2 * a - 1)) * (lambda + 5 / 6.0 - 2 / (3 * h));

	return a / (a + b * exp(2 * w));
}

/* The x at which I_x(a, b) is p, by Newton's method inside a bracket; a, b >= 1. */
static double
beta_quantile(double a, double b, double p)
{
	double low = 0, high = 1;
	double x = beta_guess(a, b, p);

	/* The smaller of x and 1 - x keeps its digits. */
	if (a > b)
		return 1 - beta_quantile(b, a, 1 - p);
	for (int i = 0; i < 200; i++)
	{
		double excess = beta_regularised(a, b, x, 1 - x) - p;
		double next = x - excess * x * (1 - x) / beta_factor(a, b, x, 1 - x);

		if (excess > 0)
			high = x;
		else
			low = x;
		if (!(next > low && next < high))
			next = low + (high - low) / 2;
		if (fabs(next - x) <= PRECISION * x)
			return next;
		x = next;
	}
	return x;
}

/* --- Bounds ------------------------------------------------------------------------------- */

double
evidence_upper_bound(int64_t errors, int64_t requests, double alpha)
{
	if (errors >= requests)
		return 1;
	if (errors == 0)
		return -expm1(log(alpha) / (double) requests);
	return beta_quantile((double) errors + 1, (double) (requests - errors), 1 - alpha);
}

double
evidence_lower_bound(int64_t errors, int64_t requests, double alpha)
{
	if (errors <= 0)
		return 0;
	if (errors == requests)
		return exp(log(alpha) / (double) requests);
	return beta_quantile((double) errors, (double) (requests - errors) + 1, alpha);
}

bool
evidence_shown_below(int64_t errors, int64_t requests, double rate)
{
	if (errors >= requests)
		return false;
	if (rate >= 1)
		return true;
	if (errors == 0)
		return (double) requests * log1p(-rate) < log(EVIDENCE_ALPHA);
	return beta_regularised((double) (requests - errors), (double) errors + 1, 1 - rate, rate) <
		   EVIDENCE_ALPHA;
}

bool
evidence_shown_above(int64_t errors, int64_t requests, double rate)
{
	if (errors <= 0 || rate >= 1)
		return false;
	if (errors == requests)
		return (double) requests * log(rate) < log(EVIDENCE_ALPHA);
	return beta_regularised((double) errors, (double) (requests - errors) + 1, rate, 1 - rate) <
		   EVIDENCE_ALPHA;
}

int64_t
evidence_requests_needed(int64_t errors, int64_t requests, double rate)
{
	int64_t too_few = requests, enough;

	if (evidence_shown_below(errors, requests, rate))
		return 0;
	for (enough = requests > 0 ? requests : 1; !evidence_shown_below(errors, enough, rate); enough *= 2)
	{
		if (enough > EVIDENCE_MOST_REQUESTS)
			return -1;
		too_few = enough;
	}
	while (enough - too_few > 1)
	{
		int64_t middle = too_few + (enough - too_few) / 2;

		if (evidence_shown_below(errors, middle, rate))
			enough = middle;
		else
			too_few = middle;
	}
	return enough - requests <= EVIDENCE_MOST_REQUESTS ? enough - requests : -1;
}

/* --- Chi-square --------------------------------------------------------------------------- */

/* x^a e^-x / Gamma(a), by the expansion of a Poisson probability. */
static double
gamma_factor(double a, double x)
{
	return a * exp(-stirling_error(a) - deviance(a, x)) / sqrt(2 * PI * a);
}

/* P(a, x), for x < a + 1: its series (Abramowitz, Stegun 6.5.29). */
static double
gamma_series(double a, double x)
{
	double term = 1 / a, sum = term;

	for (int n = 1; n <= MOST_TERMS && term > sum * DBL_EPSILON; n++)
	{
		term *= x / (a + n);
		sum += term;
	}
	return gamma_factor(a, x) * sum;
}

/* Keeps a partial denominator of Lentz's method away from 0. */
static double
not_zero(double value)
{
	return fabs(value) < DBL_MIN / DBL_EPSILON ? DBL_MIN / DBL_EPSILON : value;
}

/* Q(a, x), for x >= a + 1: its continued fraction (Abramowitz, Stegun 6.5.31), as Lentz evaluates it. */
static double
gamma_fraction(double a, double x)
{
	double b = x + 1 - a;
	double c = 1 / (DBL_MIN / DBL_EPSILON);
	double d = 1 / b;
	double value = d;

	for (int n = 1; n <= MOST_TERMS; n++)
	{
		double term = -n * (n - a);
		double change;

		b += 2;
		d = 1 / not_zero(term * d + b);
		c = not_zero(b + term / c);
		change = d * c;
		value *= change;
		if (fabs(change - 1) <= PRECISION)
			break;
	}
	return gamma_factor(a, x) * value;
}

double
evidence_chi_square_p(double statistic, int degrees)
{
	double a = degrees / 2.0, x = statistic / 2;

	if (!(x > 0))
		return 1;
	if (isinf(x))
		return 0;
	return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}
