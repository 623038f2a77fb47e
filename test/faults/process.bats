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

# killed_at_each_moment MOMENTS [ARGUMENT]...: a webhook each time, and a kill before or after the n-th
# call by which the forwarder has an effect outside itself; then what client, function and log know of
# each webhook is compared
killed_at_each_moment() {
    local n kills=0 file=$BATS_TEST_TMPDIR/known
    forwarder_with_moments
    own_forwarder "${@:2}"
    for ((n = 1; n <= $1; n++)); do
        moments_left "$n"
        post "$(text 'I need a job')" -H "X-Correlation-ID: moment-$n" -m 5
        printf 'moment-%d client %s\n' "$n" "$status" >>"$file"
        # The log is written 50 ms later.
        run wait_until 2 process_ended "$STACK/forwarder.pid"
        moments_left 0
        if process_ended "$STACK/forwarder.pid"; then
            kills=$((kills + 1))
            forwarder_start "${@:2}"
        fi
    done
    echo "$kills kills"
    between "$kills" "$(($1 * 2 / 3))" "$1" 'kills'
    wait_until 30 no_segment
    seen '.requests[].headers[] | select(.[0] == "X-Correlation-ID") | .[1] + " function received"' >>"$file"
    sql "SELECT correlation_id || ' log ' || status || ' ' || coalesce(http_status::text, '-') || ' ' || ambiguous
         FROM webhook_routing_logs" >>"$file"
    sort -V "$file"
    equal "$(deviations <"$file")" ''
}

no_segment() { [[ -z $(find "$STACK/spool" -maxdepth 1 -name '*.spool') ]]; }

# deviations: what client, function and log must not say of one webhook
deviations() {
    awk '
        $2 == "client"   { client[$1] = $3 }
        $2 == "function" { received[$1]++ }
        $2 == "log"      { rows[$1]++; said[$1] = $3 " " $4 " " $5 }
        END {
            for (id in client) {
                if (rows[id] > 1) print id, "is in the log", rows[id], "times"
                if (received[id] > 1) print id, "was received", received[id], "times"
                if (received[id] && !rows[id]) print id, "was received, and is not in the log"
                if (client[id] == 200 && said[id] != "success 200 false") print id, "was answered, and the log says", said[id]
                if (rows[id] && said[id] != "success 200 false" && said[id] != "error - true") print id, "ended as", said[id]
                if (said[id] == "success 200 false" && !received[id]) print id, "succeeded, and was not received"
            }
        }'
}

@test "fault 37, 38: killed before and after each thing that it does for a webhook: logged once, relayed once" {
    killed_at_each_moment 24
}

# bats test_tags=long
@test "fault 37, 38: the same with --spool-sync wait" {
    killed_at_each_moment 32 --spool-sync wait
}

@test "fault 42: the drain time is over: non-zero exit, the client is told, the decision is in the log" {
    local pid ended=0 posting
    behave 'delay_ms=4000'
    own_forwarder --drain-timeout 300ms
    pid=$(forwarder_pid)
    curl -s -o /dev/null -w '%{http_code}' --data-binary "@$FIXTURES/text.json" "$FORWARDER_URL/" >"$BATS_TEST_TMPDIR/status" 3>&- &
    posting=$!
    wait_seen .total 1
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
    ms sleep 1
    between "$((($(cpu_ms) - before) * 1000 / TOOK_MS))" 0 200 'ms of processor time in a second'
    crowd_stop idle >/dev/null
    wait_until 30 serves
    still_serves
}

@test "fault 47: 64 open files under load: whoever is served is served once, and the log is complete" {
    under --nofile=64
    own_forwarder
    behave 'delay_ms=50'
    # Far more clients and attempts than files; who is sent away comes again.
    "$LOAD" --url "$FORWARDER_URL/" --requests 500 --concurrency 200 --timeout 20 --domain jobs --first 16000000 \
        --retry 1000 >"$BATS_TEST_TMPDIR/load.json" 3>&- 4>&-
    equal "$(jq '.statuses["200"]' "$BATS_TEST_TMPDIR/load.json")" 500
    equal "$(jq -c '.statuses | keys - ["200", "503"]' "$BATS_TEST_TMPDIR/load.json")" '[]' 'other answers'
    behave 'delay_ms=0'
    wait_until 30 serves
    still_serves
    equal "$(seen .distinct_message_ids)" 501
    wait_until 30 all_logged
}

# all_logged: what the functions have received is in the log, each once
all_logged() {
    [[ $(sql "SELECT count(*), count(DISTINCT id) FROM webhook_routing_logs WHERE status = 'success' OR ambiguous") == "$(seen '"\(.total)|\(.total)"')" ]]
}

# limited RESOURCE VALUE: for the forwarder that runs
limited() { prlimit --pid "$(forwarder_pid)" "--$1=$2"; }

