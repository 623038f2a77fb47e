# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# The week: what happens when. The faults come when the rollout has got so far; the operator does not know
# of them. Sourced after operator.sh.
#
# $EVIDENCE/faults.tsv has a line for each: name, then in real seconds when it began, was found, by whom,
# when nothing was sent to unified any more by somebody's deed, when it was over; empty where it is not so.

# What is still to come, in this order.
PENDING_FAULTS=(errors latency backend database forwarder kill)
FAULT='' FAULT_BEGAN='' FAULT_FOUND='' FAULT_BY='' FAULT_AWAY=''
PACE_ATTENDED_MS=800 # real time of a quarter of an hour in which somebody looks
PACE_ALONE_MS=100    # and in which nobody does
STEP_SINCE_MS=0 STEP_SEEN='' LOST_BEFORE=0

# pace SPEED: with one digit behind the point; fails outside 0.2 to 4
pace() {
    local tenths=${1/./}
    [[ $1 =~ ^[0-9](\.[0-9])?$ ]] || return 1
    [[ $1 == *.* ]] || tenths=${1}0
    ((10#$tenths >= 2 && 10#$tenths <= 40)) || return 1
    PACE_ATTENDED_MS=$((PACE_ATTENDED_MS * 10 / 10#$tenths))
    PACE_ALONE_MS=$((PACE_ALONE_MS * 10 / 10#$tenths))
}

real_seconds() {
    real_now
    printf '%d.%03d' $((REAL_MS / 1000)) $((REAL_MS % 1000))
}

# fault_begin NAME WHAT, fault_found BY, fault_away, fault_over
fault_begin() {
    FAULT=$1 FAULT_BEGAN=$(real_seconds) FAULT_FOUND='' FAULT_BY='' FAULT_AWAY=''
    PENDING_FAULTS=("${PENDING_FAULTS[@]:1}")
    LOST_BEFORE=$(connections_lost)
    tell fault "$2"
}
fault_found() {
    if [[ -n $FAULT && -z $FAULT_FOUND ]]; then
        FAULT_FOUND=$(real_seconds) FAULT_BY=$1
    fi
}
fault_away() {
    if [[ -n $FAULT && -z $FAULT_AWAY ]]; then
        FAULT_AWAY=$(real_seconds)
    fi
}
fault_over() {
    [[ -n $FAULT ]] || return 0
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$FAULT" "$FAULT_BEGAN" "$FAULT_FOUND" "$FAULT_BY" "$FAULT_AWAY" \
        "$(real_seconds)" >>"$EVIDENCE/faults.tsv"
    FAULT=''
}

# owner_works: mends the function when his time is over
owner_works() {
    if $OWNER_AT_IT && ((STORY_MS >= MEND_AT_MS)); then
        behave 'name=wa-webhook-unified&delay_ms=15'
        tell owner 'has found and mended it'
        OWNER_AT_IT=false
    fi
}

# ---- the faults ----

guard_has_acted() { [[ $(as_superuser -c "SELECT enabled FROM get_current_routing_config()") == f ]]; }

# In real time, since the forwarder asks the guard every 15 seconds of it.
fault_errors() {
    fault_begin errors 'the new function answers one webhook in four with 500'
    behave 'name=wa-webhook-unified&delay_ms=15&status=500&every=4'
    wait_until 60 guard_has_acted || die "the guard has not reacted within a minute to a function of which a quarter fails"
    fault_found guard
    fault_away
    clock_now
    tell guard "$(as_superuser -c "SELECT notes FROM get_current_routing_config()")"
}

# Enough time for slow answers to come; then the look that was due, and another one five minutes later.
fault_latency() {
    local looks=0
    fault_begin latency 'the new function needs 3.6 seconds for every answer'
    behave 'name=wa-webhook-unified&delay_ms=3600'
    pass 15 7000
    operator_looks
    while [[ $INCIDENT == taken-back || -z $INCIDENT ]]; do
        pass 5 6000
        operator_looks
        looks=$((looks + 1))
        ((looks < 9)) || die 'the operator has not found the slow function within an hour'
    done
}

fault_backend() {
    fault_begin backend 'one process of PostgreSQL is killed: all of its connections end, it recovers'
    kill -KILL "$(as_superuser -c "SELECT pid FROM pg_stat_activity WHERE usename = '$FORWARDER_ROLE' LIMIT 1")"
    outage_noticed
    wait_until 60 database_answers || die 'PostgreSQL has not recovered'
    wait_until 60 forwarder_healthy || die 'the forwarder has not come back to the database'
    tell forwarder 'has its connections to the database again'
    fault_over
}

fault_database() {
    fault_begin database 'the database server is gone, in the busiest hour'
    database_crash
    outage_noticed
    wait_until 10 outage || die 'the forwarder does not say that it is in outage mode'
    tell forwarder "says $(forwarder_health), goes on by the last rules; /readyz $(curl -s -o /dev/null -w '%{http_code}' "$ADMIN_URL/readyz")"
    pass 20 4000
    database_start
    wait_until 60 forwarder_healthy || die 'the forwarder has not come back to the database'
    tell operator 'has started the database again; what was decided meanwhile is stored from the spool'
    fault_over
}

outage() { [[ $(forwarder_health) == degraded ]]; }

# connections_lost: how often the forwarder has said that a connection to the database broke
connections_lost() { grep -c '"event":"database_lost"' "$CLUSTER_DIR/forwarder.log" || true; }
more_are_lost() { (($(connections_lost) > LOST_BEFORE)); }

# outage_noticed: waits until it says so once more than at the beginning of the fault
outage_noticed() {
    wait_until 10 more_are_lost || die 'the forwarder has not noticed that the database is gone'
    fault_found forwarder
}

fault_forwarder() {
    fault_begin forwarder 'the forwarder is restarted under load, as for a new version'
    process_stop "$CLUSTER_DIR/forwarder.pid" 30
    forwarder_start
    fault_found planned
    tell operator 'the new forwarder serves; what was refused meanwhile comes again'
    fault_over
}

fault_kill() {
    local pid
    fault_begin kill 'the forwarder is killed in the middle of its work'
    read -r pid _ <"$CLUSTER_DIR/forwarder.pid"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    wait_until 5 process_ended "$CLUSTER_DIR/forwarder.pid" || die 'the forwarder cannot be killed'
    faketime_forget "$pid"
    fault_found 'service manager'
    forwarder_start
    tell operator 'the service manager has started it again; its spool says what was under way'
    fault_over
}

# since_step MINUTES: whether the step has lasted so long
since_step() { ((STORY_MS - STEP_SINCE_MS >= $1 * MINUTE_MS)); }

# fate: whether the next fault begins now
fate() {
    local day hour
    day=$(story_day) hour=$(story_hour)
    [[ -z $FAULT && -z $INCIDENT ]] || return 0
    case ${PENDING_FAULTS[0]:-} in
        errors) [[ $PERCENTAGE != 35 ]] || ! since_step 120 || fault_errors ;;
        latency) [[ $PERCENTAGE != 35 ]] || ! since_step 90 || fault_latency ;;
        backend) [[ $PERCENTAGE != 50 ]] || ((hour != 18)) || fault_backend ;;
        database) [[ $PERCENTAGE != 50 ]] || ((hour != 19)) || fault_database ;;
        forwarder) [[ $PERCENTAGE != 75 ]] || ((hour != 12)) || fault_forwarder ;;
        kill) [[ $PERCENTAGE != 75 || $day == 8 ]] || ((hour != 12)) || fault_kill ;;
    esac
}

