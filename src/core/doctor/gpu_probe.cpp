// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/doctor/probes.h"
#include "core/gpu/cuda_driver.h"
#include "core/gpu/health.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr const char* no_driver = "no NVIDIA driver: servers without a GPU only";

/// Null where there is no driver.
std::unique_ptr<CudaDriver> driver_here() {
  try {
    return std::make_unique<CudaDriver>();
  } catch (const Error&) {
    return nullptr;
  }
}

/// As the kernel's part of the driver lists them: asking the library would first initialise every GPU, which
/// takes seconds.
std::vector<std::string> models() {
  std::vector<std::string> result;
  std::error_code failed;
  for (const auto& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", failed)) {
    std::ifstream in(gpu.path() / "information");
    for (std::string line; std::getline(in, line);)
      if (line.starts_with("Model:")) result.push_back(line.substr(line.find_first_not_of(" \t", 6)));
  }
  return result;
}

}  // namespace

std::string probe_gpu() {
  const std::unique_ptr<CudaDriver> driver = driver_here();
  if (!driver) return no_driver;
  const std::vector<std::string> gpus = models();
  std::string found =
      fmt::format("CUDA {}.{}, {} GPU{}{}{}", driver->version() / 1000, driver->version() % 1000 / 10,
                  gpus.size(), gpus.size() == 1 ? "" : "s", gpus.empty() ? "" : ": ", fmt::join(gpus, ", "));
  try {
    driver->require_checkpoints();
  } catch (const Error& e) {
    throw Error(found + ", without checkpoints", e.hint());
  }
  return found;
}

std::string probe_gpu_health() {
  if (!driver_here()) return no_driver;
  std::vector<GpuHealth> all = gpu_health_told();
  try_gpus(all);
  std::vector<std::string> told;
  bool healthy = true;
  for (const GpuHealth& one : all) {
    told.push_back(one.text());
    healthy = healthy && one.problems.empty();
  }
  std::string text = told.empty() ? "no GPU" : fmt::format("{}", fmt::join(told, "; "));
  if (!healthy) throw Error(text, "do not use that GPU; see the kernel's log and 'nvidia-smi -q'");
  return text;
}

}  // namespace coldstart
