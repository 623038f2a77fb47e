# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# A machine with the real systemd as its first process, in namespaces of this one: for tests of units. Its
# files are an overlay of another root (this machine's own, or one that was made for the purpose), so that
# whatever happens in it is gone with it, and that root stays as it is. It has a network of its own with
# nothing but a loopback interface, mounts, process ids, cgroups and a host name of its own; nothing of it is
# seen outside, and the kernel's settings are out of its reach. Sourced after common.sh; needs root.
#
#   machine_refusal      prints in one line why this machine cannot have one; nothing when it can
#   machine_boot DIR [ROOT]
#                        boots one up to basic.target; DIR keeps what is needed to find it again. ROOT is the
#                        folder of its files, / by default, and has to have systemd
#   machine_run DIR COMMAND...
#                        as root in it, from its /; input, output and exit status are the command's
#   machine_beside DIR COMMAND...
#                        in its network, but with this machine's files
#   machine_put DIR FOLDER
#                        copies what FOLDER holds into its root, owned by its root
#   machine_stop DIR     ends it with everything that runs in it; nothing when there is none

# shellcheck source=scripts/lib/devices.sh
. "$REPOSITORY/scripts/lib/devices.sh"

machine_refusal() {
    if ((EUID != 0)); then
        echo "only root can boot a systemd of its own"
    elif [[ ! -x /lib/systemd/systemd ]]; then
        echo "there is no systemd"
    elif ! grep -w overlay /proc/filesystems >/dev/null; then
        echo "the kernel has no overlay file system"
    elif ! unshare --mount --pid --net --uts --ipc --cgroup --fork --propagation private \
        sh -c 'mount -t cgroup2 none /mnt' 2>/dev/null; then
        echo "namespaces and mounts of one's own are not allowed here"
    fi
}

# machine_furnish ETC: no timers, and nothing that is the kernel's
machine_furnish() {
    local unit
    mkdir -p "$1/systemd/system"
    for unit in timers.target systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service \
        proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount sys-kernel-debug.mount \
        sys-kernel-tracing.mount sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount \
        systemd-udevd.service systemd-udev-trigger.service systemd-journal-flush.service; do
        ln -sf /dev/null "$1/systemd/system/$unit"
    done
    head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$1/machine-id"
    echo webhook-machine >"$1/hostname"
}

# machine_init FOLDER ROOT: becomes systemd in namespaces that are there already
machine_init() {
    local folder=$1 root=$1/root
    mkdir -p "$folder/upper/etc" "$folder/scratch" "$root"
    machine_furnish "$folder/upper/etc"
    mount -t overlay -o "lowerdir=$2,upperdir=$folder/upper,workdir=$folder/scratch" overlay "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755,nosuid tmpfs "$root/run"
    mount -t tmpfs -o mode=1777,nosuid tmpfs "$root/tmp"
    devices_make "$root/dev"
    mkdir -p "$root/run/outside"
    cd "$root" || return
    pivot_root . run/outside
    umount --lazy /run/outside
    # As a system's own manager finds it: mounts for a service come from its children (credentials).
    mount --make-rshared /
    exec env -i container=webhook PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=basic.target --show-status=no --log-target=journal
}
export -f machine_furnish machine_init

# machine_hold FOLDER ROOT: in mounts of its own: makes room for the machine, and waits for its end. A
# cgroup of its own becomes the machine's root; the kernel's own root stays the machine's that is outside.
machine_hold() {
    local cgroup=$1/cgroup/webhook_routing.$$ status=0
    mount -t tmpfs -o mode=755 tmpfs "$1"
    mkdir "$1/cgroup" "$1/machine"
    mount -t cgroup2 cgroup2 "$1/cgroup"
    mkdir "$cgroup"
    unshare --pid --mount --net --uts --ipc --fork --kill-child --propagation private \
        bash -c 'echo 0 >"$1/cgroup.procs" && shift && exec unshare --cgroup bash -euc "machine_init \"\$@\"" machine "$@"' \
        machine "$cgroup" "$1/machine" "$2" || status=$?
    find "$cgroup" -depth -type d -exec rmdir {} + || true
    return "$status"
}
export -f machine_hold

machine_boot() {
    mkdir -p "$1/mounts"
    : >"$1/machine.log"
    process_start "$1/machine.pid" "$1/machine.log" unshare --mount --propagation private \
        bash -c 'set -euo pipefail; machine_hold "$@"' machine "$1/mounts" "${2:-/}"
    wait_until 30 machine_run "$1" systemctl is-active basic.target || {
        cat "$1/machine.log" >&2
        return 1
    }
}

# machine_pid DIR: of its systemd; fails when it does not run
machine_pid() {
    local outer pid
    process_alive "$1/machine.pid" || return 1
    outer=$(cut -d ' ' -f 1 "$1/machine.pid")
    # The holder's child is unshare, whose child is the first process of the machine.
    pid=$(pgrep -P "$(pgrep -P "$outer" -x unshare)" -x systemd) || return 1
    printf '%s\n' "$pid"
}

machine_run() {
    local pid
    pid=$(machine_pid "$1") || return
    shift
    nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup --root --wd \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root \
        SYSTEMD_PAGER= SYSTEMD_COLORS=0 "$@"
}

machine_beside() {
    local pid
    pid=$(machine_pid "$1") || return
    shift
    nsenter --target "$pid" --net "$@"
}

machine_put() {
    tar -C "$2" --owner=0 --group=0 -cf - . | machine_run "$1" tar -C / --no-overwrite-dir -xf -
}

machine_stop() {
    local pid
    if pid=$(machine_pid "$1"); then
        kill -KILL "$pid"
    fi
    if [[ -e $1/machine.pid ]]; then
        wait_until 10 process_ended "$1/machine.pid" || process_stop "$1/machine.pid" 1
        rm -f "$1/machine.pid"
    fi
}
