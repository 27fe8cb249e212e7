#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server in an image, which has no driver, finds the host's: by the loader, in its cache, and again when it is restored
# with its GPU state (fake driver, real CRIU).
# timeout 120
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"
need_rootfs torch

inside=(--rootfs "$ROOTFS" --bind "$GPU:$GPU" -e "COLDSTART_FAKE_GPU=$GPU")
assert_status 0 coldstart run "${inside[@]}" -- python3 -c '
import ctypes
cuda, nvml = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
print(cuda.cuInit(0), nvml.nvmlInit_v2())'
assert_eq "$out" "0 0"
# What programs ask that look for it by themselves; the image's own libraries are still there.
cached=$(coldstart run "${inside[@]}" -- /sbin/ldconfig -p)
assert_contains "$cached" "libcuda.so.1 (libc6,x86-64) => /usr/local/nvidia-driver/lib64/libcuda.so.1"
own=$(coldstart run --rootfs "$ROOTFS" -e COLDSTART_LIBCUDA= -- cat /etc/ld.so.cache | wc -c)
[[ $own -gt 1000 ]] || fail "the image's own cache has $own bytes"
[[ $(grep -c ' => ' <<<"$cached") -gt 100 ]] || fail "the image's libraries are gone from its cache: $cached"
made_anew=$(coldstart run "${inside[@]}" -- sh -c '/sbin/ldconfig && /sbin/ldconfig -p')
assert_contains "$made_anew" "libcuda.so.1 (libc6,x86-64) => /usr/local/nvidia-driver/lib64/libcuda.so.1"
# It is the host's, and nobody inside changes it.
assert_status 2 coldstart run "${inside[@]}" -- sh -c 'echo >>/usr/local/nvidia-driver/lib64/libcuda.so.1'
assert_contains "$err" "Read-only file system"
# Without a GPU there is nothing of it.
unset COLDSTART_LIBCUDA COLDSTART_LIBNVML
if [[ ! -e /dev/nvidiactl ]]; then
  assert_eq "$(coldstart run --rootfs "$ROOTFS" -- /sbin/ldconfig -p | grep -c libcuda.so)" 0
fi
export COLDSTART_LIBCUDA=$fake_driver/libcuda.so.1 COLDSTART_LIBNVML=$fake_driver/libnvidia-ml.so.1

# A loader's cache that is none, or is not there; and an image with something where others have NVIDIA's.
mkdir "$TMP/upper" "$TMP/work" "$TMP/other"
mount -t overlay overlay -o "lowerdir=$ROOTFS,upperdir=$TMP/upper,workdir=$TMP/work" "$TMP/other"
at_exit umount "$TMP/other"
ln -s /nowhere "$TMP/other/usr/local/nvidia"
for cache in garbage none; do
  rm -f "$TMP/other/etc/ld.so.cache"
  if [[ $cache == garbage ]]; then head -c 5000 /dev/urandom >"$TMP/other/etc/ld.so.cache"; fi
  assert_status 0 coldstart run --rootfs "$TMP/other" --bind "$GPU:$GPU" -e "COLDSTART_FAKE_GPU=$GPU" -- \
    python3 -c 'import ctypes; print(ctypes.CDLL("libcuda.so.1").cuInit(0))'
  assert_eq "$out" 0 "with a cache that is $cache"
done

# The state on the GPU goes with it.
port=$(free_port)
inside+=(--bind "${counter%/*}:/gpu:ro")
coldstart snapshot -t s "${inside[@]}" --net private --ready "http://127.0.0.1:$port/" --warmup "http://127.0.0.1:$port/" -- \
  python3 /gpu/counter.py "$port" 8 >/dev/null
assert_eq "$(used_device_memory)" 0 "bytes on the GPU after the snapshot"
for _ in 1 2; do
  started=$(coldstart --json restore s -d --bind "$GPU:$GPU" --bind "${counter%/*}:/gpu:ro")
  id=$(jq -r '.replicas[0].id' <<<"$started")
  [[ $(used_device_memory) -ge $((8 << 20)) ]] || fail "nothing is on the GPU: $started"
  coldstart exec "$id" -- python3 -c 'import ctypes; ctypes.CDLL("libcuda.so.1")'
  coldstart exec "$id" -- python3 -c "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:$port/').read().decode())" >"$TMP/answer"
  cat "$TMP/answer" >>"$TMP/answers"
  coldstart stop "$id" >/dev/null
done
assert_eq "$(sort -u "$TMP/answers" | wc -l)" 1 "different answers of the same snapshot"
