#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# How many instructions one decision takes: a figure that no load on the machine changes. Two runs
# under callgrind, of which one decides a thousand times more; what they differ by is a thousand
# decisions. Exits 1 when a payload is above its budget.
#
#   bench/instructions.sh
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"

readonly ROUNDS=1000
# Measured 7,900 and 6,300 with gcc 12; the rest is room for other compilers.
declare -A budget=([text]=9500 [status]=7600)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install_missing "$folder/packages.log" build valgrind
source_tree "$folder"
cd "$SOURCE_TREE"
quietly "$folder/make.log" make -s -f Makefile.programs build/bench/engine_bench

# instructions ROUNDS PAYLOAD
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null build/bench/engine_bench "$1" "$2" 2>&1 |
        sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p'
}

worst=0
for payload in text status; do
    few=$(instructions 1 "$payload")
    many=$(instructions $((ROUNDS + 1)) "$payload")
    each=$(((many - few) / ROUNDS))
    verdict=ok
    if ((each <= 0 || each > budget[$payload])); then
        verdict='not ok' worst=1
    fi
    echo "$verdict - $payload: $each instructions a decision, budget ${budget[$payload]}"
done
echo 1..2
exit "$worst"
