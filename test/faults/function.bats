#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Functions that cannot be reached, do not answer, or answer badly. Unified is reached through a chaos
# proxy; legacy directly, unless a test says otherwise.

setup_file() {
    load helper
    # Each test has failures of its own, in a row: the breaker has tests of its own.
    stack_start faults_function --breaker-failures 1000000 --breaker-minimum 1000000
    chaos_start unified "${FUNCTIONS_URL#http://}"
}

teardown_file() {
    load helper
    chaos_stop unified
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    # Nor has a test the connections of the one before.
    chaos unified plain reset
    point wa-webhook-unified "http://127.0.0.1:$(chaos_port unified)/wa-webhook-unified"
    routing 100
}

teardown() {
    own_forwarder_stop
    process_stop "$BATS_TEST_TMPDIR/peer.pid"
    sql "UPDATE webhook_routing_targets SET url = NULL, timeout_ms = DEFAULT, fallback_policy = DEFAULT
         WHERE url IS NOT NULL OR timeout_ms IS NOT NULL OR fallback_policy <> 'error'"
}

# rule TARGET TIMEOUT_MS POLICY: in force when it returns
rule() {
    sql "UPDATE webhook_routing_targets SET timeout_ms = $2, fallback_policy = '$3' WHERE name = '$1'"
    wait_rules
}

# attempts: the log of the only decision, one line per attempt
attempts() {
    sql "SELECT attempt, routed_to, status, coalesce(http_status::text, '-'), ambiguous
         FROM webhook_routing_logs ORDER BY attempt"
}

# fell_back: legacy answered the client, once, and both attempts are in the log
fell_back() {
    equal "$status" 200
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
    equal "$(seen '[.requests[].function] | join(" ")')" wa-webhook-jobs 'functions reached'
    wait_logged 2
    equal "$(attempts)" $'1|unified|error|-|f\n2|legacy|success|200|f'
}

# ambiguous STATUS [TIMES SEEN]: the client was told so, legacy was not asked, the log says ambiguous
ambiguous() {
    equal "$status" "$1"
    wait_seen .total "${2:-1}"
    equal "$(seen '.functions["wa-webhook-jobs"].requests // 0')" 0 'requests at legacy'
    wait_logged 1
    equal "$(sql "SELECT attempt, routed_to, status, ambiguous FROM webhook_routing_logs")" '1|unified|error|t'
}

# answers BYTES: unified answers exactly these (printf escapes) and closes
answers() {
    # shellcheck disable=SC2059
    printf "$1" >"$BATS_TEST_TMPDIR/answer"
    behave "name=wa-webhook-unified&raw=$BATS_TEST_TMPDIR/answer"
}

# peer_start COMMAND...: a process of this test that prints "ready port=N"; prints the port
peer_start() {
    : >"$BATS_TEST_TMPDIR/peer.log"
    process_start "$BATS_TEST_TMPDIR/peer.pid" "$BATS_TEST_TMPDIR/peer.log" "$@"
    wait_until 20 grep '^ready ' "$BATS_TEST_TMPDIR/peer.log"
    sed -n 's/^ready port=//p' "$BATS_TEST_TMPDIR/peer.log"
}

@test "fault 16: unified refuses the connection: legacy, once" {
    chaos unified refuse
    ms post "$FIXTURES/text.json"
    fell_back
    between "$TOOK_MS" 0 4000 'ms, of 5000 for a connection'
}

@test "fault 17: unified's connection never comes about: legacy after the connect timeout" {
    local port
    port=$(peer_start "$REPOSITORY/test/faults/backlog.pl")
    point wa-webhook-unified "http://127.0.0.1:$port/wa-webhook-unified"
    own_forwarder --connect-timeout 300ms
    ms post "$FIXTURES/text.json"
    fell_back
    between "$TOOK_MS" 280 9000 'ms, of 10000 for the attempt'
}

@test "fault 17: unified accepts, and its TLS never begins: legacy after the connect timeout" {
    chaos unified black-hole
    point wa-webhook-unified "https://127.0.0.1:$(chaos_port unified)/wa-webhook-unified"
    own_forwarder --connect-timeout 300ms
    ms post "$FIXTURES/text.json"
    fell_back
    between "$TOOK_MS" 280 9000 'ms, of 10000 for the attempt'
}

# certificate NAME [COMMAND...]: made by openssl, run by the command if there is one
certificate() {
    local name=$1
    shift
    "$@" openssl req -x509 -newkey rsa:2048 -nodes -keyout "$BATS_TEST_TMPDIR/key.pem" \
        -out "$BATS_TEST_TMPDIR/cert.pem" -days 1 -subj "/CN=$name" -addext "subjectAltName=DNS:$name" 2>/dev/null
}

