# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the end-to-end tests share: the three parts as real processes (PostgreSQL from the suite, the
# stand-in functions and the forwarder of each file), and ways to ask each what it has seen.

# setup_file and teardown_file run in one process, and both load it.
! declare -F stack_start >/dev/null || return 0

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/cluster.sh
. "$REPOSITORY/scripts/lib/cluster.sh"

# A file of tests is run by itself, too: what is said is compared with English, and a point separates a fraction.
export LC_ALL=C.UTF-8
unset LANGUAGE

# shellcheck disable=SC2034  # for the test files
readonly FIXTURES=$REPOSITORY/test/fixtures/payloads
# shellcheck disable=SC2034
readonly LOAD=$REPOSITORY/build/load
readonly TOKEN='correct horse & battery=staple'

# ---- sanitizers ----

# The folder for what a sanitized forwarder ($FORWARDER) has to report, when it is one.
if [[ -n ${SANITIZER_REPORTS:-} ]]; then
    sanitizer_log="log_path='$SANITIZER_REPORTS/$(basename "${BATS_TEST_FILENAME:-suite}" .bats)'"
    export ASAN_OPTIONS=$sanitizer_log:detect_leaks=1:detect_stack_use_after_return=1
    export UBSAN_OPTIONS=$sanitizer_log:print_stacktrace=1
    export TSAN_OPTIONS=$sanitizer_log:second_deadlock_stack=1
fi

is_sanitized() { [[ -n ${SANITIZER_REPORTS:-} ]]; }

# skip_sanitized WHY: what a sanitizer cannot live with. In setup or a test: there is no skipping in setup_file.
skip_sanitized() { ! is_sanitized || skip "with a sanitizer: $1"; }

# ---- starting and stopping ----

# stack_start NAME [FORWARDER ARGUMENT]...: a database, the functions and a forwarder between them
stack_start() {
    local name=$1
    shift
    cluster_open "$E2E_DIR/cluster"
    export STACK=$BATS_FILE_TMPDIR PGHOST=$CLUSTER_SOCKET PGPORT=$CLUSTER_PORT PGUSER=$CLUSTER_USER
    export PGDATABASE=$name PGOPTIONS='-c client_min_messages=warning'
    cluster_psql postgres -c "DROP DATABASE IF EXISTS $name WITH (FORCE)" -c "CREATE DATABASE $name"
    sql "CREATE EXTENSION webhook_routing"
    sql "SELECT 'CREATE ROLE e2e_forwarder LOGIN' WHERE to_regrole('e2e_forwarder') IS NULL \gexec"
    sql "SELECT grant_routing_role('forwarder', 'e2e_forwarder')" >/dev/null
    sql "SELECT * FROM routing_maintain()" >/dev/null
    printf '%s\n' "$TOKEN" >"$STACK/token"
    functions_start
    forwarder_start "$@"
}

# stack_stop: with BREAKERS=open a function may have been left alone by the file's forwarder. Else no test may
# have had that: it would decide the way of the next one's webhooks, or not, by how fast the machine is.
stack_stop() {
    forwarder_stop
    process_stop "$STACK/functions.pid"
    lines_known "$STACK/forwarder.log"
    [[ ${BREAKERS:-} == open ]] ||
        equal "$(grep '"event":"breaker"' "$STACK/forwarder.log" || true)" '' 'breakers that outlive a test: --breaker-failures'
}

