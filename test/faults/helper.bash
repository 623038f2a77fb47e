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

# ---- the forwarder's surroundings ----

# forwarder_with ENVIRONMENT...: makes the forwarder of own_forwarder start with these variables
forwarder_with() {
    export FORWARDER_REAL=${FORWARDER:-$REPOSITORY/build/webhook-forwarder}
    printf '#!/usr/bin/env bash\nexec env' >"$BATS_TEST_TMPDIR/forwarder"
    printf ' %q' "$@" >>"$BATS_TEST_TMPDIR/forwarder"
    # shellcheck disable=SC2016
    printf ' "$FORWARDER_REAL" "$@"\n' >>"$BATS_TEST_TMPDIR/forwarder"
    chmod +x "$BATS_TEST_TMPDIR/forwarder"
    export FORWARDER=$BATS_TEST_TMPDIR/forwarder
}

# forwarder_with_names: it asks names.c for addresses
forwarder_with_names() {
    cc -shared -fPIC -D_GNU_SOURCE -o "$BATS_TEST_TMPDIR/names.so" "$REPOSITORY/test/faults/names.c"
    forwarder_with "LD_PRELOAD=$BATS_TEST_TMPDIR/names.so"
}

# forwarder_with_moments: it can be ended at an exact moment, and its disk can fail; see moments.c
forwarder_with_moments() {
    skip_sanitized "it has to be the first library of the program"
    export MOMENTS=$BATS_TEST_TMPDIR/moments
    cc -shared -fPIC -D_GNU_SOURCE -o "$BATS_TEST_TMPDIR/moments.so" "$REPOSITORY/test/faults/moments.c"
    printf '\0\0' >"$MOMENTS"
    forwarder_with "LD_PRELOAD=$BATS_TEST_TMPDIR/moments.so" "MOMENTS=$MOMENTS"
}

# moments_left N: so many until it is killed; none are left out
moments_left() {
    # shellcheck disable=SC2059  # an octal escape
    printf "\\$(printf '%03o' "$1")" | dd of="$MOMENTS" bs=1 conv=notrunc status=none
}

# disk_fails 0|1
disk_fails() {
    # shellcheck disable=SC2059
    printf "\\$1" | dd of="$MOMENTS" bs=1 seek=1 conv=notrunc status=none
}

# point TARGET URL: that function is there from now on
point() { sql "UPDATE webhook_routing_targets SET url = '$2' WHERE name = '$1'"; }

# memory_kb [FIELD]: what the forwarder has in memory, or another field of its status
memory_kb() { awk -v field="${1:-VmRSS}:" '$1 == field { print $2 }' "/proc/$(forwarder_pid)/status"; }

# ---- clients ----

# wire STEP...: one connection to $WIRE_PORT or the forwarder, see wire.pl; sets WIRE_ANSWER (the bytes
# that came back, NUL dropped), WIRE_END (closed, reset or open) and WIRE_MS (when that was)
wire() {
    local out=$BATS_TEST_TMPDIR/wire.out
    "$REPOSITORY/test/faults/wire.pl" "${WIRE_PORT:-$FORWARDER_PORT}" "$@" >"$out"
    # shellcheck disable=SC2034  # for the test files
    read -r WIRE_END WIRE_MS < <(tail -n 1 "$out")
    WIRE_ANSWER=$(sed '$d' "$out" | tr -d '\0\r')
}

# wire_statuses: of all answers in WIRE_ANSWER, in order
wire_statuses() {
    { grep -oE 'HTTP/1\.[01] [0-9]{3} ' <<<"$WIRE_ANSWER" || true; } | cut -d ' ' -f 2 | paste -sd ' '
}

# crowd_start KIND COUNT: so many connections of one process, see crowd.pl; waits until all are there
crowd_start() {
    local file=$BATS_TEST_TMPDIR/crowd-$1
    : >"$file.log"
    process_start "$file.pid" "$file.log" "$REPOSITORY/test/faults/crowd.pl" \
        "${WIRE_PORT:-$FORWARDER_PORT}" "$2" "$1"
    wait_until 30 grep '^ready' "$file.log"
}

# crowd_stop KIND: prints how many of its connections are still open
crowd_stop() {
    process_stop "$BATS_TEST_TMPDIR/crowd-$1.pid"
    sed -n 's/^open //p' "$BATS_TEST_TMPDIR/crowd-$1.log"
}

# crowds_stop: for teardown
crowds_stop() {
    local pid
    for pid in "$BATS_TEST_TMPDIR"/crowd-*.pid; do
        process_stop "$pid"
    done
}

