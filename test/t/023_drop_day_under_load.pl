# SPDX-License-Identifier: PostgreSQL
#
# Days of the log expire and are dropped while sessions decide and store at full speed: nobody waits
# 100 ms for a lock (the server itself reports whoever does), nothing is refused, and what is not
# expired is there once and counted once. Needs sessions at full speed; pg_isolation_regress steps one
# at a time.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# On a day that ends meanwhile one more would expire.
my $rest = 86_400 - time % 86_400;
sleep $rest + 1 if $rest < 180;

my $days = 6;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "log_statement = none\nfsync = off\nlog_lock_waits = on\ndeadlock_timeout = 100ms");
$node->start;
$node->safe_psql('postgres', <<"SQL");
	CREATE EXTENSION webhook_routing;
	SELECT update_routing_percentage(50), set_routing_enabled(true);
	INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, response_time_ms, created_at)
	SELECT 'wa-webhook', 'legacy', 'success', 1, now() - d * interval '1 day'
	  FROM generate_series(1, $days) d, generate_series(1, 20000);
	SELECT routing_maintain();
SQL
my $leaves = q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'webhook_routing_logs'::regclass AND
	inhrelid::regclass::text ~ '[0-9]{8}$' AND inhrelid::regclass::text < to_char(now() AT TIME ZONE 'UTC', '"webhook_routing_logs_"YYYYMMDD')};
is($node->safe_psql('postgres', $leaves), $days, 'a partition for each day');

my $dir = PostgreSQL::Test::Utils::tempdir();
my $payload = unpack 'H*', '{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":{"messages":'
  . '[{"from":"250788000001","id":"wamid.1","type":"text","text":{"body":"I am looking for a job"}}]}}]}]}';
append_to_file("$dir/decide.sql", "SELECT webhook_name FROM route_decide('\\x$payload'::bytea);\n");
append_to_file("$dir/store.sql", <<'SQL');
SELECT store_routing_logs(array_agg(gen_random_uuid()), array_agg(clock_timestamp()), array_agg(NULL::uuid), array_agg(1), array_agg(0),
	array_agg('w'::text), array_agg((ARRAY['jobs', 'property'])[1 + i % 2]), array_agg('legacy'::text), array_agg(NULL::text),
	array_agg(i), array_agg(NULL::numeric), array_agg(NULL::bigint), array_agg(NULL::text), array_agg(NULL::text),
	array_agg(NULL::text), array_agg(NULL::text), array_agg(200), array_agg(i::float8), array_agg('success'::text),
	array_agg(NULL::text), array_agg(false)) FROM generate_series(1, 100) i;
SQL
my ($out, $err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '--no-vacuum', '--client=4', '--jobs=2', '--time=3600', "--file=$dir/decide.sql\@20", "--file=$dir/store.sql\@5",
		$node->connstr('postgres') ],
	'>', \$out, '2>', \$err);
my $stored = q{SELECT count(*) FROM webhook_routing_logs WHERE webhook_name = 'w'};
$node->poll_query_until('postgres', "SELECT ($stored) > 1000") or die "nothing is stored: $err";

# The oldest day expires, the next, and so on; each is dropped at the first or, in use, at the next call.
my $dropped = 0;
foreach my $left (reverse 1 .. $days - 1)
{
	$node->safe_psql('postgres', qq{SELECT update_routing_settings('{"log_retention": "$left days"}')});
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM routing_maintain() WHERE action = 'dropped'})
	  and $dropped++;
}
is($dropped, $days - 1, 'every expired day was dropped under load');
my $before = $node->safe_psql('postgres', $stored);
$node->poll_query_until('postgres', "SELECT ($stored) > $before + 1000") or die "nothing is stored any more: $err";
$load->signal('TERM'); # INT is ignored below a shell's background job
$load->finish;
unlike($err, qr/ERROR|aborted/, 'nobody was refused anything');
unlike(slurp_file($node->logfile), qr/still waiting for/, 'nobody waited 100 ms for a lock');

is($node->safe_psql('postgres', $leaves), 1, 'one day is left besides today');
is( $node->safe_psql('postgres', q{SELECT sum(requests) FROM webhook_routing_rollups}),
	$node->safe_psql('postgres', 'SELECT count(*) FROM webhook_routing_logs') + ($days - 1) * 20000,
	'and everything is counted once, what was dropped included');

done_testing();