# functions_start [ARGUMENT]...: that they keep the bodies is left out where others are given
# shellcheck disable=SC2120  # test files pass some
functions_start() {
    (($#)) || set -- --keep-bodies
    : >"$STACK/functions.log"
    process_start "$STACK/functions.pid" "$STACK/functions.log" \
        "$REPOSITORY/build/standin-functions" "$@"
    wait_until 10 grep '^ready ' "$STACK/functions.log"
    FUNCTIONS_URL=http://127.0.0.1:$(sed -n 's/^ready port=\([0-9]*\).*/\1/p' "$STACK/functions.log")
    CONTROL_URL=http://127.0.0.1:$(sed -n 's/^ready .*control_port=\([0-9]*\).*/\1/p' "$STACK/functions.log")
    export FUNCTIONS_URL CONTROL_URL
}

# forwarder_spawn [ARGUMENT]...: on the ports it had before, when it had any; waits for nothing
forwarder_spawn() {
    FORWARDER_PORT=${FORWARDER_PORT:-$(free_port)}
    ports "$FORWARDER_PORT" "${ADMIN_PORT:-$(free_port $((FORWARDER_PORT + 1)))}"
    DATABASE_URL=$(cluster_url "$PGDATABASE" e2e_forwarder) PGOPTIONS='' process_start \
        "$STACK/forwarder.pid" "$STACK/forwarder.log" "${FORWARDER:-$REPOSITORY/build/webhook-forwarder}" \
        --listen "127.0.0.1:$FORWARDER_PORT" --admin-listen "127.0.0.1:$ADMIN_PORT" \
        --functions-url "$FUNCTIONS_URL" --verify-token-file "$STACK/token" \
        --spool-directory "$STACK/spool" "$@"
}

# What no test may depend on by accident: a machine that stands still for a moment makes the forwarder decide
# by its last rules, or take a function for one that cannot be reached. Tests that are about these deadlines say
# which they want.
readonly PATIENT=(--decide-timeout 5s --connect-timeout 5s)

# forwarder_start [ARGUMENT]...: the same, but patient, and waits until it and the database are there, or until
# its health is EXPECTED_HEALTH
forwarder_start() {
    forwarder_spawn "${PATIENT[@]}" "$@"
    wait_until 30 health_is "${EXPECTED_HEALTH:-healthy}" || {
        tail -n 20 "$STACK/forwarder.log" >&2
        return 1
    }
}

# own_stack: this test's own place for a forwarder in front of the same database and functions. The
# caller's STACK, FORWARDER_URL and ADMIN_URL become its own; it ends with own_forwarder_stop (teardown).
own_stack() {
    mkdir "$BATS_TEST_TMPDIR/own"
    cp "$STACK/token" "$BATS_TEST_TMPDIR/own/"
    STACK=$BATS_TEST_TMPDIR/own
    SHARED_PORTS=("$FORWARDER_PORT" "$ADMIN_PORT")
    unset FORWARDER_PORT ADMIN_PORT
}

# own_forwarder [ARGUMENT]...: one for this test alone
own_forwarder() {
    own_stack
    forwarder_start "$@"
}

own_forwarder_stop() {
    if [[ -e $BATS_TEST_TMPDIR/own/forwarder.pid ]]; then
        process_stop "$BATS_TEST_TMPDIR/own/forwarder.pid"
        lines_known "$BATS_TEST_TMPDIR/own/forwarder.log"
    fi
}

# own_forwarder_end: it stops, and leaves its place to another one; the file's forwarder is meant again
own_forwarder_end() {
    own_forwarder_stop
    rm -r "$BATS_TEST_TMPDIR/own"
    STACK=$BATS_FILE_TMPDIR
    ports "${SHARED_PORTS[@]}"
}

# ports PORT ADMIN_PORT: where the forwarder that is meant listens
ports() {
    export FORWARDER_PORT=$1 ADMIN_PORT=$2
    export FORWARDER_URL=http://127.0.0.1:$1 ADMIN_URL=http://127.0.0.1:$2
}

# lines_known LOG: each line of a forwarder is one of docs/reference/log-events.md: its event, its level,
# and no field but those of the table; prints the others
lines_known() {
    local others
    others=$(jq -R --rawfile table "$REPOSITORY/docs/reference/log-events.md" -c '
        (reduce ($table | split("\n")[] | select(startswith("| `")) | split("|")) as $row ({};
            .[$row[1] | ltrimstr(" `") | rtrimstr("` ")] = {levels: $row[2], fields: [$row[3] | scan("[a-z_]+")]})) as $events
        | fromjson? | . as $line | $events[.event // ""] as $known
        | select($known == null or ($known.levels | contains($line.level) | not)
            or (keys - ["time", "level", "event", "message", "suppressed"] - $known.fields != []))' "$1")
    equal "$others" '' "lines of $1 that docs/reference/log-events.md does not know"
}

# events EVENT: how many lines of that kind the forwarder has written
events() { grep -c "\"event\":\"$1\"" "$STACK/forwarder.log" || true; }

# wait_rules: until the forwarder has the rules that the database has now
wait_rules() {
    wait_until 20 grep -E "\"event\":\"ruleset\".*\"config_version\":$(sql "SELECT config_version FROM routing_ruleset()")[,}]" \
        "$STACK/forwarder.log"
}

# health_is STATUS: what GET / says
health_is() { [[ $(curl -s "$FORWARDER_URL/" | jq -r .status) == "$1" ]]; }

# has_served: the forwarder at ADMIN_URL has been given a webhook
has_served() {
    curl -fs "$ADMIN_URL/metrics" | awk '/^webhook_forwarder_decisions_total[{ ]/ && $NF > 0 { found = 1 } END { exit !found }'
}

# ready_is STATUS: what /readyz answers
ready_is() { [[ $(curl -s -o /dev/null -w '%{http_code}' "$ADMIN_URL/readyz") == "$1" ]]; }

forwarder_stop() { process_stop "$STACK/forwarder.pid" 30; }

forwarder_pid() { cut -d ' ' -f 1 "$STACK/forwarder.pid"; }

# metric NAME [LABEL]...: what the forwarder shows of it, summed over all series that have these labels
metric() {
    local name=$1
    shift
    curl -fs "$ADMIN_URL/metrics" | awk -v name="$name" -v labels="$*" '
        BEGIN { count = split(labels, wanted, " ") }
        index($0, name) == 1 && substr($0, length(name) + 1, 1) ~ /[{ ]/ {
            for (i = 1; i <= count && index($0, wanted[i]); i++);
            if (i > count) sum += $NF
        }
        END { print sum + 0 }'
}

# metric_is N NAME [LABEL]...
metric_is() { [[ $(metric "${@:2}") == "$1" ]]; }

# at_rest SINCE: whether the forwarder, at a moment after SINCE (in microseconds), had nothing in hand and
# nothing to store, and the database decides. A worker shows what it has at the end of a turn, ten times a second
# at most; a request makes it turn.
at_rest() {
    local now
    curl -fs -o /dev/null "$FORWARDER_URL/" || return
    now=${EPOCHREALTIME/[.,]/}
    curl -fs "$ADMIN_URL/metrics" | awk -v most=$((now - $1)) '
        /^webhook_forwarder_(in_flight_webhooks|log_rows_waiting.*|deciding_locally) / { busy += $NF; seen++ }
        /^webhook_forwarder_turn_age_seconds / { old = $NF * 1000000 >= most; seen++ }
        END { exit busy || old || seen < 5 }'
}

# settled: until everything is stored that the forwarder has on its way, and the database decides
settled() {
    wait_until 30 at_rest "${EPOCHREALTIME/[.,]/}" || {
        echo 'the forwarder does not come to rest:' >&2
        curl -s "$ADMIN_URL/metrics" | grep -E '^webhook_forwarder_(in_flight_webhooks|log_rows_waiting|deciding_locally|turn_age)' >&2
        return 1
    }
}

# A clean sheet for the next test: what the one before has left is stored; routing as after CREATE EXTENSION but
# enabled, functions plain.
clean_sheet() {
    if process_alive "$STACK/forwarder.pid"; then
        settled
    fi
    behave 'refuse=0'
    curl -fs -X POST "$CONTROL_URL/_standin/reset" >/dev/null
    routing 0
    sql "TRUNCATE webhook_routing_logs"
    # Statistics keep what the log has lost.
    stats_before=$(sql "SELECT coalesce(sum(request_count), 0) FROM webhook_routing_stats")
    errors_before=$(sql "SELECT coalesce(sum(error_count), 0) FROM webhook_routing_stats")
}

# counted: requests and errors that the statistics have counted since clean_sheet
counted() {
    sql "SELECT coalesce(sum(request_count), 0) - $stats_before, coalesce(sum(error_count), 0) - $errors_before
         FROM webhook_routing_stats"
}

# ---- asking ----

# sql STATEMENT...: unaligned; fails at the first error
sql() {
    local statement
    for statement in "$@"; do
        psql -X -q -At -v ON_ERROR_STOP=1 <<<"$statement"
    done
}

# routing PERCENT: enabled, at that percentage
routing() {
    sql "SELECT set_routing_enabled(true)" "SELECT update_routing_percentage($1)" >/dev/null
}

# behave QUERY: tells the functions how to answer; see standin-functions --help
behave() { curl -fs -X POST "$CONTROL_URL/_standin/behave?$1" >/dev/null; }

# seen JQ: a question to what the functions have received
seen() { curl -fs "$CONTROL_URL/_standin/report?last=4096" | jq -r "$1"; }

# serves: whether a webhook is answered 200
serves() { post "$FIXTURES/text.json" && [[ $status == 200 ]]; }

seen_is() { [[ $(seen "$1") == "$2" ]]; }
# seen_at_least N: whether the functions have received so many requests, or more
seen_at_least() { (($(seen .total) >= $1)); }

# wait_seen JQ ANSWER: until that is the answer. Of a function that is given up, or not waited for, nobody knows
# when it will have had the request.
wait_seen() {
    wait_until 20 seen_is "$@" || equal "$(seen "$1")" "$2" "functions: $1"
}

# header_seen NAME: of the last request that a function received; one line for each of that name
header_seen() {
    curl -fs "$CONTROL_URL/_standin/report?last=1" |
        jq -r --arg name "${1,,}" '.requests[-1].headers[] | select((.[0] | ascii_downcase) == $name) | .[1]'
}

# post FILE [CURL ARGUMENT]...: sets status, and leaves the answer in $STACK/answer.{headers,body}
post() {
    local file=$1 type=(-H 'Content-Type: application/json')
    shift
    [[ ${*,,} != *content-type:* ]] || type=()
    status=$(curl -s -o "$STACK/answer.body" -D "$STACK/answer.headers" -w '%{http_code}' -m 30 \
        "${type[@]}" -H 'Expect:' --data-binary "@$file" "$@" "$FORWARDER_URL/${NAMED:-}") || true
}

# answer_header NAME: of the last answer to post
answer_header() {
    tr -d '\r' <"$STACK/answer.headers" | sed -n "s/^$1: //Ip"
}

# text DOMAIN'S WORDS [SENDER]: a webhook with that text, as a file whose name is printed
text() {
    local file
    file=$(mktemp "$BATS_TEST_TMPDIR/text.XXXXXX")
    jq -cn --arg text "$1" --arg from "${2:-250788000001}" --arg id "wamid.E2E$RANDOM$RANDOM$RANDOM" \
        '{object: "whatsapp_business_account", entry: [{id: "1", changes: [{field: "messages", value:
          {messaging_product: "whatsapp", messages: [{from: $from, id: $id, timestamp: "1760000000",
           type: "text", text: {body: $text}}]}}]}]}' >"$file"
    printf '%s\n' "$file"
}

logged() { sql "SELECT count(*) FROM webhook_routing_logs"; }
logged_are() { [[ $(logged) == "$1" ]]; }

# wait_logged N: until the log has so many rows; the forwarder stores them in batches
wait_logged() {
    wait_until 30 logged_are "$1" || {
        echo "the log has $(logged) rows, not $1" >&2
        return 1
    }
}

# raw BYTES: sends them (printf escapes) with one write on a connection of its own, since bash would
# write line by line; prints what comes back within 3 s
raw() {
    exec 9<>"/dev/tcp/127.0.0.1/$FORWARDER_PORT"
    # shellcheck disable=SC2059  # the escapes are the point
    printf "$1" | dd bs=1M iflag=fullblock status=none >&9
    timeout 3 cat <&9 || true
    exec 9>&-
}

# equal GOT WANTED [WHAT]
equal() {
    [[ $1 == "$2" ]] || {
        printf '%s: got    %s\n%s  wanted %s\n' "${3:-value}" "$1" "${3//?/ }" "$2" >&2
        return 1
    }
}
