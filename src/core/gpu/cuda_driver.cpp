// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/cuda_driver.h"

#include <array>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "core/base/process_tree.h"

namespace coldstart {

namespace {

constexpr std::array state_names = {"running", "locked", "checkpointed", "failed"};

/// The interface in which the driver got its functions for other processes.
constexpr int checkpoint_interface = 12080;

std::string library_file() {
  const char* named = std::getenv("COLDSTART_LIBCUDA");
  return named != nullptr && *named != '\0' ? named : "libcuda.so.1";
}

std::string hint_of(cuda::Result result, std::string_view step) {
  if (result == cuda::error_not_ready)
    return "its GPU was busy until the timeout: let it finish its work, or wait longer";
  if (result == cuda::error_out_of_memory && step == "restore")
    return "the GPU has too little free memory; the driver cannot try that again";
  if (result == cuda::error_operating_system && step == "restore")
    return "a restore that failed once can never succeed";
  if (result == cuda::error_not_permitted)
    return "the driver lets root do this only, and needs a GPU in persistence mode: 'nvidia-smi -pm 1'";
  if (step == "checkpoint" && (result == cuda::error_not_supported || result == cuda::error_operating_system))
    return "managed memory (UVM) and memory shared with other processes (IPC, NCCL) cannot be checkpointed; "
           "PyTorch needs driver 575";
  return {};
}

}  // namespace

const char* to_text(GpuState state) {
  const auto index = static_cast<size_t>(state);
  return index < state_names.size() ? state_names.at(index) : "unknown";
}

std::optional<GpuState> gpu_state_from(std::string_view text) {
  for (size_t i = 0; i < state_names.size(); ++i)
    if (text == state_names.at(i)) return static_cast<GpuState>(i);
  return std::nullopt;
}

CudaDriver::CudaDriver()
    : file_(library_file()), library_(file_.c_str(), "of the NVIDIA driver (libcuda1 on Debian)") {
  const auto driver_version = reinterpret_cast<cuda::Result (*)(int*)>(library_.find("cuDriverGetVersion"));
  if (const cuda::Result result = driver_version(&version_); result != cuda::success)
    throw Error::missing(fmt::format("the NVIDIA driver does not tell its version: CUDA error {}", result),
                         "reinstall the NVIDIA driver");
  if (version_ < 12000) return;  // it has no cuGetProcAddress of this kind, nor anything that we want
  get_proc_address_ = reinterpret_cast<decltype(get_proc_address_)>(library_.find("cuGetProcAddress_v2"));
  error_name_ = function<cuda::Result(cuda::Result, const char**)>("cuGetErrorName", 6000);
  error_text_ = function<cuda::Result(cuda::Result, const char**)>("cuGetErrorString", 6000);
  const auto find_here = [this](auto& pointer, const char* name) {
    pointer =
        reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(try_find(name, checkpoint_interface));
  };
  find_here(state_, "cuCheckpointProcessGetState");
  find_here(restore_thread_, "cuCheckpointProcessGetRestoreThreadId");
  find_here(lock_, "cuCheckpointProcessLock");
  find_here(checkpoint_, "cuCheckpointProcessCheckpoint");
  find_here(restore_, "cuCheckpointProcessRestore");
  find_here(unlock_, "cuCheckpointProcessUnlock");
}

void* CudaDriver::try_find(const char* name, int version) const {
  void* found = nullptr;
  int status = 0;
  if (get_proc_address_ == nullptr) return nullptr;
  return get_proc_address_(name, &found, version, 0, &status) == cuda::success ? found : nullptr;
}

void* CudaDriver::find(const char* name, int version) const {
  void* found = try_find(name, version);
  if (found == nullptr)
    throw Error::missing(
        fmt::format("the NVIDIA driver (CUDA {}.{}) has no {}", version_ / 1000, version_ % 1000 / 10, name),
        fmt::format("it came with CUDA {}.{}: use a newer driver", version / 1000, version % 1000 / 10));
  return found;
}

void CudaDriver::require_checkpoints() const {
  if (state_ != nullptr && restore_thread_ != nullptr && lock_ != nullptr && checkpoint_ != nullptr &&
      restore_ != nullptr && unlock_ != nullptr)
    return;
  throw Error::missing(fmt::format("the NVIDIA driver (CUDA {}.{}) cannot checkpoint processes",
                                   version_ / 1000, version_ % 1000 / 10),
                       "use driver 570 (CUDA 12.8) or newer");
}

void CudaDriver::init() {
  check(function<cuda::Result(unsigned)>("cuInit", 2000)(0), "initialise CUDA");
}

std::string CudaDriver::name_of(cuda::Result result) const {
  const char* text = nullptr;
  if (error_name_ == nullptr || error_name_(result, &text) != cuda::success || text == nullptr)
    return "CUDA error " + std::to_string(result);
  return text;
}

std::string CudaDriver::text_of(cuda::Result result) const {
  const char* text = nullptr;
  if (error_text_ == nullptr || error_text_(result, &text) != cuda::success || text == nullptr)
    return "CUDA error " + std::to_string(result);
  return text;
}

CudaError CudaDriver::error(cuda::Result result, const std::string& doing, std::string hint) const {
  const std::string text = text_of(result);
  return {
      result, text,
      Error(fmt::format("cannot {}: {} ({}): {}", doing, name_of(result), result, text), std::move(hint))};
}

void CudaDriver::check(cuda::Result result, const std::string& doing) const {
  if (result != cuda::success) throw error(result, doing, {});
}

void CudaDriver::check_process(cuda::Result result, const char* step, pid_t pid) const {
  if (result == cuda::success) return;
  throw error(result, fmt::format("{} the GPU state of {} (pid {})", step, status_field(pid, "Name"), pid),
              hint_of(result, step));
}

GpuState CudaDriver::state(pid_t pid) const {
  int state = 0;
  check_process(state_(pid, &state), "read", pid);
  return static_cast<GpuState>(state);
}

std::optional<pid_t> CudaDriver::restore_thread(pid_t pid) const {
  int tid = 0;
  if (restore_thread_(pid, &tid) != cuda::success) return std::nullopt;
  return tid;
}

void CudaDriver::lock(pid_t pid, std::chrono::milliseconds timeout) const {
  cuda::LockArgs args;
  args.timeout_ms = static_cast<uint32_t>(timeout.count());
  check_process(lock_(pid, &args), "lock", pid);
}

void CudaDriver::checkpoint(pid_t pid) const {
  cuda::CheckpointArgs args;
  check_process(checkpoint_(pid, &args), "checkpoint", pid);
}

void CudaDriver::restore(pid_t pid, const GpuMap& map) const {
  if (!map.empty() && !can_move())
    throw Error::incompatible("this NVIDIA driver cannot restore a process to another GPU",
                              "use driver 580 or newer, or a host with the GPUs of the snapshot");
  std::vector<cuda::GpuPair> pairs;
  for (const auto& [from, to] : map) pairs.push_back({from, to});
  cuda::RestoreArgs args;
  args.pairs = pairs.empty() ? nullptr : pairs.data();
  args.count = static_cast<uint32_t>(pairs.size());
  check_process(restore_(pid, &args), "restore", pid);
}

void CudaDriver::unlock(pid_t pid) const {
  cuda::UnlockArgs args;
  check_process(unlock_(pid, &args), "unlock", pid);
}

}  // namespace coldstart
