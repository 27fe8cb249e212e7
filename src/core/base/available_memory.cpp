// SPDX-License-Identifier: Apache-2.0
#include "core/base/available_memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "core/base/control_group.h"

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

/// Of one control group: past memory.max its processes are killed, past memory.high they are held up. The
/// largest number if there is none.
uint64_t limit_of(const fs::path& group) {
  return std::min(number_in(group / "memory.max", "").value_or(UINT64_MAX),
                  number_in(group / "memory.high", "").value_or(UINT64_MAX));
}

/// What that limit leaves.
uint64_t left_in(const fs::path& group) {
  const uint64_t limit = limit_of(group);
  const auto used = number_in(group / "memory.current", "");
  if (limit == UINT64_MAX || !used) return UINT64_MAX;
  // The page cache counts, but goes when memory is wanted.
  const uint64_t cache = number_in(group / "memory.stat", "inactive_file ").value_or(0) +
                         number_in(group / "memory.stat", "active_file ").value_or(0);
  return limit - std::min(limit, *used - std::min(*used, cache));
}

/// The least of what /proc/meminfo says under `name` and what each of our groups does.
uint64_t least_of(const fs::path& root, const std::string& name, uint64_t (*of_group)(const fs::path&)) {
  uint64_t bytes = number_in(root / "proc/meminfo", name).value_or(0) << 10;
  const auto own = own_control_group(root);
  if (!own) return bytes;
  for (fs::path group = own->folder;; group = group.parent_path()) {
    bytes = std::min(bytes, of_group(group));
    if (group == own->top || !group.has_relative_path()) return bytes;
  }
}

}  // namespace

uint64_t available_memory(const fs::path& root) {
  return least_of(root, "MemAvailable:", left_in);
}

uint64_t usable_memory(const fs::path& root) {
  return least_of(root, "MemTotal:", limit_of);
}

}  // namespace coldstart
