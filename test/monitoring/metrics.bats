#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# /metrics: that Prometheus' own tool finds nothing to say, that the counters are the sums of the log,
# row for row, and that it answers whatever else does not.

setup_file() {
    load helper
    stack_start monitoring_metrics --workers 2 --attempt-timeout 500ms
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
    own_forwarder_stop
    sql "UPDATE webhook_routing_targets SET url = NULL, fallback_policy = DEFAULT
         WHERE url IS NOT NULL OR fallback_policy <> 'error'"
}

# attempts_stored BEFORE: each attempt that was counted is in the log, as are so many that were counted before
# a restart; and nothing waits
attempts_stored() {
    [[ $(value in_flight_webhooks) == 0 && $(value log_rows_waiting) == 0 &&
        $(sql "SELECT count(*) FROM webhook_routing_logs WHERE item = 0") == $(($(value attempts_total) + $1)) ]]
}

# wait_stored [BEFORE]: gauges may be older than the answer that was just given, and the log is
wait_stored() {
    wait_until 20 attempts_stored "${1:-0}" || {
        echo "$(value attempts_total) attempts were counted; $(logged) rows are in the log, $(value log_rows_waiting) wait" >&2
        return 1
    }
}

@test "promtool finds nothing to say, and the type is that of the text format" {
    post "$FIXTURES/text.json"
    metrics >"$BATS_TEST_TMPDIR/metrics"
    promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
    run -0 curl -sI "$ADMIN_URL/metrics"
    [[ $output == *' 200 OK'* && $output == *'Content-Type: text/plain; version=0.0.4; charset=utf-8'* ]]
}

# A load with everything in it: answers of all kinds, fallbacks, batches, a function that is not there and
# in the end is left alone. (Other breakers stay closed: too few failures in a row.)
mixed_load() {
    local code first=7000000
    sql "UPDATE webhook_routing_targets SET url = 'http://127.0.0.1:$(free_port 19000)/' WHERE name = 'wa-webhook-property'"
    for code in 200 500 404 302 504; do
        behave "name=wa-webhook-unified&status=$code"
        behave "name=wa-webhook-marketplace&status=$code"
        "$LOAD" --url "$FORWARDER_URL/" --requests 200 --concurrency 8 --batch 10 --first "$((first += 1000))" \
            >/dev/null || true
    done
    behave 'name=wa-webhook-mobility&reset=1'
    behave 'name=wa-webhook-jobs&delay_ms=800'
    "$LOAD" --url "$FORWARDER_URL/" --requests 100 --concurrency 8 --first "$((first += 1000))" >/dev/null || true
    routing 0
    "$LOAD" --url "$FORWARDER_URL/" --requests 500 --concurrency 8 --domain property --first "$((first += 1000))" \
        >/dev/null || true
}

