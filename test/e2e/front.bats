#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# What the forwarder answers by itself: the handshake, health, and refusals that never reach a function.

bats_require_minimum_version 1.5.0

setup_file() {
    load helper
    stack_start e2e_front
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
}

# handshake TOKEN CHALLENGE: sets status; the answer is in $STACK/answer.*
handshake() {
    status=$(curl -s -G -o "$STACK/answer.body" -D "$STACK/answer.headers" -w '%{http_code}' \
        --data-urlencode hub.mode=subscribe --data-urlencode "hub.verify_token=$1" \
        --data-urlencode "hub.challenge=$2" "$FORWARDER_URL/")
}

# untouched: no function and no log row has seen anything
untouched() {
    equal "$(seen '.total')" 0 'requests at the functions'
    equal "$(logged)" 0 'log rows'
}

@test "handshake: the right token gets the exact challenge" {
    handshake "$TOKEN" 1158201444
    equal "$status" 200
    equal "$(cat "$STACK/answer.body"; echo .)" 1158201444.
    [[ $(answer_header Content-Type) == text/plain* ]]
    handshake "$TOKEN" 'a b+c&d=é"<script>%41/'
    equal "$(cat "$STACK/answer.body"; echo .)" 'a b+c&d=é"<script>%41/.'
    untouched
}

@test "handshake: a wrong, empty or missing token, or another mode, is refused" {
    handshake "$TOKEN-" 1
    equal "$status" 403
    handshake '' 1
    equal "$status" 403
    equal "$(curl -s -o /dev/null -w '%{http_code}' "$FORWARDER_URL/?hub.mode=subscribe&hub.challenge=1")" 403
    status=$(curl -s -G -o "$STACK/answer.body" -w '%{http_code}' --data-urlencode hub.mode=unsubscribe \
        --data-urlencode "hub.verify_token=$TOKEN" --data-urlencode hub.challenge=1 "$FORWARDER_URL/")
    [[ $status == 4* ]]
}

