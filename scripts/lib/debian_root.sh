# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# Another Debian release, or a clean one, in a folder: for tests that want its compiler, its server and its
# libraries, or a machine where nothing of ours has ever been. Sourced after common.sh and packages.sh; needs
# root and packages_of debootstrap.
#
#   debian_root_refusal      prints in one line why this machine cannot have such roots; nothing when it can
#   debian_root_make DIR SUITE CACHE [PURPOSE]...
#                            makes DIR, which must not exist: a minimal SUITE (bookworm, trixie, forky, ...),
#                            with the packages that packages_of names for each purpose there. Kept as a
#                            tarball in CACHE for a week, so that the next one takes seconds; what is still
#                            to be installed then wants `debian_root_apt DIR update` first. Prints much;
#                            non-zero when it failed, and DIR is gone then.
#   debian_root_run DIR COMMAND...
#                            as root in DIR, from its /, with a clean environment (set more with env) and the
#                            machine's network; input, output and exit status are the command's. It has
#                            mounts, devices and process ids of its own: when the command ends, or its
#                            caller is ended, everything it has started and mounted is gone too.
#   debian_root_apt DIR ARGUMENT...
#                            apt-get there, without questions; no package starts anything (policy-rc.d)
#   debian_root_add_suite DIR SUITE
#                            packages of SUITE can be had too, where the root's own release has none
#   debian_root_remove DIR   nothing when there is none; refuses what debian_root_make has not made
#
# Files go in by being copied to DIR/...: nothing of the machine is mounted there, its /dev least of all, and
# nothing is ever mounted where the machine sees it. So removing a root removes that root and no more.
# What is installed comes from the machine's own apt sources, by apt's own settings.

# shellcheck source=scripts/lib/devices.sh
. "$REPOSITORY/scripts/lib/devices.sh"

# What each made root carries, so that nothing else is removed in its name.
readonly DEBIAN_ROOT_MARK=.webhook_routing_root
readonly DEBIAN_ROOT_DAYS=7

# debian_root_mirror: where this machine gets Debian from
debian_root_mirror() {
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -n 's|^Debian \(.*[^/]\)/*$|\1|p' | sort -u | head -n 1
}

debian_root_refusal() {
    if ((EUID != 0)); then
        echo "only root can make a root of another Debian"
    elif ! command -v debootstrap >/dev/null; then
        echo "there is no debootstrap"
    elif [[ -z $(debian_root_mirror) ]]; then
        echo "apt knows no source of Debian's own packages (apt-get update)"
    elif ! unshare --mount --pid --fork --propagation private true 2>/dev/null; then
        echo "mounts of one's own are not allowed here"
    fi
}

# debian_root_own COMMAND...: with mounts and process ids of its own. Bash stays the first process there,
# which reaps what daemons leave behind. All of it ends with the calling shell, however that ends.
debian_root_own() {
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
        bash -c '"$@"; exit' debian_root "$@"
}

# debian_root_enter DIR COMMAND...: inside debian_root_own
debian_root_enter() {
    local dir=$1
    shift
    mount -t proc proc "$dir/proc"
    mount -t sysfs -o ro sysfs "$dir/sys"
    devices_make "$dir/dev"
    env -i -C "$dir" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LANG=C.UTF-8 TERM="${TERM:-dumb}" DEBIAN_FRONTEND=noninteractive chroot "$dir" "$@"
}
export -f debian_root_enter

debian_root_run() {
    debian_root_is_ours "$1" || return
    debian_root_own bash -c 'set -euo pipefail; debian_root_enter "$@"' debian_root "$@"
}

debian_root_apt() {
    local dir=$1
    shift
    debian_root_run "$dir" apt-get -q -y -o APT::Install-Recommends=false "$@"
}

# debian_root_sources DIR SUITE: appended to what apt reads there, with the suite's updates and security fixes
# where this machine gets them as well
debian_root_sources() {
    printf 'deb %s %s main\n' "$(debian_root_mirror)" "$2" >>"$1/etc/apt/sources.list"
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        sed -n "s/^Debian \([^ ]*\) \($2-.*\)\$/deb \1 \2 main/p" | sort -u >>"$1/etc/apt/sources.list"
}

debian_root_add_suite() {
    debian_root_sources "$1" "$2"
    printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$2" >"$1/etc/apt/preferences.d/$2"
    debian_root_apt "$1" update
}

