# SPDX-License-Identifier: PostgreSQL
#
# Writers while partitions come: no batch is refused because the day of its rows has just got a
# partition, none is lost, none counted twice, and writers make no more rollup rows than they are.
# Needs several sessions at full speed; pg_isolation_regress steps one at a time.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', 'log_statement = none');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION webhook_routing');

# Each transaction stores a batch over five days, and stores it again; and now and then a day's
# partition goes back into DEFAULT, so that routing_maintain() always has one to make.
my $dir = PostgreSQL::Test::Utils::tempdir();
# Times are fixed with the ids, as a forwarder does: a minute that begins between the two is no matter.
my $minute = time - time % 60;
my $batch = qq{store_routing_logs(array_agg(md5(:key || '-' || i)::uuid), array_agg(to_timestamp($minute) - i % 5 * interval '1 day'),
	array_agg(NULL::uuid), array_agg(1), array_agg(0), array_agg('w'::text), array_agg((ARRAY['jobs', 'property'])[1 + i % 2]),
	array_agg('legacy'::text), array_agg(NULL::text), array_agg(i), array_agg(NULL::numeric), array_agg(NULL::bigint),
	array_agg(NULL::text), array_agg(NULL::text), array_agg(NULL::text), array_agg(NULL::text), array_agg(200),
	array_agg(i::float8), array_agg('success'::text), array_agg(NULL::text), array_agg(false)) FROM generate_series(1, 50) i};
append_to_file("$dir/write.sql", "\\set key random(1, 1000000000000)\nSELECT $batch;\nSELECT $batch;\n");
append_to_file("$dir/maintain.sql", "SELECT count(*) FROM routing_maintain();\nSELECT give_back();\n\\sleep 20 ms\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE FUNCTION give_back() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		leaf text;
	BEGIN
		SET LOCAL lock_timeout = '100ms';
		LOCK TABLE webhook_routing_logs IN ACCESS EXCLUSIVE MODE;
		SELECT inhrelid::regclass::text INTO leaf FROM pg_inherits
		 WHERE inhparent = 'webhook_routing_logs'::regclass AND inhrelid <> 'webhook_routing_logs_default'::regclass
		 ORDER BY random() LIMIT 1;
		IF leaf IS NULL THEN
			RETURN;	-- routing_maintain() has got no lock for a while
		END IF;
		EXECUTE format('ALTER TABLE webhook_routing_logs DETACH PARTITION %1$I', leaf);
		EXECUTE format('INSERT INTO webhook_routing_logs_default SELECT * FROM %1$I', leaf);
		EXECUTE format('DROP TABLE %1$I', leaf);
	EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
		NULL;
	END
	$$;
SQL

my ($in, $out, $err) = ('', '', '');
my $writers = IPC::Run::start(
	[ 'pgbench', '--no-vacuum', '--client=4', '--time=8', "--file=$dir/write.sql", $node->connstr('postgres') ],
	'<', \$in, '>', \$out, '2>', \$err);
my ($upkeep) = run_command(
	[ 'pgbench', '--no-vacuum', '--client=1', '--time=8', "--file=$dir/maintain.sql", $node->connstr('postgres') ]);
like($upkeep, qr/failed transactions: 0/, 'upkeep went on');
cmp_ok(($upkeep =~ /actually processed: (\d+)/)[0], '>', 5, 'several times');
ok($writers->finish, 'no batch was refused') or diag($err);
unlike($err, qr/aborted|ERROR/, 'by any of the writers');
cmp_ok(($out =~ /actually processed: (\d+)/)[0], '>', 20, 'many were stored');

my ($rows, $different, $counted, $measured) = split /\|/, $node->safe_psql('postgres', q{
	SELECT count(*), count(DISTINCT id), (SELECT sum(requests) FROM webhook_routing_rollups),
	       (SELECT sum(latency_sketch_count(latency)) FROM webhook_routing_rollups) FROM webhook_routing_logs});
is($different, $rows, 'every row is there once');
is($counted, $rows, 'and counted once');
is($measured, $rows, 'with its latency');
cmp_ok($node->safe_psql('postgres', q{SELECT max(n) FROM (SELECT count(*) AS n FROM webhook_routing_rollups
	GROUP BY minute, domain, routed_to) q}), '<=', 5, 'no more rollup rows of a minute than writers');
$node->safe_psql('postgres', 'SELECT routing_maintain()');
is($node->safe_psql('postgres', 'SELECT count(*) FROM webhook_routing_logs_default'), '0', 'in the end all is in its day');
is($node->safe_psql('postgres', 'SELECT count(*) FROM webhook_routing_logs'), $rows, 'and all is there');

done_testing();
