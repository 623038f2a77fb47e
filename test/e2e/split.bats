#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Mixed batches: a POST whose items belong to different functions. With an app secret it is cut from the
# original bytes into one webhook for each function, signed anew; without one it goes whole to the default
# target.

# shellcheck disable=SC2030,SC2031  # bats runs each test in a process of its own
bats_require_minimum_version 1.5.0

readonly SECRET=4c1f2ad1e0d94a0b8d3f5f0c7e6a9b21 OLD_SECRET=9b7d1f0e2c3a4b5d6e7f8091a2b3c4d5

setup_file() {
    load helper
    printf '%s\n' "$SECRET" "$OLD_SECRET" >"$BATS_FILE_TMPDIR/app-secrets"
    stack_start e2e_split --app-secret-file "$BATS_FILE_TMPDIR/app-secrets"
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    BATCH=$BATS_TEST_TMPDIR/batch
}

teardown() {
    own_forwarder_stop
    sql "UPDATE webhook_routing_targets SET url = NULL, fallback_policy = DEFAULT
         WHERE url IS NOT NULL OR fallback_policy <> 'error'"
}

# ---- webhooks ----

# Written as no JSON library writes, so that a part can only be right when it is made of these bytes.
# message ID SENDER WORDS
message() {
    printf '{ "id":"%s" ,"from" : "%s", "timestamp":"1760000000",\n "type":"text","text":{"body":"\\u00e9t\\u00e9 \\/ %s"}}' "$@"
}

# batch MESSAGE...: one webhook of them. CONTACTS: its contacts[], with the comma behind it
batch() {
    local message comma=
    printf '{"object": "whatsapp_business_account","entry" :[{ "id":"1","changes":[{"field":"messages","value":\t{%s"messages":[ ' "${CONTACTS:-}"
    for message in "$@"; do
        printf '%s%s' "$comma" "$message"
        comma=$' ,\n'
    done
    printf ' ],"messaging_product":"whatsapp"}}]}] }\n'
}

# the_batch: five messages for four functions at 0 percent, in $BATCH
the_batch() {
    JOB_1=$(message wamid.J1 250788000001 'I need a job')
    HOUSE=$(message wamid.P1 250788000002 'a house to rent')
    HELLO=$(message wamid.U1 250788000003 'Good morning')
    JOB_2=$(message wamid.J2 250788000004 'any jobs?')
    RIDE=$(message wamid.M1 250788000005 'I need a ride')
    batch "$JOB_1" "$HOUSE" "$HELLO" "$JOB_2" "$RIDE" >"$BATCH"
}

# sender_in, sender_out: a sender that is on unified at 50 percent, and one that is not
sender_in() { sql "SELECT n FROM generate_series(250788100000, 250788100099) AS n WHERE routing_bucket(n::text) < 5000 LIMIT 1"; }
sender_out() { sql "SELECT n FROM generate_series(250788100000, 250788100099) AS n WHERE routing_bucket(n::text) >= 5000 LIMIT 1"; }

# ---- sending, and what came of it ----

# signature FILE [SECRET]: of its raw bytes, as Meta writes it
signature() {
    printf 'sha256=%s\n' "$(openssl dgst -sha256 -mac HMAC -macopt "key:${2:-$SECRET}" -r "$1" | cut -d ' ' -f 1)"
}

# Meta signs with whichever secret it has; a part is signed with the first.
post_signed() { post "$1" -H "X-Hub-Signature-256: $(signature "$1" "$OLD_SECRET")" "${@:2}"; }

# went: functions and how many POSTs each got
went() { seen '[.functions | to_entries | sort_by(.key)[] | "\(.key):\(.value.requests)"] | join(" ")'; }

