#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Kills under load: forwarder and PostgreSQL end by SIGKILL again and again, at any moment, while
# webhooks keep coming; then clients, functions and the log are compared id by id (reconcile.sql).
#
# PostgreSQL keeps its own settings for durability here, so it is a cluster of this file alone. With
# --long there are many more kills.

setup_file() {
    load helper
    export E2E_DIR=$BATS_FILE_TMPDIR/kill
    mkdir -p "$E2E_DIR"
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$E2E_DIR"
    cluster_open "$E2E_DIR/cluster"
    stage_install
    cluster_start
    stack_start faults_kill
    forwarder_stop
    process_stop "$STACK/functions.pid"
    functions_start --journal "$STACK/received"
    printf 'one secret of the app\n' >"$STACK/app-secret"
    export SECRET=$STACK/app-secret RECEIVED=$STACK/received
}

teardown_file() {
    load helper
    stack_stop
    cluster_open "$E2E_DIR/cluster"
    thawed
    cluster_destroy
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    sql "TRUNCATE webhook_routing_logs, webhook_routing_rollups, webhook_routing_pending"
    routing 50
    : >"$RECEIVED"
    spool_at "$BATS_TEST_TMPDIR/own/spool"
    FORWARDER_ARGUMENTS=() HEALTH=healthy
}

teardown() {
    load_stop
    thawed
    database_up
    own_forwarder_stop
    process_stop "$BATS_TEST_TMPDIR/filler.pid"
    if mountpoint -q "$BATS_TEST_TMPDIR/disk"; then
        umount "$BATS_TEST_TMPDIR/disk"
    fi
}

# often FEW MANY: MANY with --long
often() { if [[ ${LONG:-false} == true ]]; then echo "$2"; else echo "$1"; fi; }

# pause_random MS: at most so long
pause_random() {
    local ms=$((RANDOM % $1))
    sleep "$((ms / 1000)).$(printf '%03d' $((ms % 1000)))"
}

# ---- the load ----

# load_start [ARGUMENT]...: distinct webhooks without pause, until load_stop (helper.bash); what became of them is in
# answers
load_start() {
    process_start "$BATS_TEST_TMPDIR/load.pid" "$BATS_TEST_TMPDIR/load.json" "$LOAD" --url "$FORWARDER_URL/" \
        --requests 1000000 --first "$((BATS_TEST_NUMBER * 10000000))" --senders 2000 \
        --correlation "kill$BATS_TEST_NUMBER" --log "$BATS_TEST_TMPDIR/answers" "$@"
}

# troubles: functions that are slow enough to be in the middle of something, and of which one refuses one
# webhook in seven, so that the other one has its turn, and another one breaks off one in eleven
troubles() {
    behave 'delay_ms=15'
    behave 'name=wa-webhook-unified&delay_ms=15&status=500&every=7'
    behave 'name=wa-webhook-jobs&delay_ms=5&reset=1&every=11'
}

# ---- the forwarder ----

# start [ARGUMENT]...: the test's forwarder, whose arguments its successors have too
start() {
    FORWARDER_ARGUMENTS=("$@")
    own_stack
    forwarder_spawn "$@"
    wait_until 60 at_work
}

# at_work: it has all that the test leaves it
at_work() { { [[ -z $HEALTH ]] || health_is "$HEALTH"; } && ready_is 200; }

# kill_forwarder: ends at once, whatever it is doing; the next one takes its place at once
kill_forwarder() {
    kill -KILL "$(forwarder_pid)"
    wait_until 20 process_ended "$STACK/forwarder.pid"
    forwarder_spawn "${FORWARDER_ARGUMENTS[@]}"
}

# kill_forwarders TIMES: at random moments, now and then before it is really there
kill_forwarders() {
    local i
    for ((i = 0; i < $1; i++)); do
        pause_random 900
        kill_forwarder
        ((RANDOM % 3 == 0)) || wait_until 60 at_work
    done
}

