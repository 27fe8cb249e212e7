// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pending_memory.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "core/base/process_tree.h"

namespace coldstart {

namespace {

/// Whether a line of smaps begins a mapping, and then whether that is one of a file.
bool begins_mapping(const std::string& line, bool& of_file) {
  std::istringstream words(line);
  std::string range, rights, offset, device;
  unsigned long inode = 0;
  if (!(words >> range >> rights >> offset >> device >> inode) || range.find('-') == std::string::npos)
    return false;
  of_file = inode != 0;
  return true;
}

bool is_pending(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/smaps");
  bool of_file = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmFlags:")) {
      // "um": missing pages are asked for through a userfaultfd.
      if (!of_file && line.find(" um") != std::string::npos) return true;
    } else if (!line.empty() && (line[0] < 'A' || line[0] > 'Z')) {
      begins_mapping(line, of_file);
    }
  }
  return false;
}

}  // namespace

bool has_pending_memory(pid_t root) {
  const auto tree = process_tree(root);
  return std::any_of(tree.begin(), tree.end(), is_pending);
}

}  // namespace coldstart
