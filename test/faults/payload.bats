#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Bodies that are no webhook, or a hostile one, through HTTP, decision and log. (That each is read
# right is the corpus test's question.)

setup_file() {
    load helper
    stack_start faults_payload
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    routing 100
}

# body FILE: posts it; the default target or whoever is meant got exactly these bytes
body() {
    post "$1"
    equal "$status" 200 "${1##*/}"
    equal "$(seen '.requests[-1].sha256')" "$(sha256sum <"$1" | cut -d ' ' -f 1)" "${1##*/}"
}

# logged_as WANTED: the only decision's domain, reason, sender and message id
logged_as() {
    equal "$(sql "SELECT domain, reason, coalesce(from_number, '-'), coalesce(message_id, '-') FROM webhook_routing_logs")" "$1"
}

# message FIELDS [MORE]: a webhook with one message of these fields, as a file whose name is printed
message() {
    local file
    file=$(mktemp "$BATS_TEST_TMPDIR/message.XXXXXX")
    printf '{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","messages":[{%s}]%s}}]}]}' \
        "$1" "${2:-}" >"$file"
    printf '%s\n' "$file"
}

TEXT='"timestamp":"1760000000","type":"text","text":{"body":"I need a job"}'

@test "fault 81: empty, null, [] and plain text go to the default target, byte for byte" {
    local bytes
    for bytes in '' null '[]' 'hello there' '{}' '"text"' '0'; do
        printf '%s' "$bytes" >"$BATS_TEST_TMPDIR/body"
        body "$BATS_TEST_TMPDIR/body"
        equal "$(answer_header X-Routed-To)" wa-webhook "'$bytes'"
    done
    wait_logged 7
    equal "$(sql "SELECT string_agg(DISTINCT reason, ' ' ORDER BY reason) FROM webhook_routing_logs")" 'malformed not_whatsapp'
}

@test "fault 82: damaged webhooks are relayed and logged like any other, without an error" {
    local i
    for ((i = 0; i < 40; i++)); do
        # Cut somewhere, and a byte changed.
        head -c $((RANDOM % 600)) "$FIXTURES/text.json" >"$BATS_TEST_TMPDIR/body"
        printf '%b' "\\x$(printf %x $((RANDOM % 256)))" >>"$BATS_TEST_TMPDIR/body"
        body "$BATS_TEST_TMPDIR/body"
    done
    wait_logged 40
    equal "$(events decide_failed) $(events log_row_refused)" '0 0'
}

@test "fault 83, 84: \\u0000 and lone surrogates in text and ids: decided, logged with a replacement" {
    local file
    for file in nul_escape lone_surrogate; do
        body "$FIXTURES/$file.json"
        body "$FIXTURES/${file}_in_id.json"
    done
    wait_logged 4
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE domain = 'jobs' AND reason = 'in_percentage'")" 4
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE message_id = U&'wamid.A\\FFFDB'")" 2
}

@test "fault 85, 86: bad UTF-8, a byte order mark and UTF-16 are malformed: default target, byte for byte" {
    local file
    for file in bad_utf8 byte_order_mark utf16; do
        body "$FIXTURES/malformed_$file.bin"
        equal "$(answer_header X-Routed-To)" wa-webhook "$file"
    done
    wait_logged 3
    equal "$(sql "SELECT DISTINCT reason FROM webhook_routing_logs")" malformed
}

@test "fault 87: depth 100,000 needs no stack" {
    local file
    for file in depth_100000.json depth_100000_objects.json depth_100000_unclosed.bin; do
        quickest body "$E2E_DIR/generated/$file"
        between "$TOOK_MS" 0 1000 "ms for $file"
    done
    # The server's own limit is 100 kB here, its least.
    equal "$(sql "SET max_stack_depth = '100kB'; SELECT reason FROM route_decide(convert_to(repeat('[', 100000) || repeat(']', 100000), 'UTF8'))")" malformed
}

@test "fault 88: of duplicate keys the last counts" {
    body "$(message "\"from\":\"250788000001\",\"id\":\"wamid.FIRST\",\"id\":\"wamid.LAST\",\"from\":\"250788000002\",$TEXT,\"text\":{\"body\":\"I want to rent a house\"}")"
    wait_logged 1
    logged_as 'property|in_percentage|250788000002|wamid.LAST'
}

@test "fault 89: 3 MB of digits, of spaces, of quotes take no longer than 3 MB of text" {
    local file plain
    quickest body "$E2E_DIR/generated/text_3mb.json"
    plain=$TOOK_MS
    for file in digits_3mb.json spaces_3mb.bin quotes_3mb.bin backslashes_3mb.bin empty_objects_3mb.json; do
        quickest body "$E2E_DIR/generated/$file"
        between "$TOOK_MS" 0 $((plain * 4 + 200)) "ms for $file, where text takes $plain"
    done
}