# take FUNCTION [NTH]: what it received into $PART, and the header fields into $PART.fields; the first
# or the NTH request to it
take() {
    local number
    PART=$BATS_TEST_TMPDIR/part.$1.${2:-1}
    curl -fs "$CONTROL_URL/_standin/report?last=4096&name=$1" | jq ".requests[${2:-1} - 1]" >"$PART.request"
    jq -r '.headers[] | "\(.[0]): \(.[1])"' "$PART.request" >"$PART.fields"
    number=$(jq .number "$PART.request")
    curl -fs "$CONTROL_URL/_standin/body?number=$number" -o "$PART"
}

field() { sed -n "s/^$1: //Ip" "$PART.fields"; }

# got FUNCTION MESSAGE...: exactly these, of the batch's own bytes, with a signature of their own
got() {
    take "$1"
    batch "${@:2}" | cmp - "$PART"
    equal "$(field X-Hub-Signature-256)" "$(signature "$PART")" "signature for $1"
}

# items FILE [NAME]: function, bytes and id of each item, as the database would decide it
items() {
    sql "SELECT webhook_name, md5(substring(body FROM item_start + 1 FOR item_end - item_start)), message_id
         FROM (SELECT decode('$(od -An -v -tx1 "$1" | tr -d ' \n')', 'hex') AS body) AS b, route_decide_items(body, $(quoted "${2:-}")) ORDER BY item"
}
quoted() { if [[ -n $1 ]]; then printf "'%s'" "$1"; else printf NULL; fi; }

# delivered FILE [NAME]: every item arrived once, at its own function, with its own bytes, in order
delivered() {
    local function
    items "$@" >"$BATS_TEST_TMPDIR/wanted"
    cut -d '|' -f 1 "$BATS_TEST_TMPDIR/wanted" | sort -u >"$BATS_TEST_TMPDIR/functions"
    equal "$(seen '.functions | keys | join(" ")')" "$(paste -sd ' ' "$BATS_TEST_TMPDIR/functions")" functions
    while read -r function; do
        equal "$(seen ".functions[\"$function\"].requests")" 1 "POSTs to $function"
        take "$function"
        items "$PART" "${2:-}" | cut -d '|' -f 2- |
            diff - <(grep -F "$function|" "$BATS_TEST_TMPDIR/wanted" | cut -d '|' -f 2-)
        equal "$(field X-Hub-Signature-256)" "$(signature "$PART")" "signature for $function"
    done <"$BATS_TEST_TMPDIR/functions"
}

# rows: the log, a line for each function and attempt
rows() {
    sql "SELECT attempt, webhook_name, routed_to, status, string_agg(item || ' ' || coalesce(message_id, '-') || ' ' || reason, ', ' ORDER BY item)
         FROM webhook_routing_logs GROUP BY decision_id, attempt, webhook_name, routed_to, status
         ORDER BY webhook_name COLLATE \"C\", attempt"
}

# point TARGET URL
point() { sql "UPDATE webhook_routing_targets SET url = '$2' WHERE name = '$1'"; }

# unified_is_down: nothing listens where it should be
unified_is_down() {
    point wa-webhook-unified "http://127.0.0.1:$(free_port 19000)/wa-webhook-unified"
    wait_rules
}

cluster_server() { as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -w -t 60 "$@"; }

# ---- tests ----

@test "a mixed batch is cut into a webhook for each function, of the original bytes, signed anew" {
    the_batch
    post_signed "$BATCH" -H 'X-Correlation-ID: split-1' -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    equal "$status" 200
    equal "$(wc -c <"$STACK/answer.body")" 0 'bytes of the answer'
    equal "$(answer_header X-Correlation-ID)" split-1
    equal "$(answer_header X-Routing-Decision)" 'split; reason=mixed_batch; parts=4'
    equal "$(answer_header X-Routed-To)" 'wa-webhook-jobs, wa-webhook-property, wa-webhook, wa-webhook-mobility'
    equal "$(went)" 'wa-webhook:1 wa-webhook-jobs:1 wa-webhook-mobility:1 wa-webhook-property:1'
    got wa-webhook-jobs "$JOB_1" "$JOB_2"
    equal "$(field X-Correlation-ID)" split-1
    equal "$(field X-Webhook-Domain)" jobs
    equal "$(field Content-Type)" application/json
    equal "$(field traceparent)" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    equal "$(field Content-Length)" "$(wc -c <"$PART")"
    got wa-webhook-property "$HOUSE"
    equal "$(field X-Correlation-ID)" split-1
    got wa-webhook "$HELLO"
    equal "$(field X-Webhook-Domain)" unknown
    got wa-webhook-mobility "$RIDE"
    equal "$(field X-Webhook-Domain)" mobility
    delivered "$BATCH"
}