# ---- PostgreSQL ----

database_pid() { head -n 1 "$CLUSTER_HOME/data/postmaster.pid"; }

# database_processes: the postmaster and its children
database_processes() {
    local pid
    pid=$(database_pid 2>/dev/null) || return 0
    [[ -n $pid ]] || return 0
    printf '%s\n' "$pid"
    pgrep -P "$pid" || true
}

# kill_database: all its processes at once, as when the kernel takes its memory
kill_database() {
    local pids
    mapfile -t pids < <(database_processes)
    kill -KILL "${pids[@]}" 2>/dev/null || true
    wait_until 30 database_gone "${pids[0]}"
}
# Reaped, too: PostgreSQL takes a process that is not for one that runs.
database_gone() { [[ ! -e /proc/$1 ]]; }

# database_ctl ACTION [MODE]
database_ctl() {
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -w -t 60 -m "${2:-fast}" \
        -l "$CLUSTER_HOME/postgresql.log" "$1" >/dev/null 2>&1 3>&- 4>&-
}

# database_up: it is there, after recovery when it has to
database_up() { wait_until 60 database_started; }
database_started() { sql "SELECT 1" || database_ctl start; }

# kill_databases TIMES
kill_databases() {
    local i
    for ((i = 0; i < $1; i++)); do
        pause_random 1500
        kill_database
        pause_random 700
        database_up
        ((RANDOM % 3 == 0)) || wait_until 60 at_work
    done
}

# frozen, thawed: no process of it does anything any more, and goes on
frozen() {
    local pids
    kill -STOP "$(database_pid)"
    mapfile -t pids < <(database_processes)
    kill -STOP "${pids[@]}"
}
thawed() {
    local pids
    mapfile -t pids < <(database_processes)
    kill -CONT "${pids[@]}" 2>/dev/null || true
}

# ---- the end ----

spool_at() { SPOOL=$1; }
spool_is_empty() { [[ -z $(find "$SPOOL" -name '*.spool') ]]; }
nothing_is_pending() { [[ $(sql "SELECT count(*) FROM webhook_routing_pending") == 0 ]]; }

# reconciled [OUTCOMES]: all has come to rest, and three memories agree; see reconcile.sql
reconciled() {
    local findings
    load_stop
    wait_until 60 at_work
    wait_until 120 spool_is_empty || {
        find "$SPOOL" -ls
        tail -n 20 "$STACK/forwarder.log"
        return 1
    }
    wait_until 30 nothing_is_pending
    cp "$RECEIVED" "$BATS_TEST_TMPDIR/received"
    findings=$(cd "$BATS_TEST_TMPDIR" && psql -Xq -v "outcomes=${1:-true}" -f "$REPOSITORY/test/faults/reconcile.sql")
    printf '# %s: %s\n' "$BATS_TEST_DESCRIPTION" "$(<"$BATS_TEST_TMPDIR/figures")" >&3
    equal "$findings" '' 'deviations'
    equal "$(find "$SPOOL/set-aside" -type f 2>/dev/null)" '' 'set aside'
    equal "$(events log_row_refused) $(events log_rows_lost) $(events log_rows_abandoned)" '0 0 0' 'rows that were given up'
}

# nobody_noticed: every answer was 200
nobody_noticed() {
    equal "$(cut -f 4 "$BATS_TEST_TMPDIR/answers" | sort | uniq -c | tr -s ' ')" \
        " $(wc -l <"$BATS_TEST_TMPDIR/answers") 200" 'answers'
}

# same_side: every sender went where the bucket says, whoever decided; for loads of jobs alone
same_side() {
    cut -f 5,7 "$BATS_TEST_TMPDIR/answers" | sort -u >"$BATS_TEST_TMPDIR/sides"
    sql "CREATE TABLE IF NOT EXISTS sides (target text, sender text); TRUNCATE sides"
    psql -Xq -c '\copy sides FROM STDIN' <"$BATS_TEST_TMPDIR/sides"
    equal "$(sql "SELECT count(*) FROM sides WHERE target <> CASE WHEN routing_bucket(sender) < 5000
                  THEN 'wa-webhook-unified' ELSE 'wa-webhook-jobs' END")" 0 'senders on the other side'
}

