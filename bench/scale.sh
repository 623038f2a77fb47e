#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# bench/scale.sh [--rows N] [--days N] [--writers N]: what a long log does. Fills the log with N rows
# (default a million) over N days (default 28, none expired) by N writers at once (default 4), fsync on;
# then: how many rows a second were stored, how long the views and the health check take, how long a
# writer and a decision wait while a day is dropped under full load, and whether every row is there
# once and counted once. In a cluster of its own. 100 million rows take 40 GB and about half an hour.
set -euo pipefail

# shellcheck source=bench/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=1000000 days=28 writers=4
while (($# > 0)); do
    case $1 in
    --rows) rows=$2 ;;
    --days) days=$2 ;;
    --writers) writers=$2 ;;
    *)
        sed -n '4,9s/^# \{0,1\}//p' "$0"
        exit "$EX_USAGE"
        ;;
    esac
    shift 2
done
readonly BATCH=500
batches=$((rows / BATCH / writers))

# A day's partition is made for rows that are in DEFAULT: so one row a day comes first, and is counted.
make_days() {
    run <<SQL
INSERT INTO webhook_routing_logs (webhook_name, routed_to, status, response_time_ms, created_at)
SELECT 'wa-webhook', 'legacy', 'success', 1, now() - n * interval '1 day' FROM generate_series(1, $days) n;
SELECT count(*) FROM routing_maintain() \g /dev/null
SQL
}

# store_portion(writer, n, place): batch n of a writer, as a forwarder would store it. Its place, from 0
# to 1, says when: nine tenths go over the days in order of time, the last tenth over the last hour.
# One sender in ten writes again; ids are UUIDv7.
make_store_portion() {
    run <<SQL
CREATE SCHEMA routing_bench;
CREATE FUNCTION routing_bench.store_portion(writer integer, n integer, place float8) RETURNS bigint LANGUAGE plpgsql AS \$\$
DECLARE
    t CONSTANT timestamptz := now() - CASE WHEN place < 0.9
        THEN interval '1 hour' + (1 - place / 0.9) * interval '$days days'
        ELSE (1 - place) * 10 * interval '59 minutes' END;
    stored bigint;
BEGIN
    SELECT store_routing_logs(array_agg(id), array_agg(created_at), array_agg(id), array_agg(1), array_agg(0),
               array_agg(CASE side WHEN 'unified' THEN 'wa-webhook-unified' ELSE 'wa-webhook-' || domain END),
               array_agg(domain), array_agg(side),
               array_agg(CASE side WHEN 'unified' THEN 'in_percentage' ELSE 'out_of_percentage' END),
               array_agg(bucket), array_agg(30::numeric), array_agg(1::bigint), array_agg(sender),
               array_agg('wamid.HBgMMjUwNzg4' || md5(id::text)), array_agg('text'::text), array_agg(id::text),
               array_agg(CASE status WHEN 'error' THEN 500 ELSE 200 END), array_agg(ms), array_agg(status),
               array_agg(CASE status WHEN 'error' THEN 'HTTP 500' END), array_agg(false))
      INTO stored
      FROM (SELECT (lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i), 3, '0')
                    || '8' || lpad(to_hex(n), 7, '0') || lpad(to_hex(writer), 8, '0'))::uuid AS id,
                   t + i * interval '1 microsecond' AS created_at, bucket, sender,
                   (ARRAY['jobs', 'marketplace', 'property'])[1 + i % 3] AS domain,
                   CASE WHEN bucket < 3000 THEN 'unified' ELSE 'legacy' END AS side,
                   CASE WHEN random() < 0.0005 THEN 'error' ELSE 'success' END AS status,
                   CASE WHEN random() < 0.02 THEN 1000 + 1500 * random() ELSE 30 - 150 * ln(1 - random()) END AS ms
              FROM (SELECT i, routing_bucket(s) AS bucket, s AS sender
                      FROM (SELECT i, '25078' || lpad(((n::bigint * $writers + writer) * 450 + i % 450)::text, 10, '0') AS s
                              FROM generate_series(1, $BATCH) i) a) b) c;
    RETURN stored;
END
\$\$;
SQL
}

