// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a GPU can be given work: what it tells of itself (memory errors, temperature, throttling, XID
// errors in the kernel's log), and whether it copies memory and multiplies two matrices as it should.

#include <map>
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

/// What NVML and the kernel's log tell; some milliseconds. Of the log, what came later than `xids_since`
/// seconds after the boot: a GPU that was reset after an error may well work again. Throws as
/// gpu_inventory() does.
std::vector<GpuHealth> gpu_health_told(double xids_since = 0);
/// What is wrong with a GPU that tells this of itself.
std::vector<std::string> problems_of(const GpuInfo& gpu);
/// What of the kernel's log, since so many seconds after the boot, says that a GPU needs a reset or a repair.
/// It names PCI addresses: a GPU that does not tell its own is suspected of all.
std::vector<std::string> problems_of(const GpuInfo& gpu, const std::vector<Xid>& xids, double since);
/// And whether the GPUs really work: all at once, each in a process of its own that sees no other, for which
/// CUDA is initialised. Which does not answer within two seconds is ill. Problems are added to `told`. For a
/// process with one thread.
void try_gpus(std::vector<GpuHealth>& told);

/// [{"uuid": "GPU-…", "name": …, "problems": […], "bytes_per_second": …}, …]
OrderedJson to_json(const std::vector<GpuHealth>& all);
/// Of that, the problems of each. Throws Error::corrupt.
std::map<GpuUuid, std::vector<std::string>> gpu_problems_from(const Json& json);

}  // namespace coldstart
