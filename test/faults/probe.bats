#!/usr/bin/env bats
setup_file() { load helper; stack_start probe; }
teardown_file() { load helper; stack_stop; }
setup() { load helper; cluster_open "$E2E_DIR/cluster"; clean_sheet; }
@test "probe" {
  show() { local w=$1; shift; wire "$@" ; echo "### $w => [$(wire_statuses)] heads $(grep -c '^HTTP/' <<<"$wire_answer") end=$wire_end $wire_ms ms seen=$(seen .total)" >&3; }
  H='Host: a\r\n'
  show "CL+TE" "send:POST / HTTP/1.1\r\n${H}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" read:2000
  show "2CL" "send:POST / HTTP/1.1\r\n${H}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" read:2000
  show "+3" "send:POST / HTTP/1.1\r\n${H}Content-Length: +3\r\n\r\n{ }" read:2000
  show "3, 3" "send:POST / HTTP/1.1\r\n${H}Content-Length: 3, 3\r\n\r\n{ }" read:2000
  show "2^64+3" "send:POST / HTTP/1.1\r\n${H}Content-Length: 18446744073709551619\r\n\r\n{ }" read:2000
  show "-1" "send:POST / HTTP/1.1\r\n${H}Content-Length: -1\r\n\r\n{ }" read:2000
  show "0x3" "send:POST / HTTP/1.1\r\n${H}Content-Length: 0x3\r\n\r\n{ }" read:2000
  show "empty CL" "send:POST / HTTP/1.1\r\n${H}Content-Length: \r\n\r\n{ }" read:2000
  show "xchunked" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" read:2000
  show "TE twice" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" read:2000
  show "TE 1.0" "send:POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" read:2000
  show "TE gzip, chunked" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" read:2000
  show "TE identity" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "space colon" "send:POST / HTTP/1.1\r\n${H}Content-Length : 2\r\n\r\n{}" read:2000
  show "space colon TE" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "obs-fold" "send:POST / HTTP/1.1\r\n${H}X-A: 1\r\n b\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "obs-fold TE" "send:POST / HTTP/1.1\r\n${H}Content-Length: 2\r\nX-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n{}" read:2000
  show "fold first" "send:POST / HTTP/1.1\r\n X: 1\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "NUL in value" "send:POST / HTTP/1.1\r\n${H}X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "NUL in name" "send:POST / HTTP/1.1\r\n${H}X-\0A: a\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "NUL in CL" "send:POST / HTTP/1.1\r\n${H}Content-Length: 2\0 3\r\n\r\n{}" read:2000
  show "NUL in URI" "send:POST /wa-webhook-jobs\0x HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "bare CR in value" "send:POST / HTTP/1.1\r\n${H}X-A: a\rContent-Length: 5\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "bare LF" "send:POST / HTTP/1.1\n${H}Content-Length: 2\n\n{}" read:2000
  show "bare LF in header" "send:POST / HTTP/1.1\r\n${H}X-A: a\nContent-Length: 5\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "bare LF chunk" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" read:2000
  show "chunk ext" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n" read:2000
  show "chunk neg" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n" read:2000
  show "chunk 0x" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n" read:2000
  show "chunk huge" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n" read:2000
  show "chunk no crlf" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n2\r\n{}X0\r\n\r\n" read:2000
  show "trailer CL" "send:POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n" read:2000
  show "no host" "send:POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "2 hosts" "send:POST / HTTP/1.1\r\n${H}${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "host @" "send:POST / HTTP/1.1\r\nHost: a@b\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "40K header" "send:POST / HTTP/1.1\r\n${H}X-Long: " fill:40000:a "send:\r\nContent-Length: 2\r\n\r\n{}" read:2000
  echo "$wire_answer" | cut -c1-100 >&3
  show "9K header" "send:POST / HTTP/1.1\r\n${H}X-Long: " fill:9000:a "send:\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "15K header" "send:POST / HTTP/1.1\r\n${H}X-Long: " fill:15000:a "send:\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "17K header" "send:POST / HTTP/1.1\r\n${H}X-Long: " fill:17000:a "send:\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "many headers" "send:POST / HTTP/1.1\r\n${H}" "fill:2000:X-A: b\r\n" "send:Content-Length: 2\r\n\r\n{}" read:2000
  show "long URI 5000" "send:POST /" fill:5000:a "send: HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "long URI 100000" "send:POST /" fill:100000:a "send: HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  echo "$wire_answer" | cut -c1-100 >&3
  show "%00" "send:POST /wa-webhook-jobs%00 HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "CONNECT" "send:CONNECT a:443 HTTP/1.1\r\n${H}\r\n" read:2000
  show "TRACE" "send:TRACE / HTTP/1.1\r\n${H}\r\n" read:2000
  show "OPTIONS *" "send:OPTIONS * HTTP/1.1\r\n${H}\r\n" read:2000
  show "POST *" "send:POST * HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "PRI" "send:PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" read:2000
  echo "$wire_answer" | cut -c1-100 >&3
  show "absolute" "send:POST http://a/wa-webhook-jobs HTTP/1.1\r\n${H}Content-Length: 2\r\nConnection: close\r\n\r\n{}" read:2000
  show "garbage" "send:\x16\x03\x01\x02\r\n\r\n" read:2000
  echo "$wire_answer" | cut -c1-100 >&3
  show "HTTP/1.2" "send:POST / HTTP/1.2\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "HTTP/3.0" "send:POST / HTTP/3.0\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "no version" "send:POST /\r\n\r\n" read:2000
  echo "$wire_answer" | cut -c1-100 >&3
  show "lower http" "send:POST / http/1.1\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "two spaces" "send:POST  /  HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\n{}" read:2000
  show "Conn sig" "send:POST / HTTP/1.1\r\n${H}Connection: X-Hub-Signature-256\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "no colon" "send:POST / HTTP/1.1\r\n${H}Nonsense\r\nContent-Length: 2\r\n\r\n{}" read:2000
  echo "$wire_answer" | cut -c1-100 >&3
  show "empty name" "send:POST / HTTP/1.1\r\n${H}: x\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "Expect other" "send:POST / HTTP/1.1\r\n${H}Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}" read:2000
  show "Upgrade h2c" "send:POST / HTTP/1.1\r\n${H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n\r\n{}" read:1000
}
@test "two" {
  H='Host: a\r\n'
  wire "send:POST / HTTP/1.1\r\n${H}Content-Length: +3\r\n\r\n{ }" read:2000; echo "$wire_answer" >&3
  wire "send:POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{ }" read:2000; echo "$wire_answer" >&3
}
