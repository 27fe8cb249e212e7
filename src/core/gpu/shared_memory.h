// SPDX-License-Identifier: Apache-2.0
#pragma once
// Device memory of another process, which that process exported by cuIpcGetMemHandle.

#include "core/gpu/device.h"

namespace coldstart {

/// An allocation of another process, open here, owned. Neither may be checkpointed while it is. Not copyable.
class SharedDeviceMemory {
 public:
  /// Throws CudaError for a handle that is none, or whose owner freed it or ended. The owner must be another
  /// process, and of the same GPU.
  SharedDeviceMemory(const CudaDevice& device, const cuda::IpcHandle& handle);
  SharedDeviceMemory(const SharedDeviceMemory&) = delete;
  SharedDeviceMemory& operator=(const SharedDeviceMemory&) = delete;
  ~SharedDeviceMemory();

  cuda::DevicePtr at() const { return at_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const CudaDevice& device_;
  cuda::DevicePtr at_ = 0;
  uint64_t bytes_ = 0;
};

/// The number by which the driver knows the GPU here. Throws Error::not_found.
int ordinal_of(const CudaDriver& driver, const GpuUuid& uuid);

}  // namespace coldstart
