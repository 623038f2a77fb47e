#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# What the spool promises, of real processes: killed in the middle, without a disk, without a database,
# two at a time. Each test has a forwarder of its own, which reaches the database through a chaos proxy.

setup_file() {
    load helper
    stack_start faults_spool
    forwarder_stop
    chaos_start database "$CLUSTER_SOCKET/.s.PGSQL.$CLUSTER_PORT"
    printf 'postgresql://e2e_forwarder@127.0.0.1:%s/%s\n' "$(chaos_port database)" "$PGDATABASE" >"$STACK/database-url"
    export URL_FILE=$STACK/database-url
}

teardown_file() {
    load helper
    stack_stop
    chaos_stop database
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    chaos database plain
    clean_sheet
    SPOOL=$BATS_TEST_TMPDIR/own/spool
}

teardown() {
    chaos database plain
    own_forwarder_stop
    process_stop "$BATS_TEST_TMPDIR/peer.pid"
    process_stop "$BATS_TEST_TMPDIR/second.pid"
    sql "UPDATE webhook_routing_targets SET url = NULL, timeout_ms = DEFAULT WHERE url IS NOT NULL"
}

# start [ARGUMENT]...: the test's forwarder, or the next one after it on the same spool
start() {
    if [[ -d $BATS_TEST_TMPDIR/own ]]; then
        forwarder_start --database-url-file "$URL_FILE" "$@"
    else
        own_forwarder --database-url-file "$URL_FILE" "$@"
    fi
}

# gone, back: the database, for the forwarder alone
gone() { chaos database refuse reset; }
back() { chaos database plain; }

# killed: the forwarder ends at once, whatever it is doing
killed() {
    kill -KILL "$(forwarder_pid)"
    wait_until 20 process_ended "$STACK/forwarder.pid"
}

