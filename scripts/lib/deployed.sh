# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# How deploy-infrastructure.sh verifies the forwarder that it has started: by asking it what Meta and a balancer
# ask. Sourced after operate.sh; CONFIG, BACKGROUND and TEST_WEBHOOK are that script's, failed_to() as well.
# shellcheck disable=SC2154  # of deploy-infrastructure.sh

# setting VARIABLE DEFAULT: what the forwarder was told; systemd takes it out of quotes
setting() {
    local value
    value=$(sed -n "s/^$1=//p" "$CONFIG/environment")
    value=${value#\"}
    value=${value%\"}
    printf '%s\n' "${value:-$2}"
}

# url_of VARIABLE DEFAULT: of an address to listen on; one without a host is every address
url_of() {
    local address
    address=$(setting "$@")
    [[ $address != :* ]] || address=127.0.0.1$address
    printf 'http://%s\n' "$address"
}

is_ready() { curl -fs -m 3 -o /dev/null "$ADMIN_URL/readyz"; }
is_healthy() { curl -fs -m 3 "$FORWARDER_URL/" | grep '"status": "healthy"' >/dev/null; }

# Asked with a file of curl's, since the token would be seen among its arguments.
answers_handshake() {
    local token
    token=$(<"$CONFIG/verify-token")
    printf 'get\nsilent\nmax-time = 3\nurl = "%s/%s"\n' "$FORWARDER_URL" "$PREFIX"
    printf 'data-urlencode = "%s"\n' 'hub.mode=subscribe' "hub.verify_token=${token//[\"\\]/\\&}" 'hub.challenge=4711'
}

# answer_to_post [CURL ARGUMENT]...: the status of a webhook that no rule claims
readonly TEST_BODY='{"object":"whatsapp_business_account","entry":[{"id":"0","changes":[{"field":"deployment_test","value":{}}]}]}'
answer_to_post() {
    curl -s -m 20 -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' --data-binary "$TEST_BODY" \
        "$@" "$FORWARDER_URL/$PREFIX"
}

# signature SECRET: HMAC-SHA256 of TEST_BODY (RFC 2104), in hex; no program has the secret as an argument
signature() {
    local hex inner ipad='' opad='' i
    hex=$(printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n')
    ((${#hex} <= 128)) || hex=$(printf '%s' "$1" | sha256sum | cut -c 1-64)
    for ((i = 0; i < 128; i += 2)); do
        printf -v ipad '%s\\x%02x' "$ipad" "$((0x0${hex:i:2} ^ 0x36))"
        printf -v opad '%s\\x%02x' "$opad" "$((0x0${hex:i:2} ^ 0x5c))"
    done
    inner=$(printf '%b%s' "$ipad" "$TEST_BODY" | sha256sum | cut -c 1-64)
    printf '%b%b' "$opad" "$(printf '%s' "$inner" | sed 's/../\\x&/g')" | sha256sum | cut -c 1-64
}

send_test_webhook() {
    local answer headers=()
    if [[ -e $CONFIG/app-secret ]]; then
        headers=(-H "X-Hub-Signature-256: sha256=$(signature "$(head -n 1 "$CONFIG/app-secret")")")
    fi
    answer=$(answer_to_post "${headers[@]}") || true
    [[ $answer == 200 ]] || die "a test webhook was answered $answer, not 200: is the default function deployed?" \
        "$EX_UNAVAILABLE"
    step webhook "a test webhook was relayed, and answered 200"
}

verify() {
    local answer
    if [[ -n $BACKGROUND ]]; then
        FORWARDER_URL=$(url_of WEBHOOK_FORWARDER_LISTEN 127.0.0.1:8080)
        ADMIN_URL=$(url_of WEBHOOK_FORWARDER_ADMIN_LISTEN 127.0.0.1:9180)
    fi
    FORWARDER_URL=${FORWARDER_URL:-http://127.0.0.1:8080}
    ADMIN_URL=${ADMIN_URL:-$(url_of WEBHOOK_FORWARDER_ADMIN_LISTEN 127.0.0.1:9180)}
    PREFIX=$(setting WEBHOOK_FORWARDER_PATH_PREFIX '')
    PREFIX=${PREFIX#/}
    title "Verified"
    wait_until 15 is_ready || failed_to "is not ready at $ADMIN_URL/readyz"
    step ready "$ADMIN_URL/readyz"
    wait_until 15 is_healthy || failed_to "does not have the database: $(curl -s -m 3 "$FORWARDER_URL/")"
    step healthy "$(curl -s -m 3 "$FORWARDER_URL/" | sed -n 's/.*"routing": {\(.*\)}, .*/\1/p' | tr -d '"')"
    [[ $(answers_handshake | curl -K -) == 4711 ]] || failed_to 'does not answer the handshake with the verify token'
    step handshake "GET ?hub.mode=subscribe is answered with the challenge"
    if [[ -e $CONFIG/app-secret ]]; then
        answer=$(answer_to_post) || true
        [[ $answer == 401 ]] || failed_to "answered $answer, not 401, to a webhook without signature"
        step signature "a webhook without one is refused (401)"
    fi
    ! $TEST_WEBHOOK || send_test_webhook
}
