#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Everything from an empty database to a forwarder that serves, step by step; see usage() below. Each step
# checks what it has done; the first that fails ends the script, and the next call goes on from there.
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/operate.sh
. "$REPOSITORY/scripts/lib/operate.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"

FORWARDER_ROLE=webhook_forwarder OPERATORS=() VIEWERS=() DOMAINS='' FUNCTIONS_BASE=''
WITH_FORWARDER=true MIGRATE=() DEPLOY=() PLAIN=()

usage() {
    cat <<EOT
Usage: DATABASE_URL=... ./scripts/setup-infrastructure.sh --functions-url URL [OPTION]...

Sets up everything, and checks each step: what has to be there, the extension, the roles and their
rights, the enrolled domains, the functions that are behind, the forwarder, and all of it together.
Routing stays as it is, so disabled at first. It may be run again at any time. Needs a superuser in
DATABASE_URL.

  --functions-url URL      where the functions are: URL/wa-webhook-jobs, ...
  --domains LIST           enrolled domains, such as jobs,property (those that are)
  --forwarder-role NAME    the forwarder's role ($FORWARDER_ROLE); made, with a password, when it is missing
  --operator NAME, --viewer NAME
                           an existing role that may operate, or look; may be given several times
  --no-forwarder           set up the database only
  --dry-run                show what would be run, change nothing
  --help                   this text

For scripts/apply-migration.sh: --schema, --from-tables, --old-schema, --keep, --router-role.
For scripts/deploy-infrastructure.sh: --background, --user, --listen, --admin-listen,
--database-url-file, --app-secret-file, --verify-token-file, --test-webhook.
EOT
}

while (($#)); do
    case $1 in
        --functions-url) option_value "$@" && FUNCTIONS_BASE=$VALUE && shift ;;
        --domains) option_value "$@" && DOMAINS=$VALUE && shift ;;
        --forwarder-role) option_value "$@" && FORWARDER_ROLE=$VALUE && shift ;;
        --operator) option_value "$@" && OPERATORS+=("$VALUE") && shift ;;
        --viewer) option_value "$@" && VIEWERS+=("$VALUE") && shift ;;
        --schema | --old-schema | --keep | --router-role) option_value "$@" && MIGRATE+=("$1" "$VALUE") && shift ;;
        --from-tables) MIGRATE+=("$1") ;;
        --background | --user | --listen | --admin-listen | --database-url-file | --app-secret-file | --verify-token-file)
            option_value "$@" && DEPLOY+=("$1" "$VALUE") && shift
            ;;
        --test-webhook) DEPLOY+=("$1") ;;
        --no-forwarder) WITH_FORWARDER=false ;;
        --dry-run) DRY_RUN=true PLAIN=(--dry-run) ;;
        *) common_option "$1" ;;
    esac
    shift
done
need_database_url
[[ -n $FUNCTIONS_BASE ]] || ! $WITH_FORWARDER || usage_error "--functions-url says where the functions are"

number=0
# heading TEXT: the next step
heading() {
    number=$((number + 1))
    title "$number. $1"
}

# is_there: whether the extension is, so that it can be asked; in a dry run it may not be yet
is_there() { [[ -n $(installed_version) ]]; }

# ---- the steps ----