# tls_start: unified becomes a server with that certificate
tls_start() {
    local port
    port=$(free_port 21000)
    process_start "$BATS_TEST_TMPDIR/peer.pid" "$BATS_TEST_TMPDIR/peer.log" openssl s_server \
        -accept "127.0.0.1:$port" -key "$BATS_TEST_TMPDIR/key.pem" -cert "$BATS_TEST_TMPDIR/cert.pem" -www
    wait_until 20 port_in_use "$port"
    point wa-webhook-unified "https://localhost:$port/wa-webhook-unified"
}

# not_trusted: legacy has answered; unified counts as not reached, since nothing was sent to it; log and
# log row name the certificate
not_trusted() {
    fell_back
    [[ $(sql "SELECT error_message FROM webhook_routing_logs WHERE attempt = 1") == *ertificate* ]]
    grep '"event":"attempt_failed"' "$STACK/forwarder.log" | tail -n 1 | grep -i certificate
}

@test "fault 18: a certificate that nobody vouches for, of another name: legacy, loud, never unverified" {
    certificate somewhere.else.invalid
    tls_start
    post "$FIXTURES/text.json"
    not_trusted
}

@test "fault 18: an expired certificate: legacy, loud, never unverified" {
    [[ -x $(command -v faketime) ]] || skip 'faketime is not here'
    certificate localhost faketime '2020-01-01'
    tls_start
    post "$FIXTURES/text.json"
    not_trusted
}

# tls_front: unified is the stand-in behind TLS, with a certificate that the test's forwarder trusts; it
# takes one connection, and no other
tls_front() {
    local port
    port=$(free_port 22000)
    certificate localhost
    cc -shared -fPIC -D_GNU_SOURCE -o "$BATS_TEST_TMPDIR/trust.so" "$REPOSITORY/test/faults/trust.c"
    forwarder_with "LD_PRELOAD=$BATS_TEST_TMPDIR/trust.so" "TRUST=$BATS_TEST_TMPDIR/cert.pem"
    # shellcheck disable=SC2016
    process_start "$BATS_TEST_TMPDIR/peer.pid" "$BATS_TEST_TMPDIR/peer.log" bash -c '
        mkfifo "$1/down"
        exec 3<>"/dev/tcp/${2/://}"
        cat <&3 >"$1/down" &
        exec openssl s_server -quiet -naccept 1 -accept "127.0.0.1:$3" -key "$1/key.pem" -cert "$1/cert.pem" \
            <"$1/down" >&3' - "$BATS_TEST_TMPDIR" "${FUNCTIONS_URL#http://}" "$port"
    wait_until 20 port_in_use "$port"
    point wa-webhook-unified "https://localhost:$port/wa-webhook-unified?a=b"
}

@test "fault 18: a right certificate: the same bytes, the whole answer, one connection for three webhooks" {
    local file
    skip_sanitized 'it has to be the first library of the program'
    tls_front
    head -c 40000 /dev/zero | tr '\0' a >"$BATS_TEST_TMPDIR/answer"
    behave "name=wa-webhook-unified&file=$BATS_TEST_TMPDIR/answer"
    own_forwarder --connect-timeout 5s
    for file in "$FIXTURES/text.json" "$E2E_DIR/generated/text_3mb.json" "$FIXTURES/text_property.json"; do
        post "$file"
        equal "$status" 200
        equal "$(answer_header X-Routed-To)" wa-webhook-unified
        cmp "$STACK/answer.body" "$BATS_TEST_TMPDIR/answer"
        equal "$(seen '.requests[-1].sha256')" "$(sha256sum <"$file" | cut -d ' ' -f 1)"
    done
    equal "$(seen '.total')" 3
}

@test "fault 19: a name that does not exist: legacy" {
    point wa-webhook-unified http://nothing.invalid/wa-webhook-unified
    post "$FIXTURES/text.json"
    fell_back
}

@test "fault 19: a name server that does not answer: legacy after the connect timeout, and nobody else waits" {
    local waiting
    forwarder_with_names
    own_forwarder --connect-timeout 2s
    point wa-webhook-unified http://function.slow/wa-webhook-unified
    curl -s -o "$BATS_TEST_TMPDIR/waited" -w '%{http_code} %{time_total}' --data-binary "@$FIXTURES/text.json" \
        "$FORWARDER_URL/" >"$BATS_TEST_TMPDIR/waited.status" 3>&- &
    waiting=$!
    wait_until 20 metric_is 1 webhook_forwarder_in_flight_webhooks
    # Protected, so these never go to unified: before the deadline of the first, and after it; the look-up goes on
    # for 5 s.
    ms post "$FIXTURES/text_insurance.json"
    equal "$status" 200
    between "$TOOK_MS" 0 1800 'ms for another webhook meanwhile'
    wait "$waiting"
    ms post "$FIXTURES/text_insurance.json"
    equal "$status" 200
    between "$TOOK_MS" 0 1800 'ms for another webhook after the deadline'
    cat "$BATS_TEST_TMPDIR/waited.status"
    [[ $(<"$BATS_TEST_TMPDIR/waited.status") =~ ^200\ [1-4]\. ]]
    equal "$(jq -r .function "$BATS_TEST_TMPDIR/waited")" wa-webhook-jobs
}

