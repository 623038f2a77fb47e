#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The status page in a real browser (scenarios.js), with a real database, functions and forwarder behind it.
# Screenshots are in build/test/page/, for people to look at.

bats_require_minimum_version 1.5.0

setup_file() {
    load ../e2e/helper
    stack_start page
    sql "ALTER ROLE e2e_forwarder SET track_functions = 'all'" # the page's link is not open yet
    mkdir -p "$REPOSITORY/build/test/page"
    export PICTURES=$REPOSITORY/build/test/page
    CHROMIUM=$(command -v chromium)
    export CHROMIUM
    sql "SELECT set_routing_enabled(true, 'we begin')" \
        "SELECT update_routing_percentage(50, 'half of them')" >/dev/null
    an_hour 0
    # Real webhooks on top of it.
    local words
    for words in 'a job' 'a house for rent' 'something to buy' 'a taxi'; do
        post "$(text "I am looking for $words")"
        [[ $status == 200 ]]
    done
}

teardown_file() {
    load ../e2e/helper
    BREAKERS=open stack_stop
}

setup() {
    load ../e2e/helper
    cluster_open "$E2E_DIR/cluster"
}

teardown() { own_forwarder_stop; }

# an_hour SHARE: what an hour of traffic leaves in the log, at the version in force; that share of the
# requests of property fails on unified
an_hour() {
    sql "INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms,
                                           http_status, error_message, created_at, config_version)
         SELECT CASE side WHEN 'unified' THEN 'wa-webhook-unified' ELSE 'wa-webhook-' || domain END, domain, side,
                CASE WHEN failed THEN 'error' ELSE 'success' END, 40 + 10 * (n % 20),
                CASE WHEN failed THEN 500 ELSE 200 END, CASE WHEN failed THEN 'HTTP status 500' END,
                clock_timestamp() - m * interval '1 minute',
                (SELECT max(version) FROM webhook_routing_config)
           FROM unnest('{jobs,marketplace,property}'::text[]) domain, unnest('{unified,legacy}'::text[]) side,
                generate_series(0, 55) m, generate_series(1, 12) n,
                LATERAL (SELECT domain = 'property' AND side = 'unified' AND (m * 12 + n) % 1000 < 1000 * $1 AS failed) f"
}

look() { node "$REPOSITORY/test/page/browser.js" "$1"; }

@test "with a script: complete, charts drawn, no request to anybody else, no complaint of the console" {
    look script
}

@test "without a script: complete, with lines, and it comes again by itself" {
    look noScript
}

@test "on a phone nothing scrolls sideways, light and dark" {
    look phone
}

@test "at no width is anything wider than its sheet" {
    look widths
}

@test "light and dark: every text has a contrast of 4.5" {
    look schemes
}

@test "the page is only for looking: any other method is 405" {
    local method path
    for path in status status.json status/page.css status/icon.svg; do
        for method in POST PUT DELETE; do
            equal "$(curl -s -o /dev/null -w '%{http_code}' -X "$method" -d x "$ADMIN_URL/$path")" 405 "$method /$path"
        done
        equal "$(curl -s -o /dev/null -w '%{http_code}' -I "$ADMIN_URL/$path")" 200 "HEAD /$path"
    done
    curl -s -D - -o /dev/null -X POST "$ADMIN_URL/status" | grep -i '^Allow: GET, HEAD'
}

@test "JSON says the same, and no phone number" {
    curl -fs "$ADMIN_URL/status.json" >"$BATS_TEST_TMPDIR/status.json"
    equal "$(jq -r '[.verdict.level, .step.percentage, .database.reachable, (.minutes | length)] | join(" ")' \
        "$BATS_TEST_TMPDIR/status.json")" 'safe 50 true 60'
    equal "$(jq -r '[.split[] | select(.planned_pct == 50) | .domain] | join(" ")' "$BATS_TEST_TMPDIR/status.json")" \
        'jobs marketplace property'
    equal "$(jq -r '.forwarder | [.workers, .workers_deciding, .config_version] | join(" ")' \
        "$BATS_TEST_TMPDIR/status.json")" "1 1 $(sql "SELECT max(version) FROM webhook_routing_config")"
    run ! grep -E '25078|wamid' "$BATS_TEST_TMPDIR/status.json"
}