@test "fault 48: no more memory to be had, under load: 5xx, the log is complete, and it recovers" {
    skip_sanitized "it reserves more addresses than the limit"
    own_forwarder
    # Warm: threads and pools are there.
    "$LOAD" --url "$FORWARDER_URL/" --requests 300 --concurrency 16 --first 17000000 >/dev/null
    wait_logged 300
    limited as "$((($(memory_kb VmSize) + 8000) * 1024)):unlimited"
    "$LOAD" --url "$FORWARDER_URL/" --requests 150 --concurrency 64 --size 3000000 --first 16000000 --timeout 20 \
        --log "$BATS_TEST_TMPDIR/answers" >"$BATS_TEST_TMPDIR/load.json" 3>&- 4>&- || true
    limited as unlimited
    cat "$BATS_TEST_TMPDIR/load.json"
    between "$(jq '.statuses["200"] // 0' "$BATS_TEST_TMPDIR/load.json")" 1 149 'served'
    # 502: a function's answer found no room.
    equal "$(jq -c '[.broken, (.statuses | keys - ["200", "502", "503"])]' "$BATS_TEST_TMPDIR/load.json")" '[0,[]]' 'other answers'
    still_serves
    wait_until 30 all_logged
}

@test "fault 48: bodies beyond --max-buffer are 503 with Retry-After, and it recovers" {
    local i pids=()
    own_forwarder --max-buffer 8MiB
    for i in 1 2 3 4; do
        "$REPOSITORY/test/faults/wire.pl" "$FORWARDER_PORT" "send:POST / HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 3000000\r\n\r\n" \
            'fill:2999999:a' "tell:$BATS_TEST_TMPDIR/sent.$i" "until:$BATS_TEST_TMPDIR/go" send:a read:20000 >"$BATS_TEST_TMPDIR/body.$i" 3>&- &
        pids+=($!)
    done
    all_sent() { [[ $(find "$BATS_TEST_TMPDIR" -name 'sent.*' | wc -l) == 4 ]]; }
    wait_until 20 all_sent
    : >"$BATS_TEST_TMPDIR/go"
    wait "${pids[@]}"
    cat "$BATS_TEST_TMPDIR"/body.* | grep -ao '^HTTP/1.1 [0-9]*' | sort | uniq -c
    between "$(cat "$BATS_TEST_TMPDIR"/body.* | grep -ac '^HTTP/1.1 503')" 1 3 'refused'
    between "$(cat "$BATS_TEST_TMPDIR"/body.* | grep -ac '^HTTP/1.1 200')" 1 3 'served'
    equal "$(cat "$BATS_TEST_TMPDIR"/body.* | grep -aic '^Retry-After:')" "$(cat "$BATS_TEST_TMPDIR"/body.* | grep -ac '^HTTP/1.1 503')"
    still_serves
}

@test "fault 50: the clock jumps a day, forth and back: deadlines keep, decisions are stored" {
    local library file=$BATS_TEST_TMPDIR/clock
    skip_sanitized "it has to be the first library of the program"
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
        between "$TOOK_MS" 650 9000 "ms across $jump"
    done
    wait_logged 4
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE status = 'success' AND response_time_ms < 9000")" 4
}

# units_staged: the installed units in a folder of this test, with the staged program
units_staged() {
    local from=$CLUSTER_HOME/stage/usr/local
    sed "s|=/usr/local/bin/|=$from/bin/|" "$from/lib/systemd/system/webhook-forwarder.service" \
        >"$BATS_TEST_TMPDIR/webhook-forwarder.service"
    cp "$from/lib/systemd/system/webhook-forwarder.socket" "$BATS_TEST_TMPDIR/"
}

@test "fault 108: the unit is sound, and its exposure 2.0 or better" {
    units_staged
    systemd-analyze verify --man=no "$BATS_TEST_TMPDIR/webhook-forwarder.service" 2>&1 | tee "$BATS_TEST_TMPDIR/verify"
    equal "$(<"$BATS_TEST_TMPDIR/verify")" ''
    # The threshold is in tenths.
    systemd-analyze security --offline=true --threshold=20 "$BATS_TEST_TMPDIR/webhook-forwarder.service"
}

# system_calls GROUP: its system calls, and those of the groups in it, each once
system_calls() {
    local member
    # The group's own line, its description, then its members.
    for member in $(systemd-analyze syscall-filter "$1" | sed -n '2,$s/^ *\([-@_a-z0-9]*\)$/\1/p'); do
        if [[ $member == @* ]]; then
            system_calls "$member"
        else
            printf '%s\n' "$member"
        fi
    done | sort -u
}

@test "fault 108: the unit lets every system call through that the forwarder makes" {
    local file=$BATS_TEST_TMPDIR/calls
    skip_sanitized "it is traced already"
    grep -x 'SystemCallFilter=@system-service' "$REPOSITORY/forwarder/systemd/webhook-forwarder.service"
    grep -x 'SystemCallFilter=~@privileged' "$REPOSITORY/forwarder/systemd/webhook-forwarder.service"
    forwarder_with strace -D -f -qq -o "$file.log"
    own_forwarder
    routing 50
    for _ in 1 2 3; do
        post "$(text 'I need a job')"
        equal "$status" 200
    done
    curl -fsS "$ADMIN_URL/livez" "$ADMIN_URL/metrics" >/dev/null
    kill -HUP "$(forwarder_pid)"
    wait_until 30 grep secrets_reloaded "$STACK/forwarder.log"
    forwarder_stop
    sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' "$file.log" | sort -u >"$file"
    between "$(wc -l <"$file")" 30 200 'system calls'
    comm -23 <(system_calls @system-service) <(system_calls @privileged) >"$file.allowed"
    equal "$(comm -23 "$file" "$file.allowed" | xargs)" '' 'what the unit would refuse'
}
