# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# A private PostgreSQL cluster with the extension from a staged install: nothing is written
# system-wide, no other cluster is touched, no TCP port is opened. Sourced after common.sh.
#
#   cluster_open DIR     DIR keeps what is ours; sets CLUSTER_HOME (data, stage, log), which is inside
#                        DIR unless the user that runs the server cannot reach it there
#   stage_install        make install into CLUSTER_HOME/stage
#   cluster_start [SETTING=VALUE]...    creates it when there is none
#   cluster_stop, cluster_destroy
#
# PostgreSQL refuses to run as root; then everything of it runs as the user that Debian's packages
# create for it.

readonly CLUSTER_USER=postgres # the operating system's, when called as root; and the superuser inside
readonly CLUSTER_PORT=54329    # of the socket's file name only
# In front of a command: runs it as that user, in the same process. Empty when not called as root.
UNPRIVILEGED=()
if ((EUID == 0)); then
    UNPRIVILEGED=(setpriv --reuid="$CLUSTER_USER" --regid="$CLUSTER_USER" --init-groups env HOME=/)
fi
CLUSTER_DIR='' CLUSTER_HOME='' CLUSTER_SOCKET=''

# as_cluster_user COMMAND...: exactly as called when not root. Never keeps a root-only folder as its
# working directory.
as_cluster_user() {
    (cd / && exec "${UNPRIVILEGED[@]}" "$@")
}

# own FILE...: hands them to the user that runs the server
own() {
    if ((EUID == 0)); then
        chown "$CLUSTER_USER:" "$@"
    fi
}

cluster_open() {
    mkdir -p "$1" 2>/dev/null || true
    [[ -w $1 ]] || die "cannot write to $1; give another folder with --dir" "$EX_UNAVAILABLE"
    CLUSTER_DIR=$(cd "$1" && pwd -P)
    if [[ -s $CLUSTER_DIR/cluster.home ]]; then
        CLUSTER_HOME=$(<"$CLUSTER_DIR/cluster.home")
    fi
    if [[ -z $CLUSTER_HOME || ! -d $CLUSTER_HOME ]]; then
        CLUSTER_HOME=$CLUSTER_DIR/cluster
        mkdir -p "$CLUSTER_HOME"
        chmod 700 "$CLUSTER_HOME"
        own "$CLUSTER_HOME"
        if ! as_cluster_user test -w "$CLUSTER_HOME" 2>/dev/null; then
            rmdir "$CLUSTER_HOME"
            CLUSTER_HOME=$(mktemp -d /var/tmp/webhook_routing.XXXXXX)
            own "$CLUSTER_HOME"
        fi
        printf '%s\n' "$CLUSTER_HOME" >"$CLUSTER_DIR/cluster.home"
    fi
    if [[ -s $CLUSTER_DIR/cluster.socket ]]; then
        CLUSTER_SOCKET=$(<"$CLUSTER_DIR/cluster.socket")
    fi
}

# stage_install [MAKE ARGUMENT]...: the tree must be built. Replaces the stage as a whole.
stage_install() {
    local stage=$CLUSTER_HOME/stage
    rm -rf "$stage.new"
    mkdir -p "$stage.new"
    quietly "$CLUSTER_DIR/install.log" \
        make -C "${SOURCE_TREE:-$REPOSITORY}" -s install DESTDIR="$stage.new" "$@" ||
        die "make install into the staging folder failed"
    rm -rf "$stage"
    mv "$stage.new" "$stage"
    chmod -R u+rwX,go+rX "$stage"
    if ((EUID == 0)); then
        chown -R "$CLUSTER_USER:" "$stage"
    fi
}

# quoted TEXT: as a value in postgresql.conf
quoted() { printf "'%s'" "${1//\'/\'\'}"; }

