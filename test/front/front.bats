#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# shellcheck disable=SC2030,SC2031  # each test sets and reads status in its own shell
#
# forwarder/front/nginx.conf and haproxy.cfg, between a client that speaks TLS and a forwarder: what they
# pass on, what they keep away, and that no webhook passes twice.

setup_file() {
    load helper
    export STACK=$BATS_FILE_TMPDIR
    printf 'the secret of the app\n' >"$STACK/app-secret"
    stack_start e2e_tls_front --app-secret-file "$STACK/app-secret" --receive-timeout 3s
    front_certificate
    chaos_start forwarder "127.0.0.1:$FORWARDER_PORT"
    for kind in nginx haproxy; do
        # Twice, so that there is another one to turn to.
        front_start "$kind" "$(chaos_port forwarder):$ADMIN_PORT" "$(chaos_port forwarder):$ADMIN_PORT"
        echo "$PIPE_PORT" >"$STACK/$kind.pipe"
        echo "$FRONT_PORT" >"$STACK/$kind.tls"
    done
}

teardown_file() {
    load helper
    front_stop nginx
    front_stop haproxy
    chaos_stop forwarder
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    chaos forwarder plain
    clean_sheet
}

HOST='Host: webhooks.example\r\n'

# each FUNCTION [ARGUMENT]...: for both fronts, each with a clean sheet
each() {
    local kind
    for kind in nginx haproxy; do
        echo "# $kind"
        curl -fs -X POST "$CONTROL_URL/_standin/reset" >/dev/null
        "$@" "$kind"
    done
}

# signature FILE
signature() {
    printf 'X-Hub-Signature-256: sha256=%s' \
        "$(openssl dgst -sha256 -hmac 'the secret of the app' -r "$1" | cut -d ' ' -f 1)"
}

# tls KIND ARGUMENT...: a handshake; succeeds when it does
tls() {
    local port
    port=$(<"$STACK/$1.tls")
    shift
    openssl s_client -connect "127.0.0.1:$port" -CAfile "$STACK/chain.pem" -verify_return_error \
        -cipher 'ALL:@SECLEVEL=0' "$@" </dev/null >"$BATS_TEST_TMPDIR/tls" 2>&1
}

tls_versions() {
    tls "$1" -servername webhooks.example -tls1_2
    tls "$1" -servername webhooks.example -tls1_3
    grep 'Protocol  *: TLSv1.3\|New, TLSv1.3' "$BATS_TEST_TMPDIR/tls"
    run ! tls "$1" -servername webhooks.example -tls1_1
    run ! tls "$1" -servername webhooks.example -tls1_2 -cipher 'AES128-SHA:AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0'
    # Another name, or none, and no certificate is shown.
    run ! tls "$1" -servername other.example -tls1_2
    run ! grep 'BEGIN CERTIFICATE' "$BATS_TEST_TMPDIR/tls"
    run ! tls "$1" -noservername -tls1_2
    run ! grep 'BEGIN CERTIFICATE' "$BATS_TEST_TMPDIR/tls"
}

@test "TLS 1.2 and 1.3 with forward secrecy, for one name, and nothing else" { each tls_versions; }

handshake() {
    curl -s -G "http://127.0.0.1:$(<"$STACK/$1.pipe")/" -H 'Host: webhooks.example' --data-urlencode hub.mode=subscribe \
        --data-urlencode "hub.verify_token=$TOKEN" --data-urlencode 'hub.challenge=a+b%20c' >"$BATS_TEST_TMPDIR/challenge"
    equal "$(<"$BATS_TEST_TMPDIR/challenge")" 'a+b%20c'
}

@test "the handshake passes, and the verify token is in no log" {
    each handshake
    wait_until 5 grep -q GET "$STACK/webhook-forwarder.log"
    wait_until 5 grep -q GET "$STACK/haproxy.log"
    run ! grep -F 'battery' "$STACK/webhook-forwarder.log" "$STACK/haproxy.log" "$STACK/nginx.log"
}

