#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Whatever a forwarder has logged, by the database or by the rules that it keeps, whole or in parts, with a
# fallback or without, comes out the same when it is decided again, and can be explained.

# shellcheck disable=SC2030,SC2031  # bats runs each test in a process of its own
readonly SECRET=4c1f2ad1e0d94a0b8d3f5f0c7e6a9b21

setup_file() {
    load helper
    stack_start e2e_audit
    printf '%s\n' "$SECRET" >"$BATS_FILE_TMPDIR/app-secrets"
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    sql "UPDATE webhook_routing_domains SET percentage = 60 WHERE domain = 'marketplace'"
    routing 50
}

teardown() {
    own_forwarder_stop
}

# post_all: every fixture, one in four by the name of a function
post_all() {
    local file number=0 names=('' wa-webhook-jobs '' wa-webhook-mobility '' '' wa-webhook-property '') signature
    for file in "$FIXTURES"/*; do
        signature=$(openssl dgst -sha256 -hmac "$SECRET" -r "$file" | cut -d ' ' -f 1)
        NAMED=${names[number++ % 8]} post "$file" -H "X-Hub-Signature-256: sha256=$signature"
    done
}

# everything_comes_out_the_same: of what is in the log, once the forwarder has drained
everything_comes_out_the_same() {
    equal "$(sql "SELECT item, domain, config_version, difference FROM verify_routing_decisions(NULL)")" ''
    equal "$(sql "SELECT detail FROM check_sample_ratio() WHERE finding = 'row_differs' OR detail LIKE 'decision %'")" ''
    equal "$(sql "SELECT DISTINCT outcome FROM (SELECT DISTINCT decision_id FROM webhook_routing_logs) AS decided,
                         route_explain(decision_id) WHERE name = 'reproduced'")" yes
}

@test "every fixture, decided by the database, by kept rules, and after other rules" {
    own_forwarder
    behave 'name=wa-webhook-unified&status=503'
    post_all
    sql "UPDATE webhook_routing_domains SET percentage = 10 WHERE domain = 'jobs'"
    wait_rules
    sql "REVOKE EXECUTE ON FUNCTION route_decide(bytea, text) FROM e2e_forwarder"
    post_all
    sql "GRANT EXECUTE ON FUNCTION route_decide(bytea, text) TO e2e_forwarder"
    sql "UPDATE webhook_routing_domains SET percentage = NULL WHERE domain = 'jobs'"
    sql "SELECT update_routing_settings('{\"hash_salt\": 12}')" >/dev/null
    wait_rules
    settled
    post_all
    own_forwarder_stop
    (($(sql "SELECT count(DISTINCT config_version) FROM webhook_routing_logs") >= 3))
    (($(sql "SELECT count(*) FROM webhook_routing_logs WHERE reason = 'mixed_batch'") > 0))
    (($(sql "SELECT count(*) FROM webhook_routing_logs WHERE attempt = 2") > 0))
    everything_comes_out_the_same
    sql "UPDATE webhook_routing_domains SET priority = priority + 1 WHERE domain = 'jobs'" "SELECT update_routing_percentage(0)" >/dev/null
    everything_comes_out_the_same
}

@test "batches that were taken apart come out the same, each part a decision of its own" {
    own_forwarder --app-secret-file "$BATS_FILE_TMPDIR/app-secrets"
    post_all
    own_forwarder_stop
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE reason = 'mixed_batch'")" 0
    (($(sql "SELECT count(*) FROM (SELECT FROM webhook_routing_logs GROUP BY correlation_id HAVING count(DISTINCT decision_id) > 1) AS split") > 0))
    everything_comes_out_the_same
}

@test "a fallback is explained with both attempts" {
    routing 100
    behave 'name=wa-webhook-unified&status=503'
    post "$FIXTURES/text.json"
    wait_logged 2
    equal "$(sql "SELECT e.name, split_part(e.outcome, ',', 1) FROM (SELECT DISTINCT decision_id FROM webhook_routing_logs) AS one,
                         route_explain(decision_id) e WHERE e.name ~ '^(attempt|reproduced)'")" \
        $'attempt 1|wa-webhook-unified (unified): error\nattempt 2|wa-webhook-jobs (legacy): success\nreproduced|yes'
}
