#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# What happens when a function or the database fails: who is tried next, what Meta is told, what the log
# says. A function never gets the same POST twice.

setup_file() {
    load helper
    # Each test has failures of its own, in a row: the breaker has tests of its own.
    stack_start e2e_failure --breaker-failures 1000000 --breaker-minimum 1000000
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    routing 100
}

teardown() {
    if [[ -s $BATS_TEST_TMPDIR/hanging ]]; then
        kill -CONT "$(<"$BATS_TEST_TMPDIR/hanging")" || true
    fi
    own_forwarder_stop
    sql "UPDATE webhook_routing_targets SET url = NULL, timeout_ms = DEFAULT, fallback_policy = DEFAULT
         WHERE url IS NOT NULL OR timeout_ms IS NOT NULL OR fallback_policy <> 'error'"
}

# attempts: the log of the only decision, one line per attempt
attempts() {
    sql "SELECT attempt, webhook_name, routed_to, status, coalesce(http_status::text, '-'), ambiguous
         FROM webhook_routing_logs ORDER BY attempt"
}

# point TARGET URL
point() { sql "UPDATE webhook_routing_targets SET url = '$2' WHERE name = '$1'"; }

closed_port() { free_port 19000; }

@test "unified refuses the connection: legacy answers, both attempts in the log" {
    point wa-webhook-unified "http://127.0.0.1:$(closed_port)/wa-webhook-unified"
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
    equal "$(seen '"\(.total) \(.requests[-1].function)"')" '1 wa-webhook-jobs'
    wait_logged 2
    equal "$(attempts)" $'1|wa-webhook-unified|unified|error|-|f\n2|wa-webhook-jobs|legacy|success|200|f'
    equal "$(sql "SELECT count(DISTINCT decision_id) FROM webhook_routing_logs")" 1
    equal "$(counted)" '2|1'
}

@test "unified answers 500, 404 or 302: legacy answers" {
    local code
    for code in 500 503 404 302; do
        clean_sheet
        routing 100
        behave "name=wa-webhook-unified&status=$code&header=Location:$FUNCTIONS_URL/elsewhere"
        post "$FIXTURES/text.json"
        equal "$status" 200 "after $code"
        equal "$(seen '[.requests[].function] | join(" ")')" 'wa-webhook-unified wa-webhook-jobs'
        wait_logged 2
        equal "$(attempts)" "1|wa-webhook-unified|unified|error|$code|f"$'\n2|wa-webhook-jobs|legacy|success|200|f'
    done
}

@test "unified resets after the whole request: 502, once, ambiguous" {
    behave 'name=wa-webhook-unified&reset=1'
    post "$FIXTURES/text.json"
    equal "$status" 502
    equal "$(seen '"\(.total) \(.requests[-1].function)"')" '1 wa-webhook-unified'
    wait_logged 1
    equal "$(attempts)" '1|wa-webhook-unified|unified|error|-|t'
}

@test "unified announces more than it sends: 502, never relayed as complete" {
    behave 'name=wa-webhook-unified&truncate=1&body=0123456789012345678901234567890123456789'
    post "$FIXTURES/text.json"
    equal "$status" 502
    equal "$(seen '.total')" 1
    wait_logged 1
    equal "$(sql "SELECT status, ambiguous FROM webhook_routing_logs")" 'error|t'
}

@test "a gateway's 504 from unified is ambiguous: no fallback" {
    behave 'name=wa-webhook-unified&status=504'
    post "$FIXTURES/text.json"
    equal "$status" 504
    equal "$(seen '.total')" 1
    wait_logged 1
    equal "$(sql "SELECT status, ambiguous FROM webhook_routing_logs")" 'error|t'
}

@test "unified is silent beyond its deadline: 504, once" {
    sql "UPDATE webhook_routing_targets SET timeout_ms = 300 WHERE name = 'wa-webhook-unified'"
    behave 'name=wa-webhook-unified&delay_ms=4000'
    wait_rules
    local began=$EPOCHREALTIME
    post "$FIXTURES/text.json"
    local took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
    # Not the answer that comes after 4 s.
    equal "$status" 504
    ((took >= 250 && took < 4000))
    wait_seen .total 1
    wait_logged 1
    equal "$(attempts)" '1|wa-webhook-unified|unified|error|-|t'
}

