#!/usr/bin/env perl
# SPDX-License-Identifier: PostgreSQL
#
# What a service manager does for the forwarder: keeps its listening sockets, hands them over as
# sd_listen_fds(3) says, hears what it has to say (sd_notify(3)), and restarts it.
#
#   keep_socket.pl PORT ADMIN_PORT RESTARTS SOCKETS COMMAND...
#
# SOCKETS is how many listen on PORT (SO_REUSEPORT). Prints a line for each thing that happens; after
# the last restart `done`, and then waits for SIGTERM.
use strict;
use warnings;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(dup2 F_DUPFD);
use Socket;
use Time::HiRes qw(time sleep);

my ($port, $admin_port, $restarts, $sockets, @command) = @ARGV;
my $stopped = 0;
my $path = $ENV{KEEP_SOCKET_DIR} . '/notify';
STDOUT->autoflush(1);
$SIG{TERM} = sub { $stopped = 1 };

# Handles below $^F survive exec.
$^F = 100;

sub listening
{
    my ($at) = @_;
    return IO::Socket::INET->new(
        LocalAddr => '127.0.0.1',
        LocalPort => $at,
        Listen => 1024,
        ReuseAddr => 1,
        ReusePort => 1) || die "cannot listen on $at: $!\n";
}

my @kept = ((map { listening($port) } 1 .. $sockets), listening($admin_port));
my $told = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) || die "cannot make $path: $!\n";

sub start
{
    my $pid = fork() // die "cannot fork: $!\n";
    return $pid if $pid;
    # Clear of the places they are to have, first.
    my @clear = map { fcntl($_, F_DUPFD, 50) } @kept;
    dup2($clear[$_], 3 + $_) for 0 .. $#clear;
    POSIX::close($_) for 3 + @clear .. 100;
    $ENV{LISTEN_PID} = $$;
    $ENV{LISTEN_FDS} = @clear;
    $ENV{LISTEN_FDNAMES} = join ':', ('webhooks') x $sockets, 'admin';
    $ENV{NOTIFY_SOCKET} = $path;
    $ENV{WATCHDOG_USEC} = 400_000;
    exec @command or die "cannot run $command[0]: $!\n";
}

# hear SECONDS, WORD: prints what is said, until it holds that word; false when the time is over
sub hear
{
    my ($seconds, $word) = @_;
    my $until = time + $seconds;
    my $select = IO::Select->new($told);
    while ((my $left = $until - time) > 0 && !$stopped)
    {
        next unless $select->can_read($left);
        $told->recv(my $message, 4096);
        print 'said ', join(' | ', split /\n/, $message), "\n";
        return 1 if defined $word && $message =~ /^\Q$word\E$/m;
    }
    return 0;
}

sub end
{
    my ($pid) = @_;
    kill TERM => $pid;
    waitpid $pid, 0;
    print "ended status=$?\n";
}

my $pid = start();
for my $restart (1 .. $restarts)
{
    hear(20, 'READY=1') || $stopped || print "not ready\n";
    hear(0.5);
    last if $stopped;
    end($pid);
    hear(0.01);
    $pid = start();
}
hear(20, 'READY=1') || $stopped || print "not ready\n";
print "done\n";
hear(1) until $stopped;
end($pid);
unlink $path;
