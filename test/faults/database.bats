#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# A database that fails, while webhooks arrive and the forwarder is connected to it through a chaos
# proxy. The tests ask it directly. (Several servers, and disks that are full: server.bats.)

setup_file() {
    load helper
    stack_start faults_database
    forwarder_stop
    chaos_start database "$CLUSTER_SOCKET/.s.PGSQL.$CLUSTER_PORT"
    printf 'postgresql://e2e_forwarder@127.0.0.1:%s/%s\n' "$(chaos_port database)" "$PGDATABASE" >"$STACK/database-url"
    forwarder_start "${PROXIED[@]}"
}

# The forwarder's own deadline for a decision, and its way to the database.
PROXIED=(--decide-timeout 100ms --database-url-file "$BATS_FILE_TMPDIR/database-url")

teardown_file() {
    load helper
    stack_stop
    chaos_stop database
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    chaos database plain reset
    clean_sheet
}

teardown() {
    load_stop
    thaw
    own_forwarder_stop
    chaos database plain
    PGDATABASE=faults_database sql "ALTER ROLE e2e_forwarder CONNECTION LIMIT -1" "ALTER ROLE e2e_forwarder RESET ALL"
    PGDATABASE=faults_database sql "ALTER TABLE webhook_routing_logs DROP CONSTRAINT IF EXISTS poisoned" \
        "DROP FUNCTION IF EXISTS poisoned CASCADE"
}

server() {
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -w -t 60 "$@" >/dev/null 3>&- 4>&-
}

# freeze: all processes of the server stop where they are; thaw: they go on
freeze() {
    local postmaster
    postmaster=$(head -n 1 "$CLUSTER_HOME/data/postmaster.pid")
    kill -STOP "$postmaster"
    pgrep -P "$postmaster" | cat - <(echo "$postmaster") >"$BATS_TEST_TMPDIR/frozen"
    xargs kill -STOP <"$BATS_TEST_TMPDIR/frozen"
}

thaw() {
    if [[ -s $BATS_TEST_TMPDIR/frozen ]]; then
        xargs kill -CONT <"$BATS_TEST_TMPDIR/frozen"
        rm "$BATS_TEST_TMPDIR/frozen"
    fi
}

# terminated: the forwarder's connections, by the server
terminated() {
    sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'e2e_forwarder'" >/dev/null
}

# reconnect: the forwarder's connections are made anew
reconnect() {
    chaos database reset
    settled
}

# down: as the forwarder sees the database
down() { chaos database refuse reset; }

# degraded_start COMMAND...: a start that is well when it is ready, though health is not
degraded_start() {
    EXPECTED_HEALTH=degraded "$@"
    ready_is 200
}

@test "fault 1: down at start: the kept rules decide, and the rows come when it is up" {
    routing 50
    wait_rules
    forwarder_stop
    down
    degraded_start forwarder_start "${PROXIED[@]}"
    load_begin
    sleep 3
    equal "$(logged)" 0
    chaos database plain
    load_end
    stored "$LOADED"
    one_side
    equal "$(sql "SELECT count(DISTINCT routed_to) FROM webhook_routing_logs")" 2
    wait_until 20 health_is healthy
}

@test "fault 1: down at start, and no rules were ever kept: the default target" {
    down
    degraded_start own_forwarder "${PROXIED[@]}"
    post "$(text 'I need a job')"
    equal "$status $(answer_header X-Routed-To) $(answer_header X-Routing-Decision)" '200 wa-webhook legacy; reason=no_config'
    load_begin
    load_end 2500 1
    chaos database plain
    equal "$(jq -c .routed_to "$BATS_TEST_TMPDIR/load.json")" "{\"wa-webhook\":$LOADED}"
    stored $((LOADED + 1))
    equal "$(sql "SELECT DISTINCT webhook_name, routed_to, reason, config_version FROM webhook_routing_logs")" 'wa-webhook|legacy|no_config|'
    wait_until 20 health_is healthy
    post "$(text 'I need a job')"
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
}

# bats test_tags=long
@test "fault 2: it stops under load: every webhook is relayed and logged once, nobody changes side" {
    routing 50
    wait_rules
    load_begin
    server -m immediate stop
    wait_until 10 health_is degraded
    ready_is 200
    sleep 3
    server -l "$CLUSTER_HOME/postgresql.log" start
    load_end
    stored "$LOADED"
    one_side
}

