# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the fail-over tests share: a pair of servers, db1 and db2, of which one is the primary and the
# other its streaming standby; two forwarders with spools of their own behind a real haproxy, whose
# configuration is that of docs/high-availability.md; a load of signed webhooks with known message ids;
# and the comparison of what clients, functions and the log say.

load ../faults/helper

readonly GUIDE=$REPOSITORY/docs/high-availability.md
readonly PORTS=([1]=$CLUSTER_PORT [2]=$((CLUSTER_PORT + 1)))
readonly BEHIND=127.0.0.1 # where everything of the guide's 10.0.0.x is

# guide_line TEXT: the line of the guide's shell blocks that holds it
guide_line() { awk '$0 == "```sh" { inside = 1; next } $0 == "```" { inside = 0 } inside' "$GUIDE" | grep -F "$1"; }

# guide_block KIND TEXT: the first block of that kind that holds it
guide_block() {
    awk -v fence="\`\`\`$1" -v text="$2" '$0 == fence { inside = 1; block = ""; next }
        $0 == "```" { if (inside && index(block, text)) { printf "%s", block; exit } inside = 0 }
        inside { block = block $0 "\n" }' "$GUIDE"
}

# ---- the servers ----

# data N: its folder; CLUSTER_HOME is this file's own
data() { printf '%s/db%s\n' "$CLUSTER_HOME" "$1"; }

# at_db N STATEMENT...
at_db() { PGPORT=${PORTS[$1]} sql "${@:2}"; }

# server N ARGUMENT...: by pg_ctl
server() {
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$(data "$1")" -l "$CLUSTER_HOME/db$1.log" -w -t 60 \
        -o "-p ${PORTS[$1]} -c cluster_name=db$1" "${@:2}" >>"$BATS_FILE_TMPDIR/pg_ctl.log" 2>&1 3>&- 4>&-
}

# processes N: the postmaster and its children; empty when there are none. A pid can be somebody else's by
# now: what works in another folder is no server of ours.
processes() {
    local pid
    pid=$(head -n 1 "$(data "$1")/postmaster.pid" 2>/dev/null) || return 0
    [[ -n $pid && $(readlink "/proc/$pid/cwd") == "$(data "$1")" ]] || return 0
    printf '%s\n' "$pid"
    pgrep -P "$pid" || true
}

