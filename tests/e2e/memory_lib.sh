# shellcheck shell=bash disable=SC2034 # its variables are for the tests
# SPDX-License-Identifier: Apache-2.0
# What the memory tests share, after lib.sh: a checker that is dumped once and restored by plain CRIU, with our page
# server in the place of CRIU's own.

CHECKER=$(dirname "$COLDSTART")/tests/memory/memory-checker
CRIU=${COLDSTART_CRIU_PREFIX:-/opt/coldstart/criu}/bin/criu
CHECKED=$TMP/checked IMAGES=$TMP/images WORK=$TMP/work

need_checker() {
  need_criu
  [[ -x $CRIU ]] || CRIU=$(command -v criu)
  [[ -x $CHECKER ]] || skip "needs $CHECKER: run 'make build'"
  [[ -e /proc/self/task/$$/children ]] || skip "needs a kernel with /proc/PID/task/TID/children"
}

# dump_checker OPTION...: starts the checker, dumps it into $IMAGES, and lets it go on once it is restored
dump_checker() {
  mkdir "$CHECKED" "$IMAGES" "$WORK"
  # Nothing of ours may leak into it, so it gets no descriptor above 2.
  setsid "$CHECKER" "$CHECKED" "$@" </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 8>&- 10>&- &
  local pid=$!
  wait_for 60 test -e "$CHECKED/ready"
  "$CRIU" dump -t "$pid" -D "$IMAGES" -o dump.log -v1 || fail "criu dump: $(tail -n 5 "$IMAGES/dump.log")"
  wait "$pid" || true # killed by the dump
  touch "$CHECKED/go"
}

# start_page_server OPTION...: its pid is in $page_server; it listens
start_page_server() {
  rm -f "$TMP/status"
  mkfifo "$TMP/status"
  "$COLDSTART" --json lazy-pages --images-dir "$IMAGES" --work-dir "$WORK" --status-fd 5 -o pages.log -v4 "$@" \
    5>"$TMP/status" >"$TMP/served.json" 2>"$TMP/served.err" &
  # shellcheck disable=SC2034 # for those who source this
  page_server=$!
  head -c 1 "$TMP/status" >/dev/null
}

# restore_checker OPTION...: by plain CRIU; what it says about is in $WORK/restore.log; its pid is in $checker
restore_checker() {
  rm -f "$CHECKED"/{first,result,wrong} "$WORK/pid"
  "$CRIU" restore -D "$IMAGES" -W "$WORK" -o restore.log -v1 -d --pidfile pid "$@" || return
  checker=$(<"$WORK/pid")
}

alive() { [[ -e /proc/$1/stat && $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) != [ZX]* ]]; }
ended() { ! alive "$1"; }

# until_checked: waits for the checker's end; fails the test if it saw a wrong byte
until_checked() {
  wait_for 300 ended "$checker"
  [[ ! -e $CHECKED/wrong ]] || fail "$(<"$CHECKED/wrong")"
}

# snapshot_checker OPTION...: the same by coldstart, as the snapshot "checker"
snapshot_checker() {
  mkdir "$CHECKED"
  coldstart snapshot -t checker --ready-cmd "test -e $CHECKED/ready" -- "$CHECKER" "$CHECKED" "$@" >/dev/null
  touch "$CHECKED/go"
}

# until_replica_ended ID
replica_ended() { [[ $(coldstart --json ps | jq --arg id "$1" '[.[] | select(.id == $id)] | length') -eq 0 ]]; }
until_replica_ended() {
  wait_for 200 replica_ended "$1"
}
