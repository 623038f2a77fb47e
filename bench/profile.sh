#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# bench/profile.sh [--connections N]: where the forwarder's time goes, per webhook relayed, decision and
# log included: system calls (strace), instructions by library (callgrind), and CPU by library and
# kernel at full speed (perf, where there is one). Instructions and system calls are figures that a busy
# machine hardly changes: they are what to compare before and after a change. Prints Markdown.
set -euo pipefail

# shellcheck source=bench/stack.sh
. "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

connections=64
while (($# > 0)); do
    case $1 in
    --connections) connections=$2 && shift ;;
    *)
        sed -n '4,8s/^# \{0,1\}//p' "$0"
        exit "$EX_USAGE"
        ;;
    esac
    shift
done

missing=$(packages_missing valgrind strace)
if [[ -n $missing ]]; then
    die "needs $missing: sudo apt-get install --no-install-recommends $missing" "$EX_UNAVAILABLE"
fi

load() { stack_load "$FORWARDER_PORT" --concurrency "$connections" --requests "$1"; }

# Traced or simulated the forwarder takes many times as long.
readonly PATIENT=(--decide-timeout 10s --attempt-timeout 30s --total-timeout 55s --connect-timeout 10s)

restart() {
    if [[ -e $BENCH_FOLDER/forwarder.pid ]]; then
        process_stop "$BENCH_FOLDER/forwarder.pid"
    fi
    stack_forwarder "$@"
    load 5000
}

# Only what the load makes: the forwarder is warm, and its rows are stored when the counting ends.
system_calls() {
    local count=20000 tracer
    restart "${PATIENT[@]}"
    strace -c -f -o "$BENCH_FOLDER/strace" -p "$(pid_of forwarder)" 2>/dev/null &
    tracer=$!
    sleep 0.5
    load "$count"
    wait_until 60 stack_logged || die "the statistics did not count every webhook"
    kill -INT "$tracer"
    wait "$tracer" || true
    printf '\n| system call | per webhook, %s connections |\n|---|---|\n' "$connections"
    # Columns: % time, seconds, usecs/call, calls, [errors,] name.
    awk -v count="$count" '$1 ~ /^[0-9.]+$/ && $NF != "total" {
            all += $4
            if ($4 / count >= 0.01)
                printf "| %s | %.2f |\n", $NF, $4 / count | "sort -t \"|\" -k 3,3gr"
        }
        END {
            close("sort -t \"|\" -k 3,3gr")
            printf "| **all** | **%.2f** |\n", all / count
        }' "$BENCH_FOLDER/strace"
}

instructions() {
    local count=4000
    FORWARDER_UNDER=(valgrind --tool=callgrind "--callgrind-out-file=$BENCH_FOLDER/callgrind")
    restart "${PATIENT[@]}"
    FORWARDER_UNDER=()
    wait_until 60 stack_logged || die "the statistics did not count every webhook"
    callgrind_control --zero "$(pid_of forwarder)" >/dev/null 2>&1
    load "$count"
    wait_until 60 stack_logged || die "the statistics did not count every webhook"
    callgrind_control --dump "$(pid_of forwarder)" >/dev/null 2>&1
    wait_until 10 test -s "$BENCH_FOLDER/callgrind.1" || die "callgrind wrote no figures"
    # A line each: instructions, object, function. What a thread began before the counting (clone and
    # start_thread) is charged with all of it once more, and left out.
    callgrind_annotate --threshold=100 --show=Ir "$BENCH_FOLDER/callgrind.1" |
        sed -n 's/^ *\([0-9,]*\) .*%) *[^ ]*:\([^ ]*\) .*\[.*\/\([^/]*\)\]$/\1 \3 \2/p' | tr -d , |
        sed 's/\.so[^ ]*//' | awk '$3 != "clone" && $3 != "start_thread"' >"$BENCH_FOLDER/instructions"
    printf '\n| part | instructions per webhook, %s connections |\n|---|---|\n' "$connections"
    awk -v count="$count" '{ sum[$2] += $1; all += $1 }
        END {
            for (part in sum)
                if (sum[part] / count >= 10)
                    printf "| %s | %.0f |\n", part, sum[part] / count | "sort -t \"|\" -k 3,3gr"
            close("sort -t \"|\" -k 3,3gr")
            printf "| **all** | **%.0f** |\n", all / count
        }' "$BENCH_FOLDER/instructions"
    printf '\n| functions that take most | part | instructions per webhook |\n|---|---|---|\n'
    sort -gr "$BENCH_FOLDER/instructions" | head -n 20 |
        awk -v count="$count" '{ printf "| %s | %s | %.0f |\n", $3, $2, $1 / count }'
}

# At full speed; the kernel's share is that of the forwarder's own system calls and of the network
# packets that are handled on its time.
shares() {
    if ! command -v perf >/dev/null; then
        return
    fi
    restart "${PATIENT[@]}"
    perf record -q -e cpu-clock -F 2000 -o "$BENCH_FOLDER/perf" -p "$(pid_of forwarder)" 2>/dev/null &
    load 60000
    kill -INT $!
    wait $! || true
    printf '\n| part | share of the CPU, %s connections |\n|---|---|\n' "$connections"
    perf report -q -i "$BENCH_FOLDER/perf" --sort dso 2>/dev/null |
        awk '$1 + 0 >= 0.5 { sub(/\.so.*/, "", $2); printf "| %s | %s |\n", $2, $1 }'
}

stack_open
system_calls
instructions
shares
