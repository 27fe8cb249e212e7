# shellcheck shell=bash disable=SC2034 # its variables are for the tests
# SPDX-License-Identifier: Apache-2.0
# What every test starts with: . "$(dirname "$0")/lib.sh"
# It gives the test these names, and the functions below:
#   COLDSTART  the tool          TMP    an empty folder of its own, removed afterwards
#   STORE      a store in it, which is the tool's default      SERVERS  the folder with small servers
set -eEuo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# A test started by hand goes through the runner, for its namespaces and its clean environment.
if [[ -z ${E2E_TMP:-} ]]; then exec "$here/run" "$(basename "$0")"; fi

TMP=$E2E_TMP
STORE=$TMP/store
SERVERS=$here/servers
export COLDSTART_STORE=$STORE
export COLDSTART_IMAGE_LINGER=0 # no mount outlives its last replica, unless that is what is tested

coldstart() { "$COLDSTART" "$@"; }

# --- ending ---------------------------------------------------------------------------------------------------------

# fail WHY...: ends the test; names the line of the test file that led here.
fail() {
  trap - ERR
  local depth=0
  while [[ ${BASH_SOURCE[depth]} == */lib.sh ]]; do depth=$((depth + 1)); done
  echo "FAILED at ${BASH_SOURCE[depth]##*/}:${BASH_LINENO[depth - 1]}: $*" >&2
  exit 1
}
trap 'fail "$BASH_COMMAND"' ERR

# Says why on the last line, which is where the runner looks.
skip() {
  echo "$*" >&2
  exit 77
}

# at_exit COMMAND...: run when the test ends, however it ends; the last one given runs first
exit_commands=()
at_exit() { exit_commands=("$(printf '%q ' "$@")" "${exit_commands[@]}"); }
run_exit_commands() {
  local status=$? command
  set +e
  trap - ERR
  for command in "${exit_commands[@]}"; do eval "$command"; done
  exit "$status"
}
trap run_exit_commands EXIT
trap 'exit 143' TERM

# background COMMAND...: starts a helper of the test itself, ended with the test; its pid is in $!
background() {
  "$@" &
  at_exit kill_and_wait $!
}
kill_and_wait() {
  kill "$1" 2>/dev/null
  wait "$1" 2>/dev/null
}

# --- asserting ------------------------------------------------------------------------------------------------------

# assert_status N COMMAND...: COMMAND exits with N; what it wrote is in $out and $err afterwards
assert_status() {
  local want=$1 got=0
  shift
  "$@" >"$TMP/.out" 2>"$TMP/.err" </dev/null || got=$?
  out=$(<"$TMP/.out") err=$(<"$TMP/.err")
  [[ $got -eq $want ]] || fail "exit status $got, not $want, of: $*"$'\n'"stdout: $out"$'\n'"stderr: $err"
}

# assert_eq GOT WANT [WHAT]
assert_eq() { [[ $1 == "$2" ]] || fail "${3:-values differ}: got '$1', want '$2'"; }

# assert_contains TEXT PART
assert_contains() { [[ $1 == *"$2"* ]] || fail "no '$2' in: $1"; }

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fails the test if it does not in that time
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [[ $SECONDS -lt $deadline ]] || fail "waited in vain for: $*"
    sleep 0.05
  done
}

# --- what the machine must have -------------------------------------------------------------------------------------

need_root() { [[ $(id -u) -eq 0 ]] || skip "needs root"; }
need_fuse() {
  need_root
  [[ -c /dev/fuse ]] || skip "needs /dev/fuse"
}
need_criu() {
  need_root
  local criu=${COLDSTART_CRIU_PREFIX:-/opt/coldstart/criu}/bin/criu
  if [[ ! -x $criu ]] && ! command -v criu >/dev/null; then skip "needs CRIU: run 'make setup'"; fi
}
need_program() { command -v "$1" >/dev/null || skip "needs the program $1: run 'make setup'"; }

# need_rootfs small|torch: its path is in $ROOTFS
need_rootfs() {
  ROOTFS=${COLDSTART_FIXTURES:-/var/cache/coldstart-fixtures}/rootfs-$1
  [[ -d $ROOTFS ]] || skip "needs $ROOTFS: run 'make setup'"
}

# --- servers --------------------------------------------------------------------------------------------------------

# A TCP port nobody listens on now. Below the range from which the kernel takes ports of outgoing connections.
free_port() {
  local port
  while port=$(shuf -n 1 -i 20000-32000); do
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# Debian's redis-tools has the server under another name.
redis_server=(bash -c 'exec -a redis-server redis-check-rdb "$@"' redis-server)
