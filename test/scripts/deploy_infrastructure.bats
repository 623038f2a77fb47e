#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# deploy-infrastructure.sh, in the background and into an image, and setup-infrastructure.sh, which calls it.

setup_file() {
    load helper
    chmod 755 "$BATS_FILE_TMPDIR"
    cluster_open "$E2E_DIR/cluster"
    export STACK=$BATS_FILE_TMPDIR
    functions_start
}

teardown_file() {
    load helper
    process_stop "$BATS_FILE_TMPDIR/functions.pid"
}

setup() {
    load helper
    cluster_open "$E2E_DIR/cluster"
    chmod 755 "$BATS_TEST_TMPDIR"
    empty_database scripts_deploy
    behave 'refuse=0'
    curl -fs -X POST "$CONTROL_URL/_standin/reset" >/dev/null
    PLACE=$BATS_TEST_TMPDIR/forwarder
    SECRET=$BATS_TEST_TMPDIR/secret
    # With an odd sign or two, and longer than a block of SHA-256.
    printf '%s\n' "app secret 'with' \"signs\" \\ % $(printf 'long%.0s' {1..20})" >"$SECRET"
    PORT=$(free_port)
    ADMIN_URL=http://127.0.0.1:$(free_port "$((PORT + 1))")
    HOW=(--functions-url "$FUNCTIONS_URL" --background "$PLACE" --listen "127.0.0.1:$PORT"
        --admin-listen "${ADMIN_URL#http://}" --app-secret-file "$SECRET")
    ((EUID != 0)) || HOW+=(--user nobody)
}

teardown() {
    process_stop "$PLACE/forwarder.pid" 30
    cluster_psql postgres -c "DROP DATABASE IF EXISTS scripts_deploy WITH (FORCE)" -c "DROP ROLE IF EXISTS scripts_forwarder"
}

# with_extension: the database, and a role for the forwarder whose URL is in the file ROLE_URL
with_extension() {
    sql "CREATE EXTENSION webhook_routing" "CREATE ROLE scripts_forwarder LOGIN" \
        "SELECT grant_routing_role('forwarder', 'scripts_forwarder')" >/dev/null
    sql "SELECT * FROM routing_maintain()" >/dev/null
    ROLE_URL=$BATS_TEST_TMPDIR/url
    cluster_url scripts_deploy scripts_forwarder >"$ROLE_URL"
}

# reachable: nobody, who runs the forwarder, may use the cluster's socket, which is for its user alone
reachable() {
    chmod 755 "$CLUSTER_SOCKET"
    chmod 777 "$CLUSTER_SOCKET/.s.PGSQL.$CLUSTER_PORT"
}

@test "in the background: installed, started, verified; its files are nobody else's" {
    local first
    with_extension
    reachable
    # GROUP is a name that the script has too; some shells export it.
    PGPASSWORD=of-a-superuser GROUP=somebody run typed deploy-infrastructure "${HOW[@]}" --database-url-file "$ROLE_URL" --test-webhook
    echo "$output"
    equal "$status" 0
    has 'verify-token was made' 'ready ' 'healthy     percentage: 0, enabled: false' 'answered with the challenge' \
        'a webhook without one is refused (401)' 'a test webhook was relayed, and answered 200' \
        'nothing starts it again after a crash'
    has_not "$(<"$SECRET")" "$(<"$PLACE/verify-token")"
    equal "$(seen '.total')" 1
    equal "$(stat -c %A "$PLACE/app-secret" "$PLACE/database-url" "$PLACE/verify-token" | cut -c 8- | sort -u)" '---'
    equal "$(stat -c %a "$PLACE/spool")" 700
    ((EUID != 0)) || equal "$(ps -o user= -p "$(cut -d ' ' -f 1 "$PLACE/forwarder.pid")")" nobody
    # Of the environment of whoever deploys it has nothing, so not psql's password either.
    equal "$(tr '\0' '\n' <"/proc/$(cut -d ' ' -f 1 "$PLACE/forwarder.pid")/environ" |
        grep -vE "^(PATH|HOME|PWD|SHLVL|_|WEBHOOK_FORWARDER_[A-Z_]*)=" | cut -d = -f 1)" ''
    # Again: what runs goes on running.
    first=$(<"$PLACE/forwarder.pid")
    run typed deploy-infrastructure "${HOW[@]}"
    equal "$status" 0
    has 'it runs, and nothing has changed'
    equal "$(<"$PLACE/forwarder.pid")" "$first"
    # A change restarts it, and what is not given stays, comments and empty lines included.
    printf '\n# as Debian has it\n#WEBHOOK_FORWARDER_WORKERS=1\n' >>"$PLACE/environment"
    printf 'another secret\n' >"$SECRET"
    run typed deploy-infrastructure "${HOW[@]}" --test-webhook
    equal "$status" 0
    [[ $(<"$PLACE/forwarder.pid") != "$first" ]]
    has 'a test webhook was relayed'
    grep -x '# as Debian has it' "$PLACE/environment"
    # Ended by somebody, it is started again.
    process_stop "$PLACE/forwarder.pid" 30
    run typed deploy-infrastructure "${HOW[@]}"
    equal "$status" 0
    has 'ready '
}

