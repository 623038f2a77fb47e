#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# The whole week of a rollout in some minutes, with its bad days; see usage() below, and docs/rehearsal.md for
# what happens and how its report is read. The parts are real, and private: nothing else on the machine is
# touched. rehearsal/ has the clock, the parts, the operator, the week and the judgement, in this order.
set -euo pipefail

HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=scripts/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/cluster.sh
. "$REPOSITORY/scripts/lib/cluster.sh"
# shellcheck source=scripts/rehearsal/clock.sh
. "$REPOSITORY/scripts/rehearsal/clock.sh"
# shellcheck source=scripts/rehearsal/parts.sh
. "$REPOSITORY/scripts/rehearsal/parts.sh"
# shellcheck source=scripts/rehearsal/operator.sh
. "$REPOSITORY/scripts/rehearsal/operator.sh"
# shellcheck source=scripts/rehearsal/week.sh
. "$REPOSITORY/scripts/rehearsal/week.sh"
# shellcheck source=scripts/rehearsal/judge.sh
. "$REPOSITORY/scripts/rehearsal/judge.sh"
export LC_ALL=C.UTF-8

DIR='' REPORT='' SPEED=1 KEEP=false JUDGE=false STOP=false

usage() {
    cat <<EOT
Usage: ./scripts/rehearsal.sh [--rate N] [--speed N] [--report FILE] [--keep] [--dir DIR]
       ./scripts/rehearsal.sh --judge [--report FILE] [--dir DIR]
       ./scripts/rehearsal.sh --stop [--dir DIR]

Plays twelve days of a rollout from 0 to 100 % in some five minutes: a private PostgreSQL cluster, the
forwarder and stand-in functions by a clock that moves, signed webhooks as Meta sends them, a new function
that goes bad twice, a database and a forwarder that die, an operator who follows docs/rollout.md, and the
guard. Then compares what was sent, what the functions received and what the log says, id by id, and writes
a report. Exit status 0 when nothing was lost, doubled or moved and every fault was found.

  --rate N       webhooks a second in the busiest hour (default $PEAK_DEFAULT)
  --speed N      so much faster than in five minutes, with less traffic, or slower (0.2 to 4); the faults
                 take their time
  --report FILE  the report, as Markdown; beside it the same as FILE.html
                 (default report.md in the folder of --dir)
  --keep         leave the database running, to look at what happened
  --judge        judge again what a run with --keep has left, and write its report
  --stop         end what --keep has left
  --dir DIR      keep everything in DIR instead of .run/rehearsal/ in the source tree
  --help         this text
EOT
}

# value_of OPTION VALUE: of an option that needs one
value_of() {
    [[ -n ${2:-} ]] || die "$1 needs a value" "$EX_USAGE"
    printf '%s' "$2"
}

while (($#)); do
    case $1 in
        --rate | --speed | --report | --dir)
            value=$(value_of "$1" "${2:-}") || exit
            case $1 in
                --rate) PEAK=$value ;;
                --speed) SPEED=$value ;;
                --report) REPORT=$value ;;
                --dir) DIR=$value ;;
            esac
            shift
            ;;
        --keep) KEEP=true ;;
        --judge) JUDGE=true ;;
        --stop) STOP=true ;;
        --help | -h)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit "$EX_USAGE"
            ;;
    esac
    shift
