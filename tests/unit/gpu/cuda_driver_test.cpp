// SPDX-License-Identifier: Apache-2.0
// The binding against the fake driver, and its types against NVIDIA's own header where one is installed.
#include "core/gpu/cuda_driver.h"

#include <cstdlib>
#include <fstream>
#include <functional>

#include <doctest/doctest.h>
#include <unistd.h>

#include "core/base/files.h"
#include "core/gpu/nvml.h"

#if __has_include("/usr/local/cuda/include/cuda.h")
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include "/usr/local/cuda/include/cuda.h"
#pragma GCC diagnostic pop
#if CUDA_VERSION >= 13000
namespace types = coldstart::cuda;
static_assert(sizeof(types::Uuid) == sizeof(CUuuid));
static_assert(sizeof(types::IpcHandle) == sizeof(CUipcMemHandle));
static_assert(sizeof(types::LockArgs) == sizeof(CUcheckpointLockArgs));
static_assert(sizeof(types::CheckpointArgs) == sizeof(CUcheckpointCheckpointArgs));
static_assert(sizeof(types::GpuPair) == sizeof(CUcheckpointGpuPair));
static_assert(offsetof(types::GpuPair, new_uuid) == offsetof(CUcheckpointGpuPair, newUuid));
static_assert(sizeof(types::RestoreArgs) == sizeof(CUcheckpointRestoreArgs));
static_assert(offsetof(types::RestoreArgs, pairs) == offsetof(CUcheckpointRestoreArgs, gpuPairs));
static_assert(offsetof(types::RestoreArgs, count) == offsetof(CUcheckpointRestoreArgs, gpuPairsCount));
static_assert(sizeof(types::UnlockArgs) == sizeof(CUcheckpointUnlockArgs));
static_assert(int(types::ProcessState::failed) == CU_PROCESS_STATE_FAILED);
static_assert(types::error_not_ready == CUDA_ERROR_NOT_READY &&
              types::error_illegal_state == CUDA_ERROR_ILLEGAL_STATE);
static_assert(types::error_operating_system == CUDA_ERROR_OPERATING_SYSTEM);
static_assert(types::error_no_device == CUDA_ERROR_NO_DEVICE);
static_assert(types::error_not_supported == CUDA_ERROR_NOT_SUPPORTED);
#endif
#endif

using namespace coldstart;

namespace {

/// The fake's folder, and the environment that leads to it.
struct Fake {
  TempDir folder;
  Fake() {
    ::setenv("COLDSTART_FAKE_GPU", folder.path().c_str(), 1);
    ::setenv("COLDSTART_LIBCUDA", FAKE_DRIVER "/libcuda.so.1", 1);
    ::setenv("COLDSTART_LIBNVML", FAKE_DRIVER "/libnvidia-ml.so.1", 1);
  }
  ~Fake() {
    for (const char* name : {"COLDSTART_FAKE_GPU", "COLDSTART_LIBCUDA", "COLDSTART_LIBNVML"})
      ::unsetenv(name);
  }
  void put(const char* name, const std::string& text) { std::ofstream(folder.path() / name) << text; }
};

std::string told(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& e) {
    return e.message();
  }
  return {};
}

}  // namespace

TEST_CASE("a driver that is not there is missing") {
  ::setenv("COLDSTART_LIBCUDA", "/nonexistent/libcuda.so.1", 1);
  CHECK_THROWS_AS(CudaDriver(), Error);
  ::unsetenv("COLDSTART_LIBCUDA");
}

TEST_CASE("an old driver is named with what it cannot do") {
  Fake fake;
  fake.put("cuda_version", "12040");
  const CudaDriver driver;
  CHECK(driver.version() == 12040);
  CHECK(told([&] { driver.require_checkpoints(); }).find("CUDA 12.4") != std::string::npos);
  fake.put("cuda_version", "11000");
  CHECK_THROWS_AS(CudaDriver().require_checkpoints(), Error);
}

TEST_CASE("errors name the step, the process and what CUDA calls it") {
  Fake fake;
  CudaDriver driver;
  driver.require_checkpoints();
  driver.init();
  CHECK(driver.can_move());
  CHECK_FALSE(driver.restore_thread(::getpid()));
  const std::string text = told([&] { driver.lock(::getpid(), std::chrono::milliseconds(1)); });
  CHECK(text.find("cannot lock the GPU state of") == 0);
  CHECK(text.find("(pid " + std::to_string(::getpid()) + ")") != std::string::npos);
  CHECK(text.find("CUDA_ERROR_NOT_INITIALIZED (3): initialization error") != std::string::npos);
  fake.put("faults", "init 0 fail 100\n");
  CHECK(told([&] { driver.init(); }).find("CUDA_ERROR_NO_DEVICE") != std::string::npos);
}

TEST_CASE("NVML tells of the GPUs") {
  Fake fake;
  fake.put("gpus", "GPU-00000000-0000-0000-0000-000000000007 1024 1 3 71 8 NVIDIA H100 80GB\n");
  fake.put("driver", "575.51.03\n");
  const GpuInventory inventory = gpu_inventory();
  CHECK(inventory.driver == "575.51.03");
  REQUIRE(inventory.gpus.size() == 1);
  const GpuInfo& gpu = inventory.gpus.front();
  CHECK(gpu.name == "NVIDIA H100 80GB");
  CHECK(gpu.uuid.bytes.back() == 7);
  CHECK(gpu.pci == "0000:01:00");
  CHECK(gpu.total_bytes == uint64_t{1024} << 20);
  CHECK(gpu.mig);
  CHECK(gpu.uncorrected_ecc == 3);
  CHECK(gpu.temperature == 71U);
  CHECK(gpu.throttle_reasons == 8);
}
