// SPDX-License-Identifier: Apache-2.0
#include "core/base/process_memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>

namespace coldstart {

namespace {

/// Whether a line of maps or smaps begins a mapping, and then which one:
/// "7f0000000000-7f0000001000 r-xp 00002000 00:1c 1234   /usr/lib/libm.so.6"
bool begins_mapping(const std::string& line, ProcessMapping& mapping) {
  std::istringstream words(line);
  std::string range, rights, device;
  uint64_t offset = 0, inode = 0;
  if (!(words >> range >> rights >> std::hex >> offset >> device >> std::dec >> inode)) return false;
  const size_t dash = range.find('-');
  if (dash == std::string::npos || rights.size() < 2) return false;
  mapping = {};
  mapping.range = {std::strtoull(range.c_str(), nullptr, 16),
                   std::strtoull(range.c_str() + dash + 1, nullptr, 16)};
  mapping.writable = rights[1] == 'w';
  mapping.of_file = inode != 0;
  mapping.offset = offset;
  std::getline(words >> std::ws, mapping.path);
  return true;
}

}  // namespace

void visit_mappings(pid_t pid, const std::function<bool(const ProcessMapping&)>& visit) {
  std::ifstream in(fmt::format("/proc/{}/smaps", pid));
  ProcessMapping mapping;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("Rss:")) {
      mapping.resident_bytes = std::strtoull(line.c_str() + 4, nullptr, 10) << 10;
    } else if (line.starts_with("VmFlags:")) {  // the last line of each
      mapping.missing_asked = line.find(" um") != std::string::npos;
      if (!visit(mapping)) return;
    } else if (!line.empty() && (line[0] < 'A' || line[0] > 'Z')) {
      begins_mapping(line, mapping);
    }
  }
}

std::vector<ProcessMapping> mappings_of(pid_t pid) {
  std::vector<ProcessMapping> all;
  visit_mappings(pid, [&](const ProcessMapping& mapping) {
    all.push_back(mapping);
    return true;
  });
  return all;
}

std::vector<ProcessMapping> file_mappings_of(pid_t pid) {
  std::vector<ProcessMapping> all;
  std::ifstream in(fmt::format("/proc/{}/maps", pid));
  ProcessMapping mapping;
  for (std::string line; std::getline(in, line);)
    if (begins_mapping(line, mapping) && mapping.of_file && mapping.path.starts_with('/'))
      all.push_back(mapping);
  return all;
}

std::vector<AddressRange> grown_mappings(const std::vector<ProcessMapping>& before,
                                         const std::vector<ProcessMapping>& after, uint64_t least) {
  std::vector<AddressRange> grown;
  for (const ProcessMapping& now : after) {
    uint64_t had = 0;
    for (const ProcessMapping& then : before)
      if (then.range.start < now.range.end && now.range.start < then.range.end) had += then.resident_bytes;
    if (now.writable && now.resident_bytes >= had + std::max(had, least)) grown.push_back(now.range);
  }
  return grown;
}

}  // namespace coldstart
