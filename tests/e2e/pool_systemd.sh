#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pool takes its socket from systemd and tells it when it is ready and when it ends.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
# Stands for systemd: listens, hands the socket over as descriptor 3, and takes notifications.
cat >"$TMP/systemd.py" <<'PY'
import os, socket, sys
folder, command = sys.argv[1], sys.argv[2:]
listening = socket.socket(socket.AF_UNIX)
listening.bind(folder + "/activated")
listening.listen()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(folder + "/notify")
pid = os.fork()
if pid == 0:
    os.dup2(listening.fileno(), 3)
    os.set_inheritable(3, True)  # it may have been 3 already
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=folder + "/notify")
    os.execv(command[0], command)
open(folder + "/pid", "w").write(str(pid))
for _ in range(2):
    print(notify.recv(4096).decode(), flush=True)
print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
PY
python3 "$TMP/systemd.py" "$TMP" "$COLDSTART" pool warm s --bind "$SERVERS:/mnt:ro" --min 1 \
  --listen "unix:$TMP/activated" >"$TMP/said" 2>&1 &
at_exit end_pool
wait_for 60 grep -q READY=1 "$TMP/said"
service=$(<"$TMP/pid")
claim --timeout 60
assert_eq "$(answer / | jq .counter)" 5
coldstart pool release "$id" >/dev/null
kill "$service"
wait
assert_eq "$(grep -c STOPPING=1 "$TMP/said")" 1
assert_eq "$(tail -n 1 "$TMP/said")" "status 143"
assert_pool_gone
