#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# What an operator does while webhooks keep coming: the runbook as it is typed, the kill switch, a
# restart.

setup_file() {
    load helper
    stack_start e2e_operate
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

teardown() { own_forwarder_stop; }

# succeeded_in_the_log N: so many messages have a success there; the last rows come a batch after the answers
succeeded_in_the_log() {
    [[ $(sql "SELECT count(DISTINCT message_id) FROM webhook_routing_logs WHERE status = 'success'") == "$1" ]]
}

# typed: a psql session as a person has it, with everything that it prints
typed() { PGOPTIONS='' psql -X -a 2>&1; }

@test "the runbook's session, as typed" {
    sql "SELECT set_routing_enabled(false)" >/dev/null
    "$LOAD" --url "$FORWARDER_URL/" --requests 200 --first 5000000 >/dev/null
    run typed <<'SQL'
SELECT * FROM webhook_routing_config ORDER BY created_at DESC LIMIT 1;
SELECT update_routing_percentage(10.00, 'Starting canary deployment');
SELECT set_routing_enabled(true, 'go');
SELECT percentage, enabled FROM get_current_routing_config();
SELECT update_routing_percentage(25.00, 'Scaling to 25%');
SELECT * FROM webhook_routing_stats;
SELECT * FROM check_routing_health();
SELECT domain, routed_to, COUNT(*), AVG(response_time_ms) FROM webhook_routing_logs
 WHERE created_at > now() - interval '1 hour' GROUP BY domain, routed_to;
SELECT error_message, COUNT(*) FROM webhook_routing_logs WHERE status = 'error' GROUP BY error_message;
SELECT set_routing_enabled(false);
SELECT update_routing_percentage(0.00, 'Rollback');
SQL
    echo "$output"
    equal "$status" 0
    [[ $output != *ERROR* ]]
    [[ $output == *'Routing percentage updated to 25.00 (was 10.00), enabled'* ]]
    equal "$(sql "SELECT percentage, enabled, notes FROM webhook_routing_config ORDER BY created_at DESC LIMIT 1")" \
        '0.00|f|Rollback'
}

@test "what the runbook must refuse is refused, and changes nothing" {
    local before statement
    before=$(sql "SELECT count(*) FROM webhook_routing_config")
    for statement in "SELECT update_routing_percentage(101)" "SELECT update_routing_percentage(-1)" \
        "SELECT update_routing_percentage(99.996)" "SELECT update_routing_percentage('NaN')" \
        "SELECT update_routing_percentage(NULL)" "UPDATE webhook_routing_config SET percentage = 50" \
        "DELETE FROM webhook_routing_config" "TRUNCATE webhook_routing_config" \
        "SELECT set_routing_domains('{jobs,insurance}')"; do
        run sql "$statement"
        [[ $status != 0 && $output == *ERROR* ]] || {
            echo "accepted: $statement"
            return 1
        }
    done
    equal "$(sql "SELECT count(*) FROM webhook_routing_config")" "$before"
}

@test "a change of the percentage is in force for the next webhook" {
    local percent
    for percent in 100 0 100 0; do
        routing "$percent"
        post "$FIXTURES/text.json"
        equal "$(answer_header X-Routed-To)" "$([[ $percent == 100 ]] && echo wa-webhook-unified || echo wa-webhook-jobs)"
    done
}

@test "a change is in force for the next webhook, though it is the first large one" {
    local large=$BATS_TEST_TMPDIR/large
    jq '.padding = "x" * 200000' "$(text 'I need a job')" >"$large"
    routing 100
    own_forwarder
    wait_rules
    sql "SELECT set_routing_enabled(false, 'something looks wrong')" >/dev/null
    post "$large"
    equal "$status" 200
    equal "$(answer_header X-Routing-Decision)" 'legacy; reason=disabled'
}

@test "the kill switch under load: no decision after the commit goes to unified, nothing fails" {
    local began committed loading
    routing 100
    began=${EPOCHREALTIME/[.,]/}
    "$LOAD" --url "$FORWARDER_URL/" --requests 3000 --concurrency 16 --rate 600 --domain jobs --first 6000000 \
        --log "$BATS_TEST_TMPDIR/answers" >"$BATS_TEST_TMPDIR/load.json" 3>&- &
    loading=$!
    wait_until 20 seen_at_least 300
    sql "SELECT set_routing_enabled(false, 'something looks wrong')" >/dev/null
    committed=${EPOCHREALTIME/[.,]/}
    wait "$loading"
    cat "$BATS_TEST_TMPDIR/load.json"
    wait_logged 3000
    # Those that were sent after the commit: a row has the time at which the forwarder has heard of the decision.
    equal "$(awk -F '\t' -v after=$(((committed - began) / 1000)) '$8 * 1000 > after { n[$5]++; all++ }
        END { print (all > 100), n["wa-webhook-unified"] + 0 }' "$BATS_TEST_TMPDIR/answers")" '1 0' 'unified after the commit'
    equal "$(sql "SELECT count(*) > 100 FROM webhook_routing_logs WHERE routed_to = 'unified'")" t
    equal "$(sql "SELECT count(*) > 100 FROM webhook_routing_logs WHERE routed_to = 'legacy' AND reason = 'disabled'")" t
    # Each row names the config version that decided it, and that version says the same.
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs AS l JOIN webhook_routing_config AS c ON c.version = l.config_version
                  WHERE (l.routed_to = 'unified') <> (c.enabled AND l.bucket < c.percentage * 100)")" 0
}

@test "SIGTERM under load: what was taken is finished and logged, exit status 0" {
    local loading answered ended=0
    all_stored() { [[ $(sql "SELECT count(*) FROM webhook_routing_logs WHERE status = 'success'") == "$(seen .total)" ]]; }
    routing 50
    behave 'delay_ms=50'
    own_forwarder # its status can only be had of a child
    "$LOAD" --url "$FORWARDER_URL/" --requests 2000 --concurrency 32 --rate 500 --first 7000000 \
        --log "$BATS_TEST_TMPDIR/answers" >"$BATS_TEST_TMPDIR/load.json" 3>&- &
    loading=$!
    wait_until 20 seen_at_least 300
    kill -TERM "$(forwarder_pid)"
    wait "$(forwarder_pid)" || ended=$?
    equal "$ended" 0
    wait "$loading" || true
    cat "$BATS_TEST_TMPDIR/load.json"
    tail -n 3 "$STACK/forwarder.log"
    answered=$(awk -F '\t' '$4 == 200' "$BATS_TEST_TMPDIR/answers" | wc -l)
    # Nobody got half an answer, and nothing that a function received is missing from the log.
    ((answered > 100 && answered < 2000))
    equal "$(awk -F '\t' '$4 != 200 && $4 != "none" && $4 != "refused" && $4 != 503' "$BATS_TEST_TMPDIR/answers" | wc -l)" 0
    equal "$(seen '.repeated_message_ids')" 0
    # What the database has not taken within 3 s is in the spool, for the next one; most it has.
    all_stored || {
        (($(logged) * 10 >= $(seen .total) * 8))
        forwarder_start
    }
    wait_until 20 all_stored
    equal "$(seen '.total')" "$answered"
}

# start_with LIMIT...: a forwarder under a limit of prlimit; prints what it says, and returns its status
start_with() {
    timeout -k 5 60 prlimit "$@" "${FORWARDER:-$REPOSITORY/build/webhook-forwarder}" --listen 127.0.0.1:0 \
        --admin-listen 127.0.0.1:0 --workers 16 --spool-directory "$BATS_TEST_TMPDIR/spool" 2>&1 3>&- 4>&-
}

@test "a worker that cannot start ends the forwarder with 69" {
    local files
    # Enough files for the listeners, not for all workers.
    for files in 40 50 60; do
        run start_with "--nofile=$files"
        equal "$status" 69 "with $files files"
        [[ $output == *'"event":"worker_failed"'* && $output != *'is finished"'* ]]
    done
}

@test "without memory for the stacks of all threads the forwarder ends with 69" {
    skip_sanitized "it reserves more addresses than the limit"
    run start_with "--as=$((96 << 20))"
    echo "$output"
    equal "$status" 69 'without memory for threads'
    [[ $output == *'"event":"worker_failed"'* && $output != *'is finished"'* ]]
}

@test "Meta's redelivery across a restart: every message arrives, none is lost" {
    local loading
    routing 50
    "$LOAD" --url "$FORWARDER_URL/" --requests 2000 --concurrency 16 --rate 500 --first 8000000 --retry 1000 \
        >"$BATS_TEST_TMPDIR/load.json" 3>&- &
    loading=$!
    wait_until 20 seen_at_least 300
    forwarder_stop
    sleep 0.3
    forwarder_start
    wait "$loading"
    cat "$BATS_TEST_TMPDIR/load.json"
    equal "$(seen '.distinct_message_ids')" 2000
    wait_until 30 succeeded_in_the_log 2000
}

@test "a rule that is edited decides the next webhook" {
    post "$(text 'Ndashaka kujya mu mahanga')"
    equal "$(answer_header X-Routed-To)" wa-webhook
    sql "INSERT INTO webhook_routing_keywords (domain, pattern, match, language) VALUES ('jobs', 'mahanga', 'word', 'rw')"
    post "$(text 'Ndashaka kujya mu mahanga')"
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
}

# bats test_tags=long
@test "twenty restarts under load: every message arrives and is in the log" {
    local loading i
    routing 50
    "$LOAD" --url "$FORWARDER_URL/" --requests 30000 --concurrency 32 --rate 500 --first 9000000 --retry 1000 \
        >"$BATS_TEST_TMPDIR/load.json" 3>&- 4>&- &
    loading=$!
    for ((i = 0; i < 20; i++)); do
        sleep 2
        forwarder_stop
        forwarder_start
    done
    wait "$loading"
    cat "$BATS_TEST_TMPDIR/load.json"
    equal "$(seen '.distinct_message_ids')" 30000
    wait_until 30 succeeded_in_the_log 30000
}