@test "the rows of each part are a decision of their own, items from 0, with their own reasons" {
    the_batch
    post_signed "$BATCH" -H 'X-Correlation-ID: split-2'
    wait_logged 5
    equal "$(rows)" '1|wa-webhook|legacy|success|0 wamid.U1 unknown_domain
1|wa-webhook-jobs|legacy|success|0 wamid.J1 out_of_percentage, 1 wamid.J2 out_of_percentage
1|wa-webhook-mobility|legacy|success|0 wamid.M1 protected
1|wa-webhook-property|legacy|success|0 wamid.P1 out_of_percentage'
    equal "$(sql "SELECT count(DISTINCT decision_id), string_agg(DISTINCT correlation_id, ' '), count(DISTINCT config_version), count(*) FILTER (WHERE bucket = routing_bucket(from_number)) FROM webhook_routing_logs")" \
        '4|split-2|1|5'
    # Four attempts.
    equal "$(counted)" '4|0'
}

@test "each part falls back alone: to its items' legacy function, or to the default target when they have several" {
    the_batch
    routing 100
    unified_is_down
    post_signed "$BATCH"
    equal "$status" 200
    # Jobs and property were on unified; the function that sorts things out takes both.
    equal "$(went)" 'wa-webhook:2 wa-webhook-mobility:1'
    wait_logged 8
    equal "$(rows)" '1|wa-webhook|legacy|success|0 wamid.U1 unknown_domain
2|wa-webhook|legacy|success|0 wamid.J1 in_percentage, 1 wamid.P1 in_percentage, 2 wamid.J2 in_percentage
1|wa-webhook-mobility|legacy|success|0 wamid.M1 protected
1|wa-webhook-unified|unified|error|0 wamid.J1 in_percentage, 1 wamid.P1 in_percentage, 2 wamid.J2 in_percentage'
    equal "$(sql "SELECT count(DISTINCT decision_id) FROM webhook_routing_logs")" 3
    take wa-webhook 1
    cp "$PART" "$BATS_TEST_TMPDIR/one"
    take wa-webhook 2
    cat "$PART" "$BATS_TEST_TMPDIR/one" | sha256sum >"$BATS_TEST_TMPDIR/both"
    { batch "$JOB_1" "$HOUSE" "$JOB_2"; batch "$HELLO"; } | sha256sum | diff - "$BATS_TEST_TMPDIR/both"
    equal "$(field X-Hub-Signature-256)" "$(signature "$PART")"

    clean_sheet
    routing 100
    wait_rules
    batch "$JOB_1" "$RIDE" "$JOB_2" >"$BATCH"
    post_signed "$BATCH"
    equal "$status" 200
    equal "$(went)" 'wa-webhook-jobs:1 wa-webhook-mobility:1'
    got wa-webhook-jobs "$JOB_1" "$JOB_2"
}

@test "where a legacy function is retired, its items' part has no fallback" {
    the_batch
    # Today's rules refuse this, so that the rows are changed behind their back.
    sql "SET session_replication_role = replica; UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-property'"
    routing 0
    behave 'name=wa-webhook-unified&status=500'
    wait_rules
    post_signed "$BATCH"
    sql "SET session_replication_role = replica; UPDATE webhook_routing_targets SET retired = false WHERE name = 'wa-webhook-property'"
    routing 0
    equal "$status" 500
    equal "$(went)" 'wa-webhook:1 wa-webhook-jobs:1 wa-webhook-mobility:1 wa-webhook-unified:1'
    got wa-webhook-unified "$HOUSE"
    wait_logged 5
    equal "$(sql "SELECT routed_to, status, reason, attempt FROM webhook_routing_logs WHERE message_id = 'wamid.P1'")" 'unified|error|legacy_retired|1'
}

