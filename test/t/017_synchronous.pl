# SPDX-License-Identifier: PostgreSQL
#
# What a forwarder is told to be stored is on the synchronous standby, also when the batch was sent before, was
# not acknowledged then, and is there already. Needs a standby that is gone and a primary that is killed while a
# COMMIT waits; pg_regress has neither.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C' ]);
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION webhook_routing; SELECT routing_maintain()');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->append_conf('postgresql.conf', "synchronous_standby_names = 'standby'");
$primary->reload;
$primary->poll_query_until('postgres', "SELECT sync_state = 'sync' FROM pg_stat_replication");

# batch KIND, KEY: 3 rows whose ids and times follow from the key.
my $time = time;
sub batch
{
	my ($kind, $key) = @_;
	return qq{SELECT store_routing_$kind(array_agg(md5('$key-' || i)::uuid), array_agg(to_timestamp($time)),
		array_agg(NULL::uuid), array_agg(1), array_agg(0), array_agg('w'::text), array_agg('jobs'::text),
		array_agg('legacy'::text), array_agg(NULL::text), array_agg(i), array_agg(NULL::numeric), array_agg(NULL::bigint),
		array_agg(NULL::text), array_agg(NULL::text), array_agg(NULL::text), array_agg(NULL::text), array_agg(200),
		array_agg(i::float8), array_agg('success'::text), array_agg(NULL::text), array_agg(false)) FROM generate_series(1, 3) i};
}

# waiting N: until so many COMMITs wait for the standby
sub waiting
{
	return $primary->poll_query_until('postgres', "SELECT count(*) = $_[0] FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
}

is($primary->safe_psql('postgres', batch('logs', 'a')), '3', 'with the standby there, a batch is stored');
is($primary->safe_psql('postgres', batch('logs', 'a')), '0', 'and again, which stores nothing');

foreach my $kind ('logs', 'pending')
{
	$standby->stop;
	my $cut_off = $primary->background_psql('postgres', on_error_stop => 0);
	$cut_off->query_until(qr/asked/, "\\echo asked\n" . batch($kind, $kind) . ";\n");
	ok(waiting(1), "$kind: without it, the COMMIT waits");
	# The row is in the primary's WAL: after the restart it is there, although nobody was told so.
	$primary->stop('immediate');
	$primary->start;
	is($primary->safe_psql('postgres', "SELECT count(*) FROM webhook_routing_$kind WHERE id = md5('$kind-1')::uuid"), '1',
		"$kind: after a crash of the primary the row is there");
	my $again = $primary->background_psql('postgres', on_error_stop => 0);
	$again->query_until(qr/asked/, "\\echo asked\n" . batch($kind, $kind) . ";\n");
	ok(waiting(1), "$kind: the same batch again waits as well, although there is nothing to store");
	$standby->start;
	ok($primary->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"),
		"$kind: until the standby is back");
	$cut_off->{run}->finish;
	$again->quit;
}

$primary->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', 'SELECT (SELECT count(*) FROM webhook_routing_logs), (SELECT count(*) FROM webhook_routing_pending)'),
	'6|3', 'the standby, which has been promoted, has all of it once');
done_testing();