@test "a dry run makes nothing and starts nothing" {
    local before
    with_extension
    before=$(everything)
    run typed deploy-infrastructure "${HOW[@]}" --database-url-file "$ROLE_URL" --dry-run
    equal "$status" 0
    has "install -m 0640 /dev/stdin $PLACE/app-secret" "$PLACE/webhook-forwarder" 'A dry run: nothing was changed'
    [[ ! -e $PLACE ]]
    run curl -s -m 1 "$ADMIN_URL/readyz"
    equal "$status" 7
    equal "$(everything)" "$before"
}

@test "into an image: secrets for those who need them, units, and nothing started" {
    local image=$BATS_TEST_TMPDIR/image
    with_extension
    DESTDIR=$image run typed deploy-infrastructure --functions-url https://functions.example/v1 \
        --database-url-file "$ROLE_URL" --app-secret-file "$SECRET"
    echo "$output"
    equal "$status" 0
    has "nothing is started"
    [[ -x $image/usr/local/bin/webhook-forwarder ]]
    ls "$image"/usr/local/lib/systemd/system/webhook-forwarder.{socket,service}
    equal "$(cat "$image/etc/webhook-forwarder/environment")" \
        $'WEBHOOK_FORWARDER_FUNCTIONS_URL=https://functions.example/v1\nWEBHOOK_FORWARDER_APP_SECRET_FILE=/etc/webhook-forwarder/app-secret'
    equal "$(cd "$image/etc/webhook-forwarder" && stat -c '%a %n' ./* . | sort | paste -sd ' ')" \
        '600 ./database-url 600 ./verify-token 640 ./app-secret 640 ./environment 750 .'
    cmp "$SECRET" "$image/etc/webhook-forwarder/app-secret"
    cmp "$ROLE_URL" "$image/etc/webhook-forwarder/database-url"
    # Another URL of the functions, later; what an administrator has added stays.
    echo 'WEBHOOK_FORWARDER_WORKERS=4' >>"$image/etc/webhook-forwarder/environment"
    DESTDIR=$image run typed deploy-infrastructure --functions-url https://functions.example/v2
    equal "$status" 0
    equal "$(sort "$image/etc/webhook-forwarder/environment" | paste -sd ' ')" \
        'WEBHOOK_FORWARDER_APP_SECRET_FILE=/etc/webhook-forwarder/app-secret WEBHOOK_FORWARDER_FUNCTIONS_URL=https://functions.example/v2 WEBHOOK_FORWARDER_WORKERS=4'
}

@test "what is missing is named before anything is made" {
    run typed deploy-infrastructure "${HOW[@]}"
    equal "$status" 78
    has 'the extension is not in this database'
    with_extension
    run typed deploy-infrastructure --background "$PLACE" --user nobody
    equal "$status" 64
    has '--functions-url says where the functions are'
    run typed deploy-infrastructure "${HOW[@]}"
    equal "$status" 78
    has 'DATABASE_URL names a superuser' "grant_routing_role('forwarder', 'webhook_forwarder')"
    run typed deploy-infrastructure "${HOW[@]}" --database-url-file "$BATS_TEST_TMPDIR/none"
    equal "$status" 78
    has "cannot read $BATS_TEST_TMPDIR/none"
    if ((EUID == 0)); then
        run typed deploy-infrastructure --functions-url "$FUNCTIONS_URL" --background "$PLACE"
        equal "$status" 77
        has '--user NAME'
    fi
    if [[ ! -d /run/systemd/system ]]; then
        run typed deploy-infrastructure --functions-url "$FUNCTIONS_URL"
        has --background
        [[ $status == 69 || $status == 77 ]]
    fi
}

