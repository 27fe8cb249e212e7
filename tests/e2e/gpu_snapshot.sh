#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server with GPU state comes back from its snapshot with its device memory, by the driver's calls in the right
# order (fake driver, real CRIU).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

port=$(free_port)
assert_status 0 coldstart --json snapshot -t s "${gpu_environment[@]}" --ready "http://127.0.0.1:$port/" \
  --pre-snapshot "touch $TMP/hook" -- python3 "$counter" "$port" 8
assert_eq "$(jq -r '[.stages[].name] | join(" ")' <<<"$out")" \
  "sandbox launch ready pre-snapshot gpu.checkpoint criu.dump store"
assert_eq "$(calls)" "lock checkpoint"
assert_eq "$(find "$STORE/gpu" -name '*.journal' | wc -l)" 0 "journals left"
assert_eq "$(used_device_memory)" 0 "device memory that is still used"
[[ -e $TMP/hook ]] || fail "--pre-snapshot was not run"
[[ $(jq '.stages[] | select(.name == "gpu.checkpoint").bytes' <<<"$out") -ge 8388608 ]] || fail "too few bytes: $out"
[[ $(jq .memory_bytes <<<"$out") -ge 8388608 ]] || fail "no device memory in it: $out"
assert_eq "$(coldstart --json snapshot inspect s | jq -r '.gpu.gpus[0].uuid')" "$uuid1"

want=$(python3 -c 'import hashlib as h
print(h.sha256((h.shake_256(b"coldstart").digest(1 << 20) * 8)[8:]).hexdigest())')
for memory in eager lazy shared; do
  rm -f "$GPU/calls" "$GPU/host_copies"
  assert_status 0 coldstart --json restore s -d --memory $memory
  id=$(jq -r '.replicas[0].id' <<<"$out")
  assert_eq "$(calls)" "restore unlock"
  assert_eq "$(jq -r '[.replicas[0].stages[].name] | index("gpu.restore") != null' <<<"$out")" true "stage gpu.restore"
  # the driver, which pins it for writing, waits for no page of it
  read -r size own _ <"$GPU/host_copies"
  assert_eq "$own of $size" "8388608 of 8388608" "of the host copy there, $memory"
  first=$(get "$port")
  [[ $(jq .count <<<"$first") -gt 1 ]] || fail "it counts anew: $first"
  assert_eq "$(jq -r .digest <<<"$first")" "$want" "its device memory"
  [[ $(used_device_memory) -ge 8388608 ]] || fail "its memory is not on the device"

  # what was restored can be snapshotted, and runs on
  rm "$GPU/calls"
  assert_status 0 coldstart --json snapshot --replica "$id" -t again --leave-running --gpu on
  assert_eq "$(calls)" "lock checkpoint restore unlock"
  assert_eq "$(get "$port" | jq .count)" $(($(jq .count <<<"$first") + 1)) "the count of what was left running"
  coldstart stop "$id" >/dev/null
done

# without a GPU: nothing is asked of the driver; --gpu on is an error
rm "$GPU/calls"
assert_status 0 coldstart --json snapshot -t none -- sleep 1000
assert_status 1 coldstart snapshot -t none --gpu on -- sleep 1000
assert_contains "$err" "no process of the server uses a GPU"
[[ ! -e $GPU/calls ]] || fail "the driver was called: $(calls)"
assert_status 2 coldstart restore none --gpu-map "$uuid1=$uuid2"
