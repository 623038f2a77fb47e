#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The standby decides: what happens when it goes away, and when it lags behind what the primary has been told.

setup_file() {
    load helper
    pair_start failover_standby
    forwarders_start --decide-server prefer-standby
}

teardown_file() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    forwarders_stop
    pair_stop
}

setup() {
    load helper
    pair_setup
}

teardown() { load_stop; }

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

# routed: where a webhook about jobs goes now
routed() {
    post "$(text 'I need a job')" -H "X-Hub-Signature-256: sha256=$SIGNATURE"
    answer_header X-Routed-To
}
