#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# What a person reads who starts the forwarder with a setting that is wrong, and what --check-config finds
# before anybody starts it.

bats_require_minimum_version 1.5.0

setup_file() {
    load helper
    stack_start e2e_check
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    PROGRAM=${FORWARDER:-$REPOSITORY/build/webhook-forwarder}
    HERE=$BATS_TEST_TMPDIR
    wait_until 20 health_is healthy
}

# refused STATUS WORDS ARGUMENT...: that is how it ends, and what it says begins with
refused() {
    local ended=0 said
    said=$(PGOPTIONS='' timeout 60 "$PROGRAM" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --spool-directory "$HERE/spool" \
        "${@:3}" 2>&1) || ended=$?
    equal "$ended" "$1" "status of ${*:3}"
    [[ $said == "webhook-forwarder: $2"* ]] || {
        echo "said:   $said"
        echo "wanted: webhook-forwarder: $2"
        return 1
    }
}

@test "a setting that is wrong: its name, what is wrong, what it takes, and the status" {
    refused 64 'unknown option --frobnicate; see --help' --frobnicate
    refused 64 '--workers needs a value (N)' --workers
    refused 64 '--workers: "many" is refused; it takes a whole number from 1 to 64' --workers many
    refused 64 '--drain-timeout: "soon" is refused; it takes a time from 1ms' --drain-timeout=soon
    refused 64 '--log-level: "loud" is refused; it takes debug, info, warning or error' --log-level loud
    WEBHOOK_FORWARDER_WORKERS=many refused 78 'WEBHOOK_FORWARDER_WORKERS: "many" is refused; it takes'
    refused 78 '--listen: "nowhere" is no HOST:PORT (such as 127.0.0.1:8080)' --listen nowhere
    refused 78 '--path-prefix: "functions/" has to begin with / and not to end with it' --path-prefix functions/
    refused 78 '--functions-url: "ftp://a" is no http:// or https:// URL' --functions-url ftp://a
    refused 78 '--functions-url: "http://a b/" holds a space' --functions-url 'http://a b/'
    refused 78 '--functions-url: its URL has a query or a fragment' --functions-url 'http://me:hush?@h'
    run -78 "$PROGRAM" --functions-url 'http://me:hush?@h'
    [[ $output != *hush* ]]
    refused 78 '--functions-url: "http://169.254.169.254/x" leads to an address' --functions-url http://169.254.169.254/x
    refused 78 '--path-prefix: "/a?b" holds what no path does' --path-prefix '/a?b'
    refused 78 '--default-target: "a b" is no name of a function' --default-target 'a b'
    refused 78 '--spool-size: at least 4MiB for each worker' --spool-size 1MiB
    refused 78 '--max-body is more than a worker' --max-body 200MiB --workers 2
}

@test "a file that is wrong: the setting, the file, and what mends it" {
    refused 78 "--app-secret-file: cannot read $HERE/none: No such file or directory; write it, or leave the setting out" \
        --app-secret-file "$HERE/none"
    : >"$HERE/empty"
    refused 78 "--verify-token-file: cannot read $HERE/empty: it is empty" --verify-token-file "$HERE/empty"
    printf 'one\ntwo\n' >"$HERE/lines"
    refused 78 '--verify-token-file: the token has to be one line' --verify-token-file "$HERE/lines"
    WEBHOOK_FORWARDER_VERIFY_TOKEN_FILE=$HERE refused 78 "WEBHOOK_FORWARDER_VERIFY_TOKEN_FILE: cannot read $HERE: Is a directory"
    echo 'Host: evil' >"$HERE/headers"
    refused 78 '--function-header-file: header 1: a header that the forwarder sets itself' --function-header-file "$HERE/headers"
    echo 'postgresql://a:secret@h:port/d' >"$HERE/url"
    refused 78 '--database-url-file: ' --database-url-file "$HERE/url"
    run "$PROGRAM" --database-url-file "$HERE/url"
    [[ $output != *secret* ]]
    mkdir "$HERE/credentials"
    : >"$HERE/credentials/verify-token"
    CREDENTIALS_DIRECTORY=$HERE/credentials refused 78 "credential verify-token: cannot read $HERE/credentials/verify-token: it is empty"
}

@test "an address that cannot be had: 69; a spool that somebody keeps: 75" {
    refused 69 "--listen: cannot listen on 127.0.0.1:$FORWARDER_PORT: port $FORWARDER_PORT is in use; \`ss -ltnp" \
        --listen "127.0.0.1:$FORWARDER_PORT"
    refused 69 "--admin-listen: cannot listen on 192.0.2.1:9180: this machine does not have the address" --admin-listen 192.0.2.1:9180
    refused 69 '--listen: cannot listen on no.such.host.invalid:1: ' --listen no.such.host.invalid:1
    run -75 "$PROGRAM" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --spool-directory "$STACK/spool" --spool-lock-timeout 1ms
    [[ ${lines[-1]} == *'--spool-directory'* ]]
}