# All writers at once; each commits batch by batch, waiting for the disk.
fill() {
    local writer pids=() started seconds
    started=$(date +%s.%N)
    for ((writer = 0; writer < writers; writer++)); do
        run -c "DO \$\$ BEGIN FOR n IN 0..$batches - 1 LOOP
                    PERFORM routing_bench.store_portion($writer, n, (n + $writer / $writers.0) / $batches);
                    COMMIT;
                END LOOP; END \$\$" &
        pids+=($!)
    done
    for writer in "${pids[@]}"; do
        wait "$writer"
    done
    seconds=$(awk "BEGIN { print $(date +%s.%N) - $started }")
    stored=$((batches * BATCH * writers))
    awk "BEGIN { printf \"  stored by %d writers, making the rows included: %.0f rows/s\n\", $writers, $stored / $seconds }"
    run -c 'VACUUM ANALYZE'
}

figures() {
    local query ms
    for query in webhook_routing_stats 'check_routing_health()' webhook_routing_timeline \
        webhook_routing_distribution webhook_routing_errors 'rollout_status()'; do
        ms=$(median "SELECT * FROM $query")
        printf '  %-30s %8s ms\n' "$query" "$ms"
    done
}

# Writers and deciders at full speed while the oldest day goes. What waits for a lock for 100 ms is in
# the server's log; how long the slowest statement took, in pgbench's.
drop_a_day() {
    local load slowest waited body
    body=$(<"$REPOSITORY/test/fixtures/payloads/text.json")
    printf 'SELECT webhook_name FROM route_decide(%s::bytea);\n' "'\\x$(xxd -p <<<"$body" | tr -d '\n')'" >"$BENCH_FOLDER/decide.sql"
    printf '%s\n' '\set writer random(1000, 2000000000)' '\set n random(1, 200000000)' \
        'SELECT routing_bench.store_portion(:writer, :n, 0.99);' >"$BENCH_FOLDER/write.sql"
    run -c "ALTER SYSTEM SET log_lock_waits = on" -c "ALTER SYSTEM SET deadlock_timeout = '100ms'" -c 'SELECT pg_reload_conf()' >/dev/null
    (cd "$BENCH_FOLDER" && pgbench --no-vacuum --client=4 --jobs=2 --time=20 --log --log-prefix=latency \
        --file=decide.sql@20 --file=write.sql@1 >pgbench.out 2>pgbench.err) &
    load=$!
    sleep 8
    run -c "SELECT update_routing_settings(format('{\"log_retention\": \"%s days\"}', $days - 1)::jsonb, 'drop the oldest day')" >/dev/null 2>&1
    run -F '  ' -c "SELECT action, object FROM routing_maintain() WHERE action IN ('dropped', 'postponed')" | sed 's/^/  under full load: /'
    wait "$load"
    slowest=$(awk '{ if ($3 > most) most = $3 } END { printf "%.1f", most / 1000 }' "$BENCH_FOLDER"/latency.*)
    waited=$(grep -c 'still waiting for' "$CLUSTER_HOME/postgresql.log" || true)
    printf '  waited for a lock for 100 ms: %s; slowest of %s statements: %s ms\n' "$waited" \
        "$(cat "$BENCH_FOLDER"/latency.* | wc -l)" "$slowest"
}

# Every row of the log is counted once; those of the dropped day stay counted.
check() {
    local logged counted
    logged=$(run -c 'SELECT count(*) FROM webhook_routing_logs')
    counted=$(run -c 'SELECT sum(requests) FROM webhook_routing_rollups')
    if ((logged != stored + days || counted != logged)); then
        echo "the log holds $logged of $((stored + days)) rows, the rollups counted $counted" >&2
        exit "$EX_SOFTWARE"
    fi
    run -c "SELECT format('%s log rows in %s, %s rollup rows in %s', $logged,
                pg_size_pretty((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('webhook_routing_logs'))),
                (SELECT count(*) FROM webhook_routing_rollups), pg_size_pretty(pg_total_relation_size('webhook_routing_rollups')))"
}

bench_cluster max_wal_size=4GB shared_buffers=1GB
make_days
make_store_portion
fill
check
figures
drop_a_day