@test "health names the service and the routing in force" {
    routing 35
    in_force() { [[ $(curl -fs "$FORWARDER_URL/" | jq -c '.routing.percentage == 35 and .routing.enabled') == true ]]; }
    wait_until 20 in_force
    run -0 curl -fs "$FORWARDER_URL/"
    equal "$(jq -r '.service' <<<"$output")" webhook-traffic-router
    equal "$(jq -rc '.routing.domains' <<<"$output")" '["jobs","marketplace","property"]'
    equal "$(jq -r '.status' <<<"$output")" healthy || equal "$(jq -r '.status' <<<"$output")" ok
    [[ $(jq -r '.version' <<<"$output") == "$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$REPOSITORY/webhook_routing.control")" ]]
    [[ $(jq -r '.timestamp' <<<"$output") == 20* ]]
}

@test "live and ready on the admin listener, which relays nothing" {
    curl -fs "$ADMIN_URL/livez"
    curl -fs "$ADMIN_URL/readyz"
    [[ $(curl -s -o /dev/null -w '%{http_code}' -d '{}' "$ADMIN_URL/") == 4* ]]
    untouched
}

@test "the admin listener answers GET and HEAD, and says what there is" {
    run -0 curl -sI "$ADMIN_URL/livez"
    [[ $output == *' 200 OK'* && $output == *'Content-Length: 3'* ]]
    for method in POST PUT DELETE OPTIONS; do
        run -0 curl -s -i -X "$method" --data-binary '{}' "$ADMIN_URL/livez"
        [[ $output == *' 405 '* && $output == *'Allow: GET, HEAD'* ]] || {
            printf '%s: %s\n' "$method" "$output"
            return 1
        }
    done
    run -0 curl -s -i "$ADMIN_URL/nothing"
    [[ $output == *' 404 '* && $output == */livez* && $output == */readyz* && $output == */metrics* ]]
}

@test "who keeps the connections of the admin listener and asks nothing keeps no probe out" {
    local fd kept=()
    trap '' PIPE
    for _ in {1..140}; do
        exec {fd}<>"/dev/tcp/127.0.0.1/$ADMIN_PORT"
        kept+=("$fd")
        printf 'GET /livez HTTP/1.1\r\nX: ' >&"$fd"
    done
    for _ in 1 2 3; do
        equal "$(curl -s -m 8 "$ADMIN_URL/livez")" ok # a kept connection is patient for 10 s
    done
    for fd in "${kept[@]}"; do
        exec {fd}>&-
    done
}

@test "metrics are answered in Prometheus' text format, whoever runs the forwarder" {
    run -0 curl -fs "$ADMIN_URL/metrics"
    [[ $output == *$'\nwebhook_forwarder_workers 1\n'* ]]
    # What comes out of /proc is known though no other process may see into this one.
    run -1 grep -E '^process_.* NaN' <<<"$output"
}

@test "an unknown name is 404, and so is a path below a name" {
    local name
    for name in wa-webhook-nothing jobs wa-webhook-jobs/more .. '%2e%2e/wa-webhook-jobs' metrics; do
        NAMED=$name post "$FIXTURES/text.json" --path-as-is
        equal "$status" 404 "$name"
    done
    untouched
}

@test "a name with all that a name may hold is one" {
    sql "INSERT INTO webhook_routing_targets (name) VALUES ('Wa.jobs_2-b')" \
        "INSERT INTO webhook_routing_domains (domain, legacy_target, priority) VALUES ('dotted', 'Wa.jobs_2-b', 900)"
    wait_rules
    NAMED=Wa.jobs_2-b post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(seen '.requests[-1].function')" Wa.jobs_2-b
}

@test "other methods are refused" {
    local method
    for method in PUT DELETE PATCH TRACE CONNECT; do
        [[ $(curl -s -o /dev/null -w '%{http_code}' -X "$method" "$FORWARDER_URL/wa-webhook-jobs") == [45]* ]]
    done
    untouched
}

@test "a body over the limit is 413, announced or in chunks" {
    head -c 4194305 /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/large"
    post "$BATS_TEST_TMPDIR/large"
    equal "$status" 413
    post "$BATS_TEST_TMPDIR/large" -H 'Transfer-Encoding: chunked'
    equal "$status" 413
    untouched
    head -c 4194304 "$BATS_TEST_TMPDIR/large" >"$BATS_TEST_TMPDIR/fits"
    post "$BATS_TEST_TMPDIR/fits"
    equal "$status" 200
}

# refused BYTES WHAT: answered 4xx or 505 or closed, never relayed
refused() {
    local answer
    answer=$(raw "$1" | head -n 1 | tr -d '\r')
    [[ -z $answer || $answer =~ ^HTTP/1\.[01]\ (4..|501|505) ]] || {
        echo "$2 was answered: $answer" >&2
        return 1
    }
}

# answered_400 BYTES WHAT
answered_400() {
    local answer
    answer=$(raw "$1" | head -n 1 | tr -d '\r')
    [[ $answer =~ ^HTTP/1\.[01]\ 400 ]] || {
        echo "$2 was answered: $answer" >&2
        return 1
    }
}

@test "bad framing is 400, and no function sees it" {
    local host='Host: a\r\n' body='{}'
    answered_400 "POST / HTTP/1.1\r\n${host}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" 'length with chunks'
    answered_400 "POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n" 'chunks with length'
    answered_400 "POST / HTTP/1.1\r\n${host}Content-Length: 2\r\nContent-Length: 3\r\n\r\n$body" 'two lengths'
    answered_400 "POST / HTTP/1.1\r\n${host}Content-Length: 2\r\nContent-Length: 2\r\n\r\n$body" 'the same length twice'
    answered_400 "POST / HTTP/1.1\r\n${host}Content-Length: +2\r\n\r\n$body" 'a signed length'
    answered_400 "POST / HTTP/1.1\r\n${host}Content-Length: 2, 2\r\n\r\n$body" 'a list of lengths'
    answered_400 "POST / HTTP/1.1\r\n${host}Content-Length : 2\r\n\r\n$body" 'a space before the colon'
    answered_400 "POST / HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" 'an unknown coding'
    answered_400 "POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" 'chunked twice'
    answered_400 "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n$body" 'no Host'
    answered_400 "POST / HTTP/1.1\r\n${host}${host}Content-Length: 2\r\n\r\n$body" 'two Hosts'
    answered_400 "POST / HTTP/1.1\r\n${host}Connection: X-Hub-Signature-256\r\nContent-Length: 2\r\n\r\n$body" 'a signature made hop-by-hop'
    untouched
}

@test "what cannot be HTTP is refused or closed, and no function sees it" {
    local host='Host: a\r\n'
    refused "POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" 'chunks in HTTP/1.0'
    refused "POST / HTTP/1.1\r\n${host}Content-Length: 18446744073709551619\r\n\r\n{}" 'a length beyond 64 bits'
    refused "POST / HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n{}" 'a negative length'
    refused "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" 'the HTTP/2 preface'
    refused "CONNECT a:443 HTTP/1.1\r\n${host}\r\n" CONNECT
    refused "OPTIONS * HTTP/1.1\r\n${host}\r\n" 'OPTIONS *'
    refused "POST / HTTP/1.1\r\n${host}X-Long: $(head -c 40000 /dev/zero | tr '\0' a)\r\nContent-Length: 2\r\n\r\n{}" 'a header of 40 KB'
    refused "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" 'a TLS greeting'
    untouched
    # And it still serves.
    post "$FIXTURES/text.json"
    equal "$status" 200
}

@test "a folded header is 400, or no function sees it, and one request stays one" {
    local answer
    answer=$(raw 'POST / HTTP/1.1\r\nHost: a\r\nX-Hub-Signature-256: sha256=00\r\n folded: 1\r\nContent-Length: 2\r\n\r\n{}')
    equal "$(grep -c '^HTTP/' <<<"$answer")" 1 answers
    [[ $answer =~ ^HTTP/1\.1\ 400 ]] || {
        equal "$(seen '.total')" 1
        equal "$(header_seen X-Hub-Signature-256)$(header_seen folded)" ''
    }
}

@test "three pipelined requests get three answers in order" {
    local one
    one="POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Correlation-ID: pipe-%s\r\nContent-Length: 2\r\n\r\n{}"
    # shellcheck disable=SC2059
    run raw "$(printf "${one//\\/\\\\}" 1)$(printf "${one//\\/\\\\}" 2)$(printf "${one//\\/\\\\}" 3)"
    equal "$(tr -d '\r' <<<"$output" | sed -n 's/^X-Correlation-ID: //Ip' | tr '\n' ' ')" 'pipe-1 pipe-2 pipe-3 '
}

@test "Expect: 100-continue is answered, and not passed on" {
    post "$FIXTURES/text.json" -H 'Expect: 100-continue'
    equal "$status" 200
    equal "$(header_seen Expect)" ''
}

@test "neither bodies nor phone numbers are in the forwarder's own log" {
    post "$FIXTURES/text.json"
    behave 'name=wa-webhook-jobs&status=500'
    post "$FIXTURES/text.json"
    NAMED=wa-webhook-nothing post "$FIXTURES/text.json"
    wait_logged 2
    equal "$(grep -cE '2507|looking for|wamid' "$STACK/forwarder.log")" 0
    # Every line is JSON.
    jq -e . "$STACK/forwarder.log" >/dev/null
}
