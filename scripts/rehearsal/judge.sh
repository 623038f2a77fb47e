# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# The judgement: what was sent, received and logged is compared (evidence.sql; reconcile.sql of the fault
# tests, which compares it id by id), shown, and written down for people (report.sql).
# Sourced after parts.sh.

spool_is_empty() { [[ -z $(find "$CLUSTER_HOME/spool" -name '*.spool') ]]; }
everything_stored() {
    spool_is_empty && [[ $(as_superuser -c 'SELECT count(*) FROM webhook_routing_pending') == 0 ]]
}

# evidence_psql ARGUMENT...: psql where the files are
evidence_psql() { (cd "$EVIDENCE" && cluster_psql "$DATABASE" "$@"); }

# reported FIELD: what the client says of all that it sent
reported() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" "$EVIDENCE/load.json"; }

# judge: compares everything, shows it and writes it down; fails when a promise was not kept
judge() {
    cp "$REPOSITORY/test/fixtures/expected.tsv" "$EVIDENCE/"
    evidence_psql -v outcomes=true -v others='example-%' -f "$REPOSITORY/test/faults/reconcile.sql" \
        >"$EVIDENCE/reconciled"
    evidence_psql -v "began=$(reported began_at)" -v "sent=$(reported requests)" \
        -v "retired=$(<"$EVIDENCE/retired")" -f "$REPOSITORY/scripts/rehearsal/evidence.sql"
    show_faults
    show_figures
    report_write
    promises_kept
}

# shown TITLE STATEMENT: as a table for the terminal
shown() {
    title "$1"
    cluster_psql "$DATABASE" -P border=0 -P footer=off -P null=- -c "SET timezone = 'UTC'" -c "$2" | sed '/^ *$/d; s/^/  /'
}

show_faults() {
    shown "What went wrong, on purpose" "SELECT name AS fault, found_by AS \"found by\",
            to_char(story_found_after, 'HH24:MI:SS') AS \"found after\",
            CASE WHEN away IS NULL THEN 'stays' ELSE to_char(story_unified_after, 'HH24:MI:SS') END AS \"unified's last\",
            CASE WHEN away IS NOT NULL THEN unified_after END AS \"real s\",
            on_unified AS \"on unified\", failed, fallback, again, customers AS people
        FROM evidence.faults_seen ORDER BY began"
}

show_figures() {
    shown "How much there was" "SELECT name AS what, found AS number, witness AS \"says\"
        FROM evidence.figures WHERE wanted IS NULL ORDER BY place"
    shown "What was promised" "SELECT CASE WHEN found = wanted THEN 'kept' ELSE 'BROKEN' END AS \" \",
            name AS promise, found, wanted AS \"must be\", witness AS \"says\"
        FROM evidence.figures WHERE wanted IS NOT NULL ORDER BY place"
}

# report_write: $REPORT, the same as HTML that needs nothing else, and the picture of both
report_write() {
    local base=${REPORT%.md} day1 took
    day1=$(<"$EVIDENCE/day1")
    took=$(<"$EVIDENCE/took")
    mkdir -p "$(dirname "$REPORT")"
    evidence_psql -v "day1=$day1" -f "$REPOSITORY/scripts/rehearsal/chart.sql" >"$base.svg"
    evidence_psql -v "day1=$day1" -v "took=$took" -v "began=$(reported began_at)" -v "chart=$(basename "$base").svg" \
        -f "$REPOSITORY/scripts/rehearsal/report.sql" >"$REPORT"
    "$REPOSITORY/scripts/rehearsal/html.pl" "$REPORT" >"$base.html"
    title "Report"
    step took "$took s"
    step Markdown "$REPORT"
    step HTML "$base.html"
}

# promises_kept: says which were not, with the ids
promises_kept() {
    local broken
    broken=$(as_superuser -c "SELECT count(*) FROM evidence.figures WHERE found <> wanted")
    if [[ $broken == 0 ]]; then
        printf '\n%spassed%s: every promise was kept\n' "$GREEN" "$RESET"
        return 0
    fi
    shown "Deviations, at most 20 of a kind" "SELECT kind, id, detail FROM (
            SELECT *, row_number() OVER (PARTITION BY kind ORDER BY id) AS n FROM evidence.deviations) AS d
        WHERE n <= 20 ORDER BY kind, id"
    printf '\n%snot passed%s: %s promises were broken\n' "$RED" "$RESET" "$broken"
    return 1
}
