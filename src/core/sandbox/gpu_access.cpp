// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/gpu_access.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>

#include <sys/stat.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/subprocess.h"
#include "core/sandbox/loader_cache.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

std::vector<DeviceNode> device_nodes() {
  std::vector<DeviceNode> nodes;
  const auto take = [&](const fs::path& path) {
    struct stat st {};
    if (::stat(path.c_str(), &st) == 0 && S_ISCHR(st.st_mode))
      nodes.push_back({path, st.st_mode, st.st_rdev});
  };
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/dev", none))
    if (entry.path().filename().string().starts_with("nvidia")) take(entry.path());
  for (const auto& entry : fs::directory_iterator("/dev/nvidia-caps", none)) take(entry.path());
  return nodes;
}

/// A name without a folder is for the loader to find, as if nothing were said.
fs::path named_by(const char* variable) {
  const char* value = std::getenv(variable);
  const fs::path named = value == nullptr ? "" : value;
  return named.has_parent_path() ? named : fs::path();
}

/// Where the loader finds it, or where it is on hosts whose loader does not know of it: NixOS, GKE, NVIDIA's
/// operator.
fs::path installed_libcuda() {
  constexpr const char* name = "libcuda.so.1";
  std::error_code ignored;
  try {
    fs::path found = LoaderCache(read_file("/etc/ld.so.cache", size_t{16} << 20)).find(name);
    if (!found.empty() && fs::exists(found, ignored)) return found;
  } catch (const Error&) {  // then only the others
  }
  for (const fs::path folder :
       {"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/run/opengl-driver/lib",
        "/home/kubernetes/bin/nvidia/lib64", "/usr/local/nvidia/lib64",
        "/run/nvidia/driver/usr/lib/x86_64-linux-gnu", "/run/nvidia/driver/usr/lib64"})
    if (fs::exists(folder / name, ignored)) return folder / name;
  return {};
}

/// "580.65.06" of "libcuda.so.580.65.06"; empty if there is no such.
std::string version_of(const fs::path& library) {
  const std::string name = library.filename();
  const size_t at = name.find(".so.");
  const std::string version = at == std::string::npos ? "" : name.substr(at + 4);
  return version.find('.') == std::string::npos ? "" : version;
}

std::string stem_of(const std::string& name) {
  return name.substr(0, name.find(".so"));
}

}  // namespace

void make_missing_nodes(const fs::path& host) {
  const fs::path program = host / "usr/bin/nvidia-modprobe";
  std::error_code ignored;
  if (fs::exists(host / "dev/nvidia-uvm", ignored) || !fs::exists(host / "sys/module/nvidia", ignored) ||
      !fs::exists(program, ignored))
    return;
  constexpr auto patience = std::chrono::seconds(20);  // it loads a part of the driver
  try {
    const Output said = run_program({program.string(), "-c", "0", "-u"}, patience);
    if (!said.exit.ok()) log::warn("{} failed ({}): {}", program.string(), said.exit.text(), said.err);
  } catch (const Error& e) {  // whoever wants a GPU will say more
    log::warn("the GPU's device nodes cannot be made: {}", e.message());
  }
}

std::vector<DriverLibrary> driver_libraries(const fs::path& libcuda) {
  std::error_code error;
  const fs::path file = fs::canonical(libcuda, error);
  if (error) return {};
  const std::string version = version_of(file);
  if (version.empty()) return {{file, "libcuda.so.1", {}}};
  std::vector<DriverLibrary> libraries;
  std::vector<fs::path> links;
  for (const auto& entry : fs::directory_iterator(file.parent_path(), error)) {
    const std::string name = entry.path().filename();
    // A part of the compiler has a version of its own.
    const bool ours = name.ends_with(".so." + version) || name.starts_with("libnvidia-nvvm70.so.");
    if (!name.starts_with("lib") || name.find(".so") == std::string::npos) continue;
    if (entry.is_symlink(error))
      links.push_back(entry.path());
    else if (ours && entry.is_regular_file(error))
      libraries.push_back({entry.path(), name, {}});
  }
  std::sort(libraries.begin(), libraries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::sort(links.begin(), links.end());
  for (DriverLibrary& library : libraries)
    for (const fs::path& link : links)  // first by its name, as there may be thousands
      if (stem_of(link.filename()) == stem_of(library.name) && fs::canonical(link, error) == library.source)
        library.links.push_back(link.filename());
  return libraries;
}

GpuAccess gpu_access() {
  make_missing_nodes("/");
  GpuAccess access{device_nodes(), {}, {}};
  const fs::path named = named_by("COLDSTART_LIBCUDA");
  if (access.nodes.empty() && named.empty()) return {};
  access.libraries = driver_libraries(named.empty() ? installed_libcuda() : named);
  if (access.libraries.empty())
    log::warn("programs in the image find no CUDA: there is no {}",
              named.empty() ? "libcuda.so.1 of the NVIDIA driver here" : named.string());
  std::error_code error;
  if (const fs::path nvml = fs::canonical(named_by("COLDSTART_LIBNVML"), error); !error)
    access.libraries.push_back({nvml, "libnvidia-ml.so.1", {}});
  const fs::path program = "/usr/bin/nvidia-smi";
  if (fs::is_regular_file(program, error)) access.programs.push_back(program);
  return access;
}

}  // namespace coldstart
