#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The forwarder's own process and what the host gives it: files, memory, time, signals. Each test has a
# forwarder of its own.

setup_file() {
    load helper
    stack_start faults_process
    # What the tests compare with is this file's; the forwarder is each test's.
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
    crowds_stop
    own_forwarder_stop
}

HOST='Host: a\r\n'

# cpu_ms: processor time that the forwarder has used
cpu_ms() {
    local stat
    stat=$(<"/proc/$(forwarder_pid)/stat")
    # shellcheck disable=SC2086  # split on purpose
    set -- ${stat##*) }
    echo $(((${12} + ${13}) * 1000 / $(getconf CLK_TCK)))
}

# under LIMIT...: the forwarder of own_forwarder starts under these limits of prlimit
under() {
    export FORWARDER_REAL=${FORWARDER:-$REPOSITORY/build/webhook-forwarder} FORWARDER_LIMITS="$*"
    cat >"$BATS_TEST_TMPDIR/forwarder" <<'EOT'
#!/usr/bin/env bash
# shellcheck disable=SC2086  # split on purpose
exec prlimit $FORWARDER_LIMITS "$FORWARDER_REAL" "$@"
EOT
    chmod +x "$BATS_TEST_TMPDIR/forwarder"
    export FORWARDER=$BATS_TEST_TMPDIR/forwarder
}

@test "fault 42: the drain time is over: non-zero exit, the client is told, the decision is in the log" {
    local pid ended=0 posting
    behave 'delay_ms=4000'
    own_forwarder --drain-timeout 300ms
    pid=$(forwarder_pid)
    curl -s -o /dev/null -w '%{http_code}' --data-binary "@$FIXTURES/text.json" "$FORWARDER_URL/" >"$BATS_TEST_TMPDIR/status" 3>&- &
    posting=$!
    sleep 0.4
    kill -TERM "$pid"
    wait "$pid" || ended=$?
    equal "$ended" 75
    wait "$posting" || true
    equal "$(<"$BATS_TEST_TMPDIR/status")" 503
    wait_logged 1
    equal "$(sql "SELECT status, ambiguous FROM webhook_routing_logs")" 'error|t'
}

@test "fault 47: 64 open files: what does not fit waits, nothing spins, and it recovers" {
    local before
    under --nofile=64
    own_forwarder --header-timeout 2s
    crowd_start idle 200
    before=$(cpu_ms)
    sleep 1
    between "$(($(cpu_ms) - before))" 0 200 'ms of processor time in a second'
    crowd_stop idle >/dev/null
    wait_until 10 serves
    still_serves
}

@test "fault 48: bodies beyond --max-buffer are 503 with Retry-After, and it recovers" {
    local i pids=()
    own_forwarder --max-buffer 8MiB
    for i in 1 2 3 4; do
        "$REPOSITORY/test/faults/wire.pl" "$FORWARDER_PORT" "send:POST / HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 3000000\r\n\r\n" \
            'fill:2999999:a' pause:1000 send:a read:4000 >"$BATS_TEST_TMPDIR/body.$i" 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    cat "$BATS_TEST_TMPDIR"/body.* | grep -ao '^HTTP/1.1 [0-9]*' | sort | uniq -c
    between "$(cat "$BATS_TEST_TMPDIR"/body.* | grep -ac '^HTTP/1.1 503')" 1 3 'refused'
    between "$(cat "$BATS_TEST_TMPDIR"/body.* | grep -ac '^HTTP/1.1 200')" 1 3 'served'
    equal "$(cat "$BATS_TEST_TMPDIR"/body.* | grep -aic '^Retry-After:')" "$(cat "$BATS_TEST_TMPDIR"/body.* | grep -ac '^HTTP/1.1 503')"
    still_serves
}

@test "fault 50: the clock jumps a day, forth and back: deadlines keep, decisions are stored" {
    local library file=$BATS_TEST_TMPDIR/clock
    library=$(compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' | head -n 1) || skip 'faketime is not here'
    echo '+0' >"$file"
    forwarder_with "LD_PRELOAD=$library" "FAKETIME_TIMESTAMP_FILE=$file" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
    own_forwarder
    still_serves
    behave 'delay_ms=700'
    for jump in '+1d' '-1d' '+0'; do
        (sleep 0.3 && echo "$jump" >"$file") 3>&- &
        ms post "$(text 'I need a job')"
        equal "$status" 200
        between "$TOOK_MS" 650 1500 "ms across $jump"
    done
    wait_logged 4
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE status = 'success' AND response_time_ms < 5000")" 4
}
