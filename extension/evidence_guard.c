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

/* Whether legacy is as bad: in the minutes of the run, and as many before as give it min_requests. */
static bool
legacy_is_as_bad(struct evidence_guard *guard, const struct evidence_minute *minutes, size_t place,
				 const struct evidence_limits *limits)
{
	struct evidence_counts unified = {.requests = guard->requests, .errors = guard->errors};
	struct evidence_counts legacy = {0};

	for (size_t i = place + 1; i-- > 0 && (i >= guard->first || legacy.requests < limits->min_requests);)
	{
		legacy.requests += minutes[i].legacy_requests;
		legacy.errors += minutes[i].legacy_errors;
	}
	guard->legacy_requests = legacy.requests;
	guard->legacy_errors = legacy.errors;
	if (evidence_judge(&legacy, NULL, limits).errors != EVIDENCE_CRITICAL)
		return false;
	return evidence_judge(&unified, &legacy, limits).severity == EVIDENCE_ENVIRONMENTAL;
}

void
evidence_guard_add(struct evidence_guard *guard, const struct evidence_minute *minutes, size_t place,
				   const struct evidence_limits *limits)
{
	const struct evidence_minute *minute = &minutes[place];
	double statistic = guard->statistic +
					   log_likelihood_ratio(minute->requests, minute->errors, limits);

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
	if (statistic > EVIDENCE_GUARD_THRESHOLD && legacy_is_as_bad(guard, minutes, place, limits))
	{
		guard->statistic = 0;
		guard->requests = guard->errors = 0;
		guard->excused++;
	}
}
