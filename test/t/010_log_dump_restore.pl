# SPDX-License-Identifier: PostgreSQL
#
# The log and its statistics through a dump. Partitions of days are tables that no extension script
# made, under a table that one did; pg_regress can neither dump that nor restore it on another day.
# With WEBHOOK_ROUTING_UPGRADE_FROM from an older PostgreSQL to this one, as in 001.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $from = $ENV{WEBHOOK_ROUTING_UPGRADE_FROM};
my $node = PostgreSQL::Test::Cluster->new('main', install_path => $from);
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
# Where the dumps go, whose pg_dump makes them too.
my $to = $node;
if ($from)
{
	$to = PostgreSQL::Test::Cluster->new('newer');
	$to->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$to->start;
	$to->safe_psql('postgres', 'CREATE ROLE viewer');
}
my $pg_dump = $to->config_data('--bindir') . '/pg_dump';
my $dir = PostgreSQL::Test::Utils::tempdir();

sub fresh_database
{
	my ($server, $database) = @_;
	$server->safe_psql('postgres', "CREATE DATABASE $database ENCODING 'UTF8' TEMPLATE template0");
	return $database;
}

# What must come through: every row and where it is, every rollup, the key of hashed senders, and
# what the roles may do with it.
my $state = q{
	SET timezone = 'UTC';
	SELECT part, count(*), md5(string_agg(line, E'\n' ORDER BY line)) FROM (
		SELECT 'log ' || tableoid::regclass, l::text FROM webhook_routing_logs l
		UNION ALL SELECT 'pending', p::text FROM webhook_routing_pending p
		UNION ALL SELECT 'rollups', r::text FROM webhook_routing_rollups r
		UNION ALL SELECT 'failed', f::text FROM webhook_routing_failed_messages f
		UNION ALL SELECT 'secrets', s::text FROM webhook_routing_secrets s
		UNION ALL SELECT 'conversations', c::text FROM webhook_routing_conversations c
		UNION ALL SELECT 'partitions', c.relname || pg_get_expr(c.relpartbound, c.oid) || obj_description(c.oid, 'pg_class')
			|| (SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid AND contype <> 'n')
			|| (SELECT string_agg(tgname, ',' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid)
			FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
			WHERE i.inhparent = 'webhook_routing_logs'::regclass
		UNION ALL SELECT 'rights', table_name || privilege_type || coalesce(column_name, '') FROM
			information_schema.column_privileges WHERE grantee = 'viewer' AND table_name = 'webhook_routing_logs'
		) AS all_of_it (part, line)
	GROUP BY part ORDER BY part};

sub state_of
{
	my ($server, $database) = @_;
	return $server->safe_psql($database, $state);
}

fresh_database($node, 'original');
$node->safe_psql('original', <<'SQL');
	CREATE ROLE viewer;
	CREATE EXTENSION webhook_routing;
	SELECT routing_maintain();
	SELECT grant_routing_role('viewer', 'viewer');
	-- Four days back (two get their partition later, two stay in DEFAULT), today, and far ahead.
	INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, from_number,
									  message_id, error_message, created_at, item)
	SELECT 'wa-webhook-jobs', 'jobs', CASE n % 3 WHEN 0 THEN 'unified' ELSE 'legacy' END, 'success', n,
	       '25078800' || n % 100, 'wamid.' || n, CASE WHEN n % 50 = 0 THEN E'a "quote", a\ttab\nand a line' END,
	       now() - (n % 3) * interval '1 day' - n * interval '1 second', n % 2
	  FROM generate_series(1, 3000) n;
	SELECT routing_maintain();
	INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, response_time_ms, created_at)
	SELECT 'wa-webhook', 'legacy', 'error', 10 + n, now() + n * interval '20 days' FROM generate_series(-1, 1, 2) n;
	-- Failed once, so that the next time is no news.
	INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, message_id)
	VALUES ('wa-webhook-jobs', 'jobs', 'legacy', 'error', 'wamid.poison');
	SELECT update_routing_settings('{"hash_senders": true}');
	INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, from_number, message_id)
	SELECT 'wa-webhook', 'legacy', 'success', '25078800' || n, 'wamid.' || n FROM generate_series(1, 20) n;
	SELECT erase_sender('2507880010');
	INSERT INTO webhook_routing_conversations (sender, domain, routed_to, last_at)
	SELECT 'hmac:' || md5(n::text), 'jobs', 'unified', now() - n * interval '1 minute' FROM generate_series(1, 30) n;
	-- Decisions without an outcome, hashed and not: a dump may come when a forwarder has just died.
	INSERT INTO webhook_routing_pending (webhook_name, domain, routed_to, status, from_number, created_at)
	SELECT 'wa-webhook-jobs', 'pending', 'legacy', 'error', '25078800' || n, now() - n * interval '1 minute'
	  FROM generate_series(1, 5) n;
	SELECT store_routing_pending(ARRAY[gen_random_uuid()], ARRAY[now()], '{NULL}', '{1}', '{0}', '{w}', '{pending}',
		'{legacy}', '{NULL}', '{1}', '{NULL}', '{NULL}', '{25078800042}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}',
		'{error}', '{NULL}', '{true}');