@test "the counters are the log's sums, exactly" {
    local ours=0
    # The database decides each, also where it takes its time.
    own_forwarder --workers 2 --attempt-timeout 500ms --breaker-failures 150 --breaker-minimum 10000 --decide-timeout 10s
    routing 50
    mixed_load
    wait_stored
    equal "$(samples attempts_total target routed_to status)" \
        "$(sql "SELECT webhook_name, routed_to, status, count(*) FROM webhook_routing_logs WHERE item = 0
                GROUP BY 1, 2, 3 ORDER BY concat_ws('|', webhook_name, routed_to, status) COLLATE \"C\"")" attempts
    equal "$(samples decisions_total domain reason)" \
        "$(sql "SELECT domain, reason, count(*) FROM webhook_routing_logs WHERE item = 0 AND attempt = 1
                GROUP BY 1, 2 ORDER BY concat_ws('|', domain, reason) COLLATE \"C\"")" decisions
    equal "$(samples decisions_total decided_by)" \
        "$(sql "SELECT 'database', count(DISTINCT decision_id) FROM webhook_routing_logs")"
    equal "$(value fallbacks_total)" \
        "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE item = 0 AND attempt = 2")" fallbacks
    equal "$(samples attempt_duration_seconds_count target routed_to)" \
        "$(sql "SELECT webhook_name, routed_to, count(*) FROM webhook_routing_logs
                WHERE item = 0 AND response_time_ms IS NOT NULL
                GROUP BY 1, 2 ORDER BY concat_ws('|', webhook_name, routed_to) COLLATE \"C\"")" durations
    equal "$(value log_rows_stored_total)" "$(logged)" rows
    equal "$(value request_duration_seconds_count)" 1600 webhooks
    equal "$(samples responses_total request | grep '^webhook')" 'webhook|1600'
    equal "$(samples attempts_total outcome)" \
        "$(sql "SELECT outcome, count(*)
                  FROM (SELECT CASE WHEN status = 'success' THEN 'success'
                                    WHEN http_status = 504 THEN 'gateway_timeout'
                                    WHEN http_status IS NOT NULL THEN format('http_%sxx', http_status / 100)
                                    WHEN error_message LIKE '%breaker is open' THEN 'breaker_open'
                                    WHEN response_time_ms IS NULL THEN 'not_made'
                                    WHEN error_message LIKE 'not reached%' THEN 'not_reached'
                                    WHEN error_message = 'no answer in time' THEN 'timed_out'
                                    ELSE 'broken_off' END AS outcome
                          FROM webhook_routing_logs WHERE item = 0) AS attempts
                 GROUP BY 1 ORDER BY outcome COLLATE \"C\"")" outcomes
    # The load has had something of each kind, or this has shown little.
    for outcome in success http_3xx http_4xx http_5xx gateway_timeout not_reached breaker_open timed_out broken_off; do
        ours=$(samples attempts_total outcome | sed -n "s/^$outcome|//p")
        ((ours > 0)) || {
            echo "no attempt ended as $outcome: $(samples attempts_total outcome)" >&2
            return 1
        }
    done
    (($(value fallbacks_total) > 0 && $(value breaker_openings_total) > 0))
}

@test "a restart begins at 0: what was before and what is after make the log" {
    local before
    own_forwarder
    routing 50
    "$LOAD" --url "$FORWARDER_URL/" --requests 300 --first 8000000 >/dev/null
    wait_stored
    before=$(value attempts_total)
    equal "$before" 300
    forwarder_stop
    forwarder_start
    equal "$(value attempts_total)" 0
    # What nobody has asked yet is not known, and not nothing.
    metrics | grep -x 'webhook_forwarder_sample_ratio_findings NaN'
    "$LOAD" --url "$FORWARDER_URL/" --requests 200 --first 8100000 >/dev/null
    wait_stored "$before"
    equal "$((before + $(value attempts_total)))" "$(logged)"
}

@test "what is refused is counted by its reason" {
    local secret=$BATS_TEST_TMPDIR/secret
    echo 'the secret of the app' >"$secret"
    own_forwarder --app-secret-file "$secret" --max-body 4KiB --max-header 2KiB
    post "$FIXTURES/text.json"
    equal "$status" 401
    head -c 8192 /dev/zero >"$BATS_TEST_TMPDIR/large"
    post "$BATS_TEST_TMPDIR/large"
    equal "$status" 413
    NAMED=a/b post "$FIXTURES/text.json"
    equal "$status" 404
    curl -s -o /dev/null -X DELETE "$FORWARDER_URL/"
    curl -s -o /dev/null "$FORWARDER_URL/?hub.mode=subscribe&hub.verify_token=guess&hub.challenge=1"
    raw 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}' >/dev/null
    curl -s -o /dev/null -H "X-Filler: $(head -c 3000 /dev/zero | tr '\0' x)" "$FORWARDER_URL/"
    equal "$(samples refused_requests_total reason)" \
        $'framing|1\nlong_body|1\nlong_header|1\nmethod|1\npath|1\nsignature|1\ntoken|1'
    equal "$(samples responses_total request code | grep '^refused')" \
        $'refused|400|1\nrefused|401|1\nrefused|403|1\nrefused|404|1\nrefused|405|1\nrefused|413|1\nrefused|431|1'
    equal "$(value attempts_total)" 0
}

