#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Everything that must pass. Each group (lib/groups.sh) runs the project's own test tools and counts what they
# say; a group that cannot run here says why and counts as one skipped test. The last line of the output is
# "N passed, N failed, N skipped", and the exit status is 0 only when something passed and nothing
# failed.
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/cluster.sh
. "$REPOSITORY/scripts/lib/cluster.sh"
# shellcheck source=scripts/lib/debian_root.sh
. "$REPOSITORY/scripts/lib/debian_root.sh"
# shellcheck source=scripts/lib/counting.sh
. "$REPOSITORY/scripts/lib/counting.sh"
# shellcheck source=scripts/lib/groups.sh
. "$REPOSITORY/scripts/lib/groups.sh"

# The groups in the order in which they run, each with what it shows.
readonly GROUPS_KNOWN=(
    "lint        shell, C format, and words that have no place in the tree"
    "build       gcc and clang, extension and programs, warnings are errors"
    "unit        the engine's parts, plain and under the sanitizers (cmocka)"
    "budget      instructions per decision (callgrind)"
    "fuzz        the engine, and what reads headers, answers and the spool, against fuzzers (libFuzzer)"
    "regress     the SQL surface (pg_regress)"
    "isolation   concurrent sessions (pg_isolation_regress)"
    "tap         restarts, standby, dump and restore (PostgreSQL's TAP modules)"
    "corpus      every fixture and extra payload, read twice independently; customers' sentences"
    "e2e         forwarder, database and functions as one (bats)"
    "faults      everything that can go wrong around a webhook, by the catalogue in test/faults (bats)"
    "failover    two forwarders behind haproxy, primary and standby, and the loss of each (bats)"
    "monitoring  /metrics, and the kit for Prometheus and Grafana against a live Prometheus (bats)"
    "page        the status page in a real browser (bats, chromium)"
    "service     the installed units under a real systemd (bats; as root)"
    "front       nginx and HAProxy with TLS in front of the forwarder, as documented (bats)"
    "sanitize    e2e with the forwarder under the sanitizers; with --long faults, and data races"
    "quickstart  the first command a newcomer types (bats)"
    "packages    what is installed and taken away again; the Debian packages on a clean machine (bats)"
    "scripts     the five operation scripts, in front of a real database and forwarder; how this script counts (bats)"
    "versions    newer PostgreSQL, compilers and libraries, in roots of Debian's next releases (bats; root only)"
    "rehearsal   the whole week of a rollout in minutes, with its bad days (bats)"
    "docs        the documentation's statements, and its reference (TAP)"
)

# Groups that make all that they need for themselves, and mostly wait for a mirror, a server or a clock:
# where others are wanted too they run beside these, as a second call of this script.
readonly GROUPS_BESIDE=(packages versions rehearsal)

LONG=false
WANTED=()
# That second call: its process, which leads a process group, and what it has said.
BESIDE_PID='' BESIDE_OUT=''

usage() {
    cat <<EOT
Usage: ./scripts/test.sh [--long] [GROUP...]

Runs all groups, or the named ones:

$(printf '  %s\n' "${GROUPS_KNOWN[@]}")

  --long   longer fuzzing and load, the soaks and the many repetitions
  --list   the names of the groups
  --help   this text

Logs are in build/test/. WEBHOOK_ROUTING_PAYLOADS may name a folder of further payloads (*.json) for
the corpus and e2e groups.
EOT
}

known() { printf '%s\n' "${GROUPS_KNOWN[@]%% *}"; }

while (($#)); do
    case $1 in
        --long) LONG=true ;;
        --list)
            known
            exit 0
            ;;
        --help | -h)
            usage
            exit 0
            ;;
        -*)
            usage >&2
            exit "$EX_USAGE"
            ;;
        *)
            known | grep -x -- "$1" >/dev/null || die "no group is called $1; see --list" "$EX_USAGE"
            WANTED+=("$1")
            ;;
    esac
    shift
