#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# From a fresh machine to live traffic in one command; see usage() below. Everything it makes is in
# one folder (and a short one under /tmp for the socket); nothing is written system-wide.
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/cluster.sh
. "$REPOSITORY/scripts/lib/cluster.sh"

readonly DATABASE=webhooks
readonly ROLE=webhook_forwarder
readonly WEBHOOKS_PER_STEP=1000
DIR='' TRAFFIC=true STOP=false

usage() {
    cat <<EOT
Usage: ./scripts/quickstart.sh [--no-traffic] [--dir DIR]
       ./scripts/quickstart.sh --stop [--dir DIR]

Installs missing packages (as root; otherwise prints the line and exits 69), builds, starts a
private PostgreSQL cluster, stand-in functions and the forwarder, sends webhooks through a
0 -> 10 -> 50 % rollout, and leaves everything running.

  --no-traffic   start everything, send nothing
  --stop         stop what a former run started; the data stays
  --dir DIR      keep everything in DIR instead of .run/ in the source tree
  --help         this text

Afterwards: . .run/env && psql
EOT
}

while (($#)); do
    case $1 in
        --no-traffic) TRAFFIC=false ;;
        --stop) STOP=true ;;
        --dir)
            [[ -n ${2:-} ]] || die "--dir needs a folder" "$EX_USAGE"
            DIR=$2
            shift
            ;;
        --dir=*) DIR=${1#--dir=} ;;
        --help | -h)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit "$EX_USAGE"
            ;;
    esac
    shift
done

