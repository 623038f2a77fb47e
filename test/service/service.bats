#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The installed units under the real systemd: started, reloaded and restarted while webhooks keep coming,
# killed, stuck and misconfigured.

bats_require_minimum_version 1.5.0

setup_file() {
    load helper
    machine_boot "$MACHINE"
    stack_start service
}

teardown_file() {
    load helper
    machine_stop "$MACHINE"
    process_stop "$STACK/functions.pid"
    process_stop "$STACK/database.pid"
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    BEGAN=$(moment)
    clean_sheet
}

# succeeded N: so many messages have a success in the log
succeeded() { [[ $(sql "SELECT count(DISTINCT message_id) FROM webhook_routing_logs WHERE status = 'success'") == "$1" ]]; }

# another_than PID: another one serves
another_than() { [[ $(unit MainPID) != "$1" ]] && unit_is ActiveState active; }

# whole: the service as it is installed, serving
whole() {
    inside rm -rf /etc/systemd/system/webhook-forwarder.service.d
    inside systemctl daemon-reload
    settings
    inside systemctl reset-failed webhook-forwarder.service
    inside systemctl restart webhook-forwarder.service
    wait_until 10 health_is healthy
}

restart() { inside systemctl restart webhook-forwarder.service; }

# restarts N: so many processes have begun to listen in this test
restarts() {
    wait_until 10 said_so_often "$1" listening "$BEGAN" || {
        said "$BEGAN"
        return 1
    }
}

@test "the units as installed: it serves, without a right, as nobody that the machine knows" {
    equal "$(inside systemctl is-active webhook-forwarder.socket webhook-forwarder.service | xargs)" 'active active'
    equal "$(unit StatusText)" serving
    equal "$(inside awk '/^CapEff/ { print $2 }' "/proc/$(unit MainPID)/status")" 0000000000000000
    equal "$(inside awk '/^NoNewPrivs/ { print $2 }' "/proc/$(unit MainPID)/status")" 1
    equal "$(inside awk '/^Seccomp:/ { print $2 }' "/proc/$(unit MainPID)/status")" 2
    between "$(inside stat -c %u "/proc/$(unit MainPID)")" 61184 65519 'a dynamic user'
    # The folder of the rows is the service's alone.
    equal "$(inside stat -Lc %a /var/lib/webhook-forwarder)" 700
    load_run 300 300
    load_arrived
}

@test "twenty restarts under load: no request fails" {
    routing 50
    load_through 20 restart
    restarts 20
}

@test "restarted with more workers, and with fewer, under load: no request fails" {
    settings WEBHOOK_FORWARDER_WORKERS=3
    load_through 1 restart
    settings WEBHOOK_FORWARDER_WORKERS=1
    load_through 1 restart
    restarts 2
    equal "$(said "$BEGAN" | jq -r 'select(.event == "listening") | .workers' | xargs)" '3 1'
}

# reload: systemd has seen it through when systemctl returns
reload() {
    inside systemctl reload webhook-forwarder.service
    unit_is ActiveState active
}

@test "ten reloads under load: systemd sees each through, and no request fails" {
    local pid
    pid=$(unit MainPID)
    load_through 10 reload
    equal "$(unit MainPID)" "$pid"
    wait_until 10 said_so_often 10 secrets_reloaded "$BEGAN"
}

# under_way: the functions have received some of the load
under_way() { (($(seen .total) > 150)); }

@test "killed under load: systemd starts the next, the queue waits, and the log knows what was cut off" {
    local told
    behave 'delay_ms=20'
    (wait_until 20 under_way && inside systemctl kill --signal=KILL webhook-forwarder.service) 3>&- 4>&- &
    load_run 900 300 --retry 100
    wait
    cat "$BATS_TEST_TMPDIR/load.json"
    # Connections waited in the socket; only what was in hand has to come again.
    equal "$(jq .refused "$BATS_TEST_TMPDIR/load.json")" 0
    between "$(jq .broken "$BATS_TEST_TMPDIR/load.json")" 1 32 'cut off'
    wait_until 10 succeeded 900
    told=$(sql "SELECT count(*) FROM webhook_routing_logs WHERE ambiguous")
    # What was stored and not sent yet is told of, and nobody has received it.
    between "$(seen .total)" 900 "$((900 + told))" 'requests at the functions'
    equal "$(unit NRestarts)" 1
}

@test "killed while it drains: the next one stores what was in hand" {
    # Longer than all that comes before the kill, which ends the wait.
    behave 'delay_ms=9000'
    post "$FIXTURES/text.json" -H "$(signature "$FIXTURES/text.json")" &
    received() { [[ $(seen .total) == 1 ]]; }
    wait_until 5 received
    inside systemctl stop --no-block webhook-forwarder.service
    wait_until 5 unit_is ActiveState deactivating
    inside systemctl kill --signal=KILL webhook-forwarder.service
    wait || true
    whole
    behave 'delay_ms=0'
    wait_logged 1
    equal "$(sql "SELECT status, ambiguous, error_message LIKE 'outcome unknown%' FROM webhook_routing_logs")" 'error|t|t'
}

