#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# bench/forwarder.sh [--quick] [--repetitions N] [--keep FILE]: the forwarder beside nginx and haproxy,
# in one run, with the same webhooks from the same client to the same functions. The forwarder decides
# each one in PostgreSQL and logs it durably meanwhile; nginx and haproxy only pass it on. Prints
# Markdown; what each figure means is in bench/README.md.
#
#   --quick            one repetition, a quarter of the webhooks, about a minute; to see that it works
#   --repetitions N    default 5, some five minutes
#   --keep FILE        every single measurement, tab-separated
set -euo pipefail

# shellcheck source=bench/stack.sh
. "$(dirname "${BASH_SOURCE[0]}")/stack.sh"
readonly HERE=$REPOSITORY/bench

readonly PROXIES=(nginx haproxy forwarder)
# Connections, and how many webhooks one repetition sends over them.
declare -A webhooks=([1]=10000 [16]=30000 [64]=40000 [256]=40000)
readonly CONNECTIONS=(1 16 64 256)
readonly IDLE=1000 RATE=1000
rate_seconds=6 repetitions=5 divisor=1 keep=''

while (($# > 0)); do
    case $1 in
    --quick) repetitions=1 divisor=4 rate_seconds=3 ;;
    --repetitions) repetitions=$2 && shift ;;
    --keep) keep=$2 && shift ;;
    *)
        sed -n '4,11s/^# \{0,1\}//p' "$0"
        exit "$EX_USAGE"
        ;;
    esac
    shift
done

# The peers are nobody's to install for a benchmark: this only says how.
missing=$(packages_missing bench)
if [[ -n $missing ]]; then
    die "not installed: $missing. Install, and stop what that starts:
    sudo apt-get install --no-install-recommends $missing
    sudo systemctl disable --now $missing" "$EX_UNAVAILABLE"
fi

declare -A port pid

# configure PEER FILE: its configuration, filled in
configure() {
    sed -e "s|@FOLDER@|$BENCH_FOLDER|" -e "s|@LISTEN@|${port[$1]}|" -e "s|@FUNCTIONS@|$FUNCTIONS_PORT|" \
        "$HERE/$2" >"$BENCH_FOLDER/$2"
}

start_proxies() {
    port[nginx]=$(free_port)
    configure nginx nginx.conf
    process_start "$BENCH_FOLDER/nginx.pid" "$BENCH_FOLDER/nginx.log" \
        nginx -e stderr -c "$BENCH_FOLDER/nginx.conf"
    wait_until 10 port_in_use "${port[nginx]}" ||
        die "nginx did not start: $(tail -n 3 "$BENCH_FOLDER/nginx.log")"
    # The worker: its master does nothing, and is not counted.
    pid[nginx]=$(pgrep -P "$(pid_of nginx)")

    port[haproxy]=$(free_port)
    configure haproxy haproxy.cfg
    process_start "$BENCH_FOLDER/haproxy.pid" "$BENCH_FOLDER/haproxy.log" \
        haproxy -db -f "$BENCH_FOLDER/haproxy.cfg"
    wait_until 10 port_in_use "${port[haproxy]}" ||
        die "haproxy did not start: $(tail -n 3 "$BENCH_FOLDER/haproxy.log")"
    pid[haproxy]=$(pid_of haproxy)

    stack_forwarder
    port[forwarder]=$FORWARDER_PORT
    pid[forwarder]=$(pid_of forwarder)
}

# note FIGURE CONNECTIONS PROXY VALUE: one measurement of this repetition
note() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$repetition" "$4" >>"$BENCH_FOLDER/measured"; }

resident_kb() { awk "/^$2:/ { print \$2 }" "/proc/$1/status"; }

