# SPDX-License-Identifier: PostgreSQL
#
# latency_sketch against input that nobody's sketch has made. Binary input can be given only through
# files or the protocol; 4,000 damaged texts and 1,000 damaged binaries are either refused or read as
# a sketch that is sound: one that goes out and in again unchanged and answers every question.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
chmod 0755, $dir;
my $seed = $ENV{SKETCH_SEED} // 20261123;
srand($seed);
note("seed $seed");

$node->safe_psql('postgres', <<'SQL');
	CREATE EXTENSION webhook_routing;
	CREATE TABLE sketches (s latency_sketch);
	CREATE FUNCTION is_sound(s latency_sketch) RETURNS boolean LANGUAGE sql AS $$
		SELECT s::text::latency_sketch::text = s::text
		   AND (latency_sketch_count(s) = 0
		        OR (latency_sketch_quantile(s, 0.5) BETWEEN latency_sketch_min(s) AND latency_sketch_max(s)
		            AND latency_sketch_quantile(s, 0) = latency_sketch_min(s)
		            AND latency_sketch_quantile(s, 1) = latency_sketch_max(s)
		            AND latency_sketch_avg(s) BETWEEN 0.99 * latency_sketch_min(s) - 1e-6
		                                          AND 1.01 * latency_sketch_max(s) + 1e-6))
	$$;
	CREATE FUNCTION verdict(command text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE command;
		IF EXISTS (SELECT FROM sketches WHERE NOT is_sound(s)) THEN
			RETURN 'unsound';
		END IF;
		DELETE FROM sketches;
		RETURN 'read';
	EXCEPTION WHEN invalid_text_representation OR invalid_binary_representation OR protocol_violation
		OR numeric_value_out_of_range OR bad_copy_file_format OR program_limit_exceeded
		OR null_value_not_allowed OR character_not_in_repertoire THEN
		RETURN 'refused';
	END
	$$;
SQL

my @valid = split /\n/, $node->safe_psql('postgres', q{
	SELECT latency_sketch_agg(v) FROM (SELECT n, 10 ^ (n % 7) + n AS v FROM generate_series(1, 60) n) q GROUP BY n % 4
	UNION ALL SELECT latency_sketch_agg(v) FROM (VALUES (0.0), (0.0), (12.5)) t (v)
	UNION ALL SELECT latency_sketch_agg(NULL::float8)});

# One to three changes: another byte, one too many, one too few, the rest cut off, a number replaced.
my @odd = ('-1', '0', '1e308', 'NaN', '9223372036854775807', '99999999999999999999', '-717', '1794', '1795', '');
sub damaged
{
	my ($bytes, $alphabet) = @_;
	for (1 .. 1 + int rand 3)
	{
		my $at = int rand(length($bytes) || 1);
		my $kind = int rand 5;
		my $new = $alphabet ? substr($alphabet, int rand length $alphabet, 1) : chr int rand 256;
		if ($kind == 0) { substr($bytes, $at, 1) = $new if $at < length $bytes }
		elsif ($kind == 1) { substr($bytes, $at, 0) = $new }
		elsif ($kind == 2) { substr($bytes, $at, 1) = '' if $at < length $bytes }
		elsif ($kind == 3 && !$alphabet) { substr($bytes, $at, 4) = pack('N', (0, 1, 0x7fffffff, 0x80000000, 0xffffffff)[rand 5]) }
		elsif ($kind == 3) { my $odd = $odd[rand @odd]; $bytes =~ s/\d+/rand() < 0.2 ? $odd : $&/ge }
		else { $bytes = substr($bytes, 0, $at) if rand() < 0.3 }
	}
	return $bytes;
}

sub tally
{
	my ($query) = @_;
	my %seen = map { split /\|/ } split /\n/, $node->safe_psql('postgres', $query);
	return \%seen;
}

my $texts = join ",\n", map { my $t = damaged($valid[rand @valid], '0123456789-+.:,= eEbcknsu'); $t =~ s/'/''/g; "('$t')" } 1 .. 4000;
$node->safe_psql('postgres', "CREATE TABLE texts (t text); INSERT INTO texts VALUES $texts");
my $seen = tally(q{SELECT verdict(format('INSERT INTO sketches VALUES (%L)', t)), count(*) FROM texts GROUP BY 1});
is($seen->{unsound} // 0, 0, 'no damaged text makes an unsound sketch');
cmp_ok($seen->{refused}, '>', 2000, 'most are refused');
cmp_ok($seen->{read}, '>', 0, 'some happen to be fine');

# A COPY file: 19 bytes of header, then per row a 16-bit count of fields, a 32-bit length, the value.
my @files = map {
	my $file = "$dir/$_.bin";
	$node->safe_psql('postgres', "COPY (SELECT '$valid[$_]'::latency_sketch) TO '$file' (FORMAT binary)");
	slurp_file($file);
} 0 .. $#valid;
for my $n (1 .. 1000)
{
	my $bytes = $files[rand @files];
	my $value = damaged(substr($bytes, 25, length($bytes) - 27));
	open(my $out, '>:raw', "$dir/damaged$n.bin") or die;
	print $out substr($bytes, 0, 21), pack('N', length $value), $value, pack('n', 0xffff);
	close $out;
}
$seen = tally(qq{SELECT verdict(format('COPY sketches FROM %L (FORMAT binary)', '$dir/damaged' || n || '.bin')), count(*)
	FROM generate_series(1, 1000) n GROUP BY 1});
is($seen->{unsound} // 0, 0, 'no damaged binary makes an unsound sketch');
cmp_ok($seen->{refused}, '>', 500, 'most are refused');
cmp_ok($seen->{read}, '>', 0, 'some happen to be fine');

# Undamaged, both ways.
is($node->safe_psql('postgres', join ';', map { "COPY sketches FROM '$dir/$_.bin' (FORMAT binary)" } 0 .. $#valid), '', 'sound ones are read');
is($node->safe_psql('postgres', 'SELECT count(*), bool_and(is_sound(s)) FROM sketches'), scalar(@valid) . '|t', 'as they were');
is($node->safe_psql('postgres', 'SELECT count(*) FROM sketches WHERE s::text NOT IN (' . join(',', map { "'$_'" } @valid) . ')'), '0', 'every one');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|stored latency_sketch is damaged/, 'and the server never stumbled');

done_testing();
