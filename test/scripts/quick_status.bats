#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# quick-status.sh in each state, every one of which is brought about: by an operator, by functions that
# fail, by a server that is stopped.

setup_file() {
    load helper
    stack_start scripts_status
    DATABASE_URL=$(cluster_url scripts_status)
    export DATABASE_URL
}

teardown_file() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    cluster_running || server start
    BREAKERS=open stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    cluster_running || server start
    clean_sheet
}

# A step of its own for this test: health and gates look at nothing that was before it.
new_step() {
    sql "SELECT set_routing_enabled(false), set_routing_enabled(true), update_routing_percentage($1)" >/dev/null
    wait_rules
}

# traffic N: so many webhooks about jobs, all of them logged, whatever the answer was
traffic() {
    local before first
    before=$(logged)
    first=$(($(date +%s%N) / 1000 % 1000000000))
    "$LOAD" --url "$FORWARDER_URL/" --requests "$1" --domain jobs --concurrency 4 --first "$first" >/dev/null || true
    stored() { (($(logged) >= before + $1)); }
    wait_until 10 stored "$1"
}

# status_is STATE NAGIOS'S STATUS: the screen, Nagios and JSON agree on it, and the screen fits
status_is() {
    local state=$1 nagios=$2
    run typed quick-status
    equal "$status" "$([[ $state == outage ]] && echo 69 || echo 0)" 'exit status of the screen'
    fits "$output"
    [[ ${lines[0]} == *" ${state^^}" ]] || {
        echo "${lines[0]}"
        return 1
    }
    has_not $'\e'
    screen=$output
    run typed quick-status --json
    equal "$(jq -r .state <<<"$output")" "$state" 'state in JSON'
    run typed quick-status --nagios
    equal "$status" "$nagios" 'exit status for Nagios'
    equal "${#lines[@]}" 1 'lines for Nagios'
    output+=$'\n'$screen
}

@test "disabled: all is said, and Nagios has nothing to complain of" {
    sql "SELECT set_routing_enabled(false, 'before the holidays')" >/dev/null
    wait_rules
    status_is disabled 0
    has 'ROUTING OK: disabled, disabled at 0.00 %' 'routing     disabled, 0.00 %, domains jobs, marketplace, property' \
        'before the holidays' 'closed: routing (disabled)' \
        'forwarder   ready; its rules: 0 %, disabled, domains jobs'
}

@test "climbing: figures of the last hour, the gates, the next command" {
    new_step 50
    traffic 200
    status_is climbing 0
    has 'ROUTING OK: climbing, enabled at 50.00 % | percentage=50.00%;;;0;100 enabled=1 unified_requests=' \
        'unified_error_rate=' '%;0.1;0.5;0;100 unified_p95=' 'ms;2000;3000;0' 'healthy' 'closed: soak (1 d' \
        'way back    SELECT rollout_back' 'its rules: 50 %, enabled'
    # The screen's figures are the view's.
    has "$(sql "SELECT format('jobs           unified  %8s %7s', request_count, error_count)
                  FROM webhook_routing_stats WHERE domain = 'jobs' AND routed_to = 'unified'")"
}

@test "requests of the step before are shown, and have no verdict in this one" {
    new_step 50
    traffic 100
    sql "SELECT update_routing_percentage(60)" >/dev/null
    run typed quick-status
    grep -E '^jobs +unified .* no data yet$' <<<"$output"
    grep -E '^jobs +legacy .* no data yet$' <<<"$output"
}

@test "complete: at 100 %" {
    new_step 100
    status_is complete 0
}

@test "warning: one request in many failed" {
    new_step 100
    traffic 100
    behave 'name=wa-webhook-unified&status=500&times=1'
    traffic 1
    status_is warning 1
    has 'ROUTING WARNING: warning, enabled at 100.00 %: jobs unified warning: error rate' '! health    jobs unified: error rate'
}

