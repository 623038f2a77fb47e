#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# A function never gets a webhook twice from one attempt, however its connections end. Unified is the one
# that does not stay; nothing of which a byte has left for it goes to legacy.

# shellcheck disable=SC2030,SC2031  # bats runs each test in a process of its own
bats_require_minimum_version 1.5.0

setup_file() {
    load helper
    # What breaks off says nothing of the next webhook here.
    stack_start faults_once --breaker-failures 1000000 --breaker-minimum 1000000
    chaos_start unified "${FUNCTIONS_URL#http://}"
}

teardown_file() {
    load helper
    chaos_stop unified
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    routing 100
}

teardown() {
    chaos unified plain
    process_stop "$BATS_TEST_TMPDIR/fickle.pid"
    sql "UPDATE webhook_routing_targets SET url = NULL WHERE url IS NOT NULL"
}

# fickle_start: unified is a function whose connections end at any time
fickle_start() {
    FICKLE=$BATS_TEST_TMPDIR/fickle.log
    : >"$FICKLE"
    process_start "$BATS_TEST_TMPDIR/fickle.pid" "$FICKLE" "$REPOSITORY/test/faults/fickle.pl"
    wait_until 10 grep '^ready ' "$FICKLE"
    point wa-webhook-unified "http://127.0.0.1:$(sed -n 's/^ready //p' "$FICKLE")/wa-webhook-unified"
    wait_rules
}

# send N FIRST: so many messages, each once; their ids and statuses in $SENT
send() {
    SENT=$BATS_TEST_TMPDIR/sent
    "$LOAD" --url "$FORWARDER_URL/" --requests "$1" --concurrency 32 --rate 600 --domain jobs --first "$2" \
        --log "$SENT.log" >"$BATS_TEST_TMPDIR/load.json" || true
    awk '{ print $2, $4 }' "$SENT.log" | sort >"$SENT"
    equal "$(wc -l <"$SENT")" "$1" answers
}

decided_are() { [[ $(sql "SELECT count(DISTINCT decision_id) FROM webhook_routing_logs") == "$1" ]]; }

# consistent [FILE]: clients, functions and log say the same. FILE: a line `id answered` or `id dropped` for
# each POST that another function than the stand-in took
consistent() {
    local taken=$BATS_TEST_TMPDIR/all_taken
    {
        [[ -z ${1:-} ]] || cat "$1"
        curl -fs "$CONTROL_URL/_standin/report?messages=1&last=0" | jq -r '.messages[] | range(.count) as $n | "\(.id) answered"'
    } | sort >"$taken"
    equal "$(cut -d ' ' -f 1 "$taken" | uniq -d | head -n 3)" '' 'taken twice'
    # Who was answered 200 was answered by a function.
    equal "$(grep ' 200$' "$SENT" | cut -d ' ' -f 1 | comm -23 - <(grep ' answered$' "$taken" | cut -d ' ' -f 1 | sort) | head -n 3)" '' '200 without a function'
    # All others were broken off: told to come again, and logged as ambiguous.
    equal "$(cut -d ' ' -f 2 "$SENT" | sort -u | paste -sd ' ')" '200 502' statuses
    wait_until 10 decided_are "$(wc -l <"$SENT")"
    sql "SELECT DISTINCT ON (message_id COLLATE \"C\") message_id || ' ' || CASE WHEN status = 'success' THEN '200' WHEN ambiguous AND http_status IS NULL THEN '502' ELSE error_message END
         FROM webhook_routing_logs ORDER BY message_id COLLATE \"C\", attempt DESC" | sort | diff "$SENT" -
    # A connection that was dead before the first byte was never a delivery: only then legacy has its turn.
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs AS a JOIN webhook_routing_logs AS b USING (decision_id) WHERE a.attempt = 1 AND b.attempt = 2 AND a.ambiguous")" 0 \
        'fallbacks of what may have been delivered'
}

# share WHAT: how many were ambiguous
share() {
    echo "# $1: $(grep -c ' 502$' "$SENT") of $(wc -l <"$SENT") ambiguous ($2)" >&3
}

@test "fault 23: connections that the function closes at any time: 5,000 messages, none twice" {
    local taken=$BATS_TEST_TMPDIR/taken lost
    fickle_start
    send 5000 21000000
    grep '^wamid' "$FICKLE" | sort >"$taken"
    consistent "$taken"
    # Apart from those that the function took and dropped, only such as met a closing connection.
    lost=$(($(grep -c ' 502$' "$SENT") - $(grep -c ' dropped$' "$taken")))
    share 'closed at random' "$(grep -c ' dropped$' "$taken") taken and dropped, $lost on a connection that was closing"
    between "$lost" 0 250 'on closing connections'
}

@test "fault 23: kept connections that are reset with the next request: 3,000 messages, none twice" {
    point wa-webhook-unified "http://127.0.0.1:$(chaos_port unified)/wa-webhook-unified"
    wait_rules
    chaos unified 'close-idle?times=100'
    send 3000 22000000
    consistent
    share 'reset at the next request' "$(chaos_saw unified .resets) resets"
    between "$(grep -c ' 502$' "$SENT")" 90 100 'resets'
}

@test "fault 22: connections that are reset at random moments: 3,000 messages, none twice" {
    local resetting
    behave 'delay_ms=3'
    point wa-webhook-unified "http://127.0.0.1:$(chaos_port unified)/wa-webhook-unified"
    wait_rules
    (while true; do
        sleep "0.0$((RANDOM % 10))"
        chaos unified reset || exit
    done) 3>&- &
    resetting=$!
    send 3000 23000000
    kill "$resetting"
    wait "$resetting" || true
    consistent
    share 'all connections reset at random moments' "$(chaos_saw unified .resets) resets"
}

@test "fault 22: functions that take a webhook and reset, or answer and close: none twice, each told and logged" {
    local i
    behave 'name=wa-webhook-unified&close_after=1'
    for ((i = 0; i < 100; i++)); do
        post "$(text 'I need a job')"
        equal "$status" 200
    done
    behave 'name=wa-webhook-unified&reset=1'
    for ((i = 0; i < 100; i++)); do
        post "$(text 'I need a job')"
        equal "$status" 502
    done
    equal "$(seen '"\(.total) \(.distinct_message_ids) \(.repeated_message_ids)"')" '200 200 0'
    wait_logged 200
    equal "$(sql "SELECT count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE ambiguous) FROM webhook_routing_logs")" '100|100'
}
