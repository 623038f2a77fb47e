# SPDX-License-Identifier: PostgreSQL
#
# Decisions that are committed before the relay, at full speed: outcomes arrive while routing_maintain()
# gives rows up, from several sessions. And whether what was acknowledged survives a crash of the server.
# Needs many sessions at once and a server that is killed; pg_regress has neither.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "log_statement = none\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION webhook_routing');
$node->safe_psql('postgres', 'SELECT routing_maintain()');

# batch KIND, KEY, STATUS: 20 rows whose ids and times follow from the key.
my $time = time;
sub batch
{
	my ($kind, $key, $status) = @_;
	return qq{store_routing_$kind(array_agg(md5($key || '-' || i)::uuid), array_agg(to_timestamp($time)),
		array_agg(NULL::uuid), array_agg(1), array_agg(0), array_agg('w'::text), array_agg((ARRAY['jobs', 'property'])[1 + i % 2]),
		array_agg('legacy'::text), array_agg(NULL::text), array_agg(i), array_agg(NULL::numeric), array_agg(NULL::bigint),
		array_agg(NULL::text), array_agg(NULL::text), array_agg(NULL::text), array_agg(NULL::text), array_agg(200),
		array_agg(i::float8), array_agg('$status'::text), array_agg(NULL::text), array_agg(false)) FROM generate_series(1, 20) i};
}

# Rows age at once, so that each outcome meets upkeep that gives the row up. One batch in four never gets
# an outcome, one in four gets it twice.
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/write.sql",
	"\\set key random(1, 1000000000000)\n\\set fate random(1, 4)\nSELECT " . batch('pending', ':key', 'error') . ";\n"
	  . "UPDATE webhook_routing_pending SET stored_at = now() - interval '2 minutes' WHERE id = ANY (SELECT md5(:key || '-' || i)::uuid FROM generate_series(1, 20) i);\n"
	  . "\\sleep 5 ms\n\\if :fate < 4\nSELECT " . batch('logs', ':key', 'success') . ";\n\\endif\n"
	  . "\\if :fate < 2\nSELECT " . batch('logs', ':key', 'success') . ";\n\\endif\n");
append_to_file("$dir/maintain.sql", "SELECT count(*) FROM routing_maintain();\n\\sleep 3 ms\n");
my ($in, $out, $err) = ('', '', '');
my $writers = IPC::Run::start(
	[ 'pgbench', '--no-vacuum', '--client=4', '--time=8', "--file=$dir/write.sql", $node->connstr('postgres') ],
	'<', \$in, '>', \$out, '2>', \$err);
my ($upkeep, $complaints) = run_command(
	[ 'pgbench', '--no-vacuum', '--client=2', '--time=8', "--file=$dir/maintain.sql", $node->connstr('postgres') ]);
unlike($complaints, qr/aborted|ERROR/, 'upkeep never fails');
ok($writers->finish, 'nor does a writer') or diag($err);
unlike($err, qr/aborted|ERROR/, 'not one of them');
my ($batches) = $out =~ /actually processed: (\d+)/;
cmp_ok($batches, '>', 50, 'many batches');
$node->safe_psql('postgres', 'SELECT routing_maintain()');
my ($pending, $rows, $different, $lost, $mixed, $counted) = split /\|/, $node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM webhook_routing_pending), count(*), count(DISTINCT id),
	       count(*) FILTER (WHERE ambiguous), count(*) FILTER (WHERE ambiguous <> (status = 'error')),
	       (SELECT sum(requests) FROM webhook_routing_rollups) FROM webhook_routing_logs});
is($pending, 0, 'in the end nothing is pending');
is($rows, 20 * $batches, 'every row is in the log');
is($different, $rows, 'once');
is($counted, $rows, 'and counted once');
cmp_ok($lost, '>', $rows / 8, 'some were given up');
cmp_ok($lost, '<', $rows, 'others have their outcome');
is($mixed, 0, 'none has half of each');

# A forwarder forgets a row when its COMMIT has been acknowledged. With synchronous_commit off, that of an
# INSERT by hand is lost with the server; what the two functions store is not. Nothing but a COMMIT may
# write the WAL out, so the process that does it by and by stands still.
$node->safe_psql('postgres', 'TRUNCATE webhook_routing_logs, webhook_routing_pending');
$node->append_conf('postgresql.conf', 'synchronous_commit = off');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('synchronous_commit') = 'off'");
$node->safe_psql('postgres', 'CHECKPOINT');
my $writer = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
kill 'STOP', $writer;
$node->safe_psql('postgres', 'SELECT ' . batch('pending', "'a'", 'error'));
$node->safe_psql('postgres', 'SELECT ' . batch('logs', "'b'", 'success'));
$node->safe_psql('postgres', q{INSERT INTO webhook_routing_logs (webhook_name, routed_to, status) VALUES ('by hand', 'legacy', 'success')});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM webhook_routing_pending'), 20, 'pending rows survive a crash');
is($node->safe_psql('postgres', "SELECT count(*) FROM webhook_routing_logs WHERE webhook_name = 'w'"), 20, 'log rows survive it');
is($node->safe_psql('postgres', "SELECT count(*) FROM webhook_routing_logs WHERE webhook_name = 'by hand'"), 0,
	'and what an asynchronous COMMIT acknowledged does not, so that this shows something');

done_testing();
