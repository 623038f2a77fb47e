# SPDX-License-Identifier: PostgreSQL
#
# A log of decisions on all fixtures, made as a forwarder makes them. For tests that decide them again.
package LoggedDecisions;

use strict;
use warnings;
use Cwd;

# prepare NODE: the extension; the table payloads(name, body); and
#   record_decisions(round, senders)   decides every fixture for so many senders, some of them by a named
#                                      webhook, stores what the forwarder would (each item with its own
#                                      reason, unless the whole is a mixed batch), keeps each POST in
#                                      posts(decision_id, body, named); returns the rows stored
sub prepare
{
	my ($node) = @_;
	my $folder = Cwd::abs_path('test/fixtures/payloads');
	$node->safe_psql('postgres', 'CREATE EXTENSION webhook_routing; SELECT routing_maintain()');
	$node->safe_psql('postgres', qq{
		CREATE TABLE payloads AS
		SELECT name, pg_read_binary_file('$folder/' || name) AS body FROM pg_ls_dir('$folder') AS name;
		CREATE TABLE posts (decision_id uuid, made_at timestamptz, body bytea, named text)});
	$node->safe_psql('postgres', <<'SQL');
-- As a forwarder makes them (RFC 9562), or as DEFAULT does, in every other round.
CREATE FUNCTION make_id(round integer) RETURNS uuid LANGUAGE sql VOLATILE AS $$
	SELECT CASE round % 2 WHEN 1 THEN gen_random_uuid() ELSE
		overlay(overlay(gen_random_uuid()::text PLACING overlay(lpad(to_hex(floor(extract(epoch FROM clock_timestamp())
		* 1000)::bigint), 12, '0') PLACING '-' FROM 9 FOR 0) FROM 1 FOR 13) PLACING '7' FROM 15 FOR 1)::uuid END $$;
CREATE FUNCTION record_decisions(round integer, senders integer) RETURNS bigint LANGUAGE sql AS $$
	WITH asked AS (
		INSERT INTO posts
		SELECT make_id(round), clock_timestamp(),
		       CASE WHEN name LIKE '%.json'
		            THEN convert_to(replace(convert_from(body, 'UTF8'), '2507881',
		                 format('2507%s', lpad((round * 100 + sender)::text, 4, '0'))), 'UTF8')
		            ELSE body END,
		       CASE (row_number() OVER () + round) % 9 WHEN 0 THEN 'wa-webhook-jobs' WHEN 1 THEN 'wa-webhook-mobility'
		            WHEN 2 THEN 'wa-webhook' WHEN 3 THEN 'wa-webhook-property' END
		  FROM payloads, generate_series(1, senders) AS sender
		RETURNING *
	), rows AS (
		SELECT p.decision_id, p.made_at, w.webhook_name, w.routed_to, i.domain, i.item, i.bucket, i.percentage,
		       i.config_version, i.from_number, i.message_id, i.message_type,
		       CASE w.reason WHEN 'mixed_batch' THEN w.reason ELSE i.reason END AS reason
		  FROM asked p, route_decide(p.body, p.named) w, route_decide_items(p.body, p.named) i
	)
	SELECT store_routing_logs(array_agg(make_id(round)), array_agg(made_at), array_agg(decision_id),
		array_agg(1), array_agg(item), array_agg(webhook_name), array_agg(domain), array_agg(routed_to),
		array_agg(reason), array_agg(bucket), array_agg(percentage), array_agg(config_version),
		array_agg(from_number), array_agg(message_id), array_agg(message_type), array_agg(NULL::text),
		array_agg(200), array_agg(1.0::double precision), array_agg('success'::text), array_agg(NULL::text),
		array_agg(false)) FROM rows $$;
SQL
	return;
}

1;
