// SPDX-License-Identifier: Apache-2.0
#pragma once
// What programs in an image need of the host to use its GPUs: device nodes, and the part of the NVIDIA driver
// that runs in programs. No image has the latter, as it must be of the same version as the kernel's part.

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace coldstart {

struct DeviceNode {
  std::string path;
  mode_t mode;
  dev_t number;
};

/// A library of the driver.
struct DriverLibrary {
  std::filesystem::path source;    ///< on the host; no symlink
  std::string name;                ///< "libcuda.so.580.65.06"
  std::vector<std::string> links;  ///< other names of it: "libcuda.so.1", "libcuda.so"
};

struct GpuAccess {
  std::vector<DeviceNode> nodes;
  std::vector<DriverLibrary> libraries;
  std::vector<std::filesystem::path> programs;  ///< nvidia-smi
};

/// Of this host; empty where it has no GPU. Warns if only the libraries are lacking. COLDSTART_LIBCUDA and
/// COLDSTART_LIBNVML name the libraries of another driver than the installed one (a fake one, too).
GpuAccess gpu_access();

/// The driver makes its device nodes when a program on the host uses it for the first time, by NVIDIA's own
/// nvidia-modprobe, which no image has. So where that was not yet, it is called. `host`: the host's root.
void make_missing_nodes(const std::filesystem::path& host);

/// All libraries of the driver that `libcuda` is of, which stand beside it: they have its version at the end
/// of their names. If it has none, it alone, as libcuda.so.1.
std::vector<DriverLibrary> driver_libraries(const std::filesystem::path& libcuda);

}  // namespace coldstart