@test "fault 20: unified takes the request and is silent: 504 at the deadline" {
    rule wa-webhook-unified 500 error
    chaos unified 'latency?ms=60000&direction=down'
    ms post "$FIXTURES/text.json"
    ambiguous 504
    between "$TOOK_MS" 450 9000 'ms, of 10000 without a deadline of its own'
}

@test "fault 20: under policy any a silent unified leads to legacy" {
    rule wa-webhook-unified 500 any
    chaos unified 'latency?ms=60000&direction=down'
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
    wait_logged 2
    equal "$(attempts)" $'1|unified|error|-|t\n2|legacy|success|200|f'
}

@test "fault 21: unified answers a byte a second: 504 at the deadline" {
    rule wa-webhook-unified 1500 error
    chaos unified 'rate?bytes=1&direction=down'
    ms post "$FIXTURES/text.json"
    ambiguous 504
    between "$TOOK_MS" 1400 9000 'ms, of 10000 without a deadline of its own'
    # Nor does it help to send the header at once and drip the body.
    clean_sheet
    routing 100
    rule wa-webhook-unified 1501 error
    chaos unified plain
    behave "name=wa-webhook-unified&body=$(printf 'a%.0s' {1..5000})"
    chaos unified 'rate?bytes=1000&direction=down'
    ms post "$FIXTURES/text.json"
    ambiguous 504
    between "$TOOK_MS" 1400 9000 'ms, of 10000 without a deadline of its own'
}

@test "fault 22: a reset after the whole request: ambiguous, delivered once" {
    chaos unified 'reset-answer?times=1'
    post "$FIXTURES/text.json"
    ambiguous 502
}

@test "fault 22: a reset in the middle of the request: ambiguous, and not sent again" {
    local before
    before=$(chaos_saw unified .resets)
    chaos unified 'reset-after?bytes=200000&direction=up'
    post "$E2E_DIR/generated/text_3mb.json"
    equal "$status" 502
    equal "$(seen '.total')" 0
    wait_logged 1
    equal "$(sql "SELECT attempt, routed_to, status, ambiguous FROM webhook_routing_logs")" '1|unified|error|t'
    (($(chaos_saw unified .resets) > before))
}

@test "fault 22: a reset in the middle of the answer: ambiguous, delivered once" {
    chaos unified 'reset-after?bytes=60&direction=down'
    post "$FIXTURES/text.json"
    ambiguous 502
}

@test "fault 23: a kept connection that dies at the next request: never sent twice" {
    post "$FIXTURES/text.json"
    equal "$status" 200
    chaos unified 'close-idle?times=1'
    post "$FIXTURES/text_property.json"
    # Nobody can know that it was not taken, so the client is told to come again, and does.
    equal "$status" 502
    equal "$(seen '.total')" 1
    post "$FIXTURES/text_property.json"
    equal "$status" 200
    equal "$(seen '.total')" 2
    equal "$(seen '.repeated_message_ids')" 0
}

@test "fault 23: a connection that has been idle for over 2 s is not used again" {
    local before
    post "$FIXTURES/text.json"
    before=$(chaos_saw unified .accepted)
    post "$FIXTURES/text.json"
    equal "$(chaos_saw unified .accepted)" "$before"
    sleep 3.2
    chaos unified 'close-idle?times=1'
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(chaos_saw unified .accepted)" "$((before + 1))"
}

@test "fault 24: fewer bytes than announced, a cut chunk, no last chunk: 502, never relayed as complete" {
    local bytes
    for bytes in 'Content-Length: 10\r\n\r\n12345' 'Transfer-Encoding: chunked\r\n\r\na\r\n12345' \
        'Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n' 'Transfer-Encoding: chunked\r\n\r\nzz\r\n12345\r\n0\r\n\r\n'; do
        clean_sheet
        routing 100
        answers "HTTP/1.1 200 OK\r\n$bytes"
        post "$FIXTURES/text.json"
        ambiguous 502
        [[ $(<"$STACK/answer.body") != *12345* ]]
    done
}

@test "fault 28: 100 and 103 in front: the final answer is relayed" {
    answers 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Type: text/html\r\nLink: <a>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ndone'
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(<"$STACK/answer.body")" 'done'
    equal "$(answer_header Content-Type)" text/plain
    wait_logged 1
    equal "$(attempts)" '1|unified|success|201|f'
}

