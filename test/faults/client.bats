#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Clients that go away, stall, flood or never listen: their own request may suffer, nobody else's. The
# forwarder's deadlines are short here, so that real time can be waited for.

setup_file() {
    load helper
    ulimit -n "$(ulimit -Hn)"
    stack_start faults_client --header-timeout 1s --receive-timeout 1500ms --send-timeout 1s --idle-timeout 2s \
        --max-reply 32MiB
    chaos_start client "127.0.0.1:$FORWARDER_PORT"
}

teardown_file() {
    load helper
    chaos_stop client
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    chaos client plain
    GO=$BATS_TEST_TMPDIR/go # for until: of wire.pl
}

teardown() {
    : >"$BATS_TEST_TMPDIR/go"
    crowds_stop
    own_forwarder_stop
    chaos_stop half-open
}

HOST='Host: a\r\n'

@test "fault 52: a client that is gone in the middle of its body: nothing is forwarded" {
    wire "send:POST / HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\n{\"object\":"
    wire "send:POST / HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\n{\"object\":" pause:200 reset
    wire "send:POST / HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\n{\"object\":" end read:1000
    [[ $(wire_statuses) != 2* ]]
    wire "send:POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" end read:1000
    [[ $(wire_statuses) != 2* ]]
    wait_until 20 connections_are "$FORWARDER_PORT" 0
    untouched
    still_serves
}

@test "fault 53: a client that is gone after its request: the attempt is finished and logged" {
    local asking
    behave 'delay_ms=1500'
    wire "send:POST / HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n{}" "until:$GO" reset 3>&- &
    asking=$!
    wait_seen .total 1
    : >"$GO"
    wait "$asking"
    wait_logged 1
    equal "$(sql "SELECT status, http_status, ambiguous FROM webhook_routing_logs")" 'success|200|f'
    equal "$(seen '.total')" 1
}

@test "fault 54: half-open connections are reaped" {
    local port pids=()
    own_forwarder --header-timeout 5s --receive-timeout 5s --idle-timeout 6s
    chaos_start half-open "127.0.0.1:$FORWARDER_PORT"
    port=$(chaos_port half-open)
    # Three stopped in a header, one in a body, one was answered.
    WIRE_PORT=$port crowd_start header 3
    "$REPOSITORY/test/faults/wire.pl" "$port" "send:POST / HTTP/1.1\r\n${HOST}Content-Length: 10\r\n\r\n{" "until:$GO" >/dev/null 3>&- &
    pids+=($!)
    "$REPOSITORY/test/faults/wire.pl" "$port" "send:GET / HTTP/1.1\r\n${HOST}\r\n" "until:$GO" >"$BATS_TEST_TMPDIR/answered" 3>&- &
    pids+=($!)
    wait_until 20 grep -a '^HTTP/1.1 200' "$BATS_TEST_TMPDIR/answered"
    wait_until 20 connections_are "$FORWARDER_PORT" 5
    chaos half-open half-open
    crowd_stop header >/dev/null
    : >"$GO"
    wait "${pids[@]}"
    # Nothing of all this has come through.
    equal "$(connections "$FORWARDER_PORT")" 5
    wait_until 20 connections_are "$FORWARDER_PORT" 0
    untouched
}

@test "fault 55: a header that comes byte by byte is cut off at an absolute deadline" {
    wire "drip:100:POST / HTTP/1.1\r\n${HOST}X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    [[ $WIRE_END != open ]]
    between "$WIRE_MS" 900 6000 'ms until it was cut off, of 9000 for all bytes'
    # The request line has its own second; the fields have theirs.
    wire read:9000
    [[ $WIRE_END != open ]]
    between "$WIRE_MS" 900 9000 'ms of silence'
    untouched
}

@test "fault 56: a body that comes byte by byte is cut off at an absolute deadline" {
    wire "send:POST / HTTP/1.1\r\n${HOST}Content-Length: 1000\r\n\r\n" "drip:50:$(printf 'a%.0s' {1..200})"
    [[ $WIRE_END != open ]]
    between "$WIRE_MS" 1400 7000 'ms until it was cut off, of 10000 for all bytes'
    wire "send:POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n" "drip:50:$(printf '1\\r\\na\\r\\n%.0s' {1..40})"
    [[ $WIRE_END != open ]]
    between "$WIRE_MS" 1400 9000 'ms until the chunks were cut off, of 12000 for all bytes'
    untouched
}

@test "fault 55, 56: 1,000 slow clients keep nobody out, and are gone after their deadlines" {
    crowd_start header 500
    crowd_start body 500
    still_serves
    wait_until 20 connections_are "$FORWARDER_PORT" 0
    equal "$(crowd_stop header) $(crowd_stop body)" '0 0'
    still_serves
}

@test "fault 57: a client that never reads its answer is dropped at the deadline" {
    truncate -s 20M "$BATS_TEST_TMPDIR/large"
    behave "file=$BATS_TEST_TMPDIR/large&times=1"
    local deaf
    "$REPOSITORY/test/faults/wire.pl" "$FORWARDER_PORT" rcvbuf:4096 \
        "send:POST / HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n{}" pause:60000 >/dev/null 3>&- &
    deaf=$!
    wait_seen .total 1
    still_serves
    # It took the message, so the log says so.
    wait_logged 2
    wait_until 20 connections_are "$FORWARDER_PORT" 0
    # It is still there.
    kill "$deaf"
}

