# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What apply-migration.sh --from-tables does: another router's tables move into the schema $OLD and the
# extension takes their place, in one transaction (from_tables.sql); then the log follows day by day. Sourced
# after operate.sh; SCHEMA, OLD, KEEP and ROUTERS are the options, schema and old_tables what look() has found.
# shellcheck disable=SC2154  # of apply-migration.sh

# as_seen: what there is to take over, in rows
as_seen() {
    ask "SELECT format('%s config rows, %s log rows since %s',
        (SELECT count(*) FROM :\"place\".webhook_routing_config), count(*), coalesce(min(created_at)::date::text, '-'))
      FROM :\"place\".webhook_routing_logs" -v place="$1"
}

check_tables() {
    [[ $old_tables == 'webhook_routing_config webhook_routing_logs' ]] ||
        die "--from-tables needs webhook_routing_config and webhook_routing_logs; in $schema there is only $old_tables" \
            "$EX_CONFIG"
    [[ -z $(ask "SELECT 1 FROM pg_namespace WHERE nspname = :'old'" -v old="$OLD") ]] ||
        die "the schema $OLD is there already; --old-schema names another" "$EX_CONFIG"
    [[ -z $KEEP || -n $(ask "SELECT :'keep'::interval" -v keep="$KEEP" 2>/dev/null) ]] ||
        usage_error "--keep $KEEP is no interval"
    local missing
    missing=$(ask "SELECT string_agg(r, ', ') FROM unnest(string_to_array(:'routers', ',')) r
                    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r)" -v routers="$ROUTERS")
    [[ -z $missing ]] || die "there is no role $missing" "$EX_CONFIG"
}

# days_of_log: those that are kept and that the log has rows of, as an array
days_of_log() {
    ask "SELECT coalesce(array_agg(DISTINCT (created_at AT TIME ZONE 'UTC')::date), '{}') FROM :\"place\".webhook_routing_logs
          WHERE created_at <= now()
            AND created_at >= (now() AT TIME ZONE 'UTC' - coalesce(nullif(:'keep', ''), '30 days')::interval)::date::timestamp AT TIME ZONE 'UTC'" \
        -v place="$SCHEMA" -v keep="$KEEP"
}

take_over_tables() {
    local days
    need_superuser
    check_tables
    step tables "$(as_seen "$SCHEMA")"
    step extension "in their place, in one transaction"
    if $DRY_RUN; then
        shown psql --single-transaction -v schema="$SCHEMA" -v old="$OLD" -v keep="$KEEP" -v routers="$ROUTERS" \
            -v days='{...}' -f "$REPOSITORY/scripts/lib/from_tables.sql"
        return
    fi
    days=$(days_of_log)
    sql --single-transaction -v schema="$SCHEMA" -v old="$OLD" -v keep="$KEEP" -v routers="$ROUTERS" -v days="$days" \
        <"$REPOSITORY/scripts/lib/from_tables.sql" | sed 's/^/  /' || change_failed
}

# have_moved: by this run or by one that was cut off; a dry run looks as if they had
have_moved() {
    $DRY_RUN || [[ -n $(ask "SELECT to_regclass(quote_ident(:'old') || '.webhook_routing_logs')" -v old="$OLD") ]]
}

# import_part SINCE UNTIL: that part of the former log, in a transaction of its own; what became of it goes
# into the file $imported
import_part() {
    sql -At -F $'\t' -v old="$OLD" -v since="$1" -v until="$2" >>"$imported" <<'EOT'
SET client_min_messages = warning;
SELECT * FROM import_routing_logs((quote_ident(:'old') || '.webhook_routing_logs')::regclass, :'since', :'until');
EOT
}

# The former log, newest day first, so that a person has what matters soonest; then what cannot be kept.
take_over_log() {
    local day count=0
    if $DRY_RUN; then
        step log "its rows, day by day"
        shown psql -c "SELECT * FROM import_routing_logs('$OLD.webhook_routing_logs', '<day>', '<next day>')"
        return
    fi
    imported=$(mktemp)
    trap 'rm -f "$imported"' EXIT
    while read -r day; do
        import_part "$day 00:00+00" "$(date -u -d "$day + 1 day" +%F) 00:00+00"
        count=$((count + 1))
    done < <(ask "SELECT DISTINCT (l.created_at AT TIME ZONE 'UTC')::date AS day
                    FROM :\"old\".webhook_routing_logs l, get_current_routing_config() c
                   WHERE isfinite(l.created_at)
                     AND l.created_at >= ((now() AT TIME ZONE 'UTC') - c.log_retention)::date::timestamp AT TIME ZONE 'UTC'
                   ORDER BY day DESC" -v old="$OLD")
    import_part -infinity "$(ask "SELECT ((now() AT TIME ZONE 'UTC') - log_retention)::date || ' 00:00+00' FROM get_current_routing_config()")"
    import_part infinity infinity
    step log "$count days of $OLD.webhook_routing_logs"
    awk -F '\t' '{ sum[$1 "\t" $3] += $2 } END { for (k in sum) { split(k, w, "\t"); printf "  %-12s %d log rows: %s\n", w[1], sum[k], w[2] } }' \
        "$imported" | sort
}

verify_tables() {
    local rows
    # Each row of the source is in the log, or has its reason above.
    rows=$(ask "SELECT count(*) FROM :\"old\".webhook_routing_logs" -v old="$OLD")
    verified 'all rows' "$rows of the former log have been taken over, or said above why not" \
        "$rows = $(awk -F '\t' '$1 != "changed" { sum += $2 } END { print sum + 0 }' "$imported")"
    sql -v old="$OLD" -v schema="$SCHEMA" <"$REPOSITORY/scripts/lib/from_tables_notes.sql" | sed 's/^/  /'
    printf '\n  %s\n' "The former tables stay in $OLD. When nobody needs them: DROP SCHEMA $(ask "SELECT quote_ident(:'old')" -v old="$OLD") CASCADE;"
}
