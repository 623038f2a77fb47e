#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# What one decision costs in PostgreSQL, beside the cast of the same text to jsonb, an empty C function
# of the same shape, and an equivalent router in plpgsql: all in one session, in turn.
#
#   bench/decide.sh [ROUNDS]      default 11 rounds of 20,000 messages
set -euo pipefail

# shellcheck source=bench/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rounds=${1:-11}
bench_cluster shared_buffers=256MB
library=$CLUSTER_HOME/stage$(pg_config --pkglibdir)/bench_empty_row.so
cc -O2 -fPIC -shared -I"$(pg_config --includedir-server)" -o "$library" "$REPOSITORY/bench/empty_row.c"

cluster_psql postgres \
    -c "CREATE FUNCTION bench_empty_row(payload bytea, webhook text,
            OUT webhook_name text, OUT target_url text, OUT routed_to text, OUT domain text, OUT reason text,
            OUT matched text, OUT bucket integer, OUT percentage numeric, OUT from_number text,
            OUT message_id text, OUT message_type text, OUT fallback_webhook text, OUT fallback_url text,
            OUT config_id uuid, OUT config_version bigint)
        LANGUAGE c STABLE PARALLEL SAFE AS 'bench_empty_row'" \
    -c 'SELECT set_routing_enabled(true)' -c 'SELECT update_routing_percentage(50)' >/dev/null 2>&1
cluster_psql postgres -f "$REPOSITORY/bench/plpgsql_router.sql"
cluster_psql postgres -v rows=20000 -c "SET bench.rounds = $rounds" -f "$REPOSITORY/bench/decide.sql"
