#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The next Debian with PostgreSQL 18, the newest compilers and libraries.

bats_require_minimum_version 1.5.0
load helper

setup_file() { root_open forky; }
teardown_file() { root_close; }

@test "PostgreSQL 18 and this release's compiler and libraries: all is built without a word" {
    built_without_a_word 18
}

@test "the SQL surface (pg_regress)" { group_passes regress; }

@test "concurrent sessions (pg_isolation_regress)" { group_passes isolation; }

@test "dump and restore, a standby, and the extension dropped and made again (the server's own modules)" {
    only_tap 001 003 010 011
    group_passes tap
}

@test "webhooks go through, with these libraries, and each is in the log" { serves_webhooks; }
