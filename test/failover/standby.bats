#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The standby decides: what happens when it goes away, and when it lags behind what the primary has been told.

setup_file() {
    load helper
    pair_start failover_standby
    forwarders_start
}

teardown_file() {
    load helper
    pair_stop
}

setup() {
    load helper
    pair_setup
}

teardown() {
    load_stop
    at_db "$STANDBY" "SELECT pg_wal_replay_resume()" >/dev/null 2>&1 || true
}

@test "the standby is lost in mid-traffic: the primary decides, and nobody notices" {
    load_start
    sleep 1
    equal "$(links "$STANDBY")" decide 'at the standby'
    LOST=$EPOCHREALTIME
    lost "$STANDBY"
    both_at_primary() { [[ $(links "$PRIMARY") == 'decide log maintenance' ]]; }
    wait_until 10 both_at_primary
    wait_until 10 both_healthy
    figure "decided by the primary $(seconds "$LOST") s after the loss"
    sleep 1
    nobody_noticed
    figure "$(affected "$LOST")"
    same_side
    complete
}

# unified_until SINCE: ms from that moment to when the last webhook that went to unified was sent; 0 when there is none
unified_until() {
    awk -F '\t' -v since="$(seconds "$LOAD_BEGAN" "$1")" '$5 == "wa-webhook-unified" && $8 > since { last = $8 - since }
        END { printf "%d\n", last * 1000 }' "$BATS_TEST_TMPDIR/answers"
}

@test "the kill switch at the primary: the standby decides by it as soon as it is replayed" {
    local thrown replayed
    load_start
    sleep 1.5
    sql "SELECT set_routing_enabled(false)" >/dev/null
    thrown=$EPOCHREALTIME
    is_replayed() { [[ $(at_db "$STANDBY" "SELECT enabled FROM get_current_routing_config()") == f ]]; }
    wait_until 10 is_replayed
    replayed=$EPOCHREALTIME
    sleep 1
    nobody_noticed
    figure "the last webhook went to unified $(unified_until "$thrown") ms after the kill switch had returned"
    # It is milliseconds, or as long as the machine stands still; once it is replayed, none.
    between "$(unified_until "$thrown")" 0 2000 'ms until nothing goes to unified'
    equal "$(unified_until "$replayed")" 0 'ms until nothing goes to unified once it is replayed'
    between "$(grep -c wa-webhook-unified "$BATS_TEST_TMPDIR/answers")" 50 1000 'webhooks to unified before'
    complete
}

@test "the kill switch at the primary, and a standby that is minutes behind: the forwarders hear of it from the primary" {
    local thrown told caught_up heard
    load_start
    sleep 1.5
    told=$(all_events database_behind) caught_up=$(all_events database_caught_up)
    at_db "$STANDBY" "SELECT pg_wal_replay_pause()" >/dev/null
    sql "SELECT set_routing_enabled(false)" >/dev/null
    thrown=$EPOCHREALTIME
    both_tell() { (($(all_events database_behind) >= told + 2)); }
    wait_until 20 both_tell
    heard=$EPOCHREALTIME
    at 1 health_is degraded
    equal "$(metric deciding_locally)" 2 'forwarders that decide by themselves'
    at 1 ready_is 200
    sleep 1
    equal "$(at_db "$STANDBY" "SELECT enabled FROM get_current_routing_config()")" t 'at the standby'
    at_db "$STANDBY" "SELECT pg_wal_replay_resume()" >/dev/null
    both_caught_up() { (($(all_events database_caught_up) >= caught_up + 2)); }
    wait_until 20 both_caught_up
    wait_until 20 both_healthy
    equal "$(all_events database_caught_up)" "$((caught_up + 2))" 'times that a standby had caught up'
    nobody_noticed
    figure "the last webhook went to unified $(unified_until "$thrown") ms after the kill switch had returned"
    # Each asks the primary once a second; the standby has not heard of it all the time.
    between "$(unified_until "$thrown")" 0 3000 'ms until nothing goes to unified'
    equal "$(unified_until "$heard")" 0 'ms until nothing goes to unified once both have told'
    between "$(grep -c wa-webhook-unified "$BATS_TEST_TMPDIR/answers")" 50 1000 'webhooks to unified before'
    complete
}

# sessions: of the forwarders at the primary
sessions() { sql "SELECT count(*) FROM pg_stat_activity WHERE usename = 'e2e_forwarder'"; }

# alone SECONDS: the synchronous standby is lost for so long. Nothing is stored meanwhile, and nobody notices.
alone() {
    local stored
    synchronous
    load_start
    sleep 1.5
    lost "$STANDBY"
    sleep 0.5
    stored=$(logged)
    sleep "$1"
    equal "$(logged)" "$stored" 'rows that are there'
    at 1 ready_is 200
    figure "$(metric log_rows_waiting) rows waited, $(sessions) sessions of the forwarders at the primary"
    between "$(sessions)" 4 8 'sessions'
}

@test "the synchronous standby is lost: the log waits in the spools until it is taken out of the names; the kill switch need not wait" {
    local thrown
    alone 2
    # A change that waits for the standby is not in force yet, and in the way of the next; one that need not wait is.
    psql -Xqc "SELECT update_routing_percentage(60)" >/dev/null 2>&1 3>&- 4>&- &
    waits() { [[ $(sql "SELECT wait_event FROM pg_stat_activity WHERE query ~ '^SELECT update_routing_percentage'") == SyncRep ]]; }
    wait_until 10 waits
    kill -KILL $!
    equal "$(sql "SELECT percentage FROM get_current_routing_config()")" 50.00
    run -3 sql "$(guide_block sql 'SET synchronous_commit = local')"
    [[ $output =~ HINT:\ +SELECT\ (pg_terminate_backend\([0-9]+\))\; ]]
    sql "SELECT ${BASH_REMATCH[1]}" >/dev/null
    thrown=$EPOCHREALTIME
    sql "$(guide_block sql 'SET synchronous_commit = local')" >/dev/null
    figure "the kill switch that does not wait took $(seconds "$thrown") s"
    equal "$(sql "SELECT enabled FROM get_current_routing_config()")" f
    sleep 1.5
    sql "$(guide_block sql 'ALTER SYSTEM RESET synchronous_standby_names')" >/dev/null
    wait_until 10 both_healthy
    nobody_noticed
    between "$(unified_until "$thrown")" 0 3000 'ms until nothing goes to unified'
    complete
}

# bats test_tags=long
@test "the synchronous standby is lost for long: sessions do not pile up" {
    alone 100
    sql "$(guide_block sql 'ALTER SYSTEM RESET synchronous_standby_names')" >/dev/null
    wait_until 10 both_healthy
    nobody_noticed
    same_side
    complete
}