@test "critical: the unified function fails" {
    new_step 100
    traffic 60
    behave 'name=wa-webhook-unified&status=500&times=4'
    traffic 4
    status_is critical 2
    has 'ROUTING CRITICAL: critical' "SELECT rollout_back('why');" '(critical: jobs)'
    behave 'reset=1'
}

@test "warning: the forwarder is degraded, the database well" {
    sql "SELECT set_routing_enabled(false)" >/dev/null
    # Its role may log in no more, and those who are in are sent away.
    sql "ALTER ROLE e2e_forwarder NOLOGIN" \
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'e2e_forwarder'" >/dev/null
    post "$FIXTURES/text.json"
    wait_until 20 health_is degraded
    status_is warning 1
    has 'forwarder   degraded: it decides by the last rules' 'forwarder degraded'
    sql "ALTER ROLE e2e_forwarder LOGIN"
    wait_until 30 health_is healthy
}

@test "critical: no function can be reached; the breaker that has opened is named" {
    sql "SELECT set_routing_enabled(false)" >/dev/null
    wait_rules
    behave 'refuse=1'
    traffic 6
    status_is critical 2
    has 'the breaker of wa-webhook-jobs is open'
    behave 'refuse=0'
}

@test "outage: the database does not answer; the forwarder tells its own state" {
    new_step 35
    server -m immediate stop
    post "$FIXTURES/text.json"
    wait_until 20 health_is degraded
    status_is outage 2
    has 'ROUTING CRITICAL: the database does not answer: connection to server' 'database    it does not answer: connection' \
        'Webhooks go on by the last rules' 'forwarder   degraded' 'its rules: 35 %, enabled'
    equal "$(typed quick-status --json | jq -c '[.database.reached, .forwarder.state, .forwarder.rules.percentage, .forwarder.rows_waiting > 0]')" \
        '[false,"degraded",35,true]'
    # After a while it says how much waits for the database.
    rows_wait() { typed quick-status | tr -s ' \n' ' ' | grep -E 'log rows waiting: [1-9][0-9]*, the oldest for [0-9]+ s'; }
    wait_until 15 rows_wait
    server start
    wait_until 30 health_is healthy
}

# shellcheck disable=SC2030,SC2031  # each test is a shell of its own
@test "outage: no forwarder answers; the database tells what it knows" {
    new_step 25
    export ADMIN_URL=http://127.0.0.1:9
    status_is outage 2
    has 'ROUTING CRITICAL: climbing, enabled at 25.00 %; forwarder unreachable: nothing answers at http://127.0.0.1:9' \
        'forwarder   unreachable: nothing answers at http://127.0.0.1:9' 'routing     enabled, 25.00 %'
    run typed quick-status --nagios --no-forwarder
    equal "$status" 0
    has 'ROUTING OK: climbing'
}

# shellcheck disable=SC2030,SC2031
@test "outage: neither answers" {
    export ADMIN_URL=http://127.0.0.1:9 DATABASE_URL='postgresql://nobody:s3cret@127.0.0.1:9/x'
    status_is outage 2
    has 'port 9 failed: Connection refused' 'unreachable'
    has_not s3cret 'Webhooks go on'
}

# shellcheck disable=SC2030
@test "a forwarder that takes no webhooks is an outage" {
    export FORWARDER_URL=http://127.0.0.1:9
    status_is outage 2
    has 'forwarder   not ready: no health at http://127.0.0.1:9/ (HTTP status 000)'
}

@test "a long list of domains and long notes stay within the screen" {
    sql "INSERT INTO webhook_routing_domains (domain, legacy_target)
         SELECT 'a-domain-with-a-long-name-' || n, 'wa-webhook' FROM generate_series(1, 14) n" \
        "SELECT set_routing_domains(ARRAY(SELECT domain FROM webhook_routing_domains WHERE NOT protected),
                                    repeat('because of the very many things that were said ', 5))" >/dev/null
    wait_rules
    run typed quick-status
    equal "$status" 0
    fits "$output"
    has 'more: SELECT * FROM check_routing_health();' 'a-domain-with…'
    sql "SELECT set_routing_domains('{jobs,marketplace,property}')" >/dev/null
    wait_rules
}

