#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# What conversations cost: a decision with them off and on, for messages that need one and that do not;
# and storing log rows, off and on. All in one session, in turn.
#
#   bench/conversations.sh [ROUNDS [CONVERSATIONS]]      default 11 rounds, 100,000 conversations
set -euo pipefail

# shellcheck source=bench/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

bench_cluster shared_buffers=256MB
cluster_psql postgres -v rounds="${1:-11}" -v conversations="${2:-100000}" -v rows=20000 \
    -f "$REPOSITORY/bench/conversations.sql"
