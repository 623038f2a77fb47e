#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The primary is lost while webhooks arrive, and its standby is promoted.

setup_file() {
    load helper
    pair_start failover_promotion
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

teardown() { load_stop; }

# takes_over: after the primary was lost at $LOST: the standby is promoted a second later, as by a person or a
# manager who has waited for that long. What waits in the spools then goes to the new primary.
takes_over() {
    local promoted most
    sleep 1
    promote
    promoted=$EPOCHREALTIME
    most=$(metric log_rows_waiting)
    drained() { [[ $(sql "SELECT clock_timestamp() - max(created_at) < interval '1 second' FROM webhook_routing_logs") == t ]]; }
    wait_until 90 drained
    figure "promoted $(seconds "$LOST" "$promoted") s after the loss; $most rows waited then, and were stored $(seconds "$promoted") s later"
}

# goes_on: the new primary is whole: versions go on, statistics equal the log, maintenance runs
goes_on() {
    local version
    version=$(sql "SELECT version FROM get_current_routing_config()")
    equal "$(sql "SELECT version FROM update_routing_percentage(60)")" "$((version + 1))" 'the next version'
    equal "$(sql "SELECT count(*) - count(DISTINCT version) FROM webhook_routing_config")" 0 'versions that are there twice'
    equal "$(sql "SELECT count(*) FROM routing_maintain() WHERE action IN ('busy', 'failed')")" 0 'maintenance'
    equal "$(sql "SELECT sum(request_count) FROM webhook_routing_stats")" "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE item = 0")" \
        'requests of the statistics'
    wait_until 10 both_healthy
}

@test "synchronous: the primary is lost in mid-traffic: no client error, nobody changes side, the log is complete and single" {
    synchronous
    load_start
    sleep 2
    equal "$(links "$PRIMARY") at the primary, $(links "$STANDBY") at the standby" 'log maintenance at the primary, decide at the standby'
    LOST=$EPOCHREALTIME
    lost "$PRIMARY"
    takes_over
    sleep 1
    nobody_noticed
    figure "$(affected "$LOST")"
    same_side
    complete
    goes_on
}

# unsent: the primary sends nothing to its standby any more; what it commits from now on dies with it
unsent() { pkill -STOP -P "$(processes "$PRIMARY" | head -n 1)" -f walsender; }

# missing_from: ms from the beginning of the load to the first webhook that the log does not have
missing_from() {
    cut -f 8,9 "$BATS_TEST_TMPDIR/answers" >"$BATS_TEST_TMPDIR/times"
    psql -XqAt -v ON_ERROR_STOP=1 <<SQL
CREATE TEMP TABLE times (began double precision, correlation text);
\copy times FROM '$BATS_TEST_TMPDIR/times'
SELECT floor(min(began) * 1000) FROM times WHERE correlation NOT IN (SELECT correlation_id FROM webhook_routing_logs);
SQL
}

@test "asynchronous: what the old primary had taken and not sent on is lost, that and nothing else" {
    local unsent missing lost
    load_start
    sleep 3
    unsent
    unsent=$EPOCHREALTIME
    # A change is lost as well, although the forwarders have heard of it: they follow the new primary.
    sql "SELECT update_routing_settings('{\"min_requests\": 60}')" >/dev/null
    both_behind() { [[ $(metric deciding_locally) == 2 ]]; }
    wait_until 20 both_behind
    LOST=$EPOCHREALTIME
    lost "$PRIMARY"
    takes_over
    # Each asks once a second.
    both_follow() { [[ $(metric ruleset_version) == $((2 * $(sql "SELECT version FROM get_current_routing_config()"))) ]]; }
    wait_until 20 both_follow
    wait_until 20 both_healthy
    nobody_noticed
    figure "$(affected "$LOST")"
    same_side
    at_rest
    findings >"$BATS_TEST_TMPDIR/findings"
    figure "$(<"$BATS_TEST_TMPDIR/figures")"
    # Each is missing for the client who was told 200 and for the function that has received it, and for
    # nobody else: what is there is there once, and counted.
    missing=$(waiting)
    figure "$missing rows lost with the old primary"
    lost=$(((${LOST/./} - ${unsent/./}) / 1000 + 1500))
    between "$missing" 1 "$((${RATE:-250} * lost / 1000))" 'rows lost with the old primary'
    equal "$(sed 's/, such as .*//' "$BATS_TEST_TMPDIR/findings")" \
        "$missing times: answered by a function, and not in the log"$'\n'"$missing times: received, and not in the log" 'deviations'
    # From the standstill on, but for what had not been stored and sent on by then, to when the primary was lost.
    between "$(missing_from)" "$(((${unsent/./} - ${LOAD_BEGAN/./}) / 1000 - 1500))" \
        "$(((${LOST/./} - ${LOAD_BEGAN/./}) / 1000))" 'ms to the first of them'
    goes_on
}

@test "a primary that is frozen, left for its standby, and thaws: the links stay, and being synchronous it can take nothing" {
    local stored
    synchronous
    load_start
    sleep 1
    LOST=$EPOCHREALTIME
    frozen "$PRIMARY"
    takes_over
    figure "$(affected "$LOST")"
    all_moved() { [[ $(links "$PRIMARY") == 'decide log maintenance' ]] && both_healthy; }
    wait_until 20 all_moved
    thawed "$STANDBY"
    # But for those whose COMMIT waits there, with nobody any more who would hear of it.
    gone() { [[ $(at_db "$STANDBY" "SELECT count(*) FROM pg_stat_activity WHERE usename = 'e2e_forwarder' AND wait_event <> 'SyncRep'") == 0 ]]; }
    wait_until 10 gone
    sleep 1
    gone

    # Whoever connects now can take it for the primary: it can be written, and it is the first of the URL. No
    # COMMIT there returns, so that nothing leaves the spool for it.
    stored=$(at_db "$STANDBY" "SELECT count(*) FROM webhook_routing_logs")
    at 1 forwarder_stop
    forwarder_again 1
    gone_astray() { [[ $(at_db "$STANDBY" "SELECT count(*) FROM pg_stat_activity WHERE usename = 'e2e_forwarder' AND wait_event <> 'SyncRep'") != 0 ]]; }
    wait_until 20 gone_astray
    sleep 2
    equal "$(at_db "$STANDBY" "SELECT count(*) FROM webhook_routing_logs")" "$stored" 'rows that the old one has taken'
    lost "$STANDBY"
    wait_until 20 both_healthy
    nobody_noticed
    same_side
    complete
    goes_on
}
