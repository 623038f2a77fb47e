#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The kit in monitoring/: the rules by promtool, rules and dashboard by a real Prometheus that watches a
# live forwarder, and the names of metrics in all of it, and in the documentation, by the exposition.

KIT=monitoring

setup_file() {
    load helper
    stack_start monitoring_kit --workers 2 --breaker-failures 20
    prometheus_start
}

teardown_file() {
    load helper
    process_stop "$BATS_FILE_TMPDIR/prometheus.pid"
    BREAKERS=open stack_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    cd "$REPOSITORY" || return
}

teardown() { process_stop "$BATS_TEST_TMPDIR/load.pid"; }

# prometheus_start: watches the forwarder every second, with the rules of the kit
prometheus_start() {
    local folder=$BATS_FILE_TMPDIR/prometheus
    mkdir "$folder"
    PROMETHEUS_PORT=$(free_port 19090)
    export PROMETHEUS_URL=http://127.0.0.1:$PROMETHEUS_PORT
    cp "$REPOSITORY/$KIT/prometheus/rules.yml" "$folder/"
    sed "s/127.0.0.1:9180/127.0.0.1:$ADMIN_PORT/; s/scrape_interval: .*/scrape_interval: 1s/" \
        "$REPOSITORY/$KIT/prometheus/scrape.yml" >"$folder/prometheus.yml"
    printf 'global:\n  evaluation_interval: 1s\n' >>"$folder/prometheus.yml"
    process_start "$BATS_FILE_TMPDIR/prometheus.pid" "$folder/log" prometheus \
        --config.file "$folder/prometheus.yml" --storage.tsdb.path "$folder/data" \
        --web.listen-address "127.0.0.1:$PROMETHEUS_PORT" --log.level warn
    wait_until 20 curl -fs "$PROMETHEUS_URL/-/ready" || {
        cat "$folder/log" >&2
        return 1
    }
}

# query EXPRESSION: what Prometheus answers
query() { curl -s -m 10 --data-urlencode "query=$1" "$PROMETHEUS_URL/api/v1/query"; }

# answers EXPRESSION: without an error, and with something
answers() { [[ $(query "$1" | jq -r '.status + " " + (.data.result | length > 0 | tostring)') == 'success true' ]]; }

# The dashboard's queries as Grafana would send them for this forwarder.
dashboard_queries() {
    jq -r '(.panels[].targets[]?, .annotations.list[]) | .expr' "$KIT/grafana/dashboard.json" |
        sed 's/\$job/webhook-forwarder/g; s/\$instance/.*/g; s/\$__rate_interval/10s/g'
}

# metric_names: those that stand in what is read, without what a histogram appends
metric_names() {
    grep -oE '\b(webhook_forwarder|process)_[a-z_]+\b' | sed -E 's/_(bucket|sum|count)$//' | sort -u
}

