// SPDX-License-Identifier: Apache-2.0
#include "core/base/control_group.h"

#include <fstream>
#include <sstream>
#include <string>

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// Where the file system is mounted last, and which of its groups is to be seen there.
struct Mount {
  std::string group, where;
};

std::optional<Mount> find_mount(const fs::path& mountinfo) {
  std::ifstream in(mountinfo);
  std::optional<Mount> found;
  for (std::string line; std::getline(in, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::istringstream words(line);
    std::string id, parent, device;
    Mount mount;
    if (words >> id >> parent >> device >> mount.group >> mount.where) found = mount;
  }
  return found;
}

std::optional<std::string> own_path(const fs::path& groups) {
  std::ifstream in(groups);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::/")) return line.substr(3);
  return std::nullopt;
}

}  // namespace

std::optional<ControlGroup> own_control_group(const fs::path& root) {
  const auto mount = find_mount(root / "proc/self/mountinfo");
  auto group = own_path(root / "proc/self/cgroup");
  if (!mount || !group) return std::nullopt;
  // In a container without a namespace for it, the container's group is what is mounted.
  if (mount->group != "/" && (*group + "/").starts_with(mount->group + "/"))
    group->erase(0, mount->group.size());
  const fs::path top = root / fs::path(mount->where).relative_path();
  const fs::path below = fs::path(*group).relative_path();
  return ControlGroup{below.empty() ? top : top / below, top};
}

}  // namespace coldstart