# post_behind: a webhook in the background, which is not answered yet when it returns, but written into the spool
# or the database; sets POSTING
post_behind() {
    post "$FIXTURES/text.json" 3>&- &
    POSTING=$!
    wait_until 20 written
}
written() { grep -aqs 250788 "$SPOOL"/*.spool || [[ $(sql "SELECT count(*) FROM webhook_routing_pending") == 1 ]]; }

segments() { find "$SPOOL" -maxdepth 1 -name '*.spool' | wc -l; }
segments_are() { [[ $(segments) == "$1" ]]; }

# rows: of the log, one line each
rows() {
    sql "SELECT attempt, status, coalesce(http_status::text, '-'), ambiguous, error_message
         FROM webhook_routing_logs ORDER BY created_at, attempt"
}

readonly UNKNOWN='1|error|-|t|outcome unknown: the forwarder was killed before the function answered'

@test "fault 37: killed while the function works: logged once, as unknown, after the restart" {
    start
    behave 'delay_ms=8000'
    post_behind
    wait_seen .total 1
    equal "$(logged)" 0
    killed
    behave 'delay_ms=0'
    start
    wait_logged 1
    equal "$(rows)" "$UNKNOWN"
    equal "$(seen .total)" 1 'requests at the function'
    equal "$(events spool_replayed)" 1
}

@test "fault 38: killed before the function is reached: the same" {
    local port
    : >"$BATS_TEST_TMPDIR/peer.log"
    process_start "$BATS_TEST_TMPDIR/peer.pid" "$BATS_TEST_TMPDIR/peer.log" "$REPOSITORY/test/faults/backlog.pl"
    wait_until 20 test -s "$BATS_TEST_TMPDIR/peer.log"
    port=$(grep -oE '[0-9]+' "$BATS_TEST_TMPDIR/peer.log" | head -n 1)
    point wa-webhook-jobs "http://127.0.0.1:$port/wa-webhook-jobs"
    start --connect-timeout 9s
    post_behind
    killed
    sql "UPDATE webhook_routing_targets SET url = NULL WHERE url IS NOT NULL"
    start
    wait_logged 1
    equal "$(rows)" "$UNKNOWN"
    equal "$(seen .total)" 0 'requests at the functions'
}

@test "faults 39 and 40: a damaged record is set aside, a torn end is cut, the rest is stored" {
    local file i
    start
    gone
    for i in 1 2 3 4 5; do
        post "$(text 'I need a job' "25078800001$i")"
        equal "$status" 200
    done
    killed
    equal "$(segments)" 1
    file=$(find "$SPOOL" -maxdepth 1 -name '*.spool')
    # In the third webhook's number, and a record that was begun at the end.
    perl -0777 -pi -e 's/250788000013/250788000x13/; s/(.*[^\0])\0{16}/$1 . substr($1, 64, 13) . "\0\0\0"/se' "$file"
    back
    start
    wait_logged 4
    sleep 0.5
    equal "$(sql "SELECT string_agg(right(from_number, 1), '' ORDER BY from_number) FROM webhook_routing_logs")" 1245
    equal "$(events spool_record_damaged)" 3
    curl -fs "$ADMIN_URL/metrics" | grep -x 'webhook_forwarder_spool_damaged_records_total 3'
    (($(find "$SPOOL/set-aside" -name '*.damaged' | wc -l) == 3))
    if grep -F 250788 "$STACK/forwarder.log"; then
        false
    fi
}

@test "a database that is away for long: rows beyond --log-queue wait in the spool alone, and all come" {
    local i
    start --log-queue 50 --log-batch 10
    gone
    for ((i = 0; i < 120; i++)); do
        post "$(text 'I need a job')"
        equal "$status" 200
    done
    equal "$(logged)" 0
    back
    wait_until 60 logged_are 120
    equal "$(counted)" '120|0'
    wait_until 20 segments_are 0
}

@test "an idle forwarder keeps nothing in the spool" {
    start
    still_serves
    wait_logged 1
    wait_until 20 segments_are 0
    still_serves
    wait_logged 2
}

# spool_breaks: there is a file in the directory's place; an idle spool makes its next segment and fails
spool_breaks() {
    wait_until 20 segments_are 0
    rm -r "$SPOOL"
    : >"$SPOOL"
}

spool_is_mended() {
    rm "$SPOOL"
    mended() { (($(events spool_usable) == 1)); }
    wait_until 20 mended
}

@test "fault 44: no spool: the decision is committed in the database before the function is called" {
    start
    still_serves
    wait_logged 1
    spool_breaks
    behave 'delay_ms=4000'
    post_behind
    equal "$(sql "SELECT count(*) FROM webhook_routing_pending")" 1
    equal "$(events spool_unusable)" 1
    behave 'delay_ms=0'
    wait_logged 2
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE status = 'success'")" 2
    equal "$(sql "SELECT count(*) FROM webhook_routing_pending")" 0
    spool_is_mended
    still_serves
    equal "$(events spool_unusable)" 1
}

@test "fault 44: no spool, and the database goes away for minutes while the function works: the outcome counts" {
    start
    still_serves
    wait_logged 1
    spool_breaks
    behave 'delay_ms=4000'
    post_behind
    gone
    wait "$POSTING"
    equal "$(sql "SELECT count(*) FROM webhook_routing_pending")" 1
    # By the clock of the row.
    sql "UPDATE webhook_routing_pending SET stored_at = stored_at - interval '2 minutes'"
    back
    wait_logged 2
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE status = 'success'")" 2
    equal "$(sql "SELECT count(*) FROM webhook_routing_pending")" 0
}

@test "fault 45: neither spool nor database: 503, and no function is called" {
    start
    still_serves
    wait_logged 1
    spool_breaks
    gone
    post "$FIXTURES/text.json"
    equal "$status" 503
    equal "$(seen .total)" 1 'requests at the functions'
    back
    wait_until 20 serves
    spool_is_mended
    still_serves
}

@test "a fallback whose rows neither spool nor database takes is not made: 503, the first attempt is logged" {
    routing 100
    start
    still_serves
    wait_logged 1
    spool_breaks
    behave 'name=wa-webhook-unified&status=500&delay_ms=4000'
    post "$(text 'I need a job')" 3>&- &
    asked() { [[ $(seen '.functions["wa-webhook-unified"].requests') == 2 ]]; }
    wait_until 20 asked
    gone
    wait $!
    equal "$(sed -n '1s/^HTTP.1.1 \([0-9]*\).*/\1/p' "$STACK/answer.headers")" 503
    equal "$(answer_header Retry-After)" 1
    equal "$(seen '.functions["wa-webhook-jobs"].requests // 0')" 0 'requests at the fallback'
    back
    wait_logged 2
    equal "$(sql "SELECT attempt, routed_to, status, http_status, ambiguous FROM webhook_routing_logs ORDER BY created_at DESC LIMIT 1")" '1|unified|error|500|f'
    equal "$(sql "SELECT count(*) FROM webhook_routing_pending")" 0
    behave 'name=wa-webhook-unified&delay_ms=0'
    spool_is_mended
    still_serves
}

