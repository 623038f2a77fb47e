# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the five operation scripts share: the way to the database in $DATABASE_URL, what --dry-run means,
# and questions. Sourced after common.sh.
#
# A password in DATABASE_URL never becomes an argument or a line of output: it is taken out and handed
# to psql as PGPASSWORD. Statements come to psql on its standard input, values as psql's variables.

DRY_RUN=false
ASSUME_YES=false
DATABASE='' # DATABASE_URL without its password
SESSION=''  # a statement more that every session begins with

# usage_error TEXT: what is wrong with the command line
usage_error() {
    die "$1; see ${0##*/} --help" "$EX_USAGE"
}

# option_value OPTION [VALUE]...: sets VALUE, or complains that there is none
VALUE=''
option_value() {
    [[ -n ${2:-} && $2 != --* ]] || usage_error "$1 needs a value"
    # shellcheck disable=SC2034  # for the scripts
    VALUE=$2
}

# common_option OPTION: what every script understands; its usage() is shown, or the option refused
common_option() {
    case $1 in
        --dry-run) DRY_RUN=true ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) usage_error "what is $1?" ;;
    esac
}

# ---- the database ----

# percent_decoded TEXT: with %XX resolved
percent_decoded() {
    local text=${1//\\/\\\\}
    printf '%b' "${text//%/\\x}"
}

# refuse_url PROBLEM: says what is wrong without quoting the URL, in which a password may stand
refuse_url() {
    die "DATABASE_URL $1.
  In a URL the characters @ / % of a password are written %40 %2F %25." "$EX_CONFIG"
}

# hide_password_of_uri, hide_password_of_settings: set DATABASE and, where there is one, PGPASSWORD
hide_password_of_uri() {
    local scheme authority rest path query='' parameter kept=()
    scheme=${DATABASE_URL%%://*}://
    rest=${DATABASE_URL#*://}
    authority=${rest%%[/?]*}
    rest=${rest#"$authority"}
    path=${rest%%\?*}
    [[ $rest != *\?* ]] || query=${rest#*\?}
    [[ ! $DATABASE_URL =~ %([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$) ]] || refuse_url 'has a % that is no %XX'
    [[ $authority != *@*@* && $path != *@* ]] || refuse_url 'cannot be read'
    if [[ $authority == *:*@* ]]; then
        local user=${authority%%@*}
        PGPASSWORD=$(percent_decoded "${user#*:}")
        export PGPASSWORD
        authority=${user%%:*}@${authority#*@}
    fi
    while IFS= read -r -d '&' parameter; do
        case $parameter in
            password=*)
                PGPASSWORD=$(percent_decoded "${parameter#password=}")
                export PGPASSWORD
                ;;
            sslpassword=*) refuse_url 'has an sslpassword, which would be an argument; put it into a service file' ;;
            ?*) kept+=("$parameter") ;;
        esac
    done <<<"$query&"
    DATABASE=$scheme$authority$path
    if ((${#kept[@]})); then
        DATABASE+=$(
            IFS='&'
            printf '?%s' "${kept[*]}"
        )
    fi
}

hide_password_of_settings() {
    local setting="(^|[[:space:]])(ssl)?password[[:space:]]*=[[:space:]]*('([^'\\\\]|\\\\.)*'|([^[:space:]'\\\\]|\\\\.)*)"
    DATABASE=$DATABASE_URL
    while [[ $DATABASE =~ $setting ]]; do
        [[ -z ${BASH_REMATCH[2]} ]] ||
            refuse_url 'has an sslpassword, which would be an argument; put it into a service file'
        local found=${BASH_REMATCH[0]} value=${BASH_REMATCH[3]}
        if [[ $value == \'* ]]; then
            value=${value:1:${#value}-2}
        fi
        # A backslash takes the meaning of the character after it, its own included.
        PGPASSWORD=$(printf '%s\n' "$value" | sed 's/\\\(.\)/\1/g')
        export PGPASSWORD
        DATABASE=${DATABASE/"$found"/ }
    done
}

need_database_url() {
    [[ -n ${DATABASE_URL:-} ]] ||
        die "DATABASE_URL is not set: it says which database is meant, for example

    export DATABASE_URL=postgresql://postgres@db.example:5432/app

  The password may stand in it, in ~/.pgpass or in PGPASSWORD." "$EX_CONFIG"
}

# database_open: finds out which database is meant, and ends the script when none is
database_open() {
    need_database_url
    command -v psql >/dev/null ||
        die "psql is missing: apt-get install postgresql-client" "$EX_UNAVAILABLE"
    case $DATABASE_URL in
        postgres://* | postgresql://*) hide_password_of_uri ;;
        *) hide_password_of_settings ;;
    esac
    export PGAPPNAME=${0##*/} PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-5}
}

# What every session begins with: the extension's schema is on the path, wherever it was put; a dry run
# cannot write.
session_prelude() {
    cat <<'EOT'
DO $$ BEGIN
    PERFORM set_config('search_path', coalesce(
        (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
          WHERE e.extname = 'webhook_routing'), 'public'), false);
END $$;
EOT
    if $DRY_RUN; then
        echo 'SET default_transaction_read_only = on;'
    fi
    echo "$SESSION"
}

# sql [PSQL ARGUMENT]...: the statements on standard input, as they are; stops at the first error
sql() {
    { session_prelude && cat; } |
        psql --no-psqlrc --no-password --quiet -v ON_ERROR_STOP=1 -d "$DATABASE" "$@"
}

# ask STATEMENT [PSQL ARGUMENT]...: the answer unaligned, columns separated by |
ask() {
    local statement=$1
    shift
    sql -At "$@" <<<"$statement"
}

# database_reached: whether it answers; what psql said if not is in DATABASE_PROBLEM
DATABASE_PROBLEM=''
database_reached() {
    if DATABASE_PROBLEM=$(ask 'SELECT' 2>&1 >/dev/null); then
        return 0
    fi
    # The first line says where and why; others repeat it for each address.
    DATABASE_PROBLEM=${DATABASE_PROBLEM#psql: error: }
    DATABASE_PROBLEM=${DATABASE_PROBLEM%%$'\n'*}
    return 1
}

# login_refused: whether the server has answered, and DATABASE_URL is what it does not take
login_refused() {
    case $DATABASE_PROBLEM in
        *'authentication failed'* | *'no password supplied'* | *'no pg_hba.conf entry'* | *'" does not exist'*) true ;;
        *) false ;;
    esac
}

need_database() {
    database_open
    if ! database_reached; then
        ! login_refused || die "the database refuses the login that DATABASE_URL names: $DATABASE_PROBLEM" "$EX_NOPERM"
        die "the database does not answer: $DATABASE_PROBLEM" "$EX_UNAVAILABLE"
    fi
}

# installed_version: of the extension in this database; empty when it is not there
installed_version() {
    ask "SELECT extversion FROM pg_extension WHERE extname = 'webhook_routing'"
}

need_extension() {
    [[ -n $(installed_version) ]] ||
        die "the extension is not in this database: scripts/apply-migration.sh puts it there" "$EX_CONFIG"
}

# rights_hint KIND: what gives the rights of that kind to the role in DATABASE_URL, as a superuser types it
rights_hint() {
    ask "SELECT format('SELECT grant_routing_role(%L, %L);', :'kind', current_user)" -v kind="$1"
}

# database_name: the database as people say it, for headings
database_name() {
    sql <<'EOT'
SELECT 'PostgreSQL ' || current_setting('server_version') AS server \gset
\echo :DBNAME at :HOST port :PORT, as :USER, :server
EOT
}

# url_of_role ROLE PASSWORD: DATABASE as that role. The password is made of letters and digits only.
url_of_role() {
    local rest parameter query='' others=''
    if [[ $DATABASE != *://* ]]; then
        [[ $DATABASE == *=* ]] || DATABASE="dbname=$DATABASE"
        printf '%s user=%s password=%s\n' "$DATABASE" "$1" "$2"
        return
    fi
    rest=${DATABASE#*://}
    if [[ ${rest%%[/?]*} == *@* ]]; then
        rest=${rest#*@}
    fi
    [[ $rest != *\?* ]] || query=${rest#*\?}
    while IFS= read -r -d '&' parameter; do
        [[ -z $parameter || $parameter == user=* ]] || others+="${others:+&}$parameter"
    done <<<"$query&"
    printf '%s://%s:%s@%s%s\n' "${DATABASE%%://*}" "$1" "$2" "${rest%%\?*}" "${others:+?$others}"
}

# ---- what --dry-run means ----

# shown COMMAND...: as it could be typed
shown() {
    local line
    printf -v line '%q ' "$@"
    printf '      %s\n' "${line% }"
}

# perform COMMAND...: runs it, or in a dry run shows it
perform() {
    if $DRY_RUN; then
        shown "$@"
    else
        "$@"
    fi
}

# change [PSQL ARGUMENT]...: statements that change something: runs them, or in a dry run shows them
change() {
    local statements
    statements=$(cat)
    if $DRY_RUN; then
        shown psql "$@" "<<'SQL'" | sed "s/\\\\<\\\\<\\\\'SQL\\\\'/<<'SQL'/"
        printf '%s\n' "$statements" SQL | sed 's/^/      /'
    else
        sql "$@" <<<"$statements"
    fi
}

# confirm QUESTION: goes on when a person types yes, or with --yes; otherwise nothing is changed
confirm() {
    local answer=''
    if $ASSUME_YES || $DRY_RUN; then
        return
    fi
    [[ -t 0 ]] || die "nobody can be asked here; --yes goes ahead without asking" "$EX_USAGE"
    read -r -p "$1 Type yes: " answer || true
    if [[ $answer != yes ]]; then
        echo "Nothing was changed."
        exit 1
    fi
}

# done_with TEXT: the last line of a script
done_with() {
    if $DRY_RUN; then
        title "A dry run: nothing was changed"
    else
        title "$1"
    fi
}