# ---- time passes ----

# pass MINUTES REAL_MS: so much of the story in so much time
pass() {
    clock_now
    clock_run_to $((STORY_MS + $1 * MINUTE_MS)) "$2"
    traffic_pace
    owner_works
}

attended() {
    local day hour
    day=$(story_day) hour=$(story_hour)
    [[ -n $INCIDENT ]] || { ((day % 7 >= 1 && day % 7 <= 5 && hour >= 8 && hour < 17)) &&
        [[ $day == [1345] || $hour -lt 11 ]]; }
}

# play_to DAY HH:MM: a quarter of an hour after the other
play_to() {
    local until
    story_at "$1" "$2"
    until=$AT_MS
    clock_now
    while ((STORY_MS < until)); do
        if attended; then
            clock_run_to $(((STORY_MS / (15 * MINUTE_MS) + 1) * 15 * MINUTE_MS)) "$PACE_ATTENDED_MS"
            traffic_pace
            owner_works
            fate
            operator_looks
            step_noted
        else
            clock_run_to $(((STORY_MS / (60 * MINUTE_MS) + 1) * 60 * MINUTE_MS)) $((4 * PACE_ALONE_MS))
            traffic_pace
            at_midnight
            glance
            fate
        fi
        clock_now
    done
}

# step_noted: since when the percentage is what the last look has shown
step_noted() {
    if [[ $ENABLED$PERCENTAGE != "$STEP_SEEN" ]]; then
        clock_now
        STEP_SEEN=$ENABLED$PERCENTAGE STEP_SINCE_MS=$STORY_MS
    fi
}

