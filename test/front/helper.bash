# shellcheck shell=bash
# SPDX-License-Identifier: PostgreSQL
#
# What the tests of the TLS fronts share: nginx or HAProxy with the configuration as it is installed, but for
# its ports, its certificate and the forwarders behind it; and a pipe through which every tool of the tests
# speaks TLS to it: bytes in, the same bytes out.

load ../faults/helper

# front_certificate: of the test's own, for webhooks.example, for ten days
front_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10 -subj /CN=webhooks.example \
        -addext subjectAltName=DNS:webhooks.example -keyout "$STACK/key.pem" -out "$STACK/chain.pem" 2>/dev/null
    cat "$STACK/chain.pem" "$STACK/key.pem" >"$STACK/chain-and-key.pem"
}

# nginx_configuration PORT FORWARDER_PORT:ADMIN_PORT...
nginx_configuration() {
    local port=$1 servers=''
    shift
    servers=$(printf '    server 127.0.0.1:%s max_fails=0;\\n' "${@%%:*}")
    printf '%s\n' "pid $STACK/nginx.pid.nginx;" "error_log stderr;" 'daemon off;' 'worker_processes 1;' \
        'events { worker_connections 2048; }' 'http {' "client_body_temp_path $STACK/nginx.body;" \
        "proxy_temp_path $STACK/nginx.proxy;" "fastcgi_temp_path $STACK/nginx.a;" "uwsgi_temp_path $STACK/nginx.b;" \
        "scgi_temp_path $STACK/nginx.c;"
    sed -e "s|^    server 127.0.0.1:8080 .*|$servers|" -e "s|listen 443|listen 127.0.0.1:$port|" \
        -e "s|/etc/ssl/webhook-forwarder|$STACK|" -e "s|/var/log/nginx|$STACK|" "$REPOSITORY/forwarder/front/nginx.conf"
    printf '}\n'
}

haproxy_configuration() {
    local port=$1 servers='' backend number=0
    shift
    for backend in "$@"; do
        servers+="    server s$((++number)) 127.0.0.1:${backend%:*} port ${backend#*:}\\n"
    done
    sed -e "s|^    server first .*|$servers|" -e "s|bind :443|bind 127.0.0.1:$port|" \
        -e "s|/etc/ssl/webhook-forwarder|$STACK|" "$REPOSITORY/forwarder/front/haproxy.cfg"
}

# pipe_start NAME TLS_PORT: sets PIPE_PORT, whose bytes reach that port through TLS
pipe_start() {
    PIPE_PORT=$(free_port)
    cat >"$STACK/$1-pipe.cfg" <<EOT_PIPE
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen pipe
    bind 127.0.0.1:$PIPE_PORT
    server front 127.0.0.1:$2 ssl verify required ca-file $STACK/chain.pem sni str(webhooks.example) verifyhost webhooks.example alpn http/1.1
EOT_PIPE
    process_start "$STACK/$1-pipe.pid" "$STACK/$1-pipe.log" haproxy -db -q -f "$STACK/$1-pipe.cfg"
    wait_until 5 port_in_use "$PIPE_PORT"
}

# front_start nginx|haproxy FORWARDER_PORT:ADMIN_PORT...: sets FRONT_PORT (TLS) and PIPE_PORT
front_start() {
    local kind=$1 configuration=$STACK/$1.conf
    shift
    FRONT_PORT=$(free_port)
    "${kind}_configuration" "$FRONT_PORT" "$@" >"$configuration"
    case $kind in
        nginx) process_start "$STACK/nginx.pid" "$STACK/nginx.log" nginx -c "$configuration" -e stderr -p "$STACK" ;;
        haproxy) process_start "$STACK/haproxy.pid" "$STACK/haproxy.log" haproxy -db -f "$configuration" ;;
    esac
    wait_until 5 port_in_use "$FRONT_PORT" || {
        cat "$STACK/$kind.log"
        return 1
    }
    pipe_start "$kind" "$FRONT_PORT"
}

front_stop() {
    process_stop "$STACK/$1-pipe.pid"
    process_stop "$STACK/$1.pid"
}

# through KIND COMMAND...: what asks the forwarder, or sends it bytes, does so through that front
through() {
    local kind=$1 port
    port=$(<"$STACK/$kind.pipe")
    shift
    FORWARDER_URL=http://127.0.0.1:$port FORWARDER_PORT=$port WIRE_PORT=$port "$@"
}
