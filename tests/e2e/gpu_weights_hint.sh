#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 240
# A server drops weights before its snapshot and gets them back after the restore, from the store into its device memory;
# what differs from the image stays (fake driver, real CRIU).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

hinted=$(cd "$here/../gpu" && pwd)/hinted_server.py
mb=64
port=$(free_port)
url=http://127.0.0.1:$port
mkdir "$TMP/models"
model=$TMP/models/model.safetensors
python3 "$hinted" make "$model" $mb
coldstart image pack "$TMP/models" -t models >/dev/null
# ask PATH: what the server answers, an error too
ask() { curl -s --max-time 60 "$url$1"; }
server=("${gpu_environment[@]}" -e "COLDSTART=$COLDSTART" -e "COLDSTART_STORE=$STORE" -e MODELS=models -e PYTHONDONTWRITEBYTECODE=1
  --ready "$url/" --pre-snapshot "curl -sf --max-time 60 $url/drop >$TMP/dropped" --
  python3 "$hinted" "$port" "$model" gpu)
want=$(python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import hinted_server
print(hinted_server.HostWeights(sys.argv[2]).digest())' "${hinted%/*}" "$model")

taken=$(coldstart --json snapshot -t warm "${server[@]}")
assert_eq "$(jq '.kept | length' "$TMP/dropped")" 0 "tensors that were kept"
assert_eq "$(jq '.bytes >= '$((mb << 20)) "$TMP/dropped")" true "all bytes were compared"
[[ $(jq .memory_bytes <<<"$taken") -lt $((mb << 20)) ]] || fail "the weights are in the snapshot: $taken"
[[ $(jq .new_bytes <<<"$taken") -lt $(((mb << 20) / 4)) ]] || fail "too much is new: $taken"

# Twice: what was filled is dropped again before a second snapshot.
for name in warm again; do
  id=$(coldstart --json restore $name -d --no-wait --post-restore "curl -sf --max-time 60 $url/refill >$TMP/filled" | jq -r '.replicas[0].id')
  wait_for 20 test -s "$TMP/filled"
  assert_eq "$(ask /)" "$want" "the weights after refill"
  assert_eq "$(jq '.bytes == '$((mb << 20)) "$TMP/filled")" true "all bytes were filled: $(<"$TMP/filled")"
  jq -e '.seconds > 0 and .bytes_per_second > 0' "$TMP/filled" >/dev/null || fail "no speed in $(<"$TMP/filled")"
  rm "$TMP/filled"
  # Filled memory is exported memory: the driver says no, and the server runs on.
  assert_status 1 coldstart snapshot --replica "$id" -t exported --gpu on
  assert_eq "$(ask /)" "$want" "the weights after a refused snapshot"
  coldstart snapshot --replica "$id" -t again --pre-snapshot "curl -sf --max-time 60 $url/drop >$TMP/dropped" >/dev/null
done

# A tensor that is not as in the file stays, found by its digest and by its bytes alike; it comes back as it was.
coldstart run -d --name changed "${server[@]:0:${#gpu_environment[@]}+8}" -- python3 "$hinted" "$port" "$model" gpu >/dev/null
wait_for 20 curl -sf "$url/"
assert_eq "$(ask /compare | jq -c .kept)" '[]' "kept, by handles"
ask /change >/dev/null
assert_eq "$(ask /compare | jq -c .kept)" '["layer.001"]' "kept, by handles, after a change"
changed=$(ask /)
[[ $changed != "$want" ]] || fail "nothing changed"
coldstart stop changed >/dev/null
coldstart run -d --name changed "${server[@]:0:${#gpu_environment[@]}+8}" -- python3 "$hinted" "$port" "$model" gpu >/dev/null
wait_for 20 curl -sf "$url/"
ask /change >/dev/null
coldstart snapshot --replica changed -t kept --pre-snapshot "curl -sf --max-time 60 $url/drop >$TMP/dropped" >/dev/null
assert_eq "$(jq -c .kept "$TMP/dropped")" '["layer.001"]' "kept"
id=$(coldstart --json restore kept -d --no-wait | jq -r '.replicas[0].id')
wait_for 20 curl -sf "$url/place" -o "$TMP/placed"
# The list by hand: what is wrong is refused, and nothing is written.
weights() { coldstart --json weights "$@"; }
assert_status 4 weights refill --list "$model"
jq '.tensors[0].offset = 1000000000' "$TMP/placed" >"$TMP/list"
assert_status 2 weights refill --list "$TMP/list"
assert_contains "$err" "not within its allocation"
jq '.tensors[0].bytes = 1000000000' "$TMP/placed" >"$TMP/list"
assert_status 2 weights refill --list "$TMP/list"
jq '.tensors[0].name = "other"' "$TMP/placed" >"$TMP/list"
assert_status 3 weights refill --list "$TMP/list"
jq 'del(.image)' "$TMP/placed" >"$TMP/list"
assert_status 2 weights refill --list "$TMP/list"
jq '.tensors[0].handle |= gsub("[0-9a-f]"; "7")' "$TMP/placed" >"$TMP/list"
assert_status 1 weights refill --list "$TMP/list"
jq '.gpu = "'$uuid2'"' "$TMP/placed" >"$TMP/list"
assert_status 3 weights refill --list "$TMP/list"
# A flipped bit on the way to the device is found if asked.
faults "htod 5 flip"
assert_status 4 weights refill --list "$TMP/placed" --read-back
assert_status 0 weights refill models --list "$TMP/placed" --read-back --readers 3 --buffer 1
assert_eq "$(ask /)" "$changed" "the weights, one of them changed"

# A damaged chunk never reaches the device.
for pack in "$STORE"/packs/*.pack; do
  size=$(stat -c %s "$pack")
  if [[ $size -gt $((mb << 20)) ]]; then printf 'xxxxxxxxxxxxxxxx' | dd of="$pack" bs=1 seek=$((size / 2)) conv=notrunc status=none; fi
done
assert_status 4 weights refill --list "$TMP/placed"

# What the disk cache has of a file that was read through a mount is taken from there. (The chunk is repaired for that.)
rm "$STORE"/packs/*.pack
coldstart image pack "$TMP/models" -t models >/dev/null
mkdir "$TMP/mnt"
coldstart mount models "$TMP/mnt" >/dev/null
at_exit coldstart umount "$TMP/mnt"
cat "$TMP/mnt/model.safetensors" >/dev/null
wait_for 30 bash -c "[[ -n \$(find $STORE/cache/files -type f -size +$((mb - 1))M 2>/dev/null) ]]"
for pack in "$STORE"/packs/*.pack; do
  size=$(stat -c %s "$pack")
  if [[ $size -gt $((mb << 20)) ]]; then printf 'xxxxxxxxxxxxxxxx' | dd of="$pack" bs=1 seek=$((size / 2)) conv=notrunc status=none; fi
done
assert_status 0 weights refill --list "$TMP/placed" --read-back
assert_eq "$(ask /)" "$changed" "the weights, from the disk cache"
coldstart stop "$id" >/dev/null
