#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# That a decision means what it says, for everybody and always; and that a function is never looked for
# where it cannot be. (Rights, shadowed names and secrets: see README.md.)

setup_file() {
    load helper
    stack_start faults_security
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
    sql "UPDATE webhook_routing_targets SET url = NULL WHERE url IS NOT NULL"
}

# one_side: every message went to one function, whatever the number of its deliveries
one_side() {
    equal "$(sql "SELECT count(*) FROM (SELECT message_id FROM webhook_routing_logs GROUP BY message_id
                  HAVING count(DISTINCT (webhook_name, bucket)) <> 1) AS torn")" 0
}

# delivered_100 HOW FILE: so often, one after the other or at once
delivered_100() {
    local at_once=()
    [[ $1 != at_once ]] || at_once=(-Z --parallel-max 100 --parallel-immediate)
    curl -s -o /dev/null -w '%{http_code}\n' "${at_once[@]}" -H 'Content-Type: application/json' \
        --data-binary "@$2" "$FORWARDER_URL/?[1-100]" >>"$BATS_TEST_TMPDIR/statuses"
}

@test "fault 96, 97: a message delivered 100 times, one by one and at once, goes to one function" {
    local sender file
    routing 50
    for sender in 1 2 3 4 5 6; do
        file=$(text 'I need a job' "25078800010$sender")
        delivered_100 one_by_one "$file"
        delivered_100 at_once "$file"
    done
    equal "$(sort "$BATS_TEST_TMPDIR/statuses" | uniq -c | xargs)" '1200 200'
    equal "$(seen .total)" 1200
    wait_logged 1200
    one_side
    equal "$(sql "SELECT count(DISTINCT webhook_name) FROM webhook_routing_logs")" 2
    # Each delivery is a decision of its own.
    equal "$(sql "SELECT count(DISTINCT decision_id), count(DISTINCT correlation_id), count(*) FILTER (WHERE status = 'success')
                  FROM webhook_routing_logs")" '1200|1200|1200'
}

@test "fault 98: the percentage changes under load: every row can be computed again" {
    local loading percent changes=0
    routing 0
    "$LOAD" --url "$FORWARDER_URL/" --requests 2500 --concurrency 16 --rate 800 --senders 500 --domain jobs \
        --first 12000000 >"$BATS_TEST_TMPDIR/load.json" 3>&- &
    loading=$!
    for percent in 12.5 50 33.33 99.99 0.01 100 75; do
        changes=$((changes + 1))
        wait_until 20 seen_at_least $((changes * 250))
        sql "SELECT update_routing_percentage($percent)" >/dev/null
    done
    wait "$loading"
    wait_logged 2500
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs AS l LEFT JOIN webhook_routing_config AS c ON c.version = l.config_version
                  WHERE (l.bucket = routing_bucket(l.from_number) AND l.percentage = c.percentage
                         AND (l.routed_to = 'unified') = (l.bucket < c.percentage * 100)) IS NOT TRUE")" 0
    equal "$(sql "SELECT count(DISTINCT config_version) > 4 FROM webhook_routing_logs")" t
}

@test "fault 99: 0 % and 100 % are exact, 33.33 % is within three standard deviations" {
    local percent
    for percent in 0 100; do
        clean_sheet
        routing "$percent"
        "$LOAD" --url "$FORWARDER_URL/" --requests 1000 --concurrency 16 --senders 1000 --domain jobs --first 13000000 >/dev/null
        wait_logged 1000
        equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE routed_to = 'unified'")" "$((percent * 10))"
    done
    clean_sheet
    routing 33.33
    "$LOAD" --url "$FORWARDER_URL/" --requests 9000 --concurrency 32 --senders 9000 --domain jobs --first 14000000 >/dev/null
    wait_logged 9000
    equal "$(sql "SELECT abs(avg((side = 'unified')::int) - 0.3333) < 3 * sqrt(0.3333 * 0.6667 / count(*))
                  FROM (SELECT min(routed_to) AS side FROM webhook_routing_logs GROUP BY from_number) AS senders")" t
}

@test "fault 100: a target at a file, a link-local or a metadata address is refused when configured" {
    local url
    for url in file:///etc/passwd http://169.254.169.254/latest/meta-data gopher://127.0.0.1/ http://169.254.0.1/a \
        'http://[fe80::1]/a' 'http://[::ffff:169.254.169.254]/a' http://100.100.100.200/ http://0.0.0.0/; do
        run point wa-webhook-unified "$url"
        [[ $status != 0 && $output == *ERROR* ]] || {
            echo "accepted: $url" >&2
            return 1
        }
    done
}

@test "fault 100, 101: a name that turns out to be the metadata address is refused at connect: legacy" {
    forwarder_with_names
    own_forwarder
    point wa-webhook-unified http://function.metadata/wa-webhook-unified
    routing 100
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
    wait_logged 2
    [[ $(sql "SELECT error_message FROM webhook_routing_logs WHERE attempt = 1") == *link-local* ]]
}
