// SPDX-License-Identifier: Apache-2.0
#pragma once
// What NVIDIA's management library (libnvidia-ml.so.1; COLDSTART_LIBNVML names another) tells of the GPUs. It
// answers in milliseconds and, unlike CUDA, opens no GPU.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/gpu/gpu_uuid.h"

namespace coldstart {

/// A GPU as it was when asked. What the library or the GPU cannot tell is absent.
struct GpuInfo {
  unsigned index = 0;
  GpuUuid uuid;
  std::string name;
  std::string pci;  ///< its address as the kernel logs it, "0000:65:00"; empty if it is not told
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
  bool mig = false;                          ///< cut into several by MIG
  std::optional<uint64_t> uncorrected_ecc;   ///< uncorrected memory errors since the driver was loaded
  std::optional<unsigned> temperature;       ///< degrees Celsius
  std::optional<uint64_t> throttle_reasons;  ///< nvmlClocksThrottleReason… bits
  std::optional<bool> persistent;            ///< persistence mode: it stays initialised when nobody uses it
  std::map<pid_t, std::optional<uint64_t>> processes;  ///< that compute on it, and the bytes they have there
};

struct GpuInventory {
  std::string driver;  ///< "580.95.05"
  std::vector<GpuInfo> gpus;
};

/// Asks for all of it. Throws Error::missing where there is no such library, Error where it fails.
GpuInventory gpu_inventory();

/// XID errors that the kernel has logged since boot: the GPU's PCI address and the number, in order. Empty
/// where the log cannot be read.
struct Xid {
  std::string pci;
  unsigned number = 0;
  double seconds = 0;  ///< after the boot; 0 if the log does not say
};
std::vector<Xid> xids_in(std::string_view kernel_log);
std::vector<Xid> logged_xids();

}  // namespace coldstart