# post DESCRIPTOR: one webhook over a connection that stays open; waits for the whole answer
post() {
    local line length=0 body
    body=$(<"$REPOSITORY/test/fixtures/payloads/text.json")
    printf 'POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
        ${#body} "$body" >&"$1"
    while IFS= read -r -t 10 line <&"$1" && [[ $line != $'\r' ]]; do
        [[ ${line,,} != content-length:* ]] || length=${line//[!0-9]/}
    done
    ((length == 0)) || IFS= read -r -t 10 -N "$length" line <&"$1"
}

# Each of the connections has had one webhook answered and stays open, as Meta's do. The process is
# fresh: nothing of an earlier load is counted.
measure_idle() (
    proxy=$1
    ulimit -n $((IDLE + 100))
    for ((n = 0; n < IDLE; n++)); do
        exec {connection}<>"/dev/tcp/127.0.0.1/${port[$proxy]}"
        post "$connection"
    done
    sleep 0.5
    note idle_mb "$IDLE" "$proxy" "$(resident_kb "${pid[$proxy]}" VmRSS | awk '{ print $1 / 1024 }')"
)

# measure PROXY CONNECTIONS: CPU, throughput and latency of one repetition
measure() {
    local proxy=$1 connections=$2 count=$((webhooks[$2] / divisor)) before database_before after
    database_before=$(postgresql_cpu_us) before=$(cpu_us "${pid[$proxy]}")
    stack_load "${port[$proxy]}" --concurrency "$connections" --requests "$count" \
        --first $((repetition * 1000000 + connections * 1000))
    after=$(cpu_us "${pid[$proxy]}")
    note cpu_us "$connections" "$proxy" "$(awk "BEGIN { print ($after - $before) / $count }")"
    note per_second "$connections" "$proxy" "$(load_figure per_second)"
    note p50_ms "$connections" "$proxy" "$(load_figure p50)"
    note p99_ms "$connections" "$proxy" "$(load_figure p99)"
    if [[ $proxy == forwarder ]]; then
        # The last log rows are stored a moment after the last answer, and belong to it.
        wait_until 60 stack_logged || die "the statistics did not count every webhook"
        note database_us "$connections" "$proxy" \
            "$(awk "BEGIN { print ($(postgresql_cpu_us) - $database_before) / $count }")"
    fi
}

# measure_rate PROXY: latency at a fixed rate, counted from when each webhook was due
measure_rate() {
    stack_load "${port[$1]}" --concurrency 64 --rate "$RATE" --requests $((RATE * rate_seconds)) \
        --first $((repetition * 1000000))
    note rate_p50_ms "$RATE" "$1" "$(load_figure p50)"
    note rate_p99_ms "$RATE" "$1" "$(load_figure p99)"
}

measure_all() {
    local proxy connections
    for ((repetition = 1; repetition <= repetitions; repetition++)); do
        for connections in "${CONNECTIONS[@]}"; do
            for proxy in "${PROXIES[@]}"; do
                measure "$proxy" "$connections"
            done
        done
        for proxy in direct "${PROXIES[@]}"; do
            measure_rate "$proxy"
        done
        step repetition "$repetition of $repetitions" >&2
    done
}

stack_open
start_proxies
port[direct]=$FUNCTIONS_PORT
repetition=0
for proxy in "${PROXIES[@]}"; do
    measure_idle "$proxy"
done
WEBHOOKS_SENT=$((WEBHOOKS_SENT + IDLE))
step idle "$IDLE connections each" >&2
# Caches, pools and prepared plans are warm before anything is timed.
for proxy in direct "${PROXIES[@]}"; do
    stack_load "${port[$proxy]}" --concurrency 256 --requests $((20000 / divisor))
done
measure_all
for proxy in "${PROXIES[@]}"; do
    note peak_mb 256 "$proxy" "$(resident_kb "${pid[$proxy]}" VmHWM | awk '{ print $1 / 1024 }')"
done

wait_until 60 stack_logged || die "the statistics did not count every webhook"
logged=$(cluster_psql postgres -At -c 'SELECT count(*) FROM webhook_routing_logs')
((logged == WEBHOOKS_SENT)) || die "the log holds $logged of $WEBHOOKS_SENT webhooks"

if [[ -n $keep ]]; then
    cp "$BENCH_FOLDER/measured" "$keep"
fi
printf '%s, %s, haproxy %s, PostgreSQL %s, %s processors, median of %s\n' \
    "$("$SOURCE_TREE/build/webhook-forwarder" --version)" "$(nginx -v 2>&1 | sed 's/.*: //;s|/| |')" \
    "$(haproxy -v | sed -n '1s/.*version \([0-9.]*\).*/\1/p')" "$(postgresql_major)" "$(nproc)" "$repetitions"
awk -v idle="$IDLE" -v rate="$RATE" -f "$HERE/forwarder.awk" "$BENCH_FOLDER/measured"
