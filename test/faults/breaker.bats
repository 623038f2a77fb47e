#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Functions that fail again and again are left alone for a while: what the others' clients notice of it, what
# the log says, and how a function comes back. Each test has a forwarder of its own, since what one has
# learnt of a function outlives a test.

# shellcheck disable=SC2030,SC2031  # bats runs each test in a process of its own
bats_require_minimum_version 1.5.0

setup_file() {
    load helper
    stack_start faults_breaker
    forwarder_stop
    # A port that takes no connection: each attempt costs the whole connect timeout.
    : >"$STACK/backlog.log"
    process_start "$STACK/backlog.pid" "$STACK/backlog.log" "$REPOSITORY/test/faults/backlog.pl"
    wait_until 10 grep -E '[0-9]' "$STACK/backlog.log"
    UNREACHED=http://127.0.0.1:$(grep -oE '[0-9]+' "$STACK/backlog.log" | head -n 1)
    export UNREACHED
}

teardown_file() {
    load helper
    process_stop "$BATS_FILE_TMPDIR/backlog.pid"
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    routing 100
    own_forwarder
}

teardown() {
    own_forwarder_stop
    sql "UPDATE webhook_routing_targets SET url = NULL, fallback_policy = DEFAULT
         WHERE url IS NOT NULL OR fallback_policy <> 'error'"
}

JOB=$BATS_TEST_DIRNAME/../fixtures/payloads/text.json

# posted STATUS LEAST MOST [FILE]: a webhook is answered so, within so many ms
posted() {
    ms post "${4:-$JOB}"
    equal "$status" "$1"
    between "$TOOK_MS" "$2" "$3" ms
}

# breakers: what the forwarder said about them
breakers() {
    grep '"event":"breaker"' "$STACK/forwarder.log" | jq -r '"\(.webhook) \(.state)"' | paste -sd ,
}

# attempts FIRST: a line for each attempt from that decision on: number, function, side, status, whether it took time
attempts() {
    sql "SELECT attempt, webhook_name, routed_to, status, coalesce(http_status::text, '-'), response_time_ms IS NOT NULL, ambiguous
         FROM (SELECT *, dense_rank() OVER (ORDER BY decision_id) AS decision FROM webhook_routing_logs) AS l
         WHERE decision >= $1 ORDER BY decision_id, attempt"
}

unreached() {
    point "$1" "$UNREACHED/$1"
    wait_rules
}

@test "after five failures unified is left alone: the fallback comes at once, and a probe closes the breaker" {
    local i
    unreached wa-webhook-unified
    for ((i = 0; i < 5; i++)); do
        posted 200 280 1200
    done
    equal "$(breakers)" 'wa-webhook-unified open'
    posted 200 0 150
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
    equal "$(answer_header X-Routing-Decision)" 'unified; reason=in_percentage; fallback'
    wait_logged 12
    equal "$(attempts 5)" '1|wa-webhook-unified|unified|error|-|t|f
2|wa-webhook-jobs|legacy|success|200|t|f
1|wa-webhook-unified|unified|error|-|f|f
2|wa-webhook-jobs|legacy|success|200|t|f'
    equal "$(sql "SELECT error_message FROM webhook_routing_logs WHERE response_time_ms IS NULL")" 'not reached: its breaker is open'
    # Skipped or not, it is an error of unified's.
    equal "$(counted)" '12|6'
    equal "$(sql "SELECT request_count, error_count, p50_ms > 200 FROM webhook_routing_stats WHERE routed_to = 'unified' AND domain = 'jobs'")" '6|6|t'
    # It is well again: the probe finds out.
    sql "UPDATE webhook_routing_targets SET url = NULL WHERE name = 'wa-webhook-unified'"
    wait_rules
    closed() { serves && [[ $(breakers) == 'wa-webhook-unified open,wa-webhook-unified closed' ]]; }
    wait_until 5 closed
    posted 200 0 150
    equal "$(answer_header X-Routed-To)" wa-webhook-unified
}

