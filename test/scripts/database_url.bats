#!/usr/bin/env bats
# SPDX-License-Identifier: PostgreSQL
#
# What the scripts make of DATABASE_URL: the password apart from the rest, and the URL of another role.

setup() {
    load helper
    # shellcheck source=scripts/lib/operate.sh
    . "$REPOSITORY/scripts/lib/operate.sh"
    unset PGPASSWORD
}

# apart URL REST PASSWORD URL_OF_ROLE
apart() {
    unset PGPASSWORD
    DATABASE_URL=$1 database_open
    equal "$DATABASE" "$2" "rest of $1"
    equal "${PGPASSWORD-none}" "$3" "password of $1"
    equal "$(url_of_role other pw)" "$4" "another role's $1"
}

@test "URLs: user and password, parameters, several hosts, a socket" {
    apart 'postgresql://u:p%40s@h1:5432,h2:5433/db?sslmode=require&user=x&application_name=a' \
        'postgresql://u@h1:5432,h2:5433/db?sslmode=require&user=x&application_name=a' 'p@s' \
        'postgresql://other:pw@h1:5432,h2:5433/db?sslmode=require&application_name=a'
    apart 'postgres:///db?host=%2Ftmp%2Fwr&port=54329&user=postgres' \
        'postgres:///db?host=%2Ftmp%2Fwr&port=54329&user=postgres' none 'postgres://other:pw@/db?host=%2Ftmp%2Fwr&port=54329'
    apart 'postgresql://u@/db?password=p%20q%5Cx' 'postgresql://u@/db' 'p q\x' 'postgresql://other:pw@/db'
    apart 'postgresql://u:a%5Cn%25@h' 'postgresql://u@h' 'a\n%' 'postgresql://other:pw@h'
    apart 'postgresql://h:1/db' 'postgresql://h:1/db' none 'postgresql://other:pw@h:1/db'
    apart 'postgresql://u:p@[::1]:5/db' 'postgresql://u@[::1]:5/db' p 'postgresql://other:pw@[::1]:5/db'
}

@test "settings: quoted, escaped, in any place; a name alone" {
    apart "host=h dbname=d password='a b\\'c' user=x" 'host=h dbname=d  user=x' "a b'c" 'host=h dbname=d  user=x user=other password=pw'
    apart 'password=a\ b dbname=x' '  dbname=x' 'a b' '  dbname=x user=other password=pw'
    apart 'password = p dbname=x' '  dbname=x' p '  dbname=x user=other password=pw'
    apart 'app' app none 'dbname=app user=other password=pw'
}

@test "what cannot be read, and what would become an argument, is refused unquoted" {
    local url
    for url in 'postgresql://u:s3@cret@h/db' 'postgresql://u:s3/cret@h/db' 'postgresql://u:s3%zzcret@h/db' 'postgresql://u:s3cret%' \
        'postgresql://u@h/db?sslpassword=s3cret' 'host=h sslpassword=s3cret'; do
        DATABASE_URL=$url run database_open
        equal "$status" 78 "$url"
        has_not cret
    done
}