# signal N NAME: to the postmaster first, so that nobody is started anew, and all that are left
signal() {
    local pids
    mapfile -t pids < <(processes "$1")
    ((${#pids[@]} == 0)) || kill "-$2" "${pids[@]}" 2>/dev/null || true
}

# lost N: the machine is gone, with everything that had not left it, its shared memory included
lost() {
    local pids shared
    mapfile -t pids < <(processes "$1")
    ((${#pids[@]})) || return 0
    mapfile -t shared < <(sed -n 's|.* \(/dev/shm/PostgreSQL\.[0-9]*\)$|\1|p' "/proc/${pids[0]}/maps" | sort -u)
    kill -KILL "${pids[@]}" 2>/dev/null || true
    # shellcheck disable=SC2317  # called by wait_until
    gone() {
        local pid
        for pid in "${pids[@]}"; do
            ! process_birth "$pid" >/dev/null || return 1
        done
    }
    wait_until 10 gone
    rm -f "${shared[@]}"
}

# frozen N, thawed N: the worst network: connections are accepted by the kernel, and nobody answers
frozen() {
    local postmaster
    postmaster=$(head -n 1 "$(data "$1")/postmaster.pid")
    kill -STOP "$postmaster"
    signal "$1" STOP
}
thawed() { signal "$1" CONT; }

is_primary() { [[ $(at_db "$1" "SELECT pg_is_in_recovery()") == f ]]; }
other() { echo $((3 - $1)); }

# primary N: it is that now
primary() {
    PRIMARY=$1 STANDBY=$(other "$1")
    export PRIMARY STANDBY PGPORT=${PORTS[$1]}
    echo "$1" >"$STACK/primary"
}

promote() {
    server "$STANDBY" promote
    primary "$STANDBY"
}

# streaming: the standby has all that the primary has written until now
streaming() {
    local place
    place=$(sql "SELECT pg_current_wal_lsn()") || return
    [[ $(at_db "$STANDBY" "SELECT pg_last_wal_replay_lsn() >= '$place' AND pg_is_in_recovery()") == t ]]
}

# synchronous: the primary acknowledges what the standby has
synchronous() {
    sql "$(guide_block sql 'ALTER SYSTEM SET synchronous_standby_names')" >/dev/null
    # shellcheck disable=SC2317  # called by wait_until
    is_synchronous() { [[ $(sql "SELECT sync_state FROM pg_stat_replication") == quorum ]]; }
    wait_until 10 is_synchronous
}

# standby_made: the other server is made anew from the primary, by the guide's command
standby_made() {
    signal "$STANDBY" CONT
    lost "$STANDBY"
    rm -rf "$(data "$STANDBY")"
    as_cluster_user bash -c "$(guide_line pg_basebackup | sed -e "s|host=db1 user=replicator application_name=db2|host=$CLUSTER_SOCKET port=$PGPORT user=$CLUSTER_USER application_name=db$STANDBY|" \
        -e "s|^|'$(pg_config --bindir)'/|; s|\"\$PGDATA\"|'$(data "$STANDBY")'|; s|\$| --no-sync|")"
    server "$STANDBY" start
    wait_until 20 streaming
}

# pair_start NAME: the primary db1 with the extension and the forwarder's role in database NAME, and its standby
pair_start() {
    export E2E_DIR=$BATS_FILE_TMPDIR/pair
    local stage
    stage=$(<"$BATS_SUITE_TMPDIR/cluster/cluster.home")/stage
    mkdir "$E2E_DIR"
    chmod 755 "$BATS_FILE_TMPDIR" "$E2E_DIR"
    cluster_open "$E2E_DIR/cluster"
    ln -s "$stage" "$CLUSTER_HOME/stage"
    # cluster_start makes `data`: that is db1.
    cluster_start wal_keep_size=256MB max_wal_senders=8 max_connections=60 wal_level=logical fsync=off full_page_writes=off \
        wal_retrieve_retry_interval=500ms
    server_moved
    export STACK=$BATS_FILE_TMPDIR PGHOST=$CLUSTER_SOCKET PGUSER=$CLUSTER_USER PGDATABASE=postgres
    export PGOPTIONS='-c client_min_messages=warning'
    primary 1
    sql "CREATE DATABASE $1"
    export PGDATABASE=$1
    sql "CREATE EXTENSION webhook_routing" "CREATE ROLE e2e_forwarder LOGIN" \
        "SELECT grant_routing_role('forwarder', 'e2e_forwarder')" "SELECT * FROM routing_maintain()" >/dev/null
    sql "$(guide_block sql client_connection_check_interval | sed 's/webhook_forwarder/e2e_forwarder/')"
    standby_made
    printf 'postgresql:///%s?host=%s,%s&port=%s,%s&user=e2e_forwarder\n' "$1" "${CLUSTER_SOCKET//\//%2F}" \
        "${CLUSTER_SOCKET//\//%2F}" "${PORTS[1]}" "${PORTS[2]}" >"$STACK/database-url"
}

# server_moved: what cluster_start has made gets its place as db1
server_moved() {
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -m fast -w stop >/dev/null
    mv "$CLUSTER_HOME/data" "$(data 1)"
    server 1 start
}

# pair_stop: forwarders, where there are any, and both servers are gone
pair_stop() {
    local n
    cluster_open "$E2E_DIR/cluster"
    forwarders_stop
    for n in 1 2; do
        signal "$n" CONT
        lost "$n"
    done
    cluster_destroy
}

# ---- forwarders and balancer ----

# at N COMMAND...: with the N-th forwarder as the one that the helpers mean
at() {
    local STACK=$STACK/forwarder$1 FORWARDER_PORT ADMIN_PORT
    read -r FORWARDER_PORT ADMIN_PORT <"$STACK/ports"
    local -x FORWARDER_URL ADMIN_URL
    FORWARDER_URL=http://$BEHIND:$FORWARDER_PORT ADMIN_URL=http://$BEHIND:$ADMIN_PORT
    "${@:2}"
}

# forwarders_start: both, the standby deciding for them, and the balancer in front, which FORWARDER_URL then names
forwarders_start() {
    local n port
    printf '%s\n' "$TOKEN" >"$STACK/token"
    printf 'one secret of the app\n' >"$STACK/app-secret"
    functions_start --journal "$STACK/received"
    for n in 1 2; do
        mkdir "$STACK/forwarder$n"
        cp "$STACK/token" "$STACK/forwarder$n/"
        port=$(free_port)
        printf '%s %s\n' "$port" "$(free_port $((port + 1)))" >"$STACK/forwarder$n/ports"
        printf '%s\n' --app-secret-file "$STACK/app-secret" --database-url-file "$STACK/database-url" \
            --decide-server prefer-standby >"$STACK/forwarder$n/arguments"
        forwarder_again "$n"
    done
    for n in 1 2; do
        wait_until 15 at "$n" health_is healthy
    done
    balancer_start
}

# forwarder_again N: it is started with the arguments that it had before; waits for nothing
forwarder_again() {
    local arguments
    mapfile -t arguments <"$STACK/forwarder$1/arguments"
    at "$1" forwarder_spawn "${arguments[@]}"
}

# balancer_start: haproxy, with the guide's configuration; only its addresses are others
balancer_start() {
    local port ports1 ports2
    port=$(free_port)
    read -ra ports1 <"$STACK/forwarder1/ports"
    read -ra ports2 <"$STACK/forwarder2/ports"
    awk '$0 == "```haproxy" { inside = 1; next } $0 == "```" { inside = 0 } inside' "$GUIDE" |
        sed -e "s/^    bind .*/    bind $BEHIND:$port/" -e 's/ port 9180//' \
            -e "s/ 10\.0\.0\.11:8080/ $BEHIND:${ports1[0]} port ${ports1[1]}/" \
            -e "s/ 10\.0\.0\.12:8080/ $BEHIND:${ports2[0]} port ${ports2[1]}/" >"$STACK/haproxy.cfg"
    haproxy -c -f "$STACK/haproxy.cfg" >/dev/null
    process_start "$STACK/haproxy.pid" "$STACK/haproxy.log" haproxy -db -f "$STACK/haproxy.cfg"
    echo "http://$BEHIND:$port" >"$STACK/balancer"
    wait_until 10 port_in_use "$port"
}

forwarders_stop() {
    local n
    process_stop "$STACK/haproxy.pid"
    for n in 1 2; do
        process_stop "$STACK/forwarder$n/forwarder.pid"
    done
    process_stop "$STACK/functions.pid"
}

# all_events EVENT: lines of that kind of both forwarders
all_events() { cat "$STACK"/forwarder[12]/forwarder.log | grep -c "\"event\":\"$1\"" || true; }

both_healthy() { at 1 health_is healthy && at 2 health_is healthy; }

# links N: those of the forwarders' links that lead to that server
links() {
    at_db "$1" "SELECT string_agg(DISTINCT split_part(application_name, ' ', 2), ' ' ORDER BY split_part(application_name, ' ', 2))
                FROM pg_stat_activity WHERE application_name LIKE 'webhook-forwarder %'"
}

# ---- a test ----

# pair_setup: both servers and both forwarders are there, routing is at 50 %, and nothing has been seen
pair_setup() {
    cluster_open "$E2E_DIR/cluster"
    primary "$(<"$STACK/primary")"
    FORWARDER_URL=$(<"$STACK/balancer")
    export FORWARDER_URL
    streaming || standby_made
    wait_until 30 both_healthy
    sql "$(guide_block sql pg_terminate_backend)" >/dev/null
    # shellcheck disable=SC2317  # called by wait_until
    standby_decides() { [[ "$(links "$PRIMARY"), $(links "$STANDBY")" == 'log maintenance, decide' ]]; }
    wait_until 10 standby_decides
    behave 'refuse=0'
    curl -fs -X POST "$CONTROL_URL/_standin/reset" >/dev/null
    routing 50
    sql "TRUNCATE webhook_routing_logs, webhook_routing_rollups"
    wait_until 10 streaming
    : >"$STACK/received"
}

# ---- the load ----

# load_start [ARGUMENT]...: RATE (250) signed webhooks about jobs a second of 1,000 senders, until load_stop;
# what became of them is in answers
load_start() {
    LOAD_BEGAN=$EPOCHREALTIME
    process_start "$BATS_TEST_TMPDIR/load.pid" "$BATS_TEST_TMPDIR/load.json" "$LOAD" --url "$FORWARDER_URL/" \
        --requests 1000000 --first "$((BATS_TEST_NUMBER * 10000000))" --senders 1000 --rate "${RATE:-250}" \
        --concurrency 32 --domain jobs --secret-file "$STACK/app-secret" \
        --correlation "failover$BATS_TEST_NUMBER" --log "$BATS_TEST_TMPDIR/answers" "$@"
}
load_stop() { process_stop "$BATS_TEST_TMPDIR/load.pid" 60; }

# figure TEXT...: for people
figure() { printf '# %s\n' "$*" >&3; }

# seconds SINCE [UNTIL]: between two EPOCHREALTIMEs
seconds() {
    local until=${2:-$EPOCHREALTIME}
    printf '%d.%02d\n' $(((${until/./} - ${1/./}) / 1000000)) $(((${until/./} - ${1/./}) / 10000 % 100))
}

# spools_are_empty: of both
spools_are_empty() { [[ -z $(find "$STACK"/forwarder[12]/spool -name '*.spool') ]]; }

# waiting: rows that the functions have been called for and the primary has not
waiting() { echo $(($(seen .total) - $(logged))); }

# metric NAME: of both forwarders, added up
metric() {
    local n
    for n in 1 2; do
        # shellcheck disable=SC2016  # its own ADMIN_URL
        at "$n" bash -c 'curl -fs "$ADMIN_URL/metrics"'
    done | awk -v name="webhook_forwarder_$1" '$1 == name || index($1, name "{") == 1 { sum += $2 } END { print sum + 0 }'
}

# affected SINCE: the slowest webhook from that moment on, in ms, and the seconds from it to the last one that
# took more than 80 ms; 0 when there is none
affected() {
    awk -F '\t' -v since="$(seconds "$LOAD_BEGAN" "$1")" '$8 + $6 / 1000 >= since {
            if ($6 > slowest) slowest = $6
            if ($6 > 80) last = $8 + $6 / 1000 - since
        } END { printf "slowest webhook %.0f ms, last one over 80 ms %.1f s after\n", slowest, last }' "$BATS_TEST_TMPDIR/answers"
}

# nobody_noticed: every answer was 200
nobody_noticed() {
    load_stop
    equal "$(cut -f 4 "$BATS_TEST_TMPDIR/answers" | sort | uniq -c | tr -s ' ')" \
        " $(wc -l <"$BATS_TEST_TMPDIR/answers") 200" 'answers'
    equal "$(jq -c '[.broken, .refused]' "$BATS_TEST_TMPDIR/load.json")" '[0,0]' 'broken and refused'
}

# same_side: every 200 of every sender came from where the sender's bucket says, at 50 %
same_side() {
    awk -F '\t' -v OFS='\t' '$4 == 200 { print $5, $7 }' "$BATS_TEST_TMPDIR/answers" | sort -u >"$BATS_TEST_TMPDIR/sides"
    psql -Xq -v ON_ERROR_STOP=1 >"$BATS_TEST_TMPDIR/strayed" <<SQL
CREATE TEMP TABLE sides (target text, sender text);
\copy sides FROM '$BATS_TEST_TMPDIR/sides'
\pset format unaligned
\pset tuples_only on
SELECT count(*) FROM sides WHERE target <> CASE WHEN routing_bucket(sender) < 5000 THEN 'wa-webhook-unified' ELSE 'wa-webhook-jobs' END;
SQL
    equal "$(<"$BATS_TEST_TMPDIR/strayed")" 0 'senders on the other side'
    equal "$(cut -f 2 "$BATS_TEST_TMPDIR/sides" | sort | uniq -d | wc -l)" 0 'senders who have seen both sides'
    between "$(cut -f 1 "$BATS_TEST_TMPDIR/sides" | grep -c unified)" 150 700 'senders on unified'
}

# findings [OUTCOMES]: where clients, functions and the primary's log differ; see test/faults/reconcile.sql
findings() {
    cp "$STACK/received" "$BATS_TEST_TMPDIR/received"
    (cd "$BATS_TEST_TMPDIR" && psql -Xq -v "outcomes=${1:-true}" -f "$REPOSITORY/test/faults/reconcile.sql")
}

# at_rest: what the forwarders have had in hand is in the log
at_rest() {
    wait_until 60 spools_are_empty || {
        tail -n 5 "$STACK"/forwarder[12]/forwarder.log
        return 1
    }
    equal "$(all_events log_row_refused) $(all_events log_rows_lost) $(all_events spool_record_damaged)" '0 0 0' 'rows that were given up'
}

# complete [OUTCOMES]: the load is over, all has come to rest, and everybody says the same
complete() {
    load_stop
    at_rest
    equal "$(findings "${1:-true}")" '' 'deviations'
    figure "$(<"$BATS_TEST_TMPDIR/figures")"
}
