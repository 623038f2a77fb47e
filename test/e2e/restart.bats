#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Sockets that are opened outside (systemd's socket units): the forwarder is restarted again and again
# under load, and no request fails; what it says to the service manager; sockets that are of no use.

bats_require_minimum_version 1.5.0

setup_file() {
    load helper
    stack_start e2e_restart
    forwarder_stop
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
}

teardown() {
    process_stop "$BATS_TEST_TMPDIR/keeper.pid" 30
    own_forwarder_stop
}

# keeper RESTARTS SOCKETS [ARGUMENT]...: keeps the sockets on our ports, and restarts the forwarder
keeper() {
    local restarts=$1 sockets=$2
    shift 2
    DATABASE_URL=$(cluster_url "$PGDATABASE" e2e_forwarder) PGOPTIONS='' KEEP_SOCKET_DIR=$BATS_TEST_TMPDIR \
        process_start "$BATS_TEST_TMPDIR/keeper.pid" "$BATS_TEST_TMPDIR/keeper.log" \
        "$REPOSITORY/test/e2e/keep_socket.pl" "$FORWARDER_PORT" "$ADMIN_PORT" "$restarts" "$sockets" \
        "${FORWARDER:-$REPOSITORY/build/webhook-forwarder}" --listen 127.0.0.1:1 --admin-listen 127.0.0.1:1 \
        --functions-url "$FUNCTIONS_URL" --verify-token-file "$STACK/token" --spool-directory "$BATS_TEST_TMPDIR/spool" "$@"
    wait_until 20 grep READY=1 "$BATS_TEST_TMPDIR/keeper.log"
}

kept() { grep -c "$1" "$BATS_TEST_TMPDIR/keeper.log" || true; }

# restarted RESTARTS SOCKETS WORKERS: under load all the time, which has to have every answer be 200
restarted() {
    local run=0
    routing 50
    keeper "$1" "$2" --workers "$3"
    until [[ $(kept '^done$') == 1 ]]; do
        run=$((run + 1))
        "$LOAD" --url "$FORWARDER_URL/" --requests 600 --concurrency 16 --rate 300 --first "$((run * 1000))" \
            >"$BATS_TEST_TMPDIR/load.json" || {
            cat "$BATS_TEST_TMPDIR/load.json"
            tail -n 30 "$BATS_TEST_TMPDIR/keeper.log"
            return 1
        }
        equal "$(jq -c '[.statuses, .broken, .refused]' "$BATS_TEST_TMPDIR/load.json")" '[{"200":600},0,0]'
    done
    equal "$(kept '^ended status=0$')" "$1"
    equal "$(kept '^not ready$')" 0
    equal "$(seen '.repeated_message_ids')" 0
    equal "$(seen '.total')" "$((run * 600))"
    wait_logged "$((run * 600))"
}

@test "ten restarts under load, a socket for all workers: no request fails" { restarted 10 1 2; }

@test "three restarts under load, a socket for each worker: no request fails" { restarted 3 2 2; }

# bats test_tags=long
@test "twenty restarts under load: no request fails" { restarted 20 1 2; }

@test "while it drains: a kept connection is answered once more and told to close, and the successor waits for the spool" {
    local first=$BATS_TEST_TMPDIR/first leaving=$BATS_TEST_TMPDIR/leaving pid asking=()
    behave 'delay_ms=3000'
    own_stack
    forwarder_start
    pid=$(forwarder_pid)
    post "$(text 'I need a job')" 3>&- 4>&- & # keeps it draining
    asking=($!)
    "$REPOSITORY/test/faults/wire.pl" "$FORWARDER_PORT" 'send:GET / HTTP/1.1\r\nHost: a\r\n\r\n' "until:$leaving" \
        'send:GET / HTTP/1.1\r\nHost: a\r\n\r\n' read:10000 >"$first" 3>&- 4>&- &
    asking+=($!)
    wait_until 20 grep -a '^HTTP/1.1 200' "$first"
    wait_seen .total 1
    kill -TERM "$pid"
    wait_until 20 grep '"event":"draining"' "$STACK/forwarder.log"
    : >"$leaving"
    mv "$STACK/forwarder.pid" "$STACK/leaving.pid"
    unset FORWARDER_PORT ADMIN_PORT # a port of its own, as with sockets from outside
    forwarder_spawn
    wait_until 20 grep '"event":"spool_locked"' "$STACK/forwarder.log"
    wait "${asking[@]}"
    wait_until 30 health_is healthy
    # Two answers; the second closes.
    equal "$(tr -d '\r' <"$first" | grep -acE '^HTTP/1.1 200')" 2 answers
    equal "$(tr -d '\r' <"$first" | grep -aic '^Connection: close')" 1 'closing answers'
    grep -a '^closed' "$first"
    wait_logged 1
    forwarder_stop
    behave 'delay_ms=0'
}

