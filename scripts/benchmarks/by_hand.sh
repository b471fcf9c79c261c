#!/bin/bash
# The same landscape by hand, on one bare Debian 12 host: what `scripts/bench provision` compares site.yml with.
#
#   by_hand.sh HOST REF     on the controller: fetch the wheels, pack the application, send it, start the rest
#   by_hand.sh fetch REF    on the controller: only fetch the wheels
#   by_hand.sh on-host      on the host: everything else
#
# From the environment: SSH_CONFIG (ssh -F), ADDRESS (of the host), WHEELS (a directory that is kept between runs),
# PYTHON (with pip), and the passwords *_PASSWORD. It does what the roles do and in their order, but only once: it
# checks nothing, cannot be run again, and has no second colour to change to.
set -euo pipefail

PACKAGES="ca-certificates cron haproxy logrotate nftables openssl pgbackrest pgbouncer postgresql-15
  postgresql-client-15 python3-apt python3-jinja2 python3-psycopg python3-psycopg2 python3-venv sudo
  systemd-timesyncd tzdata"

fetch() {
  local ref=$1 work
  [ -e "$WHEELS/complete" ] && return
  work=$(mktemp -d)
  git archive "$ref:backend" requirements.lock | tar -xf - -C "$work"
  mkdir -p "$WHEELS"
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --python-version=3.11 --implementation=cp --abi=cp311 --abi=abi3 --abi=none \
    --platform=manylinux_2_36_x86_64 --platform=manylinux_2_34_x86_64 --platform=manylinux_2_28_x86_64 \
    --platform=manylinux_2_27_x86_64 --platform=manylinux_2_17_x86_64 --platform=manylinux2014_x86_64 \
    --dest="$WHEELS" --requirement="$work/requirements.lock"
  touch "$WHEELS/complete"
  rm -r "$work"
}

controller() {
  local host=$1 ref=$2 work
  fetch "$ref"
  work=$(mktemp -d)
  git archive --output="$work/source.tar" "$ref:backend"
  {
    printf 'export ADDRESS=%q\n' "$ADDRESS"
    local name
    for name in MIGRATOR APP READONLY MONITOR BACKUP PGBOUNCER_AUTH PGBOUNCER_ADMIN PGBOUNCER_STATS; do
      local variable=${name}_PASSWORD
      printf 'export %s=%q\n' "$variable" "${!variable}"
    done
    printf 'export JWT_SECRET=%q\n' "$JWT_SECRET"
  } > "$work/environment"
  cp "$0" "$work/by_hand.sh"
  tar -cf - -C "$work" by_hand.sh environment source.tar -C "$WHEELS" --transform='s,^\./,wheels/,' --exclude=complete . |
    ssh -F "$SSH_CONFIG" "$host" \
      'umask 077; mkdir /root/install && cd /root/install && tar -xf - && . ./environment && bash by_hand.sh on-host'
  until [ "$(curl -ks -o /dev/null -w '%{http_code}' -H 'Host: intowork.test' "https://$ADDRESS/health/ready")" = 200 ]; do
    sleep 0.2
  done
  rm -r "$work"
}

packages() {
  mkdir -p /etc/postgresql-common/createcluster.d
  echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/bundle.conf
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  # shellcheck disable=SC2086
  apt-get install -q -y --no-install-recommends $PACKAGES
  rm /usr/sbin/policy-rc.d
}

host() {
  ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime
  printf '[Journal]\nStorage=persistent\nCompress=yes\nSystemMaxUse=500M\nRuntimeMaxUse=100M\nMaxRetentionSec=30day\n' \
    > /etc/systemd/journald.conf
  cat > /etc/sysctl.d/60-bundle.conf <<'EOF'
net.core.somaxconn = 4096
net.ipv4.tcp_max_syn_backlog = 4096
net.ipv4.conf.all.accept_redirects = 0
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.all.accept_source_route = 0
net.ipv4.tcp_syncookies = 1
vm.swappiness = 10
EOF
  # In a container some of them belong to the machine outside.
  sysctl -q -p /etc/sysctl.d/60-bundle.conf 2> /dev/null || echo "some kernel settings are the outer machine's"
  cat > /etc/nftables.conf <<EOF
#!/usr/sbin/nft -f
table inet bundle
delete table inet bundle
table inet bundle {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iif lo accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport 22 accept comment "SSH for the operators"
    ip saddr { $ADDRESS } tcp dport { 5432, 6432 } accept comment "The database from the API hosts"
    ip saddr { $ADDRESS } tcp dport { 8001, 8002 } accept comment "The API from the proxies"
    tcp dport { 80, 443 } accept comment "HTTP and HTTPS"
    counter comment "Refused"
  }
}
EOF
  nft -c -f /etc/nftables.conf
  systemctl enable -q --now nftables
  systemctl restart systemd-journald
}

