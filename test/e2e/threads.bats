#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# All that threads have to do with each other, at once: four workers with mixed webhooks, their connections to
# the database cut, the rules changed, secrets read again, and main asked for all that it tells. The thread
# sanitizer has the most to see here; without it every webhook has to arrive and to be logged.

setup_file() {
    load helper
    printf 'a secret of the app\n' >"$BATS_FILE_TMPDIR/app-secret"
    stack_start e2e_threads --workers 4 --app-secret-file "$BATS_FILE_TMPDIR/app-secret"
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    routing 50
}

teardown() { touch "$BATS_TEST_TMPDIR/over"; }

# again_and_again SECONDS COMMAND...: in the background, with a pause between, until the test is over
again_and_again() {
    local pause=$1
    shift
    until [[ -e $BATS_TEST_TMPDIR/over ]]; do
        "$@" || true
        sleep "$pause"
    done >/dev/null 2>&1 3>&- 4>&- &
    BESIDE+=($!)
}

everything_asked() {
    local url
    for url in "$ADMIN_URL"/{metrics,status,status.json,readyz,livez} "$FORWARDER_URL/"; do
        curl -s -m 10 "$url"
    done
}

links_cut() {
    sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'webhook-forwarder %'"
}

rules_changed() { routing $((RANDOM % 101)); }

secrets_read_again() { kill -HUP "$(forwarder_pid)"; }

# all_logged: each message that reached a function has its rows
all_logged() {
    [[ $(sql "SELECT count(DISTINCT message_id) FROM webhook_routing_logs WHERE status = 'success'") == "$(seen .distinct_message_ids)" ]]
}

# busy_for REQUESTS FIRST: so many webhooks, 100 a second; every tenth is a mixed batch, every fifth a status
busy_for() {
    "$LOAD" --url "$FORWARDER_URL/" --requests "$1" --first "$2" --rate 100 --concurrency 32 --batch 10 --statuses 5 \
        --retry 5 --secret-file "$BATS_FILE_TMPDIR/app-secret" >"$BATS_TEST_TMPDIR/load.json" 3>&- 4>&- || {
        cat "$BATS_TEST_TMPDIR/load.json"
        return 1
    }
}

@test "questions, reloads, new rules and cut connections under load: all arrives and is logged" {
    BESIDE=()
    again_and_again 0.1 everything_asked
    again_and_again 0.3 secrets_read_again
    again_and_again 0.3 rules_changed
    again_and_again 1.5 links_cut
    busy_for "$([[ ${LONG:-} == true ]] && echo 9000 || echo 1500)" 61000000
    touch "$BATS_TEST_TMPDIR/over"
    wait "${BESIDE[@]}" || true
    wait_until 60 all_logged
    equal "$(sql "SELECT count(*) - count(DISTINCT id) FROM webhook_routing_logs")" 0 'rows twice'
    wait_until 30 health_is healthy
}
