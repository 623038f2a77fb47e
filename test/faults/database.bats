#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# A database that fails, while the forwarder is connected to it through a chaos proxy. The tests ask it
# directly.

setup_file() {
    load helper
    stack_start faults_database
    forwarder_stop
    chaos_start database "$CLUSTER_SOCKET/.s.PGSQL.$CLUSTER_PORT"
    printf 'postgresql://e2e_forwarder@127.0.0.1:%s/%s\n' "$(chaos_port database)" "$PGDATABASE" >"$STACK/database-url"
    forwarder_start --database-url-file "$STACK/database-url"
}

teardown_file() {
    load helper
    stack_stop
    chaos_stop database
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    chaos database plain
    wait_until 10 ready_is 200
    clean_sheet
}

teardown() { own_forwarder_stop; }

# reconnect: the forwarder's connections are made anew
reconnect() {
    local before
    before=$(events database_ready)
    chaos database reset
    reconnected() { (($(events database_ready) >= before + 2)); }
    wait_until 10 reconnected
    wait_until 10 ready_is 200
}

# stored N: so many rows, each once, and counted once
stored() {
    wait_logged "$1"
    sleep 0.3
    equal "$(logged)" "$1"
    equal "$(sql "SELECT count(DISTINCT message_id) FROM webhook_routing_logs")" "$1"
    equal "$(counted)" "$1|0"
}

# down: as the forwarder sees the database
down() { chaos database refuse reset; }

# degraded_start COMMAND...: a start that is well when it is ready, though health is not
degraded_start() {
    health_is() { ready_is 200; }
    "$@"
    equal "$(curl -s "$FORWARDER_URL/" | jq -r .status)" degraded
}

# one_side: nobody has changed side, and every row can be computed again
one_side() {
    equal "$(sql "SELECT count(*) FROM (SELECT from_number FROM webhook_routing_logs GROUP BY from_number
                  HAVING count(DISTINCT routed_to) > 1) AS torn")" 0
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs
                  WHERE (routed_to = 'unified') <> (bucket < percentage * 100) OR bucket <> routing_bucket(from_number)")" 0
}

@test "fault 1: down at start: the kept rules decide, and the rows come when it is up" {
    local before
    routing 100
    wait_rules
    post "$(text 'I need a job')"
    before=$(answer_header X-Routed-To)
    wait_logged 1
    forwarder_stop
    down
    degraded_start forwarder_start --database-url-file "$STACK/database-url"
    post "$(text 'I need a job')"
    equal "$status $(answer_header X-Routed-To)" "200 $before"
    equal "$(logged)" 1
    chaos database plain
    stored 2
}

@test "fault 1: down at start, and no rules were ever kept: the default target" {
    down
    degraded_start own_forwarder --database-url-file "$STACK/database-url"
    post "$(text 'I need a job')"
    equal "$status $(answer_header X-Routed-To)" '200 wa-webhook'
    chaos database plain
    stored 1
}

@test "fault 2: it stops under load: every webhook is relayed and logged once, nobody changes side" {
    local loading
    routing 50
    wait_rules
    "$LOAD" --url "$FORWARDER_URL/" --requests 1500 --concurrency 16 --rate 500 --senders 300 --domain jobs \
        --first 16000000 >"$BATS_TEST_TMPDIR/load.json" 3>&- &
    loading=$!
    sleep 0.8
    down
    sleep 1
    chaos database plain
    wait "$loading"
    equal "$(seen '"\(.total) \(.distinct_message_ids)"')" '1500 1500'
    stored 1500
    one_side
}

@test "fault 3: frozen: decided within the deadline, then at once, and it goes on when it thaws" {
    local i
    post "$(text 'I need a job')"
    chaos database freeze
    ms post "$(text 'I need a job')"
    equal "$status" 200
    between "$TOOK_MS" 0 400 'ms for the first'
    for ((i = 0; i < 5; i++)); do
        ms post "$(text 'I need a job')"
        equal "$status" 200
        between "$TOOK_MS" 0 150 'ms for the next'
    done
    chaos database thaw
    stored 7
}

@test "fault 4: a restart under load: connections come back, and nothing is lost or stored twice" {
    local loading
    routing 50
    "$LOAD" --url "$FORWARDER_URL/" --requests 1500 --concurrency 16 --rate 500 --first 15000000 --retry 100 \
        >"$BATS_TEST_TMPDIR/load.json" 3>&- &
    loading=$!
    sleep 0.7
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -m fast -w -t 60 \
        -l "$CLUSTER_HOME/postgresql.log" restart >/dev/null 3>&- 4>&-
    wait "$loading"
    wait_until 10 ready_is 200
    equal "$(seen '.distinct_message_ids')" 1500
    all_stored() { [[ $(sql "SELECT count(*) FROM webhook_routing_logs WHERE status = 'success'") == "$(seen '.total')" ]]; }
    wait_until 10 all_stored
    equal "$(sql "SELECT count(*) - count(DISTINCT id) FROM webhook_routing_logs")" 0
}

