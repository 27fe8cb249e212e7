// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is mounted where, as the kernel tells it; shared by mounting and unmounting.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace coldstart {

inline constexpr const char* image_fs_type = "fuse.coldstart";
/// Of one read request: the kernel's default limit (256 pages).
inline constexpr unsigned max_read_bytes = 1U << 20;

struct MountEntry {
  int id = 0;
  int parent = 0;
  std::filesystem::path folder;
  std::string type;
  std::string device;  ///< "MAJOR:MINOR"
};

/// /proc/self/mountinfo, in its order: of several mounts on one folder the last one is on top.
std::vector<MountEntry> read_mount_table();

/// The topmost mount on exactly this folder (absolute, without symlinks). Does not touch what is mounted.
std::optional<MountEntry> find_mount(const std::filesystem::path& folder);

/// Unmounts lazily: gone from the tree at once, ended when its last user is. Throws Error.
void detach_mount(const std::filesystem::path& folder);

}  // namespace coldstart
