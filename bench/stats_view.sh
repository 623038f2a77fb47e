#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# bench/stats_view.sh [--rows N] [--days N]: how long webhook_routing_stats and check_routing_health()
# take with N log rows (default a million) over N days (default 10, none expired), a tenth of
# them in the last hour; beside them the same figures out of the log, and how far the quantiles are
# from percentile_cont. In a cluster of its own.
set -euo pipefail

# shellcheck source=bench/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=1000000 days=10
while (($# > 0)); do
    case $1 in
    --rows) rows=$2 ;;
    --days) days=$2 ;;
    *)
        sed -n '4,8s/^# \{0,1\}//p' "$0"
        exit "$EX_USAGE"
        ;;
    esac
    shift 2
done

bench_cluster fsync=off

run <<SQL
SET synchronous_commit = off;
SELECT count(*) FROM routing_maintain() \g /dev/null
-- Portions as batches would bring them, in order of time: 9 of 10 rows over the days, the rest in the
-- last hour. Most answers take a few hundred milliseconds, some are slow.
DO \$\$
DECLARE
    portion CONSTANT integer := 10000;
    recent CONSTANT integer := $rows / 10;
BEGIN
    FOR done IN 0..$rows - 1 BY portion LOOP
        INSERT INTO webhook_routing_logs (webhook_name, domain, routed_to, status, response_time_ms,
                                          created_at, config_version)
        SELECT 'wa-webhook-' || d, d, CASE WHEN random() < 0.3 THEN 'unified' ELSE 'legacy' END,
               CASE WHEN random() < 0.002 THEN 'error' ELSE 'success' END,
               CASE WHEN random() < 0.02 THEN 1000 + 3000 * random() ELSE 30 - 150 * ln(1 - random()) END,
               CASE WHEN n < $rows - recent
                    THEN now() - interval '1 hour'
                         - (1 - n::float8 / ($rows - recent)) * interval '$days days'
                    ELSE now() - (($rows - n)::float8 / recent) * interval '59 minutes' END, 7
          FROM (SELECT n, (ARRAY['jobs', 'marketplace', 'property', 'mobility', 'profile', 'unknown'])
                          [1 + floor(6 * random())::integer] AS d
                  FROM generate_series(done, least(done + portion, $rows) - 1) n) s;
        COMMIT;
    END LOOP;
END
\$\$;
VACUUM ANALYZE;
SQL

from_log="SELECT domain, routed_to, count(*), avg(response_time_ms),
    percentile_cont('{0.5,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY response_time_ms) AS p
    FROM webhook_routing_logs
    WHERE item = 0 AND created_at > date_trunc('minute', now()) - interval '60 minutes'
    GROUP BY domain, routed_to"

run -c "SELECT format('%s log rows, %s in the last hour, %s rollup rows in %s',
        (SELECT count(*) FROM webhook_routing_logs), (SELECT sum(request_count) FROM webhook_routing_stats),
        (SELECT count(*) FROM webhook_routing_rollups),
        pg_size_pretty(pg_total_relation_size('webhook_routing_rollups')))"
printf '  webhook_routing_stats    %8s ms\n' "$(median 'SELECT * FROM webhook_routing_stats')"
printf '  check_routing_health()   %8s ms\n' "$(median 'SELECT * FROM check_routing_health()')"
run -c '\timing on' -c "$from_log" | sed -n 's/^Time: \([0-9.]*\) ms.*/  the same from the log     \1 ms/p'
run -c "SELECT format('  furthest from percentile_cont: P50 %s %%, P95 %s %%, P99 %s %%',
            max(round((100 * abs(s.p50_ms - p[1]) / p[1])::numeric, 2)),
            max(round((100 * abs(s.p95_ms - p[2]) / p[2])::numeric, 2)),
            max(round((100 * abs(s.p99_ms - p[3]) / p[3])::numeric, 2)))
        FROM webhook_routing_stats s JOIN ($from_log) l USING (domain, routed_to)"