SQL
my $expected = state_of($node, 'original');
like($expected, qr/^log webhook_routing_logs_default\|2\|/m, 'there are rows in DEFAULT');
my $partitions = () = $expected =~ /^log webhook_routing_logs_\d{8}\|/mg;
cmp_ok($partitions, '>=', 3, 'and in partitions of days');
like($expected, qr/^rights\|18\|/m, 'and rights on columns');
my $numbers = q{SELECT domain, routed_to, sum(requests), sum(errors), min(first_request), max(last_request),
	latency_sketch_quantile(latency_sketch_agg(latency), 0.95)
	FROM webhook_routing_rollups WHERE domain <> 'pending' GROUP BY 1, 2 ORDER BY 1, 2};
my $statistics = $node->safe_psql('original', $numbers);

sub dump_to
{
	my ($file, @options) = @_;
	# Silent, too: whoever runs it from cron takes a warning for a failure.
	$node->command_checks_all([ $pg_dump, '--file', "$dir/$file", @options, '--dbname', $node->connstr('original') ],
		0, [qr/^$/], [qr/^$/], "pg_dump @options");
}
dump_to('plain.sql');
dump_to('inserts.sql', '--column-inserts');
dump_to('custom.dump', '--format=custom');

# restored NAME, SERVER, DATABASE, DAYS: nothing lost, nothing doubled, and it goes on from there.
sub restored
{
	my ($name, $server, $database, $days) = @_;
	is(state_of($server, $database), $expected, "$name: all is as it was");
	is($server->safe_psql($database, $numbers), $statistics, "$name: the statistics are equal");

	# What was pending ends in the log, unless the log keeps no row of its time any more.
	my $settled = $days < 10 ? 6 : 0;
	my $rows = $server->safe_psql($database, 'SELECT count(*) FROM webhook_routing_logs');
	$server->safe_psql($database, "UPDATE webhook_routing_pending SET stored_at = now() - interval '2 minutes'");
	my $done = $server->safe_psql($database, 'SELECT * FROM routing_maintain()');
	like($done, qr/^created\|/m, "$name: new days are made") if $days > 0;
	unlike($done, qr/postponed|busy/, "$name: nothing is put off");
	like($done, $settled > 0 ? qr/^stored\|webhook_routing_logs\|6 rows from webhook_routing_pending/m
			: qr/^deleted\|webhook_routing_pending\|6 rows/m, "$name: what was pending is settled");
	is($server->safe_psql($database, q{SELECT count(*), count(*) FILTER (WHERE from_number LIKE 'hmac:%' AND ambiguous),
			(SELECT count(*) FROM webhook_routing_pending),
			(SELECT coalesce(sum(requests), 0) FROM webhook_routing_rollups WHERE domain = 'pending')
			FROM webhook_routing_logs WHERE domain = 'pending'}),
		"$settled|$settled|0|$settled", "$name: each row once, hashed, counted");
	is($server->safe_psql($database, 'SELECT count(*) FROM webhook_routing_logs'), $rows + $settled,
		"$name: no other row came or went") if $days < 10;
	is($server->safe_psql($database, $numbers), $statistics, "$name: and none was counted again");

	# A batch that was stored before the dump is known after it.
	is($server->safe_psql($database, q{
			WITH batch AS (SELECT * FROM webhook_routing_logs WHERE created_at > now() - interval '20 days' LIMIT 500)
			SELECT store_routing_logs(array_agg(id), array_agg(created_at), array_agg(decision_id), array_agg(attempt),
				array_agg(item), array_agg(webhook_name), array_agg(domain), array_agg(routed_to), array_agg(reason),
				array_agg(bucket), array_agg(percentage), array_agg(config_version), array_agg(from_number),
				array_agg(message_id), array_agg(message_type), array_agg(correlation_id), array_agg(http_status),
				array_agg(response_time_ms), array_agg(status), array_agg(error_message), array_agg(ambiguous))
			  FROM batch HAVING count(*) > 0}), '0', "$name: a batch is not stored twice") if $days < 10;
	is($server->safe_psql($database, q{
			INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, from_number)
			VALUES ('wa-webhook', 'legacy', 'success', '25078800042')
			RETURNING tableoid::regclass::text ~ '_[0-9]{8}$', from_number = routing_sender_hash('25078800042')}),
		't|t', "$name: a new row finds its day and is hashed with the same key");
	is($server->safe_psql($database, "SELECT request_count FROM webhook_routing_stats WHERE domain = 'unknown'") > 0, 1,
		"$name: and is counted");
}

