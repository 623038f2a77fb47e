#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A port whose connections never come about: it listens, its queue is full, and the kernel drops every
# further SYN, as a firewall does. Prints "ready port=N" and waits for its end.
use strict;
use warnings;
use IO::Socket::INET;
use Socket qw(:DEFAULT);

socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
bind($listener, pack_sockaddr_in(0, INADDR_LOOPBACK)) or die "bind: $!\n";
listen($listener, 0) or die "listen: $!\n";
my ($port) = unpack_sockaddr_in(getsockname $listener);
my @fillers;
for (1 .. 4)
{
	socket(my $filler, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
	$filler->blocking(0);
	connect($filler, pack_sockaddr_in($port, INADDR_LOOPBACK));
	push @fillers, $filler;
}
$| = 1;
print "ready port=$port\n";
sleep 3600;