# checked STATUS [ARGUMENT]...: sets output
checked() {
    local ended=0
    output=$(DATABASE_URL=${URL:-$(cluster_url "$PGDATABASE" e2e_forwarder)} PGOPTIONS='' timeout 60 "$PROGRAM" --check-config \
        --listen "${LISTEN:-127.0.0.1:0}" --admin-listen 127.0.0.1:0 --functions-url http://127.0.0.1:1 \
        --spool-directory "${SPOOL:-$HERE/spool}" "${@:2}" 2>&1) || ended=$?
    printf '%s\n' "$output"
    equal "$ended" "$1" status
}

# finds WORD SETTING TEXT: one line of what was found
finds() { grep -E "^$1 +$2 +" <<<"$output" | grep -F -- "$3"; }

@test "--check-config: everything is well, nothing is changed" {
    cp "$STACK/token" "$HERE/token"
    cp "$STACK/token" "$HERE/app"
    chmod 600 "$HERE/token" "$HERE/app"
    checked 0 --verify-token-file "$HERE/token" --app-secret-file "$HERE/app"
    equal "$(grep -c '^warning' <<<"$output" || true)" 0 warnings
    equal "$(tail -n 1 <<<"$output")" 'the settings are good'
    finds good --app-secret-file "$HERE/app"
    finds good 'database, to decide' "extension $("$PROGRAM" --version | cut -d ' ' -f 2), role e2e_forwarder"
    finds good 'database, for the log' 'role e2e_forwarder'
    finds good --spool-directory "$HERE/spool will be made"
    [[ ! -e $HERE/spool && $output != *"$TOKEN"* ]]
}

@test "--check-config: what a start lives with is a warning, with what mends it" {
    cp "$STACK/token" "$HERE/token"
    chmod 644 "$HERE/token"
    LISTEN=127.0.0.1:$FORWARDER_PORT checked 0 --verify-token-file "$HERE/token" --spool-size 16GiB \
        --connect-timeout 12s --attempt-timeout 11s --total-timeout 9s --decide-timeout 10s
    finds warning --connect-timeout 'is longer than --attempt-timeout, which is over before: shorten it'
    finds warning --attempt-timeout 'is longer than --total-timeout'
    finds warning --decide-timeout 'is longer than --total-timeout'
    finds warning --verify-token-file "can be read by everybody: chmod 640 $HERE/token"
    finds warning --app-secret-file 'whoever reaches the port can post webhooks'
    finds warning --listen "port $FORWARDER_PORT is in use; \`ss -ltnp"
    equal "$(tail -n 1 <<<"$output")" "the settings are good, but for $(grep -c '^warning' <<<"$output") warnings"
    WEBHOOK_FORWARDER_WORKER=4 checked 0
    finds warning environment 'WEBHOOK_FORWARDER_WORKER is no setting'
    equal "$(grep -c '^warning *environment' <<<"$output")" 1
    checked 0 --functions-url http://functions.example.org/@me
    finds good --functions-url http://functions.example.org/@me
    checked 0 --functions-url http://me:hush@functions.example.org
    finds warning --functions-url 'Authorization: ...` of --function-header-file'
    [[ $output != *hush* ]]
    SPOOL=/nowhere/at/all checked 0
    finds warning --spool-directory 'cannot be made: No such file or directory; install -d -m 700 /nowhere/at/all'
}

@test "--check-config beside a forwarder that runs: its spool and its port are its own" {
    LISTEN=127.0.0.1:$FORWARDER_PORT SPOOL=$STACK/spool checked 0
    finds note --spool-directory 'a forwarder has it now'
    finds note --listen 'cannot be had, as while a forwarder runs'
    still() { [[ $(curl -s "$FORWARDER_URL/" | jq -r .status) == healthy ]]; }
    still
}

@test "--check-config: a database that is down, without the extension, with another, or with a role without rights" {
    URL="host=$HERE port=1" checked 0
    finds warning 'database, to decide' 'not reached: '
    finds warning 'database, to decide' 'start PostgreSQL, or correct host and port in the database URL'
    URL=$(cluster_url postgres) checked 0
    finds warning 'database, to decide' 'CREATE EXTENSION webhook_routing'
    sql "CREATE ROLE e2e_check_stranger LOGIN" 2>/dev/null || true
    URL=$(cluster_url "$PGDATABASE" e2e_check_stranger) checked 0
    finds warning 'database, for the log' "e2e_check_stranger may not call"
    finds warning 'database, for the log' "SELECT grant_routing_role('forwarder', 'e2e_check_stranger')"
    sql "UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'webhook_routing'"
    checked 0
    sql "UPDATE pg_extension SET extversion = '$("$PROGRAM" --version | cut -d ' ' -f 2)' WHERE extname = 'webhook_routing'"
    finds warning 'database, to decide' 'has version 0.0.9'
    finds warning 'database, to decide' 'ALTER EXTENSION webhook_routing UPDATE'
}

@test "--check-config: a setting that is refused is 78, as at a start" {
    checked 78 --verify-token-file "$HERE/none"
    [[ $output == "webhook-forwarder: --verify-token-file: cannot read $HERE/none"* ]]
}
