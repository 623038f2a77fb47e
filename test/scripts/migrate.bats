#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# apply-migration.sh --from-tables: the tables of a router that is replaced, with 50,000 rows over 40 days, become
# history and log of the extension; who calls the runbook's names goes on.

setup_file() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    empty_database scripts_migrate
    psql -X -q -v ON_ERROR_STOP=1 -v rows=50000 -o /dev/null -f "$BATS_TEST_DIRNAME/other_router.sql"
    everything >"$BATS_FILE_TMPDIR/before"
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    export PGHOST=$CLUSTER_SOCKET PGPORT=$CLUSTER_PORT PGUSER=$CLUSTER_USER PGDATABASE=scripts_migrate
    DATABASE_URL=$(cluster_url scripts_migrate)
    export DATABASE_URL
}

# small: a database of its own with a small one of these routers
small() {
    empty_database scripts_small
    psql -X -q -v ON_ERROR_STOP=1 -v rows=400 -o /dev/null -f "$BATS_TEST_DIRNAME/other_router.sql"
}

@test "a dry run tells what there is and what it would do, and changes nothing" {
    run typed apply-migration --from-tables --dry-run
    echo "$output"
    equal "$status" 0
    has '9 config rows, 50007 log rows since' lib/from_tables.sql 'A dry run: nothing was changed'
    everything | cmp - "$BATS_FILE_TMPDIR/before"
}

@test "without --from-tables, or with names that are taken, nothing is touched" {
    run typed apply-migration
    equal "$status" 78
    has --from-tables docs/migrating.md
    run typed apply-migration --from-tables --old-schema dashboard
    equal "$status" 78
    has 'the schema dashboard is there already'
    run typed apply-migration --from-tables --keep 'for ever'
    equal "$status" 64
    run typed apply-migration --from-tables --router-role scripts_no_such_role
    equal "$status" 78
    has 'there is no role scripts_no_such_role'
    run typed apply-migration --from-tables --schema dashboard
    equal "$status" 78
    has 'there are no tables of another router in dashboard'
    everything | cmp - "$BATS_FILE_TMPDIR/before"
}

@test "somebody who holds the tables stops it after five seconds; nothing is changed" {
    local holder
    psql -X -q >/dev/null 2>&1 <<<'BEGIN; SELECT count(*) FROM webhook_routing_logs; SELECT pg_sleep(120);' 3>&- 4>&- &
    holder=$!
    holders() { sql "SELECT pid FROM pg_locks WHERE relation = 'webhook_routing_logs'::regclass AND pid <> pg_backend_pid()"; }
    held() { [[ -n $(holders) ]]; }
    wait_until 30 held
    run typed apply-migration --from-tables
    sql "SELECT pg_terminate_backend($(holders))" >/dev/null
    wait "$holder" || true
    equal "$status" 69
    has 'lock timeout' 'nothing is changed'
    everything | cmp - "$BATS_FILE_TMPDIR/before"
}

@test "fifty thousand rows: the history is kept, each row is in the log or has its reason, the old tables stay" {
    run typed apply-migration --from-tables --router-role api_service
    echo "$output"
    equal "$status" 0
    has 'tables into webhook_routing_old: webhook_routing_config, webhook_routing_logs' 'views into webhook_routing_old: webhook_routing_stats' \
        'imported     7 config rows: as versions 2 to 8' 'not imported 1 config rows: enabled is NULL' \
        'not imported 1 config rows: percentage is -5.00' "log rows: routed_to is 'canary'" "log rows: status is 'timeout'" \
        'log rows: created_at is missing' 'log rows: older than log_retention (30 days)' \
        '50007 of the former log have been taken over, or said above why not' \
        'api_anonymous had' '(with row security)' 'dashboard.errors still reads the former webhook_routing_logs' \
        'cleanup_old_routing_logs() names' 'no place here: region' 'DROP SCHEMA webhook_routing_old CASCADE'
    # The history, as it was, and in force what was in force.
    equal "$(sql "SELECT count(*) FROM webhook_routing_config n JOIN webhook_routing_old.webhook_routing_config o USING (id)
                   WHERE (n.percentage, n.enabled, n.domains, n.created_by, n.notes) IS NOT DISTINCT FROM
                         (o.percentage, o.enabled, o.domains, o.created_by, o.notes)
                     AND n.created_at - o.created_at BETWEEN '0' AND '1 ms'")" 7
    equal "$(sql "SELECT percentage, enabled, notes FROM webhook_routing_config ORDER BY created_at DESC LIMIT 1")" '25.00|t|Scaling to 25%'
    equal "$(sql "SELECT percentage FROM routing_config_as_of(now() - interval '10 days')")" 10.00
    has "imported     $(sql "SELECT count(*) FROM webhook_routing_logs") log rows"
    # The log: every row of the last thirty days but the four that cannot be; each in the partition of its day.
    equal "$(sql "SELECT count(*) FROM webhook_routing_old.webhook_routing_logs o
                   WHERE o.created_at >= ((now() AT TIME ZONE 'UTC')::date - 30)::timestamp AT TIME ZONE 'UTC'
                     AND NOT EXISTS (SELECT FROM webhook_routing_logs n WHERE n.id = o.id AND n.created_at = o.created_at
                         AND (n.webhook_name, n.domain, n.routed_to, n.from_number, n.message_id, n.status, n.error_message)
                             IS NOT DISTINCT FROM (o.webhook_name, coalesce(o.domain, 'unknown'), o.routed_to, o.from_number,
                                                   o.message_id, o.status, o.error_message))")" 2
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs_default")" 0
    # Statistics are those of the log's own functions: the same sums, and the view goes on.
    equal "$(sql "SELECT sum(requests), sum(errors) FROM webhook_routing_rollups")" \
        "$(sql "SELECT count(*), count(*) FILTER (WHERE status = 'error') FROM webhook_routing_logs")"
    equal "$(sql "SELECT (SELECT sum(request_count) FROM webhook_routing_stats) =
                         (SELECT count(*) FROM webhook_routing_logs WHERE created_at >= date_trunc('minute', now() - interval '1 hour'))")" t
    equal "$(sql "SELECT count(*) FROM validate_routing_config() WHERE severity = 'error'")" 0
}

