#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The guard on the forwarder's timer: it rolls back what an operator has asked it to, without anybody at
# the keyboard, and a forwarder that may not call it says so once. Every 15 seconds it is called, so
# these tests wait that long.

setup_file() {
    load helper
    stack_start e2e_guard "${NO_BREAKER[@]}"
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    process_alive "$STACK/forwarder.pid" || forwarder_start "${NO_BREAKER[@]}"
    clean_sheet
}

# The guard sees every failure.
NO_BREAKER=(--breaker-failures 1000000 --breaker-minimum 1000000)

teardown() {
    own_forwarder_stop
    sql "SELECT count(*) FROM grant_routing_role('forwarder', 'e2e_forwarder')" \
        "SELECT count(*) FROM update_routing_settings('{\"automatic_rollback\": false}')" >/dev/null
}

is_disabled() { [[ $(sql "SELECT enabled FROM get_current_routing_config()") == f ]]; }
told() { (($(events "$1") >= $2)); }

@test "a unified function that fails is rolled back; the log says what was seen, and no number of anybody" {
    routing 100
    sql "SELECT count(*) FROM update_routing_settings('{\"automatic_rollback\": true}')" >/dev/null
    behave 'name=wa-webhook-unified&status=500'
    "$LOAD" --url "$FORWARDER_URL/" --requests 12 --concurrency 2 --domain jobs --first 100 >/dev/null
    wait_logged 24
    wait_until 60 is_disabled
    equal "$(sql "SELECT created_by, notes ~ '^Rolled back by the guard. jobs: [0-9]+ of [0-9]+ requests to unified failed since '
                  FROM webhook_routing_config ORDER BY version DESC LIMIT 1")" 'e2e_forwarder|t'
    wait_until 20 told guard_rolled_back 1
    grep '"event":"guard_rolled_back"' "$STACK/forwarder.log" |
        jq -e '.domain == "jobs" and (.detail | test("requests to unified failed"))'
    run grep -E 'guard_rolled_back.*(2507|wamid)' "$STACK/forwarder.log"
    equal "$status" 1
    # The next webhook goes where it went before.
    wait_rules
    post "$FIXTURES/text.json"
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
}

@test "one message that unified cannot digest, sent again and again, rolls nothing back" {
    local i
    routing 100
    sql "SELECT count(*) FROM update_routing_settings('{\"automatic_rollback\": true}')" >/dev/null
    behave 'name=wa-webhook-unified&status=500'
    for ((i = 0; i < 50; i++)); do
        post "$FIXTURES/text.json"
    done
    wait_logged 100
    equal "$(sql "SELECT sum(errors), sum(errors - repeated_errors) FROM webhook_routing_rollups
                  WHERE routed_to = 'unified' AND config_version >= (webhook_routing_step()).version")" '50|1'
    equal "$(sql "SELECT DISTINCT action FROM routing_guard()")" none
    sleep 16
    equal "$(sql "SELECT enabled FROM get_current_routing_config()")" t
}

@test "a role that may not call the guard is told of once, and the maintenance goes on" {
    forwarder_stop # would be told as well, and not ask again
    sql "REVOKE EXECUTE ON FUNCTION routing_guard() FROM e2e_forwarder"
    own_forwarder
    wait_until 60 told guard_failed 1
    grep '"event":"guard_failed"' "$STACK/forwarder.log" | jq -e '.sqlstate == "42501" and (.mend | startswith("SELECT grant_routing_role("))'
    sleep 16
    equal "$(events guard_failed)" 1
    equal "$(events maintenance_failed)" 0
}