database() {
  pg_createcluster 15 main --locale C.UTF-8 -- --data-checksums > /dev/null
  mkdir -p /etc/postgresql/15/main/conf.d
  cat > /etc/postgresql/15/main/conf.d/bundle.conf <<'EOF'
listen_addresses = '*'
max_connections = 100
password_encryption = 'scram-sha-256'
ssl = on
ssl_cert_file = '/etc/ssl/certs/ssl-cert-snakeoil.pem'
ssl_key_file = '/etc/ssl/private/ssl-cert-snakeoil.key'
archive_mode = on
archive_command = 'pgbackrest --stanza=intowork archive-push %p'
archive_timeout = 60
shared_preload_libraries = 'pg_stat_statements,auto_explain'
auto_explain.log_min_duration = '2s'
track_io_timing = on
log_min_duration_statement = '500ms'
shared_buffers = '1GB'
effective_cache_size = '3GB'
work_mem = '8MB'
maintenance_work_mem = '256MB'
min_wal_size = '1GB'
max_wal_size = '4GB'
checkpoint_timeout = '15min'
random_page_cost = 1.1
jit = off
EOF
  cat > /etc/postgresql/15/main/pg_hba.conf <<EOF
local all postgres peer map=bundle
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
hostssl intowork intowork_migrator,intowork_app,intowork_readonly $ADDRESS/32 scram-sha-256
EOF
  printf 'bundle postgres postgres\nbundle root postgres\n' > /etc/postgresql/15/main/pg_ident.conf
  systemctl enable -q postgresql@15-main
  systemctl start postgresql@15-main
  psql -qX -v ON_ERROR_STOP=1 -U postgres <<EOF
CREATE ROLE intowork_owner NOLOGIN;
CREATE ROLE intowork_migrator LOGIN PASSWORD '$MIGRATOR_PASSWORD' IN ROLE intowork_owner;
ALTER ROLE intowork_migrator SET role TO intowork_owner;
ALTER ROLE intowork_migrator SET lock_timeout TO '5s';
CREATE ROLE intowork_app LOGIN PASSWORD '$APP_PASSWORD';
ALTER ROLE intowork_app SET statement_timeout TO '30s';
ALTER ROLE intowork_app SET lock_timeout TO '10s';
ALTER ROLE intowork_app SET idle_in_transaction_session_timeout TO '60s';
CREATE ROLE intowork_readonly LOGIN PASSWORD '$READONLY_PASSWORD';
ALTER ROLE intowork_readonly SET default_transaction_read_only TO on;
ALTER ROLE intowork_readonly SET statement_timeout TO '60s';
CREATE ROLE intowork_monitor LOGIN PASSWORD '$MONITOR_PASSWORD' IN ROLE pg_monitor;
CREATE ROLE intowork_backup LOGIN PASSWORD '$BACKUP_PASSWORD' IN ROLE pg_read_all_data;
CREATE ROLE pgbouncer_auth LOGIN PASSWORD '$PGBOUNCER_AUTH_PASSWORD';
CREATE DATABASE intowork OWNER intowork_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE intowork FROM PUBLIC;
GRANT CONNECT ON DATABASE intowork
  TO intowork_migrator, intowork_app, intowork_readonly, intowork_monitor, intowork_backup, pgbouncer_auth;
\connect intowork
CREATE EXTENSION pg_stat_statements;
ALTER SCHEMA public OWNER TO intowork_owner;
GRANT USAGE ON SCHEMA public TO intowork_app, intowork_readonly;
ALTER DEFAULT PRIVILEGES FOR ROLE intowork_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO intowork_app;
ALTER DEFAULT PRIVILEGES FOR ROLE intowork_owner IN SCHEMA public
  GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO intowork_app;
ALTER DEFAULT PRIVILEGES FOR ROLE intowork_owner IN SCHEMA public GRANT SELECT ON TABLES TO intowork_readonly;
CREATE SCHEMA pgbouncer;
CREATE FUNCTION pgbouncer.get_auth(p_usename text) RETURNS TABLE(usename name, passwd text)
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
  AS 'SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = p_usename AND usename = ''intowork_app'' AND NOT usesuper';
REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer_auth;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO pgbouncer_auth;
EOF
}