three_megabytes() {
    local large=$BATS_TEST_TMPDIR/large
    head -c 2249000 /dev/urandom | base64 -w 0 >"$large.padding"
    jq -c --rawfile padding "$large.padding" '.padding = $padding' "$FIXTURES/text.json" >"$large"
    between "$(stat -c %s "$large")" 2900000 3200000 bytes
    through "$1" post "$large" -H "$(signature "$large")" -H 'Host: webhooks.example' -H 'X-Correlation-ID: kept-as-it-is' \
        -H 'X-Forwarded-For: 203.0.113.9'
    equal "$status" 200
    equal "$(answer_header X-Correlation-ID)" kept-as-it-is
    equal "$(header_seen X-Correlation-ID)" kept-as-it-is
    equal "$(header_seen X-Forwarded-For)" ''
    curl -fs "$CONTROL_URL/_standin/body?number=1" | cmp - "$large"
    # Nothing of it has been on a disk.
    equal "$(find "$STACK"/nginx.body "$STACK"/nginx.proxy -type f 2>/dev/null | wc -l)" 0
}

@test "3 MB pass byte for byte, signed, with their correlation id" { each three_megabytes; }

# What the forwarder gets to see, from a function that stands in its place.
passed_on() {
    local port kind=$1
    front_stop "$kind"
    front_start "$kind" "${FUNCTIONS_URL##*:}:$ADMIN_PORT"
    port=$PIPE_PORT
    [[ $kind == nginx ]] || wait_until 5 curl -fs "http://127.0.0.1:$port/"
    curl -fs -X POST "$CONTROL_URL/_standin/reset" >/dev/null
    for _ in 1 2; do
        curl -s --path-as-is -H 'Host: webhooks.example:8443' -H 'X-Forwarded-For: 203.0.113.9' -H 'Forwarded: for=203.0.113.9' \
            -H 'X-Correlation-ID: one' --data-binary '{"a": 1}' "http://127.0.0.1:$port/fn//%2e%2E/a%2Fb?q=%20+;&x" >/dev/null
    done
    front_stop "$kind"
    front_start "$kind" "$(chaos_port forwarder):$ADMIN_PORT" "$(chaos_port forwarder):$ADMIN_PORT"
    echo "$PIPE_PORT" >"$STACK/$kind.pipe"
    echo "$FRONT_PORT" >"$STACK/$kind.tls"
    seen '.requests[-1]' >"$BATS_TEST_TMPDIR/passed.$kind"
    cat "$BATS_TEST_TMPDIR/passed.$kind"
    equal "$(header_seen Host)" webhooks.example:8443
    equal "$(header_seen X-Forwarded-For)" 127.0.0.1
    equal "$(header_seen X-Forwarded-Proto)" https
    equal "$(header_seen Forwarded)" ''
    equal "$(header_seen X-Correlation-ID)" one
    equal "$(header_seen Content-Length)" 8
    equal "$(header_seen Transfer-Encoding)" ''
    # Two requests of two clients over one connection.
    [[ $(header_seen Connection) != close ]]
}

@test "Host, path and query pass unchanged, who the client is is said by the front" { each passed_on; }

# sent_once KIND: the forwarder's connection is reset when the request has left
sent_once() {
    local file
    file=$(text 'I need a job')
    # The first over a new connection, the second over one that was kept.
    chaos forwarder 'reset-answer?times=1'
    through "$1" post "$file" -H "$(signature "$file")" -H 'Host: webhooks.example' -m 10
    [[ $status == 502 || $status == 000 ]]
    sleep 1
    equal "$(seen .total)" 1 'requests at the functions'
    file=$(text 'I need a job')
    through "$1" post "$file" -H "$(signature "$file")" -H 'Host: webhooks.example'
    equal "$status" 200
    file=$(text 'I need a job')
    chaos forwarder 'reset-answer?times=1'
    through "$1" post "$file" -H "$(signature "$file")" -H 'Host: webhooks.example' -m 10
    [[ $status == 502 || $status == 000 ]]
    sleep 0.7
    equal "$(seen '"\(.total) \(.repeated_message_ids)"')" '3 0' 'requests at the functions'
}

@test "a forwarder that resets after the request: 502, and no POST is sent again" { each sent_once; }

limit() {
    head -c 4194305 /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/long"
    through "$1" post "$BATS_TEST_TMPDIR/long" -H 'Host: webhooks.example'
    equal "$status" 413
    head -c 4194304 "$BATS_TEST_TMPDIR/long" >"$BATS_TEST_TMPDIR/fits"
    through "$1" post "$BATS_TEST_TMPDIR/fits" -H "$(signature "$BATS_TEST_TMPDIR/fits")" -H 'Host: webhooks.example'
    equal "$status" 200
    # Without a length: whoever counts, it is not passed to a function.
    through "$1" post "$BATS_TEST_TMPDIR/long" -H "$(signature "$BATS_TEST_TMPDIR/long")" \
        -H 'Host: webhooks.example' -H 'Transfer-Encoding: chunked'
    equal "$status" 413
    equal "$(seen .total)" 1
}

