# SPDX-License-Identifier: PostgreSQL
#
# simulate_routing(p) says of each row of a log what is then decided after the change to p: the same POSTs
# are decided again, and compared item by item. Takes fixtures from files.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use LoggedDecisions;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "log_statement = none\nfsync = off");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

LoggedDecisions::prepare($node);
# A domain with a ceiling, one that is not enrolled, protected ones, one whose function is gone (the gate
# before that has tests of its own).
sql(<<'SQL');
	SELECT update_routing_percentage(30), set_routing_enabled(true), set_routing_domains('{jobs}');
	UPDATE webhook_routing_domains SET percentage = 40 WHERE domain = 'jobs';
	SET session_replication_role = replica;
	UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-property';
	SET session_replication_role = origin;
	SELECT update_routing_percentage(31);
SQL
my $stored = sql('SELECT record_decisions(0, 40)');
cmp_ok($stored, '>', 5_000, "$stored rows");

sub compare
{
	my ($percentage, $enabled, $change) = @_;
	sql("DROP TABLE IF EXISTS simulated; CREATE TABLE simulated AS
		SELECT * FROM simulate_routing_decisions($percentage, '1 hour', $enabled)");
	if ($enabled eq 'NULL')
	{
		is(sql('SELECT count(*) FROM posts p, route_decide(p.body, p.named) w, simulated s
			WHERE s.decision_id = p.decision_id AND s.from_side <> w.routed_to'), 0, "$percentage %: the sides before are those of now");
	}
	my $counted = sql("SELECT sum(req_unified), sum(req_legacy), sum(requests), sum(unknown) FROM simulate_routing($percentage, '1 hour', $enabled)");
	sql($change);
	is(sql('SELECT count(*) FROM simulated'), $stored, "$percentage %: every row is simulated");
	is(sql(q{SELECT s.domain, s.to_side, s.reason, w.routed_to, w.reason, count(*)
		FROM posts p CROSS JOIN route_decide(p.body, p.named) w CROSS JOIN route_decide_items(p.body, p.named) i
		LEFT JOIN simulated s ON s.decision_id = p.decision_id AND s.item = i.item
		WHERE s.to_side IS DISTINCT FROM w.routed_to OR s.domain <> i.domain OR s.bucket IS DISTINCT FROM i.bucket
		GROUP BY 1, 2, 3, 4, 5}), '', "$percentage %: row for row what is decided after the change");
	is(sql(q{SELECT count(*) FILTER (WHERE from_side = 'legacy' AND to_side = 'unified'),
		count(*) FILTER (WHERE from_side = 'unified' AND to_side = 'legacy'), count(*), 0 FROM simulated}), $counted,
		"$percentage %: the sums are those of the rows");
	return;
}
for my $percentage (0, 5, 38.5, 60, 100, 12.34)
{
	compare($percentage, 'NULL', "SELECT update_routing_percentage($percentage)");
}
my $reasons = sql("SELECT string_agg(DISTINCT reason, ' ' ORDER BY reason) FROM simulated");
like($reasons, qr/\b$_\b/, "$_ among them")
  for qw(in_percentage legacy_retired mixed_batch no_sender not_enrolled out_of_percentage protected unknown_domain);
compare(50, 'false', 'SELECT update_routing_percentage(50), set_routing_enabled(false)');
compare(70, 'true', 'SELECT update_routing_percentage(70), set_routing_enabled(true)');

# A bucket says nothing under another salt.
sql(q{SELECT update_routing_settings('{"hash_salt": 5}')});
is(sql(q{SELECT count(*) FILTER (WHERE to_side IS NOT NULL), sum(CASE WHEN reason LIKE '%hash_salt%' THEN 1 END) > 1000
	FROM simulate_routing_decisions(70) WHERE domain <> 'unknown' AND bucket IS NOT NULL}), '0|t', 'another salt: not known');

$node->stop;
done_testing();
