#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
#
# Brings uPlot, which draws the charts of the status page, from the npm registry into a folder of the
# build, from where it goes into the forwarder. Makefile.programs calls it.
#
#   scripts/uplot.sh MODE FOLDER
#
#   MODE  yes   it has to be there: without npm or the registry the build fails
#         auto  it is built in when npm can bring it; otherwise the build says so and goes on
#         no    it is left out; nothing is fetched
#
# Version and checksum are those of forwarder/page/package-lock.json. Without uPlot the three files are
# empty, and the page shows the charts that the forwarder draws itself.
set -euo pipefail

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

(($# == 2)) || die "usage: scripts/uplot.sh yes|auto|no FOLDER" "$EX_USAGE"
mode=$1 folder=$2

readonly WAYS="with npm and its registry: make UPLOT=yes; without charts by uPlot: make UPLOT=no"

# without_uplot WHY: three empty files, unless it has to be there
without_uplot() {
    [[ $mode != yes ]] || die "uPlot cannot be built into the status page: $1. Build it $WAYS" "$EX_UNAVAILABLE"
    [[ $mode == no ]] || printf '%s\n' "note: the status page is built without uPlot: $1 ($WAYS)"
    : >"$folder/uplot.js"
    : >"$folder/uplot.css"
    : >"$folder/uplot-licence.txt"
    exit 0
}

case $mode in
    yes | auto | no) ;;
    *) die "UPLOT is yes, auto or no, not \"$mode\"" "$EX_USAGE" ;;
esac
mkdir -p "$folder"
folder=$(cd "$folder" && pwd -P)
[[ $mode != no ]] || without_uplot "it was left out"
command -v npm >/dev/null || without_uplot "there is no npm"

fetched=$folder/npm
rm -rf "$fetched"
mkdir -p "$fetched"
trap 'rm -rf "$fetched"' EXIT
cp "$REPOSITORY"/forwarder/page/{package.json,package-lock.json,.npmrc} "$fetched/"
# npm keeps what it fetched in the caller's home, where there is one.
[[ -w ${HOME:-/nonexistent} ]] || export npm_config_cache=$fetched/cache
# A registry that does not answer is waited for where the build fails without it.
retries=1
[[ $mode != yes ]] || retries=4
if ! (cd "$fetched" && npm ci --ignore-scripts --no-audit --no-fund --prefer-offline \
    "--fetch-retries=$retries" --fetch-retry-mintimeout=1000 --fetch-timeout=15000) >"$folder/npm.log" 2>&1; then
    without_uplot "npm could not bring it, see $folder/npm.log"
fi
cp "$fetched/node_modules/uplot/dist/uPlot.iife.min.js" "$folder/uplot.js"
cp "$fetched/node_modules/uplot/dist/uPlot.min.css" "$folder/uplot.css"
cp "$fetched/node_modules/uplot/LICENSE" "$folder/uplot-licence.txt"
