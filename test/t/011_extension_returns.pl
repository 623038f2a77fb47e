# SPDX-License-Identifier: PostgreSQL
#
# DROP EXTENSION and CREATE EXTENSION again, seen by sessions that have used the old one: what a
# backend keeps (plans, the rules) must not outlive what it was made for. pg_regress has one session.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION webhook_routing; SELECT routing_maintain()');

my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('SET client_min_messages = warning');
my $row = q{INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms)
	VALUES ('w', 'jobs', 'legacy', 'success', 10)};
my $requests = q{SELECT domain, request_count FROM webhook_routing_stats};
$session->query_safe($row) for 1 .. 10;
is($session->query_safe($requests), 'jobs|10', 'the session has stored and counted rows');

# What others have built on the log stops a DROP without CASCADE. The partitions of the days do not.
$node->safe_psql('postgres', 'CREATE VIEW mine AS SELECT count(*) FROM webhook_routing_logs');
my ($status, $out, $err) = $node->psql('postgres', 'DROP EXTENSION webhook_routing');
isnt($status, 0, 'DROP EXTENSION is refused where a view of somebody else needs the log');
like($err, qr/view mine depends on table webhook_routing_logs/, 'and says which');
unlike($err, qr/webhook_routing_logs_\d{8} depends/, 'the partitions are no reason');
is($session->query_safe($requests), 'jobs|10', 'nothing has happened');

$node->safe_psql('postgres', 'DROP VIEW mine; DROP EXTENSION webhook_routing');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'webhook%'}), '0',
	'DROP EXTENSION takes the log and its partitions with it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_proc WHERE probin LIKE '%webhook_routing%'}), '0',
	'and every function');

# In the same place, elsewhere, and under a name that needs quotes: the old session goes on.
$node->safe_psql('postgres', 'CREATE ROLE viewer');
foreach my $schema ('public', 'elsewhere', 'Quite Odd')
{
	my $quoted = qq{"$schema"};
	$node->safe_psql('postgres', qq{
		DROP EXTENSION IF EXISTS webhook_routing CASCADE;
		CREATE SCHEMA IF NOT EXISTS $quoted;
		CREATE EXTENSION webhook_routing SCHEMA $quoted;
		SELECT count(*) FROM $quoted.routing_maintain()});
	$session->query_safe("SET search_path = $quoted");
	$session->query_safe($row) for 1 .. 3;
	is($session->query_safe($requests), 'jobs|3', "in schema $schema: the session stores and counts");
	is($session->query_safe('SELECT count(*) FROM webhook_routing_logs_default'), '0', 'into the partition of the day');
	is($session->query_safe(q{SELECT count(*) FROM check_routing_health()}), '3', 'health is told');
	is($session->query_safe(q{SELECT count(*) FROM update_routing_settings('{"hash_senders": true}')}), '1', 'hashing goes on');
	$session->query_safe(q{INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, from_number)
		VALUES ('w', 'legacy', 'success', '250788000001')});
	is($session->query_safe(q{SELECT erase_sender('250788000001')}), '1', 'a sender is erased');
	is($session->query_safe(q{SELECT count(*) > 10 FROM grant_routing_role('viewer', 'viewer')}), 't', 'rights are granted');
	is($node->safe_psql('postgres', "SET ROLE viewer; SELECT count(*) FROM $quoted.webhook_routing_stats"), '2',
		'and enough');
}
$session->quit;

# A table of that name that was there before is not taken over.
$node->safe_psql('postgres', q{DROP EXTENSION webhook_routing CASCADE; CREATE TABLE public.webhook_routing_logs (mine text)});
($status, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION webhook_routing SCHEMA public');
isnt($status, 0, 'CREATE EXTENSION fails where a table has the name of ours');
like($err, qr/relation "webhook_routing_logs" already exists/, 'and says which');
is($node->safe_psql('postgres', q{SELECT string_agg(attname, ',') FROM pg_attribute
	WHERE attrelid = 'public.webhook_routing_logs'::regclass AND attnum > 0}), 'mine', 'the table is as it was');

done_testing();
