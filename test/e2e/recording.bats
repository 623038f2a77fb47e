#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Rows before the relay when there is no spool: the database commits them, however long it takes and whatever
# it refuses; and what else the forwarder keeps on the disk or says of the database.

setup_file() {
    load helper
    stack_start e2e_recording
}

teardown_file() {
    load helper
    stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    clean_sheet
    SPOOL=$STACK/spool
}

teardown() {
    opened 1000
    sql "DROP FUNCTION IF EXISTS slow_pending() CASCADE" "DROP FUNCTION IF EXISTS remark() CASCADE" \
        "ALTER TABLE webhook_routing_pending DROP CONSTRAINT IF EXISTS not_him"
    [[ -d $SPOOL ]] || rm -f "$SPOOL"
    wait_until 30 health_is healthy
    own_forwarder_stop
}

# A file in the place of the spool's directory. The spool notices when it makes its next segment.
spool_breaks() {
    rm -r "$SPOOL"
    : >"$SPOOL"
    unusable() {
        post "$FIXTURES/text.json"
        health_is degraded
    }
    wait_until 20 unusable
}

# slow_commits: the n-th commit before a relay from now on waits until `opened N` has been said
slow_commits() {
    sql "CREATE SEQUENCE IF NOT EXISTS commits" "CREATE TABLE IF NOT EXISTS gate (opened bigint NOT NULL)" \
        "INSERT INTO gate VALUES (0)" \
        "CREATE FUNCTION slow_pending() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$
         DECLARE number bigint := nextval('public.commits');
         BEGIN
             WHILE number > (SELECT opened FROM public.gate) LOOP
                 PERFORM pg_sleep(0.02);
             END LOOP;
             RETURN NULL;
         END \$\$" \
        "CREATE TRIGGER slow AFTER INSERT ON webhook_routing_pending FOR EACH STATEMENT
         EXECUTE FUNCTION slow_pending()"
}

# opened N: such commits go on
opened() {
    if [[ $(sql "SELECT to_regclass('gate') IS NOT NULL") == t ]]; then
        sql "UPDATE gate SET opened = $1"
    fi
}

@test "a commit that takes longer than a webhook waits for it: what comes behind is not relayed before its own" {
    local first behind
    serves
    spool_breaks
    wait_until 20 logged_is_settled
    clean_sheet
    slow_commits
    curl -s -o "$BATS_TEST_TMPDIR/first" -w '%{http_code}' --data-binary @"$FIXTURES/text.json" \
        "$FORWARDER_URL/" >"$BATS_TEST_TMPDIR/first.status" 3>&- &
    first=$!
    wait "$first"
    equal "$(cat "$BATS_TEST_TMPDIR/first.status")" 503
    post "$FIXTURES/text_property.json" 3>&- &
    behind=$!
    # The first commit ends in this time; the second one's takes longer than it waits, too.
    sleep 0.3
    opened 1
    wait "$behind"
    equal "$(seen .total)" 0 'webhooks at the functions'
    opened 1000
    wait_logged 2
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs WHERE routed_to = 'error' AND http_status IS NULL")" 2
}

logged_is_settled() { [[ $(sql "SELECT count(*) FROM webhook_routing_pending") == 0 ]]; }

@test "a decision that the database refuses to commit keeps no neighbour out" {
    local i pids=()
    serves
    spool_breaks
    wait_until 20 logged_is_settled
    clean_sheet
    sql "ALTER TABLE webhook_routing_pending ADD CONSTRAINT not_him CHECK (from_number IS DISTINCT FROM '250788000666')"
    for i in 1 2 3 4 5 6 7 8; do
        curl -s -o /dev/null -w '%{http_code}\n' --data-binary @"$(text 'I need a job' "25078800010$i")" \
            "$FORWARDER_URL/" >"$BATS_TEST_TMPDIR/status.$i" 3>&- &
        pids+=($!)
        if ((i == 4)); then
            curl -s -o /dev/null -w '%{http_code}\n' --data-binary @"$(text 'I need a job' 250788000666)" \
                "$FORWARDER_URL/" >"$BATS_TEST_TMPDIR/refused" 3>&- &
            pids+=($!)
        fi
    done
    wait "${pids[@]}"
    equal "$(cat "$BATS_TEST_TMPDIR/refused")" 503
    equal "$(cat "$BATS_TEST_TMPDIR"/status.* | sort | uniq -c | tr -s ' ')" ' 8 200'
    wait_logged 8
}

@test "rules that cannot be kept are complained of once, not every second, and kept when they can be" {
    local spool=$BATS_TEST_TMPDIR/own/spool
    own_stack
    mkdir -p "$spool/ruleset.new"
    chmod 700 "$spool"
    forwarder_start
    wait_until 20 grep '"event":"ruleset_not_kept"' "$STACK/forwarder.log"
    sleep 2.5
    equal "$(events ruleset_not_kept)" 1
    rmdir "$spool/ruleset.new"
    wait_until 20 test -s "$spool/ruleset"
}

@test "rules whose file is lost are kept again" {
    serves
    there() { [[ -s $SPOOL/ruleset ]]; }
    wait_until 20 there
    rm "$SPOOL/ruleset"
    wait_until 20 there
}

@test "what the database remarks is told by its kind alone" {
    sql "CREATE FUNCTION remark() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN RAISE WARNING ''from %'', NEW.from_number; RETURN NEW; END'" \
        "CREATE TRIGGER remark BEFORE INSERT ON webhook_routing_logs FOR EACH ROW EXECUTE FUNCTION remark()"
    post "$(text 'I need a job' 250788000777)"
    equal "$status" 200
    wait_logged 1
    wait_until 20 grep '"event":"database_notice"' "$STACK/forwarder.log"
    equal "$(grep -c 250788000777 "$STACK/forwarder.log" || true)" 0
    equal "$(jq -c . <"$STACK/forwarder.log" | wc -l)" "$(wc -l <"$STACK/forwarder.log")" 'lines of JSON'
}
