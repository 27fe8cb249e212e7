// SPDX-License-Identifier: Apache-2.0
// cuGetProcAddress: which symbols there are, and since which version of CUDA.
#include <map>
#include <string>

#include "fake_checkpoint.h"
#include "fake_driver.h"

using namespace fake;

extern "C" {

CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version, uint64_t, int* status) {
  struct Symbol {
    void* function;
    int since;
  };
#define FAKE(name, target, since)             \
  {                                           \
    name, {                                   \
      reinterpret_cast<void*>(&target), since \
    }                                         \
  }
  static const std::map<std::string, Symbol> symbols = {
      FAKE("cuInit", cuInit, 2000),
      FAKE("cuDriverGetVersion", cuDriverGetVersion, 2020),
      FAKE("cuGetErrorName", cuGetErrorName, 6000),
      FAKE("cuGetErrorString", cuGetErrorString, 6000),
      FAKE("cuDeviceGetCount", cuDeviceGetCount, 2000),
      FAKE("cuDeviceGet", cuDeviceGet, 2000),
      FAKE("cuDeviceGetName", cuDeviceGetName, 2000),
      FAKE("cuDeviceGetUuid", cuDeviceGetUuid_v2, 11040),
      FAKE("cuDeviceTotalMem", cuDeviceTotalMem_v2, 3020),
      FAKE("cuDevicePrimaryCtxRetain", cuDevicePrimaryCtxRetain, 7000),
      FAKE("cuDevicePrimaryCtxRelease", cuDevicePrimaryCtxRelease_v2, 11000),
      FAKE("cuCtxSetCurrent", cuCtxSetCurrent, 4000),
      FAKE("cuMemGetInfo", cuMemGetInfo_v2, 3020),
      FAKE("cuMemAlloc", cuMemAlloc_v2, 3020),
      FAKE("cuMemFree", cuMemFree_v2, 3020),
      FAKE("cuMemGetAddressRange", cuMemGetAddressRange_v2, 3020),
      FAKE("cuIpcGetMemHandle", cuIpcGetMemHandle, 4010),
      FAKE("cuIpcOpenMemHandle", cuIpcOpenMemHandle_v2, 11000),
      FAKE("cuIpcCloseMemHandle", cuIpcCloseMemHandle, 4010),
      FAKE("cuMemHostAlloc", cuMemHostAlloc, 2020),
      FAKE("cuMemFreeHost", cuMemFreeHost, 2000),
      FAKE("cuMemcpyHtoD", cuMemcpyHtoD_v2, 3020),
      FAKE("cuMemcpyDtoH", cuMemcpyDtoH_v2, 3020),
      FAKE("cuMemsetD8", cuMemsetD8_v2, 3020),
      FAKE("cuMemcpyHtoDAsync", cuMemcpyHtoDAsync_v2, 3020),
      FAKE("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync_v2, 3020),
      FAKE("cuMemcpyDtoDAsync", cuMemcpyDtoDAsync_v2, 3020),
      FAKE("cuStreamCreate", cuStreamCreate, 2000),
      FAKE("cuStreamDestroy", cuStreamDestroy_v2, 4000),
      FAKE("cuStreamSynchronize", cuStreamSynchronize, 2000),
      FAKE("cuEventCreate", cuEventCreate, 2000),
      FAKE("cuEventRecord", cuEventRecord, 2000),
      FAKE("cuEventSynchronize", cuEventSynchronize, 2000),
      FAKE("cuEventElapsedTime", cuEventElapsedTime, 2000),
      FAKE("cuEventDestroy", cuEventDestroy_v2, 4000),
      FAKE("cuModuleLoadData", cuModuleLoadData, 2000),
      FAKE("cuModuleUnload", cuModuleUnload, 2000),
      FAKE("cuModuleGetFunction", cuModuleGetFunction, 2000),
      FAKE("cuLaunchKernel", cuLaunchKernel, 4000),
      FAKE("cuCheckpointProcessGetState", process_state, 12080),
      FAKE("cuCheckpointProcessGetRestoreThreadId", process_restore_thread, 12080),
      FAKE("cuCheckpointProcessLock", process_lock, 12080),
      FAKE("cuCheckpointProcessCheckpoint", process_checkpoint, 12080),
      FAKE("cuCheckpointProcessRestore", process_restore, 12080),
      FAKE("cuCheckpointProcessUnlock", process_unlock, 12080),
  };
#undef FAKE
  int have = 0;
  cuDriverGetVersion(&have);
  const auto it = symbols.find(symbol);
  const int found = it == symbols.end() || it->second.since > have ? 1 : it->second.since > version ? 2 : 0;
  if (status != nullptr) *status = found;
  *function = found == 0 ? it->second.function : nullptr;
  return found == 0 ? success : not_found;
}

}  // extern "C"
