#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Device memory that has the tensors of a file which an image has too is stored once, and comes back exactly (fake driver,
# real CRIU).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

hinted=$(cd "$here/../gpu" && pwd)/hinted_server.py
mb=64
port=$(free_port)
mkdir "$TMP/models"
model=$TMP/models/model.safetensors
python3 "$hinted" make "$model" $mb
coldstart image pack "$TMP/models" -t models >/dev/null
taken=$(coldstart --json snapshot -t warm "${gpu_environment[@]}" --weights "$model" --ready "http://127.0.0.1:$port/" -- \
  python3 "$hinted" "$port" "$model" gpu)
[[ $(jq .weights_bytes <<<"$taken") -gt $((mb * 950000)) ]] || fail "too little was found: $taken"
[[ $(jq .new_bytes <<<"$taken") -lt $(((mb << 20) * 15 / 100)) ]] || fail "too much is new: $taken"
want=$(python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import hinted_server
print(hinted_server.HostWeights(sys.argv[2]).digest())' "${hinted%/*}" "$model")
for mode in eager lazy shared; do
  id=$(coldstart --json restore warm -d --memory $mode | jq -r '.replicas[0].id')
  assert_eq "$(get "$port")" "$want" "device memory restored by $mode"
  coldstart stop "$id" >/dev/null
done

# Without an image the file's chunks are, and an image of it adds next to nothing.
taken=$(coldstart --json --store "$TMP/other" snapshot -t whole "${gpu_environment[@]}" --weights "$model" \
  --ready "http://127.0.0.1:$port/" -- python3 "$hinted" "$port" "$model" gpu)
[[ $(jq .new_bytes <<<"$taken") -gt $((mb << 20)) ]] || fail "where are the weights? $taken"
packed=$(coldstart --json --store "$TMP/other" image pack "$TMP/models" -t models)
[[ $(jq .new_bytes <<<"$packed") -lt $(((mb << 20) / 10)) ]] || fail "the image has it all again: $packed"
