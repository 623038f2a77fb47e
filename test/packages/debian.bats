#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The Debian packages: built from a copy of the tree by a user who may do nothing else, installed by apt on a
# machine where nothing of ours has ever been, served by its systemd, upgraded under load, removed and purged.
# The machine is a minimal root of this Debian release (scripts/lib/debian_root.sh) that systemd has booted
# (scripts/lib/machine.sh), and has no network but its loopback. The tests are one story, in their order.

bats_require_minimum_version 1.5.0

# shellcheck source=scripts/lib/debian_root.sh
# shellcheck source=scripts/lib/machine.sh
setup() {
    load ../e2e/helper
    . "$REPOSITORY/scripts/lib/debian_root.sh"
    . "$REPOSITORY/scripts/lib/machine.sh"
    [[ ! -e $BATS_FILE_TMPDIR/broken ]] || skip "what it stands on has failed"
}

setup_file() {
    setup
    export BUILT=$BATS_FILE_TMPDIR/built ROOT=$BATS_FILE_TMPDIR/root M=$BATS_FILE_TMPDIR/machine
    # The extension's package is called after the PostgreSQL that this release has.
    MAJOR=$(postgresql_major)
    export MAJOR EXTENSION=postgresql-$MAJOR-webhook-routing
    export KEPT=$REPOSITORY/build/roots # what another run does not have to fetch again
    mkdir -p "$BUILT" "$KEPT/archives/partial"
}

teardown() {
    # What comes after a test that has failed would only say so again.
    if [[ -z ${BATS_TEST_COMPLETED:-} ]]; then
        : >"$BATS_FILE_TMPDIR/broken"
        on journalctl -q --no-pager -n 30 -o cat -u webhook-forwarder.service || true
    fi
}

teardown_file() {
    process_stop "$BATS_FILE_TMPDIR/functions.pid" 5
    machine_stop "$M"
    debian_root_remove "$ROOT"
}

on() { machine_run "$M" "$@"; }

# there SCRIPT: a line of shell on the machine
there() { machine_run "$M" sh -c "$1"; }

# apt ARGUMENT...: on the machine, which has no network: what it needs has been fetched
apt() { on env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Install-Recommends=false "$@"; }

