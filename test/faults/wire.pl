#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# One TCP connection, byte by byte:
#
#     wire.pl PORT STEP...
#
#   send:TEXT         at once; \r \n \t \0 \\ \xHH are understood
#   file:PATH         the file's bytes
#   fill:N:TEXT       TEXT, N times
#   drip:MS:TEXT      one byte, then MS milliseconds, and so on; ends when the peer has closed
#   pause:MS
#   read:MS           until the peer closes, at most so long
#   tell:PATH         makes that file
#   until:PATH        until that file is there, or the peer closes; at most a minute
#   end               nothing more will be sent (FIN), reading goes on
#   reset             closes with an RST
#
# A first step rcvbuf:N sets the receive buffer. Prints the bytes that came, then a line
# "closed MS", "reset MS" or "open MS": how the connection was left, and when, from its beginning.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Socket qw(:DEFAULT SO_LINGER SO_RCVBUF);
use Time::HiRes qw(sleep time);

my ($port, @steps) = @ARGV;
my $began = time;
my $state = 'open';
my $ended;
$SIG{PIPE} = 'IGNORE';
binmode STDOUT;
$| = 1;

socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
if (@steps && $steps[0] =~ /^rcvbuf:(\d+)$/)
{
	setsockopt($socket, SOL_SOCKET, SO_RCVBUF, $1) or die "rcvbuf: $!\n";
	shift @steps;
}
connect($socket, pack_sockaddr_in($port, INADDR_LOOPBACK)) or die "connect: $!\n";

sub finished
{
	($state, $ended) = (shift, time) if $state eq 'open';
}

# take SECONDS: what comes within so long; returns when the peer closes
sub take
{
	my $until = time + shift;
	while ($state eq 'open')
	{
		my $left = $until - time;
		last unless IO::Select->new($socket)->can_read($left > 0 ? $left : 0);
		my $got = sysread $socket, my $bytes, 65536;
		if    (!defined $got) { finished('reset') }
		elsif ($got == 0)     { finished('closed') }
		else                  { print $bytes }
	}
}

sub give
{
	my ($bytes) = @_;
	my $at = 0;
	while ($state eq 'open' && $at < length $bytes)
	{
		my $put = syswrite $socket, $bytes, length($bytes) - $at, $at;
		if (defined $put) { $at += $put }
		else              { take(0); finished('reset') }
	}
}

sub plain
{
	my ($text) = @_;
	my %letter = (r => "\r", n => "\n", t => "\t", 0 => "\0", '\\' => '\\');
	$text =~ s/\\(?:x([0-9a-fA-F]{2})|(.))/defined $1 ? chr hex $1 : $letter{$2} \/\/ die "escape: $2\n"/ges;
	return $text;
}

for my $step (@steps)
{
	if    ($step =~ /^send:(.*)$/s)      { give(plain($1)) }
	elsif ($step =~ /^fill:(\d+):(.*)$/s) { give(plain($2) x $1) }
	elsif ($step =~ /^file:(.*)$/s)
	{
		open my $file, '<:raw', $1 or die "$1: $!\n";
		local $/;
		give(scalar <$file>);
	}
	elsif ($step =~ /^drip:(\d+):(.*)$/s)
	{
		my $wait = $1 / 1000;
		for my $byte (split //, plain($2))
		{
			last if $state ne 'open';
			give($byte);
			take($wait);
		}
	}
	elsif ($step =~ /^pause:(\d+)$/) { sleep $1 / 1000 }
	elsif ($step =~ /^read:(\d+)$/)  { take($1 / 1000) }
	elsif ($step =~ /^tell:(.*)$/s) { open my $file, '>', $1 or die "$1: $!\n" }
	elsif ($step =~ /^until:(.*)$/s)
	{
		my $most = time + 60;
		take(0.02) until -e $1 || $state ne 'open' || time > $most;
	}
	elsif ($step eq 'end')           { shutdown $socket, 1 }
	elsif ($step eq 'reset')
	{
		setsockopt($socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0) or die "linger: $!\n";
		close $socket;
		last;
	}
	else { die "no such step: $step\n" }
}
printf "\n%s %d\n", $state, (($ended // time) - $began) * 1000;
