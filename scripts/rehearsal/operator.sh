# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# The operator, who follows docs/rollout.md and knows nothing but what the database tells: looks every 15
# minutes, takes back what is critical, holds what is not explained, and goes on when every gate is open. No
# step is forced. The owner of the new function mends it when called, and needs his time.
# Sourced after parts.sh.
#
# Everybody's deeds are in $EVIDENCE/diary.tsv: real seconds, story seconds, who, what.

# What the last look has shown.
ENABLED='' PERCENTAGE='' NEXT='' SEVERITY='' ISSUES='' CLOSED='' WHY=''
# What the operator is in the middle of: nothing (empty), `stopped` (off, the owner is at it), `taken-back`
# (a step back; is it better?).
INCIDENT='' MEND_AT_MS=0 OWNER_AT_IT=false

# tell WHO WHAT: into the diary, and to whoever watches
tell() {
    local color=$DIM
    case $1 in
        fault) color=$RED ;;
        operator) color=$BOLD ;;
        guard) color=$GREEN ;;
    esac
    clock_now
    printf '%d.%03d\t%d.%03d\t%s\t%s\n' $((REAL_MS / 1000)) $((REAL_MS % 1000)) \
        $((STORY_MS / 1000)) $((STORY_MS % 1000)) "$1" "${2//$'\t'/ }" >>"$EVIDENCE/diary.tsv"
    # What the database answers can be long; the report has all of it.
    ((${#2} <= 150)) || set -- "$1" "${2:0:147}..."
    printf '  %s  %s%-9s%s %s\n' "$(story_time)" "$color" "$1" "$RESET" "$2"
}

# say_sql STATEMENT: as the operator types it; its NOTICEs and errors are what he reads. Sets ANSWER and
# fails when the statement is refused.
say_sql() {
    local status=0
    ANSWER=$(as_operator -o /dev/null -v VERBOSITY=verbose -c "$1" 2>&1) || status=$?
    ANSWER=$(sed -E 's/^(NOTICE|ERROR|WARNING):  ([0-9A-Z]{5}): /\1 \2: /; /^(LOCATION|CONTEXT): /d; s/^(DETAIL|HINT):  /\1: /' <<<"$ANSWER" | paste -sd ' ')
    printf '%s\n    %s\n' "$1" "$ANSWER" >>"$EVIDENCE/commands.sql"
    return "$status"
}

# do_sql STATEMENT: what has to succeed here
do_sql() { say_sql "$1" || die "was refused: $1: $ANSWER"; }

# look: the four questions of the guide, as far as the database answers them
look() {
    local line
    line=$(as_operator -F $'\x1f' <<'EOT'
WITH status AS MATERIALIZED (
    SELECT replace(item, E'\n', ' ') AS item, replace(state, E'\n', ' ') AS state, ok FROM rollout_status()
), health AS MATERIALIZED (
    SELECT h.* FROM check_routing_health() AS h, get_current_routing_config() AS c
     WHERE h.routed_to = 'unified' AND h.domain = ANY (c.domains)
)
SELECT c.enabled, c.percentage::float8,
       (SELECT rtrim(state, ' %') FROM status WHERE item = 'next step'),
       (SELECT w FROM unnest(ARRAY['critical', 'warning', 'environmental', 'healthy', 'insufficient_data']) AS w
         WHERE w IN (SELECT severity FROM health) LIMIT 1),
       (SELECT replace(string_agg(domain || ': ' || issue, '; ' ORDER BY domain), E'\n', ' ') FROM health
         WHERE severity IN ('critical', 'warning', 'environmental')),
       (SELECT string_agg(item || ' (' || state || ')', ', ') FROM status WHERE NOT ok AND item <> 'next'),
       replace(coalesce(c.notes, ''), E'\n', ' ')
  FROM get_current_routing_config() AS c;
EOT
    )
    IFS=$'\x1f' read -r ENABLED PERCENTAGE NEXT SEVERITY ISSUES CLOSED WHY <<<"$line"
}

# evaluated: how the requests of this step came out, in one line
evaluated() {
    as_operator -c "SELECT format('%s requests on unified in this step, %s failed; the slowest domain has a P95 of %s ms, on legacy %s ms',
        sum(requests) FILTER (WHERE routed_to = 'unified'), sum(errors) FILTER (WHERE routed_to = 'unified'),
        round(max(p95_latency) FILTER (WHERE routed_to = 'unified')),
        coalesce(round(max(p95_latency) FILTER (WHERE routed_to = 'legacy'))::text, '-'))
        FROM check_routing_health(clock_timestamp() - webhook_routing_step_began()), get_current_routing_config() AS c
        WHERE domain = ANY (c.domains)"
}

# split_is_sound: whether the sample ratio raises no alarm
split_is_sound() {
    local alarm
    alarm=$(as_operator -c "SELECT string_agg(finding || ' ' || coalesce(domain, '') || ': ' || detail, '; ')
        FROM check_sample_ratio('1 hour') WHERE severity = 'critical'")
    [[ -z $alarm ]] || {
        tell operator "holds: the split is not what it claims to be: $alarm"
        do_sql "SELECT rollout_evaluate('hold', 'sample ratio')"
        return 1
    }
}

# call_owner MINUTES: of the new function; it is mended so much later
call_owner() {
    tell operator "calls the owner of the new function: $1"
    OWNER_AT_IT=true
    clock_now
    # shellcheck disable=SC2034  # week.sh lets the time pass
    MEND_AT_MS=$((STORY_MS + $2 * MINUTE_MS))
}

# What fails, for the owner: the newest groups of errors on unified.
errors_seen() {
    as_operator -c "SELECT string_agg(format('%s x %s %s', errors, http, message), '; ')
        FROM (SELECT sum(errors) AS errors, http, message FROM webhook_routing_errors WHERE side = 'unified'
              GROUP BY http, message ORDER BY 1 DESC LIMIT 2) AS e"
}

# take_back: one step; everything when a step was not enough
take_back() {
    fault_found operator
    if [[ $INCIDENT == taken-back ]]; then
        do_sql "SELECT set_routing_enabled(false, 'still critical after a step back')"
        fault_away
        tell operator "one step back was not enough ($ISSUES): switches routing off"
        INCIDENT=stopped
        call_owner "$ISSUES" 55
        return
    fi
    do_sql "SELECT rollout_evaluate('rollback', 'critical')"
    do_sql "SELECT rollout_back('critical: see the evaluation')"
    tell operator "health is critical ($ISSUES): goes one step back from $PERCENTAGE %"
    INCIDENT=taken-back
}

# go_on: from a stop, once the owner has mended
go_on() {
    fault_over
    do_sql "SELECT set_routing_enabled(true, 'the owner has mended it, tested with the failing messages')"
    tell operator "enables routing again at $PERCENTAGE %: the step begins anew"
    INCIDENT=''
}

# may_raise: whether the plan of the week lets this step begin now: $NEXT, from its day on, in working hours
may_raise() {
    local day hour
    day=$(story_day) hour=$(story_hour)
    ((day % 7 >= 1 && day % 7 <= 5 && hour >= 8 && hour < 16)) || return 1
    case ${NEXT%.*} in
        10 | 25) ((day >= 3)) ;;
        35) ((day >= 4)) ;;
        50) ((day >= 5)) ;;
        75) ((day >= 8)) ;;
        100) ((day >= 10)) ;;
        *) return 1 ;;
    esac
}

