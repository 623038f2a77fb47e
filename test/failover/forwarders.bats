#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Two forwarders behind haproxy: one is killed, both are restarted, while webhooks arrive.

setup_file() {
    load helper
    pair_start failover_forwarders
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

# serving N: the balancer takes the forwarder for well, and gives it webhooks
serving() { at "$1" has_served; }

@test "both are restarted in turn, three times: no request fails" {
    local n
    load_start
    for n in 1 2 1 2 1 2; do
        at "$n" forwarder_stop
        forwarder_again "$n"
        # As the guide says: the other one only when the balancer knows that this one is back.
        wait_until 20 serving "$n"
    done
    # Of all senders, for a side to be seen.
    enough() { (($(seen .total) >= 1000)); }
    wait_until 30 enough
    nobody_noticed
    same_side
    complete
}

@test "one is killed: what it had in hand fails, comes again and is answered; the other one serves on" {
    local failed
    behave 'delay_ms=20'
    load_start --retry 5
    sleep 2
    kill -KILL "$(at 1 forwarder_pid)"
    sleep 2
    forwarder_again 1
    wait_until 20 serving 1
    load_stop
    failed=$(awk -F '\t' '$4 != 200 { n++ } END { print n + 0 }' "$BATS_TEST_TMPDIR/answers")
    figure "$failed webhooks failed, each was answered 200 when it came again"
    # What was in hand at one moment, half of 250 a second for 20 ms, and what the balancer sends on until it knows.
    between "$failed" 1 40 'webhooks that failed'
    equal "$(awk -F '\t' '$4 != 200 && $4 != 502 && $4 != "none"' "$BATS_TEST_TMPDIR/answers")" '' 'answers but 200, 502 and none'
    equal "$(jq '.latency_ms.max < 3000' "$BATS_TEST_TMPDIR/load.json")" true
    equal "$(awk -F '\t' '$4 == 200 { print $1 }' "$BATS_TEST_TMPDIR/answers" | sort -u | wc -l)" \
        "$(cut -f 1 "$BATS_TEST_TMPDIR/answers" | sort -u | wc -l)" 'messages answered 200 in the end'
    same_side
    # 502 is haproxy's word; of the forwarder nobody has heard.
    sed -i 's/\t502\t\t/\tnone\t\t/' "$BATS_TEST_TMPDIR/answers"
    at_rest
    complete
    figure "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE error_message ~ '^outcome unknown'") of them with an outcome that nobody knows"
}
