#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# The extension into the database in $DATABASE_URL, or to its newest version; see usage() below.
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/operate.sh
. "$REPOSITORY/scripts/lib/operate.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/from_tables.sh
. "$REPOSITORY/scripts/lib/from_tables.sh"

SCHEMA=public
FROM_TABLES=false OLD=webhook_routing_old KEEP='' ROUTERS=''

usage() {
    cat <<EOT
Usage: DATABASE_URL=... ./scripts/apply-migration.sh [--schema NAME] [--dry-run]
       DATABASE_URL=... ./scripts/apply-migration.sh --from-tables [--old-schema NAME] [--keep INTERVAL]
                                                     [--router-role NAME]... [--schema NAME] [--dry-run]

Creates the extension webhook_routing in the database, or brings it to the version whose files are
installed on the server; makes the log's partitions; verifies what is there; shows the configuration.
It may be run again at any time. Needs a superuser, since the extension is in C.

The second form takes over what another router keeps in tables of the same names: they move, with their
view and functions, into a schema of their own, and stay; their configuration becomes the extension's
history, their log its log (docs/migrating.md). The first part is one transaction; the log follows day by
day, newest first, and goes on where it was cut off when this is run again.

  --schema NAME       where it is created (public); what is there stays where it is
  --from-tables       take over another router's tables
  --old-schema NAME   where they go (webhook_routing_old)
  --keep INTERVAL     how long log rows are kept, and so taken over, such as '90 days' (30 days)
  --router-role NAME  the role of the router that is replaced, which goes on until then; once for each
  --dry-run           show what would be run, change nothing
  --help              this text
EOT
}

while (($#)); do
    case $1 in
        --schema) option_value "$@" && SCHEMA=$VALUE && shift ;;
        --from-tables) FROM_TABLES=true ;;
        --old-schema) option_value "$@" && OLD=$VALUE && shift ;;
        --keep) option_value "$@" && KEEP=$VALUE && shift ;;
        --router-role) option_value "$@" && ROUTERS+=${ROUTERS:+,}$VALUE && shift ;;
        *) common_option "$1" ;;
    esac
    shift
done

# ---- what is there ----

# The facts that decide what has to be done, in one line.
look() {
    IFS='|' read -r version_num encoding standby superuser installed schema old_tables < <(ask "
SELECT current_setting('server_version_num'), pg_encoding_to_char(encoding), pg_is_in_recovery(),
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       (SELECT extversion FROM pg_extension WHERE extname = 'webhook_routing'),
       coalesce((SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'webhook_routing'),
                quote_ident(:'schema')),
       (SELECT string_agg(c.relname, ' ' ORDER BY c.relname)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = :'schema' AND c.relname IN ('webhook_routing_config', 'webhook_routing_logs')
           AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'webhook_routing'))
  FROM pg_database WHERE datname = current_database()" -v schema="$SCHEMA")
}

check_server() {
    local packages
    packages=$(packages_of build)
    ((version_num >= 150000)) ||
        die "PostgreSQL 15 or later is needed; this server is older ($version_num)" "$EX_UNAVAILABLE"
    [[ $standby == f ]] ||
        die "this is a standby; DATABASE_URL has to lead to the primary: ...?target_session_attrs=read-write" \
            "$EX_UNAVAILABLE"
    [[ $encoding == UTF8 ]] ||
        die "the database is in $encoding; the extension needs one in UTF8:
    CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0;" "$EX_CONFIG"
    # Reads the extension's control file, and nothing else.
    ask "SELECT count(*) FROM pg_extension_update_paths('webhook_routing')" >/dev/null ||
        die "the server does not have the extension's files. On its machine, as root, in this tree:
    apt-get install --no-install-recommends ${packages/$(postgresql_major)/$((version_num / 10000))}
    make && make install" "$EX_UNAVAILABLE"
    step server "PostgreSQL $((version_num / 10000)), $encoding"
}

need_superuser() {
    [[ $superuser == t ]] ||
        die "only a superuser can create or update an extension in C; DATABASE_URL has to name one" "$EX_NOPERM"
}

