// SPDX-License-Identifier: Apache-2.0
#pragma once
// How two images differ, told from their metadata alone: no chunk is read. Equal chunks are equal content, so
// a file that was packed with another chunk size counts as changed.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/image/reader.h"

namespace coldstart {

struct PathChange {
  enum class Kind { added, removed, changed };
  Kind kind;
  std::string path;  ///< from the root, without a leading '/'; "" is the root
  /// Of `changed`, in this order: type, content, target, device, mode, owner, mtime, xattrs, links (how many
  /// names the file has).
  std::vector<std::string> what;
  uint64_t bytes = 0;  ///< of the file, in the image that has it; of `changed`, in the newer one
};

struct DiffTotals {
  uint64_t added = 0, removed = 0, changed = 0;  ///< paths
  uint64_t new_bytes = 0;                        ///< of chunks that only the newer image has, uncompressed
};

/// Calls `each` for every path that differs, depth first, names sorted bytewise.
DiffTotals diff_images(const ImageReader& older, const ImageReader& newer,
                       const std::function<void(const PathChange&)>& each);

}  // namespace coldstart
