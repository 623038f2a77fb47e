#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Everything that must pass. Each group runs the project's own test tools and counts what they say;
# a group that cannot run here says why and counts as one skipped test. The last line of the output is
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
    "scripts     the five operation scripts, in front of a real database and forwarder (bats)"
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

# ---- what several groups stand on ----

is_built=false
# The extension and all programs, once; a group that needs them fails when they cannot be built.
built() {
    if ! $is_built; then
        quietly "$WORK/make.log" make -s -j"$(nproc)" all standin chaos build/load || {
            failed "make"
            return 1
        }
        is_built=true
    fi
}

# A private cluster with the staged extension, once for all groups; sets libpq's variables.
database() {
    built || return 1
    if [[ -z $CLUSTER_HOME ]]; then
        cluster_open "$WORK/cluster"
        if cluster_running; then
            cluster_stop immediate
        fi
        rm -rf "$CLUSTER_HOME/data"
        stage_install
        cluster_start fsync=off full_page_writes=off
        export PGHOST=$CLUSTER_SOCKET PGPORT=$CLUSTER_PORT PGUSER=$CLUSTER_USER
    fi
}

# copy_of_tree DIR: the sources alone, for builds that must not mix with these objects
copy_of_tree() {
    rm -rf "$1"
    mkdir -p "$1"
    tar -C "$SOURCE_TREE" --exclude=./.git --exclude=./.run --exclude=./build --exclude='*.o' \
        --exclude='*.so' -cf - . | tar -C "$1" -xf - --no-same-owner
}

# ---- the groups ----

# All files of the project that match, NUL-separated; what is built or fetched is not of the project.
files() {
    find . \( -name .git -o -name .run -o -path ./build -o -path ./test/fixtures/payloads -o -name node_modules \
        -o -path ./results -o -path ./tmp_check -o -path './debian/[.pw]*/*' \) -prune -o -type f \( "$@" \) -print0
}

# Words that stand for unfinished work, and names of places that mean nothing outside one machine.
# Written so that these lines do not match themselves.
no_forbidden_words() {
    local found
    found=$(files -name '*.[chsl]' -o -name '*.sql' -o -name '*.sh' -o -name '*.bash' -o -name '*.pl' \
        -o -name '*.bats' -o -name '*.jq' -o -name '*.tsv' -o -name '*.txt' -o -name '*.md' -o -name '*.js' \
        -o -name 'Makefile*' -o -name '*.spec' -o -name '*.css' -o -name '*.json' -o -name '*.yml' -o -name '*.cfg' \
        -o -name '*.conf' -o -name '*.in' -o -path './debian/*' -o -path ./.ci/run |
        xargs -0 grep -nE '\b(TO''DO|FIX''ME|X''XX|HA''CK)\b|[^a-z]/(work|farm)/[a-z]|/root/[a-z]' || true)
    printf '%s\n' "$found"
    [[ -z $found ]]
}

# The end of a here-document, or a heading that somebody shouts: no line of a page is one such word.
no_shouted_lines() {
    local found
    found=$(files -name '*.md' | xargs -0 grep -nE '^[[:space:]]*[A-Z][A-Z_]+[[:space:]]*$' || true)
    printf '%s\n' "$found"
    [[ -z $found ]]
}

# The version is said once, in the control file; the changelogs have to know it.
version_is_known() {
    local version
    version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" webhook_routing.control)
    [[ -n $version ]] && grep -F "## $version" CHANGELOG.md && head -n 1 debian/changelog | grep -F "($version-"
}

shell_files() {
    files -name '*.sh' -o -name '*.bash' -o -name '*.bats' -o -name '*.postinst' -o -name '*.prerm' -o -name '*.postrm'
    printf '.ci/run\0'
}

group_lint() {
    local file
    need lint || return 0
    while IFS= read -r -d '' file; do
        check "shellcheck $file" shellcheck -x "$file"
    done < <(shell_files)
    while IFS= read -r -d '' file; do
        check "clang-format $file" clang-format --dry-run -Werror "$file"
    done < <(files -path './core/*.[ch]' -o -path './forwarder/*.[ch]' -o -path './extension/*.[ch]' \
        -o -path './bench/*.[ch]' -o -path './scripts/*.[ch]' -o -path './test/*.[ch]')
    check "no unfinished or foreign words" no_forbidden_words
    check "no line of a page is one word in capitals" no_shouted_lines
    check "the changelog knows this version" version_is_known
}

