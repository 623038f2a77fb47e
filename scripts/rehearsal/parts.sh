# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# The parts that the rehearsal plays with, all of them real: a private PostgreSQL cluster and the forwarder,
# both by the clock of the story, the stand-in functions, and the client that sends webhooks as Meta does.
# Sourced after common.sh, cluster.sh and clock.sh.

readonly DATABASE=rehearsal
readonly OPERATOR=rehearsal_operator FORWARDER_ROLE=rehearsal_forwarder
readonly PEAK_DEFAULT=240 # webhooks a second in the busiest hour
readonly SENDERS=3000
# Of the busiest hour, in percent, from midnight on; the busiest is from 19 to 20.
readonly HOURS=(12 10 8 8 10 15 25 40 50 55 60 55 60 65 60 55 60 70 85 100 90 65 40 20)
PEAK=$PEAK_DEFAULT
EVIDENCE=''

# as_superuser ARGUMENT...: psql as the owner of the database; unaligned
as_superuser() { cluster_psql "$DATABASE" -At "$@"; }

# as_operator ARGUMENT...: psql as the people in the story
as_operator() {
    PGHOST=$CLUSTER_SOCKET PGPORT=$CLUSTER_PORT PGUSER=$OPERATOR PGDATABASE=$DATABASE \
        psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# ---- the database ----

# What runs by the clock would do its hourly and daily work all the time.
database_start() {
    local unprivileged=("${UNPRIVILEGED[@]}")
    UNPRIVILEGED+=("${FAKED[@]}")
    cluster_start checkpoint_timeout=1d autovacuum_naptime=1d timezone=UTC log_timezone=UTC
    UNPRIVILEGED=("${unprivileged[@]}")
}

database_prepare() {
    cluster_psql postgres -c "CREATE DATABASE $DATABASE"
    as_superuser >"$CLUSTER_DIR/prepare.log" 2>&1 <<EOT || die "see $CLUSTER_DIR/prepare.log"
SET client_min_messages = warning;
CREATE EXTENSION webhook_routing;
CREATE ROLE $FORWARDER_ROLE LOGIN;
CREATE ROLE $OPERATOR LOGIN;
SELECT grant_routing_role('forwarder', '$FORWARDER_ROLE');
SELECT grant_routing_role('operator', '$OPERATOR');
SELECT * FROM routing_maintain();
EOT
}

# The server is gone without a word, as when its machine loses power; its socket stays in the way.
database_crash() {
    as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" -m immediate -w stop >/dev/null
}

database_answers() { as_superuser -c 'SELECT 1'; }

# ---- functions ----

functions_ready() { grep -q '^ready ' "$CLUSTER_DIR/functions.log"; }

functions_start() {
    : >"$CLUSTER_DIR/functions.log"
    process_start "$CLUSTER_DIR/functions.pid" "$CLUSTER_DIR/functions.log" "${UNPRIVILEGED[@]}" \
        "$CLUSTER_HOME/bin/standin-functions" --delay-ms 15 --journal "$CLUSTER_HOME/received"
    wait_until 10 functions_ready || die "the stand-in functions did not start: $CLUSTER_DIR/functions.log"
    FUNCTIONS_URL=http://127.0.0.1:$(sed -n 's/^ready port=\([0-9]*\).*/\1/p' "$CLUSTER_DIR/functions.log")
}

# behave QUERY: how functions answer; see standin-functions --help
behave() { curl -fs -X POST "$FUNCTIONS_URL/_standin/behave?$1" >/dev/null; }

# ---- the forwarder ----

forwarder_health() { curl -s -m 2 "$FORWARDER_URL/" | sed -n 's/.*"status": "\([a-z]*\)".*/\1/p'; }
forwarder_healthy() { [[ $(forwarder_health) == healthy ]]; }

forwarder_configure() {
    FORWARDER_PORT=$(free_port)
    ADMIN_PORT=$(free_port $((FORWARDER_PORT + 1)))
    FORWARDER_URL=http://127.0.0.1:$FORWARDER_PORT
    # shellcheck disable=SC2034  # for week.sh
    ADMIN_URL=http://127.0.0.1:$ADMIN_PORT
    SECRET_FILE=$CLUSTER_HOME/app-secret
    echo 'the app secret of the rehearsal' >"$SECRET_FILE"
    echo rehearsal >"$CLUSTER_HOME/verify-token"
    mkdir -p "$CLUSTER_HOME/spool"
    own "$SECRET_FILE" "$CLUSTER_HOME/verify-token" "$CLUSTER_HOME/spool"
}

forwarder_start() {
    DATABASE_URL=$(cluster_url "$DATABASE" "$FORWARDER_ROLE") process_start \
        "$CLUSTER_DIR/forwarder.pid" "$CLUSTER_DIR/forwarder.log" "${UNPRIVILEGED[@]}" "${FAKED[@]}" \
        "$CLUSTER_HOME/stage/usr/local/bin/webhook-forwarder" --listen "127.0.0.1:$FORWARDER_PORT" \
        --admin-listen "127.0.0.1:$ADMIN_PORT" --functions-url "$FUNCTIONS_URL" \
        --spool-directory "$CLUSTER_HOME/spool" --app-secret-file "$SECRET_FILE" \
        --verify-token-file "$CLUSTER_HOME/verify-token"
    wait_until 20 forwarder_healthy || {
        tail -n 20 "$CLUSTER_DIR/forwarder.log" >&2
        die "the forwarder did not become healthy: $CLUSTER_DIR/forwarder.log"
    }
}

# ---- traffic ----

# traffic_pace: as many webhooks as the hour of STORY_MS has, fewer on a weekend
traffic_pace() {
    local share=${HOURS[$(story_hour)]} rate
    (($(story_day) % 7 < 6 && $(story_day) % 7 > 0)) || share=$((share * 7 / 10))
    rate=$((PEAK * share / 100))
    ((rate >= 10)) || rate=10
    echo "$rate" >"$EVIDENCE/rate.new"
    mv "$EVIDENCE/rate.new" "$EVIDENCE/rate"
}

# What is not answered 200 comes again; each seventh webhook is a status, each eleventh a batch.
traffic_start() {
    traffic_pace
    process_start "$CLUSTER_DIR/load.pid" "$EVIDENCE/load.json" "$SOURCE_TREE/build/load" \
        --url "$FORWARDER_URL/" --requests 1000000 --rate-file "$EVIDENCE/rate" --concurrency 512 \
        --senders "$SENDERS" --statuses 7 --batch 11 --secret-file "$SECRET_FILE" --retry 200 \
        --correlation meta --log "$EVIDENCE/answers"
}

# The last ones are answered; what was sent again and again is counted.
traffic_stop() {
    process_stop "$CLUSTER_DIR/load.pid" 60
    [[ -s $EVIDENCE/load.json ]] || die "the client that sends webhooks left no report"
}

# signature FILE: of its bytes, as Meta signs them
signature() {
    openssl dgst -sha256 -hmac "$(<"$SECRET_FILE")" <"$1" | sed 's/.* //'
}

# examples_send: one webhook of every kind that WhatsApp sends, each with a correlation id of its own
examples_send() {
    local file name answer
    for file in "$REPOSITORY"/test/fixtures/payloads/*.json; do
        name=$(basename "$file")
        answer=$(curl -s -o /dev/null -w '%{http_code}\t%header{x-routed-to}' -m 30 -H 'Content-Type: application/json' \
            -H 'Expect:' -H "X-Hub-Signature-256: sha256=$(signature "$file")" \
            -H "X-Correlation-ID: example-$name" --data-binary "@$file" "$FORWARDER_URL/") || true
        printf 'example-%s\t%s\t%s\n' "$name" "$name" "$answer" >>"$EVIDENCE/examples"
    done
}

# forgeries_send: what anybody could send who knows the URL; nobody has signed it with the secret
forgeries_send() {
    local i file=$REPOSITORY/test/fixtures/payloads/text.json
    for ((i = 1; i <= 10; i++)); do
        printf 'forged-%d\t%s\n' "$i" "$(curl -s -o /dev/null -w '%{http_code}' -m 30 \
            -H "X-Hub-Signature-256: sha256=$(printf '%064d' "$i")" -H "X-Correlation-ID: forged-$i" \
            --data-binary "@$file" "$FORWARDER_URL/" || true)" >>"$EVIDENCE/forged"
    done
}