@test "fault 3: frozen: only the first wait, nothing piles up, and it goes on when it thaws" {
    local memory
    routing 50
    wait_rules
    load_begin
    memory=$(memory_kb)
    freeze
    # Webhooks are answered as fast as they arrive.
    wait_answers 800
    post "$(text 'I need a job')"
    equal "$status" 200
    # As many as arrive within the deadline, a tenth of a second; where the machine stands still, some more.
    between "$(waited_for_database)" 1 150 'webhooks that waited'
    ready_is 200
    health_is degraded
    between "$(($(memory_kb) - memory))" -100000 10000 'kB more in memory'
    between "$(memory_kb Threads)" 1 10 'threads'
    thaw
    load_end 2500 1
    stored $((LOADED + 1))
    one_side
    wait_until 20 health_is healthy
}

@test "fault 3: frozen between two webhooks: decided within the deadline, then at once" {
    local i waited
    post "$(text 'I need a job')"
    waited=$(waited_for_database)
    chaos database freeze
    ms post "$(text 'I need a job')"
    equal "$status" 200
    between "$TOOK_MS" 100 4000 'ms for the first'
    for ((i = 0; i < 5; i++)); do
        post "$(text 'I need a job')"
        equal "$status" 200
    done
    # Were each of the six to wait, they would be six; one may have met a moment in which the machine stood still.
    between "$(($(waited_for_database) - waited))" 1 3 'webhooks that waited'
    chaos database thaw
    stored 7
}

# bats test_tags=long
@test "fault 4: restarts and killed sessions under load: nothing is lost or stored twice" {
    routing 50
    wait_rules
    load_begin
    server -m fast -l "$CLUSTER_HOME/postgresql.log" restart
    wait_answers 100
    terminated
    wait_answers 100
    server -m fast -l "$CLUSTER_HOME/postgresql.log" restart
    wait_answers 60
    # A crash: every session ends, and new ones are refused until it has recovered.
    kill -KILL "$(sql "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")"
    load_end
    stored "$LOADED"
    one_side
    wait_until 20 health_is healthy
}

@test "fault 4: the sockets of broken connections, closed by libpq, are left alone" {
    local trace=$BATS_TEST_TMPDIR/trace
    skip_sanitized "it is traced already"
    # Their numbers can be those of files that other threads have opened meanwhile.
    forwarder_with strace -D -f -qq -e trace=epoll_ctl -o "$trace"
    own_forwarder --database-url-file "$STACK/database-url"
    reconnect
    reconnect
    own_forwarder_stop
    between "$(grep -c EPOLL_CTL_ADD "$trace")" 6 10000 'files watched'
    equal "$(grep ' = -1 ' "$trace" || true)" '' 'calls for files that are not there'
}

@test "fault 6: no connection slots under load: as down" {
    routing 50
    wait_rules
    load_begin
    sql "ALTER ROLE e2e_forwarder CONNECTION LIMIT 0"
    terminated
    # 53300
    wait_until 20 grep 'too many connections' "$STACK/forwarder.log"
    wait_until 20 health_is degraded
    sleep 3
    sql "ALTER ROLE e2e_forwarder CONNECTION LIMIT -1"
    load_end
    stored "$LOADED"
    one_side
}

@test "fault 7: a lock on the log under load: decisions go on, the rows come when it is gone" {
    local locking
    routing 50
    wait_rules
    load_begin
    psql -Xq -c "BEGIN; LOCK TABLE webhook_routing_logs; SELECT pg_sleep(3)" >/dev/null 3>&- &
    locking=$!
    wait "$locking"
    load_end
    stored "$LOADED"
    one_side
}

@test "fault 7: lock and statement time-outs on the log under load: it is tried again" {
    local locking
    sql "ALTER ROLE e2e_forwarder SET lock_timeout = '200ms'" "ALTER ROLE e2e_forwarder SET statement_timeout = '500ms'"
    reconnect
    load_begin
    psql -Xq -c "BEGIN; LOCK TABLE webhook_routing_logs; SELECT pg_sleep(3)" >/dev/null 3>&- &
    locking=$!
    wait "$locking"
    sql "ALTER ROLE e2e_forwarder RESET ALL"
    load_end
    stored "$LOADED"
    reconnect
}

@test "fault 8: routing is disabled: legacy, with that reason" {
    routing 100
    sql "SELECT set_routing_enabled(false)" >/dev/null
    wait_rules # whoever decides
    post "$FIXTURES/text.json"
    equal "$(answer_header X-Routing-Decision)" 'legacy; reason=disabled'
}

