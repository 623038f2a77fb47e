#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# Every line of the documentation that calls an operation script, word by word, in the order of its page: the
# one where a router is replaced in front of such a router, those of deployment and of the rollout on a machine
# with systemd. Of the rollout every other line of shell, too; what it installs is compared with the project's list.
# test/docs/docs_test.sh takes these lines as run.

setup() {
    load helper
    # shellcheck source=scripts/lib/machine.sh
    . "$REPOSITORY/scripts/lib/machine.sh"
    cluster_open "$E2E_DIR/cluster"
    MACHINE=$BATS_TEST_TMPDIR/machine
}

teardown() {
    machine_stop "$MACHINE"
    process_stop "$BATS_TEST_TMPDIR/functions.pid"
    process_stop "$BATS_TEST_TMPDIR/database.pid"
}

# shell_of PAGE: its lines of shell
shell_of() { awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$REPOSITORY/$1"; }

# lines_of PAGE: those that call an operation script
lines_of() {
    shell_of "$1" |
        grep -E '^\./scripts/(apply-migration|deploy-infrastructure|setup-infrastructure|start-rollout|quick-status)\.sh'
}

@test "pages with such lines are the ones that are tried here" {
    run grep -rlE '^\./scripts/(apply-migration|deploy-infrastructure|setup-infrastructure|start-rollout|quick-status)\.sh' \
        "$REPOSITORY/README.md" "$REPOSITORY/CONTRIBUTING.md" "$REPOSITORY/docs"
    equal "$(printf '%s\n' "$output" | sed "s|^$REPOSITORY/||" | sort | paste -sd ' ')" 'docs/deployment.md docs/migrating.md docs/rollout.md'
}

@test "docs/migrating.md, line by line" {
    local line
    empty_database scripts_pages
    psql -X -q -v ON_ERROR_STOP=1 -v rows=400 -o /dev/null -f "$BATS_TEST_DIRNAME/other_router.sql"
    while IFS= read -r line; do
        run env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE bash -c "cd $(printf %q "$REPOSITORY") && $line"
        echo "$line"
        echo "$output"
        equal "$status" 0
    done < <(lines_of docs/migrating.md)
    has CLIMBING '25.00 %'
}

# furnish: the machine gets this tree, and beside it the database on the address that the page names and the
# functions that it names, so that its lines are the page's
furnish() {
    local tree=$BATS_TEST_TMPDIR/tree
    mkdir -p "$tree/srv" "$tree/etc"
    tar -C "$REPOSITORY" --exclude=./.git --exclude=./.run --exclude=./build/test -cf - . | tar -C "$tree/srv" -xf -
    printf 'an app secret\n' >"$tree/srv/app-secret"
    machine_put "$MACHINE" "$tree"
    machine_beside "$MACHINE" "$REPOSITORY/build/chaos-proxy" --upstream "$CLUSTER_SOCKET/.s.PGSQL.$CLUSTER_PORT" \
        >"$BATS_TEST_TMPDIR/database.log" 2>&1 3>&- 4>&- &
    printf '%s %s\n' "$!" "$(process_birth "$!")" >"$BATS_TEST_TMPDIR/database.pid"
    machine_beside "$MACHINE" "$REPOSITORY/build/standin-functions" >"$BATS_TEST_TMPDIR/functions.log" 2>&1 3>&- 4>&- &
    printf '%s %s\n' "$!" "$(process_birth "$!")" >"$BATS_TEST_TMPDIR/functions.pid"
    wait_until 10 grep '^ready ' "$BATS_TEST_TMPDIR/database.log"
    wait_until 10 grep '^ready ' "$BATS_TEST_TMPDIR/functions.log"
    DATABASE_IN_MACHINE=postgresql://$CLUSTER_USER@127.0.0.1:$(sed -n 's/^ready port=\([0-9]*\).*/\1/p' "$BATS_TEST_TMPDIR/database.log")/scripts_pages
    FUNCTIONS_IN_MACHINE=http://127.0.0.1:$(sed -n 's/^ready port=\([0-9]*\).*/\1/p' "$BATS_TEST_TMPDIR/functions.log")/v1
}

# there COMMAND...: on the machine, in the tree
there() {
    machine_run "$MACHINE" env -C /srv TERM=xterm DATABASE_URL="$DATABASE_IN_MACHINE" FUNCTIONS_URL="$FUNCTIONS_IN_MACHINE" "$@"
}

# new_machine: one with systemd, the tree, functions and an empty database; skips where it cannot be
new_machine() {
    local refusal
    refusal=$(machine_refusal)
    [[ -z $refusal ]] || skip "$refusal"
    empty_database scripts_pages
    cluster_psql postgres -c "DROP ROLE IF EXISTS webhook_forwarder"
    machine_boot "$MACHINE"
    # It is a copy of this machine, on which a forwarder may have been.
    machine_run "$MACHINE" rm -rf /etc/webhook-forwarder /var/lib/webhook-forwarder /var/lib/private/webhook-forwarder \
        /var/lib/webhook-forwarder.deployed
    furnish
}

@test "docs/deployment.md, line by line, on a machine with systemd" {
    local line first
    new_machine
    while IFS= read -r line; do
        run there bash -c "${line//https:\/\/functions.example\/v1/$FUNCTIONS_IN_MACHINE}"
        echo "$line"
        echo "$output"
        equal "$status" 0
    done < <(lines_of docs/deployment.md)
    has DISABLED 'forwarder   ready'
    # What was said is so: units enabled and active, as a user of its own, secrets for those who need them.
    equal "$(there systemctl is-enabled webhook-forwarder.socket webhook-forwarder.service | sort -u)" enabled
    equal "$(there systemctl is-active webhook-forwarder.socket webhook-forwarder.service | sort -u)" active
    equal "$(there stat -c '%a %U:%G' /etc/webhook-forwarder /etc/webhook-forwarder/app-secret /etc/webhook-forwarder/database-url | paste -sd ' ')" \
        '750 root:webhook-forwarder 640 root:webhook-forwarder 600 root:root'
    # Again, nothing is restarted; with a change it is, and serves.
    first=$(there systemctl show -p MainPID --value webhook-forwarder.service)
    run there ./scripts/deploy-infrastructure.sh
    echo "$output"
    equal "$status" 0
    equal "$(there systemctl show -p MainPID --value webhook-forwarder.service)" "$first"
    there bash -c 'echo another >app-secret'
    run there ./scripts/deploy-infrastructure.sh --app-secret-file app-secret --test-webhook
    echo "$output"
    equal "$status" 0
    has 'a test webhook was relayed'
    [[ $(there systemctl show -p MainPID --value webhook-forwarder.service) != "$first" ]]
    run there ./scripts/start-rollout.sh --yes
    equal "$status" 0
    has_the_rules() { there ./scripts/quick-status.sh | grep 'its rules: 10 %, enabled'; }
    wait_until 10 has_the_rules
}

# as_typed LINE: as its reader does it: a question is answered on a terminal, and what goes on for ever is watched
# for a while
as_typed() {
    case $1 in
        *start-rollout.sh*) there script -qec "$1" /dev/null <<<yes ;;
        *--watch*) there timeout --foreground 10 bash -c "$1" || (($? == 124)) ;;
        *) there bash -c "$1" ;;
    esac
}

@test "docs/rollout.md, line by line, on a machine with systemd, to the first step" {
    local line watched=''
    new_machine
    # Nothing can be fetched there, and all of it is there.
    equal "$(shell_of docs/rollout.md | grep '^apt-get')" \
        "apt-get update"$'\n'"apt-get install --no-install-recommends curl postgresql-client $(packages_of build)"
    while IFS= read -r line; do
        run as_typed "$line"
        echo "$line"
        echo "$output"
        equal "$status" 0
        [[ $line != *--watch* ]] || watched=$output
    done < <(shell_of docs/rollout.md | grep -v '^apt-get')
    output=$watched
    has CLIMBING '10.00 %'
    equal "$(psql -XqAt -c "SELECT enabled, percentage, notes FROM webhook_routing_config ORDER BY version DESC LIMIT 1")" \
        't|10.00|rollout begins, ticket 1234'
    # What troubleshooting says of a service's settings, as one piece.
    run there bash -c "$(shell_of docs/troubleshooting.md)"
    echo "$output"
    equal "$status" 0
    has 'good     --database-url-file     /etc/webhook-forwarder/database-url' 'role webhook_forwarder' 'the settings are good'
}
