#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# What test.sh says of a test that has failed: how many, which, and why, though its output may be cut to the
# end; and that a program which reports less than it has promised is not taken for one that passed.

# shellcheck disable=SC2030,SC2031  # bats runs each test in a process of its own
bats_require_minimum_version 1.5.0

setup() {
    REPOSITORY_HERE=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
    HERE=$BATS_TEST_TMPDIR
}

# counted COMMAND...: as test.sh calls it, in a group called example; sets output and says the sum last
counted() {
    cat >"$HERE/counted.sh" <<EOT
set -euo pipefail
. '$REPOSITORY_HERE/scripts/lib/common.sh'
. '$REPOSITORY_HERE/scripts/lib/packages.sh'
. '$REPOSITORY_HERE/scripts/lib/counting.sh'
WORK='$HERE'
begin_group example
EOT
    printf '%s\n' "$1" count_group 'echo "$PASSED $FAILED $SKIPPED"' >>"$HERE/counted.sh"
    run -0 bash "$HERE/counted.sh"
    printf '%s\n' "$output"
}

# says TEXT: the output has it somewhere
says() {
    [[ $output == *"$1"* ]] || {
        printf 'it does not say:\n%s\n' "$1"
        return 1
    }
}

# says_only TEXT: the output in front of the group's own line
says_only() { diff <(printf '%s\n' "$1") <(sed '/^  example /,$d' <<<"$output"); }

# program NAME: what stands on stdin is a program of that name
program() {
    cat >"$HERE/$1"
    chmod +x "$HERE/$1"
}

@test "a failed test of bats: where, what it has seen, and no word of those that passed" {
    # A line that begins with @ would be a test of this file.
    sed 's/^TEST/@test/' >"$HERE/example.bats" <<'EOT'
TEST "well" { echo 'nothing of interest' >&3; }
TEST "it has broken" {
    echo 'got    503'
    echo 'wanted 200'
    false
}
TEST "not here" { skip 'for a reason'; }
EOT
    counted "tap bats env -i PATH=/usr/local/bin:/usr/bin:/bin bats --formatter tap '$HERE/example.bats'"
    says '    failed: bats: not ok 2 it has broken
        (in test file '
    says "        got    503
        wanted 200
  example "
    [[ $output != *'of interest'* && $output == *'1 passed, 1 failed, 1 skipped'* && ${lines[-1]} == '1 1 1' ]]
}

@test "two of them: each has its own words below it" {
    program tap.sh <<'EOT'
#!/bin/sh
printf '1..5\nnot ok 1 - one\n# first words\nok 2 - two\n# of no interest\nnot ok 3 - three # todo later\n# nor this\n'
printf 'not ok 4 - four\n'
printf '#   second words\n' >&2
printf 'noise\nok 5 - five # SKIP\n'
exit 2
EOT
    counted "tap x '$HERE/tap.sh'"
    says_only '    failed: x: not ok 1 - one
        first words
    failed: x: not ok 4 - four
          second words'
    [[ ${lines[-1]} == '1 2 2' ]]
}

@test "many words are cut: the first and the last of a test, none beyond 200 columns, 60 lines in all" {
    program tap.sh <<'EOT'
#!/bin/sh
echo 1..9
for test in 1 2 3 4 5 6 7 8 9; do
    echo "not ok $test - long"
    seq -f '# line %g' 1 300
    printf '# %0300d\n' 0
done
EOT
    counted "tap x '$HERE/tap.sh'"
    says '    failed: x: not ok 1 - long
        line 1
        line 2
        line 3
        line 4
        [... 290 lines]
        line 295'
    [[ $(awk '{ print length }' <<<"$output" | sort -n | tail -n 1) == 208 ]]
    [[ $(grep -c '^        ' <<<"$output") == 60 && $(grep -c 'failed: x: not ok' <<<"$output") == 9 && ${lines[-1]} == '0 9 0' ]]
}

@test "fewer tests than promised, an exit status without a failed test, no test at all: what was said last" {
    counted "tap x printf '1..3\nok 1\nthe server did not start\n'"
    says 'failed: x: 1 of 3 tests ran
        1..3
        ok 1
        the server did not start'
    [[ ${lines[-1]} == '1 1 0' ]]
    counted "tap x sh -c 'echo 1..1; echo ok 1; echo crashed >&2; exit 134'"
    says 'failed: x: exit status 134'
    says '        crashed'
    counted "tap x true"
    says 'failed: x: reported no test'
    [[ ${lines[-1]} == '0 1 0' ]]
}

@test "a command that is one test: what it has printed, not what came before it in the log" {
    counted "check first sh -c 'echo before'; check second sh -c 'echo the reason >&2; false'"
    says_only '    failed: second
        the reason'
    [[ ${lines[-1]} == '1 1 0' ]]
}

@test "pg_regress: the difference of the test that failed, up to PostgreSQL 15 and from 16 on" {
    printf 'diff -U3 /e/expected/a.out /e/results/a.out\n--- /e/expected/a.out\n-of a\n' >"$HERE/regression.diffs"
    printf 'diff -U3 /e/expected/b.out /e/results/b.out\n--- /e/expected/b.out\n-wanted\n+got\n' >>"$HERE/regression.diffs"
    counted "pg_tests x sh -c 'printf \"test a    ... ok      10 ms\ntest b    ... FAILED  20 ms\n%s\n%s\n\" \"viewed in the\" \"file \\\"$HERE/regression.diffs\\\".  A copy\"; exit 1'"
    says_only '    failed: test b    ... FAILED  20 ms
        --- /e/expected/b.out
        -wanted
        +got'
    [[ ${lines[-1]} == '1 1 0' ]]
    counted "pg_tests x sh -c 'printf \"ok 1         - a    10 ms\nnot ok 2     - b    20 ms\n%s\n\" \"# viewed in the file \\\"$HERE/regression.diffs\\\".\"; exit 1'"
    says_only '    failed: not ok 2     - b    20 ms
        --- /e/expected/b.out
        -wanted
        +got'
    counted "pg_tests x sh -c 'echo no server >&2; exit 2'"
    says_only '    failed: x: exit status 2
        no server'
}