in_hand() { curl -s "$ADMIN_URL/metrics" | grep '^webhook_forwarder_in_flight_webhooks 1$'; }

nobody_listens() { ! curl -s -o /dev/null "$FORWARDER_URL/"; }

@test "without sockets from outside: a successor that starts while the former drains waits, then serves on its ports" {
    local ports asking
    behave 'delay_ms=8000'
    own_stack
    forwarder_start
    ports="$FORWARDER_PORT $ADMIN_PORT"
    post "$(text 'I need a job')" 3>&- 4>&- & # keeps it draining
    asking=$!
    wait_until 6 in_hand
    kill -TERM "$(forwarder_pid)"
    mv "$STACK/forwarder.pid" "$STACK/leaving.pid"
    wait_until 20 nobody_listens
    forwarder_spawn
    equal "$FORWARDER_PORT $ADMIN_PORT" "$ports"
    wait_until 20 grep '"event":"spool_locked"' "$STACK/forwarder.log"
    behave 'delay_ms=0'
    post "$(text 'I need a job')" # waits in the successor's queue
    equal "$status" 200
    wait "$asking"
    wait_until 30 health_is healthy
    ready_is 200
    wait_logged 2
    forwarder_stop
}

@test "the service manager hears of start, reload, life and end" {
    keeper 0 1
    alive() { (($(kept '^said WATCHDOG=1$') > 2)); }
    wait_until 20 alive
    equal "$(curl -s -o /dev/null -w '%{http_code}' "$ADMIN_URL/livez")" 200
    kill -HUP "$(pgrep -P "$(cut -d ' ' -f 1 "$BATS_TEST_TMPDIR/keeper.pid")")"
    wait_until 20 grep -E '^said RELOADING=1 \| MONOTONIC_USEC=[0-9]+$' "$BATS_TEST_TMPDIR/keeper.log"
    ready_again() { sed '1,/^said RELOADING=1/d' "$BATS_TEST_TMPDIR/keeper.log" | grep -x 'said READY=1'; }
    wait_until 20 ready_again
    process_stop "$BATS_TEST_TMPDIR/keeper.pid" 10
    grep '^ended status=0$' "$BATS_TEST_TMPDIR/keeper.log"
}

# refused SENTENCE FDS NAMES: a forwarder whose file 3 is the caller's says that and ends with 78
refused() {
    local ended=0 said
    # shellcheck disable=SC2016  # its own pid
    said=$(LISTEN_FDS=$2 LISTEN_FDNAMES=$3 bash -c 'LISTEN_PID=$$ exec "$@"' refused \
        "${FORWARDER:-$REPOSITORY/build/webhook-forwarder}" --spool-directory "$BATS_TEST_TMPDIR/spool" 2>&1) || ended=$?
    equal "$ended" 78
    equal "$said" "webhook-forwarder: $1"
}

@test "sockets that cannot be listened on are refused" {
    refused 'LISTEN_FDS: file 3 ("webhooks") is no listening TCP socket' 1 webhooks 3</dev/null
    refused 'LISTEN_FDS: file 3 ("admin") is no listening TCP socket' 1 admin \
        3<>"/dev/tcp/127.0.0.1/${CONTROL_URL##*:}" # connected
    refused 'LISTEN_FDS: file 3 ("") is no listening TCP socket' 1 '' 3>&-
    refused 'LISTEN_FDS: "many" is no number of sockets' many '' 3>&-
}

@test "more sockets than workers are refused" {
    run -1 keeper 0 2 --workers 1
    grep '2 sockets for webhooks, but --workers is 1' "$BATS_TEST_TMPDIR/keeper.log"
}
