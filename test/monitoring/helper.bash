# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the monitoring tests share beyond the end-to-end tests: questions to /metrics.

load ../e2e/helper

bats_require_minimum_version 1.5.0

metrics() { curl -fs -m 5 "$ADMIN_URL/metrics"; }

# samples NAME LABEL...: of that metric, added up over all other labels: the labels' values and the sum,
# separated by |, sorted as PostgreSQL sorts by "C"
samples() {
    local name=webhook_forwarder_$1
    shift
    metrics | awk -v name="$name" -v wanted="$*" '
        BEGIN { count = split(wanted, labels, " ") }
        { line = $0; sub(/[{ ].*/, "", line) }
        line == name {
            key = ""
            for (i = 1; i <= count; i++) {
                if (!match($0, "[{,]" labels[i] "=\"[^\"]*\"")) next
                value = substr($0, RSTART, RLENGTH)
                gsub(/^[^"]*"|"$/, "", value)
                key = key value "|"
            }
            sum[key] += $NF
        }
        END { for (key in sum) if (sum[key] != 0) print key sum[key] }' | LC_ALL=C sort
}

# value NAME: of a metric without labels, or the sum over all of them
value() {
    local sum
    sum=$(samples "$1")
    printf '%s\n' "${sum:-0}"
}

# value_is NAME VALUE
value_is() { [[ $(value "$1") == "$2" ]]; }
