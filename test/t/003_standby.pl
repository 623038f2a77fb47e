# SPDX-License-Identifier: PostgreSQL
#
# Deciding on a hot standby: nothing there can be written, and changes arrive by replay.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C' ]);
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION webhook_routing;
	SELECT update_routing_percentage(100), set_routing_enabled(true);
	CREATE ROLE reader LOGIN;
	GRANT EXECUTE ON FUNCTION route_decide(bytea, text) TO reader});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

my $body = '{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":{"messages":'
  . '[{"from":"250788000001","id":"wamid.1","type":"text","text":{"body":"I am looking for a job"}}]}}]}]}';
my $decide = "SELECT routed_to, reason, config_version FROM route_decide(convert_to('$body', 'UTF8'))";

is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'the standby is one');
# One session with the rules compiled, and a role that may read nothing.
my $session = $standby->background_psql('postgres', extra_params => [ '--username=reader' ]);
is($session->query_safe($decide), 'unified|in_percentage|3', 'the standby decides');
my $held = $standby->background_psql('postgres', extra_params => [ '--username=reader' ]);
$held->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($held->query_safe($decide), 'unified|in_percentage|3', 'in a transaction too');

foreach my $round (1 .. 5)
{
	my $version = $primary->safe_psql('postgres', 'SELECT version FROM set_routing_enabled(false)');
	$primary->wait_for_catchup($standby, 'replay');
	is($session->query_safe($decide), "legacy|disabled|$version", "round $round: off as soon as it is replayed");
	is($held->query_safe($decide), "legacy|disabled|$version", "round $round: also with an old snapshot");
	$version = $primary->safe_psql('postgres', 'SELECT version FROM set_routing_enabled(true)');
	$primary->wait_for_catchup($standby, 'replay');
	is($session->query_safe($decide), "unified|in_percentage|$version", "round $round: and on again");
}
$held->query_safe('COMMIT');

# Logged decisions are explained, verified and simulated there.
$primary->safe_psql('postgres', q{INSERT INTO webhook_routing_logs (decision_id, webhook_name, domain, routed_to, status, reason, bucket,
		percentage, config_version) VALUES ('00000000-0000-4000-8000-000000000001', 'wa-webhook-unified', 'jobs', 'unified', 'success',
		'in_percentage', 42, 100, 3)});
$primary->wait_for_catchup($standby, 'replay');
is($standby->safe_psql('postgres', q{SELECT outcome FROM route_explain('00000000-0000-4000-8000-000000000001'::uuid) WHERE name = 'reproduced'}),
	'yes', 'a logged decision is explained');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM verify_routing_decisions()'), '0', 'and verified');
is($standby->safe_psql('postgres', 'SELECT domain, to_legacy FROM simulate_routing(0)'), 'jobs|1', 'and simulated');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM cutover_readiness()'), '7', 'so is the cutover');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM check_sample_ratio() WHERE severity = 'critical'}), '0', 'and the sample ratio');

# The extension dropped and made again: other tables, other functions, the same session.
$primary->safe_psql('postgres', 'DROP EXTENSION webhook_routing; CREATE EXTENSION webhook_routing');
$primary->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION route_decide(bytea, text) TO reader');
$primary->wait_for_catchup($standby, 'replay');
is($session->query_safe($decide), 'legacy|disabled|1', 'a new extension is found');

foreach my $verb ('set_routing_enabled(true)', 'update_routing_percentage(1)', q{set_routing_domains('{jobs}')},
	q{update_routing_settings('{"min_requests": 60}')}, q{rollout_evaluate('hold')}, 'rollout_advance()', 'rollout_back()')
{
	my ($status, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT $verb");
	isnt($status, 0, "$verb cannot be called on a standby");
	like($err, qr/25006: the routing configuration cannot be changed on a standby/, "$verb says why");
	like($err, qr/HINT:.*on the primary/, "$verb says where");
}
is($standby->safe_psql('postgres', q{SELECT state FROM rollout_status() WHERE item = 'routing'}), 'disabled',
	'the rollout can be looked at there');
is($standby->safe_psql('postgres', 'SELECT config_version FROM routing_ruleset()'), '1', 'the ruleset can be had there');

$standby->stop;
$primary->stop;
done_testing();
