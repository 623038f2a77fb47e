#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Conversations through the whole: "I need a job" and then "yes" arrive at the same function, with a
# forwarder that was restarted in between, in batches that are split, and while the database is down.

bats_require_minimum_version 1.5.0

setup_file() {
    load helper
    stack_start e2e_conversation
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    sql "DELETE FROM webhook_routing_conversations"
    sql "SELECT update_routing_settings('{\"conversation_timeout\": \"30 minutes\", \"keep_conversations\": false}')" >/dev/null
}

teardown() {
    own_forwarder_stop
    if ! cluster_running; then
        cluster_server -l "$CLUSTER_HOME/postgres.log" start
    fi
    sql "DROP TABLE IF EXISTS moving" # ends CALL move()
}

# says TEXT [SENDER]: a webhook that is answered 200, and is in the log
says() {
    local before
    before=$(logged)
    post "$(text "$@")"
    equal "$status" 200
    wait_logged "$((before + 1))"
}

# went_to: the functions that the webhooks went to, in order
went_to() { seen '[.requests[].function] | join(" ")'; }

# The server alone, without a settings file that would be made anew.
cluster_server() { as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -w -t 60 "$@" >/dev/null 3>&- 4>&-; }

@test "a follow-up goes where its sender was, on the side of his bucket" {
    routing 50
    says "I need a job" 250788000004
    says "yes" 250788000004
    says "I need a job" 250788000002
    says "how much?" 250788000002
    says "yes" 250788000009
    equal "$(went_to)" "wa-webhook-jobs wa-webhook-jobs wa-webhook-unified wa-webhook-unified wa-webhook"
    equal "$(sql "SELECT string_agg(domain, ' ' ORDER BY created_at, id) FROM webhook_routing_logs")" "jobs jobs jobs jobs unknown"
    equal "$(answer_header X-Routing-Decision)" "legacy; reason=unknown_domain"
}

@test "off, each message stands alone" {
    sql "SELECT update_routing_settings('{\"conversation_timeout\": 0}')" >/dev/null
    says "I need a job"
    says "yes"
    equal "$(went_to)" "wa-webhook-jobs wa-webhook"
    equal "$(sql "SELECT count(*) FROM webhook_routing_conversations")" 0
}

@test "the conversation outlives forwarder and database" {
    says "I need a job"
    forwarder_stop
    forwarder_start
    says "yes"
    cluster_server -m fast -l "$CLUSTER_HOME/postgres.log" restart
    settled
    says "and then?"
    equal "$(went_to)" "wa-webhook-jobs wa-webhook-jobs wa-webhook-jobs"
}

@test "a lower percentage leaves conversations where they are, when told to; the kill switch does not" {
    routing 50
    says "I need a job" 250788000002
    sql "SELECT update_routing_settings('{\"keep_conversations\": true}')" "SELECT update_routing_percentage(0)" >/dev/null
    says "yes" 250788000002
    equal "$(answer_header X-Routing-Decision)" "unified; reason=in_conversation"
    says "I need a job" 250788000008
    sql "SELECT set_routing_enabled(false)" >/dev/null
    says "yes" 250788000002
    equal "$(went_to)" "wa-webhook-unified wa-webhook-unified wa-webhook-jobs wa-webhook-jobs"
}

@test "where a fallback answered, the conversation is not kept on unified" {
    routing 50
    sql "SELECT update_routing_settings('{\"keep_conversations\": true}')" >/dev/null
    behave 'name=wa-webhook-unified&status=500'
    post "$(text "I need a job" 250788000002)"
    equal "$status" 200
    wait_logged 2
    equal "$(sql "SELECT domain, routed_to FROM webhook_routing_conversations")" "jobs|legacy"
    behave 'name=wa-webhook-unified&status=200'
    sql "SELECT update_routing_percentage(0)" >/dev/null
    post "$(text "yes" 250788000002)"
    equal "$(answer_header X-Routing-Decision)" "legacy; reason=out_of_percentage"
}

