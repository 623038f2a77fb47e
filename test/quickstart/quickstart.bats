#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# The first command a newcomer types, on the machines it has to work on: ports taken, a path with a
# space, a second run, an ordinary user, somebody else's clone, packages missing.

bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export TREE=$PWD FIRST="$BATS_FILE_TMPDIR/a folder"
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
}

teardown_file() {
    "$TREE/scripts/quickstart.sh" --stop --dir "$FIRST" || true
    "$TREE/scripts/quickstart.sh" --stop --dir "$BATS_FILE_TMPDIR/second" || true
    if [[ -d $BATS_FILE_TMPDIR/other ]]; then
        ordinary "$BATS_FILE_TMPDIR/other/a clone/scripts/quickstart.sh" --stop || true
        ordinary "$BATS_FILE_TMPDIR/other/a clone/scripts/quickstart.sh" --stop --dir "$BATS_FILE_TMPDIR/home/run" || true
    fi
    if [[ -s $BATS_FILE_TMPDIR/squatter ]]; then
        kill "$(<"$BATS_FILE_TMPDIR/squatter")" || true
    fi
}

setup() {
    cd "$TREE" || return 1
}

# ordinary COMMAND...: as a user without rights; the one who runs the tests, unless that is root
ordinary() {
    if ((EUID == 0)); then
        setpriv --reuid=nobody --regid=nogroup --clear-groups \
            env -C "$BATS_FILE_TMPDIR" HOME="$BATS_FILE_TMPDIR/home" "$@"
    else
        "$@"
    fi
}

# in_env FOLDER COMMAND: in a shell that has read the folder's env, as the README says
in_env() { bash -c '. "$1/env" && eval "$2"' env "$1" "$2"; }

@test "from nothing to a rollout, in a folder with a space, with the usual ports taken" {
    # Whoever holds 8080 and 9180 keeps them; nobody may, or somebody else on this machine.
    make -s standin
    build/standin-functions --port 8080 --control-port 9180 >"$BATS_TEST_TMPDIR/ready" 2>&1 3>&- 4>&- &
    until grep '^ready ' "$BATS_TEST_TMPDIR/ready"; do
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    if kill -0 $! 2>/dev/null; then
        echo $! >"$BATS_FILE_TMPDIR/squatter"
    fi
    run -0 ./scripts/quickstart.sh --dir "$FIRST"
    echo "$output"
    [[ $output == *'Routing percentage updated to 10.00 (was 0.00)'* ]]
    [[ $output == *'Routing percentage updated to 50.00 (was 10.00)'* ]]
    [[ $output == *wa-webhook-unified* ]]
    [[ $output == *'Everything is running'* ]]
    [[ $output != *ERROR* && $output != *WARNING* ]]
    if [[ -s $BATS_FILE_TMPDIR/squatter ]]; then
        [[ $output != *:8080* && $output != *:9180* ]]
    fi
}

@test "the env file has all that it promises, and psql needs nothing else" {
    local name
    for name in DATABASE_URL FORWARDER_URL ADMIN_URL FUNCTIONS_URL PGHOST PGPORT; do
        run -0 in_env "$FIRST" "printf %s \"\$$name\""
        [[ -n $output ]]
    done
    run -0 in_env "$FIRST" 'psql -XAtc "SELECT percentage, enabled FROM get_current_routing_config()"'
    [[ $output == '50.00|t' ]]
    run -0 in_env "$FIRST" 'psql -XAt "$DATABASE_URL" -c "SELECT count(*) >= 3000 FROM webhook_routing_logs"'
    [[ $output == t ]]
    run -0 in_env "$FIRST" 'psql -XAtc "SHOW listen_addresses"'
    [[ -z $output ]]
}

@test "the three parts answer at the URLs that it prints" {
    run -0 in_env "$FIRST" 'curl -fs "$FORWARDER_URL/"'
    [[ $output == *webhook-traffic-router* ]]
    run -0 in_env "$FIRST" 'curl -fs "$ADMIN_URL/readyz"'
    run -0 in_env "$FIRST" 'curl -fs "$FUNCTIONS_URL/_standin/report"'
    run -0 in_env "$FIRST" 'curl -fs "$FORWARDER_URL/?hub.mode=subscribe&hub.verify_token=quickstart&hub.challenge=42"'
    [[ $output == 42 ]]
    run -0 in_env "$FIRST" 'curl -fsi "$FORWARDER_URL/" -d @test/fixtures/payloads/text.json'
    [[ $output == *X-Routed-To:* ]]
}

@test "what each side says about the demonstration agrees" {
    # Half of the senders of enrolled domains, within reason; protected ones stay.
    run -0 in_env "$FIRST" 'psql -XAtc "SELECT count(*) FILTER (WHERE routed_to = '"'unified'"')::numeric / count(*) BETWEEN 0.35 AND 0.65
        FROM webhook_routing_logs WHERE percentage = 50 AND reason LIKE '"'%percentage'"'"'
    [[ $output == t ]]
    run -0 in_env "$FIRST" 'psql -XAtc "SELECT count(*) FROM webhook_routing_logs
        WHERE routed_to = '"'unified'"' AND (domain IN ('"'mobility', 'profile', 'insurance'"') OR percentage = 0)"'
    [[ $output == 0 ]]
}

