#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# What `make install` puts on a machine, and that `make uninstall` takes all of it away: into a staging
# folder, so that neither root nor a database is needed.

bats_require_minimum_version 1.5.0

setup_file() {
    load ../e2e/helper
    export STAGE=$BATS_FILE_TMPDIR/stage ROOT=$BATS_FILE_TMPDIR/stage/opt/routing
    staged "$STAGE" install
}

setup() { load ../e2e/helper; }

# staged DESTDIR TARGET [ARGUMENT]...
staged() {
    local stage=$1
    shift
    make -C "$REPOSITORY" -s "$@" DESTDIR="$stage" PREFIX=/opt/routing
}

# files_in FOLDER: what is not a folder, by name
files_in() { (cd "$1" && find . ! -type d | sort); }

@test "everything of an operator is there: program, units, manual, completion, variables, pages" {
    local file
    for file in bin/webhook-forwarder lib/systemd/system/webhook-forwarder.{service,socket} \
        share/man/man8/webhook-forwarder.8 share/man/man7/webhook_routing.7 \
        share/bash-completion/completions/webhook-forwarder share/webhook-forwarder/environment.example \
        share/webhook-forwarder/monitoring/{prometheus/rules.yml,grafana/dashboard.json} \
        share/doc/webhook_routing/{README.md,docs/deployment.md,docs/reference/forwarder.md}; do
        [[ -s $ROOT/$file ]]
    done
    grep -x 'ExecStart=/opt/routing/bin/webhook-forwarder' "$ROOT/lib/systemd/system/webhook-forwarder.service"
    "$ROOT/bin/webhook-forwarder" --version
    # Every page of the documentation, and every link between them, came along.
    local page link
    while IFS= read -r page; do
        while IFS= read -r link; do
            [[ $link == *://* || $link == '#'* || -e $(dirname "$page")/${link%%#*} || $link == *bench/README.md ]] ||
                { echo "$page: $link" && return 1; }
        done < <(grep -o '](\([^)]*\))' "$page" | sed 's/^](//; s/)$//')
    done < <(find "$ROOT/share/doc" -name '*.md')
}

@test "the extension is where its PostgreSQL looks, and nowhere else" {
    local extension
    extension=$STAGE$(pg_config --sharedir)/extension
    [[ -s $extension/webhook_routing.control && -s $STAGE$(pg_config --pkglibdir)/webhook_routing.so ]]
    equal "$(find "$extension" -name 'webhook_routing--*.sql' | wc -l)" 1
    equal "$(find "$extension" -name 'webhook_routing_*.sql' | wc -l)" \
        "$(find "$REPOSITORY/extension/packs" -name '*.sql' | wc -l)" packs
}

@test "uninstall leaves no file, and no folder of ours" {
    local stage="$BATS_TEST_TMPDIR/a stage"
    staged "$stage" install
    [[ -n $(files_in "$stage") ]]
    staged "$stage" uninstall
    equal "$(files_in "$stage")" ''
    equal "$(find "$stage" -name '*webhook*')" ''
}

@test "each part can be had alone, and what is installed twice is installed once" {
    local extension=$BATS_TEST_TMPDIR/extension forwarder=$BATS_TEST_TMPDIR/forwarder
    make -C "$REPOSITORY" -s install EXTENSION_ONLY=yes DESTDIR="$extension" PREFIX=/opt/routing
    make -C "$REPOSITORY" -s -f Makefile.programs install-forwarder DESTDIR="$forwarder" PREFIX=/opt/routing
    equal "$(files_in "$extension" | grep -c forwarder)" 0 'the extension alone'
    equal "$(files_in "$forwarder" | grep -c postgresql)" 0 'the forwarder alone'
    equal "$({ files_in "$extension" && files_in "$forwarder"; } | sort)" \
        "$(files_in "$STAGE" | grep -v /share/doc/)" 'both together'
}

@test "the manual pages have no fault that mandoc, groff or man finds" {
    local page
    for page in man8/webhook-forwarder.8 man7/webhook_routing.7; do
        page=$ROOT/share/man/$page
        # Style is what it says about long lines.
        equal "$(mandoc -T lint -W warning "$page" 2>&1)" '' "mandoc, $page"
        equal "$(groff -man -ww -z -T utf8 "$page" 2>&1)" '' "groff, $page"
        equal "$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -Tutf8 -Z -l "$page" 2>&1 >/dev/null)" '' "man, $page"
    done
    equal "$(mandoc -T utf8 "$ROOT/share/man/man8/webhook-forwarder.8" | col -b | grep -oE '^[A-Z][A-Z ]+$' | tr '\n' ',')" \
        'NAME,SYNOPSIS,DESCRIPTION,OPTIONS,ENVIRONMENT,FILES,SIGNALS,EXIT STATUS,ENDPOINTS,SECURITY,EXAMPLES,SEE ALSO,'
}

# manual_8: the forwarder's page as people read it, in one line
manual_8() { mandoc -T utf8 "$ROOT/share/man/man8/webhook-forwarder.8" | col -b | tr -s '[:space:]' ' '; }

@test "the forwarder's page knows every option, and every path of the admin listener" {
    local option count=0 path
    manual_8 >"$BATS_TEST_TMPDIR/page"
    while IFS= read -r option; do
        grep -qF -- " $option " "$BATS_TEST_TMPDIR/page" || { echo "no $option" && return 1; }
        count=$((count + 1))
    done < <("$ROOT/bin/webhook-forwarder" --help | sed -n 's/^  \(--[a-z-]*.*\)$/\1/p')
    ((count > 30))

    DATABASE_URL='host=/nowhere' process_start "$BATS_TEST_TMPDIR/pid" "$BATS_TEST_TMPDIR/log" "$ROOT/bin/webhook-forwarder" \
        --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --spool-directory "$BATS_TEST_TMPDIR/spool"
    wait_until 10 grep '"event":"listening"' "$BATS_TEST_TMPDIR/log"
    curl -s "http://$(jq -r 'select(.event == "listening").admin_listen' "$BATS_TEST_TMPDIR/log")/none" |
        sed -n 's|^  \(/[^ ]*\) .*|\1|p' >"$BATS_TEST_TMPDIR/paths"
    process_stop "$BATS_TEST_TMPDIR/pid"
    grep -x /livez "$BATS_TEST_TMPDIR/paths"
    while IFS= read -r path; do
        grep -qF -- "GET $path " "$BATS_TEST_TMPDIR/page" || { echo "no $path" && return 1; }
    done <"$BATS_TEST_TMPDIR/paths"
}

@test "the extension's page knows every function, view and table of the reference" {
    local name count=0
    mandoc -T utf8 "$ROOT/share/man/man7/webhook_routing.7" | col -b >"$BATS_TEST_TMPDIR/page"
    while IFS= read -r name; do
        grep -qwF -- "$name" "$BATS_TEST_TMPDIR/page" || { echo "no $name" && return 1; }
        count=$((count + 1))
    done < <(sed -n 's/^### .*`\([^`]*\)`$/\1/p' "$REPOSITORY/docs/reference/sql.md")
    ((count > 50))
}

@test "the example of variables has each one, and each default in it is one that the forwarder takes" {
    local example=$ROOT/share/webhook-forwarder/environment.example variable set=()
    while IFS= read -r variable; do
        grep -qE "^#$variable=" "$example" || { echo "no $variable" && return 1; }
    done < <("$ROOT/bin/webhook-forwarder" --help-markdown | grep -o '| `WEBHOOK_FORWARDER_[A-Z_]*`' | tr -d '|` ')
    # Nothing is set in it, and a line without its # is a setting.
    equal "$(grep -cv '^\(#.*\)\?$' "$example")" 0
    mapfile -t set < <(sed -n 's/^#\(WEBHOOK_FORWARDER_[A-Z_]*=..*\)$/\1/p' "$example")
    ((${#set[@]} > 25))
    env "${set[@]}" "$ROOT/bin/webhook-forwarder" --check-config
    run -78 env "${set[@]}" WEBHOOK_FORWARDER_WORKERS=none "$ROOT/bin/webhook-forwarder" --check-config
}

# completed LINE: what a real bash makes of the line when TAB is pressed at its end, having found the
# completion as it does on a machine; between < and >
completed() {
    local terminal=$BATS_TEST_TMPDIR/terminal line=$1 output
    cat >"$BATS_TEST_TMPDIR/bashrc" <<'RC'
PS1='ready> '
bind 'set bell-style none'
bind -x '"\C-xp": printf "\nline<%s>\n" "$READLINE_LINE"'
. /usr/share/bash-completion/bash_completion
RC
    rm -f "$terminal.in" "$terminal"
    mkfifo "$terminal.in"
    # A terminal of its own, so that bash is interactive; what is typed comes out of the pipe.
    env -C "$BATS_TEST_TMPDIR" TERM=dumb INPUTRC=/dev/null XDG_DATA_DIRS="$ROOT/share" script -q -f \
        -c "bash --noprofile --rcfile $BATS_TEST_TMPDIR/bashrc -i" "$terminal" <"$terminal.in" >/dev/null 2>&1 3>&- &
    exec 9>"$terminal.in"
    wait_until 10 grep -a 'ready> ' "$terminal"
    printf '%s\t\x18p' "$line" >&9
    wait_until 10 grep -a '^line<' "$terminal"
    output=$(sed -n 's/^line<\(.*\)>.*/\1/p' "$terminal" | tr -d '\r')
    printf '\x03exit\n' >&9
    exec 9>&-
    wait $!
    printf '%s\n' "<$output>"
}

@test "bash completes options, names, files and folders" {
    touch "$BATS_TEST_TMPDIR/token-of-ours"
    mkdir "$BATS_TEST_TMPDIR/spool-of-ours"
    equal "$(completed 'webhook-forwarder --admin-l')" '<webhook-forwarder --admin-listen >' option
    equal "$(completed 'webhook-forwarder --check')" '<webhook-forwarder --check-config >' action
    equal "$(completed 'webhook-forwarder --log-level w')" '<webhook-forwarder --log-level warning >' name
    equal "$(completed 'webhook-forwarder --decide-server=prefer')" '<webhook-forwarder --decide-server=prefer-standby >' 'after ='
    equal "$(completed 'webhook-forwarder --spool-size ')" '<webhook-forwarder --spool-size 1GiB >' default
    equal "$(completed 'webhook-forwarder --verify-token-file tok')" '<webhook-forwarder --verify-token-file token-of-ours >' file
    equal "$(completed 'webhook-forwarder --spool-directory sp')" '<webhook-forwarder --spool-directory spool-of-ours/>' folder
    equal "$(completed 'webhook-forwarder --listen ')" '<webhook-forwarder --listen >' 'what nobody knows'
}
