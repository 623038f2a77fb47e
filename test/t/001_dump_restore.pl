# SPDX-License-Identifier: PostgreSQL
#
# What a dump carries. pg_regress cannot run pg_dump, restore on another day, or upgrade a cluster.
# WEBHOOK_ROUTING_UPGRADE_FROM may name the folder of an older PostgreSQL where the extension is installed too:
# then everything is dumped from that one, restored into this one, and upgraded to it.
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
}
my $pg_dump = $to->config_data('--bindir') . '/pg_dump';

# Everything the dump must carry, as one digest for each table.
my $state = q{
	SELECT part, count(*), md5(string_agg(line, E'\n' ORDER BY line)) FROM (
		SELECT 1, lpad(version::text, 5) || c::text FROM webhook_routing_config c
		UNION ALL SELECT 2, t::text FROM webhook_routing_targets t
		UNION ALL SELECT 3, d::text FROM webhook_routing_domains d
		UNION ALL SELECT 4, k::text FROM webhook_routing_keywords k) AS all_of_it (part, line)
	GROUP BY part ORDER BY part};
my $message = '{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":'
  . '{"messages":[{"from":"250788000001","id":"wamid.1","type":"text","text":{"body":"I need a visa"}}]}}]}]}';

sub state_of
{
	my ($server, $database) = @_;
	return $server->safe_psql($database, $state);
}

sub fresh_database
{
	my ($server, $database) = @_;
	$server->safe_psql('postgres', "CREATE DATABASE $database ENCODING 'UTF8' TEMPLATE template0");
	return $database;
}

