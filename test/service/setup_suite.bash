# SPDX-License-Identifier: PostgreSQL
#
# The same cluster for all files as in the end-to-end tests.

load ../e2e/setup_suite
