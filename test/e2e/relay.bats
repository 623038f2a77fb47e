#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# A webhook's way through the forwarder: the same bytes, the right function, the headers of both sides,
# one log row. (What goes wrong is in failure.bats, what is refused in front.bats.)

setup_file() {
    load helper
    stack_start e2e_relay
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

teardown() { own_forwarder_stop; }

# relayed FILE...: each arrives once, byte for byte, at the function that route_decide names
relayed() {
    local file sent=$BATS_TEST_TMPDIR/sent wrong=0
    : >"$sent"
    for file in "$@"; do
        post "$file"
        printf '%s\t%s\t%s\n' "$(sha256sum <"$file" | cut -d ' ' -f 1)" "$(answer_header X-Routed-To)" \
            "${file##*/}" >>"$sent"
        if [[ $status != 200 ]]; then
            echo "${file##*/} was answered $status"
            wrong=1
        fi
    done
    curl -fs "$CONTROL_URL/_standin/report?last=4096" |
        jq -r '.requests[] | "\(.sha256)\t\(.function)"' | sort >"$BATS_TEST_TMPDIR/seen"
    cut -f 1,2 "$sent" | sort | diff - "$BATS_TEST_TMPDIR/seen" || wrong=1
    ((wrong == 0))
}

@test "every fixture arrives byte for byte" {
    relayed "$FIXTURES"/*
    wait_logged "$(tail -n +2 "$FIXTURES/../expected.tsv" | awk -F '\t' '{ sum += $2 } END { print sum }')"
}

@test "every fixture goes where route_decide says" {
    local file wrong=0 decided
    routing 50
    for file in "$FIXTURES"/*; do
        post "$file"
        decided=$({
            printf "SELECT webhook_name || '|' || routed_to || '; reason=' || reason FROM route_decide('\\\\x"
            xxd -p "$file" | tr -d '\n'
            printf "'::bytea)\n"
        } | psql -XqAt)
        if [[ "$(answer_header X-Routed-To)|$(answer_header X-Routing-Decision)" != "$decided" ]]; then
            echo "${file##*/}: $(answer_header X-Routed-To) $(answer_header X-Routing-Decision), not $decided"
            wrong=1
        fi
    done
    ((wrong == 0))
}

