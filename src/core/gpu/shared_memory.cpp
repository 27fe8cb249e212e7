// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/shared_memory.h"

#include <fmt/format.h>

namespace coldstart {

using cuda::DevicePtr;
using cuda::Result;

SharedDeviceMemory::SharedDeviceMemory(const CudaDevice& device, const cuda::IpcHandle& handle)
    : device_(device) {
  constexpr unsigned lazy_peer_access = 1;  // the only flag that there is, and it must be given
  const CudaDriver& driver = device.driver();
  const auto open =
      driver.function<Result(DevicePtr*, cuda::IpcHandle, unsigned)>("cuIpcOpenMemHandle", 11000);
  driver.check(open(&at_, handle, lazy_peer_access), "open the server's device memory");
  DevicePtr start = 0;
  size_t bytes = 0;
  const auto range = driver.function<Result(DevicePtr*, size_t*, DevicePtr)>("cuMemGetAddressRange", 3020);
  if (const Result result = range(&start, &bytes, at_); result != cuda::success) {
    driver.function<Result(DevicePtr)>("cuIpcCloseMemHandle", 4010)(at_);
    driver.check(result, "ask for the size of the server's device memory");
  }
  bytes_ = bytes - (at_ - start);
}

SharedDeviceMemory::~SharedDeviceMemory() {
  try {
    device_.driver().function<Result(DevicePtr)>("cuIpcCloseMemHandle", 4010)(at_);
  } catch (const Error&) {  // what cannot be closed goes with the process
  }
}

int ordinal_of(const CudaDriver& driver, const GpuUuid& uuid) {
  int count = 0;
  driver.check(driver.function<Result(int*)>("cuDeviceGetCount", 2000)(&count), "count the GPUs");
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    cuda::Device device = 0;
    GpuUuid its;
    driver.check(driver.function<Result(cuda::Device*, int)>("cuDeviceGet", 2000)(&device, ordinal),
                 "find a GPU");
    driver.check(driver.function<Result(GpuUuid*, cuda::Device)>("cuDeviceGetUuid", 11040)(&its, device),
                 "ask for a GPU's UUID");
    if (its == uuid) return ordinal;
  }
  throw Error::not_found(fmt::format("there is no {} here", to_text(uuid)), "is it in CUDA_VISIBLE_DEVICES?");
}

}  // namespace coldstart
