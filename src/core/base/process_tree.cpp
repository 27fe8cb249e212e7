// SPDX-License-Identifier: Apache-2.0
#include "core/base/process_tree.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <sys/stat.h>

namespace coldstart {

namespace fs = std::filesystem;

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  std::error_code failed;
  for (const auto& thread : fs::directory_iterator(fmt::format("/proc/{}/task", pid), failed)) {
    std::ifstream in(thread.path() / "children");
    for (pid_t child = 0; in >> child;) children.push_back(child);
  }
  return children;
}

std::vector<pid_t> process_tree(pid_t root) {
  std::vector<pid_t> tree{root};
  for (size_t i = 0; i < tree.size(); ++i) {
    const std::vector<pid_t> children = children_of(tree[i]);
    tree.insert(tree.end(), children.begin(), children.end());
  }
  return tree;
}

void kill_tree(pid_t root) noexcept {
  for (const pid_t child : children_of(root)) kill_tree(child);
  ::kill(root, SIGKILL);
}

ino_t namespace_of(pid_t pid, const std::string& kind) {
  struct stat s {};
  return ::stat(fmt::format("/proc/{}/ns/{}", pid, kind).c_str(), &s) == 0 ? s.st_ino : 0;
}

std::string status_field(pid_t pid, const std::string& name) {
  std::ifstream in(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name + ":")) continue;
    const size_t start = line.find_first_not_of(" \t", name.size() + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return {};
}

pid_t inner_pid_of(pid_t pid) {
  const std::string pids = status_field(pid, "NSpid");
  const size_t last = pids.find_last_of(" \t");
  return std::atoi(pids.c_str() + (last == std::string::npos ? 0 : last + 1));
}

}  // namespace coldstart