@test "bodies of 3 MB, depth 100,000 and 1,000 messages arrive byte for byte" {
    relayed "$E2E_DIR"/generated/*.json "$E2E_DIR"/generated/*.bin
}

@test "every extra payload arrives byte for byte" {
    [[ -n ${WEBHOOK_ROUTING_PAYLOADS:-} ]] || skip "WEBHOOK_ROUTING_PAYLOADS is not set"
    relayed "$WEBHOOK_ROUTING_PAYLOADS"/*.json
}

@test "a chunked body arrives with one Content-Length" {
    post "$FIXTURES/escaped_accents.json" -H 'Transfer-Encoding: chunked'
    equal "$status" 200
    equal "$(seen '.requests[-1].sha256')" "$(sha256sum <"$FIXTURES/escaped_accents.json" | cut -d ' ' -f 1)"
    equal "$(header_seen Content-Length)" "$(stat -c %s "$FIXTURES/escaped_accents.json")"
    equal "$(header_seen Transfer-Encoding)" ''
}

@test "signature, content type and traceparent pass untouched" {
    local signature trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    signature=sha256=$(openssl dgst -sha256 -hmac secret <"$FIXTURES/escaped_slashes.json" | sed 's/.* //')
    post "$FIXTURES/escaped_slashes.json" -H "X-Hub-Signature-256: $signature" -H "traceparent: $trace" \
        -H 'Content-Type: application/json; charset=utf-8'
    equal "$status" 200
    equal "$(header_seen X-Hub-Signature-256)" "$signature"
    equal "$(header_seen traceparent)" "$trace"
    equal "$(header_seen Content-Type)" 'application/json; charset=utf-8'
    # The function can verify what it got.
    equal "sha256=$(curl -fs "$CONTROL_URL/_standin/body" | openssl dgst -sha256 -hmac secret | sed 's/.* //')" "$signature"
}

@test "the function is told who sent it, why, and at which percentage" {
    routing 100
    post "$FIXTURES/text.json" -H 'X-Correlation-ID: my-own-id-1'
    equal "$(seen '.requests[-1].function')" wa-webhook-unified
    equal "$(header_seen X-Correlation-ID)" my-own-id-1
    equal "$(header_seen X-Webhook-Domain)" jobs
    equal "$(header_seen X-Routed-From)" traffic-router
    [[ $(header_seen X-Routing-Percentage) =~ ^100(\.0+)?$ ]]
}

@test "the client is told where it went and how long it took" {
    post "$FIXTURES/text.json" -H 'X-Correlation-ID: my-own-id-2'
    equal "$(answer_header X-Correlation-ID)" my-own-id-2
    equal "$(answer_header X-Routed-To)" wa-webhook-jobs
    equal "$(answer_header X-Routing-Decision)" 'legacy; reason=out_of_percentage'
    [[ $(answer_header X-Response-Time-Ms) =~ ^[0-9]+\.[0-9]{1,3}$ ]]
    wait_logged 1
    equal "$(sql "SELECT correlation_id FROM webhook_routing_logs")" my-own-id-2
}

@test "a correlation id is made where there is none, another each time" {
    post "$FIXTURES/text.json"
    local first
    first=$(answer_header X-Correlation-ID)
    [[ -n $first ]]
    equal "$(header_seen X-Correlation-ID)" "$first"
    post "$FIXTURES/text.json"
    [[ $(answer_header X-Correlation-ID) != "$first" ]]
}

@test "forged routing headers are replaced, hop-by-hop headers dropped" {
    post "$FIXTURES/text.json" -H 'X-Routed-From: me' -H 'X-Webhook-Domain: insurance' \
        -H 'X-Routing-Percentage: 7' -H 'Keep-Alive: timeout=9' -H 'TE: trailers' -H 'X-Routed-To: me'
    equal "$status" 200
    equal "$(header_seen X-Routed-From)" traffic-router
    equal "$(header_seen X-Webhook-Domain)" jobs
    [[ $(header_seen X-Routing-Percentage) != 7 ]]
    equal "$(header_seen Keep-Alive)$(header_seen TE)" ''
}

@test "the function's answer comes back, any 2xx as 200" {
    behave 'name=wa-webhook-jobs&status=201&body=d%C3%A9j%C3%A0&content_type=text/plain;charset=utf-8&header=Content-Encoding:identity'
    post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(cat "$STACK/answer.body")" déjà
    equal "$(answer_header Content-Type)" 'text/plain;charset=utf-8'
    equal "$(answer_header Content-Encoding)" identity
    behave 'name=wa-webhook-jobs&status=204&body='
    post "$FIXTURES/text.json"
    equal "$status" 200
}

@test "a named webhook goes to its domain's function, whatever the text says" {
    NAMED=wa-webhook-property post "$FIXTURES/text.json"
    equal "$status" 200
    equal "$(seen '.requests[-1].function')" wa-webhook-property
    NAMED=wa-webhook-insurance post "$FIXTURES/malformed_plain_text.bin"
    equal "$(seen '.requests[-1].function')" wa-webhook-insurance
    routing 100
    NAMED=wa-webhook-property post "$FIXTURES/text.json"
    equal "$(seen '.requests[-1].function')" wa-webhook-unified
    equal "$(header_seen X-Webhook-Domain)" property
}

@test "each message and status of a POST has a log row, one decision for all" {
    post "$FIXTURES/several_senders.json"
    wait_logged 3
    equal "$(sql "SELECT count(DISTINCT decision_id), count(DISTINCT from_number), count(DISTINCT message_id),
                  string_agg(item::text, ',' ORDER BY item), min(attempt), max(attempt) FROM webhook_routing_logs")" \
        '1|3|3|0,1,2|1|1'
    equal "$(counted)" '1|0'
}

@test "of 1,001 items 1,000 are logged, and the forwarder says so" {
    jq -c '.entry[0].changes[0].value.messages[0] as $message
           | .entry[0].changes[0].value.messages = [range(1001) | $message + {id: "wamid.CUT\(.)"}]' \
        "$FIXTURES/text.json" >"$BATS_TEST_TMPDIR/many.json"
    post "$BATS_TEST_TMPDIR/many.json"
    equal "$status" 200
    wait_logged 1000
    equal "$(sed -n 's/.*"event":"items_cut".*"items":\([0-9]*\),"logged":\([0-9]*\).*/\1 \2/p' "$STACK/forwarder.log")" '1001 1000'
}

@test "a log row says all that was decided and what came of it" {
    routing 100
    post "$FIXTURES/text.json"
    wait_logged 1
    equal "$(sql "SELECT l.webhook_name, l.domain, l.routed_to, l.reason, l.status, l.http_status, l.item, l.attempt,
                         l.bucket = routing_bucket(l.from_number), l.percentage, l.message_type, l.ambiguous,
                         l.config_version = c.version, l.response_time_ms > 0, l.error_message IS NULL
                  FROM webhook_routing_logs AS l, get_current_routing_config() AS c")" \
        'wa-webhook-unified|jobs|unified|in_percentage|success|200|0|1|t|100.00|text|f|t|t|t'
}