@test "a function without a deadline of its own has --attempt-timeout" {
    behave 'name=wa-webhook-unified&delay_ms=4000'
    own_forwarder --attempt-timeout 400ms
    wait_rules
    local began=$EPOCHREALTIME
    post "$FIXTURES/text.json"
    local took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
    equal "$status" 504
    ((took >= 350 && took < 4000))
    wait_logged 1
    equal "$(attempts)" '1|wa-webhook-unified|unified|error|-|t'

    clean_sheet
    routing 100
    behave 'name=wa-webhook-unified&delay_ms=1000'
    sql "UPDATE webhook_routing_targets SET timeout_ms = 9000 WHERE name = 'wa-webhook-unified'"
    wait_rules
    post "$FIXTURES/text.json"
    equal "$status" 200
}

@test "policy connect: a refused message is not sent elsewhere" {
    sql "UPDATE webhook_routing_targets SET fallback_policy = 'connect' WHERE name = 'wa-webhook-unified'"
    wait_rules
    behave 'name=wa-webhook-unified&status=500'
    post "$FIXTURES/text.json"
    equal "$status" 500
    equal "$(seen '.total')" 1
}

@test "policy any: an ambiguous message is sent to legacy as well" {
    sql "UPDATE webhook_routing_targets SET fallback_policy = 'any' WHERE name = 'wa-webhook-unified'"
    wait_rules
    behave 'name=wa-webhook-unified&reset=1'
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(seen '[.requests[].function] | join(" ")')" 'wa-webhook-unified wa-webhook-jobs'
    wait_logged 2
    equal "$(sql "SELECT ambiguous FROM webhook_routing_logs WHERE attempt = 1")" t
}

@test "the deadline of all attempts together: the fallback has what is left of it" {
    local began took
    sql "UPDATE webhook_routing_targets SET fallback_policy = 'any', timeout_ms = 1500 WHERE name = 'wa-webhook-unified'"
    behave 'delay_ms=8000'
    own_forwarder --total-timeout 3s
    wait_rules
    began=$EPOCHREALTIME
    post "$FIXTURES/text.json"
    took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
    equal "$status" 504
    ((took >= 2950 && took < 8000))
    wait_seen '[.requests[].function] | join(" ")' 'wa-webhook-unified wa-webhook-jobs'
    wait_logged 2
    equal "$(attempts)" $'1|wa-webhook-unified|unified|error|-|t\n2|wa-webhook-jobs|legacy|error|-|t'
    # The other half, and not all of it from its own beginning on.
    equal "$(sql "SELECT response_time_ms < 2900 FROM webhook_routing_logs WHERE attempt = 2")" t
}

@test "no time is left for a fallback: there is none" {
    sql "UPDATE webhook_routing_targets SET fallback_policy = 'any' WHERE name = 'wa-webhook-unified'"
    behave 'name=wa-webhook-unified&delay_ms=3000'
    own_forwarder --total-timeout 500ms
    wait_rules
    post "$FIXTURES/text.json"
    equal "$status" 504
    wait_seen '[.requests[].function] | join(" ")' wa-webhook-unified
    wait_logged 1
    equal "$(attempts)" '1|wa-webhook-unified|unified|error|-|t'
}

@test "policy any: legacy refuses what may have been done: its answer, and both attempts in the log" {
    sql "UPDATE webhook_routing_targets SET fallback_policy = 'any' WHERE name = 'wa-webhook-unified'"
    behave 'name=wa-webhook-unified&reset=1'
    behave 'name=wa-webhook-jobs&status=409&body=twice'
    wait_rules
    post "$FIXTURES/text.json"
    equal "$status" 409
    equal "$(cat "$STACK/answer.body")" twice
    wait_logged 2
    equal "$(attempts)" $'1|wa-webhook-unified|unified|error|-|t\n2|wa-webhook-jobs|legacy|error|409|f'
}

@test "legacy's 3xx, 4xx and 5xx are relayed as they are" {
    local code
    routing 0
    for code in 302 400 429 500 503; do
        behave "name=wa-webhook-jobs&status=$code&body=no-$code&header=Location:$FUNCTIONS_URL/elsewhere"
        post "$FIXTURES/text.json"
        equal "$status" "$code"
        equal "$(cat "$STACK/answer.body")" "no-$code"
    done
    equal "$(seen '.functions | keys | join(" ")')" wa-webhook-jobs
    wait_logged 5
    equal "$(sql "SELECT count(*) FILTER (WHERE status = 'error'), count(*) FILTER (WHERE routed_to = 'legacy') FROM webhook_routing_logs")" '5|5'
}

