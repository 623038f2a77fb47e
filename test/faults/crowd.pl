#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Many connections from one process, none of which behaves:
#
#     crowd.pl PORT COUNT KIND
#
#   idle      say nothing
#   kept      had one answer, and say nothing more
#   header    a byte of a header that never ends, every half second
#   body      a byte of a body that takes a day, every half second
#
# Prints "ready" when all are connected; at SIGTERM "open N": how many the peer has not closed.
use strict;
use warnings;
use IO::Socket::INET;
use Socket qw(:DEFAULT);
use Time::HiRes qw(sleep);

my ($port, $count, $kind) = @ARGV;
my %greeting = (
	idle   => '',
	kept   => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	header => "POST / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
	body   => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
my $stopped = 0;
$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { $stopped = 1 };
$| = 1;

my @sockets;
for (1 .. $count)
{
	socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
	connect($socket, pack_sockaddr_in($port, INADDR_LOOPBACK)) or die "connect: $!\n";
	syswrite $socket, $greeting{$kind} // die "no such kind: $kind\n";
	sysread $socket, my $answer, 65536 if $kind eq 'kept';
	$socket->blocking(0);
	push @sockets, $socket;
}
print "ready\n";
while (!$stopped)
{
	sleep 0.5;
	if ($kind eq 'header' || $kind eq 'body')
	{
		syswrite $_, 'a' for @sockets;
	}
}

# A peer that has closed lets a read return at once, after whatever it still had to say.
sub is_open
{
	my ($socket) = @_;
	while (1)
	{
		my $got = sysread $socket, my $bytes, 65536;
		return $!{EAGAIN} ? 1 : 0 unless defined $got;
		return 0 if $got == 0;
	}
}
printf "open %d\n", scalar grep { is_open($_) } @sockets;
