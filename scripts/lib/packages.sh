# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# The one list of what this project needs from Debian, and how it gets there without anything else
# on the machine being created or started. Sourced after common.sh.

# postgresql_major: of the installed development files, else what this Debian ships
postgresql_major() {
    local version=''
    if command -v pg_config >/dev/null; then
        version=$(pg_config --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    elif [[ -r /etc/os-release ]]; then
        # shellcheck source=/dev/null
        case $(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}") in
            trixie) version=17 ;;
            forky) version=18 ;;
        esac
    fi
    printf '%s\n' "${version:-15}"
}

# packages_of PURPOSE: build (extension and forwarder), run (a private cluster), bench (what the
# forwarder is compared with), or the name of a tool or group that only some tests need
packages_of() {
    local major
    major=$(postgresql_major)
    case $1 in
        build)
            echo "gcc make libc6-dev pkg-config postgresql-server-dev-$major libpq-dev" \
                "libmicrohttpd-dev libcurl4-openssl-dev libssl-dev libxxhash-dev libutf8proc-dev"
            ;;
        run) echo "postgresql-$major postgresql-client-$major curl procps" ;;
        lint) echo "shellcheck clang-format git" ;;
        clang) echo "clang libclang-rt-dev llvm" ;;
        unit) echo "libcmocka-dev" ;;
        valgrind) echo "valgrind" ;;
        bats) echo "bats jq openssl perl xxd" ;;
        jq) echo "jq" ;;
        terminal) echo "bsdutils" ;;
        pages) echo "mandoc man-db groff-base bash-completion bsdutils bsdextrautils" ;;
        rehearsal) echo "faketime openssl perl" ;;
        tap) echo "libipc-run-perl perl" ;;
        bench | front) echo "nginx haproxy" ;;
        wrk | strace | systemd | faketime | haproxy) echo "$1" ;;
        promtool) echo "prometheus" ;;
        debian) echo "build-essential dpkg-dev debhelper lintian postgresql-server-dev-all" ;;
        booted) echo "systemd systemd-sysv procps" ;;
        debootstrap) echo "debootstrap zstd" ;;
        # Nobody who has node from elsewhere is given Debian's beside it: the two exclude each other.
        npm) command -v npm >/dev/null || echo "nodejs npm" ;;
        chromium) echo "chromium fonts-dejavu-core" ;;
        *) die "no packages are listed for $1" ;;
    esac
}

# packages_missing PURPOSE...: those of the list that are not installed, in one line
packages_missing() {
    local purpose package missing=()
    for purpose in "$@"; do
        for package in $(packages_of "$purpose"); do
            [[ " ${missing[*]} " == *" $package "* ]] && continue
            [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
                missing+=("$package")
        done
    done
    printf '%s\n' "${missing[*]}"
}

# While it is there, invoke-rc.d and deb-systemd-invoke start no service at all.
readonly POLICY=/usr/sbin/policy-rc.d
readonly CREATECLUSTER=/etc/postgresql-common/createcluster.conf

# In a subshell, so that its traps end with it: installs with services held back, and puts the
# machine's own settings back whatever happens. (`set -e` is off in here: callers test the result.)
install_quietly() (
    # One at a time: two would put each other's settings back.
    mkdir -p /run/lock
    exec {lock}>>/run/lock/webhook_routing_packages
    flock "$lock"
    saved=$(mktemp -d)
    made_policy=false
    # shellcheck disable=SC2317  # called by the trap
    restore() {
        if $made_policy; then
            rm -f "$POLICY"
        fi
        if [[ -e $saved/createcluster.conf ]]; then
            cp -p "$saved/createcluster.conf" "$CREATECLUSTER"
        fi
        rm -rf "$saved"
    }
    trap restore EXIT
    trap 'exit 130' INT TERM

    export DEBIAN_FRONTEND=noninteractive
    get=(apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends)
    before=$(systemctl list-unit-files --state=enabled --no-legend 2>/dev/null | awk '{ print $1 }')

    if [[ ! -e $POLICY ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
        made_policy=true
    fi
    apt-get -q -y -o DPkg::Lock::Timeout=300 update
    if [[ " $* " == *" postgresql-"[0-9]* ]]; then
        # A new server package would create and enable a cluster `main`; this is the packages' own
        # switch, and it has to be off before the server is unpacked.
        "${get[@]}" postgresql-common || exit
        cp -p "$CREATECLUSTER" "$saved/createcluster.conf"
        sed -i '/^[[:space:]#]*create_main_cluster/d' "$CREATECLUSTER"
        echo 'create_main_cluster = false' >>"$CREATECLUSTER"
    fi
    "${get[@]}" "$@" || exit

    # What came enabled with these packages would start at the next boot.
    for unit in nginx.service haproxy.service prometheus.service prometheus-node-exporter.service; do
        if [[ $'\n'$before$'\n' != *$'\n'$unit$'\n'* ]]; then
            systemctl disable "$unit" >/dev/null 2>&1 || true
        fi
    done
)

# install_missing LOG PURPOSE...: as root through apt-get; otherwise says the exact line, exits 69
install_missing() {
    local log=$1 missing
    shift
    if ! command -v dpkg-query >/dev/null; then
        step packages "not a Debian system: trusting that what is needed is here"
        return
    fi
    missing=$(packages_missing "$@")
    if [[ -z $missing ]]; then
        return
    fi
    if ((EUID != 0)); then
        printf '%s\n' "Some packages are missing. Install them, then run this again:" '' \
            "    sudo apt-get install --no-install-recommends $missing" '' >&2
        exit "$EX_UNAVAILABLE"
    fi
    command -v apt-get >/dev/null || die "apt-get is needed to install: $missing" "$EX_UNAVAILABLE"
    step packages "installing $(wc -w <<<"$missing"); nothing of theirs is started"
    # shellcheck disable=SC2086  # a list of names
    quietly "$log" install_quietly $missing || die "could not install: $missing" "$EX_UNAVAILABLE"
}
