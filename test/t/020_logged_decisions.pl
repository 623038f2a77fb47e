# SPDX-License-Identifier: PostgreSQL
#
# Logged decisions come out the same when they are made again long after: 100,000 of them, of every
# fixture, under many config versions and rules, and once more in a database restored from a dump.
# Takes fixtures from files and pg_dump, which pg_regress does not have.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use LoggedDecisions;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "log_statement = none\nfsync = off");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

LoggedDecisions::prepare($node);
cmp_ok(sql('SELECT count(*) FROM payloads'), '>', 100, 'the fixtures are there');

# Each round of decisions is made under what the statements before it have left.
my @rounds = (
	"SELECT update_routing_percentage(10), set_routing_enabled(true)",
	"SELECT update_routing_percentage(35)",
	"UPDATE webhook_routing_domains SET percentage = 20 WHERE domain = 'jobs'",
	"INSERT INTO webhook_routing_keywords (domain, pattern, match) VALUES ('marketplace', 'job', 'prefix'), ('property', 'shop', 'prefix')",
	"UPDATE webhook_routing_domains SET priority = 1 WHERE domain = 'marketplace'",
	"INSERT INTO webhook_routing_targets (name) VALUES ('wa-webhook-travel'); INSERT INTO webhook_routing_domains
	 (domain, legacy_target, percentage) VALUES ('travel', 'wa-webhook-travel', 80); INSERT INTO webhook_routing_keywords (domain, pattern)
	 VALUES ('travel', 'house'); SELECT set_routing_domains('{jobs,travel,property}')",
	"UPDATE webhook_routing_domains SET protected = true WHERE domain = 'marketplace'",
	"SELECT update_routing_settings('{\"hash_salt\": 4711}'), update_routing_percentage(75)",
	"UPDATE webhook_routing_domains SET enabled = false WHERE domain = 'travel'",
	"SELECT set_routing_enabled(false)",
	"SELECT set_routing_enabled(true), update_routing_percentage(100)",
	# A function that is gone; the gate before it has tests of its own.
	"SET session_replication_role = replica; UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-property';
	 SET session_replication_role = origin; SELECT set_routing_enabled(false)",
	"INSERT INTO webhook_routing_targets (name) VALUES ('wa-webhook-next'), ('wa-webhook-entry');
	 SELECT update_routing_settings('{\"unified_webhook\": \"wa-webhook-next\", \"default_webhook\": \"wa-webhook-entry\"}'), set_routing_enabled(true)");
my $stored = 0;
for my $round (0 .. $#rounds)
{
	sql($rounds[$round]);
	$stored += sql("SELECT record_decisions($round, 62)");
}
cmp_ok($stored, '>=', 100_000, "decisions were logged: $stored");
is(sql("SELECT count(*) FROM webhook_routing_logs WHERE domain <> 'unknown' AND reason IS NULL"), 0, 'all have a reason');
my $reasons = sql("SELECT string_agg(DISTINCT reason, ' ' ORDER BY reason) FROM webhook_routing_logs");
like($reasons, qr/\b$_\b/, "$_ among them")
  for qw(disabled in_percentage legacy_retired malformed mixed_batch no_sender not_enrolled not_whatsapp other_field
  out_of_percentage protected status unknown_domain);

# Later changes do not reach back.
sql("DELETE FROM webhook_routing_keywords WHERE domain = 'travel'; UPDATE webhook_routing_keywords SET enabled = false WHERE domain = 'jobs'");
sql("UPDATE webhook_routing_domains SET percentage = 1 WHERE domain = 'property'; SELECT update_routing_settings('{\"hash_salt\": 1}')");
sql("SELECT set_routing_domains('{}'), update_routing_percentage(0), set_routing_enabled(false)");

my $audit = q{SELECT item, domain, config_version, difference FROM verify_routing_decisions(NULL)};
is(sql($audit), '', 'all of them come out the same again');
is(sql(q{SELECT outcome, count(*) FROM ((SELECT DISTINCT decision_id FROM webhook_routing_logs WHERE item = 1 ORDER BY 1 LIMIT 60)
		UNION (SELECT decision_id FROM webhook_routing_logs TABLESAMPLE bernoulli (1) REPEATABLE (1) LIMIT 100)) AS sample (id),
		route_explain(id) WHERE name = 'reproduced' AND outcome <> 'yes' GROUP BY outcome}),
	'', 'explained one by one, they say so as well');

# A rollback takes its version with it: what that version was here must not be remembered.
my $told = sql(q{BEGIN; SELECT update_routing_percentage(77); SELECT percentage FROM webhook_routing_decide_again(
		(get_current_routing_config()).version, 'unknown', NULL, 'status'); ROLLBACK; SELECT update_routing_percentage(66);
	SELECT percentage FROM webhook_routing_decide_again((get_current_routing_config()).version, 'unknown', NULL, 'status')});
is(join(' ', $told =~ /^(\d+\.\d+)\r?\n?/mg), '77.00 66.00', 'a version that was rolled back and given anew is the new one');

# The history of the rules is in the dump.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $digest = "SELECT count(*), md5(string_agg(r::text, E'\\n' ORDER BY r.config_version)) FROM webhook_routing_rulesets r";
cmp_ok((split /\|/, sql($digest))[0], '>=', 10, 'the rules were kept whenever they changed');
is(sql("SELECT count(*) - count(DISTINCT rules) FROM (SELECT rules, lag(rules) OVER (ORDER BY config_version) AS former
	FROM webhook_routing_rulesets) AS kept WHERE rules = former"), 0, 'and only then');
$node->command_ok([ 'pg_dump', '--file', "$dir/all.sql", '--exclude-table=payloads', '--exclude-table=posts', '--dbname', $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', "CREATE DATABASE restored ENCODING 'UTF8' TEMPLATE template0");
$node->command_ok([ 'psql', '--no-psqlrc', '--quiet', '--single-transaction', '--set=ON_ERROR_STOP=1', '--file', "$dir/all.sql",
		'--dbname', $node->connstr('restored') ], 'restore');
is($node->safe_psql('restored', $digest), sql($digest), 'the history of the rules is the same');
is($node->safe_psql('restored', $audit), '', 'and all decisions come out the same there');
$node->safe_psql('restored', "UPDATE webhook_routing_domains SET priority = 33 WHERE domain = 'property'");
is($node->safe_psql('restored', 'SELECT count(*) FROM webhook_routing_rulesets'), 1 + (split /\|/, sql($digest))[0],
	'the next change of a rule is kept there');
is($node->safe_psql('restored', "SELECT count(*) FROM update_routing_percentage(3); SELECT count(*) FROM webhook_routing_rulesets"),
	"1\n" . (1 + (split /\|/, sql($digest))[0]), 'a change of the percentage keeps nothing');

# What was changed by hand is found, each row by its id.
my $forged = sql(q{WITH forged AS (UPDATE webhook_routing_logs SET routed_to = CASE routed_to WHEN 'legacy' THEN 'unified' ELSE 'legacy' END
		WHERE id IN (SELECT id FROM webhook_routing_logs WHERE reason IN ('in_percentage', 'status', 'protected') ORDER BY id LIMIT 5) RETURNING id)
	SELECT string_agg(id::text, ' ' ORDER BY id) FROM forged});
is(sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM verify_routing_decisions(NULL)"), $forged, 'forged sides are named');
is(sql("SELECT outcome LIKE 'no: %' FROM route_explain((SELECT decision_id FROM webhook_routing_logs WHERE id = '"
		  . (split / /, $forged)[0] . "')) WHERE name = 'reproduced'"), 't', 'and explained');

$node->stop;
done_testing();