# advance: when nothing but a judgement is missing, judges, and goes on
advance() {
    local seen
    may_raise || return 0
    if ((${PERCENTAGE%.*} > 0)); then
        [[ -z $CLOSED || $CLOSED == 'evaluation (none)' || $CLOSED == 'evaluation (hold)' ]] || return 0
        [[ $SEVERITY == healthy ]] || return 0
        split_is_sound || return 0
        seen=$(evaluated)
        do_sql "SELECT rollout_evaluate('proceed', '$seen')"
        tell operator "judges $PERCENTAGE %: proceed; $seen"
    fi
    if say_sql "SELECT rollout_advance('the soak is over, everybody agrees')"; then
        tell operator "advances from $PERCENTAGE % to ${NEXT%.*} %"
    else
        tell operator "is refused: $ANSWER"
    fi
}

# operator_looks: once; what follows from what is seen
operator_looks() {
    look
    if [[ $ENABLED == f && $INCIDENT != stopped ]] && ((${PERCENTAGE%.*} > 0)); then
        tell operator "finds routing off: $WHY"
        INCIDENT=stopped
        call_owner "$(errors_seen)" 25
    elif [[ $INCIDENT == stopped ]]; then
        $OWNER_AT_IT || go_on
    elif [[ $SEVERITY == critical ]]; then
        take_back
    elif [[ $SEVERITY == warning || $SEVERITY == environmental ]]; then
        tell operator "holds: $ISSUES"
    else
        [[ $INCIDENT != taken-back ]] || INCIDENT=''
        advance
    fi
}