@test "bodies up to 4 MiB, and none beyond" { each limit; }

private() {
    local path code
    for path in livez readyz metrics status status.json page.js; do
        code=$(curl -s -o "$BATS_TEST_TMPDIR/private" -w '%{http_code}' -H 'Host: webhooks.example' "http://127.0.0.1:$(<"$STACK/$1.pipe")/$path")
        # A webhook may be called so; to GET is not how it is posted.
        [[ $code == 404 || $code == 405 ]]
        run ! grep -E 'ok|serving|webhook_|<html' "$BATS_TEST_TMPDIR/private"
    done
}

@test "nothing of the admin listener is reached" { each private; }

unsigned() {
    through "$1" post "$FIXTURES/text.json" -H 'Host: webhooks.example'
    equal "$status" 401
    [[ -n $(answer_header X-Correlation-ID) ]]
    equal "$(seen .total)" 0
}

@test "what the forwarder refuses comes back as it says" { each unsigned; }

# One request that two parsers could read as two: the function never sees the second.
smuggled() {
    local probe length body="POST /wa-webhook-smuggled HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n{}"
    # Backslash sequences are one byte each.
    # shellcheck disable=SC2059
    length=$(printf "$body" | wc -c)
    for probe in \
        "Content-Length: $length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$body" \
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n$body" \
        "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n$body" \
        "Content-Length: 0\r\nContent-Length: $length\r\n\r\n$body" \
        "Content-Length : $length\r\nContent-Length: 0\r\n\r\n$body" \
        "Content-Length: 0\nTransfer-Encoding: chunked\r\n\r\n$body" \
        "X: a\r\n Content-Length: $length\r\n\r\n$body" \
        "Content-Length: +0\r\n\r\n$body" \
        "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n$body" \
        "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n$body"; do
        through "$1" wire "send:POST /wa-webhook-jobs HTTP/1.1\r\n${HOST}$probe" read:400
        printf '%s -> %s\n' "${probe:0:70}" "$(wire_statuses)"
        # No body here is signed: what is taken for a webhook is 401, and what is unclear 4xx, 501 or 505.
        equal "$(wire_statuses | tr ' ' '\n' | grep -vE '^(4|50[15]|$)' | xargs)" ''
    done
    equal "$(seen .total)" 0 'requests at the functions'
    handshake "$1"
}

@test "requests that could be read in two ways reach nobody" { each smuggled; }

slow() {
    # A header that never ends, and one that ends with a body that does not.
    through "$1" "$REPOSITORY/test/faults/wire.pl" "$(<"$STACK/$1.pipe")" \
        "send:POST / HTTP/1.1\r\n${HOST}X: " "drip:500:$(printf 'a%.0s' {1..60})" read:3000 >"$BATS_TEST_TMPDIR/header.$1" 3>&- &
    through "$1" "$REPOSITORY/test/faults/wire.pl" "$(<"$STACK/$1.pipe")" \
        "send:POST / HTTP/1.1\r\n${HOST}X-Hub-Signature-256: sha256=$(printf 'a%.0s' {1..64})\r\nContent-Length: 1000\r\n\r\n" \
        "drip:500:$(printf 'a%.0s' {1..60})" read:3000 >"$BATS_TEST_TMPDIR/body.$1" 3>&- &
}

@test "a slow header ends after ten seconds, a slow body with the forwarder's deadline" {
    local file
    each slow
    wait
    for file in header.nginx header.haproxy body.nginx body.haproxy; do
        tail -n 1 "$BATS_TEST_TMPDIR/$file"
        # closed or reset, and when
        run ! grep -a '^open' "$BATS_TEST_TMPDIR/$file"
    done
    between "$(tail -n 1 "$BATS_TEST_TMPDIR/header.nginx" | cut -d ' ' -f 2)" 5000 14000 ms
    between "$(tail -n 1 "$BATS_TEST_TMPDIR/header.haproxy" | cut -d ' ' -f 2)" 5000 14000 ms
    between "$(tail -n 1 "$BATS_TEST_TMPDIR/body.nginx" | cut -d ' ' -f 2)" 2000 9000 ms
    between "$(tail -n 1 "$BATS_TEST_TMPDIR/body.haproxy" | cut -d ' ' -f 2)" 2000 9000 ms
}
