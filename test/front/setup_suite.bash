# SPDX-License-Identifier: PostgreSQL
#
# The cluster of the tests of the fronts, made and ended as that of the end-to-end tests.

# shellcheck source=test/e2e/setup_suite.bash
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/setup_suite.bash"
