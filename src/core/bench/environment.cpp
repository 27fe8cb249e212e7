// SPDX-License-Identifier: Apache-2.0
#include "core/bench/environment.h"

#include <filesystem>
#include <fstream>
#include <regex>

#include <fmt/format.h>
#include <fmt/ranges.h>
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/subprocess.h"
#include "core/checkpoint/criu_program.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// What stands behind the first line of `file` that starts with `key` and a separator; empty if none does.
std::string value_in(const fs::path& file, const std::string& key, char separator) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t at = line.find(separator);
    if (!line.starts_with(key) || at == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t\"", at + 1);
    if (begin == std::string::npos) return {};
    return line.substr(begin, line.find_last_not_of(" \t\"") - begin + 1);
  }
  return {};
}

unsigned usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(CPU_COUNT(&set));
}

std::vector<std::string> gpu_models() {
  std::vector<std::string> models;
  std::error_code none;
  for (const auto& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", none))
    models.push_back(value_in(gpu.path() / "information", "Model", ':'));
  return models;
}

/// The first version number that a program says, or nothing.
std::string version_of(const std::vector<std::string>& argv) {
  try {
    const Output said = run_program(argv);
    std::smatch match;
    const std::string text = said.out + said.err;
    if (std::regex_search(text, match, std::regex(R"([0-9]+\.[0-9]+(\.[0-9]+)?)"))) return match.str();
    return "?";
  } catch (const Error&) {
    return {};
  }
}

std::map<std::string, std::string> versions_here() {
  std::map<std::string, std::string> versions = {{"coldstart", COLDSTART_VERSION},
                                                 {"libfuse", ::fuse_pkgversion()}};
  try {
    versions["criu"] = CriuProgram::find().version();
  } catch (const Error&) {
    // Absent says it.
  }
  for (const std::vector<std::string>& argv :
       std::initializer_list<std::vector<std::string>>{{"mksquashfs", "-version"},
                                                       {"mkfs.erofs", "--version"},
                                                       {"zstd", "--version"},
                                                       {"tar", "--version"}})
    if (const std::string version = version_of(argv); !version.empty()) versions[argv[0]] = version;
  return versions;
}

}  // namespace

Environment Environment::here() {
  Environment e;
  utsname system{};
  check(::uname(&system), "cannot tell the kernel");
  e.kernel = system.release;
  e.system = value_in("/etc/os-release", "PRETTY_NAME", '=');
  e.cpu = value_in("/proc/cpuinfo", "model name", ':');
  e.cores = usable_cores();
  e.memory_bytes =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  e.gpus = gpu_models();
  e.versions = versions_here();
  return e;
}

OrderedJson Environment::to_json() const {
  return {{"kernel", kernel},
          {"system", system},
          {"cpu", cpu},
          {"cores", cores},
          {"memory_bytes", memory_bytes},
          {"gpus", gpus},
          {"versions", versions}};
}

Environment Environment::from_json(const Json& json, const std::string& document) {
  Environment e;
  e.kernel = field<std::string>(json, "kernel", document);
  e.system = field<std::string>(json, "system", document);
  e.cpu = field<std::string>(json, "cpu", document);
  e.cores = field<unsigned>(json, "cores", document);
  e.memory_bytes = field<uint64_t>(json, "memory_bytes", document);
  e.gpus = field<std::vector<std::string>>(json, "gpus", document);
  e.versions = field<std::map<std::string, std::string>>(json, "versions", document);
  return e;
}

bool Environment::like(const Environment& other) const {
  return cpu == other.cpu && cores == other.cores && kernel == other.kernel;
}

std::vector<std::pair<std::string, std::string>> Environment::facts() const {
  std::vector<std::string> programs;
  for (const auto& [name, version] : versions) programs.push_back(fmt::format("{} {}", name, version));
  return {{"kernel", kernel},
          {"system", system},
          {"processor", fmt::format("{}, {} core{}", cpu, cores, cores == 1 ? "" : "s")},
          {"memory", fmt::format("{:.1f} GB", static_cast<double>(memory_bytes) / 1e9)},
          {"GPU", gpus.empty() ? "none" : fmt::format("{}", fmt::join(gpus, ", "))},
          {"versions", fmt::format("{}", fmt::join(programs, ", "))}};
}

}  // namespace coldstart
