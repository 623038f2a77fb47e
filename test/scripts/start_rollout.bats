#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# start-rollout.sh: it asks, it begins once, and it does not begin in front of what is missing.

setup_file() {
    load helper
    stack_start scripts_rollout
    DATABASE_URL=$(cluster_url scripts_rollout)
    export DATABASE_URL
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    sql "TRUNCATE webhook_routing_logs" "SELECT set_routing_enabled(false), update_routing_percentage(0)" >/dev/null
}

in_force() { sql "SELECT percentage, enabled FROM get_current_routing_config()"; }

@test "--yes enables and goes to the first step of the plan, in one transaction, and says what to watch" {
    run typed start-rollout --yes --notes "ticket '42'"
    echo "$output"
    equal "$status" 0
    has 'now         0.00 %, disabled' '10.00 % of the senders of jobs, marketplace, property, for at least 4 h' \
        'quick-status.sh --watch' rollout_back set_routing_enabled 'The rollout has begun: 10.00 %'
    equal "$(in_force)" '10.00|t'
    equal "$(sql "SELECT count(*) FROM (SELECT notes FROM webhook_routing_config ORDER BY version DESC LIMIT 2) c
                   WHERE notes LIKE 'ticket ''42''%'")" 2
    # The next webhook of a person who is within the 10 % goes to unified.
    post "$(text 'I need a job' "$(sql "SELECT n::text FROM generate_series(250788000000, 250788009999) n
                                         WHERE routing_bucket(n::text) < 1000 LIMIT 1")")"
    equal "$(answer_header X-Routed-To)" wa-webhook-unified
}

@test "a rollout that has begun is left as it is" {
    local before
    sql "SELECT set_routing_enabled(true), update_routing_percentage(35)" >/dev/null
    before=$(everything)
    run typed start-rollout --yes
    equal "$status" 0
    has '35.00 %, enabled: the rollout has begun, nothing to do'
    equal "$(everything)" "$before"
}

@test "one that was stopped above 0 % is not begun by accident" {
    sql "SELECT update_routing_percentage(35)" >/dev/null
    run typed start-rollout --yes
    equal "$status" 78
    has 'routing is disabled at 35.00 %' "SELECT set_routing_enabled(true, 'why');" 'update_routing_percentage(0'
    equal "$(in_force)" '35.00|f'
}

@test "a dry run shows the statements and changes nothing" {
    local before
    before=$(everything)
    run typed start-rollout --dry-run --notes "it's time"
    equal "$status" 0
    has "psql -v notes=it\\'s\\ time" "SELECT rollout_advance(:'notes');" 'A dry run: nothing was changed'
    equal "$(everything)" "$before"
}

@test "a person is asked, and only yes is yes" {
    local before
    before=$(everything)
    ANSWER=no run on_terminal start-rollout
    equal "$status" 1
    has 'real people' 'Go to 10.00 %? Type yes:' 'Nothing was changed.'
    equal "$(everything)" "$before"
    run typed start-rollout
    equal "$status" 64
    has 'nobody can be asked here; --yes'
    equal "$(everything)" "$before"
    ANSWER=yes run on_terminal start-rollout
    equal "$status" 0
    equal "$(in_force)" '10.00|t'
}

@test "who would move is told from the log" {
    run typed start-rollout --dry-run
    has 'senders     none of those whom the log has of a day will move'
    has_not 'will move to unified'
    "$LOAD" --url "$FORWARDER_URL/" --requests 300 --domain jobs --senders 200 >/dev/null
    wait_logged 300
    run typed start-rollout --dry-run
    has 'senders of a day' 'will move to unified'
    has "$(sql "SELECT to_unified FROM simulate_routing(10, '1 day', true) WHERE domain = 'jobs'")"
}

@test "without a forwarder, an enrolled domain, a plan or a sound configuration it does not begin" {
    local before
    before=$(in_force)
    ADMIN_URL=http://127.0.0.1:9 run typed start-rollout --yes
    equal "$status" 69
    has 'no forwarder is ready at http://127.0.0.1:9' --no-forwarder
    sql "UPDATE webhook_routing_plan SET enabled = false" >/dev/null
    run typed start-rollout --yes
    equal "$status" 78
    has 'UPDATE webhook_routing_plan SET enabled = true'
    sql "UPDATE webhook_routing_plan SET enabled = true" "SELECT set_routing_domains('{}')" >/dev/null
    run typed start-rollout --yes
    equal "$status" 78
    has 'no domain is enrolled'
    sql "SELECT set_routing_domains('{jobs,marketplace,property}')" >/dev/null
    equal "$(in_force)" "$before"
    ADMIN_URL=http://127.0.0.1:9 run typed start-rollout --yes --no-forwarder
    equal "$status" 0
}

@test "an operator may, a viewer may not, and then nothing is half done" {
    sql "SELECT 'CREATE ROLE scripts_operator LOGIN' WHERE to_regrole('scripts_operator') IS NULL \gexec" \
        "SELECT 'CREATE ROLE scripts_viewer LOGIN' WHERE to_regrole('scripts_viewer') IS NULL \gexec" \
        "SELECT grant_routing_role('viewer', 'scripts_viewer')" \
        "SELECT grant_routing_role('operator', 'scripts_operator')" >/dev/null
    sql "SELECT 'CREATE ROLE scripts_nobody LOGIN' WHERE to_regrole('scripts_nobody') IS NULL \gexec"
    local role argument
    for role in scripts_viewer scripts_nobody; do
        for argument in --yes --dry-run; do
            DATABASE_URL=$(cluster_url scripts_rollout "$role") run typed start-rollout "$argument"
            equal "$status" 77 "$role $argument"
            has "As a superuser: SELECT grant_routing_role('operator', '$role');"
            equal "$(in_force)" '0.00|f'
        done
    done
    DATABASE_URL=$(cluster_url scripts_rollout scripts_operator) run typed start-rollout --yes
    equal "$status" 0
    equal "$(in_force)" '10.00|t'
}
