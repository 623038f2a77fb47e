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
    sql "TRUNCATE webhook_routing_rollups" # the statistics are of this test alone
    clean_sheet
    routing 100
    own_forwarder --connect-timeout 500ms
}

teardown() {
    own_forwarder_stop
    sql "UPDATE webhook_routing_targets SET url = NULL, fallback_policy = DEFAULT
         WHERE url IS NOT NULL OR fallback_policy <> 'error'"
}

JOB=$BATS_TEST_DIRNAME/../fixtures/payloads/text.json

# posted STATUS [LEAST [FILE]]: a webhook is answered so, after so many ms at least
posted() {
    ms post "${3:-$JOB}"
    equal "$status" "$1"
    between "$TOOK_MS" "${2:-0}" 30000 ms
}

# skipped TARGET: attempts at it that its open breaker has spared
skipped() { metric webhook_forwarder_attempts_total "target=\"$1\"" 'outcome="breaker_open"'; }

# left_alone STATUS TARGET...: a webhook is answered so without an attempt at these. After a second a breaker lets
# a probe through: a machine that is slow enough for that may have to post again, but the pause grows with each
# probe that fails. Sets TRIES, how many it took.
left_alone() {
    local target before=()
    for TRIES in 1 2 3 4; do
        before=()
        for target in "${@:2}"; do
            before+=("$(skipped "$target")")
        done
        posted "$1"
        for target in "${@:2}"; do
            (($(skipped "$target") == before[0] + 1)) || continue 2
            before=("${before[@]:1}")
        done
        return
    done
    echo "after $TRIES webhooks: ${*:2} is still tried" >&2
    return 1
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
    local i posts
    unreached wa-webhook-unified
    for ((i = 0; i < 5; i++)); do
        posted 200 480
    done
    equal "$(breakers)" 'wa-webhook-unified open'
    left_alone 200 wa-webhook-unified
    posts=$((5 + TRIES))
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
    equal "$(answer_header X-Routing-Decision)" 'unified; reason=in_percentage; fallback'
    wait_logged $((2 * posts))
    equal "$(attempts 5 | head -n 2)" '1|wa-webhook-unified|unified|error|-|t|f
2|wa-webhook-jobs|legacy|success|200|t|f'
    equal "$(attempts $posts)" '1|wa-webhook-unified|unified|error|-|f|f
2|wa-webhook-jobs|legacy|success|200|t|f'
    equal "$(sql "SELECT error_message FROM webhook_routing_logs WHERE response_time_ms IS NULL")" 'not reached: its breaker is open'
    # Skipped or not, it is an error of unified's.
    equal "$(counted)" "$((2 * posts))|$posts"
    equal "$(sql "SELECT request_count, error_count, p50_ms > 200 FROM webhook_routing_stats WHERE routed_to = 'unified' AND domain = 'jobs'")" "$posts|$posts|t"
    # It is well again: the probe finds out.
    sql "UPDATE webhook_routing_targets SET url = NULL WHERE name = 'wa-webhook-unified'"
    wait_rules
    closed() { serves && [[ $(breakers) == *'wa-webhook-unified open,wa-webhook-unified closed' ]]; }
    wait_until 30 closed
    posted 200
    equal "$(answer_header X-Routed-To)" wa-webhook-unified
}

@test "while one webhook probes, the others do not wait for it; a probe that fails doubles the pause" {
    local i probing opened tried posts
    own_forwarder_end
    own_forwarder --connect-timeout 4s
    # Refused at once; then, for the probe, not at all.
    point wa-webhook-unified "http://127.0.0.1:$(free_port 19000)/wa-webhook-unified"
    wait_rules
    for ((i = 0; i < 5; i++)); do
        posted 200
    done
    equal "$(breakers)" 'wa-webhook-unified open'
    unreached wa-webhook-unified
    sleep 1.05
    curl -s -o /dev/null -w '%{http_code} %{time_total}' --data-binary "@$JOB" "$FORWARDER_URL/" >"$BATS_TEST_TMPDIR/probe" 3>&- &
    probing=$!
    wait_until 10 metric_is 1 webhook_forwarder_breakers 'state="half-open"'
    for i in 1 2; do
        ms post "$JOB"
        equal "$status" 200
        between "$TOOK_MS" 0 3500 'ms while one probes for 4000'
    done
    equal "$(skipped wa-webhook-unified)" 2
    wait "$probing"
    opened=${EPOCHREALTIME/[.,]/}
    # shellcheck disable=SC2046  # two words
    set -- $(<"$BATS_TEST_TMPDIR/probe")
    equal "$1" 200
    between "$(awk -v s="$2" 'BEGIN { print int(s * 1000) }')" 3900 20000 'ms of the probe'
    equal "$(breakers)" 'wa-webhook-unified open,wa-webhook-unified open'
    # From now on a refusal is a probe's end at once, and tells when it was made: after 1.5 s at least.
    point wa-webhook-unified "http://127.0.0.1:$(free_port 19000)/wa-webhook-unified"
    wait_rules
    tried=0
    for ((posts = 0; tried == 0 && posts < 200; posts++)); do
        i=$(skipped wa-webhook-unified)
        posted 200
        (($(skipped wa-webhook-unified) > i)) || tried=${EPOCHREALTIME/[.,]/}
        sleep 0.05
    done
    between $(((tried - opened) / 1000)) 1400 20000 'ms until the next probe'
}