@test "fault 58: 5,000 idle connections: the others are served, and memory is bounded" {
    local before
    (($(ulimit -Hn) > 11000)) || skip "only $(ulimit -Hn) open files are allowed here"
    own_forwarder --idle-timeout 300s --header-timeout 300s
    before=$(memory_kb)
    crowd_start idle 5000
    equal "$(connections "$FORWARDER_PORT")" 5000
    still_serves
    "$LOAD" --url "$FORWARDER_URL/" --requests 500 --concurrency 16 --first 11000000 >"$BATS_TEST_TMPDIR/load.json"
    equal "$(seen '.distinct_message_ids')" 501
    echo "$(($(memory_kb) - before)) KB for 5,000 connections"
    (($(memory_kb) - before < 160 * 1024))
    equal "$(crowd_stop idle)" 5000
}

@test "fault 58: connections beyond the limit wait, and are served when there is room" {
    own_forwarder --max-connections 50 --header-timeout 1500ms
    crowd_start idle 200
    # Its turn comes when those in front of it have reached their deadline.
    wait_until 60 serves
}

@test "fault 59: three pipelined requests: three answers in order, though the first takes longest" {
    local one="Content-Type: application/json\r\nContent-Length: 2\r\n"
    behave 'name=wa-webhook-jobs&delay_ms=500'
    wire "send:POST /wa-webhook-jobs HTTP/1.1\r\n${HOST}X-Correlation-ID: first\r\n${one}\r\n{}POST /wa-webhook-property HTTP/1.1\r\n${HOST}X-Correlation-ID: second\r\n${one}\r\n{}GET / HTTP/1.1\r\n${HOST}X-Correlation-ID: third\r\nConnection: close\r\n\r\n" read:20000
    equal "$(wire_statuses)" '200 200 200'
    equal "$(sed -n 's/^X-Correlation-ID: //Ip' <<<"$WIRE_ANSWER" | paste -sd ' ')" 'first second third'
    equal "$(seen '[.requests[].function] | join(" ")')" 'wa-webhook-jobs wa-webhook-property'
}

@test "fault 60: a request that races the closing of its idle connection is answered, or was not processed" {
    local wait answered=0
    own_forwarder --idle-timeout 800ms
    # The first one comes in time and the last one too late on any machine.
    for wait in 100 780 790 794 796 798 800 802 804 806 810 820 2500; do
        wire "send:GET / HTTP/1.1\r\n${HOST}\r\n" "read:$wait" "send:POST / HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 2\r\n\r\n{}" read:10000
        case $(wire_statuses) in
            '200 200') answered=$((answered + 1)) ;;
            200) ;;
            *)
                echo "after $wait ms: $(wire_statuses)" >&2
                return 1
                ;;
        esac
    done
    wait_logged "$answered"
    equal "$(seen '.total')" "$answered"
    between "$answered" 1 12 'requests that came in time'
}

@test "fault 72: a body of 3 MB arrives with the same SHA-256, at once or in small pieces" {
    local file=$E2E_DIR/generated/text_3mb.json sum
    sum=$(sha256sum <"$file" | cut -d ' ' -f 1)
    wire "send:POST / HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: $(stat -c %s "$file")\r\n\r\n" "file:$file" read:20000
    equal "$(wire_statuses)" 200
    equal "$(seen '.requests[-1].sha256')" "$sum"
    chaos client 'latency?ms=5&jitter_ms=10'
    wire_through "$file"
    equal "$(seen '.requests[-1].sha256')" "$sum"
}

# wire_through FILE: posted by way of the chaos proxy
wire_through() {
    WIRE_PORT=$(chaos_port client) wire "send:POST / HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: $(stat -c %s "$1")\r\n\r\n" \
        "file:$1" read:20000
    equal "$(wire_statuses)" 200
}

@test "fault 73: one byte over the limit is 413 before its body is asked for" {
    wire "send:POST / HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 4194305\r\n\r\n" read:5000
    equal "$(wire_statuses)" 413
    untouched
}

@test "fault 73: bodies over the limit take no memory, announced or not" {
    local before i pids=()
    own_forwarder
    still_serves
    before=$(memory_kb)
    for i in 1 2 3 4 5 6; do
        "$REPOSITORY/test/faults/wire.pl" "$FORWARDER_PORT" \
            "send:POST / HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 15728640\r\n\r\n" \
            "fill:15728640:a" read:10000 >"$BATS_TEST_TMPDIR/large.$i" 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    between "$(($(memory_kb VmHWM) - before))" -100000 8000 'KB for 90 MB of bodies'
    for i in 1 2 3 4 5 6; do
        equal "$(head -n 1 "$BATS_TEST_TMPDIR/large.$i" | cut -c 1-12)" 'HTTP/1.1 413'
    done
    wire "send:POST / HTTP/1.1\r\n${HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" \
        'fill:41:19a00\r\n' "send:0" read:5000
    [[ $(wire_statuses) != 2* ]]
    equal "$(seen '.total')" 1
}

@test "fault 74: a chunked body has one Content-Length at the function" {
    wire "send:POST /wa-webhook-jobs HTTP/1.1\r\n${HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;name=value\r\n}\r\n0\r\nContent-Length: 9\r\nX-Trailer: a\r\n\r\n" read:20000
    equal "$(wire_statuses)" 200
    equal "$(header_seen Content-Length)" 2
    equal "$(header_seen Transfer-Encoding)$(header_seen X-Trailer)" ''
    equal "$(curl -fs "$CONTROL_URL/_standin/body")" '{}'
}

@test "fault 75: Expect is answered with 100, and a large body does not stall on its way on" {
    local file=$E2E_DIR/generated/text_3mb.json
    wire "send:POST / HTTP/1.1\r\n${HOST}Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n" read:300 'send:{}' read:20000
    equal "$(wire_statuses)" '100 200'
    equal "$(header_seen Expect)" ''
    quickest post "$file" -H 'Expect: 100-continue'
    equal "$status" 200
    equal "$(header_seen Expect)" ''
    between "$TOOK_MS" 0 900 'ms for 3 MB, where a function that is asked to expect it is waited for 1000'
}
