#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# The forwarder installed, started and verified; see usage() below. Two ways: under systemd (units of
# `make install`), or in the background with everything in one folder. Both keep the same files: the
# secrets, one each, and "environment" with the other options.
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/operate.sh
. "$REPOSITORY/scripts/lib/operate.sh"
# shellcheck source=scripts/lib/deployed.sh
. "$REPOSITORY/scripts/lib/deployed.sh"

readonly GROUP=webhook-forwarder
readonly UNITS=(webhook-forwarder.socket webhook-forwarder.service)
FUNCTIONS_BASE='' DATABASE_URL_FILE='' APP_SECRET_FILE='' VERIFY_TOKEN_FILE=''
BACKGROUND='' RUN_AS='' LISTEN='' ADMIN_LISTEN='' TEST_WEBHOOK=false

usage() {
    cat <<EOT
Usage: DATABASE_URL=... ./scripts/deploy-infrastructure.sh --functions-url URL [OPTION]...
       DATABASE_URL=... ./scripts/deploy-infrastructure.sh --functions-url URL --background DIR [OPTION]...

Installs the forwarder, puts its secrets and options in place, starts it and verifies that it is ready,
knows the database, answers Meta's handshake and refuses what is not signed. The first form needs root
and systemd, and builds and installs from this tree unless a package has; the second runs it in the
background, without anything that starts it again. It may be run again at any time: what is not given
stays as it was, and only a change restarts the forwarder.

  --functions-url URL        where the functions are: URL/wa-webhook-jobs, ...
  --database-url-file FILE   the forwarder's own connection; otherwise DATABASE_URL, if that names a role
                             that is no superuser
  --app-secret-file FILE     Meta's app secret; without one signatures are not checked
  --verify-token-file FILE   Meta's verify token; without one it is made
  --test-webhook             send one signed webhook that no rule claims: it reaches the default function
  --background DIR           run in the background, everything in DIR
  --user NAME                the user that runs it there; needed when called as root
  --listen HOST:PORT, --admin-listen HOST:PORT
                             of a forwarder in the background (127.0.0.1:8080, 127.0.0.1:9180)
  --dry-run                  show what would be run, change nothing
  --help                     this text

DESTDIR=DIR puts the files there and starts nothing, for an image.
EOT
}

while (($#)); do
    case $1 in
        --functions-url) option_value "$@" && FUNCTIONS_BASE=$VALUE && shift ;;
        --database-url-file) option_value "$@" && DATABASE_URL_FILE=$VALUE && shift ;;
        --app-secret-file) option_value "$@" && APP_SECRET_FILE=$VALUE && shift ;;
        --verify-token-file) option_value "$@" && VERIFY_TOKEN_FILE=$VALUE && shift ;;
        --background) option_value "$@" && BACKGROUND=$VALUE && shift ;;
        --user) option_value "$@" && RUN_AS=$VALUE && shift ;;
        --listen) option_value "$@" && LISTEN=$VALUE && shift ;;
        --admin-listen) option_value "$@" && ADMIN_LISTEN=$VALUE && shift ;;
        --test-webhook) TEST_WEBHOOK=true ;;
        *) common_option "$1" ;;
    esac
    shift
done

# ---- where ----

# What runs a command as the forwarder's user in the background; empty when not called as root.
AS_USER=()
GROUP_OF_USER=''

