// SPDX-License-Identifier: Apache-2.0
#pragma once
// The few types of NVIDIA's driver API that we use, declared here so that building needs no CUDA toolkit.
// Where one is installed, a unit test compares them with its cuda.h.

#include <array>
#include <cstdint>

namespace coldstart::cuda {

using Result = int;  ///< CUresult
constexpr Result success = 0;
constexpr Result error_out_of_memory = 2;
constexpr Result error_not_initialized = 3;
constexpr Result error_no_device = 100;
constexpr Result error_operating_system = 304;
constexpr Result error_illegal_state = 401;
constexpr Result error_not_ready = 600;
constexpr Result error_not_permitted = 800;
constexpr Result error_not_supported = 801;

using Device = int;            ///< CUdevice
using DevicePtr = uint64_t;    ///< CUdeviceptr
using Context = void*;         ///< CUcontext
using Stream = void*;          ///< CUstream
using Event = void*;           ///< CUevent
using Module = void*;          ///< CUmodule
using FunctionHandle = void*;  ///< CUfunction

struct Uuid {
  std::array<uint8_t, 16> bytes{};
  bool operator==(const Uuid&) const = default;
  auto operator<=>(const Uuid&) const = default;
};

struct IpcHandle {  ///< CUipcMemHandle
  std::array<char, 64> bytes{};
};

enum class ProcessState : int { running = 0, locked, checkpointed, failed };

struct LockArgs {
  uint32_t timeout_ms = 0;
  uint32_t reserved0 = 0;
  std::array<uint64_t, 7> reserved1{};
};
struct CheckpointArgs {
  std::array<uint64_t, 8> reserved{};
};
struct GpuPair {
  Uuid old_uuid, new_uuid;
};
struct RestoreArgs {  ///< the pairs since driver 580; before, all of it was reserved
  GpuPair* pairs = nullptr;
  uint32_t count = 0;
  std::array<char, 44> reserved{};
  uint64_t reserved1 = 0;
};
struct UnlockArgs {
  std::array<uint64_t, 8> reserved{};
};

}  // namespace coldstart::cuda
