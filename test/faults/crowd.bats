#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Many clients at once, beside 200 webhooks a second that must hardly notice: how much memory they take,
# how long the others wait, that nothing is lost, and that what is too much is told to come again. Each
# crowd has a forwarder of its own. The tests that are tagged `long` want a machine with nothing else to do.

# shellcheck disable=SC2030,SC2031  # bats runs each test in a process of its own
bats_require_minimum_version 1.5.0

setup_file() {
    load helper
    stack_start faults_crowd
    # What the tests compare with is this file's; the forwarder is each test's.
    forwarder_stop
    # Bodies of 3 MB are many bytes to keep.
    process_stop "$STACK/functions.pid"
    functions_start --workers 2
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    SECONDS_OF_LOAD=8
}

teardown() {
    crowds_stop
    own_forwarder_stop
}

# beside NAME FIRST: 200 webhooks a second for a while, each sent until it is answered 200
beside() {
    "$LOAD" --url "$FORWARDER_URL/" --requests $((200 * SECONDS_OF_LOAD)) --concurrency 64 --rate 200 --retry 100 \
        --first "$2" >"$BATS_TEST_TMPDIR/$1.json"
}

# p99_us NAME...: the longest of them
p99_us() {
    local name
    for name in "$@"; do
        jq '.latency_ms.p99 * 1000 | floor' "$BATS_TEST_TMPDIR/$name.json"
    done | sort -n | tail -n 1
}

# unmoved NAME QUIET...: the crowd costs the others little. STRICT: no more than twice the quiet p99, or than
# 3 ms more where that is more. Twice a quiet p99 of less than 1 ms is less than what two cores take to share
# themselves among load, forwarder, database and functions while these read 3 MB; 3 ms is what the forwarder
# may add to a webhook at all.
unmoved() {
    local quiet crowded
    crowded=$(p99_us "$1")
    quiet=$(p99_us "${@:2}")
    echo "# $1: p99 $crowded us, quiet $quiet us" >&3
    if [[ -n ${STRICT:-} ]]; then
        between "$crowded" 0 $((quiet > 3000 ? 2 * quiet : quiet + 3000)) us
    else
        between "$crowded" 0 $((10 * quiet + 500000)) us
    fi
}

# all_arrived N: so many messages, each once at its function and at least once in the log
all_arrived() {
    equal "$(seen '"\(.distinct_message_ids) \(.repeated_message_ids)"')" "$1 0" 'messages'
    wait_logged "$1"
    equal "$(sql "SELECT count(DISTINCT message_id), count(*) FILTER (WHERE status = 'success') FROM webhook_routing_logs")" "$1|$1"
}

# grown_kb: memory that the forwarder has taken at most since $BEFORE
grown_kb() { echo $(($(memory_kb VmHWM) - BEFORE)); }

idle_crowd() {
    skip_sanitized "memory and times are measured"
    (($(ulimit -Hn) > 11000)) || skip "only $(ulimit -Hn) open files are allowed here"
    own_forwarder --idle-timeout 300s --header-timeout 300s
    beside quiet 31000000
    BEFORE=$(memory_kb VmHWM)
    crowd_start idle 5000
    beside idle 31100000
    # A connection's memory is libmicrohttpd's 16 KiB and what surrounds it.
    echo "# 5,000 idle connections: $(grown_kb) KB" >&3
    between "$(grown_kb)" 0 $((5000 * 24)) KB
    equal "$(crowd_stop idle)" 5000
    beside after 31200000
    unmoved idle quiet after
    all_arrived $((600 * SECONDS_OF_LOAD))
}

slow_crowd() {
    skip_sanitized "memory and times are measured"
    own_forwarder --receive-timeout 300s
    beside quiet 32000000
    BEFORE=$(memory_kb VmHWM)
    crowd_start body 1000
    beside slow 32100000
    # ... and a body's first 16 KiB, of --max-buffer.
    echo "# 1,000 slow clients: $(grown_kb) KB" >&3
    between "$(grown_kb)" 0 $((1000 * 64)) KB
    equal "$(crowd_stop body)" 1000
    beside after 32200000
    unmoved slow quiet after
    all_arrived $((600 * SECONDS_OF_LOAD))
}

