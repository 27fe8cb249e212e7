#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Proves GPU snapshots on a real GPU, and prints tables for docs/gpu-results.md: tests/gpu/run.sh [--fake]
#
# It needs root, one GPU with driver 570 or newer (580 for all of it), and python3 with torch for part 2; of coldstart only
# build/gpu-bundle.tgz (make gpu-bundle), which it unpacks to /opt/coldstart-gpu. Under 9 minutes. With --fake it runs what
# is built here against the fake driver with a few megabytes: that tests the script, and its figures mean nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LC_ALL=C

say() { printf '\n## %s\n\n' "$*"; }
note() { echo "$*"; }
now() { echo "${EPOCHREALTIME/./}"; }               # microseconds
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", (b - a) / 1e6 }'; }
left() { [[ $SECONDS -lt ${1:-480} ]]; } # is there time for one more part?
failures=0
bad() {
  echo "FAIL: $*"
  failures=$((failures + 1))
}

work=$(mktemp -d "${TMPDIR:-/var/tmp}/coldstart-gpu.XXXXXX")
started=()
finish() {
  local pid
  for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  if [[ -n ${coldstart:-} ]]; then
    "$coldstart" --json ps 2>/dev/null | python3 -c 'import json, sys; [print(r["id"]) for r in json.load(sys.stdin)]' |
      xargs -r "$coldstart" stop >/dev/null 2>&1 || true
  fi
  if [[ -n $io_uring ]]; then sysctl -qw "kernel.io_uring_disabled=$io_uring" || true; fi
  rm -rf "$work"
}
io_uring= # as it was
trap finish EXIT

fake=
if [[ ${1:-} == --fake ]]; then fake=1; fi
[[ $(id -u) -eq 0 ]] || { echo "run.sh: needs root" >&2; exit 2; }
if [[ -n $fake ]]; then
  build=${BUILD:-$here/../../build/release}
  coldstart=$build/coldstart refill=$build/tests/gpu/refill-speed
  export COLDSTART_FAKE_GPU=$work/gpu COLDSTART_LIBCUDA=$build/tests/gpu/fake/libcuda.so.1
  export COLDSTART_LIBNVML=$build/tests/gpu/fake/libnvidia-ml.so.1
  mkdir "$COLDSTART_FAKE_GPU"
  fake_gpu() { echo "GPU-fa4e0000-0000-0000-0000-000000000001 $1 0 0 40 0 Fake H100" >"$COLDSTART_FAKE_GPU/gpus"; }
  fake_gpu 64
  sizes=(2 4) refill_mb=8 part2=()
else
  bundle=$here/../../build/gpu-bundle.tgz
  if [[ -f $here/../bin/coldstart ]]; then bundle=; fi # already unpacked
  if [[ -n $bundle ]]; then
    [[ -f $bundle ]] || { echo "run.sh: there is no $bundle: run 'make gpu-bundle' where coldstart is built" >&2; exit 2; }
    rm -rf /opt/coldstart-gpu
    mkdir -p /opt/coldstart-gpu
    tar -xzf "$bundle" -C /opt/coldstart-gpu
  fi
  coldstart=/opt/coldstart-gpu/bin/coldstart refill=/opt/coldstart-gpu/bin/refill-speed
  export COLDSTART_CRIU_PREFIX=/opt/coldstart-gpu/criu
  sizes=(1024 4096 16384) refill_mb=8192 part2=(8 16)
fi
export COLDSTART_STORE=$work/store
# A process that has it open cannot be checkpointed. It is the whole machine's setting: put back at the end.
if [[ -z $fake ]] && io_uring=$(sysctl -n kernel.io_uring_disabled 2>/dev/null); then
  sysctl -qw kernel.io_uring_disabled=2
fi
ln -s "$coldstart" "$work/cuda-checkpoint"
environment=(-e "PATH=$PATH")
for name in COLDSTART_FAKE_GPU COLDSTART_LIBCUDA LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES; do
  if [[ -n ${!name:-} ]]; then environment+=(-e "$name=${!name}"); fi