@test "all functions down: 503 at once, both attempts in the log; then back" {
    behave 'refuse=1'
    local began=$EPOCHREALTIME
    post "$FIXTURES/text.json"
    local took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
    equal "$status" 503
    ((took < 4000)) # one of the connect timeouts would be 5 s
    wait_logged 2
    equal "$(attempts | cut -d '|' -f 1,2,4)" $'1|wa-webhook-unified|error\n2|wa-webhook-jobs|error'
    behave 'refuse=0'
    wait_until 10 serves
}

@test "a connection that went stale between two requests: the POST arrives once" {
    local round
    routing 0
    for round in 1 2 3 4 5; do
        # The answer says keep-alive, then the connection dies while idle.
        post "$FIXTURES/text.json"
        equal "$status" 200
        behave 'refuse=1'
        sleep 0.1
        behave 'refuse=0'
        # Idle for longer than 50 ms, it is looked at before it is used.
        sleep 0.1
        post "$FIXTURES/text_property.json"
        equal "$status" 200 "round $round"
    done
    equal "$(seen '.total')" 10
}

@test "the functions' answers arrive in no order: each client gets its own" {
    local pids=() i
    behave 'name=wa-webhook-jobs&delay_ms=400'
    routing 0
    for i in 1 2 3 4 5 6 7 8; do
        curl -s -o "$BATS_TEST_TMPDIR/jobs.$i" --data-binary @"$FIXTURES/text.json" "$FORWARDER_URL/" 3>&- &
        pids+=($!)
        curl -s -o "$BATS_TEST_TMPDIR/property.$i" --data-binary @"$FIXTURES/text_property.json" "$FORWARDER_URL/" 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    for i in 1 2 3 4 5 6 7 8; do
        equal "$(jq -r .function "$BATS_TEST_TMPDIR/jobs.$i")" wa-webhook-jobs
        equal "$(jq -r .function "$BATS_TEST_TMPDIR/property.$i")" wa-webhook-property
    done
}

@test "a fallback that cannot even begin is logged with its side and without a time" {
    point wa-webhook-unified "http://127.0.0.1:$(closed_port)/wa-webhook-unified"
    own_forwarder --functions-url ''
    post "$FIXTURES/text.json"
    equal "$status" 503
    wait_logged 2
    equal "$(attempts)" $'1|wa-webhook-unified|unified|error|-|f\n2|wa-webhook-jobs|legacy|error|-|f'
    equal "$(sql "SELECT attempt FROM webhook_routing_logs WHERE response_time_ms IS NULL")" 2
}

@test "what the database quotes of a webhook in an error is not in the log; what mends it is" {
    local before until=$((SECONDS + 30))
    before=$(events decide_failed)
    # It then sends the parameters of a statement that fails: the body.
    sql "ALTER ROLE e2e_forwarder SET log_parameter_max_length_on_error = -1" \
        "REVOKE EXECUTE ON FUNCTION route_decide(bytea, text) FROM e2e_forwarder" \
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'e2e_forwarder'" >/dev/null
    while (($(events decide_failed) == before && SECONDS < until)); do
        post "$FIXTURES/text.json"
        [[ $status == 200 ]] || break
    done
    sql "ALTER ROLE e2e_forwarder RESET log_parameter_max_length_on_error" \
        "SELECT grant_routing_role('forwarder', 'e2e_forwarder')" >/dev/null
    equal "$status" 200
    (($(events decide_failed) > before))
    equal "$(grep -c 'with parameters' "$STACK/forwarder.log")" 0 'lines that quote'
    equal "$(jq -r 'select(.event == "decide_failed") | .mend // empty' "$STACK/forwarder.log" | sort -u)" \
        "SELECT grant_routing_role('forwarder', '<role of the forwarder>')"
    settled
}

@test "an answer that is too long and one that memory is too short for are told apart" {
    local answer
    answer=$(head -c 3000 /dev/zero | tr '\0' a)
    routing 0
    behave "name=wa-webhook-jobs&body=$answer"
    own_forwarder --max-reply 2KiB
    post "$FIXTURES/text.json"
    equal "$status" 502
    wait_logged 1
    [[ $(sql "SELECT error_message FROM webhook_routing_logs") == *'longer than --max-reply' ]]
    own_forwarder_end
    clean_sheet
    behave "name=wa-webhook-jobs&body=$answer"
    own_forwarder --max-body 2KiB --max-buffer 4KiB
    post "$FIXTURES/text.json"
    equal "$status" 502
    wait_logged 1
    [[ $(sql "SELECT error_message FROM webhook_routing_logs") == *'--max-buffer has no room'* ]]
}