@test "a forwarder of another database is seen" {
    wait_rules
    empty_database scripts_other
    sql "CREATE EXTENSION webhook_routing" "SELECT set_routing_enabled(true), update_routing_percentage(12.5)" >/dev/null
    run typed quick-status
    has 'its rules: 0 %, enabled' '(the database says 12.5 %)'
}

@test "colour on a terminal only, and not with NO_COLOR" {
    sql "SELECT set_routing_enabled(true)" >/dev/null
    run on_terminal quick-status
    has $'\e[32m'
    run env NO_COLOR=1 bash -c "$(declare -f on_terminal); REPOSITORY=$(printf %q "$REPOSITORY"); on_terminal quick-status"
    has_not $'\e['
    has CLIMBING
}

@test "--watch shows it again and again" {
    local watcher ended=0
    TERM=xterm "$REPOSITORY/scripts/quick-status.sh" --watch 0.3 >"$BATS_TEST_TMPDIR/screens" 2>&1 3>&- 4>&- &
    watcher=$!
    three() { (($(grep -c '^webhook_routing 0' "$BATS_TEST_TMPDIR/screens") >= 3)); }
    wait_until 60 three
    kill "$watcher"
    wait "$watcher" || ended=$?
    equal "$ended" 143
}

@test "a viewer may see all of it, and no phone number is in it" {
    new_step 100
    post "$FIXTURES/text.json"
    sql "SELECT 'CREATE ROLE scripts_viewer LOGIN' WHERE to_regrole('scripts_viewer') IS NULL \gexec" \
        "SELECT grant_routing_role('viewer', 'scripts_viewer')" >/dev/null
    DATABASE_URL=$(cluster_url scripts_status scripts_viewer)
    run typed quick-status --json
    equal "$status" 0
    equal "$(jq -r .database.config.percentage <<<"$output")" 100
    run grep -E '25078[0-9]{7}|wamid' <<<"$output"
    equal "$status" 1
}

@test "who may not, is told; Nagios gets 3 for what is unknown" {
    sql "SELECT 'CREATE ROLE scripts_nobody LOGIN' WHERE to_regrole('scripts_nobody') IS NULL \gexec"
    DATABASE_URL=$(cluster_url scripts_status scripts_nobody)
    run typed quick-status
    equal "$status" 77
    has 'the database refuses: permission denied' "as a superuser: SELECT grant_routing_role('viewer', 'scripts_nobody');"
    run typed quick-status --nagios
    equal "$status" 3
    has 'ROUTING UNKNOWN: the database refuses: permission denied'
    # A wrong DATABASE_URL is no outage.
    DATABASE_URL=$(cluster_url scripts_status scripts_no_such_role)
    run typed quick-status
    equal "$status" 77
    has 'the database refuses the login' 'role "scripts_no_such_role" does not exist'
    has_not OUTAGE
    run typed quick-status --nagios
    equal "$status" 3
    has 'ROUTING UNKNOWN: the database refuses the login'
    DATABASE_URL=$(cluster_url postgres)
    run typed quick-status
    equal "$status" 78
    has 'scripts/apply-migration.sh puts it there'
    run typed quick-status --nagios
    equal "$status" 3
    DATABASE_URL='' run typed quick-status
    equal "$status" 78
    has 'DATABASE_URL is not set' 'export DATABASE_URL='
    DATABASE_URL='' run typed quick-status --nagios
    equal "$status" 3
    equal "$output" 'ROUTING UNKNOWN: DATABASE_URL is not set: it says which database is meant, for example'
    run typed quick-status --nagios --what
    equal "$status" 3
    run typed quick-status --watch --json
    equal "$status" 64
}

# shellcheck disable=SC2031
@test "a dry run says what it would ask" {
    run typed quick-status --dry-run
    equal "$status" 0
    has status.sql "curl $ADMIN_URL/readyz $ADMIN_URL/metrics $FORWARDER_URL/"
}