psql_there() { on runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

is_active() { on systemctl is-active --quiet webhook-forwarder.service; }
main_pid() { on systemctl show -P MainPID webhook-forwarder.service; }

# package NAME: the file of a built package, as the machine has it
package() { there "ls /packages/$1_0.1.0-1_*.deb"; }

# files: what is on the machine and no package's own business: names, and the accounts
files() {
    there "find / -xdev \( -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg \
        -o -path /var/lib/postgresql -o -path /var/tmp -o -path /packages \) -prune -o -print; cat /etc/passwd /etc/group" | sort
}

# ---- built ----

@test "the packages are built by an ordinary user, from the sources alone" {
    tar -C "$REPOSITORY" --exclude=./.git --exclude=./.run --exclude=./build --exclude='*.o' --exclude='*.so' \
        -cf - . | { mkdir "$BUILT/source" && tar -C "$BUILT/source" -xf - --no-same-owner; }
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/file" "$BATS_FILE_TMPDIR"
    # debian/control is Debian 12's; elsewhere it is made anew first.
    ((MAJOR == 15)) || (cd "$BUILT/source" && pg_buildext updatecontrol)
    own -R "$BUILT"
    # The tests have run before; unprivileged, and without a network.
    (cd "$BUILT/source" && exec unshare --net "${UNPRIVILEGED[@]}" HOME="$BUILT" \
        DEB_BUILD_PROFILES=nocheck DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" dpkg-buildpackage -us -uc -b) >"$BUILT/log" 2>&1 || {
        tail -n 30 "$BUILT/log"
        return 1
    }
    rm -rf --one-file-system "$BUILT/source"
    compgen -G "$BUILT/webhook-forwarder_0.1.0-1_*.deb"
    compgen -G "$BUILT/${EXTENSION}_0.1.0-1_*.deb"
}

@test "lintian finds no error, and no warning that is not explained" {
    (cd "$BUILT" && exec "${UNPRIVILEGED[@]}" HOME="$BUILT" lintian --fail-on error,warning --tag-display-limit 0 ./*.changes)
}

# ---- a machine ----

@test "a clean Debian has got what the packages depend on, and is up" {
    local suite
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    debian_root_make "$ROOT" "$suite" "$KEPT" booted
    mkdir "$ROOT/packages"
    cp "$BUILT"/*_0.1.0-1_*.deb "$ROOT/packages/"
    rm -f "$ROOT"/packages/*-dbgsym_*
    cp -a "$KEPT/archives/." "$ROOT/var/cache/apt/archives/"
    debian_root_apt "$ROOT" update
    # The program that plays the functions uses what the forwarder does.
    debian_root_run "$ROOT" sh -c 'apt-get -q -y -o APT::Install-Recommends=false --download-only install /packages/*.deb'
    find "$ROOT/var/cache/apt/archives" -name '*.deb' -exec cp -u {} "$KEPT/archives/" \;
    find "$KEPT/archives" -name '*.deb' -mtime +"$DEBIAN_ROOT_DAYS" -delete
    rm "$ROOT/usr/sbin/policy-rc.d"
    machine_boot "$M" "$ROOT"
    # apt says what else they need; that comes first, so that what is ours can be told from it.
    there "apt-get -s install -o APT::Install-Recommends=false /packages/*.deb" |
        sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -v webhook >"$BATS_FILE_TMPDIR/dependencies"
    grep -x "postgresql-$MAJOR" "$BATS_FILE_TMPDIR/dependencies"
    mapfile -t dependencies <"$BATS_FILE_TMPDIR/dependencies"
    apt install "${dependencies[@]}"
    on systemctl is-active --quiet "postgresql@$MAJOR-main.service"
    files >"$BATS_FILE_TMPDIR/before"
}

@test "apt installs them; nothing is started, no port is open, secrets have a place" {
    there "apt-get -q -y install /packages/*.deb"
    run -3 on systemctl is-active webhook-forwarder.service webhook-forwarder.socket
    run -1 on systemctl is-enabled webhook-forwarder.service webhook-forwarder.socket
    run -7 machine_beside "$M" curl -s http://127.0.0.1:8080/
    equal "$(on stat -c '%a %U %G' /etc/webhook-forwarder)" '750 root webhook-forwarder'
    equal "$(on stat -c '%a %U %G' /etc/webhook-forwarder/environment)" '640 root root'
    equal "$(there 'getent group webhook-forwarder | cut -d : -f 3 | xargs test 1000 -gt && echo system')" system
    equal "$(on webhook-forwarder --version)" 'webhook-forwarder 0.1.0'
    # The manual: the unit names one page, and PostgreSQL's alternatives lead to the other.
    on test -s /usr/share/man/man8/webhook-forwarder.8.gz
    there 'zcat /usr/share/man/man7/webhook_routing.7.gz' | grep -c route_decide
    on systemctl show -P Documentation webhook-forwarder.service | grep -F 'man:webhook-forwarder(8)'
}

@test "without its secrets the service does not start, and its status names the file" {
    run ! on systemctl start webhook-forwarder.service
    run -3 on systemctl status --no-pager webhook-forwarder.service
    [[ $output == *'AssertPathExists=/etc/webhook-forwarder/'*' was not met'* ]]
    on systemctl stop webhook-forwarder.service webhook-forwarder.socket
}

@test "the database has the extension, and the forwarder a role" {
    psql_there -c 'CREATE EXTENSION webhook_routing' -c "CREATE ROLE webhook_forwarder LOGIN PASSWORD 'secret'"
    psql_there -c "SELECT grant_routing_role('forwarder', 'webhook_forwarder')" -c 'SELECT * FROM routing_maintain()'
    equal "$(psql_there -c 'SELECT percentage FROM get_current_routing_config()')" 0.00
}

@test "configured, it is started by one command and serves" {
    process_start "$BATS_FILE_TMPDIR/functions.pid" "$BATS_FILE_TMPDIR/functions.log" \
        nsenter --target "$(machine_pid "$M")" --net "$REPOSITORY/build/standin-functions" --port 9000
    wait_until 10 grep '^ready ' "$BATS_FILE_TMPDIR/functions.log"
    there 'umask 077
        echo "postgresql://webhook_forwarder:secret@127.0.0.1/postgres" >/etc/webhook-forwarder/database-url
        echo token >/etc/webhook-forwarder/verify-token
        echo WEBHOOK_FORWARDER_FUNCTIONS_URL=http://127.0.0.1:9000 >>/etc/webhook-forwarder/environment'
    on systemctl enable --now webhook-forwarder.socket webhook-forwarder.service
    is_active
    wait_until 10 healthy_there
    equal "$(machine_beside "$M" curl -s 'http://127.0.0.1:8080/?hub.mode=subscribe&hub.verify_token=token&hub.challenge=42')" 42
    machine_beside "$M" "$LOAD" --url http://127.0.0.1:8080/wa-webhook-jobs --requests 50
    wait_until 10 logged_there 50
    # Its user is nobody that the machine knows otherwise; the spool is that user's alone.
    equal "$(there 'stat -L -c %a /var/lib/webhook-forwarder; ls -A /var/lib/private')" "$(printf '700\nwebhook-forwarder')"
    run ! on grep webhook-forwarder /etc/passwd
    equal "$(on stat -L -c %u /var/lib/webhook-forwarder)" "$(on ps -o uid= -p "$(main_pid)" | tr -d ' ')"
}

healthy_there() { machine_beside "$M" curl -s http://127.0.0.1:8080/ | jq -e '.status == "healthy"'; }
logged_there() { [[ $(psql_there -c 'SELECT count(*) FROM webhook_routing_logs') == "$1" ]]; }

# ---- changed and taken away ----

# newer NAME: the same package as a later version, where the machine finds it
newer() {
    there "cd /packages && rm -rf newer && dpkg-deb -R $1_0.1.0-1_*.deb newer && \
        sed -i 's/^Version: .*/Version: 0.1.0-2/' newer/DEBIAN/control && dpkg-deb -b newer $1_0.1.0-2.deb && rm -r newer"
}

@test "an upgrade under load loses no request, keeps the configuration, and the new program serves" {
    local before socket sender
    before=$(main_pid)
    socket=$(on systemctl show -P ActiveEnterTimestampMonotonic webhook-forwarder.socket)
    newer webhook-forwarder
    there 'sha256sum /etc/webhook-forwarder/*' >"$BATS_FILE_TMPDIR/configuration"
    machine_beside "$M" "$LOAD" --url http://127.0.0.1:8080/wa-webhook-jobs --first 1001 --requests 600 --rate 100 \
        >"$BATS_TEST_TMPDIR/load" 3>&- &
    sender=$!
    apt install /packages/webhook-forwarder_0.1.0-2.deb
    wait "$sender"
    cat "$BATS_TEST_TMPDIR/load"
    equal "$(jq -r '.requests' "$BATS_TEST_TMPDIR/load")" 600
    equal "$(on dpkg-query -W -f '${Version}' webhook-forwarder)" 0.1.0-2
    is_active
    [[ $(main_pid) != "$before" && $(on systemctl show -P NRestarts webhook-forwarder.service) == 0 ]]
    equal "$(on systemctl show -P ActiveEnterTimestampMonotonic webhook-forwarder.socket)" "$socket" 'the socket stayed open'
    equal "$(there 'sha256sum /etc/webhook-forwarder/*')" "$(<"$BATS_FILE_TMPDIR/configuration")"
    wait_until 10 logged_there 650
}

@test "the package of the extension can be installed again while the server runs" {
    apt install --reinstall "$(package "$EXTENSION")"
    equal "$(psql_there -c 'SELECT count(*) FROM webhook_routing_logs')" 650
}

@test "a removal stops it, and keeps configuration, secrets and the spool" {
    apt remove webhook-forwarder
    run -7 machine_beside "$M" curl -s http://127.0.0.1:8080/
    run ! there 'pgrep -x webhook-forward'
    equal "$(there 'sha256sum /etc/webhook-forwarder/*')" "$(<"$BATS_FILE_TMPDIR/configuration")"
    on test -d /var/lib/private/webhook-forwarder
}

@test "installed again after a removal, it serves with what was kept" {
    apt install "$(package webhook-forwarder)"
    on systemctl enable --now webhook-forwarder.socket webhook-forwarder.service
    wait_until 10 healthy_there
}

@test "a purge leaves nothing: no file, no folder, no account, no unit" {
    psql_there -c 'DROP EXTENSION webhook_routing'
    apt purge webhook-forwarder "$EXTENSION"
    files >"$BATS_TEST_TMPDIR/after"
    diff "$BATS_FILE_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
    equal "$(on systemctl list-unit-files --no-legend 'webhook*')" ''
    equal "$(there 'ls /var/log | grep webhook; ls /var/lib/dpkg/info | grep webhook')" ''
}
