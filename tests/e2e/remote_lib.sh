# shellcheck shell=bash disable=SC2034 # its variables are for the tests
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