backups() {
  mkdir -p /etc/pgbackrest/conf.d
  cat > /etc/pgbackrest/pgbackrest.conf <<'EOF'
[global]
repo1-path=/var/lib/pgbackrest
repo1-cipher-type=aes-256-cbc
repo1-bundle=y
repo1-retention-full-type=time
repo1-retention-full=30
compress-type=zst
process-max=2
start-fast=y
archive-copy=y
archive-async=y
lock-path=/var/spool/pgbackrest
spool-path=/var/spool/pgbackrest
log-level-file=off
log-level-console=warn

[intowork]
pg1-path=/var/lib/postgresql/15/main
pg1-port=5432
EOF
  printf '[global]\nrepo1-cipher-pass=%s\n' "$(openssl rand -hex 20)" > /etc/pgbackrest/conf.d/secrets.conf
  chown root:postgres /etc/pgbackrest/conf.d/secrets.conf
  chmod 0640 /etc/pgbackrest/conf.d/secrets.conf
  install -d -o postgres -g postgres -m 0750 /var/lib/pgbackrest /var/spool/pgbackrest
  for line in '0 2 * * 0 --type=full' '0 2 * * 1-6 --type=diff' '0 8,14,20 * * * --type=incr'; do
    printf '%s postgres pgbackrest --stanza=intowork %s backup\n' "${line% *}" "${line##* }"
  done > /etc/cron.d/backup
  (cd / && runuser -u postgres -- pgbackrest --stanza=intowork stanza-create)
  # As with the role, the first backup is begun and not waited for.
  systemd-run --quiet --uid=postgres pgbackrest --stanza=intowork --type=full backup
}

pooler() {
  useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin --groups ssl-cert --user-group pgbouncer
  mkdir -p /etc/systemd/system/pgbouncer.service.d
  cat > /etc/systemd/system/pgbouncer.service.d/bundle.conf <<'EOF'
[Service]
User=pgbouncer
Group=pgbouncer
SupplementaryGroups=ssl-cert
RuntimeDirectory=pgbouncer
LimitNOFILE=4096
Restart=on-failure
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
EOF
  cat > /etc/pgbouncer/pgbouncer.ini <<'EOF'
[databases]
intowork = host=/var/run/postgresql port=5432 dbname=intowork

[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir = /run/pgbouncer
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
auth_user = pgbouncer_auth
auth_query = SELECT usename, passwd FROM pgbouncer.get_auth($1)
admin_users = pgbouncer_admin
stats_users = pgbouncer_stats
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 25
min_pool_size = 5
reserve_pool_size = 5
query_wait_timeout = 30
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = prefer
client_tls_cert_file = /etc/ssl/certs/ssl-cert-snakeoil.pem
client_tls_key_file = /etc/ssl/private/ssl-cert-snakeoil.key
EOF
  printf '"pgbouncer_auth" "%s"\n"pgbouncer_admin" "%s"\n"pgbouncer_stats" "%s"\n' \
    "$PGBOUNCER_AUTH_PASSWORD" "$PGBOUNCER_ADMIN_PASSWORD" "$PGBOUNCER_STATS_PASSWORD" > /etc/pgbouncer/userlist.txt
  chown root:pgbouncer /etc/pgbouncer/pgbouncer.ini /etc/pgbouncer/userlist.txt
  chmod 0640 /etc/pgbouncer/pgbouncer.ini /etc/pgbouncer/userlist.txt
  systemctl daemon-reload
  systemctl enable -q pgbouncer
  systemctl restart pgbouncer
}

proxy() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=intowork.test \
    -addext 'subjectAltName=DNS:intowork.test' -keyout /etc/haproxy/key.pem -out /etc/haproxy/cert.pem 2> /dev/null
  (umask 077 && cat /etc/haproxy/cert.pem /etc/haproxy/key.pem > /etc/haproxy/site.pem)
  rm /etc/haproxy/key.pem /etc/haproxy/cert.pem
  cat > /etc/haproxy/haproxy.cfg <<EOF
global
    log /dev/log local0 info
    chroot /var/lib/haproxy
    user haproxy
    group haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin expose-fd listeners
    maxconn 4000
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets

defaults
    mode http
    log global
    option httplog
    option redispatch 1
    timeout connect 3s
    timeout client 60s
    timeout server 60s
    timeout check 2s

frontend http
    bind *:80
    http-request redirect scheme https code 308

frontend https
    bind *:443 ssl crt /etc/haproxy/site.pem alpn h2,http/1.1
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    default_backend api

backend api
    balance leastconn
    option httpchk
    http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host intowork.test
    http-check expect status 200
    default-server check inter 1000ms fastinter 250ms rise 2 fall 3
    server host-blue $ADDRESS:8001
    server host-green $ADDRESS:8002 disabled
EOF
  haproxy -q -c -f /etc/haproxy/haproxy.cfg
  systemctl enable -q haproxy
  systemctl restart haproxy
}

