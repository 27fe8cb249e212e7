#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# Weights that are in the image are stored once: a snapshot with --weights names the image's chunks, though tensors begin
# anywhere in memory and in the file. They come back exactly in every memory mode.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
need_fuse
need_rootfs torch

# An image with Python and little else, a server and its weights, which the server finds by a link.
hinted=$(cd "$here/../gpu" && pwd)/hinted_server.py
mb=96
tree=$TMP/tree
mkdir -p "$tree"/{models/blobs,srv,proc,dev,tmp,etc,usr/bin,usr/lib,usr/lib64}
for link in bin lib lib64; do ln -s "usr/$link" "$tree/$link"; done
cp -a "$ROOTFS/usr/lib/python3.11" "$tree/usr/lib/"
for file in $(chroot "$ROOTFS" sh -c 'ldd /bin/dash /usr/bin/python3.11 /usr/lib/python3.11/lib-dynload/*.so' |
  grep -o '/lib[^ ]*\.so[.0-9]*' | sort -u) \
  /usr/bin/python3 /usr/bin/sh; do
  mkdir -p "$tree/$(dirname "$file")"
  cp -L "$ROOTFS$file" "$tree$file"
done
cp "$hinted" "$tree/srv/weights.py"
python3 "$hinted" make "$tree/models/blobs/1234" $mb
ln -s ../models/blobs/1234 "$tree/srv/model.safetensors"
want=$(python3 - "${hinted%/*}" "$tree/models/blobs/1234" <<<'import sys; sys.path.insert(0, sys.argv[1]); import hinted_server
print(hinted_server.HostWeights(sys.argv[2]).digest())')
coldstart image pack "$tree" -t served >/dev/null

port=$(free_port)
taken=$(coldstart --json snapshot served -t warm --weights /srv/model.safetensors --ready "http://127.0.0.1:$port/" -- \
  python3 /srv/weights.py "$port" /srv/model.safetensors)
new=$(jq .new_bytes <<<"$taken")
[[ $(jq .weights_bytes <<<"$taken") -gt $((mb * 950000)) ]] || fail "too little was found: $taken"
[[ $(jq .memory_bytes <<<"$taken") -gt $((mb << 20)) ]] || fail "the weights are not in memory: $taken"
[[ $new -lt $(((mb << 20) * 15 / 100)) ]] || fail "$new bytes are new of $mb MB of weights"
echo "$new bytes are new, weights $mb MB: $(jq -c '.stages[-2:]' <<<"$taken")"

for mode in eager lazy shared auto; do
  id=$(restored warm --memory "$mode")
  assert_eq "$(get "$port" /)" "$want" "the weights restored by $mode"
  coldstart stop "$id" >/dev/null
done
# Without what this host keeps of it beside the store, and without the image's name: only the chunks.
rm -rf "$STORE/cache"
coldstart image rm served >/dev/null
coldstart store gc >/dev/null
assert_eq "$(coldstart --json snapshot verify warm | jq .ok)" true
for mode in eager lazy shared; do
  id=$(restored warm --memory "$mode")
  assert_eq "$(get "$port" /)" "$want" "the weights restored by $mode from chunks"
  coldstart stop "$id" >/dev/null
  rm -rf "$STORE/cache"
done

# Lazily from a remote: it has the image's chunks too.
coldstart push warm "$TMP/remote" >/dev/null
(
  export COLDSTART_STORE=$TMP/afar
  coldstart pull --lazy "$TMP/remote/warm:latest" -t warm >/dev/null
  for mode in lazy shared; do
    id=$(restored warm --memory "$mode")
    assert_eq "$(get "$port" /)" "$want" "the weights restored by $mode from a remote"
    coldstart stop "$id" >/dev/null
  done
  coldstart snapshot rm warm >/dev/null
  coldstart store gc >/dev/null # its memory too
)

# A restored replica is snapshotted again: still nothing is stored twice.
id=$(restored warm)
taken=$(coldstart --json snapshot --replica "$id" -t again --weights /srv/model.safetensors)
[[ $(jq .new_bytes <<<"$taken") -lt $(((mb << 20) * 5 / 100)) ]] || fail "much is new: $taken"
id=$(restored again)
assert_eq "$(get "$port" /)" "$want" "the weights of the second snapshot"
coldstart stop "$id" >/dev/null

# What is no such file is told before anything is frozen.
assert_status 3 coldstart snapshot -t no --weights /nowhere.safetensors -- sleep 1000
assert_contains "$err" "/nowhere.safetensors"
assert_status 4 coldstart snapshot -t no --weights "$hinted" -- sleep 1000
assert_status 2 coldstart snapshot -t no --weights model.safetensors -- sleep 1000
assert_nothing_left