done

port=24750
get() { curl -sf --max-time 120 "$1" 2>/dev/null || python3 -c 'import sys, urllib.request as u
print(u.urlopen(sys.argv[1], timeout=120).read().decode())' "$1" 2>/dev/null; }
# wait_answer URL SECONDS: prints the first answer
wait_answer() {
  local end=$((SECONDS + $2))
  until get "$1"; do
    [[ $SECONDS -lt $end ]] || return 1
    sleep 0.02
  done
}
# start COMMAND...: detached from us in all that CRIU would mind; its pid is in $pid
start() {
  setsid python3 -c 'import os, sys; os.closerange(3, 4096); os.execvp(sys.argv[1], sys.argv[1:])' "$@" \
    </dev/null >"$work/server.log" 2>&1 &
  pid=$!
  disown # its end is no news
  started+=("$pid")
}
wait_gone() {
  while kill -0 "$1" 2>/dev/null; do sleep 0.02; done
}
end_all() {
  local one
  for one in "${started[@]}"; do
    kill -KILL "$one" 2>/dev/null || true
    wait_gone "$one"
  done
  started=()
}

echo "# GPU results"
note ""
if [[ -n $fake ]]; then
  note "FAKE driver: these figures mean nothing."
else
  note "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader), $(nproc) cores, $(uname -r), $(date -u +%F)"
fi
"$coldstart" doctor || true

say "1. The driver's calls, and the limits of the hardware"
python3 "$here/lifecycle.py" --bandwidth || bad "bandwidth"
note ""
PORT=24700 python3 "$here/lifecycle.py" "${sizes[@]}" || bad "lifecycle"

say "2. A server: cold, one helper a call with plain CRIU, coldstart"
criu=$("$coldstart" --json doctor | python3 -c 'import json, sys
print(next(c.get("path", "") for c in json.load(sys.stdin)["checks"] if c["name"] == "criu"))')

# compare NAME COMMAND...: URL is asked; each way prints its seconds to the first right answer
compare() {
  local name=$1 url="http://127.0.0.1:$port/?seed=7" t cold toggled ours answer
  shift
  t=$(now)
  start "$@"
  answer=$(wait_answer "$url" 180) || { bad "$name did not start: $(tail -n 3 "$work/server.log")"; return; }
  cold=$(since "$t")
  key() { python3 -c 'import json, sys; a = json.load(sys.stdin); print(a.get("sha256") or a["digest"])'; }
  want=$(key <<<"$answer")

  # as everyone does it: a process for each call
  mkdir "$work/images"
  if ! "$work/cuda-checkpoint" --action lock --pid "$pid" || ! "$work/cuda-checkpoint" --action checkpoint --pid "$pid" ||
    ! "$criu" dump -D "$work/images" -t "$pid" --tcp-close --shell-job -L "$work" -o dump.log; then
    bad "$name: plain CRIU's dump: $(tail -n 3 "$work/images/dump.log")"
  fi
  wait_gone "$pid"
  t=$(now)
  "$criu" restore -D "$work/images" --tcp-close --shell-job -d -L "$work" -o restore.log --pidfile "$work/pid" ||
    bad "$name: plain CRIU's restore: $(tail -n 3 "$work/images/restore.log")"
  pid=$(cat "$work/pid" 2>/dev/null || echo "$pid")
  started+=("$pid")
  if ! "$work/cuda-checkpoint" --action restore --pid "$pid" || ! "$work/cuda-checkpoint" --action unlock --pid "$pid"; then
    bad "$name: cuda-checkpoint's restore"
  fi
  answer=$(wait_answer "$url" 120) || { bad "$name: no answer after plain CRIU"; return; }
  toggled=$(since "$t")
  [[ $(key <<<"$answer") == "$want" ]] || bad "$name: another answer after plain CRIU"
  end_all
  rm -rf "$work/images"

  "$coldstart" snapshot -t "$name" "${environment[@]}" --ready "$url" --timeout 180 --gpu on -- "$@" >"$work/log" 2>&1 || {
    bad "$name: snapshot: $(tail -n 3 "$work/log")"
    return
  }
  sed 's/^/    /' "$work/log"
  local best=
  for _ in 1 2; do
    t=$(now)
    "$coldstart" restore "$name" -d --no-wait --name "$name" >"$work/log" 2>&1 || {
      bad "$name: restore: $(tail -n 3 "$work/log")"
      return
    }
    answer=$(wait_answer "$url" 120) || { bad "$name: no answer"; return; }
    ours=$(since "$t")
    [[ $(key <<<"$answer") == "$want" ]] || bad "$name: another answer"
    best=$(printf '%s\n' "$ours" ${best:+"$best"} | sort -n | head -n 1)
    "$coldstart" stop "$name" >/dev/null
  done
  awk -v n="$name" -v c="$cold" -v t="$toggled" -v o="$best" \
    'BEGIN { printf "| %s | %s s | %s s | %s s | %.1f | %.1f |\n", n, c, t, o, t / o, c / o }'
}
note "| server | cold | cuda-checkpoint + CRIU | coldstart | faster than those | than cold |"
note "|---|---|---|---|---|---|"
compare counter python3 "$here/counter.py" "$port" "$([[ -n $fake ]] && echo 4 || echo 1024)"
for gigabytes in "${part2[@]}"; do
  if left 330; then
    port=$((port + 1))
    compare "torch-$gigabytes-GB" python3 "$here/torch_server.py" "$port" "$gigabytes"
  else
    note "torch with $gigabytes GB: no time left"
  fi
done

say "3. Failures: the server runs on, or is gone with a reason"
port=$((port + 1))
start python3 "$here/counter.py" "$port" "${sizes[0]}"
wait_answer "http://127.0.0.1:$port/" 60 >/dev/null || bad "the counter does not start"
state() { "$work/cuda-checkpoint" --get-state --pid "$pid"; }
# kill -9 of coldstart in the middle: the controller puts it back by itself
for delay in 0.05 0.2 0.5 1; do
  "$coldstart" snapshot --pid "$pid" -t killed --leave-running >/dev/null 2>&1 &
  victim=$!
  sleep "$delay"
  kill -KILL "$victim" 2>/dev/null || true
  wait "$victim" 2>/dev/null || true
  for _ in $(seq 300); do
    if [[ $(state 2>/dev/null) == running ]] && [[ -z $(find "$COLDSTART_STORE/gpu" -name '*.journal' 2>/dev/null) ]]; then break; fi
    sleep 0.1
  done
  "$coldstart" recover
  if [[ $(state) == running ]] && get "http://127.0.0.1:$port/" >/dev/null; then
    note "killed after $delay s: it runs"
  else
    bad "killed after $delay s: $(state)"
  fi
done
# the controller killed
"$coldstart" snapshot --pid "$pid" -t killed --leave-running >/dev/null 2>&1 &
victim=$!
for _ in $(seq 100); do
  controller=$(pgrep -P "$victim" -f gpu-controller || true)
  if [[ -n $controller ]]; then break; fi
  sleep 0.01
done
sleep 0.3
if [[ -n $controller ]]; then kill -KILL "$controller" 2>/dev/null || true; fi
wait "$victim" 2>/dev/null || true
"$coldstart" recover
if [[ $(state) == running ]] && get "http://127.0.0.1:$port/" >/dev/null; then note "controller killed: it runs"; else bad "controller killed: $(state)"; fi

# too little device memory: refused before anything is touched
"$coldstart" snapshot --pid "$pid" -t full >"$work/log" 2>&1 || bad "snapshot: $(tail -n 2 "$work/log")"
end_all
if [[ -z $fake ]]; then
  free=$(nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits | head -n 1)
  start python3 "$here/counter.py" $((port + 1)) $((free - sizes[0] / 2 - 600))
  wait_answer "http://127.0.0.1:$((port + 1))/" 60 >/dev/null || bad "nothing fills the GPU"
else
  fake_gpu 1
fi
status=0
"$coldstart" restore full -d >"$work/log" 2>&1 || status=$?
if [[ $status -eq 5 ]]; then note "too little memory: $(head -n 1 "$work/log")"; else bad "too little memory: status $status, $(<"$work/log")"; fi
end_all
if [[ -n $fake ]]; then fake_gpu 64; fi

# a kernel that does not end, managed memory: with torch
if [[ -z $fake ]] && left 450 && python3 -c 'import torch' 2>/dev/null; then
  start python3 -c 'import torch; s = torch.cuda.Stream(); torch.cuda._sleep(int(1e11)); print("x", flush=True); torch.cuda.synchronize()'
  sleep 12
  "$coldstart" snapshot --pid "$pid" -t busy --gpu-timeout 1 >"$work/log" 2>&1 && bad "a busy GPU was snapshotted"
  if grep -q NOT_READY "$work/log"; then note "busy GPU: $(head -n 1 "$work/log")"; else bad "busy GPU: $(<"$work/log")"; fi
  end_all
  start python3 -c 'import ctypes, time, torch
torch.zeros(1, device="cuda"); p = ctypes.c_uint64()
print(ctypes.CDLL("libcuda.so.1").cuMemAllocManaged(ctypes.byref(p), ctypes.c_size_t(1 << 24), 1), flush=True); time.sleep(600)'
  sleep 10
  status=0
  "$coldstart" snapshot --pid "$pid" -t managed >"$work/log" 2>&1 || status=$?
  note "managed memory: status $status: $(head -n 2 "$work/log" | tr '\n' ' ')"
  end_all
fi

say "4. Refill of weights from the page cache, every byte verified"
note "| file | readers | refill | pinned copy | of it |"
note "|---|---|---|---|---|"
dd if=/dev/urandom of="$work/weights" bs=1M count="$refill_mb" status=none
cat "$work/weights" >/dev/null
for readers in 4 8 16; do
  if left 530; then "$refill" "$work/weights" "$readers" || bad "refill"; fi
done

say "5. Weights dropped before a snapshot, and filled in again by coldstart"
mkdir "$work/models"
python3 "$here/hinted_server.py" make "$work/models/model.safetensors" $((refill_mb / 4))
"$coldstart" image pack "$work/models" -t models >/dev/null || bad "no model"
# on_server PATH VERB: what coldstart said of it, as a line
on_server() {
  get "http://127.0.0.1:$port/$1" | python3 -c 'import json, sys
a = json.load(sys.stdin)
print("| %s | %.1f GB | %.2f s | %.1f GB/s |" % (sys.argv[1], a["bytes"] / 1e9, a["seconds"], a["bytes_per_second"] / 1e9))
sys.exit(len(a.get("kept", [])))' "$1" || bad "weights $1"
}
if left 530; then
  port=$((port + 2))
  export COLDSTART=$coldstart MODELS=models
  start python3 "$here/hinted_server.py" "$port" "$work/models/model.safetensors" gpu
  whole=$(wait_answer "http://127.0.0.1:$port/" 60) || bad "the server with weights does not start: $(tail -n 3 "$work/server.log")"
  note "| call | weights | time | speed |"
  note "|---|---|---|---|"
  on_server drop
  "$coldstart" snapshot --pid "$pid" -t hinted >"$work/log" 2>&1 || bad "snapshot without weights: $(tail -n 3 "$work/log")"
  wait_gone "$pid"
  "$coldstart" restore hinted -d --no-wait --name hinted >"$work/log" 2>&1 || bad "restore without weights: $(tail -n 3 "$work/log")"
  on_server refill
  [[ $(get "http://127.0.0.1:$port/") == "$whole" ]] || bad "the weights are not those from before"
  "$coldstart" stop hinted >/dev/null || true
fi

note ""
note "$failures failures, $SECONDS s"
[[ $failures -eq 0 ]]
