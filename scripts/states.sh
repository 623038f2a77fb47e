#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Draws the states of request.h and delivery.h in forwarder/README.md: what stands there between
#
#   <!-- states of a NAME -->
#   <!-- end of states -->
#
# is what scripts/states.c prints for the table NAME.
#
#   scripts/states.sh            writes the page
#   scripts/states.sh --check    writes nothing; fails and shows the difference when it is stale
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1:-} in
    '' | --check) ;;
    *) die "usage: scripts/states.sh [--check]" "$EX_USAGE" ;;
esac

folder=$(mktemp -d /tmp/webhook_routing_states.XXXXXX)
trap 'rm -rf "$folder"' EXIT
source_tree "$folder"
make -C "$SOURCE_TREE" -s -f Makefile.programs build/states

# drawn PAGE: the page with its states as they are now
drawn() {
    local line inside=''
    while IFS= read -r line; do
        [[ $line != '<!-- end of states -->' ]] || inside=''
        [[ -n $inside ]] || printf '%s\n' "$line"
        if [[ $line =~ ^'<!-- states of a '([a-z]+)' -->'$ ]]; then
            inside=$line
            echo
            "$SOURCE_TREE/build/states" "${BASH_REMATCH[1]}"
            echo
        fi
    done <"$1"
    [[ -z $inside ]] || die "$1: no end of $inside"
}

page=$REPOSITORY/forwarder/README.md
drawn "$page" >"$folder/page.md"
if [[ ${1:-} == --check ]]; then
    diff -u "$page" "$folder/page.md" || die "forwarder/README.md is stale: run ./scripts/states.sh"
    echo "forwarder/README.md is up to date"
else
    cat "$folder/page.md" >"$page"
    echo "wrote the states to forwarder/README.md"
fi