debian_root_is_ours() {
    if [[ ! -e $1/$DEBIAN_ROOT_MARK ]]; then
        printf '%s\n' "$1 is no root that was made here" >&2
        return 1
    fi
}

debian_root_remove() {
    local dir
    [[ -e $1 ]] || return 0
    debian_root_is_ours "$1" || return
    dir=$(realpath "$1")
    if cut -d ' ' -f 5 /proc/self/mountinfo | grep -F -- "$dir/" >/dev/null; then
        printf '%s\n' "something is mounted below $dir: see /proc/self/mountinfo; it is left as it is" >&2
        return 1
    fi
    rm -rf --one-file-system "$dir"
}

# debian_root_fetched DIR SUITE SCRIPT: by debootstrap, which asks a mirror that does not answer ten times within
# a moment, and gives up; so it is called three times, the last time after half a minute
debian_root_fetched() {
    local pause
    for pause in 5 25 0; do
        debian_root_own debootstrap --variant=minbase "$2" "$1" "$(debian_root_mirror)" "$3" && return
        ((pause)) || return 1
        printf '%s\n' "debootstrap has failed; again in $pause s" >&2
        sleep "$pause"
        # What came half is not built upon.
        find "$1" -mindepth 1 ! -path "$1/$DEBIAN_ROOT_MARK" -delete
    done
}

# debian_root_bootstrap DIR SUITE: a minimal one, which gets packages as this machine does
debian_root_bootstrap() {
    local script=/usr/share/debootstrap/scripts/$2
    # What came after this debootstrap is made as the development release is.
    [[ -e $script ]] || script=/usr/share/debootstrap/scripts/sid
    mkdir -p "$1"
    : >"$1/$DEBIAN_ROOT_MARK"
    debian_root_fetched "$@" "$script" || return
    : >"$1/etc/apt/sources.list"
    debian_root_sources "$1" "$2"
    # How to reach the sources, and how old they may be.
    apt-config dump | grep -E '^Acquire::(http|https|Check-)' >"$1/etc/apt/apt.conf.d/90machine" || true
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod 755 "$1/usr/sbin/policy-rc.d"
    cp --dereference /etc/resolv.conf /etc/hosts "$1/etc/"
}

# debian_root_packages DIR PURPOSE...: by packages.sh, which asks there which release it is on
debian_root_packages() {
    local dir=$1
    shift
    mkdir -p "$dir/tmp/project/scripts"
    cp -R "$REPOSITORY/scripts/lib" "$dir/tmp/project/scripts/"
    # shellcheck disable=SC2016  # expanded there
    debian_root_run "$dir" bash -euo pipefail -c '. /tmp/project/scripts/lib/common.sh
        . /tmp/project/scripts/lib/packages.sh
        install_missing /tmp/project/packages.log "$@"' project "$@" || return
    rm -rf "$dir/tmp/project"
    debian_root_run "$dir" apt-get clean
}

debian_root_make() {
    local dir=$1 suite=$2 cache=$3 key tarball
    shift 3
    if [[ -e $dir ]]; then
        printf '%s\n' "$dir is there already: debian_root_remove it" >&2
        return 1
    fi
    mkdir -p "$cache"
    key=$({
        printf '%s\n' "$*"
        cat "$REPOSITORY"/scripts/lib/{packages,debian_root}.sh
    } | sha256sum | cut -c 1-12)
    tarball=$cache/$suite-$key.tar.zst
    find "$cache" -name '*.tar.zst*' -mtime "+$DEBIAN_ROOT_DAYS" -delete
    if [[ -s $tarball ]]; then
        mkdir -p "$dir"
        : >"$dir/$DEBIAN_ROOT_MARK"
        zstd -q -d -c "$tarball" | tar -C "$dir" --numeric-owner -xpf - && return
    elif debian_root_bootstrap "$dir" "$suite" && { (($# == 0)) || debian_root_packages "$dir" "$@"; }; then
        tar -C "$dir" --numeric-owner -cpf - . | zstd -q -1 -T0 >"$tarball.$$" && mv "$tarball.$$" "$tarball" && return
    fi
    rm -f "$tarball.$$" "$tarball"
    debian_root_remove "$dir"
    return 1
}