@test "a forwarder that does not become healthy fails the deployment, with its own words" {
    with_extension
    reachable
    cluster_url scripts_deploy scripts_nobody_knows >"$ROLE_URL"
    run typed deploy-infrastructure "${HOW[@]}" --database-url-file "$ROLE_URL"
    equal "$status" 69
    has 'database, to decide' 'the forwarder does not have the database' 'role "scripts_nobody_knows" does not exist'
    # What it refuses is not started at all.
    printf 'WEBHOOK_FORWARDER_WORKERS=none\n' >>"$PLACE/environment"
    run typed deploy-infrastructure "${HOW[@]}"
    equal "$status" 78
    has 'the forwarder refuses its settings' WORKERS
}

@test "setup: from an empty database to a forwarder that serves; a second run changes nothing" {
    local once password
    reachable
    sql "DROP ROLE IF EXISTS scripts_viewer" "CREATE ROLE scripts_viewer LOGIN" || true
    run typed setup-infrastructure "${HOW[@]}" --forwarder-role scripts_forwarder --viewer scripts_viewer \
        --domains jobs,property
    echo "$output"
    equal "$status" 0
    has '1. What has to be there' '2. The extension' 'enrolled: jobs, property' 'insurance, mobility, profile' \
        'reached     wa-webhook-unified' 'scripts_forwarder is made' 'scripts_viewer as viewer' 'DISABLED' \
        'forwarder   ready' 'docs/rollout.md'
    # The password is in the forwarder's file alone.
    password=$(sed -n 's|.*scripts_forwarder:\([^@]*\)@.*|\1|p' "$PLACE/database-url")
    ((${#password} == 48))
    has_not "$password"
    run grep -c "$password" "$CLUSTER_HOME/postgresql.log"
    equal "$output" 0
    equal "$(sql "SELECT domains FROM get_current_routing_config()")" '{jobs,property}'
    once=$(everything)
    run typed setup-infrastructure "${HOW[@]}" --forwarder-role scripts_forwarder --viewer scripts_viewer \
        --domains jobs,property
    echo "$output"
    equal "$status" 0
    has 'scripts_forwarder is there' 'it runs, and nothing has changed'
    equal "$(everything)" "$once"
}

@test "setup: a dry run on an empty database goes through all steps and changes nothing" {
    local before
    before=$(everything)
    run typed setup-infrastructure "${HOW[@]}" --forwarder-role scripts_forwarder --dry-run
    echo "$output"
    equal "$status" 0
    has 'CREATE EXTENSION' 'scripts_forwarder is made' "install -m 0640 /dev/stdin $PLACE/app-secret" '7. All of it together' \
        'asked once the extension' "$PLACE/database-url, from a role of its own"
    [[ ! -e $PLACE ]]
    equal "$(everything)" "$before"
}

@test "setup: functions that are not there end it, and the next run goes on from there" {
    behave 'name=wa-webhook-property&status=404'
    run typed setup-infrastructure "${HOW[@]}" --forwarder-role scripts_forwarder
    equal "$status" 69
    has 'wa-webhook-property: 404 at' "UPDATE webhook_routing_targets SET url = 'https://...' WHERE name = 'wa-webhook-property';"
    [[ ! -e $PLACE ]]
    behave 'reset=1'
    curl -fs -X POST "$CONTROL_URL/_standin/reset" >/dev/null
    behave 'name=wa-webhook-property'
    reachable
    run typed setup-infrastructure "${HOW[@]}" --forwarder-role scripts_forwarder
    echo "$output"
    equal "$status" 0
    has 'forwarder   ready'
}

@test "setup: a file that is not there ends it before anything is changed, also in a dry run" {
    local dry
    for dry in '' --dry-run; do
        run typed setup-infrastructure --functions-url http://127.0.0.1:9 --background "$PLACE" --app-secret-file \
            "$STACK/no-such-secret" ${dry:+"$dry"}
        equal "$status" 78
        has "cannot read $STACK/no-such-secret, which --app-secret-file names"
        equal "$(sql "SELECT count(*) FROM pg_extension WHERE extname = 'webhook_routing'")" 0
    done
}

@test "setup: the database alone; a role that is not there is named" {
    run typed setup-infrastructure --no-forwarder --operator scripts_no_such_role
    equal "$status" 78
    has 'CREATE ROLE "scripts_no_such_role" LOGIN;'
    run typed setup-infrastructure --no-forwarder
    equal "$status" 0
    has DISABLED 'not asked'
    run typed setup-infrastructure
    equal "$status" 64
    run typed setup-infrastructure --no-forwarder --domains mobility
    equal "$status" 78
    has 'protected domain "mobility" cannot be enrolled' 'the domains are as they were'
    run typed setup-infrastructure --no-forwarder --domains 'jobs, property'
    equal "$status" 0
    has 'enrolled: jobs, property'
    run typed setup-infrastructure --no-forwarder --domains jobs,marketplace,property
    equal "$status" 0
}
