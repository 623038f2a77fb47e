# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the fault tests share beyond the end-to-end tests: chaos proxies, and clients that send bytes
# as no well-behaved client does.

load ../e2e/helper

bats_require_minimum_version 1.5.0

# ---- chaos proxies ----

# chaos_start NAME UPSTREAM: a proxy of that name in front of HOST:PORT or a socket's path
chaos_start() {
    local log=$BATS_FILE_TMPDIR/chaos-$1.log
    : >"$log"
    process_start "$BATS_FILE_TMPDIR/chaos-$1.pid" "$log" "$REPOSITORY/build/chaos-proxy" --upstream "$2"
    wait_until 10 grep '^ready ' "$log"
}

chaos_stop() { process_stop "$BATS_FILE_TMPDIR/chaos-$1.pid"; }

# chaos_port NAME: where it relays
chaos_port() { sed -n 's/^ready port=\([0-9]*\).*/\1/p' "$BATS_FILE_TMPDIR/chaos-$1.log"; }

chaos_control() {
    printf 'http://127.0.0.1:%s' "$(sed -n 's/^ready .*control_port=//p' "$BATS_FILE_TMPDIR/chaos-$1.log")"
}

# chaos NAME ORDER...: see chaos-proxy --help
chaos() {
    local name=$1 order
    shift
    for order in "$@"; do
        curl -fs -X POST "$(chaos_control "$name")/$order" >/dev/null || {
            echo "chaos-proxy does not know: $order" >&2
            return 1
        }
    done
}

# chaos_saw NAME JQ: a question to what has passed
chaos_saw() { curl -fs "$(chaos_control "$1")/report" | jq -r "$2"; }

# ---- clients ----

# wire STEP...: one connection to $WIRE_PORT or the forwarder, see wire.pl; sets wire_answer (the bytes
# that came back, NUL dropped), wire_end (closed, reset or open) and wire_ms (when that was)
wire() {
    local out=$BATS_TEST_TMPDIR/wire.out
    "$REPOSITORY/test/faults/wire.pl" "${WIRE_PORT:-$FORWARDER_PORT}" "$@" >"$out"
    read -r wire_end wire_ms < <(tail -n 1 "$out")
    wire_answer=$(sed '$d' "$out" | tr -d '\0\r')
}

# wire_statuses: of all answers in wire_answer, in order
wire_statuses() {
    { grep -oE 'HTTP/1\.[01] [0-9]{3} ' <<<"$wire_answer" || true; } | cut -d ' ' -f 2 | paste -sd ' '
}

# crowd_start COUNT KIND: so many connections of one process, see crowd.pl; waits until all are there
crowd_start() {
    : >"$BATS_TEST_TMPDIR/crowd.log"
    process_start "$BATS_TEST_TMPDIR/crowd.pid" "$BATS_TEST_TMPDIR/crowd.log" \
        "$REPOSITORY/test/faults/crowd.pl" "${WIRE_PORT:-$FORWARDER_PORT}" "$1" "$2"
    wait_until 30 grep '^ready' "$BATS_TEST_TMPDIR/crowd.log"
}

# crowd_stop: prints how many of its connections are still open
crowd_stop() {
    process_stop "$BATS_TEST_TMPDIR/crowd.pid"
    sed -n 's/^open //p' "$BATS_TEST_TMPDIR/crowd.log"
}

# connections PORT: how many connections of clients a process has at its listening port, those
# included whose client has gone (08 is CLOSE_WAIT)
connections() {
    local hex
    printf -v hex '%04X' "$1"
    awk -v port=":$hex" 'index($2, port) && ($4 == "01" || $4 == "08") { n++ } END { print n + 0 }' /proc/net/tcp
}
connections_are() { [[ $(connections "$1") == "$2" ]]; }

# ms COMMAND...: sets took_ms
ms() {
    local began=$EPOCHREALTIME
    "$@"
    took_ms=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
}

# between GOT LEAST MOST [WHAT]
between() {
    (($1 >= $2 && $1 <= $3)) || {
        echo "${4:-value}: $1 is not between $2 and $3" >&2
        return 1
    }
}

# untouched: no function and no log row has seen anything
untouched() {
    equal "$(seen '.total')" 0 'requests at the functions'
    equal "$(logged)" 0 'log rows'
}

# still_serves: a webhook is answered 200, and promptly
still_serves() {
    ms post "$FIXTURES/text.json"
    equal "$status" 200 'the next webhook'
    between "$took_ms" 0 1000 'ms for it'
}
