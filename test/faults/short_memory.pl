#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A forwarder whose allocations fail, one after the other (short_memory.c):
#
#     short_memory.pl [OPTION]... -- FORWARDER [ARGUMENT]...
#
#   --library FILE   short_memory.c, built
#   --control URL    of the stand-in functions
#   --port N         where the forwarder listens
#   --body FILE      the webhook
#   --header LINE    of its header; may be repeated
#   --on             from the n-th on all fail, not the n-th alone
#   --own            only allocations by the forwarder's own code are counted
#   --first N, --step N   which allocations: N, N + step, ...
#   --start          they are counted from the start of the process on, which is started anew for each;
#                    either it ends with 69 or 78, or it serves
#   --prepare CMD    is run before each start
#   --also STATUS    is right too
#   --health STATUS  what GET / says when all is well (healthy)
#
# For n = 1, 2, ... until a webhook and what follows it get along with fewer: one webhook while the n-th
# allocation fails, which has to be answered 200 or 503, or its connection closed; and another when
# none fails, which has to be answered 200. Their correlation ids are n-N and after-N. At the end the
# forwarder has to stop with 0, and may have no block left from a place where one that was never
# short of memory has none.
#
# An answer of 502 is right when the function (asked at --control) has the webhook all the same.
#
# Prints what it has seen, and "not ok" lines for what must not be; the exit status says whether there
# were any.
use strict;
use warnings;
use Getopt::Long;
use IO::Select;
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

my %option = (header => [], health => 'healthy', first => 1, step => 1, prepare => '',
	also => 'none');
GetOptions(\%option, 'library=s', 'control=s', 'port=i', 'body=s', 'header=s@', 'on', 'own', 'first=i', 'step=i',
	'start', 'prepare=s', 'health=s',
	'also=s')
  or exit 64;
my @command = @ARGV;
my $body = do { local (@ARGV, $/) = ($option{body}); <> };
my $file = "$ENV{BATS_TEST_TMPDIR}/short_memory";
my ($bad, $child) = (0, 0);
$| = 1;
$SIG{PIPE} = 'IGNORE';

sub complain
{
	print "not ok: @_\n";
	$bad++;
}

# ---- the file that the forwarder has mapped ----

use constant { ORDER => 0, NTH => 8, OWN => 16, COUNT => 24, FAILED => 32, SITES => 40, LAST => 48,
	FIRST_SITE => 64, SITE => 64, SITES_MOST => 4096 };

open my $control, '+>', $file or die "$file: $!\n";

sub put
{
	my ($place, $number) = @_;
	sysseek $control, $place, 0;
	syswrite $control, pack('Q<', $number);
}

sub got
{
	my ($place) = @_;
	sysseek $control, $place, 0;
	sysread $control, my $bytes, 8;
	return unpack 'Q<', $bytes;
}

sub site
{
	my ($number) = @_;
	sysseek $control, FIRST_SITE + SITE * $number, 0;
	sysread $control, my $bytes, SITE;
	return unpack 'q< Z56', $bytes;
}

# order NTH: from now on; 0 ends it
sub order
{
	my ($nth) = @_;
	put(ORDER, 0);
	return unless $nth;
	put($_, 0) for COUNT, FAILED;
	put(NTH, $nth);
	put(OWN, $option{own} ? 1 : 0);
	put(ORDER, $option{on} ? 2 : 1);
}

sub clear
{
	truncate $control, 0;
	truncate $control, FIRST_SITE + SITE * SITES_MOST;
}

# blocks in use, by place
sub live
{
	my %live;
	for my $number (0 .. got(SITES) - 1)
	{
		my ($blocks, $name) = site($number);
		$live{$name} += $blocks;
	}
	return \%live;
}

sub last_site { return (site(got(LAST)))[1] }

# ---- the forwarder ----

sub start
{
	if ($option{prepare}) { system($option{prepare}) == 0 or die "$option{prepare}: $?\n" }
	$child = fork;
	return if $child;
	POSIX::close($_) for 3, 4; # bats waits for whoever holds these
	open STDOUT, '>', '/dev/null';
	$ENV{LD_PRELOAD} = $option{library};
	$ENV{SHORT_MEMORY} = $file;
	exec @command or POSIX::_exit(127);
}

