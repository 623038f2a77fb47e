#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# With app secrets: what is not signed as Meta signs is refused before anything else is asked; secrets
# are replaced while webhooks keep coming, and are seen nowhere.

bats_require_minimum_version 1.5.0

readonly FIRST=4c1f2ad1e0d94a0b8d3f5f0c7e6a9b21 SECOND=9b7d1f0e2c3a4b5d6e7f8091a2b3c4d5

setup_file() {
    load helper
    printf '%s\n' "$FIRST" "$SECOND" >"$BATS_FILE_TMPDIR/app-secrets"
    stack_start e2e_signature --app-secret-file "$BATS_FILE_TMPDIR/app-secrets"
    # From the next connection on, calls of functions are counted.
    sql "ALTER DATABASE e2e_signature SET track_functions = 'all'"
    forwarder_stop
    forwarder_start --app-secret-file "$BATS_FILE_TMPDIR/app-secrets"
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    process_alive "$STACK/forwarder.pid" || forwarder_start --app-secret-file "$BATS_FILE_TMPDIR/app-secrets"
    clean_sheet
}

teardown() { own_forwarder_stop; }

# signature FILE [SECRET]: of its raw bytes, as Meta writes it
signature() {
    printf 'sha256=%s\n' "$(openssl dgst -sha256 -mac HMAC -macopt "key:${2:-$FIRST}" -r "$1" | cut -d ' ' -f 1)"
}

# post_signed FILE [SECRET [CURL ARGUMENT]...]
post_signed() { post "$1" -H "X-Hub-Signature-256: $(signature "$1" "${2:-$FIRST}")" "${@:3}"; }

# refused_401 WHAT: the last answer says so, and nothing that helps
refused_401() {
    equal "$status" 401 "$1"
    equal "$(cat "$STACK/answer.body")" "{\"error\": \"the webhook is not signed with the app's secret\"}" "$1"
    equal "$(answer_header WWW-Authenticate)" X-Hub-Signature-256 "$1"
}

# decided: how often the database was asked for a decision, by forwarders that have ended: a backend reports what it
# has counted when it ends, at the latest
decided() {
    wait_until 20 backends_gone
    sql "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname LIKE 'route\_decide%'"
}
backends_gone() { [[ $(sql "SELECT count(*) FROM pg_stat_activity WHERE usename = 'e2e_forwarder'") == 0 ]]; }

@test "a webhook that is signed with either secret is relayed, its signature too" {
    local secret
    for secret in "$FIRST" "$SECOND"; do
        post_signed "$FIXTURES/text.json" "$secret"
        equal "$status" 200
        equal "$(header_seen X-Hub-Signature-256)" "$(signature "$FIXTURES/text.json" "$secret")"
    done
}

@test "escapes are signed as they stand on the wire" {
    local file=$FIXTURES/escaped_accents.json
    grep -F '\u00' "$file"
    post_signed "$file"
    equal "$status" 200
    # The same JSON, written anew, is other bytes.
    jq -c . "$file" >"$BATS_TEST_TMPDIR/again"
    post "$BATS_TEST_TMPDIR/again" -H "X-Hub-Signature-256: $(signature "$file")"
    refused_401 're-encoded'
}

