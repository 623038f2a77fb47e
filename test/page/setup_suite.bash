# SPDX-License-Identifier: PostgreSQL
#
# One private cluster, and what drives a browser, from the npm registry, in a folder of the suite.
# `make UPLOT=yes` and `make standin` must have been run.

setup_suite() {
    load ../e2e/helper
    export E2E_DIR=$BATS_SUITE_TMPDIR
    export NODE_PATH=$E2E_DIR/browser/node_modules
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_SUITE_TMPDIR"
    mkdir -p "$E2E_DIR/browser"
    cp "$REPOSITORY"/test/page/{package.json,package-lock.json,.npmrc} "$E2E_DIR/browser/"
    quietly "$E2E_DIR/npm.log" npm --prefix "$E2E_DIR/browser" ci --ignore-scripts --no-audit --no-fund \
        --prefer-offline --fetch-retries=4 --fetch-retry-mintimeout=2000
    cluster_open "$E2E_DIR/cluster"
    stage_install
    cluster_start fsync=off full_page_writes=off
}

teardown_suite() {
    load ../e2e/helper
    cluster_open "$E2E_DIR/cluster"
    cluster_destroy
}
