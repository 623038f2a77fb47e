#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Requests that two parsers could read differently, or that are none: refused before anything is
# asked, the connection closed, no function reached. Each is sent as bytes, and behind it a second
# request, which must not be found in the first one's body.

setup_file() {
    load helper
    stack_start faults_framing
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

HOST='Host: a\r\n'
SMUGGLED='POST /wa-webhook-insurance HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}'

# refused STATUSES WHAT BYTES: what is answered is that (a regular expression), the connection closes, and
# nobody has seen a thing
refused() {
    wire "send:$3$SMUGGLED" read:20000
    [[ $(wire_statuses) =~ ^$1$ ]] || {
        echo "$2: answered $(wire_statuses), not $1" >&2
        return 1
    }
    [[ $WIRE_END != open ]] || {
        echo "$2: the connection stays open" >&2
        return 1
    }
    untouched || {
        echo "$2: not refused" >&2
        return 1
    }
}

@test "fault 61: Content-Length with Transfer-Encoding is 400, and the connection closes" {
    refused 400 'length, then chunks' "POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    refused 400 'chunks, then length' "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    refused 400 'identity with length' "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}"
}

@test "fault 62: two Content-Lengths are 400, the same number twice too" {
    refused 400 'two lengths' "POST / HTTP/1.1\r\n${HOST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "
    refused 400 'one length twice' "POST / HTTP/1.1\r\n${HOST}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"
}

@test "fault 63: a Content-Length that is no plain number is 400 or 413" {
    local value
    # libmicrohttpd 0.9 answers these by itself, and writes its header twice into that answer.
    for value in '+3' '3, 3' '-1' '0x3' '3a' '' '3 3' '18446744073709551619' '99999999999999999999999999999'; do
        refused '(400( 400)?|413( 413)?)' "Content-Length: $value" "POST / HTTP/1.1\r\n${HOST}Content-Length: $value\r\n\r\n{ }"
    done
}

@test "fault 64: a Transfer-Encoding other than one chunked, or in HTTP/1.0, is 400" {
    local value
    for value in xchunked 'chunked, chunked' 'gzip, chunked' 'chunked, identity' ' chunked;q=1' '\x0bchunked'; do
        refused 400 "Transfer-Encoding: $value" "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: $value\r\n\r\n0\r\n\r\n"
    done
    refused 400 'twice' "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    refused 400 'HTTP/1.0' "POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
}

@test "fault 64: chunks whose sizes are no plain hexadecimal numbers are 400 or 413" {
    local size
    for size in -2 +2 0x2 ' 2' '2 2' g 10000000000000002; do
        wire "send:POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n$size\r\n{}\r\n0\r\n\r\n$SMUGGLED" read:20000
        [[ $(wire_statuses) =~ ^(400|413)$ && $WIRE_END != open ]] || {
            echo "chunk size '$size': $(wire_statuses)" >&2
            return 1
        }
    done
    untouched
}

@test "fault 65: white space before the colon is 400" {
    refused 400 'length' "POST / HTTP/1.1\r\n${HOST}Content-Length : 2\r\n\r\n{}"
    refused 400 'encoding' "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n{}"
    refused 400 'tab' "POST / HTTP/1.1\r\n${HOST}Content-Length\t: 2\r\n\r\n{}"
}

@test "fault 66: a folded header line is 400" {
    refused 400 'a value' "POST / HTTP/1.1\r\n${HOST}X-A: 1\r\n folded\r\nContent-Length: 2\r\n\r\n{}"
    refused 400 'a length' "POST / HTTP/1.1\r\n${HOST}Content-Length:\r\n 2\r\n\r\n{}"
    refused 400 'a folded encoding' "POST / HTTP/1.1\r\n${HOST}Content-Length: 2\r\nX-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n{}"
    refused 400 'before the first field' "POST / HTTP/1.1\r\n X-A: 1\r\n${HOST}Content-Length: 2\r\n\r\n{}"
    refused 400 'a signature' "POST / HTTP/1.1\r\n${HOST}X-Hub-Signature-256: sha256=00\r\n\tmore\r\nContent-Length: 2\r\n\r\n{}"
}

@test "fault 67: NUL and bare CR in the header are 400" {
    refused 400 'NUL in a value' "POST / HTTP/1.1\r\n${HOST}X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}"
    refused 400 'NUL in a name' "POST / HTTP/1.1\r\n${HOST}X-\0A: a\r\nContent-Length: 2\r\n\r\n{}"
    refused 400 'NUL in a length' "POST / HTTP/1.1\r\n${HOST}Content-Length: 2\0 3\r\n\r\n{}"
    refused 400 'NUL in the target' "POST /wa-webhook-jobs\0x HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n{}"
    refused 400 'CR in a value' "POST / HTTP/1.1\r\n${HOST}X-A: a\rb\r\nContent-Length: 2\r\n\r\n{}"
    refused 400 'CR before a field' "POST / HTTP/1.1\r\n${HOST}X-A: a\rContent-Length: 9\r\nContent-Length: 2\r\n\r\n{}"
}

@test "fault 68: lines that end in LF alone are 400" {
    refused 400 'all of them' "POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}"
    refused 400 'the request line' "POST / HTTP/1.1\n${HOST}Content-Length: 2\r\n\r\n{}"
    refused 400 'one field' "POST / HTTP/1.1\r\n${HOST}X-A: a\nContent-Length: 2\r\n\r\n{}"
    refused 400 'the empty line' "POST / HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\n{}"
}

@test "fault 68: chunks with bare LF stay one request, whose bytes are measured anew" {
    wire "send:POST /wa-webhook-jobs HTTP/1.1\r\n${HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" read:20000
    [[ $(wire_statuses) == 400 ]] || {
        equal "$(seen '"\(.total) \(.requests[-1].size)"')" '1 2'
        equal "$(header_seen Content-Length)" 2
        equal "$(header_seen Transfer-Encoding)" ''
    }
}

@test "fault 69: no Host, two Hosts and a Host that is none are 400" {
    refused 400 none "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
    refused 400 two "POST / HTTP/1.1\r\n${HOST}Host: b\r\nContent-Length: 2\r\n\r\n{}"
    refused 400 'a list' "POST / HTTP/1.1\r\nHost: a, b\r\nContent-Length: 2\r\n\r\n{}"
    refused 400 'a user' "POST / HTTP/1.1\r\nHost: a@b\r\nContent-Length: 2\r\n\r\n{}"
}

@test "fault 70: a header that is too long is 431" {
    local size
    for size in 9000 17000 40000; do
        wire "send:POST / HTTP/1.1\r\n${HOST}X-Long: " "fill:$size:a" "send:\r\nContent-Length: 2\r\n\r\n{}" read:20000
        equal "$(wire_statuses) $WIRE_END" '431 closed' "a field of $size bytes"
    done
    wire "send:POST / HTTP/1.1\r\n${HOST}" 'fill:4000:X-A: b\r\n' "send:Content-Length: 2\r\n\r\n{}" read:20000
    equal "$(wire_statuses)" 431 'many fields'
    untouched
    still_serves
}

@test "fault 71: a long request target is 414, an encoded NUL 404" {
    local size
    for size in 5000 100000; do
        wire "send:POST /" "fill:$size:a" "send: HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n{}" read:20000
        equal "$(wire_statuses) $WIRE_END" '414 closed' "$size bytes"
    done
    wire "send:POST /wa-webhook-jobs%00 HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 2\r\n\r\n{}" read:20000
    equal "$(wire_statuses)" 404
    wire "send:POST /%2e%2e/wa-webhook-jobs HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 2\r\n\r\n{}" read:20000
    equal "$(wire_statuses)" 404
    untouched
}

# client_error WHAT BYTES: answered 4xx or 505, or closed without a word
client_error() {
    wire "send:$2" read:3000
    [[ $(wire_statuses) =~ ^(4[0-9][0-9]|505)?$ ]] || {
        echo "$1: $(wire_statuses)" >&2
        return 1
    }
}

@test "fault 76: CONNECT, TRACE, *, HTTP/2 and what is no HTTP are 4xx or 505" {
    client_error CONNECT "CONNECT a:443 HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n"
    client_error TRACE "TRACE / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n"
    client_error 'OPTIONS *' "OPTIONS * HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n"
    client_error 'POST *' "POST * HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 2\r\n\r\n{}"
    client_error 'the HTTP/2 preface' 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    equal "$(wire_statuses)" 505
    client_error HTTP/3.0 "POST / HTTP/3.0\r\n${HOST}Content-Length: 2\r\n\r\n{}"
    client_error HTTP/0.9 'POST /\r\n\r\n'
    client_error 'a TLS greeting' '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'
    client_error 'no colon' "POST / HTTP/1.1\r\n${HOST}Nonsense\r\nContent-Length: 2\r\n\r\n{}"
    client_error 'no name' "POST / HTTP/1.1\r\n${HOST}: a\r\nContent-Length: 2\r\n\r\n{}"
    untouched
    still_serves
}

@test "fault 76: the absolute form is accepted" {
    wire "send:POST http://a/wa-webhook-property HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 2\r\n\r\n{}" read:20000
    equal "$(wire_statuses)" 200
    equal "$(seen '.requests[-1].function')" wa-webhook-property
}

@test "fault 79: Connection must not name a field of the message" {
    local name
    for name in X-Hub-Signature-256 x-hub-signature-256 'close, Content-Type' Host Content-Length Content-Encoding; do
        refused 400 "Connection: $name" "POST / HTTP/1.1\r\n${HOST}Connection: $name\r\nContent-Length: 2\r\n\r\n{}"
    done
    # An upgrade is not taken up, and is no fault.
    wire "send:POST / HTTP/1.1\r\n${HOST}Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 2\r\n\r\n{}" read:20000
    equal "$(wire_statuses)" 200
    equal "$(header_seen Upgrade)" ''
}