$node->safe_psql('postgres', "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
my ($refused, $nothing, $because) = $node->psql('latin', 'CREATE EXTENSION webhook_routing');
like($because, qr/needs a database in UTF8, not in LATIN1/, 'another encoding is refused');
$node->safe_psql('postgres', 'DROP DATABASE latin');

fresh_database($node, 'original');
$node->safe_psql('original', <<'SQL');
	CREATE EXTENSION webhook_routing;
	SELECT update_routing_percentage(10, 'first'), set_routing_enabled(true, 'go');
	-- Seeds edited, seeds disabled, rows of our own, and one that reads like a seed.
	INSERT INTO webhook_routing_targets (name, url) VALUES ('wa-webhook-travel', 'https://functions.example.org/t');
	INSERT INTO webhook_routing_domains (domain, legacy_target, priority) VALUES ('travel', 'wa-webhook-travel', 5);
	INSERT INTO webhook_routing_keywords (domain, pattern) VALUES ('travel', 'visa'), ('travel', 'jobs');
	UPDATE webhook_routing_keywords SET match = 'word' WHERE domain = 'jobs' AND pattern = 'work';
	UPDATE webhook_routing_keywords SET enabled = false WHERE domain = 'property' AND pattern = 'house';
	UPDATE webhook_routing_targets SET url = 'https://functions.example.org/jobs', timeout_ms = 5000 WHERE name = 'wa-webhook-jobs';
	UPDATE webhook_routing_domains SET percentage = 7.5 WHERE domain = 'marketplace';
	-- A history that today's rules would refuse: jobs was enrolled once, and is protected now.
	SELECT set_routing_domains('{travel}');
	UPDATE webhook_routing_domains SET protected = true WHERE domain = 'jobs';
	SELECT update_routing_settings('{"hash_salt": 42, "log_retention": "90 days"}', E'notes with "quotes",\ttabs\nand lines');
	SELECT update_routing_percentage(100);
SQL
# Rows that are not stored in the order of their versions: a change that was rolled back leaves room
# before the next one, and VACUUM gives it to the one after that.
$node->safe_psql('original', "BEGIN; SELECT update_routing_percentage(1); ROLLBACK");
$node->safe_psql('original', "SELECT update_routing_percentage(99)");
$node->safe_psql('original', "VACUUM webhook_routing_config");
$node->safe_psql('original', "SELECT update_routing_percentage(98)");
isnt($node->safe_psql('original', "SELECT string_agg(version::text, ' ' ORDER BY ctid) FROM webhook_routing_config"),
	$node->safe_psql('original', "SELECT string_agg(version::text, ' ' ORDER BY version) FROM webhook_routing_config"),
	'the history is not stored in its order');
my $expected = state_of($node, 'original');
my $decision = $node->safe_psql('original', "SELECT * FROM route_decide('$message')");
like($decision, qr/travel/, 'the original decides by its own rules');

my $dir = PostgreSQL::Test::Utils::tempdir();
sub dump_to
{
	my ($file, @options) = @_;
	$node->command_ok([ $pg_dump, '--file', "$dir/$file", @options, '--dbname', $node->connstr('original') ],
		"pg_dump @options");
}
dump_to('plain.sql');
dump_to('inserts.sql', '--column-inserts');
dump_to('custom.dump', '--format=custom');
dump_to('data.sql', '--data-only', '--exclude-table-data=webhook_routing_logs*');

unlike(slurp_file("$dir/plain.sql"), qr/^00000000-0000-4000-8000-000000000001\t/m, 'the seed config row is not dumped');
unlike(slurp_file("$dir/plain.sql"), qr/^property\tkeyword\trent\t/m, 'an untouched seed is not dumped');
like(slurp_file("$dir/plain.sql"), qr/^property\tkeyword\thouse\t/m, 'a disabled seed is dumped');

# restored NAME, DATABASE: the database is what the original is, and goes on from there
sub restored
{
	my ($server, $database, $name) = @_;
	is(state_of($server, $database), $expected, "$name: config, history and rules are the same");
	is($server->safe_psql($database, "SELECT * FROM route_decide('$message')"), $decision, "$name: it decides the same");
	is($server->safe_psql($database, q{
			SELECT n.version - max(c.version), n.created_at > max(c.created_at)
			  FROM webhook_routing_config c, update_routing_percentage(50) n GROUP BY n.version, n.created_at}),
		'1|t', "$name: the next change follows");
}

sub restore_plain
{
	my ($server, $database, $file, @options) = @_;
	$server->command_ok(
		[ 'psql', '--no-psqlrc', '--quiet', @options, '--set=ON_ERROR_STOP=1', '--file', "$dir/$file",
			'--dbname', $server->connstr($database) ], "restore of $file @options");
}

restore_plain($to, fresh_database($to, 'plain'), 'plain.sql', '--single-transaction');
restored($to, 'plain', 'one transaction');
restore_plain($to, fresh_database($to, 'separate'), 'plain.sql');
restored($to, 'separate', 'a transaction per command');
restore_plain($to, fresh_database($to, 'inserts'), 'inserts.sql', '--single-transaction');
restored($to, 'inserts', 'as INSERTs');
$to->command_ok([ 'pg_restore', '--exit-on-error', '--jobs=3', '--dbname',
		$to->connstr(fresh_database($to, 'parallel')), "$dir/custom.dump" ], 'pg_restore --jobs=3');
restored($to, 'parallel', 'in parallel');
fresh_database($to, 'data');
$to->safe_psql('data', 'CREATE EXTENSION webhook_routing');
restore_plain($to, 'data', 'data.sql', '--single-transaction');
restored($to, 'data', 'data alone');

# A database that has a history of its own is not mixed with another.
fresh_database($to, 'used');
$to->safe_psql('used', 'CREATE EXTENSION webhook_routing; SELECT update_routing_percentage(1)');
my $before = state_of($to, 'used');
my ($status, $out, $err) = $to->psql('used', slurp_file("$dir/data.sql"),
	extra_params => [ '--single-transaction' ], on_error_stop => 1);
isnt($status, 0, 'a restore over another history fails');
like($err, qr/does not follow version 2/, 'and says why');
is(state_of($to, 'used'), $before, 'and leaves it as it was');

# A dump of the restored database says the same as the dump that made it.
$to->command_ok([ $pg_dump, '--file', "$dir/again.sql", '--dbname', $to->connstr('separate') ], 'pg_dump again');
fresh_database($to, 'again');
restore_plain($to, 'again', 'again.sql', '--single-transaction');
is(state_of($to, 'again'), state_of($to, 'separate'), 'a second generation is the same');

# On another day, also on an earlier one than the history's: only a clock that can be set shows that.
SKIP:
{
	my ($library) = grep { -e } glob('/usr/lib/*/faketime/libfaketime.so.1 /usr/lib64/faketime/libfaketime.so.1');
	skip 'libfaketime is not installed', 10 unless $library;
	foreach my $offset ('+400d', '-400d')
	{
		my $other = PostgreSQL::Test::Cluster->new("day$offset");
		$other->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
		{
			local $ENV{LD_PRELOAD} = $library;
			local $ENV{FAKETIME} = $offset;
			$other->start;
		}
		my $days = $other->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())::bigint') - time();
		ok(abs($days / 86400) > 399, "the server's clock is $offset");
		restore_plain($other, fresh_database($other, 'restored'), 'plain.sql', '--single-transaction');
		restored($other, 'restored', "at $offset");
		$other->stop('immediate');
	}
}

# pg_upgrade keeps the tables' files and takes the catalog from a dump.
my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
# From 18 on initdb wants checksums, which an older cluster need not have; pg_upgrade wants them alike.
my @checksums = $upgraded->pg_version >= 18 && $node->pg_version < 18 ? '--no-data-checksums' : ();
$upgraded->init(extra => [ '--encoding=UTF8', '--locale=C', @checksums ]);
$node->stop;
my ($old, $new) = map { $_->config_data('--bindir') } $node, $upgraded;
chdir $dir or die;
command_ok(
	[ 'pg_upgrade', '--no-sync', '--old-datadir', $node->data_dir, '--new-datadir', $upgraded->data_dir,
		'--old-bindir', $old, '--new-bindir', $new, '--old-port', $node->port, '--new-port', $upgraded->port,
		'--socketdir', $node->host ], 'pg_upgrade from ' . $node->pg_version . ' to ' . $upgraded->pg_version);
$upgraded->start;
restored($upgraded, 'original', 'upgraded');
$upgraded->stop;

done_testing();