@test "fault 90: keys in another order and white space change nothing" {
    local file id decided=''
    for file in "$FIXTURES/text.json" "$BATS_TEST_TMPDIR/sorted" "$BATS_TEST_TMPDIR/reversed"; do
        case $file in
            *sorted) jq -S --indent 7 . "$FIXTURES/text.json" >"$file" ;;
            *reversed) jq -c 'def turned: if type == "object" then to_entries | reverse | map(.value |= turned) | from_entries elif type == "array" then map(turned) else . end; turned' "$FIXTURES/text.json" >"$file" ;;
        esac
        body "$file"
        wait_logged 1
        id=$(sql "SELECT webhook_name, domain, reason, bucket, from_number, message_id FROM webhook_routing_logs")
        sql "TRUNCATE webhook_routing_logs"
        [[ -n $decided ]] || decided=$id
        equal "$id" "$decided" "${file##*/}"
    done
}

@test "fault 91: 1,000 messages of 300 senders: one POST, a log row for each message" {
    ms body "$E2E_DIR/generated/thousand_messages.json"
    between "$TOOK_MS" 0 10000 ms
    wait_logged 1000
    equal "$(sql "SELECT count(DISTINCT message_id), count(DISTINCT from_number), count(DISTINCT decision_id) FROM webhook_routing_logs")" \
        '1000|300|1'
    # Without an app secret several targets in one POST mean the default target, for the whole of it.
    clean_sheet
    body "$E2E_DIR/generated/thousand_messages_mixed.json"
    equal "$(answer_header X-Routed-To)" wa-webhook
    wait_logged 1000
    equal "$(seen '.total')" 1
}

@test "fault 92: statuses alone go to the default target, each with a log row" {
    body "$FIXTURES/status_several.json"
    equal "$(answer_header X-Routed-To)" wa-webhook
    wait_logged 3
    equal "$(sql "SELECT string_agg(DISTINCT reason, ' '), count(DISTINCT message_id) FROM webhook_routing_logs")" 'status|3'
}

@test "fault 93: a message id that is absent, 10 KB long, or full of quotes and newlines" {
    body "$(message "\"from\":\"250788000001\",$TEXT")"
    wait_logged 1
    logged_as 'jobs|in_percentage|250788000001|-'
    sql "TRUNCATE webhook_routing_logs"
    body "$(message "\"from\":\"250788000001\",\"id\":\"wamid.$(printf 'a%.0s' {1..10000})\",$TEXT")"
    wait_logged 1
    equal "$(sql "SELECT octet_length(message_id) BETWEEN 64 AND 1024 AND message_id LIKE 'wamid.aaaa%' FROM webhook_routing_logs")" t
    sql "TRUNCATE webhook_routing_logs"
    body "$(message "\"from\":\"2507\\r\\n{\\\"level\\\":\\\"error\\\"}\",\"id\":\"wamid.\\\"a\\\"'b'\\r\\nX-Forged: 1\\n\",$TEXT")"
    wait_logged 1
    equal "$(sql "SELECT message_id = E'wamid.\"a\"''b''\\r\\nX-Forged: 1\\n' FROM webhook_routing_logs")" t
    equal "$(header_seen X-Forged)$(answer_header X-Forged)" ''
    jq -e . "$STACK/forwarder.log" >/dev/null
}

@test "fault 94: a sender that is a number or an array is passed over for the next key" {
    local from
    for from in 250788000001 '["250788000001"]' '{"a":"b"}' null true '""'; do
        body "$(message "\"from\":$from,\"id\":\"wamid.N\",$TEXT" ',"contacts":[{"wa_id":"250788000009"}]')"
    done
    wait_logged 6
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE bucket = routing_bucket('250788000009') AND routed_to = 'unified'")" 6
}

@test "fault 95: keywords in key names, ids, URLs and referrals mean nothing" {
    body "$FIXTURES/keywords_elsewhere.json"
    body "$FIXTURES/text_referral.json"
    body "$(message '"from":"250788000001","id":"wamid.jobs","job":"rent","type":"text","referral":{"body":"buy a house","source_url":"https://rent/jobs"},"text":{"body":"Good morning","jobs":"jobs","preview_url":"https://jobs"}')"
    wait_logged 3
    equal "$(sql "SELECT DISTINCT domain, reason, webhook_name FROM webhook_routing_logs")" 'unknown|unknown_domain|wa-webhook'
}