# ended [SECONDS]: its exit status when it ends within so long
sub ended
{
	my $until = time + ($_[0] // 0);
	while ($child)
	{
		if (waitpid($child, WNOHANG) == $child)
		{
			$child = 0;
			return $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
		}
		return if time >= $until;
		sleep 0.01;
	}
	return 'gone';
}

sub stop
{
	my ($when) = @_;
	return unless $child;
	kill TERM => $child;
	my $status = ended(20);
	if (!defined $status)
	{
		complain("$when: it does not stop");
		kill KILL => $child;
		ended(5);
	}
	elsif ($status ne '0') { complain("$when: it ended with $status") }
}

# ask REQUEST: status of the answer; "closed" without one, "silent" when neither comes
sub ask
{
	my ($request) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$option{port}") or return 'refused';
	my ($answer, $until) = ('', time + 20);
	syswrite $socket, $request;
	while (IO::Select->new($socket)->can_read($until > time ? $until - time : 0))
	{
		my $length = sysread $socket, $answer, 65536, length $answer;
		next if $length;
		return $answer =~ m{^HTTP/1\.1 (\d+) } ? $1 : 'closed';
	}
	return 'silent';
}

# received CORRELATION: whether a function has it
sub received
{
	my ($correlation) = @_;
	my ($port) = $option{control} =~ /:(\d+)$/;
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or return 0;
	syswrite $socket, "GET /_standin/report?last=8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	local $/;
	return (<$socket> // '') =~ /"\Q$correlation\E"/;
}

sub webhook
{
	my ($correlation) = @_;
	my $header = join '', map { "$_\r\n" } @{ $option{header} };
	return ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
		  . "${header}X-Correlation-ID: $correlation\r\nContent-Length: "
		  . length($body) . "\r\n\r\n$body");
}

sub is_well
{
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$option{port}") or return 0;
	syswrite $socket, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	local $/;
	return (<$socket> // '') =~ /"status": ?"$option{health}"/;
}

# wait_well [SECONDS]
sub wait_well
{
	my $until = time + ($_[0] // 10);
	until (is_well())
	{
		return 0 if time > $until;
		sleep 0.01;
	}
	return 1;
}

sub crashed
{
	my ($when) = @_;
	my $status = ended();
	return 0 unless defined $status;
	complain("$when: it ended with $status (" . last_site() . ')');
	return 1;
}

# ---- what is compared ----

# What a forwarder holds at its end that was never short of memory.
sub clean_run
{
	clear();
	start();
	wait_well() or die "the forwarder does not start\n";
	webhook("clean-$_") for 1 .. 5;
	sleep 0.2;
	wait_well();
	stop('without a failure');
	return live();
}

my (%seen, $clean, %failing);

# left_over: one sentence for each place with more blocks than that
sub left_over
{
	my $live = live();
	my @left;
	for my $site (sort keys %$live)
	{
		next if $site =~ /^ld-linux/; # of a thread that is still connecting to the database
		my ($now, $then) = ($live->{$site}, $clean->{$site} // 0);
		push @left, "blocks left at $site: $now, not $then" if $now > $then;
	}
	return @left;
}

# one N: a webhook while the n-th allocation fails, and one after it; false when it was not reached
sub one
{
	my ($n) = @_;
	wait_well() or complain("before $n: not $option{health}");
	order($n);
	my $status = webhook("n-$n");
	sleep 0.02; # for what follows the answer
	order(0);
	my $failed = got(FAILED);
	my $site = $failed ? last_site() : 'none';
	$failing{$site}++ if $failed;
	$seen{$status}++;
	return 0 if crashed("allocation $n");
	complain("allocation $n ($site): answered $status")
	  unless $status =~ /^(200|503|closed|$option{also})$/ || ($status eq 502 && received("n-$n"));
	complain("allocation $n was not reached, but answered $status") if !$failed && $status ne 200;
	$status = webhook("after-$n");
	# Spool and database may both be gone; one is tried again in a second, the other in less than two.
	for (my $until = time + 3; $status eq 503 && time < $until; sleep 0.1)
	{
		$status = webhook("after-$n");
	}
	return 0 if crashed("after allocation $n");
	complain("after allocation $n ($site): answered $status") unless $status eq 200;
	return $failed;
}

sub under_way
{
	my $n = $option{first};
	clear();
	start();
	wait_well() or die "the forwarder does not start\n";
	webhook("warm-$_") for 1 .. 5;
	my $spared = 0; # two in a row: now and then something else happens in between
	for (; $child && $spared < 2; $n += $option{step}) { $spared = one($n) ? 0 : $spared + 1 }
	wait_well() if $child;
	stop('at the end');
	complain("at the end: $_") for left_over();
	print "allocations: ", $n - 1, "\n";
}

# start_one N [SECONDS]: how many allocations have failed, and what is left over when a forwarder that
# serves is stopped after so long
sub start_one
{
	my ($n, $seconds) = @_;
	clear();
	order($n);
	start();
	my $until = time + ($option{on} ? 0.5 : 20); # without memory it may live on, and not get well
	my ($status, $well, @left);
	until (defined($status = ended()) || ($well = is_well()) || time > $until) { sleep 0.01 }
	sleep 0.05 if $well; # for what is left behind by an earlier one
	my $failed = got(FAILED);
	order(0);
	my $site = $failed ? last_site() : 'none';
	$failing{$site}++ if $failed;
	if (!defined $status)
	{
		$well ||= wait_well();
		complain("allocation $n ($site): not $option{health}") unless $well;
		my $answer = webhook("after-$n");
		complain("allocation $n ($site): answered $answer") unless $answer eq 200;
		sleep($seconds // 0);
		stop("allocation $n ($site)");
		$status = 'served';
		@left = map { "allocation $n ($site): $_" } left_over();
	}
	elsif ($status !~ /^(69|78)$/) { complain("allocation $n ($site): it ended with $status") }
	$seen{$status}++;
	return ($failed, @left);
}

sub starting
{
	my $n = $option{first};
	for (my $failed = 1; $failed; $n += $option{step})
	{
		($failed, my @left) = start_one($n);
		# The thread that keeps the rules on disk may be at work still, and is not waited for.
		(undef, @left) = start_one($n, 1) if @left;
		complain($_) for @left;
	}
	print "allocations: ", $n - $option{step}, "\n";
}

$clean = clean_run();
if   ($option{start}) { starting() }
else                  { under_way() }
print "$_: $seen{$_}\n" for sort keys %seen;
print "at $_: $failing{$_}\n" for sort keys %failing;
exit($bad ? 1 : 0);

END
{
	my $status = $?;
	if ($child) { kill KILL => $child; ended(5) }
	$? = $status;
}