sub restore_plain
{
	my ($server, $database, $file, @options) = @_;
	fresh_database($server, $database);
	$server->command_ok(
		[ 'psql', '--no-psqlrc', '--quiet', @options, '--set=ON_ERROR_STOP=1', '--file', "$dir/$file",
			'--dbname', $server->connstr($database) ], "restore of $file @options");
}

restore_plain($to, 'plain', 'plain.sql', '--single-transaction');
restored('one transaction', $to, 'plain', 0);
restore_plain($to, 'separate', 'plain.sql');
restored('a transaction per command', $to, 'separate', 0);
restore_plain($to, 'inserts', 'inserts.sql', '--single-transaction');
restored('as INSERTs', $to, 'inserts', 0);
fresh_database($to, 'parallel');
$to->command_ok([ 'pg_restore', '--exit-on-error', '--jobs=3', '--dbname', $to->connstr('parallel'),
		"$dir/custom.dump" ], 'pg_restore --jobs=3');
restored('in parallel', $to, 'parallel', 0);

# On another day: soon after, and so late that everything but the days ahead has expired.
SKIP:
{
	my ($library) = grep { -e } glob('/usr/lib/*/faketime/libfaketime.so.1 /usr/lib64/faketime/libfaketime.so.1');
	skip 'libfaketime is not installed', 2 unless $library;
	foreach my $days (3, 45)
	{
		my $other = PostgreSQL::Test::Cluster->new("in$days");
		$other->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
		{
			local $ENV{LD_PRELOAD} = $library;
			local $ENV{FAKETIME} = "+${days}d";
			$other->start;
		}
		my $ahead = $other->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())::bigint') - time();
		cmp_ok($ahead / 86400, '>', $days - 0.1, "the server's clock is $days days ahead");
		$other->safe_psql('postgres', 'CREATE ROLE viewer');
		restore_plain($other, 'restored', 'plain.sql', '--single-transaction');
		restored("$days days later", $other, 'restored', $days);
		is($other->safe_psql('restored', q{SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
				WHERE inhparent = 'webhook_routing_logs'::regclass
				AND relname < to_char(now() - interval '31 days', '"webhook_routing_logs_"YYYYMMDD')}),
			'0', "$days days later: what has expired is gone");
		$other->stop('immediate');
	}
}

# pg_upgrade keeps the tables' files and takes the catalog from a dump.
my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
# From 18 on initdb wants checksums, which an older cluster need not have; pg_upgrade wants them alike.
my @checksums = $upgraded->pg_version >= 18 && $node->pg_version < 18 ? '--no-data-checksums' : ();
$upgraded->init(extra => [ '--encoding=UTF8', '--locale=C', @checksums ]);
$to->safe_psql('postgres', "DROP DATABASE $_") for qw(plain separate inserts parallel);
$node->stop;
my ($old, $new) = map { $_->config_data('--bindir') } $node, $upgraded;
chdir $dir or die;
command_ok(
	[ 'pg_upgrade', '--no-sync', '--old-datadir', $node->data_dir, '--new-datadir', $upgraded->data_dir,
		'--old-bindir', $old, '--new-bindir', $new, '--old-port', $node->port, '--new-port', $upgraded->port,
		'--socketdir', $node->host ], 'pg_upgrade from ' . $node->pg_version . ' to ' . $upgraded->pg_version);
$upgraded->start;
restored('upgraded', $upgraded, 'original', 0);
$upgraded->stop;

done_testing();
