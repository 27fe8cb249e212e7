// SPDX-License-Identifier: Apache-2.0
#pragma once
// CUDA's types, declared here once more, so that a mistake in ours is not repeated.

#include <cstddef>
#include <cstdint>

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
struct CUuuid {
  uint8_t bytes[16];
};
struct CUipcMemHandle {
  char reserved[64];
};
struct CUcheckpointLockArgs {
  unsigned timeoutMs, reserved0;
  uint64_t reserved1[7];
};
struct CUcheckpointGpuPair {
  CUuuid oldUuid, newUuid;
};
struct CUcheckpointRestoreArgs {
  CUcheckpointGpuPair* gpuPairs;
  unsigned gpuPairsCount;
  char reserved[52 - sizeof(void*)];
  uint64_t reserved1;
};

enum : CUresult {
  success = 0,
  invalid_value = 1,
  out_of_memory = 2,
  not_initialized = 3,
  no_device = 100,
  invalid_context = 201,
  os = 304,
  illegal_state = 401,
  not_found = 500,
  not_ready = 600,
  not_supported = 801,
  unknown = 999
};