# of_deploy OPTION DEFAULT: what was given to the forwarder
of_deploy() {
    local i
    for ((i = 0; i < ${#DEPLOY[@]}; i++)); do
        if [[ ${DEPLOY[i]} == "$1" ]]; then
            printf '%s\n' "${DEPLOY[i + 1]}"
            return
        fi
    done
    printf '%s\n' "$2"
}

# can_build: whether the forwarder can be made from this tree
can_build() {
    local tool
    for tool in make cc pkg-config; do
        command -v "$tool" >/dev/null || return
    done
    pkg-config --exists libpq libmicrohttpd libcurl libcrypto libxxhash libutf8proc
}

# check_files: what is given as a file is there, before anything is changed
check_files() {
    local i
    for ((i = 0; i + 1 < ${#DEPLOY[@]}; i++)); do
        [[ ${DEPLOY[i]} != --*-file || -r ${DEPLOY[i + 1]} ]] ||
            die "cannot read ${DEPLOY[i + 1]}, which ${DEPLOY[i]} names" "$EX_CONFIG"
    done
}

check_prerequisites() {
    local tool
    heading "What has to be there"
    for tool in psql curl; do
        command -v "$tool" >/dev/null || die "$tool is missing: apt-get install curl postgresql-client" "$EX_UNAVAILABLE"
    done
    step tools "psql, curl"
    if $WITH_FORWARDER && ! command -v webhook-forwarder >/dev/null && [[ ! -x $REPOSITORY/build/webhook-forwarder ]]; then
        can_build || die "the forwarder is not installed, and cannot be built. As root, in $REPOSITORY:
    apt-get install --no-install-recommends $(packages_of build)
    make && make install" "$EX_UNAVAILABLE"
        step compiler "the forwarder can be built"
    fi
    check_files
    need_database
    step database "$(database_name)"
    [[ $(ask "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == t ]] ||
        die "DATABASE_URL has to name a superuser, who creates the extension and gives rights" "$EX_NOPERM"
}

apply_migration() {
    heading "The extension"
    "$REPOSITORY/scripts/apply-migration.sh" "${MIGRATE[@]}" "${PLAIN[@]}"
}

# make_forwarder_role: with a password that only the forwarder's file knows
FORWARDER_URL_FILE=''
make_forwarder_role() {
    local password
    if [[ -n $(ask "SELECT 1 FROM pg_roles WHERE rolname = :'role'" -v role="$FORWARDER_ROLE") ]]; then
        step role "$FORWARDER_ROLE is there"
        [[ " ${DEPLOY[*]} " == *' --database-url-file '* || -e $(of_deploy --background /etc/webhook-forwarder)/database-url ]] ||
            $DRY_RUN || die "its password is not known here. Put the URL with it into a file, --database-url-file, or, where no
  other forwarder uses the role, give it another one first: DROP OWNED BY \"$FORWARDER_ROLE\"; DROP ROLE \"$FORWARDER_ROLE\";" \
            "$EX_CONFIG"
        return
    fi
    step role "$FORWARDER_ROLE is made, with a password"
    if $DRY_RUN; then
        shown psql -v role="$FORWARDER_ROLE" -c 'CREATE ROLE :"role" LOGIN PASSWORD ...'
        return
    fi
    password=$(od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n')
    # From the environment, and kept out of the server's log.
    NEW_PASSWORD=$password sql -v role="$FORWARDER_ROLE" --single-transaction <<'EOT'
\getenv password NEW_PASSWORD
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';
CREATE ROLE :"role" LOGIN PASSWORD :'password';
EOT
    FORWARDER_URL_FILE=$(mktemp)
    trap 'rm -f "$FORWARDER_URL_FILE"' EXIT
    url_of_role "$FORWARDER_ROLE" "$password" >"$FORWARDER_URL_FILE"
}

# grant KIND ROLE
grant() {
    [[ -n $(ask "SELECT 1 FROM pg_roles WHERE rolname = :'role'" -v role="$2") ]] || $DRY_RUN ||
        die "there is no role $2: CREATE ROLE \"$2\" LOGIN;" "$EX_CONFIG"
    step rights "$2 as $1"
    change -v kind="$1" -v role="$2" -o /dev/null <<'EOT'
SELECT grant_routing_role(:'kind', :'role');
EOT
}

give_rights() {
    local role
    heading "Roles and their rights"
    ! $WITH_FORWARDER || make_forwarder_role
    ! $WITH_FORWARDER || grant forwarder "$FORWARDER_ROLE"
    for role in "${OPERATORS[@]}"; do
        grant operator "$role"
    done
    for role in "${VIEWERS[@]}"; do
        grant viewer "$role"
    done
}

enroll_domains() {
    local errors
    heading "Domains"
    if [[ -n $DOMAINS ]]; then
        change -v domains="${DOMAINS// /}" -o /dev/null <<'EOT' || die "the domains are as they were; the database says why above" "$EX_CONFIG"
SELECT set_routing_domains(string_to_array(:'domains', ','), 'setup-infrastructure.sh')
  FROM get_current_routing_config() WHERE domains <> string_to_array(:'domains', ',');
EOT
    fi
    is_there || return 0
    errors=$(ask "SELECT '  ' || finding || '; ' || fix FROM validate_routing_config() WHERE severity = 'error'")
    [[ -z $errors ]] || die "the configuration is not sound:
$errors" "$EX_CONFIG"
    step domains "enrolled: $(ask "SELECT array_to_string(domains, ', ') FROM get_current_routing_config()")"
    step protected "$(ask "SELECT string_agg(domain, ', ' ORDER BY domain) FROM webhook_routing_domains WHERE protected")"
}

# Any answer of HTTP will do, for a GET that a function takes for a handshake; but 404 says that nothing
# is deployed there.
check_functions() {
    local name url status missing=()
    heading "The functions that are behind"
    if ! is_there; then
        step later "asked once the extension, which knows their names, is there"
        return
    fi
    while IFS='|' read -r name url; do
        status=$(curl -s -m 5 -o /dev/null -w '%{http_code}' "${url:-${FUNCTIONS_BASE%/}/$name}") || true
        case $status in
            000) missing+=("$name") && step missing "$name does not answer at ${url:-${FUNCTIONS_BASE%/}/$name}" ;;
            404) missing+=("$name") && step missing "$name: 404 at ${url:-${FUNCTIONS_BASE%/}/$name}" ;;
            *) step reached "$name ($status)" ;;
        esac
    done < <(ask "SELECT name, url FROM webhook_routing_targets WHERE NOT retired ORDER BY name")
    ((${#missing[@]} == 0)) || $DRY_RUN || die "deploy what is missing, or say where it is:
    UPDATE webhook_routing_targets SET url = 'https://...' WHERE name = '${missing[0]}';" "$EX_UNAVAILABLE"
}

deploy_forwarder() {
    heading "The forwarder"
    if [[ -n $FORWARDER_URL_FILE && " ${DEPLOY[*]} " != *' --database-url-file '* ]]; then
        DEPLOY+=(--database-url-file "$FORWARDER_URL_FILE")
    fi
    "$REPOSITORY/scripts/deploy-infrastructure.sh" --functions-url "$FUNCTIONS_BASE" "${DEPLOY[@]}" "${PLAIN[@]}"
}

verify_all() {
    local admin=${ADMIN_URL:-http://127.0.0.1:9180} forwarder=${FORWARDER_URL:-http://127.0.0.1:8080}
    local options=()
    heading "All of it together"
    is_there || return 0
    admin=http://$(of_deploy --admin-listen "${admin#http://}")
    forwarder=http://$(of_deploy --listen "${forwarder#http://}")
    $WITH_FORWARDER || options=(--no-forwarder)
    ADMIN_URL=$admin FORWARDER_URL=$forwarder \
        perform "$REPOSITORY/scripts/quick-status.sh" "${options[@]}"
}

check_prerequisites
apply_migration
enroll_domains
! $WITH_FORWARDER || check_functions
give_rights
! $WITH_FORWARDER || deploy_forwarder
verify_all
done_with "Set up. What has to be true before ./scripts/start-rollout.sh: docs/rollout.md"
