# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What every script of this project shares: words on the terminal, bounded waiting, free ports, and
# background processes that are known by pid and start time, so that only our own are ever ended.
# Sourced, never run. Callers set -euo pipefail.

# The top of the source tree, whatever the caller's folder is.
REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' RESET=$'\e[0m'
else
    BOLD='' DIM='' RED='' GREEN='' YELLOW='' RESET=''
fi
# shellcheck disable=SC2034  # some are for those who source this
readonly REPOSITORY BOLD DIM RED GREEN YELLOW RESET

# sysexits(3)
# shellcheck disable=SC2034
readonly EX_USAGE=64 EX_UNAVAILABLE=69 EX_SOFTWARE=70 EX_TEMPFAIL=75 EX_NOPERM=77 EX_CONFIG=78

# title TEXT: a heading with an empty line before it
title() { printf '\n%s%s%s\n' "$BOLD" "$1" "$RESET"; }

# step NAME TEXT: one aligned line of progress
step() { printf '  %-11s %s\n' "$1" "$2"; }

# die TEXT [EXIT STATUS]: says what went wrong and what to do, and ends the script
die() {
    printf '%s%s:%s %s\n' "$RED" "${0##*/}" "$RESET" "$1" >&2
    exit "${2:-$EX_SOFTWARE}"
}

# wait_until SECONDS COMMAND...: until the command succeeds; fails when the time, or up to a second more, is over
wait_until() {
    local deadline=$((SECONDS + $1 + 1)) # SECONDS has the fraction of a second that has begun
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# quietly LOG COMMAND...: output goes to LOG and is shown only when the command fails
quietly() {
    local log=$1 status=0
    shift
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if ((status != 0)); then
        printf '%s\n' "${RED}failed:${RESET} $*" >&2
        tail -n 20 "$log" | cut -c 1-300 >&2
        printf '%s\n' "(all of it: $log)" >&2
    fi
    return "$status"
}

# port_in_use PORT: whether something listens on that TCP port, on any address
port_in_use() {
    local hex
    printf -v hex '%04X' "$1"
    # Field 2 is the local address as HEX:PORT, field 4 the state; 0A is LISTEN.
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 3) == port { found = 1 }
                            END { exit !found }'
}

# free_port [PREFERRED]: a TCP port nobody listens on: the preferred one or the next free one;
# without a preference any below the range from which the kernel takes ports for clients
free_port() {
    local port=${1:-$((20000 + RANDOM % 12000))} tries
    for ((tries = 0; tries < 1000; tries++, port++)); do
        if ! port_in_use "$port"; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free TCP port from ${1:-20000} on" "$EX_TEMPFAIL"
}

# process_birth PID: the start time of a process in clock ticks; with the pid it names the process
# for ever, even after the pid has been used again. Fails when there is no such process, or when all of
# it has ended and only waits to be reaped.
process_birth() {
    local stat threads
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) } # what follows the name, which may hold spaces
    # Other threads can outlive the first one for a moment, with all sockets.
    threads=("/proc/$1/task"/*)
    [[ $stat != Z* ]] || ((${#threads[@]} > 1)) || return 1
    # shellcheck disable=SC2086  # split on purpose
    set -- $stat
    printf '%s\n' "${20}"
}

# process_start PIDFILE LOG COMMAND...: in the background, detached from the terminal
process_start() {
    local pidfile=$1 log=$2
    shift 2
    # bats waits for whoever holds its descriptors 3 and 4
    setsid "$@" >>"$log" 2>&1 </dev/null 3>&- 4>&- &
    printf '%s %s\n' "$!" "$(process_birth "$!" || echo gone)" >"$pidfile"
}

# process_alive PIDFILE: whether the process that was started with it still runs
process_alive() {
    local pid birth
    { read -r pid birth <"$1"; } 2>/dev/null || return 1
    [[ $(process_birth "$pid") == "$birth" ]]
}

process_ended() { ! process_alive "$1"; }

# process_stop PIDFILE [SECONDS]: SIGTERM, and SIGKILL after the time; nothing when it is not ours
process_stop() {
    local pid birth
    if process_alive "$1"; then
        read -r pid birth <"$1"
        kill -TERM "$pid" 2>/dev/null || true
        if ! wait_until "${2:-20}" process_ended "$1"; then
            kill -KILL "$pid" 2>/dev/null || true
            wait_until 5 process_ended "$1" || true
        fi
    fi
    rm -f "$1"
}

# copy_sources TREE DIR: a source tree without what was built in it, over what is in DIR
copy_sources() {
    mkdir -p "$2"
    tar -C "$1" --exclude=./.git --exclude=./.run --exclude=./build --exclude='*.o' --exclude='*.so' -cf - . |
        tar -C "$2" -xf - --no-same-owner
}

# source_tree DIR: sets SOURCE_TREE, where to build: this tree, or, where this user may not write to
# all of it (a clone that belongs to somebody else, objects that root has built), a copy in DIR
source_tree() {
    SOURCE_TREE=$REPOSITORY
    if [[ -z $(find "$REPOSITORY" -name .git -prune -o -name .run -prune -o ! -writable -print -quit) ]]; then
        return
    fi
    SOURCE_TREE=$1/source
    copy_sources "$REPOSITORY" "$SOURCE_TREE"
}