# sync_fails [WHEN]: fdatasync() from now on, or as strace understands when=
sync_fails() {
    command -v strace >/dev/null || skip 'strace is not here'
    : >"$BATS_TEST_TMPDIR/strace.log"
    process_start "$BATS_TEST_TMPDIR/strace.pid" "$BATS_TEST_TMPDIR/strace.log" \
        strace -f -p "$(forwarder_pid)" -e trace=fdatasync -e "inject=fdatasync:error=EIO${1:+:when=$1}"
    wait_until 20 grep attached "$BATS_TEST_TMPDIR/strace.log"
}
sync_has_failed() { (($(events spool_sync_failed) >= 1)); }

@test "fault 46: the disk fails when it is synced: an alarm, and nothing is lost" {
    start
    sync_fails
    still_serves
    wait_until 20 sync_has_failed
    counted_bad() { (($(metric webhook_forwarder_spool_bad_segments_total) >= 1)); }
    wait_until 20 counted_bad
    still_serves
    wait_logged 2
    process_stop "$BATS_TEST_TMPDIR/strace.pid"
    used() { (($(events spool_unusable) == $(events spool_usable))); }
    wait_until 20 used
    still_serves
    wait_logged 3
}

# answered_by_memory: a webhook whose segment fails while its function works, and there is no database
answered_by_memory() {
    local posting
    behave 'delay_ms=3000'
    gone
    post "$FIXTURES/text.json" 3>&- &
    posting=$!
    wait_until 20 sync_has_failed
    wait "$posting"
    equal "$(sed -n '1s/^HTTP.1.1 \([0-9]*\).*/\1/p' "$STACK/answer.headers")" 200
    behave 'delay_ms=0'
}

# ends_traced: this test's forwarder does
ends_traced() { skip_sanitized "leaks cannot be looked for at the end of a process that is traced"; }

# ends_with STATUS: a forwarder that was told to end
ends_with() {
    local ended=0
    wait "$(forwarder_pid)" || ended=$?
    equal "$ended" "$1" 'exit status'
}

@test "fault 46: the disk fails, and the database is away until the end: it is waited for, and the loss reported" {
    ends_traced
    start --drain-timeout 2s
    sync_fails
    answered_by_memory
    kill -TERM "$(forwarder_pid)"
    ms ends_with 75
    between "$TOOK_MS" 1900 15000 'ms until the end, of 20000 without a drain time of its own'
    equal "$(events log_rows_lost)" 1
}

@test "fault 46: the disk fails, and the database comes back while the forwarder ends: nothing is lost" {
    ends_traced
    start
    sync_fails
    answered_by_memory
    kill -TERM "$(forwarder_pid)"
    sleep 0.5
    back
    ends_with 0
    equal "$(events log_rows_lost)" 0
    equal "$(rows)" '1|success|200|f|'
}

@test "fault 46: the disk has failed once: what was in memory is written anew, and there after the next start" {
    ends_traced
    start
    sync_fails 1
    answered_by_memory
    kill -TERM "$(forwarder_pid)"
    ends_with 0
    equal "$(events log_rows_lost)" 0
    equal "$(segments)" 1
    back
    start
    wait_logged 1
    equal "$(rows)" '1|success|200|f|'
    still_serves
    wait_until 20 segments_are 0
}

# second TIMEOUT: another forwarder on the same spool, in the background
second() {
    : >"$BATS_TEST_TMPDIR/second.log"
    # shellcheck disable=SC2016  # for the inner shell
    process_start "$BATS_TEST_TMPDIR/second.pid" "$BATS_TEST_TMPDIR/second.log" bash -c '"$@"; echo "exit $?"' - \
        "$REPOSITORY/build/webhook-forwarder" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
        --database-url-file "$URL_FILE" --functions-url "$FUNCTIONS_URL" --spool-directory "$SPOOL" \
        --spool-lock-timeout "$1"
}

@test "fault 51: a second forwarder on the spool waits, and refuses" {
    start
    second 1s
    wait_until 20 grep '"event":"spool_locked"' "$BATS_TEST_TMPDIR/second.log"
    wait_until 20 grep '^exit 75$' "$BATS_TEST_TMPDIR/second.log"
    grep -F "process $(forwarder_pid)" "$BATS_TEST_TMPDIR/second.log"
    still_serves
}

@test "fault 51: the second one takes over when the first one leaves" {
    start
    second 30s
    wait_until 20 grep '"event":"spool_locked"' "$BATS_TEST_TMPDIR/second.log"
    forwarder_stop
    wait_until 30 grep '"event":"listening"' "$BATS_TEST_TMPDIR/second.log"
    kill -TERM "$(pgrep -P "$(cut -d ' ' -f 1 "$BATS_TEST_TMPDIR/second.pid")")"
    wait_until 30 grep '^exit 0$' "$BATS_TEST_TMPDIR/second.log"
}
