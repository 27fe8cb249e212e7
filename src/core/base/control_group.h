// SPDX-License-Identifier: Apache-2.0
#pragma once
// The control group (version 2) that this process is in.

#include <filesystem>
#include <optional>

namespace coldstart {

/// Its folder, and the one of the topmost group that we can see: `folder` itself or one above it.
struct ControlGroup {
  std::filesystem::path folder;
  std::filesystem::path top;
};

/// Ours; nothing if that file system is not mounted. `root` stands for "/": tests have another.
std::optional<ControlGroup> own_control_group(const std::filesystem::path& root = "/");

}  // namespace coldstart