@test "unified answers 5xx: it opens as well, where there is a fallback" {
    local i
    behave 'name=wa-webhook-unified&status=503'
    for ((i = 0; i < 5; i++)); do
        posted 200
    done
    equal "$(seen '.functions["wa-webhook-unified"].requests')" 5
    equal "$(breakers)" 'wa-webhook-unified open'
    left_alone 200 wa-webhook-unified
    equal "$(seen '.functions["wa-webhook-unified"].requests')" $((5 + TRIES - 1))
    equal "$(seen '.functions["wa-webhook-jobs"].requests')" $((5 + TRIES))
}

@test "unified answers 4xx: that is an answer, and never opens it" {
    local i
    behave 'name=wa-webhook-unified&status=404'
    for ((i = 0; i < 30; i++)); do
        posted 200
    done
    equal "$(seen '.functions["wa-webhook-unified"].requests')" 30
    equal "$(breakers)" ''
}

@test "a legacy function without a fallback: 503 at once behind its open breaker, the others untouched" {
    local i
    routing 0
    unreached wa-webhook-jobs
    for ((i = 0; i < 5; i++)); do
        posted 503 480
    done
    equal "$(breakers)" 'wa-webhook-jobs open'
    left_alone 503 wa-webhook-jobs
    equal "$(answer_header Retry-After)" 1
    equal "$(jq -r .error "$STACK/answer.body")" 'the function was not reached'
    wait_logged $((5 + TRIES))
    equal "$(attempts $((5 + TRIES)))" '1|wa-webhook-jobs|legacy|error|-|f|f'
    posted 200 0 "$FIXTURES/text_property.json"
    equal "$(breakers | tr , '\n' | sort -u)" 'wa-webhook-jobs open'
}

@test "legacy's own 5xx are its answers: relayed each time, and no breaker opens" {
    local i
    routing 0
    behave 'name=wa-webhook-jobs&status=500&body=busy'
    for ((i = 0; i < 30; i++)); do
        posted 500
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
        posted 200 480
    done
    left_alone 200 wa-webhook-unified
}

@test "both breakers open: 503 at once, two rows without a time" {
    local i
    point wa-webhook-unified "$UNREACHED/wa-webhook-unified"
    unreached wa-webhook-jobs
    for ((i = 0; i < 5; i++)); do
        posted 503 980
    done
    left_alone 503 wa-webhook-unified wa-webhook-jobs
    wait_logged $((2 * (5 + TRIES)))
    equal "$(attempts $((5 + TRIES)))" '1|wa-webhook-unified|unified|error|-|f|f
2|wa-webhook-jobs|legacy|error|-|f|f'
}

@test "half of twenty attempts: failures need not come in a row" {
    behave 'name=wa-webhook-unified&status=500&every=2'
    # Within the 10 s that count.
    "$LOAD" --url "$FORWARDER_URL/" --requests 19 --concurrency 1 --domain jobs --first 41000000
    post "$JOB"
    equal "$status" 200
    equal "$(breakers)" 'wa-webhook-unified open'
    equal "$(seen '.functions["wa-webhook-unified"].requests')" 20
    # Not one before the twentieth.
    own_forwarder_end
    own_forwarder
    "$LOAD" --url "$FORWARDER_URL/" --requests 19 --concurrency 1 --domain jobs --first 42000000
    equal "$(breakers)" ''
}