@test "one item without a fallback leaves its whole part without one" {
    the_batch
    sql "SET session_replication_role = replica; UPDATE webhook_routing_targets SET retired = true WHERE name = 'wa-webhook-property'"
    routing 100
    behave 'name=wa-webhook-unified&status=503&body=full'
    wait_rules
    post_signed "$BATCH"
    sql "SET session_replication_role = replica; UPDATE webhook_routing_targets SET retired = false WHERE name = 'wa-webhook-property'"
    equal "$status" 503
    equal "$(answer_header Retry-After)" 1
    equal "$(went)" 'wa-webhook:1 wa-webhook-mobility:1 wa-webhook-unified:1'
}

@test "all parts 2xx: 200 without a body, whatever the functions said" {
    the_batch
    behave 'name=wa-webhook-jobs&status=201&body=made'
    behave 'name=wa-webhook-mobility&status=204'
    behave 'name=wa-webhook&status=202&header=X-Other:1'
    post_signed "$BATCH"
    equal "$status" 200
    equal "$(wc -c <"$STACK/answer.body")" 0
    wait_logged 5
    equal "$(sql "SELECT string_agg(DISTINCT http_status::text, ' ' ORDER BY http_status::text), count(*) FILTER (WHERE status = 'success') FROM webhook_routing_logs")" \
        '200 201 202 204|5'
}

@test "otherwise the worst status: 5xx over 4xx over 3xx, and what could not be reached is 503" {
    the_batch
    behave "name=wa-webhook-jobs&status=302&header=Location:$FUNCTIONS_URL/elsewhere"
    post_signed "$BATCH"
    equal "$status" 302
    equal "$(answer_header Location)" '' Location
    behave 'name=wa-webhook-mobility&status=404&body=gone'
    post_signed "$BATCH"
    equal "$status" 404
    jq -e .error "$STACK/answer.body"
    behave 'name=wa-webhook&status=500'
    post_signed "$BATCH"
    equal "$status" 500
    behave 'name=wa-webhook&reset=1'
    post_signed "$BATCH"
    equal "$status" 502
    behave 'name=wa-webhook&status=200'
    point wa-webhook-property "http://127.0.0.1:$(free_port 19000)/wa-webhook-property"
    wait_rules
    post_signed "$BATCH"
    equal "$status" 503
    equal "$(answer_header Retry-After)" 1
    # Every part was delivered every time.
    equal "$(went)" 'wa-webhook:5 wa-webhook-jobs:5 wa-webhook-mobility:5 wa-webhook-property:4'
}

@test "a redelivery brings every part again, as new decisions" {
    the_batch
    behave 'name=wa-webhook-property&status=500&times=1'
    post_signed "$BATCH"
    equal "$status" 500
    post_signed "$BATCH"
    equal "$status" 200
    equal "$(went)" 'wa-webhook:2 wa-webhook-jobs:2 wa-webhook-mobility:2 wa-webhook-property:2'
    wait_logged 10
    equal "$(sql "SELECT count(DISTINCT decision_id), count(DISTINCT correlation_id), count(DISTINCT id) FROM webhook_routing_logs")" '8|2|10'
    take wa-webhook-jobs 1
    cp "$PART" "$BATS_TEST_TMPDIR/first"
    take wa-webhook-jobs 2
    cmp "$BATS_TEST_TMPDIR/first" "$PART"
}