@test "fault 8: there is no configuration at all, under load: legacy, with that reason" {
    local without
    routing 100
    wait_rules
    load_begin
    sql "CREATE TABLE saved AS TABLE webhook_routing_config" \
        "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM webhook_routing_config; COMMIT"
    chaos database reset
    no_config() { post "$FIXTURES/text.json" && [[ $(answer_header X-Routing-Decision) == 'legacy; reason=no_config' ]]; }
    run wait_until 20 no_config
    without=$status
    wait_answers 100
    sql "BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO webhook_routing_config SELECT * FROM saved; COMMIT; DROP TABLE saved"
    chaos database reset
    wait_answers 100
    load_stop
    equal "$without" 0
    equal "$(jq -c '.statuses | keys' "$BATS_TEST_TMPDIR/load.json")" '["200"]'
    everything_logged() { [[ $(logged) == "$(seen .total)" ]]; }
    wait_until 20 everything_logged
    equal "$(sql "SELECT string_agg(DISTINCT routed_to || ' ' || reason, ', ' ORDER BY routed_to || ' ' || reason) FROM webhook_routing_logs")" \
        'legacy no_config, unified in_percentage'
    equal "$(sql "SELECT count(*) - count(DISTINCT id) FROM webhook_routing_logs")" 0
    wait_until 20 health_is healthy
}

# extension_database: one of its own, and the forwarder's URL for it
extension_database() {
    cluster_psql postgres -c "DROP DATABASE IF EXISTS faults_extension WITH (FORCE)" -c "CREATE DATABASE faults_extension"
    cluster_url faults_extension e2e_forwarder >"$BATS_TEST_TMPDIR/url"
    export PGDATABASE=faults_extension
}

extension_made() {
    sql "CREATE EXTENSION webhook_routing" "SELECT grant_routing_role('forwarder', 'e2e_forwarder')" \
        "SELECT routing_maintain()" >/dev/null
}

@test "fault 9: the extension was never there: the default target, loudly, until it is made" {
    extension_database
    degraded_start own_forwarder --database-url-file "$BATS_TEST_TMPDIR/url"
    post "$(text 'I need a job')"
    equal "$status $(answer_header X-Routed-To) $(answer_header X-Routing-Decision)" '200 wa-webhook legacy; reason=no_config'
    wait_until 20 grep 'extension_missing.*CREATE EXTENSION webhook_routing' "$STACK/forwarder.log"
    grep 'extension_missing.*CREATE EXTENSION webhook_routing' "$STACK/forwarder.log" | grep -F '"level":"error"'
    wait_until 20 grep 'database_unreachable.*"link":"decide".*"mend":"CREATE EXTENSION' "$STACK/forwarder.log"
    # A state that lasts is told once, and once for each connection.
    sleep 3
    equal "$(events extension_missing)" 1
    (($(events database_unreachable) <= 3))
    extension_made
    settled
    wait_logged 1
    post "$(text 'I need a job')"
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
}

@test "fault 9: the extension is dropped and made again under load: default target, and back by itself" {
    extension_database
    extension_made
    sql "SELECT set_routing_enabled(true), update_routing_percentage(100)" >/dev/null
    own_forwarder --decide-timeout 100ms --database-url-file "$BATS_TEST_TMPDIR/url"
    wait_rules
    load_begin
    sql "DROP EXTENSION webhook_routing"
    wait_until 20 health_is degraded
    wait_until 20 grep '"event":"extension_missing"' "$STACK/forwarder.log"
    ready_is 200
    sleep 3
    extension_made
    wait_until 30 metric_is 0 webhook_forwarder_deciding_locally
    load_end
    # Unified by the old rules, the default target without any, then legacy: the new extension is disabled.
    equal "$(jq -c '.routed_to | keys' "$BATS_TEST_TMPDIR/load.json")" '["wa-webhook","wa-webhook-jobs","wa-webhook-unified"]'
    # The old log is gone with the extension; what was decided later is in the new one, once.
    later_logged() {
        [[ $(sql "SELECT count(*), count(DISTINCT message_id) FROM webhook_routing_logs WHERE routed_to = 'legacy'") == \
            "$(jq '.routed_to | .["wa-webhook"] + .["wa-webhook-jobs"] | "\(.)|\(.)"' -r "$BATS_TEST_TMPDIR/load.json")" ]]
    }
    wait_until 20 later_logged
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE reason = 'no_config'")" \
        "$(jq '.routed_to["wa-webhook"]' "$BATS_TEST_TMPDIR/load.json")"
    equal "$(sql "SELECT count(*) - count(DISTINCT id) FROM webhook_routing_logs")" 0
}

@test "fault 9: an older extension, which lacks a function: default target, and back by itself" {
    extension_database
    extension_made
    sql "SELECT set_routing_enabled(true), update_routing_percentage(100)" \
        "ALTER FUNCTION route_decide_items(bytea, text) RENAME TO route_decide_all" >/dev/null
    degraded_start own_forwarder --database-url-file "$BATS_TEST_TMPDIR/url"
    default_target() { post "$(text 'I need a job')" && [[ "$status $(answer_header X-Routed-To)" == '200 wa-webhook' ]]; }
    wait_until 20 default_target
    wait_until 20 grep 'extension_missing.*ALTER EXTENSION webhook_routing UPDATE' "$STACK/forwarder.log"
    sql "ALTER FUNCTION route_decide_all(bytea, text) RENAME TO route_decide_items"
    settled
    post "$(text 'I need a job')"
    equal "$(answer_header X-Routed-To)" wa-webhook-unified
}

