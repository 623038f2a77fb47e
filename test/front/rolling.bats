#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Two forwarders behind a front, restarted one after the other while webhooks keep coming. Each opens its own
# port, so that between two starts of one nothing listens there.

setup_file() {
    load helper
    export STACK=$BATS_FILE_TMPDIR
    stack_start e2e_tls_rolling
    forwarder_stop
    front_certificate
}

teardown_file() {
    load helper
    process_stop "$STACK/functions.pid"
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    TOP=$STACK
}

teardown() {
    front_stop "$KIND"
    process_stop "$TOP/one/forwarder.pid"
    process_stop "$TOP/two/forwarder.pid"
    rm -rf "$TOP/one" "$TOP/two"
}

# forwarder_named NAME: sets FORWARDER_PORT and ADMIN_PORT, its own at every start
forwarder_named() {
    STACK=$TOP/$1
    if [[ -e $STACK/ports ]]; then
        read -r FORWARDER_PORT ADMIN_PORT <"$STACK/ports"
    else
        mkdir "$STACK"
        cp "$TOP/token" "$STACK/"
        unset FORWARDER_PORT ADMIN_PORT
    fi
    forwarder_spawn
    echo "$FORWARDER_PORT $ADMIN_PORT" >"$STACK/ports"
    wait_until 10 ready_is 200
    STACK=$TOP
}

# rolled: each restarted in turn, twice, the other one when the front has seen this one come back
rolled() {
    local name
    for name in one two one two; do
        process_stop "$TOP/$name/forwarder.pid" 30
        forwarder_named "$name"
        wait_until 20 has_served
    done
}

# found: the front has found a forwarder
found() { curl -s -H 'Host: webhooks.example' "http://127.0.0.1:$PIPE_PORT/" | jq -e .status; }

rolling() {
    local pids run=0
    KIND=$1
    routing 50
    forwarder_named one
    forwarder_named two
    front_start "$KIND" "$(tr ' ' : <"$TOP/one/ports")" "$(tr ' ' : <"$TOP/two/ports")"
    wait_until 20 found
    rolled 3>&- 4>&- &
    pids=$!
    while kill -0 "$pids" 2>/dev/null; do
        run=$((run + 1))
        "$LOAD" --url "http://127.0.0.1:$PIPE_PORT/" --host webhooks.example --requests 400 --concurrency 16 \
            --rate 200 --first "$((run * 1000))" >"$BATS_TEST_TMPDIR/load.json" || {
            cat "$BATS_TEST_TMPDIR/load.json"
            tail -n 20 "$TOP/$KIND.log"
            return 1
        }
    done
    wait "$pids"
    equal "$(seen '"\(.total) \(.repeated_message_ids)"')" "$((run * 400)) 0"
    wait_logged "$((run * 400))"
    equal "$(grep -c '"event":"listening"' "$TOP/one/forwarder.log")" 3 starts
}

@test "nginx: two forwarders restarted in turn under load, no request fails" { rolling nginx; }

@test "HAProxy: two forwarders restarted in turn under load, no request fails" { rolling haproxy; }
