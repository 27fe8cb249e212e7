// SPDX-License-Identifier: Apache-2.0
#pragma once
// Brings what CRIU is going to open and read of an image's files into the kernel's caches while other work of
// a restore goes on: CRIU opens hundreds of them one after another, and waits for each. And then what the
// processes will use.

#include <atomic>
#include <filesystem>
#include <thread>
#include <vector>

#include "core/checkpoint/mapped_files.h"
#include "core/image/trace.h"

namespace coldstart {

/// A thread that reads ahead, until destruction. What fails is left to CRIU, which can name it.
class FilesAhead {
 public:
  /// `images`: CRIU's. `image`: where the image is mounted, and `root`: the root that CRIU will see; links in
  /// them are not followed to the outside. `then` is read after what CRIU wants.
  FilesAhead(std::filesystem::path images, std::filesystem::path image, std::filesystem::path root,
             std::vector<TraceLine> then);
  FilesAhead(const FilesAhead&) = delete;
  FilesAhead& operator=(const FilesAhead&) = delete;
  ~FilesAhead();

 private:
  void run() const;
  void look_up(const std::vector<MappedFile>& files) const;
  void read_for_criu(int image, const std::vector<MappedFile>& files) const;
  void read_then(int image) const;

  const std::filesystem::path images_;
  const std::filesystem::path image_;
  const std::filesystem::path root_;
  const std::vector<TraceLine> then_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace coldstart
