# SPDX-License-Identifier: PostgreSQL
#
# Conversations through restarts, crashes, a standby and its promotion, a dump, and whatever happens to
# their table and index while one session goes on deciding. pg_regress has one server and no second one.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C' ]);
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION webhook_routing;
	SELECT update_routing_percentage(50), set_routing_enabled(true);
	SELECT update_routing_settings('{"conversation_timeout": "1 hour", "keep_conversations": true}');
	CREATE ROLE reader LOGIN;
	GRANT EXECUTE ON FUNCTION route_decide(bytea, text) TO reader});

my ($low, $high) = ('250788000002', '250788000004');    # inside 50 %, outside

# webhook SENDER, TEXT
sub webhook
{
	return qq('{"from": "$_[0]", "type": "text", "message": {"id": "m", "text": {"body": "$_[1]"}}}'::bytea);
}

# says SERVER, SENDER, TEXT: decided and logged, as a forwarder does; where it went
sub says
{
	my ($server, $sender, $text) = @_;
	return $server->safe_psql('postgres', q{
		WITH logged AS (
			INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, reason, status, from_number, message_type)
			SELECT webhook_name, domain, routed_to, reason, 'success', from_number, message_type
			  FROM route_decide(} . webhook($sender, $text) . q{) RETURNING webhook_name, reason)
		SELECT * FROM logged});
}

# follow_up SENDER: the statement that decides on a message without keywords
sub follow_up { return 'SELECT webhook_name, reason FROM route_decide(' . webhook($_[0], 'yes') . ')'; }

is($primary->safe_psql('postgres', follow_up($low)), 'wa-webhook|unknown_domain', 'nothing is remembered yet');
is(says($primary, $low, 'I need a job'), 'wa-webhook-unified|in_percentage', 'a sender inside');
is(says($primary, $high, 'I need a job'), 'wa-webhook-jobs|out_of_percentage', 'and one outside');

sub remembered
{
	my ($server, $when) = @_;
	is($server->safe_psql('postgres', follow_up($low)), 'wa-webhook-unified|in_percentage', "$when: unified");
	is($server->safe_psql('postgres', follow_up($high)), 'wa-webhook-jobs|out_of_percentage', "$when: legacy");
}
remembered($primary, 'at once');
$primary->restart;
remembered($primary, 'after a restart');
$primary->stop('immediate');
$primary->start;
remembered($primary, 'after a crash');

# A standby, where nothing can be written, and a role that may read no table.
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
remembered($standby, 'on a standby');
my $reader = $standby->background_psql('postgres', extra_params => [ '--username=reader' ]);
is($reader->query_safe(follow_up($low)), 'wa-webhook-unified|in_percentage', 'the standby decides for a reader');
says($primary, $low, 'I am looking for a house');
$primary->wait_for_catchup($standby, 'replay');
is($reader->query_safe('SELECT domain FROM route_decide(' . webhook($low, 'yes') . ')'), 'property',
	'and follows the conversation once it is replayed');
$primary->safe_psql('postgres', 'SELECT update_routing_percentage(0)');
$primary->wait_for_catchup($standby, 'replay');
is($reader->query_safe(follow_up($low)), 'wa-webhook-unified|in_conversation', 'and keeps it on its side');
$primary->safe_psql('postgres', 'SELECT set_routing_enabled(false)');
$primary->wait_for_catchup($standby, 'replay');
is($reader->query_safe(follow_up($low)), 'wa-webhook-property|disabled', 'until the kill switch is thrown');
$primary->safe_psql('postgres', 'SELECT set_routing_enabled(true), update_routing_percentage(50)');

# A dump carries them: a rollout that goes on elsewhere moves nobody.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
my $rows = 'SELECT sender, domain, routed_to, last_at FROM webhook_routing_conversations ORDER BY sender';
$primary->command_ok([ 'pg_dump', '--file', $dump, '--dbname', $primary->connstr('postgres') ], 'pg_dump');
$primary->safe_psql('postgres', "CREATE DATABASE restored ENCODING 'UTF8' TEMPLATE template0");
$primary->command_ok([ 'psql', '--no-psqlrc', '--quiet', '--single-transaction', '--set=ON_ERROR_STOP=1', '--file', $dump,
		'--dbname', $primary->connstr('restored') ], 'restore');
is($primary->safe_psql('restored', $rows), $primary->safe_psql('postgres', $rows), 'the same conversations');
is($primary->safe_psql('restored', follow_up($low)), 'wa-webhook-unified|in_percentage', 'are followed');