@test "promtool: the rules are sound, each fires when it has to and not otherwise" {
    promtool check rules "$KIT/prometheus/rules.yml"
    promtool check config "$KIT/prometheus/scrape.yml"
    promtool test rules "$KIT"/prometheus/*_test.yml
}

@test "each alert has a test that it fires, severity, words, and a section that says what to do" {
    local alert
    while read -r alert; do
        grep -hF "alertname: $alert" "$KIT"/prometheus/*_test.yml >/dev/null || {
            echo "$alert has no test"
            return 1
        }
        grep -hA 1 -F "alertname: $alert" "$KIT"/prometheus/*_test.yml | grep exp_alerts >/dev/null || {
            echo "no test in which $alert fires"
            return 1
        }
        grep -xF "### $alert" docs/troubleshooting.md >/dev/null || {
            echo "docs/troubleshooting.md has no section $alert"
            return 1
        }
        grep -xF "          runbook: docs/troubleshooting.md#${alert,,}" "$KIT/prometheus/rules.yml" >/dev/null || {
            echo "$alert has no runbook"
            return 1
        }
    done < <(sed -n 's/^ *- alert: //p' "$KIT/prometheus/rules.yml")
    local count
    count=$(grep -c -- '- alert:' "$KIT/prometheus/rules.yml")
    equal "$(grep -c ' severity: \(critical\|warning\)$' "$KIT/prometheus/rules.yml")" "$count"
    equal "$(grep -c '^          summary: ' "$KIT/prometheus/rules.yml")" "$count"
    equal "$(grep -c '^          description: ' "$KIT/prometheus/rules.yml")" "$count"
    # No section speaks of an alert that is gone.
    equal "$(sed -n 's/^### \(Webhook[A-Za-z]*\)$/\1/p' docs/troubleshooting.md | sort)" \
        "$(sed -n 's/^ *- alert: //p' "$KIT/prometheus/rules.yml" | sort)"
}

@test "rules, dashboard, documentation and scripts name only metrics that there are" {
    local known=$BATS_TEST_TMPDIR/known file
    metrics | sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' | sort >"$known"
    for file in "$KIT"/prometheus/*.yml "$KIT"/grafana/*.json docs/*.md README.md; do
        metric_names <"$file" >"$BATS_TEST_TMPDIR/named"
        equal "$(comm -13 "$known" "$BATS_TEST_TMPDIR/named" | xargs)" '' "$file"
    done
    # In scripts process_ is what functions are called.
    cat scripts/*.sh | metric_names | grep ^webhook >"$BATS_TEST_TMPDIR/named"
    equal "$(comm -13 "$known" "$BATS_TEST_TMPDIR/named" | xargs)" '' scripts
    metric_names <"$KIT/grafana/dashboard.json" >"$BATS_TEST_TMPDIR/named"
    (($(wc -l <"$BATS_TEST_TMPDIR/named") > 30))
}

@test "the dashboard is one that Grafana 9 takes" {
    local dashboard=$KIT/grafana/dashboard.json
    jq -e '.schemaVersion >= 36 and (.uid | length > 0) and (.title | length > 0)' "$dashboard"
    # Panels have numbers of their own, words, a place of their own, and the variable's data source.
    jq -e '[.panels[].id] | length == (unique | length)' "$dashboard"
    jq -e 'all(.panels[] | select(.type != "row"); (.description | length > 0) and (.targets | length > 0)
        and .datasource.uid == "${datasource}" and all(.targets[]; .datasource.uid == "${datasource}"
        and (.expr | length > 0)))' "$dashboard"
    jq -e 'all(.panels[]; .gridPos | .x >= 0 and .x + .w <= 24 and .h > 0)' "$dashboard"
    jq -e '[.panels[].gridPos | {x, y}] | length == (unique | length)' "$dashboard"
    jq -e '[.templating.list[].name] == ["datasource", "job", "instance"]' "$dashboard"
    # Meta's limits, and those of health, are lines.
    jq -e '[.panels[].fieldConfig.defaults.thresholds.steps[]?.value] | contains([0.25, 1, 2, 3, 0.001, 0.005])' "$dashboard"
}

@test "a real Prometheus answers every query of the dashboard, and has something to show for each" {
    local expression empty=0
    clean_sheet
    routing 50
    behave 'name=wa-webhook-unified&status=500&times=50'
    behave 'name=wa-webhook-profile&status=500'
    # Rates are those of the last ten seconds: it goes on until all have been seen.
    process_start "$BATS_TEST_TMPDIR/load.pid" "$BATS_TEST_TMPDIR/load.json" "$LOAD" --url "$FORWARDER_URL/" \
        --requests 1000000 --rate 300 --concurrency 8 --first 3000000
    while IFS= read -r expression; do
        [[ $expression != 'changes('* ]] || continue # the marks: a change of the rules, as long as there is one
        wait_until 20 answers "$expression" || {
            printf '%s\n    %s\n' "$expression" "$(query "$expression")"
            empty=$((empty + 1))
        }
    done < <(dashboard_queries)
    equal "$empty" 0 'queries without an answer'
    equal "$(query "$(dashboard_queries | grep '^changes(')" | jq -r .status)" success
    # What it shows is what was set, and what came of it.
    equal "$(query 'max(webhook_forwarder_routing_ratio)' | jq -r '.data.result[0].value[1]')" 0.5
    in_half() {
        query "$(dashboard_queries | grep -m 1 in_percentage)" |
            jq -e '.data.result[0].value[1] | tonumber | . > 0.4 and . < 0.6'
    }
    wait_until 20 in_half
}

@test "it understands the queries of the documentation" {
    local expression count=0
    while IFS= read -r expression; do
        equal "$(query "$expression" | jq -r .status)" success "$expression"
        count=$((count + 1))
    done < <(awk '/^```promql$/ { inside = 1; next } inside && /^```$/ { inside = 0; print ""; next }
        inside { printf "%s ", $0 }' docs/*.md)
    ((count > 10))
}

@test "a real Prometheus takes the rules; when the forwarder ends, an alert is on its way" {
    rules() { curl -fs "$PROMETHEUS_URL/api/v1/rules" | jq -r "[.data.groups[].rules[]] | $1"; }
    down_is() { [[ $(rules '.[] | select(.name == "WebhookForwarderDown").state') == "$1" ]]; }
    # None is known before it has been evaluated once.
    evaluated() { [[ $(rules 'map(select(.health == "unknown")) | length') == 0 ]]; }
    wait_until 30 evaluated
    equal "$(rules 'map(select(.health != "ok") | .name + ": " + .lastError) | join(", ")')" ''
    equal "$(rules length)" "$(grep -c -- '- alert:' "$KIT/prometheus/rules.yml")"
    wait_until 30 down_is inactive
    forwarder_stop
    wait_until 30 down_is pending
    forwarder_start
    wait_until 30 down_is inactive
}