# asked: how often the database was asked for the step
asked() { sql "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = 'webhook_routing_page_step'"; }

# outdated: the next viewer has the database asked. What it has said is kept for 2 s, and for longer where that
# took long, but not when the configuration is another one.
outdated() {
    local version
    sleep 2.5
    sql "SELECT update_routing_percentage(51, 'for a moment')" "SELECT update_routing_percentage(50, 'and back')" >/dev/null
    version=$(sql "SELECT max(version) FROM webhook_routing_config")
    wait_until 10 eval "curl -fs '$ADMIN_URL/metrics' | grep -x 'webhook_forwarder_ruleset_version.* $version'"
}

@test "any number of viewers cost the database one set of questions" {
    local before began took
    # With the second set the database counts the first, too, which may be that of a new session.
    for _ in 1 2; do
        curl -fs "$ADMIN_URL/status.json" >/dev/null
        outdated
    done
    before=$(asked)
    began=$EPOCHREALTIME
    curl -fsZ --parallel-max 40 "$ADMIN_URL/status.json?viewer=[1-40]" >"$BATS_TEST_TMPDIR/seen"
    # One set, unless they took so long that it was too old for the last of them.
    took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000000))
    equal "$(jq -s "map(.database.data_age_s <= 1 + $took) | [length, all] | join(\" \")" "$BATS_TEST_TMPDIR/seen")" '"40 true"'
    wait_until 15 eval '(($(asked) > before))'
    (($(asked) <= before + 1 + took / 2))
}

@test "a database that does not answer in time is told of within a second, and what was known with its age" {
    local began
    # Something is known already.
    wait_until 20 eval '[[ $(page ".split | length") -gt 0 ]]'
    outdated
    psql -X -q -c 'BEGIN; LOCK TABLE webhook_routing_config IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)' \
        >/dev/null 2>&1 3>&- 4>&- &
    wait_until 10 eval '[[ $(sql "SELECT count(*) FROM pg_locks WHERE mode = '"'AccessExclusiveLock'"' AND granted
        AND relation = '"'webhook_routing_config'::regclass"'") == 1 ]]'
    began=$(date +%s%N)
    curl -fs "$ADMIN_URL/status.json" >"$BATS_TEST_TMPDIR/first.json"
    # Of the machine's own second or two, nothing is the database's, which holds its answer back for a minute.
    (($(date +%s%N) - began < 4000000000))
    curl -fs "$ADMIN_URL/livez"
    complains() { curl -fs "$ADMIN_URL/status.json" >"$BATS_TEST_TMPDIR/late.json" && jq -e '.database.problem' "$BATS_TEST_TMPDIR/late.json"; }
    wait_until 10 complains
    sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'" >/dev/null
    wait || true
    jq -e '.verdict.level == "unknown" and (.database.problem | test("lock timeout"))' "$BATS_TEST_TMPDIR/late.json"
    jq -e '.database.reachable and .database.data_age_s >= 2 and (.split | length) > 0' "$BATS_TEST_TMPDIR/late.json"
    wait_until 20 eval '[[ $(curl -fs "$ADMIN_URL/status.json" | jq -r .database.problem) == null ]]'
}

# page MEMBER: of the JSON, which has to come at once
page() {
    local json
    json=$(curl -fs -m 0.8 "$ADMIN_URL/status.json") && jq -r "$1" <<<"$json"
}

# shows PERCENT: the page does
shows() { [[ $(page .step.percentage) == "$1" ]]; }

# waits: whether a viewer waits for the database
waits() { ! page . >/dev/null; }

