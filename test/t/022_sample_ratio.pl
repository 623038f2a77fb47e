# SPDX-License-Identifier: PostgreSQL
#
# How often check_sample_ratio() alarms by mistake, and how surely when it should: simulated with the real
# buckets of thousands of senders, seeded by their names, so that every run of the test is the same. The
# simulation counts with the functions of the check; some runs go through the log and the check itself.
# Prints the rates.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "log_statement = none\nfsync = off\nwork_mem = '64MB'");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(<<'SQL');
CREATE EXTENSION webhook_routing;
SELECT update_routing_percentage(50), set_routing_enabled(true);
-- Senders of one run: a side by the bucket, requests from 1 on with a long tail (geometric, a third go on),
-- of which those on unified are lost with a chance.
CREATE FUNCTION senders(run integer, n integer, domains integer, lost double precision, several boolean)
RETURNS TABLE (domain text, on_unified boolean, m bigint) LANGUAGE sql STABLE AS $$
	SELECT 'd' || s % domains, bucket < 5000,
	       CASE WHEN bucket >= 5000 OR lost = 0 THEN wanted
	            ELSE (SELECT count(*) FILTER (WHERE routing_bucket(format('lost %s %s %s', run, s, i)) >= 10000 * lost)
	                    FROM generate_series(1, wanted) i) END
	  FROM (SELECT s, routing_bucket(format('%s-%s', run, s)) AS bucket,
	               CASE WHEN several THEN 1 + floor(ln((routing_bucket(format('m %s %s', run, s)) + 0.5) / 10000) / ln(1 / 3.0))::bigint
	                    ELSE 1 END AS wanted
	          FROM generate_series(1, n) s) AS drawn $$;
-- The least p of one run over all that the check tests.
CREATE FUNCTION least_p(run integer, n integer, domains integer, lost double precision, several boolean)
RETURNS double precision LANGUAGE sql STABLE AS $$
	WITH cells AS (
		SELECT scope, domain, count(*) FILTER (WHERE on_unified)::double precision AS u, count(*) FILTER (WHERE NOT on_unified)::double precision AS l,
		       sum(m) FILTER (WHERE on_unified) AS ur, sum(m) FILTER (WHERE NOT on_unified) AS lr,
		       var_samp(m) FILTER (WHERE on_unified) AS uv, var_samp(m) FILTER (WHERE NOT on_unified) AS lv
		  FROM senders(run, n, domains, lost, several), LATERAL (VALUES (domain), ('all')) g (scope) WHERE m > 0 GROUP BY 1, 2
	), scopes AS (
		SELECT scope, sum(u) AS u, sum(l) AS l, sum((ur * l - lr * u) / (u + l)) AS difference,
		       sum((l * l * u * uv + u * u * l * lv) / power(u + l, 2)) AS variance FROM cells GROUP BY 1
	)
	SELECT min(least(webhook_routing_sample_p(webhook_routing_senders_statistic(u, (u + l) / 2, (u + l) / 4), 'senders', scope, domains),
		CASE WHEN several THEN webhook_routing_sample_p(webhook_routing_requests_statistic(difference, variance), 'requests', scope, domains) END))
	  FROM scopes WHERE scope <> 'all' OR domains > 1 $$;
SQL

# rate RUNS, SENDERS, DOMAINS, LOST, SEVERAL: the share of runs that alarm, in percent
sub rate
{
	my ($runs, $senders, $domains, $lost, $several) = @_;
	return sql("SELECT round(100.0 * count(*) FILTER (WHERE least_p(run, $senders, $domains, $lost, $several) < 0.001) / count(*), 3)
		FROM generate_series(1, $runs) run");
}

my $fair = rate(4000, 500, 1, 0, 'false');
note("fair, one domain, 500 senders of one request: $fair % of 4,000 runs alarm");
cmp_ok($fair, '<=', 0.2, 'fair traffic of one domain');
my $fair_three = rate(4000, 750, 3, 0, 'true');
note("fair, three domains, 750 senders of several requests: $fair_three % of 4,000 runs alarm");
cmp_ok($fair_three, '<=', 0.2, 'fair traffic of three domains');
my $missing = rate(200, 10_000, 1, 0.1, 'false');
note("10 % of unified missing, 10,000 senders of one request: $missing % of 200 runs alarm");
cmp_ok($missing, '>=', 95, 'rows missing, one request of each sender');
my $missing_some = rate(40, 20_000, 1, 0.1, 'true');
note("10 % of unified missing, 20,000 senders of several requests: $missing_some % of 40 runs alarm");
cmp_ok($missing_some, '>=', 95, 'rows missing, several requests of each sender');
my $missing_three = rate(100, 10_000, 3, 0.1, 'false');
note("10 % of unified missing, 10,000 senders in three domains: $missing_three % of 100 runs alarm");
cmp_ok($missing_three, '>=', 95, 'rows missing in three domains');

# The check itself, over a log: what is stored straight into the partition is not counted twice.
sub alarms
{
	my ($run, $lost) = @_;
	return sql(qq{
		TRUNCATE webhook_routing_logs, webhook_routing_rollups;
		INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version, from_number)
		SELECT gen_random_uuid(), CASE WHEN b < 5000 THEN 'wa-webhook-unified' ELSE 'wa-webhook-jobs' END, 'jobs',
		       CASE WHEN b < 5000 THEN 'unified' ELSE 'legacy' END, 'success', CASE WHEN b < 5000 THEN 'in_percentage' ELSE 'out_of_percentage' END,
		       b, 50, 3, s::text
		  FROM (SELECT s, routing_bucket(format('%s-%s', $run, s)) AS b FROM generate_series(1, 10000) s) AS drawn
		 WHERE b >= 5000 OR routing_bucket(format('lost %s %s', $run, s)) >= 10000 * $lost;
		SELECT string_agg(finding || ' of ' || domain, ', ') FROM check_sample_ratio() WHERE severity = 'critical'});
}
my @fair = map { alarms($_, 0) } 1 .. 10;
is(join(',', grep { $_ ne '' } @fair), '', '10 fair logs: nothing is found');
my @missing = map { alarms($_, 0.1) } 1 .. 10;
my $found = grep { $_ eq 'senders of jobs' } @missing;
note("10 % of unified missing, through the log: $found of 10 alarm");
cmp_ok($found, '>=', 9, '10 logs with rows missing: found');
my $id = sql(q{INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, status, reason, bucket, percentage, config_version, from_number)
	VALUES (gen_random_uuid(), 'wa-webhook-unified', 'jobs', 'unified', 'success', 'in_percentage', 7000, 50, 3, 'forged') RETURNING id});
like(sql("SELECT detail FROM check_sample_ratio() WHERE finding = 'row_differs'"), qr/^row $id: [^\n]*$/, 'one forged row is named');

$node->stop;
done_testing();
