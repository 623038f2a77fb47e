#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A function that does not stay: of its connections, some are closed when a POST has been taken, some with
# the answer, announced or not, and most at a random moment while they are idle, perhaps just when the next
# request is on its way.
#
#     fickle.pl [SEED]
#
# Prints "ready PORT", then for each whole POST a line: its message id, and `answered` or `dropped`.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Socket qw(:DEFAULT SO_LINGER);
use Time::HiRes qw(time);

srand($ARGV[0] // 1);
$| = 1;
$SIG{PIPE} = 'IGNORE';
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1024, ReuseAddr => 1)
  or die "listen: $!\n";
my $readable = IO::Select->new($listener);
my (%bytes, %close_at);
print "ready ", $listener->sockport, "\n";

sub leave
{
	my ($socket, $reset) = @_;
	setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $reset;
	$readable->remove($socket);
	delete $bytes{$socket};
	delete $close_at{$socket};
	close $socket;
}

sub answer
{
	my ($socket, $field) = @_;
	syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n$field\r\n{}";
}

# What becomes of the connection after a POST.
sub decide
{
	my ($socket, $id) = @_;
	my $chance = rand;
	my $dropped = $chance < 0.03;
	print "$id ", $dropped ? 'dropped' : 'answered', "\n";
	if ($dropped) { leave($socket, $chance < 0.01) }
	elsif ($chance < 0.08) { answer($socket, "Connection: close\r\n"); leave($socket) }
	elsif ($chance < 0.20) { answer($socket, ''); leave($socket) }
	else
	{
		answer($socket, '');
		$close_at{$socket} = [ $socket, time + rand 0.1 ] if $chance < 0.90;
	}
}

while (1)
{
	for my $socket ($readable->can_read(0.002))
	{
		if ($socket == $listener)
		{
			my $new = $listener->accept or next;
			$readable->add($new);
			next;
		}
		my $got = sysread $socket, $bytes{$socket}, 65536, length($bytes{$socket} // '');
		if (!$got) { leave($socket); next }
		delete $close_at{$socket};
		my ($length) = $bytes{$socket} =~ /\r\nContent-Length: (\d+)\r\n/i or next;
		my $end = index($bytes{$socket}, "\r\n\r\n");
		next if $end < 0 || length($bytes{$socket}) < $end + 4 + $length;
		my ($id) = $bytes{$socket} =~ /"id":\s*"(wamid[^"]*)"/;
		$bytes{$socket} = '';
		decide($socket, $id // '-');
	}
	my $now = time;
	leave($_->[0]) for grep { $_->[1] < $now } values %close_at;
}