@test "a database that hangs: nobody waits for what others have waited for, and a change is seen soon after" {
    local backend viewers
    wait_until 10 page .
    backend=$(sql "SELECT pid FROM pg_stat_activity WHERE application_name = 'webhook-forwarder status'")
    kill -STOP "$backend"
    wait_until 30 waits
    sleep 0.5
    # Whoever waits, waits for a second each time.
    wait_until 10 page .
    curl -sZ --parallel-max 200 "$ADMIN_URL/status?viewer=[1-200]" >/dev/null &
    viewers=$!
    for _ in 1 2 3; do
        equal "$(curl -s -m 4 "$ADMIN_URL/livez")" ok
    done
    wait "$viewers"
    sleep 2
    kill -CONT "$backend"
    wait_until 20 eval '(($(page .database.data_age_s) <= 1))'
    # That the set took long is no reason not to ask again.
    sql "SELECT update_routing_percentage(51, 'after the database has hung')" >/dev/null
    wait_until 20 shows 51
    sql "SELECT update_routing_percentage(50, 'and back')" >/dev/null
    wait_until 20 shows 50
}

@test "what people and functions wrote is shown, and does nothing" {
    sql "SELECT update_routing_percentage(50, '<script>document.title=\"owned\"</script> & \"quoted\" ''too''')" >/dev/null
    sql "INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, error_message)
         VALUES ('<script>bad</script>', 'jobs', 'legacy', 'error', '<img src=x onerror=alert()>')"
    look escaping
}

@test "the database goes away while the page is open, and comes back" {
    {
        printf '#!/usr/bin/env bash\ncd / && exec '
        printf '%q ' "${UNPRIVILEGED[@]}" "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" \
            -l "$CLUSTER_HOME/postgresql.log" -w -t 60
        # shellcheck disable=SC2016  # for the script
        printf '"$@" >/dev/null 3>&- 4>&-\n'
    } >"$BATS_TEST_TMPDIR/server"
    chmod +x "$BATS_TEST_TMPDIR/server"
    SERVER=$BATS_TEST_TMPDIR/server look away
}

@test "a warning, and what is critical, are the first that is seen" {
    sql "SELECT update_routing_percentage(60, 'a step of its own')" >/dev/null
    an_hour 0.003
    look warning
    sql "SELECT update_routing_percentage(61, 'and another')" >/dev/null
    an_hour 0.05
    look critical
    look widths
}

@test "an open breaker is shown, with the errors that opened it" {
    sql "SELECT update_routing_percentage(100, 'all of them')" >/dev/null
    wait_rules
    behave 'name=wa-webhook-unified&status=500'
    local try
    for try in first second third fourth fifth sixth; do
        post "$(text "I am looking for a $try job")"
    done
    behave 'name=wa-webhook-unified&status=200'
    look breaker
}

@test "a changed percentage is there within a refresh, and the switch" {
    sql "SELECT update_routing_percentage(50, 'half again')" >/dev/null
    wait_until 20 shows 50
    look change
}

@test "a build without uPlot is one that was asked for, or says so" {
    local empty=$BATS_TEST_TMPDIR/empty mode
    mkdir "$empty"
    ln -s "$(command -v bash)" "$(command -v dirname)" "$(command -v mkdir)" "$empty"
    run env PATH="$empty" bash "$REPOSITORY/scripts/uplot.sh" yes "$BATS_TEST_TMPDIR/yes"
    equal "$status" 69
    [[ $output == *"there is no npm"*"make UPLOT=yes"*"make UPLOT=no"* ]]
    run env PATH="$empty" bash "$REPOSITORY/scripts/uplot.sh" auto "$BATS_TEST_TMPDIR/auto"
    equal "$status" 0
    [[ $output == *"built without uPlot: there is no npm"*"make UPLOT=yes"*"make UPLOT=no"* ]]
    run bash "$REPOSITORY/scripts/uplot.sh" no "$BATS_TEST_TMPDIR/no"
    equal "$status $output" '0 '
    for mode in auto no; do
        [[ -e $BATS_TEST_TMPDIR/$mode/uplot.js && ! -s $BATS_TEST_TMPDIR/$mode/uplot.js ]]
    done
    [[ -s $REPOSITORY/build/page/uplot.js && $(curl -fs "$ADMIN_URL/status/uplot-licence.txt") == *"MIT License"* ]]
}

@test "when the forwarder itself is gone the page says so" {
    look lost
    forwarder_start
}
