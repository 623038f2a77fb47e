#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Configuration, statistics, health, gates and forwarder in one screen; see usage() below. The states are
# in state_of() and in lib/status.sql.
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/operate.sh
. "$REPOSITORY/scripts/lib/operate.sh"

readonly WIDTH=80
# What a Nagios plugin ends with.
readonly NAGIOS_OK=0 NAGIOS_WARNING=1 NAGIOS_CRITICAL=2 NAGIOS_UNKNOWN=3
FORMAT=screen WATCH='' ASK_FORWARDER=true

usage() {
    cat <<EOT
Usage: DATABASE_URL=... ./scripts/quick-status.sh [--watch [SECONDS]] [--no-forwarder]
       DATABASE_URL=... ./scripts/quick-status.sh --json | --nagios [--no-forwarder]

What is in force, the last hour, the health, the gates and the forwarder, in one screen of $WIDTH columns.
A role of the kind "viewer" may ask all of it. Changes nothing.

  --watch [SECONDS]  again and again, every 5 seconds; ended by Ctrl-C
  --json             one JSON object
  --nagios           one line with performance data; exit status 0 OK, 1 warning, 2 critical, 3 unknown
  --no-forwarder     do not ask the forwarder
  --dry-run          show what would be asked of whom, and ask nothing
  --help             this text

The forwarder is asked at ADMIN_URL (http://127.0.0.1:9180) and FORWARDER_URL (http://127.0.0.1:8080).

  disabled    every webhook goes to its legacy function     climbing, complete   routing is on
  warning     hold until it is explained                    critical             go back
  outage      the database or the forwarder does not answer, or the forwarder takes no webhooks

Without --nagios the exit status is 0, and 69 in an outage.
EOT
}

while (($#)); do
    case $1 in
        --watch)
            WATCH=5
            if [[ ${2:-} =~ ^[0-9]+([.][0-9]+)?$ ]]; then
                WATCH=$2
                shift
            fi
            ;;
        --json) FORMAT=json ;;
        --nagios)
            FORMAT=nagios
            # Whatever goes wrong is said where Nagios reads, in one line.
            die() {
                printf 'ROUTING UNKNOWN: %s\n' "${1%%$'\n'*}"
                exit "$NAGIOS_UNKNOWN"
            }
            ;;
        --no-forwarder) ASK_FORWARDER=false ;;
        *) common_option "$1" ;;
    esac
    shift
done
[[ -z $WATCH || $FORMAT == screen ]] || usage_error "--watch is for the screen"
ADMIN_URL=${ADMIN_URL:-http://127.0.0.1:9180}
FORWARDER_URL=${FORWARDER_URL:-http://127.0.0.1:8080}

# ---- asking ----

# ask_database FILE...: sets database_answers and, from these files, database_said
database_answers=false database_said=''
ask_database() {
    local file problem
    database_answers=false
    if database_said=$(for file in status.sql "$@"; do
        cat "$REPOSITORY/scripts/lib/$file"
    done | sql 2>"$scratch/problem"); then
        database_answers=true
        return
    fi
    if ! database_reached; then
        ! login_refused || die "the database refuses the login, which is no outage: $DATABASE_PROBLEM" "$EX_NOPERM"
        database_said=$DATABASE_PROBLEM
        return
    fi
    need_extension
    problem=$(sed -n '/ERROR: /{s/^.*ERROR: *//p;q}' "$scratch/problem")
    [[ $problem != 'permission denied'* ]] ||
        die "the database refuses: $problem; as a superuser: $(rights_hint viewer)" "$EX_NOPERM"
    [[ $problem == *'statement timeout'* ]] || die "the database refuses: $problem" "$EX_NOPERM"
    database_said='no answer within 5 s'
}

# fetch URL: sets http_status (000 when nothing answers) and body
http_status='' body=''
fetch() {
    body=$(curl -s -m 3 -w '\n%{http_code}' "$1") || true
    http_status=${body##*$'\n'}
    body=${body%"$http_status"}
    body=${body%$'\n'}
}

# measure SERIES DEFAULT: its value in $metrics, as a whole number
metrics=''
measure() {
    awk -v series="$1" -v value="$2" '$1 == series { value = sprintf("%.0f", $2) } END { print value }' <<<"$metrics"
}

# notes_of_forwarder: what of its own figures (/metrics) somebody has to know, joined by "; "
notes_of_forwarder() {
    local waiting oldest notes=()
    (($(measure webhook_forwarder_deciding_locally 0) == 0)) || notes+=('it decides by the last rules')
    (($(measure webhook_forwarder_spool_usable 1) == 1)) || notes+=('it cannot write to its spool')
    waiting=$(awk '/^webhook_forwarder_log_rows_waiting/ { sum += $2 } END { print sum + 0 }' <<<"$metrics")
    oldest=$(measure webhook_forwarder_log_oldest_waiting_seconds 0)
    # Younger ones are on their way.
    ((oldest < 5)) || notes+=("log rows waiting: $waiting, the oldest for $oldest s")
    mapfile -t -O "${#notes[@]}" notes < <(awk -F '"' '/^webhook_forwarder_breakers\{.*state="open"\}/ && !/ 0$/ {
        print "the breaker of " $2 " is open" }' <<<"$metrics")
    (($(measure webhook_forwarder_spool_set_aside_bytes 0) == 0)) || notes+=('rows are in set-aside/')
    (
        IFS=';'
        printf '%s' "${notes[*]}"
    ) | sed 's/;/; /g'
}

# ask_forwarder: sets forwarder_state (ready, degraded, not ready, unreachable, not asked), forwarder_said and
# forwarder_rules, which are percentage|enabled|domains as GET / gives them
forwarder_state='not asked' forwarder_said='' forwarder_rules=''
ask_forwarder() {
    forwarder_said='' forwarder_rules=''
    $ASK_FORWARDER || return 0
    fetch "$ADMIN_URL/readyz"
    case $http_status in
        200) forwarder_state=ready ;;
        000)
            forwarder_state=unreachable forwarder_said="nothing answers at $ADMIN_URL"
            return 0
            ;;
        *) forwarder_state='not ready' forwarder_said=${body:-HTTP status $http_status} ;;
    esac
    fetch "$ADMIN_URL/metrics"
    metrics=$body
    if [[ $forwarder_state == ready && $http_status == 200 ]]; then
        forwarder_said=$(notes_of_forwarder)
    fi
    fetch "$FORWARDER_URL/"
    if [[ $http_status != 200 ]]; then
        [[ $forwarder_state == 'not ready' ]] ||
            forwarder_state='not ready' forwarder_said="no health at $FORWARDER_URL/ (HTTP status $http_status)"
        return 0
    fi
    if [[ $forwarder_state == ready && ($body == *'"status": "degraded"'* || -n $forwarder_said) ]]; then
        forwarder_state=degraded
        forwarder_said=${forwarder_said:-it does not have all of the database and its spool}
    fi
    forwarder_rules=$(sed -n 's/.*"percentage": \([^,]*\), "enabled": \([a-z]*\), "domains": \[\([^]]*\)\].*/\1|\2|\3/p' \
        <<<"$body")
}

