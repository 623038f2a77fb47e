/* SPDX-License-Identifier: PostgreSQL
 *
 * evidence.h: what counted requests prove, and what they do not. Plain C11 without PostgreSQL, so that
 * the SQL functions (evidence_functions.c), the unit tests and the simulations in bench/ run the
 * same rules.
 *
 *	 evidence.c			exact bounds of an error rate, and what is shown about it
 *	 evidence_verdict.c	the verdict on one side of a domain
 *	 evidence_guard.c	the sequential test of the guard
 *
 * A rate is a proportion from 0 to 1. All bounds are one-sided with 95 % confidence each: where an
 * upper bound is under a limit, traffic at that limit would have looked worse in 95 of 100 cases.
 */
#ifndef WEBHOOK_ROUTING_EVIDENCE_H
#define WEBHOOK_ROUTING_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How often a bound may be wrong. */
#define EVIDENCE_ALPHA 0.05

/* Not more than one request in 20 may be slower than a limit of P95. */
#define EVIDENCE_SLOW_SHARE 0.05

/* --- evidence.c --------------------------------------------------------------------------- */

/*
 * Exact bounds (Clopper and Pearson 1934) of the rate behind `errors` of `requests`, within 1e-9 for up
 * to 1e12 requests. 0 <= errors <= requests and 0 < alpha < 0.5. Without requests they are 0 and 1.
 */
extern double evidence_lower_bound(int64_t errors, int64_t requests, double alpha);
extern double evidence_upper_bound(int64_t errors, int64_t requests, double alpha);

/* Whether the lower bound is above, or the upper bound is below, a rate; exact where the bound itself
 * would be rounded. */
extern bool evidence_shown_above(int64_t errors, int64_t requests, double rate);
extern bool evidence_shown_below(int64_t errors, int64_t requests, double rate);

/*
 * How many more requests without an error show that the rate is below `rate`: 0 when it is shown
 * already, -1 when it would take more than EVIDENCE_MOST_REQUESTS.
 */
#define EVIDENCE_MOST_REQUESTS INT64_C(1000000000000)
extern int64_t evidence_requests_needed(int64_t errors, int64_t requests, double rate);

/*
 * The probability that a chi-square variable of so many degrees of freedom (at least 1) is at least
 * `statistic`; 1 when that is not positive.
 */
extern double evidence_chi_square_p(double statistic, int degrees);

/* --- evidence_verdict.c ------------------------------------------------------------------- */

/* What is asked of a side: proportions, from the configuration. */
struct evidence_limits
{
	double warning_rate;  /* of errors, > 0 */
	double critical_rate; /* of errors, >= warning_rate */
	int64_t min_requests; /* fewer allow no verdict but critical */
};

/* What was seen of a side, repetitions left out. */
struct evidence_counts
{
	int64_t requests;
	int64_t errors;			 /* of the requests */
	int64_t measured;		 /* requests with a response time */
	int64_t reached_warning; /* of these, at or above the warning limit */
	int64_t above_critical;	 /* of these, above the critical limit */
};

/* Worse is higher, except the last two. */
enum evidence_severity
{
	EVIDENCE_HEALTHY,
	EVIDENCE_WARNING,
	EVIDENCE_CRITICAL,
	EVIDENCE_ENVIRONMENTAL, /* bad, and the other side is as bad */
	EVIDENCE_INSUFFICIENT_DATA
};

/* Both of the error rate and of P95. */
enum evidence_proof
{
	EVIDENCE_CONSISTENT,	 /* nothing is shown */
	EVIDENCE_SHOWN_CRITICAL, /* shown to be under the critical limits */
	EVIDENCE_SHOWN_WARNING	 /* shown to be under the warning limits */
};

struct evidence_verdict
{
	enum evidence_severity severity;
	enum evidence_proof proof;
	enum evidence_severity errors;	/* of the error rate alone: healthy, warning, critical */
	enum evidence_severity latency; /* of P95 alone */
	double error_low;				/* bounds of the error rate */
	double error_high;
	int64_t needed; /* clean requests to the next proof; 0 when there is none, -1 when too many */
};

/* The words that SQL shows. */
extern const char *evidence_severity_name(enum evidence_severity severity);
extern const char *evidence_proof_name(enum evidence_proof proof);

/*
 * The verdict on a side. Critical, at any number of requests: at least 3 errors, a rate above the
 * critical limit, and a lower bound above the warning limit; P95 alike, with its two limits. Else
 * insufficient_data below min_requests, or without any response time; else warning when a warning limit
 * is reached.
 *
 * What is bad is excused when the other side was seen in the same window (`other`, or NULL), had
 * min_requests, is as bad by the same measure, and this one is not shown to be more than twice as bad;
 * a side of which everything bad is excused is environmental.
 */
extern struct evidence_verdict evidence_judge(const struct evidence_counts *counts,
											  const struct evidence_counts *other,
											  const struct evidence_limits *limits);

/* Whether a rate is shown to be more than twice another. */
extern bool evidence_much_worse(int64_t errors, int64_t requests, int64_t other_errors,
								int64_t other_requests);

/* --- evidence_guard.c --------------------------------------------------------------------- */

/* Above it the guard rolls back. */
#define EVIDENCE_GUARD_THRESHOLD 5.5

/* What a domain had in one minute; minutes without requests may be left out. */
struct evidence_minute
{
	int64_t requests; /* unified */
	int64_t errors;
	int64_t legacy_requests;
	int64_t legacy_errors;
};

/* The run that the statistic stands for: since it last was 0. Starts zeroed. */
struct evidence_guard
{
	double statistic;
	bool alarm;	  /* it is above the threshold, and not because both sides are bad */
	size_t first; /* place of the run's first minute; meaningless while the statistic is 0 */
	int64_t requests;
	int64_t errors;
	int64_t legacy_requests; /* that it was compared with, when it last was above the threshold */
	int64_t legacy_errors;
	double legacy_statistic; /* the same of legacy, but never far above the threshold */
	size_t legacy_first;	 /* place of its first minute */
	int64_t excused;		 /* how often legacy was as bad, so that it began anew */
};

/*
 * Adds minutes[place], after minutes[0 .. place - 1] have been added, in order of time. When the
 * statistic passes the threshold it is compared with legacy, over the same minutes and as many before
 * as give legacy min_requests. Where legacy is as bad, that is no fault of unified: the statistic begins
 * anew at 0. Where it is not, there is an alarm, as soon as unified is shown to fail more often (99 %), and
 * at the latest when the run has 2.5 / critical_rate requests: 500 by default. Legacy below min_requests
 * excuses nothing and is not waited for.
 */
extern void evidence_guard_add(struct evidence_guard *guard, const struct evidence_minute *minutes,
							   size_t place, const struct evidence_limits *limits);

#endif