@test "again: nothing is doubled" {
    local before
    before=$(sql "SELECT (SELECT count(*) FROM webhook_routing_logs), (SELECT sum(requests) FROM webhook_routing_rollups),
                         (SELECT count(*) FROM webhook_routing_config)")
    run typed apply-migration --from-tables
    equal "$status" 0
    has 'there already' '50007 of the former log'
    equal "$(sql "SELECT (SELECT count(*) FROM webhook_routing_logs), (SELECT sum(requests) FROM webhook_routing_rollups),
                         (SELECT count(*) FROM webhook_routing_config)")" "$before"
}

@test "the runbook, and the router that is replaced, go on with the same names" {
    local before
    # webhook_routing_stats, which is of the last hour, would forget a minute that has passed meanwhile.
    before=$(sql "SELECT sum(requests) FROM webhook_routing_rollups")
    sql "SET ROLE api_service" >/dev/null
    psql -X -q -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
SET ROLE api_service;
SELECT percentage, enabled, domains FROM get_current_routing_config();
SELECT * FROM webhook_routing_config ORDER BY created_at DESC LIMIT 1;
INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, from_number, message_id, response_time_ms, status)
VALUES ('wa-webhook-unified', 'jobs', 'unified', '250788000001', 'wamid.X', 120, 'success') RETURNING id;
SQL
    equal "$(sql "SELECT sum(requests) FROM webhook_routing_rollups")" "$((before + 1))"
    run sql "SET ROLE api_anonymous; SELECT * FROM webhook_routing_logs"
    [[ $status != 0 ]]
    has 'permission denied'
    run psql -X -v ON_ERROR_STOP=1 <<'SQL'
SELECT update_routing_percentage(35.00, 'Scaling to 35%');
SELECT * FROM check_routing_health();
SELECT * FROM webhook_routing_stats;
SELECT set_routing_enabled(false, 'stop');
SQL
    equal "$status" 0
    has 'Routing percentage updated to 35.00 (was 25.00)'
    equal "$(sql "SELECT max(version) FROM webhook_routing_config")" 10
    run typed quick-status --no-forwarder
    equal "$status" 0
    fits "$output"
}

@test "what was taken over is in a dump, and a restore has all of it" {
    pg_dump -Fc -f "$BATS_TEST_TMPDIR/dump" "$DATABASE_URL"
    cluster_psql postgres -c "DROP DATABASE IF EXISTS scripts_restored" -c "CREATE DATABASE scripts_restored"
    pg_restore --exit-on-error --single-transaction -d scripts_restored "$BATS_TEST_TMPDIR/dump"
    for what in "SELECT array_agg(c ORDER BY version) FROM webhook_routing_config c" \
        "SELECT count(*), sum(response_time_ms) FROM webhook_routing_logs" "SELECT sum(requests) FROM webhook_routing_rollups"; do
        equal "$(PGDATABASE=scripts_restored sql "$what")" "$(sql "$what")"
    done
}

@test "cut off after the tables have moved, it goes on from there" {
    small
    sed '1,/^\\set QUIET/d' "$REPOSITORY/scripts/lib/from_tables.sql" |
        psql -X -q -v ON_ERROR_STOP=1 --single-transaction -v schema=public -v old=webhook_routing_old -v keep= -v routers= -v days='{}' -o /dev/null
    sql "SELECT import_routing_logs('webhook_routing_old.webhook_routing_logs', now() - interval '3 days')" >/dev/null
    run typed apply-migration --from-tables
    echo "$output"
    equal "$status" 0
    has 'there already' 'not imported' '407 of the former log'
    # Rows that came before their day was made are moved into it.
    sql "SELECT count(*) FROM routing_maintain()" >/dev/null
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs_default")" 0
    equal "$(sql "SELECT sum(requests) FROM webhook_routing_rollups")" "$(sql "SELECT count(*) FROM webhook_routing_logs")"
}

@test "--keep takes over what is older; another schema may be named" {
    small
    run typed apply-migration --from-tables --keep '60 days' --old-schema 'the former router'
    echo "$output"
    equal "$status" 0
    has 'kept         the log for 60 days' 'DROP SCHEMA "the former router" CASCADE;'
    has_not 'older than log_retention'
    equal "$(sql "SELECT count(*) FROM webhook_routing_logs")" 404
}

@test "a configuration that ends in a row nobody can read is switched off" {
    small
    sql "INSERT INTO webhook_routing_config (percentage, enabled, domains) VALUES (50, NULL, '{jobs}')"
    run typed apply-migration --from-tables
    equal "$status" 0
    has 'switched off 1 config rows: the newest row was not imported, so nothing is routed'
    equal "$(sql "SELECT enabled FROM get_current_routing_config()")" f
}