@test "an item that is no message never changes its siblings' way" {
    local odd
    the_batch
    for odd in 5 null '"I need a job"' '[]' '{}' true '{"from":5}' '[[{"text":{"body":"I need a job"}}]]'; do
        clean_sheet
        batch "$JOB_1" "$odd" "$RIDE" "$odd" "$JOB_2" >"$BATCH"
        post_signed "$BATCH"
        equal "$status" 200 "$odd"
        equal "$(went)" 'wa-webhook:1 wa-webhook-jobs:1 wa-webhook-mobility:1' "$odd"
        got wa-webhook-jobs "$JOB_1" "$JOB_2"
        got wa-webhook-mobility "$RIDE"
        got wa-webhook "$odd" "$odd"
    done
}

@test "statuses beside messages: each goes where it would go alone" {
    local file
    for file in statuses_beside_messages statuses_beside_unknown several_senders_mixed several_senders_protected_and_not \
        several_entries several_fields; do
        clean_sheet
        post_signed "$FIXTURES/$file.json"
        equal "$status" 200 "$file"
        delivered "$FIXTURES/$file.json" || {
            # Whole where all agree, with the signature that came.
            equal "$(seen .total)" 1 "$file"
            take "$(seen '.requests[0].function')"
            cmp "$FIXTURES/$file.json" "$PART"
            equal "$(field X-Hub-Signature-256)" "$(signature "$PART" "$OLD_SECRET")" "$file"
        }
    done
}

@test "contacts follow their messages" {
    local all
    the_batch
    all='"contacts":[%s],"metadata":{"phone_number_id":"9"},'
    contact() { printf '{"wa_id":"25078800000%s","profile":{"name":"P%s"}}' "$1" "$1"; }
    # shellcheck disable=SC2059
    CONTACTS=$(printf "$all" "$(contact 1),$(contact 2),$(contact 3),$(contact 4),$(contact 5)") batch "$JOB_1" "$HOUSE" "$HELLO" "$JOB_2" "$RIDE" >"$BATCH"
    post_signed "$BATCH"
    equal "$status" 200
    # shellcheck disable=SC2059
    CONTACTS=$(printf "$all" "$(contact 1),$(contact 4)") got wa-webhook-jobs "$JOB_1" "$JOB_2"
    # shellcheck disable=SC2059
    CONTACTS=$(printf "$all" "$(contact 2)") got wa-webhook-property "$HOUSE"
    # shellcheck disable=SC2059
    CONTACTS=$(printf "$all" "$(contact 5)") got wa-webhook-mobility "$RIDE"
}

@test "fault 91: 1,000 items of 300 senders are split in one go, each arrives once" {
    local file=$E2E_DIR/generated/thousand_messages_mixed.json before began took
    own_forwarder --app-secret-file "$BATS_FILE_TMPDIR/app-secrets"
    routing 50
    wait_rules
    before=$(awk '/VmHWM/ { print $2 }' "/proc/$(forwarder_pid)/status")
    began=$EPOCHREALTIME
    post_signed "$file"
    took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
    equal "$status" 200
    delivered "$file"
    wait_logged 1000
    equal "$(went)" 'wa-webhook:1 wa-webhook-jobs:1 wa-webhook-property:1 wa-webhook-unified:1'
    equal "$(sql "SELECT count(DISTINCT message_id), count(DISTINCT from_number), count(DISTINCT decision_id), count(DISTINCT correlation_id) FROM webhook_routing_logs")" \
        '1000|300|4|1'
    equal "$(sql "SELECT count(*) FROM (SELECT max(item) + 1 - count(*) AS holes FROM webhook_routing_logs GROUP BY decision_id) AS s WHERE holes <> 0")" 0
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE domain <> 'unknown' AND (routed_to = 'unified') <> (bucket < 5000)")" 0
    equal "$(counted)" '4|0'
    echo "# $(wc -c <"$file") bytes in $took ms, at most $(($(awk '/VmHWM/ { print $2 }' "/proc/$(forwarder_pid)/status") - before)) KB of memory for it" >&3
    ((took < 10000)) # some 200 ms; --total-timeout is 15 s
}