@test "fault 10: no partition for the day, under load: DEFAULT takes the rows, and they move to their own" {
    sql "SELECT format('DROP TABLE %s', inhrelid::regclass) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
         WHERE inhparent = 'webhook_routing_logs'::regclass AND pg_get_expr(relpartbound, inhrelid) <> 'DEFAULT' \gexec"
    load_begin
    some_in_default() {
        (($(sql "SELECT count(*) FROM webhook_routing_logs AS l JOIN pg_class AS c ON c.oid = l.tableoid
                 WHERE pg_get_expr(relpartbound, c.oid) = 'DEFAULT'") >= 100))
    }
    wait_until 20 some_in_default
    sql "SELECT * FROM routing_maintain()" >/dev/null
    load_end
    stored "$LOADED"
    sql "SELECT * FROM routing_maintain()" >/dev/null
    equal "$(logged)" "$LOADED"
}

# poisoned_rows: two webhooks whose rows the database refuses, among those of a load
poisoned_rows() {
    local before
    before=$(events log_row_refused)
    load_begin
    post "$(text 'I need a job' 250788000666)"
    wait_answers 100
    post "$(text 'I need a job' 250788000666)"
    load_end 2500 2
    refused() { (($(events log_row_refused) == before + 2)); }
    wait_until 20 refused
    stored "$LOADED"
    wait_until 20 health_is healthy
}

@test "fault 12: a row that a constraint refuses is set aside, its neighbours are stored" {
    sql "ALTER TABLE webhook_routing_logs ADD CONSTRAINT poisoned CHECK (from_number IS DISTINCT FROM '250788000666')"
    poisoned_rows
}

@test "fault 12: a row that a trigger refuses is set aside, its neighbours are stored" {
    sql "CREATE FUNCTION poisoned() RETURNS trigger LANGUAGE plpgsql AS
         \$\$ BEGIN RAISE 'not this one'; END \$\$" \
        "CREATE TRIGGER poisoned BEFORE INSERT ON webhook_routing_logs FOR EACH ROW
         WHEN (NEW.from_number = '250788000666') EXECUTE FUNCTION poisoned()"
    poisoned_rows
}

@test "fault 13: killed after the commit, before its answer: the replay changes nothing" {
    local lost connected round
    routing 50
    wait_rules
    lost=$(events database_lost)
    load_begin
    for round in 1 2 3; do
        connected=$(metric webhook_forwarder_log_rows_stored_total)
        stores() { (($(metric webhook_forwarder_log_rows_stored_total) > connected)) && health_is healthy; }
        wait_until 20 stores
        # What the database says from now on does not arrive; a batch is sent every 50 ms.
        chaos database 'latency?ms=600000&direction=down'
        sleep 0.4
        terminated
        chaos database reset plain
        both_lost() { (($(events database_lost) >= lost + 2 * round)); }
        wait_until 20 both_lost
    done
    load_end
    stored "$LOADED"
    one_side
}

@test "fault 13: the connection breaks at any answer: stored once" {
    local i before
    for ((i = 0; i < 6; i++)); do
        wait_until 20 ready_is 200
        post "$(text 'I need a job')"
        equal "$status" 200
        # The next answer of the database, whichever it is, becomes a reset: most often of the log.
        before=$(chaos_saw database .resets)
        chaos database 'reset-answer?times=1'
        has_reset() { (($(chaos_saw database .resets) > before)); }
        wait_until 20 has_reset
    done
    chaos database plain
    stored 6
}

@test "fault 14: a database that was restored has other rules under the same version: they count" {
    extension_database
    printf 'postgresql://e2e_forwarder@127.0.0.1:%s/%s\n' "$(chaos_port database)" "$PGDATABASE" >"$BATS_TEST_TMPDIR/url"
    extension_made
    sql "SELECT set_routing_enabled(true), update_routing_percentage(100)" >/dev/null
    own_forwarder --database-url-file "$BATS_TEST_TMPDIR/url"
    wait_rules
    down
    wait_until 20 health_is degraded
    sql "DROP EXTENSION webhook_routing"
    extension_made
    sql "SELECT set_routing_enabled(true), update_routing_percentage(0.01)" >/dev/null
    chaos database plain
    settled
    wait_until 20 grep '"event":"ruleset".*"percentage":0.01' "$STACK/forwarder.log"
    down
    wait_until 20 health_is degraded
    post "$(text 'I need a job')"
    equal "$status $(answer_header X-Routed-To)" '200 wa-webhook-jobs'
}
