#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Runs route_decide over every payload there is and compares what it read with two accounts that owe
# nothing to the engine: the table in test/fixtures, written by hand, and a reading by jq; with
# PostgreSQL's own json and jsonb over damaged copies of them; then the customers' sentences. Speaks
# TAP.
#
# What only a whole corpus can show: that no shape of webhook is misread, and that the order of keys,
# white space and escapes change nothing. WEBHOOK_ROUTING_PAYLOADS may name a folder of further payloads.
#
# Needs PGHOST and PGPORT of a cluster where the extension can be created, perl and jq.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=test/corpus fixtures=test/fixtures
export PGDATABASE=webhook_routing_corpus
folder=$(mktemp -d)
trap 'rm -rf "$folder"; PGDATABASE=postgres psql -Xq -c "DROP DATABASE IF EXISTS webhook_routing_corpus WITH (FORCE)"' EXIT

sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }

PGDATABASE=postgres sql -c 'SET client_min_messages = error' \
    -c 'DROP DATABASE IF EXISTS webhook_routing_corpus WITH (FORCE)' \
    -c 'CREATE DATABASE webhook_routing_corpus'
sql -f "$here/tables.sql" >/dev/null 2>&1 || sql -f "$here/tables.sql"

# payloads ORIGIN FILE...: into the table payload, and jq's reading of them into reading
payloads() {
    local origin=$1 file
    shift
    perl -e '
        my $origin = shift;
        for my $file (@ARGV) {
            open my $in, "<:raw", $file or die "$file: $!\n";
            local $/;
            my $bytes = <$in> // "";
            (my $name = $file) =~ s!.*/!!;
            print "$origin\t$name\t\\\\x", unpack("H*", $bytes), "\n";
        }' "$origin" "$@" | sql -c '\copy payload FROM STDIN'
    for file in "$@"; do
        if [[ $file == *.json && -s $file ]] && read=$(jq -r -f "$here/read.jq" "$file" 2>/dev/null); then
            printf '%s\t%s\t%s\n' "$origin" "${file##*/}" "$read"
        fi
    done | sql -c "\copy reading FROM STDIN WITH (NULL '')"
}

"$fixtures/generate.pl" "$folder/generated"
payloads fixture "$fixtures"/payloads/*
payloads generated "$folder"/generated/*.json "$folder"/generated/*.bin
sed 's/^/fixture\t/' "$fixtures/expected.tsv" | sql -c '\copy expected FROM STDIN WITH (HEADER)'
sed 's/^/generated\t/' "$folder/generated/expected.tsv" | sql -c '\copy expected FROM STDIN WITH (HEADER)'
sql -c "\copy sentence FROM '$fixtures/sentences.tsv' WITH (HEADER)"
if [[ -n ${WEBHOOK_ROUTING_PAYLOADS:-} ]]; then
    payloads extra "$WEBHOOK_ROUTING_PAYLOADS"/*.json
fi

# The unit tests and the benchmark of the engine know no database; their rules have to be its seeds.
seeds_agree() {
    diff <(sed -n 's/^ *"\(domain\|pattern\)\(\\t.*\)\\n".*/\1\2/p' test/unit/seed.h |
        sed 's/\\t/\t/g; s/\\\\/\\/g' | sort) \
        <(sql -c 'SELECT snapshot FROM routing_ruleset()' | grep -E '^(domain|pattern)' | sort)
}

{
    differences=$(seeds_agree) && echo 'ok - test/unit/seed.h holds the seeds of the database' ||
        printf 'not ok - test/unit/seed.h holds the seeds of the database\n# %s\n' "${differences//$'\n'/$'\n'# }"
    sql -f "$here/compare.sql"
    sql -f "$here/agreement.sql"
    sql -v packs=false -v languages='{en}' -f "$here/sentences.sql"
    for pack in extension/packs/*.sql; do
        [[ -e $pack ]] && sql -f "$pack" >/dev/null 2>"$folder/pack.log" ||
            echo "not ok - pack $pack"$'\n'"# $(tail -n 3 "$folder/pack.log" | tr '\n' ' ')"
    done
    sql -v packs=true -v languages='{en,fr,rw,sw}' -f "$here/sentences.sql"
} >"$folder/results"

# The statements print "ok - ..." and "not ok - ..."; TAP wants numbers and a plan.
awk '/^(not )?ok - / { n++; sub(/ - /, " " n " - ") } { print } END { print "1.." n }' "$folder/results"
! grep '^not ok' "$folder/results" >/dev/null
