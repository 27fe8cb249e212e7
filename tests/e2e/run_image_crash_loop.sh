#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An image server that dies as often as it is started is given up: the replicas end, and say why.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse
need_rootfs small
need_program jq

coldstart image pack "$ROOTFS" -t small >/dev/null
for i in 1 2; do
  coldstart run -d --name "r$i" small -- sh -c 'while :; do ls -R /usr >/dev/null; done' >/dev/null
done
at=$(echo "$STORE"/mounts/*/image)
alive() { coldstart --json ps | jq length; }
deadline=$((SECONDS + 60))
while [[ $(alive) -gt 0 ]]; do
  [[ $SECONDS -lt $deadline ]] || fail "the replicas go on"
  # shellcheck disable=SC2046 # none, or several
  kill -9 $(server_of "$at") 2>/dev/null || true
  sleep 0.01
done
for error in "$(coldstart --json ps -a | jq -r '.[0].error')" "$(coldstart --json ps -a | jq -r '.[1].error')"; do
  assert_contains "$error" "the image is served no more"
done
assert_contains "$(<"$STORE/logs/image-server.log")" "times in a row"
assert_eq "$(keeper_of "$at")$(server_of "$at")" "" "processes"