@test "while one webhook probes, the others do not wait for it; a probe that fails doubles the pause" {
    local i probing
    unreached wa-webhook-unified
    for ((i = 0; i < 5; i++)); do
        posted 200 280 1200
    done
    sleep 1.05
    curl -s -o /dev/null -w '%{http_code} %{time_total}' --data-binary "@$JOB" "$FORWARDER_URL/" >"$BATS_TEST_TMPDIR/probe" 3>&- &
    probing=$!
    sleep 0.1
    posted 200 0 150
    posted 200 0 150
    wait "$probing"
    # shellcheck disable=SC2046  # two words
    set -- $(<"$BATS_TEST_TMPDIR/probe")
    equal "$1" 200
    between "$(awk -v s="$2" 'BEGIN { print int(s * 1000) }')" 280 1200 'ms of the probe'
    equal "$(breakers)" 'wa-webhook-unified open,wa-webhook-unified open'
    # 1.5 s at least now.
    sleep 1.2
    posted 200 0 150
    sleep 0.9
    posted 200 280 1200
}

@test "unified answers 5xx: it opens as well, where there is a fallback" {
    local i
    behave 'name=wa-webhook-unified&status=503'
    for ((i = 0; i < 9; i++)); do
        posted 200 0 500
    done
    equal "$(seen '.functions["wa-webhook-unified"].requests')" 5
    equal "$(seen '.functions["wa-webhook-jobs"].requests')" 9
    equal "$(breakers)" 'wa-webhook-unified open'
}

@test "unified answers 4xx: that is an answer, and never opens it" {
    local i
    behave 'name=wa-webhook-unified&status=404'
    for ((i = 0; i < 30; i++)); do
        posted 200 0 500
    done
    equal "$(seen '.functions["wa-webhook-unified"].requests')" 30
    equal "$(breakers)" ''
}

@test "a legacy function without a fallback: 503 at once behind its open breaker, the others untouched" {
    local i
    routing 0
    unreached wa-webhook-jobs
    for ((i = 0; i < 5; i++)); do
        posted 503 280 1200
    done
    posted 503 0 150
    equal "$(answer_header Retry-After)" 1
    equal "$(jq -r .error "$STACK/answer.body")" 'the function was not reached'
    wait_logged 6
    equal "$(attempts 6)" '1|wa-webhook-jobs|legacy|error|-|f|f'
    posted 200 0 300 "$FIXTURES/text_property.json"
    equal "$(breakers)" 'wa-webhook-jobs open'
}

@test "legacy's own 5xx are its answers: relayed each time, and no breaker opens" {
    local i
    routing 0
    behave 'name=wa-webhook-jobs&status=500&body=busy'
    for ((i = 0; i < 30; i++)); do
        posted 500 0 500
        equal "$(cat "$STACK/answer.body")" busy
    done
    equal "$(seen .total)" 30
    equal "$(breakers)" ''
}

@test "an open breaker is a function that was not reached: policy connect falls back too" {
    local i
    sql "UPDATE webhook_routing_targets SET fallback_policy = 'connect' WHERE name = 'wa-webhook-unified'"
    unreached wa-webhook-unified
    for ((i = 0; i < 5; i++)); do
        posted 200 280 1200
    done
    posted 200 0 150
}

@test "both breakers open: 503 at once, two rows without a time" {
    local i
    point wa-webhook-unified "$UNREACHED/wa-webhook-unified"
    unreached wa-webhook-jobs
    for ((i = 0; i < 5; i++)); do
        posted 503 500 2400
    done
    posted 503 0 150
    wait_logged 12
    equal "$(attempts 6)" '1|wa-webhook-unified|unified|error|-|f|f
2|wa-webhook-jobs|legacy|error|-|f|f'
}

@test "half of twenty attempts: failures need not come in a row" {
    local i
    for ((i = 0; i < 12; i++)); do
        behave 'name=wa-webhook-unified&status=500&times=1'
        post "$JOB"
        equal "$status" 200
        post "$JOB"
        equal "$status" 200
    done
    equal "$(breakers)" 'wa-webhook-unified open'
    equal "$(seen '.functions["wa-webhook-unified"].requests')" 21
}
