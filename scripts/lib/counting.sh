# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# How test.sh counts: every test is passed, failed or skipped, whatever tool has run it; and a failed one
# says why, since whoever reads the output may have nothing but its end. Sourced after common.sh and
# packages.sh; WORK is where logs go, and the groups call what stands here.
# shellcheck disable=SC2154  # WORK is test.sh's

PASSED=0 FAILED=0 SKIPPED=0
# What the group that is running has found so far.
GROUP='' LOG='' group_passed=0 group_failed=0 group_skipped=0 group_began=0 why_skipped=''

begin_group() {
    GROUP=$1 LOG=$WORK/$1.log
    group_passed=0 group_failed=0 group_skipped=0 why_skipped='' group_began=$SECONDS
    : >"$LOG"
}

# passed, failed TEXT, skipped WHY: one test of a tool that counts nothing itself
passed() { group_passed=$((group_passed + 1)); }
failed() {
    group_failed=$((group_failed + 1))
    printf '    %sfailed:%s %s\n' "$RED" "$RESET" "$1"
}
skipped() {
    group_skipped=$((group_skipped + 1))
    why_skipped=$1
}

# What the reasons of all failures together may take of the output, in lines.
EXPLANATION_LEFT=60

# explained [MOST]: the lines of stdin below a failed test, at most so many (12), each cut at 200 columns. Of
# more the first ones and the last ones: a tool says first where it was, and a test last what it has seen.
explained() {
    local most=${1:-12} lines line first count
    mapfile -t lines < <(tr -d '\000-\010\013-\037' | sed 's/\t/    /g')
    count=${#lines[@]}
    ((most <= EXPLANATION_LEFT)) || most=$EXPLANATION_LEFT
    if ((count > most && most >= 3)); then
        first=$((most / 3))
        lines=("${lines[@]:0:first}" "[... $((count - most + 1)) lines]" "${lines[@]:count-most+first+1}")
    fi
    for line in "${lines[@]:0:most}"; do
        printf '        %s\n' "${line:0:200}"
        EXPLANATION_LEFT=$((EXPLANATION_LEFT - 1))
    done
}

# check TEXT COMMAND...: one test: the command succeeds; its output is in the group's log
check() {
    local text=$1 before
    shift
    printf '\n# %s: %s\n' "$text" "$*" >>"$LOG"
    before=$(stat -c %s "$LOG")
    if "$@" >>"$LOG" 2>&1 </dev/null; then
        passed
    else
        failed "$text"
        explained < <(tail -c +$((before + 1)) "$LOG")
    fi
}

# tap_diagnostic NTH FILE: the diagnostic of the n-th top-level "not ok" in FILE: the comments behind it, up to
# the next result
tap_diagnostic() {
    awk -v nth="$1" '/^(not )?ok[ \t]/ { inside = /^not ok/ && tolower($0) !~ /# *(skip|todo)/ && ++n == nth; next }
        inside && sub(/^[ \t]*#[ \t]?/, "")' "$2"
}

# tap NAME COMMAND...: a program whose output is TAP; counts its top-level results, those that its
# plan has promised and that never came, and an exit status that no result explains
tap() {
    local name=$1 out=$WORK/$GROUP.$1.tap status=0 ok not_ok skip planned lines i
    shift
    # Perl's modules write why a test has failed to stderr.
    "$@" >"$out" 2>&1 </dev/null || status=$?
    cat "$out" >>"$LOG"
    # A skip directive is counted apart; a test that is expected to fail is not one that passed.
    skip=$(grep -ciE '^(not )?ok\b.*# *(skip|todo)' "$out" || true)
    ok=$(grep -viE '# *(skip|todo)' "$out" | grep -cE '^ok\b' || true)
    not_ok=$(grep -viE '# *(skip|todo)' "$out" | grep -cE '^not ok\b' || true)
    planned=$(sed -n 's/^1\.\.\([0-9][0-9]*\).*/\1/p' "$out" | awk '{ sum += $1 } END { print sum + 0 }')
    group_passed=$((group_passed + ok))
    group_skipped=$((group_skipped + skip))
    mapfile -t lines < <(grep -viE '# *(skip|todo)' "$out" | grep -E '^not ok\b')
    for ((i = 0; i < not_ok; i++)); do
        failed "$name: ${lines[i]}"
        explained < <(tap_diagnostic $((i + 1)) "$out")
    done
    if ((ok + not_ok + skip < planned)); then
        failed "$name: $((ok + not_ok + skip)) of $planned tests ran"
    elif ((status != 0 && not_ok == 0)); then
        failed "$name: exit status $status"
    elif ((ok + not_ok + skip == 0)); then
        failed "$name: reported no test"
    else
        return 0
    fi
    # No test has said why: perhaps the program has, at its end.
    explained < <(tail -n 12 "$out")
}

# regress_diff LINE FILE: of regression.diffs, what belongs to the test of that line of pg_regress
regress_diff() {
    local name
    name=$(sed -E 's/^(test +|not ok [0-9]+ +[-+] +)?([^ ]+).*/\2/' <<<"$1")
    awk -v name="/$name.out" '/^diff / { inside = index($0, name) > 0; next } inside' "${2:-/dev/null}"
}

# pg_tests NAME COMMAND...: pg_regress or pg_isolation_regress, whose lines are "test x ... ok" up to
# PostgreSQL 15 and TAP from 16 on
pg_tests() {
    local name=$1 out=$WORK/$GROUP.out status=0 ok not_ok diffs line lines
    shift
    "$@" >"$out" 2>&1 </dev/null || status=$?
    cat "$out" >>"$LOG"
    ok=$(grep -cE '\.\.\. ok\b|^ok [0-9]+' "$out" || true)
    not_ok=$(grep -cE '\.\.\. FAILED|^not ok [0-9]+' "$out" || true)
    group_passed=$((group_passed + ok))
    diffs=$(sed -n 's/.*file "\(.*regression\.diffs\)".*/\1/p' "$out")
    mapfile -t lines < <(grep -E '\.\.\. FAILED|^not ok [0-9]+' "$out")
    for line in "${lines[@]}"; do
        failed "$line"
        explained 20 < <(regress_diff "$line" "$diffs")
    done
    if ((status != 0 && not_ok == 0)); then
        failed "$name: exit status $status"
    elif ((ok + not_ok == 0)); then
        failed "$name: reported no test"
    else
        return 0
    fi
    explained < <(tail -n 12 "$out")
}

# need PURPOSE...: the packages of a group; says so and fails when they cannot be had
need() {
    local missing
    if ! command -v dpkg-query >/dev/null; then
        return
    fi
    missing=$(packages_missing "$@")
    if [[ -z $missing ]]; then
        return
    fi
    if ((EUID == 0)); then
        # shellcheck disable=SC2086  # a list of names
        if quietly "$WORK/packages.log" install_quietly $missing; then
            return
        fi
    fi
    skipped "missing packages: $missing"
    return 1
}

# there_are PATTERN: whether any file matches; a group without tests is skipped, not passed
there_are() {
    compgen -G "$1" >/dev/null || {
        skipped "there is no $1"
        return 1
    }
}

# prevented [WHY]: whether anything speaks against running the group here; then it is skipped
prevented() {
    [[ -n ${1:-} ]] || return 1
    skipped "$1"
}

# Adds what the running group has found to the sum, and says it.
count_group() {
    PASSED=$((PASSED + group_passed))
    FAILED=$((FAILED + group_failed))
    SKIPPED=$((SKIPPED + group_skipped))
    printf '  %-11s %4d passed, %d failed, %d skipped%s  %s(%d s)%s\n' "$GROUP" "$group_passed" \
        "$group_failed" "$group_skipped" "${why_skipped:+ ($why_skipped)}" "$DIM" \
        "$((SECONDS - group_began))" "$RESET"
    if ((group_failed)); then
        printf '    see %s\n' "$LOG"
    fi
    GROUP=''
}
