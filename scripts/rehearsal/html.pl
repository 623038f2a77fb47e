#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# html.pl REPORT.md: the report of a rehearsal as one HTML page that needs nothing beside it. Knows what
# report.sql writes and no more: headings, paragraphs, lists, tables, **bold**, `code`, and a picture (SVG
# beside the report), which is put into the page.
use strict;
use warnings;
use File::Basename;

my ($file) = @ARGV;
die "usage: html.pl REPORT.md\n" unless @ARGV == 1;

sub slurp {
	my ($path) = @_;
	open my $in, '<', $path or die "html.pl: $path: $!\n";
	local $/;
	return <$in> =~ s/\s+\z//r;
}

sub words {
	my ($text) = @_;
	$text =~ s/&/&amp;/g;
	$text =~ s/</&lt;/g;
	$text =~ s/>/&gt;/g;
	$text =~ s/\\([|*])/'&#' . ord($1) . ';'/ge;
	$text =~ s/\*\*(.+?)\*\*/<strong>$1<\/strong>/g;
	$text =~ s/`(.+?)`/<code>$1<\/code>/g;
	return $text;
}

my ($open, $heads, @page) = ('', 0);

# In what we are: nothing, `ul` or `table`.
sub within {
	my ($wanted) = @_;
	return if $open eq $wanted;
	push @page, $open eq 'table' ? '</tbody></table></div>' : "</$open>" if $open;
	push @page, $wanted eq 'table' ? '<div><table>' : "<$wanted>" if $wanted;
	($open, $heads) = ($wanted, 0);
}

my $markdown = slurp($file);
for my $line (split /\n/, $markdown) {
	if ($line =~ /^(#+) (.*)/) {
		within('');
		push @page, sprintf '<h%d>%s</h%d>', length $1, words($2), length $1;
	} elsif ($line =~ /^!\[(.*)\]\((.*)\)$/) {
		within('');
		push @page, '<figure>' . slurp(dirname($file) . "/$2") . '</figure>';
	} elsif ($line =~ /^- (.*)/) {
		within('ul');
		push @page, '<li>' . words($1) . '</li>';
	} elsif ($line =~ /^\|[-|]+\|$/) {
		next;
	} elsif ($line =~ /^\| ?(.*?) ?\|$/) {
		my @cells = map { words($_) } split / \| /, $1, -1;
		within('table');
		my $kind = $heads++ ? 'td' : 'th';
		my $row = '<tr>' . join('', map { "<$kind>$_</$kind>" } @cells) . '</tr>';
		push @page, $kind eq 'th' ? "<thead>$row</thead><tbody>" : $row;
	} elsif ($line =~ /\S/) {
		within('');
		push @page, '<p>' . words($line) . '</p>';
	} else {
		within('');
	}
}
within('');

my ($title) = $markdown =~ /^# (.*)/;
print <<"EOT";
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@{[ words($title) ]}</title>
<style>
body { font: 16px/1.5 sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
div { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left; vertical-align: top; }
td:first-child { white-space: nowrap; } th { border-bottom: 2px solid #999; } strong { color: #a00; } code { background: #f2f2f2; padding: 0 .2em; }
figure { margin: 1.5rem 0; } svg { width: 100%; height: auto; }
</style>
</head>
<body>
EOT
print join("\n", @page), "\n</body>\n</html>\n";