@test "faults 37 and 38: the forwarder is killed again and again under load: every decision is in the log once" {
    troubles
    start --workers 2 --app-secret-file "$SECRET"
    load_start --concurrency 32 --rate 400 --batch 5 --secret-file "$SECRET"
    kill_forwarders "$(often 8 100)"
    reconciled
}

@test "faults 37 and 38: the same with --spool-sync wait, and batches that are not split" {
    troubles
    start --spool-sync wait
    load_start --concurrency 24 --rate 300 --batch 4
    kill_forwarders "$(often 4 40)"
    reconciled
}

@test "fault 2: PostgreSQL is killed again and again under load: no client notices, nobody changes side" {
    behave 'delay_ms=5'
    start
    load_start --concurrency 32 --rate 300 --domain jobs
    kill_databases "$(often 3 30)"
    reconciled
    nobody_noticed
    same_side
}

@test "faults 2 and 37: both are killed at random under load: every decision is in the log once" {
    local i j
    troubles
    start --workers 2 --log-queue 200 --log-batch 50 --app-secret-file "$SECRET"
    load_start --concurrency 32 --rate 300 --batch 5 --secret-file "$SECRET"
    for ((i = 0; i < $(often 3 20); i++)); do
        kill_forwarders 1
        pause_random 300
        kill_database
        for ((j = 0; j < RANDOM % 3; j++)); do
            pause_random 900
            kill_forwarder
        done
        database_up
        wait_until 60 at_work
    done
    reconciled
}

@test "fault 4: PostgreSQL is restarted again and again under load: no client notices, nobody changes side" {
    local i modes=(fast immediate)
    behave 'delay_ms=5'
    start
    load_start --concurrency 32 --rate 300 --domain jobs
    for ((i = 0; i < $(often 3 20); i++)); do
        pause_random 1500
        database_ctl restart "${modes[i % 2]}"
    done
    reconciled
    nobody_noticed
    same_side
}

# outage SECONDS: under load; memory is bounded, and only the first webhooks wait for the database
outage() {
    local before most=0 now until=$((SECONDS + $1))
    before=$(memory_kb)
    while ((SECONDS < until)); do
        now=$(memory_kb)
        ((now <= most)) || most=$now
        sleep 0.5
    done
    printf '# memory: %d KB before, %d KB at most\n' "$before" "$most" >&3
    # --log-queue rows at a kilobyte, and what a process has anyway. A sanitizer keeps what is freed.
    is_sanitized || between "$most" 0 "$((before + 100000))" 'KB of memory'
}

@test "fault 2: PostgreSQL is stopped for long under load: no client notices, nobody changes side" {
    behave 'delay_ms=5'
    start --log-queue 2000
    load_start --concurrency 32 --rate 300 --domain jobs
    sleep 2
    database_ctl stop
    outage "$(often 15 300)"
    database_up
    reconciled
    nobody_noticed
    same_side
}

@test "fault 3: PostgreSQL is frozen for long under load: only the first webhooks wait for it" {
    local rate=300 waited
    behave 'delay_ms=5'
    start --log-queue 2000
    load_start --concurrency 64 --rate "$rate" --domain jobs
    sleep 3
    frozen
    outage "$(often 15 300)"
    load_stop
    # The deadline is 100 ms, so a tenth of a second's webhooks; a machine that stands still may add some.
    waited=$(waited_for_database)
    printf '# waited: %d\n' "$waited" >&3
    between "$waited" 1 "$rate" 'webhooks that waited'
    thawed
    reconciled
    nobody_noticed
    same_side
}