@test "with a worker that is stuck it answers, and says so" {
    local thread tracer
    skip_sanitized "it is traced already"
    own_forwarder --workers 2
    # The process' own thread serves the admin listener; the last one started is a worker.
    thread=$(basename "$(find "/proc/$(forwarder_pid)/task" -mindepth 1 -maxdepth 1 | sort -V | tail -n 1)")
    strace -qq -o /dev/null -e trace=epoll_wait -e inject=epoll_wait:delay_enter=60s -p "$thread" 3>&- &
    tracer=$!
    is_stuck() { [[ $(value turn_age_seconds) =~ ^([5-9]|[1-5][0-9]) ]]; }
    wait_until 30 is_stuck || {
        kill "$tracer"
        return 1
    }
    promtool check metrics < <(metrics)
    kill "$tracer"
    wait "$tracer" || true
}

@test "nothing of a sender or a message is in it" {
    local number wamid
    routing 50
    "$LOAD" --url "$FORWARDER_URL/" --requests 50 --first 9500000 >/dev/null
    wait_logged 50
    metrics >"$BATS_TEST_TMPDIR/metrics"
    number=$(sql "SELECT from_number FROM webhook_routing_logs WHERE from_number IS NOT NULL LIMIT 1")
    wamid=$(sql "SELECT message_id FROM webhook_routing_logs WHERE message_id IS NOT NULL LIMIT 1")
    [[ -n $number && -n $wamid ]]
    run -1 grep -F -e "$number" -e "$wamid" -e wamid "$BATS_TEST_TMPDIR/metrics"
    # Labels hold words, codes, names of functions, and bounds of buckets.
    sed 's/le="[^"]*"//' "$BATS_TEST_TMPDIR/metrics" >"$BATS_TEST_TMPDIR/labels"
    run -1 grep -E '="[^"]*[0-9]{5}' "$BATS_TEST_TMPDIR/labels"
}

@test "the sample ratio is asked for, and what was taken out of the log is found" {
    own_forwarder
    routing 50
    "$LOAD" --url "$FORWARDER_URL/" --requests 100 --domain jobs --first 9700000 >/dev/null
    wait_logged 100
    sql "TRUNCATE webhook_routing_logs"
    # It asks 20 s after its start.
    audited() { [[ $(value sample_ratio_age_seconds) != 0 ]]; }
    wait_until 60 audited
    (($(value sample_ratio_findings) > 0))
}

# server ARGUMENT...: what pg_ctl does to the cluster; it must hold none of bats' descriptors open
server() {
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -w -t 60 "$@" >/dev/null 3>&- 4>&-
}

@test "with the database down it answers, and says so; and says when it is back" {
    routing 50
    post "$FIXTURES/text.json"
    wait_logged 1
    server -m fast stop
    wait_until 20 value_is deciding_locally 2
    "$LOAD" --url "$FORWARDER_URL/" --requests 100 --domain jobs --first 9000000 >/dev/null
    wait_until 20 value_is log_rows_waiting 100
    waits_for_seconds() { [[ $(value log_oldest_waiting_seconds) =~ ^[1-9] && $(value ruleset_age_seconds) =~ ^[1-9] ]]; }
    wait_until 20 waits_for_seconds
    equal "$(samples database_links_up link)" ''
    equal "$(samples database_links link)" $'decide|2\nlog|2\nmaintenance|1'
    (($(samples decisions_total decided_by | sed -n 's/^last_rules|//p') >= 100))
    (($(value spool_bytes) > 0))
    server -l "$CLUSTER_HOME/postgresql.log" start
    wait_until 30 value_is database_links_up 5
    wait_until 20 value_is deciding_locally 0
    wait_logged 101
    waits_no_more() { [[ $(value log_rows_waiting) == 0 && $(value log_oldest_waiting_seconds) == 0* ]]; }
    wait_until 20 waits_no_more
    equal "$(samples database_links_up link)" $'decide|2\nlog|2\nmaintenance|1'
    (($(value database_connects_total) >= 10))
}

@test "the reference has every metric, and no other" {
    equal "$(metrics | sed -n 's/^# TYPE \([a-z_]*\) \(.*\)/\1 \2/p')" \
        "$(sed -n 's/^| `\([a-z_]*\)` | \(counter\|gauge\|histogram\) |.*/\1 \2/p' "$REPOSITORY/docs/reference/metrics.md")"
}