done
[[ $PEAK =~ ^[1-9][0-9]{0,3}$ ]] || die "--rate is a number from 1 to 9999, not $PEAK" "$EX_USAGE"
pace "$SPEED" || die "--speed is a number from 0.2 to 4, not $SPEED" "$EX_USAGE"
DIR=${DIR:-$REPOSITORY/.run/rehearsal}
[[ $DIR == /* ]] || DIR=$PWD/$DIR
REPORT=${REPORT:-$DIR/report.md}
[[ $REPORT == /* ]] || REPORT=$PWD/$REPORT
cd "$REPOSITORY"

# ---- beginning and end ----

stop_programs() {
    process_stop "$CLUSTER_DIR/load.pid" 5
    process_stop "$CLUSTER_DIR/forwarder.pid" 30
    process_stop "$CLUSTER_DIR/functions.pid"
}

# However it ends, nothing of it is left running but the database that --keep asks for; nobody asks for that of
# one that he has interrupted.
finish() {
    local status=$?
    trap '' INT TERM
    if [[ -n $CLUSTER_DIR ]]; then
        stop_programs
        if ! $KEEP || ((status == 130)); then
            cluster_destroy
            rm -f "$CLUSTER_DIR/env"
        fi
    fi
    exit "$status"
}

build() {
    local began=$SECONDS
    source_tree "$CLUSTER_DIR"
    quietly "$CLUSTER_DIR/build.log" \
        make -C "$SOURCE_TREE" -s -j"$(nproc)" all standin build/load || die "the build failed: $CLUSTER_DIR/build.log"
    stage_install
    mkdir -p "$CLUSTER_HOME/bin"
    install -m 755 "$SOURCE_TREE/build/standin-functions" "$CLUSTER_HOME/bin/"
    step build "the extension and the forwarder, $((SECONDS - began)) s"
}

evidence_open() {
    EVIDENCE=$CLUSTER_DIR/evidence
    rm -rf "$EVIDENCE"
    mkdir -p "$EVIDENCE"
    : >"$EVIDENCE/load.json"
}

write_env() {
    printf 'export %s=%q\n' DATABASE_URL "$(cluster_url "$DATABASE")" PGHOST "$CLUSTER_SOCKET" \
        PGPORT "$CLUSTER_PORT" PGUSER "$CLUSTER_USER" PGDATABASE "$DATABASE" >"$CLUSTER_DIR/env"
}

begin() {
    install_missing "$DIR/packages.log" build run rehearsal
    cluster_open "$DIR"
    stop_programs
    cluster_destroy
    cluster_open "$DIR"
    evidence_open
    build
    clock_open "$CLUSTER_HOME"
    clock_jump 1 08:30
    database_start
    database_prepare
    functions_start
    forwarder_configure
    forwarder_start
    write_env
    step parts "database, functions and forwarder, by a clock that moves"
}

if $STOP || $JUDGE; then
    [[ -s $DIR/cluster.home ]] || die "there is no rehearsal in $DIR" "$EX_USAGE"
    cluster_open "$DIR"
    EVIDENCE=$CLUSTER_DIR/evidence
    if $STOP; then
        stop_programs
        cluster_destroy
        rm -f "$CLUSTER_DIR/env"
        echo "stopped; the report stays in $CLUSTER_DIR"
        exit 0
    fi
    database_answers >/dev/null || die "the database of the rehearsal in $DIR does not run" "$EX_UNAVAILABLE"
    judge
    exit
fi

mkdir -p "$DIR" 2>/dev/null || true
title "Rehearsal: a week of rollout"
trap finish EXIT
trap 'exit 130' INT TERM
readonly BEGAN=$SECONDS
begin
title "The week"
the_week
traffic_stop
wait_until 30 everything_stored || die "the forwarder has not stored its log"
process_stop "$CLUSTER_DIR/forwarder.pid" 30
cp "$CLUSTER_HOME/received" "$EVIDENCE/received"
cp "$CLUSTER_HOME/clock.tsv" "$EVIDENCE/"
echo "$((STORY_BEGIN_MS / 1000))" >"$EVIDENCE/day1"
echo "$((SECONDS - BEGAN))" >"$EVIDENCE/took"
# Not as part of a condition, in which a command that fails would not end it.
set +e
(
    set -e
    judge
)
verdict=$?
set -e
if $KEEP; then
    step database ". $(printf %q "$CLUSTER_DIR/env") && psql   (./scripts/rehearsal.sh --stop ends it)"
fi
((verdict == 0))