# state_of DATABASE'S STATE: of everything: an outage, or what the database says, or at least a warning
state_of() {
    if ! $database_answers || [[ $forwarder_state == unreachable || $forwarder_state == 'not ready' ]]; then
        echo outage
    elif [[ $forwarder_state == degraded && $1 != critical ]]; then
        echo warning
    else
        printf '%s\n' "$1"
    fi
}

# forwarder_words [PERCENTAGE]: the forwarder in a sentence, and whether it has another one than the database
forwarder_words() {
    local percentage enabled domains
    printf '%s' "$forwarder_state${forwarder_said:+: $forwarder_said}"
    if [[ -n $forwarder_rules ]]; then
        IFS='|' read -r percentage enabled domains <<<"$forwarder_rules"
        case $enabled in
            null) printf '; it has no rules yet' ;;
            true) printf '; its rules: %s %%, enabled, domains %s' "$percentage" "${domains//\"/}" ;;
            *) printf '; its rules: %s %%, disabled, domains %s' "$percentage" "${domains//\"/}" ;;
        esac
        # A change takes a second to get there.
        [[ -z ${1:-} || $percentage == "$1" ]] || printf ' (the database says %s %%)' "$1"
    fi
}

# ---- the screen ----

# coloured KIND LINE
coloured() {
    local colour=''
    case $1 in
        critical | outage) colour=$RED ;;
        warning | environmental | degraded) colour=$YELLOW ;;
        healthy | climbing | complete | ready) colour=$GREEN ;;
        heading | disabled) colour=$BOLD ;;
    esac
    printf '%s%s%s\n' "$colour" "$2" "${colour:+$RESET}"
}

