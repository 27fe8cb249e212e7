// SPDX-License-Identifier: Apache-2.0
#pragma once
// A folder in memory that nobody else sees and that nothing leaves behind: a tmpfs that is mounted nowhere.
// It is gone with the last descriptor of it, so however its process ends.

#include <filesystem>
#include <optional>

#include "core/base/fd.h"

namespace coldstart {

/// Move-only.
class MemoryFolder {
 public:
  /// Nothing where the kernel or our privileges do not allow it.
  static std::optional<MemoryFolder> make();
  /// Good for this process only, as it leads through our descriptor. Mode 0700.
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit MemoryFolder(Fd mount);
  Fd mount_;
  std::filesystem::path path_;
};

}  // namespace coldstart