@test "a body of 3 MB is split within its own size for each part" {
    local hole before
    the_batch
    hole=$(head -c 1400000 /dev/zero | tr '\0' a)
    batch "$JOB_1" "$(message wamid.L1 250788000002 "a house to rent $hole")" "$(message wamid.L2 250788000005 "I need a ride $hole")" >"$BATCH"
    own_forwarder --app-secret-file "$BATS_FILE_TMPDIR/app-secrets"
    before=$(awk '/VmHWM/ { print $2 }' "/proc/$(forwarder_pid)/status")
    post_signed "$BATCH"
    equal "$status" 200
    delivered "$BATCH"
    # A sanitizer keeps what is freed.
    [[ -n ${SANITIZER_REPORTS:-} ]] ||
        (($(awk '/VmHWM/ { print $2 }' "/proc/$(forwarder_pid)/status") - before < 16 * 1024))
    # Where --max-buffer has room for the webhook but not for its parts, nothing is relayed at all.
    own_forwarder_end
    clean_sheet
    own_forwarder --app-secret-file "$BATS_FILE_TMPDIR/app-secrets" --max-buffer 5MiB
    post_signed "$BATCH"
    equal "$status" 503
    equal "$(answer_header Retry-After)" 1
    equal "$(seen .total)" 0
    equal "$(logged)" 0
    the_batch
    post_signed "$BATCH"
    equal "$status" 200
}

@test "what cannot be read is never cut: compressed, not JSON, one value too many" {
    local file
    the_batch
    gzip -c "$BATCH" >"$BATS_TEST_TMPDIR/zipped"
    head -c -3 "$BATCH" >"$BATS_TEST_TMPDIR/broken"
    cat "$BATCH" "$BATCH" >"$BATS_TEST_TMPDIR/twice"
    for file in zipped broken twice; do
        clean_sheet
        post_signed "$BATS_TEST_TMPDIR/$file" -H "Content-Encoding: $file"
        equal "$status" 200 "$file"
        equal "$(went)" 'wa-webhook:1' "$file"
        take wa-webhook
        cmp "$BATS_TEST_TMPDIR/$file" "$PART"
        equal "$(field X-Hub-Signature-256)" "$(signature "$PART" "$OLD_SECRET")" "$file"
        equal "$(field Content-Encoding)" "$file"
        wait_logged 1
        equal "$(sql "SELECT reason FROM webhook_routing_logs")" malformed "$file"
    done
}

@test "a named webhook is split between unified and its legacy function, by its senders" {
    local inside outside ride
    routing 50
    inside=$(message wamid.I1 "$(sender_in)" 'Good morning')
    outside=$(message wamid.O1 "$(sender_out)" 'Good morning')
    ride=$(message wamid.I2 "$(sender_in)" 'I need a ride')
    batch "$inside" "$outside" "$ride" >"$BATCH"
    NAMED=wa-webhook-jobs post_signed "$BATCH"
    equal "$status" 200
    equal "$(went)" 'wa-webhook-jobs:1 wa-webhook-unified:1'
    got wa-webhook-unified "$inside" "$ride"
    got wa-webhook-jobs "$outside"
    wait_logged 3
    equal "$(rows)" '1|wa-webhook-jobs|legacy|success|0 wamid.O1 out_of_percentage
1|wa-webhook-unified|unified|success|0 wamid.I1 in_percentage, 1 wamid.I2 in_percentage'
    equal "$(sql "SELECT DISTINCT domain FROM webhook_routing_logs")" jobs
    # Its own legacy function stands behind the part, and gets two webhooks then.
    clean_sheet
    routing 50
    behave 'name=wa-webhook-unified&status=500'
    NAMED=wa-webhook-jobs post_signed "$BATCH"
    equal "$status" 200
    equal "$(went)" 'wa-webhook-jobs:2 wa-webhook-unified:1'
}

