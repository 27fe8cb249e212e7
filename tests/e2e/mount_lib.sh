# shellcheck shell=bash disable=SC2154 # lib.sh gives them
# SPDX-License-Identifier: Apache-2.0
# For tests of the processes behind a mount: . "$(dirname "$0")/mount_lib.sh" after lib.sh.

# keeper_of DIR, server_of DIR: their pids; nothing if there is none
keeper_of() { pgrep -f "keep-image .*--mountpoint $1 " || true; }
server_of() { pgrep -f "serve-image .*--mountpoint $1 " || true; }

# kill_server DIR: kill -9, once there is one
kill_server() {
  local pid deadline=$((SECONDS + 30))
  # shellcheck disable=SC2086 # none, or several
  until pid=$(server_of "$1") && [[ -n $pid ]] && kill -9 $pid 2>/dev/null; do
    [[ $SECONDS -lt $deadline ]] || fail "there is no server of $1"
    sleep 0.01
  done
}

# start_readers N WANT GOT: that many of trees/read_against; finish_readers: ends them, fails if one saw an error
readers=()
start_readers() {
  local i
  for ((i = 0; i < $1; ++i)); do
    "$here/trees/read_against" "$TMP/stop-reading" "$2" "$3" >"$TMP/reader$i.log" 2>&1 &
    readers+=($!)
    at_exit kill_and_wait $!
  done
}
finish_readers() {
  local i
  touch "$TMP/stop-reading"
  for i in "${!readers[@]}"; do wait "${readers[i]}" || fail "a reader failed: $(cat "$TMP/reader$i.log")"; done
}

# make_tree DIR: some files, small and large, with holes
make_tree() {
  mkdir -p "$1/small"
  local i
  for i in {1..40}; do head -c $((RANDOM * 2 + 1)) /dev/urandom >"$1/small/$i"; done
  for i in {1..4}; do head -c $((5000000 + i)) /dev/urandom >"$1/large$i"; done
  truncate -s 3M "$1/hole"
  head -c 700000 /dev/urandom | dd of="$1/hole" bs=1M seek=1 conv=notrunc status=none
}
