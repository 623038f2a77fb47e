# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# The clock of the story. PostgreSQL and the forwarder are told by libfaketime that it is so much later
# than it is (their wall clocks only: what they measure, they measure in real time); whoever moves the
# clock writes the new distance into one file, which every one of them reads at each look at the clock.
# Sourced after common.sh.
#
#   clock_open DIR        the story begins on day 1, a Monday in the future, at 00:00 UTC
#   clock_jump DAY HH:MM  it is that time at once
#   clock_run_to STORY REAL   so many ms of real time later it is that moment, going there evenly
#   clock_now             sets REAL_MS and STORY_MS, both ms since 1970
#
# Time never goes back. DIR/clock.tsv has each move: real seconds, story seconds.

CLOCK_DIR='' OFFSET_MS=0 STORY_BEGIN_MS=0 REAL_MS=0 STORY_MS=0
# In front of a command: runs it by the clock of the story.
FAKED=()

readonly DAY_MS=86400000 HOUR_MS=3600000 MINUTE_MS=60000

# faketime_library: the path of libfaketime for programs with threads
faketime_library() {
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' | head -n 1
}

clock_open() {
    local library today weekday
    library=$(faketime_library)
    [[ -n $library ]] || die "libfaketime is not installed: apt-get install faketime" "$EX_UNAVAILABLE"
    CLOCK_DIR=$1
    real_now
    today=$((REAL_MS / DAY_MS))
    weekday=$(((today + 3) % 7)) # 1970 began on a Thursday; 0 is Monday
    STORY_BEGIN_MS=$(((today + 7 - weekday) * DAY_MS))
    : >"$CLOCK_DIR/clock.tsv"
    # shellcheck disable=SC2034  # for those who source this
    FAKED=(env "LD_PRELOAD=$library" "FAKETIME_TIMESTAMP_FILE=$CLOCK_DIR/clock" FAKETIME_NO_CACHE=1
        FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1)
}

# faketime_forget PID: what libfaketime has left in shared memory of a program that was killed
faketime_forget() { rm -f "/dev/shm/faketime_shm_$1" "/dev/shm/sem.faketime_sem_$1"; }

real_now() { REAL_MS=$((${EPOCHREALTIME/[.,]/} / 1000)); }

clock_now() {
    real_now
    STORY_MS=$((REAL_MS + OFFSET_MS))
}

# clock_set OFFSET_MS: one rename, so that nobody reads half of it
clock_set() {
    OFFSET_MS=$1
    printf '+%d.%03d\n' $((OFFSET_MS / 1000)) $((OFFSET_MS % 1000)) >"$CLOCK_DIR/clock.new"
    chmod 644 "$CLOCK_DIR/clock.new"
    mv "$CLOCK_DIR/clock.new" "$CLOCK_DIR/clock"
    clock_now
    printf '%d.%03d\t%d.%03d\n' $((REAL_MS / 1000)) $((REAL_MS % 1000)) \
        $((STORY_MS / 1000)) $((STORY_MS % 1000)) >>"$CLOCK_DIR/clock.tsv"
}

# story_at DAY HH:MM: sets AT_MS
story_at() {
    local hour=${2%:*} minute=${2#*:}
    AT_MS=$((STORY_BEGIN_MS + ($1 - 1) * DAY_MS + 10#$hour * HOUR_MS + 10#$minute * MINUTE_MS))
}

clock_jump() {
    story_at "$1" "$2"
    clock_now
    if ((AT_MS > STORY_MS)); then
        clock_set $((AT_MS - REAL_MS))
    fi
}

clock_run_to() {
    local wanted=$1 real=$2 began from pause=200 wait
    clock_now
    began=$REAL_MS from=$STORY_MS
    while ((REAL_MS - began < real)); do
        wait=$((began + real - REAL_MS))
        ((wait < pause)) || wait=$pause
        sleep "0.$(printf '%03d' "$wait")"
        real_now
        if ((REAL_MS - began < real && wanted > from)); then
            wait=$((from + (wanted - from) * (REAL_MS - began) / real - REAL_MS))
            ((wait <= OFFSET_MS)) || clock_set "$wait"
        fi
    done
    clock_now
    if ((wanted > STORY_MS)); then
        clock_set $((wanted - REAL_MS))
    fi
}

# story_day, story_hour: of STORY_MS
story_day() { echo $(((STORY_MS - STORY_BEGIN_MS) / DAY_MS + 1)); }
story_hour() { echo $((STORY_MS % DAY_MS / HOUR_MS)); }

# story_time [MS]: for people: day 4 Thu 10:15
story_time() {
    local at=${1:-$STORY_MS}
    TZ=UTC printf 'day %2d %(%a %H:%M)T' $(((at - STORY_BEGIN_MS) / DAY_MS + 1)) $((at / 1000))
}