# choose_place: sets CONFIG, the folder of secrets and options, and checks that the way chosen is open
choose_place() {
    if [[ -n $BACKGROUND ]]; then
        [[ $BACKGROUND == /* ]] || BACKGROUND=$PWD/$BACKGROUND
        CONFIG=$BACKGROUND
        if ((EUID == 0)); then
            [[ -n $RUN_AS ]] || die "the forwarder does not run as root: --user NAME says as whom" "$EX_NOPERM"
            GROUP_OF_USER=$(id -gn "$RUN_AS") || die "there is no user $RUN_AS" "$EX_USAGE"
            AS_USER=(setpriv --reuid="$RUN_AS" --regid="$GROUP_OF_USER" --init-groups env HOME=/)
        fi
        return
    fi
    CONFIG=${DESTDIR:-}/etc/webhook-forwarder
    if [[ -n ${DESTDIR:-} ]] || $DRY_RUN; then
        return
    fi
    ((EUID == 0)) ||
        die "installing needs root. As an ordinary user: --background DIR runs it from a folder" "$EX_NOPERM"
    [[ -d /run/systemd/system ]] ||
        die "systemd does not run here. --background DIR starts the forwarder without it, but nothing starts it
  again after a crash or a reboot; your own supervisor can run: webhook-forwarder --help" "$EX_UNAVAILABLE"
}

# ---- the program ----

# install_program: into the system, or, for the background, into its folder
install_program() {
    if [[ -n $BACKGROUND ]]; then
        perform mkdir -p "$BACKGROUND"
        build_program
        if ! cmp -s "$program" "$BACKGROUND/webhook-forwarder"; then
            # Moved into its place, since the old one may be running.
            perform install -m 755 "$program" "$BACKGROUND/webhook-forwarder.new"
            perform mv "$BACKGROUND/webhook-forwarder.new" "$BACKGROUND/webhook-forwarder"
        fi
        step program "$BACKGROUND/webhook-forwarder"
    elif [[ -z ${DESTDIR:-} && -e /usr/bin/webhook-forwarder ]]; then
        step program "a package has installed it"
    else
        step program "building and installing it and its units"
        perform make -C "$REPOSITORY" -s -f Makefile.programs forwarder
        perform make -C "$REPOSITORY" -s -f Makefile.programs install-forwarder DESTDIR="${DESTDIR:-}"
    fi
}

# build_program: sets program: that of this tree, or an installed one where nothing can be built
build_program() {
    program=$REPOSITORY/build/webhook-forwarder
    if [[ -w $REPOSITORY/Makefile.programs ]] && command -v make >/dev/null; then
        perform make -C "$REPOSITORY" -s -f Makefile.programs forwarder
    fi
    [[ -x $program ]] || program=$(command -v webhook-forwarder) ||
        die "there is no forwarder: make forwarder, as a user who may write here" "$EX_UNAVAILABLE"
}

# ---- secrets and options ----

# put_file NAME MODE: standard input into that file of CONFIG, in one move, unless it says so already
put_file() {
    local target=$CONFIG/$1
    if $DRY_RUN; then
        cat >/dev/null
        shown install -m "$2" /dev/stdin "$target"
        return
    fi
    (umask 077 && cat >"$target.new")
    chmod "$2" "$target.new"
    if [[ -n $BACKGROUND && $EUID == 0 ]]; then
        chgrp "$GROUP_OF_USER" "$target.new"
        chmod 0640 "$target.new"
    elif [[ $2 == 0640 ]] && getent group "$GROUP" >/dev/null && ((EUID == 0)); then
        chgrp "$GROUP" "$target.new"
    fi
    mv "$target.new" "$target"
}

# secret NAME MODE FILE: a secret that was given
secret() {
    [[ -r $3 ]] || die "cannot read $3" "$EX_CONFIG"
    put_file "$1" "$2" <"$3"
    step secret "$CONFIG/$1"
}

make_folder() {
    perform mkdir -p "$CONFIG"
    if [[ -n $BACKGROUND ]]; then
        perform mkdir -p "$CONFIG/spool"
        perform chmod 700 "$CONFIG" "$CONFIG/spool"
        # Called as root, the folder stays root's: what root writes there nobody else can redirect.
        if ((EUID == 0)); then
            perform chgrp "$GROUP_OF_USER" "$CONFIG"
            perform chmod 750 "$CONFIG"
            perform chown "$RUN_AS:$GROUP_OF_USER" "$CONFIG/spool"
        fi
        return
    fi
    perform chmod 750 "$CONFIG"
    if [[ -z ${DESTDIR:-} ]]; then
        getent group "$GROUP" >/dev/null || perform groupadd --system "$GROUP"
        perform chgrp "$GROUP" "$CONFIG"
    fi
}

# The forwarder's own connection. A superuser's is not put into its hands.
put_database_url() {
    local origin
    if [[ -n $DATABASE_URL_FILE ]]; then
        secret database-url 0600 "$DATABASE_URL_FILE"
    elif [[ ! -e $CONFIG/database-url ]]; then
        if [[ $(ask "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == f ]]; then
            origin=DATABASE_URL
        elif $DRY_RUN; then
            origin='a role of its own, since DATABASE_URL names a superuser'
        else
            die "DATABASE_URL names a superuser; the forwarder gets a role of its own:
    CREATE ROLE webhook_forwarder LOGIN PASSWORD '...';
    SELECT grant_routing_role('forwarder', 'webhook_forwarder');
  and its URL by --database-url-file. scripts/setup-infrastructure.sh does all of that." "$EX_CONFIG"
        fi
        put_file database-url 0600 <<<"$DATABASE_URL"
        step secret "$CONFIG/database-url, from $origin"
    fi
}

put_verify_token() {
    if [[ -n $VERIFY_TOKEN_FILE ]]; then
        secret verify-token 0600 "$VERIFY_TOKEN_FILE"
    elif [[ ! -e $CONFIG/verify-token ]]; then
        od -An -N16 -tx1 /dev/urandom | tr -d ' ' | put_file verify-token 0600
        step secret "$CONFIG/verify-token was made: Meta's console asks for it"
    fi
}

put_app_secret() {
    if [[ -n $APP_SECRET_FILE ]]; then
        secret app-secret 0640 "$APP_SECRET_FILE"
    elif [[ ! -e $CONFIG/app-secret ]]; then
        step secret "${YELLOW}no app secret: signatures are not checked, anybody who reaches the port can post$RESET"
    fi
}

# option VARIABLE VALUE: a line of the environment file, instead of the one with that name
option() {
    local others=''
    [[ -n $2 ]] || return 0
    [[ $2 != *[[:space:]\"\'\\]* ]] || die "$1 cannot have white space, quotes or backslashes" "$EX_USAGE"
    [[ ! -e $CONFIG/environment ]] || others=$(grep -v "^$1=" "$CONFIG/environment" || true)
    printf '%s' "${others:+$others$'\n'}$1=$2"$'\n' | put_file environment 0640
    step option "$1=$2"
}

put_options() {
    option WEBHOOK_FORWARDER_FUNCTIONS_URL "$FUNCTIONS_BASE"
    [[ -z $APP_SECRET_FILE && ! -e $CONFIG/app-secret ]] ||
        option WEBHOOK_FORWARDER_APP_SECRET_FILE "${CONFIG#"${DESTDIR:-}"}/app-secret"
    [[ -n $BACKGROUND ]] || return 0
    option WEBHOOK_FORWARDER_LISTEN "$LISTEN"
    option WEBHOOK_FORWARDER_ADMIN_LISTEN "$ADMIN_LISTEN"
    option WEBHOOK_FORWARDER_DATABASE_URL_FILE "$CONFIG/database-url"
    option WEBHOOK_FORWARDER_VERIFY_TOKEN_FILE "$CONFIG/verify-token"
    option WEBHOOK_FORWARDER_SPOOL_DIRECTORY "$CONFIG/spool"
}

check_functions_url() {
    [[ -n $FUNCTIONS_BASE ]] || grep -qs '^WEBHOOK_FORWARDER_FUNCTIONS_URL=' "$CONFIG/environment" ||
        usage_error "--functions-url says where the functions are"
}

# ---- starting ----

# failed_to WHAT: with the end of its log
failed_to() {
    if [[ -n $BACKGROUND ]]; then
        tail -n 5 "$BACKGROUND/forwarder.log" | cut -c 1-300 >&2
    else
        journalctl -u webhook-forwarder.service -n 10 -o cat --no-pager >&2 || true
    fi
    die "the forwarder $1" "$EX_UNAVAILABLE"
}

# everything_deployed: what a restart is needed for when it changes
everything_deployed() {
    local file
    for file in webhook-forwarder environment database-url verify-token app-secret; do
        [[ ! -e $CONFIG/$file ]] || sha256sum <"$CONFIG/$file"
    done
    if [[ -z $BACKGROUND ]]; then
        cat /usr/local/lib/systemd/system/webhook-forwarder.* /usr/local/bin/webhook-forwarder 2>/dev/null | sha256sum
    fi
}

# with_settings COMMAND...: with the settings of the environment file, and of this script's environment nothing but
# the path: neither psql's password is for the forwarder, nor a secret among the settings for the list of processes
with_settings() (
    local name settings
    mapfile -t settings < <(grep -E '^[A-Za-z_][A-Za-z0-9_]*=' "$CONFIG/environment")
    # A variable that is readonly here can be somebody's who deploys: it is not unset, but not passed on either.
    while read -r name; do
        [[ $name == PATH ]] || export -n "${name?}"
    done < <(compgen -e)
    while read -r _ _ name; do
        export -nf "${name?}"
    done < <(declare -Fx)
    ((${#settings[@]} == 0)) || export "${settings[@]}"
    "$@"
)

# check_settings: by the forwarder itself, before anything is stopped for them. Under systemd the secrets are
# credentials, whose names are those of the files.
check_settings() {
    local binary=$BACKGROUND/webhook-forwarder found credentials=()
    if [[ -z $BACKGROUND ]]; then
        binary=$(command -v webhook-forwarder || echo /usr/local/bin/webhook-forwarder)
        credentials=("CREDENTIALS_DIRECTORY=$CONFIG")
    fi
    found=$(with_settings "${AS_USER[@]}" env "${credentials[@]}" "$binary" --check-config 2>&1) ||
        die "the forwarder refuses its settings:
$found" "$EX_CONFIG"
    step settings "checked by the forwarder"
    sed -n "s/^warning *\(database,.*\)/              $YELLOW\1$RESET/p" <<<"$found"
}

start_in_background() {
    local changed=true
    if [[ -e $BACKGROUND/deployed && $(<"$BACKGROUND/deployed") == "$(everything_deployed)" ]]; then
        changed=false
    fi
    if ! $changed && process_alive "$BACKGROUND/forwarder.pid"; then
        step start "it runs, and nothing has changed"
        return
    fi
    process_stop "$BACKGROUND/forwarder.pid" 30
    (cd / && with_settings process_start "$BACKGROUND/forwarder.pid" "$BACKGROUND/forwarder.log" \
        "${AS_USER[@]}" "$BACKGROUND/webhook-forwarder")
    everything_deployed >"$BACKGROUND/deployed"
    step start "in the background, its log is $BACKGROUND/forwarder.log"
    step '' "${YELLOW}nothing starts it again after a crash or a reboot$RESET; this command does"
}

start_under_systemd() {
    local stamp=/var/lib/webhook-forwarder.deployed was=''
    [[ ! -e $stamp ]] || was=$(<"$stamp")
    perform systemctl daemon-reload
    perform systemctl enable --now "${UNITS[@]}" || failed_to "does not start"
    if [[ $was != "$(everything_deployed)" ]]; then
        # Through the socket, so that no connection is refused.
        perform systemctl restart webhook-forwarder.service || failed_to "does not start again"
        $DRY_RUN || everything_deployed >"$stamp"
    fi
    step start "systemctl status webhook-forwarder.service; journalctl -u webhook-forwarder.service"
}

start() {
    if [[ -n ${DESTDIR:-} ]]; then
        done_with "Installed into $DESTDIR; nothing is started"
        exit 0
    fi
    if $DRY_RUN && [[ -n $BACKGROUND ]]; then
        shown env '...' "$BACKGROUND/webhook-forwarder"
    elif [[ -n $BACKGROUND ]]; then
        check_settings
        start_in_background
    else
        $DRY_RUN || check_settings
        start_under_systemd
    fi
}

need_database
$DRY_RUN || need_extension
title "Deploying the forwarder of $(database_name)"
choose_place
check_functions_url
install_program
make_folder
put_database_url
put_verify_token
put_app_secret
put_options
start
$DRY_RUN || verify
done_with "The forwarder serves. Meta's console needs its public URL and the verify token in $CONFIG/verify-token"
