# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# PostgreSQL, the stand-in functions and the forwarder between them, as real processes, for the
# benchmarks of the forwarder; all of it ends with the script. Sourced.
#
#   stack_open                          cluster, programs, functions; sets FUNCTIONS_PORT, SOURCE_TREE
#   stack_forwarder [ARGUMENT]...       sets FORWARDER_PORT; its pid is $(pid_of forwarder)
#   stack_load PORT ARGUMENT...         runs the load client; leaves what it says in LOAD_REPORT

# shellcheck source=bench/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

CPU_TICK_US=$((1000000 / $(getconf CLK_TCK)))
LOAD_REPORT='' WEBHOOKS_SENT=0

stack_close() {
    local pidfile
    for pidfile in "$BENCH_FOLDER"/*.pid; do
        [[ ! -e $pidfile ]] || process_stop "$pidfile"
    done
    cluster_destroy
    rm -rf "$BENCH_FOLDER"
}

# On a machine with more than two processors everything runs on two of them, so that figures of one
# machine say something about another.
stack_two_processors() {
    local allowed
    if (($(nproc) > 2)); then
        allowed=$(taskset -cp $$ | sed 's/.*: //')
        # The first two of a list such as 0-3,8.
        taskset -cp "$(awk -v RS=, -F- '{ for (i = $1; i <= $NF && n < 2; i++) out = out (n++ ? "," : "") i }
                                        END { print out }' <<<"$allowed")" $$ >/dev/null
    fi
}

stack_open() {
    stack_two_processors
    # Durable as a production database: fsync, full page writes and synchronous commit are PostgreSQL's own
    # defaults.
    bench_cluster "$@"
    trap stack_close EXIT
    trap 'exit 130' INT TERM
    quietly "$BENCH_FOLDER/programs.log" make -C "$SOURCE_TREE" -s -f Makefile.programs programs build/load ||
        die "the programs do not build"
    cluster_psql postgres -o /dev/null <<'SQL'
CREATE ROLE bench_forwarder LOGIN;
SELECT grant_routing_role('forwarder', 'bench_forwarder');
SELECT * FROM routing_maintain();
SET client_min_messages = warning;
SELECT set_routing_enabled(true);
SELECT update_routing_percentage(50);
SQL
    # Four threads: one of libmicrohttpd's own sleeps when exactly 128 of its connections have an event at
    # once, and 256 connections must not be shared out like that.
    process_start "$BENCH_FOLDER/functions.pid" "$BENCH_FOLDER/functions.log" \
        "$SOURCE_TREE/build/standin-functions" --count-only --workers 4
    wait_until 10 grep '^ready ' "$BENCH_FOLDER/functions.log" || die "the functions did not start"
    FUNCTIONS_PORT=$(sed -n 's/^ready port=\([0-9]*\).*/\1/p' "$BENCH_FOLDER/functions.log")
}

# pid_of NAME: of what process_start was given NAME.pid for
pid_of() { cut -d ' ' -f 1 "$BENCH_FOLDER/$1.pid"; }

# Runs in front of the command in FORWARDER_UNDER, when there is one (a profiler).
FORWARDER_UNDER=()
stack_forwarder() {
    local admin
    FORWARDER_PORT=$(free_port)
    admin=$(free_port $((FORWARDER_PORT + 1)))
    DATABASE_URL=$(cluster_url postgres bench_forwarder) process_start "$BENCH_FOLDER/forwarder.pid" \
        "$BENCH_FOLDER/forwarder.log" "${FORWARDER_UNDER[@]}" \
        "${FORWARDER:-$SOURCE_TREE/build/webhook-forwarder}" --listen "127.0.0.1:$FORWARDER_PORT" \
        --admin-listen "127.0.0.1:$admin" --functions-url "http://127.0.0.1:$FUNCTIONS_PORT" \
        --spool-directory "$BENCH_FOLDER/spool" "$@"
    wait_until 60 curl -fs "http://127.0.0.1:$admin/readyz" || {
        tail -n 5 "$BENCH_FOLDER/forwarder.log" >&2
        die "the forwarder did not start"
    }
}

# Every message has a number of its own; both sides of a comparison get the same ones by --first.
stack_load() {
    local port=$1
    shift
    LOAD_REPORT=$("$SOURCE_TREE/build/load" --url "http://127.0.0.1:$port/" "$@") ||
        die "not every webhook was answered 200 on port $port: $LOAD_REPORT"
    if [[ $port == "${FORWARDER_PORT:-}" ]]; then
        WEBHOOKS_SENT=$((WEBHOOKS_SENT + $(load_figure requests)))
    fi
}

# load_figure NAME: out of the last report
load_figure() {
    local rest=${LOAD_REPORT#*\""$1"\":}
    printf '%s\n' "${rest%%[,\}]*}"
}

# cpu_us PID...: user and system time of all threads so far, in microseconds. Ends of children that were
# waited for count with their parent (fields cutime, cstime).
cpu_us() {
    local pid stat ticks=0
    for pid in "$@"; do
        { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || continue
        # shellcheck disable=SC2086  # split on purpose; what follows the name begins with field 3
        set -- ${stat##*) }
        ticks=$((ticks + ${12} + ${13} + ${14} + ${15}))
    done
    printf '%s\n' $((ticks * CPU_TICK_US))
}

# postgresql_cpu_us: the server with everything it runs
postgresql_cpu_us() {
    local postmaster
    postmaster=$(head -n 1 "$CLUSTER_HOME/data/postmaster.pid")
    # shellcheck disable=SC2046  # a list of pids
    cpu_us "$postmaster" $(pgrep -P "$postmaster")
}

# stack_logged: whether the statistics have counted every webhook that was sent through the forwarder;
# they are stored with the log rows, and counting those would cost PostgreSQL more than storing them
stack_logged() {
    [[ $(cluster_psql postgres -At -c 'SELECT sum(requests) FROM webhook_routing_rollups') == "$WEBHOOKS_SENT" ]]
}
