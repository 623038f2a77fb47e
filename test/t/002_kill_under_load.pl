# SPDX-License-Identifier: PostgreSQL
#
# The kill switch under load. Eight sessions decide without pause while routing is switched off and on
# again; each decision is stored with the time at which it began. No decision that began after the
# COMMIT of a switch had been acknowledged may follow the rules from before. Isolation tests show the
# order of single steps; this shows that no interleaving escapes.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rounds = ($ENV{LONG} // '') eq 'true' ? 200 : 20;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\nsynchronous_commit = off\nmax_connections = 30");
$node->start;
$node->safe_psql('postgres', <<'SQL');
	CREATE EXTENSION webhook_routing;
	SELECT update_routing_percentage(100), set_routing_enabled(true);
	CREATE UNLOGGED TABLE decisions (began timestamptz, routed_to text, reason text, config_version bigint, isolation text);
	CREATE FUNCTION decide_many(body text, times integer) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		began timestamptz;
		d     record;
	BEGIN
		FOR i IN 1 .. times LOOP
			began := clock_timestamp();
			SELECT * INTO d FROM route_decide(convert_to(body, 'UTF8'));
			INSERT INTO decisions VALUES (began, d.routed_to, d.reason, d.config_version, current_setting('transaction_isolation'));
		END LOOP;
	END $$;
SQL

my $body = '{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":{"messages":'
  . '[{"from":"250788000001","id":"wamid.1","type":"text","text":{"body":"I am looking for a job"}}]}}]}]}';
my $script = PostgreSQL::Test::Utils::tempdir() . '/decide.sql';
# Long transactions on purpose: their decisions must follow too, with whatever snapshot they run.
append_to_file($script, "\\set level random(1, 2)\n\\if :level = 1\nBEGIN ISOLATION LEVEL REPEATABLE READ;\n\\else\nBEGIN;\n\\endif\n"
	  . "SELECT decide_many('$body', 200);\nCOMMIT;\n");
my ($pgbench_out, $pgbench_err) = ('', '');
my $pgbench = IPC::Run::start(
	[ 'pgbench', '--no-vacuum', '--client=8', '--jobs=2', "--time=3600", '--file', $script, $node->connstr('postgres') ],
	'>', \$pgbench_out, '2>', \$pgbench_err);
$node->poll_query_until('postgres', 'SELECT count(*) > 1000 AND count(DISTINCT isolation) = 2 FROM decisions')
  or die "pgbench does not decide: $pgbench_err";

my @switches;
my $operator = $node->background_psql('postgres');
$operator->query_safe('SET client_min_messages = warning');    # whatever it says counts as a failure
foreach my $round (1 .. $rounds)
{
	foreach my $enabled ('false', 'true')
	{
		usleep(30_000);
		# The second statement begins after the first one's COMMIT was acknowledged.
		my $version = $operator->query_safe("SELECT version FROM set_routing_enabled($enabled)");
		my $acknowledged = $operator->query_safe('SELECT clock_timestamp()');
		push @switches, [ $version, $enabled, $acknowledged ];
	}
}
my $last = $operator->query_safe("SELECT version FROM set_routing_enabled(false, 'the end')");
my $end = $operator->query_safe('SELECT clock_timestamp()');
# A transaction is seen when it has taken all of its decisions.
$node->poll_query_until('postgres', "SELECT count(*) > 2000 FROM decisions WHERE began > '$end'")
  or die "pgbench decides no more: $pgbench_err";
$operator->quit;
$pgbench->signal('TERM'); # INT is ignored below a shell's background job
$pgbench->finish;

$node->safe_psql('postgres', 'CREATE TABLE switches (version bigint, enabled boolean, acknowledged timestamptz)');
$node->safe_psql('postgres', "INSERT INTO switches VALUES " . join(',', map { "($_->[0], $_->[1], '$_->[2]')" } @switches));

my $total = $node->safe_psql('postgres', 'SELECT count(*) FROM decisions');
cmp_ok($total, '>', 1000, "$total decisions were taken");
is($node->safe_psql('postgres', q{
		SELECT string_agg(DISTINCT isolation, ', ' ORDER BY isolation) FROM decisions}),
	'read committed, repeatable read', 'under both isolation levels');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM decisions WHERE routed_to = '$_'"), '>', 100, "many were $_")
  foreach ('unified', 'legacy');
is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM decisions WHERE began > '$end' AND (routed_to <> 'legacy' OR config_version <> $last)}),
	'0', 'after the last switch nothing was unified');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM decisions WHERE began > '$end'"), '>', 100, 'though many were decided then');
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM decisions d
		 WHERE d.config_version < (SELECT max(s.version) FROM switches s WHERE s.acknowledged < d.began)}),
	'0', 'no decision used rules that had been replaced before it began');
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM decisions d JOIN switches s ON s.version = d.config_version
		 WHERE (d.routed_to = 'unified') <> s.enabled}),
	'0', 'each decision is what its config version says');
$node->stop;

done_testing();