@test "without a secret a mixed batch goes whole to the default target, byte for byte" {
    the_batch
    own_forwarder
    post_signed "$BATCH"
    equal "$status" 200
    equal "$(jq -r .function "$STACK/answer.body")" wa-webhook
    equal "$(answer_header X-Routing-Decision)" 'legacy; reason=mixed_batch'
    equal "$(went)" 'wa-webhook:1'
    take wa-webhook
    cmp "$BATCH" "$PART"
    equal "$(field X-Hub-Signature-256)" "$(signature "$BATCH" "$OLD_SECRET")"
    wait_logged 5
    equal "$(rows)" '1|wa-webhook|legacy|success|0 wamid.J1 mixed_batch, 1 wamid.P1 mixed_batch, 2 wamid.U1 mixed_batch, 3 wamid.J2 mixed_batch, 4 wamid.M1 mixed_batch'
}

# ways FILE...: for each function and status, what it received; and what the log says of each item
ways() {
    local file
    for file in "$@"; do
        post_signed "$file"
        echo "${file##*/} $status"
    done
    curl -fs "$CONTROL_URL/_standin/report?last=4096" | jq -r '.requests[] | "\(.function) \(.sha256) \(.headers[] | select(.[0] | ascii_downcase == "x-hub-signature-256")[1])"' | sort
}
said() {
    sql "SELECT webhook_name, routed_to, domain, reason, bucket, percentage, from_number, message_id, item, config_version
         FROM webhook_routing_logs ORDER BY 1, 8, 9, 3, 4, 5"
}

@test "while the database is down the same batches are cut the same way" {
    local files=("$FIXTURES"/several_*.json "$FIXTURES"/statuses_*.json "$E2E_DIR/generated/thousand_messages_mixed.json" "$BATCH")
    the_batch
    routing 50
    wait_rules
    ways "${files[@]}" >"$BATS_TEST_TMPDIR/there"
    wait_until 10 logged_are "$(grep -c . < <(for file in "${files[@]}"; do items "$file"; done))"
    said >"$BATS_TEST_TMPDIR/there.log"
    curl -fs -X POST "$CONTROL_URL/_standin/reset" >/dev/null
    sql "TRUNCATE webhook_routing_logs"
    cluster_server -m fast stop >/dev/null
    ways "${files[@]}" >"$BATS_TEST_TMPDIR/here"
    cluster_server -l "$CLUSTER_HOME/postgresql.log" start >/dev/null 3>&- 4>&-
    diff "$BATS_TEST_TMPDIR/there" "$BATS_TEST_TMPDIR/here"
    wait_logged "$(wc -l <"$BATS_TEST_TMPDIR/there.log")"
    said | diff "$BATS_TEST_TMPDIR/there.log" -
    wait_until 20 health_is healthy
}

@test "the percentage changes while batches arrive: a batch and its items are decided by one version" {
    local changing i file=$E2E_DIR/generated/thousand_messages.json
    for ((i = 0; i < 2000; i++)); do
        echo "SELECT update_routing_percentage($((i % 2 * 50 + 50)));"
    done >"$BATS_TEST_TMPDIR/changes"
    PGAPPNAME=changing psql -X -q -At -f "$BATS_TEST_TMPDIR/changes" >/dev/null 3>&- &
    changing=$!
    for ((i = 0; i < 60; i++)); do
        post_signed "$file"
        echo "$status"
    done >"$BATS_TEST_TMPDIR/statuses"
    kill "$changing" 2>/dev/null || true
    wait "$changing" || true
    unchanging() { [[ $(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'changing'") == 0 ]]; }
    wait_until 20 unchanging
    equal "$(sort "$BATS_TEST_TMPDIR/statuses" | uniq -c | xargs)" '60 200'
    wait_until 120 logged_are 60000
    equal "$(sql "SELECT count(DISTINCT correlation_id) FROM webhook_routing_logs AS l LEFT JOIN webhook_routing_config AS c ON c.version = l.config_version
                  WHERE (l.percentage = c.percentage AND (l.routed_to = 'unified') = (l.bucket < c.percentage * 100)) IS NOT TRUE")" 0 \
        'webhooks that cannot be computed again'
}
