#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Runs what the documentation shows. Speaks TAP.
#
#   - every ```sql block of README.md and docs/ is run as typed by psql, one database a page, in which
#     the extension and the roles that the text speaks of exist; a block that begins with CREATE
#     EXTENSION gets an empty one; an error fails the block, unless its first line says which:
#     "-- refused: ERROR <SQLSTATE>, <message>"
#   - every line of a ```sh block must be one that a test is known to run (the lists below)
#   - every relative link leads to a file, and to a heading in it where it names one
#   - every group of scripts/test.sh has a row in test/README.md, every file of core/ and forwarder/ a word in
#     a header there
#   - docs/reference/, and the states in forwarder/README.md, are what scripts/reference.sh would write
#
# Needs PGHOST and PGPORT of a cluster where the extension can be created.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
number=0 failures=0

# result STATUS NAME [OUTPUT]
result() {
    number=$((number + 1))
    if (($1 == 0)); then
        echo "ok $number - $2"
    else
        failures=$((failures + 1))
        echo "not ok $number - $2"
        printf '# %s\n' "${3//$'\n'/$'\n'# }"
    fi
}

# blocks LANGUAGE FILE: the fenced blocks of that language, each ended by a NUL
blocks() {
    awk -v fence="\`\`\`$1" '$0 == fence { inside = 1; next }
        inside && $0 == "```" { inside = 0; printf "%c", 0; next }
        inside { print }' "$2"
}

# The shell lines that other tests run, word by word: the two commands by the quickstart group and by
# whoever runs this; packages by test/packages; the rehearsal by its own; make, apt-get and the check of the
# settings by test/scripts/pages.bats; the rest by test/e2e.
readonly KNOWN_SHELL_LINES='
./scripts/quickstart.sh
./scripts/quickstart.sh --stop
./scripts/test.sh
. .run/env && psql
./scripts/rehearsal.sh
./scripts/rehearsal.sh --keep
./scripts/rehearsal.sh --judge
./scripts/rehearsal.sh --stop
. .run/rehearsal/env && psql
make && sudo make install
make && make install
apt-get update
set -a; . /etc/webhook-forwarder/environment; set +a
WEBHOOK_FORWARDER_DATABASE_URL_FILE=/etc/webhook-forwarder/database-url \
WEBHOOK_FORWARDER_VERIFY_TOKEN_FILE=/etc/webhook-forwarder/verify-token webhook-forwarder --check-config
export DATABASE_URL=postgresql://postgres@db.example:5432/app
dpkg-buildpackage -us -uc -b
sudo apt install ../postgresql-15-webhook-routing_*.deb
sudo apt install ../webhook-forwarder_*.deb
pg_basebackup -d '"'host=db1 user=replicator application_name=db2'"' -D "$PGDATA" -R -X stream -c fast
'

# What test/scripts/pages.bats runs, on every page that has such lines; it compares the list of packages.
readonly RUN_BY_SCRIPTS='^\./scripts/(apply-migration|deploy-infrastructure|setup-infrastructure|start-rollout|quick-status)\.sh( |$)|^apt-get install --no-install-recommends '

# leads_somewhere PAGE LINK: its file is there and, behind a #, has a heading with that anchor
leads_somewhere() {
    local file=${2%%#*} anchor=
    [[ $2 != *'#'* ]] || anchor=${2#*#}
    file=${file:+$(dirname "$1")/$file}
    file=${file:-$1}
    [[ -e $file ]] && { [[ -z $anchor ]] || anchors "$file" | grep -xF -- "$anchor" >/dev/null; }
}

# anchors PAGE: those of its headings, as the usual viewers make them
anchors() {
    awk '/^```/ { code = !code } !code && /^#+ /' "$1" | sed 's/^#* //' | tr '[:upper:]' '[:lower:]' |
        sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

readonly DATABASE=webhook_routing_docs

# new_database: an empty one, with the role that the pages speak of
new_database() {
    psql -XqAt -v ON_ERROR_STOP=1 -d postgres <<SQL
SET client_min_messages = error;
DROP DATABASE IF EXISTS $DATABASE;
DROP ROLE IF EXISTS alice, support;
CREATE DATABASE $DATABASE;
SELECT 'CREATE ROLE webhook_forwarder' WHERE to_regrole('webhook_forwarder') IS NULL \gexec
SQL
}

# refused_as_said BLOCK OUTPUT: whether psql ended with the error of the block's first line
refused_as_said() {
    local said=${1%%$'\n'*}
    said=${said#-- refused: ERROR }
    [[ $2 == *"ERROR:  ${said%%, *}: ${said#*, }"* ]]
}

mapfile -t pages < <(find README.md CONTRIBUTING.md docs -name "*.md" | sort)
for page in "${pages[@]}"; do
    new_database
    psql -Xq -d "$DATABASE" -c 'CREATE EXTENSION webhook_routing'
    block_number=0
    while IFS= read -r -d '' block; do
        block_number=$((block_number + 1))
        status=0
        if [[ $block == 'CREATE EXTENSION'* ]]; then
            new_database
        fi
        output=$(psql -X -a -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d "$DATABASE" <<<"$block" 2>&1) || status=$?
        if [[ $block == '-- refused'* ]]; then
            status=0
            refused_as_said "$block" "$output" || status=1
        fi
        result "$status" "$page, SQL block $block_number" "$output"
    done < <(blocks sql "$page")
    while IFS= read -r -d '' block; do
        while IFS= read -r line; do
            [[ -z $line || $line == '#'* ]] && continue
            status=0
            grep -qxF -- "$line" <<<"$KNOWN_SHELL_LINES" || [[ $line =~ $RUN_BY_SCRIPTS ]] || status=1
            result "$status" "$page, shell: $line" 'no test is known to run this line'
        done <<<"$block"
    done < <(blocks sh "$page")
    while IFS= read -r link; do
        status=0
        leads_somewhere "$page" "$link" || status=1
        result "$status" "$page, link $link" 'leads nowhere'
    done < <(grep -o '](\([^)]*\))' "$page" | sed 's/^](//; s/)$//' | grep -v '^[a-z]*:' | sort -u)
    psql -XqAt -d postgres -c "DROP DATABASE $DATABASE"
done

# untold PLACE NAME...: those that PLACE, files of one folder, does not tell of
untold() {
    local place=$1 name
    shift
    for name in "$@"; do
        # shellcheck disable=SC2086  # a pattern
        grep -wF -- "${name#./}" $place >/dev/null || printf '%s\n' "$name"
    done
}

output=$(./scripts/test.sh --list | sed 's/.*/| & |/' | while read -r group; do untold test/README.md "$group"; done)
result "${#output}" 'test/README.md has every group' "$output"
for folder in core forwarder; do
    output=$(cd "$folder" && untold '*.h' ./*.c)
    result "${#output}" "the headers of $folder/ tell of every file" "$output"
done

status=0
output=$(./scripts/reference.sh --check 2>&1) || status=$?
result "$status" 'docs/reference and the picture of the states are what scripts/reference.sh writes' "$output"

echo "1..$number"
exit $((failures > 0))
