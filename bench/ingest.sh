#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# bench/ingest.sh [--rows N] [--batch N] [--clients N]: how many log rows a second
# store_routing_logs() takes, rollups included, in batches as the forwarder sends them. Beside it, in
# the same run, the same rows into a table of the same columns and key without partitions, checks,
# triggers and rollups: what PostgreSQL itself needs. In a cluster of its own, with fsync on.
set -euo pipefail

# shellcheck source=bench/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=500000 batch=500 clients=1
while (($# > 0)); do
    case $1 in
    --rows) rows=$2 ;;
    --batch) batch=$2 ;;
    --clients) clients=$2 ;;
    *)
        sed -n '4,8s/^# \{0,1\}//p' "$0"
        exit "$EX_USAGE"
        ;;
    esac
    shift 2
done
batches=$((rows / batch / clients))
bench_cluster
work=$BENCH_FOLDER

# One client's work is one DO block without input from outside: COMMIT after each batch. The arrays
# are made once and only ids and times are new, so that the time measured is that of storing.
batch_script() { # $1: the statement that stores the arrays
    cat <<SQL
SET search_path = routing_bench, public;
SET synchronous_commit = on;
DO \$\$
DECLARE
    a record;
    ids uuid[];
    times timestamptz[];
    started timestamptz := clock_timestamp();
    building interval := '0';
    t timestamptz;
BEGIN
    SELECT * INTO a FROM batch;
    COMMIT;
    FOR n IN 1..$batches LOOP
        t := clock_timestamp();
        -- As UUIDv7: 48 bits of time, a counter, and the client.
        SELECT array_agg((lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') || '7'
                          || lpad(to_hex(i), 3, '0') || '8'
                          || lpad(to_hex(n), 7, '0') || lpad(to_hex(pg_backend_pid()), 8, '0'))::uuid),
               array_agg(t)
          INTO ids, times
          FROM generate_series(1, $batch) i;
        building := building + (clock_timestamp() - t);
        $1;
        COMMIT;
    END LOOP;
    RAISE NOTICE 'seconds %', extract(epoch FROM clock_timestamp() - started - building);
END
\$\$;
SQL
}

# The slowest client's time, of all clients at once.
measure() { # $1: script
    local n pids=()
    for ((n = 0; n < clients; n++)); do
        psql -X -q -v ON_ERROR_STOP=1 -f "$1" 2>"$work/out.$n" &
        pids+=($!)
    done
    for n in "${pids[@]}"; do
        wait "$n" || { cat "$work"/out.* >&2; exit "$EX_SOFTWARE"; }
    done
    cat "$work"/out.* | sed -n 's/.*NOTICE: *seconds //p' | sort -g | tail -n 1
    rm -f "$work"/out.*
}

run <<SQL
CREATE SCHEMA routing_bench;
SELECT count(*) FROM routing_maintain() \g /dev/null
CREATE TABLE routing_bench.plain AS SELECT * FROM webhook_routing_logs WITH NO DATA;
ALTER TABLE routing_bench.plain ADD PRIMARY KEY (id, created_at);
CREATE TABLE routing_bench.batch AS
SELECT array_agg(gen_random_uuid()) AS decisions,
       array_agg(1) AS ones,
       array_agg(0) AS zeros,
       array_agg('wa-webhook-' || d) AS webhooks,
       array_agg(d) AS domains,
       array_agg(CASE WHEN i % 10 < 3 THEN 'unified' ELSE 'legacy' END) AS sides,
       array_agg('out_of_percentage'::text) AS reasons,
       array_agg(i * 19 % 10000) AS buckets,
       array_agg(30::numeric) AS percentages,
       array_agg(7::bigint) AS versions,
       array_agg('25078' || (1000000 + i * 7919)) AS numbers,
       array_agg('wamid.HBgMMjUwNzg4' || md5(i::text)) AS messages,
       array_agg('text'::text) AS types,
       array_agg(gen_random_uuid()::text) AS correlations,
       array_agg(200) AS http,
       array_agg(40 + 400 * (-ln(1 - (i * 7919 % $batch + 0.5) / $batch))) AS times,
       array_agg('success'::text) AS statuses,
       array_agg(NULL::text) AS errors,
       array_agg(false) AS ambiguous
  FROM (SELECT i, (ARRAY['jobs', 'marketplace', 'property', 'mobility', 'profile', 'unknown'])
                  [1 + i % 6] AS d
          FROM generate_series(1, $batch) i) s;
SQL

arrays='ids, times, a.decisions, a.ones, a.zeros, a.webhooks, a.domains, a.sides, a.reasons,
        a.buckets, a.percentages, a.versions, a.numbers, a.messages, a.types, a.correlations, a.http,
        a.times, a.statuses, a.errors, a.ambiguous'
batch_script "INSERT INTO plain (id, created_at, decision_id, attempt, item, webhook_name, domain,
        routed_to, reason, bucket, percentage, config_version, from_number, message_id,
        message_type, correlation_id, http_status, response_time_ms, status, error_message,
        ambiguous) SELECT * FROM unnest($arrays) ON CONFLICT DO NOTHING" >"$work/plain.sql"
batch_script "PERFORM store_routing_logs($arrays)" >"$work/log.sql"

total=$((batches * batch * clients))
before=$(run -c "SELECT coalesce(sum(requests), 0) FROM webhook_routing_rollups")
plain=$(measure "$work/plain.sql")
log=$(measure "$work/log.sql")
after=$(run -c "SELECT coalesce(sum(requests), 0) FROM webhook_routing_rollups")
run -c 'DROP SCHEMA routing_bench CASCADE' 2>/dev/null

if ((after - before != total)); then
    echo "the rollups counted $((after - before)) of $total rows" >&2
    exit "$EX_SOFTWARE"
fi
awk -v total="$total" -v plain="$plain" -v stored="$log" -v batch="$batch" -v clients="$clients" 'BEGIN {
    printf "%d rows in batches of %d, %d client(s)\n", total, batch, clients
    printf "  plain table         %8.0f rows/s\n", total / plain
    printf "  log with rollups    %8.0f rows/s   %.2f of the plain table\n", total / stored, plain / stored
}'