# ---- the change ----

create_extension() {
    need_superuser
    step extension "creating it in $schema"
    change -v schema="$SCHEMA" --single-transaction <<'EOT'
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS :"schema";
CREATE EXTENSION webhook_routing SCHEMA :"schema";
EOT
}

# Nothing happens when the version of the installed files is there already.
update_extension() {
    step extension "version $installed is in $schema; bringing it to that of the server's files"
    need_superuser
    change --single-transaction <<'EOT'
SET client_min_messages = warning;
ALTER EXTENSION webhook_routing UPDATE;
EOT
}

change_failed() { die "the change failed, nothing is changed; the database says why above" "$EX_UNAVAILABLE"; }

migrate() {
    if [[ -n $old_tables ]] && $FROM_TABLES; then
        take_over_tables
    elif [[ -n $old_tables ]]; then
        die "in $schema there are tables of the same name that are not the extension's: $old_tables
  Another router's? --from-tables takes them over, with their rows (docs/migrating.md)." "$EX_CONFIG"
    elif [[ -z $installed ]]; then
        ! $FROM_TABLES || die "there are no tables of another router in $schema; --schema names another" "$EX_CONFIG"
        create_extension || change_failed
    else
        update_extension || change_failed
    fi
}

# Partitions ahead; hourly upkeep is the forwarder's.
maintain() {
    step log "making its partitions"
    change -At -F ' ' -o /dev/null <<'EOT'
SELECT * FROM routing_maintain();
EOT
}

# ---- verification ----

# verified NAME TEXT CONDITION: a condition in SQL that holds when all is well
verified() {
    [[ $(ask "SELECT $3") == t ]] || die "$1: not as it should be: $2" "$EX_SOFTWARE"
    step "$1" "$2"
}

verify() {
    title "Verified"
    step version "$(installed_version)"
    verified rules "they compile, and a webhook is decided" \
        "d.webhook_name = c.default_webhook FROM route_decide('{\"object\": \"whatsapp_business_account\", \"entry\": []}'::text) AS d,
              get_current_routing_config() AS c"
    # What a dry run does not make is not there either.
    $DRY_RUN || verified log "there is a partition for today" \
        "EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'webhook_routing_logs'::regclass
          AND inhrelid = to_regclass(to_char(now() AT TIME ZONE 'UTC', '\"webhook_routing_logs_\"YYYYMMDD')))"
    verified statistics "the last hour is read in $(ask "SELECT count(*) FROM webhook_routing_stats") lines" \
        "count(*) >= 0 FROM webhook_routing_stats"
    verified rights "nothing is granted to PUBLIC" \
        "NOT EXISTS (SELECT FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
           JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'webhook_routing',
                aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)"
    sql -At -F ': ' <<'EOT' | sed 's/^/  /'
SELECT rpad(severity, 11), finding || E'\n              ' || fix FROM validate_routing_config()
 WHERE severity <> 'info';
EOT
}

show_config() {
    title "The configuration in force"
    sql -At <<'EOT'
SELECT '  ' || rpad(s.key, 19) || s.value
  FROM get_current_routing_config() c,
       json_each_text(json_build_object('version', c.version, 'percentage', c.percentage,
           'enabled', c.enabled, 'domains', c.domains::text, 'created_at', c.created_at::text,
           'created_by', c.created_by, 'notes', c.notes, 'unified_webhook', c.unified_webhook,
           'default_webhook', c.default_webhook, 'automatic_rollback', c.automatic_rollback,
           'log_retention', c.log_retention)) s
 WHERE s.value IS NOT NULL;
EOT
}

need_database
title "Migration of $(database_name)"
look
check_server
migrate
maintain
tables_moved=false
if $FROM_TABLES && have_moved; then
    tables_moved=true
    take_over_log
fi
if ! $DRY_RUN || [[ -n $installed ]]; then
    verify
    ! $tables_moved || $DRY_RUN || verify_tables
    show_config
fi
done_with "Done. Who may do what is given by: SELECT grant_routing_role('forwarder', 'some_role');"
