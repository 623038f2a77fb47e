#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The rehearsal of the week: it is played once, every promise has to be kept; and the judgement is shown to
# see what it looks for, by evidence that somebody has changed.

bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export TREE=$PWD DIR="$BATS_FILE_TMPDIR/a week"
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
}

teardown_file() {
    "$TREE/scripts/rehearsal.sh" --stop --dir "$DIR" || true
}

setup() {
    cd "$TREE" || return 1
}

# figure NAME: what the table of figures says of it
figure() {
    bash -c '. "$1/env" && psql -XqAt -v ON_ERROR_STOP=1 -v "name=$2" -f -' env "$DIR" "$1" \
        <<<"SELECT found FROM evidence.figures WHERE name = :'name'"
}

# is WANTED NAME: the figure has that value
is() {
    local found
    found=$(figure "$2")
    [[ $found == "$1" ]] || {
        echo "$2: $found, not $1" >&2
        return 1
    }
}

# first FILE CONDITION ACTION: of the first line with that, in awk; fails when there is none
first() {
    awk -F '\t' -v OFS='\t' "!done && ($2) { done = 1; $3 } { print } END { exit !done }" "$1" >"$BATS_TEST_TMPDIR/edited"
    cp "$BATS_TEST_TMPDIR/edited" "$1"
}

@test "what it cannot do it says, with the right exit status" {
    run -0 ./scripts/rehearsal.sh --help
    [[ $output == *--judge* ]]
    run -64 ./scripts/rehearsal.sh --rate 0
    run -64 ./scripts/rehearsal.sh --rate
    run -64 ./scripts/rehearsal.sh --speed 5
    run -64 ./scripts/rehearsal.sh --speed fast
    run -64 ./scripts/rehearsal.sh --faster
    run -64 ./scripts/rehearsal.sh --judge --dir "$BATS_TEST_TMPDIR/nowhere"
    [[ $output == *'there is no rehearsal in'* ]]
}

@test "ended in the middle it leaves nothing running, and no database" {
    local pid i ended=0
    ./scripts/rehearsal.sh --keep --dir "$DIR" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- 4>&- &
    pid=$!
    for ((i = 0; i < 600; i++)); do
        ! grep -q 'begins to send' "$BATS_TEST_TMPDIR/out" || break
        sleep 0.2
    done
    grep 'begins to send' "$BATS_TEST_TMPDIR/out"
    local forwarder functions postgres
    read -r forwarder _ <"$DIR/forwarder.pid"
    read -r functions _ <"$DIR/functions.pid"
    read -r postgres <"$(<"$DIR/cluster.home")/data/postmaster.pid"
    kill -0 "$forwarder" "$functions" "$postgres"
    kill -TERM "$pid"
    wait "$pid" || ended=$?
    ((ended == 130))
    for pid in "$forwarder" "$functions" "$postgres"; do
        # A zombie has ended, whoever should have waited for it.
        [[ ! -e /proc/$pid || $(sed 's/.*) //' "/proc/$pid/stat") == Z* ]]
    done
    [[ ! -e $DIR/cluster.home && ! -e $DIR/env ]]
}

@test "the week: every promise is kept, and the report tells of it" {
    run ./scripts/rehearsal.sh --keep --speed 2 --dir "$DIR" --report "$DIR/to read.md"
    echo "$output"
    ((status == 0))
    [[ $output == *'every promise was kept'* && $output != *BROKEN* ]]
    is 4 'faults found'
    is 0 'messages lost'
    (($(figure 'webhooks sent') > 5000))
    (($(figure 'of them by unified') > 1000))
    (($(figure 'answered by legacy after unified refused') > 3))
    grep -x '# Rehearsal of the rollout: passed' "$DIR/to read.md"
    grep -F '![' "$DIR/to read.md"
    grep -F '</svg></figure>' "$DIR/to read.html"
    grep -F 'Lost: none.' "$DIR/to read.md"
    run -1 grep -E '(src|href)=' "$DIR/to read.html"
    # Nobody's number is in it.
    run -1 grep -E '25078[0-9]{7}' "$DIR/to read.md"
}

@test "the judgement sees what was lost, doubled, moved, touched, forged and not found" {
    local evidence=$DIR/evidence
    cp -r "$evidence" "$BATS_TEST_TMPDIR/true"
    # A message that a function never saw; one that it saw twice; one about jobs that unified has although
    # it was sent on the first day; a ride that unified has.
    first "$evidence/received" '$4 == 200 && $2 == "wa-webhook-property" && $3 !~ /,/' next
    first "$evidence/received" '$2 == "wa-webhook-marketplace" && $3 !~ /,/' print
    first "$evidence/received" '$2 == "wa-webhook-jobs" && $3 !~ /,/' '$2 = "wa-webhook-unified"'
    first "$evidence/received" '$2 == "wa-webhook-mobility" && $3 !~ /,/' '$2 = "wa-webhook-unified"'
    first "$evidence/received" '$2 == "wa-webhook" && $3 !~ /,/' '$2 = "wa-webhook-unified"'
    first "$evidence/forged" '1' '$2 = 200'
    first "$evidence/faults.tsv" '$1 == "latency"' next
    run ./scripts/rehearsal.sh --judge --dir "$DIR" --report "$BATS_TEST_TMPDIR/judged.md"
    echo "$output"
    ((status == 1))
    is 1 'messages lost'
    is 1 'messages doubled within a delivery'
    is 1 'protected webhooks touched by unified'
    is 1 'statuses and unknown messages touched by unified'
    is 1 'forged webhooks that got in'
    is 3 'faults found'
    (($(figure 'moved to the other side') >= 1))
    (($(figure 'other deviations between client, functions and log') >= 1))
    grep -x '# Rehearsal of the rollout: NOT passed' "$BATS_TEST_TMPDIR/judged.md"

    rm -r "$evidence"
    cp -r "$BATS_TEST_TMPDIR/true" "$evidence"
    run -0 ./scripts/rehearsal.sh --judge --dir "$DIR" --report "$BATS_TEST_TMPDIR/judged.md"
}

@test "--stop ends what --keep has left; the report stays" {
    run -0 ./scripts/rehearsal.sh --stop --dir "$DIR"
    [[ ! -e $DIR/cluster.home && -s "$DIR/to read.md" ]]
    run -64 ./scripts/rehearsal.sh --judge --dir "$DIR"
}
