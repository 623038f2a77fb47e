# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# A private cluster for one benchmark, with the extension created in database `postgres`; it goes
# when the script ends. Sourced by the scripts beside it.
#
#   bench_cluster [SETTING=VALUE]...    sets PGHOST, PGPORT, PGUSER, PGDATABASE, and BENCH_FOLDER for
#                                       files of the benchmark's own
#   run [PSQL ARGUMENT]...              psql in it, bare values, stops at the first error
#   median QUERY                        how long it takes

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/cluster.sh
. "$REPOSITORY/scripts/lib/cluster.sh"

bench_cluster() {
    BENCH_FOLDER=$(mktemp -d /tmp/webhook_routing_bench.XXXXXX)
    chmod 755 "$BENCH_FOLDER"
    trap 'cluster_destroy; rm -rf "$BENCH_FOLDER"' EXIT
    install_missing "$BENCH_FOLDER/packages.log" build run
    cluster_open "$BENCH_FOLDER"
    source_tree "$BENCH_FOLDER"
    quietly "$BENCH_FOLDER/build.log" make -C "$SOURCE_TREE" -s all || die "the build failed"
    stage_install
    cluster_start "$@"
    export PGHOST=$CLUSTER_SOCKET PGPORT=$CLUSTER_PORT PGUSER=$CLUSTER_USER PGDATABASE=postgres
    cluster_psql postgres -c 'CREATE EXTENSION webhook_routing'
}

run() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

# median QUERY: of 41 runs, in milliseconds, as the server has it
median() {
    run -v query="$1" <<'SQL'
CREATE TEMP TABLE times (ms float8);
SELECT format($outer$DO $do$
DECLARE
    started timestamptz;
BEGIN
    FOR n IN 0..41 LOOP
        started := clock_timestamp();
        PERFORM * FROM (%s) q;
        IF n > 0 THEN
            INSERT INTO times VALUES (extract(epoch FROM clock_timestamp() - started) * 1000);
        END IF;
    END LOOP;
END
$do$$outer$, :'query') \gexec
SELECT round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 2) FROM times;
SQL
}