@test "what is not signed as Meta signs is 401, and neither database nor functions hear of it" {
    local file=$FIXTURES/text.json right asked
    right=$(signature "$file")
    forwarder_stop
    asked=$(decided)
    own_forwarder --app-secret-file "$BATS_FILE_TMPDIR/app-secrets"
    post "$file"
    refused_401 missing
    for wrong in 'sha256=' "${right#sha256=}" "sha1=${right#sha256=}" "${right%?}" "${right}0" "${right^^}" \
        "sha256=$(tr a-f A-F <<<"${right#sha256=}")" "$(signature "$file" "$FIRST$FIRST")" \
        "$(signature "$FIXTURES/audio.json")" "sha256=$(printf '0%.0s' {1..64})"; do
        post "$file" -H "X-Hub-Signature-256: $wrong"
        refused_401 "$wrong"
    done
    post "$file" -H "X-Hub-Signature-256: $right" -H "X-Hub-Signature-256: $right"
    equal "$status" 400 twice
    equal "$(seen '.total')" 0 'requests at the functions'
    (($(events signature_refused) >= 4)) # five lines a second, at most
    post "$file" -H 'X-Correlation-ID: who-was-it' -H "X-Hub-Signature-256: sha256=$(printf 'b%.0s' {1..64})"
    run -1 grep -E 'bbbbbbbb|sha256=' "$STACK/forwarder.log"
    post_signed "$file"
    equal "$status" 200
    wait_logged 1
    own_forwarder_end
    equal "$(decided)" "$((asked + 1))" 'questions to the database'
}

@test "a refusal is logged with its correlation id and what was wrong" {
    own_forwarder --app-secret-file "$BATS_FILE_TMPDIR/app-secrets" # five lines a second, at most
    post "$FIXTURES/text.json" -H 'X-Correlation-ID: told-missing'
    post "$FIXTURES/text.json" -H 'X-Correlation-ID: told-malformed' -H 'X-Hub-Signature-256: sha256=0'
    post_signed "$FIXTURES/text.json" unknown -H 'X-Correlation-ID: told-wrong'
    equal "$(grep -F '"correlation_id":"told-' "$STACK/forwarder.log" | jq -r '.event + " " + .signature')" \
        $'signature_refused missing\nsignature_refused malformed\nsignature_refused wrong'
}

@test "framing, path, method and size come first, and a GET needs no signature" {
    head -c 4194305 /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/large"
    post "$BATS_TEST_TMPDIR/large"
    equal "$status" 413
    NAMED=no/such post "$FIXTURES/text.json"
    equal "$status" 404
    post "$FIXTURES/text.json" -X PUT
    equal "$status" 405
    [[ $(raw 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}' | head -n 1) == *' 400 '* ]]
    equal "$(curl -s -o /dev/null -w '%{http_code}' "$FORWARDER_URL/")" 200
    equal "$(curl -s -G --data-urlencode hub.mode=subscribe --data-urlencode "hub.verify_token=$TOKEN" \
        --data-urlencode hub.challenge=42 "$FORWARDER_URL/")" 42
}

@test "3 MB and chunked bodies are checked as they arrive; without a signature none is waited for" {
    local file=$BATS_TEST_TMPDIR/large
    jq -cn '{object: "whatsapp_business_account", entry: [{id: "1", changes: [{field: "messages", value:
        {messages: [{from: "250788000001", id: "wamid.L", type: "text", text: {body: ("la " * 1000000)}}]}}]}]}' >"$file"
    (($(stat -c %s "$file") > 3000000))
    post_signed "$file"
    equal "$status" 200
    post_signed "$file" "$SECOND" -H 'Transfer-Encoding: chunked'
    equal "$status" 200
    equal "$(seen '[.requests[].sha256] | unique | join(" ")')" "$(sha256sum <"$file" | cut -d ' ' -f 1)"
    equal "$(seen '.total')" 2
    post_signed "$file" wrong
    refused_401 'wrong, long'
    post_signed "$file" wrong -H 'Transfer-Encoding: chunked'
    refused_401 'wrong, chunked'
    [[ $(raw 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\nExpect: 100-continue\r\n\r\n' | head -n 1) == *' 401 '* ]]
    equal "$(seen '.total')" 2
}

# signatures_off: what the start says of them
signatures_off() { grep '"event":"signatures_off"' "$STACK/forwarder.log" | jq -r '.level + ": " + .mend'; }

@test "a start without an app secret says that anybody can post, and what mends it" {
    local warning='warning: give Meta'\''s app secret: --app-secret-file FILE, or WEBHOOK_FORWARDER_APP_SECRETS'
    own_forwarder
    equal "$(signatures_off)" "$warning"
    own_forwarder_end
    WEBHOOK_FORWARDER_APP_SECRETS='' own_forwarder
    equal "$(signatures_off)" "$warning"
    own_forwarder_end
    printf '%s\n' "$FIRST" >"$BATS_TEST_TMPDIR/secrets"
    own_forwarder --app-secret-file "$BATS_TEST_TMPDIR/secrets"
    equal "$(events signatures_off)" 0
}

# own_with_files: an own forwarder with each secret in a file
own_with_files() {
    printf '%s\n' "$FIRST" >"$BATS_TEST_TMPDIR/secrets"
    printf 'Authorization: Bearer one\n' >"$BATS_TEST_TMPDIR/fields"
    cluster_url "$PGDATABASE" e2e_forwarder >"$BATS_TEST_TMPDIR/url"
    own_forwarder --app-secret-file "$BATS_TEST_TMPDIR/secrets" --database-url-file "$BATS_TEST_TMPDIR/url" \
        --function-header-file "$BATS_TEST_TMPDIR/fields"
}

# rotate SECRET...: the file of the own forwarder, and a SIGHUP that was heard
rotate() {
    local before
    before=$(events secrets_reloaded)
    printf '%s\n' "$@" >"$BATS_TEST_TMPDIR/secrets.new"
    mv "$BATS_TEST_TMPDIR/secrets.new" "$BATS_TEST_TMPDIR/secrets"
    kill -HUP "$(forwarder_pid)"
    reloaded() { (($(events secrets_reloaded) > before)); }
    wait_until 20 reloaded
}

@test "secrets are rotated under traffic, and no webhook fails" {
    local loading
    printf '%s\n' "$FIRST" | tee "$BATS_TEST_TMPDIR/secrets" >"$BATS_TEST_TMPDIR/secret"
    own_forwarder --app-secret-file "$BATS_TEST_TMPDIR/secrets" --workers 2
    "$LOAD" --url "$FORWARDER_URL/" --requests 2000 --concurrency 16 --rate 500 --first 9000000 \
        --secret-file "$BATS_TEST_TMPDIR/secret" >"$BATS_TEST_TMPDIR/load.json" 3>&- &
    loading=$!
    for _ in 1 2 3 4 5 6; do
        sleep 0.2
        rotate "$FIRST" "$SECOND"
        sleep 0.2
        rotate "$SECOND" "$FIRST"
    done
    wait "$loading" || {
        cat "$BATS_TEST_TMPDIR/load.json"
        return 1
    }
    equal "$(jq -c '[.statuses, .broken, .refused]' "$BATS_TEST_TMPDIR/load.json")" '[{"200":2000},0,0]'
    rotate "$SECOND"
    post_signed "$FIXTURES/text.json"
    refused_401 'the old secret'
    post_signed "$FIXTURES/text.json" "$SECOND"
    equal "$status" 200
}

@test "a file that is gone or bad at SIGHUP leaves its secret in force; the others are taken" {
    own_with_files
    printf 'another token\n' >"$STACK/token"
    printf 'Authorization: Bearer two\n' >"$BATS_TEST_TMPDIR/fields"
    rm "$BATS_TEST_TMPDIR/secrets"
    kill -HUP "$(forwarder_pid)"
    wait_until 20 grep '"event":"secrets_reloaded"' "$STACK/forwarder.log"
    equal "$(grep '"event":"secrets_reloaded"' "$STACK/forwarder.log" | jq -r .names)" \
        "$STACK/token, $BATS_TEST_TMPDIR/fields, $BATS_TEST_TMPDIR/url"
    equal "$(grep '"event":"secrets_kept"' "$STACK/forwarder.log" | jq -r '.level + " " + .option')" 'error app-secret-file'
    post_signed "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(header_seen Authorization)" 'Bearer two'
    equal "$(curl -s -o /dev/null -G -w '%{http_code}' --data-urlencode hub.mode=subscribe --data-urlencode \
        "hub.verify_token=another token" --data-urlencode hub.challenge=42 "$FORWARDER_URL/")" 200
    printf 'no field\n' >"$BATS_TEST_TMPDIR/fields"
    kill -HUP "$(forwarder_pid)"
    wait_until 20 grep 'function-header-file: header 1' "$STACK/forwarder.log"
    post_signed "$FIXTURES/text.json"
    equal "$(header_seen Authorization)" 'Bearer two'
    run -1 grep -E 'no field|Bearer|another token' "$STACK/forwarder.log"
}

@test "the database's URL is read again for the next connection" {
    own_with_files
    # One connection for decisions and one for the log at least; others come when they are needed.
    named() { (($(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rotated'") >= 2)); }
    printf '%s&application_name=rotated\n' "$(cluster_url "$PGDATABASE" e2e_forwarder)" >"$BATS_TEST_TMPDIR/url"
    kill -HUP "$(forwarder_pid)"
    wait_until 20 grep '"event":"secrets_reloaded"' "$STACK/forwarder.log"
    run ! named
    sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'e2e_forwarder'" >/dev/null
    wait_until 20 named
}

@test "secrets are not to be seen: arguments, environment, log, core files" {
    local pid hidden
    export WEBHOOK_FORWARDER_APP_SECRETS=$FIRST WEBHOOK_FORWARDER_VERIFY_TOKEN=hidden-token PGPASSWORD=hidden-password
    export WEBHOOK_FORWARDER_FUNCTION_HEADERS='Authorization: Bearer hidden-bearer'
    own_forwarder --log-level debug
    unset WEBHOOK_FORWARDER_APP_SECRETS WEBHOOK_FORWARDER_VERIFY_TOKEN PGPASSWORD WEBHOOK_FORWARDER_FUNCTION_HEADERS
    post_signed "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(header_seen Authorization)" 'Bearer hidden-bearer'
    post_signed "$FIXTURES/text.json" wrong
    pid=$(forwarder_pid)
    kill -HUP "$pid"
    wait_until 20 grep '"event":"secrets_reloaded"' "$STACK/forwarder.log"
    for hidden in "$FIRST" hidden- "$(cluster_url "$PGDATABASE" e2e_forwarder)"; do
        # Who is not root cannot even read the environment.
        run ! grep -aF -- "$hidden" "/proc/$pid/cmdline" "/proc/$pid/environ" "$STACK/forwarder.log"
    done
    equal "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$pid/limits")" '0 0'
}

@test "systemd's credentials are secrets, too" {
    mkdir "$BATS_TEST_TMPDIR/credentials"
    printf '%s\n' "$FIRST" >"$BATS_TEST_TMPDIR/credentials/app-secret"
    printf 'Authorization: Bearer credential\n' >"$BATS_TEST_TMPDIR/credentials/function-header"
    CREDENTIALS_DIRECTORY=$BATS_TEST_TMPDIR/credentials own_forwarder
    post "$FIXTURES/text.json"
    refused_401 missing
    post_signed "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(header_seen Authorization)" 'Bearer credential'
}