# signature FILE: its header
signature() {
    printf 'X-Hub-Signature-256: sha256=%s' \
        "$(openssl dgst -sha256 -hmac 'the secret of the app' -r "$1" | cut -d ' ' -f 1)"
}

# timed_out: the journal says that the watchdog has ended it
timed_out() { inside journalctl --no-pager -o cat --since "$BEGAN" -u webhook-forwarder.service | grep 'Watchdog timeout'; }

@test "a process that stands still is ended by the watchdog, and the next one serves" {
    local pid
    drop_in webhook-forwarder.service '[Service]' WatchdogSec=3
    whole_with_drop_in
    pid=$(unit MainPID)
    inside kill -STOP "$pid"
    wait_until 30 another_than "$pid"
    wait_until 10 health_is healthy
    wait_until 10 timed_out
    whole
}

whole_with_drop_in() {
    inside systemctl restart webhook-forwarder.service
    wait_until 10 health_is healthy
}

@test "a worker that is stuck: /livez says so, no sign of life is given, and the watchdog ends it" {
    local pid task threads=()
    drop_in webhook-forwarder.service '[Service]' WatchdogSec=3
    whole_with_drop_in
    pid=$(unit MainPID)
    for task in $(inside ls "/proc/$pid/task"); do
        [[ $task == "$pid" ]] || threads+=(-p "$task")
    done
    # Every thread but the first, which answers for them.
    process_start "$BATS_TEST_TMPDIR/strace.pid" "$BATS_TEST_TMPDIR/strace.log" \
        nsenter --target "$(machine_pid "$MACHINE")" --mount --pid --root \
        strace -qq -e trace=epoll_wait -e inject=epoll_wait:delay_enter=60000000 "${threads[@]}"
    stuck() { [[ $(curl -s "$ADMIN_URL/livez") == 'a worker is stuck' ]]; }
    wait_until 30 stuck
    wait_until 30 timed_out
    # What holds the thread would hold its corpse, too.
    inside pkill -KILL -x strace
    process_stop "$BATS_TEST_TMPDIR/strace.pid" 1
    wait_until 30 another_than "$pid"
    wait_until 10 health_is healthy
    whole
}

@test "a setting that is refused: said in the journal as an error, status 64 or 78, and no restart in a circle" {
    local setting
    for setting in WEBHOOK_FORWARDER_WORKERS=many:78 WEBHOOK_FORWARDER_VERIFY_TOKEN_FILE=/nowhere:78; do
        settings "${setting%:*}"
        run ! inside systemctl restart webhook-forwarder.service
        equal "$(unit Result)" exit-code
        equal "$(unit ExecMainStatus)" "${setting#*:}"
        sleep 1.5
        equal "$(unit ActiveState)" failed
        equal "$(unit NRestarts)" 0
        complained() { inside journalctl --no-pager -o cat -p err -u webhook-forwarder.service --since "$BEGAN" | grep -F "${setting%%=*}"; }
        wait_until 10 complained
    done
    whole
}

@test "journalctl knows the levels, and its lines are JSON" {
    inside mv /etc/webhook-forwarder/app-secret /etc/webhook-forwarder/away
    inside systemctl reload webhook-forwarder.service
    inside mv /etc/webhook-forwarder/away /etc/webhook-forwarder/app-secret
    errors_are() { [[ $(inside journalctl --no-pager -o cat -p err -u webhook-forwarder.service --since "$BEGAN" | jq -r .event) == "$1" ]]; }
    wait_until 10 errors_are secrets_kept
    inside systemctl reload webhook-forwarder.service
    said_reloaded() { said "$BEGAN" | grep '"event":"secrets_reloaded"'; }
    wait_until 10 said_reloaded
    run ! inside journalctl --no-pager -q -o cat -p err -u webhook-forwarder.service --since "$BEGAN" --grep secrets_reloaded
}

@test "with a socket for it the admin listener answers across restarts, too" {
    local pid
    printf '%s\n' '[Socket]' ListenStream=127.0.0.1:9180 FileDescriptorName=admin Service=webhook-forwarder.service |
        inside tee /etc/systemd/system/webhook-forwarder-admin.socket >/dev/null
    drop_in webhook-forwarder.service '[Unit]' Requires=webhook-forwarder-admin.socket After=webhook-forwarder-admin.socket \
        '[Service]' Sockets=webhook-forwarder-admin.socket
    inside systemctl stop webhook-forwarder.service
    inside systemctl start webhook-forwarder.service
    wait_until 5 ready_is 200
    for _ in 1 2 3; do
        pid=$(unit MainPID)
        inside systemctl restart --no-block webhook-forwarder.service
        # Refused never: 200, or 503 while one stops.
        for _ in 1 2 3 4 5; do
            curl -s -o /dev/null -w '%{http_code}\n' -m 10 "$ADMIN_URL/readyz" >>"$BATS_TEST_TMPDIR/codes"
            sleep 0.1
        done
        wait_until 20 another_than "$pid"
    done
    equal "$(grep -cvE '^(200|503)$' "$BATS_TEST_TMPDIR/codes" || true)" 0
    restarts 4
    inside systemctl stop webhook-forwarder.service webhook-forwarder-admin.socket
    inside rm /etc/systemd/system/webhook-forwarder-admin.socket
    whole
}
