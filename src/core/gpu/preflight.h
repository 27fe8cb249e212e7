// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the driver could not checkpoint, found before anything is touched, as far as it can be seen from
// outside: MIG, MPS, NCCL peers, too little host memory. Managed memory (UVM) cannot be seen; the driver
// refuses it.

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/gpu/nvml.h"

namespace coldstart {

/// Those that have the driver's library mapped: only they can use CUDA.
std::vector<pid_t> processes_with_libcuda(const std::vector<pid_t>& among);

/// Device memory of these processes, on all GPUs; as NVML tells it, with what CUDA itself needs.
uint64_t device_bytes(const GpuInventory& host, const std::vector<pid_t>& pids);

/// Throws an Error that names the first thing that is in the way. `pids` use CUDA.
void require_checkpointable(const GpuInventory& host, const std::vector<pid_t>& pids);

/// Says so where the host has no room for a copy of so much device memory; nothing where it has.
std::optional<std::string> lack_of_host_memory(uint64_t device_bytes);

/// What a process has in memory of its own, as the kernel counts it now: what a dump of it has to hold.
uint64_t resident_bytes(pid_t pid);

}  // namespace coldstart
