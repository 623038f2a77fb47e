# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# A /dev for roots and machines of tests (debian_root.sh, machine.sh): nothing in it but what harms nobody.
#
#   devices_make DIR   mounts it on DIR, in whatever mount namespace the caller is; needs root. Bash that is
#                      started from here knows it, too
devices_make() {
    local name number
    mount -t tmpfs -o mode=755,size=1m tmpfs "$1"
    mkdir "$1/pts" "$1/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$1/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$1/shm"
    while read -r name number; do
        # shellcheck disable=SC2086  # major and minor
        mknod -m 666 "$1/$name" c $number
    done <<<$'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0'
    ln -s pts/ptmx "$1/ptmx"
    ln -s /proc/self/fd "$1/fd"
    for number in 0:stdin 1:stdout 2:stderr; do
        ln -s "/proc/self/fd/${number%:*}" "$1/${number#*:}"
    done
}
export -f devices_make
