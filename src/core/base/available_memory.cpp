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

/// What the limits of one control group leave; nothing if it has none. Past memory.max its processes are
/// killed, past memory.high they are held up.
std::optional<uint64_t> left_in(const fs::path& group) {
  const auto used = number_in(group / "memory.current", "");
  const uint64_t limit = std::min(number_in(group / "memory.max", "").value_or(UINT64_MAX),
                                  number_in(group / "memory.high", "").value_or(UINT64_MAX));
  if (limit == UINT64_MAX || !used) return std::nullopt;
  // The page cache counts, but goes when memory is wanted.
  const uint64_t cache = number_in(group / "memory.stat", "inactive_file ").value_or(0) +
                         number_in(group / "memory.stat", "active_file ").value_or(0);
  return limit - std::min(limit, *used - std::min(*used, cache));
}

}  // namespace

uint64_t available_memory(const fs::path& root) {
  uint64_t bytes = number_in(root / "proc/meminfo", "MemAvailable:").value_or(0) << 10;
  const auto own = own_control_group(root);
  if (!own) return bytes;
  for (fs::path group = own->folder;; group = group.parent_path()) {
    if (const auto left = left_in(group)) bytes = std::min(bytes, *left);
    if (group == own->top || !group.has_relative_path()) return bytes;
  }
}

}  // namespace coldstart