# connections PORT: how many connections of clients a process has at its listening port, those
# included whose client has gone (08 is CLOSE_WAIT). The kernel's list can name one twice when it changes
# while it is read.
connections() {
    local hex
    printf -v hex '%04X' "$1"
    awk -v port=":$hex" 'index($2, port) && ($4 == "01" || $4 == "08") && !seen[$3]++ { n++ } END { print n + 0 }' /proc/net/tcp
}
connections_are() { [[ $(connections "$1") == "$2" ]]; }

# ---- load ----

# load_begin [ARGUMENT]...: 200 webhooks a second about jobs of 300 senders, in the background, until load_end;
# returns when some of them have been answered. What a test does meanwhile takes as long as it takes.
load_begin() {
    : >"$BATS_TEST_TMPDIR/answers"
    "$LOAD" --url "$FORWARDER_URL/" --requests 100000 --rate 200 --concurrency 32 --senders 300 --domain jobs \
        --first 16000000 --log "$BATS_TEST_TMPDIR/answers" "$@" >"$BATS_TEST_TMPDIR/load.json" 3>&- 4>&- &
    echo "$! $(process_birth $!)" >"$BATS_TEST_TMPDIR/load.pid"
    wait_answers 100
}

# answered: how many of the load's webhooks have been answered
answered() { wc -l <"$BATS_TEST_TMPDIR/answers"; }
answered_at_least() { (($(answered) >= $1)); }

# wait_answers N: until so many more have been answered
wait_answers() {
    wait_until 60 answered_at_least $(($(answered) + $1)) || {
        echo "$(answered) webhooks of the load were answered" >&2
        return 1
    }
}

# load_stop: nothing new is sent; waits for what is under way. For teardown, too.
load_stop() { process_stop "$BATS_TEST_TMPDIR/load.pid" 60; }

# load_end [MOST [MORE]]: ends it when all has been well for a while. Every webhook was answered 200, the slowest
# within so many ms, and reached one function once; as did so many more, which the test has sent meanwhile. Sets
# LOADED, how many the load has sent. An outage that nobody must have waited for lasts 3 s.
load_end() {
    local all
    wait_answers 100
    load_stop
    cat "$BATS_TEST_TMPDIR/load.json"
    LOADED=$(jq '[.statuses[]] | add' "$BATS_TEST_TMPDIR/load.json")
    all=$((LOADED + ${2:-0}))
    equal "$(jq -c '[.statuses, .broken, .refused]' "$BATS_TEST_TMPDIR/load.json")" "[{\"200\":$LOADED},0,0]" 'answers'
    between "$(jq '.latency_ms.max | floor' "$BATS_TEST_TMPDIR/load.json")" 0 "${1:-2500}" 'ms for the slowest'
    equal "$(seen '"\(.total) \(.distinct_message_ids)"')" "$all $all" 'requests at the functions'
}

# waited_for_database: webhooks that the last rules have decided, but not at once
waited_for_database() {
    local name=webhook_forwarder_decide_duration_seconds_bucket
    echo $(($(metric $name 'decided_by="last_rules"' 'le="+Inf"') - $(metric $name 'decided_by="last_rules"' 'le="0.05"')))
}

# stored N: so many rows, each once, and counted once
stored() {
    wait_until 60 logged_are "$1" || true
    sleep 0.3
    equal "$(logged)" "$1" 'rows'
    equal "$(sql "SELECT count(DISTINCT message_id) FROM webhook_routing_logs")" "$1" 'messages'
    equal "$(counted)" "$1|0" 'requests and errors of the statistics'
}

# one_side: nobody has changed side, and every row can be computed again
one_side() {
    equal "$(sql "SELECT count(*) FROM (SELECT from_number FROM webhook_routing_logs GROUP BY from_number
                  HAVING count(DISTINCT routed_to) > 1) AS torn")" 0 'senders on both sides'
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs
                  WHERE ((routed_to = 'unified') = (bucket < percentage * 100) AND bucket = routing_bucket(from_number)) IS NOT TRUE")" 0 \
        'rows that do not follow from their bucket'
}

# ms COMMAND...: sets TOOK_MS
ms() {
    local began=$EPOCHREALTIME
    "$@"
    # shellcheck disable=SC2034
    TOOK_MS=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
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

# quickest COMMAND...: the best of three, since a machine may stand still for a moment; sets TOOK_MS
quickest() {
    local best
    ms "$@"
    best=$TOOK_MS
    for _ in 1 2; do
        ms "$@"
        ((TOOK_MS >= best)) || best=$TOOK_MS
    done
    TOOK_MS=$best
}

# still_serves: a webhook is answered 200, and sooner than by any deadline of an attempt
still_serves() {
    ms post "$FIXTURES/text.json"
    # shellcheck disable=SC2154  # set by post
    equal "$status" 200 'the next webhook'
    between "$TOOK_MS" 0 4000 'ms for it'
}