# large_crowd LOAD'S ARGUMENT...: 200 messages of 3 MB from 200 clients
large_crowd() {
    local crowd
    skip_sanitized "memory and times are measured"
    own_forwarder --max-buffer 64MiB
    beside quiet 33000000
    BEFORE=$(memory_kb VmHWM)
    "$LOAD" --url "$FORWARDER_URL/" --requests 200 --concurrency 200 --size 3000000 --first 33500000 \
        --retry 1000 --timeout 120 "$@" >"$BATS_TEST_TMPDIR/crowd.json" 3>&- &
    crowd=$!
    sleep 1
    beside large 33100000
    wait "$crowd"
    beside after 33200000
    # Bodies are at most --max-buffer; an allocator that keeps freed pieces makes that twice as much, and
    # sockets' and libcurl's buffers come on top.
    echo "# 200 clients with 3 MB: $(grown_kb) KB for 65536 KB of bodies; $(jq -c .statuses "$BATS_TEST_TMPDIR/crowd.json") in $(jq .seconds "$BATS_TEST_TMPDIR/crowd.json") s" >&3
    between "$(grown_kb)" 0 $((65536 * 5 / 2)) KB
    equal "$(jq -r '.statuses | keys - ["200", "503"] | join(" ")' "$BATS_TEST_TMPDIR"/{crowd,large}.json | xargs)" ''
    all_arrived $((600 * SECONDS_OF_LOAD + 200))
}

@test "fault 58: 5,000 idle connections beside 200 webhooks a second" { idle_crowd; }

@test "fault 55, 56: 1,000 slow clients beside 200 webhooks a second" { slow_crowd; }

@test "fault 48: 200 clients with 3 MB at once, for which there is no room: come again, all arrive" {
    large_crowd
    jq -e '.statuses["503"] > 0' "$BATS_TEST_TMPDIR/crowd.json"
    # The machine has other things to do than these 600 MB, but none of these webhooks waits for a deadline.
    between "$(p99_us large)" 0 9000000 us
    still_serves
}

# bats test_tags=long
@test "5,000 idle connections: the others' p99 is within twice the quiet one, or 3 ms more" {
    SECONDS_OF_LOAD=30 STRICT=yes
    idle_crowd
}

# bats test_tags=long
@test "1,000 slow clients: the others' p99 is within twice the quiet one, or 3 ms more" {
    SECONDS_OF_LOAD=30 STRICT=yes
    slow_crowd
}

# bats test_tags=long
@test "200 clients with 3 MB, seven a second: the others' p99 is within twice the quiet one, or 3 ms more" {
    SECONDS_OF_LOAD=30 STRICT=yes
    large_crowd --rate 7
    unmoved large quiet after
}

# answers STATUS: how many of answer.* have it
answers() { cat "$BATS_TEST_TMPDIR"/answer.* | { grep -ac "^HTTP/1.1 $1" || true; }; }

# told_to_come_again N: of answer.*, some are 200, all others 503 with Retry-After
told_to_come_again() {
    local all=$1 good busy
    good=$(answers 200)
    busy=$(answers 503)
    echo "$good served, $busy refused"
    equal $((good + busy)) "$all" answers
    ((good > 0 && busy > 0))
    equal "$(cat "$BATS_TEST_TMPDIR"/answer.* | grep -aic '^Retry-After: 1')" "$busy" 'Retry-After'
}

@test "webhooks beyond --max-in-flight are 503 with Retry-After, functions do not see them, and it recovers" {
    local i pids=() files=()
    own_forwarder --max-in-flight 10
    # Longer than it takes to start the clients, on any machine.
    behave 'delay_ms=5000'
    for ((i = 0; i < 50; i++)); do
        files+=("$(text 'I need a job')")
    done
    for ((i = 0; i < 50; i++)); do
        curl -s -D "$BATS_TEST_TMPDIR/answer.$i" -o /dev/null --data-binary "@${files[i]}" "$FORWARDER_URL/" 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    told_to_come_again 50
    equal "$(seen .total)" "$(answers 200)" 'requests at the functions'
    wait_logged "$(seen .total)"
    behave 'delay_ms=0'
    still_serves
    "$LOAD" --url "$FORWARDER_URL/" --requests 500 --concurrency 50 --retry 100 --first 34000000 >/dev/null
}
