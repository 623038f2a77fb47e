#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Writes docs/reference/ from what is defined once elsewhere: SQL objects, as a page and as the manual
# page webhook_routing(7), from the COMMENTs of a live database, errors from extension/errors.txt,
# reasons from core/route.h, the lines of the log from forwarder/events.h, the forwarder's options and
# metrics from the program itself, and its variables from scripts/option_pages.c. scripts/states.sh, which it calls, draws the forwarder's states.
#
#   scripts/reference.sh            writes the pages
#   scripts/reference.sh --check    writes nothing; fails and shows the difference when one is stale
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/cluster.sh
. "$REPOSITORY/scripts/lib/cluster.sh"

case ${1:-} in
    '') target=$REPOSITORY/docs/reference ;;
    --check) target='' ;;
    *) die "usage: scripts/reference.sh [--check]" "$EX_USAGE" ;;
esac

folder=$(mktemp -d /tmp/webhook_routing_reference.XXXXXX)
trap 'cluster_destroy; rm -rf "$folder"' EXIT
chmod 755 "$folder"

install_missing "$folder/packages.log" build run
cluster_open "$folder"
source_tree "$folder"
make -C "$SOURCE_TREE" -s all >"$folder/build.log" 2>&1 || {
    tail -n 20 "$folder/build.log" >&2
    die "the build failed"
}
stage_install
cluster_start
cluster_psql postgres -c 'CREATE EXTENSION webhook_routing'

pages=$folder/pages
mkdir "$pages"
cluster_psql postgres -At -f "$REPOSITORY/scripts/reference.sql" >"$pages/sql.md"
cluster_psql postgres -At -f "$REPOSITORY/scripts/reference_man.sql" >"$pages/webhook_routing.7"
cp "$SOURCE_TREE/build/environment.example" "$pages/"
"$SOURCE_TREE/build/webhook-forwarder" --help-markdown | sed 's/</\\</g' >"$pages/forwarder.md"
"$SOURCE_TREE/build/webhook-forwarder" --metrics-markdown >"$pages/metrics.md"
{
    printf '# Errors\n\nEvery error of the extension, by SQLSTATE. Made from `extension/errors.txt`.\n\n'
    printf '| SQLSTATE | condition | message | what mends it |\n|---|---|---|---|\n'
    awk -F '\t' '/^[0-9A-Z]/ { gsub(/[|<]/, "\\\\&"); printf "| `%s` | %s | %s | %s |\n", $1, $2, $3, $4 }' \
        "$REPOSITORY/extension/errors.txt"
} >"$pages/errors.md"
{
    printf '# Reasons\n\nWhat `reason` says in a decision and in the log, in the order in which it is tried.\n'
    printf 'Made from `core/route.h`.\n\n| reason | meaning |\n|---|---|\n'
    # X(CONSTANT, "name", "meaning"), possibly over two lines
    sed -n '/^#define ROUTE_REASONS/,/^$/p' "$REPOSITORY/core/route.h" | tr -d '\\\n' |
        grep -o 'X([A-Z_]*, *"[^"]*", *"[^"]*")' |
        sed 's/X([A-Z_]*, *"\([^"]*\)", *"\([^"]*\)")/| `\1` | \2 |/'
} >"$pages/reasons.md"

{
    printf '# Lines of the log\n\nWhat the forwarder writes to stderr, which systemd keeps in its journal: one JSON object a line. Made from\n'
    printf '`forwarder/events.h`.\n\n'
    printf 'Each line has `time` (UTC), `level`, `event` and `message`, a sentence for people; and of the fields below those\n'
    printf 'that there are. `mend` says what to do. `correlation_id` is the one that the client got and the function has seen.\n'
    printf 'No line holds a body, a phone number or a secret. What comes again and again is written five times a second, or\n'
    printf 'once a minute for what lasts; `suppressed` counts the lines that were left out.\n\n'
    printf '| event | level | fields | meaning |\n|---|---|---|---|\n'
    # X(CONSTANT, "word", "levels", "fields", "meaning"), possibly over several lines
    sed -n '/^#define LOG_EVENTS/,/clang-format on/p' "$REPOSITORY/forwarder/events.h" | tr -d '\\\n' |
        grep -oE 'X\([A-Z_]+(, *"[^"]*"){4}\)' |
        awk -F '"' '{ gsub(/[a-z_]+/, "`&`", $6); printf "| `%s` | %s | %s | %s |\n", $2, $4, $6, $8 }'
} >"$pages/log-events.md"

if [[ -n $target ]]; then
    mkdir -p "$target"
    cp "$pages"/* "$target/"
    echo "wrote $(find "$pages" -type f | wc -l) pages to docs/reference/"
    "$REPOSITORY/scripts/states.sh"
else
    diff -ru "$REPOSITORY/docs/reference" "$pages" || die "docs/reference is stale: run ./scripts/reference.sh"
    echo "docs/reference is up to date"
    "$REPOSITORY/scripts/states.sh" --check
fi
