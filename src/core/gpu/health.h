// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a GPU can be given work: what it tells of itself (memory errors, temperature, throttling, XID
// errors in the kernel's log), and whether it copies memory and multiplies two matrices as it should.

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/gpu/nvml.h"

namespace coldstart {

struct GpuHealth {
  GpuInfo gpu;
  std::vector<std::string> problems;       ///< none: it is healthy
  std::optional<double> bytes_per_second;  ///< of a copy within its memory; absent: not tried
  std::string text() const;                ///< "H100, 41 C, 2310 GB/s", or what is wrong
};

/// What NVML and the kernel's log tell; some milliseconds. Throws as gpu_inventory() does.
std::vector<GpuHealth> gpu_health_told();
/// What is wrong with a GPU that tells this of itself.
std::vector<std::string> problems_of(const GpuInfo& gpu);
/// And that the GPUs really work. Initialises CUDA, so for a child of its own that can be ended when it
/// hangs. Problems are added to `told`.
void try_gpus(std::vector<GpuHealth>& told);

}  // namespace coldstart
