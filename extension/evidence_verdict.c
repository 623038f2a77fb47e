/* SPDX-License-Identifier: PostgreSQL
 *
 * evidence_verdict.c: the verdict on one side of a domain, from what was counted of it. There is no
 * second copy of these rules: SQL, the tests and the simulations call evidence_judge().
 */
#include "evidence.h"

/* Fewer bad requests prove nothing, however few requests there were. */
#define LEAST_ERRORS 3

/* This much worse than the other side is not the environment's fault. */
#define MUCH_WORSE 2.0

/* One measure, of which a side has too much: errors, or slow answers. */
struct measure
{
	int64_t requests;
	int64_t at_warning; /* requests that count against the warning limit */
	int64_t at_critical;
	double warning_rate;
	double critical_rate;
	bool reached; /* a rate that equals the warning limit is a warning already */
};

static struct measure
measure_errors(const struct evidence_counts *counts, const struct evidence_limits *limits)
{
	return (struct measure){counts->requests, counts->errors, counts->errors,
							limits->warning_rate, limits->critical_rate, true};
}

/* P95 is over a limit when more than 5 % of the requests are. */
static struct measure
measure_latency(const struct evidence_counts *counts)
{
	return (struct measure){counts->measured, counts->reached_warning, counts->above_critical,
							EVIDENCE_SLOW_SHARE, EVIDENCE_SLOW_SHARE, false};
}

/* What is not critical may still turn out to be nothing when there are too few requests. */
static enum evidence_severity
measure_level(const struct measure *measure)
{
	double requests = (double) measure->requests;

	if (measure->requests == 0)
		return EVIDENCE_HEALTHY;
	if (measure->at_critical >= LEAST_ERRORS &&
		(double) measure->at_critical / requests > measure->critical_rate &&
		evidence_shown_above(measure->at_warning, measure->requests, measure->warning_rate))
		return EVIDENCE_CRITICAL;
	if ((double) measure->at_warning / requests > measure->warning_rate ||
		(measure->reached && (double) measure->at_warning / requests == measure->warning_rate))
		return EVIDENCE_WARNING;
	return EVIDENCE_HEALTHY;
}

bool
evidence_much_worse(int64_t errors, int64_t requests, int64_t other_errors, int64_t other_requests)
{
	return evidence_lower_bound(errors, requests, EVIDENCE_ALPHA) >
		   MUCH_WORSE * evidence_upper_bound(other_errors, other_requests, EVIDENCE_ALPHA);
}

/* Whether the other side is as bad: at that level or above, and this one not shown to be much worse. */
static bool
measure_excused(const struct measure *measure, enum evidence_severity level,
				const struct measure *other)
{
	int64_t one = level == EVIDENCE_CRITICAL ? measure->at_critical : measure->at_warning;
	int64_t two = level == EVIDENCE_CRITICAL ? other->at_critical : other->at_warning;

	return measure_level(other) >= level &&
		   !evidence_much_worse(one, measure->requests, two, other->requests);
}

static bool
measure_shown(const struct measure *measure, enum evidence_proof proof)
{
	return proof == EVIDENCE_SHOWN_WARNING
			   ? evidence_shown_below(measure->at_warning, measure->requests, measure->warning_rate)
			   : evidence_shown_below(measure->at_critical, measure->requests, measure->critical_rate);
}

static int64_t
measure_needed(const struct measure *measure, enum evidence_proof proof)
{
	return proof == EVIDENCE_SHOWN_WARNING
			   ? evidence_requests_needed(measure->at_warning, measure->requests,
										  measure->warning_rate)
			   : evidence_requests_needed(measure->at_critical, measure->requests,
										  measure->critical_rate);
}

/* Proof and the way to the next one: of both measures, the slower. */
static void
judge_proof(struct evidence_verdict *verdict, const struct measure *errors,
			const struct measure *latency)
{
	int64_t one, two;

	verdict->proof = EVIDENCE_CONSISTENT;
	for (int proof = EVIDENCE_SHOWN_CRITICAL; proof <= EVIDENCE_SHOWN_WARNING; proof++)
		if (measure_shown(errors, proof) && measure_shown(latency, proof))
			verdict->proof = proof;
	if (verdict->proof == EVIDENCE_SHOWN_WARNING)
		return;
	one = measure_needed(errors, verdict->proof + 1);
	two = measure_needed(latency, verdict->proof + 1);
	verdict->needed = one < 0 || two < 0 ? -1 : one > two ? one
														  : two;
}

/* The worst that nothing excuses; environmental when everything bad is excused. */
static enum evidence_severity
judge_severity(const struct evidence_verdict *verdict, const struct evidence_counts *counts,
			   const struct evidence_limits *limits, bool errors_excused, bool latency_excused)
{
	enum evidence_severity errors = errors_excused ? EVIDENCE_HEALTHY : verdict->errors;
	enum evidence_severity latency = latency_excused ? EVIDENCE_HEALTHY : verdict->latency;
	enum evidence_severity worst = errors > latency ? errors : latency;
	enum evidence_severity seen =
		verdict->errors > verdict->latency ? verdict->errors : verdict->latency;

	if (worst == EVIDENCE_CRITICAL)
		return worst;
	if (seen != EVIDENCE_CRITICAL && counts->requests < limits->min_requests)
		return EVIDENCE_INSUFFICIENT_DATA;
	if (worst == EVIDENCE_WARNING)
		return worst;
	if (seen != EVIDENCE_HEALTHY)
		return EVIDENCE_ENVIRONMENTAL;
	return counts->measured == 0 ? EVIDENCE_INSUFFICIENT_DATA : EVIDENCE_HEALTHY;
}

struct evidence_verdict
evidence_judge(const struct evidence_counts *counts, const struct evidence_counts *other,
			   const struct evidence_limits *limits)
{
	struct measure errors = measure_errors(counts, limits);
	struct measure latency = measure_latency(counts);
	struct evidence_verdict verdict = {
		.errors = measure_level(&errors),
		.latency = measure_level(&latency),
		.error_low = evidence_lower_bound(counts->errors, counts->requests, EVIDENCE_ALPHA),
		.error_high = evidence_upper_bound(counts->errors, counts->requests, EVIDENCE_ALPHA),
	};
	bool errors_excused = false, latency_excused = false;

	if (other != NULL && other->requests >= limits->min_requests)
	{
		struct measure other_errors = measure_errors(other, limits);
		struct measure other_latency = measure_latency(other);

		errors_excused = measure_excused(&errors, verdict.errors, &other_errors);
		latency_excused = other->measured >= limits->min_requests &&
						  measure_excused(&latency, verdict.latency, &other_latency);
	}
	verdict.severity = judge_severity(&verdict, counts, limits, errors_excused, latency_excused);
	judge_proof(&verdict, &errors, &latency);
	return verdict;
}

const char *
evidence_severity_name(enum evidence_severity severity)
{
	static const char *const names[] = {"healthy", "warning", "critical", "environmental",
										"insufficient_data"};

	return names[severity];
}

const char *
evidence_proof_name(enum evidence_proof proof)
{
	static const char *const names[] = {"consistent", "shown_critical", "shown_warning"};

	return names[proof];
}
