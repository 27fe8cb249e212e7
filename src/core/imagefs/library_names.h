// SPDX-License-Identifier: Apache-2.0
#pragma once
// Finds the shared libraries of an image by their names, wherever they lie.

#include <string_view>
#include <unordered_map>

#include "core/image/reader.h"

namespace coldstart {

/// Immutable, thread-safe. `image` must outlive it.
class LibraryNames {
 public:
  /// Looks at every name of the image.
  explicit LibraryNames(const ImageReader& image);
  /// The file that a library of this name ("libc.so.6") is, symlinks followed; 0 if there is none. Of
  /// several, the one in the folder with the most libraries: that is the system's.
  uint32_t find(std::string_view name) const;

 private:
  struct Place {
    uint32_t folder;
    uint32_t inode;
    uint32_t beside;  ///< libraries in that folder
  };
  uint32_t follow(const Place& place) const;

  const ImageReader& image_;
  std::unordered_map<std::string_view, Place> places_;
};

}  // namespace coldstart
