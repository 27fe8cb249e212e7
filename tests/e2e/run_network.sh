#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --net private is a network of its own, reached by published ports; none has nothing; a taken port is a named
# error (fault 16).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small
need_program python3
need_program curl

# The same port inside, twice at once.
ports=()
for name in one two; do
  mkdir "$TMP/$name"
  echo "$name" >"$TMP/$name/file"
  head -c 2000000 /dev/urandom >"$TMP/$name/large"
  port=$(free_port)
  ports+=("$port")
  coldstart run -d --name "$name" --net private -p "127.0.0.1:$port:8000" -w "$TMP/$name" -- \
    python3 -m http.server --bind 127.0.0.1 8000 >/dev/null
  at_exit coldstart stop --timeout 1 "$name"
done
for i in 0 1; do
  name=$([[ $i -eq 0 ]] && echo one || echo two)
  wait_for 30 curl -sf "http://127.0.0.1:${ports[i]}/file"
  assert_eq "$(curl -s "http://127.0.0.1:${ports[i]}/file")" "$name"
  curl -s "http://127.0.0.1:${ports[i]}/large" | cmp - "$TMP/$name/large"
done

assert_status 1 coldstart run --net private -p "127.0.0.1:${ports[0]}:8000" -- true
assert_contains "$err" "port ${ports[0]}"
assert_eq "$(coldstart ps | wc -l)" 3 "lines of ps: a header and two"
assert_status 2 coldstart run -p 8080:80 -- true
assert_contains "$err" "--net private"
assert_status 2 coldstart run --net private -p nonsense -- true

interfaces='tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " "'
assert_status 0 coldstart run --rootfs "$ROOTFS" --net private -- sh -c "$interfaces"
assert_eq "$out" lo
assert_status 1 coldstart run --net none -- python3 -c \
  'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); socket.create_connection(s.getsockname(), 5)'
assert_contains "$err" "unreachable"
