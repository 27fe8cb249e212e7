// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes down what is read of an image, as a trace (core/image/trace.h). Each line is written at once, so a
// trace holds what was read so far, however the server ends.

#include <filesystem>
#include <mutex>
#include <vector>

#include "core/base/fd.h"
#include "core/image/reader.h"

namespace coldstart {

/// Thread-safe.
class TraceRecorder {
 public:
  /// Creates or empties `file`; `go_on`: adds to what the server before us has written. Throws Error.
  TraceRecorder(const ImageReader& image, const std::filesystem::path& file, bool go_on);

  /// These bytes of the file were read. Only the first time counts. Throws Error if it cannot be written.
  void note(uint32_t inode, uint64_t offset, uint64_t length);

 private:
  std::string path_of(uint32_t inode) const;

  const ImageReader& image_;
  const Fd file_;
  struct Place {
    uint32_t folder = 0;
    uint32_t entry = 0;  // number in the folder
  };
  std::vector<Place> places_;  // by inode: one of its names
  std::mutex mutex_;           // guards seen_, and keeps lines in order
  std::vector<bool> seen_;     // by the extent's number in the image
};

}  // namespace coldstart