application() {
  useradd --system --home-dir /srv/intowork --shell /usr/sbin/nologin --user-group intowork
  mkdir -p /srv/intowork/releases/first/source
  ln -s releases/first /srv/intowork/blue
  ln -s blue /srv/intowork/current
  cd /srv/intowork/releases/first
  tar -xf /root/install/source.tar -C source
  python3 -m venv --without-pip venv
  local pip=(/usr/share/python-wheels/pip-*.whl)
  python3 "${pip[0]}/pip" --python=venv/bin/python install --quiet --no-index --no-deps \
    --find-links=/root/install/wheels --require-hashes --no-compile --no-cache-dir --disable-pip-version-check \
    --root-user-action=ignore -r source/requirements.lock
  python3 -m compileall -q -j 0 .
  chmod -R go+rX .
  mkdir -p /etc/intowork
  (umask 077 && cat > /etc/intowork/blue.env <<EOF
CORS_ORIGINS="https://intowork.test"
DATABASE_MAX_OVERFLOW="10"
DATABASE_POOL_SIZE="20"
DATABASE_URL="postgresql+psycopg://intowork_app:$APP_PASSWORD@$ADDRESS:6432/intowork?sslmode=require"
ENVIRONMENT="production"
JWT_SECRET="$JWT_SECRET"
RELEASE_ID="first"
EOF
  )
  cat > /etc/systemd/system/intowork-api@.service <<EOF
[Unit]
Description=intowork API, colour %i
After=network-online.target postgresql.service pgbouncer.service
Wants=network-online.target

[Service]
Type=exec
User=intowork
Group=intowork
WorkingDirectory=/srv/intowork/%i/source
EnvironmentFile=/etc/intowork/%i.env
ExecStart=/srv/intowork/%i/venv/bin/uvicorn app.main:app --host $ADDRESS --port 8001 --workers 2 --no-server-header --proxy-headers --forwarded-allow-ips=$ADDRESS --timeout-graceful-shutdown 25
Restart=always
RestartSec=1
LimitNOFILE=16384
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
EOF
  (cd source &&
    HOME=/srv/intowork DATABASE_URL="postgresql+psycopg://intowork_migrator:$MIGRATOR_PASSWORD@$ADDRESS:5432/intowork?sslmode=require" \
      runuser -u intowork --preserve-environment -- ../venv/bin/python -m alembic -c alembic.ini upgrade head)
  psql -qX -v ON_ERROR_STOP=1 -U postgres -d intowork \
    -c 'REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM intowork_app'
  systemctl daemon-reload
  systemctl enable -q --now intowork-api@blue
}

case "$1" in
  fetch) fetch "$2" ;;
  on-host)
    umask 022
    for step in packages host database backups pooler proxy application; do
      echo "$(date +%T) $step"
      "$step"
    done
    ;;
  *) controller "$@" ;;
esac
