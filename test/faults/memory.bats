#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Fault 49: allocations fail, one after the other, wherever a webhook goes: it is answered 200 or 503,
# or its connection closed; the process never crashes, hangs or leaks, what a function got is logged,
# and the next webhook is served. See short_memory.pl.

setup_file() {
    load helper
    ! is_sanitized || return 0
    stack_start faults_memory
    # What the tests compare with is this file's; the forwarders are each test's.
    forwarder_stop
    gcc -O1 -fno-builtin -shared -fPIC -D_GNU_SOURCE -o "$BATS_FILE_TMPDIR/short_memory.so" \
        "$REPOSITORY/test/faults/short_memory.c"
}

teardown_file() {
    load helper
    ! is_sanitized || return 0
    stack_stop
}

setup() {
    load helper
    skip_sanitized "it has allocations of its own"
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    SPOOL=$BATS_TEST_TMPDIR/spool
    # shellcheck disable=SC2153  # of stack_start
    DATABASE=$(cluster_url "$PGDATABASE" e2e_forwarder)
    WEBHOOK=$FIXTURES/text.json
}

teardown() { own_forwarder_stop; }

# short OPTION... -- FORWARDER ARGUMENT...
short() {
    local options=()
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    DATABASE_URL=$DATABASE PGOPTIONS='' "$REPOSITORY/test/faults/short_memory.pl" \
        --library "$BATS_FILE_TMPDIR/short_memory.so" --control "$CONTROL_URL" --port "$FORWARDER_PORT" --body "$WEBHOOK" \
        "${options[@]}" -- "${FORWARDER:-$REPOSITORY/build/webhook-forwarder}" \
        --listen "127.0.0.1:$FORWARDER_PORT" --admin-listen "127.0.0.1:$ADMIN_PORT" \
        --functions-url "$FUNCTIONS_URL" --verify-token-file "$STACK/token" --spool-directory "$SPOOL" \
        --workers 1 --log-interval 1ms --decide-timeout 1s --log-level error \
        --breaker-failures 1000000 --breaker-minimum 1000000 "$@" 2>"$BATS_TEST_TMPDIR/forwarder.log" || {
        tail -n 40 "$BATS_TEST_TMPDIR/forwarder.log"
        return 1
    }
}

# all_logged: whatever a function has received is in the log, sooner or later
all_logged() {
    seen '.requests[].headers[] | select(.[0] == "X-Correlation-ID") | .[1]' | sort -u >"$BATS_TEST_TMPDIR/received"
    [[ -s $BATS_TEST_TMPDIR/received ]]
    wait_until 30 none_missing || {
        missing
        return 1
    }
}
missing() {
    comm -23 "$BATS_TEST_TMPDIR/received" \
        <(sql "SELECT DISTINCT correlation_id FROM webhook_routing_logs WHERE correlation_id IS NOT NULL" | sort -u)
}
none_missing() { [[ -z $(missing) ]]; }

# sweep [-- FORWARDER ARGUMENT...]: one allocation after the other, alone and with all that follow
sweep() {
    short "${OPTIONS[@]}" "$@"
    short --on "${OPTIONS[@]}" "$@"
    with_database all_logged # what had no link to the database at the end is in the spool
}

# with_database COMMAND...: while a forwarder has spool and database, and all the memory that it wants
with_database() (
    own_forwarder --spool-directory "$SPOOL"
    "$@"
    own_forwarder_stop
    rm -rf "$BATS_TEST_TMPDIR/own"
)

@test "fault 49: a webhook that is decided, relayed and logged" {
    OPTIONS=()
    sweep --
}

# bats test_tags=long
@test "fault 49: a webhook that falls back" {
    # Without memory for the rows of the fallback there is none: the function's own answer it is.
    OPTIONS=(--also 500)
    routing 100
    behave 'name=wa-webhook-unified&status=500'
    sweep --
}

# bats test_tags=long
@test "fault 49: a mixed batch that is taken apart" {
    local secret=4c1f2ad1e0d94a0b8d3f5f0c7e6a9b21
    printf '%s\n' "$secret" >"$BATS_TEST_TMPDIR/app-secrets"
    WEBHOOK=$FIXTURES/several_senders_mixed.json
    OPTIONS=(--header "X-Hub-Signature-256: sha256=$(openssl dgst -sha256 -mac HMAC -macopt "key:$secret" -r "$WEBHOOK" | cut -d ' ' -f 1)")
    sweep -- --app-secret-file "$BATS_TEST_TMPDIR/app-secrets"
}

@test "fault 49: the spool is unusable: committed in the database before the relay" {
    OPTIONS=(--health degraded)
    sweep -- --spool-directory /dev/null/none
}

@test "fault 49: without a database: decided by the last rules, stored from the spool later" {
    OPTIONS=(--health degraded)
    with_database wait_rules # which it leaves in the spool's directory
    DATABASE="host=127.0.0.1 port=$(free_port) dbname=none"
    short "${OPTIONS[@]}" --
    short --on "${OPTIONS[@]}" --
    with_database all_logged
}

# start_short [OPTION]...: a start for each allocation, which fails alone, then with all that follow
start_short() {
    short --start --own "$@" --
    short --start --own --on "$@" --
}

# bats test_tags=long
@test "fault 49: a start either ends with 69 or 78, or serves" {
    start_short
}

# left_behind: $LEFT becomes the spool of a forwarder that was killed before it had stored two rows
left_behind() (
    printf 'host=127.0.0.1 port=%s dbname=none\n' "$(free_port)" >"$BATS_TEST_TMPDIR/no-database"
    own_stack
    EXPECTED_HEALTH=degraded forwarder_start --spool-directory "$LEFT" --database-url-file "$BATS_TEST_TMPDIR/no-database"
    post "$FIXTURES/text.json" -H 'X-Correlation-ID: left-1'
    post "$FIXTURES/text.json" -H 'X-Correlation-ID: left-2'
    kill -KILL "$(forwarder_pid)"
    wait_until 20 process_ended "$STACK/forwarder.pid"
    rm -rf "$BATS_TEST_TMPDIR/own"
)

# prepare_left: the command that puts $LEFT into the spool's place before a start. It fails when the
# start before has lost what was there: neither stored it nor kept it.
prepare_left() {
    cat >"$BATS_TEST_TMPDIR/prepare" <<EOT
#!/usr/bin/env bash
set -euo pipefail
segment=$SPOOL/$(basename "$LEFT"/*.spool)
stored=\$(psql -X -At -c "WITH gone AS (DELETE FROM webhook_routing_logs RETURNING correlation_id)
    SELECT count(*) FROM gone WHERE correlation_id LIKE 'left-%'")
((stored == 2)) || [[ ! -d $SPOOL || -e \$segment ]]
[[ -z \$(find "$SPOOL/set-aside" -type f 2>/dev/null) ]]
rm -rf "$SPOOL"
cp -a "$LEFT" "$SPOOL"
EOT
    chmod +x "$BATS_TEST_TMPDIR/prepare"
    printf '%s\n' "$BATS_TEST_TMPDIR/prepare"
}

# bats test_tags=long
@test "fault 49: a start that replays the spool: what it does not store it keeps" {
    LEFT=$BATS_TEST_TMPDIR/left
    left_behind
    start_short --prepare "$(prepare_left)"
    "$BATS_TEST_TMPDIR/prepare"
}