@test "in one webhook: each message follows those before it, and the parts go where each belongs" {
    local file=$BATS_TEST_TMPDIR/batch.json
    routing 0
    printf 'a secret of the app\n' >"$BATS_TEST_TMPDIR/secret"
    chmod 600 "$BATS_TEST_TMPDIR/secret"
    jq -cn '{object: "whatsapp_business_account", entry: [{id: "1", changes: [{field: "messages", value:
        {messages: [["1", "I need a job"], ["2", "a house"], ["1", "yes"], ["2", "yes"], ["3", "yes"]] | map({from: .[0],
         id: ("wamid." + .[0] + .[1]), type: "text", text: {body: .[1]}})}}]}]}' >"$file"
    own_forwarder --app-secret-file "$BATS_TEST_TMPDIR/secret"
    post "$file" -H "X-Hub-Signature-256: sha256=$(openssl dgst -sha256 -hmac 'a secret of the app' -r <"$file" | cut -d ' ' -f 1)"
    equal "$status" 200
    wait_logged 5
    equal "$(sql "SELECT webhook_name, domain, count(*) FROM webhook_routing_logs GROUP BY 1, 2 ORDER BY 1" | tr '\n' ' ')" \
        "wa-webhook|unknown|1 wa-webhook-jobs|jobs|2 wa-webhook-property|property|2 "
    # And from then on.
    own_forwarder_stop
    equal "$(sql "SELECT sender, domain FROM webhook_routing_conversations ORDER BY 1" | tr '\n' ' ')" "1|jobs 2|property "
}

@test "a conversation that moves between the two questions about a batch: its rows are of where it went" {
    local file=$BATS_TEST_TMPDIR/batch.json mover
    routing 0
    says "I need a job" 1
    jq -cn '{object: "whatsapp_business_account", entry: [{id: "1", changes: [{field: "messages", value:
        {messages: ["a", "b"] | map({from: "1", id: ("wamid." + .), type: "text", text: {body: "yes"}})}}]}]}' >"$file"
    # To and fro as fast as it can, until it is told to stop.
    sql "CREATE TABLE IF NOT EXISTS moving ()" "CREATE OR REPLACE PROCEDURE move() LANGUAGE plpgsql AS \$\$ BEGIN
        WHILE to_regclass('moving') IS NOT NULL LOOP
            UPDATE webhook_routing_conversations SET domain = CASE domain WHEN 'jobs' THEN 'property' ELSE 'jobs' END;
            COMMIT;
        END LOOP; END \$\$"
    sql "CALL move()" 3>&- 4>&- &
    mover=$!
    has_moved() { [[ $(sql "SELECT domain FROM webhook_routing_conversations") == property ]]; }
    wait_until 20 has_moved
    for _ in {1..300}; do
        post "$file"
        equal "$status" 200
    done
    sql "DROP TABLE moving"
    wait "$mover"
    wait_logged 601
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs l JOIN webhook_routing_domains d USING (domain)
                   WHERE l.webhook_name <> d.legacy_target")" 0
    # It did move meanwhile.
    equal "$(sql "SELECT count(DISTINCT domain) FROM webhook_routing_logs")" 2
}

@test "while the database is down a follow-up stands alone, and a kept one goes by its bucket" {
    routing 50
    says "I need a job" 250788000002
    sql "SELECT update_routing_settings('{\"keep_conversations\": true}')" "SELECT update_routing_percentage(0)" >/dev/null
    wait_rules
    cluster_server -m fast stop
    wait_until 10 health_is degraded
    post "$(text "yes" 250788000002)"
    equal "$status" 200
    equal "$(answer_header X-Routing-Decision)" "legacy; reason=unknown_domain"
    post "$(text "a job" 250788000002)"
    equal "$(answer_header X-Routing-Decision)" "legacy; reason=out_of_percentage"
    cluster_server -l "$CLUSTER_HOME/postgres.log" start
    wait_until 15 health_is healthy
    wait_logged 3
    # What was said meanwhile counts: the conversation is on legacy by now.
    equal "$(sql "SELECT domain, routed_to FROM webhook_routing_conversations")" "jobs|legacy"
}