@test "a second run starts again, keeps the data, and sends nothing when told so" {
    run -0 in_env "$FIRST" 'psql -XAtc "SELECT count(*) FROM webhook_routing_logs"'
    local before=$output
    run -0 ./scripts/quickstart.sh --dir "$FIRST" --no-traffic
    [[ $output == *'Everything is running'* ]]
    run -0 in_env "$FIRST" 'psql -XAtc "SELECT count(*) FROM webhook_routing_logs"'
    [[ $output == "$before" ]]
}

@test "a second one beside it has its own cluster and ports" {
    run -0 ./scripts/quickstart.sh --dir "$BATS_FILE_TMPDIR/second" --no-traffic
    run -0 in_env "$BATS_FILE_TMPDIR/second" 'psql -XAtc "SELECT count(*) FROM webhook_routing_logs"'
    [[ $output == 0 ]]
    run -0 in_env "$FIRST" 'curl -fs "$ADMIN_URL/readyz"'
}

@test "--stop ends all of it, and only that; a second --stop is no error" {
    local url
    url=$(in_env "$FIRST" 'printf %s "$FORWARDER_URL"')
    run -0 ./scripts/quickstart.sh --stop --dir "$FIRST"
    run -7 curl -s "$url/"
    [[ ! -e $FIRST/env ]]
    run -0 ./scripts/quickstart.sh --stop --dir "$FIRST"
    # The second one and the holder of 8080 still run.
    run -0 in_env "$BATS_FILE_TMPDIR/second" 'curl -fs "$ADMIN_URL/readyz"'
    if [[ -s $BATS_FILE_TMPDIR/squatter ]]; then
        run -0 curl -fs http://127.0.0.1:8080/still-here
    fi
    run -0 ./scripts/quickstart.sh --stop --dir "$BATS_FILE_TMPDIR/second"
}

@test "--stop where nothing was started says so" {
    run -0 ./scripts/quickstart.sh --stop --dir "$BATS_TEST_TMPDIR/never"
    [[ $output == *'nothing to stop'* ]]
}

# clone FOLDER: the sources alone
clone() {
    mkdir -p "$1" "$BATS_FILE_TMPDIR/home"
    tar --exclude=./.git --exclude=./.run --exclude=./build --exclude='*.o' --exclude='*.so' -cf - . | tar -C "$1" -xf -
}

@test "an ordinary user, with a clone of their own in a path with a space" {
    local clone="$BATS_FILE_TMPDIR/other/a clone"
    clone "$clone"
    if ((EUID == 0)); then
        chown -R nobody:nogroup "$BATS_FILE_TMPDIR/other" "$BATS_FILE_TMPDIR/home"
    fi
    run -0 ordinary "$clone/scripts/quickstart.sh"
    echo "$output"
    [[ -s $clone/.run/env ]]
    run -0 ordinary bash -c '. "$1/.run/env" && psql -XAtc "SELECT count(*) >= 3000 FROM webhook_routing_logs"' sh "$clone"
    [[ $output == t ]]
    run -0 ordinary "$clone/scripts/quickstart.sh" --stop
}

@test "an ordinary user in somebody else's clone" {
    ((EUID == 0)) || skip "only root can make somebody else's clone"
    local clone="$BATS_FILE_TMPDIR/root's clone" folder=$BATS_FILE_TMPDIR/home/run
    clone "$clone"
    run -0 ordinary "$clone/scripts/quickstart.sh" --no-traffic --dir "$folder"
    run -0 ordinary bash -c '. "$1/env" && curl -fs "$FORWARDER_URL/"' sh "$folder"
    run -0 ordinary "$clone/scripts/quickstart.sh" --stop --dir "$folder"
}

@test "missing packages: an ordinary user gets the exact line and 69" {
    local stub=$BATS_FILE_TMPDIR/stub
    mkdir -p "$stub"
    cat >"$stub/dpkg-query" <<'STUB'
#!/bin/sh
case $* in *libxxhash-dev*) exit 1 ;; esac
printf installed
STUB
    chmod -R a+rx "$stub"
    run -69 ordinary env PATH="$stub:$PATH" \
        "$BATS_FILE_TMPDIR/other/a clone/scripts/quickstart.sh" --dir "$BATS_FILE_TMPDIR/home/none"
    [[ $output == *'sudo apt-get install --no-install-recommends libxxhash-dev'* ]]
}

@test "an unknown option is 64, --help is not an error" {
    run -64 ./scripts/quickstart.sh --nonsense
    run -64 ./scripts/quickstart.sh --dir
    run -0 ./scripts/quickstart.sh --help
    [[ $output == *--no-traffic* && $output == *--stop* && $output == *--dir* ]]
}
