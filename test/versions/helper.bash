# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the tests in other Debian releases share. Each file has one root (scripts/lib/debian_root.sh) with a
# copy of the tree in /project, where the project's own scripts build and test as they do here. What a
# test starts there is gone when its command ends.

# shellcheck source=scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$REPOSITORY/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/debian_root.sh
. "$REPOSITORY/scripts/lib/debian_root.sh"

# root_open SUITE: a root for the tests of this file
root_open() {
    export ROOT=$BATS_FILE_TMPDIR/root
    debian_root_make "$ROOT" "$1" "$REPOSITORY/build/roots" build run tap bats >"$BATS_FILE_TMPDIR/make.log" 2>&1 || {
        tail -n 30 "$BATS_FILE_TMPDIR/make.log"
        return 1
    }
    mkdir "$ROOT/project"
    tar -C "$REPOSITORY" --exclude=./.git --exclude=./.run --exclude=./build --exclude='*.o' \
        --exclude='*.so' -cf - . | tar -C "$ROOT/project" -xf - --no-same-owner
}

root_close() { debian_root_remove "$ROOT"; }

# in_root SCRIPT: bash there, in the project; stops at the first error
in_root() { debian_root_run "$ROOT" bash -euo pipefail -c "cd /project; $1"; }

# perl_test NAME [VARIABLE=VALUE]...: one of test/t there, with what is installed system-wide, as the user
# that may start servers
perl_test() {
    local name=$1
    shift
    cp "$REPOSITORY/test/t/$name.pl" "$ROOT/project/test/t/"
    in_root "
        pgxs=\$(dirname \"\$(pg_config --pgxs)\")/../..
        install -d -o postgres /tap
        setpriv --reuid=postgres --regid=postgres --init-groups env LC_ALL=C HOME=/tap $* \\
            PATH=\"\$(pg_config --bindir):\$PATH\" PERL5LIB=\"\$pgxs/src/test/perl\" \\
            PG_REGRESS=\"\$pgxs/src/test/regress/pg_regress\" TESTDIR=/tap TESTDATADIR=/tap/tmp_check \\
            TESTLOGDIR=/tap/log perl -I test/t test/t/$name.pl"
}

# ---- the tests of a release ----

# built_without_a_word POSTGRESQL: the whole tree, warnings being errors, by its compiler, for that server
built_without_a_word() {
    run -0 in_root 'pg_config --version; cc --version | head -n 1; pkg-config --modversion libmicrohttpd libcurl'
    printf '# %s\n' "$(tr '\n' ' ' <<<"$output")" >&3
    [[ $output == "PostgreSQL $1."* ]]
    run -0 in_root 'make -s -j"$(nproc)" WERROR=-Werror UPLOT=no all standin chaos build/load'
    echo "$output"
    [[ -z $output ]]
}

# group_passes GROUP: of the project's own tests, there
group_passes() {
    run in_root "./scripts/test.sh $1 || { cat build/test/$1.log; cat build/test/regression.diffs; exit 1; }"
    echo "$output"
    ((status == 0))
    printf '#%s\n' "$(grep "^  $1" <<<"$output")" >&3
}

# only_tap NUMBER...: leaves these of test/t there
only_tap() {
    local file
    for file in "$ROOT"/project/test/t/*.pl; do
        [[ " $* " == *" $(basename "$file" | cut -c 1-3) "* ]] || rm "$file"
    done
}

# serves_webhooks: quickstart, webhooks through the forwarder, each in the log once, and an end without a
# word of complaint
serves_webhooks() {
    run -0 in_root '
        ./scripts/quickstart.sh --no-traffic
        . .run/env
        psql -XAtqc "SELECT update_routing_percentage(50), set_routing_enabled(true)" >/dev/null
        for payload in test/fixtures/payloads/{text,status_delivered}*.json; do
            curl -fsS -o /dev/null "$FORWARDER_URL/" -H "Expect: 100-continue" --data-binary "@$payload"
        done
        curl -fsS "$ADMIN_URL/readyz"
        build/load --url "$FORWARDER_URL/" --requests 1000 --senders 100 --concurrency 8
        for i in {1..100}; do
            logged=$(psql -XAtqc "SELECT count(*) FROM webhook_routing_logs WHERE message_type IS NOT NULL")
            ((logged < 1000)) || break
            sleep 0.1
        done
        psql -XAtqc "SELECT count(*) >= 1000, count(*) = count(DISTINCT id),
            count(*) FILTER (WHERE routed_to = '"'unified'"') > 100 FROM webhook_routing_logs"
        ./scripts/quickstart.sh --stop
        cat .run/forwarder.log'
    echo "$output"
    [[ $output == *$'\nt|t|t\n'* ]]
    # That nobody has given it Meta's secret is the one thing that it may mention.
    run -1 grep -vE '"level":"info"|"event":"signatures_off"' <(grep '^{"time"' <<<"$output")
}

# end_to_end FILE: of test/e2e, there
end_to_end() {
    run in_root "bats test/e2e/$1"
    echo "$output"
    ((status == 0))
}

# upgraded_from POSTGRESQL SUITE: databases of that server dumped and restored into this one's, and its
# cluster upgraded by pg_upgrade, with the tests that show both within one version. Installs the extension
# system-wide, there, for both.
upgraded_from() {
    local old=/usr/lib/postgresql/$1 test
    debian_root_add_suite "$ROOT" "$2" >/dev/null
    debian_root_apt "$ROOT" install "postgresql-$1" >/dev/null
    # Its headers alone: the whole package wants that release's compiler, too.
    in_root "cd /tmp && apt-get -qq download postgresql-server-dev-$1 && dpkg-deb -x postgresql-server-dev-$1_*.deb /"
    run -0 in_root "
        make -s EXTENSION_ONLY=yes install
        cp -R . /old
        make -C /old -s EXTENSION_ONLY=yes clean
        make -C /old -s EXTENSION_ONLY=yes WERROR=-Werror PG_CONFIG=$old/bin/pg_config install"
    for test in 001_dump_restore 010_log_dump_restore; do
        run perl_test "$test" "WEBHOOK_ROUTING_UPGRADE_FROM=$old"
        echo "$output"
        ((status == 0))
        [[ $output == *" - pg_upgrade from $1."* ]]
    done
}