# glance: nobody looks; but the guard sends for whoever is on call
glance() {
    local seen
    seen=$(as_superuser -c "SELECT enabled, percentage::float8 FROM get_current_routing_config()")
    IFS='|' read -r ENABLED PERCENTAGE <<<"$seen"
    step_noted
    [[ $ENABLED != f || -n $INCIDENT ]] || ((${PERCENTAGE%.*} == 0)) || operator_looks
}

# at_midnight: what the forwarder does every hour of real time
at_midnight() {
    if (($(story_hour) == 0)); then
        as_superuser -o /dev/null -c 'SELECT routing_maintain()'
    fi
}

# ---- the days ----

set_up() {
    tell operator 'installs everything; all traffic goes through the forwarder, all of it to legacy'
    do_sql "SELECT set_routing_enabled(true, 'rollout begins, at 0 %')"
    do_sql "SELECT update_routing_settings('{\"automatic_rollback\": true}', 'nobody is awake at night')"
    tell operator 'enables routing at 0 %, and lets the guard take everything back by itself'
    examples_send
    tell meta "sends one webhook of every kind: $(wc -l <"$EVIDENCE/examples")"
    forgeries_send
    tell meta 'somebody else sends forged ones'
}

# impatient: somebody wants the next step at once
impatient() {
    if say_sql "SELECT rollout_advance('sales would like to see more')"; then
        die 'a step was advanced before its soak was over'
    fi
    [[ $ANSWER == *WR104* ]] || die "an early advance was refused with something else than WR104: $ANSWER"
    tell operator "is asked for the next step at once, and the database refuses: $ANSWER"
}

# retirement: the statement that retires wa-webhook-jobs, when cutover_readiness() has one
retirement() {
    as_operator -c "SELECT statement FROM cutover_readiness() WHERE target = 'wa-webhook-jobs' AND ready"
}

# retire: the first legacy function that nobody needs any more, by the statement that the database gives
retire() {
    local statement
    statement=$(retirement)
    if [[ -z $statement ]]; then
        die "wa-webhook-jobs is not ready to be retired: $(as_operator -c "SELECT missing FROM cutover_readiness() WHERE target = 'wa-webhook-jobs'")"
    fi
    do_sql "$statement"
    tell operator "wa-webhook-jobs is ready, and retired: $statement"
    real_seconds >"$EVIDENCE/retired"
    behave 'name=wa-webhook-jobs&status=404'
}

# kill_switch_afterwards: what it still can do
kill_switch_afterwards() {
    do_sql "SELECT set_routing_enabled(false, 'drill: what does the switch still do?')"
    [[ $ANSWER == *WARNING*wa-webhook-unified* || $ANSWER == *WARNING*jobs* ]] ||
        die "the kill switch does not warn of the retired function: $ANSWER"
    tell operator "tries the kill switch: $ANSWER"
    pass 15 3000
    do_sql "SELECT set_routing_enabled(true, 'end of the drill')"
    tell operator 'enables routing again'
    INCIDENT=''
}

the_week() {
    clock_jump 1 09:00
    traffic_start
    tell meta "begins to send, up to $PEAK webhooks a second in the busiest hour"
    set_up
    play_to 3 09:30
    impatient
    play_to 12 09:00
    # A step that had to begin anew has cost its days.
    while [[ -z $(retirement) ]] && (($(story_day) < 20)); do
        play_to $(($(story_day) + 1)) 09:00
    done
    ((${#PENDING_FAULTS[@]} == 0)) || die "these faults have not happened: ${PENDING_FAULTS[*]}"
    retire
    pass 15 2000
    kill_switch_afterwards
    pass 60 2000
    tell meta 'the rehearsal ends'
}
