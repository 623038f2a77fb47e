# SPDX-License-Identifier: PostgreSQL
#
# A rollout that many sessions push at once moves one step, and one that is dumped half way goes on
# where it was. pg_regress has one session, cannot run pg_dump, and knows one clock.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "max_connections = 60\nclient_min_messages = warning");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

sub fresh_database
{
	my ($server, $database) = @_;
	$server->safe_psql('postgres', "CREATE DATABASE $database ENCODING 'UTF8' TEMPLATE template0");
	return $database;
}

# A step that began in the past, as a dump brings it, with traffic.
sub rollout_at
{
	my ($database, $percentage, $ago) = @_;
	$node->safe_psql($database, <<"SQL");
	SET search_path = '';
	INSERT INTO public.webhook_routing_config
	SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'percentage', $percentage,
		'enabled', true, 'created_at', m.moment, 'updated_at', m.moment, 'version', c.version + 1,
		'notes', 'as planned', 'change', 'restored'))).*
	  FROM public.webhook_routing_config c, (SELECT now() - interval '$ago' AS moment) m ORDER BY c.version DESC LIMIT 1;
	RESET search_path;
	INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, config_version)
	SELECT 'w', 'jobs', 'unified', 'success', 50, version FROM generate_series(1, 60), get_current_routing_config();
SQL
}