@test "a role that may not decide is not reconnected all the time" {
    local before end=$((SECONDS + 4))
    sql "REVOKE EXECUTE ON FUNCTION route_decide(bytea, text) FROM e2e_forwarder"
    before=$(events database_ready)
    while ((SECONDS < end)); do
        post "$FIXTURES/text.json"
        [[ $status == 200 ]] || break
    done
    sql "SELECT grant_routing_role('forwarder', 'e2e_forwarder')" >/dev/null
    equal "$status" 200
    echo "connected $(($(events database_ready) - before)) times"
    (($(events database_ready) - before <= 10))
    settled
}

all_are_told() { (($(events database_unreachable) >= 3)); }

# unreachable URL: what the forwarder says of such a database in its first tries, mended how
unreachable() {
    EXPECTED_HEALTH=degraded own_forwarder --database-url-file <(printf '%s\n' "$1")
    wait_until 20 all_are_told
    sleep 2.5 # they are tried again within 2 s
    grep '"event":"database_unreachable"' "$STACK/forwarder.log" | jq -r '.link + ": " + .mend' | sort
    own_forwarder_end
}

@test "a database that cannot be reached is told once for each connection, with what mends it" {
    local mend
    mend='start PostgreSQL, or correct host and port in the database URL'
    equal "$(unreachable "postgresql://e2e_forwarder@127.0.0.1:$(closed_port)/$PGDATABASE")" \
        "decide: $mend"$'\n'"log: $mend"$'\n'"maintenance: $mend"
    mend='CREATE DATABASE <name>, or correct its name in the database URL'
    equal "$(unreachable "$(cluster_url no_such_database e2e_forwarder)")" \
        "decide: $mend"$'\n'"log: $mend"$'\n'"maintenance: $mend"
}

# log_backend: process of the forwarder's connection that stores the log
log_backend() {
    sql "SELECT pid FROM pg_stat_activity WHERE usename = 'e2e_forwarder' AND datname = current_database()
         AND query LIKE '%store_routing_logs%'"
}

# hangs PROCESS: until it is told to go on, at the end of the test at the latest
hangs() {
    echo "$1" >"$BATS_TEST_TMPDIR/hanging"
    kill -STOP "$1"
}

@test "a log connection that hangs: degraded after 5 s, still ready, and healthy when it goes on" {
    local backend
    serves
    wait_logged 1
    backend=$(log_backend)
    hangs "$backend"
    serves
    wait_until 20 health_is degraded
    ready_is 200
    serves
    kill -CONT "$backend"
    wait_logged 3
    wait_until 20 health_is healthy
}

# bats test_tags=long
@test "a log connection that hangs for 30 s is made anew, and each row is stored once" {
    local backend
    serves
    wait_logged 1
    backend=$(log_backend)
    hangs "$backend"
    serves
    wait_until 60 logged_are 2
    kill -CONT "$backend"
    ended() { [[ ! -e /proc/$backend ]]; }
    wait_until 20 ended
    equal "$(logged)" 2
    wait_until 20 health_is healthy
}

@test "database down: decided by the last rules, logged when it is back, and the handshake works" {
    local down hand health=0 ready
    cluster_server() { as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -w -t 60 "$@"; }
    wait_rules
    cluster_server -m fast stop >/dev/null
    post "$FIXTURES/text.json"
    down=$status
    hand=$(curl -s -G --data-urlencode hub.mode=subscribe --data-urlencode "hub.verify_token=$TOKEN" \
        --data-urlencode hub.challenge=77 "$FORWARDER_URL/")
    wait_until 10 health_is degraded || health=$?
    ready=$(curl -s -o /dev/null -w '%{http_code}' "$ADMIN_URL/readyz")
    cluster_server -l "$CLUSTER_HOME/postgresql.log" start >/dev/null 3>&- 4>&-
    equal "$hand" 77
    equal "$health" 0 'degraded'
    equal "$ready" 200
    equal "$down" 200
    equal "$(seen '"\(.total) \(.requests[-1].function)"')" '1 wa-webhook-unified'
    wait_until 20 health_is healthy
    wait_logged 1
    equal "$(sql "SELECT routed_to, reason, status FROM webhook_routing_logs")" 'unified|in_percentage|success'
}
