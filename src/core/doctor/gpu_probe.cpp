// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/doctor/probes.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

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
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return "no NVIDIA driver: servers without a GPU only";
  int version = 0;
  const auto driver_version = reinterpret_cast<int (*)(int*)>(::dlsym(library, "cuDriverGetVersion"));
  if (driver_version == nullptr || driver_version(&version) != 0)
    throw Error("libcuda.so.1 does not tell its version", "reinstall the NVIDIA driver");
  const std::vector<std::string> gpus = models();
  const std::string found =
      fmt::format("CUDA {}.{}, {} GPU{}{}{}", version / 1000, version % 1000 / 10, gpus.size(),
                  gpus.size() == 1 ? "" : "s", gpus.empty() ? "" : ": ", fmt::join(gpus, ", "));
  if (::dlsym(library, "cuCheckpointProcessCheckpoint") == nullptr)
    throw Error(found + ", without checkpoints", "use driver 570 or newer");
  return found;
}

}  // namespace coldstart
