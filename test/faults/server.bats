#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Faults of whole database servers, while webhooks arrive: a disk that is full, and a primary and its
# standby that change places. The servers are this file's own, on a small disk of their own where this
# user may mount one.

setup_file() {
    load helper
    local suite=$E2E_DIR
    export E2E_DIR=$BATS_FILE_TMPDIR/disk
    mkdir "$E2E_DIR"
    if mount -t tmpfs -o size=400m,mode=755 tmpfs "$E2E_DIR" 2>/dev/null; then
        : >"$BATS_FILE_TMPDIR/mounted"
    fi
    cluster_open "$E2E_DIR/cluster"
    ln -s "$(<"$suite/cluster/cluster.home")/stage" "$CLUSTER_HOME/stage"
    # Not on that disk: what happened when it was full.
    : >"$BATS_FILE_TMPDIR/postgresql.log"
    own "$BATS_FILE_TMPDIR/postgresql.log"
    ln -s "$BATS_FILE_TMPDIR/postgresql.log" "$CLUSTER_HOME/postgresql.log"
    cluster_start fsync=off full_page_writes=off min_wal_size=48MB max_wal_size=96MB
    stack_start faults_server
    forwarder_stop
    printf 'postgresql:///%s?host=%s,%s&port=%s,%s&user=e2e_forwarder\n' "$PGDATABASE" "${CLUSTER_SOCKET//\//%2F}" \
        "${CLUSTER_SOCKET//\//%2F}" "$CLUSTER_PORT" "$STANDBY_PORT" >"$STACK/database-url"
}

teardown_file() {
    load helper
    stack_stop
    cluster_open "$E2E_DIR/cluster"
    server standby -m immediate stop || true
    cluster_destroy
    if [[ -e $BATS_FILE_TMPDIR/mounted ]]; then
        umount "$E2E_DIR"
    fi
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    routing 50
}

teardown() {
    load_stop
    room
    own_forwarder_stop
}

readonly STANDBY_PORT=54330

# server data|standby ARGUMENT...: one of them, by pg_ctl
server() {
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/$1" -l "$CLUSTER_HOME/postgresql.log" -w -t 60 "${@:2}" \
        >/dev/null 3>&- 4>&-
}

# forwarder ARGUMENT...: the test's own, which knows both servers
forwarder() {
    own_forwarder --decide-timeout 100ms --database-url-file "$STACK/database-url" "$@"
    wait_rules
}

# ---- a disk that is full ----

own_disk() {
    [[ -e $BATS_FILE_TMPDIR/mounted ]] || skip 'this user may not mount a disk of its own'
}

no_room() { ! dd if=/dev/zero of="$E2E_DIR/filler" bs=64K status=none 2>/dev/null; }
room() { rm -f "$E2E_DIR/filler"; }

@test "fault 11: the database's disk is full under load: decisions go on, the rows come when there is room" {
    own_disk
    forwarder
    load_begin
    no_room
    failed() { grep '"sqlstate":"53100"' "$STACK/forwarder.log"; }
    wait_until 30 failed
    ready_is 200
    sleep 3
    room
    load_end
    stored "$LOADED"
    one_side
    wait_until 20 health_is healthy
}

@test "fault 11: no room for the write-ahead log, PANIC under load: decided by the last rules, nothing is lost" {
    own_disk
    forwarder
    load_begin
    no_room
    # The segments that are there are used up, until one has to be made.
    panicked() {
        sql "SELECT pg_logical_emit_message(true, 'faults', 'x')" "SELECT pg_switch_wal()"
        grep PANIC "$CLUSTER_HOME/postgresql.log"
    }
    wait_until 30 panicked
    wait_until 20 health_is degraded
    ready_is 200
    sleep 3
    room
    back() { sql "SELECT 1" || server data start; }
    wait_until 60 back
    load_end
    stored "$LOADED"
    one_side
    wait_until 20 health_is healthy
}

# ---- two servers ----

# standby_made: there is one, and it has all that the primary has
standby_made() {
    if [[ ! -d $CLUSTER_HOME/standby ]]; then
        as_cluster_user "$(pg_config --bindir)/pg_basebackup" -h "$CLUSTER_SOCKET" -p "$CLUSTER_PORT" -U "$CLUSTER_USER" \
            -D "$CLUSTER_HOME/standby" -R -c fast --no-sync
        server standby -o "-p $STANDBY_PORT" start
    fi
    caught_up
}

at_standby() { PGPORT=$STANDBY_PORT sql "$@"; }

caught_up() {
    local place
    place=$(sql "SELECT pg_current_wal_lsn()")
    replayed() { [[ $(at_standby "SELECT pg_last_wal_replay_lsn() >= '$place'") == t ]]; }
    wait_until 30 replayed
}

# links: those of the forwarder's links that lead to that server
links() {
    sql "SELECT string_agg(DISTINCT split_part(application_name, ' ', 2), ' ' ORDER BY split_part(application_name, ' ', 2))
         FROM pg_stat_activity WHERE application_name LIKE 'webhook-forwarder %'"
}

@test "fault 5: decisions of the standby, the log to the primary; the standby dies under load and comes back" {
    standby_made
    forwarder --decide-server prefer-standby
    load_begin
    equal "$(links)" 'log maintenance' 'at the primary'
    equal "$(PGPORT=$STANDBY_PORT links)" decide 'at the standby'
    server standby -m immediate stop
    both_at_primary() { [[ $(links) == 'decide log maintenance' ]]; }
    wait_until 20 both_at_primary
    server standby -o "-p $STANDBY_PORT" start
    load_end
    stored "$LOADED"
    one_side
    equal "$(sql "SELECT count(DISTINCT routed_to) FROM webhook_routing_logs")" 2
}

@test "fault 5: primary and standby change places under load: the log finds the primary, nobody changes side" {
    standby_made
    forwarder
    load_begin
    # The session that stores the log is told 25006; there is no server for it until the standby is promoted.
    sql "ALTER SYSTEM SET default_transaction_read_only = on" "SELECT pg_reload_conf()" >/dev/null
    read_only() { grep '"sqlstate":"25006"' "$STACK/forwarder.log"; }
    wait_until 20 read_only
    caught_up
    server data -m fast stop
    server standby promote
    as_cluster_user tee -a "$CLUSTER_HOME/data/postgresql.auto.conf" >/dev/null \
        <<<"primary_conninfo = 'host=$CLUSTER_SOCKET port=$STANDBY_PORT user=$CLUSTER_USER'"
    as_cluster_user touch "$CLUSTER_HOME/data/standby.signal"
    server data start
    equal "$(sql "SELECT pg_is_in_recovery()")" t
    load_end
    export PGPORT=$STANDBY_PORT
    stored "$LOADED"
    one_side
    wait_until 20 health_is healthy
    grep -F '"event":"database_ready"' "$STACK/forwarder.log" | grep -F '"link":"log"' | tail -n 1 | grep -F "\"port\":\"$STANDBY_PORT\""
    # A change at the new primary is in force.
    routing 100
    post "$(text 'I need a job')"
    equal "$(answer_header X-Routed-To)" wa-webhook-unified
}
