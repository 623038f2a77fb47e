/* SPDX-License-Identifier: PostgreSQL
 *
 * evidence_guard.c: the sequential test of the guard.
 *
 * Page, "Continuous inspection schemes", Biometrika 41 (1954): the sum of the log-likelihood ratios
 * of the critical against the warning error rate, never below 0. It forgets the good times, so that a
 * fault is found as fast after a month as in the first hour; a sequential test that is run once (Wald)
 * is blind when it has accepted. A minute is added as a whole, since the order of its requests is not
 * known: an hour's traffic in one minute has to be bad as a whole.
 */
#include "evidence.h"

#include <math.h>

/* From here it takes 1,400 good requests to fall below the threshold, at the default limits. */
#define LEGACY_STATISTIC_LIMIT (2 * EVIDENCE_GUARD_THRESHOLD)

/* An alarm waits until it is shown whose fault it is, with this probability of an error, */
#define WAIT_ALPHA 0.01
/* ... for at most as many requests of the run as bring so many errors at the critical rate. */
#define WAIT_ERRORS 2.5

/* What a minute's counts say for the critical and against the warning rate. */
static double
log_likelihood_ratio(int64_t requests, int64_t errors, const struct evidence_limits *limits)
{
	int64_t clean = requests - errors;
	double ratio = 0;

	if (limits->critical_rate <= limits->warning_rate)
		return 0;
	if (errors > 0)
		ratio += (double) errors * log(limits->critical_rate / limits->warning_rate);
	if (clean > 0)
		ratio += (double) clean * (log1p(-limits->critical_rate) - log1p(-limits->warning_rate));
	return ratio;
}

/*
 * The same test of legacy. It is capped, so that it is over soon after legacy is well again, however bad
 * it was: its answer is about now.
 */
static void
legacy_add(struct evidence_guard *guard, const struct evidence_minute *minute, size_t place,
		   const struct evidence_limits *limits)
{
	double statistic = guard->legacy_statistic +
					   log_likelihood_ratio(minute->legacy_requests, minute->legacy_errors, limits);

	if (guard->legacy_statistic == 0)
		guard->legacy_first = place;
	guard->legacy_statistic = !(statistic > 0)					   ? 0
							  : statistic < LEGACY_STATISTIC_LIMIT ? statistic
																   : LEGACY_STATISTIC_LIMIT;
}

/* What legacy had from minutes[first] to minutes[place], and as far back as gives min_requests. */
static struct evidence_counts
legacy_counts(const struct evidence_minute *minutes, size_t first, size_t place,
			  const struct evidence_limits *limits)
{
	struct evidence_counts legacy = {0};

	for (size_t i = place + 1; i-- > 0 && (i >= first || legacy.requests < limits->min_requests);)
	{
		legacy.requests += minutes[i].legacy_requests;
		legacy.errors += minutes[i].legacy_errors;
	}
	return legacy;
}

/*
 * Whether legacy is as bad: by its rate in the minutes of the run, or, since a fault may have begun in
 * the middle of the run, by its own statistic, in the minutes of that.
 */
static bool
legacy_is_as_bad(const struct evidence_guard *guard, const struct evidence_minute *minutes,
				 size_t place, const struct evidence_counts *legacy,
				 const struct evidence_limits *limits)
{
	struct evidence_counts compared = *legacy;

	if (evidence_judge(legacy, NULL, limits).errors != EVIDENCE_CRITICAL)
	{
		if (guard->legacy_statistic <= EVIDENCE_GUARD_THRESHOLD)
			return false;
		compared = legacy_counts(minutes, guard->legacy_first, place, limits);
	}
	return compared.requests >= limits->min_requests &&
		   !evidence_much_worse(guard->errors, guard->requests, compared.errors, compared.requests);
}

/*
 * Whether unified fails more often than legacy. If it did not, each of the failures would be unified's
 * with the probability of its share of the requests (Przyborowski and Wilenski, "Homogeneity of results
 * in testing samples from Poisson series", Biometrika 31 (1940)).
 */
static bool
unified_is_worse(const struct evidence_guard *guard, const struct evidence_counts *legacy)
{
	double share = (double) guard->requests / (double) (guard->requests + legacy->requests);

	return evidence_lower_bound(guard->errors, guard->errors + legacy->errors, WAIT_ALPHA) > share;
}

/* Whether waiting for another minute like this one would show nothing more, or take too long. */
static bool
has_waited(const struct evidence_guard *guard, const struct evidence_minute *minute,
		   const struct evidence_counts *legacy, const struct evidence_limits *limits)
{
	return legacy->requests < limits->min_requests ||
		   (double) (guard->requests + minute->requests) > WAIT_ERRORS / limits->critical_rate ||
		   unified_is_worse(guard, legacy);
}

void
evidence_guard_add(struct evidence_guard *guard, const struct evidence_minute *minutes, size_t place,
				   const struct evidence_limits *limits)
{
	const struct evidence_minute *minute = &minutes[place];
	double statistic = guard->statistic +
					   log_likelihood_ratio(minute->requests, minute->errors, limits);
	struct evidence_counts legacy;

	legacy_add(guard, minute, place, limits);
	guard->alarm = false;
	if (!(statistic > 0))
	{
		guard->statistic = 0;
		guard->requests = guard->errors = 0;
		return;
	}
	if (guard->statistic == 0)
		guard->first = place;
	guard->statistic = statistic;
	guard->requests += minute->requests;
	guard->errors += minute->errors;
	if (statistic <= EVIDENCE_GUARD_THRESHOLD)
		return;

	legacy = legacy_counts(minutes, guard->first, place, limits);
	guard->legacy_requests = legacy.requests;
	guard->legacy_errors = legacy.errors;
	if (legacy_is_as_bad(guard, minutes, place, &legacy, limits))
	{
		guard->statistic = 0;
		guard->requests = guard->errors = 0;
		guard->excused++;
	}
	else
		guard->alarm = has_waited(guard, minute, &legacy, limits);
}