# a_minute_passes: nothing is settled before a minute has passed; here it has, by the clock of the rows, once what
# is known is stored
a_minute_passes() {
    settled
    sql "UPDATE webhook_routing_pending SET stored_at = stored_at - interval '2 minutes'" \
        "SELECT * FROM routing_maintain()" >/dev/null
}

# kill_without_spool TIMES ARGUMENT...: of a forwarder whose spool is unusable
kill_without_spool() {
    local times=$1
    shift
    troubles
    HEALTH=degraded
    start "$@"
    load_start --concurrency 32 --rate 300 --batch 5
    kill_forwarders "$times"
    load_stop
    wait_until 60 at_work
    (($(events spool_unusable) >= 1))
    (($(sql "SELECT count(*) FROM webhook_routing_pending") > 0))
}

@test "fault 44: killed again and again without a spool: pending decisions are settled, each in the log once" {
    : >"$BATS_TEST_TMPDIR/file"
    kill_without_spool "$(often 4 30)" --spool-directory "$BATS_TEST_TMPDIR/file/spool"
    a_minute_passes
    reconciled false
}

# bats test_tags=long
@test "fault 44: the same, and the next forwarder settles what is pending" {
    : >"$BATS_TEST_TMPDIR/file"
    kill_without_spool 10 --spool-directory "$BATS_TEST_TMPDIR/file/spool"
    wait_until 120 nothing_is_pending
    reconciled false
}

# disk_fills, disk_is_freed: whatever is freed in between is taken as well
disk_fills() {
    # shellcheck disable=SC2016  # for the inner shell
    process_start "$BATS_TEST_TMPDIR/filler.pid" /dev/null bash -c \
        'while :; do dd if=/dev/zero bs=64k oflag=append conv=notrunc of="$1"; sleep 0.1; done' - "$BATS_TEST_TMPDIR/disk/full"
}
disk_is_freed() {
    process_stop "$BATS_TEST_TMPDIR/filler.pid"
    rm -f "$BATS_TEST_TMPDIR/disk/full"
}

@test "fault 44: the spool's disk is full and free again under load, and the forwarder killed meanwhile" {
    local i
    ((EUID == 0)) || skip 'only root can mount a small disk'
    mkdir "$BATS_TEST_TMPDIR/disk"
    mount -t tmpfs -o size=20m tmpfs "$BATS_TEST_TMPDIR/disk" || skip 'no disk can be mounted here'
    spool_at "$BATS_TEST_TMPDIR/disk/spool"
    troubles
    start --spool-directory "$SPOOL"
    HEALTH=''
    load_start --concurrency 32 --rate 300 --batch 5
    for ((i = 0; i < $(often 2 15); i++)); do
        disk_fills
        kill_forwarders 2
        disk_is_freed
        kill_forwarders 1
    done
    (($(events spool_unusable) >= 1))
    load_stop
    a_minute_passes
    HEALTH=healthy
    reconciled false
}

# stored_since MOMENT: whether no row waits that was decided before it, in microseconds, or in the second behind it,
# in which the last of these were answered
stored_since() {
    local oldest told
    oldest=$(metric webhook_forwarder_log_oldest_waiting_seconds) told=$(metric webhook_forwarder_turn_age_seconds)
    awk -v waits="$oldest" -v told="$told" -v ago=$((${EPOCHREALTIME/[.,]/} - $1)) \
        'BEGIN { exit !((waits + told + 1) * 1000000 < ago) }'
}

@test "fault 44: the spool's directory is removed under load, and the forwarder killed" {
    local i
    troubles
    start
    load_start --concurrency 32 --rate 300 --batch 5
    for ((i = 0; i < $(often 3 20); i++)); do
        pause_random 700
        rm -rf "$SPOOL"
        # What was in it is lost; the database has it soon.
        wait_until 30 stored_since "${EPOCHREALTIME/[.,]/}"
        pause_random 700
        kill_forwarder
        wait_until 60 at_work
    done
    load_stop
    a_minute_passes
    reconciled false
}