# Twenty sessions that send the same command at the same moment. Returns what each of them got.
sub all_at_once
{
	my ($database, $command) = @_;
	my $moment = $node->safe_psql($database, "SELECT clock_timestamp() + interval '4 seconds'");
	my (@sessions, @said);
	foreach my $number (1 .. 20)
	{
		my ($in, $out) = ("SELECT pg_sleep(extract(epoch FROM '$moment'::timestamptz - clock_timestamp()));\n"
			  . "\\set VERBOSITY verbose\n" . $command =~ s/NUMBER/$number/r . "\n", '');
		push @said, \$out;
		push @sessions, IPC::Run::start(
			[ 'psql', '--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '--dbname', $node->connstr($database) ],
			'<', \$in, '>', \$out, '2>', \$out);
	}
	foreach my $session (@sessions)
	{
		$session->finish;
	}
	return map { $$_ =~ s/^\n//r } @said;
}

fresh_database($node, 'crowd');
$node->safe_psql('crowd', 'CREATE EXTENSION webhook_routing');
rollout_at('crowd', 10, '5 hours');
$node->safe_psql('crowd', "SELECT rollout_evaluate('proceed', 'go')");
my @got = all_at_once('crowd', "SELECT 'moved to ' || percentage FROM rollout_advance('session NUMBER');");
is(scalar(grep { /^moved to 25.00$/m } @got), 1, 'of twenty advances one moves the rollout');
# Who waited a second for the others is told so; that is no fault of the rollout.
is(scalar(grep { /ERROR:  (WR104: the soak of 25.00 % is not over|WR109|55P03)/ } @got), 19, 'the others are refused')
  or diag(@got);
is($node->safe_psql('crowd', "SELECT max(version), max(percentage), count(*) FILTER (WHERE notes LIKE 'session %')
	FROM webhook_routing_config"), '3|25.00|1', 'one config row is new');

@got = all_at_once('crowd', "SELECT 'moved to ' || percentage FROM rollout_advance('session NUMBER', force => true);");
my $moved = grep { /^moved to / } @got;
cmp_ok($moved, '>=', 1, 'of twenty forced advances one goes through');
is(scalar(grep { /ERROR:  (WR109|55P03|WR102)/ } @got), 20 - $moved, 'and none that has waited behind another')
  or diag(@got);
is($node->safe_psql('crowd', "SELECT count(*) FROM webhook_routing_config WHERE change ~ 'forced past soak'"), $moved,
	'and each that went through says what it passed');
my ($top) = $node->safe_psql('crowd', 'SELECT percentage FROM get_current_routing_config()');
note("$moved forced advances went through one after the other, to $top %");

# ---- half way ----

fresh_database($node, 'original');
$node->safe_psql('original', 'CREATE EXTENSION webhook_routing');
rollout_at('original', 10, '9 hours');
$node->safe_psql('original', <<'SQL');
	SET search_path = '';
	INSERT INTO public.webhook_routing_evaluations (created_at, created_by, verdict, notes, config_version, step,
		percentage, severity, health)
	VALUES (now() - interval '6 hours', 'alice as operator', 'proceed', E'a "note",\twith a tab\nand a line', 2, 1, 10,
			'healthy', '[{"domain": "jobs", "routed_to": "unified", "severity": "healthy"}]');
SQL
rollout_at('original', 25, '5 hours');
$node->safe_psql('original', <<'SQL');
	-- The plan: a step changed, one passed over, one of our own, one changed and changed back.
	UPDATE webhook_routing_plan SET soak = '10 hours', notes = 'carefully' WHERE percentage = 25;
	UPDATE webhook_routing_plan SET enabled = false WHERE percentage = 35;
	INSERT INTO webhook_routing_plan (percentage, soak, notes) VALUES (60, '1 day', 'a step of our own');
	UPDATE webhook_routing_plan SET soak = '1 hour' WHERE percentage = 75;
	UPDATE webhook_routing_plan SET soak = '48 hours' WHERE percentage = 75;
	SELECT rollout_evaluate('hold', 'a deployment');
	INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms, config_version)
	SELECT 'w', 'property', 'unified', CASE n WHEN 1 THEN 'error' ELSE 'success' END, 50, 3 FROM generate_series(1, 100) n;
	SELECT rollout_evaluate('proceed', 'one timeout, known');
SQL

# All that a rollout goes on with, but for what the clock says.
my $state = q{
	SELECT 'plan ' || p FROM (SELECT * FROM webhook_routing_plan ORDER BY percentage) p
	UNION ALL SELECT 'evaluation ' || e FROM (SELECT * FROM webhook_routing_evaluations ORDER BY created_at) e
	UNION ALL SELECT 'history ' || h FROM webhook_routing_history h
	UNION ALL SELECT 'step ' || s FROM webhook_routing_rollout_step() s
	UNION ALL SELECT format('gate %s %s %s', g.gate, g.is_open, CASE g.gate WHEN 'soak' THEN '' ELSE g.state END)
		FROM webhook_routing_gates() g};
my $left = q{SELECT round(extract(epoch FROM began + soak - clock_timestamp())) FROM webhook_routing_rollout_step()};
my $expected = $node->safe_psql('original', $state);
my $soak = $node->safe_psql('original', $left);
my $at = time();
like($expected, qr/^gate warnings t judged: property$/m, 'the warning has been judged');
like($expected, qr/^gate soak f/m, 'the soak is not over');
cmp_ok($soak, '>', 4.9 * 3600, 'and lasts for hours');
unlike($expected, qr/^gate (?!soak).* f /m, 'everything else is open');

sub dump_to
{
	my ($file, @options) = @_;
	$node->command_checks_all([ 'pg_dump', '--file', "$dir/$file", @options, '--dbname', $node->connstr('original') ],
		0, [qr/^$/], [qr/^$/], "pg_dump @options");
}
dump_to('plain.sql');
dump_to('inserts.sql', '--column-inserts');
dump_to('custom.dump', '--format=custom');
dump_to('data.sql', '--data-only');
unlike(slurp_file("$dir/plain.sql"), qr/^50\.00\t24:00:00\t/m, 'an untouched step is not dumped');
like(slurp_file("$dir/plain.sql"), qr/^35\.00\t06:00:00\tf\t/m, 'a step that is passed over is');

sub restore_plain
{
	my ($server, $database, $file, @options) = @_;
	$server->command_ok(
		[ 'psql', '--no-psqlrc', '--quiet', @options, '--set=ON_ERROR_STOP=1', '--file', "$dir/$file",
			'--dbname', $server->connstr($database) ], "restore of $file @options");
}

# continues NAME, SERVER, DATABASE, AHEAD: the rollout is where it was, AHEAD seconds later, and goes on
sub continues
{
	my ($name, $server, $database, $ahead) = @_;
	is($server->safe_psql($database, $state), $expected, "$name: plan, evaluations, history, step and gates are the same");
	my $remaining = $server->safe_psql($database, $left);
	cmp_ok(abs($soak - $remaining - $ahead - (time() - $at)), '<=', 20, "$name: so is what is left of the soak");
	my ($status, $out, $err) = $server->psql($database, "SELECT rollout_advance('too early')");
	like($err, qr/the soak of 25.00 % is not over/, "$name: it is too early there, too");
	is($server->safe_psql($database, q{
			UPDATE webhook_routing_plan SET soak = '5 hours' WHERE percentage = 25;
			SELECT version, percentage, change FROM rollout_advance('after the restore')}),
		'10|50.00|percentage 25.00 -> 50.00', "$name: then the next step of the plan follows");
	is($server->safe_psql($database, q{
			SELECT percentage FROM rollout_back('and back');
			UPDATE webhook_routing_plan SET enabled = true WHERE percentage = 35;
			SELECT count(*), count(*) FILTER (WHERE enabled) FROM webhook_routing_plan;
			SELECT step, steps, former, next FROM webhook_routing_rollout_step()}),
		"25.00\n7|7\n2|7|10.00|35.00", "$name: and the plan can be edited");
}

restore_plain($node, fresh_database($node, 'plain'), 'plain.sql', '--single-transaction');
continues('one transaction', $node, 'plain', 0);
restore_plain($node, fresh_database($node, 'separate'), 'plain.sql');
continues('a transaction per command', $node, 'separate', 0);
restore_plain($node, fresh_database($node, 'inserts'), 'inserts.sql', '--single-transaction');
continues('as INSERTs', $node, 'inserts', 0);
$node->command_ok([ 'pg_restore', '--exit-on-error', '--jobs=3', '--dbname',
		$node->connstr(fresh_database($node, 'parallel')), "$dir/custom.dump" ], 'pg_restore --jobs=3');
continues('in parallel', $node, 'parallel', 0);

fresh_database($node, 'data');
$node->safe_psql('data', 'CREATE EXTENSION webhook_routing');
restore_plain($node, 'data', 'data.sql', '--single-transaction');
continues('data alone', $node, 'data', 0);

# A second generation: what was restored is dumped and restored again.
fresh_database($node, 'second');
restore_plain($node, 'second', 'plain.sql');
$node->command_ok([ 'pg_dump', '--file', "$dir/again.sql", '--dbname', $node->connstr('second') ], 'pg_dump again');
restore_plain($node, fresh_database($node, 'again'), 'again.sql');
continues('a second generation', $node, 'again', 0);

# An hour and a half later, in another cluster: the time between counts.
SKIP:
{
	my ($library) = grep { -e } glob('/usr/lib/*/faketime/libfaketime.so.1 /usr/lib64/faketime/libfaketime.so.1');
	skip 'libfaketime is not installed', 6 unless $library;
	my $other = PostgreSQL::Test::Cluster->new('later');
	$other->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$other->append_conf('postgresql.conf', 'client_min_messages = warning');
	{
		local $ENV{LD_PRELOAD} = $library;
		local $ENV{FAKETIME} = '+90m';
		$other->start;
	}
	restore_plain($other, fresh_database($other, 'restored'), 'plain.sql', '--single-transaction');
	continues('90 minutes later', $other, 'restored', 5400);
	$other->stop('immediate');
}

$node->stop;
done_testing();
