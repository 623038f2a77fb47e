#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Debian 13 with PostgreSQL 17, and the way there from the release before.

bats_require_minimum_version 1.5.0
load helper

setup_file() { root_open trixie; }
teardown_file() { root_close; }

@test "PostgreSQL 17 and this release's compiler and libraries: all is built without a word" {
    built_without_a_word 17
}

@test "the SQL surface (pg_regress)" { group_passes regress; }

@test "concurrent sessions (pg_isolation_regress)" { group_passes isolation; }

@test "a standby, and the extension dropped and made again (the server's own modules)" {
    only_tap 003 011
    group_passes tap
}

@test "webhooks go through, with these libraries, and each is in the log" { serves_webhooks; }

# Where libcurl looks after connections that it has made: while another one is made, during an exchange.
@test "the parts of a batch, several requests to functions at a time, end to end" { end_to_end split.bats; }

@test "databases of PostgreSQL 15 are restored and upgraded" { upgraded_from 15 bookworm; }