@test "10,000 webhooks at 64 connections: each relayed once, logged once, counted once" {
    routing 35
    "$LOAD" --url "$FORWARDER_URL/" --requests 10000 --concurrency 64 --senders 3000 --first 1000000 >"$BATS_TEST_TMPDIR/load.json"
    cat "$BATS_TEST_TMPDIR/load.json"
    equal "$(seen '"\(.total) \(.distinct_message_ids) \(.repeated_message_ids) \(.distinct_correlation_ids)"')" '10000 10000 0 10000'
    wait_logged 10000
    equal "$(sql "SELECT count(DISTINCT message_id), count(DISTINCT correlation_id), count(*) FILTER (WHERE status = 'success')
                  FROM webhook_routing_logs")" '10000|10000|10000'
    equal "$(counted)" '10000|0'
    # What clients were told, what functions saw and what the log says are the same.
    equal "$(jq -r '.routed_to | to_entries | sort_by(.key)[] | "\(.key) \(.value)"' "$BATS_TEST_TMPDIR/load.json")" \
        "$(sql "SELECT webhook_name || ' ' || count(*) FROM webhook_routing_logs GROUP BY webhook_name ORDER BY webhook_name COLLATE \"C\"")"
    equal "$(seen '.functions | to_entries | sort_by(.key)[] | "\(.key) \(.value.requests)"')" \
        "$(sql "SELECT webhook_name || ' ' || count(*) FROM webhook_routing_logs GROUP BY webhook_name ORDER BY webhook_name COLLATE \"C\"")"
}

@test "the split follows the percentage, and each sender stays on one side" {
    routing 25
    "$LOAD" --url "$FORWARDER_URL/" --requests 6000 --concurrency 16 --senders 4000 --domain jobs --first 2000000 >/dev/null
    wait_logged 6000
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs
                  WHERE (routed_to = 'unified') <> (bucket < percentage * 100) OR bucket <> routing_bucket(from_number)")" 0
    equal "$(sql "SELECT count(*) FROM (SELECT from_number FROM webhook_routing_logs
                  GROUP BY from_number HAVING count(DISTINCT routed_to) > 1) AS torn")" 0
    # Within four standard deviations of a quarter of the senders.
    equal "$(sql "SELECT abs(avg((side = 'unified')::int) - 0.25) < 4 * sqrt(0.25 * 0.75 / count(*))
                  FROM (SELECT min(routed_to) AS side FROM webhook_routing_logs GROUP BY from_number) AS senders")" t
}

@test "raising the percentage moves nobody back, 0 and 100 are exact" {
    local percent
    for percent in 0 10 60 100; do
        routing "$percent"
        "$LOAD" --url "$FORWARDER_URL/" --requests 500 --concurrency 8 --senders 300 --domain property --first 3000000 >/dev/null
    done
    wait_logged 2000
    equal "$(sql "SELECT count(*) FILTER (WHERE percentage = 0 AND routed_to = 'unified'),
                         count(*) FILTER (WHERE percentage = 100 AND routed_to = 'legacy') FROM webhook_routing_logs")" '0|0'
    equal "$(sql "SELECT count(*) FROM (SELECT max(percentage) FILTER (WHERE routed_to = 'legacy') > min(percentage) FILTER (WHERE routed_to = 'unified') AS back
                  FROM webhook_routing_logs GROUP BY from_number) AS s WHERE back")" 0
}

@test "protected domains stay at 100 %" {
    routing 100
    "$LOAD" --url "$FORWARDER_URL/" --requests 300 --concurrency 8 --domain profile --first 4000000 >/dev/null
    "$LOAD" --url "$FORWARDER_URL/" --requests 300 --concurrency 8 --domain mobility --first 4100000 >/dev/null
    "$LOAD" --url "$FORWARDER_URL/" --requests 300 --concurrency 8 --domain insurance --first 4200000 >/dev/null
    equal "$(seen '.functions | keys | join(" ")')" 'wa-webhook-insurance wa-webhook-mobility wa-webhook-profile'
}

@test "a function that answers at once is heard at once" {
    local round good=0
    own_forwarder --log-interval 5s
    # Nothing else wakes the forwarder up: an answer that it overlooks waits for a timer. A machine may stand still
    # for as long, but hardly more than twice in each of four of five rounds.
    for ((round = 1; round <= 5 && good < 2; round++)); do
        run "$LOAD" --url "$FORWARDER_URL/" --requests 2000 --concurrency 1 --first "$((round * 2000))"
        [[ $status == 0 ]]
        ! jq -e '.latency_ms.p999 < 200' <<<"$output" || good=$((good + 1))
    done
    equal "$good" 2 'rounds without an answer that waited'
}
