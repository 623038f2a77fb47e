# SPDX-License-Identifier: PostgreSQL
#
# Nothing but the staged extension: each file makes its own pair of servers.

setup_suite() {
    load helper
    export E2E_DIR=$BATS_SUITE_TMPDIR
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_SUITE_TMPDIR"
    cluster_open "$E2E_DIR/cluster"
    stage_install
}

teardown_suite() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    cluster_destroy
}