@test "fault 29: junk, HTTP/0.9, conflicting lengths: 502, once" {
    local bytes
    for bytes in 'this is not HTTP\r\n\r\n' '{"ok": true}' '\x16\x03\x01\x02\x00\x01\xff\xff' 'HTTP/1.1\r\n\r\n' \
        'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}' \
        'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n' \
        'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}' \
        'HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}' ''; do
        clean_sheet
        routing 100
        answers "${bytes//%/%%}"
        post "$FIXTURES/text.json"
        ambiguous 502 || {
            printf 'after %q\n' "$bytes" >&2
            return 1
        }
    done
}

@test "fault 29: a length that is a list or has a sign: 502, once" {
    local length
    for length in '2, 4' '2, 2' '+2' ''; do
        clean_sheet
        routing 100
        answers "HTTP/1.1 200 OK\r\nContent-Length: $length\r\n\r\n{}{}"
        post "$FIXTURES/text.json"
        ambiguous 502
    done
}

@test "fault 30: an answer of 100 MB: 502, and no memory for it" {
    local before
    truncate -s 100M "$BATS_TEST_TMPDIR/large"
    before=$(memory_kb)
    behave "name=wa-webhook-unified&file=$BATS_TEST_TMPDIR/large"
    post "$FIXTURES/text.json"
    ambiguous 502
    between "$(($(memory_kb VmHWM) - before))" -100000 16000 'KB more'
}

@test "fault 31: neither can be reached: 503 at once, both attempts in the log" {
    chaos unified refuse
    point wa-webhook-jobs "http://127.0.0.1:$(free_port 19000)/wa-webhook-jobs"
    ms post "$FIXTURES/text.json"
    equal "$status" 503
    between "$TOOK_MS" 0 4000 'ms, of 5000 for a connection'
    wait_logged 2
    equal "$(attempts)" $'1|unified|error|-|f\n2|legacy|error|-|f'
}

@test "fault 32: unified ambiguous and legacy down: what unified's attempt is answered with" {
    point wa-webhook-jobs "http://127.0.0.1:$(free_port 19000)/wa-webhook-jobs"
    rule wa-webhook-unified 600 any
    chaos unified 'reset-answer?times=1'
    post "$FIXTURES/text.json"
    equal "$status" 502
    wait_logged 2
    equal "$(attempts)" $'1|unified|error|-|t\n2|legacy|error|-|f'
    chaos unified 'latency?ms=60000&direction=down'
    post "$FIXTURES/text.json"
    equal "$status" 504
}

@test "fault 33: a gzipped answer passes byte for byte" {
    gzip -9 <"$FIXTURES/text.json" >"$BATS_TEST_TMPDIR/answer.gz"
    behave "name=wa-webhook-unified&file=$BATS_TEST_TMPDIR/answer.gz&header=Content-Encoding:gzip"
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(answer_header Content-Encoding)" gzip
    cmp "$STACK/answer.body" "$BATS_TEST_TMPDIR/answer.gz"
    equal "$(header_seen Accept-Encoding)" ''
}

@test "fault 34: hop-by-hop fields of the answer, and those it names, stay behind" {
    answers 'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=9\r\nX-Private: a\r\nProxy-Authenticate: Basic\r\nTrailer: X-T\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-T: b\r\n\r\n'
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(<"$STACK/answer.body")" '{}'
    run grep -iE '^(keep-alive|x-private|proxy-|trailer|upgrade|x-t|transfer-encoding):' "$STACK/answer.headers"
    equal "$output" ''
}

@test "fault 35: proxies and passwords of the environment are ignored" {
    local home=$BATS_TEST_TMPDIR/home nowhere=http://127.0.0.1:1
    mkdir "$home"
    printf 'machine 127.0.0.1 login me password secret\n' >"$home/.netrc"
    forwarder_with "HOME=$home" "http_proxy=$nowhere" "HTTP_PROXY=$nowhere" "https_proxy=$nowhere" \
        "all_proxy=$nowhere" "ALL_PROXY=$nowhere" no_proxy=
    own_forwarder
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(answer_header X-Routed-To)" wa-webhook-unified
    equal "$(header_seen Authorization)$(header_seen Proxy-Connection)" ''
}

@test "fault 34: the fields of a trailer are not taken for those of the header" {
    answers 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\n'
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(<"$STACK/answer.body")" 'ok'
    run grep -iE '^content-(type|encoding):' "$STACK/answer.headers"
    equal "${output//$'\r'/}" 'Content-Type: text/plain'
}

@test "fault 36: any complete 2xx is 200 to the client" {
    local code
    for code in 200 201 202 204 206 226 299; do
        behave "name=wa-webhook-unified&status=$code&body="
        post "$FIXTURES/text.json"
        equal "$status" 200 "after $code"
    done
    wait_logged 7
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE status = 'success'")" 7
}
