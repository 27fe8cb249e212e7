# shellcheck shell=bash disable=SC2034,SC2154 # its variables are for the tests, and theirs for it
# SPDX-License-Identifier: Apache-2.0
# What tests of remotes share: . "$here/remote_lib.sh" after lib.sh.

# A tree with small files, large ones, ones that do not compress, a hole. remote_tree DIR
remote_tree() {
  mkdir -p "$1/etc" "$1/lib"
  local i
  for i in $(seq 1 300); do echo "file $i of the tree, with a line of text" >"$1/etc/$i"; done
  head -c 3000000 /dev/urandom >"$1/lib/noise"
  seq 1 400000 >"$1/lib/numbers"
  truncate -s 2M "$1/lib/hole" && echo end >>"$1/lib/hole"
  ln -s noise "$1/lib/link"
}

# elsewhere COMMAND...: the tool with another store, as on another host
elsewhere() { "$COLDSTART" --store "$TMP/elsewhere" "$@"; }
forget_elsewhere() { rm -rf "$TMP/elsewhere"; }

# assert_same_tree A B
assert_same_tree() {
  local diff
  diff=$(rsync -aHAXSnic --delete "$1/" "$2/")
  [[ -z $diff ]] || fail "the trees $1 and $2 differ: $diff"
}

# field NAME: of the JSON in $out
field() { jq -r ".$1" <<<"$out"; }

# start_nginx FOLDER: serves it; its URL is in $URL
start_nginx() {
  need_program nginx
  local port
  port=$(free_port)
  mkdir -p "$TMP/nginx"
  cat >"$TMP/nginx/conf" <<END
daemon off; pid $TMP/nginx/pid; error_log $TMP/nginx/error.log; worker_processes 1;
events {}
http { access_log $TMP/nginx/access.log; client_body_temp_path $TMP/nginx; proxy_temp_path $TMP/nginx;
  fastcgi_temp_path $TMP/nginx; uwsgi_temp_path $TMP/nginx; scgi_temp_path $TMP/nginx;
  server { listen 127.0.0.1:$port; root $1; } }
END
  sed -i "1i user root;" "$TMP/nginx/conf"
  background nginx -e "$TMP/nginx/error.log" -c "$TMP/nginx/conf"
  URL=http://127.0.0.1:$port
  wait_for 20 curl -s -o "$TMP/nginx/answer" "$URL/"
}

# start_files FOLDER: tests/e2e/servers/files.py on it; its URL is in $URL, what it does in $CONTROL, requests in $LOG
start_files() {
  local port
  port=$(free_port)
  CONTROL=$TMP/control LOG=$TMP/requests
  echo ok >"$CONTROL"
  background python3 "$SERVERS/files.py" "$port" "$1" "$CONTROL" 2>"$LOG"
  URL=http://127.0.0.1:$port
  wait_for 20 curl -s -o "$TMP/answer" "$URL/"
}

# start_s3: a server that verifies signatures, with the bucket "models"; the credentials are in ~/.aws
start_s3() {
  /usr/bin/python3 -c 'import swift' 2>"$TMP/.swift" || skip "needs Debian's python3-swift: run 'make setup'"
  local port
  port=$(free_port)
  mkdir "$TMP/swift"
  background /usr/bin/python3 "$SERVERS/s3_server.py" "$port" "$TMP/swift" >"$TMP/s3.out" 2>"$TMP/s3.err"
  wait_for 60 grep -q ready "$TMP/s3.out"
  export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=test-region
  mkdir -p "$HOME/.aws"
  printf '[default]\naws_access_key_id = test:tester\naws_secret_access_key = testing\n' >"$HOME/.aws/credentials"
}

# start_registry [--login]: a Docker registry on $port, with --login for me:swordfish only
start_registry() {
  need_program docker-registry
  port=$(free_port)
  mkdir "$TMP/registry"
  cat >"$TMP/registry.yml" <<END
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $TMP/registry}}
http: {addr: "127.0.0.1:$port"}
END
  if [[ ${1:-} == --login ]]; then
    # bcrypt of "swordfish"
    echo 'me:$2b$05$.PaxkkfY5E5WtSIDb8vSj.1sOK/awgH.Ntgvbbq4uBYiIOoiwJcAi' >"$TMP/htpasswd"
    echo "auth: {htpasswd: {realm: test, path: $TMP/htpasswd}}" >>"$TMP/registry.yml"
  fi
  background docker-registry serve "$TMP/registry.yml" >"$TMP/registry.log" 2>&1
  wait_for 20 curl -s -o "$TMP/answer" "http://127.0.0.1:$port/v2/"
}