# put KIND LINE: wrapped between words, what follows is indented
put() {
    local line='' word indent='            ' rest=$2
    if ((${#rest} <= WIDTH)); then
        coloured "$1" "$rest"
        return
    fi
    # The label keeps its spaces.
    line=${rest:0:12}
    for word in ${rest:12}; do
        if ((${#line} + 1 + ${#word} > WIDTH)) && [[ $line =~ [^[:space:]] && ${#line} -gt 12 ]]; then
            coloured "$1" "$line"
            line=$indent
        fi
        while ((${#word} > WIDTH - 12)); do
            coloured "$1" "$line${word:0:WIDTH-12}"
            line=$indent word=${word:WIDTH-12}
        done
        if [[ ${#line} -eq 12 ]]; then
            line+=$word
        else
            line+=" $word"
        fi
    done
    coloured "$1" "$line"
}

# headline STATE VERSION
headline() {
    local left right=${1^^}
    printf -v left '%s   %s' "$2" "$(date -u '+%Y-%m-%d %H:%M:%S UTC')"
    printf '%s%s%*s%s\n' "$BOLD" "$left" "$((WIDTH - ${#left} - ${#right}))" '' "$(coloured "$1" "$right")"
}

show_screen() {
    local kind line state='' version=webhook_routing in_database='' lines=()
    ask_database status_screen.sql
    ask_forwarder
    if $database_answers; then
        while IFS=$'\t' read -r kind line; do
            case $kind in
                state) state=$line ;;
                version) version=$line ;;
                percentage) in_database=$line ;;
                *) lines+=("$kind" "$line") ;;
            esac
        done <<<"$database_said"
    fi
    state=$(state_of "$state")
    {
        headline "$state" "$version"
        $database_answers || put outage "database    it does not answer: $database_said"
        $database_answers || [[ $forwarder_state != @(ready|degraded) ]] ||
            put text '            Webhooks go on by the last rules of the forwarder; the log waits in its spool.'
        ((${#lines[@]} == 0)) || while ((${#lines[@]})); do
            put "${lines[0]}" "${lines[1]}"
            lines=("${lines[@]:2}")
        done
        case $forwarder_state in
            'not ready' | unreachable) put outage "forwarder   $(forwarder_words "$in_database")" ;;
            *) put "$forwarder_state" "forwarder   $(forwarder_words "$in_database")" ;;
        esac
    } >"$scratch/screen"
    # In one piece, so that it does not flicker.
    printf '%s' "${HOME_AND_CLEAR:-}"
    cat "$scratch/screen"
    [[ $state != outage ]] || return "$EX_UNAVAILABLE"
}

# ---- for programs ----

# json_string TEXT
json_string() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "$(tr '\000-\037' ' ' <<<"${text}" | sed 's/ $//')"
}

show_json() {
    local state='' database percentage enabled domains rules=null
    ask_database status_json.sql
    ask_forwarder
    if $database_answers; then
        state=${database_said%%$'\n'*}
        database=${database_said#*$'\n'}
    else
        database="{\"reached\": false, \"problem\": $(json_string "$database_said")}"
    fi
    if [[ -n $forwarder_rules ]]; then
        IFS='|' read -r percentage enabled domains <<<"$forwarder_rules"
        rules="{\"percentage\": $percentage, \"enabled\": $enabled, \"domains\": [$domains]}"
    fi
    state=$(state_of "$state")
    printf '{"state": "%s",\n "forwarder": {"state": "%s", "problem": %s, "url": %s, "admin_url": %s, "rules": %s, "rows_waiting": %s, "oldest_waiting_seconds": %s},\n "database": %s}\n' \
        "$state" "$forwarder_state" "$(json_string "$forwarder_said")" "$(json_string "$FORWARDER_URL")" \
        "$(json_string "$ADMIN_URL")" "$rules" \
        "$(awk '/^webhook_forwarder_log_rows_waiting/ { sum += $2; found = 1 } END { print found ? sum : "null" }' <<<"$metrics")" \
        "$(measure webhook_forwarder_log_oldest_waiting_seconds null)" "$database"
    [[ $state != outage ]] || return "$EX_UNAVAILABLE"
}

show_nagios() {
    local state='' words='' data='' word status
    ask_database status_json.sql status_nagios.sql
    ask_forwarder
    if $database_answers; then
        state=${database_said%%$'\n'*}
        words=${database_said##*$'\n'}
        data=${words##*|}
        words=${words%|*}
    else
        words="the database does not answer: ${database_said//|/\/}"
    fi
    state=$(state_of "$state")
    case $state in
        outage | critical) word=CRITICAL status=$NAGIOS_CRITICAL ;;
        warning) word=WARNING status=$NAGIOS_WARNING ;;
        *) word=OK status=$NAGIOS_OK ;;
    esac
    [[ $forwarder_state == @(ready|'not asked') ]] || words+="; forwarder $forwarder_state: ${forwarder_said//|/\/}"
    printf 'ROUTING %s: %s%s\n' "$word" "$words" "${data:+ | $data}"
    return "$status"
}

# ---- all of it ----

database_open
if $DRY_RUN; then
    title "What would be asked, of $DATABASE"
    shown psql -f "$REPOSITORY/scripts/lib/status.sql"
    ! $ASK_FORWARDER || shown curl "$ADMIN_URL/readyz" "$ADMIN_URL/metrics" "$FORWARDER_URL/"
    done_with
    exit 0
fi
export PGCONNECT_TIMEOUT=3
SESSION="SET statement_timeout = '5s';"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [[ -z $WATCH ]]; then
    "show_$FORMAT"
    exit
fi
[[ ! -t 1 ]] || HOME_AND_CLEAR=$'\e[H\e[2J'
while true; do
    show_screen || true
    [[ -t 1 ]] || echo
    sleep "$WATCH"
done
