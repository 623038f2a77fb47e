#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The log goes to an archive by logical replication, as the guide sets it up. The archive is the former
# standby, promoted: a server of its own.

setup_file() {
    load helper
    pair_start failover_archive
    server "$STANDBY" promote
    at_db "$STANDBY" "CREATE DATABASE archive"
}

teardown_file() {
    load helper
    PGDATABASE=archive at_db 2 "ALTER SUBSCRIPTION webhook_routing_archive DISABLE" || true
    pair_stop
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    primary 1
}

archive() { PGDATABASE=archive at_db 2 "$@"; }

# in_archive QUERY ANSWER: it says so there, in a while
in_archive() {
    says() { [[ $(archive "$1") == "$2" ]]; }
    wait_until 15 says "$1" "$2" || equal "$(archive "$1")" "$2" "$1"
}

# rows COUNT TIME: so many by hand
rows() {
    sql "INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, from_number, message_id, created_at)
         SELECT 'wa-webhook-jobs', 'jobs', 'legacy', 'success', '25078800000' || i % 10, 'wamid.' || i, $2 - i * interval '1 second'
           FROM generate_series(1, $1) i"
}

@test "an archive of the log: each row once, erased ones too, without statistics; it keeps what the primary drops" {
    local both="SELECT count(*), count(DISTINCT id), coalesce(md5(string_agg(l::text, '' ORDER BY id)), '') FROM webhook_routing_logs l"
    rows 50 "now()"
    sql "$(guide_block sql 'CREATE PUBLICATION')"
    # The page's second block, which begins with CREATE EXTENSION, then the subscription.
    archive "$(guide_block sql log_retention)" >/dev/null
    archive "$(guide_block psql 'CREATE SUBSCRIPTION' |
        sed "s/host=db1 user=replicator dbname=webhooks/host=${CLUSTER_SOCKET//\//\\/} port=${PORTS[1]} user=$CLUSTER_USER dbname=$PGDATABASE/")"
    in_archive "SELECT count(*) FROM webhook_routing_logs" 50
    rows 50 "now() - interval '100 seconds'"
    in_archive "$both" "$(sql "$both")"
    in_archive "SELECT count(*) FROM webhook_routing_rollups" 0
    equal "$(sql "SELECT sum(requests) FROM webhook_routing_rollups")" 100

    # Who is erased is erased there.
    equal "$(sql "SELECT erase_sender('250788000003')")" 10
    in_archive "SELECT count(*) FROM webhook_routing_logs WHERE from_number = '250788000003'" 0
    in_archive "$both" "$(sql "$both")"

    # Rows of a day that has no partition yet go through DEFAULT; moving them is no news for the archive.
    rows 20 "now() - interval '5 days'"
    in_archive "SELECT count(*) FROM webhook_routing_logs" 120
    equal "$(sql "SELECT count(*) FROM routing_maintain() WHERE detail ~ '20'")" 1 'days that were made for them'
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs_default")" 0
    rows 1 "now()"
    in_archive "$both" "$(sql "$both")"

    # A day that expires is dropped at the primary alone.
    sql "SELECT update_routing_settings('{\"log_retention\": \"2 days\"}')" "SELECT * FROM routing_maintain()" >/dev/null
    equal "$(logged)" 101
    rows 1 "now() - interval '1 hour'"
    in_archive "SELECT count(*) FROM webhook_routing_logs" 122
}
