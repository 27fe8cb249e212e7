// SPDX-License-Identifier: Apache-2.0
#pragma once
// The door to NVIDIA's driver: libcuda.so.1, loaded late (COLDSTART_LIBCUDA names another), its functions
// found by cuGetProcAddress with the version of their interface. Only the controller's process and the
// programs that work on device memory call init(), which opens every GPU and takes seconds.

#include <chrono>
#include <optional>
#include <string>

#include <sys/types.h>

#include "core/base/error.h"
#include "core/base/late_library.h"
#include "core/gpu/cuda_types.h"
#include "core/gpu/gpu_uuid.h"

namespace coldstart {

using GpuState = cuda::ProcessState;
const char* to_text(
    GpuState state);  ///< "running", "locked", "checkpointed", "failed", as cuda-checkpoint has it
std::optional<GpuState> gpu_state_from(std::string_view text);

/// What the driver answered, beside what is told in words.
class CudaError : public Error {
 public:
  CudaError(cuda::Result result, std::string text, const Error& error)
      : Error(error), result_(result), text_(std::move(text)) {}
  cuda::Result result() const { return result_; }
  /// cuGetErrorString: "out of memory".
  const std::string& text() const { return text_; }

 private:
  cuda::Result result_;
  std::string text_;
};

/// The loaded library. Thread-safe after init().
class CudaDriver {
 public:
  /// Throws Error::missing where there is no driver.
  CudaDriver();

  /// 12080 for CUDA 12.8, which is driver 570.
  int version() const { return version_; }
  /// Throws Error::missing, naming the driver that is needed, where processes cannot be checkpointed.
  void require_checkpoints() const;
  /// True where a restore can move a process to other GPUs.
  bool can_move() const { return version_ >= 13000; }
  /// cuInit. Throws if it fails.
  void init();

  /// Those of a process, by the pid that we see. Each throws CudaError, which names the process, the step and
  /// what CUDA calls the error. They return when the driver is done, however long that is.
  GpuState state(pid_t pid) const;
  /// The thread of the process that does the work; nothing if it is no CUDA process.
  std::optional<pid_t> restore_thread(pid_t pid) const;
  /// running -> locked. Past the timeout (0: none) it is running again.
  void lock(pid_t pid, std::chrono::milliseconds timeout) const;
  void checkpoint(pid_t pid) const;                  ///< locked -> checkpointed
  void restore(pid_t pid, const GpuMap& map) const;  ///< checkpointed -> locked. Never to be repeated
  void unlock(pid_t pid) const;                      ///< locked -> running

  /// A function of the driver by its name without a suffix, in the interface of CUDA `version`. Throws
  /// Error::missing where the driver is older.
  template <class F>
  F* function(const char* name, int version) const {
    return reinterpret_cast<F*>(find(name, version));
  }
  /// Throws CudaError("cannot DOING: …") unless it is success.
  void check(cuda::Result result, const std::string& doing) const;
  /// "CUDA_ERROR_NOT_READY" and "device not ready".
  std::string name_of(cuda::Result result) const;
  std::string text_of(cuda::Result result) const;

 private:
  void* find(const char* name, int version) const;
  void* try_find(const char* name, int version) const;
  CudaError error(cuda::Result result, const std::string& doing, std::string hint) const;
  void check_process(cuda::Result result, const char* step, pid_t pid) const;

  const std::string file_;
  mutable LateLibrary library_;
  int version_ = 0;
  cuda::Result (*get_proc_address_)(const char*, void**, int, uint64_t, int*) = nullptr;
  cuda::Result (*error_name_)(cuda::Result, const char**) = nullptr;
  cuda::Result (*error_text_)(cuda::Result, const char**) = nullptr;
  cuda::Result (*state_)(int, int*) = nullptr;
  cuda::Result (*restore_thread_)(int, int*) = nullptr;
  cuda::Result (*lock_)(int, cuda::LockArgs*) = nullptr;
  cuda::Result (*checkpoint_)(int, cuda::CheckpointArgs*) = nullptr;
  cuda::Result (*restore_)(int, cuda::RestoreArgs*) = nullptr;
  cuda::Result (*unlock_)(int, cuda::UnlockArgs*) = nullptr;
};

}  // namespace coldstart