# The default folder; somebody else's clone, where it cannot be made, gets one in the home folder.
if [[ -n $DIR && $DIR != /* ]]; then
    DIR=$PWD/$DIR
elif [[ -z $DIR ]]; then
    DIR=$REPOSITORY/.run
    if ! mkdir -p "$DIR" 2>/dev/null || [[ ! -w $DIR ]]; then
        DIR=${HOME:-/tmp}/.webhook_routing
    fi
fi

# Programs complain about a working directory that this user cannot read.
readonly CALLED_FROM=$PWD
cd "$REPOSITORY"

# ---- what is running ----

stop_programs() {
    process_stop "$CLUSTER_DIR/forwarder.pid" 30
    process_stop "$CLUSTER_DIR/functions.pid"
}

stop_everything() {
    stop_programs
    cluster_stop
    rm -f "$CLUSTER_DIR/env"
}

# functions_ready: whether the stand-in functions have announced their ports
functions_ready() { grep -q '^ready ' "$CLUSTER_DIR/functions.log"; }

start_functions() {
    : >"$CLUSTER_DIR/functions.log"
    process_start "$CLUSTER_DIR/functions.pid" "$CLUSTER_DIR/functions.log" "${UNPRIVILEGED[@]}" \
        "$CLUSTER_HOME/bin/standin-functions" --port "$(free_port 8090)"
    wait_until 10 functions_ready || die "the stand-in functions did not start: $CLUSTER_DIR/functions.log"
    FUNCTIONS_URL=http://127.0.0.1:$(sed -n 's/^ready port=\([0-9]*\).*/\1/p' "$CLUSTER_DIR/functions.log")
}

forwarder_healthy() { curl -fs "$FORWARDER_URL/" | grep -q '"status": "healthy"'; }

start_forwarder() {
    local port admin_port token=$CLUSTER_HOME/verify-token
    port=$(free_port 8080)
    admin_port=$(free_port 9180)
    FORWARDER_URL=http://127.0.0.1:$port
    ADMIN_URL=http://127.0.0.1:$admin_port
    echo quickstart >"$token"
    mkdir -p "$CLUSTER_HOME/spool"
    own "$token" "$CLUSTER_HOME/spool"
    : >"$CLUSTER_DIR/forwarder.log"
    DATABASE_URL=$(cluster_url "$DATABASE" "$ROLE") process_start \
        "$CLUSTER_DIR/forwarder.pid" "$CLUSTER_DIR/forwarder.log" "${UNPRIVILEGED[@]}" \
        "$CLUSTER_HOME/stage/usr/local/bin/webhook-forwarder" --listen "127.0.0.1:$port" \
        --admin-listen "127.0.0.1:$admin_port" --functions-url "$FUNCTIONS_URL" \
        --spool-directory "$CLUSTER_HOME/spool" \
        --verify-token-file "$token"
    wait_until 15 forwarder_healthy || {
        tail -n 20 "$CLUSTER_DIR/forwarder.log" >&2
        die "the forwarder did not become healthy: $CLUSTER_DIR/forwarder.log"
    }
}

# ---- the way to there ----

build() {
    local began=$SECONDS
    source_tree "$CLUSTER_DIR"
    quietly "$CLUSTER_DIR/build.log" \
        make -C "$SOURCE_TREE" -s -j"$(nproc)" all standin build/load ||
        die "the build failed: $CLUSTER_DIR/build.log"
    step build "the extension and the forwarder, $((SECONDS - began)) s"
}

# The private database. One that was made by another build of the extension is made anew: its
# objects would not fit the library.
prepare_database() {
    local script stamp=$CLUSTER_DIR/extension.sha256 sum
    script=$(find "$CLUSTER_HOME/stage" -name 'webhook_routing--*.sql' -print -quit)
    sum=$(sha256sum <"$script")
    if [[ -s $stamp && $(<"$stamp") != "$sum" ]]; then
        cluster_psql postgres -c "DROP DATABASE IF EXISTS $DATABASE WITH (FORCE)"
        step database "the extension has changed: starting with an empty database"
    fi
    if [[ -z $(cluster_psql postgres -Atc "SELECT 1 FROM pg_database WHERE datname = '$DATABASE'") ]]; then
        cluster_psql postgres -c "CREATE DATABASE $DATABASE"
    fi
    printf '%s\n' "$sum" >"$stamp"
    cluster_psql "$DATABASE" >"$CLUSTER_DIR/prepare.log" 2>&1 <<EOT || die "see $CLUSTER_DIR/prepare.log"
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS webhook_routing;
SELECT 'CREATE ROLE $ROLE LOGIN' WHERE to_regrole('$ROLE') IS NULL \gexec
SELECT grant_routing_role('forwarder', '$ROLE');
SELECT * FROM routing_maintain();
EOT
}

write_env() {
    {
        echo "# Made by scripts/quickstart.sh; use it with: . $(printf %q "$CLUSTER_DIR/env") && psql"
        printf 'export %s=%q\n' DATABASE_URL "$(cluster_url "$DATABASE")" \
            FORWARDER_URL "$FORWARDER_URL" ADMIN_URL "$ADMIN_URL" FUNCTIONS_URL "$FUNCTIONS_URL" \
            PGHOST "$CLUSTER_SOCKET" PGPORT "$CLUSTER_PORT" PGUSER "$CLUSTER_USER" PGDATABASE "$DATABASE"
    } >"$CLUSTER_DIR/env.new"
    mv "$CLUSTER_DIR/env.new" "$CLUSTER_DIR/env"
}

# ---- the demonstration ----

# verb SQL: an operator's statement, shown as it would be typed, with the NOTICE it answers
verb() {
    printf '  %s%s%s\n' "$BOLD" "$1" "$RESET"
    cluster_psql "$DATABASE" -c "$1" 2>&1 >/dev/null | sed 's/^/    /'
}

logged() {
    cluster_psql "$DATABASE" -Atc "SELECT count(*) FROM webhook_routing_logs WHERE item = 0 AND attempt = 1"
}

all_logged() { (($(logged) >= $1)); }

# traffic PERCENT: one step's webhooks; the same senders each time, new messages
traffic() {
    local before answers
    before=$(logged)
    curl -fs -X POST "$FUNCTIONS_URL/_standin/reset" >/dev/null
    answers=$("$SOURCE_TREE/build/load" --url "$FORWARDER_URL/" --requests "$WEBHOOKS_PER_STEP" \
        --senders 400 --concurrency 8 --first "$(($(date +%s) * 10000 % 1000000000))") ||
        die "not every webhook was answered 200: $answers"
    curl -fs "$FUNCTIONS_URL/_standin/report?last=0" >"$CLUSTER_DIR/functions.$1.json"
    wait_until 10 all_logged "$((before + WEBHOOKS_PER_STEP))" ||
        die "only $(($(logged) - before)) of $WEBHOOKS_PER_STEP decisions are in the log"
}

# One of each kind of webhook that WhatsApp sends, as files, before the generated ones.
send_examples() {
    local file sent=0 statuses
    statuses=$(for file in "$REPOSITORY"/test/fixtures/payloads/*.json; do
        curl -s -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/json' -H 'Expect:' \
            --data-binary "@$file" "$FORWARDER_URL/"
    done)
    sent=$(wc -l <<<"$statuses")
    if [[ $(sort -u <<<"$statuses") != 200 ]]; then
        die "of $sent example webhooks some were not answered 200: $(sort <<<"$statuses" | uniq -c | xargs)"
    fi
    step examples "$sent webhooks of every kind WhatsApp sends: all answered 200"
}

show_distribution() {
    cluster_psql "$DATABASE" -v zero="$(<"$CLUSTER_DIR/functions.0.json")" \
        -v ten="$(<"$CLUSTER_DIR/functions.10.json")" -v fifty="$(<"$CLUSTER_DIR/functions.50.json")" \
        -P border=0 -P footer=off <<'EOT' | sed '/^ *$/d; s/^/  /'
WITH seen(step, function, requests) AS (
    SELECT step, key, (value->>'requests')::int
    FROM (VALUES (0, :'zero'::json), (10, :'ten'), (50, :'fifty')) AS report(step, body),
         json_each(body->'functions')
)
SELECT function AS "what the functions received",
       coalesce(sum(requests) FILTER (WHERE step = 0), 0) AS "at 0 %",
       coalesce(sum(requests) FILTER (WHERE step = 10), 0) AS "at 10 %",
       coalesce(sum(requests) FILTER (WHERE step = 50), 0) AS "at 50 %",
       coalesce((SELECT 'protected: never moves' FROM webhook_routing_domains AS d
                 WHERE d.protected AND d.legacy_target = function LIMIT 1),
                (SELECT CASE function WHEN c.unified_webhook THEN 'the new one'
                                      WHEN c.default_webhook THEN 'what nobody claims' END
                 FROM get_current_routing_config() AS c), '') AS " "
FROM seen GROUP BY function
ORDER BY function = 'wa-webhook-unified' DESC, 5, function;
EOT
}

demonstrate() {
    title "A rollout in miniature: $WEBHOOKS_PER_STEP webhooks of the same 400 people at each step"
    send_examples
    echo
    verb "SELECT update_routing_percentage(0, 'quickstart: begin');"
    verb "SELECT set_routing_enabled(true, 'quickstart: go');"
    traffic 0
    verb "SELECT update_routing_percentage(10.00, 'quickstart: canary');"
    traffic 10
    verb "SELECT update_routing_percentage(50.00, 'quickstart: half');"
    traffic 50
    echo
    show_distribution
    echo
    verb "SELECT * FROM webhook_routing_stats;"
    cluster_psql "$DATABASE" -P border=0 -P footer=off -c \
        "SELECT domain, routed_to, request_count, p50_ms, p95_ms, error_count, error_rate_pct
         FROM webhook_routing_stats" | sed '/^ *$/d; s/^/    /'
    echo
    verb "SELECT * FROM rollout_status();"
    cluster_psql "$DATABASE" -P border=0 -P footer=off -c "SELECT * FROM rollout_status()" |
        sed '/^ *$/d; s/^/    /'
}

farewell() {
    title "Everything is running"
    step forwarder "$FORWARDER_URL   (what Meta would call)"
    step admin "$ADMIN_URL/readyz"
    step status "$ADMIN_URL/status"
    step functions "$FUNCTIONS_URL/_standin/report"
    title "Try"
    cat <<EOT
  . $(printf %q "${CLUSTER_DIR/#"$CALLED_FROM/"/}/env") && psql
  curl -i "\$FORWARDER_URL/" --data-binary @$(printf %q "${REPOSITORY/#"$CALLED_FROM"/.}")/test/fixtures/payloads/text.json
  curl "\$FORWARDER_URL/?hub.mode=subscribe&hub.verify_token=quickstart&hub.challenge=42"
  psql -c "SELECT set_routing_enabled(false, 'the instant way back')"

  ./scripts/quickstart.sh --stop$([[ $CLUSTER_DIR == "$REPOSITORY/.run" ]] || printf ' --dir %q' "$CLUSTER_DIR")
EOT
}

if $STOP; then
    if [[ ! -s $DIR/cluster.home ]]; then
        echo "nothing to stop in $DIR"
        exit 0
    fi
    cluster_open "$DIR"
    stop_everything
    echo "stopped; the data stays in $CLUSTER_HOME"
    exit 0
fi

mkdir -p "$DIR" 2>/dev/null || true
title "webhook_routing quickstart"
install_missing "$DIR/packages.log" build run
cluster_open "$DIR"
stop_programs
cluster_stop
build
stage_install
mkdir -p "$CLUSTER_HOME/bin"
install -m 755 "$SOURCE_TREE/build/standin-functions" "$CLUSTER_HOME/bin/"
cluster_start
prepare_database
step database "PostgreSQL $(postgresql_major) of its own, socket in $CLUSTER_SOCKET"
start_functions
step functions "one stand-in plays every wa-webhook-*"
start_forwarder
step forwarder "ready, asks the database for each webhook"
write_env
if $TRAFFIC; then
    demonstrate
fi
farewell
