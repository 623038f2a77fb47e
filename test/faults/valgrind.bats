#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The forwarder's memory under valgrind, which also sees what is read before it was written, and that
# in the libraries too: no error and no definite leak on any of the ways that a webhook can go.

setup_file() {
    load helper
    ! is_sanitized || return 0
    stack_start faults_valgrind
    forwarder_stop
    chaos_start database "$CLUSTER_SOCKET/.s.PGSQL.$CLUSTER_PORT"
    printf 'postgresql://e2e_forwarder@127.0.0.1:%s/%s\n' "$(chaos_port database)" "$PGDATABASE" >"$STACK/database-url"
    export URL_FILE=$STACK/database-url
}

teardown_file() {
    load helper
    ! is_sanitized || return 0
    stack_stop
    chaos_stop database
}

setup() {
    load helper
    skip_sanitized "two watchers of the same memory"
    cluster_open "$E2E_DIR/cluster"
    chaos database plain
    clean_sheet
    REPORTS=$BATS_TEST_TMPDIR/valgrind
    SECRET=$BATS_TEST_TMPDIR/app-secret
    mkdir "$REPORTS"
    printf '4c1f2ad1e0d94a0b8d3f5f0c7e6a9b21\n' >"$SECRET"
}

teardown() {
    ! is_sanitized || return 0
    chaos database plain
    own_forwarder_stop
    sql "UPDATE webhook_routing_targets SET url = NULL WHERE url IS NOT NULL"
}

# watched_start: the test's forwarder, or the next one after it on the same spool. Under valgrind it is
# slow: what is waited for is not the point here.
watched_start() {
    forwarder_spawn --database-url-file "$URL_FILE" --app-secret-file "$SECRET" \
        --connect-timeout 5s --decide-timeout 5s --workers 2
    wait_until 60 health_is healthy
}

# sends FILE [STATUS]: signed; every webhook here is answered 200
sends() {
    post "$1" -H "X-Hub-Signature-256: sha256=$(openssl dgst -sha256 -hmac "$(cat "$SECRET")" -r "$1" | cut -d ' ' -f 1)"
    equal "$status" 200
}

received_one() { [[ $(seen .total) == 1 ]]; }

# bats test_tags=long
@test "fault 49: valgrind sees no error and no leak: relay, fallback, split, outage, kill, replay, reload, drain" {
    local file posting ended=0
    own_stack
    forwarder_with valgrind -q --fair-sched=yes --leak-check=full --show-leak-kinds=definite \
        --errors-for-leak-kinds=definite --error-exitcode=99 --log-file="$REPORTS/%p"
    watched_start

    for file in "$FIXTURES"/*.json; do
        sends "$file"
    done
    routing 100
    wait_rules
    point wa-webhook-unified "http://127.0.0.1:$(free_port)/" # where nobody listens
    wait_rules
    sends "$FIXTURES/text.json"
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
    sends "$FIXTURES/several_senders_mixed.json"
    sql "UPDATE webhook_routing_targets SET url = NULL WHERE url IS NOT NULL"
    wait_rules

    chaos database refuse reset
    sends "$FIXTURES/text.json"
    sends "$FIXTURES/several_senders_mixed.json"
    chaos database plain
    wait_until 60 health_is healthy
    sends "$FIXTURES/text.json"

    chaos database refuse reset
    sends "$FIXTURES/text.json"
    kill -KILL "$(forwarder_pid)"
    wait_until 20 process_ended "$STACK/forwarder.pid"
    chaos database plain
    watched_start
    wait_until 20 grep '"event":"spool_replayed"' "$STACK/forwarder.log"

    kill -HUP "$(forwarder_pid)"
    wait_until 20 grep '"event":"secrets_reloaded"' "$STACK/forwarder.log"
    curl -fs -X POST "$CONTROL_URL/_standin/reset" >/dev/null
    behave 'delay_ms=2000'
    sends "$FIXTURES/text.json" 3>&- &
    posting=$!
    wait_until 20 received_one
    kill -TERM "$(forwarder_pid)"
    wait "$posting"
    wait "$(forwarder_pid)" || ended=$?
    equal "$ended" 0 'exit status'

    equal "$(find "$REPORTS" -type f | wc -l)" 2 'forwarders under valgrind'
    cat "$REPORTS"/*
    equal "$(cat "$REPORTS"/* | wc -c)" 0 'bytes of reports'
}
