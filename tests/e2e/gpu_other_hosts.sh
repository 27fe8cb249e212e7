#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# GPU state on other hosts: what does not fit is refused by name before anything is touched (fault 13), another GPU of
# the same kind takes the place of one that is not there.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

port=$(free_port)
start=(snapshot -t s "${gpu_environment[@]}" --gpu on --ready "http://127.0.0.1:$port/" -- python3 "$counter" "$port" 8)

# what cannot be snapshotted
echo 12040 >"$GPU/cuda_version"
assert_status 6 coldstart "${start[@]}"
assert_contains "$err" "use driver 570"
rm "$GPU/cuda_version"
gpus "$uuid1 1024 1 0 40 0 Fake H100"
assert_status 1 coldstart "${start[@]}"
assert_contains "$err" "MIG"
[[ ! -e $GPU/calls ]] || fail "the driver was called: $(calls)"

gpus "$uuid1 1024 0 0 40 0 Fake H100"
# what our caller may see of the GPUs says nothing of the server
assert_status 0 env CUDA_VISIBLE_DEVICES= "$COLDSTART" "${start[@]}"
refused() {
  rm -f "$GPU/calls"
  assert_status 5 coldstart restore s -d
  assert_contains "$err" "$1"
  [[ ! -e $GPU/calls ]] || fail "the driver was called: $(calls)"
  assert_eq "$(coldstart --json ps | jq length)" 0 "replicas"
}

gpus "$uuid1 1024 0 0 40 0 Fake A100"
refused "is a Fake A100"
gpus "$uuid2 4 0 0 40 0 Fake H100"
refused "needs a Fake H100 with 8 MiB"
gpus "$uuid1 1024 0 0 40 0 Fake H100"
echo 575.1 >"$GPU/driver"
refused "driver 575.1 is older"
rm "$GPU/driver"
(COLDSTART_LIBNVML=$TMP/none && refused "needs a GPU")

# another process has the memory
mkdir -p "$GPU/vram/$uuid1"
gpus "$uuid1 12 0 0 40 0 Fake H100"
truncate -s 6M "$GPU/vram/$uuid1/other"
exec 9<"$GPU/vram/$uuid1/other"
flock 9
refused "needs 8 MiB of memory on $uuid1, and 6 MiB are free"
exec 9<&-
rm "$GPU/vram/$uuid1/other"

# two at once, where there is room for one: neither is left behind
assert_status 5 coldstart restore s -d -n 2 --net private --name both
assert_contains "$err" "needs 8 MiB of memory on $uuid1, and 4 MiB are free"
assert_eq "$(coldstart --json ps | jq length)" 0 "replicas"
assert_eq "$(find "$STORE/gpu" -name '*.journal' | wc -l)" 0 "journals left"

# another GPU of its kind: by itself, as told, as CUDA_VISIBLE_DEVICES has it
moved_to() { [[ -n $(find "$GPU/vram/$1" -type f -size +4M 2>/dev/null) ]] || fail "its memory is not on $1"; }
gpus "$uuid2 1024 0 0 40 0 Fake H100"
assert_status 0 coldstart restore s -d --name moved
moved_to "$uuid2"
get "$port" >/dev/null
coldstart stop moved >/dev/null
gpus "$uuid1 1024 0 0 40 0 Fake H100" "$uuid2 1024 0 0 40 0 Fake H100"
assert_status 0 coldstart restore s -d --name moved --gpu-map "$uuid1=$uuid2"
moved_to "$uuid2"
coldstart stop moved >/dev/null
assert_status 0 env CUDA_VISIBLE_DEVICES=1 "$COLDSTART" restore s -d --name moved
moved_to "$uuid2"
coldstart stop moved >/dev/null
# where there is room, too
gpus "$uuid1 12 0 0 40 0 Fake H100" "$uuid2 12 0 0 40 0 Fake H100"
assert_status 0 coldstart restore s -d -n 2 --net private --name both
moved_to "$uuid1"
moved_to "$uuid2"
coldstart stop both-1 both-2 >/dev/null
assert_status 2 coldstart restore s --gpu-map "nonsense"
assert_status 5 coldstart restore s --gpu-map "$uuid1=GPU-00000000-0000-0000-0000-000000000000"