group_build() {
    local compiler tree strict
    need build clang || return 0
    for compiler in gcc clang; do
        tree=$WORK/tree-$compiler
        strict=-Werror
        # What clang finds unknown in PostgreSQL's own gcc flags and headers is no fault of ours.
        [[ $compiler == gcc ]] || strict+=' -Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes'
        copy_of_tree "$tree"
        check "extension with $compiler -Werror" make -C "$tree" -j"$(nproc)" CC="$compiler" \
            WERROR="$strict" webhook_routing.so
        check "programs with $compiler -Werror" make -C "$tree" -f Makefile.programs -j"$(nproc)" \
            PROGRAM_CC="$compiler" programs build/load
        rm -rf "$tree"
    done
    check "programs with the address and undefined behaviour sanitizers" make -f Makefile.programs \
        -j"$(nproc)" SANITIZE=address,undefined BUILD=build/asan programs
}

# run_units BUILD [MAKE ARGUMENT]...
run_units() {
    local folder=$1 test name
    shift
    for test in test/unit/*_test.c; do
        name=$(basename "$test" .c)
        if make -s -f Makefile.programs BUILD="$folder" "$@" "$folder/unit/$name" >>"$LOG" 2>&1; then
            tap "$name${1:+.sanitized}" env CMOCKA_MESSAGE_OUTPUT=TAP "$folder/unit/$name"
        else
            failed "$name does not build in $folder"
        fi
    done
}

group_unit() {
    need build unit clang || return 0
    there_are 'test/unit/*_test.c' || return 0
    run_units build
    run_units build/asan SANITIZE=address,undefined
}

group_budget() {
    need build valgrind || return 0
    tap instructions bench/instructions.sh
}

group_fuzz() {
    local source name seconds=15 options seeds
    need build clang || return 0
    there_are 'test/fuzz/*_fuzz.c' || return 0
    ! $LONG || seconds=600
    for source in test/fuzz/*_fuzz.c; do
        name=$(basename "$source" .c)
        mkdir -p "$WORK/corpus/$name"
        options=("-max_total_time=$seconds" -rss_limit_mb=2048 "-artifact_prefix=$WORK/$name-")
        seeds=("$WORK/corpus/$name")
        [[ ! -f test/fuzz/${name%_fuzz}.dict ]] || options+=("-dict=test/fuzz/${name%_fuzz}.dict")
        [[ ! -d test/fuzz/corpus/${name%_fuzz} ]] || seeds+=("test/fuzz/corpus/${name%_fuzz}")
        case $name in
            engine_fuzz) seeds+=(test/fixtures/payloads) ;;
            cut_fuzz)
                options+=(-dict=test/fuzz/engine.dict)
                seeds+=(test/fuzz/corpus/engine test/fixtures/payloads)
                ;;
        esac
        check "$name builds" make -s -f Makefile.programs "build/fuzz/$name"
        # New inputs go to the first folder; the others are only read.
        check "$name for $seconds s" "build/fuzz/$name" "${options[@]}" "${seeds[@]}"
    done
}

group_regress() {
    need build run || return 0
    there_are 'sql/*.sql' || return 0
    database || return 0
    pg_tests pg_regress make -s installcheck ISOLATION=
    if [[ -s regression.diffs ]]; then
        cp regression.diffs "$WORK/"
    fi
}

group_isolation() {
    need build run || return 0
    there_are 'test/isolation/specs/*.spec' || return 0
    database || return 0
    mkdir -p build/isolation
    pg_tests pg_isolation_regress make -s installcheck REGRESS=
}

# PostgreSQL's modules make clusters of their own, so they run as the user that may.
group_tap() {
    local tree pgxs test
    need build run tap faketime || return 0
    there_are 'test/t/*.pl' || return 0
    database || return 0
    tree=$CLUSTER_HOME/tap
    copy_of_tree "$tree"
    mkdir -p "$tree/tap"
    own -R "$tree"
    pgxs=$(dirname "$(pg_config --pgxs)")/../..
    cluster_settings | grep -E '^(extension|dynamic)' >"$tree/temp.conf"
    for test in test/t/*.pl; do
        tap "$(basename "$test" .pl)" "${UNPRIVILEGED[@]}" env -C "$tree" -u PGHOST -u PGPORT -u PGUSER \
            LC_ALL=C PATH="$(pg_config --bindir):$PATH" PERL5LIB="$pgxs/src/test/perl" \
            TEMP_CONFIG="$tree/temp.conf" PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
            TESTDIR="$tree/tap" TESTDATADIR="$tree/tap/tmp_check" TESTLOGDIR="$tree/tap/log" \
            FORWARDER="$CLUSTER_HOME/stage/usr/local/bin/webhook-forwarder" perl -I test/t "$test"
    done
}

group_corpus() {
    need build run jq || return 0
    database || return 0
    tap corpus test/corpus/corpus_test.sh
}

# bats_tests PATH [NAME]: without libpq's variables, since they start clusters of their own; the tests
# that are tagged `long` only when asked for
bats_tests() {
    local tags=()
    $LONG || tags=(--filter-tags '!long')
    tap "${2:-$(basename "$1")}" env -u PGHOST -u PGPORT -u PGUSER bats --formatter tap "${tags[@]}" "$1"
}

group_e2e() {
    need build run bats || return 0
    there_are 'test/e2e/*.bats' || return 0
    built || return 0
    bats_tests test/e2e
}

group_faults() {
    need build run bats faketime valgrind strace systemd || return 0
    there_are 'test/faults/*.bats' || return 0
    built || return 0
    bats_tests test/faults
}

group_failover() {
    need build run bats haproxy || return 0
    there_are 'test/failover/*.bats' || return 0
    built || return 0
    bats_tests test/failover
}

group_monitoring() {
    need build run bats strace promtool || return 0
    there_are 'test/monitoring/*.bats' || return 0
    built || return 0
    bats_tests test/monitoring
}

group_page() {
    need build run bats npm chromium || return 0
    there_are 'test/page/*.bats' || return 0
    built || return 0
    check "uPlot is built in" make -s -f Makefile.programs UPLOT=yes forwarder
    UPLOT=yes bats_tests test/page
}

group_service() {
    need build run bats strace systemd || return 0
    there_are 'test/service/*.bats' || return 0
    ! prevented "$(. scripts/lib/machine.sh && machine_refusal)" || return 0
    built || return 0
    bats_tests test/service
}

group_front() {
    need build run bats front || return 0
    there_are 'test/front/*.bats' || return 0
    built || return 0
    bats_tests test/front
}

# sanitized NAME KINDS PATH: bats tests with a forwarder that is built with these sanitizers. What they
# report is named after the test's file, and a failure, whether or not a test has noticed.
sanitized() {
    local name=$1 build=build/$1 reports=$WORK/reports.$1 report
    rm -rf "$reports"
    mkdir -p "$reports"
    if ! make -s -f Makefile.programs -j"$(nproc)" SANITIZE="$2" BUILD="$build" forwarder >>"$LOG" 2>&1; then
        failed "the forwarder does not build with $2"
        return 0
    fi
    FORWARDER=$SOURCE_TREE/$build/webhook-forwarder SANITIZER_REPORTS=$reports \
        bats_tests "$3" "$(basename "$3").$name"
    while IFS= read -r report; do
        cat "$report" >>"$LOG"
        failed "$(basename "$3") with $2: see $report"
    done < <(find "$reports" -type f | sort)
    passed
}

group_sanitize() {
    need build clang run bats faketime || return 0
    built || return 0
    sanitized asan address,undefined test/e2e
    ! $LONG || sanitized asan address,undefined test/faults
    ! $LONG || sanitized tsan thread test/e2e
}

group_quickstart() {
    need build run bats || return 0
    bats_tests test/quickstart
}

group_scripts() {
    need build run bats terminal || return 0
    built || return 0
    bats_tests test/scripts
}

group_packages() {
    need build run bats pages || return 0
    there_are 'test/packages/*.bats' || return 0
    built || return 0
    bats_tests test/packages/install.bats
    need debian debootstrap || return 0
    ! prevented "$(debian_root_refusal)" || return 0
    ! prevented "$(. scripts/lib/machine.sh && machine_refusal)" || return 0
    bats_tests test/packages/debian.bats
}

group_versions() {
    need bats debootstrap || return 0
    ! prevented "$(debian_root_refusal)" || return 0
    bats_tests test/versions
}

group_rehearsal() {
    need build run bats rehearsal || return 0
    built || return 0
    bats_tests test/rehearsal
}

group_docs() {
    local file
    need build run lint || return 0
    there_are 'test/docs/*_test.sh' || return 0
    database || return 0
    for file in test/docs/*_test.sh; do
        tap "$(basename "$file" .sh)" "$file"
    done
}

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