done
((${#WANTED[@]})) || mapfile -t WANTED < <(known)

# Where everything that tests make is kept. Somebody else's tree is tested in a copy.
WORK=$REPOSITORY/build/test
is_temporary=false
if ! mkdir -p "$WORK" 2>/dev/null || [[ ! -w $WORK ]]; then
    WORK=$(mktemp -d /tmp/webhook_routing_test.XXXXXX)
    is_temporary=true
fi
readonly WORK LONG
export LONG
# What is said is compared with English, sorted by bytes, and a point is what separates a fraction.
export LC_ALL=C.UTF-8
unset LANGUAGE

# However the script ends, its last line is the sum. A group that was not brought to its end (a
# cluster that does not start, an interrupt) is one more failure.
finish() {
    local status=$?
    trap '' INT TERM
    if [[ -n $GROUP ]]; then
        failed "$GROUP: ended before its time"
        count_group
    elif ((status != 0)); then
        FAILED=$((FAILED + 1))
    fi
    if [[ -n $BESIDE_PID ]]; then
        kill -TERM -- "-$BESIDE_PID" 2>/dev/null || true
        count_beside
    fi
    if [[ -n $CLUSTER_HOME ]]; then
        cluster_destroy || true
    fi
    cd /
    if $is_temporary; then
        rm -rf "$WORK/source"
        # Logs are kept for whoever has to read them.
        ((FAILED)) || rm -rf "$WORK"
    fi
    printf '\n%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
    if ((status == 0 && (FAILED > 0 || PASSED == 0))); then
        status=1
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

source_tree "$WORK"
if [[ -n ${WEBHOOK_ROUTING_PAYLOADS:-} ]]; then
    WEBHOOK_ROUTING_PAYLOADS=$(cd "$WEBHOOK_ROUTING_PAYLOADS" && pwd -P)
    export WEBHOOK_ROUTING_PAYLOADS
fi
cd "$SOURCE_TREE"

# ---- all of it ----

run_group() {
    begin_group "$1"
    "group_$1"
    count_group
}

# begin_beside GROUP...: starts them once everything is built; false when it cannot be, and then they are not
begin_beside() {
    local arguments=("$@")
    ! $LONG || arguments+=(--long)
    GROUP=make LOG=$WORK/make.log
    if ! { need build run && built; }; then
        GROUP=''
        return 1
    fi
    GROUP=''
    BESIDE_OUT=$WORK/beside.out
    # Its process group is its own, so that all of it can be ended; it ends with this script, however that ends.
    setsid setpriv --pdeathsig TERM "$REPOSITORY/scripts/test.sh" "${arguments[@]}" >"$BESIDE_OUT" 2>&1 </dev/null &
    BESIDE_PID=$!
}

# Waits for the groups beside, shows what they have said, and adds their sum to this one's.
count_beside() {
    local sum passed failed skipped
    wait "$BESIDE_PID" || true
    BESIDE_PID=''
    sum=$(tail -n 1 "$BESIDE_OUT" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    sed '1,/webhook_routing tests/d; $d' "$BESIDE_OUT" | grep . || true
    read -r passed failed skipped <<<"${sum:-0 1 0}"
    [[ -n $sum ]] || printf '    %sfailed:%s what ran beside has no sum; see %s\n' "$RED" "$RESET" "$BESIDE_OUT"
    PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
}

title "webhook_routing tests"
mapfile -t beside < <(printf '%s\n' "${GROUPS_BESIDE[@]}" | grep -xF -f <(printf '%s\n' "${WANTED[@]}"))
if ((${#beside[@]} > 0 && ${#beside[@]} < ${#WANTED[@]})) && begin_beside "${beside[@]}"; then
    mapfile -t WANTED < <(printf '%s\n' "${WANTED[@]}" | grep -vxF -f <(printf '%s\n' "${beside[@]}"))
fi
for group in "${WANTED[@]}"; do
    run_group "$group"
done
if [[ -n $BESIDE_PID ]]; then
    count_beside
fi