# One session goes on while the table and its index are made anew, are held, and are gone.
my $session = $primary->background_psql('postgres', extra_params => [ '--username=reader' ]);
my $follows = 'wa-webhook-unified|in_percentage';
is($session->query_safe(follow_up($low)), $follows, 'a session with the rules compiled');
foreach my $command ('REINDEX TABLE CONCURRENTLY webhook_routing_conversations', 'REINDEX TABLE webhook_routing_conversations',
	'VACUUM FULL webhook_routing_conversations', 'VACUUM ANALYZE webhook_routing_conversations',
	'DROP INDEX webhook_routing_conversations_sender_idx')
{
	$primary->safe_psql('postgres', $command);
	is($session->query_safe(follow_up($low)), $follows, "after $command");
}
$primary->safe_psql('postgres',
	'CREATE INDEX webhook_routing_conversations_sender_idx ON webhook_routing_conversations (sender)');
my $holder = $primary->background_psql('postgres');
foreach my $held ('webhook_routing_conversations', 'webhook_routing_secrets')
{
	$holder->query_safe("BEGIN; LOCK TABLE $held IN ACCESS EXCLUSIVE MODE");
	$session->query_safe("SET statement_timeout = '10s'");
	is($session->query_safe(follow_up($low)), $held =~ /secrets/ ? $follows : 'wa-webhook|unknown_domain', "$held is held");
	$holder->query_safe('COMMIT');
}
is($session->query_safe(follow_up($low)), $follows, 'and free again');
$primary->safe_psql('postgres', 'DROP EXTENSION webhook_routing; CREATE EXTENSION webhook_routing;
	GRANT EXECUTE ON FUNCTION route_decide(bytea, text) TO reader');
is($session->query_safe(follow_up($low)), 'wa-webhook|disabled', 'a new extension remembers nothing');
$primary->safe_psql('postgres', q{SELECT set_routing_enabled(true), update_routing_percentage(50);
	SELECT update_routing_settings('{"conversation_timeout": "1 hour"}')});
says($primary, $low, 'I need a job');
is($session->query_safe(follow_up($low)), $follows, 'until it is told');

# Many writers about few senders, while others decide: nobody fails or waits for a deadlock, and the
# newest message of each sender is what is remembered.
$primary->safe_psql('postgres', q{
	CREATE FUNCTION chatter(salt integer) RETURNS void LANGUAGE sql AS $$
		INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, from_number, created_at)
		SELECT 'w', (ARRAY['jobs', 'property', 'marketplace'])[1 + (salt + n) % 3], 'legacy', 'success', 's' || (salt * n) % 20,
		       clock_timestamp() FROM generate_series(1, 20) n $$});
my $script = PostgreSQL::Test::Utils::tempdir() . '/chatter.sql';
append_to_file($script, "\\set salt random(1, 1000)\nBEGIN;\nSELECT chatter(:salt);\nSELECT chatter(:salt + 7);\nCOMMIT;\n"
	  . "SELECT domain FROM route_decide(convert_to('{\"from\": \"s' || :salt % 20 || '\", \"type\": \"text\", "
	  . "\"message\": {\"text\": {\"body\": \"yes\"}}}', 'UTF8'));\n");
$primary->command_ok([ 'pgbench', '--no-vacuum', '--client=6', '--jobs=2', '--transactions=200', '--file', $script,
		$primary->connstr('postgres') ], 'six writers at once');
is($primary->safe_psql('postgres', q{
		SELECT count(*) FROM (SELECT DISTINCT ON (from_number) from_number, created_at FROM webhook_routing_logs
			WHERE from_number LIKE 's%' ORDER BY from_number, created_at DESC) l
		  LEFT JOIN (SELECT sender, max(last_at) AS last_at FROM webhook_routing_conversations GROUP BY sender) c
		    ON c.sender = l.from_number
		 WHERE c.last_at IS DISTINCT FROM l.created_at}), '0', 'the newest message of each sender is remembered');
$primary->safe_psql('postgres', 'SELECT routing_maintain()');
is($primary->safe_psql('postgres', q{SELECT count(*), count(DISTINCT sender) FROM webhook_routing_conversations WHERE sender LIKE 's%'}),
	'20|20', 'upkeep leaves one row of each');

# The standby takes over.
$primary->wait_for_catchup($standby, 'replay');
$primary->stop;
$standby->promote;
remembered_after_promotion();
$standby->stop;
done_testing();

sub remembered_after_promotion
{
	is($standby->safe_psql('postgres', follow_up($low)), $follows, 'the promoted standby remembers');
	is(says($standby, $low, 'a house'), $follows, 'and goes on');
	is($standby->safe_psql('postgres', 'SELECT domain FROM route_decide(' . webhook($low, 'yes') . ')'), 'property',
		'remembering');
	return;
}
