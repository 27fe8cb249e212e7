// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a snapshot with GPU state depends on in its host, and whether, and on which GPUs, another host has it.

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/gpu/nvml.h"

namespace coldstart {

/// A GPU that processes of the snapshot used.
struct GpuFacts {
  GpuUuid uuid;
  std::string name;
  uint64_t total_bytes = 0;
  uint64_t used_bytes = 0;  ///< by the processes of the snapshot
};

/// Kept in the manifest as "gpu".
struct GpuSnapshotFacts {
  std::string driver;
  std::vector<GpuFacts> gpus;
  std::vector<pid_t> pids;  ///< of the processes with GPU state, as numbered inside
  uint64_t bytes = 0;       ///< what the processes grew by when device memory was copied to them

  Json to_json() const;
  /// Throws Error::corrupt.
  static GpuSnapshotFacts from_json(const Json& json, const std::string& document);
};

/// The GPUs that CUDA_VISIBLE_DEVICES, as given (null: not set), lets a program see.
std::vector<GpuInfo> visible_gpus(const std::vector<GpuInfo>& all, const char* visible_devices);

/// Which GPU takes the place of which: as `asked`, else each its own where it is among `visible` and has the
/// memory free, else the one of its kind with most free memory, else its own all the same. Throws
/// Error::incompatible (exit 5), naming what is lacking: an older driver, no GPU of that kind, less memory.
GpuMap choose_gpus(const GpuSnapshotFacts& facts, const GpuInventory& host,
                   const std::vector<GpuInfo>& visible, const GpuMap& asked);

/// Throws Error::incompatible unless there is room for it now: a restore that runs out of device
/// memory can never be repeated.
void require_free_device_memory(const GpuSnapshotFacts& facts, const GpuInventory& host, const GpuMap& map);

}  // namespace coldstart
