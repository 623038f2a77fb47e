# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the tests of the operation scripts share beyond the end-to-end tests: the scripts as they are typed,
# in front of a database, functions and a forwarder that are real.

load ../e2e/helper

bats_require_minimum_version 1.5.0

# typed SCRIPT [ARGUMENT]...: as an operator types it: with DATABASE_URL and the forwarder's addresses alone
typed() {
    local script=$1
    shift
    env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE -u PGOPTIONS TERM=xterm \
        "$REPOSITORY/scripts/$script.sh" "$@" </dev/null
}

# on_terminal SCRIPT [ARGUMENT]...: the same on a terminal, on which ANSWER is typed
on_terminal() {
    local script=$1
    shift
    printf '%s\n' "${ANSWER:-}" | env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE -u PGOPTIONS TERM=xterm \
        script -qec "$(printf '%q ' "$REPOSITORY/scripts/$script.sh" "$@")" /dev/null
}

# empty_database NAME: a new one, which DATABASE_URL names from now on
empty_database() {
    cluster_psql postgres -c "DROP DATABASE IF EXISTS \"$1\" WITH (FORCE)" -c "CREATE DATABASE \"$1\""
    export PGHOST=$CLUSTER_SOCKET PGPORT=$CLUSTER_PORT PGUSER=$CLUSTER_USER PGDATABASE=$1
    DATABASE_URL=$(cluster_url "$1")
    export DATABASE_URL
}

# everything: of the database and the roles, as text, to compare before and after
everything() {
    pg_dump "$DATABASE_URL" | grep -v '^\\\(un\)\?restrict '
    pg_dumpall --roles-only -d "$(cluster_url postgres)" | grep -v '^\\\(un\)\?restrict '
}

# server ARGUMENT...: pg_ctl of the cluster
server() {
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -l "$CLUSTER_HOME/postgresql.log" \
        -w -t 60 "$@" >/dev/null 3>&- 4>&-
}

# fits TEXT: no line is wider than a screen of 80 columns
fits() {
    local line
    while IFS= read -r line; do
        ((${#line} <= 80)) || {
            echo "${#line} columns: $line" >&2
            return 1
        }
    done <<<"$1"
}

# has TEXT...: each is in what `run` has had
has() {
    local text
    for text in "$@"; do
        # shellcheck disable=SC2154  # set by run
        [[ $output == *"$text"* ]] || {
            printf 'not in the output: %s\n%s\n' "$text" "$output" >&2
            return 1
        }
    done
}

has_not() {
    local text
    for text in "$@"; do
        [[ $output != *"$text"* ]] || {
            printf 'in the output: %s\n%s\n' "$text" "$output" >&2
            return 1
        }
    done
}
