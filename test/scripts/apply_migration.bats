#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# apply-migration.sh: an empty database, one that has the extension, one where it cannot be; and what every
# script has in common: DATABASE_URL, its password, --help.

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    export PGHOST=$CLUSTER_SOCKET PGPORT=$CLUSTER_PORT PGUSER=$CLUSTER_USER PGDATABASE=scripts_apply
    DATABASE_URL=$(cluster_url scripts_apply)
    export DATABASE_URL
}

readonly SCRIPTS=(apply-migration deploy-infrastructure setup-infrastructure start-rollout quick-status)

@test "without DATABASE_URL every script says how to set it, and ends with 78" {
    local name argument
    for name in "${SCRIPTS[@]}"; do
        for argument in '' --dry-run; do
            run env -u DATABASE_URL "$REPOSITORY/scripts/$name.sh" ${argument:+"$argument"}
            equal "$status" 78 "$name $argument"
            has "$name.sh: DATABASE_URL is not set" 'export DATABASE_URL=postgresql://'
        done
    done
}

@test "every script has --help, and 64 for what it does not know" {
    local name
    for name in "${SCRIPTS[@]}"; do
        run typed "$name" --help
        equal "$status" 0
        has "Usage: DATABASE_URL=... ./scripts/$name.sh" --dry-run
        fits "$(cut -c 1-80 <<<"$output")"
        run typed "$name" --what
        equal "$status" 64
        has "what is --what?; see $name.sh --help"
    done
    run typed apply-migration --schema
    equal "$status" 64
    has '--schema needs a value'
    run typed deploy-infrastructure --functions-url --dry-run
    equal "$status" 64
}

@test "a password is in no argument and in no output" {
    local url form
    # A server of its own that asks for one, and a psql that says what it was called with.
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\necho "$@" >>%q\nexec %q "$@"\n' "$BATS_TEST_TMPDIR/arguments" "$(command -v psql)" \
        >"$BATS_TEST_TMPDIR/bin/psql"
    chmod +x "$BATS_TEST_TMPDIR/bin/psql"
    empty_database scripts_apply
    sql "CREATE EXTENSION webhook_routing" \
        "DROP ROLE IF EXISTS scripts_secret" "CREATE ROLE scripts_secret LOGIN SUPERUSER PASSWORD 's3 cr@t/%'"
    sed -i '1i local all scripts_secret scram-sha-256' "$CLUSTER_HOME/data/pg_hba.conf"
    server reload
    url="postgresql://scripts_secret:s3%20cr%40t%2F%25@/scripts_apply?host=${CLUSTER_SOCKET//\//%2F}&port=$CLUSTER_PORT"
    for form in "$url" \
        "postgresql:///scripts_apply?password=s3%20cr%40t%2F%25&user=scripts_secret&host=${CLUSTER_SOCKET//\//%2F}&port=$CLUSTER_PORT" \
        "host=$CLUSTER_SOCKET port=$CLUSTER_PORT user=scripts_secret password='s3 cr@t/%' dbname=scripts_apply"; do
        DATABASE_URL=$form PATH=$BATS_TEST_TMPDIR/bin:$PATH run typed quick-status --no-forwarder
        echo "$output"
        equal "$status" 0 "$form"
        has_not 's3 ' 's3%20' cr@t
        [[ -s $BATS_TEST_TMPDIR/arguments ]]
        run grep -E 's3 |s3%20|cr@t' "$BATS_TEST_TMPDIR/arguments"
        equal "$status" 1
    done
    # A wrong one is refused, not shown; what cannot be read is not quoted either.
    DATABASE_URL=${url/s3/wrong} run typed apply-migration
    equal "$status" 77
    has 'the database refuses the login that DATABASE_URL names' 'password authentication failed'
    has_not wrong cr%40t
    for form in 'postgresql://u:s3@cret@h/db' 'postgresql://u:s3/cret@h/db' 'postgresql://u:s3%zzcret@h/db'; do
        DATABASE_URL=$form run typed apply-migration
        equal "$status" 78
        has_not cret s3
    done
    sed -i 1d "$CLUSTER_HOME/data/pg_hba.conf"
    server reload
}

@test "a dry run on an empty database shows what it would do, and changes nothing" {
    local before
    empty_database scripts_apply
    before=$(everything)
    run typed apply-migration --dry-run
    equal "$status" 0
    has 'CREATE EXTENSION webhook_routing SCHEMA :"schema";' 'SELECT * FROM routing_maintain();' \
        'A dry run: nothing was changed'
    equal "$(everything)" "$before"
}

@test "an empty database gets the extension, verified; a second run finds it there" {
    local once
    empty_database scripts_apply
    run typed apply-migration
    echo "$output"
    equal "$status" 0
    has 'creating it in public' 'they compile, and a webhook is decided' 'there is a partition for today' \
        'nothing is granted to PUBLIC' 'percentage         0.00' 'domains            {jobs,marketplace,property}'
    sql "SELECT update_routing_percentage(12.5, 'before the second run')" >/dev/null
    once=$(everything)
    run typed apply-migration
    equal "$status" 0
    has 'version 0.1.0 is in public' 'percentage         12.50'
    equal "$(everything)" "$once"
    run typed apply-migration --dry-run
    equal "$status" 0
    has 'ALTER EXTENSION webhook_routing UPDATE;'
    equal "$(everything)" "$once"
}

@test "a dry run complains of nothing that the run itself would make" {
    local before
    empty_database scripts_apply
    sql "CREATE EXTENSION webhook_routing"
    before=$(everything)
    run typed apply-migration --dry-run
    echo "$output"
    equal "$status" 0
    has 'they compile, and a webhook is decided' 'A dry run: nothing was changed'
    has_not 'there is a partition for today'
    equal "$(everything)" "$before"
}

@test "another schema, of a name that has to be quoted, is found again by every script" {
    empty_database scripts_apply
    run typed apply-migration --schema 'routing of webhooks'
    equal "$status" 0
    run typed quick-status --no-forwarder
    equal "$status" 0
    has DISABLED
    equal "$(sql "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
                   WHERE extname = 'webhook_routing'")" 'routing of webhooks'
}

@test "what stands in the way is named, and nothing is changed" {
    empty_database scripts_apply
    # Tables of the same names
    sql "CREATE TABLE webhook_routing_config (id integer)"
    run typed apply-migration
    equal "$status" 78
    has "tables of the same name that are not the extension's: webhook_routing_config" docs/migrating.md
    sql "DROP TABLE webhook_routing_config"
    # No superuser
    sql "SELECT 'CREATE ROLE scripts_ordinary LOGIN' WHERE to_regrole('scripts_ordinary') IS NULL \gexec"
    DATABASE_URL=$(cluster_url scripts_apply scripts_ordinary) run typed apply-migration
    equal "$status" 77
    has 'only a superuser can create or update'
    # Another encoding
    cluster_psql postgres -c "DROP DATABASE IF EXISTS scripts_latin" \
        -c "CREATE DATABASE scripts_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    DATABASE_URL=$(cluster_url scripts_latin) run typed apply-migration
    equal "$status" 78
    has 'the database is in LATIN1' "ENCODING 'UTF8'"
    # Another function of the same name, so that CREATE EXTENSION fails
    sql "CREATE FUNCTION routing_maintain() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    run typed apply-migration
    equal "$status" 69
    has 'already exists' 'the change failed, nothing is changed'
    equal "$(sql "SELECT count(*) FROM pg_extension WHERE extname = 'webhook_routing'")" 0
}
