# SPDX-License-Identifier: PostgreSQL
#
# One private cluster for all end-to-end files; each makes a database of its own in it. `make`,
# `make standin` and `make build/load` must have been run.

setup_suite() {
    load helper
    export E2E_DIR=$BATS_SUITE_TMPDIR
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_SUITE_TMPDIR"
    cluster_open "$E2E_DIR/cluster"
    stage_install
    cluster_start fsync=off full_page_writes=off
    "$REPOSITORY/test/fixtures/generate.pl" "$E2E_DIR/generated"
}

teardown_suite() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    cluster_destroy
}
