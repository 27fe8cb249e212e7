// SPDX-License-Identifier: Apache-2.0
#include "core/base/available_memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// The number behind `name` in a file of lines "NAME NUMBER …"; with an empty name the first number.
std::optional<uint64_t> number_in(const fs::path& file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    const size_t at = line.find_first_of("0123456789", name.size());
    if (at == std::string::npos) return std::nullopt;  // "max"
    return std::stoull(line.substr(at, 18));
  }
  return std::nullopt;
}

/// What the limit of one control group leaves; nothing if it has none.
std::optional<uint64_t> left_in(const fs::path& group) {
  const auto limit = number_in(group / "memory.max", "");
  const auto used = number_in(group / "memory.current", "");
  if (!limit || !used) return std::nullopt;
  // The page cache counts, but goes when memory is wanted.
  const uint64_t cache = number_in(group / "memory.stat", "inactive_file ").value_or(0) +
                         number_in(group / "memory.stat", "active_file ").value_or(0);
  return *limit - std::min(*limit, *used - std::min(*used, cache));
}

/// Our control group (version 2) as a folder; empty if there is none.
fs::path control_group() {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::/")) return fs::path("/sys/fs/cgroup") / line.substr(4);
  return {};
}

}  // namespace

uint64_t available_memory() {
  uint64_t bytes = number_in("/proc/meminfo", "MemAvailable:").value_or(0) << 10;
  const fs::path top = "/sys/fs/cgroup";
  for (fs::path group = control_group(); group.has_relative_path() && group != group.root_path();
       group = group.parent_path()) {
    if (const auto left = left_in(group)) bytes = std::min(bytes, *left);
    if (group == top) break;
  }
  return bytes;
}

}  // namespace coldstart