# cluster_settings SETTING=VALUE...: everything that is not PostgreSQL's default
cluster_settings() {
    local bin stage=$CLUSTER_HOME/stage setting
    bin=$(pg_config --bindir)
    printf '%s\n' "listen_addresses = ''" "port = $CLUSTER_PORT" \
        "unix_socket_directories = $(quoted "$CLUSTER_SOCKET")" "unix_socket_permissions = 0700" \
        "cluster_name = 'webhook_routing'" "max_connections = 100" "jit = off" \
        "log_line_prefix = '%m [%p] %u@%d '" \
        "dynamic_library_path = $(quoted "$stage$(pg_config --pkglibdir):\$libdir")"
    # Debian's own setting up to 17, PostgreSQL's from 18 on.
    if "$bin/postgres" --describe-config 2>/dev/null | grep '^extension_destdir' >/dev/null; then
        printf '%s\n' "extension_destdir = $(quoted "$stage")"
    else
        printf '%s\n' "extension_control_path = $(quoted "$stage$(pg_config --sharedir):\$system")"
    fi
    for setting in "$@"; do
        printf '%s = %s\n' "${setting%%=*}" "$(quoted "${setting#*=}")"
    done
}

cluster_running() {
    [[ -s $CLUSTER_HOME/data/postmaster.pid ]] &&
        as_cluster_user "$(pg_config --bindir)/pg_ctl" -D "$CLUSTER_HOME/data" status >/dev/null 2>&1
}

cluster_start() {
    local bin data=$CLUSTER_HOME/data
    bin=$(pg_config --bindir)
    if [[ ! -s $data/PG_VERSION ]]; then
        rm -rf "$data"
        quietly "$CLUSTER_DIR/initdb.log" as_cluster_user "$bin/initdb" -D "$data" \
            -U "$CLUSTER_USER" --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync ||
            die "initdb failed"
        echo "include_if_exists = 'webhook_routing.conf'" |
            as_cluster_user tee -a "$data/postgresql.conf" >/dev/null
    elif [[ $(<"$data/PG_VERSION") != "$(postgresql_major)" ]]; then
        die "$data belongs to PostgreSQL $(<"$data/PG_VERSION"), not $(postgresql_major): remove $CLUSTER_DIR"
    fi
    # A socket's path may have 107 bytes, so it gets a short folder of its own. Access to it is the
    # authentication.
    if [[ -z $CLUSTER_SOCKET || ! -d $CLUSTER_SOCKET ]]; then
        CLUSTER_SOCKET=$(mktemp -d /tmp/wr.XXXXXX)
        own "$CLUSTER_SOCKET"
        printf '%s\n' "$CLUSTER_SOCKET" >"$CLUSTER_DIR/cluster.socket"
    fi
    cluster_settings "$@" | as_cluster_user tee "$data/webhook_routing.conf" >/dev/null
    # The server outlives its caller: it must hold none of the caller's descriptors open.
    quietly "$CLUSTER_DIR/start.log" as_cluster_user "$bin/pg_ctl" -D "$data" -w -t 60 \
        -l "$CLUSTER_HOME/postgresql.log" start 3>&- 4>&- || {
        tail -n 20 "$CLUSTER_HOME/postgresql.log" >&2
        die "PostgreSQL did not start"
    }
}

# cluster_stop [MODE]
cluster_stop() {
    if [[ -n $CLUSTER_HOME ]] && cluster_running; then
        quietly "$CLUSTER_DIR/stop.log" as_cluster_user "$(pg_config --bindir)/pg_ctl" \
            -D "$CLUSTER_HOME/data" -m "${1:-fast}" -w -t 60 stop || true
    fi
    if [[ -n $CLUSTER_SOCKET && -d $CLUSTER_SOCKET && $CLUSTER_SOCKET == /tmp/wr.* ]]; then
        rm -rf "$CLUSTER_SOCKET"
    fi
    rm -f "$CLUSTER_DIR/cluster.socket"
    CLUSTER_SOCKET=''
}

cluster_destroy() {
    cluster_stop immediate
    rm -rf "$CLUSTER_HOME" "$CLUSTER_DIR/cluster.home"
    CLUSTER_HOME=''
}

# cluster_url DATABASE [USER]: a connection string that works from anywhere on this machine
cluster_url() {
    printf 'postgresql:///%s?host=%s&port=%s&user=%s\n' "$1" "${CLUSTER_SOCKET//\//%2F}" \
        "$CLUSTER_PORT" "${2:-$CLUSTER_USER}"
}

# cluster_psql DATABASE [PSQL ARGUMENT]...: stops at the first error, reads no ~/.psqlrc
cluster_psql() {
    local database=$1
    shift
    PGHOST=$CLUSTER_SOCKET PGPORT=$CLUSTER_PORT PGUSER=$CLUSTER_USER PGDATABASE=$database \
        psql -X -q -v ON_ERROR_STOP=1 "$@"
}
