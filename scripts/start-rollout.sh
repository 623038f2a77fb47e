#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# From 0 % to the first step of the plan; see usage() below.
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/operate.sh
. "$REPOSITORY/scripts/lib/operate.sh"

NOTES='the rollout begins' ASK_FORWARDER=true

usage() {
    cat <<EOT
Usage: DATABASE_URL=... ./scripts/start-rollout.sh [--notes TEXT] [--yes] [--no-forwarder] [--dry-run]

Shows what will happen and what stands in its way, asks, enables routing and goes to the first step of
webhook_routing_plan, both in one transaction; then says what to watch and how to get back. A rollout
that has begun is left as it is. Needs the rights of an operator.

  --notes TEXT     why, for the history ($NOTES)
  --yes            do not ask
  --no-forwarder   do not demand that a forwarder is ready at ADMIN_URL (http://127.0.0.1:9180)
  --dry-run        show what would be run, change nothing
  --help           this text
EOT
}

while (($#)); do
    case $1 in
        --notes) option_value "$@" && NOTES=$VALUE && shift ;;
        --yes | -y) ASSUME_YES=true ;;
        --no-forwarder) ASK_FORWARDER=false ;;
        *) common_option "$1" ;;
    esac
    shift
done
ADMIN_URL=${ADMIN_URL:-http://127.0.0.1:9180}

# ---- what stands in the way ----

need_operator() {
    [[ $(ask "SELECT has_function_privilege('set_routing_enabled(boolean, text)', 'EXECUTE')
                 AND has_function_privilege('rollout_advance(text, boolean)', 'EXECUTE')") == t ]] ||
        die "the rights of an operator are needed. As a superuser: $(rights_hint operator)" "$EX_NOPERM"
}

look() {
    IFS='|' read -r enabled percentage domains first soak guard < <(ask "
SELECT c.enabled, c.percentage, array_to_string(c.domains, ', '), p.percentage,
       trim_scale(round(extract(epoch FROM p.soak) / 3600, 2)) || ' h', c.automatic_rollback
  FROM get_current_routing_config() c
  LEFT JOIN LATERAL (SELECT percentage, soak FROM webhook_routing_plan
                      WHERE enabled AND percentage > 0 ORDER BY percentage LIMIT 1) p ON true")
}

check_rules() {
    local errors
    errors=$(ask "SELECT finding || '; ' || fix FROM validate_routing_config() WHERE severity = 'error'")
    [[ -z $errors ]] || die "the configuration is not sound:
$errors" "$EX_CONFIG"
    [[ -n $domains ]] ||
        die "no domain is enrolled: SELECT set_routing_domains('{jobs}', 'why');" "$EX_CONFIG"
    [[ -n $first ]] ||
        die "the plan has no step: UPDATE webhook_routing_plan SET enabled = true WHERE percentage = 10;" \
            "$EX_CONFIG"
    step rules "no error found"
}

check_forwarder() {
    if ! $ASK_FORWARDER; then
        step forwarder "not asked"
    elif curl -fs -m 3 -o /dev/null "$ADMIN_URL/readyz"; then
        step forwarder "ready at $ADMIN_URL"
    else
        die "no forwarder is ready at $ADMIN_URL: start it (scripts/deploy-infrastructure.sh), say where it is
  (ADMIN_URL), or go ahead with --no-forwarder" "$EX_UNAVAILABLE"
    fi
}

# What the first step means, from the senders that the log knows.
show_what_happens() {
    step 'now' "$percentage %, $([[ $enabled == t ]] && echo enabled || echo 'disabled: all on legacy')"
    step 'then' "$first % of the senders of $domains, for at least $soak"
    step guard "$([[ $guard == t ]] && echo 'rolls back by itself' || echo 'off: nothing rolls back by itself')"
    sql -v first="$first" -P border=0 -P footer=off <<'EOT' | sed '/^ *$/d; s/^/  /'
SELECT count(*) > 0 AS anybody FROM simulate_routing(:'first'::numeric, '1 day', true) WHERE to_unified > 0 \gset
\if :anybody
SELECT domain, senders AS "senders of a day", to_unified AS "will move to unified", stay AS "will stay"
  FROM simulate_routing(:'first'::numeric, '1 day', true) WHERE to_unified > 0;
\else
\echo 'senders     none of those whom the log has of a day will move'
\endif
EOT
}

# ---- the beginning ----

begin() {
    change -v notes="$NOTES" --single-transaction -o /dev/null <<'EOT'
SELECT set_routing_enabled(true, :'notes') FROM get_current_routing_config() WHERE NOT enabled;
SELECT rollout_advance(:'notes');
EOT
}

say_what_to_watch() {
    cat <<EOT

  Watch, every 15 minutes at least:
    ./scripts/quick-status.sh --watch 15
    psql "\$DATABASE_URL" -c "SELECT * FROM rollout_status()"
    psql "\$DATABASE_URL" -c "SELECT domain, routed_to, severity, issue, advice FROM check_routing_health()"

  Two ways back, each in force for the next webhook:
    psql "\$DATABASE_URL" -c "SELECT rollout_back('why')"                  one step
    psql "\$DATABASE_URL" -c "SELECT set_routing_enabled(false, 'why')"    everything, at once
EOT
}

need_database
need_extension
need_operator
look
title "Beginning the rollout on $(database_name)"
if [[ $enabled == t && $percentage != 0.00 ]]; then
    step 'now' "$percentage %, enabled: the rollout has begun, nothing to do"
    say_what_to_watch
    exit 0
fi
if [[ $percentage != 0.00 ]]; then
    die "routing is disabled at $percentage %, so it has begun before. On at $percentage %:
    SELECT set_routing_enabled(true, 'why');
  From 0 % on, then this again: SELECT update_routing_percentage(0, 'why');" "$EX_CONFIG"
fi
check_rules
check_forwarder
show_what_happens
printf '\n  %sFrom now on real people are served by the unified function.%s\n' "$YELLOW" "$RESET"
confirm "  Go to $first %?"
begin
say_what_to_watch
done_with "The rollout has begun: $first %"
