#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The catalogue (README.md) and the tests say the same.

setup() {
    load helper
    cd "$REPOSITORY" || return
    test/faults/catalogue.pl >"$BATS_TEST_TMPDIR/findings"
}

# none FINDING: and says which there are
none() {
    ! grep "^$1" "$BATS_TEST_TMPDIR/findings"
}

@test "every fault is in the catalogue, with its tests or the reason why there is none" {
    none missing
}

@test "every test that the catalogue names exists" {
    none 'no such test'
}

@test "every fault test is in the catalogue" {
    none 'not listed'
}

@test "no fault is without a test" {
    none open >"$BATS_TEST_TMPDIR/open" ||
        skip "faults whose test needs what is not there yet: $(cut -d ' ' -f 2 "$BATS_TEST_TMPDIR/open" | paste -sd ' ')"
}