@test "fault 6: no connection slots: as down" {
    routing 100
    wait_rules
    sql "ALTER ROLE e2e_forwarder CONNECTION LIMIT 0"
    chaos database reset
    sleep 0.3
    post "$(text 'I need a job')"
    sql "ALTER ROLE e2e_forwarder CONNECTION LIMIT -1"
    equal "$status $(answer_header X-Routed-To)" '200 wa-webhook-unified'
    stored 1
}

@test "fault 7: a lock on the log: decisions go on, the rows come when it is gone" {
    local i locking
    psql -Xq -c "BEGIN; LOCK TABLE webhook_routing_logs; SELECT pg_sleep(2)" >/dev/null 3>&- &
    locking=$!
    sleep 0.3
    for ((i = 0; i < 5; i++)); do
        ms post "$(text 'I need a job')"
        equal "$status" 200
        between "$TOOK_MS" 0 200 'ms'
    done
    wait "$locking"
    stored 5
}

@test "fault 7: lock and statement time-outs on the log: it is tried again" {
    local locking
    sql "ALTER ROLE e2e_forwarder SET lock_timeout = '200ms'" "ALTER ROLE e2e_forwarder SET statement_timeout = '500ms'"
    reconnect
    psql -Xq -c "BEGIN; LOCK TABLE webhook_routing_logs; SELECT pg_sleep(1.5)" >/dev/null 3>&- &
    locking=$!
    sleep 0.3
    post "$(text 'I need a job')"
    equal "$status" 200
    wait "$locking"
    sql "ALTER ROLE e2e_forwarder RESET ALL"
    stored 1
    reconnect
}

@test "fault 8: routing is disabled: legacy, with that reason" {
    routing 100
    sql "SELECT set_routing_enabled(false)" >/dev/null
    post "$FIXTURES/text.json"
    equal "$(answer_header X-Routing-Decision)" 'legacy; reason=disabled'
}

@test "fault 8: there is no configuration at all: legacy, with that reason" {
    sql "CREATE TABLE saved AS TABLE webhook_routing_config" \
        "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM webhook_routing_config; COMMIT"
    chaos database reset
    no_config() { post "$FIXTURES/text.json" && [[ $(answer_header X-Routing-Decision) == 'legacy; reason=no_config' ]]; }
    run wait_until 10 no_config
    sql "BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO webhook_routing_config SELECT * FROM saved; COMMIT; DROP TABLE saved"
    chaos database reset
    wait_until 10 ready_is 200
    equal "$status" 0
}

@test "fault 9: the extension is missing: the default target, loudly" {
    cluster_psql postgres -c "DROP DATABASE IF EXISTS faults_bare" -c "CREATE DATABASE faults_bare"
    cluster_url faults_bare e2e_forwarder >"$BATS_TEST_TMPDIR/bare-url"
    degraded_start own_forwarder --database-url-file "$BATS_TEST_TMPDIR/bare-url"
    post "$(text 'I need a job')"
    equal "$status $(answer_header X-Routed-To)" '200 wa-webhook'
    (($(events extension_missing) >= 1))
    own_forwarder_stop
    cluster_psql postgres -c "DROP DATABASE faults_bare WITH (FORCE)"
}

@test "fault 10: no partition for the day: the DEFAULT partition takes the row" {
    sql "SELECT format('DROP TABLE %s', inhrelid::regclass) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
         WHERE inhparent = 'webhook_routing_logs'::regclass AND pg_get_expr(relpartbound, inhrelid) <> 'DEFAULT' \gexec"
    post "$FIXTURES/text.json"
    wait_logged 1
    equal "$(sql "SELECT pg_get_expr(relpartbound, c.oid) FROM webhook_routing_logs AS l JOIN pg_class AS c ON c.oid = l.tableoid")" DEFAULT
    sql "SELECT * FROM routing_maintain()" >/dev/null
    equal "$(logged)" 1
}

@test "fault 12: a row that the database refuses is set aside, its neighbours are stored" {
    local i
    sql "ALTER TABLE webhook_routing_logs ADD CONSTRAINT poisoned CHECK (from_number IS DISTINCT FROM '250788000666')"
    for ((i = 0; i < 4; i++)); do post "$(text 'I need a job')"; done
    post "$(text 'I need a job' 250788000666)"
    for ((i = 0; i < 4; i++)); do post "$(text 'I need a job')"; done
    wait_logged 8
    refused() { (($(events log_row_refused) >= 1)); }
    wait_until 5 refused
    sql "ALTER TABLE webhook_routing_logs DROP CONSTRAINT poisoned"
    stored 8
}

@test "fault 13: the connection breaks after the commit and before its answer: stored once" {
    local i
    for ((i = 0; i < 6; i++)); do
        wait_until 10 ready_is 200
        post "$(text 'I need a job')"
        equal "$status" 200
        # The next answer of the database, whichever it is, becomes a reset: most often of the log.
        chaos database 'reset-answer?times=1'
        sleep 0.3
    done
    chaos database plain
    stored 6
    (($(chaos_saw database .resets) >= 6))
}
