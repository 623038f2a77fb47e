# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the tests of the service share: a machine with the real systemd (scripts/lib/machine.sh), the program
# and its units installed in it, and webhooks from within its network. Functions and the way to the database
# are processes of this side, in that network.

load ../e2e/helper
# shellcheck source=scripts/lib/machine.sh
. "$REPOSITORY/scripts/lib/machine.sh"

MACHINE=$BATS_FILE_TMPDIR/machine
RUN=1 LOAD_COUNT=0 # of load_run: each sends messages of its own

# Whatever the helpers ask is asked from within.
curl() { machine_beside "$MACHINE" curl "$@"; }
load_webhooks() { machine_beside "$MACHINE" "$REPOSITORY/build/load" "$@"; }
inside() { machine_run "$MACHINE" "$@"; }

# beside NAME COMMAND...: a process of ours in that network, with $STACK/NAME.{pid,log}
beside() {
    local name=$1
    shift
    : >"$STACK/$name.log"
    process_start "$STACK/$name.pid" "$STACK/$name.log" \
        nsenter --target "$(machine_pid "$MACHINE")" --net "$@"
    wait_until 10 grep '^ready ' "$STACK/$name.log"
}

# ready_port NAME KEY: a number of its ready line
ready_port() { sed -n "s/^ready .*\b$2=\([0-9]*\).*/\1/p" "$STACK/$1.log"; }

functions_start() {
    beside functions "$REPOSITORY/build/standin-functions" --keep-bodies
    FUNCTIONS_URL=http://127.0.0.1:$(ready_port functions port)
    CONTROL_URL=http://127.0.0.1:$(ready_port functions control_port)
    export FUNCTIONS_URL CONTROL_URL
}

# database_path: how the machine reaches the database, whose socket is on this side
database_path() {
    beside database "$REPOSITORY/build/chaos-proxy" --upstream "$CLUSTER_SOCKET/.s.PGSQL.$CLUSTER_PORT"
    printf 'postgresql://e2e_forwarder@127.0.0.1:%s/%s?sslmode=disable\n' "$(ready_port database port)" "$PGDATABASE"
}

# shellcheck disable=SC2120  # test files give some
# settings LINE...: the service's environment, beside what it always has here
settings() {
    printf '%s\n' "WEBHOOK_FORWARDER_FUNCTIONS_URL=$FUNCTIONS_URL" \
        WEBHOOK_FORWARDER_APP_SECRET_FILE=/etc/webhook-forwarder/app-secret "$@" |
        inside tee /etc/webhook-forwarder/environment >/dev/null
}

# drop_in UNIT LINE...: as `systemctl edit` would leave it
drop_in() {
    inside mkdir -p "/etc/systemd/system/$1.d"
    printf '%s\n' "${@:2}" | inside tee "/etc/systemd/system/$1.d/override.conf" >/dev/null
    inside systemctl daemon-reload
}

no_drop_in() {
    inside rm -rf "/etc/systemd/system/$1.d"
    inside systemctl daemon-reload
}

# forwarder_start: called by stack_start: the installation of docs/deployment.md, typed
forwarder_start() {
    local tree=$STACK/tree
    # Nothing of an installation that this side may have.
    inside rm -rf /var/lib/webhook-forwarder /var/lib/private/webhook-forwarder /etc/webhook-forwarder
    mkdir -p "$tree/usr"
    cp -R "$CLUSTER_HOME/stage/usr/local" "$tree/usr/"
    machine_put "$MACHINE" "$tree"
    inside getent group webhook-forwarder || inside groupadd --system webhook-forwarder
    inside install -d -m 750 -g webhook-forwarder /etc/webhook-forwarder
    printf '%s\n' "$TOKEN" | inside tee /etc/webhook-forwarder/verify-token >/dev/null
    database_path | inside tee /etc/webhook-forwarder/database-url >/dev/null
    printf 'the secret of the app\n' >"$STACK/app-secret"
    inside tee /etc/webhook-forwarder/app-secret <"$STACK/app-secret" >/dev/null
    inside chmod 600 /etc/webhook-forwarder/verify-token /etc/webhook-forwarder/database-url
    inside chgrp webhook-forwarder /etc/webhook-forwarder/app-secret
    inside chmod 640 /etc/webhook-forwarder/app-secret
    settings
    export FORWARDER_URL=http://127.0.0.1:8080 ADMIN_URL=http://127.0.0.1:9180
    inside systemctl daemon-reload
    if ! inside systemctl enable -q --now webhook-forwarder.socket webhook-forwarder.service ||
        ! wait_until 15 health_is healthy; then
        inside journalctl --no-pager -n 30 -o cat
        return 1
    fi
}

forwarder_stop() { inside systemctl stop webhook-forwarder.socket webhook-forwarder.service; }

# unit PROPERTY: of the service
unit() { inside systemctl show --value -p "$1" webhook-forwarder.service; }
unit_is() { [[ $(unit "$1") == "$2" ]]; }

# said SINCE: what the service has written from that moment on (moment)
said() { inside journalctl --no-pager -o cat -u webhook-forwarder.service --since "$1" | grep '^{'; }
moment() { inside date '+%Y-%m-%d %H:%M:%S.%6N'; }

# said_so_often COUNT EVENT SINCE: the journal has it, to which a line takes its time
said_so_often() { [[ $(said "$3" | grep -c "\"event\":\"$2\"") == "$1" ]]; }

# load_run COUNT RATE [ARGUMENT]...: signed webhooks, so many a second; what became of them in load.json
load_run() {
    LOAD_COUNT=$((LOAD_COUNT + $1))
    load_webhooks --url "$FORWARDER_URL/" --requests "$1" --rate "$2" --concurrency 16 --first $((RUN++ * 100000)) \
        --secret-file "$STACK/app-secret" "${@:3}" >"$BATS_TEST_TMPDIR/load.json" 3>&- 4>&-
}

# load_through N COMMAND...: the command so often, one after the other, while webhooks keep coming all the
# time: every one is answered 200, reaches one function once, and is in the log once
load_through() {
    local times=$1 doing
    shift
    (for ((i = 0; i < times; i++)); do "$@" || exit 1; done) 3>&- 4>&- &
    doing=$!
    while kill -0 "$doing" 2>/dev/null; do
        load_run 300 300 || true
        equal "$(jq -c '[.statuses, .broken, .refused]' "$BATS_TEST_TMPDIR/load.json")" '[{"200":300},0,0]' 'answers'
    done
    wait "$doing"
    load_arrived
}

# load_arrived: of all loads of this test
load_arrived() {
    equal "$(seen '"\(.total) \(.repeated_message_ids)"')" "$LOAD_COUNT 0" 'requests at the functions'
    wait_logged "$LOAD_COUNT"
    equal "$(sql "SELECT count(DISTINCT message_id) FROM webhook_routing_logs WHERE status = 'success'")" "$LOAD_COUNT" 'messages'
}

# between GOT LEAST MOST [WHAT]
between() {
    (($1 >= $2 && $1 <= $3)) || {
        echo "${4:-value}: $1 is not between $2 and $3" >&2
        return 1
    }
}
