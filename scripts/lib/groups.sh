# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# The groups of test.sh: a function group_NAME for each of GROUPS_KNOWN, which counts what it finds by the
# functions of counting.sh, and what several of them stand on. Run in the tree that is tested; a group that
# cannot run here has counted one skipped test when it returns, and one that fails returns 0 all the same.
# Sourced after common.sh, packages.sh, cluster.sh, debian_root.sh and counting.sh.
# shellcheck disable=SC2154  # WORK, LONG and SOURCE_TREE are test.sh's

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
    copy_sources "$SOURCE_TREE" "$1"
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
        explained <"$report"
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
