#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Compares the catalogue of faults (README.md) with the tests there are, from the top of the tree. One
# line for each finding:
#
#     missing N             the catalogue does not have this fault, or nothing stands below it
#     no such test: ...     what stands below a fault names a test that does not exist
#     not listed: ...       a test of this folder is in no fault's list
#     open N                a fault has nothing but a note of what its test still needs
use strict;
use warnings;

use constant LAST => 108;
my (%shown, %open, %listed, $number);

sub bytes_of
{
	my ($file) = @_;
	open my $in, '<:raw', $file or return;
	local $/;
	return scalar <$in>;
}

# In a .bats file a name is a test's; elsewhere it is any text of the file.
sub exists_in
{
	my ($file, $name) = @_;
	my $text = bytes_of($file) // return 0;
	return index($text, $file =~ /\.bats$/ ? "\@test \"$name\" {" : $name) >= 0;
}

my $catalogue = bytes_of('test/faults/README.md') // die "test/faults/README.md: $!\n";
for (split /\n/, $catalogue)
{
	if (/^\*\*(\d+)\. /) { $number = $1 }
	elsif (/^- `([^`]+)`: (.+)$/)
	{
		$shown{$number} = 1;
		$listed{"$1: $2"} = 1;
		print "no such test: $number, $1: $2\n" unless exists_in($1, $2);
	}
	elsif (/^- not here: ./) { $shown{$number} = 1 }
	elsif (/^- open: ./)     { $open{$number}  = 1 }
}
for my $fault (1 .. LAST)
{
	print "missing $fault\n" unless $shown{$fault} || $open{$fault};
	print "open $fault\n" if $open{$fault} && !$shown{$fault};
}
for my $file (glob 'test/faults/*.bats')
{
	for my $name (bytes_of($file) =~ /^\@test "(fault .*)" \{$/mg)
	{
		print "not listed: $file: $name\n" unless $listed{"$file: $name"};
	}
}
