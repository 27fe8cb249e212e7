#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Proves GPU snapshots on a real GPU, and prints tables for docs/gpu-results.md: tests/gpu/run.sh [--fake]
# What comes first tells most, should the time be too short for all.
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
# tail_of FILE: behind a failure
tail_of() {
  if [[ -s $1 ]]; then tail -n "${2:-12}" "$1" | sed 's/^/      | /'; fi
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
  if [[ -n $shm_size ]]; then mount -o "remount,size=${shm_size}k" /dev/shm || true; fi
  rm -rf "$work"
}
io_uring='' shm_size='' # as they were
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
  sizes=(1024 4096 16384) refill_mb=4096 part2=(8 16)
  # Where the driver is in no place that the loader knows.
  for name in cuda nvidia-ml; do
    variable=COLDSTART_LIB$([[ $name == cuda ]] && echo CUDA || echo NVML)
    if [[ -n ${!variable:-} ]] || ldconfig -p | grep -q "lib$name.so.1 "; then continue; fi
    for folder in ${LD_LIBRARY_PATH//:/ } /usr/local/nvidia/lib64 /usr/local/nvidia/lib /usr/lib64 /usr/lib/x86_64-linux-gnu; do
      if [[ -e $folder/lib$name.so.1 ]]; then
        export "$variable=$folder/lib$name.so.1"
        break
      fi
    done
  done
fi
export COLDSTART_STORE=$work/store
# A process that has it open cannot be checkpointed. It is the whole machine's setting: put back at the end.
if [[ -z $fake ]] && io_uring=$(sysctl -n kernel.io_uring_disabled 2>/dev/null); then
  sysctl -qw kernel.io_uring_disabled=2
fi
# Where the memory of snapshots is kept between restores; in a container it has 64 MB, and where a machine gets its memory
# as it is used, half of what that was at first.
shm_now=$(df -k --output=size /dev/shm | tail -n 1)
if [[ -z $fake && $shm_now -lt $((48 << 20)) ]] && mount -o remount,size=64g /dev/shm; then shm_size=${shm_now// /}; fi
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
# wait_said TEXT: until the process that was started last says it
wait_said() {
  local end=$((SECONDS + 60))
  until grep -q "$1" "$work/server.log" || [[ $SECONDS -gt $end ]]; do sleep 0.1; done
}
wait_gone() {
  local end=$((SECONDS + 30))
  while kill -0 "$1" 2>/dev/null && [[ $SECONDS -lt $end ]]; do sleep 0.02; done
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
note ""
note "$(df -h "$work" | awk 'NR == 2 { print $4 " free of " $2 " on " $6 }'), /dev/shm has $((shm_now >> 20)) GiB${shm_size:+ (64 for now)}, huge pages: $(</sys/kernel/mm/transparent_hugepage/enabled)"
if [[ -z $fake ]]; then python3 "$here/grow_memory.py" 64 25 || true; fi

say "1. The driver's calls, and the limits of the hardware"
python3 "$here/lifecycle.py" --bandwidth || bad "bandwidth"
note ""
lifecycle() { # FIRST_PORT MEBIBYTES...
  PORT=$1 timeout 120 python3 "$here/lifecycle.py" "${@:2}" 2>"$work/log" || {
    bad "lifecycle of ${*:2} MiB"
    tail_of "$work/log"
  }
}
lifecycle 24700 "${sizes[@]:0:2}"

say "2. A server: cold, one helper a call with plain CRIU, coldstart"
criu=$("$coldstart" --json doctor | python3 -c 'import json, sys
print(next((c.get("path", "") for c in json.load(sys.stdin)["checks"] if c["name"] == "criu"), ""))')
key() { python3 -c 'import json, sys; a = json.load(sys.stdin); print(a.get("sha256") or a["digest"])'; }
helper() { timeout 120 "$work/cuda-checkpoint" "$@" --pid "$pid" >>"$work/log" 2>&1; }

# As everyone does it, a process for each call: seconds to the first right answer of process $pid, in $toggled.
toggle() { # NAME URL ANSWER_WANTED
  local name=$1 url=$2 want=$3 t answer
  toggled=
  rm -rf "$work/images"
  mkdir "$work/images"
  : >"$work/log"
  if ! helper --action lock || ! helper --action checkpoint; then
    bad "$name: cuda-checkpoint's checkpoint"
    tail_of "$work/log"
    return
  fi
  python3 "$here/checkpointed.py" "$pid" >"$work/checkpointed.$name" 2>&1 || true
  if ! timeout 120 "$criu" dump -D "$work/images" -t "$pid" --tcp-close --shell-job -L "$work" -o dump.log >>"$work/log" 2>&1; then
    bad "$name: plain CRIU's dump"
    tail_of "$work/images/dump.log"
    return
  fi
  wait_gone "$pid"
  t=$(now)
  if ! timeout 120 "$criu" restore -D "$work/images" --tcp-close --shell-job -d -L "$work" -o restore.log --pidfile "$work/pid" \
    >>"$work/log" 2>&1; then
    bad "$name: plain CRIU's restore"
    tail_of "$work/images/restore.log"
    return
  fi
  pid=$(<"$work/pid")
  started+=("$pid")
  if ! helper --action restore || ! helper --action unlock; then
    bad "$name: cuda-checkpoint's restore"
    tail_of "$work/log"
    return
  fi
  answer=$(wait_answer "$url" 60) || { bad "$name: no answer after plain CRIU"; return; }
  toggled=$(since "$t")
  [[ $(key <<<"$answer") == "$want" ]] || bad "$name: another answer after plain CRIU"
}

# The same of coldstart, the better of two, in $ours; and of each stage of it, in $stages.
snapshot_and_restore() { # NAME URL ANSWER_WANTED COMMAND...
  local name=$1 url=$2 want=$3 t answer seconds
  shift 3
  ours='' stages=''
  timeout 240 "$coldstart" snapshot -t "$name" "${environment[@]}" --ready "$url" --timeout 180 --gpu on -- "$@" >"$work/log" 2>&1 || {
    bad "$name: snapshot"
    tail_of "$work/log"
    return
  }
  sed 's/^/    /' "$work/log"
  for _ in 1 2; do
    t=$(now)
    timeout 120 "$coldstart" --json restore "$name" -d --no-wait --name "$name" >"$work/restored" 2>"$work/log" || {
      bad "$name: restore"
      tail_of "$work/log"
      return
    }
    answer=$(wait_answer "$url" 60) || { bad "$name: no answer"; return; }
    seconds=$(since "$t")
    [[ $(key <<<"$answer") == "$want" ]] || bad "$name: another answer"
    if [[ -z $ours ]] || awk "BEGIN { exit !($seconds < $ours) }"; then
      ours=$seconds
      stages=$(python3 -c 'import json, sys
print(", ".join("%s %.2f s" % (s["name"], s["seconds"]) for s in json.load(sys.stdin)["replicas"][0]["stages"]))' <"$work/restored")
    fi
    "$coldstart" stop "$name" >/dev/null || bad "$name: it had ended"
  done
}

rows=()
# compare NAME COMMAND...: URL is asked; each way counts the seconds to the first right answer
compare() {
  local name=$1 url="http://127.0.0.1:$port/?seed=7" t cold answer want
  shift
  t=$(now)
  start "$@"
  answer=$(wait_answer "$url" 180) || { bad "$name did not start"; tail_of "$work/server.log"; end_all; return; }
  cold=$(since "$t")
  want=$(key <<<"$answer")
  toggle "$name" "$url" "$want"
  end_all
  rm -rf "$work/images"
  snapshot_and_restore "$name" "$url" "$want" "$@"
  rows+=("$(awk -v n="$name" -v c="$cold" -v t="$toggled" -v o="$ours" 'BEGIN {
    printf "| %s | %s s | %s | %s | %s | %s |", n, c, t ? t " s" : "-", o ? o " s" : "-",
      t && o ? sprintf("%.1f", t / o) : "-", o ? sprintf("%.1f", c / o) : "-" }')")
  note "$name: cold $cold s, toggled ${toggled:--} s, coldstart ${ours:--} s (${stages:--})"
  # Room for the next one.
  "$coldstart" snapshot rm "$name" >/dev/null 2>&1 || true
  "$coldstart" store gc >/dev/null 2>&1 || true
}
compare counter python3 "$here/counter.py" "$port" "$([[ -n $fake ]] && echo 4 || echo 1024)"
for gigabytes in "${part2[@]}"; do
  if left 330; then
    port=$((port + 1))
    compare "torch-$gigabytes-GB" python3 "$here/torch_server.py" "$port" "$gigabytes"
  else
    note "torch with $gigabytes GB: no time left"
  fi
done
note ""
note "| server | cold | cuda-checkpoint + CRIU | coldstart | faster than those (bar: 3) | than cold (bar: 10) |"
note "|---|---|---|---|---|---|"
printf '%s\n' "${rows[@]}"
note ""
note "What the driver leaves in a checkpointed process (the last server that was):"
file=$(find "$work" -maxdepth 1 -name 'checkpointed.*' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
if [[ -n $file ]]; then sed 's/^/    /' "$file"; fi

say "3. Refill of weights from the store (in the page cache), every byte verified"
mkdir "$work/models" "$work/mnt"
python3 "$here/model_weights.py" "$work/models/model.safetensors" "$refill_mb" || bad "no weights"
"$coldstart" image pack "$work/models" -t models >/dev/null || bad "no model"
rm -f "$work/models/model.safetensors"
cached_now() { find "$COLDSTART_STORE/cache/files" -type f -size +$((refill_mb - 1))M 2>/dev/null | grep -q .; }
if left 520; then
  note "| bf16 weights, from | readers | refill | pinned copy | of it (bar: 70 %) |"
  note "|---|---|---|---|---|"
  timeout 60 "$refill" "its chunks" "$COLDSTART_STORE" models model.safetensors 8 16 || bad "refill"
  # As on a host where a server has loaded them once.
  "$coldstart" mount models "$work/mnt" >/dev/null || bad "no mount"
  cat "$work/mnt/model.safetensors" >/dev/null || true
  for _ in $(seq 300); do
    if cached_now; then break; fi
    sleep 0.1
  done
  "$coldstart" umount "$work/mnt" >/dev/null || true
  cached_now || bad "the disk cache does not have the weights"
  cat "$COLDSTART_STORE"/cache/files/*/* >/dev/null || true
  timeout 60 "$refill" "the disk cache" "$COLDSTART_STORE" models model.safetensors 4 8 12 16 || bad "refill"
fi

say "4. Weights dropped before a snapshot, and filled in again by coldstart"
mkdir -p "$work/small"
python3 "$here/hinted_server.py" make "$work/small/model.safetensors" $((refill_mb / 4)) || bad "no weights"
"$coldstart" image pack "$work/small" -t small >/dev/null || bad "no model"
# on_server PATH VERB: what coldstart said of it, as a line
on_server() {
  get "http://127.0.0.1:$port/$1" | python3 -c 'import json, sys
a = json.load(sys.stdin)
print("| %s | %.1f GB | %.2f s | %.1f GB/s |" % (sys.argv[1], a["bytes"] / 1e9, a["seconds"], a["bytes_per_second"] / 1e9))
sys.exit(len(a.get("kept", [])))' "$1" || bad "weights $1"
}
if left 530; then
  port=$((port + 2))
  export COLDSTART=$coldstart MODELS=small
  start python3 "$here/hinted_server.py" "$port" "$work/small/model.safetensors" gpu
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

say "5. Failures: the server runs on, or is gone with a reason"
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
  "$coldstart" recover || bad "recover"
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
"$coldstart" recover || bad "recover"
if [[ $(state) == running ]] && get "http://127.0.0.1:$port/" >/dev/null; then note "controller killed: it runs"; else bad "controller killed: $(state)"; fi

# too little device memory: refused before anything is touched
"$coldstart" snapshot --pid "$pid" -t full >"$work/log" 2>&1 || bad "snapshot: $(tail -n 2 "$work/log")"
end_all
if [[ -z $fake ]]; then
  free=$(nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits | head -n 1)
  start python3 "$here/counter.py" $((port + 1)) $((free - sizes[0] / 2 - 600))
  wait_answer "http://127.0.0.1:$((port + 1))/ready" 60 >/dev/null || bad "nothing fills the GPU"
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
  start python3 -c 'import torch; torch.cuda._sleep(int(1e11)); print("started", flush=True); torch.cuda.synchronize()'
  wait_said started
  "$coldstart" snapshot --pid "$pid" -t busy --gpu-timeout 1 >"$work/log" 2>&1 && bad "a busy GPU was snapshotted"
  if grep -q NOT_READY "$work/log"; then note "busy GPU: $(head -n 1 "$work/log")"; else bad "busy GPU: $(<"$work/log")"; fi
  end_all
  start python3 -c 'import ctypes, time, torch
torch.zeros(1, device="cuda"); p = ctypes.c_uint64()
print(ctypes.CDLL("libcuda.so.1").cuMemAllocManaged(ctypes.byref(p), ctypes.c_size_t(1 << 24), 1), "started", flush=True); time.sleep(600)'
  wait_said started
  status=0
  "$coldstart" snapshot --pid "$pid" -t managed >"$work/log" 2>&1 || status=$?
  note "managed memory: status $status: $(head -n 2 "$work/log" | tr '\n' ' ')"
  end_all
fi

say "6. In a root of its own a server finds the host's driver, also when it is restored"
if left 510; then
  port=$((port + 2))
  inside=(--bind "$here:$here:ro")
  if [[ -n $fake ]]; then inside+=(--bind "$COLDSTART_FAKE_GPU:$COLDSTART_FAKE_GPU"); fi
  "$coldstart" snapshot -t inside --rootfs / "${inside[@]}" -e "PATH=$PATH" -e "COLDSTART_FAKE_GPU=${COLDSTART_FAKE_GPU:-}" \
    --ready "http://127.0.0.1:$port/ready" --timeout 60 -- python3 "$here/counter.py" "$port" "${sizes[0]}" >"$work/log" 2>&1 ||
    bad "snapshot of a server in an image: $(tail -n 3 "$work/log")"
  "$coldstart" restore inside -d --name inside "${inside[@]}" >"$work/log" 2>&1 || bad "restore: $(tail -n 3 "$work/log")"
  get "http://127.0.0.1:$port/" >/dev/null || bad "the restored server in an image does not answer"
  library=$("$coldstart" exec inside -- sh -c 'grep -ho "/[^ ]*libcuda[^ ]*" /proc/[0-9]*/maps | sort -u' | tr '\n' ' ') || true
  if [[ $library == /usr/local/nvidia-driver/lib64/* ]]; then note "it uses $library"; else bad "it uses ${library:-no libcuda}"; fi
  "$coldstart" stop inside >/dev/null || true
fi

if [[ ${#sizes[@]} -gt 2 ]] && left 500; then
  say "7. The driver's calls once more"
  lifecycle 24710 "${sizes[@]:2}"
fi

note ""
note "$failures failures, $SECONDS s"
[[ $failures -eq 0 ]]
